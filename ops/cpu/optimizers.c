/* The update rules over blocks of plain arrays: what is done to a number does not depend on where a block begins, for
 * ranks cut these arrays too. */
#include "ops/cpu/kept.h"

enum { BLOCK = 1 << 14 }; /* whole blocks of 8-bit moments */

typedef struct array_call array_call;

/* Some numbers of an array, of f32; at: the first of them. */
typedef struct piece {
    int64_t at, count;
    float *w, *m, *v;
    const float *g;
} piece;

struct array_call {
    const pawl_kernels *kernels;
    const pawl_cpu *cpu;
    void (*loop)(const array_call *c, piece p);
    int64_t count;
    void *w, *m, *v;
    pawl_kept_as kept;
    const float *g;
    float by_w, by_g;
    int nesterov;
    pawl_moments_8bit moments;
    pawl_adamw_numbers adamw;
    pawl_sgd_numbers sgd;
    pawl_lion_numbers lion;
};

/* What is kept in bf16 is widened, stepped and rounded while it is in a cache. */
static void step_piece(const array_call *c, int64_t at, int64_t count)
{
    float w[PAWL_KEPT_PIECE], m[PAWL_KEPT_PIECE], v[PAWL_KEPT_PIECE];
    const pawl_kept_as *as = &c->kept;
    const piece p = {.at = at,
                     .count = count,
                     .w = pawl_kept_open(c->kernels, c->w, as->weights, at, count, w),
                     .m = pawl_kept_open(c->kernels, c->m, as->moments, at, count, m),
                     .v = pawl_kept_open(c->kernels, c->v, as->moments, at, count, v),
                     .g = c->g + at};
    c->loop(c, p);
    pawl_kept_close(c->kernels, p.w, c->w, as->weights, at, count, as, PAWL_CHANCE_WEIGHT);
    pawl_kept_close(c->kernels, p.m, c->m, as->moments, at, count, as, PAWL_CHANCE_FIRST);
    pawl_kept_close(c->kernels, p.v, c->v, as->moments, at, count, as, PAWL_CHANCE_SECOND);
}

static void step_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const array_call *c = self;
    const int all_f32 = c->kept.weights == PAWL_F32 && c->kept.moments == PAWL_F32;
    const int64_t each = all_f32 ? BLOCK : PAWL_KEPT_PIECE, end = i * BLOCK + pawl_block_size(c->count, BLOCK, i);
    for (int64_t at = i * BLOCK; at < end; at += each) step_piece(c, at, end - at < each ? end - at : each);
}

static pawl_status run(pawl_device *d, void (*loop)(const array_call *c, piece p), array_call c)
{
    c.cpu = pawl_cpu_of(d);
    c.kernels = c.cpu->kernels;
    c.loop = loop;
    pawl_pool_run(c.cpu->pool, pawl_blocks(c.count, BLOCK), step_block, &c);
    return PAWL_OK;
}

static void adamw_loop(const array_call *c, piece p)
{
    c->kernels->adamw(p.w, p.g, p.m, p.v, p.count, c->adamw);
}

pawl_status adamw_cpu(pawl_device *d, void *w, const float *g, void *m, void *v, int64_t count,
                      const pawl_adamw_step *k)
{
    return run(d, adamw_loop,
               (array_call){.count = count, .w = w, .g = g, .m = m, .v = v, .kept = k->kept, .adamw = pawl_adamw_prepare(k)});
}

static void sgd_loop(const array_call *c, piece p)
{
    c->kernels->sgd(p.w, p.g, p.m, p.count, c->sgd);
}

pawl_status sgd_cpu(pawl_device *d, void *w, const float *g, void *m, int64_t count, const pawl_sgd_step *k)
{
    return run(d, sgd_loop, (array_call){.count = count, .w = w, .g = g, .m = m, .kept = k->kept, .sgd = pawl_sgd_prepare(k)});
}

static void lion_loop(const array_call *c, piece p)
{
    c->kernels->lion(p.w, p.g, p.m, p.count, c->lion);
}

pawl_status lion_cpu(pawl_device *d, void *w, const float *g, void *m, int64_t count, const pawl_lion_step *k)
{
    return run(d, lion_loop, (array_call){.count = count, .w = w, .g = g, .m = m, .kept = k->kept, .lion = pawl_lion_prepare(k)});
}

static void adamw_8bit_loop(const array_call *c, piece p)
{
    for (int64_t i = 0; i < p.count; i += PAWL_DYNAMIC_BLOCK) {
        const int64_t at = p.at + i, scale = at / PAWL_DYNAMIC_BLOCK,
                      some = p.count - i < PAWL_DYNAMIC_BLOCK ? p.count - i : PAWL_DYNAMIC_BLOCK;
        c->kernels->adamw_8bit(p.w + i, p.g + i, c->moments.m + at, c->moments.v + at, c->moments.m_scale + scale,
                               c->moments.v_scale + scale, some, &c->cpu->signed_levels, &c->cpu->levels, c->adamw);
    }
}

pawl_status adamw_8bit_cpu(pawl_device *d, void *w, const float *g, const pawl_moments_8bit *moments, int64_t count,
                           const pawl_adamw_step *k)
{
    return run(d, adamw_8bit_loop,
               (array_call){.count = count, .w = w, .g = g, .moments = *moments, .kept = k->kept, .adamw = pawl_adamw_prepare(k)});
}

static void muon_momentum_loop(const array_call *c, piece p)
{
    c->kernels->muon_momentum(p.g, p.m, p.w, p.count, c->by_w, c->by_g, c->nesterov);
}

pawl_status muon_momentum_cpu(pawl_device *d, const float *g, void *m, float *out, int64_t count,
                              const pawl_muon_step *k)
{
    pawl_kept_as of_momentum = k->kept;
    of_momentum.weights = PAWL_F32; /* out */
    return run(d, muon_momentum_loop,
               (array_call){.count = count,
                            .w = out,
                            .g = g,
                            .m = m,
                            .kept = of_momentum,
                            .by_w = (float)k->momentum,
                            .by_g = (float)k->grad_scale,
                            .nesterov = k->nesterov});
}

static void mix_loop(const array_call *c, piece p)
{
    c->kernels->mix(c->by_w, p.w, c->by_g, p.g, p.count);
}

pawl_status mix_cpu(pawl_device *d, float by_y, void *y, float by_x, const float *x, int64_t count, const pawl_kept_as *kept)
{
    return run(d, mix_loop, (array_call){.count = count, .w = y, .g = x, .kept = *kept, .by_w = by_y, .by_g = by_x});
}

static void lerp_loop(const array_call *c, piece p)
{
    c->kernels->lerp(p.w, p.g, c->by_g, p.count);
}

pawl_status lerp_cpu(pawl_device *d, float *a, const float *b, float part, int64_t count)
{
    return run(d, lerp_loop, (array_call){.count = count, .w = a, .g = b, .by_g = part});
}
