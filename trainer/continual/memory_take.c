/* A memory takes rows in: those on offer and those held compete, all ranks compute the same list, and rows move to their new places.
 *
 * What is on offer is the same on every rank, so the list needs no messages; only numbers of rows that
 * were in the memory already travel. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "trainer/continual/memory_inner.h"

typedef struct absorbing {
    pawl_memory *m;
    const pawl_offer *offer;
    pawl_sketch *of;  /* [sketches] candidates of each domain */
    int sketches;
    int64_t *held;    /* [rows of the new list] its place in the memory so far; -1: a new row, ... */
    pawl_row *row;    /* ... this one */
    int32_t **source; /* [groups][files] its place in the list of sources; -1: not looked for */
    pawl_index next;
} absorbing;

/* ---- Which rows ---- */

static int64_t own_capacity(const pawl_replay_config *r, const char *name)
{
    for (int i = 0; i < r->domains.count; i++)
        if (strcmp(r->domains.items[i].name, name) == 0) return r->domains.items[i].capacity;
    return -1;
}

static pawl_status domain_named(absorbing *a, const char *name, int *out)
{
    pawl_index *x = &a->next;
    for (int d = 0; d < x->domain_count; d++)
        if (strcmp(x->domains[d].name, name) == 0) {
            *out = d;
            return PAWL_OK;
        }
    const size_t count = (size_t)x->domain_count + 1;
    PAWL_TRY(pawl_realloc((void **)&x->domains, count * sizeof *x->domains, "a memory's domains"));
    PAWL_TRY(pawl_realloc((void **)&a->of, count * sizeof *a->of, "a memory's domains"));
    x->domains[x->domain_count] = (pawl_memory_domain_record){.bound = UINT64_MAX};
    snprintf(x->domains[x->domain_count].name, sizeof x->domains[0].name, "%s", name);
    a->of[a->sketches++] = (pawl_sketch){.limit = a->m->in.replay->capacity};
    *out = x->domain_count++;
    return PAWL_OK;
}

static pawl_status begin_with_held(absorbing *a)
{
    const pawl_index *x = &a->m->index;
    for (int d = 0, same; d < x->domain_count; d++) {
        PAWL_TRY(domain_named(a, x->domains[d].name, &same));
        a->next.domains[d] = x->domains[d];
    }
    for (int64_t i = 0; i < x->count; i++) {
        const pawl_candidate c = {.kept = x->rows[i], .item = i};
        PAWL_TRY(pawl_sketch_add(&a->of[x->rows[i].domain], &c));
    }
    return PAWL_OK;
}

static uint64_t key_of(const pawl_memory *m, const char *domain, const pawl_kept *k, double loss)
{
    const uint64_t key = pawl_memory_key(m->in.seed, domain, k->document, k->chunk);
    switch ((pawl_policy)m->in.replay->policy) {
    case PAWL_POLICY_WEIGHTED: return pawl_memory_weighted_key(key, (double)k->trained);
    case PAWL_POLICY_LOSS: return pawl_memory_weighted_key(key, loss >= 0 ? loss : 1);
    default: return key;
    }
}

static pawl_status add_row(absorbing *a, int domain, pawl_row r, double loss)
{
    const pawl_offer *o = a->offer;
    const pawl_provenance p = o->kind->segment(o->of, r, 0);
    pawl_candidate c = {.kept = {.domain = domain, .chunk = p.chunk}, .item = -1, .dataset = r.domain, .row = r.index};
    pawl_document_number(p.document, c.kept.document);
    o->kind->facts(o->of, r, &c.kept);
    c.kept.key = key_of(a->m, a->next.domains[domain].name, &c.kept, loss);
    return c.kept.key < a->next.domains[domain].bound ? pawl_sketch_add(&a->of[domain], &c) : PAWL_OK;
}

static pawl_status add_offered(absorbing *a)
{
    const pawl_offer *o = a->offer;
    for (int group = o->first; group < o->end; group++) {
        const int64_t rows = o->kind->rows(o->of, group);
        int domain = -1;
        for (int64_t row = 0; row < rows; row++) {
            const pawl_row r = {group, row};
            double loss = 0;
            if (row % 4096 == 0) (void)pawl_keep_going(); /* shows that it is alive; a stop is taken up at the next boundary */
            if (!o->kind->offered(o->of, r, &loss)) continue;
            if (domain < 0) PAWL_TRY(domain_named(a, o->kind->domain(o->of, group), &domain));
            a->next.domains[domain].seen++;
            PAWL_TRY(add_row(a, domain, r, loss));
        }
    }
    return PAWL_OK;
}

