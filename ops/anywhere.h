/* ops/anywhere.h - what a formula needs to be compiled by the C, the C++ and the CUDA compiler alike. */
#ifndef PAWL_OPS_ANYWHERE_H
#define PAWL_OPS_ANYWHERE_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
#define PAWL_ANYWHERE static __host__ __device__ __forceinline__
#else
#define PAWL_ANYWHERE static inline __attribute__((always_inline, unused))
#endif

/* a b + c. Fused exactly where the machine fuses, in loops and in their remainders alike: contraction by the compiler
 * is off, so a number's bits do not depend on where in an array it stands. */
PAWL_ANYWHERE float pawl_fma(float a, float b, float c)
{
#if defined(__CUDACC__) || defined(__FMA__) || defined(__ARM_FEATURE_FMA)
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
