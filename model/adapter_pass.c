/* What an adapter adds to the products of a layer, and the transpose of it. Formulas: model/adapter.h. */
#include "model/adapter.h"

/* ---- scratch ---- */

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

typedef struct extremes {
    int64_t r, in, out, all_r, all_out, layer_r; /* layer_r: r of all items of a layer together */
} extremes;

static extremes measure(const pawl_adapter *a)
{
    extremes e = {0};
    for (int i = 0; i < a->count; i++) {
        const pawl_adapted *t = &a->items[i];
        const int64_t before = a->items[a->starts[t->module.layer]].ranks_before;
        e = (extremes){.r = larger(e.r, t->r),
                       .in = larger(e.in, t->module.in),
                       .out = larger(e.out, t->module.out),
                       .all_r = t->ranks_before + t->r,
                       .all_out = t->outs_before + t->module.out,
                       .layer_r = larger(e.layer_r, t->ranks_before + t->r - before)};
    }
    return e;
}

static float *floats(pawl_arena *a, int64_t rows, int64_t cols)
{
    return pawl_take_bytes(a, (size_t)(rows * cols) * sizeof(float));
}

static void *numbers(pawl_arena *arena, pawl_dtype type, int64_t rows, int64_t cols)
{
    return pawl_take_bytes(arena, (size_t)(rows * cols) * pawl_dtype_bytes(type));
}

static void lay_out(const pawl_adapter *a, pawl_adapter_work *w)
{
    pawl_arena *arena = &w->arena;
    const extremes e = measure(a);
    const int64_t N = w->positions;
    w->low = numbers(arena, w->type, N, w->low_again ? e.layer_r : e.all_r);
    w->dlow = numbers(arena, w->type, N, e.r);
    if (a->dropout > 0) w->dropped = numbers(arena, w->type, N, e.in);
    if (!a->dora) return;
    w->wide = floats(arena, N, e.out);
    w->dwide = floats(arena, N, e.out);
    w->norms = floats(arena, 1, e.all_out);
    w->gain = floats(arena, 1, e.out);
    w->gain_less = floats(arena, 1, e.out);
    w->ones = floats(arena, 1, e.out);
    if (!pawl_device_shares_memory(w->device)) w->ones_here = floats(&w->here, 1, e.out);
}

static pawl_status fill_ones(const pawl_adapter *a, const pawl_adapter_work *w)
{
    const int64_t count = a->dora ? measure(a).out : 0;
    float *here = pawl_host_side(w->device, w->ones, w->ones_here);
    for (int64_t o = 0; o < count; o++) here[o] = 1;
    return pawl_upload(w->device, w->ones, here, (size_t)count * sizeof *here);
}

static pawl_adapter_work sized(const pawl_capacity *c)
{
    return (pawl_adapter_work){.positions = c->rows * c->tokens,
                               .type = c->type,
                               .low_again = c->train && c->recompute == PAWL_RECOMPUTE_BLOCK,
                               .device = c->device,
                               .arena = {.name = "adapter scratch"},
                               .here = {.name = "adapter scratch"}};
}

pawl_room pawl_adapter_work_bytes(const pawl_adapter *a, const pawl_capacity *c)
{
    pawl_adapter_work w = sized(c);
    lay_out(a, &w);
    return pawl_room_of(&w.arena, &w.here);
}

pawl_status pawl_adapter_work_open(const pawl_adapter *a, const pawl_capacity *c, pawl_adapter_work **out)
{
    pawl_adapter_work *w;
    PAWL_CHECK(!a->dora || c->type == PAWL_F32, PAWL_EUSAGE,
               "DoRA (peft_use_dora) is computed in f32: leave out bf16, or peft_use_dora");
    PAWL_TRY(pawl_alloc((void **)&w, sizeof *w, "an adapter's scratch"));
    *w = sized(c);
    lay_out(a, w); /* measures */
    pawl_status status = PAWL_OK;
    PAWL_TRY_OUT(pawl_arena_open_on(w->device, PAWL_ON_DEVICE, &w->arena));
    if (w->here.used) PAWL_TRY_OUT(pawl_arena_open_on(w->device, PAWL_ON_HOST, &w->here));
    lay_out(a, w);
    PAWL_TRY_OUT(fill_ones(a, w));
    *out = w;
    return PAWL_OK;
out:
    pawl_adapter_work_close(w);
    return status;
}

void pawl_adapter_work_close(pawl_adapter_work *w)
{
    if (!w) return;
    pawl_arena_close_on(w->device, PAWL_ON_DEVICE, &w->arena);
    pawl_arena_close_on(w->device, PAWL_ON_HOST, &w->here);
    pawl_free(w);
}

