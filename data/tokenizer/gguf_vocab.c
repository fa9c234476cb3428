#include "data/tokenizer/gguf_vocab.h"

#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "data/utf8.h"

enum { TOKENS_MAX = 10000000, TOKEN_BYTES_MAX = 1 << 16 };

/* --- keys --------------------------------------------------------------------------------------------------- */

/* What else stands under "tokenizer." changes nothing here, or is refused. */
static const char *const known_keys[] = {
    "tokenizer.ggml.model",
    "tokenizer.ggml.pre",
    "tokenizer.ggml.tokens",
    "tokenizer.ggml.token_type",
    "tokenizer.ggml.token_type_count",
    "tokenizer.ggml.scores",
    "tokenizer.ggml.merges",
    "tokenizer.ggml.bos_token_id",
    "tokenizer.ggml.eos_token_id",
    "tokenizer.ggml.eot_token_id",
    "tokenizer.ggml.eom_token_id",
    "tokenizer.ggml.unknown_token_id",
    "tokenizer.ggml.padding_token_id",
    "tokenizer.ggml.seperator_token_id",
    "tokenizer.ggml.cls_token_id",
    "tokenizer.ggml.mask_token_id",
    "tokenizer.ggml.prefix_token_id",
    "tokenizer.ggml.suffix_token_id",
    "tokenizer.ggml.middle_token_id",
    "tokenizer.ggml.fim_pre_token_id",
    "tokenizer.ggml.fim_suf_token_id",
    "tokenizer.ggml.fim_mid_token_id",
    "tokenizer.ggml.fim_pad_token_id",
    "tokenizer.ggml.fim_rep_token_id",
    "tokenizer.ggml.fim_sep_token_id",
    "tokenizer.ggml.add_bos_token",
    "tokenizer.ggml.add_eos_token",
    "tokenizer.ggml.add_space_prefix",
    "tokenizer.huggingface.json",
    "tokenizer.chat_template",
    "tokenizer.chat_templates",
    NULL,
};

static int is_known(const char *key)
{
    for (int i = 0; known_keys[i]; i++)
        if (strcmp(known_keys[i], key) == 0) return 1;
    return strncmp(key, "tokenizer.chat_template.", 24) == 0;
}

static pawl_status check_keys(const pawl_gguf *g)
{
    for (int i = 0; i < pawl_gguf_keys(g); i++) {
        const char *key = pawl_gguf_key(g, i);
        int flag;
        if (strncmp(key, "tokenizer.", 10) != 0 || is_known(key)) continue;
        if (pawl_gguf_flag_or(g, key, 0, &flag) == PAWL_OK && !flag) continue; /* remove_extra_whitespaces: false */
        return PAWL_FAIL(PAWL_EDATA, "%s: key %s is not computed here and may change what texts become",
                         pawl_gguf_path(g), key);
    }
    return PAWL_OK;
}

/* --- texts -------------------------------------------------------------------------------------------------- */

int pawl_gguf_takes_part(const pawl_gguf_vocab *v, int64_t id)
{
    return v->types[id] != PAWL_GGUF_UNUSED;
}

uint64_t pawl_gguf_hash(const char *text, size_t bytes)
{
    uint64_t h = 0;
    for (size_t i = 0; i < bytes; i++) h = h * PAWL_GGUF_HASH_BASE + (uint8_t)text[i] + 1;
    return h;
}

static size_t first_slot(const pawl_gguf_vocab *v, uint64_t hash)
{
    hash ^= hash >> 29;
    return (size_t)(hash * UINT64_C(0xbf58476d1ce4e5b9) >> 20) & (v->slot_count - 1);
}

int32_t pawl_gguf_id_of(const pawl_gguf_vocab *v, const char *text, size_t bytes, uint64_t hash)
{
    for (size_t s = first_slot(v, hash); v->slots[s] >= 0; s = (s + 1) & (v->slot_count - 1)) {
        const pawl_gguf_text *t = &v->tokens[v->slots[s]];
        if (t->bytes == bytes && memcmp(t->data, text, bytes) == 0) return v->slots[s];
    }
    return -1;
}

