#include <string.h>

#include "ops/cpu/cpu.h"

/* Rows of activations. */

typedef struct rows_call {
    const pawl_kernels *kernels;
    int64_t rows, width, stride;
    const float *a, *b;
    float *out;
    const pawl_tensor *cos, *sin, *positions;
    int64_t heads;
    int direction;
} rows_call;

static void swiglu_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const rows_call *c = self;
    const int64_t row = i * PAWL_ROW_BLOCK;
    c->kernels->swiglu(c->a + row * 2 * c->width, pawl_block_size(c->rows, PAWL_ROW_BLOCK, i), c->width,
                       c->out + row * c->width);
}

pawl_status swiglu_cpu(pawl_device *d, pawl_tensor gate_up, pawl_tensor out)
{
    pawl_cpu *cpu = pawl_cpu_of(d);
    const int64_t F = out.dim[out.ndim - 1];
    rows_call c = {
        .kernels = cpu->kernels, .rows = pawl_tensor_count(out) / F, .width = F, .a = gate_up.data, .out = out.data};
    pawl_pool_run(cpu->pool, pawl_blocks(c.rows, PAWL_ROW_BLOCK), swiglu_block, &c);
    return PAWL_OK;
}

static void swiglu_backward_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const rows_call *c = self;
    const int64_t row = i * PAWL_ROW_BLOCK;
    c->kernels->swiglu_backward(c->a + row * c->width, c->b + row * 2 * c->width,
                                pawl_block_size(c->rows, PAWL_ROW_BLOCK, i), c->width, c->out + row * 2 * c->width);
}

pawl_status swiglu_backward_cpu(pawl_device *d, pawl_tensor dout, pawl_tensor gate_up, pawl_tensor dgate_up)
{
    pawl_cpu *cpu = pawl_cpu_of(d);
    const int64_t F = dout.dim[dout.ndim - 1];
    rows_call c = {.kernels = cpu->kernels,
                   .rows = pawl_tensor_count(dout) / F,
                   .width = F,
                   .a = dout.data,
                   .b = gate_up.data,
                   .out = dgate_up.data};
    pawl_pool_run(cpu->pool, pawl_blocks(c.rows, PAWL_ROW_BLOCK), swiglu_backward_block, &c);
    return PAWL_OK;
}

typedef struct activate_call {
    const pawl_kernels *kernels;
    pawl_activation which;
    int64_t rows, width;
    const float *x, *dout; /* dout NULL: forward */
    float *out;
} activate_call;

static void activate_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const activate_call *c = self;
    const int64_t at = i * PAWL_ROW_BLOCK * c->width, count = pawl_block_size(c->rows, PAWL_ROW_BLOCK, i) * c->width;
    if (c->dout)
        c->kernels->activate_backward[c->which](c->dout + at, c->x + at, count, c->out + at);
    else
        c->kernels->activate[c->which](c->x + at, count, c->out + at);
}

static pawl_status run_activation(pawl_device *d, pawl_activation which, const float *dout, pawl_tensor x, float *out)
{
    pawl_cpu *cpu = pawl_cpu_of(d);
    const int64_t F = x.dim[x.ndim - 1];
    activate_call c = {.kernels = cpu->kernels,
                       .which = which,
                       .rows = pawl_tensor_count(x) / F,
                       .width = F,
                       .x = x.data,
                       .dout = dout,
                       .out = out};
    pawl_pool_run(cpu->pool, pawl_blocks(c.rows, PAWL_ROW_BLOCK), activate_block, &c);
    return PAWL_OK;
}

pawl_status activate_cpu(pawl_device *d, pawl_activation which, pawl_tensor x, pawl_tensor out)
{
    return run_activation(d, which, NULL, x, out.data);
}

pawl_status activate_backward_cpu(pawl_device *d, pawl_activation which, pawl_tensor dout, pawl_tensor x,
                                  pawl_tensor dx)
{
    return run_activation(d, which, dout.data, x, dx.data);
}

static void rope_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const rows_call *c = self;
    const int64_t row = i * PAWL_ROW_BLOCK;
    c->kernels->rope(c->out + row * c->stride, pawl_block_size(c->rows, PAWL_ROW_BLOCK, i), c->stride, c->heads,
                     c->width, c->cos->data, c->sin->data, (const int32_t *)c->positions->data + row, c->direction);
}

