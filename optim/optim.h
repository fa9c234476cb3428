/* optim/optim.h - update rules, schedules, clipping. */
#ifndef PAWL_OPTIM_OPTIM_H
#define PAWL_OPTIM_OPTIM_H

#include "core/fields.h"
#include "core/state.h"
#include "ops/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const char *const pawl_optimizer_names[]; /* "adamw", NULL */
extern const char *const pawl_schedule_names[];  /* "constant", "linear", "cosine", NULL */

/* clang-format off */
#define PAWL_OPTIM_FIELDS(F, C, T)                                                                                             \
    C(optimizer,              "adamw",   pawl_optimizer_names, FIXED, "update rule")                                           \
    F(f64, learning_rate,     NULL,   0,     10,    "",      FIXED, "peak learning rate")                                      \
    C(lr_scheduler,           "cosine",  pawl_schedule_names,  FIXED, "shape of the learning rate after warm-up")              \
    F(i64, warmup_steps,      "0",    0,     1e12,  "steps", FIXED, "linear warm-up from 0 to the peak")                       \
    F(f64, warmup_ratio,      "0",    0,     1,     "",      FIXED, "warm-up as a share of all steps; not with warmup_steps")  \
    F(f64, cosine_min_lr_ratio, "0",  0,     1,     "",      FIXED, "floor of cosine and linear, as a share of the peak")      \
    F(f64, adam_beta1,        "0.9",  0,     0.9999999, "",  FIXED, "decay of the first moment")                               \
    F(f64, adam_beta2,        "0.999", 0,    0.9999999, "",  FIXED, "decay of the second moment")                              \
    F(f64, adam_epsilon,      "1e-8", 0,     1,     "",      FIXED, "added to the root of the second moment")                  \
    F(f64, weight_decay,      "0",    0,     10,    "",      FIXED, "decoupled decay, on tensors of two or more dimensions")   \
    F(f64, max_grad_norm,     "1",    0,     1e9,   "",      FIXED, "ceiling of the global gradient norm; 0: no clipping")
/* clang-format on */
typedef struct pawl_optim_config { PAWL_OPTIM_FIELDS(PAWL_MEMBER_F, PAWL_MEMBER_C, PAWL_MEMBER_T) } pawl_optim_config;
extern const pawl_field pawl_optim_rows[];

/* Learning rate of step `step` (from 0) of `steps`. With warm-up w: peak (step+1)/w while step < w; then the schedule
 * over the rest, p = (step-w)/(steps-w): at the peak first, at the floor just after the last step.
 *   linear  floor + (1-floor)(1-p)      cosine  floor + (1-floor)(1+cos(pi p))/2      (as fractions of the peak)
 * Source: Loshchilov & Hutter 2017 for cosine; p counts as in transformers. */
double pawl_learning_rate(const pawl_optim_config *c, int64_t step, int64_t steps);
int64_t pawl_warmup_steps(const pawl_optim_config *c, int64_t steps);

typedef struct pawl_optim pawl_optim;
PAWL_MUST pawl_status pawl_optim_open(const pawl_optim_config *c, pawl_device *d, const pawl_extent *parts, int part_count,
                                      int64_t count, pawl_optim **out);
void pawl_optim_close(pawl_optim *o);
size_t pawl_optim_bytes(const pawl_optim_config *c, int64_t count); /* the plan */
/* The flat runs of state, one per name ("m", "v"); returns how many. */
typedef struct pawl_optim_run { const char *name; float *flat; } pawl_optim_run;
int pawl_optim_state(pawl_optim *o, const pawl_optim_run **runs);

/* Norm of the whole gradient, from fixed blocks of each tensor. Local. */
PAWL_MUST pawl_status pawl_grad_norm(pawl_optim *o, const float *grads, double *norm);
/* One update of weights by grads (clipped by norm). step counts from 0 and fixes the bias corrections. */
PAWL_MUST pawl_status pawl_optim_step(pawl_optim *o, float *weights, const float *grads, double norm, double lr, int64_t step);

#ifdef __cplusplus
}
#endif
#endif
