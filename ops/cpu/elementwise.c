#include <string.h>

#include "ops/cpu/cpu.h"

/* Rows of activations. */

typedef struct rows_call {
    const pawl_kernels *kernels;
    int64_t rows, width, stride;
    pawl_tensor a, b, out; /* all of one type */
    const pawl_tensor *cos, *sin, *positions;
    int64_t heads;
    int direction;
} rows_call;

static void swiglu_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const rows_call *c = self;
    const int64_t at = i * PAWL_ROW_BLOCK * c->width;
    c->kernels->swiglu[pawl_low(c->a)](pawl_at(c->a, 2 * at), pawl_block_size(c->rows, PAWL_ROW_BLOCK, i), c->width,
                                       pawl_at(c->out, at));
}

pawl_status swiglu_cpu(pawl_device *d, pawl_tensor gate_up, pawl_tensor out)
{
    pawl_cpu *cpu = pawl_cpu_of(d);
    const int64_t F = out.dim[out.ndim - 1];
    rows_call c = {.kernels = cpu->kernels, .rows = pawl_tensor_count(out) / F, .width = F, .a = gate_up, .out = out};
    pawl_pool_run(cpu->pool, pawl_blocks(c.rows, PAWL_ROW_BLOCK), swiglu_block, &c);
    return PAWL_OK;
}

static void swiglu_backward_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const rows_call *c = self;
    const int64_t at = i * PAWL_ROW_BLOCK * c->width;
    c->kernels->swiglu_backward[pawl_low(c->a)](pawl_at(c->a, at), pawl_at(c->b, 2 * at),
                                                pawl_block_size(c->rows, PAWL_ROW_BLOCK, i), c->width,
                                                pawl_at(c->out, 2 * at));
}

pawl_status swiglu_backward_cpu(pawl_device *d, pawl_tensor dout, pawl_tensor gate_up, pawl_tensor dgate_up)
{
    pawl_cpu *cpu = pawl_cpu_of(d);
    const int64_t F = dout.dim[dout.ndim - 1];
    rows_call c = {.kernels = cpu->kernels,
                   .rows = pawl_tensor_count(dout) / F,
                   .width = F,
                   .a = dout,
                   .b = gate_up,
                   .out = dgate_up};
    pawl_pool_run(cpu->pool, pawl_blocks(c.rows, PAWL_ROW_BLOCK), swiglu_backward_block, &c);
    return PAWL_OK;
}

typedef struct activate_call {
    const pawl_kernels *kernels;
    pawl_activation which;
    int64_t rows, width;
    pawl_tensor x, dout, out; /* all of one type; dout.data NULL: forward */
} activate_call;

static void activate_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const activate_call *c = self;
    const int64_t at = i * PAWL_ROW_BLOCK * c->width, count = pawl_block_size(c->rows, PAWL_ROW_BLOCK, i) * c->width;
    const int low = pawl_low(c->x);
    if (c->dout.data)
        c->kernels->activate_backward[c->which][low](pawl_at(c->dout, at), pawl_at(c->x, at), count,
                                                     pawl_at(c->out, at));
    else
        c->kernels->activate[c->which][low](pawl_at(c->x, at), count, pawl_at(c->out, at));
}

static pawl_status run_activation(pawl_device *d, pawl_activation which, pawl_tensor dout, pawl_tensor x,
                                  pawl_tensor out)
{
    pawl_cpu *cpu = pawl_cpu_of(d);
    const int64_t F = x.dim[x.ndim - 1];
    activate_call c = {.kernels = cpu->kernels,
                       .which = which,
                       .rows = pawl_tensor_count(x) / F,
                       .width = F,
                       .x = x,
                       .dout = dout,
                       .out = out};
    pawl_pool_run(cpu->pool, pawl_blocks(c.rows, PAWL_ROW_BLOCK), activate_block, &c);
    return PAWL_OK;
}

pawl_status activate_cpu(pawl_device *d, pawl_activation which, pawl_tensor x, pawl_tensor out)
{
    return run_activation(d, which, (pawl_tensor){.data = NULL}, x, out);
}

pawl_status activate_backward_cpu(pawl_device *d, pawl_activation which, pawl_tensor dout, pawl_tensor x,
                                  pawl_tensor dx)
{
    return run_activation(d, which, dout, x, dx);
}

static void rope_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const rows_call *c = self;
    const int64_t row = i * PAWL_ROW_BLOCK;
    c->kernels->rope[pawl_low(c->out)](pawl_at(c->out, row * c->stride), pawl_block_size(c->rows, PAWL_ROW_BLOCK, i),
                                       c->stride, c->heads, c->width, c->cos->data, c->sin->data,
                                       (const int32_t *)c->positions->data + row, c->direction);
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
                   .out = x,
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
    float *a;
    const float *b;
    double *blocks;
} array_call;

static void run_array(pawl_device *d, pawl_task task, int64_t each, array_call c)
{
    c.kernels = pawl_cpu_of(d)->kernels;
    pawl_pool_run(pawl_cpu_of(d)->pool, pawl_blocks(c.count, each), task, &c);
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

typedef struct cast_call {
    const pawl_kernels *kernels;
    pawl_tensor from, to;
    int64_t count;
} cast_call;

static void cast_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const cast_call *c = self;
    const int64_t at = i * ARRAY_BLOCK, count = pawl_block_size(c->count, ARRAY_BLOCK, i);
    const void *from = pawl_at(c->from, at);
    void *to = pawl_at(c->to, at);
    if (c->from.dtype == c->to.dtype)
        memcpy(to, from, (size_t)count * pawl_dtype_bytes(c->to.dtype));
    else if (pawl_low(c->to))
        c->kernels->narrow(from, to, count);
    else
        c->kernels->widen(from, to, count);
}

pawl_status cast_cpu(pawl_device *d, pawl_tensor from, pawl_tensor to)
{
    pawl_cpu *cpu = pawl_cpu_of(d);
    cast_call c = {cpu->kernels, from, to, pawl_tensor_count(to)};
    pawl_pool_run(cpu->pool, pawl_blocks(c.count, ARRAY_BLOCK), cast_block, &c);
    return PAWL_OK;
}

typedef struct scale_call {
    const pawl_kernels *kernels;
    pawl_tensor a;
    int64_t count;
    float by;
} scale_call;

static void scale_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const scale_call *c = self;
    c->kernels->scale[pawl_low(c->a)](pawl_at(c->a, i * ARRAY_BLOCK), pawl_block_size(c->count, ARRAY_BLOCK, i), c->by);
}

pawl_status scale_cpu(pawl_device *d, pawl_tensor a, float by)
{
    pawl_cpu *cpu = pawl_cpu_of(d);
    scale_call c = {cpu->kernels, a, pawl_tensor_count(a), by};
    pawl_pool_run(cpu->pool, pawl_blocks(c.count, ARRAY_BLOCK), scale_block, &c);
    return PAWL_OK;
}
