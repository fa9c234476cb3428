/* model/model.h - the decoder: its configuration, its named weights, forward and backward over one slot, generation,
 * and Hugging Face directories in and out.
 *
 * Letters as in ops/ops.h. One block with options serves every family; a family is a row of a table. */
#ifndef PAWL_MODEL_MODEL_H
#define PAWL_MODEL_MODEL_H

#include "core/batch.h"
#include "core/fields.h"
#include "core/gguf.h"
#include "core/hash.h"
#include "core/state.h"
#include "ops/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const char *const pawl_model_types[];        /* "llama", ..., NULL */
extern const char *const pawl_rope_types[];         /* "default", "linear", ..., NULL */
extern const char *const pawl_hidden_activations[]; /* "default", "silu", ..., NULL */

enum { PAWL_ROPE_PAIRS = 128, PAWL_MIXED_LAYERS = 256, PAWL_END_IDS = 32 }; /* what lists have room for */

/* clang-format off */
#define PAWL_ROPE_FIELDS(F, C, W)                                                                                              \
    C(rope_type,                        "default", pawl_rope_types, FIXED, "how rotary frequencies are scaled")                \
    F(f64, factor,                      "1",  1, 1e6,  "", FIXED, "scaling of the context length")                             \
    F(f64, low_freq_factor,             "1",  0, 1e6,  "", FIXED, "llama3: wavelengths above original/this are scaled")        \
    F(f64, high_freq_factor,            "4",  0, 1e6,  "", FIXED, "llama3: wavelengths below original/this are kept")          \
    F(i64, original_max_position_embeddings, "0", 0, 1e9, "tokens", FIXED, "context length before scaling; 0: max_position_embeddings") \
    F(f64, attention_factor,            "0",  0, 1e6,  "", FIXED, "yarn, longrope: what cosines and sines are multiplied by; 0: as published") \
    F(f64, beta_fast,                   "32", 0, 1e6,  "", FIXED, "yarn: waves of more turns than this in the old context are kept") \
    F(f64, beta_slow,                   "1",  0, 1e6,  "", FIXED, "yarn: waves of fewer turns than this are scaled")           \
    F(f64, mscale,                      "0",  0, 1e6,  "", FIXED, "yarn: with mscale_all_dim, sets the attention factor")      \
    F(f64, mscale_all_dim,              "0",  0, 1e6,  "", FIXED, "yarn: see mscale")                                          \
    F(flag, truncate,                   "true", 0, 1,  "", FIXED, "yarn: the blend begins and ends at whole pairs")            \
    W(short_factor, "", PAWL_ROPE_PAIRS, 32, FIXED, "longrope: a divisor for each pair, in documents up to the old context")   \
    W(long_factor,  "", PAWL_ROPE_PAIRS, 32, FIXED, "longrope: the same, in longer documents")
/* clang-format on */
typedef struct pawl_rope_config {
    PAWL_ROPE_FIELDS(PAWL_MEMBER_F, PAWL_MEMBER_C, PAWL_MEMBER_W)
} pawl_rope_config;
extern const pawl_field pawl_rope_rows[];