static pawl_status enter(pawl_gguf_vocab *v, int32_t id)
{
    const pawl_gguf_text *t = &v->tokens[id];
    const char *path = pawl_gguf_path(v->g);
    PAWL_CHECK(t->bytes > 0 && t->bytes <= TOKEN_BYTES_MAX, PAWL_EDATA,
               "%s: key tokenizer.ggml.tokens: token %d is %zu bytes long, expected 1 to %d", path, id, t->bytes,
               TOKEN_BYTES_MAX);
    PAWL_CHECK(pawl_utf8_valid_prefix(t->data, t->bytes) == t->bytes, PAWL_EDATA,
               "%s: key tokenizer.ggml.tokens: token %d is not UTF-8, or has a NUL in it", path, id);
    const uint64_t hash = pawl_gguf_hash(t->data, t->bytes);
    const int32_t twin = pawl_gguf_id_of(v, t->data, t->bytes, hash);
    PAWL_CHECK(twin < 0, PAWL_EDATA, "%s: key tokenizer.ggml.tokens: tokens %d and %d are the same text '%.*s'", path,
               twin, id, (int)(t->bytes < 60 ? t->bytes : 60), t->data);
    size_t s = first_slot(v, hash);
    while (v->slots[s] >= 0) s = (s + 1) & (v->slot_count - 1);
    v->slots[s] = id;
    return PAWL_OK;
}

static pawl_status enter_all(pawl_gguf_vocab *v)
{
    v->slot_count = 16;
    while (v->slot_count < (size_t)v->count * 2) v->slot_count *= 2;
    PAWL_TRY(pawl_alloc((void **)&v->slots, v->slot_count * sizeof *v->slots, "a table of tokens"));
    memset(v->slots, 0xff, v->slot_count * sizeof *v->slots);
    for (int64_t id = 0; id < v->count; id++)
        if (pawl_gguf_takes_part(v, id)) PAWL_TRY(enter(v, (int32_t)id));
    return PAWL_OK;
}

/* --- the whole ---------------------------------------------------------------------------------------------- */

static pawl_status read_types(pawl_gguf_vocab *v)
{
    const char *const key = "tokenizer.ggml.token_type";
    int64_t count;
    if (!pawl_gguf_has(v->g, key)) {
        PAWL_TRY(pawl_alloc((void **)&v->types, (size_t)v->count * sizeof *v->types, key));
        for (int64_t i = 0; i < v->count; i++) v->types[i] = PAWL_GGUF_NORMAL;
        return PAWL_OK;
    }
    PAWL_TRY(pawl_gguf_integers(v->g, key, &v->types, &count));
    PAWL_CHECK(count == v->count, PAWL_EDATA, "%s: key %s has %lld elements, tokenizer.ggml.tokens %lld",
               pawl_gguf_path(v->g), key, (long long)count, (long long)v->count);
    for (int64_t i = 0; i < count; i++)
        PAWL_CHECK(v->types[i] >= PAWL_GGUF_NORMAL && v->types[i] <= PAWL_GGUF_BYTE, PAWL_EDATA,
                   "%s: key %s: token %lld has type %lld, expected 1 to %d", pawl_gguf_path(v->g), key, (long long)i,
                   (long long)v->types[i], PAWL_GGUF_BYTE);
    return PAWL_OK;
}

static pawl_status read_scores(pawl_gguf_vocab *v)
{
    const char *const key = "tokenizer.ggml.scores";
    int64_t count;
    if (!pawl_gguf_has(v->g, key)) return PAWL_OK;
    PAWL_TRY(pawl_gguf_numbers(v->g, key, &v->scores, &count));
    PAWL_CHECK(count == v->count, PAWL_EDATA, "%s: key %s has %lld elements, tokenizer.ggml.tokens %lld",
               pawl_gguf_path(v->g), key, (long long)count, (long long)v->count);
    return PAWL_OK;
}

