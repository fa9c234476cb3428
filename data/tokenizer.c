/* The tokenizer `bytes`: id b is the byte b, and four specials follow. */
#include "data/tokenizer.h"

#include <limits.h>
#include <string.h>

#include "core/arena.h"
#include "core/file.h"

enum { BYTES = 256, END_OF_TEXT = BYTES, PAD, IM_START, IM_END, SIZE };

static const char *const specials[SIZE - BYTES] = {"<|endoftext|>", "<|pad|>", "<|im_start|>", "<|im_end|>"};

struct pawl_tokenizer {
    pawl_digest digest;   /* of the canonical form of tokenizer.json */
    char names[BYTES][3]; /* of the bytes, in tokenizer.json */
};

int32_t pawl_tokenizer_size(const pawl_tokenizer *t)
{
    (void)t;
    return SIZE;
}

int32_t pawl_tokenizer_end(const pawl_tokenizer *t)
{
    (void)t;
    return END_OF_TEXT;
}

pawl_digest pawl_tokenizer_digest(const pawl_tokenizer *t)
{
    return t->digest;
}

int32_t pawl_tokenizer_begin(const pawl_tokenizer *t)
{
    (void)t;
    return END_OF_TEXT;
}

int32_t pawl_tokenizer_id(const pawl_tokenizer *t, const char *content)
{
    for (int id = BYTES; id < SIZE; id++)
        if (strcmp(content, specials[id - BYTES]) == 0) return id;
    for (int b = 0; b < BYTES; b++)
        if (strcmp(content, t->names[b]) == 0) return b;
    return -1;
}

const char *pawl_tokenizer_content(const pawl_tokenizer *t, int32_t id)
{
    if (id < 0 || id >= SIZE) return NULL;
    return id < BYTES ? t->names[id] : specials[id - BYTES];
}

pawl_status pawl_encoding_add(pawl_encoding *e, int32_t id, int64_t at)
{
    if (e->count == e->room) {
        const int64_t room = 2 * e->room + 256;
        PAWL_TRY(pawl_realloc((void **)&e->ids, (size_t)room * sizeof *e->ids, "the tokens of a text"));
        PAWL_TRY(pawl_realloc((void **)&e->at, (size_t)room * sizeof *e->at, "the places of tokens"));
        e->room = room;
    }
    e->ids[e->count] = id;
    e->at[e->count++] = at;
    return PAWL_OK;
}

void pawl_encoding_close(pawl_encoding *e)
{
    pawl_free(e->ids);
    pawl_free(e->at);
    memset(e, 0, sizeof *e);
}

/* The special that text begins with, or -1. */
static int special_at(const char *text, size_t bytes)
{
    for (int i = 0; i < SIZE - BYTES; i++)
        if (strlen(specials[i]) <= bytes && memcmp(text, specials[i], strlen(specials[i])) == 0) return i;
    return -1;
}

pawl_status pawl_encode(const pawl_tokenizer *t, const char *text, size_t bytes, pawl_specials s, pawl_encoding *out)
{
    (void)t;
    out->count = 0;
    for (size_t i = 0; i < bytes; i++) {
        const int special = s == PAWL_RAW_TEXT || text[i] != '<' ? -1 : special_at(text + i, bytes - i);
        PAWL_TRY(pawl_encoding_add(out, special < 0 ? (uint8_t)text[i] : BYTES + special, (int64_t)i));
        if (special >= 0) i += strlen(specials[special]) - 1;
    }
    return PAWL_OK;
}

pawl_status pawl_decode(const pawl_tokenizer *t, const int32_t *ids, int64_t count, int skip_specials, pawl_text *out)
{
    (void)t;
    for (int64_t i = 0; i < count; i++) {
        const uint8_t byte = (uint8_t)ids[i];
        if (ids[i] >= 0 && ids[i] < BYTES)
            pawl_text_add_bytes(out, &byte, 1);
        else if (ids[i] >= BYTES && ids[i] < SIZE && !skip_specials)
            pawl_text_add(out, "%s", specials[ids[i] - BYTES]);
    }
    return pawl_text_status(out);
}

/* The character that byte-level vocabularies write for a byte (GPT-2): itself where it is printable in Latin-1, else
 * the next unused one from U+0100 on. */
static void byte_level_name(int byte, char out[3])
{
    int code = byte, moved = 0;
    for (int b = 0; b <= byte; b++) {
        const int printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        code = printable ? b : 0x100 + moved++;
    }
    memset(out, 0, 3);
    if (code < 0x80) {
        out[0] = (char)code;
    } else {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3F));
    }
}

static json_t *vocabulary(void)
{
    json_t *vocab = json_object();
    for (int b = 0; b < BYTES; b++) {
        char name[3];
        byte_level_name(b, name);
        if (json_object_set_new(vocab, name, json_integer(b)) < 0) {
            json_decref(vocab);
            return NULL;
        }
    }
    return vocab;
}

