/* ops/fp8_rule.h - E4M3: sign, 4 bits of exponent, 3 of mantissa; up to 448, no infinities, NaN in the last place. And the scale by which
 * a tensor is brought into its range, a power of two, so that bf16 holds what comes back without another rounding.
 * Source: Micikevicius et al. 2022, "FP8 formats for deep learning". */
#ifndef PAWL_OPS_FP8_RULE_H
#define PAWL_OPS_FP8_RULE_H

#include "ops/anywhere.h"

/* Sides of a product that 8-bit units take: others are multiplied in bf16. */
enum { PAWL_FP8_SIDE = 16 };

/* A tensor's numbers times `to` are what is coded; codes times `from`, which is 1 / to, are the numbers. */
typedef struct pawl_fp8_scale {
    float to, from;
} pawl_fp8_scale;

/* The greatest power of two that brings a magnitude, given as the bits of its f32, to at most 448. 1 where all is zero, and where
 * something is not finite, which no scale brings into the range. */
PAWL_ANYWHERE pawl_fp8_scale pawl_fp8_scale_rule(uint32_t greatest)
{
    const int none = greatest == 0 || greatest >= 0x7f800000u;
    const int exponent = (int)(greatest >> 23) - 127, over = (greatest & 0x7fffffu) > 0x600000u; /* 448 = 1.75 * 2^8 */
    const int wanted = 8 - exponent - over, up = none ? 0 : wanted > 126 ? 126 : wanted;
    const pawl_fp8_scale s = {pawl_bits_float((uint32_t)(127 + up) << 23), pawl_bits_float((uint32_t)(127 - up) << 23)};
    return s;
}

/* To the nearest, ties to even; what would be above 448 is NaN, as are infinities. Without a branch. */
PAWL_ANYWHERE uint8_t pawl_e4m3_rule(float x)
{
    const uint32_t u = pawl_float_bits(x), a = u & 0x7fffffffu;
    const uint32_t normal = (a - (120u << 23) + 0x7ffffu + (a >> 20 & 1u)) >> 20;
    const uint32_t tiny = pawl_float_bits(pawl_bits_float(a) + 16384.0f) - 0x46800000u; /* 16384: a place of it is 2^-9 */
    const uint32_t code = a < 0x3c800000u ? tiny : normal;                                /* 2^-6 */
    return (uint8_t)((u >> 24 & 0x80u) | (a >= 0x43f00000u || code > 0x7fu ? 0x7fu : code)); /* 480 */
}

/* Exact. */
PAWL_ANYWHERE float pawl_e4m3_widen_rule(uint8_t code)
{
    const uint32_t sign = (uint32_t)(code & 0x80u) << 24, a = code & 0x7fu;
    const float tiny = (float)(int32_t)a * 0x1p-9f;
    const uint32_t bits = a == 0x7fu ? 0x7fc00000u : a < 8 ? pawl_float_bits(tiny) : (a << 20) + (120u << 23);
    return pawl_bits_float(bits | sign);
}

#endif
