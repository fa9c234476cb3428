#include "ops/cpu/gemm.h"

const pawl_gemm_library *pawl_gemm_found(void)
{
    return NULL;
}
