#include "trainer/continual/drift.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "trainer/continual/soft.h"
#include "trainer/internal.h"

#define PAWL_SECTION pawl_drift_config
const pawl_field pawl_drift_rows[] = {PAWL_DRIFT_FIELDS(PAWL_ROW_F) PAWL_ROW_END};
#undef PAWL_SECTION

/* What is recorded of a domain: rows [first, end) of those that are compared are this rank's, and so are positions [at,
 * at + count) of all. */
typedef struct record {
    int64_t rows, first, end;
    int64_t positions, at, count;
    int32_t *ids; /* [count, k] */
    float *logp;  /* [count, k] */
} record;

struct pawl_drift {
    const pawl_parts *p;
    int64_t k, tokens; /* tokens: of the longest row */
    int domains;
    record *records;     /* [domains] */
    pawl_soft_room soft; /* of a slot; what is recorded passes through it, too */
    pawl_top top;        /* what its pass is told */
    pawl_soft targets;
    pawl_arena arena;
};

int64_t pawl_drift_bins(const pawl_parts *p)
{
    if (!p->continual || !p->continual->parent_kl.present) return 0;
    const int64_t k = p->continual->parent_kl.value.top_k, V = pawl_model_settings(p->model)->vocab_size;
    return k < V ? k : V;
}

/* ---- what is kept ---- */

/* Positions of rows [first, end) of those that are compared. */
static int64_t positions_of(const pawl_parts *p, int domain, int64_t rows, int64_t first, int64_t end)
{
    int64_t n = 0;
    for (int64_t i = first; i < end; i++)
        n += pawl_row_length(p->data, PAWL_HELD_OUT, pawl_evaluation_row(p->data, PAWL_HELD_OUT, domain, rows, i));
    return n;
}

/* Without data, as in some plans: one domain of full rows. */
static record record_of(const pawl_parts *p, int domain)
{
    const int64_t most = p->continual->parent_kl.value.rows,
                  all = p->data ? pawl_data_rows_of(p->data, PAWL_HELD_OUT, domain) : most;
    record r = {.rows = most < all ? most : all};
    pawl_evaluation_share(p, r.rows, p->comm->rank, &r.first, &r.end);
    if (!p->data) {
        r.positions = r.rows * p->sequence_len;
        r.count = (r.end - r.first) * p->sequence_len;
        return r;
    }
    r.positions = positions_of(p, domain, r.rows, 0, r.rows);
    r.at = positions_of(p, domain, r.rows, 0, r.first);
    r.count = positions_of(p, domain, r.rows, r.first, r.end);
    return r;
}

static pawl_drift drift_of(const pawl_parts *p)
{
    return (pawl_drift){.p = p,
                        .k = pawl_drift_bins(p),
                        .tokens = p->data ? pawl_data_longest(p->data) : p->sequence_len,
                        .domains = p->data ? pawl_data_domains(p->data, PAWL_HELD_OUT) : 1,
                        .arena = {.name = "parent_kl"}};
}

/* records NULL: measuring. */
static void lay_out(pawl_drift *d)
{
    for (int i = 0; i < d->domains; i++) {
        record r = record_of(d->p, i);
        const size_t numbers = (size_t)(r.count * d->k);
        r.ids = pawl_take_bytes(&d->arena, numbers * sizeof *r.ids);
        r.logp = pawl_take_bytes(&d->arena, numbers * sizeof *r.logp);
        if (d->records) d->records[i] = r;
    }
    pawl_soft_lay_out(&d->arena, &d->soft, d->k, d->p->train->micro_batch_size, d->tokens);
}

size_t pawl_drift_bytes(const pawl_parts *p)
{
    if (pawl_drift_bins(p) == 0) return 0;
    pawl_drift d = drift_of(p);
    lay_out(&d);
    return d.arena.used;
}

static pawl_status take(pawl_drift *d)
{
    int64_t rows = 0;
    lay_out(d);
    PAWL_TRY(pawl_alloc((void **)&d->records, (size_t)(d->domains + 1) * sizeof *d->records, "what the parent said"));
    PAWL_TRY(pawl_arena_open(&d->arena));
    lay_out(d);
    for (int i = 0; i < d->domains; i++) rows += d->records[i].rows;
    PAWL_CHECK(rows > 0, PAWL_EDATA,
               "parent_kl: no text is held out to compare on: raise val_set_size, or name texts in test_datasets");
    return PAWL_OK;
}

pawl_status pawl_drift_open(const pawl_parts *p, pawl_drift **out)
{
    pawl_drift *d;
    *out = NULL;
    if (pawl_drift_bins(p) == 0) return PAWL_OK;
    PAWL_TRY(pawl_alloc((void **)&d, sizeof *d, "what the parent said"));
    *d = drift_of(p);
    const pawl_status s = take(d);
    if (s != PAWL_OK) {
        pawl_drift_close(d);
        return s;
    }
    *out = d;
    return PAWL_OK;
}

