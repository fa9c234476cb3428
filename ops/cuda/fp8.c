/* Products of 8-bit floats. Codes and scales are made anew for each product: current scaling, nothing is carried from step to step. */
#include "ops/cuda/cuda.h"
#include "ops/cuda/scratch.h"
#include "ops/fp8_rule.h"

pawl_status fp8_cuda(pawl_device *d)
{
    const pawl_cuda *c = pawl_cuda_of(d);
    const int major = c->properties.major, minor = c->properties.minor;
    PAWL_CHECK(major > 8 || (major == 8 && minor >= 9), PAWL_EUSAGE,
               "fp8: GPU %d, %s, is of compute capability %d.%d: products of 8-bit floats need 8.9 (Ada) or later; leave fp8 out", c->gpu,
               c->properties.name, major, minor);
    return PAWL_OK;
}

pawl_status linear_fp8_cuda(pawl_device *d, pawl_tensor x, pawl_tensor w, pawl_tensor bias, pawl_tensor y)
{
    pawl_cuda *c = pawl_cuda_of(d);
    const int64_t O = w.dim[0], I = w.dim[1], X = pawl_tensor_count(x), W = O * I;
    pawl_arena need = {0}, scratch;
    (void)pawl_cuda_fp8_lay_out(&need, X, W, O);
    PAWL_TRY(pawl_cuda_scratch(c, "linear_fp8", need.used, &scratch));
    const pawl_cuda_fp8_room r = pawl_cuda_fp8_lay_out(&scratch, X, W, O);
    const pawl_tensor low_bias = {r.bias, PAWL_BF16, 1, {O}};
    pawl_cuda_fp8(c->stream, x.data, X, r.of_blocks, &r.scale[0], r.x);
    pawl_cuda_fp8(c->stream, w.data, W, r.of_blocks, &r.scale[1], r.w);
    if (bias.data) pawl_cuda_cast(c->stream, bias, low_bias);
    PAWL_TRY(pawl_cuda_launched("linear_fp8"));
    const pawl_product p = {.m = X / I, .n = O, .k = I, .lda = I, .ldb = I, .ldc = O, .b_transposed = 1, .biased = bias.data != NULL,
                            .type = PAWL_U8, .out = y.dtype, .a_scale = &r.scale[0].from, .b_scale = &r.scale[1].from};
    return pawl_plans_multiply(c->plans, &p, r.x, r.w, bias.data ? r.bias : NULL, y.data);
}