static pawl_status cut_to_quotas(absorbing *a)
{
    const pawl_replay_config *r = a->m->in.replay;
    const int n = a->next.domain_count;
    int64_t *numbers;
    PAWL_TRY(pawl_alloc((void **)&numbers, 3 * (size_t)n * sizeof *numbers, "the quotas of domains"));
    for (int d = 0; d < n; d++) {
        numbers[n + d] = own_capacity(r, a->next.domains[d].name);
        pawl_sketch_cut(&a->of[d], &a->next.domains[d].bound);
        numbers[d] = a->of[d].count;
    }
    pawl_memory_quotas(numbers, numbers + n, n, r->capacity, numbers + 2 * n);
    for (int d = 0; d < n; d++) {
        a->of[d].limit = numbers[2 * n + d];
        pawl_sketch_cut(&a->of[d], &a->next.domains[d].bound);
    }
    pawl_free(numbers);
    return PAWL_OK;
}

/* One sample over all domains: they share the bound. */
static pawl_status cut_together(absorbing *a)
{
    pawl_sketch all = {.limit = a->m->in.replay->capacity};
    uint64_t bound = UINT64_MAX;
    pawl_status s = PAWL_OK;
    for (int d = 0; d < a->next.domain_count; d++) {
        pawl_sketch_cut(&a->of[d], &bound);
        for (int64_t i = 0; i < a->of[d].count && s == PAWL_OK; i++) s = pawl_sketch_add(&all, &a->of[d].items[i]);
        a->of[d].count = 0;
    }
    pawl_sketch_cut(&all, &bound);
    for (int d = 0; d < a->next.domain_count; d++)
        if (bound < a->next.domains[d].bound) a->next.domains[d].bound = bound;
    for (int64_t i = 0; i < all.count && s == PAWL_OK; i++) s = pawl_sketch_add(&a->of[all.items[i].kept.domain], &all.items[i]);
    pawl_sketch_close(&all);
    return s;
}

/* Candidates that are left, domain after domain, by key: the new list. */
static pawl_status list_rows(absorbing *a)
{
    pawl_index *x = &a->next;
    uint64_t none = UINT64_MAX;
    for (int d = 0; d < x->domain_count; d++) x->count += a->of[d].count;
    PAWL_TRY(pawl_alloc((void **)&x->rows, (size_t)x->count * sizeof *x->rows, "the list of a memory's rows"));
    PAWL_TRY(pawl_alloc((void **)&x->fresh, (size_t)x->count, "the list of a memory's rows"));
    PAWL_TRY(pawl_alloc((void **)&a->held, (size_t)x->count * sizeof *a->held, "the list of a memory's rows"));
    PAWL_TRY(pawl_alloc((void **)&a->row, (size_t)x->count * sizeof *a->row, "the list of a memory's rows"));
    int64_t n = 0;
    for (int d = 0; d < x->domain_count; d++) {
        pawl_sketch_cut(&a->of[d], &none);
        for (int64_t i = 0; i < a->of[d].count; i++, n++) {
            const pawl_candidate *c = &a->of[d].items[i];
            x->rows[n] = c->kept;
            x->fresh[n] = c->item < 0;
            a->held[n] = c->item;
            a->row[n] = (pawl_row){c->dataset, c->row};
        }
    }
    return PAWL_OK;
}

/* ---- Where they came from ---- */

static int same_text(const json_t *object, const char *key, const char *text)
{
    const char *found = json_string_value(json_object_get(object, key));
    return found && text && strcmp(found, text) == 0;
}

/* The place of a group's file in the list of sources; it is appended when it is not there. */
static pawl_status place_source(absorbing *a, int group, int32_t source, int32_t *out)
{
    const pawl_offer *o = a->offer;
    const json_t *file = o->kind->source(o->of, group, source);
    const char *domain = o->kind->domain(o->of, group), *name = json_string_value(json_object_get(file, "name")),
               *sha256 = json_string_value(json_object_get(file, "sha256"));
    size_t i;
    json_t *known;
    json_array_foreach(a->next.sources, i, known) {
        if (!same_text(known, "sha256", sha256) || !same_text(known, "name", name) || !same_text(known, "domain", domain)) continue;
        *out = (int32_t)i;
        return PAWL_OK;
    }
    *out = (int32_t)json_array_size(a->next.sources);
    json_t *entry = json_copy((json_t *)(uintptr_t)file);
    json_object_set_new(entry, "domain", json_string(domain));
    json_object_set_new(entry, "license", json_string(o->kind->license(o->of, group)));
    PAWL_CHECK(entry && json_array_append_new(a->next.sources, entry) == 0, PAWL_EMEM, "no memory for a memory's list of sources");
    return PAWL_OK;
}

