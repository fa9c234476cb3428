/* data/prepare.h - making the prepared form of a dataset, on all ranks. */
#ifndef PAWL_DATA_PREPARE_H
#define PAWL_DATA_PREPARE_H

#include "data/files.h"
#include "data/prepared.h"

enum { PAWL_UNIT_BYTES = 4 << 20 }; /* of a file that one rank reads at a time */

/* All that the prepared form depends on; unit_bytes and skip_bad_rows change nothing in it. */
typedef struct pawl_recipe {
    const char *domain;                 /* for people */
    const pawl_dataset_config *dataset; /* its type says which rows are split when they are long */
    const pawl_sources *sources;        /* hashed */
    const pawl_tokenizer *tokenizer;
    const pawl_renderer *renderer;
    int64_t sequence_len;
    int packed;
    double held_out; /* share of the documents, by content digest; 1: all */
    int excess;      /* pawl_excess */
    int64_t skip_bad_rows;
    int64_t unit_bytes;
} pawl_recipe;

/* SHA-256 over the recipe: equal keys mean equal prepared bytes. */
PAWL_MUST pawl_status pawl_recipe_key(const pawl_recipe *r, pawl_digest *out);
/* [{name, bytes, sha256}] */
json_t *pawl_source_records(const pawl_sources *s);

/* Collective. Writes the prepared form into the folder dir, which rank 0 sees; ranks that do not see it and the files
 * do not take part. Ends early, unsealed, when pawl_stop_asked of any rank. folder: what errors say to make room in.
 * Errors: EDATA naming FILE:LINE:COL, the same and the earliest for any number of ranks; EIO, EMEM. */
PAWL_MUST pawl_status pawl_prepare(pawl_comm *c, const pawl_recipe *r, const char *dir, const char *folder);
/* s with advice when the disk failed. */
PAWL_MUST pawl_status pawl_prepare_advise(pawl_status s, const char *folder);

#endif
