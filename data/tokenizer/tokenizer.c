/* Opening and closing tokenizers, what they say of themselves, decoding, and saving them. */
#include "data/tokenizer/tokenizer.h"

#include <limits.h>
#include <stdio.h>

#include "core/arena.h"
#include "core/file.h"

enum { FILE_MOST = 256 << 20, SMALL_FILE_MOST = 16 << 20 };

int32_t pawl_tokenizer_size(const pawl_tokenizer *t)
{
    return t->added.ids > t->bpe.vocabulary.size ? t->added.ids : t->bpe.vocabulary.size;
}

int32_t pawl_tokenizer_end(const pawl_tokenizer *t)
{
    return t->end;
}

int32_t pawl_tokenizer_begin(const pawl_tokenizer *t)
{
    return t->begin;
}

pawl_digest pawl_tokenizer_digest(const pawl_tokenizer *t)
{
    return t->digest;
}

int32_t pawl_tokenizer_id(const pawl_tokenizer *t, const char *content)
{
    const size_t bytes = strlen(content);
    const int32_t added = pawl_added_find(&t->added, content, bytes);
    return added >= 0 ? added : pawl_strings_find(&t->bpe.vocabulary, content, bytes);
}

static const char *content_of(const pawl_tokenizer *t, int32_t id, size_t *bytes)
{
    const pawl_added_token *added = pawl_added_of(&t->added, id);
    if (added) return pawl_strings_text(&t->added.contents, (int32_t)(added - t->added.tokens), bytes);
    return pawl_strings_text(&t->bpe.vocabulary, id, bytes);
}

const char *pawl_tokenizer_content(const pawl_tokenizer *t, int32_t id)
{
    return content_of(t, id, NULL);
}

/* ---- Decoding ---- */

/* The bytes as they are, whatever they are. */
static pawl_status decode_bytes(const pawl_tokenizer *t, const int32_t *ids, int64_t count, int skip_specials,
                                pawl_text *out)
{
    for (int64_t i = 0; i < count; i++) {
        const uint8_t byte = (uint8_t)ids[i];
        const char *special = ids[i] > 255 ? content_of(t, ids[i], NULL) : NULL;
        if (ids[i] >= 0 && ids[i] < 256)
            pawl_text_add_bytes(out, &byte, 1);
        else if (special && !skip_specials)
            pawl_text_add(out, "%s", special);
    }
    return pawl_text_status(out);
}

pawl_status pawl_decode(const pawl_tokenizer *t, const int32_t *ids, int64_t count, int skip_specials, pawl_text *out)
{
    pawl_texts texts = {0};
    pawl_status status = PAWL_OK;
    if (t->is_bytes) return decode_bytes(t, ids, count, skip_specials, out);
    for (int64_t i = 0; i < count; i++) {
        size_t bytes;
        const pawl_added_token *added = pawl_added_of(&t->added, ids[i]);
        const char *text = added ? pawl_added_text(&t->added, added, &bytes) : content_of(t, ids[i], &bytes);
        if (!text || (skip_specials && pawl_added_is_special(&t->added, text, bytes))) continue;
        pawl_text_add_bytes(&texts.text, text, bytes);
        PAWL_TRY_OUT(pawl_texts_end(&texts));
    }
    PAWL_TRY_OUT(pawl_decoder_steps_run(&t->decoder, &texts, out));
out:
    pawl_texts_close(&texts);
    return status;
}

/* ---- The ids that begin and end a text ---- */

/* A JSON object out of the folder, or NULL when there is no such file. */
static pawl_status read_small(const char *dir, const char *name, char path[PATH_MAX], json_t **out)
{
    *out = NULL;
    PAWL_TRY(pawl_path_join(path, PATH_MAX, dir, name));
    return pawl_path_exists(path) ? pawl_json_read_real(path, SMALL_FILE_MOST, out) : PAWL_OK;
}

/* "eos_token": "</s>" or {"content": "</s>"}. */
static const char *content_in(const json_t *config, const char *key)
{
    const json_t *v = json_object_get(config, key);
    return json_string_value(json_is_object(v) ? json_object_get(v, "content") : v);
}

