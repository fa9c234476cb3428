/* What adapters need beside products; see ops/ops.h. Rows are shared out in blocks, columns in blocks where rows are
 * summed. */
#include <math.h>
#include <string.h>

#include "ops/cpu/cpu.h"

typedef struct call {
    const pawl_kernels *kernels;
    const pawl_drop *how;
    pawl_tensor in, out; /* of a dropout, each of either type */
    const float *x, *gain, *a, *b;
    float *y;
    int64_t rows, width, ldx, ldy, rank;
    pawl_put put;
    float scale;
    uint32_t below; /* words under it are dropped */
} call;

/* --- dropout ------------------------------------------------------------------------------------------------ */

static void drop_row(const call *c, int64_t n)
{
    const pawl_drop *how = c->how;
    const pawl_drop_row r = {.seed = how->seed,
                             .row = (uint64_t)(how->first_row + n / how->tokens),
                             .stream = (uint64_t)how->stream,
                             .first = n % how->tokens * c->width,
                             .count = c->width,
                             .below = c->below,
                             .scale = c->scale};
    c->kernels->dropout[pawl_low(c->in)][pawl_low(c->out)](&r, pawl_at(c->in, n * c->width), c->put,
                                                           pawl_at(c->out, n * c->width));
}

static void drop_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const call *c = self;
    for (int64_t n = i * PAWL_ROW_BLOCK; n < i * PAWL_ROW_BLOCK + pawl_block_size(c->rows, PAWL_ROW_BLOCK, i); n++)
        drop_row(c, n);
}

pawl_status dropout_cpu(pawl_device *d, const pawl_drop *how, pawl_tensor x, pawl_put put, pawl_tensor y)
{
    const int64_t I = x.dim[x.ndim - 1];
    pawl_cpu *cpu = pawl_cpu_of(d);
    call c = {.kernels = cpu->kernels,
              .how = how,
              .in = x,
              .out = y,
              .rows = pawl_tensor_count(x) / I,
              .width = I,
              .put = put,
              .scale = (float)(1 / (1 - how->rate)),
              .below = (uint32_t)(how->rate * 0x1p32)};
    pawl_pool_run(cpu->pool, pawl_blocks(c.rows, PAWL_ROW_BLOCK), drop_block, &c);
    return PAWL_OK;
}

/* --- norms of the rows of w + scale b a --------------------------------------------------------------------- */

enum { STRIP = 256 }; /* numbers of a row at a time: they stay in registers and the first cache */

static float norm_of_row(const call *c, int64_t o)
{
    double squares = 0;
    for (int64_t at = 0; at < c->width; at += STRIP) {
        const int64_t some = pawl_block_size(c->width, STRIP, at / STRIP);
        float v[STRIP] = {0};
        for (int64_t k = 0; k < c->rank; k++) {
            const float by = c->b[o * c->rank + k];
            const float *a = c->a + k * c->width + at;
            for (int64_t i = 0; i < some; i++) v[i] += by * a[i];
        }
        for (int64_t i = 0; i < some; i++) {
            const double x = c->x[o * c->width + at + i] + c->scale * v[i];
            squares += x * x;
        }
    }
    return (float)sqrt(squares);
}

static void norms_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const call *c = self;
    for (int64_t o = i * PAWL_ROW_BLOCK; o < i * PAWL_ROW_BLOCK + pawl_block_size(c->rows, PAWL_ROW_BLOCK, i); o++)
        c->y[o] = norm_of_row(c, o);
}

pawl_status low_rank_norms_cpu(pawl_device *d, pawl_tensor w, pawl_tensor a, pawl_tensor b, float scale,
                               pawl_tensor norms)
{
    call c = {.x = w.data,
              .a = a.data,
              .b = b.data,
              .y = norms.data,
              .rows = w.dim[0],
              .width = w.dim[1],
              .rank = a.dim[0],
              .scale = scale};
    pawl_pool_run(pawl_cpu_of(d)->pool, pawl_blocks(c.rows, PAWL_ROW_BLOCK), norms_block, &c);
    return PAWL_OK;
}