/* The architecture, in config.json's words: the keys of `model:` in a run, and what a config.json is read into. */
/* clang-format off */
#define PAWL_MODEL_FIELDS(F, C, W, R)                                                                                          \
    C(model_type,              "llama", pawl_model_types, FIXED, "family of the architecture")                                 \
    F(i64, vocab_size,         "0",     0, 1e7,   "tokens", FIXED, "size of the vocabulary; 0: the tokenizer's")               \
    F(i64, hidden_size,        NULL,    1, 1e6,   "",       FIXED, "width of the residual stream")                             \
    F(i64, intermediate_size,  NULL,    1, 1e7,   "",       FIXED, "width of the feed-forward layer")                          \
    F(i64, num_hidden_layers,  NULL,    1, 1000,  "",       FIXED, "number of decoder blocks")                                 \
    F(i64, num_attention_heads, NULL,   1, 10000, "",       FIXED, "number of query heads")                                    \
    F(i64, num_key_value_heads, "0",    0, 10000, "",       FIXED, "number of key and value heads; 0: as many as query heads") \
    F(i64, head_dim,           "0",     0, 10000, "",       FIXED, "size of a head; 0: hidden_size / num_attention_heads")     \
    F(i64, max_position_embeddings, "2048", 1, 1e9, "tokens", FIXED, "longest context")                                        \
    F(f64, rms_norm_eps,       "1e-5",  0, 1,     "",       FIXED, "epsilon of the norms")                                     \
    F(f64, rope_theta,         "10000", 1, 1e12,  "",       FIXED, "base of the rotary frequencies")                           \
    R(rope_scaling, pawl_rope_config, pawl_rope_rows, FIXED, "scaling of the rotary frequencies")                              \
    F(flag, tie_word_embeddings, "false", 0, 1,   "",       FIXED, "the output head is the embedding")                         \
    C(hidden_act,              "default", pawl_hidden_activations, FIXED, "activation of the feed-forward layer; default: the family's") \
    F(i64, sliding_window,     "0",     0, 1e9,   "tokens", FIXED, "mistral, qwen2, qwen3: positions that attention reaches back; 0: all") \
    F(i64, max_window_layers,  "0",     0, 1e6,   "",       FIXED, "qwen2, qwen3: the first so many layers have no window")    \
    W(layer_types, "", PAWL_MIXED_LAYERS, 24, FIXED, "qwen2, qwen3: full_attention or sliding_attention, a layer each; empty: by max_window_layers") \
    F(flag, scale_attn_weights, "true", 0, 1,     "",       FIXED, "gpt2: attention scores are divided by the root of the head size") \
    F(flag, scale_attn_by_inverse_layer_idx, "false", 0, 1, "", FIXED, "gpt2: and by the layer's number")                      \
    F(flag, attention_bias,    "false", 0, 1,     "",       FIXED, "biases on q, k, v and o projections")                      \
    F(flag, mlp_bias,          "false", 0, 1,     "",       FIXED, "biases on the feed-forward projections")                   \
    F(f64, initializer_range,  "0.02",  0, 10,    "",       FIXED, "standard deviation of initial weights")                    \
    F(i64, bos_token_id,       "-1",    -1, 1e7,  "",       FIXED, "id that begins a text; -1: none")                          \
    F(i64, eos_token_id,       "-1",    -1, 1e7,  "",       FIXED, "id that ends a text; -1: none")                            \
    W(eos_token_ids, "", PAWL_END_IDS, 12, FIXED, "every id that ends a text in generation; empty: eos_token_id alone")         \
    F(i64, pad_token_id,       "-1",    -1, 1e7,  "",       FIXED, "id of padding, whose embedding is not trained by lookups (gpt2: it is); -1: none")
/* clang-format on */
typedef struct pawl_model_config {
    PAWL_MODEL_FIELDS(PAWL_MEMBER_F, PAWL_MEMBER_C, PAWL_MEMBER_W, PAWL_MEMBER_R)
} pawl_model_config;
extern const pawl_field pawl_model_rows[];

/* What a run says of its model. */
#define PAWL_MODEL_SECTION(F, C, T, R)                                                                                 \
    T(base_model, "", 1024, FIXED, "Hugging Face directory or GGUF file to start from")                                             \
    R(model, pawl_model_config, pawl_model_rows, FIXED, "an architecture trained from scratch, in config.json's keys")
typedef struct pawl_model_section {
    PAWL_MODEL_SECTION(PAWL_MEMBER_F, PAWL_MEMBER_C, PAWL_MEMBER_T, PAWL_MEMBER_R)
} pawl_model_section;
extern const pawl_field pawl_model_section_rows[];

/* The checks between keys: heads divide, head size even, ... Errors: EUSAGE, a sentence naming the key. */
PAWL_MUST pawl_status pawl_model_config_check(const pawl_model_config *c, const char *where);

/* The weights as they lie in memory: one flat run of f32 with every tensor at an offset, fused groups (q,k,v; gate,up)
 * side by side. Gradients and optimizer state have the same layout. */
typedef struct pawl_model pawl_model;

/* Lays the model out (no weights yet). Errors: EUSAGE, EMEM. */
PAWL_MUST pawl_status pawl_model_open(const pawl_model_config *c, pawl_model **out);
void pawl_model_close(pawl_model *m);
const pawl_model_config *pawl_model_settings(const pawl_model *m); /* resolved: no zeros left */
/* Length of the flat run, in f32, paddings between groups included (they stay zero). */
int64_t pawl_model_count(const pawl_model *m);
/* Numbers of parameters: all, and those that enter matrix products incl. the head (the N of 6 N). */
int64_t pawl_model_parameters(const pawl_model *m);
int64_t pawl_model_matmul_parameters(const pawl_model *m);
/* The window of a layer as the (resolved) configuration has it; 0: none. */
int64_t pawl_window_of(const pawl_model_config *c, int64_t layer);
/* Named views into a flat run of pawl_model_count numbers, names as in Hugging Face, tied head left out. Every matrix
 * is [out, in], as it lies in memory: GPT-2's files hold the transpose of most, see pawl_hf_tensors_open. */
