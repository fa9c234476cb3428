#include "core/json.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "core/file.h"

static pawl_status parse(const char *text, size_t bytes, const char *where, size_t flags, json_t **out)
{
    json_error_t e;
    json_t *value = json_loadb(text, bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | flags, &e);
    if (!value && json_error_code(&e) == json_error_out_of_memory)
        return PAWL_FAIL(PAWL_EMEM, "no memory for the JSON of %s (%zu bytes of text)", where, bytes);
    if (!value)
        return PAWL_FAIL_AT(PAWL_EDATA, where, e.line > 0 ? e.line : 1, e.column > 0 ? e.column : 1, "not valid JSON: %s",
                            e.text);
    *out = value;
    return PAWL_OK;
}

pawl_status pawl_json_parse(const char *text, size_t bytes, const char *where, json_t **out)
{
    return parse(text, bytes, where, 0, out);
}

static pawl_status read_file(const char *path, size_t max_bytes, size_t flags, json_t **out)
{
    char *text;
    size_t bytes;
    PAWL_TRY(pawl_file_read(path, max_bytes, &text, &bytes));
    pawl_status status = parse(text, bytes, path, flags, out);
    pawl_free(text);
    return status;
}

pawl_status pawl_json_read(const char *path, size_t max_bytes, json_t **out)
{
    return read_file(path, max_bytes, 0, out);
}

pawl_status pawl_json_read_real(const char *path, size_t max_bytes, json_t **out)
{
    return read_file(path, max_bytes, JSON_DECODE_INT_AS_REAL, out);
}

/* ---- Numbers as ECMAScript's Number::toString writes them, which RFC 8785 prescribes ---- */

typedef struct decimal { /* 0.digits x 10^point */
    char digits[20];
    int count, point;
} decimal;

static double decimal_value(const decimal *d)
{
    char text[40];
    snprintf(text, sizeof text, "0.%se%d", d->digits, d->point);
    return strtod(text, NULL);
}

static decimal rounded(double x, int count)
{
    char text[40];
    decimal d = {.count = count};
    snprintf(text, sizeof text, "%.*e", count - 1, x); /* D.DDDe[+-]EE */
    d.digits[0] = text[0];
    if (count > 1) memcpy(d.digits + 1, text + 2, (size_t)count - 1);
    d.point = (int)strtol(strchr(text, 'e') + 1, NULL, 10) + 1;
    return d;
}

/* One more in the last digit. Carries drop the zeros they leave: those would not be significant. */
static void step_up(decimal *d)
{
    while (d->count > 0 && d->digits[d->count - 1] == '9') d->digits[--d->count] = 0;
    if (d->count > 0) {
        d->digits[d->count - 1]++;
        return;
    }
    memcpy(d->digits, "1", 2);
    d->count = 1;
    d->point++;
}

/* The fewest digits that read back as x > 0, and of those the nearest to x. Above a power of two the gap between doubles
 * is twice that below it, so the nearest decimal may miss while its upper neighbour still reads back: 2^-44 is one. */
static decimal shortest(double x)
{
    for (int count = 1; count < 17; count++) {
        decimal d = rounded(x, count);
        if (decimal_value(&d) == x) return d;
        step_up(&d);
        if (decimal_value(&d) == x) return d;
    }
    return rounded(x, 17);
}

/* Digits [from, to), with zeros behind the last one there is; returns the end. */
static char *put_digits(char *at, const decimal *d, int from, int to)
{
    for (int i = from; i < to; i++) *at++ = i < d->count ? d->digits[i] : '0';
    *at = 0;
    return at;
}

static void put_fixed(char *at, const decimal *d)
{
    at = put_digits(at, d, 0, d->point);
    if (d->count <= d->point) return;
    *at++ = '.';
    put_digits(at, d, d->point, d->count);
}

static void put_exponent(char *at, const decimal *d)
{
    at = put_digits(at, d, 0, 1);
    if (d->count > 1) *at++ = '.';
    at = put_digits(at, d, 1, d->count);
    snprintf(at, 13, "e%+d", d->point - 1); /* 17 digits, a point and this fit 32 bytes */
}

void pawl_json_number(double x, char out[32])
{
    PAWL_ASSERT(isfinite(x)); /* jansson has no others */
    if (x == 0) { /* minus zero too */
        memcpy(out, "0", 2);
        return;
    }
    const decimal d = shortest(fabs(x));
    if (x < 0) *out++ = '-';
    if (d.point > 0 && d.point <= 21) {
        put_fixed(out, &d);
    } else if (d.point > -6 && d.point <= 0) {
        memcpy(out, "0.00000", 7);
        put_digits(out + 2 - d.point, &d, 0, d.count);
    } else {
        put_exponent(out, &d);
    }
}

