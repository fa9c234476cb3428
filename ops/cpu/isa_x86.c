#include <string.h>

#include "ops/cpu/kernels.h"

extern const pawl_kernels pawl_kernels_avx2, pawl_kernels_avx512;

static int has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static int has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
}

static int has_generic(void)
{
    return 1;
}

static const struct { /* the best first */
    const pawl_kernels *kernels;
    int (*runs)(void);
} known[] = {
    {&pawl_kernels_avx512, has_avx512},
    {&pawl_kernels_avx2, has_avx2},
    {&pawl_kernels_generic, has_generic},
};

const pawl_kernels *pawl_kernels_find(const char *isa, int *runs)
{
    const int any = strcmp(isa, "auto") == 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!any && strcmp(isa, known[i].kernels->isa) != 0) continue;
        *runs = known[i].runs();
        if (*runs || !any) return known[i].kernels;
    }
    return NULL;
}