/* ---- one adapted module ---- */

typedef struct unit { /* with what belongs to it in this pass */
    const pawl_adapting *p;
    const pawl_adapted *t;
    int64_t stream;
    pawl_tensor a, b, low, dlow;
    float *norms;
    const pawl_tensor *x, *y;
    pawl_tensor wide;
    pawl_put put;
} unit;

static const pawl_tensor nothing = {.dtype = PAWL_F32};

static unit unit_of(const pawl_adapting *p, const pawl_adapted *t)
{
    const pawl_adapter *a = p->over->adapter;
    const pawl_adapter_work *w = p->over->work;
    const int64_t before = w->low_again ? a->items[a->starts[t->module.layer]].ranks_before : 0;
    const pawl_stretch low = {w->low, 0, w->type};
    return (unit){.p = p,
                  .t = t,
                  .stream = t - a->items,
                  .a = pawl_adapted_a(t, p->weights),
                  .b = pawl_adapted_b(t, p->weights),
                  .low =
                      pawl_view_as(w->type, pawl_number_at(low, (t->ranks_before - before) * w->positions), p->N, t->r),
                  .dlow = pawl_view_as(w->type, w->dlow, p->N, t->r),
                  .norms = w->norms ? w->norms + t->outs_before : NULL,
                  .wide = pawl_view(w->wide, p->N, t->module.out)};
}

static int drops(const pawl_adapting *p)
{
    return p->over->adapter->dropout > 0 && p->over->first_row >= 0;
}

static pawl_status drop(const unit *u, pawl_tensor x, pawl_put put, pawl_tensor y)
{
    const pawl_over *o = u->p->over;
    const pawl_drop how = {.rate = o->adapter->dropout,
                           .seed = o->seed,
                           .first_row = o->first_row,
                           .tokens = u->p->tokens,
                           .stream = u->stream};
    return pawl_dropout(u->p->d, &how, x, put, y);
}

/* drop(x): x itself where nothing is dropped, else made in scratch. */
static pawl_status dropped(const unit *u, pawl_tensor x, pawl_tensor *out)
{
    *out = x;
    if (!drops(u->p)) return PAWL_OK;
    *out = pawl_view_as(u->p->over->work->type, u->p->over->work->dropped, u->p->N, u->t->module.in);
    return drop(u, x, PAWL_SET, *out);
}

/* ---- the base's rows of a module ---- */

typedef struct base_call {
    pawl_device *d;
    pawl_tensor x, y;
    pawl_put put;
    int64_t first;
} base_call;

static pawl_status base_product(void *self, pawl_tensor w, int64_t row)
{
    const base_call *c = self;
    return pawl_linear_part(c->d, c->x, w, nothing, c->put, c->first + row, c->y);
}

static pawl_status base_gradient(void *self, pawl_tensor w, int64_t row)
{
    base_call *c = self;
    PAWL_TRY(pawl_linear_part_dx(c->d, c->y, c->first + row, w, c->put, c->x));
    c->put = PAWL_ADD;
    return PAWL_OK;
}

static pawl_status base_of(const unit *u, pawl_rows_body body, base_call c)
{
    const pawl_module *m = &u->t->module;
    c.d = u->p->d;
    return pawl_frozen_rows(u->p->over->base, c.d, m->layer, m->group, m->first, m->out, body, &c);
}

/* ---- DoRA ---- */

typedef struct norms_call {
    pawl_device *d;
    const pawl_adapted *t;
    pawl_tensor a, b;
    float *norms;
} norms_call;

static pawl_status norms_of_rows(void *self, pawl_tensor w, int64_t row)
{
    const norms_call *c = self;
    const pawl_tensor b = pawl_view((float *)c->b.data + row * c->t->r, w.dim[0], c->t->r);
    return pawl_low_rank_norms(c->d, w, c->a, b, c->t->scale, pawl_view(c->norms + row, w.dim[0], 0));
}

static pawl_status norms_of(pawl_device *d, const pawl_frozen *f, const pawl_adapted *t, pawl_stretch of, float *norms)
{
    norms_call c = {d, t, pawl_adapted_a(t, of), pawl_adapted_b(t, of), norms};
    return pawl_frozen_rows(f, d, t->module.layer, t->module.group, t->module.first, t->module.out, norms_of_rows, &c);
}

