/* cuBLASLt without a GPU: products of column-major matrices, by the definition, on the stand-in's streams. Sums are f32, in an order that
 * is the algorithm's own; a bf16 result is rounded once. What the real one refuses, or computes wrongly without a word, is refused here;
 * algorithms are in cublaslt_algorithms.c. Sources: the comments of NVIDIA's cublasLt.h, and cuBLAS's documentation of cublasLtMatmul. */
#include "tests/cuda_on_cpu/cublaslt.h"

#include <stdlib.h>
#include <string.h>

#include "ops/activation_rule.h"
#include "ops/bf16_rule.h"
#include "ops/fp8_rule.h"
#include "tests/cuda_on_cpu/standin.h"

struct standin_handle {
    int open;
};

/* What a product is, by value: descriptors may be gone when it runs. */
typedef struct work {
    struct standin_product how;
    struct standin_layout a_layout, b_layout, out_layout;
    standin_algorithm algorithm;
    const void *a, *b;
    void *out;
    float alpha, beta;
} work;

size_t standin_bytes_of(cudaDataType type)
{
    return type == CUDA_R_8F_E4M3 ? 1 : type == CUDA_R_16BF ? 2 : 4;
}

static size_t extent(const struct standin_layout *l)
{
    return ((size_t)(l->cols - 1) * (size_t)l->lead + (size_t)l->rows) * standin_bytes_of(l->type);
}

static float read(const void *from, cudaDataType type, int64_t i)
{
    if (type == CUDA_R_8F_E4M3) return pawl_e4m3_widen_rule(((const uint8_t *)from)[i]);
    return type == CUDA_R_16BF ? pawl_bf16_widen_rule(((const uint16_t *)from)[i]) : ((const float *)from)[i];
}

static void write(void *to, cudaDataType type, int64_t i, float x)
{
    if (type == CUDA_R_16BF) ((uint16_t *)to)[i] = pawl_bf16_narrow_rule(x);
    else ((float *)to)[i] = x;
}

/* op(matrix) as f32, so that the numbers that are summed lie side by side: [outer, K]. */
static float *spread(const void *from, const struct standin_layout *l, int along_rows)
{
    const int64_t outer = along_rows ? l->cols : l->rows, inner = along_rows ? l->rows : l->cols;
    float *to = malloc((size_t)(outer * inner) * sizeof *to);
    if (!to) abort();
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) to[o * inner + i] = read(from, l->type, along_rows ? o * l->lead + i : i * l->lead + o);
    return to;
}

/* What an epilogue makes of a sum and its bias; at: the place in aux. */
static float finish(const work *w, float z, int64_t aux_at)
{
    const cudaDataType type = w->out_layout.type;
    switch (w->how.epilogue) {
    case CUBLASLT_EPILOGUE_GELU_AUX:
    case CUBLASLT_EPILOGUE_GELU_AUX_BIAS: write(w->how.aux, type, aux_at, z); return pawl_gelu_tanh_rule(z);
    case CUBLASLT_EPILOGUE_DGELU: return z * pawl_gelu_tanh_slope_rule(read(w->how.aux, type, aux_at));
    default: return z;
    }
}

static void run_product(void *arg)
{
    const work *w = arg;
    const int a_turned = w->how.a == CUBLAS_OP_T, b_turned = w->how.b == CUBLAS_OP_T;
    const int64_t m = w->out_layout.rows, n = w->out_layout.cols, k = a_turned ? w->a_layout.rows : w->a_layout.cols;
    float *a = spread(w->a, &w->a_layout, a_turned), *b = spread(w->b, &w->b_layout, !b_turned);
    const float scale = (w->how.a_scale ? *w->how.a_scale : 1) * (w->how.b_scale ? *w->how.b_scale : 1);
    standin_count(&w->algorithm, m * n * k);
    for (int64_t j = 0; j < n; j++)
        for (int64_t i = 0; i < m; i++) {
            const int64_t at = j * w->out_layout.lead + i;
            float x = w->alpha * scale * standin_dot(&w->algorithm, a + i * k, b + j * k, k);
            if (w->beta != 0) x += w->beta * read(w->out, w->out_layout.type, at);
            if (standin_biased(&w->how)) x += read(w->how.bias, standin_bias_type(&w->how, w->out_layout.type), i);
            write(w->out, w->out_layout.type, at, finish(w, x, j * w->how.aux_lead + i));
        }
    free(a);
    free(b);
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *out)
{
    *out = calloc(1, sizeof **out);
    return *out ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_ALLOC_FAILED;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t h)
{
    free(h);
    return CUBLAS_STATUS_SUCCESS;
}

