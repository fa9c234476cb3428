/* trainer/continual/continual.h - what a run says of learning one domain after the other: its stages, its memory, its methods. */
#ifndef PAWL_TRAINER_CONTINUAL_CONTINUAL_H
#define PAWL_TRAINER_CONTINUAL_CONTINUAL_H

#include "core/fields.h"
#include "data/data.h"
#include "optim/optim.h"
#include "trainer/continual/der.h"
#include "trainer/continual/gate.h"
#include "trainer/continual/lwf.h"
#include "trainer/continual/replay.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { PAWL_STAGES_MAX = PAWL_MIXTURES_MAX, PAWL_STAGE_DATASETS_MAX = 8 };

/* clang-format off */
/* A stage. null: as the run says at its top level. */
#define PAWL_STAGE_FIELDS(F, T, L, N, D)                                                                                       \
    T(name,          NULL, 64, FIXED, "the stage's name, in metrics, checkpoints and lineage")                                 \
    L(datasets,      pawl_dataset_config, PAWL_STAGE_DATASETS_MAX, pawl_dataset_rows, FIXED, "what is learnt in it")           \
    N(f64, num_epochs, 0, 1e6,  "epochs", FIXED, "its length: passes over the rows of its mixture, counting the batch's rows, replayed ones too") \
    N(i64, max_steps,  1, 1e12, "steps",  FIXED, "its length in steps; one of the three, or none: as the run")                 \
    N(i64, max_tokens, 1, 1e15, "tokens", FIXED, "its length: as many steps as its mixture needs to show so many tokens")      \
    F(flag, reset_optimizer, "false", 0, 1, "", FIXED, "begin it with fresh moments")                                          \
    N(f64, learning_rate, 0, 10, "",      FIXED, "its peak; re-warmed and decayed over its own steps, unless lr_scheduler is infinite") \
    D(lr_scheduler,  pawl_schedule_names, FIXED, "its schedule")                                                               \
    N(i64, warmup_steps, 0, 1e12, "steps", FIXED, "its warm-up")                                                               \
    N(f64, warmup_ratio, 0, 1, "",        FIXED, "its warm-up as a share of its steps; not with warmup_steps")                 \
    N(f64, cosine_min_lr_ratio, 0, 1, "", FIXED, "the floor of its schedule")                                                  \
    N(f64, replay_ratio, 0, 1, "",        FIXED, "its share of replayed rows, below 1, in place of replay.ratio")
/* clang-format on */
typedef struct pawl_stage_config {
    PAWL_STAGE_FIELDS(PAWL_MEMBER_F, PAWL_MEMBER_T, PAWL_MEMBER_L, PAWL_MEMBER_N, PAWL_MEMBER_D)
} pawl_stage_config;
extern const pawl_field pawl_stage_rows[];

/* clang-format off */
/* One row a method, in its owner's words; a record that is null is off. */
#define PAWL_CONTINUAL_FIELDS(L, R, F)                                                                                            \
    L(stages,       pawl_stage_config, PAWL_STAGES_MAX, pawl_stage_rows, FIXED, "what is learnt one after the other, in one run; empty: datasets, in a stage named main") \
    L(general_data, pawl_dataset_config, PAWL_DATASETS_MAX, pawl_dataset_rows, FIXED, "text that stands for what the base knew: measured, and what val_set_size leaves of it enters the memory before the first stage") \
    R(der,          pawl_der_config, pawl_der_rows, FIXED, "rows of the memory are also learnt towards what the model said of them when they came in (DER, DER++)") \
    R(lwf,          pawl_lwf_config, pawl_lwf_rows, FIXED, "new rows are also learnt towards what the model of the stage's start says of them (LwF)") \
    R(replay,       pawl_replay_config, pawl_replay_rows, FIXED, "rows of finished stages are kept and learnt again (experience replay)") \
    R(forgetting_budget, pawl_budget_config, pawl_budget_rows, FREE, "what earlier domains may lose: judged at the end of every stage, against what is held out of them") \
    F(i64, probe_steps, "0", 0, 1e12, "steps", FIXED, "measure probe_rows of every domain learnt before, every so many steps and at the ends of stages; 0: never, but with replay.ratio auto 25 times a stage") \
    F(i64, probe_rows, "16", 1, 1e9, "rows", FIXED, "held-out rows of a domain in a probe, evenly spread over them")
/* clang-format on */
typedef struct pawl_continual_config {
    PAWL_CONTINUAL_FIELDS(PAWL_MEMBER_L, PAWL_MEMBER_R, PAWL_MEMBER_F)
} pawl_continual_config;
extern const pawl_field pawl_continual_rows[];

/* What must hold in this section alone: a sentence in why, beginning with the key, or "". */
void pawl_continual_check(const pawl_continual_config *c, char *why, size_t room);

#ifdef __cplusplus
}
#endif
#endif
