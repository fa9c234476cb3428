/* ops/swiglu_rule.h - silu(gate) up and its gradient. Source: Shazeer 2020, equation 6. */
#ifndef PAWL_OPS_SWIGLU_RULE_H
#define PAWL_OPS_SWIGLU_RULE_H

#include "ops/exp_rule.h"

PAWL_ANYWHERE float pawl_sigmoid_rule(float x)
{
    return 1.0f / (1.0f + pawl_exp_rule(-x));
}

PAWL_ANYWHERE float pawl_swiglu_rule(float gate, float up)
{
    return gate * pawl_sigmoid_rule(gate) * up;
}

/* d silu / d gate = sigma (1 + gate (1 - sigma)) */
PAWL_ANYWHERE void pawl_swiglu_backward_rule(float dout, float gate, float up, float *dgate, float *dup)
{
    const float sigma = pawl_sigmoid_rule(gate);
    *dgate = dout * up * (sigma * pawl_fma(gate, 1.0f - sigma, 1.0f));
    *dup = dout * (gate * sigma);
}

#endif