pawl_status pawl_adapter_measure(const pawl_adapter *a, pawl_device *d, const pawl_frozen *f, float *flat)
{
    for (int i = 0; a->dora && i < a->count; i++)
        PAWL_TRY(norms_of(d, f, &a->items[i], (pawl_stretch){flat, 0, PAWL_F32}, flat + a->items[i].magnitude));
    return PAWL_OK;
}

/* g and g - 1. */
static pawl_status gains(const unit *u, pawl_tensor *gain, pawl_tensor *less)
{
    const int64_t O = u->t->module.out;
    const pawl_adapter_work *w = u->p->over->work;
    const pawl_tensor m = pawl_adapted_magnitude(u->t, u->p->weights), norms = pawl_view(u->norms, O, 0);
    *gain = pawl_view(w->gain, O, 0);
    *less = pawl_view(w->gain_less, O, 0);
    PAWL_TRY(pawl_divide(u->p->d, m, norms, 0, PAWL_SET, *gain));
    return pawl_divide(u->p->d, m, norms, -1, PAWL_SET, *less);
}

static pawl_status dora_forward(const unit *u, pawl_tensor x, int biased, pawl_tensor y)
{
    const int64_t first = u->t->module.first;
    pawl_device *d = u->p->d;
    pawl_tensor gain, less;
    PAWL_TRY(norms_of(d, u->p->over->base, u->t, u->p->weights, u->norms));
    PAWL_TRY(gains(u, &gain, &less));
    if (!biased && !drops(u->p)) { /* the product is there already: y is x W^T */
        PAWL_TRY(pawl_linear_part(d, u->low, u->b, nothing, PAWL_ADD, first, y));
        PAWL_TRY(pawl_scale_columns(d, y, first, less, u->wide));
        return pawl_add_columns(d, u->wide, pawl_view(u->p->over->work->ones, u->t->module.out, 0), y, first);
    }
    PAWL_TRY(base_of(u, base_product, (base_call){.x = x, .y = u->wide, .put = PAWL_SET}));
    PAWL_TRY(pawl_add_columns(d, u->wide, less, y, first));
    PAWL_TRY(pawl_linear(d, u->low, u->b, nothing, PAWL_SET, u->wide));
    return pawl_add_columns(d, u->wide, gain, y, first);
}

/* dm = sum over n of dy (x W^T + s x A^T B^T) / norm; the magnitude's gradient, before dy is scaled. */
static pawl_status magnitude_gradient(const unit *u, pawl_tensor x, pawl_tensor dy)
{
    const int64_t O = u->t->module.out;
    pawl_device *d = u->p->d;
    float *sums = u->p->over->work->gain; /* free until gains() fills it */
    PAWL_TRY(base_of(u, base_product, (base_call){.x = x, .y = u->wide, .put = PAWL_SET}));
    PAWL_TRY(pawl_linear(d, u->low, u->b, nothing, PAWL_ADD, u->wide));
    PAWL_TRY(pawl_column_dots(d, dy, u->t->module.first, u->wide, PAWL_SET, pawl_view(sums, O, 0)));
    return pawl_divide(d, pawl_view(sums, O, 0), pawl_view(u->norms, O, 0), 0, u->p->put, pawl_adapted_magnitude(u->t, u->p->grads));
}

/* ---- forward ---- */

/* low = s drop(x) A^T; *in: drop(x). */
static pawl_status low_product(const unit *u, pawl_tensor x, pawl_tensor *in)
{
    PAWL_TRY(dropped(u, x, in));
    PAWL_TRY(pawl_linear(u->p->d, *in, u->a, nothing, PAWL_SET, u->low));
    return pawl_scale(u->p->d, u->low, u->t->scale);
}

static pawl_status add_module(const unit *u, pawl_tensor x, int biased, pawl_tensor y)
{
    pawl_device *d = u->p->d;
    pawl_tensor in;
    PAWL_TRY(low_product(u, x, &in));
    if (u->norms) return dora_forward(u, in, biased, y);
    return pawl_linear_part(d, u->low, u->b, nothing, PAWL_ADD, u->t->module.first, y);
}

typedef struct whole_call {
    pawl_device *d;
    int fp8;
    pawl_tensor x, y, bias;
} whole_call;

static pawl_status whole_product(void *self, pawl_tensor w, int64_t row)
{
    const whole_call *c = self;
    const pawl_tensor bias = c->bias.data ? pawl_view((float *)c->bias.data + row, w.dim[0], 0) : nothing;
    if (c->fp8) return pawl_linear_fp8(c->d, c->x, w, bias, c->y); /* of bases that are not coded: w is all of it */
    return pawl_linear_part(c->d, c->x, w, bias, PAWL_SET, row, c->y);
}

