/* Every matrix product of a pass once, by the shapes, types and places that a pass has them in, over random numbers in
 * memory of its own: for who times them (decision 0045). What is missing here is computed all the same, by the
 * library's first answer.
 *
 * The lists below follow forward.c, backward.c and adapter_pass.c; e2e_products tells what they leave out. How many rows the output head
 * multiplies where only some positions are trained is the backend's business: while it times it runs all such numbers. */
#include "model/adapter.h"

typedef struct arrays { /* of one group of products, in one block of the device's memory */
    pawl_arena arena;
    pawl_tensor x, w, bias, y, dx, dw, room, low, a, b, da, db, targets, loss;
} arrays;

typedef struct job {
    const pawl_model *m;
    const pawl_adapter *adapter; /* NULL: all weights are trained */
    pawl_code code;
    const pawl_capacity *of;
    pawl_device *d;
    int64_t N;
    int fused;
} job;

static const pawl_tensor nothing = {.dtype = PAWL_F32};

static pawl_tensor take(pawl_arena *a, pawl_dtype type, int64_t rows, int64_t cols)
{
    return pawl_take(a, type, cols ? 2 : 1, (const int64_t[]){rows, cols});
}

/* ---- random numbers: products of zeros are faster ---- */

enum { PIECE_BYTES = 1 << 20 };

static pawl_status fill(pawl_device *d, pawl_tensor t, const float *some, const uint16_t *some_low)
{
    const size_t bytes = t.data ? pawl_tensor_bytes(t) : 0;
    const void *from = t.dtype == PAWL_BF16 ? (const void *)some_low : some;
    for (size_t at = 0; at < bytes; at += PIECE_BYTES)
        PAWL_TRY(pawl_upload(d, (char *)t.data + at, from, bytes - at < PIECE_BYTES ? bytes - at : PIECE_BYTES));
    return PAWL_OK;
}

static pawl_status fill_all(pawl_device *d, const arrays *r)
{
    enum { FLOATS = PIECE_BYTES / (int)sizeof(float), LOWS = PIECE_BYTES / (int)sizeof(uint16_t) };
    const pawl_tensor all[] = {r->x, r->w, r->bias, r->y, r->low, r->a, r->b};
    uint32_t dice = 2463534242u;
    float *some;
    PAWL_TRY(pawl_alloc((void **)&some, (size_t)LOWS * (sizeof *some + sizeof(uint16_t)), "random numbers"));
    uint16_t *some_low = (uint16_t *)(some + LOWS);
    for (int i = 0; i < LOWS; i++) {
        dice ^= dice << 13, dice ^= dice >> 17, dice ^= dice << 5;
        some[i] = (float)(int32_t)dice * 0x1p-31f;
    }
    pawl_convert(some, PAWL_F32, some_low, PAWL_BF16, LOWS);
    pawl_status s = PAWL_OK;
    for (size_t i = 0; s == PAWL_OK && i < sizeof all / sizeof *all; i++) s = fill(d, all[i], some, some_low);
    pawl_free(some);
    return s;
}

/* Runs products over arrays that lay_out measures and carves. */
static pawl_status with_arrays(const job *j, const void *what,
                               void (*lay_out)(const job *j, const void *what, arrays *r),
                               pawl_status (*run)(const job *j, const void *what, const arrays *r))
{
    arrays r = {.arena = {.name = "products"}};
    lay_out(j, what, &r);
    PAWL_TRY(pawl_arena_open_on(j->d, PAWL_ON_DEVICE, &r.arena));
    lay_out(j, what, &r);
    pawl_status s = fill_all(j->d, &r);
    if (s == PAWL_OK) s = run(j, what, &r);
    pawl_arena_close_on(j->d, PAWL_ON_DEVICE, &r.arena);
    return s;
}

/* ---- the four linear layers of a block ---- */

typedef struct linear {
    pawl_slot w, bias;
    int y_low, dx_low; /* whether result and gradient are of the pass's type, or f32 */
} linear;

