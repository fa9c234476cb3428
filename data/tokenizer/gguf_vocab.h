/* data/tokenizer/gguf_vocab.h - the vocabulary of a GGUF file, checked, for building tokenizer.json of it (private to data/). */
#ifndef PAWL_DATA_GGUF_VOCAB_H
#define PAWL_DATA_GGUF_VOCAB_H

#include "core/gguf.h"
#include "core/json.h"

/* Types of tokens, numbered as in files. */
typedef enum pawl_gguf_token {
    PAWL_GGUF_NORMAL = 1,
    PAWL_GGUF_UNKNOWN,
    PAWL_GGUF_CONTROL,
    PAWL_GGUF_USER_DEFINED,
    PAWL_GGUF_UNUSED,
    PAWL_GGUF_BYTE
} pawl_gguf_token;

/* A way of cutting texts, as JSON. */
typedef struct pawl_gguf_rule {
    const char *name, *normalizer, *pre_tokenizer;
    const char *with_prefix; /* the same where a text begins with a space; NULL: there is no such form */
    int ignore_merges,
        begins; /* a whole word that is a token is taken as it is; bos is added unless the file says no */
} pawl_gguf_rule;

typedef struct pawl_gguf_vocab {
    const pawl_gguf *g;
    const pawl_gguf_rule *rule; /* NULL: sentencepiece-style */
    pawl_gguf_text *tokens;
    int64_t *types; /* [count] */
    double *scores; /* [count], or NULL */
    int64_t count;
    int32_t *slots; /* ids by text: open addressing, -1 is free */
    size_t slot_count;
    int64_t begin, end, unknown, pad; /* ids; -1: none */
    int adds_begin, adds_end, adds_space;
} pawl_gguf_vocab;

/* The rule of tokenizer.ggml.pre. Errors: EDATA naming what is not known. */
PAWL_MUST pawl_status pawl_gguf_rule_of(const pawl_gguf *g, const pawl_gguf_rule **out);

/* Errors: EDATA naming file and key: kinds of tokenizers and keys that are not supported, lists whose lengths differ,
 * texts that are no UTF-8 or there twice, ids outside. */
PAWL_MUST pawl_status pawl_gguf_vocab_open(const pawl_gguf *g, pawl_gguf_vocab *out);
void pawl_gguf_vocab_close(pawl_gguf_vocab *v);
/* Tokens that fill up the table take no part. */
int pawl_gguf_takes_part(const pawl_gguf_vocab *v, int64_t id);

/* A hash that can be extended by a byte at either end: pawl_gguf_hash of text is the sum of byte * base^(place from the
 * end). */
#define PAWL_GGUF_HASH_BASE UINT64_C(0x9e3779b97f4a7c15)
uint64_t pawl_gguf_hash(const char *text, size_t bytes);
/* The id of that text, whose hash is known; -1. */
int32_t pawl_gguf_id_of(const pawl_gguf_vocab *v, const char *text, size_t bytes, uint64_t hash);

/* The merges in order, as tokenizer.json has them: those of the file, or for a sentencepiece-style vocabulary those
 * that its scores imply. */
PAWL_MUST pawl_status pawl_gguf_merges(const pawl_gguf_vocab *v, json_t **out);

#endif
