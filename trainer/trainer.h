/* trainer/trainer.h - the loop: steps, evaluation, metrics, saving, stopping. Takes built objects and its own section;
 * it never sees the whole configuration. */
#ifndef PAWL_TRAINER_TRAINER_H
#define PAWL_TRAINER_TRAINER_H

#include "checkpoints/checkpoints.h"
#include "comm/comm.h"
#include "core/fields.h"
#include "data/data.h"
#include "model/model.h"
#include "optim/optim.h"
#include "trainer/continual/contents.h"
#include "trainer/continual/continual.h"
#include "trainer/continual/retention.h"

#ifdef __cplusplus
extern "C" {
#endif

/* clang-format off */
extern const char *const pawl_device_names[]; /* in the order of pawl_device_choice, NULL */
extern const char *const pawl_attention_names[]; /* in the order of pawl_attention_choice, NULL */
#define PAWL_TRAIN_FIELDS(F, C, T, A)                                                                                             \
    T(output_dir,        NULL, 1024, FREE, "folder of the run: configuration, metrics, checkpoints")                           \
    F(i64, global_batch_size, NULL, 1, 1e6,  "rows",  FIXED, "rows of a step over all ranks; authoritative")                   \
    A(micro_batch_size,       "1",  1, 1e6,  "rows",  FIXED, "rows computed at a time on a rank; auto: what fits and fills the processor, found once")   \
    F(f64, num_epochs,        "1",  0, 1e6,  "epochs", FIXED, "passes over the rows of the mixture, when max_steps is 0")      \
    F(i64, max_steps,         "0",  0, 1e12, "steps", FIXED, "length of the run; 0: num_epochs decides")                       \
    F(i64, eval_steps,        "0",  0, 1e12, "steps", FREE,  "evaluate every so many steps; 0: before and after only")         \
    F(i64, logging_steps,     "10",  1, 1e9,  "steps", FREE,  "a plain line every so many steps, where stderr is no terminal")  \
    F(i64, seed,              "42", 0, 9007199254740991, "", FIXED, "of everything random")                                    \
    F(f64, neftune_noise_alpha, "0", 0, 1000, "", FIXED, "size of the noise on embeddings in training, over the root of a row's length times the width; 0: none") \
    C(activation_recompute, "none", pawl_recompute_names, FREE, "what backward computes again, not to keep it: norms (and activations), or the block; same bits, less memory") \
    F(flag, offload_activations, "false", 0, 1, "",    FREE,  "on a GPU: what layers leave for the backward pass is kept in the host's memory meanwhile; same bits, less of the GPU's memory") \
    F(flag, bf16,             "false", 0, 1, "",      FIXED, "matrix products and activations in bfloat16; sums float32, and so weights and optimizer unless master_weights and moments_dtype say otherwise")                                            \
    F(flag, gelu_fused,       "false", 0, 1,      "",      FIXED, "GELU's tanh form (GPT-2) computed with the products beside it, where the device can (GPUs); not under an adapter; with fp8 in the backward pass alone, else with activation_recompute: norms its results are kept; where a model has no such GELU a line says so") \
    F(flag, fp8,              "false", 0, 1, "",      FIXED, "with bf16: forward products of blocks (with an adapter: of the base's) in 8-bit floats (E4M3), where both sides of a weight are multiples of 16; on GPUs of Ada, Hopper or later; backward, evaluation and all else stay as they are") \
    F(flag, tune_products,    "true", 0, 1,      "",      FIXED, "algorithms of matrix products timed once, the fastest stored with the run, where a library has more than one (GPUs); false: its first answer, which is the same in every run") \
    C(device, "auto", pawl_device_names, FREE, "what a rank computes on; auto: cuda where a GPU can be used, else cpu, and says which") \
    F(flag, cuda_graphs,      "false", 0, 1, "",      FREE,  "on a GPU, launch what a transformer block launched before as one CUDA graph: same bits, less work for the host; for small models and short rows") \
    C(attention, "auto", pawl_attention_names, FREE, "in bf16 on a GPU; cudnn, own: our kernel, auto: cudnn where it is there (Hopper), for the shapes it knows; the two have other bits") \
    F(i64, threads,           "0",  0, 1024, "",      FREE,  "threads of a rank; 0: its share of the cores it is bound to")
/* clang-format on */
typedef struct pawl_train_config { PAWL_TRAIN_FIELDS(PAWL_MEMBER_F, PAWL_MEMBER_C, PAWL_MEMBER_T, PAWL_MEMBER_A) } pawl_train_config;
extern const pawl_field pawl_train_rows[];
typedef enum pawl_device_choice { PAWL_DEVICE_AUTO, PAWL_DEVICE_CPU, PAWL_DEVICE_CUDA } pawl_device_choice;
typedef enum pawl_attention_choice { PAWL_ATTENTION_AUTO, PAWL_ATTENTION_CUDNN, PAWL_ATTENTION_OWN } pawl_attention_choice;

/* What `pawl train --profile` asks for: steps, counted from 1, both included. first 0: from this process's second on; last 0: to
 * the end. */
typedef struct pawl_profile_config {
    int64_t first, last;
} pawl_profile_config;

/* Everything a run is made of, opened by launch/ and kept open by it. */
typedef struct pawl_parts {
    pawl_comm *comm;
    pawl_device *device;
    int device_ranks;            /* that share this rank's device, where it has memory of its own; 0: 1 */
    const pawl_model *model;
    const pawl_tokenizer *tokenizer;
    const char *tokenizer_spec;  /* what opens it again: "bytes" or a folder */
    const pawl_data *data;
    int64_t sequence_len; /* longest row */
    const pawl_train_config *train;
    const pawl_optim_config *optim;
    const pawl_comm_config *reduce;
    const pawl_checkpoint_config *save;
    const pawl_continual_config *continual; /* NULL: one stage, no memory, no methods */
    const pawl_prompts *prompts;            /* of synthesis; NULL where nothing is to be written: a plan, a resumed run */
    const char *until;                      /* the stage that this process ends with; NULL: the last */
    json_t *configuration; /* as resolved: lineage carries it, resuming compares it with ... */
    int (*configuration_diff)(const json_t *before, const json_t *after, int fixed_only, pawl_text *out); /* pawl_config_diff */
    json_t *base;         /* lineage of the base model; NULL: from scratch */
    json_t *products;     /* for lineage: the algorithms of products, and of which device they are; NULL: none were chosen */
    const pawl_adapter *adapter; /* NULL: all weights are trained */
    json_t *adapter_settings;    /* for lineage, and to compare with on resume */
    json_t *adapter_start;       /* lineage of the adapter it begins as; NULL: of initial weights, or a parent's */
    pawl_code base_code;         /* how the linear weights under the adapter are kept */
    int adapters_before;         /* finished when the run begins: a parent's, whose last one this run does not go on with */
    /* Fills what is under the adapter with the base's weights, and `over` worked in (lora_stages); also at a stage's begin. Local. */
    pawl_status (*fill_base)(void *self, pawl_frozen *base, const pawl_stack *over);
    void *fill_self;
    int live;                    /* 1: progress is one line that is written over, on a terminal */
    json_t *parent;       /* {path, root_sha256} of parent_checkpoint; NULL: none */
    int goes_on;          /* 1: what is trained begins as parent_checkpoint has trained it: all weights, or its adapter */
    const pawl_profile_config *profile; /* NULL: none */
} pawl_parts;

/* How the rows of a step are cut (decisions 1 and 2). */
typedef struct pawl_cut {
    int64_t rows, micro, slots; /* of the whole step, over all ranks */
    int lanes;
} pawl_cut;
pawl_cut pawl_cut_of(const pawl_train_config *t, const pawl_comm_config *r);
/* The same of a step of so many rows, at least those of the batch: lanes stay. */
pawl_cut pawl_cut_for(const pawl_train_config *t, const pawl_comm_config *r, int64_t rows);
/* Slots of a lane and rows of a slot: [*first, *end). */
void pawl_lane_slots(const pawl_cut *c, int lane, int64_t *first, int64_t *end);
void pawl_slot_rows(const pawl_cut *c, int64_t slot, int64_t *first, int64_t *end);

/* ---- Plan: bytes per rank by category before anything is taken, and what the run will do ---- */
enum { PAWL_PLAN_CATEGORIES = 28 };
typedef struct pawl_plan_side {
    struct { const char *name; size_t bytes; } category[PAWL_PLAN_CATEGORIES]; /* in memory when most is */
    int categories;
    size_t peak_bytes; /* their sum */
} pawl_plan_side;
typedef struct pawl_plan {
    pawl_plan_side host, device; /* device: of a device's own memory; nothing where it shares the host's */
    int64_t steps;        /* PAWL_STEPS_UNKNOWN without data and max_steps */
    double tokens, flops; /* of the whole run, without padding: 6 N + 12 L d T a token; 0 when steps are not known */
} pawl_plan;
enum { PAWL_STEPS_UNKNOWN = -1 };
/* For the rank that p->comm says, on as many ranks as it says; only its numbers are looked at. p->data may be NULL: then rows
 * are taken to be full. Local; allocates nothing but the list it measures with. */
PAWL_MUST pawl_status pawl_plan_of(const pawl_parts *p, pawl_plan *out);
/* The memory of the rank that needs most, of as many as p->comm says; steps and work are left out. Local. */
PAWL_MUST pawl_status pawl_plan_most(const pawl_parts *p, pawl_plan *out);
/* Bytes that a rank may take; 0: not known. */
typedef struct pawl_budget {
    double host, device;
} pawl_budget;
int pawl_plan_is_within(const pawl_plan *plan, const pawl_budget *b);
/* What this rank may take here: its share of what the machine can give, and of what its device has free. Local. */
pawl_budget pawl_budget_here(const pawl_parts *p);
/* The nearest change of configuration with which no rank needs more than the budget: keys and values as they can be put behind
 * a command ("micro_batch_size=2"), and the plan then. One key is tried after the other, in the order of the table in nearest.c,
 * then more of them together; "" when nothing helps. Local. */
enum { PAWL_NEAREST_ROOM = 256 };
PAWL_MUST pawl_status pawl_plan_nearest(const pawl_parts *p, const pawl_budget *budget, char change[PAWL_NEAREST_ROOM], pawl_plan *then);
/* What is said then, for ranks of which so many share a device's memory, and a machine's: it goes by what is short. */
void pawl_plan_no_key(const pawl_plan *plan, const pawl_budget *b, int on_device, int on_machine, char out[PAWL_NEAREST_ROOM]);
/* What `micro_batch_size: auto` comes to on ranks with that budget each, by the rule in auto.c. Local. */
PAWL_MUST pawl_status pawl_micro_auto(const pawl_parts *p, const pawl_budget *budget, int64_t *micro);
/* Times the algorithms of products in the shapes of a full slot of the run, and of a step's last one (decision 0045), in memory of its own that is given back:
 * before the trainer takes its. Then pawl_device_algorithms says what was chosen. Local. */
PAWL_MUST pawl_status pawl_products_time(const pawl_parts *p);
/* Errors: EMEM, with the numbers, and the nearest change that fits, when this machine's ranks together would take more memory than is
 * available, or those of this rank's device more than it has free. */
PAWL_MUST pawl_status pawl_plan_fits(const pawl_parts *p, const pawl_plan *plan);

/* ---- Evaluation ---- */
/* Of a domain: its texts, and its questions with choices. One that has questions alone has the loss of their right answers. */
typedef struct pawl_score {
    double loss;           /* nats per token */
    int64_t tokens, bytes; /* trained tokens, and bytes of text they stand for */
    int64_t questions, right, right_norm; /* of the questions, those whose right answer is the likeliest: its log-probability is the greatest,
                                             whole or by its bytes (acc and acc_norm of lm-evaluation-harness); of equals the first */
    double kl;         /* nats per token from the model of the run's start (trainer/continual/drift.h), ... */
    int64_t kl_tokens; /* ... over so many; 0: not measured */
} pawl_score;
double pawl_score_perplexity(const pawl_score *s);
double pawl_score_bits_per_byte(const pawl_score *s);
/* Shares of the questions; NAN without any. */
double pawl_score_accuracy(const pawl_score *s);
double pawl_score_accuracy_norm(const pawl_score *s);
/* {domain: {loss, perplexity, bits_per_byte, tokens, bytes}}; with questions also {accuracy, accuracy_norm, questions, right, right_norm},
 * with parent_kl {kl, kl_tokens}. */
PAWL_MUST pawl_status pawl_scores_json(const pawl_data *d, const pawl_score *scores, json_t **out);

/* The held-out rows and questions of every domain, shared over ranks in slots of train->micro_batch_size; scores [domains], the same on
 * all ranks and for any number of them. of: a pass that says where the weights are (over, weights, hooks: those communicate, so
 * ranks without a slot call them, too). *stopped = 1 (and no scores) when a rank was asked to stop. Collective. */
typedef struct pawl_evaluator pawl_evaluator;
PAWL_MUST pawl_status pawl_evaluator_open(const pawl_parts *p, pawl_evaluator **out);
void pawl_evaluator_close(pawl_evaluator *e);
/* From now on the questions of an evaluation are appended to that object (borrowed): {domain: [{logprobs: [choices], in nats, bytes: [choices],
 * right, chosen, chosen_norm: places from 0}]}. NULL: no more. */
void pawl_evaluator_tell(pawl_evaluator *e, json_t *to);
PAWL_MUST pawl_status pawl_evaluate(pawl_evaluator *e, const pawl_pass *of, pawl_score *scores, int *stopped);
/* The same of `most` rows of texts of each domain d with which[d] set, evenly spread over its rows, and of no question; the other scores
 * stay as they are. Collective. */
PAWL_MUST pawl_status pawl_evaluate_some(pawl_evaluator *e, const pawl_pass *of, const int *which, int64_t most, pawl_score *scores, int *stopped);

/* ---- Training ---- */
typedef struct pawl_trainer pawl_trainer;

/* Takes the memory of the plan and opens output_dir/checkpoints. Collective. */
PAWL_MUST pawl_status pawl_trainer_open(const pawl_parts *p, pawl_trainer **out);
void pawl_trainer_close(pawl_trainer *t);
/* The flat weights that are trained, in the device's memory (NULL in zero_stage 3, where each rank has a range of them), and those under an adapter (NULL
 * without one), for the one who fills them; the former also tensor by tensor, whoever has them. Local. */
float *pawl_trainer_weights(pawl_trainer *t);
PAWL_MUST pawl_status pawl_trainer_fill(pawl_trainer *t, pawl_weight_read read, void *self);
pawl_frozen *pawl_trainer_base(pawl_trainer *t);
/* Takes over a checkpoint of the same run: state, counters, lineage. The same FIXED configuration, data and tokenizer are
 * required. Collective. Errors: EUSAGE listing what differs; EDATA. */
PAWL_MUST pawl_status pawl_trainer_resume(pawl_trainer *t, const char *path);
/* Adapters of finished stages that a checkpoint holds beside the last one's. */
int pawl_finished_in(const pawl_checkpoint *k);
/* Says that the weights are of another run's checkpoint (parent_checkpoint), which the first checkpoint names as its
 * parent. Collective. */
PAWL_MUST pawl_status pawl_trainer_continue(pawl_trainer *t, const char *path);

/* PAWL_STOPPED: saved, unless it was before all rows were written that the memory begins with (synthesis). PAWL_EXCEEDED: forgetting_budget is, at the end of a stage, and its action is not warn. */
typedef enum pawl_outcome { PAWL_FINISHED, PAWL_STOPPED, PAWL_EXCEEDED } pawl_outcome;
/* Trains to the end, or until a rank is asked to stop: then a checkpoint is written (but see PAWL_STOPPED) and *outcome says so. The
 * summary goes to stdout, `weights_sha256 HEX` last. Collective. */
PAWL_MUST pawl_status pawl_trainer_run(pawl_trainer *t, pawl_outcome *outcome);

#ifdef __cplusplus
}
#endif
#endif