static const linear layers[] = {{PAWL_Q, PAWL_Q_BIAS, 1, 0},
                                {PAWL_O, PAWL_O_BIASES, 0, 1},
                                {PAWL_GATE, PAWL_GATE_BIAS, 1, 0},
                                {PAWL_DOWN, PAWL_DOWN_BIAS, 0, 1}};

static void lay_out_linear(const job *j, const void *what, arrays *r)
{
    const linear *l = what;
    const int64_t O = j->m->rows[l->w], I = j->m->cols[l->w];
    const pawl_dtype low = j->of->type;
    r->x = take(&r->arena, low, j->N, I);
    r->w = take(&r->arena, low, O, I);
    r->bias = j->m->layers[0].at[l->bias] >= 0 ? take(&r->arena, PAWL_F32, O, 0) : nothing;
    r->y = take(&r->arena, l->y_low ? low : PAWL_F32, j->N, O);
    r->low = take(&r->arena, low, j->N, O); /* dy */
    r->dx = take(&r->arena, l->dx_low ? low : PAWL_F32, j->N, I);
    r->dw = j->adapter ? nothing : take(&r->arena, PAWL_F32, O, I);
    r->room = j->fused && l->w == PAWL_DOWN ? take(&r->arena, low, j->N, I) : nothing;
}

/* What an activation is computed with, forward and backward; other arrays than a pass's are in the places of aux and room. */
static pawl_status run_fused(const job *j, const linear *l, const arrays *r)
{
    if (l->w == PAWL_GATE) return pawl_linear_activate(j->d, PAWL_GELU_TANH, r->x, r->w, r->bias, r->y, r->low);
    if (l->w == PAWL_DOWN) return pawl_linear_activate_dx(j->d, PAWL_GELU_TANH, r->low, r->w, r->x, r->room, r->dx);
    return PAWL_OK;
}

/* Coded weights are made numbers again a panel of rows at a time. */
static pawl_status run_linear(const job *j, const void *what, const arrays *r)
{
    const linear *l = what;
    const int64_t O = j->m->rows[l->w], I = j->m->cols[l->w],
                  panel = j->code == PAWL_CODE_NONE ? O : pawl_frozen_panel_rows(j->m, l->w);
    for (int64_t row = 0; row < O; row += panel) {
        const int64_t rows = O - row < panel ? O - row : panel;
        const pawl_tensor w = pawl_view_as(r->w.dtype, r->w.data, rows, I),
                          bias = r->bias.data ? pawl_view((float *)r->bias.data + row, rows, 0) : nothing;
        PAWL_TRY(pawl_linear_part(j->d, r->x, w, bias, PAWL_SET, row, r->y));
        PAWL_TRY(pawl_linear_part_dx(j->d, r->low, row, w, row ? PAWL_ADD : PAWL_SET, r->dx));
    }
    if (j->fused) PAWL_TRY(run_fused(j, l, r));
    if (j->of->fp8) PAWL_TRY(pawl_linear_fp8(j->d, r->x, r->w, r->bias, r->y));
    if (!r->dw.data) return PAWL_OK;
    PAWL_TRY(pawl_linear_dw(j->d, r->low, r->x, PAWL_SET, r->dw, nothing));
    return pawl_linear_dw(j->d, r->low, r->x, PAWL_ADD, r->dw, nothing);
}

/* ---- what an adapter adds to one of them ---- */

typedef struct addition {
    const pawl_adapted *t;
    const linear *to;
} addition;