static pawl_status read_kind(pawl_gguf_vocab *v)
{
    const char *const key = "tokenizer.ggml.model";
    if (pawl_gguf_is(v->g, key, "llama")) return PAWL_OK;
    if (pawl_gguf_is(v->g, key, "gpt2")) return pawl_gguf_rule_of(v->g, &v->rule);
    pawl_text found = {0};
    pawl_gguf_show(v->g, key, &found);
    const pawl_status s = PAWL_FAIL(PAWL_EDATA, "%s: key %s, the kind of tokenizer, is %s; imported are gpt2 and llama",
                                    pawl_gguf_path(v->g), key, found.data ? found.data : "unknown");
    pawl_text_close(&found);
    return s;
}

/* An id that the file names; dflt where it does not, and there are as many tokens. */
static pawl_status read_id(const pawl_gguf_vocab *v, const char *key, int64_t dflt, int64_t *out)
{
    PAWL_TRY(pawl_gguf_i64_or(v->g, key, 0, v->count - 1, dflt < v->count ? dflt : -1, out));
    PAWL_CHECK(*out < 0 || pawl_gguf_takes_part(v, *out), PAWL_EDATA, "%s: key %s names token %lld, which is unused",
               pawl_gguf_path(v->g), key, (long long)*out);
    return PAWL_OK;
}

/* Where the file says nothing, what ggml takes: a sentencepiece-style vocabulary begins with <unk>, <s>, </s>. */
static pawl_status read_specials(pawl_gguf_vocab *v)
{
    const int pieces = v->rule == NULL;
    PAWL_TRY(read_id(v, "tokenizer.ggml.bos_token_id", pieces ? 1 : -1, &v->begin));
    PAWL_TRY(read_id(v, "tokenizer.ggml.eos_token_id", pieces ? 2 : -1, &v->end));
    PAWL_TRY(read_id(v, "tokenizer.ggml.unknown_token_id", pieces ? 0 : -1, &v->unknown));
    PAWL_TRY(read_id(v, "tokenizer.ggml.padding_token_id", -1, &v->pad));
    PAWL_TRY(pawl_gguf_flag_or(v->g, "tokenizer.ggml.add_bos_token", pieces ? 1 : v->rule->begins, &v->adds_begin));
    PAWL_TRY(pawl_gguf_flag_or(v->g, "tokenizer.ggml.add_eos_token", 0, &v->adds_end));
    PAWL_TRY(pawl_gguf_flag_or(v->g, "tokenizer.ggml.add_space_prefix", pieces, &v->adds_space));
    PAWL_CHECK((!v->adds_begin || v->begin >= 0) && (!v->adds_end || v->end >= 0), PAWL_EDATA,
               "%s: texts get a token at their beginning or end, and the file does not name it", pawl_gguf_path(v->g));
    PAWL_CHECK(pieces || !v->adds_space || v->rule->with_prefix, PAWL_EDATA,
               "%s: key tokenizer.ggml.add_space_prefix is true, which the rule %s does not know", pawl_gguf_path(v->g),
               pieces ? "" : v->rule->name);
    return PAWL_OK;
}

static pawl_status read_vocab(pawl_gguf_vocab *v)
{
    PAWL_TRY(read_kind(v));
    PAWL_TRY(check_keys(v->g));
    PAWL_TRY(pawl_gguf_strings(v->g, "tokenizer.ggml.tokens", &v->tokens, &v->count));
    PAWL_CHECK(v->count > 0 && v->count <= TOKENS_MAX, PAWL_EDATA,
               "%s: key tokenizer.ggml.tokens has %lld elements, expected 1 to %d", pawl_gguf_path(v->g),
               (long long)v->count, TOKENS_MAX);
    PAWL_TRY(read_types(v));
    PAWL_TRY(read_scores(v));
    PAWL_TRY(enter_all(v));
    return read_specials(v);
}

pawl_status pawl_gguf_vocab_open(const pawl_gguf *g, pawl_gguf_vocab *v)
{
    *v = (pawl_gguf_vocab){.g = g};
    const pawl_status s = read_vocab(v);
    if (s != PAWL_OK) pawl_gguf_vocab_close(v);
    return s;
}

void pawl_gguf_vocab_close(pawl_gguf_vocab *v)
{
    pawl_free(v->tokens);
    pawl_free(v->types);
    pawl_free(v->scores);
    pawl_free(v->slots);
    *v = (pawl_gguf_vocab){0};
}
