/* model/adapter.h - private to model/: low-rank adapters, where each of them adds to a product, and the settings that
 * say so in PEFT's words.
 *
 * An adapted module is a linear layer under its Hugging Face name; its product is a part of a fused group's product.
 * With x [N,I] what goes in, A [r,I], B [O,r], s = alpha / r (rsLoRA: alpha / sqrt(r)) and drop() a dropout of x, y = x
 * W^T + bias + s (drop(x) A^T) B^T and with DoRA, m [O] a magnitude and g = m / ||W + s B A|| (norms of rows, held
 * constant for gradients), y = x W^T + bias + (g - 1) (drop(x) W^T) + g s (drop(x) A^T) B^T. Source: Hu et al. 2021;
 * Kalajdzievski 2023 (rsLoRA); Liu et al. 2024 (DoRA), with dropout and gradients as in PEFT. */
#ifndef PAWL_MODEL_ADAPTER_H
#define PAWL_MODEL_ADAPTER_H

#include "model/decoder.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A linear layer of the model that an adapter may be put on. */
typedef struct pawl_module {
    char name[PAWL_NAME_MAX]; /* "model.layers.0.self_attn.q_proj" */
    int64_t layer;
    pawl_slot group; /* the fused group whose product it is a part of: columns [first, first + out) */
    int64_t first, out, in;
    int64_t weight;     /* where its rows begin in the model's flat run */
    int fan_in_fan_out; /* its weight is stored the other way round: GPT-2's Conv1D */
} pawl_module;

typedef struct pawl_adapted {
    pawl_module module;
    int64_t r;
    double alpha;
    float scale;
    int64_t a, b, magnitude; /* where they lie in the adapter's flat run; magnitude -1: not DoRA */
    int64_t ranks_before, outs_before; /* r and out of all items before it, together */
} pawl_adapted;

struct pawl_adapter {
    const pawl_model *m;
    int64_t r; /* what most modules have */
    double alpha, dropout;
    int rslora, dora;
    pawl_adapted *items; /* in the order of the model's weights */
    int count;
    int *starts; /* [L+1] items of layer l: [starts[l], starts[l+1]) */
    pawl_extent *extents;
    int extent_count;
    int64_t flat, parameters;
};

/* The settings of an adapter as adapter_config.json has them, checked one by one; matching needs no model yet. */
typedef struct pawl_lora_settings {
    int64_t r;
    double alpha, dropout;
    int rslora, dora;
    int every_target; /* 1: each target must be there (a run's keys); 0: one of them must (PEFT's files) */
    int all_linear;
    const json_t *targets;                      /* list of names; NULL with all_linear */
    const json_t *excluded;                     /* list of names or NULL */
    const json_t *layers;                       /* list of numbers, one number, or NULL */
    const json_t *rank_pattern, *alpha_pattern; /* objects or NULL */
} pawl_lora_settings;
/* Borrows from json. Errors: EDATA naming where and the key that is not supported. */
PAWL_MUST pawl_status pawl_lora_settings_read(const json_t *json, const char *where, pawl_lora_settings *out);
/* Whether a module of that name and layer is a target, and its rank and alpha. */
int pawl_lora_targets(const pawl_lora_settings *s, const char *name, int64_t layer);
int pawl_lora_excludes(const pawl_lora_settings *s, const char *name);
int pawl_lora_name_matches(const char *name, const char *target);
int64_t pawl_lora_rank(const pawl_lora_settings *s, const char *name);
double pawl_lora_alpha(const pawl_lora_settings *s, const char *name);

/* All linear layers of the blocks, the output head left out; pawl_free the list. */
PAWL_MUST pawl_status pawl_modules_of(const pawl_model *m, pawl_module **out, int *count);

/* The adapted modules of a layer's group, which lie side by side: NULL when there are none. */
const pawl_adapted *pawl_adapted_in(const pawl_adapter *a, int64_t layer, pawl_slot group, int *count);

