/* model/hf_config.h - private to model/: config.json, key by key.
 *
 * The rule: a key is taken, or must have the one value that is computed here, or is known to leave the result alone.
 * Any other key is refused by name, for it might change the result. One table serves reading and writing. */
#ifndef PAWL_MODEL_HF_CONFIG_H
#define PAWL_MODEL_HF_CONFIG_H

#include "model/decoder.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum pawl_key_rule {
    PAWL_KEY_TAKEN,   /* a row of pawl_model_rows: `is`, or of the same name; null is as if it were not there */
    PAWL_KEY_OR_NONE, /* the same, where null is 0, and 0 is written as null */
    PAWL_KEY_TOKEN,   /* the same, where null is none and a list stands for its first */
    PAWL_KEY_APART,   /* read and written by functions of their own */
    PAWL_KEY_MUST,    /* null or one of `is`, a JSON array; the first is written */
    PAWL_KEY_NOTED,   /* a dropout rate: said to be ignored, written as 0 */
    PAWL_KEY_IGNORED  /* cannot change the result; `is` is what is written */
} pawl_key_rule;

typedef struct pawl_known_key {
    const char *key;
    unsigned families; /* bits in the order of pawl_model_types */
    pawl_key_rule rule;
    const char *is;
    int written;
} pawl_known_key;
extern const pawl_known_key pawl_known_keys[]; /* ended by key NULL */

/* The row of that key for a family (an index into pawl_model_types); NULL: not known. */
const pawl_known_key *pawl_known_key_find(const char *key, int32_t family);
/* The row of pawl_model_rows that a taken key fills. */
const pawl_field *pawl_known_key_row(const pawl_known_key *k);

/* object[key], or NULL for none and for null. */
const json_t *pawl_hf_given(const json_t *object, const char *key);
/* A JSON value as people would read it in a sentence, cut to fit. Returns out. */
const char *pawl_hf_shown(const json_t *value, char out[96]);
int pawl_hf_same_value(const json_t *a, const json_t *b); /* numbers by value: 0 and 0.0 */
/* A scalar into a member. Errors: EDATA naming path and key. */
PAWL_MUST pawl_status pawl_hf_take(const json_t *value, const char *path, const char *key, const pawl_field *row,
                                   void *section);

/* Rotary embedding, in both published forms. Errors: EDATA. */
PAWL_MUST pawl_status pawl_hf_rope(const json_t *root, const char *path, pawl_model_config *c);
/* What stands under rope_scaling; a new reference, NULL when memory is gone. */
json_t *pawl_hf_rope_json(const pawl_model_config *c);

#ifdef __cplusplus
}
#endif
#endif
