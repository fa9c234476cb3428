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
    PAWL_OWN_HEAD = 32,
    PAWL_LAYER_NORM = 64,      /* norms take the mean off and have a bias; else root-mean-square */
    PAWL_POSITION_TABLE = 128, /* learned positions are added to the embedding; else rotary */
    PAWL_UNGATED = 256,        /* the feed-forward layer is act(x up) down; else (silu(x gate) * x up) down */
    PAWL_STILL_PAD = 512       /* lookups of pad_token_id give its embedding no gradient */
};

typedef struct pawl_block_options {
    unsigned has;           /* of the bits above; the head's are set from the configuration */
    const int64_t *windows; /* [L] positions each layer attends over, 0: all; NULL: as the configuration says */
} pawl_block_options;

/* The weights, in the order in which they lie in memory. */
/* clang-format off */
typedef enum pawl_slot {
    PAWL_EMBED, PAWL_POSITIONS,
    PAWL_ATTENTION_NORM, PAWL_ATTENTION_NORM_BIAS, /* from here to PAWL_DOWN_BIAS: of every layer */
    PAWL_Q, PAWL_K, PAWL_V,                        /* fused in the file: all of it in the first slot */
    PAWL_Q_BIAS, PAWL_K_BIAS, PAWL_V_BIAS,
    PAWL_Q_NORM, PAWL_K_NORM,
    PAWL_O, PAWL_O_BIASES,
    PAWL_MLP_NORM, PAWL_MLP_NORM_BIAS,
    PAWL_GATE, PAWL_UP,                            /* ungated: the one matrix stands in the first slot */
    PAWL_GATE_BIAS, PAWL_UP_BIAS,
    PAWL_DOWN, PAWL_DOWN_BIAS,
    PAWL_FINAL_NORM, PAWL_FINAL_NORM_BIAS,
    PAWL_HEAD,
    PAWL_SLOTS
} pawl_slot;
/* clang-format on */

typedef enum pawl_start { PAWL_NORMAL, PAWL_ZEROS, PAWL_ONES } pawl_start; /* initial values */

/* How long a side of a weight is. */
typedef enum pawl_side {
    PAWL_NO_SIDE,
    PAWL_WIDTH,
    PAWL_HEAD_SIDE,
    PAWL_QUERIES,
    PAWL_KEYS,
    PAWL_FUSED_QKV,
    PAWL_FF,
    PAWL_VOCAB,
    PAWL_CONTEXT
} pawl_side;

/* A slot in one family's words. */
typedef struct pawl_slot_row {
    const char *name;     /* behind the layer's own; NULL: the family does not have it */
    pawl_side rows, cols; /* of the matrix [out, in] in memory; no cols: a vector */
    int joins;            /* lies right behind the slot before it, so that the two are one matrix */
    unsigned needs;       /* 0, or its option */
    pawl_start start;
    int transposed; /* in files */
} pawl_slot_row;

/* What config.json means where it is silent: a key of pawl_model_rows and its value. */
typedef struct pawl_silence {
    const char *key, *value;
} pawl_silence;

/* What a family's configuration may say beside the common keys. */
enum { PAWL_MAY_WINDOW = 1, PAWL_MAY_MIX_WINDOWS = 2, PAWL_MAY_SCALE_SCORES = 4 };

/* A family of models: how its files are recognised and named, and what its blocks are made of. */
typedef struct pawl_family {
    const char *model_type, *architecture;
    const char *prefix;                        /* of names in files, which may be missing there */
    const char *layers;                        /* before a layer's number */
    const pawl_slot_row *slots;                /* [PAWL_SLOTS] */
    const char *const *ignored;                /* ends of names of tables that old versions saved, NULL at the end */
    unsigned always, attention_bias, mlp_bias; /* options: always there, and those that the two keys switch on */
    unsigned may;
    const char *activation;      /* for hidden_act: default */
    const pawl_silence *silence; /* ended by key NULL */
} pawl_family;
extern const pawl_family pawl_families[]; /* in the order of pawl_model_types */

typedef struct pawl_weight {
    char name[PAWL_NAME_MAX];
    int64_t first; /* in the flat run */
    int ndim;
    int64_t dim[2];
    int transposed; /* in files */
    pawl_start start;
} pawl_weight;

