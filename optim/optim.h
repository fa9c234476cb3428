/* optim/optim.h - update rules, schedules, clipping. */
#ifndef PAWL_OPTIM_OPTIM_H
#define PAWL_OPTIM_OPTIM_H

#include "core/fields.h"
#include "core/state.h"
#include "ops/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const char *const pawl_optimizer_names[];   /* "adamw", "adamw_8bit", "sgd", "lion", "adafactor", "muon", NULL */
extern const char *const pawl_schedule_names[];    /* "constant", "linear", "cosine", ..., NULL */
extern const char *const pawl_decay_names[];       /* "linear", "cosine", "1-sqrt", NULL */
extern const char *const pawl_muon_adjust_names[]; /* of pawl_muon_adjust, NULL */
extern const char *const pawl_moments_names[];     /* "float32", "bfloat16", NULL */

/* clang-format off */
#define PAWL_OPTIM_FIELDS(F, C, T)                                                                                             \
    C(optimizer,              "adamw",   pawl_optimizer_names, FIXED, "update rule")                                           \
    F(f64, learning_rate,     NULL,   0,     10,    "",      FIXED, "peak learning rate")                                      \
    C(lr_scheduler,           "cosine",  pawl_schedule_names,  FIXED, "shape of the learning rate after warm-up")              \
    F(i64, warmup_steps,      "0",    0,     1e12,  "steps", FIXED, "linear warm-up from 0 to the peak")                       \
    F(f64, warmup_ratio,      "0",    0,     1,     "",      FIXED, "warm-up as a share of all steps; not with warmup_steps")  \
    F(f64, cosine_min_lr_ratio, "0",  0,     1,     "",      FIXED, "floor of the schedules that come down to an end, as a share of the peak") \
    F(i64, lr_num_cycles,     "1",    1,     1e6,   "",      FIXED, "cosine_with_restarts: how often it comes down")           \
    F(f64, lr_power,          "1",    0,     100,   "",      FIXED, "polynomial: its power")                                   \
    F(i64, lr_timescale,      "0",    0,     1e12,  "steps", FIXED, "inverse_sqrt: steps that count as one unit; 0: those of the warm-up, or 10000") \
    F(i64, lr_decay_steps,    "0",    0,     1e12,  "steps", FIXED, "warmup_stable_decay, infinite: how long the end comes down") \
    F(f64, lr_decay_ratio,    "0",    0,     1,     "",      FIXED, "the same as a share of all steps; not with lr_decay_steps") \
    F(f64, lr_constant_ratio, "1",    0,     1,     "",      FIXED, "infinite: the constant rate, as a share of the peak")      \
    F(f64, lr_cooldown_ratio, "0.1",  0,     1,     "",      FIXED, "infinite: how long the peak comes down to the constant rate, as a share of all steps") \
    C(lr_decay_type,          "linear",  pawl_decay_names,     FIXED, "warmup_stable_decay: how the end comes down")           \
    F(flag, master_weights,   "true", 0,    1,     "",      FIXED, "keep weights in float32; false: in bfloat16 alone, every update of them rounded stochastically") \
    C(moments_dtype,          "float32", pawl_moments_names,  FIXED, "moments of adamw, lion and muon and momentum of sgd; bfloat16: rounded stochastically") \
    F(f64, embedding_lr,      "0",    0,     10,    "",      FIXED, "peak learning rate of embeddings and output head; 0: as the rest") \
    F(f64, embedding_lr_scale, "0",   0,     1e6,   "",      FIXED, "the same as a factor of learning_rate; 0: as the rest")   \
    F(f64, layerwise_lr_decay, "1",   0.01,  1,     "",      FIXED, "learning rate of a layer as a factor of that of the layer above it") \
    F(f64, adam_beta1,        "0.9",  0,     0.9999999, "",  FIXED, "decay of the first moment; of lion: share of the momentum in an update") \
    F(f64, adam_beta2,        "0.999", 0,    0.9999999, "",  FIXED, "decay of the second moment; of lion: of the momentum")    \
    F(f64, adam_epsilon,      "1e-8", 0,     1,     "",      FIXED, "added to the root of the second moment")                  \
    F(f64, sgd_momentum,      "0",    0,     0.9999999, "",  FIXED, "sgd: decay of the momentum; 0: none")                     \
    F(f64, sgd_dampening,     "0",    0,     1,     "",      FIXED, "sgd: share of a gradient that does not enter the momentum") \
    F(flag, sgd_nesterov,     "false", 0,    1,     "",      FIXED, "sgd: step to where the momentum leads")                   \
    F(f64, muon_momentum,     "0.95", 0,     0.9999999, "",  FIXED, "muon: decay of the momentum")                             \
    F(flag, muon_nesterov,    "true", 0,     1,     "",      FIXED, "muon: step to where the momentum leads")                  \
    F(i64, muon_ns_steps,     "5",    1,     99,    "",      FIXED, "muon: Newton-Schulz steps")                               \
    C(muon_adjust_lr_fn,      "original", pawl_muon_adjust_names, FIXED, "muon: how a matrix's shape changes its rate; match_rms_adamw takes AdamW's rates") \
    F(f64, muon_adamw_lr,     "0",    0,     10,    "",      FIXED, "muon: peak learning rate of embeddings, head, norms and biases, which AdamW updates; 0: learning_rate") \
    F(f64, weight_decay,      "0",    0,     10,    "",      FIXED, "on tensors of two or more dimensions; decoupled, but added to the gradient by sgd") \
    F(f64, max_grad_norm,     "1",    0,     1e9,   "",      FIXED, "ceiling of the global gradient norm; 0: no clipping")     \
    F(f64, ema_decay,         "0",    0,     0.9999999, "",  FIXED, "keep an average of the weights that decays so much a step; 0: none") \
    F(i64, ema_every,         "1",    1,     1e9,   "steps", FIXED, "move the average every so many steps")                    \
    F(flag, offload_optimizer, "false", 0,   1,     "",      FREE,  "on a GPU: the optimizer's state stays in the host's memory, and comes by in chunks; same bits, less of the GPU's memory") \
    F(flag, ema_warmup,       "false", 0,    1,     "",      FIXED, "let the average decay faster at first: by (1 + n) / (10 + n) at its n-th move, while that is less")
