/* ops/adamw_rule.h - one weight's AdamW step, rounding where PyTorch's fused loop rounds.
 * Source: Loshchilov & Hutter 2019, algorithm 2. */
#ifndef PAWL_OPS_ADAMW_RULE_H
#define PAWL_OPS_ADAMW_RULE_H

#include "ops/anywhere.h"
#include "ops/ops.h"

/* The constants of a step as the loop uses them: formed in double, rounded once. */
typedef struct pawl_adamw_numbers {
    float shrink, rest1, beta2, rest2, root_fix2, eps, rate, grad_scale;
} pawl_adamw_numbers;

PAWL_ANYWHERE pawl_adamw_numbers pawl_adamw_prepare(const pawl_adamw_step *k)
{
    pawl_adamw_numbers n;
    n.shrink = (float)(1.0 - k->lr * k->decay);
    n.rest1 = (float)(1.0 - k->beta1);
    n.beta2 = (float)k->beta2;
    n.rest2 = (float)(1.0 - k->beta2);
    n.root_fix2 = (float)sqrt(k->fix2);
    n.eps = (float)k->eps;
    n.rate = (float)(k->lr / k->fix1);
    n.grad_scale = (float)k->grad_scale;
    return n;
}

PAWL_ANYWHERE float pawl_adamw_rule(float w, float g, float *m, float *v, pawl_adamw_numbers k)
{
    g *= k.grad_scale;
    *m = *m + k.rest1 * (g - *m);
    *v = *v * k.beta2 + k.rest2 * g * g;
    return w * k.shrink - k.rate * (*m / (sqrtf(*v) / k.root_fix2 + k.eps));
}

#endif
