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

/* ---- with an activation: by the product itself where cuBLASLt can, else by a kernel behind it ----
 *
 * Its GELU is the tanh form. z ("aux" there) is of the result's type and has to lie on 16 bytes with rows of a multiple of 8 numbers; it
 * holds what the two calls leave in it, and costs no memory that they do not need. What is saved is one read of z forward, and a
 * write and a read of the gradient between the two backward. */
static int can_fuse(pawl_activation which, pawl_tensor z, pawl_tensor to)
{
    return which == PAWL_GELU_TANH && z.dim[z.ndim - 1] % 8 == 0 && (uintptr_t)z.data % 16 == 0 && (uintptr_t)to.data % 16 == 0;
}

pawl_status linear_activate_cuda(pawl_device *d, pawl_activation which, pawl_tensor x, pawl_tensor w, pawl_tensor bias, pawl_tensor z, pawl_tensor out)
{
    pawl_cuda *c = pawl_cuda_of(d);
    const int64_t F = w.dim[0], I = w.dim[1], N = pawl_tensor_count(x) / I;
    int done = 0;
    if (can_fuse(which, z, out)) {
        const void *added;
        PAWL_TRY(bias_as(c, bias, z.dtype, &added));
        const pawl_product p = {.m = N, .n = F, .k = I, .lda = I, .ldb = I, .ldc = F, .ldx = F, .b_transposed = 1, .biased = added != NULL,
                                .type = x.dtype, .out = z.dtype, .then = PAWL_THEN_GELU};
        PAWL_TRY(pawl_plans_multiply_then(c->plans, &p, x.data, w.data, added, z.data, out.data, &done));
    }
    if (done) return PAWL_OK;
    PAWL_TRY(linear_cuda(d, x, w, bias, PAWL_SET, 0, z));
    pawl_cuda_activate(c->stream, which, z, out);
    return pawl_cuda_launched("linear_activate");
}

pawl_status linear_activate_dx_cuda(pawl_device *d, pawl_activation which, pawl_tensor dy, pawl_tensor w, pawl_tensor z, pawl_tensor room,
                                    pawl_tensor dz)
{
    pawl_cuda *c = pawl_cuda_of(d);
    const int64_t O = w.dim[0], F = w.dim[1], N = pawl_tensor_count(dy) / O;
    int done = 0;
    if (can_fuse(which, z, dz)) {
        const pawl_product p = {.m = N, .n = F, .k = O, .lda = O, .ldb = F, .ldc = F, .ldx = F, .type = dy.dtype, .out = dz.dtype,
                                .then = PAWL_THEN_DGELU};
        PAWL_TRY(pawl_plans_multiply_then(c->plans, &p, dy.data, w.data, NULL, z.data, dz.data, &done));
    }
    if (done) return PAWL_OK;
    PAWL_TRY(linear_dx_cuda(d, dy, 0, w, PAWL_SET, room));
    pawl_cuda_activate_backward(c->stream, which, room, z, dz);
    return pawl_cuda_launched("linear_activate_dx");
}