/* Offsets of the slots of one layer, or (in pawl_model.at) of those outside the layers; -1: not there. */
typedef struct pawl_places {
    int64_t at[PAWL_SLOTS];
    int64_t vector[PAWL_SLOTS]; /* of vectors: where they stand in a run of vectors alone */
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
    int64_t flat, vectors, parameters, matmul_parameters;
};

/* pawl_model_open with options of the caller's: families are made of these, and tests try those that no family has yet.
 * Errors: EUSAGE, EMEM. */
PAWL_MUST pawl_status pawl_model_open_with(const pawl_model_config *c, const pawl_block_options *o, pawl_model **out);

/* The options of c's family, with those that c switches on. */
unsigned pawl_family_options(const pawl_model_config *c);

/* What hidden_act (resolved) stands for. */
pawl_activation pawl_activation_of(const pawl_model_config *c);
/* Whether passes over such slots compute the activation together with the products beside it. */
int pawl_fuses(const pawl_model *m, const pawl_capacity *c);
/* What attention scores of a layer are multiplied by. */
float pawl_score_scale(const pawl_model_config *c, int64_t layer);

/* c with every "as many as", "the rest" and "none" worked out. */
pawl_model_config pawl_model_config_resolve(const pawl_model_config *c);

/* The group that begins at slot s (all of q, k, v for PAWL_Q) in a flat run of weights or gradients; data NULL when the
 * model does not have it or flat is NULL. layer is ignored outside the layers. */
pawl_tensor pawl_part(const pawl_model *m, const float *flat, int64_t layer, pawl_slot s);
/* The numbers of a flat run from number `first` on, wherever they lie; data NULL: they are nowhere. */
typedef struct pawl_stretch {
    const void *data;
    int64_t first;
    pawl_dtype type; /* f32 or bf16 */
} pawl_stretch;
/* As pawl_part, of a stretch that holds all of the group. */
pawl_tensor pawl_part_in(const pawl_model *m, pawl_stretch of, int64_t layer, pawl_slot s);
/* The slot at which the fused group of slot s begins. */
pawl_slot pawl_group_of(const pawl_model *m, pawl_slot s);
/* The slot of the output head: its own or the embedding. */
pawl_slot pawl_head_slot(const pawl_model *m);

/* Number `count` of a stretch's data. */
static inline const void *pawl_number_at(pawl_stretch of, int64_t count)
{
    return (const char *)of.data + count * (of.type == PAWL_BF16 ? 2 : 4);
}

/* A view of floats as a matrix, or as a vector with cols 0. pawl_tensor knows no const: who only reads, only reads. */
static inline pawl_tensor pawl_view_as(pawl_dtype type, const void *data, int64_t rows, int64_t cols)
{
    pawl_tensor t;
    t.data = (void *)(uintptr_t)data;
    t.dtype = type;
    t.ndim = cols ? 2 : 1;
    t.dim[0] = rows;
    t.dim[1] = cols;
    t.dim[2] = t.dim[3] = 0;
    return t;
}

static inline pawl_tensor pawl_view(const float *data, int64_t rows, int64_t cols)
{
    return pawl_view_as(PAWL_F32, data, rows, cols);
}

void pawl_transit_lay_out(pawl_activations *x);
/* What carries N positions of a layer's own numbers between its place and where it is kept; returns how many loads. */
int pawl_kept_loads(const pawl_model *m, const pawl_activations *x, int64_t layer, int64_t N, pawl_carry_way way, pawl_load loads[]);

/* The config.json of a model whose weights are written as dtype; json_decref it. Errors: EMEM; EBUG for options that no
 * family has. */
PAWL_MUST pawl_status pawl_hf_config_json(const pawl_model *m, pawl_dtype dtype, json_t **out);
/* Its generation_config.json; NULL when memory is gone. */
json_t *pawl_hf_generation_json(const pawl_model *m);

/* cos and sin, [positions, K/2] for each set, with the frequencies scaled as the configuration says. Sets: one; or two,
 * the second for documents of more than pawl_rope_reach tokens, where there are frequencies of their own for those
 * (longrope) and positions go that far. */