PAWL_MUST pawl_status pawl_model_state(const pawl_model *m, float *flat, const char *prefix, pawl_state *out);
/* Where the i-th tensor of pawl_model_state lies in the flat run. Returns the number of tensors (out may be NULL). */
int pawl_model_extents(const pawl_model *m, const pawl_extent **out);

/* Whether generation ends at that id. */
int pawl_model_ends(const pawl_model *m, int32_t id);

/* ---- Adapters: low-rank additions that are trained while the model's own weights stay (decision 0015) ---- */

extern const char *const pawl_adapter_names[]; /* "none", "lora", "qlora", NULL */

/* What a run says of its adapter. */
/* clang-format off */
#define PAWL_ADAPTER_FIELDS(F, C, T, W)                                                                                        \
    C(adapter,               "none", pawl_adapter_names, FIXED, "what is trained: none (all weights), or a low-rank adapter")  \
    F(i64, lora_r,           "0", 0, 65536, "", FIXED, "rank of the adapter; 0: that of lora_model_dir")                       \
    F(f64, lora_alpha,       "0", 0, 1e6, "", FIXED, "scale of the adapter, times 1/r; 0: that of lora_model_dir")             \
    F(f64, lora_dropout,     "0", 0, 0.99, "", FIXED, "share of an adapter's inputs that training drops")                      \
    W(lora_target_modules,   "", 64, 128, FIXED, "linear modules that get an adapter, by name or end of name; or all-linear")  \
    F(flag, lora_target_linear, "false", 0, 1, "", FIXED, "the same as lora_target_modules: all-linear")                       \
    F(flag, peft_use_rslora, "false", 0, 1, "", FIXED, "scale by alpha / sqrt(r) instead of alpha / r")                        \
    F(flag, peft_use_dora,   "false", 0, 1, "", FIXED, "train the length of each row of a weight apart from its direction")    \
    T(lora_model_dir,        "", 1024, FIXED, "folder of a PEFT adapter to start from")                                        \
    F(flag, load_in_8bit,    "false", 0, 1, "", FIXED, "keep the frozen linear weights as int8, with a scale for each row")    \
    F(flag, load_in_4bit,    "false", 0, 1, "", FIXED, "keep the frozen linear weights as NF4, with a scale for each 64")
/* clang-format on */
typedef struct pawl_adapter_config {
    PAWL_ADAPTER_FIELDS(PAWL_MEMBER_F, PAWL_MEMBER_C, PAWL_MEMBER_T, PAWL_MEMBER_W)
} pawl_adapter_config;
extern const pawl_field pawl_adapter_rows[];

/* The settings of an adapter are an object in the words of PEFT's adapter_config.json, wherever they come from: a run's
 * keys (this function; json_decref it), a PEFT directory, a checkpoint's lineage. */
PAWL_MUST pawl_status pawl_adapter_settings(const pawl_adapter_config *c, json_t **out);

/* What load_in_8bit and load_in_4bit ask for. */
pawl_code pawl_base_code(const pawl_adapter_config *c);

/* Lays an adapter out on m. where names the settings in errors. Errors: EUSAGE for modules that m does not have, naming
 * those it has; EDATA for settings that are not supported, by name; EMEM. */
typedef struct pawl_adapter pawl_adapter;
PAWL_MUST pawl_status pawl_adapter_open(const pawl_model *m, const json_t *settings, const char *where,
                                        pawl_adapter **out);
void pawl_adapter_close(pawl_adapter *a);
const pawl_model *pawl_adapter_model(const pawl_adapter *a);
/* Settings that open the same adapter again; json_decref them. */
PAWL_MUST pawl_status pawl_adapter_json(const pawl_adapter *a, json_t **out);
/* Whether it is DoRA's: a length of each row apart from its direction. */
int pawl_adapter_is_dora(const pawl_adapter *a);
/* Initial weights of the n-th adapter of a run (0: the first), counted from seed: A uniform within 1/sqrt(I), B zero. DoRA's magnitudes
 * are those of the base, and set by pawl_adapter_measure. */
void pawl_adapter_init(const pawl_adapter *a, uint64_t seed, int n, float *flat);

/* Works an adapter into one of the model's weights, the i-th tensor of pawl_model_state, where it has a part in that:
 * w + s b a, with DoRA m (w + s b a) / ||w + s b a||. */
void pawl_adapter_merge(const pawl_adapter *a, const float *adapter, int tensor, float *w);