void pawl_drift_close(pawl_drift *d)
{
    if (!d) return;
    pawl_arena_close(&d->arena);
    pawl_free(d->records);
    pawl_free(d);
}

static pawl_status list(const pawl_drift *d, int domain, const char *what, pawl_dtype dtype, void *data,
                        pawl_state *out)
{
    const record *r = &d->records[domain];
    char prefix[32];
    snprintf(prefix, sizeof prefix, "parent_kl/%d/", domain);
    PAWL_TRY(pawl_state_add(out, prefix, what,
                            (pawl_tensor){.data = data, .dtype = dtype, .ndim = 2, .dim = {r->positions, d->k}}));
    pawl_named *item = &out->items[out->count - 1];
    item->frozen = item->sharded = 1;
    item->first = r->at * d->k;
    item->count = r->count * d->k;
    return PAWL_OK;
}

pawl_status pawl_drift_state(const pawl_drift *d, pawl_state *out)
{
    for (int i = 0; d && i < d->domains; i++) {
        if (d->records[i].rows == 0) continue;
        PAWL_TRY(list(d, i, "ids", PAWL_I32, d->records[i].ids, out));
        PAWL_TRY(list(d, i, "logp", PAWL_F32, d->records[i].logp, out));
    }
    return PAWL_OK;
}

/* ---- a slot ---- */

/* Where row `number` of those that are compared begins among this rank's numbers; *length: its positions. */
static int64_t place_of(const pawl_drift *d, int domain, int64_t number, int64_t *length)
{
    const record *r = &d->records[domain];
    *length = positions_of(d->p, domain, r->rows, number, number + 1);
    return positions_of(d->p, domain, r->rows, r->first, number) * d->k;
}

static pawl_status ask(void *self, int domain, int64_t first, const pawl_batch *b, pawl_pass *pass)
{
    pawl_drift *d = self;
    (void)domain, (void)first, (void)b;
    d->top = (pawl_top){.k = d->k, .temperature = 1, .ids = d->soft.ids, .logp = d->soft.logp};
    pass->extra.top = &d->top;
    return PAWL_OK;
}

static void keep(void *self, int domain, int64_t first, const pawl_batch *b, pawl_row_result *results)
{
    pawl_drift *d = self;
    const record *r = &d->records[domain];
    (void)results;
    for (int64_t i = 0; i < b->rows; i++) {
        int64_t length;
        const int64_t to = place_of(d, domain, first + i, &length), from = i * b->tokens * d->k;
        memcpy(r->ids + to, d->soft.ids + from, (size_t)(length * d->k) * sizeof *r->ids);
        memcpy(r->logp + to, d->soft.logp + from, (size_t)(length * d->k) * sizeof *r->logp);
    }
}

static pawl_status compare(void *self, int domain, int64_t first, const pawl_batch *b, pawl_pass *pass)
{
    pawl_drift *d = self;
    const record *r = &d->records[domain];
    pawl_soft_clear(&d->soft, b->rows);
    for (int64_t i = 0; i < b->rows; i++) {
        int64_t length;
        const int64_t at = place_of(d, domain, first + i, &length);
        pawl_soft_put(&d->soft, i, b->tokens, d->k, 1, 1, r->ids + at, r->logp + at, length);
    }
    pass->extra.soft = pawl_soft_of(&d->soft, b->rows, &d->targets) ? &d->targets : NULL;
    return PAWL_OK;
}

/* Of a model whose loss is no number the divergence is none, even from one that was no better. */
static void add_up(void *self, int domain, int64_t first, const pawl_batch *b, pawl_row_result *results)
{
    const pawl_drift *d = self;
    (void)domain, (void)first;
    for (int64_t i = 0; i < b->rows; i++) {
        if (!isfinite(results[i].loss)) results[i].soft = NAN;
        for (int64_t t = 0; t < b->tokens; t++) results[i].soft += (double)d->soft.loss[i * b->tokens + t];
        results[i].soft_trained = results[i].trained;
    }
}

/* ---- all of them ---- */

pawl_status pawl_drift_record(pawl_drift *d, pawl_evaluator *e, const pawl_pass *of)
{
    const pawl_slot_watch watch = {.before = ask, .after = keep, .self = d};
    return d ? pawl_evaluate_watched(e, of, d->p->continual->parent_kl.value.rows, &watch, NULL, NULL) : PAWL_OK;
}

pawl_status pawl_drift_measure(pawl_drift *d, pawl_evaluator *e, const pawl_pass *of, pawl_score *scores, int *stopped)
{
    const pawl_slot_watch watch = {.before = compare, .after = add_up, .self = d};
    return d ? pawl_evaluate_watched(e, of, d->p->continual->parent_kl.value.rows, &watch, scores, stopped) : PAWL_OK;
}
