/* ops/anywhere.h - what a formula needs to be compiled by the C, the C++ and the CUDA compiler alike. */
#ifndef PAWL_OPS_ANYWHERE_H
#define PAWL_OPS_ANYWHERE_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "core/anywhere.h"

/* a b + c. Fused exactly where the machine fuses, in loops and in their remainders alike: contraction by the compiler
 * is off (nvcc: --fmad=false), so a number's bits do not depend on where in an array it stands. CUDA kernels fuse
 * wherever they run (decision 0041). */
PAWL_ANYWHERE float pawl_fma(float a, float b, float c)
{
#if defined(__CUDACC__) || defined(PAWL_CUDA_SHIM) || defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    return fmaf(a, b, c);
#else
    return a * b + c;
#endif
}

PAWL_ANYWHERE uint32_t pawl_float_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

PAWL_ANYWHERE float pawl_bits_float(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

#endif
