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

/* ---- Who holds what ----
 * State belongs to contiguous ranges [first, end) of the flat run: all of it, or a rank's. Rules that see one number at a time let
 * a tensor be cut, PAWL_OPTIM_CUT numbers or a multiple from its start: whole chunks of checkpoints, whole blocks of norms. Rules
 * that need a whole matrix keep it in one range. No result depends on the cuts. */
enum { PAWL_OPTIM_CUT = 1 << 18 };
/* Ranges of about equal length for that many ranks: rank r's is [cuts[r], cuts[r+1]), which may be empty; cuts [ranks+1]. */
void pawl_optim_cuts(const pawl_optim_config *c, const pawl_extent *parts, int part_count, int64_t count, int ranks, int64_t *cuts);

/* parts: the tensors of the flat run, in its order; they stay the caller's and must last. [first, end): between two cuts, or all. */
typedef struct pawl_optim pawl_optim;
PAWL_MUST pawl_status pawl_optim_open(const pawl_optim_config *c, pawl_device *d, const pawl_extent *parts, int part_count,
                                      int64_t first, int64_t end, pawl_optim **out);
void pawl_optim_close(pawl_optim *o);
size_t pawl_optim_bytes(const pawl_optim_config *c, const pawl_extent *parts, int part_count, int64_t first, int64_t end); /* the plan */
/* Appends the state as "optimizer/RULE/KIND/TENSOR", names being the tensors' in the order of parts. Shapes are whole; first, count
 * and data of an item say what of it lies in the range, count 0: nothing. The same list for every range but for that.
 * The second: without the numbers, for a plan (data NULL). */
PAWL_MUST pawl_status pawl_optim_state(const pawl_optim *o, const pawl_state *names, pawl_state *out);
PAWL_MUST pawl_status pawl_optim_state_like(const pawl_optim_config *c, const pawl_extent *parts, const pawl_state *names,
                                            int64_t first, int64_t end, pawl_state *out);

/* ---- The norm of the whole gradient, of sums over fixed blocks of each tensor ----
 * grads (and weights, below) begin at the range's first number. One range: pawl_grad_norm. Many: each puts the sums of its own
 * blocks (pawl_norm_blocks of its range) behind those of the ranges before it, and pawl_norm_join makes the norm of all of them:
 * the same bits for any ranges. Local. */
PAWL_MUST pawl_status pawl_grad_norm(pawl_optim *o, const float *grads, double *norm);
int64_t pawl_norm_blocks(const pawl_extent *parts, int part_count, int64_t first, int64_t end);
PAWL_MUST pawl_status pawl_norm_squares(pawl_optim *o, const float *grads, double *blocks);
double pawl_norm_join(const pawl_extent *parts, int part_count, const double *blocks);

/* One update of the range's weights by its grads, clipped by the norm of all. step counts from 0 and fixes the bias corrections. */
PAWL_MUST pawl_status pawl_optim_step(pawl_optim *o, float *weights, const float *grads, double norm, double lr, int64_t step);

#ifdef __cplusplus
}
#endif
#endif
