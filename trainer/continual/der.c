#include "trainer/continual/der.h"

#include <math.h>
#include <string.h>

#include "core/span.h"
#include "trainer/continual/methods.h"
#include "trainer/continual/soft.h"

#define PAWL_SECTION pawl_der_config
const pawl_field pawl_der_rows[] = {PAWL_DER_FIELDS(PAWL_ROW_F) PAWL_ROW_END};
#undef PAWL_SECTION

/* A row on its way into a slot, or out of a record. */
typedef struct der {
    const pawl_der_config *config;
    int64_t k, tokens; /* of the longest row */
    int ids_column, logp_column;
    pawl_dtype ids_type;
    pawl_arena arena;
    pawl_batch batch; /* one row */
    float *losses;    /* [T] */
    int32_t *ids;     /* [T, k] */
    float *logp;      /* [T, k] */
    void *low_ids;    /* as they are kept */
    uint16_t *low_logp;
} der;

static int64_t named_of(const pawl_parts *p)
{
    const int64_t k = p->continual->der.value.top_k, V = pawl_model_settings(p->model)->vocab_size;
    return k < V ? k : V;
}

static int64_t share_of(const pawl_parts *p, double ratio)
{
    return (int64_t)ceil(ratio * (double)p->train->global_batch_size);
}

static int64_t rows(const pawl_parts *p)
{
    const pawl_der_config *c = &p->continual->der.value;
    return (1 + (c->beta > 0)) * share_of(p, c->ratio);
}

static int columns(const pawl_parts *p, pawl_memory_column *out)
{
    const int64_t V = pawl_model_settings(p->model)->vocab_size;
    out[0] = (pawl_memory_column){.name = "der/ids", .dtype = V <= 65536 ? PAWL_U16 : PAWL_I32, .width = named_of(p)};
    out[1] = (pawl_memory_column){.name = "der/logp", .dtype = PAWL_F16, .width = named_of(p)};
    return 2;
}

static void lay_out(der *d)
{
    const size_t numbers = (size_t)(d->tokens * d->k);
    pawl_batch_lay_out(&d->arena, &d->batch, 1, d->tokens);
    d->losses = pawl_take_bytes(&d->arena, (size_t)d->tokens * sizeof *d->losses);
    d->ids = pawl_take_bytes(&d->arena, numbers * sizeof *d->ids);
    d->logp = pawl_take_bytes(&d->arena, numbers * sizeof *d->logp);
    d->low_ids = pawl_take_bytes(&d->arena, numbers * pawl_dtype_bytes(d->ids_type));
    d->low_logp = pawl_take_bytes(&d->arena, numbers * sizeof *d->low_logp);
}

static der der_of(const pawl_parts *p)
{
    pawl_memory_column own[PAWL_MEMORY_COLUMNS_MAX], all[PAWL_MEMORY_COLUMNS_MAX];
    der d = {.config = &p->continual->der.value,
             .k = named_of(p),
             .tokens = pawl_run_longest(p)};
    columns(p, own);
    d.ids_type = own[0].dtype;
    d.arena.name = "methods";
    const int count = pawl_methods_columns(p, all);
    for (int i = 0; i < count; i++)
        if (strcmp(all[i].name, own[0].name) == 0) d.ids_column = i;
    d.logp_column = d.ids_column + 1;
    return d;
}

static pawl_room bytes(const pawl_parts *p, int64_t first, int64_t end)
{
    (void)first, (void)end;
    der d = der_of(p);
    lay_out(&d);
    return (pawl_room){.host = d.arena.used};
}

static pawl_status der_open(const pawl_moment *m, void **self)
{
    der *d;
    PAWL_TRY(pawl_alloc((void **)&d, sizeof *d, "methods"));
    *self = d;
    *d = der_of(m->p);
    lay_out(d);
    PAWL_TRY(pawl_arena_open(&d->arena));
    lay_out(d);
    return PAWL_OK;
}

static void der_close(void *self)
{
    pawl_arena_close(&((der *)self)->arena);
}

/* ---- The rows of a step ---- */

/* Rows of a draw in a step: the share of all steps up to it, less that of the steps before. */
static int64_t due(const pawl_parts *p, double ratio, int64_t step)
{
    const uint64_t whole = (uint64_t)1 << PAWL_CREDIT_BITS;
    const uint64_t each = (uint64_t)llround(ratio * (double)p->train->global_batch_size * (double)whole);
    const uint64_t credit =
        (PAWL_CREDIT_START + (uint64_t)step * each) % whole; /* what wraps around is a multiple of whole */
    return (int64_t)((credit + each) / whole);
}

static void draw(const pawl_moment *m, pawl_draw_use use, int64_t wanted, double weight, pawl_step_row *out,
                 int64_t *count)
{
    const int64_t first = *count;
    int64_t trained = 0;
    for (int64_t g = 0; g < wanted; g++) {
        const int64_t item = pawl_memory_draw(m->memory, m->step, g, use);
        if (item < 0) break;
        trained += pawl_memory_kept(m->memory, item)->trained;
        out[(*count)++] = (pawl_step_row){.item = item};
    }
    const float each = trained > 0 ? (float)(weight / (double)trained) : 0;
    for (int64_t i = first; i < *count; i++) *(use == PAWL_DRAW_SOFT ? &out[i].soft : &out[i].ce) = each;
}

