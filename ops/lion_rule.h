/* ops/lion_rule.h - one weight's Lion step: the sign of a mixture of momentum and gradient. Source: Chen et al. 2023,
 * algorithm 2. */
#ifndef PAWL_OPS_LION_RULE_H
#define PAWL_OPS_LION_RULE_H

#include "ops/anywhere.h"
#include "ops/ops.h"

typedef struct pawl_lion_numbers {
    float shrink, beta1, rest1, beta2, rest2, rate, grad_scale;
} pawl_lion_numbers;

PAWL_ANYWHERE pawl_lion_numbers pawl_lion_prepare(const pawl_lion_step *k)
{
    pawl_lion_numbers n;
    n.shrink = (float)(1.0 - k->lr * k->decay);
    n.beta1 = (float)k->beta1;
    n.rest1 = (float)(1.0 - k->beta1);
    n.beta2 = (float)k->beta2;
    n.rest2 = (float)(1.0 - k->beta2);
    n.rate = (float)k->lr;
    n.grad_scale = (float)k->grad_scale;
    return n;
}

PAWL_ANYWHERE float pawl_lion_rule(float w, float g, float *m, pawl_lion_numbers k)
{
    g *= k.grad_scale;
    const float to = *m * k.beta1 + k.rest1 * g;
    *m = *m * k.beta2 + k.rest2 * g;
    return w * k.shrink - (to > 0.0f ? k.rate : to < 0.0f ? -k.rate : 0.0f);
}

#endif
