/* The values of a GGUF file's keys, checked as they are asked for. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "core/gguf_file.h"

#define VALUE_NAME(name, text, bytes) text,
static const char *const kind_names[] = {PAWL_GGUF_VALUE_LIST(VALUE_NAME)};

int pawl_gguf_keys(const pawl_gguf *g)
{
    return g->pair_count;
}

const char *pawl_gguf_key(const pawl_gguf *g, int i)
{
    return g->pairs[i].key;
}

const pawl_gguf_pair *pawl_gguf_pair_of(const pawl_gguf *g, const char *key)
{
    int lo = 0, hi = g->pair_count;
    while (lo < hi) {
        const int mid = lo + (hi - lo) / 2, c = strcmp(key, g->pairs[mid].key);
        if (c == 0) return &g->pairs[mid];
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

int pawl_gguf_has(const pawl_gguf *g, const char *key)
{
    return pawl_gguf_pair_of(g, key) != NULL;
}

int64_t pawl_gguf_length(const pawl_gguf *g, const char *key)
{
    const pawl_gguf_pair *p = pawl_gguf_pair_of(g, key);
    return p ? p->count : 0;
}

/* --- numbers ------------------------------------------------------------------------------------------------ */

/* 0 when the element is no integer, or beyond 63 bits. */
static int integer_at(const pawl_gguf_pair *p, int64_t i, int64_t *out)
{
    const size_t width = pawl_gguf_value_bytes(p->kind);
    const uint64_t bits = pawl_gguf_word(p->data + (size_t)i * width, width);
    switch (p->kind) {
    case PAWL_GGUF_I8: *out = (int8_t)bits; return 1;
    case PAWL_GGUF_I16: *out = (int16_t)bits; return 1;
    case PAWL_GGUF_I32: *out = (int32_t)bits; return 1;
    case PAWL_GGUF_U8:
    case PAWL_GGUF_U16:
    case PAWL_GGUF_U32:
    case PAWL_GGUF_U64:
    case PAWL_GGUF_I64: *out = (int64_t)bits; return p->kind != PAWL_GGUF_U64 || bits <= INT64_MAX;
    default: return 0;
    }
}

/* 0 when the element is no number. */
static int number_at(const pawl_gguf_pair *p, int64_t i, double *out)
{
    int64_t whole;
    const uint8_t *at = p->data + (size_t)i * pawl_gguf_value_bytes(p->kind);
    if (p->kind == PAWL_GGUF_F32) {
        const uint32_t bits = (uint32_t)pawl_gguf_word(at, 4);
        float x;
        memcpy(&x, &bits, sizeof x);
        *out = (double)x;
        return 1;
    }
    if (p->kind == PAWL_GGUF_F64) {
        const uint64_t bits = pawl_gguf_word(at, 8);
        memcpy(out, &bits, sizeof *out);
        return 1;
    }
    if (!integer_at(p, i, &whole)) return 0;
    *out = (double)whole;
    return 1;
}

static void show_element(const pawl_gguf_pair *p, const uint8_t *at, int64_t i, pawl_text *out)
{
    enum { SHOWN = 60 };
    int64_t whole;
    double x;
    if (p->kind == PAWL_GGUF_STRING) {
        const uint64_t bytes = pawl_gguf_word(at, 8);
        pawl_text_add(out, "\"");
        for (uint64_t k = 0; k < bytes && k < SHOWN; k++) /* plain letters only: it goes into a sentence */
            pawl_text_add(out, "%c", at[8 + k] >= ' ' && at[8 + k] < 127 ? at[8 + k] : '?');
        pawl_text_add(out, bytes > SHOWN ? "...\"" : "\"");
    } else if (p->kind == PAWL_GGUF_BOOL)
        pawl_text_add(out, "%s", p->data[i] ? "true" : "false");
    else if (integer_at(p, i, &whole))
        pawl_text_add(out, "%lld", (long long)whole);
    else if (number_at(p, i, &x))
        pawl_text_add(out, "%.9g", x);
    else
        pawl_text_add(out, "a number beyond 63 bits");
}

void pawl_gguf_show(const pawl_gguf *g, const char *key, pawl_text *out)
{
    const pawl_gguf_pair *p = pawl_gguf_pair_of(g, key);
    if (!p)
        pawl_text_add(out, "nothing");
    else if (p->is_list)
        pawl_text_add(out, "a list of %lld %s", (long long)p->count, kind_names[p->kind]);
    else
        show_element(p, p->data, 0, out);
}

/* --- single values ------------------------------------------------------------------------------------------ */

static pawl_status wrong(const pawl_gguf *g, const char *key, const char *expected)
{
    pawl_text found = {0};
    pawl_gguf_show(g, key, &found);
    const pawl_status s = PAWL_FAIL(PAWL_EDATA, "%s: key %s: expected %s, found %s", g->path, key, expected,
                                    found.data ? found.data : "something else");
    pawl_text_close(&found);
    return s;
}

pawl_status pawl_gguf_i64(const pawl_gguf *g, const char *key, int64_t lo, int64_t hi, int64_t *out)
{
    const pawl_gguf_pair *p = pawl_gguf_pair_of(g, key);
    char expected[96];
    int64_t value = 0, other;
    PAWL_CHECK(p, PAWL_EDATA, "%s: key %s is missing", g->path, key);
    snprintf(expected, sizeof expected, "a whole number from %lld to %lld", (long long)lo, (long long)hi);
    if (p->count == 0 || !integer_at(p, 0, &value) || value < lo || value > hi) return wrong(g, key, expected);
    for (int64_t i = 1; i < p->count; i++)
        PAWL_CHECK(integer_at(p, i, &other) && other == value, PAWL_EDATA,
                   "%s: key %s is a list whose elements differ: layers of different shapes are not supported", g->path,
                   key);
    *out = value;
    return PAWL_OK;
}

