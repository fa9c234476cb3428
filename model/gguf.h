/* model/gguf.h - GGUF models as Hugging Face models: one row a family (private to model/). */
#ifndef PAWL_MODEL_GGUF_H
#define PAWL_MODEL_GGUF_H

#include "core/gguf.h"
#include "core/json.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum pawl_gguf_order {
    PAWL_AS_IT_IS,
    PAWL_QUERY_ROWS, /* pairs of a head lie side by side in GGUF, half a head apart in Hugging Face's order */
    PAWL_KEY_ROWS,
    PAWL_TRANSPOSED /* Conv1D keeps [in, out] */
} pawl_gguf_order;

typedef struct pawl_gguf_name {
    const char *theirs, *ours; /* behind "blk.N." and the family's prefix of a layer, or the whole name */
    pawl_gguf_order order;
} pawl_gguf_name;

/* A key of the architecture's own namespace and its name in config.json. */
typedef struct pawl_gguf_setting {
    const char *theirs, *ours;
    enum { PAWL_WHOLE, PAWL_REAL } kind;
} pawl_gguf_setting;

typedef struct pawl_gguf_family {
    const char *name;         /* general.architecture */
    const char *layer_prefix; /* "model.layers." */
    const pawl_gguf_name *outer, *layer;
    const pawl_gguf_setting *settings;
    const char *constants; /* what config.json says of every such model, as JSON */
    int rotary;            /* has rotary positions */
} pawl_gguf_family;

/* What is known of the file once its keys are read. */
typedef struct pawl_gguf_model {
    const pawl_gguf *file;
    const pawl_gguf_family *family;
    int64_t layers, hidden, heads, kv_heads, head_dim, vocabulary, context;
    int tied; /* the head is the embedding */
} pawl_gguf_model;

/* The family of the file, and its sizes. Errors: EDATA naming an architecture that is not supported, or a key. */
PAWL_MUST pawl_status pawl_gguf_model_open(const pawl_gguf *g, pawl_gguf_model *out);
/* Refuses keys of the architecture that might change the result and are not read, by name. */
PAWL_MUST pawl_status pawl_gguf_check_keys(const pawl_gguf_model *m);
/* config.json and generation_config.json. */
PAWL_MUST pawl_status pawl_gguf_config_json(const pawl_gguf_model *m, pawl_dtype dtype, json_t **out);
PAWL_MUST pawl_status pawl_gguf_generation_json(const pawl_gguf_model *m, json_t **out);
/* rope_scaling, or JSON's null. */
PAWL_MUST pawl_status pawl_gguf_rope_json(const pawl_gguf_model *m, double theta, json_t **out);
/* The key `suffix` in the architecture's namespace. */
const char *pawl_gguf_own_key(const pawl_gguf_model *m, const char *suffix, char out[256]);
/* A number that was f32 as the shortest decimal that reads back to it: 1e-05, not 9.99999974737875e-06. */
double pawl_gguf_short(double x);

/* The tensors' names, orders and shapes in Hugging Face's words; a name that the family does not have is refused. */
PAWL_MUST pawl_status pawl_gguf_write_weights(const pawl_gguf_model *m, pawl_dtype dtype, const char *dir,
                                              void (*alive)(void));

#ifdef __cplusplus
}
#endif
#endif