static void lay_out_addition(const job *j, const void *what, arrays *r)
{
    const addition *n = what;
    const pawl_adapted *t = n->t;
    const int64_t W = j->m->rows[n->to->w];
    const pawl_dtype low = j->of->type;
    r->x = take(&r->arena, low, j->N, t->module.in);
    r->y = take(&r->arena, n->to->y_low ? low : PAWL_F32, j->N, W);
    r->w = take(&r->arena, low, j->N, W); /* dy */
    r->dx = take(&r->arena, n->to->dx_low ? low : PAWL_F32, j->N, t->module.in);
    r->low = take(&r->arena, low, j->N, t->r);
    r->a = take(&r->arena, low, t->r, t->module.in);
    r->b = take(&r->arena, low, t->module.out, t->r);
    r->da = take(&r->arena, PAWL_F32, t->r, t->module.in);
    r->db = take(&r->arena, PAWL_F32, t->module.out, t->r);
}

static pawl_status run_addition(const job *j, const void *what, const arrays *r)
{
    const int64_t first = ((const addition *)what)->t->module.first;
    PAWL_TRY(pawl_linear(j->d, r->x, r->a, nothing, PAWL_SET, r->low));
    PAWL_TRY(pawl_linear_part(j->d, r->low, r->b, nothing, PAWL_ADD, first, r->y));
    PAWL_TRY(pawl_linear_part_dx(j->d, r->w, first, r->b, PAWL_SET, r->low));
    PAWL_TRY(pawl_linear_dx(j->d, r->low, r->a, PAWL_ADD, r->dx));
    for (int put = PAWL_SET; put <= PAWL_ADD; put++) {
        PAWL_TRY(pawl_linear_part_dw(j->d, r->w, first, r->low, (pawl_put)put, r->db));
        PAWL_TRY(pawl_linear_dw(j->d, r->low, r->x, (pawl_put)put, r->da, nothing));
    }
    return PAWL_OK;
}

static pawl_status additions(const job *j, const linear *l)
{
    for (int64_t layer = 0; layer < j->m->config.num_hidden_layers; layer++) {
        int count;
        const pawl_adapted *t = pawl_adapted_in(j->adapter, layer, l->w, &count);
        for (int i = 0; i < count; i++) PAWL_TRY(with_arrays(j, &(addition){&t[i], l}, lay_out_addition, run_addition));
    }
    return PAWL_OK;
}

/* ---- the output head ---- */

static void lay_out_head(const job *j, const void *what, arrays *r)
{
    const int64_t D = j->m->config.hidden_size, V = j->m->config.vocab_size;
    (void)what;
    r->x = take(&r->arena, j->of->type, j->N, D);
    r->w = take(&r->arena, j->of->type, V, D);
    r->dx = take(&r->arena, PAWL_F32, j->N, D);
    r->dw = j->adapter ? nothing : take(&r->arena, PAWL_F32, V, D);
    r->targets = take(&r->arena, PAWL_I32, j->N, 0);
    r->loss = take(&r->arena, PAWL_F32, j->N, 0);
}

/* Its targets are id 0: a block is zeroed when it is taken. */
static pawl_status run_head(const job *j, const void *what, const arrays *r)
{
    (void)what;
    for (int put = PAWL_SET; put <= PAWL_ADD; put++) {
        const pawl_head h = {.hidden = r->x,
                             .w = r->w,
                             .targets = r->targets.data,
                             .scale = 1.0f / (float)j->N,
                             .loss = r->loss,
                             .dhidden = r->dx,
                             .dw = r->dw,
                             .put = (pawl_put)put,
                             .extra = {.tokens = j->of->tokens}};
        PAWL_TRY(pawl_head_loss(j->d, &h));
        if (!r->dw.data) return PAWL_OK;
    }
    return PAWL_OK;
}

pawl_status pawl_model_products(const pawl_model *m, const pawl_adapter *adapter, pawl_code code,
                                const pawl_capacity *of)
{
    const job j = {m, adapter, code, of, of->device, of->rows * of->tokens, pawl_fuses(m, of)};
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        PAWL_TRY(with_arrays(&j, &layers[i], lay_out_linear, run_linear));
        if (adapter) PAWL_TRY(additions(&j, &layers[i]));
    }
    return with_arrays(&j, NULL, lay_out_head, run_head);
}
