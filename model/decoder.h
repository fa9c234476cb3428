/* model/decoder.h - private to model/: the options of a block, the table of its weights, and where each of them lies.
 *
 * Letters as in ops/ops.h, and L layers. */
#ifndef PAWL_MODEL_DECODER_H
#define PAWL_MODEL_DECODER_H

#include "model/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a block may have beside the common parts; a family (and its config) says which. */
enum {
    PAWL_QKV_BIAS = 1,
    PAWL_O_BIAS = 2,
    PAWL_MLP_BIAS = 4,
    PAWL_QK_NORM = 8,
    PAWL_TIED_HEAD = 16,
    PAWL_OWN_HEAD = 32
};

typedef struct pawl_block_options {
    unsigned has;           /* of the bits above; the head's are set from the configuration */
    const int64_t *windows; /* [L] positions each layer attends over, 0: all; NULL: all everywhere */
} pawl_block_options;

/* A family of models: how its config.json is recognised, and what its blocks are made of. */
typedef struct pawl_family {
    const char *model_type, *architecture;
    unsigned always, attention_bias, mlp_bias; /* options: always there, and those that the two keys switch on */
    double rms_norm_eps;                       /* what Hugging Face takes where config.json does not say */
    int64_t bos_token_id, eos_token_id;
} pawl_family;
extern const pawl_family pawl_families[]; /* in the order of pawl_model_types */

/* The weights, in the order in which they lie in memory. */
/* clang-format off */
typedef enum pawl_slot {
    PAWL_EMBED,
    PAWL_ATTENTION_NORM, /* from here to PAWL_DOWN_BIAS: of every layer */
    PAWL_Q, PAWL_K, PAWL_V,
    PAWL_Q_BIAS, PAWL_K_BIAS, PAWL_V_BIAS,
    PAWL_Q_NORM, PAWL_K_NORM,
    PAWL_O, PAWL_O_BIASES,
    PAWL_MLP_NORM,
    PAWL_GATE, PAWL_UP,
    PAWL_GATE_BIAS, PAWL_UP_BIAS,
    PAWL_DOWN, PAWL_DOWN_BIAS,
    PAWL_FINAL_NORM,
    PAWL_HEAD,
    PAWL_SLOTS
} pawl_slot;
/* clang-format on */

typedef enum pawl_start { PAWL_NORMAL, PAWL_ZEROS, PAWL_ONES } pawl_start; /* initial values */

typedef struct pawl_weight {
    char name[PAWL_NAME_MAX];
    int64_t first; /* in the flat run */
    int ndim;
    int64_t dim[2];
    pawl_start start;
} pawl_weight;

/* Offsets of the slots of one layer, or (in pawl_model.at) of those outside the layers; -1: not there. */
typedef struct pawl_places {
    int64_t at[PAWL_SLOTS];
} pawl_places;

struct pawl_model {
    pawl_model_config config;
    unsigned has;
    int64_t *windows; /* [L] */
    pawl_weight *weights;
    pawl_extent *extents;
    int count;
    pawl_places outer, *layers;
    int64_t rows[PAWL_SLOTS], cols[PAWL_SLOTS]; /* of the fused group that begins at a slot; cols 0: a vector */
    int64_t flat, parameters, matmul_parameters;
};

/* pawl_model_open with options of the caller's: families are made of these, and tests try those that no family has yet.
 * Errors: EUSAGE, EMEM. */
PAWL_MUST pawl_status pawl_model_open_with(const pawl_model_config *c, const pawl_block_options *o, pawl_model **out);

/* The options of c's family, with those that c switches on. */
unsigned pawl_family_options(const pawl_model_config *c);

/* c with every "as many as", "the rest" and "none" worked out. */
pawl_model_config pawl_model_config_resolve(const pawl_model_config *c);

/* The group that begins at slot s (all of q, k, v for PAWL_Q) in a flat run of weights or gradients; data NULL when the
 * model does not have it or flat is NULL. layer is ignored outside the layers. */
pawl_tensor pawl_part(const pawl_model *m, const float *flat, int64_t layer, pawl_slot s);
/* The slot at which the fused group of slot s begins. */
pawl_slot pawl_group_of(pawl_slot s);
/* The slot of the output head: its own or the embedding. */
pawl_slot pawl_head_slot(const pawl_model *m);

/* A view of floats as a matrix, or as a vector with cols 0. pawl_tensor knows no const: who only reads, only reads. */
static inline pawl_tensor pawl_view(const float *data, int64_t rows, int64_t cols)
{
    pawl_tensor t;
    t.data = (void *)(uintptr_t)data;
    t.dtype = PAWL_F32;
    t.ndim = cols ? 2 : 1;
    t.dim[0] = rows;
    t.dim[1] = cols;
    t.dim[2] = t.dim[3] = 0;
    return t;
}

/* The config.json of a model whose weights are written as dtype; json_decref it. Errors: EMEM; EBUG for options that no
 * family has. */
PAWL_MUST pawl_status pawl_hf_config_json(const pawl_model *m, pawl_dtype dtype, json_t **out);

/* cos and sin [positions, K/2], with the frequencies scaled as the configuration says. */
void pawl_rope_tables(const pawl_model_config *c, int64_t positions, float *cos, float *sin);

/* Numbers per position of the fused qkv, and of attention's output. */
static inline int64_t pawl_qkv_width(const pawl_model_config *c)
{
    return (c->num_attention_heads + 2 * c->num_key_value_heads) * c->head_dim;
}
static inline int64_t pawl_query_width(const pawl_model_config *c)
{
    return c->num_attention_heads * c->head_dim;
}
static inline int64_t pawl_key_width(const pawl_model_config *c)
{
    return c->num_key_value_heads * c->head_dim;
}

/* What a layer's forward pass leaves for its backward pass. Capacity is that of the slot it was laid out for. */
typedef struct pawl_kept {
    float *attention_sum, *attention_in, *attention_rstd; /* [N,D] [N,D] [N]: the residual stream and its norm */
    float *qkv_raw, *q_rstd, *k_rstd;                     /* with q/k norm: [N,(H+2G)K] [N,H] [N,G] */
    float *qkv;                                           /* [N,(H+2G)K], rotated */
    float *attended, *lse;                                /* [N,HK] [N,H] */
    float *mlp_sum, *mlp_in, *mlp_rstd;                   /* [N,D] [N,D] [N] */
    float *gate_up, *act;                                 /* [N,2F] [N,F] */
} pawl_kept;

struct pawl_activations {
    pawl_arena arena;
    int64_t positions, tokens; /* capacity: of the slot, of a row */
    int train;
    float *cos, *sin; /* [tokens, K/2] */
    float *out;       /* [N,D]: what a sub-layer adds to the residual stream */
    float *final_sum, *final_in, *final_rstd;
    float *dsum, *dnorm;    /* [N,D]: gradients of the residual stream and behind a norm */
    float *dwide, *dnarrow; /* [N, max(2F, (H+2G)K)] [N, max(F, HK)] */
    pawl_kept *layers;      /* [L]; one shared by all when nothing is kept */
};

#ifdef __cplusplus
}
#endif
#endif