static pawl_status open_group_sources(absorbing *a, int group)
{
    int32_t files = 0;
    while (a->offer->kind->source(a->offer->of, group, files)) files++;
    PAWL_TRY(pawl_alloc((void **)&a->source[group], (size_t)files * sizeof **a->source, "a memory's list of sources"));
    for (int32_t i = 0; i < files; i++) a->source[group][i] = -1;
    return PAWL_OK;
}

static pawl_status list_sources(absorbing *a)
{
    const pawl_offer *o = a->offer;
    a->next.sources = json_deep_copy(a->m->index.sources);
    PAWL_CHECK(a->next.sources, PAWL_EMEM, "no memory for a memory's list of sources");
    PAWL_TRY(pawl_alloc((void **)&a->source, (size_t)o->end * sizeof *a->source, "a memory's list of sources"));
    for (int64_t i = 0; i < a->next.count; i++) {
        const int group = a->row[i].domain;
        if (a->held[i] >= 0) continue;
        if (!a->source[group]) PAWL_TRY(open_group_sources(a, group));
        for (int64_t k = 0; k < a->next.rows[i].segments; k++) {
            const int32_t file = o->kind->segment(o->of, a->row[i], k).source;
            if (a->source[group][file] < 0) PAWL_TRY(place_source(a, group, file, &a->source[group][file]));
        }
    }
    return PAWL_OK;
}

static pawl_status compute(absorbing *a)
{
    PAWL_TRY(begin_with_held(a));
    PAWL_TRY(add_offered(a));
    PAWL_TRY(a->m->in.replay->balance == PAWL_BALANCE_STREAM ? cut_together(a) : cut_to_quotas(a));
    PAWL_TRY(list_rows(a));
    PAWL_TRY(list_sources(a));
    return pawl_index_finish(a->m, &a->next);
}

/* ---- Their numbers ---- */

enum { BLOCK = 64 }; /* rows that move at a time */

typedef struct moving {
    absorbing *a;
    pawl_store *to;
    char *staged; /* [BLOCK] rows of the largest size */
    pawl_transfer *transfers;
} moving;

static size_t row_part(const pawl_index *x, int part, int64_t i)
{
    return (size_t)(x->at[part][i + 1] - x->at[part][i]);
}

static pawl_status put_part(moving *v, int part, int64_t i, const void *data)
{
    const pawl_index *x = &v->a->next;
    int64_t first, end;
    pawl_memory_range(v->a->m, x, part, &first, &end);
    return pawl_store_write(v->to, part, (size_t)(x->at[part][i] - first), data, row_part(x, part, i));
}

/* A row that was on offer. */
static pawl_status put_new(moving *v, int64_t i, char *scratch)
{
    const pawl_offer *o = v->a->offer;
    const pawl_row r = v->a->row[i];
    const pawl_index *x = &v->a->next;
    pawl_kept_segment *segments = (pawl_kept_segment *)scratch;
    for (int64_t k = 0; k < x->rows[i].segments; k++) {
        const pawl_provenance p = o->kind->segment(o->of, r, k);
        segments[k] = (pawl_kept_segment){.chunk = p.chunk,
                                          .source = v->a->source[r.domain][p.source],
                                          .line = p.line,
                                          .tokens = p.tokens,
                                          .trained = p.trained,
                                          .bytes = p.bytes};
        pawl_document_number(p.document, segments[k].document);
    }
    char *tokens = scratch + row_part(x, PAWL_PART_SEGMENTS, i);
    char *trained = tokens + (row_part(x, PAWL_PART_TOKENS, i) + 7) / 8 * 8;
    o->kind->copy(o->of, r, tokens, (uint8_t *)trained);
    PAWL_TRY(put_part(v, PAWL_PART_SEGMENTS, i, segments));
    PAWL_TRY(put_part(v, PAWL_PART_TOKENS, i, tokens));
    PAWL_TRY(put_part(v, PAWL_PART_TRAINED, i, trained));
    for (int part = PAWL_PART_COLUMNS; part < v->a->m->parts; part++) {
        memset(scratch, 0, row_part(x, part, i));
        PAWL_TRY(put_part(v, part, i, scratch));
    }
    return PAWL_OK;
}

/* Where a row that was held lies: in this rank's old store, or staged. */
static const char *old_place(const moving *v, int part, int64_t item)
{
    const pawl_memory *m = v->a->m;
    int64_t first, end;
    pawl_memory_range(m, &m->index, part, &first, &end);
    return pawl_store_part(&m->store, part) + (m->index.at[part][item] - first);
}