static pawl_status add_rows(void *self, const pawl_moment *m, pawl_step_row *out, int64_t *count)
{
    const pawl_der_config *c = ((der *)self)->config;
    if (!m->memory || pawl_memory_count(m->memory) == 0) return PAWL_OK;
    const int64_t wanted = due(m->p, c->ratio, m->step);
    draw(m, PAWL_DRAW_SOFT, wanted, c->alpha, out, count);
    if (c->beta > 0) draw(m, PAWL_DRAW_HARD, wanted, c->beta, out, count);
    return PAWL_OK;
}

static pawl_status before_slot(void *self, const pawl_moment *m, const pawl_step_row *slot, int64_t count,
                               const pawl_batch *b, pawl_pass *pass)
{
    der *d = self;
    (void)pass;
    for (int64_t i = 0; i < count; i++) {
        if (slot[i].item < 0 || slot[i].soft == 0.0f) continue;
        const int64_t place = m->stepper->place[slot - m->stepper->rows + i];
        const int64_t tokens = pawl_memory_kept(m->memory, slot[i].item)->tokens;
        const void *ids = pawl_memory_payload(m->memory, place, d->ids_column);
        for (int64_t n = 0; n < tokens * d->k; n++)
            d->ids[n] = d->ids_type == PAWL_U16 ? ((const uint16_t *)ids)[n] : ((const int32_t *)ids)[n];
        pawl_convert(pawl_memory_payload(m->memory, place, d->logp_column), PAWL_F16, d->logp, PAWL_F32, tokens * d->k);
        pawl_soft_put(&m->stepper->soft, i, b->tokens, d->k, 1, slot[i].soft, d->ids, d->logp, tokens);
    }
    return PAWL_OK;
}

/* ---- The record ---- */

/* A row by itself, so that its numbers depend on nothing else. Ranks meet in the pass where it has hooks. */
static pawl_status record(der *d, const pawl_moment *m, int64_t item, const pawl_pass *of)
{
    const pawl_row_tokens r = pawl_memory_own_row(m->memory, item);
    const int64_t tokens = pawl_memory_kept(m->memory, item)->tokens;
    const pawl_top top = {.k = d->k, .temperature = 1, .ids = d->ids, .logp = d->logp};
    pawl_pass pass = *of;
    d->batch.rows = 1;
    d->batch.tokens = pawl_slot_tokens_for(m->p->data, tokens);
    pawl_row_put(&r, &d->batch, 0);
    pass.losses = d->losses;
    pass.extra = (pawl_head_extra){.top = &top};
    PAWL_TRY(pawl_model_pass(m->p->model, m->p->device, m->stepper->activations, &d->batch, &pass));
    for (int64_t n = 0; n < tokens * d->k; n++) {
        if (d->ids_type == PAWL_U16)
            ((uint16_t *)d->low_ids)[n] = (uint16_t)d->ids[n];
        else
            ((int32_t *)d->low_ids)[n] = d->ids[n];
    }
    pawl_convert(d->logp, PAWL_F32, d->low_logp, PAWL_F16, tokens * d->k);
    PAWL_TRY(pawl_memory_put(m->memory, item, d->ids_column, d->low_ids));
    return pawl_memory_put(m->memory, item, d->logp_column, d->low_logp);
}

/* The next row of this rank from `from` on that came in just now; the memory's count when there is none. */
static int64_t next_fresh(const pawl_moment *m, int64_t from)
{
    const int64_t count = pawl_memory_count(m->memory);
    while (from < count &&
           !(pawl_memory_fresh(m->memory, from) && pawl_memory_owner(m->memory, from) == m->p->comm->rank))
        from++;
    return from;
}

/* As many turns as the rank with the most rows has. */
static int64_t turns(const pawl_moment *m)
{
    int64_t most = 0;
    for (int r = 0; r < m->p->comm->size; r++) {
        int64_t of_rank = 0;
        for (int64_t i = 0; i < pawl_memory_count(m->memory); i++)
            of_rank += pawl_memory_fresh(m->memory, i) && pawl_memory_owner(m->memory, i) == r;
        most = of_rank > most ? of_rank : most;
    }
    return most;
}

static pawl_status record_all(der *d, const pawl_moment *m, const pawl_pass *pass)
{
    const int64_t count = pawl_memory_count(m->memory);
    for (int64_t at = next_fresh(m, 0); at < count; at = next_fresh(m, at + 1)) {
        pawl_watch_renew();
        PAWL_TRY(record(d, m, at, pass));
    }
    return PAWL_OK;
}

static pawl_status record_together(der *d, const pawl_moment *m, const pawl_pass *pass)
{
    const int64_t count = pawl_memory_count(m->memory), all = turns(m);
    int64_t at = next_fresh(m, 0);
    for (int64_t turn = 0; turn < all; turn++, at = at < count ? next_fresh(m, at + 1) : count)
        PAWL_TRY(at < count ? record(d, m, at, pass) : pawl_model_walk(m->p->model, pass));
    return PAWL_OK;
}

static pawl_status remember(void *self, const pawl_moment *m)
{
    pawl_pass pass;
    if (!m->memory) return PAWL_OK;
    PAWL_TRY(pawl_stepper_pass(m->stepper, &pass));
    const pawl_status mine = pass.hooks ? record_together(self, m, &pass) : record_all(self, m, &pass);
    return pawl_agree(m->p->comm, mine);
}

const pawl_method pawl_method_der = {.name = "der",
                                     .present = PAWL_METHOD_ON(der),
                                     .bytes = bytes,
                                     .rows = rows,
                                     .columns = columns,
                                     .open = der_open,
                                     .close = der_close,
                                     .add_rows = add_rows,
                                     .before_slot = before_slot,
                                     .remember = remember};
