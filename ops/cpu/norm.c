#include <string.h>

#include "ops/cpu/cpu.h"

/* dw is summed in blocks of rows, few enough that the partial sums stay small and enough for many threads. */
enum { PARTIALS_MOST = 32 };

static int64_t rows_of_partial(int64_t rows)
{
    const int64_t each = pawl_blocks(rows, PARTIALS_MOST);
    return each < PAWL_ROW_BLOCK ? PAWL_ROW_BLOCK : each;
}

/* partials [blocks, width] */
static float *lay_out(pawl_arena *a, int64_t rows, int64_t width)
{
    return pawl_take_bytes(a, (size_t)(pawl_blocks(rows, rows_of_partial(rows)) * width) * sizeof(float));
}

size_t pawl_norm_scratch_bytes(const pawl_shapes *most)
{
    pawl_arena a = {.name = "norm partial sums"};
    lay_out(&a, most->positions, 2 * (most->width > most->head_dim ? most->width : most->head_dim)); /* weight, bias */
    return a.used;
}

typedef struct norm_call {
    const pawl_kernels *kernels;
    pawl_norm_rows shape; /* of all rows */
    int64_t each;         /* rows of a block */
    const float *residual, *x, *w, *bias, *dy, *rstd_read, *mean_read;
    float *sum, *rstd, *mean, *dx, *partials;
    pawl_tensor y;
    pawl_put put;
} norm_call;

static pawl_norm_rows block_of(const norm_call *c, int64_t i)
{
    pawl_norm_rows r = c->shape;
    r.rows = pawl_block_size(c->shape.rows, c->each, i);
    return r;
}

static void forward(void *self, int64_t i, int thread)
{
    (void)thread;
    const norm_call *c = self;
    const int64_t at = i * c->each * c->shape.stride, row = i * c->each * c->shape.groups;
    c->kernels->norm[pawl_low(c->y)](block_of(c, i), c->residual + at, c->x ? c->x + at : NULL, c->w,
                                     c->sum ? c->sum + at : NULL, pawl_at(c->y, at), c->rstd + row);
}

static void backward(void *self, int64_t i, int thread)
{
    (void)thread;
    const norm_call *c = self;
    const int64_t at = i * c->each * c->shape.stride, row = i * c->each * c->shape.groups;
    float *partial = c->partials + i * c->shape.width;
    memset(partial, 0, (size_t)c->shape.width * sizeof *partial);
    c->kernels->norm_backward(block_of(c, i), c->dy + at, c->x + at, c->w, c->rstd_read + row, c->put, c->dx + at,
                              partial);
}

/* A row of partial sums has so many parts: the weight's share, and the bias's. Either sum may be unwanted. */
static pawl_status run_backward(pawl_cpu *cpu, norm_call *c, pawl_task task, int parts, pawl_put put, float *dw,
                                float *dbias)
{
    pawl_arena need = {.name = "norm partial sums"}, scratch;
    const int64_t width = c->shape.width, stride = parts * width;
    c->kernels = cpu->kernels;
    c->each = rows_of_partial(c->shape.rows);
    lay_out(&need, c->shape.rows, stride);
    PAWL_TRY(pawl_cpu_scratch(cpu, "the norm's gradient", need.used, &scratch));
    c->partials = lay_out(&scratch, c->shape.rows, stride);
    const int64_t blocks = pawl_blocks(c->shape.rows, c->each);
    pawl_pool_run(cpu->pool, blocks, task, c);
    if (dw) pawl_cpu_column_sums(cpu, PAWL_F32, c->partials, stride, blocks, width, put, dw);
    if (dbias) pawl_cpu_column_sums(cpu, PAWL_F32, c->partials + width, stride, blocks, width, put, dbias);
    return PAWL_OK;
}

