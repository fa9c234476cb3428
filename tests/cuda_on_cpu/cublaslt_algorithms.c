/* The stand-in's algorithms: two, with settings, that differ in the order in which they add, in what they have to lie
 * on, and in what workspace they want. A third one adds in place, as it comes: it is offered to who does not say that
 * it must not be. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/cuda_on_cpu/cublaslt.h"

enum { ANYWHERE = 10, ON_16_BYTES = 20, TILES = 2, WORKSPACE = 4096, MOST_LANES = 16 };

_Static_assert(sizeof(standin_algorithm) <= sizeof(cublasLtMatmulAlgo_t), "an algorithm has room");

standin_algorithm standin_algorithm_of(const cublasLtMatmulAlgo_t *a)
{
    standin_algorithm x;
    memcpy(&x, a, sizeof x);
    return x;
}

static cublasLtMatmulAlgo_t as_theirs(const standin_algorithm *x)
{
    cublasLtMatmulAlgo_t a = {{0}};
    memcpy(&a, x, sizeof *x);
    return a;
}

size_t standin_alignment(const standin_algorithm *a)
{
    return a->id == ON_16_BYTES ? 16 : 2;
}

/* ---- sums ---- */

/* So many sums side by side, and then those. */
static float dot_of(int lanes, const float *a, const float *b, int64_t count)
{
    float sums[MOST_LANES] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + lanes <= count; i += lanes)
        for (int j = 0; j < lanes; j++) sums[j] += a[i + j] * b[i + j];
    for (; i < count; i++) sum += a[i] * b[i];
    for (int j = 0; j < lanes; j++) sum += sums[j];
    return sum;
}

float standin_dot(const standin_algorithm *with, const float *a, const float *b, int64_t count)
{
    const int lanes = (with->id == ON_16_BYTES ? 8 : 4) * with->tile;
    if (with->splits <= 1) return dot_of(lanes, a, b, count);
    const int64_t half = count / 2;
    return dot_of(lanes, a, b, half) + dot_of(lanes, a + half, b + half, count - half);
}

/* ---- counts ---- */

static long runs[2][TILES + 1][3], by[3];
static int64_t terms;

int64_t standin_terms(void)
{
    return terms;
}

void standin_count(const standin_algorithm *a, int64_t more)
{
    terms += more;
    runs[a->id == ON_16_BYTES][a->tile][a->splits]++;
    by[a->made]++;
}

/* Lines behind those of kernels (runtime_device.c), NAME TIMES: each algorithm, and whether it came from the heuristic
 * or was restored. */
__attribute__((destructor)) static void tell(void)
{
    const char *to = getenv("PAWL_STANDIN_COUNTS"), *rank = getenv("OMPI_COMM_WORLD_RANK");
    char path[4096];
    FILE *f;
    if (!to || snprintf(path, sizeof path, "%s.%ld", to, (long)getpid()) >= (int)sizeof path || !(f = fopen(path, "a")))
        return;
    for (int i = 0; i < 2; i++)
        for (int tile = 1; tile <= TILES; tile++)
            for (int splits = 1; splits <= 2; splits++)
                if (runs[i][tile][splits])
                    fprintf(f, "algorithm_%d_%d_%d %ld\n", i ? ON_16_BYTES : ANYWHERE, tile, splits,
                            runs[i][tile][splits]);
    fprintf(f, "products_by_heuristic %ld\nproducts_restored %ld\nproducts_terms %lld\nrank %s\n", by[STANDIN_BY_HEURISTIC],
            by[STANDIN_BY_INIT], (long long)terms, rank ? rank : "0");
    fclose(f);
}

/* ---- cuBLASLt's names ---- */

static int lies_on_16(const struct standin_product *d, const struct standin_layout *const *layouts)
{
    for (int i = 0; i < 3; i++)
        if ((size_t)layouts[i]->lead * standin_bytes_of(layouts[i]->type) % 16 != 0) return 0;
    return (!standin_biased(d) || (uintptr_t)d->bias % 16 == 0) &&
           (!standin_uses_aux(d) || (uintptr_t)d->aux % 16 == 0);
}

