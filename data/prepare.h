/* data/prepare.h - making the prepared form of a dataset. */
#ifndef PAWL_DATA_PREPARE_H
#define PAWL_DATA_PREPARE_H

#include "data/files.h"
#include "data/prepared.h"

/* All that the prepared form depends on. */
typedef struct pawl_recipe {
    const pawl_dataset_config *dataset; /* type and field */
    const pawl_sources *sources;        /* hashed */
    const pawl_tokenizer *tokenizer;
    int64_t sequence_len;
    int packed;
    double held_out; /* share of the documents, by content digest; 1: all */
} pawl_recipe;

/* SHA-256 over the recipe: equal keys mean equal prepared bytes. */
PAWL_MUST pawl_status pawl_recipe_key(const pawl_recipe *r, pawl_digest *out);

/* Writes the prepared form into the folder dir, which exists. Ends early, unsealed, when pawl_stop_asked.
 * Errors: EDATA naming FILE:LINE:COL; EIO, EMEM. */
PAWL_MUST pawl_status pawl_prepare(const pawl_recipe *r, const char *dir);

#endif
