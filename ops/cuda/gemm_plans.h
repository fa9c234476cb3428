/* ops/cuda/gemm_plans.h - private to the files gemm*.c: the table of plans, and the algorithms that were chosen for
 * them. */
#ifndef PAWL_OPS_CUDA_GEMM_PLANS_H
#define PAWL_OPS_CUDA_GEMM_PLANS_H

#include "ops/cuda/cuda.h"
#include "ops/cuda/gemm.h"
#include "ops/cuda/gemm_settings.h"

enum { PAWL_PLAN_SLOTS = 1 << 12, PAWL_PLANS_MOST = PAWL_PLAN_SLOTS * 3 / 4 };

typedef struct pawl_product_key {
    pawl_product of;
    int64_t alignment[5]; /* of a, b, c, bias, aux: in bytes, at most 16; of what there is not, 16 */
} pawl_product_key;

typedef struct pawl_product_plan {
    pawl_product_key key;
    cublasLtMatmulDesc_t how; /* NULL: the slot is free */
    cublasLtMatrixLayout_t left, right, out;
    cublasLtMatmulAlgo_t algorithm;
    int chosen;  /* timed, or taken from a table: part of what pawl_plans_write says */
    int refused; /* the library has no such epilogue for these types */
} pawl_product_plan;

/* Of one product, on the device; what there is not is NULL. */
typedef struct pawl_operands {
    const void *a, *b, *bias;
    void *aux, *c;
    const float *a_scale, *b_scale;
} pawl_operands;

struct pawl_plans {
    cublasLtHandle_t library;
    cudaStream_t stream;
    void *workspace;
    size_t workspace_bytes;
    int count, timing; /* timing: plans that are made now have their algorithms timed */
    pawl_product_plan slot[PAWL_PLAN_SLOTS];
};

PAWL_MUST pawl_status pawl_plans_said(cublasStatus_t code, const char *call, const pawl_product *p);
cudaDataType pawl_products_type(pawl_dtype t);
/* Where the plan of a key is, or would be. */
pawl_product_plan *pawl_product_slot(pawl_plans *p, const pawl_product_key *k);
/* Descriptors of x->key; pointers: where bias and aux are, or addresses that lie as those will. */
PAWL_MUST pawl_status pawl_product_describe(pawl_product_plan *x, const void *bias, const void *aux);
void pawl_product_forget(pawl_product_plan *x);
/* One run of a product with some algorithm. */
cublasStatus_t pawl_product_run(const pawl_plans *p, const pawl_product_plan *x, const cublasLtMatmulAlgo_t *algorithm,
                                const pawl_operands *o);
/* Up to `most` algorithms, the library's first answer first; *found 0: it has none. */
PAWL_MUST pawl_status pawl_product_candidates(const pawl_plans *p, const pawl_product_plan *x, int most,
                                              cublasLtMatmulHeuristicResult_t *out, int *found);

/* gemm_choices.c: the algorithm with these settings, as it runs wherever they are read from a table. */
cublasStatus_t pawl_product_restore(const pawl_plans *p, const pawl_product_plan *x, const int64_t set[PAWL_SETTINGS],
                                    cublasLtMatmulAlgo_t *to);
/* gemm_time.c: chooses the fastest for x, on these operands. */
PAWL_MUST pawl_status pawl_product_time(const pawl_plans *p, pawl_product_plan *x, const pawl_operands *o);

#endif
