/* trainer/continual/lwf.h - learning without forgetting: a stage's new rows are also learnt towards what the model of the stage's start
 * says of them.
 *
 * Loss: lambda T^2 KL(then || now) over k + 1 bins at temperature T (ops/soft_rule.h), a mean over the trained tokens of the batch. The
 * teacher is a copy of the trained weights (of the adapter, where one is trained: what it stands on does not change), and is made anew
 * at the start of every stage; in the first one only where the run did not begin from scratch.
 * Source: Li & Hoiem 2016; Hinton, Vinyals & Dean 2015. */
#ifndef PAWL_TRAINER_CONTINUAL_LWF_H
#define PAWL_TRAINER_CONTINUAL_LWF_H

#include "core/fields.h"

/* clang-format off */
#define PAWL_LWF_FIELDS(F)                                                                                                     \
    F(f64, lambda,      "1",   0, 1e6, "", FIXED, "weight of the divergence from the model of the stage's start")                \
    F(f64, temperature, "2", 1e-3, 1e3, "", FIXED, "at which the two are compared")                                             \
    F(i64, top_k,       "32",  1, 1e6, "tokens", FIXED, "likeliest tokens of the teacher that are compared; the others are one bin")
/* clang-format on */
typedef struct pawl_lwf_config {
    PAWL_LWF_FIELDS(PAWL_MEMBER_F)
} pawl_lwf_config;
extern const pawl_field pawl_lwf_rows[];

#endif