pawl_status pawl_gguf_i64_or(const pawl_gguf *g, const char *key, int64_t lo, int64_t hi, int64_t dflt, int64_t *out)
{
    *out = dflt;
    return pawl_gguf_has(g, key) ? pawl_gguf_i64(g, key, lo, hi, out) : PAWL_OK;
}

pawl_status pawl_gguf_f64(const pawl_gguf *g, const char *key, double *out)
{
    const pawl_gguf_pair *p = pawl_gguf_pair_of(g, key);
    double value;
    PAWL_CHECK(p, PAWL_EDATA, "%s: key %s is missing", g->path, key);
    if (p->is_list || !number_at(p, 0, &value) || !isfinite(value)) return wrong(g, key, "a finite number");
    *out = value;
    return PAWL_OK;
}

pawl_status pawl_gguf_f64_or(const pawl_gguf *g, const char *key, double dflt, double *out)
{
    *out = dflt;
    return pawl_gguf_has(g, key) ? pawl_gguf_f64(g, key, out) : PAWL_OK;
}

pawl_status pawl_gguf_flag_or(const pawl_gguf *g, const char *key, int dflt, int *out)
{
    const pawl_gguf_pair *p = pawl_gguf_pair_of(g, key);
    *out = dflt;
    if (!p) return PAWL_OK;
    if (p->is_list || p->kind != PAWL_GGUF_BOOL || p->data[0] > 1) return wrong(g, key, "true or false");
    *out = p->data[0];
    return PAWL_OK;
}

pawl_status pawl_gguf_string(const pawl_gguf *g, const char *key, pawl_gguf_text *out)
{
    const pawl_gguf_pair *p = pawl_gguf_pair_of(g, key);
    PAWL_CHECK(p, PAWL_EDATA, "%s: key %s is missing", g->path, key);
    if (p->is_list || p->kind != PAWL_GGUF_STRING) return wrong(g, key, "text");
    *out = (pawl_gguf_text){(const char *)p->data + 8, (size_t)pawl_gguf_word(p->data, 8)};
    return PAWL_OK;
}

int pawl_gguf_is(const pawl_gguf *g, const char *key, const char *value)
{
    const pawl_gguf_pair *p = pawl_gguf_pair_of(g, key);
    if (!p || p->is_list || p->kind != PAWL_GGUF_STRING) return 0;
    const uint64_t bytes = pawl_gguf_word(p->data, 8);
    return bytes == strlen(value) && memcmp(p->data + 8, value, bytes) == 0;
}

/* --- lists -------------------------------------------------------------------------------------------------- */

static pawl_status open_list(const pawl_gguf *g, const char *key, const char *expected, size_t width,
                             const pawl_gguf_pair **pair, void **out, int64_t *count)
{
    const pawl_gguf_pair *p = pawl_gguf_pair_of(g, key);
    *out = NULL;
    *count = 0;
    PAWL_CHECK(p, PAWL_EDATA, "%s: key %s is missing", g->path, key);
    if (!p->is_list) return wrong(g, key, expected);
    *pair = p;
    if (p->count > 0) PAWL_TRY(pawl_alloc(out, (size_t)p->count * width, key));
    *count = p->count;
    return PAWL_OK;
}

/* What open_list gave goes back. */
static pawl_status refuse_list(const pawl_gguf *g, const char *key, const char *expected, void **out, int64_t *count)
{
    pawl_free(*out);
    *out = NULL;
    *count = 0;
    return wrong(g, key, expected);
}

pawl_status pawl_gguf_strings(const pawl_gguf *g, const char *key, pawl_gguf_text **out, int64_t *count)
{
    const pawl_gguf_pair *p = NULL;
    PAWL_TRY(open_list(g, key, "a list of texts", sizeof **out, &p, (void **)out, count));
    if (p->count > 0 && p->kind != PAWL_GGUF_STRING) return refuse_list(g, key, "a list of texts", (void **)out, count);
    const uint8_t *at = p->data;
    for (int64_t i = 0; i < *count; i++) {
        const size_t bytes = (size_t)pawl_gguf_word(at, 8);
        (*out)[i] = (pawl_gguf_text){(const char *)at + 8, bytes};
        at += 8 + bytes;
    }
    return PAWL_OK;
}

pawl_status pawl_gguf_integers(const pawl_gguf *g, const char *key, int64_t **out, int64_t *count)
{
    const pawl_gguf_pair *p = NULL;
    PAWL_TRY(open_list(g, key, "a list of whole numbers", sizeof **out, &p, (void **)out, count));
    for (int64_t i = 0; i < *count; i++)
        if (!integer_at(p, i, &(*out)[i])) return refuse_list(g, key, "a list of whole numbers", (void **)out, count);
    return PAWL_OK;
}

pawl_status pawl_gguf_numbers(const pawl_gguf *g, const char *key, double **out, int64_t *count)
{
    const pawl_gguf_pair *p = NULL;
    PAWL_TRY(open_list(g, key, "a list of finite numbers", sizeof **out, &p, (void **)out, count));
    for (int64_t i = 0; i < *count; i++)
        if (!number_at(p, i, &(*out)[i]) || !isfinite((*out)[i]))
            return refuse_list(g, key, "a list of finite numbers", (void **)out, count);
    return PAWL_OK;
}
