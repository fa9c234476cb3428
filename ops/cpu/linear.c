#include "ops/cpu/products.h"

/* N positions, I in, O out; see ops/ops.h. */

/* What a product is with these operands, from the shape of its layer. */
static pawl_panel product(pawl_panel shape, pawl_put put, pawl_tensor a, pawl_tensor b, pawl_tensor c)
{
    shape.add = put == PAWL_ADD;
    shape.a_type = a.dtype;
    shape.b_type = b.dtype;
    shape.c_type = c.dtype;
    return shape;
}

pawl_status linear_cpu(pawl_device *d, pawl_tensor x, pawl_tensor w, pawl_tensor bias, pawl_put put, int64_t first,
                       pawl_tensor y)
{
    const int64_t O = w.dim[0], I = w.dim[1], N = pawl_tensor_count(x) / I, W = y.dim[y.ndim - 1];
    const pawl_panel p = product(pawl_product_y(N, I, O, W), put, x, w, y);
    return pawl_gemm_run(pawl_cpu_of(d)->gemm, PAWL_OVER_WIDTH, &p, x.data, w.data, bias.data, pawl_at(y, first));
}

pawl_status linear_dx_cpu(pawl_device *d, pawl_tensor dy, int64_t first, pawl_tensor w, pawl_put put, pawl_tensor dx)
{
    const int64_t O = w.dim[0], I = w.dim[1], W = dy.dim[dy.ndim - 1], N = pawl_tensor_count(dy) / W;
    const pawl_panel p = product(pawl_product_dx(N, I, O, W), put, dy, w, dx);
    return pawl_gemm_run(pawl_cpu_of(d)->gemm, PAWL_OVER_WIDTH, &p, pawl_at(dy, first), w.data, NULL, dx.data);
}

typedef struct columns {
    const pawl_kernels *kernels;
    pawl_tensor x; /* one row of ldx */
    int64_t ldx, rows, width;
    pawl_put put;
    float *sums;
} columns;

static void sum_columns(void *self, int64_t i, int thread)
{
    (void)thread;
    const columns *c = self;
    const int64_t at = i * PAWL_ROW_BLOCK;
    c->kernels->column_sums[pawl_low(c->x)](pawl_at(c->x, at), c->ldx, c->rows,
                                            pawl_block_size(c->width, PAWL_ROW_BLOCK, i), c->put, c->sums + at);
}

void pawl_cpu_column_sums(pawl_cpu *cpu, pawl_dtype type, const void *x, int64_t ldx, int64_t rows, int64_t width,
                          pawl_put put, float *sums)
{
    const pawl_tensor first = {.data = (void *)(uintptr_t)x, .dtype = type, .ndim = 1, .dim = {ldx}};
    columns c = {cpu->kernels, first, ldx, rows, width, put, sums};
    pawl_pool_run(cpu->pool, pawl_blocks(width, PAWL_ROW_BLOCK), sum_columns, &c);
}

pawl_status linear_dw_cpu(pawl_device *d, pawl_tensor dy, int64_t first, pawl_tensor x, pawl_put put, pawl_tensor dw,
                          pawl_tensor dbias)
{
    pawl_cpu *cpu = pawl_cpu_of(d);
    const int64_t O = dw.dim[0], I = dw.dim[1], W = dy.dim[dy.ndim - 1], N = pawl_tensor_count(dy) / W;
    const pawl_panel p = product(pawl_product_dw(N, I, O, W), put, dy, x, (pawl_tensor){.dtype = PAWL_F32});
    const void *from = pawl_at(dy, first);
    PAWL_TRY(pawl_gemm_run(cpu->gemm, PAWL_OVER_POSITIONS, &p, from, x.data, NULL, dw.data));
    if (dbias.data) pawl_cpu_column_sums(cpu, dy.dtype, from, W, N, O, put, dbias.data);
    return PAWL_OK;
}

pawl_status linear_activate_cpu(pawl_device *d, pawl_activation which, pawl_tensor x, pawl_tensor w, pawl_tensor bias,
                                pawl_tensor z, pawl_tensor out)
{
    PAWL_TRY(linear_cpu(d, x, w, bias, PAWL_SET, 0, z));
    return activate_cpu(d, which, z, out);
}

pawl_status linear_activate_dx_cpu(pawl_device *d, pawl_activation which, pawl_tensor dy, pawl_tensor w, pawl_tensor z,
                                   pawl_tensor room, pawl_tensor dz)
{
    PAWL_TRY(linear_dx_cpu(d, dy, 0, w, PAWL_SET, room));
    return activate_backward_cpu(d, which, room, z, dz);
}
