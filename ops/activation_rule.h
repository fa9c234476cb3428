/* ops/activation_rule.h - activations of a feed-forward layer without a gate, each with its slope.
 *
 * Source of the gelus: Hendrycks & Gimpel 2016: x Phi(x), and its two approximations. */
#ifndef PAWL_OPS_ACTIVATION_RULE_H
#define PAWL_OPS_ACTIVATION_RULE_H

#include "ops/swiglu_rule.h"

/* The normal distribution: the share below x, and the density at x.
 * Phi(-|x|) = e^(-x^2/2) t p(t) with t = 1 / (1 + 0.2125 |x|), p being a polynomial fitted to a relative error
 * of 2.2e-8; in f32 the error is under 4e-7 for |x| < 3, and grows as x^2 6e-8 with that of the exponent. */
PAWL_ANYWHERE float pawl_normal_rule(float x, float *density)
{
    const float far = fabsf(x), e = pawl_exp_rule(-0.5f * x * x);
    const float t = 1.0f / pawl_fma(0.2125f, far, 1.0f);
    float p = -0x1.03c8dep-4f;
    p = pawl_fma(p, t, 0x1.e1b810p-3f);
    p = pawl_fma(p, t, -0x1.f074c2p-3f);
    p = pawl_fma(p, t, 0x1.0a0338p-2f);
    p = pawl_fma(p, t, -0x1.3bb316p-5f);
    p = pawl_fma(p, t, 0x1.aa7376p-4f);
    p = pawl_fma(p, t, 0x1.33b792p-4f);
    p = pawl_fma(p, t, 0x1.5dc3d0p-4f);
    p = pawl_fma(p, t, 0x1.5b200ep-4f);
    const float tail = e * (t * p);
    *density = 0.39894228f * e;
    return x > 0.0f ? 1.0f - tail : tail;
}

PAWL_ANYWHERE float pawl_gelu_rule(float x)
{
    float density;
    return x * pawl_normal_rule(x, &density);
}

PAWL_ANYWHERE float pawl_gelu_slope_rule(float x)
{
    float density;
    const float below = pawl_normal_rule(x, &density);
    return pawl_fma(x, density, below);
}

/* 1/2 (1 + tanh u) is the sigmoid of 2u; here u = sqrt(2/pi) (x + 0.044715 x^3). */
PAWL_ANYWHERE float pawl_gelu_tanh_rule(float x)
{
    return x * pawl_sigmoid_rule(1.5957691f * x * pawl_fma(0.044715f * x, x, 1.0f));
}

/* Beyond 20 the slope is 0 or 1 to the last bit; the cube of x may not overflow on the way there. */
PAWL_ANYWHERE float pawl_gelu_tanh_slope_rule(float far)
{
    const float x = far > 20.0f ? 20.0f : far < -20.0f ? -20.0f : far;
    const float s = pawl_sigmoid_rule(1.5957691f * x * pawl_fma(0.044715f * x, x, 1.0f));
    const float du = 1.5957691f * pawl_fma(0.134145f * x, x, 1.0f);
    return s + s * (1.0f - s) * (x * du);
}

PAWL_ANYWHERE float pawl_quick_gelu_rule(float x)
{
    return x * pawl_sigmoid_rule(1.702f * x);
}

PAWL_ANYWHERE float pawl_quick_gelu_slope_rule(float x)
{
    const float s = pawl_sigmoid_rule(1.702f * x);
    return s + s * (1.0f - s) * (1.702f * x);
}

PAWL_ANYWHERE float pawl_silu_rule(float x)
{
    return x * pawl_sigmoid_rule(x);
}

PAWL_ANYWHERE float pawl_silu_slope_rule(float x)
{
    const float s = pawl_sigmoid_rule(x);
    return s + s * (1.0f - s) * x;
}

PAWL_ANYWHERE float pawl_relu_rule(float x)
{
    return x <= 0.0f ? 0.0f : x; /* NaN stays NaN */
}

PAWL_ANYWHERE float pawl_relu_slope_rule(float x)
{
    return x > 0.0f ? 1.0f : 0.0f;
}

PAWL_ANYWHERE float pawl_tanh_rule(float x)
{
    return pawl_fma(2.0f, pawl_sigmoid_rule(2.0f * x), -1.0f);
}

PAWL_ANYWHERE float pawl_tanh_slope_rule(float x)
{
    const float s = pawl_sigmoid_rule(2.0f * x);
    return 4.0f * s * (1.0f - s);
}

#endif
