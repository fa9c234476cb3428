#include "data/leaks.h"

#include <inttypes.h>
#include <string.h>

#include "core/arena.h"
#include "core/log.h"

/* A text that is held out, and the first document that is learnt and has the same. */
typedef struct slot {
    pawl_content content;
    const pawl_dataset *learnt; /* NULL: none */
    int64_t document;
    int used;
} slot;

typedef struct table {
    slot *slots;
    uint64_t mask;
} table;

/* The slot of that content, or the free one where it would stand. Contents are digests: their bytes are as good as a
 * hash. */
static slot *find(const table *t, const pawl_content *c)
{
    uint64_t at;
    memcpy(&at, c, sizeof at);
    for (;; at++) {
        slot *s = &t->slots[at & t->mask];
        if (!s->used || memcmp(&s->content, c, sizeof *c) == 0) return s;
    }
}

static pawl_status make_table(const pawl_data *d, table *t)
{
    int64_t held = 0, size = 16;
    for (int i = 0; i < d->count; i++) held += d->datasets[i].prepared.part[PAWL_HELD_OUT].tally.documents;
    while (size < 2 * held) size *= 2;
    t->mask = (uint64_t)size - 1;
    return pawl_alloc((void **)&t->slots, (size_t)size * sizeof *t->slots,
                      "comparing what is learnt with what is held out");
}

typedef void visit(const table *t, pawl_dataset *s, int64_t document);

static void put_in(const table *t, pawl_dataset *s, int64_t document)
{
    const pawl_content *c = &s->prepared.documents[document].content;
    slot *at = find(t, c);
    at->content = *c;
    at->used = 1;
}

static void look_up(const table *t, pawl_dataset *s, int64_t document)
{
    slot *at = find(t, &s->prepared.documents[document].content);
    if (!at->used || at->learnt) return;
    at->learnt = s;
    at->document = document;
}

/* Where a document stands, as errors write it. */
static void name_place(const pawl_dataset *s, int64_t document, char *out, size_t room)
{
    const pawl_document *d = &s->prepared.documents[document];
    const char *name =
        json_string_value(json_object_get(json_array_get(s->prepared.sources, (size_t)d->source), "name"));
    if (d->line > 0)
        snprintf(out, room, "%s:%" PRId64, name, d->line);
    else
        snprintf(out, room, "%s", name);
}

static void count(const table *t, pawl_dataset *s, int64_t document)
{
    const slot *at = find(t, &s->prepared.documents[document].content);
    char held[300], learnt[300];
    if (!at->learnt || s->leaked++ > 0) return;
    name_place(s, document, held, sizeof held);
    name_place(at->learnt, at->document, learnt, sizeof learnt);
    pawl_log(
        PAWL_LOG_WARN,
        "data: '%s' is learnt from what it is measured by: %s is held out, and the same text is learnt from %s of '%s'",
        s->domain, held, learnt, at->learnt->domain);
}

static void visit_all(const table *t, pawl_data *d, pawl_part part, visit *f)
{
    for (int i = 0; i < d->count; i++) {
        pawl_dataset *s = &d->datasets[i];
        if (part == PAWL_TRAIN && (i >= d->learnt || s->config.weight == 0)) continue;
        if (s->prepared.part[part].tally.documents == 0) continue;
        for (int64_t k = 0; k < s->prepared.document_count && (k % 4096 || pawl_keep_going()); k++)
            if (s->prepared.documents[k].part == (int32_t)part) f(t, s, k);
    }
}

pawl_status pawl_leaks_count(pawl_data *d)
{
    table t;
    for (int i = 0; i < d->count; i++) d->datasets[i].leaked = 0;
    PAWL_TRY(make_table(d, &t));
    visit_all(&t, d, PAWL_HELD_OUT, put_in);
    visit_all(&t, d, PAWL_TRAIN, look_up);
    visit_all(&t, d, PAWL_HELD_OUT, count);
    pawl_free(t.slots);
    for (int i = 0; i < d->count; i++)
        if (d->datasets[i].leaked > 0)
            pawl_log(PAWL_LOG_WARN,
                     "data: in all %" PRId64 " of the %" PRId64
                     " held-out documents of '%s' are learnt too: what they measure looks better than it is; take them "
                     "out of one side",
                     d->datasets[i].leaked, d->datasets[i].prepared.part[PAWL_HELD_OUT].tally.documents,
                     d->datasets[i].domain);
    return PAWL_OK;
}
