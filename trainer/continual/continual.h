/* trainer/continual/continual.h - what a run says of learning one domain after the other: its stages, its memory, its methods. */
#ifndef PAWL_TRAINER_CONTINUAL_CONTINUAL_H
#define PAWL_TRAINER_CONTINUAL_CONTINUAL_H

#include "core/fields.h"
#include "data/data.h"
#include "optim/optim.h"
#include "trainer/continual/der.h"
#include "trainer/continual/drift.h"
#include "trainer/continual/gate.h"
#include "trainer/continual/lwf.h"
#include "trainer/continual/replay.h"
#include "trainer/continual/synthesis.h"

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
#define PAWL_EWC_FIELDS(F, C)                                                                                                  \
    F(f64, lambda,  "1",   0, 1e12, "", FIXED, "strength: half of it times the sum of Fisher information times squared distance")  \
    F(f64, gamma,   "1",   0, 1,    "", FIXED, "what is left of earlier stages' information at a stage's end")                 \
    C(fisher, "empirical", pawl_fisher_names, FIXED, "labels of the data (empirical), or drawn from the model (true)")         \
    F(i64, samples, "200", 1, 1e9,  "rows", FIXED, "rows of a stage it is measured on, one a backward pass; fewer where it has fewer")
#define PAWL_SI_FIELDS(F)                                                                                                      \
    F(f64, c,  "0.1", 0, 1e12, "", FIXED, "strength: times the sum of importance times squared distance")                     \
    F(f64, xi, "0.1", 1e-12, 1e12, "", FIXED, "added to the squared way that a weight went in a stage")
#define PAWL_MAS_FIELDS(F)                                                                                                     \
    F(f64, lambda,  "1",   0, 1e12, "", FIXED, "strength: times the sum of importance times squared distance")                 \
    F(f64, decay,   "0.5", 0, 1,    "", FIXED, "share of earlier stages in the importance at a stage's end")                   \
    F(i64, samples, "200", 1, 1e9,  "rows", FIXED, "rows of a stage it is measured on, one a backward pass; fewer where it has fewer")
#define PAWL_L2SP_FIELDS(F) F(f64, lambda, "0.01", 0, 1e12, "", FIXED, "strength: half of it times the squared distance from the stage's first weights")
#define PAWL_AGEM_FIELDS(F) F(i64, rows, "16", 1, 1e6, "rows", FIXED, "rows from the memory that the reference gradient of a step is of")
#define PAWL_SFA_FIELDS(F)                                                                                                     \
    F(i64, every, "100", 1, 1e12, "steps", FIXED, "average with the stage's first weights every so many of its steps")         \
    F(f64, beta,  "0.25", 0, 1, "", FIXED, "share of those")
#define PAWL_WISE_FIELDS(F) F(f64, alpha, "0.5", 0, 1, "", FIXED, "share of the new weights; the rest is those of the stage's begin")
#define PAWL_REPTILE_FIELDS(F)                                                                                                 \
    F(i64, every,   "50", 1, 1e12, "steps", FIXED, "an outer step every so many steps of a stage")                             \
    F(f64, epsilon, "0.5", 0, 1, "", FIXED, "its length: share of the way since the last one")
#define PAWL_OLORA_FIELDS(F)                                                                                                   \
    F(f64, lambda,  "0.5", 0, 1e6, "", FIXED, "strength: times the sum of |A_i A^T| over the adapters of finished stages")     \
    F(f64, lambda2, "0",   0, 1e6, "", FIXED, "times the sum of squares of the present adapter")
#define PAWL_FREEZE_FIELDS(F)                                                                                                  \
    F(flag, embeddings, "true", 0, 1, "", FIXED, "token and position embeddings do not change (nor a head that is one of them)") \
    F(i64, layers, "0", 0, 1e6, "layers", FIXED, "so many of the lowest layers do not change")
/* clang-format on */
extern const char *const pawl_fisher_names[]; /* "empirical", "true", NULL */
typedef struct pawl_ewc_config { PAWL_EWC_FIELDS(PAWL_MEMBER_F, PAWL_MEMBER_C) } pawl_ewc_config;
typedef struct pawl_si_config { PAWL_SI_FIELDS(PAWL_MEMBER_F) } pawl_si_config;
typedef struct pawl_mas_config { PAWL_MAS_FIELDS(PAWL_MEMBER_F) } pawl_mas_config;
typedef struct pawl_l2sp_config { PAWL_L2SP_FIELDS(PAWL_MEMBER_F) } pawl_l2sp_config;
typedef struct pawl_agem_config { PAWL_AGEM_FIELDS(PAWL_MEMBER_F) } pawl_agem_config;
typedef struct pawl_sfa_config { PAWL_SFA_FIELDS(PAWL_MEMBER_F) } pawl_sfa_config;
typedef struct pawl_wise_config { PAWL_WISE_FIELDS(PAWL_MEMBER_F) } pawl_wise_config;
typedef struct pawl_reptile_config { PAWL_REPTILE_FIELDS(PAWL_MEMBER_F) } pawl_reptile_config;
typedef struct pawl_olora_config { PAWL_OLORA_FIELDS(PAWL_MEMBER_F) } pawl_olora_config;
typedef struct pawl_freeze_config { PAWL_FREEZE_FIELDS(PAWL_MEMBER_F) } pawl_freeze_config;
extern const pawl_field pawl_ewc_rows[], pawl_si_rows[], pawl_mas_rows[], pawl_l2sp_rows[], pawl_agem_rows[], pawl_sfa_rows[], pawl_wise_rows[], pawl_reptile_rows[], pawl_olora_rows[], pawl_freeze_rows[];

