/* tests/tokenizer_case.h - a scratch folder for a tokenizer, fixtures unpacked, and comparisons that say what differs.
 */
#ifndef PAWL_TESTS_TOKENIZER_CASE_H
#define PAWL_TESTS_TOKENIZER_CASE_H

#include <zlib.h>

#include "tests/data_case.h"

/* A gzip file's content as bytes with a NUL behind them; free() it. */
static inline char *unpacked(const char *path, size_t *bytes)
{
    gzFile f = gzopen(path, "rb");
    size_t room = 1 << 20, n = 0;
    char *text = malloc(room + 1);
    int got;
    if (!f || !text) {
        fprintf(stderr, "cannot open %s\n", path);
        abort();
    }
    while ((got = gzread(f, text + n, (unsigned)(room - n))) > 0)
        if ((n += (size_t)got) == room) text = realloc(text, (room *= 2) + 1);
    gzclose(f);
    text[n] = 0;
    *bytes = n;
    return text;
}

static inline const char *fixture(const char *name, char out[PATH_MAX])
{
    const char *source = getenv("PAWL_SOURCE");
    snprintf(out, PATH_MAX, "%s/tests/fixtures/tokenizers/%s", source ? source : ".", name);
    return out;
}

/* JSON out of a fixture; texts may hold NUL. */
static inline json_t *fixture_json(const char *name)
{
    char path[PATH_MAX];
    size_t bytes;
    json_error_t e;
    char *text = unpacked(fixture(name, path), &bytes);
    json_t *value = json_loadb(text, bytes, JSON_ALLOW_NUL, &e);
    if (!value) {
        fprintf(stderr, "%s: %s\n", path, e.text);
        abort();
    }
    free(text);
    return value;
}

static inline int same_ids(const pawl_encoding *e, const json_t *ids)
{
    if (e->count != (int64_t)json_array_size(ids)) return 0;
    for (int64_t i = 0; i < e->count; i++)
        if (e->ids[i] != json_integer_value(json_array_get(ids, (size_t)i))) return 0;
    return 1;
}

static inline int encodes_as(const pawl_tokenizer *t, const json_t *text, pawl_specials s, const json_t *ids,
                             pawl_encoding *e)
{
    must(pawl_encode(t, json_string_value(text), json_string_length(text), s, e));
    if (same_ids(e, ids)) return 1;
    fprintf(stderr, "'%.200s': %lld ids, expected %zu\n", json_string_value(text), (long long)e->count,
            json_array_size(ids));
    for (int64_t i = 0; i < e->count && i < 40; i++) fprintf(stderr, " %d", e->ids[i]);
    fprintf(stderr, "\n");
    return 0;
}

static inline int decodes_as(const pawl_tokenizer *t, const json_t *ids, int skip, const json_t *text)
{
    pawl_text out = {0};
    const size_t count = json_array_size(ids);
    int32_t *list = calloc(count + 1, sizeof *list);
    for (size_t i = 0; i < count; i++) list[i] = (int32_t)json_integer_value(json_array_get(ids, i));
    must(pawl_decode(t, list, (int64_t)count, skip, &out));
    const int same = out.bytes == json_string_length(text) &&
                     (!out.bytes || memcmp(out.data, json_string_value(text), out.bytes) == 0);
    if (!same)
        fprintf(stderr, "decoded '%.200s', expected '%.200s'\n", out.data ? out.data : "", json_string_value(text));
    pawl_text_close(&out);
    free(list);
    return same;
}

#endif
