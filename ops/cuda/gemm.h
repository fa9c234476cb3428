/* ops/cuda/gemm.h - private to ops/cuda: matrix products by cuBLASLt, with plans that are made once. */
#ifndef PAWL_OPS_CUDA_GEMM_H
#define PAWL_OPS_CUDA_GEMM_H

#include <cublasLt.h>

#include "ops/ops.h"

/* What a product does to its sums before they are rounded, by the tanh form of GELU; z: the sums with their bias. */
typedef enum pawl_epilogue {
    PAWL_AS_SUMMED,
    PAWL_THEN_GELU, /* aux [m,n] = z, c = gelu(z) */
    PAWL_THEN_DGELU /* c = z gelu'(aux) */
} pawl_epilogue;

/* c [m,n] = a [m,k] b [k,n] (+ bias [n]), or c += with add; row-major, as in ops/ops.h: a's element (i,p) is at a[i * lda + p], or
 * a[p * lda + i] when a is transposed; b, c and aux likewise. type: of a and b; out: of c, bias and aux. Sums are f32.
 * type PAWL_U8: a and b are codes of E4M3, each times the number at its scale (in the device's memory); a as it is, b transposed,
 * and bias of bf16 whatever c is. */
typedef struct pawl_product {
    int64_t m, n, k, lda, ldb, ldc, ldx;
    int a_transposed, b_transposed, add, biased;
    pawl_dtype type, out;
    pawl_epilogue then;
    const float *a_scale, *b_scale; /* no part of what a plan is found by */
} pawl_product;

typedef struct pawl_plans pawl_plans;

/* workspace: of the device, for one product at a time. */
PAWL_MUST pawl_status pawl_plans_open(cudaStream_t stream, void *workspace, size_t bytes, pawl_plans **out);
void pawl_plans_close(pawl_plans *p);
/* "cublaslt 13.0". */
void pawl_plans_describe(const pawl_plans *p, char *out, size_t room);
/* Makes the plan of a product the first time. Asynchronous. Errors: EMEM; EBUG with what cuBLASLt says. */
PAWL_MUST pawl_status pawl_plans_multiply(pawl_plans *p, const pawl_product *what, const void *a, const void *b, const void *bias, void *c);
/* The same of a product with an epilogue; *done 0: the library has none for these shapes and types, and nothing is computed. */
PAWL_MUST pawl_status pawl_plans_multiply_then(pawl_plans *p, const pawl_product *what, const void *a, const void *b, const void *bias, void *aux, void *c,
                                               int *done);

/* ---- Algorithms (decision 0045): as pawl_device_tune, pawl_device_algorithms and pawl_device_choose of ops/ops.h ---- */
void pawl_plans_tune(pawl_plans *p, int on);
int pawl_plans_are_timed(const pawl_plans *p);
PAWL_MUST pawl_status pawl_plans_write(const pawl_plans *p, pawl_text *out);
PAWL_MUST pawl_status pawl_plans_choose(pawl_plans *p, const char *table);

#endif