int64_t pawl_rope_reach(const pawl_model_config *c);
int pawl_rope_sets(const pawl_model_config *c, int64_t positions);
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

/* Numbers per position that go into the activation: gates and ups, or what there is without a gate. */
static inline int64_t pawl_up_width(const pawl_model *m)
{
    return m->has & PAWL_UNGATED ? m->config.intermediate_size : 2 * m->config.intermediate_size;
}

/* What a norm leaves: the residual stream before it, its output, and a row's moments (mean with PAWL_LAYER_NORM). */
typedef struct pawl_normed {
    float *sum, *mean, *rstd; /* [N,D] [N] [N] */
    void *in;                 /* [N,D] */
} pawl_normed;

/* What a layer's forward pass leaves for its backward pass; void: of pawl_activations.type, else f32. What is computed again is shared by all layers (the table in
 * activations.c). Capacity is that of the slot it was laid out for. */
typedef struct pawl_kept {
    pawl_normed attention_norm;
    void *qkv_raw;           /* with q/k norm: [N,(H+2G)K], ... */
    float *q_rstd, *k_rstd;  /* ... [N,H] [N,G] */
    void *qkv;               /* [N,(H+2G)K], rotated */
    void *attended;          /* [N,HK] */
    float *lse;              /* [N,H] */
    pawl_normed mlp_norm;
    void *gate_up, *act; /* [N,2F] (ungated: [N,F]) [N,F] */
} pawl_kept;

/* Where a pass puts on the device what it is handed in the host's memory, and what it hands back (transit.c). All NULL where memory
 * is shared: then ops work on the host's arrays. */
typedef struct pawl_transit {
    int32_t *ids, *targets, *positions, *starts; /* [N] */
    int32_t *trained, *trained_here;             /* [N]: positions that have a target; and in the host's memory */
    int32_t *bounds, *bounds_here;               /* [N+1]: of documents; and in the host's memory */
    float *losses;                               /* [N] */
    int32_t *drawn;                              /* [N] */
    int64_t *lengths;                            /* [rows] */
    float *row_weights;                          /* [rows] */
    pawl_soft soft;                              /* [N,k], [N], [rows] */
    pawl_top top;                                /* [N,k] */
    double *squares;                             /* [rows, blocks of a row]: sums of gradients */
    double *squares_here;                        /* the same, in the host's memory, ... */
    int32_t *turns_here;                         /* [N] ... as this */
} pawl_transit;

enum { PAWL_AWAY_PLACES = 2, PAWL_KEPT_MOST = 20 };

struct pawl_activations {
    pawl_arena arena, here; /* here: in the host's memory, where that is another */
    pawl_device *device;
    int64_t rows, bins, width; /* capacity of transit; D */
    pawl_transit transit;
    int64_t positions, tokens; /* capacity: of the slot, of a row */
    int train;
    pawl_recompute recompute;
    int fused;        /* pawl_linear_activate in place of a product and an activation; its results are then kept in every layer. With fp8: backward alone */
    int fp8;          /* forward products of blocks are of 8-bit floats */
    pawl_dtype type;  /* of what products read and, but for the residual stream, write */
    int sets;         /* of rotary tables; 0 with learned positions */
    float *cos, *sin; /* [sets, tokens, K/2] */
    int32_t *turns;   /* [N]: with two sets, each position's row of the tables */
    float *out;       /* [N,D]: what a sub-layer adds to the residual stream */
    pawl_normed final;
    float *dsum, *dnorm;    /* [N,D]: gradients of the residual stream and behind a norm */
    void *dwide, *dnarrow;  /* [N, max(up width, (H+2G)K)] [N, max(F, HK)], of type */
    void *dsum_low;         /* [N,D]: dsum as products read it, where that is not f32 */
    pawl_kept *layers;      /* [L] */
    int offload;            /* layers take turns in PAWL_AWAY_PLACES places, ... */
    pawl_kept *away;        /* [L - places] ... and this is where they are kept meanwhile, the host's; NULL: each has a place of its own */
    int64_t away_ticket[PAWL_AWAY_PLACES];
};

#ifdef __cplusplus
}
#endif
#endif
