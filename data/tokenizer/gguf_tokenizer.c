/* tokenizer.json and tokenizer_config.json of a GGUF file's tokenizer, in the form that published models have. */
#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "data/data.h"
#include "data/tokenizer/gguf_vocab.h"

#define SPACE_MARK "\u2581" /* what stands for a space in sentencepiece's pieces */

static pawl_status no_memory(void)
{
    return PAWL_FAIL(PAWL_EMEM, "no memory for tokenizer.json");
}

/* --- parts -------------------------------------------------------------------------------------------------- */

static int is_special(const pawl_gguf_vocab *v, int64_t id)
{
    const int named = id == v->begin || id == v->end || id == v->pad || (id == v->unknown && !v->rule);
    return named || v->types[id] == PAWL_GGUF_CONTROL || v->types[id] == PAWL_GGUF_UNKNOWN;
}

static json_t *text_of(const pawl_gguf_vocab *v, int64_t id)
{
    return id < 0 ? json_null() : json_stringn(v->tokens[id].data, v->tokens[id].bytes);
}

static pawl_status vocabulary(const pawl_gguf_vocab *v, json_t *vocab, json_t *added)
{
    for (int64_t id = 0; id < v->count; id++) {
        const pawl_gguf_text *t = &v->tokens[id];
        const int special = is_special(v, id);
        if (!pawl_gguf_takes_part(v, id)) continue;
        if (json_object_setn_new(vocab, t->data, t->bytes, json_integer(id)) < 0) return no_memory();
        if (!special && v->types[id] != PAWL_GGUF_USER_DEFINED) continue;
        json_t *token = json_pack("{s:I,s:o,s:b,s:b,s:b,s:b,s:b}", "id", (json_int_t)id, "content", text_of(v, id),
                                  "single_word", 0, "lstrip", 0, "rstrip", 0, "normalized", 0, "special", special);
        if (json_array_append_new(added, token) < 0) return no_memory();
    }
    return PAWL_OK;
}

/* The text of a special token in a template, once. */
static int add_to_template(json_t *sequence, const pawl_gguf_vocab *v, int64_t id, int type)
{
    return json_array_append_new(sequence,
                                 json_pack("{s:{s:o,s:i}}", "SpecialToken", "id", text_of(v, id), "type_id", type));
}

static int add_sequence(json_t *sequence, const pawl_gguf_vocab *v, const char *name, int type)
{
    int bad = 0;
    if (v->adds_begin) bad |= add_to_template(sequence, v, v->begin, type);
    bad |= json_array_append_new(sequence, json_pack("{s:{s:s,s:i}}", "Sequence", "id", name, "type_id", type));
    if (v->adds_end) bad |= add_to_template(sequence, v, v->end, type);
    return bad;
}

static int add_used(json_t *used, const pawl_gguf_vocab *v, int64_t id)
{
    const pawl_gguf_text *t = &v->tokens[id];
    return json_object_setn_new(
        used, t->data, t->bytes,
        json_pack("{s:o,s:[I],s:[o]}", "id", text_of(v, id), "ids", (json_int_t)id, "tokens", text_of(v, id)));
}

/* The tokens around a text, or JSON's null. */
static json_t *post_processor(const pawl_gguf_vocab *v)
{
    if (!v->adds_begin && !v->adds_end) return json_null();
    json_t *single = json_array(), *pair = json_array(), *used = json_object();
    int bad = add_sequence(single, v, "A", 0) | add_sequence(pair, v, "A", 0) | add_sequence(pair, v, "B", 1);
    if (v->adds_begin) bad |= add_used(used, v, v->begin);
    if (v->adds_end) bad |= add_used(used, v, v->end);
    json_t *whole = json_pack("{s:s,s:o,s:o,s:o}", "type", "TemplateProcessing", "single", single, "pair", pair,
                              "special_tokens", used);
    if (!bad) return whole;
    json_decref(whole);
    return NULL;
}

/* Sentencepiece puts a mark before a text and for every space in it. */
static json_t *piece_normalizer(const pawl_gguf_vocab *v)
{
    json_t *replace =
        json_pack("{s:s,s:{s:s},s:s}", "type", "Replace", "pattern", "String", " ", "content", SPACE_MARK);
    if (!v->adds_space) return replace;
    return json_pack("{s:s,s:[{s:s,s:s},o]}", "type", "Sequence", "normalizers", "type", "Prepend", "prepend",
                     SPACE_MARK, replace);
}

static json_t *piece_decoder(const pawl_gguf_vocab *v)
{
    json_t *list = json_pack("[{s:s,s:{s:s},s:s},{s:s},{s:s}]", "type", "Replace", "pattern", "String", SPACE_MARK,
                             "content", " ", "type", "ByteFallback", "type", "Fuse");
    int bad = list == NULL;
    if (v->adds_space)
        bad |= json_array_append_new(
            list, json_pack("{s:s,s:s,s:i,s:i}", "type", "Strip", "content", " ", "start", 1, "stop", 0));
    json_t *whole = bad ? NULL : json_pack("{s:s,s:O}", "type", "Sequence", "decoders", list);
    json_decref(list);
    return whole;
}

static json_t *byte_decoder(void)
{
    return json_pack("{s:s,s:b,s:b,s:b}", "type", "ByteLevel", "add_prefix_space", 1, "trim_offsets", 1, "use_regex",
                     1);
}

