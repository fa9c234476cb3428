/* data/tokenizer/tokenizer.h - what a tokenizer is made of; one file for each part of tokenizer.json. */
#ifndef PAWL_DATA_TOKENIZER_TOKENIZER_H
#define PAWL_DATA_TOKENIZER_TOKENIZER_H

#include "data/tokenizer/added.h"
#include "data/tokenizer/decoder.h"
#include "data/tokenizer/pipeline.h"

/* What the post-processor puts before and behind the ids of a text. */
typedef struct pawl_frame {
    int32_t *before, *behind;
    int32_t before_count, behind_count;
    int taken; /* some processor has its say */
} pawl_frame;

struct pawl_tokenizer {
    pawl_digest digest, file_digest; /* file_digest: of tokenizer.json's bytes */
    int32_t begin, end;
    int is_bytes;   /* the tokenizer `bytes`, by name or exported */
    char dir[1024]; /* "" for `bytes` by name */
    pawl_classes classes;
    pawl_bpe bpe;
    pawl_added added;
    pawl_stage stages[PAWL_STAGES_MAX];
    int stage_count;
    pawl_decoder_steps decoder;
    pawl_frame frame;
};

/* The stage behind the last one, to be filled in. Errors: EDATA when there are too many. */
PAWL_MUST pawl_status pawl_stage_add(pawl_tokenizer *t, const pawl_place *p, pawl_stage **out);

/* Each reads its part of tokenizer.json (null is fine) and appends stages. */
PAWL_MUST pawl_status pawl_normalizer_open(pawl_tokenizer *t, const json_t *part, const pawl_place *p);
PAWL_MUST pawl_status pawl_pretokenizer_open(pawl_tokenizer *t, const json_t *part, const pawl_place *p);
PAWL_MUST pawl_status pawl_post_open(pawl_frame *f, const json_t *part, const pawl_place *p);

/* All of tokenizer.json. file names it in errors. */
PAWL_MUST pawl_status pawl_tokenizer_load(pawl_tokenizer *t, const json_t *whole, const char *file);

/* ---- `bytes` (bytes.c) ---- */
PAWL_MUST pawl_status pawl_bytes_json(json_t **out);
PAWL_MUST pawl_status pawl_bytes_save(const char *dir);
extern const char *const pawl_bytes_end; /* content of its end token */

#endif