static pawl_status ids_by_content(pawl_tokenizer *t, const char *name)
{
    char path[PATH_MAX];
    json_t *config;
    pawl_status status = PAWL_OK;
    PAWL_TRY(read_small(t->dir, name, path, &config));
    const char *end = content_in(config, "eos_token"), *begin = content_in(config, "bos_token");
    if (t->end < 0 && end) t->end = pawl_tokenizer_id(t, end);
    if (t->end < 0 && end)
        PAWL_TRY_OUT(PAWL_FAIL(PAWL_EDATA, "%s: eos_token '%.60s' is not in tokenizer.json", path, end));
    if (t->begin < 0 && begin) t->begin = pawl_tokenizer_id(t, begin);
out:
    json_decref(config);
    return status;
}

/* A number, or the first of a list of numbers. */
static int32_t id_in(const pawl_tokenizer *t, const json_t *config, const char *key)
{
    const json_t *v = json_object_get(config, key);
    if (json_is_array(v)) v = json_array_get(v, 0);
    const double id = json_is_real(v) ? json_real_value(v) : -1;
    return id >= 0 && id < pawl_tokenizer_size(t) ? (int32_t)id : -1;
}

static pawl_status ids_by_number(pawl_tokenizer *t, const char *name)
{
    char path[PATH_MAX];
    json_t *config;
    if (t->end >= 0 && t->begin >= 0) return PAWL_OK;
    PAWL_TRY(read_small(t->dir, name, path, &config));
    if (t->end < 0) t->end = id_in(t, config, "eos_token_id");
    if (t->begin < 0) t->begin = id_in(t, config, "bos_token_id");
    json_decref(config);
    return PAWL_OK;
}

static pawl_status find_ends(pawl_tokenizer *t)
{
    PAWL_TRY(ids_by_content(t, "tokenizer_config.json"));
    PAWL_TRY(ids_by_content(t, "special_tokens_map.json"));
    PAWL_TRY(ids_by_number(t, "generation_config.json"));
    return ids_by_number(t, "config.json");
}

/* ---- Opening ---- */

static pawl_status canonical_digest(const json_t *value, pawl_digest *out)
{
    pawl_text text = {0};
    pawl_status status = PAWL_OK;
    PAWL_TRY_OUT(pawl_json_canonical(value, &text));
    *out = pawl_sha256(text.data, text.bytes);
out:
    pawl_text_close(&text);
    return status;
}

static pawl_status open_bytes(pawl_tokenizer *t, const json_t *ours)
{
    t->is_bytes = 1;
    PAWL_TRY(pawl_tokenizer_load(t, ours, "the tokenizer bytes"));
    t->begin = t->end = pawl_tokenizer_id(t, pawl_bytes_end);
    return canonical_digest(ours, &t->digest);
}

static pawl_status open_file(pawl_tokenizer *t, const json_t *whole, const char *path)
{
    PAWL_TRY(pawl_tokenizer_load(t, whole, path));
    PAWL_TRY(find_ends(t));
    json_t *identity = json_pack("{s:i,s:s,s:i,s:i}", "format", 1, "tokenizer", pawl_digest_hex(t->file_digest).text,
                                 "begin", (int)t->begin, "end", (int)t->end);
    PAWL_CHECK(identity, PAWL_EMEM, "no memory for the digest of a tokenizer");
    const pawl_status s = canonical_digest(identity, &t->digest);
    json_decref(identity);
    return s;
}

/* What else a folder may hold instead, and what to do about it. */
static pawl_status no_tokenizer_json(const char *dir)
{
    static const char *const others[] = {"tokenizer.model", "vocab.json",  "encoder.json",
                                         "vocab.txt",       "tekken.json", NULL};
    for (int i = 0; others[i]; i++) {
        char path[PATH_MAX];
        PAWL_TRY(pawl_path_join(path, sizeof path, dir, others[i]));
        PAWL_CHECK(!pawl_path_exists(path), PAWL_EDATA,
                   "tokenizer: %s has %s but no tokenizer.json, which is what pawl reads; let transformers write one: "
                   "AutoTokenizer.from_pretrained(\"%s\").save_pretrained(\"%s\")",
                   dir, others[i], dir, dir);
    }
    return PAWL_FAIL(PAWL_EDATA,
                     "tokenizer: there is no tokenizer.json in %s; set tokenizer: bytes, or name a folder that has one",
                     dir);
}