/* What training changes: the adapter's weights, or all of the model's for an adapter of NULL. Layout, names (PEFT's) and
 * numbers as above for a model. */
int64_t pawl_trained_count(const pawl_model *m, const pawl_adapter *a);
int64_t pawl_trained_parameters(const pawl_model *m, const pawl_adapter *a);
PAWL_MUST pawl_status pawl_trained_state(const pawl_model *m, const pawl_adapter *a, float *flat, const char *prefix,
                                         pawl_state *out);
int pawl_trained_extents(const pawl_model *m, const pawl_adapter *a, const pawl_extent **out);
int64_t pawl_adapter_rank(const pawl_adapter *a); /* the largest of its modules */

/* Adapters of one layout that were finished one after the other and stay applied (decision 0037): what lies under the present one are
 * the base's weights with these worked in, in this order. flats: their flat runs, one behind the other. */
typedef struct pawl_stack {
    const pawl_adapter *adapter;
    float *flats;       /* [count, pawl_trained_count] */
    const float *there; /* the same in the device's memory, for pawl_stack_overlap; NULL: that is the host's */
    int count;
} pawl_stack;
const float *pawl_stack_at(const pawl_stack *s, int i);
/* As pawl_adapter_merge of each. */
void pawl_stack_merge(const pawl_stack *s, int tensor, float *w);
/* Their tensors under their names in a checkpoint, PAWL_STACK_PREFIX "1/..." and so on; they do not change any more. */
#define PAWL_STACK_PREFIX "model/finished/"
PAWL_MUST pawl_status pawl_stack_state(const pawl_stack *s, pawl_state *out);
/* O-LoRA's penalty, strength sum_i |A_i A^T|_1 over the stack's A_i and the A of `weights`, the whole flat run of the present adapter:
 * grads, which begin at number `first` of it, += its gradient by the numbers [first, end); sums [pawl_adapter_rank] += its value, that
 * of rows that begin among them. All three are the device's. Local. Source: Wang et al. 2023. */
PAWL_MUST pawl_status pawl_stack_overlap(const pawl_stack *s, pawl_device *d, const float *weights, float strength, int64_t first,
                                         int64_t end, float *grads, double *sums);
/* One adapter that adds what all of the stack add: of their ranks together. Close and pawl_free them. Errors: EUSAGE with DoRA; EMEM. */
PAWL_MUST pawl_status pawl_stack_join(const pawl_stack *s, pawl_adapter **adapter, float **weights);

/* Initial weights, counted from seed: normal(0, initializer_range), norms 1, biases 0. The second is a pawl_weight_read of them. */
void pawl_model_init(const pawl_model *m, uint64_t seed, float *flat);
typedef struct pawl_initial {
    const pawl_model *m;
    uint64_t seed;
} pawl_initial;
pawl_status pawl_initial_read(void *initial, int tensor, float *to);

/* ---- Frozen weights: those of a base model under an adapter, read and never changed ---- */

typedef struct pawl_frozen pawl_frozen;
/* code: how the linear weights of the blocks are kept. type: of passes; the other matrices are kept in it, and vectors as
 * f32. */
PAWL_MUST pawl_status pawl_frozen_open(const pawl_model *m, pawl_device *d, pawl_code code, pawl_dtype type, pawl_frozen **out);
void pawl_frozen_close(pawl_frozen *f);
size_t pawl_frozen_bytes(const pawl_model *m, pawl_code code, pawl_dtype type); /* the plan */
/* Puts the i-th tensor of pawl_model_state into `to`, in the host's memory, as f32. */
typedef pawl_status (*pawl_weight_read)(void *self, int tensor, float *to);
/* A source with a stack worked in: pawl_stacked_read is a pawl_weight_read. */
typedef struct pawl_stacked {
    pawl_weight_read read;
    void *self;
    const pawl_stack *stack;
} pawl_stacked;
pawl_status pawl_stacked_read(void *stacked, int tensor, float *to);
pawl_room pawl_frozen_fill_bytes(const pawl_model *m, const pawl_device *d, pawl_code code, pawl_dtype type); /* what filling takes meanwhile: the plan */
/* Takes all weights from a source, tensor by tensor; those that are kept in few bits are never all there as f32. */
PAWL_MUST pawl_status pawl_frozen_fill(pawl_frozen *f, pawl_weight_read read, void *self);
/* The other way: the i-th tensor of pawl_model_state as f32, the numbers that it is kept as, into the host's memory. Local. */
PAWL_MUST pawl_status pawl_frozen_read(const pawl_frozen *f, int tensor, float *to);