pawl_status rmsnorm_cpu(pawl_device *d, pawl_tensor residual, pawl_tensor x, pawl_tensor w, float eps, pawl_tensor sum,
                        pawl_tensor y, pawl_tensor rstd)
{
    pawl_cpu *cpu = pawl_cpu_of(d);
    const int64_t D = pawl_tensor_count(w), N = pawl_tensor_count(rstd);
    norm_call c = {.kernels = cpu->kernels,
                   .shape = {.rows = N, .groups = 1, .width = D, .stride = D, .eps = eps},
                   .each = PAWL_ROW_BLOCK,
                   .residual = residual.data,
                   .x = x.data,
                   .w = w.data,
                   .sum = sum.data,
                   .y = y,
                   .rstd = rstd.data};
    if (!x.data && sum.data != residual.data) PAWL_TRY(copy_cpu(d, sum.data, residual.data, N * D));
    pawl_pool_run(cpu->pool, pawl_blocks(N, c.each), forward, &c);
    return PAWL_OK;
}

pawl_status rmsnorm_backward_cpu(pawl_device *d, pawl_tensor dy, pawl_tensor sum, pawl_tensor w, pawl_tensor rstd,
                                 pawl_put put, pawl_tensor dsum, pawl_tensor dw)
{
    const int64_t D = pawl_tensor_count(w), N = pawl_tensor_count(rstd);
    norm_call c = {.shape = {.rows = N, .groups = 1, .width = D, .stride = D},
                   .dy = dy.data,
                   .x = sum.data,
                   .w = w.data,
                   .rstd_read = rstd.data,
                   .dx = dsum.data,
                   .put = PAWL_ADD};
    return run_backward(pawl_cpu_of(d), &c, backward, 1, put, dw.data, NULL);
}

static void layernorm_forward(void *self, int64_t i, int thread)
{
    (void)thread;
    const norm_call *c = self;
    const int64_t row = i * c->each, at = row * c->shape.stride;
    c->kernels->layernorm[pawl_low(c->y)](block_of(c, i), c->residual + at, c->x ? c->x + at : NULL, c->w, c->bias,
                                          c->sum + at, pawl_at(c->y, at), c->mean + row, c->rstd + row);
}

static void layernorm_backward_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const norm_call *c = self;
    const int64_t row = i * c->each, at = row * c->shape.stride;
    float *partial = c->partials + i * 2 * c->shape.width;
    memset(partial, 0, (size_t)(2 * c->shape.width) * sizeof *partial);
    c->kernels->layernorm_backward(block_of(c, i), c->dy + at, c->x + at, c->w, c->mean_read + row, c->rstd_read + row,
                                   c->dx + at, partial);
}

pawl_status layernorm_cpu(pawl_device *d, pawl_tensor residual, pawl_tensor x, pawl_tensor w, pawl_tensor bias,
                          float eps, pawl_tensor sum, pawl_tensor y, pawl_tensor mean, pawl_tensor rstd)
{
    pawl_cpu *cpu = pawl_cpu_of(d);
    const int64_t D = pawl_tensor_count(w), N = pawl_tensor_count(rstd);
    norm_call c = {.kernels = cpu->kernels,
                   .shape = {.rows = N, .groups = 1, .width = D, .stride = D, .eps = eps},
                   .each = PAWL_ROW_BLOCK,
                   .residual = residual.data,
                   .x = x.data,
                   .w = w.data,
                   .bias = bias.data,
                   .sum = sum.data,
                   .y = y,
                   .mean = mean.data,
                   .rstd = rstd.data};
    if (!x.data && sum.data != residual.data) PAWL_TRY(copy_cpu(d, sum.data, residual.data, N * D));
    pawl_pool_run(cpu->pool, pawl_blocks(N, c.each), layernorm_forward, &c);
    return PAWL_OK;
}