static pawl_status open_folder(pawl_tokenizer *t, const char *dir, const json_t *ours)
{
    char path[PATH_MAX], *text = NULL;
    size_t bytes;
    json_t *theirs = NULL;
    pawl_status status = PAWL_OK;
    PAWL_CHECK(pawl_path_is_dir(dir), PAWL_EDATA,
               "tokenizer: expected 'bytes' or a folder with tokenizer.json, found '%s', which is no folder", dir);
    PAWL_CHECK(strlen(dir) < sizeof t->dir, PAWL_EDATA, "tokenizer: the path is too long: %s", dir);
    memcpy(t->dir, dir, strlen(dir) + 1);
    PAWL_TRY(pawl_path_join(path, sizeof path, dir, "tokenizer.json"));
    if (!pawl_path_exists(path)) return no_tokenizer_json(dir);
    PAWL_TRY_OUT(pawl_file_read(path, FILE_MOST, &text, &bytes));
    t->file_digest = pawl_sha256(text, bytes);
    PAWL_TRY_OUT(pawl_json_parse(text, bytes, path, &theirs));
    PAWL_TRY_OUT(json_equal(ours, theirs) ? open_bytes(t, ours) : open_file(t, theirs, path));
out:
    pawl_free(text);
    json_decref(theirs);
    return status;
}

pawl_status pawl_tokenizer_open(const char *spec, pawl_tokenizer **out)
{
    json_t *ours = NULL;
    pawl_tokenizer *t = NULL;
    pawl_status status = PAWL_OK;
    PAWL_TRY_OUT(pawl_bytes_json(&ours));
    PAWL_TRY_OUT(pawl_alloc((void **)&t, sizeof *t, "the tokenizer"));
    t->begin = t->end = -1;
    PAWL_TRY_OUT(strcmp(spec, "bytes") == 0 ? open_bytes(t, ours) : open_folder(t, spec, ours));
    *out = t;
    t = NULL;
out:
    pawl_tokenizer_close(t);
    json_decref(ours);
    return status;
}

void pawl_tokenizer_close(pawl_tokenizer *t)
{
    if (!t) return;
    for (int i = 0; i < t->stage_count; i++) pawl_stage_close(&t->stages[i]);
    pawl_classes_close(&t->classes);
    pawl_bpe_close(&t->bpe);
    pawl_added_close(&t->added);
    pawl_decoder_steps_close(&t->decoder);
    pawl_free(t->frame.before);
    pawl_free(t->frame.behind);
    pawl_free(t);
}

/* ---- Saving ---- */

static pawl_status copy_file(const pawl_tokenizer *t, const char *name, const char *to)
{
    char from[PATH_MAX], path[PATH_MAX], *text;
    size_t bytes;
    pawl_status status = PAWL_OK;
    PAWL_TRY(pawl_path_join(from, sizeof from, t->dir, name));
    PAWL_TRY(pawl_path_join(path, sizeof path, to, name));
    if (!pawl_path_exists(from)) return PAWL_OK;
    PAWL_TRY(pawl_file_read(from, FILE_MOST, &text, &bytes));
    if (strcmp(name, "tokenizer.json") == 0 && !pawl_digest_equal(pawl_sha256(text, bytes), t->file_digest))
        PAWL_TRY_OUT(PAWL_FAIL(PAWL_EDATA, "%s was changed since it was opened", from));
    PAWL_TRY_OUT(pawl_file_replace(path, text, bytes));
out:
    pawl_free(text);
    return status;
}

pawl_status pawl_tokenizer_save(const pawl_tokenizer *t, const char *dir)
{
    static const char *const names[] = {
        "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",  "vocab.json",
        "merges.txt",     "tokenizer.model",       "chat_template.jinja",     "chat_template.json", NULL};
    if (!t->dir[0]) return pawl_bytes_save(dir);
    for (int i = 0; names[i]; i++) PAWL_TRY(copy_file(t, names[i], dir));
    return PAWL_OK;
}