pawl_status pawl_adapted_linear(const pawl_adapting *p, int64_t layer, pawl_slot group, pawl_slot bias, pawl_tensor x,
                                pawl_tensor y)
{
    const pawl_frozen *f = p->over->base;
    whole_call c = {p->d, p->fp8, x, y, pawl_frozen_part(f, layer, bias)};
    int count;
    const pawl_adapted *t = pawl_adapted_in(p->over->adapter, layer, group, &count);
    PAWL_TRY(pawl_frozen_rows(f, p->d, layer, group, 0, y.dim[y.ndim - 1], whole_product, &c));
    for (int i = 0; i < count; i++) {
        const unit u = unit_of(p, &t[i]);
        PAWL_TRY(add_module(&u, x, c.bias.data != NULL, y));
    }
    return PAWL_OK;
}

pawl_status pawl_adapted_low(const pawl_adapting *p, int64_t layer, pawl_slot group, pawl_tensor x)
{
    int count;
    const pawl_adapted *t = pawl_adapted_in(p->over->adapter, layer, group, &count);
    for (int i = 0; i < count; i++) {
        const unit u = unit_of(p, &t[i]);
        pawl_tensor in;
        PAWL_TRY(low_product(&u, x, &in));
    }
    return PAWL_OK;
}

/* ---- backward ---- */

/* dx += the gradient through drop(x), which is dlow A and, with DoRA, (g - 1) dy W. */
static pawl_status input_gradient(const unit *u, pawl_tensor dy, pawl_tensor dx)
{
    const int direct = !drops(u->p);
    pawl_device *d = u->p->d;
    const pawl_tensor through =
        direct ? dx : pawl_view_as(u->p->over->work->type, u->p->over->work->dropped, u->p->N, u->t->module.in);
    PAWL_TRY(pawl_linear_dx(d, u->dlow, u->a, direct ? PAWL_ADD : PAWL_SET, through));
    if (u->norms) {
        pawl_tensor gain, less;
        PAWL_TRY(gains(u, &gain, &less));
        PAWL_TRY(pawl_scale_columns(d, dy, u->t->module.first, less, u->wide));
        PAWL_TRY(base_of(u, base_gradient, (base_call){.x = through, .y = u->wide, .put = PAWL_ADD}));
    }
    return direct ? PAWL_OK : drop(u, through, PAWL_ADD, dx);
}

static pawl_status module_backward(const unit *u, pawl_tensor x, pawl_tensor dy, pawl_tensor dx)
{
    const pawl_adapting *p = u->p;
    pawl_device *d = p->d;
    pawl_tensor in, gain, less, dz = dy;
    int64_t first = u->t->module.first;
    PAWL_TRY(dropped(u, x, &in));
    if (u->norms) { /* behind the gain, dy is dz */
        PAWL_TRY(magnitude_gradient(u, in, dy));
        dz = pawl_view(p->over->work->dwide, p->N, u->t->module.out);
        PAWL_TRY(gains(u, &gain, &less));
        PAWL_TRY(pawl_scale_columns(d, dy, first, gain, dz));
        first = 0;
    }
    PAWL_TRY(pawl_linear_part_dw(d, dz, first, u->low, p->put, pawl_adapted_b(u->t, p->grads)));
    PAWL_TRY(pawl_linear_part_dx(d, dz, first, u->b, PAWL_SET, u->dlow));
    PAWL_TRY(pawl_scale(d, u->dlow, u->t->scale));
    PAWL_TRY(pawl_linear_dw(d, u->dlow, in, p->put, pawl_adapted_a(u->t, p->grads), nothing));
    return dx.data ? input_gradient(u, dy, dx) : PAWL_OK;
}

pawl_status pawl_adapted_backward(const pawl_adapting *p, int64_t layer, pawl_slot group, pawl_tensor dy, pawl_tensor x,
                                  pawl_tensor dx)
{
    int count;
    const pawl_adapted *t = pawl_adapted_in(p->over->adapter, layer, group, &count);
    base_call c = {.d = p->d, .x = dx, .y = dy, .put = PAWL_SET};
    if (dx.data)
        PAWL_TRY(pawl_frozen_rows(p->over->base, p->d, layer, group, 0, dy.dim[dy.ndim - 1], base_gradient, &c));
    for (int i = 0; i < count; i++) {
        const unit u = unit_of(p, &t[i]);
        PAWL_TRY(module_backward(&u, x, dy, dx));
    }
    return PAWL_OK;
}