/* DoRA's magnitudes in an adapter's flat run (the device's): the norms of the rows that it stands on (w + s b a). Local. */
PAWL_MUST pawl_status pawl_adapter_measure(const pawl_adapter *a, pawl_device *d, const pawl_frozen *f, float *flat);

/* What memory for passes is taken for (decision 0024). */
extern const char *const pawl_recompute_names[]; /* "none", "norms", "block", NULL */
typedef enum pawl_recompute { PAWL_RECOMPUTE_NONE, PAWL_RECOMPUTE_NORMS, PAWL_RECOMPUTE_BLOCK } pawl_recompute;
typedef struct pawl_capacity {
    int64_t rows, tokens;     /* of the largest slot */
    int train;                /* 1: backward, too; 0: forward only, nothing is kept */
    pawl_recompute recompute; /* what backward computes again instead of keeping it; the bits are the same */
    pawl_dtype type;          /* PAWL_F32 (0), or PAWL_BF16: matrix products of bf16 (decision 0022) */
    pawl_device *device;      /* whose memory it is taken in, and that passes are on; NULL: any that shares the host's */
    int fused_gelu;           /* of gelu_fused: an activation that is the tanh form of GELU is computed with the products beside it */
    int fp8;                  /* with bf16: forward products of blocks are of 8-bit floats (decision 0050) */
    int64_t bins;             /* k of soft targets and records; read where memory is not shared: it is staged there */
    int offload; /* what layers leave for the backward pass is kept in the host's memory, where that is another */
} pawl_capacity;

/* What a pass with an adapter needs beside activations: low-rank products, and scratch for dropout and DoRA. */
typedef struct pawl_adapter_work pawl_adapter_work;
PAWL_MUST pawl_status pawl_adapter_work_open(const pawl_adapter *a, const pawl_capacity *c, pawl_adapter_work **out);
void pawl_adapter_work_close(pawl_adapter_work *w);
pawl_room pawl_adapter_work_bytes(const pawl_adapter *a, const pawl_capacity *c); /* the plan */

/* Computes every product of a pass once, forward and backward, as such a slot's passes have them, over random numbers in memory of its own
 * on of->device: for pawl_device_tune, whose shapes have been reserved. code: of the weights under an adapter. Local. Errors: EMEM, and those of ops. */
PAWL_MUST pawl_status pawl_model_products(const pawl_model *m, const pawl_adapter *adapter, pawl_code code, const pawl_capacity *of);

/* Activations of one slot. */
typedef struct pawl_activations pawl_activations;
PAWL_MUST pawl_status pawl_activations_open(const pawl_model *m, const pawl_capacity *c, pawl_activations **out);
void pawl_activations_close(pawl_activations *a);
pawl_room pawl_activations_bytes(const pawl_model *m, const pawl_capacity *c); /* the plan */
/* The largest shapes the ops will see for such a slot (for pawl_device_reserve). */
pawl_shapes pawl_model_shapes(const pawl_model *m, int64_t rows, int64_t tokens); /* of f32 */

/* ---- Parts: what a pass reads one after the other, as stretches of the flat run of what is trained ---- */

/* 0: below the blocks (embedding, learned positions); 1 to L: the blocks; L + 1: above them (final norm, and a head that is
 * not the embedding). They tile the flat run in this order, paddings included. An adapter's first and last are empty, and so
 * is that of a block on which it has nothing. */
int64_t pawl_trained_parts(const pawl_model *m); /* L + 2 */
void pawl_trained_part(const pawl_model *m, const pawl_adapter *a, int64_t part, int64_t *first, int64_t *count);

/* Where a part's numbers lie while a pass uses them, each pointer at the part's first number. It comes filled with the
 * places in the pass's flat runs (NULL where it has none); a hook may put others in their stead. */
typedef struct pawl_part_place {
    const float *weights; /* for need */
    const uint16_t *low;  /* for need, in bf16 passes: the same rounded; not of part 0 when the head is another, unless there are vectors */
    float *grads;         /* for want: set or added to, as put says */
    pawl_put put;
} pawl_part_place;

/* Called by a pass on its own thread between ops, in an order that the model alone decides; not for empty parts. Each may
 * be NULL. An error ends the pass. Forward: parts rise; a head that is the embedding wants part 0 once more at the end.
 * Backward: parts fall, and part 0 is ready last. */
