/* Whether the installed cuBLASLt itself, which needs no GPU for that, takes an algorithm's settings as we write them down, and tells the
 * same ones again. */
#include <stdio.h>
#include <string.h>

#include "ops/cuda/gemm_settings.h"

int main(void)
{
    const int64_t set[PAWL_SETTINGS] = {0, 20, 4, 2, 1, 7, 33, 5, 9};
    int64_t told[PAWL_SETTINGS];
    cublasLtMatmulAlgo_t a;
    int failures = 0;
    memset(&a, 0, sizeof a);
    const cublasStatus_t taken = pawl_settings_to(&a, set), given = pawl_settings_of(&a, told);
    if (taken != CUBLAS_STATUS_SUCCESS || given != CUBLAS_STATUS_SUCCESS) {
        printf("FAILED cuBLASLt %zu: setting says %d, getting %d\n", cublasLtGetVersion(), (int)taken, (int)given);
        return 1;
    }
    for (int i = 1; i < PAWL_SETTINGS; i++)
        if (told[i] != set[i]) {
            failures++;
            printf("FAILED %s: set to %ld, told as %ld\n", pawl_setting_names[i], (long)set[i], (long)told[i]);
        }
    printf("cuBLASLt %zu: %d settings, %d of them wrong\n", cublasLtGetVersion(), PAWL_SETTINGS - 1, failures);
    return failures != 0;
}
