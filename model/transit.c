/* What a pass is handed in the host's memory, on its way to where ops read it, and back (decision 0043). Where memory is shared ops
 * work on the host's own arrays. */
#include <math.h>

#include "model/pass.h"

static int64_t blocks_of_row(int64_t tokens, int64_t width)
{
    return (tokens * width + PAWL_SUM_BLOCK - 1) / PAWL_SUM_BLOCK;
}

static void lay_out_rows(pawl_transit *t, pawl_arena *a, int64_t rows, int64_t N)
{
    t->ids = pawl_take_bytes(a, (size_t)N * sizeof *t->ids);
    t->targets = pawl_take_bytes(a, (size_t)N * sizeof *t->targets);
    t->trained = pawl_take_bytes(a, (size_t)N * sizeof *t->trained);
    t->positions = pawl_take_bytes(a, (size_t)N * sizeof *t->positions);
    t->starts = pawl_take_bytes(a, (size_t)N * sizeof *t->starts);
    t->bounds = pawl_take_bytes(a, (size_t)(N + 1) * sizeof *t->bounds);
    t->losses = pawl_take_bytes(a, (size_t)N * sizeof *t->losses);
    t->drawn = pawl_take_bytes(a, (size_t)N * sizeof *t->drawn);
    t->lengths = pawl_take_bytes(a, (size_t)rows * sizeof *t->lengths);
    t->row_weights = pawl_take_bytes(a, (size_t)rows * sizeof *t->row_weights);
}

static void lay_out_bins(pawl_transit *t, pawl_arena *a, int64_t rows, int64_t N, int64_t k)
{
    t->soft.ids = pawl_take_bytes(a, (size_t)(N * k) * sizeof *t->soft.ids);
    t->soft.logp = pawl_take_bytes(a, (size_t)(N * k) * sizeof *t->soft.logp);
    t->soft.loss = pawl_take_bytes(a, (size_t)N * sizeof *t->soft.loss);
    t->soft.row_weights = pawl_take_bytes(a, (size_t)rows * sizeof *t->soft.row_weights);
    t->soft.row_k = pawl_take_bytes(a, (size_t)rows * sizeof *t->soft.row_k);
    t->soft.row_temperatures = pawl_take_bytes(a, (size_t)rows * sizeof *t->soft.row_temperatures);
    t->top.ids = pawl_take_bytes(a, (size_t)(N * k) * sizeof *t->top.ids);
    t->top.logp = pawl_take_bytes(a, (size_t)(N * k) * sizeof *t->top.logp);
}

void pawl_transit_lay_out(pawl_activations *x)
{
    pawl_transit *t = &x->transit;
    const size_t squares = (size_t)(x->train ? x->rows * blocks_of_row(x->tokens, x->width) : 0);
    if (pawl_device_shares_memory(x->device)) return;
    lay_out_rows(t, &x->arena, x->rows, x->positions);
    if (x->bins > 0) lay_out_bins(t, &x->arena, x->rows, x->positions, x->bins);
    t->squares = pawl_take_bytes(&x->arena, squares * sizeof *t->squares);
    t->bounds_here = pawl_take_bytes(&x->here, (size_t)(x->positions + 1) * sizeof *t->bounds_here);
    t->trained_here = pawl_take_bytes(&x->here, (size_t)x->positions * sizeof *t->trained_here);
    t->squares_here = pawl_take_bytes(&x->here, squares * sizeof *t->squares_here);
    if (x->sets > 1) t->turns_here = pawl_take_bytes(&x->here, (size_t)x->positions * sizeof *t->turns_here);
}

/* ---- up ---- */

static pawl_status up(const pass *p, const void *to, const void *from, size_t bytes)
{
    return from ? pawl_upload(p->d, (void *)(uintptr_t)to, from, bytes) : PAWL_OK;
}

/* Positions up to which a row has documents: behind them each is one of its own, which is padding. */
static int64_t before_padding(const int32_t *starts, int64_t first, int64_t end)
{
    while (end > first + 1 && starts[end - 1] == end - 1) end--;
    return end;
}