/* One number for each output: too few for threads. */
pawl_status divide_cpu(pawl_device *d, pawl_tensor a, pawl_tensor b, float plus, pawl_put put, pawl_tensor y)
{
    const float *from = a.data, *by = b.data;
    float *to = y.data;
    (void)d;
    for (int64_t o = 0, O = pawl_tensor_count(y); o < O; o++) {
        const float quotient = from[o] / by[o] + plus;
        to[o] = put == PAWL_ADD ? to[o] + quotient : quotient;
    }
    return PAWL_OK;
}

/* --- columns ------------------------------------------------------------------------------------------------ */

static void columns_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const call *c = self;
    for (int64_t n = i * PAWL_ROW_BLOCK; n < i * PAWL_ROW_BLOCK + pawl_block_size(c->rows, PAWL_ROW_BLOCK, i); n++) {
        const float *x = c->x + n * c->ldx;
        float *y = c->y + n * c->ldy;
        for (int64_t o = 0; o < c->width; o++) y[o] = c->put == PAWL_ADD ? y[o] + c->gain[o] * x[o] : c->gain[o] * x[o];
    }
}

static pawl_status columns(pawl_device *d, call c)
{
    pawl_pool_run(pawl_cpu_of(d)->pool, pawl_blocks(c.rows, PAWL_ROW_BLOCK), columns_block, &c);
    return PAWL_OK;
}

pawl_status scale_columns_cpu(pawl_device *d, pawl_tensor x, int64_t first, pawl_tensor gain, pawl_tensor y)
{
    const int64_t W = x.dim[x.ndim - 1], O = y.dim[y.ndim - 1];
    return columns(d, (call){.x = (const float *)x.data + first,
                             .ldx = W,
                             .gain = gain.data,
                             .y = y.data,
                             .ldy = O,
                             .rows = pawl_tensor_count(y) / O,
                             .width = O,
                             .put = PAWL_SET});
}

pawl_status add_columns_cpu(pawl_device *d, pawl_tensor x, pawl_tensor gain, pawl_tensor y, int64_t first)
{
    const int64_t W = y.dim[y.ndim - 1], O = x.dim[x.ndim - 1];
    return columns(d, (call){.x = x.data,
                             .ldx = O,
                             .gain = gain.data,
                             .y = (float *)y.data + first,
                             .ldy = W,
                             .rows = pawl_tensor_count(x) / O,
                             .width = O,
                             .put = PAWL_ADD});
}

static void dots_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const call *c = self;
    const int64_t at = i * PAWL_ROW_BLOCK, some = pawl_block_size(c->width, PAWL_ROW_BLOCK, i);
    float sums[PAWL_ROW_BLOCK] = {0};
    for (int64_t n = 0; n < c->rows; n++)
        for (int64_t o = 0; o < some; o++) sums[o] += c->x[n * c->ldx + at + o] * c->gain[n * c->width + at + o];
    for (int64_t o = 0; o < some; o++) c->y[at + o] = c->put == PAWL_ADD ? c->y[at + o] + sums[o] : sums[o];
}

pawl_status column_dots_cpu(pawl_device *d, pawl_tensor x, int64_t first, pawl_tensor y, pawl_put put, pawl_tensor sums)
{
    const int64_t W = x.dim[x.ndim - 1], O = y.dim[y.ndim - 1];
    call c = {.x = (const float *)x.data + first,
              .ldx = W,
              .gain = y.data,
              .y = sums.data,
              .rows = pawl_tensor_count(y) / O,
              .width = O,
              .put = put};
    pawl_pool_run(pawl_cpu_of(d)->pool, pawl_blocks(O, PAWL_ROW_BLOCK), dots_block, &c);
    return PAWL_OK;
}
