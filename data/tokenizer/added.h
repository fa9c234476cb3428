/* data/tokenizer/added.h - added tokens: texts that are found before the model sees anything, raw or as the normalizer
 * writes them. Source: AddedVocabulary of Hugging Face's tokenizers. */
#ifndef PAWL_DATA_TOKENIZER_ADDED_H
#define PAWL_DATA_TOKENIZER_ADDED_H

#include "data/tokenizer/pipeline.h"

typedef struct pawl_added_token {
    int32_t id;
    int single_word, lstrip, rstrip, normalized, special;
} pawl_added_token;

/* Texts to look for, sorted by bytes. */
typedef struct pawl_added_set {
    struct pawl_needle {
        char *text;
        int64_t bytes;
        const pawl_added_token *token;
        int order;
    } * items;
    int count;
    int first[257]; /* items that begin with byte b: [first[b], first[b + 1]) */
} pawl_added_set;

typedef struct pawl_added {
    pawl_strings contents; /* by place in tokens */
    pawl_strings normals;  /* of the normalized ones, as the normalizer writes them */
    pawl_added_token *tokens;
    int32_t *by_id; /* [ids], place in tokens; -1: none */
    int32_t count, ids;
    pawl_added_set raw, normalized;
} pawl_added;

/* Reads added_tokens, checks that ids are those which Hugging Face's tokenizers would give, and makes the set of raw
 * ones. */
PAWL_MUST pawl_status pawl_added_open(pawl_added *a, const json_t *list, const pawl_bpe *bpe, const pawl_place *p);
/* Makes the set of normalized ones: write gives the text as the normalizer writes it. */
PAWL_MUST pawl_status pawl_added_normalize(pawl_added *a, const pawl_place *p,
                                           pawl_status (*write)(void *data, const char *text, size_t bytes,
                                                                pawl_stretch *out),
                                           void *data);
void pawl_added_close(pawl_added *a);
int32_t pawl_added_find(const pawl_added *a, const char *text, size_t bytes); /* an id; -1 */
const pawl_added_token *pawl_added_of(const pawl_added *a, int32_t id);       /* NULL: none */
/* What it decodes to: its content, of a normalized one as the normalizer writes it. Whether decoding leaves a text out
 * as special goes by that text, too. */
const char *pawl_added_text(const pawl_added *a, const pawl_added_token *t, size_t *bytes);
int pawl_added_is_special(const pawl_added *a, const char *text, size_t bytes);

pawl_status pawl_added_run(const pawl_stage *s, pawl_encoder *e, pawl_stretch piece);

#endif