typedef struct pawl_pass_hooks {
    void *self;
    pawl_status (*need)(void *self, int64_t part, pawl_part_place *at); /* weights are read from now on, ... */
    pawl_status (*done)(void *self, int64_t part);                      /* ... and until now */
    pawl_status (*soon)(void *self, int64_t part);                      /* this part's are the next that are needed, while those of the last are in use */
    pawl_status (*want)(void *self, int64_t part, pawl_part_place *at); /* gradients are written from now on, ... */
    pawl_status (*ready)(void *self, int64_t part);                     /* ... and are whole, for this slot */
} pawl_pass_hooks;

/* What matrix products of a bf16 pass read of the flat run: numbers [first, first + count), which leave out an embedding
 * that is not the head. Rounded (again whenever weights have changed) by pawl_low_round into low [count]. */
void pawl_low_stretch(const pawl_model *m, const pawl_adapter *a, int64_t *first, int64_t *count);
PAWL_MUST pawl_status pawl_low_round(const pawl_model *m, const pawl_adapter *a, pawl_device *d, const float *weights,
                                     uint16_t *low);
/* The same of one part. */
PAWL_MUST pawl_status pawl_low_round_part(const pawl_model *m, const pawl_adapter *a, pawl_device *d, int64_t part, const float *weights,
                                          uint16_t *low);
/* Where there are no weights of f32 (decision 0051): low is the flat run itself, and what ops read in f32, norms and biases, stands
 * widened in a run of its own [pawl_vectors_count]. pawl_vectors_widen makes that of a part whose numbers begin at low. Local. */
int64_t pawl_vectors_count(const pawl_model *m);
PAWL_MUST pawl_status pawl_vectors_widen(const pawl_model *m, pawl_device *d, int64_t part, const uint16_t *low, float *vectors);

/* Of a pass over frozen weights with an adapter on them. */
typedef struct pawl_over {
    const pawl_adapter *adapter;
    const pawl_frozen *base;
    pawl_adapter_work *work;
    uint64_t seed;
    int64_t first_row; /* the number in the run of the slot's first row: dropout is counted by it; -1: no dropout */
} pawl_over;

/* Forward, and with grads also backward, over one slot. Local. Weights, low and grads (and what hooks put in their stead) are in the
 * device's memory; all the rest, the batch and what `noise` and `extra` point at among it, is in the host's: a pass checks it, takes it
 * up and brings what it computes back, so that all of it is there when the pass returns.
 *   over            NULL: all weights are the model's own; else weights and grads are the adapter's, the base's are in
 *                   `over`, and nothing is computed that only they would need
 *   hooks           told of each part before and after it is used; NULL: nobody
 *   noise           on the looked-up embeddings; tokens is the slot's; NULL: none
 *   weights, grads  flat runs; grads is set or added to (put). Without grads and hooks->want: forward only
 *   scale           1 / trained tokens of the whole global batch (decision 4)
 *   losses [B*T]    nats per token, unscaled, 0 where not trained
 *   extra           row weights, soft targets, records, drawn labels (ops/ops.h; its tokens are the slot's); all zero: none
 *   bad_rows [B]    set to 1 for a row whose losses or whose gradient at the embedding is not finite, else 0; may be NULL
 * Errors: EDATA for an id outside the vocabulary. */
typedef struct pawl_pass {
    const pawl_over *over;
    const pawl_pass_hooks *hooks;
    const pawl_noise *noise;
    const float *weights;
    const uint16_t *low; /* of bf16 passes: what pawl_low_round makes of the weights, or, with vectors, the flat run */
    const float *vectors; /* instead of weights: low is the flat run, and norms and biases are here; NULL: weights are of f32 */
    float *grads;
    pawl_put put;
    float scale;
    float *losses;
    int32_t *bad_rows;
    pawl_head_extra extra;
} pawl_pass;
PAWL_MUST pawl_status pawl_model_pass(const pawl_model *m, pawl_device *d, pawl_activations *a, const pawl_batch *b,
                                      const pawl_pass *p);
/* Calls p's hooks as a pass would, and computes nothing: for a rank that has no slot while others, whose hooks communicate, have.
 * Of p only over, hooks and grads are looked at. */
PAWL_MUST pawl_status pawl_model_walk(const pawl_model *m, const pawl_pass *p);
/* Logits of every position, [B*T, V], into the device's memory, for tests and tools (training never makes them whole). */
PAWL_MUST pawl_status pawl_model_logits(const pawl_model *m, pawl_device *d, pawl_activations *a, const pawl_batch *b,
                                        const pawl_over *over, const float *weights, const uint16_t *low, float *logits);

/* Generation with a key/value cache. weights are the device's. */
typedef struct pawl_decoder pawl_decoder;
PAWL_MUST pawl_status pawl_decoder_open(const pawl_model *m, pawl_device *d, const float *weights, int64_t max_tokens,
                                        pawl_decoder **out);
