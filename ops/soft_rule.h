/* ops/soft_rule.h - distillation from the k likeliest tokens of a teacher: KL over k + 1 bins, the last one being the
 * mass of all others.
 *
 * At temperature T the teacher has log-probabilities log q_j of k tokens and the rest q_r = 1 - sum of q_j (none when k
 * is the whole vocabulary); the student's bins p_j and p_r come from softmax(z / T). The loss is T^2 times sum_j q_j
 * (log q_j - log p_j) + q_r (log q_r - log p_r), and its gradient by a logit is T times p_v Q - q_v for a named token,
 * and the unnamed ones share p_r Q - q_r by their probabilities among themselves; Q is the sum of the teacher's bins
 * (1, but for rounding). Source: Hinton, Vinyals & Dean 2015 (T^2 KL); Buzzega et al. 2020 (DER) with the logits
 * replaced by bins. */
#ifndef PAWL_OPS_SOFT_RULE_H
#define PAWL_OPS_SOFT_RULE_H

#include "ops/exp_rule.h"

/* What a bin adds to the KL. An empty bin of the teacher adds nothing. */
PAWL_ANYWHERE double pawl_bin_loss_rule(float q, float log_q, float log_p)
{
    return q > 0.0f ? (double)q * ((double)log_q - (double)log_p) : 0.0;
}

/* The gradient of T^2 KL by T-th parts of logits, of a bin: share is T times the position's weight. */
PAWL_ANYWHERE float pawl_bin_gradient_rule(float p, float q, float all, float share)
{
    return share * (p * all - q);
}

/* The mass that the named tokens leave. Log-probabilities that were rounded may leave less than nothing. */
PAWL_ANYWHERE float pawl_rest_rule(double named)
{
    return named < 1.0 ? (float)(1.0 - named) : 0.0f;
}

#endif
