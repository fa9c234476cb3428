/* ops/cuda/gemm_settings.h - private to the files gemm*.c: an algorithm of cuBLASLt as numbers, and back. */
#ifndef PAWL_OPS_CUDA_GEMM_SETTINGS_H
#define PAWL_OPS_CUDA_GEMM_SETTINGS_H

#include <cublasLt.h>
#include <stdint.h>

enum { PAWL_SETTINGS = 9, PAWL_SETTING_REDUCTION = 3 };
extern const char *const pawl_setting_names[PAWL_SETTINGS]; /* "id" first */

cublasStatus_t pawl_settings_of(const cublasLtMatmulAlgo_t *a, int64_t out[PAWL_SETTINGS]);
/* All but the number of an algorithm that cublasLtMatmulAlgoInit has made for it. */
cublasStatus_t pawl_settings_to(cublasLtMatmulAlgo_t *a, const int64_t v[PAWL_SETTINGS]);

#endif