/* ---- Texts ---- */

static void put_text(pawl_text *out, const char *s, size_t bytes)
{
    static const char short_forms[] = "\bb\tt\nn\ff\rr\"\"\\\\";
    size_t plain = 0; /* where the run of bytes that stand for themselves begins */
    pawl_text_add(out, "\"");
    for (size_t i = 0; i < bytes; i++) {
        const char *form = short_forms;
        while (*form && *form != s[i]) form += 2;
        if (!*form && (unsigned char)s[i] >= 0x20) continue;
        pawl_text_add_bytes(out, s + plain, i - plain);
        plain = i + 1;
        if (*form && s[i]) pawl_text_add(out, "\\%c", form[1]);
        else pawl_text_add(out, "\\u%04x", (unsigned)(unsigned char)s[i]);
    }
    pawl_text_add_bytes(out, s + plain, bytes - plain);
    pawl_text_add(out, "\"");
}

/* The code point at *s (valid UTF-8, as jansson guarantees), and past it. */
static uint32_t next_point(const unsigned char **s)
{
    const unsigned char *p = *s;
    const int more = p[0] < 0x80 ? 0 : p[0] < 0xe0 ? 1 : p[0] < 0xf0 ? 2 : 3;
    uint32_t point = more == 0 ? p[0] : p[0] & (0x3fu >> more);
    for (int i = 1; i <= more; i++) point = point << 6 | (p[i] & 0x3fu);
    *s = p + more + 1;
    return point;
}

static uint32_t first_unit(uint32_t point)
{
    return point < 0x10000 ? point : 0xd800 + ((point - 0x10000) >> 10);
}

/* Order of UTF-16 code units: characters beyond U+FFFF sort as surrogates, so before U+E000. */
static int compare_keys(const void *a, const void *b)
{
    const unsigned char *s = *(const unsigned char *const *)a, *t = *(const unsigned char *const *)b;
    while (*s && *t) {
        const uint32_t p = next_point(&s), q = next_point(&t);
        if (p == q) continue;
        const uint32_t u = first_unit(p), v = first_unit(q);
        return u != v ? (u < v ? -1 : 1) : (p < q ? -1 : 1);
    }
    return (*s != 0) - (*t != 0);
}

/* ---- Values ---- */

typedef enum form { CANONICAL, PRETTY } form;

static pawl_status put(pawl_text *out, const json_t *value, form f, int depth);

static void put_line(pawl_text *out, form f, int depth)
{
    if (f == PRETTY) pawl_text_add(out, "\n%*s", 2 * depth, "");
}

static pawl_status put_array(pawl_text *out, const json_t *array, form f, int depth)
{
    const size_t count = json_array_size(array);
    pawl_text_add(out, "[");
    for (size_t i = 0; i < count; i++) {
        if (i) pawl_text_add(out, ",");
        put_line(out, f, depth + 1);
        PAWL_TRY(put(out, json_array_get(array, i), f, depth + 1));
    }
    if (count) put_line(out, f, depth);
    pawl_text_add(out, "]");
    return PAWL_OK;
}

static pawl_status put_members(pawl_text *out, const json_t *object, const char *const *keys, size_t count, form f, int depth)
{
    pawl_text_add(out, "{");
    for (size_t i = 0; i < count; i++) {
        if (i) pawl_text_add(out, ",");
        put_line(out, f, depth + 1);
        put_text(out, keys[i], strlen(keys[i]));
        pawl_text_add(out, f == PRETTY ? ": " : ":");
        PAWL_TRY(put(out, json_object_get(object, keys[i]), f, depth + 1));
    }
    if (count) put_line(out, f, depth);
    pawl_text_add(out, "}");
    return PAWL_OK;
}

static pawl_status put_object(pawl_text *out, const json_t *object, form f, int depth)
{
    json_t *o = (json_t *)object; /* jansson's iterator asks for it, and changes nothing */
    const size_t count = json_object_size(object);
    const char **keys;
    PAWL_TRY(pawl_alloc((void **)&keys, count * sizeof *keys, "the keys of a JSON object"));
    size_t n = 0;
    for (void *it = json_object_iter(o); it; it = json_object_iter_next(o, it)) keys[n++] = json_object_iter_key(it);
    PAWL_ASSERT(n == count);
    if (f == CANONICAL) qsort(keys, count, sizeof *keys, compare_keys);
    pawl_status status = put_members(out, object, keys, count, f, depth);
    pawl_free(keys);
    return status;
}