void pawl_decoder_close(pawl_decoder *g);
pawl_room pawl_decoder_bytes(const pawl_model *m, pawl_device *d, int64_t max_tokens); /* the plan */
const pawl_model *pawl_decoder_model(const pawl_decoder *g);
/* Forgets what was fed: another text begins. */
void pawl_decoder_restart(pawl_decoder *g);
/* Feeds one id; logits [V] of the next token (the host's) stay valid until the next call. Errors: EDATA when the context is full. */
PAWL_MUST pawl_status pawl_decoder_step(pawl_decoder *g, int32_t id, const float **logits);

/* How the tokens of texts are chosen. temperature 0: the likeliest; else drawn from the likeliest whose probability reaches top_p, a
 * pure function of (seed, number of the text, position). */
typedef struct pawl_sampling {
    double temperature, top_p;
    uint64_t seed;
    int32_t size;       /* ids that the tokenizer knows; logits above are padding of the vocabulary */
    int32_t end;        /* the id that ends a text beside the model's own; -1: none */
    int (*alive)(void); /* asked before every token; 0 ends the text where it is. NULL: nobody is asked */
} pawl_sampling;
typedef struct pawl_sampler pawl_sampler;
PAWL_MUST pawl_status pawl_sampler_open(const pawl_sampling *how, pawl_sampler **out);
void pawl_sampler_close(pawl_sampler *s);
typedef struct pawl_to_write {
    int64_t number; /* of the text; `pawl generate` writes number 0 */
    int32_t end;    /* one more id that ends it; -1: none */
    int32_t *ids;   /* the prompt [prompt], at least one; room for `most` more behind it */
    int64_t prompt, most;
} pawl_to_write;
typedef struct pawl_written {
    int64_t count; /* of ids, the prompt's with them */
    int32_t end;   /* the id that ended the text, which is not among them; -1: there was room for no more */
} pawl_written;
/* Feeds the prompt to d from its beginning and writes behind it. Local. Errors: as pawl_decoder_step's. */
PAWL_MUST pawl_status pawl_write(pawl_decoder *d, pawl_sampler *s, const pawl_to_write *w, pawl_written *out);

/* Hugging Face directories. Reading config.json, in both published forms; a field that changes the result and is not
 * implemented is an error naming it. Errors: EDATA with file and field. */
PAWL_MUST pawl_status pawl_hf_config(const char *dir, pawl_model_config *out);
/* The tensors of a flat run as Hugging Face shapes them: views, or transposed copies where a family's files hold those.
 * flat may be weights or gradients, and must stay for as long as the views. Errors: EMEM. */
typedef struct pawl_hf_tensors {
    pawl_state state;
    pawl_arena copies;
} pawl_hf_tensors;
PAWL_MUST pawl_status pawl_hf_tensors_open(const pawl_model *m, const float *flat, pawl_hf_tensors *out);
void pawl_hf_tensors_close(pawl_hf_tensors *t);
/* Reads the weights of dir (f32, f16, bf16; one file or sharded) into flat; every tensor must be there, in its shape,
 * and nothing that is not known. Errors: EDATA naming tensor, expected and found. */
PAWL_MUST pawl_status pawl_hf_load(const pawl_model *m, const char *dir, float *flat);
/* The same checks without reading a number. */
PAWL_MUST pawl_status pawl_hf_check(const pawl_model *m, const char *dir);
/* The same tensor by tensor: pawl_hf_read is a pawl_weight_read, pawl_hf_others refuses what is not the model's. */
typedef struct pawl_hf_reader pawl_hf_reader;
PAWL_MUST pawl_status pawl_hf_open(const pawl_model *m, const char *dir, pawl_hf_reader **out);
pawl_status pawl_hf_read(void *reader, int tensor, float *to);
PAWL_MUST pawl_status pawl_hf_others(const pawl_hf_reader *r);
void pawl_hf_reader_close(pawl_hf_reader *r);
/* Writes config.json, generation_config.json and safetensors. dtype: F32, BF16 or F16. */
PAWL_MUST pawl_status pawl_hf_save(const pawl_model *m, const float *flat, pawl_dtype dtype, const char *dir);
/* The same of weights that are made while they are written: of no more than one tensor at a time. */
PAWL_MUST pawl_status pawl_hf_save_from(const pawl_model *m, pawl_weight_read read, void *self, pawl_dtype dtype, const char *dir);
/* PEFT's directories: adapter_config.json and adapter_model.safetensors. */
int pawl_is_peft(const char *dir);
/* The settings that dir holds; where target_modules is a regular expression, the modules it chose. json_decref them. */
PAWL_MUST pawl_status pawl_peft_settings(const char *dir, json_t **out);
/* Reads the weights of dir (f32, f16, bf16) into a's flat run: every tensor, in its shape, and no other. Errors: EDATA. */
PAWL_MUST pawl_status pawl_peft_load(const pawl_adapter *a, const char *dir, float *flat);
/* Writes dir so that peft loads it over the model at `base`. dtype: F32, BF16 or F16. */
PAWL_MUST pawl_status pawl_peft_save(const pawl_adapter *a, const float *flat, pawl_dtype dtype, const char *base,
                                     const char *dir);