static void offer(standin_algorithm x, const struct standin_preference *p, int most,
                  cublasLtMatmulHeuristicResult_t *results, int *found)
{
    const size_t workspace = x.splits > 1 && x.reduction == CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE ? WORKSPACE : 0;
    if (*found == most || workspace > p->workspace || (x.reduction & ~(int32_t)p->reduction)) return;
    x.made = STANDIN_BY_HEURISTIC;
    results[(*found)++] = (cublasLtMatmulHeuristicResult_t){as_theirs(&x), workspace, CUBLAS_STATUS_SUCCESS, 1.0f};
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t h, cublasLtMatmulDesc_t d, cublasLtMatrixLayout_t a,
                                              cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                                              cublasLtMatrixLayout_t out, cublasLtMatmulPreference_t p, int most,
                                              cublasLtMatmulHeuristicResult_t results[], int *found)
{
    const struct standin_layout *const layouts[] = {a, b, out};
    int on_16 = 1;
    *found = 0;
    if (most < 1) return CUBLAS_STATUS_INVALID_VALUE;
    if (!h || !standin_fits(d, a, b, out) || memcmp(c, out, sizeof *c) != 0) return CUBLAS_STATUS_NOT_SUPPORTED;
    for (int i = 0; i < 4; i++) on_16 = on_16 && p->alignment[i] >= 16;
    if (on_16 && lies_on_16(d, layouts)) {
        offer((standin_algorithm){.id = ON_16_BYTES, .tile = 1, .splits = 1}, p, most, results, found);
        offer((standin_algorithm){.id = ON_16_BYTES, .tile = 2, .splits = 1, .inner = 3, .cluster = 2}, p, most,
              results, found);
        offer(
            (standin_algorithm){
                .id = ON_16_BYTES, .tile = 1, .splits = 2, .reduction = CUBLASLT_REDUCTION_SCHEME_INPLACE},
            p, most, results, found);
        offer(
            (standin_algorithm){
                .id = ON_16_BYTES, .tile = 1, .splits = 2, .reduction = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE},
            p, most, results, found);
    }
    for (int tile = 1; tile <= TILES; tile++)
        offer((standin_algorithm){.id = ANYWHERE, .tile = tile, .splits = 1}, p, most, results, found);
    return *found ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmulAlgoInit(cublasLtHandle_t h, cublasComputeType_t compute, cudaDataType scale,
                                      cudaDataType a, cudaDataType b, cudaDataType c, cudaDataType d, int id,
                                      cublasLtMatmulAlgo_t *out)
{
    if (!h || !out || (id != ANYWHERE && id != ON_16_BYTES)) return CUBLAS_STATUS_INVALID_VALUE;
    if (compute != CUBLAS_COMPUTE_32F || scale != CUDA_R_32F || a != b || c != d) return CUBLAS_STATUS_NOT_SUPPORTED;
    *out = as_theirs(&(standin_algorithm){.id = id, .splits = 1, .made = STANDIN_BY_INIT});
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t h, cublasLtMatmulDesc_t d, cublasLtMatrixLayout_t a,
                                       cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t out,
                                       const cublasLtMatmulAlgo_t *algo, cublasLtMatmulHeuristicResult_t *result)
{
    const struct standin_layout *const layouts[] = {a, b, out};
    const standin_algorithm x = standin_algorithm_of(algo);
    if (!h || !standin_fits(d, a, b, out) || memcmp(c, out, sizeof *c) != 0 || x.made == STANDIN_BY_NOBODY)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (x.tile < 1 || x.tile > TILES || x.splits < 1 || x.splits > (x.id == ON_16_BYTES ? 2 : 1))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if ((x.splits > 1) != (x.reduction != CUBLASLT_REDUCTION_SCHEME_NONE)) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (x.id == ON_16_BYTES && !lies_on_16(d, layouts)) return CUBLAS_STATUS_NOT_SUPPORTED;
    result->workspaceSize = x.splits > 1 ? WORKSPACE : 0;
    return CUBLAS_STATUS_SUCCESS;
}

/* Where an attribute is, and its size. */
static void *place_of(standin_algorithm *x, cublasLtMatmulAlgoConfigAttributes_t which, size_t *bytes)
{
    *bytes = which >= CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID ? sizeof(uint16_t) : sizeof(uint32_t);
    switch (which) {
    case CUBLASLT_ALGO_CONFIG_ID: return &x->id;
    case CUBLASLT_ALGO_CONFIG_TILE_ID: return &x->tile;
    case CUBLASLT_ALGO_CONFIG_SPLITK_NUM: return &x->splits;
    case CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME: return &x->reduction;
    case CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING: return &x->rest[0];
    case CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION: return &x->rest[1];
    case CUBLASLT_ALGO_CONFIG_STAGES_ID: return &x->rest[2];
    case CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID: return &x->inner;
    case CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID: return &x->cluster;
    }
    return NULL;
}

cublasStatus_t cublasLtMatmulAlgoConfigSetAttribute(cublasLtMatmulAlgo_t *algo,
                                                    cublasLtMatmulAlgoConfigAttributes_t which, const void *value,
                                                    size_t bytes)
{
    standin_algorithm x = standin_algorithm_of(algo);
    size_t size;
    void *to = place_of(&x, which, &size);
    if (!to || which == CUBLASLT_ALGO_CONFIG_ID || bytes != size) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(to, value, bytes);
    *algo = as_theirs(&x);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t *algo,
                                                    cublasLtMatmulAlgoConfigAttributes_t which, void *value,
                                                    size_t bytes, size_t *written)
{
    standin_algorithm x = standin_algorithm_of(algo);
    const void *from = place_of(&x, which, written);
    if (!from || bytes != *written) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(value, from, bytes);
    return CUBLAS_STATUS_SUCCESS;
}