static int64_t fill_bounds(const pawl_batch *b, int32_t *bounds)
{
    int64_t count = 0;
    for (int64_t row = 0; row < b->rows; row++) {
        const int64_t first = row * b->tokens, end = before_padding(b->starts, first, first + b->tokens);
        for (int64_t n = first; n < end; n++)
            if (b->starts[n] == n) bounds[count++] = (int32_t)n;
    }
    bounds[count] = (int32_t)(b->rows * b->tokens);
    return count;
}

static pawl_status take_up_bounds(pass *p)
{
    const pawl_transit *t = &p->x->transit;
    p->documents = fill_bounds(p->b, t->bounds_here);
    for (int64_t i = 0; i < p->documents; i++) {
        const int64_t length = t->bounds_here[i + 1] - t->bounds_here[i];
        p->longest = length > p->longest ? length : p->longest;
    }
    p->bounds = t->bounds;
    return up(p, t->bounds, t->bounds_here, (size_t)(p->documents + 1) * sizeof *t->bounds);
}

/* Where all are trained there is nothing to be said. */
static pawl_status take_up_trained(pass *p)
{
    const pawl_transit *t = &p->x->transit;
    int64_t count = 0;
    for (int64_t n = 0; n < p->N; n++)
        if (p->b->targets[n] != PAWL_NOT_TRAINED) t->trained_here[count++] = (int32_t)n;
    if (count == p->N) return PAWL_OK;
    p->trained = (pawl_trained){t->trained, count};
    return up(p, t->trained, t->trained_here, (size_t)count * sizeof *t->trained);
}

static pawl_status take_up_batch(pass *p)
{
    const pawl_transit *t = &p->x->transit;
    const size_t bytes = (size_t)p->N * sizeof(int32_t);
    PAWL_TRY(up(p, t->ids, p->b->ids, bytes));
    PAWL_TRY(up(p, t->targets, p->b->targets, bytes));
    PAWL_TRY(up(p, t->positions, p->b->positions, bytes));
    PAWL_TRY(up(p, t->starts, p->b->starts, bytes));
    PAWL_TRY(take_up_bounds(p));
    PAWL_TRY(take_up_trained(p));
    p->at = (pawl_batch){p->b->rows, p->b->tokens, t->ids, t->targets, t->positions, t->starts};
    p->losses = t->losses;
    if (!p->how->noise) return PAWL_OK;
    p->noise.lengths = t->lengths;
    return up(p, t->lengths, p->how->noise->lengths, (size_t)p->b->rows * sizeof *t->lengths);
}

static pawl_status take_up_soft(pass *p)
{
    const pawl_soft *from = p->how->extra.soft;
    const size_t N = (size_t)p->N, rows = (size_t)p->b->rows, numbers = N * (size_t)from->k;
    PAWL_TRY(pawl_soft_check(from, p->b->targets, p->b->rows, p->b->tokens, p->m->config.vocab_size));
    p->soft = p->x->transit.soft;
    p->soft.k = from->k;
    p->soft.temperature = from->temperature;
    PAWL_TRY(up(p, p->soft.ids, from->ids, numbers * sizeof *from->ids));
    PAWL_TRY(up(p, p->soft.logp, from->logp, numbers * sizeof *from->logp));
    PAWL_TRY(up(p, p->soft.row_weights, from->row_weights, rows * sizeof *from->row_weights));
    PAWL_TRY(up(p, p->soft.row_k, from->row_k, rows * sizeof *from->row_k));
    PAWL_TRY(up(p, p->soft.row_temperatures, from->row_temperatures, rows * sizeof *from->row_temperatures));
    if (!from->row_k) p->soft.row_k = NULL;
    if (!from->row_temperatures) p->soft.row_temperatures = NULL;
    p->extra.soft = &p->soft;
    return PAWL_OK;
}

static pawl_status take_up_extra(pass *p)
{
    const pawl_head_extra *from = &p->how->extra;
    const pawl_transit *t = &p->x->transit;
    const int64_t k = from->soft ? from->soft->k : 0, top = from->top ? from->top->k : 0;
    PAWL_CHECK(k <= p->x->bins && top <= p->x->bins, PAWL_EBUG, "%lld soft targets of a position, and room for %lld",
               (long long)(k > top ? k : top), (long long)p->x->bins);
    if (from->row_weights) p->extra.row_weights = t->row_weights;
    PAWL_TRY(up(p, t->row_weights, from->row_weights, (size_t)p->b->rows * sizeof *t->row_weights));
    if (from->soft) PAWL_TRY(take_up_soft(p));
    if (from->top) {
        p->top = (pawl_top){top, from->top->temperature, t->top.ids, t->top.logp};
        p->extra.top = &p->top;
    }
    if (from->labels) {
        p->labels = *from->labels;
        if (p->labels.drawn) p->labels.drawn = t->drawn;
        p->extra.labels = &p->labels;
    }
    return PAWL_OK;
}