/* Adapters of stages (finished.h). */
extern const char *const pawl_lora_stages_names[]; /* "same", "merge", "orthogonal", NULL */
enum { PAWL_LORA_SAME, PAWL_LORA_MERGE, PAWL_LORA_ORTHOGONAL };

/* clang-format off */
/* One row a method, in its owner's words; a record that is null is off. */
#define PAWL_CONTINUAL_FIELDS(L, R, F, C)                                                                                            \
    L(stages,       pawl_stage_config, PAWL_STAGES_MAX, pawl_stage_rows, FIXED, "what is learnt one after the other, in one run; empty: datasets, in a stage named main") \
    L(general_data, pawl_dataset_config, PAWL_DATASETS_MAX, pawl_dataset_rows, FIXED, "text that stands for what the base knew: measured, and what val_set_size leaves of it enters the memory before the first stage") \
    R(der,          pawl_der_config, pawl_der_rows, FIXED, "rows of the memory are also learnt towards what the model said of them when they came in (DER, DER++)") \
    R(lwf,          pawl_lwf_config, pawl_lwf_rows, FIXED, "new rows are also learnt towards what the model of the stage's start says of them (LwF)") \
    R(replay,       pawl_replay_config, pawl_replay_rows, FIXED, "rows of finished stages are kept and learnt again (experience replay)") \
    R(synthesis,    pawl_synthesis_config, pawl_synthesis_rows, FIXED, "before the first step the model writes rows itself, which enter the memory: replay where data may not be kept") \
    R(ewc,          pawl_ewc_config, pawl_ewc_rows, FIXED, "online elastic weight consolidation: hold weights where the Fisher information of finished stages is large") \
    R(si,           pawl_si_config, pawl_si_rows, FIXED, "synaptic intelligence: hold weights that made the loss fall")        \
    R(mas,          pawl_mas_config, pawl_mas_rows, FIXED, "memory aware synapses: hold weights that the output is sensitive to") \
    R(l2sp,         pawl_l2sp_config, pawl_l2sp_rows, FIXED, "hold all weights near those of the stage's begin")               \
    R(agem,         pawl_agem_config, pawl_agem_rows, FIXED, "project the gradient where it goes against that of rows from the memory") \
    R(sfa,          pawl_sfa_config, pawl_sfa_rows, FIXED, "average with the weights of the stage's begin again and again")    \
    R(wise,         pawl_wise_config, pawl_wise_rows, FIXED, "at a stage's end, interpolate between the weights of its begin and its end") \
    R(reptile,      pawl_reptile_config, pawl_reptile_rows, FIXED, "outer steps over inner ones; with replay, those of MER")   \
    C(lora_stages,  "same", pawl_lora_stages_names, FIXED, "adapters: same (one through all stages), merge (each stage ends with its adapter worked into what is under the next one), orthogonal (O-LoRA: merge, and A held orthogonal to those of finished stages)") \
    R(olora,        pawl_olora_config, pawl_olora_rows, FIXED, "the penalty of lora_stages: orthogonal; null: at its defaults") \
    R(freeze,       pawl_freeze_config, pawl_freeze_rows, FIXED, "parts that no step changes") \
    R(forgetting_budget, pawl_budget_config, pawl_budget_rows, FREE, "what earlier domains may lose: judged at the end of every stage, against what is held out of them") \
    R(parent_kl,    pawl_drift_config, pawl_drift_rows, FIXED, "every evaluation also measures the KL divergence from the model of the run's start, on held-out texts") \
    F(i64, probe_steps, "0", 0, 1e12, "steps", FIXED, "measure probe_rows of every domain learnt before, every so many steps and at the ends of stages; 0: never, but with replay.ratio auto 25 times a stage") \
    F(i64, probe_rows, "16", 1, 1e9, "rows", FIXED, "held-out rows of a domain in a probe, evenly spread over them")
/* clang-format on */
typedef struct pawl_continual_config {
    PAWL_CONTINUAL_FIELDS(PAWL_MEMBER_L, PAWL_MEMBER_R, PAWL_MEMBER_F, PAWL_MEMBER_C)
} pawl_continual_config;
extern const pawl_field pawl_continual_rows[];

/* What must hold in this section alone: a sentence in why, beginning with the key, or "". */
void pawl_continual_check(const pawl_continual_config *c, char *why, size_t room);

#ifdef __cplusplus
}
#endif
#endif
