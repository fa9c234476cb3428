/* ops/bf16_rule.h - bfloat16: the upper half of a float. Sign, 8 bits of exponent, 7 of mantissa. */
#ifndef PAWL_OPS_BF16_RULE_H
#define PAWL_OPS_BF16_RULE_H

#include "ops/anywhere.h"

/* Exact. */
PAWL_ANYWHERE float pawl_bf16_widen_rule(uint16_t h)
{
    return pawl_bits_float((uint32_t)h << 16);
}

/* To the nearest, ties to even: relative error at most 2^-8 (0.4 %) where the result is normal; beyond the greatest
 * bfloat16 infinity. NaN stays NaN, a quiet one. Without a branch, so that loops of it are vectorised. */
PAWL_ANYWHERE uint16_t pawl_bf16_narrow_rule(float x)
{
    const uint32_t u = pawl_float_bits(x);
    const uint32_t rounded = (u + 0x7fffu + (u >> 16 & 1u)) >> 16, quiet = u >> 16 | 0x40u;
    return (uint16_t)((int32_t)(u & 0x7fffffffu) > 0x7f800000 ? quiet : rounded);
}

#endif
