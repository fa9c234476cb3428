#include "optim/optim.h"

#include <math.h>

#include "core/arena.h"

enum { MOMENTS = 2 };

struct pawl_optim {
    pawl_optim_config config;
    pawl_device *device;
    const pawl_extent *parts;
    int part_count;
    pawl_arena arena;
    pawl_optim_run runs[MOMENTS]; /* m, v: flat, laid out as the weights */
    double *blocks;               /* partial sums of one tensor's squares */
};

static void lay_out(pawl_optim *o, int64_t count)
{
    int64_t longest = 0;
    for (int i = 0; i < o->part_count; i++)
        if (o->parts[i].count > longest) longest = o->parts[i].count;
    for (int i = 0; i < MOMENTS; i++) o->runs[i].flat = pawl_take_bytes(&o->arena, (size_t)count * sizeof(float));
    o->blocks = pawl_take_bytes(&o->arena, (size_t)(longest / PAWL_SUM_BLOCK + 1) * sizeof(double));
}

size_t pawl_optim_bytes(const pawl_optim_config *c, int64_t count)
{
    (void)c; /* one rule as yet */
    const pawl_extent whole = {0, count, 0};
    pawl_optim o = {.parts = &whole, .part_count = 1};
    lay_out(&o, count);
    return o.arena.used;
}

pawl_status pawl_optim_open(const pawl_optim_config *c, pawl_device *d, const pawl_extent *parts, int part_count, int64_t count,
                            pawl_optim **out)
{
    pawl_optim *o;
    PAWL_TRY(pawl_alloc((void **)&o, sizeof *o, "the optimizer"));
    *o = (pawl_optim){.config = *c, .device = d, .parts = parts, .part_count = part_count};
    o->arena.name = "optimizer";
    o->runs[0].name = "m";
    o->runs[1].name = "v";
    lay_out(o, count);
    pawl_status s = pawl_arena_open(&o->arena);
    if (s != PAWL_OK) {
        pawl_free(o);
        return s;
    }
    lay_out(o, count);
    *out = o;
    return PAWL_OK;
}

void pawl_optim_close(pawl_optim *o)
{
    if (!o) return;
    pawl_arena_close(&o->arena);
    pawl_free(o);
}

int pawl_optim_state(pawl_optim *o, const pawl_optim_run **runs)
{
    *runs = o->runs;
    return MOMENTS;
}

pawl_status pawl_grad_norm(pawl_optim *o, const float *grads, double *norm)
{
    double squares = 0;
    for (int i = 0; i < o->part_count; i++) {
        const pawl_extent *p = &o->parts[i];
        const int64_t blocks = (p->count + PAWL_SUM_BLOCK - 1) / PAWL_SUM_BLOCK;
        PAWL_TRY(pawl_sum_squares(o->device, grads + p->first, p->count, o->blocks));
        double tensor = 0;
        for (int64_t b = 0; b < blocks; b++) tensor += o->blocks[b];
        squares += tensor;
    }
    *norm = sqrt(squares);
    return PAWL_OK;
}

/* PyTorch's clip_grad_norm_: the factor has 1e-6 under it, and is never above 1. */
static double clip_factor(double max_norm, double norm)
{
    const double factor = max_norm > 0 ? max_norm / (norm + 1e-6) : 1;
    return factor < 1 ? factor : 1;
}

pawl_status pawl_optim_step(pawl_optim *o, float *weights, const float *grads, double norm, double lr, int64_t step)
{
    const pawl_optim_config *c = &o->config;
    const double t = (double)(step + 1);
    pawl_adamw_step k = {.lr = (float)lr,
                         .beta1 = (float)c->adam_beta1,
                         .beta2 = (float)c->adam_beta2,
                         .eps = (float)c->adam_epsilon,
                         .fix1 = (float)(1 - pow(c->adam_beta1, t)),
                         .fix2 = (float)(1 - pow(c->adam_beta2, t)),
                         .grad_scale = (float)clip_factor(c->max_grad_norm, norm)};
    for (int i = 0; i < o->part_count; i++) {
        const pawl_extent *p = &o->parts[i];
        k.decay = p->decays ? (float)c->weight_decay : 0;
        PAWL_TRY(pawl_adamw(o->device, weights + p->first, grads + p->first, o->runs[0].flat + p->first,
                            o->runs[1].flat + p->first, p->count, &k));
    }
    return PAWL_OK;
}
