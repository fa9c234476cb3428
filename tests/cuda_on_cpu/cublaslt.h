/* tests/cuda_on_cpu/cublaslt.h - private to the stand-in for cuBLASLt: descriptors, and its algorithms. */
#ifndef PAWL_STANDIN_CUBLASLT_INNER_H
#define PAWL_STANDIN_CUBLASLT_INNER_H

#include <cublasLt.h>

struct standin_product {
    cublasOperation_t a, b;
    cublasLtEpilogue_t epilogue;
    const void *bias;
    void *aux;
    int64_t aux_lead;
    const float *a_scale, *b_scale;
    int32_t bias_type; /* -1: not said */
};
struct standin_layout {
    cudaDataType type;
    int64_t rows, cols, lead;
};
struct standin_preference {
    size_t workspace;
    uint32_t reduction, alignment[4];
};

size_t standin_bytes_of(cudaDataType type);
/* What a product's bias is of, for results of that type. */
cudaDataType standin_bias_type(const struct standin_product *d, cudaDataType out);
int standin_biased(const struct standin_product *d);
int standin_uses_aux(const struct standin_product *d);
int standin_fits(const struct standin_product *d, const struct standin_layout *a, const struct standin_layout *b,
                 const struct standin_layout *out);

/* What cublasLtMatmulAlgo_t holds here. made: by which of the two calls that make one. */
typedef struct standin_algorithm {
    int32_t id, tile, splits, reduction;
    uint32_t rest[3];
    uint16_t inner, cluster;
    enum { STANDIN_BY_NOBODY, STANDIN_BY_HEURISTIC, STANDIN_BY_INIT } made;
} standin_algorithm;
standin_algorithm standin_algorithm_of(const cublasLtMatmulAlgo_t *a);
/* On which all of its matrices, and bias and aux, have to lie. */
size_t standin_alignment(const standin_algorithm *a);
/* The sum of products, in its own order. */
float standin_dot(const standin_algorithm *with, const float *a, const float *b, int64_t count);
/* Notes that it has run (the file of PAWL_STANDIN_COUNTS), and on how many terms. */
void standin_count(const standin_algorithm *a, int64_t terms);
/* Terms of all sums so far: rows times columns times what is added, of each product. */
__attribute__((visibility("default"))) int64_t standin_terms(void);

#endif