/* Writes the model of a GGUF file into dir in the same form, tensor by tensor: names, the order of q and k rows, rotary
 * scaling and a head that is the embedding as Hugging Face has them. Blocks become the numbers they stand for.
 * alive (may be NULL) is called again and again meanwhile. Errors: EDATA naming file and key or tensor, for architectures,
 * keys and tensors that are not computed here. */
PAWL_MUST pawl_status pawl_hf_import_gguf(const pawl_gguf *g, pawl_dtype dtype, const char *dir, void (*alive)(void));
/* A folder that was imported says of what in this file. */
#define PAWL_IMPORT_RECORD "pawl-import.json"
/* And one that models were merged into, of which and how. */
#define PAWL_MERGE_RECORD "pawl-merge.json"
/* What a lineage record says of an adapter that a run began with: {path, files: [{name, bytes, sha256}]}. */
PAWL_MUST pawl_status pawl_peft_lineage(const char *dir, json_t **out);

/* ---- Models of one architecture merged into one (formulas and sources: ops/merge_rule.h) ---- */

extern const char *const pawl_merge_methods[]; /* "linear", ..., NULL */
typedef enum pawl_merge_method {
    PAWL_MERGE_LINEAR,          /* sum w_i theta_i / sum w_i */
    PAWL_MERGE_WISE,            /* (1 - lambda) base + lambda theta */
    PAWL_MERGE_TASK_ARITHMETIC, /* base + lambda sum w_i (theta_i - base) */
    PAWL_MERGE_TIES,            /* differences trimmed to the largest of each tensor, a sign elected, mean of those that have it */
    PAWL_MERGE_DARE,            /* task arithmetic with differences of which some are dropped and the others grow for it */
    PAWL_MERGE_DARE_TIES        /* the same, a sign elected as in TIES */
} pawl_merge_method;

enum { PAWL_MERGE_MAX = 64 };
typedef struct pawl_weight_source {
    pawl_weight_read read;
    void *self;
    const char *name; /* for errors */
} pawl_weight_source;
typedef struct pawl_merge_recipe {
    pawl_merge_method method;
    double density; /* TIES: the share of each tensor that is kept, rounded down to whole numbers but one at least; DARE: the
                       probability that a number is */
    double lambda;
    uint64_t seed; /* DARE's */
    int count;
    double weights[PAWL_MERGE_MAX];
    pawl_weight_source base, models[PAWL_MERGE_MAX]; /* base.read NULL: none (linear) */
} pawl_merge_recipe;
/* Whether a method starts from a base, and reads density, lambda and weights. */
typedef struct pawl_merge_reads {
    int base, density, lambda, weights;
    double density_default, lambda_default;
} pawl_merge_reads;
pawl_merge_reads pawl_merge_method_reads(pawl_merge_method method);

typedef struct pawl_merge pawl_merge;
/* Takes what the largest tensor needs; r is copied. Errors: EUSAGE when the recipe is none (weights that are not finite, or sum to
 * zero, or are negative where a mean is taken; too few models); EMEM. */
PAWL_MUST pawl_status pawl_merge_open(const pawl_model *m, const pawl_merge_recipe *r, pawl_merge **out);
void pawl_merge_close(pawl_merge *g);
/* A pawl_weight_read of the merged model. Errors: as the sources'; EDATA for a tensor with a number that is not finite. */
pawl_status pawl_merge_read(void *merge, int tensor, float *to);

/* What a lineage record says of a base model: {path, files: [{name, bytes, sha256}]}, and as `imported` and
 * `merged` what PAWL_IMPORT_RECORD and PAWL_MERGE_RECORD say where there is one. */
PAWL_MUST pawl_status pawl_hf_lineage(const char *dir, json_t **out);

#ifdef __cplusplus
}
#endif
#endif
