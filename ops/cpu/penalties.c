/* Penalties and importances over blocks of plain arrays; blocks of sums are those of pawl_sum_squares. */
#include "ops/cpu/cpu.h"

typedef struct array_call {
    const pawl_kernels *kernels;
    int64_t count;
    float *a, *b;
    const float *x, *y, *z;
    float by;
    int squared;
    double *blocks;
} array_call;

static pawl_status run(pawl_device *d, pawl_task task, array_call c)
{
    const pawl_cpu *cpu = pawl_cpu_of(d);
    c.kernels = cpu->kernels;
    pawl_pool_run(cpu->pool, pawl_blocks(c.count, PAWL_SUM_BLOCK), task, &c);
    return PAWL_OK;
}

static void anchor_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const array_call *c = self;
    const int64_t at = i * PAWL_SUM_BLOCK;
    c->blocks[i] += c->kernels->anchor(c->a + at, c->x + at, c->y ? c->y + at : NULL, c->z ? c->z + at : NULL, c->by,
                                       pawl_block_size(c->count, PAWL_SUM_BLOCK, i));
}

pawl_status anchor_cpu(pawl_device *d, float *g, const float *w, const float *anchor, const float *importance,
                       float strength, int64_t count, double *blocks)
{
    return run(
        d, anchor_block,
        (array_call){.count = count, .a = g, .x = w, .y = anchor, .z = importance, .by = strength, .blocks = blocks});
}

static void path_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const array_call *c = self;
    const int64_t at = i * PAWL_SUM_BLOCK;
    c->kernels->path(c->a + at, c->x + at, c->y + at, c->z + at, pawl_block_size(c->count, PAWL_SUM_BLOCK, i));
}

pawl_status path_cpu(pawl_device *d, float *path, const float *g, const float *before, const float *after,
                     int64_t count)
{
    return run(d, path_block, (array_call){.count = count, .a = path, .x = g, .y = before, .z = after});
}

static void synapses_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const array_call *c = self;
    const int64_t at = i * PAWL_SUM_BLOCK;
    c->kernels->synapses(c->a + at, c->b + at, c->x + at, c->y + at, c->by,
                         pawl_block_size(c->count, PAWL_SUM_BLOCK, i));
}

pawl_status synapses_cpu(pawl_device *d, float *importance, float *path, const float *w, const float *start, float xi,
                         int64_t count)
{
    return run(d, synapses_block,
               (array_call){.count = count, .a = importance, .b = path, .x = w, .y = start, .by = xi});
}

static void magnitudes_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const array_call *c = self;
    c->kernels->magnitudes(c->a + i * PAWL_SUM_BLOCK, c->squared, pawl_block_size(c->count, PAWL_SUM_BLOCK, i));
}

pawl_status magnitudes_cpu(pawl_device *d, float *g, int squared, int64_t count)
{
    return run(d, magnitudes_block, (array_call){.count = count, .a = g, .squared = squared});
}

static void dot_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const array_call *c = self;
    const int64_t at = i * PAWL_SUM_BLOCK;
    c->blocks[i] = c->kernels->dot(c->x + at, c->y + at, pawl_block_size(c->count, PAWL_SUM_BLOCK, i));
}

pawl_status dot_cpu(pawl_device *d, const float *x, const float *y, int64_t count, double *blocks)
{
    return run(d, dot_block, (array_call){.count = count, .x = x, .y = y, .blocks = blocks});
}

typedef struct overlap_call {
    const pawl_kernels *kernels;
    const pawl_overlap *o;
    int64_t row, first, end; /* of a's numbers; row: the first that has one of them */
    float *g;
    double *sums;
} overlap_call;

static void overlap_row(void *self, int64_t i, int thread)
{
    (void)thread;
    const overlap_call *c = self;
    const int64_t row = c->row + i, width = c->o->width, at = row * width;
    const int64_t first = c->first > at ? c->first : at, end = c->end < at + width ? c->end : at + width;
    const double value = c->kernels->overlap(c->g + (first - c->first), c->o->a + at, c->o, first - at, end - at);
    if (first == at) c->sums[row] += value;
}

pawl_status overlap_add_cpu(pawl_device *d, const pawl_overlap *o, int64_t first, int64_t count, float *g, double *sums)
{
    const pawl_cpu *cpu = pawl_cpu_of(d);
    const int64_t row = first / o->width, end = first + count;
    overlap_call c = {.kernels = cpu->kernels, .o = o, .row = row, .first = first, .end = end, .g = g, .sums = sums};
    if (count > 0) pawl_pool_run(cpu->pool, (end + o->width - 1) / o->width - row, overlap_row, &c);
    return PAWL_OK;
}