/* Views of one item's tensors in a stretch of the adapter's flat run; data NULL without data or when it has none. */
pawl_tensor pawl_adapted_a(const pawl_adapted *t, pawl_stretch of);
pawl_tensor pawl_adapted_b(const pawl_adapted *t, pawl_stretch of);
pawl_tensor pawl_adapted_magnitude(const pawl_adapted *t, pawl_stretch of);

/* ---- Frozen weights (frozen.c) ---- */
struct pawl_frozen {
    const pawl_model *m;
    pawl_device *device;
    pawl_code code;
    pawl_dtype type; /* of matrices that are not coded */
    pawl_arena arena;
    float *flat; /* laid out as m; or, with a code or in bf16, what is not coded, at the places below */
    int64_t floats;
    pawl_places outer, *layers; /* [L] where groups begin, in floats of flat; -1: coded, or not there */
    pawl_coded *coded;          /* [L, 4] the groups q, o, gate and down */
    void *panel;                /* scratch: rows of a coded group in the type of passes */
};

/* As pawl_part. */
pawl_tensor pawl_frozen_part(const pawl_frozen *f, int64_t layer, pawl_slot s);
/* Calls body for rows [first, first + rows) of the group that begins at a slot, so many at a time as there is scratch
 * for; row counts from `first`. */
typedef pawl_status (*pawl_rows_body)(void *self, pawl_tensor w, int64_t row);
int64_t pawl_frozen_panel_rows(const pawl_model *m, pawl_slot group); /* so many, where weights are coded */
PAWL_MUST pawl_status pawl_frozen_rows(const pawl_frozen *f, pawl_device *d, int64_t layer, pawl_slot group,
                                       int64_t first, int64_t rows, pawl_rows_body body, void *self);

/* ---- Within a pass (adapter_pass.c) ---- */
struct pawl_adapter_work {
    pawl_arena arena, here; /* here: in the host's memory, where that is another */
    pawl_device *device;
    int64_t positions;
    int low_again;           /* low is of one layer at a time, and computed again */
    pawl_dtype type;         /* of passes, and of: */
    void *low;               /* s drop(x) A^T of every item, [positions, r] each, one behind the other */
    void *dlow;              /* [positions, most r] */
    void *dropped;           /* [positions, most in]; with dropout or DoRA */
    float *wide, *dwide;     /* DoRA: [positions, most out] */
    float *norms;            /* DoRA: of every item, [out] each */
    float *gain, *gain_less; /* DoRA: [most out] g and g - 1, of the item at hand */
    float *ones;             /* DoRA: [most out] */
    float *ones_here;        /* DoRA: [most out]; where the host fills them */
};

typedef struct pawl_adapting {
    const pawl_over *over;
    pawl_device *d;
    pawl_stretch weights, grads; /* the adapter's, of the layer at hand */
    pawl_put put;
    int64_t N, tokens;
    int fp8; /* the base's own products, forward, are of 8-bit floats; it is not coded */
} pawl_adapting;

/* y [N, the group's width] = x w^T + bias, with what the adapted modules of the group add. */
PAWL_MUST pawl_status pawl_adapted_linear(const pawl_adapting *p, int64_t layer, pawl_slot group, pawl_slot bias,
                                          pawl_tensor x, pawl_tensor y);
/* The low-rank products of the group's modules alone, for the backward pass. */
PAWL_MUST pawl_status pawl_adapted_low(const pawl_adapting *p, int64_t layer, pawl_slot group, pawl_tensor x);
/* Gradients of the group's adapted modules, and dx (set; data NULL: not wanted). */
PAWL_MUST pawl_status pawl_adapted_backward(const pawl_adapting *p, int64_t layer, pawl_slot group, pawl_tensor dy,
                                            pawl_tensor x, pawl_tensor dx);

#ifdef __cplusplus
}
#endif
#endif