static json_t *added_tokens(void)
{
    json_t *list = json_array();
    for (int id = BYTES; id < SIZE; id++) {
        json_t *token = json_pack("{s:i,s:s,s:b,s:b,s:b,s:b,s:b}", "id", id, "content", specials[id - BYTES],
                                  "single_word", 0, "lstrip", 0, "rstrip", 0, "normalized", 0, "special", 1);
        if (json_array_append_new(list, token) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* tokenizer.json, as Hugging Face's tokenizers writes it: byte-level BPE without merges. */
static pawl_status tokenizer_json(json_t **out)
{
    json_t *model = json_pack("{s:s,s:n,s:n,s:n,s:n,s:b,s:b,s:b,s:o,s:[]}", "type", "BPE", "dropout", "unk_token",
                              "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0,
                              "ignore_merges", 0, "vocab", vocabulary(), "merges");
    json_t *whole =
        json_pack("{s:s,s:n,s:n,s:o,s:n,s:{s:s,s:b,s:b,s:b},s:n,s:{s:s,s:b,s:b,s:b},s:o}", "version", "1.0",
                  "truncation", "padding", "added_tokens", added_tokens(), "normalizer", "pre_tokenizer", "type",
                  "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1, "use_regex", 0, "post_processor", "decoder",
                  "type", "ByteLevel", "add_prefix_space", 1, "trim_offsets", 1, "use_regex", 1, "model", model);
    PAWL_CHECK(whole, PAWL_EMEM, "no memory for tokenizer.json");
    *out = whole;
    return PAWL_OK;
}

static pawl_status canonical_digest(const json_t *value, pawl_digest *out)
{
    pawl_text text = {0};
    pawl_status status = PAWL_OK;
    PAWL_TRY_OUT(pawl_json_canonical(value, &text));
    PAWL_TRY_OUT(pawl_text_status(&text));
    *out = pawl_sha256(text.data, text.bytes);
out:
    pawl_text_close(&text);
    return status;
}

/* A folder counts when its tokenizer.json says what ours says: a model that pawl exported. */
static pawl_status recognise(const char *dir, const json_t *ours)
{
    char path[PATH_MAX];
    json_t *theirs;
    PAWL_CHECK(pawl_path_is_dir(dir), PAWL_EDATA,
               "tokenizer: expected 'bytes' or a folder with tokenizer.json, found '%s', which is no folder", dir);
    PAWL_TRY(pawl_path_join(path, sizeof path, dir, "tokenizer.json"));
    PAWL_CHECK(pawl_path_exists(path), PAWL_EDATA,
               "tokenizer: there is no tokenizer.json in %s; set tokenizer: bytes, or name a folder that has one", dir);
    PAWL_TRY(pawl_json_read(path, (size_t)256 << 20, &theirs));
    const int same = json_equal(ours, theirs);
    json_decref(theirs);
    PAWL_CHECK(
        same, PAWL_EDATA,
        "%s is a tokenizer that this version does not compute: it has 'bytes' only, and what it exported with it",
        path);
    return PAWL_OK;
}

pawl_status pawl_tokenizer_open(const char *spec, pawl_tokenizer **out)
{
    json_t *ours = NULL;
    pawl_tokenizer *t = NULL;
    pawl_status status = PAWL_OK;
    PAWL_TRY_OUT(tokenizer_json(&ours));
    if (strcmp(spec, "bytes") != 0) PAWL_TRY_OUT(recognise(spec, ours));
    PAWL_TRY_OUT(pawl_alloc((void **)&t, sizeof *t, "the tokenizer"));
    PAWL_TRY_OUT(canonical_digest(ours, &t->digest));
    for (int b = 0; b < BYTES; b++) byte_level_name(b, t->names[b]);
    *out = t;
    t = NULL;
out:
    pawl_free(t);
    json_decref(ours);
    return status;
}

void pawl_tokenizer_close(pawl_tokenizer *t)
{
    pawl_free(t);
}

static pawl_status save_json(const char *dir, const char *name, const json_t *value)
{
    char path[PATH_MAX];
    pawl_text text = {0};
    pawl_status status = PAWL_OK;
    PAWL_TRY_OUT(pawl_path_join(path, sizeof path, dir, name));
    PAWL_TRY_OUT(pawl_json_pretty(value, &text));
    PAWL_TRY_OUT(pawl_text_status(&text));
    PAWL_TRY_OUT(pawl_file_replace(path, text.data, text.bytes));
out:
    pawl_text_close(&text);
    return status;
}

pawl_status pawl_tokenizer_save(const pawl_tokenizer *t, const char *dir)
{
    json_t *whole = NULL, *config = NULL;
    pawl_status status = PAWL_OK;
    (void)t;
    PAWL_TRY_OUT(tokenizer_json(&whole));
    config = json_pack("{s:s,s:s,s:s,s:s,s:b}", "tokenizer_class", "PreTrainedTokenizerFast", "bos_token",
                       specials[END_OF_TEXT - BYTES], "eos_token", specials[END_OF_TEXT - BYTES], "pad_token",
                       specials[PAD - BYTES], "clean_up_tokenization_spaces", 0);
    if (!config) PAWL_TRY_OUT(PAWL_FAIL(PAWL_EMEM, "no memory for tokenizer_config.json"));
    PAWL_TRY_OUT(save_json(dir, "tokenizer.json", whole));
    PAWL_TRY_OUT(save_json(dir, "tokenizer_config.json", config));
out:
    json_decref(config);
    json_decref(whole);
    return status;
}
