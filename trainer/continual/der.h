/* trainer/continual/der.h - dark experience replay: rows of the memory are learnt again towards what the model of their time said.
 *
 * Loss: alpha KL(then || now) over k + 1 bins (ops/soft_rule.h, at temperature 1), a mean over the trained tokens of rows drawn for it;
 * and beta times the cross-entropy of the labels, a mean over rows of a draw of their own (DER++; beta 0: DER). Both stand behind the
 * batch. What the model said is recorded at the end of the stage in which a row came into the memory, and stays with the row.
 * Source: Buzzega et al. 2020, equations 5 and 6; bins in the place of logits, which are too many for a language model. */
#ifndef PAWL_TRAINER_CONTINUAL_DER_H
#define PAWL_TRAINER_CONTINUAL_DER_H

#include "core/fields.h"

/* clang-format off */
#define PAWL_DER_FIELDS(F)                                                                                                     \
    F(f64, alpha,  "0.3",  0, 1e6, "", FIXED, "weight of the divergence from what the model said when the row was remembered")  \
    F(f64, beta,   "0.5",  0, 1e6, "", FIXED, "weight of the labels of a second draw (DER++); 0: DER")                          \
    F(i64, top_k,  "32",   1, 1e6, "tokens", FIXED, "likeliest tokens that are recorded for every position; the others are one bin") \
    F(f64, ratio,  "0.25", 0, 1,   "", FIXED, "rows of each draw, as a share of the batch; they come on top of it")
/* clang-format on */
typedef struct pawl_der_config {
    PAWL_DER_FIELDS(PAWL_MEMBER_F)
} pawl_der_config;
extern const pawl_field pawl_der_rows[];

#endif
