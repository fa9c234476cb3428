/* ops/adafactor_rule.h - Adafactor with a learning rate from outside: second moments of a matrix as the product of a
 * factor for each row and one for each column; an update whose root mean square is above the threshold is scaled down
 * to it. Source: Shazeer & Stern 2018, algorithms 4 and 5, as transformers' Adafactor(scale_parameter=False,
 * relative_step=False). */
#ifndef PAWL_OPS_ADAFACTOR_RULE_H
#define PAWL_OPS_ADAFACTOR_RULE_H

#include "ops/anywhere.h"
#include "ops/ops.h"

typedef struct pawl_adafactor_numbers {
    float shrink, rate, beta2, rest2, eps, grad_scale;
} pawl_adafactor_numbers;

PAWL_ANYWHERE pawl_adafactor_numbers pawl_adafactor_prepare(const pawl_adafactor_step *k)
{
    pawl_adafactor_numbers n;
    n.shrink = (float)(1.0 - k->lr * k->decay);
    n.rate = (float)k->lr;
    n.beta2 = (float)k->beta2;
    n.rest2 = (float)(1.0 - k->beta2);
    n.eps = (float)k->eps;
    n.grad_scale = (float)k->grad_scale;
    return n;
}

/* What enters the second moments. */
PAWL_ANYWHERE float pawl_adafactor_square_rule(float g, pawl_adafactor_numbers k)
{
    g *= k.grad_scale;
    return g * g + k.eps;
}

/* A factor, or a second moment, from its last value and the mean square now. */
PAWL_ANYWHERE float pawl_adafactor_moment_rule(float before, float now, pawl_adafactor_numbers k)
{
    return before * k.beta2 + k.rest2 * now;
}

/* The update before clipping; root: that of row and column, 1/sqrt. */
PAWL_ANYWHERE float pawl_adafactor_update_rule(float g, float root, pawl_adafactor_numbers k)
{
    return root * (g * k.grad_scale);
}

PAWL_ANYWHERE float pawl_adafactor_rule(float w, float update, float rate, pawl_adafactor_numbers k)
{
    return w * k.shrink - rate * update;
}

/* What the rate is multiplied by: 1 for an update whose root mean square is at most the threshold. */
PAWL_ANYWHERE double pawl_adafactor_clip_rule(double squares, double count, double threshold)
{
    const double over = sqrt(squares / count) / threshold;
    return over > 1.0 ? 1.0 / over : 1.0;
}

#endif