/* clang-format on */
typedef struct pawl_optim_config { PAWL_OPTIM_FIELDS(PAWL_MEMBER_F, PAWL_MEMBER_C, PAWL_MEMBER_T) } pawl_optim_config;
extern const pawl_field pawl_optim_rows[];

/* What must hold between keys: the first written key of a row is where it is broken, and what broken says, if anything. */
typedef struct pawl_optim_check {
    const char *keys[4];
    void (*broken)(const pawl_optim_config *c, const char *key, char *why, size_t room); /* key: the row's first */
    const char *rule; /* for the manual */
} pawl_optim_check;
extern const pawl_optim_check pawl_optim_checks[]; /* ended by a first key of NULL */

/* Learning rate of step `step` (from 0) of `steps`. With warm-up w: peak (step+1)/w while step < w; then, as a fraction of the peak,
 * floor + (1-floor) times a shape of p = (step-w)/(steps-w): at the peak first, at the floor just after the last step.
 *   constant, constant_with_warmup  1, without floor     linear  1-p     cosine  (1+cos(pi p))/2     polynomial  (1-p)^power
 *   cosine_with_restarts  that of the fraction of p cycles     inverse_sqrt  1/sqrt((step-w+t)/t), t the timescale, without floor
 *   infinite  c + (1-c)(1+cos(pi r))/2, r being the share of the cool-down that is done, c lr_constant_ratio; c behind it; and over the
 *             last decay steps (a tenth of all where neither key is given) c (m/c)^q, m the floor, or c/100 where that is 0; in a
 *             run of stages over all steps of all of them
 *   warmup_stable_decay   1, and over the last decay steps, q being the share of them that is done: 1-q, (1+cos(pi q))/2, 1-sqrt(q)
 * Sources: Loshchilov & Hutter 2017 (cosine, restarts), Vaswani et al. 2017 (inverse root), Hu et al. 2024 (stable and decay),
 * Haegele et al. 2024 (1-sqrt), Ibrahim et al. 2024 (infinite); p counts as in transformers. */
