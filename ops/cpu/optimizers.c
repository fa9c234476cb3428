/* The update rules over blocks of plain arrays: what is done to a number does not depend on where a block begins, for
 * ranks cut these arrays too. */
#include "ops/cpu/cpu.h"

enum { BLOCK = 1 << 14 }; /* whole blocks of 8-bit moments */

typedef struct array_call {
    const pawl_kernels *kernels;
    const pawl_cpu *cpu;
    int64_t count;
    float *w, *m, *v;
    const float *g;
    float by_w, by_g;
    int nesterov;
    pawl_moments_8bit moments;
    pawl_adamw_numbers adamw;
    pawl_sgd_numbers sgd;
    pawl_lion_numbers lion;
} array_call;

static pawl_status run(pawl_device *d, pawl_task task, array_call c)
{
    c.cpu = pawl_cpu_of(d);
    c.kernels = c.cpu->kernels;
    pawl_pool_run(c.cpu->pool, pawl_blocks(c.count, BLOCK), task, &c);
    return PAWL_OK;
}

static void adamw_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const array_call *c = self;
    const int64_t at = i * BLOCK;
    c->kernels->adamw(c->w + at, c->g + at, c->m + at, c->v + at, pawl_block_size(c->count, BLOCK, i), c->adamw);
}

pawl_status adamw_cpu(pawl_device *d, float *w, const float *g, float *m, float *v, int64_t count,
                      const pawl_adamw_step *k)
{
    return run(d, adamw_block,
               (array_call){.count = count, .w = w, .g = g, .m = m, .v = v, .adamw = pawl_adamw_prepare(k)});
}

static void sgd_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const array_call *c = self;
    const int64_t at = i * BLOCK;
    c->kernels->sgd(c->w + at, c->g + at, c->m ? c->m + at : NULL, pawl_block_size(c->count, BLOCK, i), c->sgd);
}

pawl_status sgd_cpu(pawl_device *d, float *w, const float *g, float *m, int64_t count, const pawl_sgd_step *k)
{
    return run(d, sgd_block, (array_call){.count = count, .w = w, .g = g, .m = m, .sgd = pawl_sgd_prepare(k)});
}

static void lion_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const array_call *c = self;
    const int64_t at = i * BLOCK;
    c->kernels->lion(c->w + at, c->g + at, c->m + at, pawl_block_size(c->count, BLOCK, i), c->lion);
}

pawl_status lion_cpu(pawl_device *d, float *w, const float *g, float *m, int64_t count, const pawl_lion_step *k)
{
    return run(d, lion_block, (array_call){.count = count, .w = w, .g = g, .m = m, .lion = pawl_lion_prepare(k)});
}

static void adamw_8bit_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const array_call *c = self;
    const int64_t end = i * BLOCK + pawl_block_size(c->count, BLOCK, i);
    for (int64_t at = i * BLOCK; at < end; at += PAWL_DYNAMIC_BLOCK) {
        const int64_t scale = at / PAWL_DYNAMIC_BLOCK,
                      some = end - at < PAWL_DYNAMIC_BLOCK ? end - at : PAWL_DYNAMIC_BLOCK;
        c->kernels->adamw_8bit(c->w + at, c->g + at, c->moments.m + at, c->moments.v + at, c->moments.m_scale + scale,
                               c->moments.v_scale + scale, some, &c->cpu->signed_levels, &c->cpu->levels, c->adamw);
    }
}

pawl_status adamw_8bit_cpu(pawl_device *d, float *w, const float *g, const pawl_moments_8bit *moments, int64_t count,
                           const pawl_adamw_step *k)
{
    return run(d, adamw_8bit_block,
               (array_call){.count = count, .w = w, .g = g, .moments = *moments, .adamw = pawl_adamw_prepare(k)});
}

static void muon_momentum_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const array_call *c = self;
    const int64_t at = i * BLOCK;
    c->kernels->muon_momentum(c->g + at, c->m + at, c->w + at, pawl_block_size(c->count, BLOCK, i), c->by_w, c->by_g,
                              c->nesterov);
}

pawl_status muon_momentum_cpu(pawl_device *d, const float *g, float *m, float *out, int64_t count,
                              const pawl_muon_step *k)
{
    return run(d, muon_momentum_block,
               (array_call){.count = count,
                            .w = out,
                            .g = g,
                            .m = m,
                            .by_w = (float)k->momentum,
                            .by_g = (float)k->grad_scale,
                            .nesterov = k->nesterov});
}

static void mix_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const array_call *c = self;
    const int64_t at = i * BLOCK;
    c->kernels->mix(c->by_w, c->w + at, c->by_g, c->g + at, pawl_block_size(c->count, BLOCK, i));
}

pawl_status mix_cpu(pawl_device *d, float by_y, float *y, float by_x, const float *x, int64_t count)
{
    return run(d, mix_block, (array_call){.count = count, .w = y, .g = x, .by_w = by_y, .by_g = by_x});
}

static void lerp_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const array_call *c = self;
    const int64_t at = i * BLOCK;
    c->kernels->lerp(c->w + at, c->g + at, c->by_g, pawl_block_size(c->count, BLOCK, i));
}

pawl_status lerp_cpu(pawl_device *d, float *a, const float *b, float part, int64_t count)
{
    return run(d, lerp_block, (array_call){.count = count, .w = a, .g = b, .by_g = part});
}