static int new_owner(const absorbing *a, int64_t i)
{
    int rank = 0;
    while (i >= pawl_memory_first(a->next.count, rank + 1, a->m->in.comm->size)) rank++;
    return rank;
}

static char *staged_row(const moving *v, int64_t i, int64_t first)
{
    return v->staged + (i - first) * v->a->next.row_bytes;
}

/* The rows that change hands among [first, end). */
static pawl_status exchange(moving *v, int64_t first, int64_t end)
{
    const absorbing *a = v->a;
    const int rank = a->m->in.comm->rank;
    int count = 0;
    for (int64_t i = first; i < end; i++) {
        if (a->held[i] < 0) continue;
        const int from = pawl_memory_owner(a->m, a->held[i]), to = new_owner(a, i);
        char *at = staged_row(v, i, first);
        for (int p = 0; p < a->m->parts && from != to && (from == rank || to == rank); p++) {
            const size_t bytes = row_part(&a->next, p, i);
            const char *data = to == rank ? at : old_place(v, p, a->held[i]);
            if (bytes) v->transfers[count++] = (pawl_transfer){.data = (void *)(uintptr_t)data, .bytes = bytes, .from = from, .to = to};
            at += (bytes + 7) / 8 * 8;
        }
    }
    return pawl_transfers(a->m->in.comm, v->transfers, count);
}

/* Local: this rank's rows among [first, end). */
static pawl_status settle(moving *v, int64_t first, int64_t end)
{
    const absorbing *a = v->a;
    const int rank = a->m->in.comm->rank;
    for (int64_t i = first; i < end; i++) {
        if (new_owner(a, i) != rank) continue;
        char *at = staged_row(v, i, first);
        if (a->held[i] < 0) {
            PAWL_TRY(put_new(v, i, at));
            continue;
        }
        const int mine = pawl_memory_owner(a->m, a->held[i]) == rank;
        for (int p = 0; p < a->m->parts; p++) {
            PAWL_TRY(put_part(v, p, i, mine ? old_place(v, p, a->held[i]) : at));
            at += (row_part(&a->next, p, i) + 7) / 8 * 8;
        }
    }
    return PAWL_OK;
}

static pawl_status take_blocks(moving *v)
{
    PAWL_TRY(pawl_alloc((void **)&v->staged, (size_t)(BLOCK * v->a->next.row_bytes), "rows that change hands"));
    PAWL_TRY(pawl_alloc((void **)&v->transfers, (size_t)(BLOCK * v->a->m->parts) * sizeof *v->transfers, "rows that change hands"));
    return pawl_memory_store_open(v->a->m, &v->a->next, v->to);
}

/* Collective. */
static pawl_status move_rows(moving *v)
{
    pawl_comm *c = v->a->m->in.comm;
    PAWL_TRY(pawl_agree(c, take_blocks(v)));
    for (int64_t first = 0; first < v->a->next.count; first += BLOCK) {
        const int64_t end = first + BLOCK < v->a->next.count ? first + BLOCK : v->a->next.count;
        PAWL_TRY(exchange(v, first, end));
        PAWL_TRY(pawl_agree(c, settle(v, first, end)));
    }
    return PAWL_OK;
}

static void absorbing_close(absorbing *a)
{
    for (int d = 0; d < a->sketches; d++) pawl_sketch_close(&a->of[d]);
    for (int i = 0; i < a->offer->end && a->source; i++) pawl_free(a->source[i]);
    pawl_free(a->of);
    pawl_free(a->source);
    pawl_free(a->held);
    pawl_free(a->row);
    pawl_index_close(&a->next);
}

/* Ranks that came to different lists would wait for rows that nobody sends. */
static pawl_status same_list(const absorbing *a)
{
    const pawl_digest d[2] = {pawl_sha256(a->next.rows, (size_t)a->next.count * sizeof *a->next.rows),
                              pawl_sha256(a->next.names.data, a->next.names.bytes)};
    return pawl_same(a->m->in.comm, d, sizeof d, "the list of rows in the memory");
}

pawl_status pawl_memory_take(pawl_memory *m, const pawl_offer *offer)
{
    absorbing a = {.m = m, .offer = offer};
    pawl_store store = {.fd = -1};
    moving v = {.a = &a, .to = &store};
    pawl_status s = pawl_agree(m->in.comm, compute(&a));
    if (s == PAWL_OK) s = same_list(&a);
    if (s == PAWL_OK) s = move_rows(&v);
    if (s == PAWL_OK) s = pawl_agree(m->in.comm, pawl_memory_become(m, &a.next, &store));
    pawl_free(v.staged);
    pawl_free(v.transfers);
    pawl_store_close(&store);
    absorbing_close(&a);
    return s;
}