pawl_status layernorm_backward_cpu(pawl_device *d, pawl_tensor dy, pawl_tensor sum, pawl_tensor w, pawl_tensor mean,
                                   pawl_tensor rstd, pawl_put put, pawl_tensor dsum, pawl_tensor dw, pawl_tensor dbias)
{
    const int64_t D = pawl_tensor_count(w), N = pawl_tensor_count(rstd);
    norm_call c = {.shape = {.rows = N, .groups = 1, .width = D, .stride = D},
                   .dy = dy.data,
                   .x = sum.data,
                   .w = w.data,
                   .mean_read = mean.data,
                   .rstd_read = rstd.data,
                   .dx = dsum.data};
    return run_backward(pawl_cpu_of(d), &c, layernorm_backward_block, 2, put, dw.data, dbias.data);
}

static pawl_norm_rows heads_of(pawl_tensor x, pawl_tensor w, pawl_tensor rstd, int64_t heads, float eps)
{
    const int64_t rows = pawl_tensor_count(rstd) / heads;
    return (pawl_norm_rows){rows, heads, pawl_tensor_count(w), pawl_tensor_count(x) / rows, eps};
}

/* The number a norm of heads begins with: the first head's. */
static pawl_tensor from_head(pawl_tensor t, int64_t at)
{
    t.data = pawl_at(t, at);
    return t;
}

typedef struct heads_call {
    norm_call norm; /* first */
    const uint16_t *x;
    uint16_t *dy;
} heads_call;

static void heads_forward(void *self, int64_t i, int thread)
{
    (void)thread;
    const heads_call *h = self;
    const norm_call *c = &h->norm;
    const int64_t at = i * c->each * c->shape.stride, row = i * c->each * c->shape.groups;
    c->kernels->norm_heads_bf16(block_of(c, i), h->x + at, c->w, pawl_at(c->y, at), c->rstd + row);
}

static void heads_backward(void *self, int64_t i, int thread)
{
    (void)thread;
    const heads_call *h = self;
    const norm_call *c = &h->norm;
    const int64_t at = i * c->each * c->shape.stride, row = i * c->each * c->shape.groups;
    float *partial = c->partials + i * c->shape.width;
    memset(partial, 0, (size_t)c->shape.width * sizeof *partial);
    c->kernels->norm_heads_backward_bf16(block_of(c, i), h->x + at, c->w, c->rstd_read + row, h->dy + at, partial);
}

pawl_status head_norm_cpu(pawl_device *d, pawl_tensor x, pawl_tensor w, float eps, int64_t first, int64_t heads,
                          pawl_tensor y, pawl_tensor rstd)
{
    pawl_cpu *cpu = pawl_cpu_of(d);
    const int64_t at = first * pawl_tensor_count(w);
    heads_call h = {.norm = {.kernels = cpu->kernels,
                             .shape = heads_of(x, w, rstd, heads, eps),
                             .each = PAWL_ROW_BLOCK,
                             .w = w.data,
                             .y = from_head(y, at),
                             .rstd = rstd.data}};
    if (pawl_low(x))
        h.x = pawl_at(x, at);
    else
        h.norm.residual = pawl_at(x, at);
    pawl_pool_run(cpu->pool, pawl_blocks(h.norm.shape.rows, h.norm.each), pawl_low(x) ? heads_forward : forward, &h);
    return PAWL_OK;
}

pawl_status head_norm_backward_cpu(pawl_device *d, pawl_tensor x, pawl_tensor w, pawl_tensor rstd, int64_t first,
                                   int64_t heads, pawl_put put, pawl_tensor dy, pawl_tensor dw)
{
    const int64_t at = first * pawl_tensor_count(w);
    heads_call h = {
        .norm = {.shape = heads_of(x, w, rstd, heads, 0), .w = w.data, .rstd_read = rstd.data, .put = PAWL_SET}};
    if (pawl_low(x)) {
        h.x = pawl_at(x, at);
        h.dy = pawl_at(dy, at);
        return run_backward(pawl_cpu_of(d), &h.norm, heads_backward, 1, put, dw.data, NULL);
    }
    h.norm.x = pawl_at(x, at);
    h.norm.dy = h.norm.dx = pawl_at(dy, at);
    return run_backward(pawl_cpu_of(d), &h.norm, backward, 1, put, dw.data, NULL);
}