const char *cublasLtGetStatusName(cublasStatus_t status)
{
    static const char *const names[] = {"CUBLAS_STATUS_SUCCESS", "CUBLAS_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_INVALID_VALUE", "CUBLAS_STATUS_NOT_SUPPORTED"};
    return names[status];
}

size_t cublasLtGetVersion(void)
{
    const char *version = getenv("PAWL_STANDIN_CUBLASLT");
    return version ? strtoull(version, NULL, 10) : 130000;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *out, cublasComputeType_t compute, cudaDataType scale)
{
    if (compute != CUBLAS_COMPUTE_32F || scale != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
    *out = calloc(1, sizeof **out);
    if (*out) (*out)->epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    if (*out) (*out)->bias_type = -1;
    return *out ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_ALLOC_FAILED;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d)
{
    free(d);
    return CUBLAS_STATUS_SUCCESS;
}

/* A value of another size than the attribute's is refused. */
static cublasStatus_t set(void *to, size_t room, const void *value, size_t bytes)
{
    if (bytes != room) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(to, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t which, const void *value, size_t bytes)
{
    switch (which) {
    case CUBLASLT_MATMUL_DESC_TRANSA: return set(&d->a, sizeof d->a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB: return set(&d->b, sizeof d->b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE: return set(&d->epilogue, sizeof d->epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return set(&d->bias, sizeof d->bias, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE: return set(&d->bias_type, sizeof d->bias_type, value, bytes);
    case CUBLASLT_MATMUL_DESC_A_SCALE_POINTER: return set(&d->a_scale, sizeof d->a_scale, value, bytes);
    case CUBLASLT_MATMUL_DESC_B_SCALE_POINTER: return set(&d->b_scale, sizeof d->b_scale, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER: return set(&d->aux, sizeof d->aux, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD: return set(&d->aux_lead, sizeof d->aux_lead, value, bytes);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *out, cudaDataType type, uint64_t rows, uint64_t cols, int64_t ld)
{
    if (!rows || !cols || ld < (int64_t)rows) return CUBLAS_STATUS_INVALID_VALUE;
    *out = malloc(sizeof **out);
    if (!*out) return CUBLAS_STATUS_ALLOC_FAILED;
    **out = (struct standin_layout){type, (int64_t)rows, (int64_t)cols, ld};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l)
{
    free(l);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *out)
{
    *out = calloc(1, sizeof **out);
    if (!*out) return CUBLAS_STATUS_ALLOC_FAILED;
    for (int i = 0; i < 4; i++) (*out)->alignment[i] = 256;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p)
{
    free(p);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p, cublasLtMatmulPreferenceAttributes_t which, const void *value,
                                                    size_t bytes)
{
    switch (which) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES: return set(&p->workspace, sizeof p->workspace, value, bytes);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK: return set(&p->reduction, sizeof p->reduction, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
        return set(&p->alignment[which - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], sizeof *p->alignment, value, bytes);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

/* 8-bit floats are multiplied as A^T B, from sides and rows of whole 16 bytes, into bf16 or f32; an epilogue may be a bias, of bf16. */
static int fits_fp8(const struct standin_product *d, const struct standin_layout *a, const struct standin_layout *b, const struct standin_layout *out)
{
    const int64_t whole[] = {a->rows, a->cols, a->lead, b->lead, out->rows * 2, out->lead * 2};
    for (int i = 0; i < 6; i++)
        if (whole[i] % 16 != 0) return 0;
    if (standin_biased(d) && standin_bias_type(d, out->type) != CUDA_R_16BF) return 0;
    return d->a == CUBLAS_OP_T && d->b == CUBLAS_OP_N && out->type != CUDA_R_8F_E4M3 &&
           (d->epilogue == CUBLASLT_EPILOGUE_DEFAULT || d->epilogue == CUBLASLT_EPILOGUE_BIAS);
}

/* Whether op(a) op(b) has the result's shape, and an epilogue its operands. */
int standin_fits(const struct standin_product *d, const struct standin_layout *a, const struct standin_layout *b, const struct standin_layout *out)
{
    const int64_t m = d->a == CUBLAS_OP_T ? a->cols : a->rows, ka = d->a == CUBLAS_OP_T ? a->rows : a->cols;
    const int64_t n = d->b == CUBLAS_OP_T ? b->rows : b->cols, kb = d->b == CUBLAS_OP_T ? b->cols : b->rows;
    if (standin_uses_aux(d) && (d->aux_lead % 8 != 0 || d->aux_lead < out->rows)) return 0;
    if (a->type == CUDA_R_8F_E4M3 ? !fits_fp8(d, a, b, out) : d->a_scale || d->b_scale || standin_bias_type(d, out->type) != out->type) return 0;
    return m == out->rows && n == out->cols && ka == kb && a->type == b->type && (a->type != CUDA_R_32F || out->type == CUDA_R_32F);
}

int standin_uses_aux(const struct standin_product *d)
{
    return d->epilogue == CUBLASLT_EPILOGUE_GELU_AUX || d->epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS || d->epilogue == CUBLASLT_EPILOGUE_DGELU;
}

cudaDataType standin_bias_type(const struct standin_product *d, cudaDataType out)
{
    return d->bias_type < 0 ? out : (cudaDataType)d->bias_type;
}

int standin_biased(const struct standin_product *d)
{
    return d->epilogue == CUBLASLT_EPILOGUE_BIAS || d->epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
}

/* Bias and aux are of the result's type. */
static int epilogue_on_device(const struct standin_product *d, const struct standin_layout *out)
{
    const struct standin_layout aux = {out->type, out->rows, out->cols, d->aux_lead};
    if (standin_biased(d) && !standin_on_device(d->bias, (size_t)out->rows * standin_bytes_of(standin_bias_type(d, out->type)))) return 0;
    return !standin_uses_aux(d) || standin_on_device(d->aux, extent(&aux));
}

static int codes_lie_well(const struct standin_product *d, const void *const all[4])
{
    for (int i = 0; i < 4; i++)
        if ((uintptr_t)all[i] % 16 != 0) return 0;
    return (!d->a_scale || standin_on_device(d->a_scale, sizeof *d->a_scale)) && (!d->b_scale || standin_on_device(d->b_scale, sizeof *d->b_scale));
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t h, cublasLtMatmulDesc_t d, const void *alpha, const void *a, cublasLtMatrixLayout_t a_layout,
                              const void *b, cublasLtMatrixLayout_t b_layout, const void *beta, const void *c, cublasLtMatrixLayout_t c_layout,
                              void *out, cublasLtMatrixLayout_t out_layout, const cublasLtMatmulAlgo_t *algo, void *workspace, size_t bytes,
                              cudaStream_t stream)
{
    const void *const all[] = {a, b, c, out};
    cublasLtMatmulHeuristicResult_t needs;
    if (!h || c != out || !algo) return CUBLAS_STATUS_INVALID_VALUE;
    if (cublasLtMatmulAlgoCheck(h, d, a_layout, b_layout, c_layout, out_layout, algo, &needs) != CUBLAS_STATUS_SUCCESS) return CUBLAS_STATUS_INVALID_VALUE;
    if (needs.workspaceSize && (bytes < needs.workspaceSize || !standin_on_device(workspace, bytes))) return CUBLAS_STATUS_INVALID_VALUE;
    const standin_algorithm with = standin_algorithm_of(algo);
    for (int i = 0; i < 4; i++)
        if ((uintptr_t)all[i] % standin_alignment(&with) != 0) return CUBLAS_STATUS_INVALID_VALUE;
    if (!standin_on_device(a, extent(a_layout)) || !standin_on_device(b, extent(b_layout)) || !standin_on_device(out, extent(out_layout)))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (!epilogue_on_device(d, out_layout)) return CUBLAS_STATUS_INVALID_VALUE;
    if (a_layout->type == CUDA_R_8F_E4M3 && !codes_lie_well(d, all)) return CUBLAS_STATUS_INVALID_VALUE;
    const work w = {*d, *a_layout, *b_layout, *out_layout, with, a, b, out, *(const float *)alpha, *(const float *)beta};
    standin_put(stream, run_product, &w, sizeof w);
    return CUBLAS_STATUS_SUCCESS;
}
