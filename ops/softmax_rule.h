/* ops/softmax_rule.h - softmax from a known log-sum or maximum, its gradient, and cross-entropy on top of it. */
#ifndef PAWL_OPS_SOFTMAX_RULE_H
#define PAWL_OPS_SOFTMAX_RULE_H

#include "ops/exp_rule.h"

/* A probability, from the log of the sum of all exponentials. */
PAWL_ANYWHERE float pawl_softmax_rule(float score, float lse)
{
    return pawl_exp_rule(score - lse);
}

/* A score's gradient: p of it, dp its probability's gradient, mean = sum of p dp over the row.
 * Source: Dao et al. 2022, algorithm 4. */
PAWL_ANYWHERE float pawl_softmax_backward_rule(float p, float dp, float mean)
{
    return p * (dp - mean);
}

/* Nats lost on the target, from the row's greatest logit and the sum of exponentials above it. */
PAWL_ANYWHERE float pawl_cross_entropy_rule(float target_logit, float most, float sum)
{
    return pawl_log_rule(sum) - (target_logit - most);
}

#endif