static pawl_status put_integer(pawl_text *out, json_int_t x, form f)
{
    const json_int_t most = (json_int_t)1 << 53;
    PAWL_CHECK(f == PRETTY || (x >= -most && x <= most), PAWL_EDATA,
               "canonical JSON has no integers beyond 2^53, found %" JSON_INTEGER_FORMAT ": write it as a text", x);
    pawl_text_add(out, "%" JSON_INTEGER_FORMAT, x);
    return PAWL_OK;
}

static void put_real(pawl_text *out, double x)
{
    char text[32];
    pawl_json_number(x, text);
    pawl_text_add(out, "%s", text);
}

static pawl_status put(pawl_text *out, const json_t *value, form f, int depth)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: return put_object(out, value, f, depth);
    case JSON_ARRAY: return put_array(out, value, f, depth);
    case JSON_STRING: put_text(out, json_string_value(value), json_string_length(value)); break;
    case JSON_INTEGER: return put_integer(out, json_integer_value(value), f);
    case JSON_REAL: put_real(out, json_real_value(value)); break;
    case JSON_TRUE: pawl_text_add(out, "true"); break;
    case JSON_FALSE: pawl_text_add(out, "false"); break;
    case JSON_NULL: pawl_text_add(out, "null"); break;
    }
    return PAWL_OK;
}

pawl_status pawl_json_canonical(const json_t *value, pawl_text *out)
{
    PAWL_TRY(put(out, value, CANONICAL, 0));
    return pawl_text_status(out);
}

pawl_status pawl_json_pretty(const json_t *value, pawl_text *out)
{
    PAWL_TRY(put(out, value, PRETTY, 0));
    return pawl_text_status(out);
}

/* ---- Members, checked ---- */

static const char *kind_name(const json_t *v)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array", [JSON_STRING] = "a text",  [JSON_INTEGER] = "a number",
        [JSON_REAL] = "a number",    [JSON_TRUE] = "true",      [JSON_FALSE] = "false", [JSON_NULL] = "null"};
    return v ? names[json_typeof(v)] : "nothing";
}

static pawl_status unexpected(const char *where, const char *key, const char *expected, const json_t *found)
{
    return PAWL_FAIL(PAWL_EDATA, "%s: \"%s\": expected %s, found %s", where, key, expected, kind_name(found));
}

pawl_status pawl_json_write(const char *dir, const char *name, const json_t *value)
{
    char path[PATH_MAX];
    pawl_text text = {0};
    pawl_status status;
    PAWL_TRY_OUT(pawl_path_join(path, sizeof path, dir, name));
    PAWL_TRY_OUT(pawl_json_pretty(value, &text));
    pawl_text_add(&text, "\n");
    PAWL_TRY_OUT(pawl_text_status(&text));
    PAWL_TRY_OUT(pawl_file_replace(path, text.data, text.bytes));
out:
    pawl_text_close(&text);
    return status;
}

pawl_status pawl_json_text(const json_t *object, const char *key, const char *where, const char **out)
{
    const json_t *v = json_object_get(object, key);
    if (!json_is_string(v)) return unexpected(where, key, "a text", v);
    PAWL_CHECK(strlen(json_string_value(v)) == json_string_length(v), PAWL_EDATA,
               "%s: \"%s\": expected a text without \\u0000", where, key);
    *out = json_string_value(v);
    return PAWL_OK;
}

/* A number without a fraction counts as whole however it is written: Python's json writes 2048.0 for a float. */
static int whole(const json_t *v, int64_t *out)
{
    const double x = json_real_value(v);
    if (json_is_integer(v)) *out = json_integer_value(v);
    else if (json_is_real(v) && x == floor(x) && fabs(x) <= 0x1p53) *out = (int64_t)x;
    else return 0;
    return 1;
}

pawl_status pawl_json_i64(const json_t *object, const char *key, const char *where, int64_t lo, int64_t hi, int64_t *out)
{
    const json_t *v = json_object_get(object, key);
    int64_t x;
    if (!whole(v, &x)) return unexpected(where, key, "a whole number", v);
    PAWL_CHECK(x >= lo && x <= hi, PAWL_EDATA,
               "%s: \"%s\": expected a whole number in [%" PRId64 ", %" PRId64 "], found %" PRId64, where, key, lo, hi, x);
    *out = x;
    return PAWL_OK;
}

pawl_status pawl_json_object(const json_t *object, const char *key, const char *where, json_t **out)
{
    json_t *v = json_object_get(object, key);
    if (!json_is_object(v)) return unexpected(where, key, "an object", v);
    *out = v;
    return PAWL_OK;
}

pawl_status pawl_json_array(const json_t *object, const char *key, const char *where, json_t **out)
{
    json_t *v = json_object_get(object, key);
    if (!json_is_array(v)) return unexpected(where, key, "an array", v);
    *out = v;
    return PAWL_OK;
}
