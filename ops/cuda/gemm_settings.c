/* The settings of an algorithm of cuBLASLt: its number, which only its maker sets, and what can be set. Needs no GPU. */
#include "ops/cuda/gemm_settings.h"

const char *const pawl_setting_names[PAWL_SETTINGS] = {"id",     "tile",   "splits", "reduction", "swizzle",
                                                       "option", "stages", "inner",  "cluster"};

static const struct {
    cublasLtMatmulAlgoConfigAttributes_t which;
    size_t bytes;
} settings[PAWL_SETTINGS] = {
    {CUBLASLT_ALGO_CONFIG_ID, 4},
    {CUBLASLT_ALGO_CONFIG_TILE_ID, 4},
    {CUBLASLT_ALGO_CONFIG_SPLITK_NUM, 4},
    {CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, 4},
    {CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING, 4},
    {CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION, 4},
    {CUBLASLT_ALGO_CONFIG_STAGES_ID, 4},
    {CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID, 2},
    {CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID, 2},
};

cublasStatus_t pawl_settings_of(const cublasLtMatmulAlgo_t *a, int64_t out[PAWL_SETTINGS])
{
    for (int i = 0; i < PAWL_SETTINGS; i++) {
        uint32_t wide = 0;
        uint16_t narrow = 0;
        size_t written;
        void *to = settings[i].bytes == 4 ? (void *)&wide : (void *)&narrow;
        const cublasStatus_t code =
            cublasLtMatmulAlgoConfigGetAttribute(a, settings[i].which, to, settings[i].bytes, &written);
        if (code != CUBLAS_STATUS_SUCCESS) return code;
        out[i] = settings[i].bytes == 4 ? (int64_t)wide : (int64_t)narrow;
    }
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t pawl_settings_to(cublasLtMatmulAlgo_t *a, const int64_t v[PAWL_SETTINGS])
{
    for (int i = 1; i < PAWL_SETTINGS; i++) {
        const uint32_t wide = (uint32_t)v[i];
        const uint16_t narrow = (uint16_t)v[i];
        const void *from = settings[i].bytes == 4 ? (const void *)&wide : (const void *)&narrow;
        const cublasStatus_t code =
            cublasLtMatmulAlgoConfigSetAttribute(a, settings[i].which, from, settings[i].bytes);
        if (code != CUBLAS_STATUS_SUCCESS) return code;
    }
    return CUBLAS_STATUS_SUCCESS;
}