double pawl_learning_rate(const pawl_optim_config *c, int64_t step, int64_t steps);
int64_t pawl_warmup_steps(const pawl_optim_config *c, int64_t steps);
int64_t pawl_decay_steps(const pawl_optim_config *c, int64_t steps); /* of warmup_stable_decay and infinite */
/* 1 for a schedule that runs over a whole stream of stages, not over each. */
int pawl_schedule_is_endless(int32_t lr_scheduler);

/* ---- Who holds what ----
 * State belongs to contiguous ranges [first, end) of the flat run: all of it, or a rank's. Rules that see one number at a time let
 * a tensor be cut, PAWL_OPTIM_CUT numbers or a multiple from its start: whole chunks of checkpoints, whole blocks of norms. Rules
 * that need a whole matrix keep it in one range. No result depends on the cuts. */
enum { PAWL_OPTIM_CUT = 1 << 18 };
/* 8-bit moments have a scale for each block of a tensor from its start; tensors of fewer numbers than LEAST keep f32. */
enum { PAWL_8BIT_BLOCK = 256, PAWL_8BIT_LEAST = 4096 };
/* Ranges of about equal length for that many ranks: rank r's is [cuts[r], cuts[r+1]), which may be empty; cuts [ranks+1]. */
void pawl_optim_cuts(const pawl_optim_config *c, const pawl_extent *parts, int part_count, int64_t count, int ranks, int64_t *cuts);

/* Weights, gradients and state are in d's memory, here and below; blocks of sums that are handed out are the host's.
 * parts: the tensors of the flat run, in its order; they stay the caller's and must last. [first, end): between two cuts, or all. */
typedef struct pawl_optim pawl_optim;
PAWL_MUST pawl_status pawl_optim_open(const pawl_optim_config *c, pawl_device *d, const pawl_extent *parts, int part_count,
                                      int64_t first, int64_t end, pawl_optim **out);
void pawl_optim_close(pawl_optim *o);
int pawl_optim_is_muon(const pawl_optim_config *c); /* whether pawl_muon updates matrices: its products are to be reserved */
pawl_room pawl_optim_bytes(const pawl_optim_config *c, pawl_device *d, const pawl_extent *parts, int part_count, int64_t first, int64_t end); /* the plan */
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
/* The sum of such blocks, and the norm that squares come to. */
double pawl_blocks_join(const pawl_extent *parts, int part_count, const double *blocks);
double pawl_norm_join(const pawl_extent *parts, int part_count, const double *blocks);

/* Says that a new run begins at these weights: the average of weights starts as a copy of them. A resumed run reads it instead. */
PAWL_MUST pawl_status pawl_optim_begin(pawl_optim *o, const float *weights);
/* Says by which seed bf16 numbers are rounded. 0 at first. */
void pawl_optim_seed(pawl_optim *o, uint64_t seed);
/* Says at which step the moments began: bias corrections count from there. 0 at first. */
void pawl_optim_since(pawl_optim *o, int64_t step);
/* Forgets the moments; the average of weights stays. */
PAWL_MUST pawl_status pawl_optim_forget(pawl_optim *o);
/* From now on steps leave a tensor and its state as they are. */
void pawl_optim_freeze(pawl_optim *o, int part);
/* One update of the range's weights by its grads, clipped by the norm of all. step counts from 0 and fixes the bias corrections, and
 * with the seed how bf16 is rounded. weights are f32, or bf16 without master_weights: pawl_optim_weights says. */
pawl_dtype pawl_optim_weights(const pawl_optim_config *c);
PAWL_MUST pawl_status pawl_optim_step(pawl_optim *o, void *weights, const float *grads, double norm, double lr, int64_t step);

#ifdef __cplusplus
}
#endif
#endif