/* --- the whole ---------------------------------------------------------------------------------------------- */

static json_t *parsed(const char *json)
{
    return json ? json_loads(json, 0, NULL) : json_null();
}

/* Takes vocab, merges and added. */
static pawl_status assemble(const pawl_gguf_vocab *v, json_t *vocab, json_t *merges, json_t *added, json_t **out)
{
    const pawl_gguf_rule *r = v->rule;
    json_t *model = json_pack("{s:s,s:n,s:o,s:n,s:n,s:b,s:b,s:b,s:o,s:o}", "type", "BPE", "dropout", "unk_token",
                              r ? json_null() : text_of(v, v->unknown), "continuing_subword_prefix",
                              "end_of_word_suffix", "fuse_unk", !r, "byte_fallback", !r, "ignore_merges",
                              r && r->ignore_merges, "vocab", vocab, "merges", merges);
    json_t *cut = r ? parsed(v->adds_space ? r->with_prefix : r->pre_tokenizer) : json_null();
    *out = json_pack("{s:s,s:n,s:n,s:o,s:o,s:o,s:o,s:o,s:o}", "version", "1.0", "truncation", "padding", "added_tokens",
                     added, "normalizer", r ? parsed(r->normalizer) : piece_normalizer(v), "pre_tokenizer", cut,
                     "post_processor", post_processor(v), "decoder", r ? byte_decoder() : piece_decoder(v), "model",
                     model);
    return *out ? PAWL_OK : no_memory();
}

static pawl_status tokenizer_json(const pawl_gguf_vocab *v, json_t **out)
{
    json_t *vocab = json_object(), *added = json_array(), *merges = NULL;
    pawl_status s = vocab && added ? vocabulary(v, vocab, added) : no_memory();
    if (s == PAWL_OK) s = pawl_gguf_merges(v, &merges);
    if (s == PAWL_OK) return assemble(v, vocab, merges, added, out);
    json_decref(vocab);
    json_decref(added);
    return s;
}

/* Adds what the file has; absent tokens stay out. */
static pawl_status add_token(const pawl_gguf_vocab *v, json_t *config, const char *key, int64_t id)
{
    if (id < 0) return PAWL_OK;
    return json_object_set_new(config, key, text_of(v, id)) == 0 ? PAWL_OK : no_memory();
}

static pawl_status add_template(const pawl_gguf *g, json_t *config)
{
    const char *const key = "tokenizer.chat_template";
    pawl_gguf_text text;
    if (!pawl_gguf_has(g, key)) return PAWL_OK;
    PAWL_TRY(pawl_gguf_string(g, key, &text));
    json_t *value = json_stringn(text.data, text.bytes);
    PAWL_CHECK(value && !memchr(text.data, 0, text.bytes), PAWL_EDATA, "%s: key %s is not UTF-8, or has a NUL in it",
               pawl_gguf_path(g), key);
    return json_object_set_new(config, "chat_template", value) == 0 ? PAWL_OK : no_memory();
}

/* A class that takes tokenizer.json as it is; named ones would put rules of their own in its place. */
static pawl_status fill_config(const pawl_gguf_vocab *v, json_t *config)
{
    char key[96] = "";
    pawl_gguf_text architecture;
    int64_t context;
    PAWL_TRY(pawl_gguf_string(v->g, "general.architecture", &architecture));
    if (architecture.bytes < 64)
        snprintf(key, sizeof key, "%.*s.context_length", (int)architecture.bytes, architecture.data);
    PAWL_TRY(pawl_gguf_i64_or(v->g, key, 1, INT64_MAX, -1, &context));
    PAWL_TRY(add_token(v, config, "bos_token", v->begin));
    PAWL_TRY(add_token(v, config, "eos_token", v->end));
    PAWL_TRY(add_token(v, config, "unk_token", v->unknown));
    PAWL_TRY(add_token(v, config, "pad_token", v->pad));
    PAWL_TRY(add_template(v->g, config));
    int bad = json_object_set_new(config, "tokenizer_class", json_string("PreTrainedTokenizerFast"));
    bad |= json_object_set_new(config, "clean_up_tokenization_spaces", json_false());
    if (context > 0) bad |= json_object_set_new(config, "model_max_length", json_integer(context));
    return bad ? no_memory() : PAWL_OK;
}

static pawl_status write_both(const pawl_gguf_vocab *v, const char *dir)
{
    json_t *whole = NULL, *config = json_object();
    pawl_status status = config ? PAWL_OK : no_memory();
    if (status == PAWL_OK) status = fill_config(v, config);
    if (status == PAWL_OK) status = tokenizer_json(v, &whole);
    if (status == PAWL_OK) status = pawl_json_write(dir, "tokenizer.json", whole);
    if (status == PAWL_OK) status = pawl_json_write(dir, "tokenizer_config.json", config);
    json_decref(whole);
    json_decref(config);
    return status;
}

pawl_status pawl_tokenizer_import_gguf(const pawl_gguf *g, const char *dir)
{
    pawl_gguf_vocab v;
    PAWL_TRY(pawl_gguf_vocab_open(g, &v));
    const pawl_status s = write_both(&v, dir);
    pawl_gguf_vocab_close(&v);
    return s;
}
