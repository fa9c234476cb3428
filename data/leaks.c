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

static void count(const table *t, pawl_dataset *s, int64_t document)
{
    s->leaked += find(t, &s->prepared.documents[document].content)->learnt != NULL;
}

/* How many, and where the first of them stands. */
static void warn(const table *t, const pawl_dataset *s)
{
    char held[300], learnt[300];
    int64_t k = 0;
    const slot *at = NULL;
    for (; !at || !at->learnt; k++)
        if (s->prepared.documents[k].part == PAWL_HELD_OUT) at = find(t, &s->prepared.documents[k].content);
    pawl_place_of(s, k - 1, held, sizeof held);
    pawl_place_of(at->learnt, at->document, learnt, sizeof learnt);
    pawl_log(PAWL_LOG_WARN,
             "data: %" PRId64 " of the %" PRId64
             " held-out documents of '%s' are learnt too, so that they measure too well: "
             "take them out of one side; the first is %s, in '%s' %s",
             s->leaked, s->prepared.part[PAWL_HELD_OUT].tally.documents, s->domain, held, at->learnt->domain, learnt);
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
    for (int i = 0; i < d->count && pawl_keep_going(); i++)
        if (d->datasets[i].leaked > 0) warn(&t, &d->datasets[i]);
    pawl_free(t.slots);
    return PAWL_OK;
}