pawl_status rope_cpu(pawl_device *d, pawl_tensor x, int64_t heads, pawl_tensor cos, pawl_tensor sin,
                     pawl_tensor positions, int direction)
{
    pawl_cpu *cpu = pawl_cpu_of(d);
    const int64_t N = pawl_tensor_count(positions);
    rows_call c = {.kernels = cpu->kernels,
                   .rows = N,
                   .width = cos.dim[1],
                   .stride = pawl_tensor_count(x) / N,
                   .out = x.data,
                   .cos = &cos,
                   .sin = &sin,
                   .positions = &positions,
                   .heads = heads,
                   .direction = direction};
    pawl_pool_run(cpu->pool, pawl_blocks(N, PAWL_ROW_BLOCK), rope_block, &c);
    return PAWL_OK;
}

/* Plain arrays. What is done to a number does not depend on where the blocks begin, for ranks cut these arrays too. */

enum { ARRAY_BLOCK = 1 << 14 };

typedef struct array_call {
    const pawl_kernels *kernels;
    int64_t count;
    float *a, *m, *v;
    const float *b;
    double *blocks;
    float by;
    pawl_adamw_numbers adamw;
} array_call;

static void run_array(pawl_device *d, pawl_task task, int64_t each, array_call c)
{
    c.kernels = pawl_cpu_of(d)->kernels;
    pawl_pool_run(pawl_cpu_of(d)->pool, pawl_blocks(c.count, each), task, &c);
}

static void adamw_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const array_call *c = self;
    const int64_t at = i * ARRAY_BLOCK;
    c->kernels->adamw(c->a + at, c->b + at, c->m + at, c->v + at, pawl_block_size(c->count, ARRAY_BLOCK, i), c->adamw);
}

pawl_status adamw_cpu(pawl_device *d, float *w, const float *g, float *m, float *v, int64_t count,
                      const pawl_adamw_step *k)
{
    run_array(d, adamw_block, ARRAY_BLOCK,
              (array_call){.count = count, .a = w, .b = g, .m = m, .v = v, .adamw = pawl_adamw_prepare(k)});
    return PAWL_OK;
}

static void sum_squares_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const array_call *c = self;
    c->blocks[i] = c->kernels->sum_squares(c->b + i * PAWL_SUM_BLOCK, pawl_block_size(c->count, PAWL_SUM_BLOCK, i));
}

pawl_status sum_squares_cpu(pawl_device *d, const float *x, int64_t count, double *blocks)
{
    run_array(d, sum_squares_block, PAWL_SUM_BLOCK, (array_call){.count = count, .b = x, .blocks = blocks});
    return PAWL_OK;
}

static void add_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const array_call *c = self;
    const int64_t at = i * ARRAY_BLOCK;
    c->kernels->add(c->a + at, c->b + at, pawl_block_size(c->count, ARRAY_BLOCK, i));
}

pawl_status add_cpu(pawl_device *d, float *a, const float *b, int64_t count)
{
    run_array(d, add_block, ARRAY_BLOCK, (array_call){.count = count, .a = a, .b = b});
    return PAWL_OK;
}

static void zero_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const array_call *c = self;
    memset(c->a + i * ARRAY_BLOCK, 0, (size_t)pawl_block_size(c->count, ARRAY_BLOCK, i) * sizeof *c->a);
}

static void scale_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const array_call *c = self;
    const int64_t at = i * ARRAY_BLOCK;
    for (int64_t k = at; k < at + pawl_block_size(c->count, ARRAY_BLOCK, i); k++) c->a[k] *= c->by;
}

pawl_status scale_cpu(pawl_device *d, float *a, float by, int64_t count)
{
    run_array(d, scale_block, ARRAY_BLOCK, (array_call){.count = count, .a = a, .by = by});
    return PAWL_OK;
}

pawl_status zero_cpu(pawl_device *d, float *a, int64_t count)
{
    run_array(d, zero_block, ARRAY_BLOCK, (array_call){.count = count, .a = a});
    return PAWL_OK;
}

static void copy_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const array_call *c = self;
    const int64_t at = i * ARRAY_BLOCK;
    memcpy(c->a + at, c->b + at, (size_t)pawl_block_size(c->count, ARRAY_BLOCK, i) * sizeof *c->a);
}

pawl_status copy_cpu(pawl_device *d, float *to, const float *from, int64_t count)
{
    run_array(d, copy_block, ARRAY_BLOCK, (array_call){.count = count, .a = to, .b = from});
    return PAWL_OK;
}
