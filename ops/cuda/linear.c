/* Linear layers: products by cuBLASLt. N positions, I in, O out; see ops/ops.h. */
#include "ops/cuda/cuda.h"

/* A bias is added by the product. To a bf16 result cuBLASLt adds one of bf16: it is rounded first, as PyTorch's autocast does. */
static pawl_status bias_as(pawl_cuda *c, pawl_tensor bias, pawl_dtype type, const void **out)
{
    pawl_arena scratch;
    *out = bias.data;
    if (!bias.data || type == PAWL_F32) return PAWL_OK;
    const int64_t count = pawl_tensor_count(bias);
    PAWL_TRY(pawl_cuda_scratch(c, "a bias", (size_t)count * 2, &scratch));
    const pawl_tensor low = pawl_take(&scratch, PAWL_BF16, 1, &count);
    pawl_cuda_cast(c->stream, bias, low);
    *out = low.data;
    return pawl_cuda_launched("linear");
}

pawl_status linear_cuda(pawl_device *d, pawl_tensor x, pawl_tensor w, pawl_tensor bias, pawl_put put, int64_t first, pawl_tensor y)
{
    pawl_cuda *c = pawl_cuda_of(d);
    const int64_t O = w.dim[0], I = w.dim[1], N = pawl_tensor_count(x) / I, W = y.dim[y.ndim - 1];
    const void *added;
    PAWL_TRY(bias_as(c, bias, y.dtype, &added));
    const pawl_product p = {.m = N, .n = O, .k = I, .lda = I, .ldb = I, .ldc = W, .b_transposed = 1, .add = put == PAWL_ADD,
                            .biased = added != NULL, .type = x.dtype, .out = y.dtype};
    return pawl_plans_multiply(c->plans, &p, x.data, w.data, added, pawl_cuda_at(y, first));
}

pawl_status linear_dx_cuda(pawl_device *d, pawl_tensor dy, int64_t first, pawl_tensor w, pawl_put put, pawl_tensor dx)
{
    const int64_t O = w.dim[0], I = w.dim[1], W = dy.dim[dy.ndim - 1], N = pawl_tensor_count(dy) / W;
    const pawl_product p = {.m = N, .n = I, .k = O, .lda = W, .ldb = I, .ldc = I, .add = put == PAWL_ADD, .type = dy.dtype, .out = dx.dtype};
    return pawl_plans_multiply(pawl_cuda_of(d)->plans, &p, pawl_cuda_at(dy, first), w.data, NULL, dx.data);
}

pawl_status linear_dw_cuda(pawl_device *d, pawl_tensor dy, int64_t first, pawl_tensor x, pawl_put put, pawl_tensor dw, pawl_tensor dbias)
{
    pawl_cuda *c = pawl_cuda_of(d);
    const int64_t O = dw.dim[0], I = dw.dim[1], W = dy.dim[dy.ndim - 1], N = pawl_tensor_count(dy) / W;
    const pawl_product p = {.m = O, .n = I, .k = N, .lda = W, .ldb = I, .ldc = I, .a_transposed = 1, .add = put == PAWL_ADD, .type = dy.dtype,
                            .out = PAWL_F32};
    PAWL_TRY(pawl_plans_multiply(c->plans, &p, pawl_cuda_at(dy, first), x.data, NULL, dw.data));
    if (!dbias.data) return PAWL_OK;
    pawl_arena scratch;
    PAWL_TRY(pawl_cuda_scratch(c, "linear_dw", pawl_cuda_column_scratch_bytes(N, O), &scratch));
    pawl_cuda_column_sums(c->stream, dy, first, put, dbias, scratch.base);
    return pawl_cuda_launched("linear_dw");
}
