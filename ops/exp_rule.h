/* ops/exp_rule.h - e^x and ln x without a library: the same bits on every machine that fuses alike, and vectorisable.
 *
 * pawl_exp_rule: relative error under 2.0e-7 (1.7 units of the last place) on [-86.9, 88.72]; 0 below -86.9 (the
 * results there are under 1.9e-38), infinity from 88.73; NaN stays NaN. Tests hold it to this. pawl_log_rule: nearest
 * float to within 0.51 units for positive normal x. Meant for one number a row: it is not vectorised. */
#ifndef PAWL_OPS_EXP_RULE_H
#define PAWL_OPS_EXP_RULE_H

#include "ops/anywhere.h"

/* x = n ln 2 + r with |r| <= ln(2)/2, and e^r = 1 + r + r^2 p(r), p being the minimax polynomial of degree 4. Adding
 * 1.5 2^23 rounds to an integer and leaves n in the low bits. 2^n is built as 2 2^(n-1), so that n = 128 overflows
 * late. */
PAWL_ANYWHERE float pawl_exp_rule(float x)
{
    const float top = x > 89.0f ? 89.0f : x;
    const float shifted = pawl_fma(top, 0x1.715476p0f, 0x1.8p23f);
    const float n = shifted - 0x1.8p23f;
    const float r = pawl_fma(n, 2.12194440e-4f, pawl_fma(n, -0.693359375f, top));
    float p = 0x1.6a23cep-10f;
    p = pawl_fma(p, r, 0x1.123a20p-7f);
    p = pawl_fma(p, r, 0x1.5558f2p-5f);
    p = pawl_fma(p, r, 0x1.555492p-3f);
    p = pawl_fma(p, r, 0x1.fffffcp-2f);
    const float e = 1.0f + pawl_fma(r * r, p, r);
    const float power = pawl_bits_float((pawl_float_bits(shifted) + 126u) << 23);
    return x < -86.9f ? 0.0f : (e + e) * power;
}

/* x = 2^n m with m in [sqrt(1/2), sqrt(2)); ln m = 2 artanh(s), s = (m-1)/(m+1), |s| < 0.172. */
PAWL_ANYWHERE float pawl_log_rule(float x)
{
    if (!(x > 0.0f) || x > 3.4e38f) return x > 0.0f || x != x ? x : x == 0.0f ? -INFINITY : NAN;
    const uint32_t bits = pawl_float_bits(x);
    const int32_t n = (int32_t)(bits - 0x3f3504f3u) >> 23; /* 0x3f3504f3: sqrt(1/2) */
    const double m = pawl_bits_float(bits - ((uint32_t)n << 23));
    const double s = (m - 1.0) / (m + 1.0), z = s * s;
    const double tail = z * (1.0 / 3 + z * (1.0 / 5 + z * (1.0 / 7 + z * (1.0 / 9 + z * (1.0 / 11 + z * (1.0 / 13))))));
    return (float)(n * 0.69314718055994530942 + 2.0 * s * (1.0 + tail));
}

#endif
