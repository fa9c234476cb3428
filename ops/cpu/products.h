/* ops/cpu/products.h - the matrix products that a step is made of, and the making of their plans before the first. */
#ifndef PAWL_OPS_CPU_PRODUCTS_H
#define PAWL_OPS_CPU_PRODUCTS_H

#include "ops/cpu/cpu.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The three products of a linear layer w [O,I] over N positions, whose result y (and dy) is in rows of W numbers:
 * y = x w^T, dx = dy w, dw = dy^T x (PAWL_OVER_POSITIONS). Types and add are the caller's. */
static inline pawl_panel pawl_product_y(int64_t N, int64_t I, int64_t O, int64_t W)
{
    return (pawl_panel){.m = N, .n = O, .k = I, .lda = I, .ldb = I, .ldc = W, .b_transposed = 1};
}

static inline pawl_panel pawl_product_dx(int64_t N, int64_t I, int64_t O, int64_t W)
{
    return (pawl_panel){.m = N, .n = I, .k = O, .lda = W, .ldb = I, .ldc = I};
}

static inline pawl_panel pawl_product_dw(int64_t N, int64_t I, int64_t O, int64_t W)
{
    return (pawl_panel){.m = O, .n = I, .k = N, .lda = W, .ldb = I, .ldc = I, .a_transposed = 1};
}

/* Makes the plans of all products of a step in these shapes; *most becomes what running them takes. */
PAWL_MUST pawl_status pawl_cpu_products(const pawl_cpu *cpu, const pawl_shapes *s, pawl_gemm_need *most);

#ifdef __cplusplus
}
#endif
#endif