/* Which row of the rotary tables each position is turned by; the host works it out where there is more than one set. */
static pawl_status take_up_turns(pass *p)
{
    p->turns = (pawl_tensor){.data = p->at.positions, .dtype = PAWL_I32, .ndim = 1, .dim = {p->N}};
    if (!p->x->turns) return PAWL_OK;
    int32_t *here = pawl_host_side(p->d, p->x->turns, p->x->transit.turns_here);
    pass_choose_turns(p, here);
    p->turns.data = p->x->turns;
    return pawl_upload(p->d, p->x->turns, here, (size_t)p->N * sizeof *here);
}

pawl_status pass_take_up(pass *p)
{
    p->at = *p->b;
    p->losses = p->how->losses;
    p->extra = p->how->extra;
    if (p->how->noise) p->noise = *p->how->noise;
    PAWL_CHECK(pawl_device_shares_memory(p->d) == pawl_device_shares_memory(p->x->device), PAWL_EBUG,
               "a pass on a device whose memory its activations are not in");
    if (!pawl_device_shares_memory(p->d)) {
        PAWL_CHECK(p->b->rows <= p->x->rows, PAWL_EBUG, "a slot of %lld rows, and room for %lld", (long long)p->b->rows, (long long)p->x->rows);
        PAWL_TRY(take_up_batch(p));
        PAWL_TRY(take_up_extra(p));
    }
    p->extra.tokens = p->b->tokens;
    p->ids = (pawl_tensor){.data = p->at.ids, .dtype = PAWL_I32, .ndim = 1, .dim = {p->N}};
    p->positions = (pawl_tensor){.data = p->at.positions, .dtype = PAWL_I32, .ndim = 1, .dim = {p->N}};
    return take_up_turns(p);
}

/* ---- back ---- */

static pawl_status back(const pass *p, void *to, const void *from, size_t bytes)
{
    return to ? pawl_download(p->d, to, from, bytes) : PAWL_OK;
}

pawl_status pass_bring_back(const pass *p)
{
    const pawl_head_extra *to = &p->how->extra;
    const size_t N = (size_t)p->N;
    PAWL_TRY(back(p, p->how->losses, p->losses, N * sizeof *p->losses));
    if (to->soft) PAWL_TRY(back(p, to->soft->loss, p->extra.soft->loss, N * sizeof *to->soft->loss));
    if (to->top) {
        const size_t numbers = N * (size_t)to->top->k;
        PAWL_TRY(back(p, to->top->ids, p->extra.top->ids, numbers * sizeof *to->top->ids));
        PAWL_TRY(back(p, to->top->logp, p->extra.top->logp, numbers * sizeof *to->top->logp));
    }
    return to->labels ? back(p, to->labels->drawn, p->extra.labels->drawn, N * sizeof(int32_t)) : PAWL_OK;
}

/* A number that is not finite makes the sum of its block's squares that, too; in double no finite ones do. */
pawl_status pass_finite_gradients(const pass *p, int32_t *bad)
{
    const pawl_transit *t = &p->x->transit;
    const int64_t numbers = p->b->tokens * p->m->config.hidden_size, each = blocks_of_row(p->b->tokens, p->m->config.hidden_size);
    for (int64_t row = 0; row < p->b->rows; row++)
        PAWL_TRY(pawl_sum_squares(p->d, p->x->dsum + row * numbers, numbers, t->squares + row * each));
    PAWL_TRY(pawl_download(p->d, t->squares_here, t->squares, (size_t)(p->b->rows * each) * sizeof *t->squares));
    for (int64_t i = 0; i < p->b->rows * each; i++)
        if (!isfinite(t->squares_here[i])) bad[i / each] = 1;
    return PAWL_OK;
}
