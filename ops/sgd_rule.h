/* ops/sgd_rule.h - one weight's step of stochastic gradient descent with momentum, in torch.optim.SGD's order: decay is
 * added to the gradient; the first gradient enters the momentum whole. Source: Sutskever et al. 2013, with dampening as
 * in Torch7. */
#ifndef PAWL_OPS_SGD_RULE_H
#define PAWL_OPS_SGD_RULE_H

#include "ops/anywhere.h"
#include "ops/ops.h"

typedef struct pawl_sgd_numbers {
    float rate, momentum, rest, decay, grad_scale, ahead, straight;
} pawl_sgd_numbers;

PAWL_ANYWHERE pawl_sgd_numbers pawl_sgd_prepare(const pawl_sgd_step *k)
{
    pawl_sgd_numbers n;
    n.rate = (float)k->lr;
    n.momentum = (float)(k->first ? 0.0 : k->momentum);
    n.rest = (float)(k->first ? 1.0 : 1.0 - k->dampening);
    n.decay = (float)k->decay;
    n.grad_scale = (float)k->grad_scale;
    n.ahead = (float)(k->nesterov ? k->momentum : 1.0);
    n.straight = k->nesterov ? 1.0f : 0.0f;
    return n;
}

/* The plain step is momentum's with nothing remembered. */
PAWL_ANYWHERE float pawl_sgd_plain_rule(float w, float g, pawl_sgd_numbers k)
{
    return w - k.rate * (g * k.grad_scale + k.decay * w);
}

PAWL_ANYWHERE float pawl_sgd_rule(float w, float g, float *m, pawl_sgd_numbers k)
{
    const float d = g * k.grad_scale + k.decay * w;
    *m = *m * k.momentum + k.rest * d;
    return w - k.rate * (k.straight * d + k.ahead * *m);
}

#endif
