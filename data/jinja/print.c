/* Values as text: str, repr and JSON as Python writes them, into a buffer that keeps marks. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "data/jinja/value.h"

/* ---- The buffer ---- */

pawl_status jinja_put(jinja_run *r, jinja_buffer *b, const char *data, size_t bytes)
{
    PAWL_TRY(jinja_spend(r, bytes / 32 + 1));
    if (b->bytes + bytes > b->room) {
        const size_t room = 2 * (b->bytes + bytes) + 64;
        PAWL_TRY(jinja_pool_grow(&r->pool, (void **)&b->data, b->room, room));
        b->room = room;
    }
    if (bytes) memcpy(b->data + b->bytes, data, bytes);
    b->bytes += bytes;
    return PAWL_OK;
}

pawl_status jinja_put_words(jinja_run *r, jinja_buffer *b, const char *words)
{
    return jinja_put(r, b, words, strlen(words));
}

pawl_status jinja_put_mark(jinja_run *r, jinja_buffer *b, size_t first, size_t end, int32_t source)
{
    jinja_mark *last = b->mark_count ? &b->marks[b->mark_count - 1] : NULL;
    if (last && last->source == source && last->end == first && source != JINJA_GENERATION) { /* goes on */
        last->end = end;
        return PAWL_OK;
    }
    if (b->mark_count == b->mark_room) {
        const size_t room = 2 * b->mark_room + 8, one = sizeof *b->marks;
        PAWL_TRY(jinja_pool_grow(&r->pool, (void **)&b->marks, b->mark_room * one, room * one));
        b->mark_room = room;
    }
    b->marks[b->mark_count++] = (jinja_mark){first, end, source};
    return PAWL_OK;
}

pawl_status jinja_put_string(jinja_run *r, jinja_buffer *b, const jinja_string *s)
{
    const size_t at = b->bytes;
    PAWL_TRY(jinja_put(r, b, s->data, s->bytes));
    for (size_t i = 0; i < s->mark_count; i++)
        PAWL_TRY(jinja_put_mark(r, b, at + s->marks[i].first, at + s->marks[i].end, s->marks[i].source));
    return PAWL_OK;
}

pawl_status jinja_buffer_string(jinja_run *r, jinja_buffer *b, jinja_value *out)
{
    PAWL_TRY(jinja_string_new(r, b->data ? b->data : "", b->bytes, out));
    jinja_string *s = (jinja_string *)(uintptr_t)out->string;
    s->marks = b->marks;
    s->mark_count = b->mark_count;
    return PAWL_OK;
}

/* ---- str and repr ---- */

void jinja_format_real(double x, char out[32])
{
    char digits[40], power[8];
    int n = 1;
    if (!isfinite(x)) {
        snprintf(out, 32, "%s", isnan(x) ? "nan" : x > 0 ? "inf" : "-inf");
        return;
    }
    do snprintf(digits, sizeof digits, "%.*e", n - 1, x); /* the fewest that read back */
    while (strtod(digits, NULL) != x && n++ < 17);
    const long exponent = strtol(strchr(digits, 'e') + 1, NULL, 10);
    if (exponent >= -4 && exponent < 16) {
        const long decimals = n - 1 - exponent;
        snprintf(out, 32, "%.*f", decimals > 0 ? (int)decimals : 1, x);
        return;
    }
    snprintf(power, sizeof power, "e%c%02d", exponent < 0 ? '-' : '+', (int)(labs(exponent) % 1000));
    *strchr(digits, 'e') = 0;
    snprintf(out, 32, "%.23s%s", digits, power);
}

/* Python's str.isprintable, for one character. */
static int is_printable(utf8proc_int32_t c)
{
    if (c == ' ') return 1;
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS: return 0;
    default: return 1;
    }
}

static pawl_status put_quoted_char(jinja_run *r, jinja_buffer *b, const char *data, size_t bytes, char quote)
{
    char text[16];
    utf8proc_int32_t c;
    utf8proc_iterate((const utf8proc_uint8_t *)data, (utf8proc_ssize_t)bytes, &c);
    if (c == quote || c == '\\')
        snprintf(text, sizeof text, "\\%c", (int)c);
    else if (c == '\n')
        snprintf(text, sizeof text, "\\n");
    else if (c == '\r')
        snprintf(text, sizeof text, "\\r");
    else if (c == '\t')
        snprintf(text, sizeof text, "\\t");
    else if (is_printable(c))
        return jinja_put(r, b, data, bytes);
    else
        snprintf(text, sizeof text, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
    return jinja_put_words(r, b, text);
}

static pawl_status put_quoted(jinja_run *r, jinja_buffer *b, const jinja_string *s)
{
    const int single = s->bytes && memchr(s->data, '\'', s->bytes), twice = s->bytes && memchr(s->data, '"', s->bytes);
    const char quote = single && !twice ? '"' : '\'';
    const size_t at = b->bytes;
    if (s->safe) PAWL_TRY(jinja_put_words(r, b, "Markup("));
    PAWL_TRY(jinja_put(r, b, &quote, 1));
    for (size_t i = 0; i < s->bytes; i += jinja_char_bytes(s->data[i]))
        PAWL_TRY(put_quoted_char(r, b, s->data + i, jinja_char_bytes(s->data[i]), quote));
    PAWL_TRY(jinja_put(r, b, &quote, 1));
    if (s->safe) PAWL_TRY(jinja_put_words(r, b, ")"));
    const int32_t source = jinja_string_source(s);
    return source >= 0 ? jinja_put_mark(r, b, at, b->bytes, source) : PAWL_OK;
}

static pawl_status repr_list(jinja_run *r, jinja_buffer *b, jinja_value v)
{
    const int tuple = v.kind == JINJA_TUPLE;
    const jinja_list *l = v.list;
    PAWL_TRY(jinja_put_words(r, b, tuple ? "(" : "["));
    for (size_t i = 0; i < l->count; i++) {
        if (i) PAWL_TRY(jinja_put_words(r, b, ", "));
        PAWL_TRY(jinja_repr(r, b, l->items[i]));
    }
    return jinja_put_words(r, b, tuple ? (l->count == 1 ? ",)" : ")") : "]");
}

static pawl_status repr_dict(jinja_run *r, jinja_buffer *b, const jinja_dict *d)
{
    PAWL_TRY(jinja_put_words(r, b, "{"));
    for (size_t i = 0; i < d->count; i++) {
        if (i) PAWL_TRY(jinja_put_words(r, b, ", "));
        PAWL_TRY(jinja_repr(r, b, d->keys[i]));
        PAWL_TRY(jinja_put_words(r, b, ": "));
        PAWL_TRY(jinja_repr(r, b, d->values[i]));
    }
    return jinja_put_words(r, b, "}");
}

static pawl_status repr_scalar(jinja_run *r, jinja_buffer *b, jinja_value v)
{
    char text[32];
    switch (v.kind) {
    case JINJA_UNDEFINED: snprintf(text, sizeof text, "Undefined"); break;
    case JINJA_NONE: snprintf(text, sizeof text, "None"); break;
    case JINJA_BOOL: snprintf(text, sizeof text, "%s", v.integer ? "True" : "False"); break;
    case JINJA_INT: snprintf(text, sizeof text, "%lld", (long long)v.integer); break;
    case JINJA_FLOAT: jinja_format_real(v.real, text); break;
    default: return JINJA_FAIL(r, "printing a value of type %s is not computed", jinja_kind_name(v.kind));
    }
    return jinja_put_words(r, b, text);
}

static pawl_status repr_inside(jinja_run *r, jinja_buffer *b, jinja_value v)
{
    const size_t at = b->bytes;
    int32_t source;
    if (v.kind == JINJA_STRING) return put_quoted(r, b, v.string);
    if (v.kind == JINJA_LIST || v.kind == JINJA_TUPLE) {
        PAWL_TRY(repr_list(r, b, v));
        source = v.list->source;
    } else if (v.kind == JINJA_DICT) {
        PAWL_TRY(repr_dict(r, b, v.dict));
        source = v.dict->source;
    } else {
        return repr_scalar(r, b, v);
    }
    return source >= 0 ? jinja_put_mark(r, b, at, b->bytes, source) : PAWL_OK;
}

pawl_status jinja_repr(jinja_run *r, jinja_buffer *b, jinja_value v)
{
    PAWL_TRY(jinja_deeper(r));
    PAWL_TRY(repr_inside(r, b, v));
    r->depth--;
    return PAWL_OK;
}

pawl_status jinja_print(jinja_run *r, jinja_buffer *b, jinja_value v)
{
    if (v.kind == JINJA_STRING) return jinja_put_string(r, b, v.string);
    return v.kind == JINJA_UNDEFINED ? PAWL_OK : jinja_repr(r, b, v);
}

pawl_status jinja_to_string(jinja_run *r, jinja_value v, const jinja_string **out)
{
    jinja_buffer b = {0};
    if (v.kind != JINJA_STRING) {
        PAWL_TRY(jinja_print(r, &b, v));
        PAWL_TRY(jinja_buffer_string(r, &b, &v));
    }
    *out = v.string;
    return PAWL_OK;
}

/* ---- JSON, as json.dumps ---- */

static pawl_status put_json_char(jinja_run *r, jinja_buffer *b, const char *data, size_t bytes, int ascii)
{
    static const char letters[] = "\b\t\n\f\r\"\\", written[] = "btnfr\"\\";
    char text[16];
    utf8proc_int32_t c = (unsigned char)*data;
    const char *letter = c ? strchr(letters, c) : NULL;
    if (letter && c < 0x80) {
        snprintf(text, sizeof text, "\\%c", written[letter - letters]);
        return jinja_put_words(r, b, text);
    }
    if (c >= 0x20 && c < 0x7F) return jinja_put(r, b, data, 1);
    utf8proc_iterate((const utf8proc_uint8_t *)data, (utf8proc_ssize_t)bytes, &c);
    if (c >= 0x20 && (!ascii || c == 0x7F)) return jinja_put(r, b, data, bytes);
    if (c < 0x10000)
        snprintf(text, sizeof text, "\\u%04x", (unsigned)c);
    else
        snprintf(text, sizeof text, "\\u%04x\\u%04x", 0xD7C0u + ((unsigned)c >> 10), 0xDC00u + ((unsigned)c & 0x3FF));
    return jinja_put_words(r, b, text);
}

static pawl_status json_string_of(jinja_run *r, jinja_buffer *b, const jinja_string *s, int ascii)
{
    const size_t at = b->bytes;
    PAWL_TRY(jinja_put_words(r, b, "\""));
    for (size_t i = 0; i < s->bytes; i += jinja_char_bytes(s->data[i]))
        PAWL_TRY(put_json_char(r, b, s->data + i, jinja_char_bytes(s->data[i]), ascii));
    PAWL_TRY(jinja_put_words(r, b, "\""));
    return jinja_string_source(s) >= 0 ? jinja_put_mark(r, b, at, b->bytes, jinja_string_source(s)) : PAWL_OK;
}

static pawl_status json_value(jinja_run *r, jinja_buffer *b, jinja_value v, const jinja_json_style *style, int level);

static pawl_status new_line(jinja_run *r, jinja_buffer *b, const jinja_json_style *style, int level)
{
    if (!style->pretty) return PAWL_OK;
    PAWL_TRY(jinja_put_words(r, b, "\n"));
    for (int i = 0; i < level; i++) PAWL_TRY(jinja_put_string(r, b, style->indent));
    return PAWL_OK;
}

static pawl_status between_items(jinja_run *r, jinja_buffer *b, const jinja_json_style *style)
{
    if (style->item) return jinja_put_string(r, b, style->item);
    return jinja_put_words(r, b, style->pretty ? "," : ", ");
}

static pawl_status json_list(jinja_run *r, jinja_buffer *b, const jinja_list *l, const jinja_json_style *style,
                             int level)
{
    PAWL_TRY(jinja_put_words(r, b, "["));
    for (size_t i = 0; i < l->count; i++) {
        if (i) PAWL_TRY(between_items(r, b, style));
        PAWL_TRY(new_line(r, b, style, level + 1));
        PAWL_TRY(json_value(r, b, l->items[i], style, level + 1));
    }
    if (l->count) PAWL_TRY(new_line(r, b, style, level));
    return jinja_put_words(r, b, "]");
}

/* JSON has text keys only: numbers and words become texts. */
static pawl_status json_key(jinja_run *r, jinja_buffer *b, jinja_value key, const jinja_json_style *style)
{
    const jinja_json_style plain = {0};
    if (key.kind == JINJA_STRING) return json_string_of(r, b, key.string, style->ascii);
    if (key.kind != JINJA_NONE && !jinja_is_number(key))
        return JINJA_FAIL(r, "tojson: keys of a dict must be str, int, float, bool or None, found %s",
                          jinja_kind_name(key.kind));
    PAWL_TRY(jinja_put_words(r, b, "\""));
    PAWL_TRY(json_value(r, b, key, &plain, 0));
    return jinja_put_words(r, b, "\"");
}

/* The places of a dict's items, sorted by key when asked. */
static pawl_status key_order(jinja_run *r, const jinja_dict *d, int sorted, size_t **out)
{
    size_t *order;
    PAWL_TRY(jinja_pool_take(&r->pool, d->count * sizeof *order, (void **)&order));
    for (size_t i = 0; i < d->count; i++) {
        size_t at = i;
        for (; sorted && at > 0; at--) {
            int c;
            PAWL_TRY(jinja_spend(r, 1));
            PAWL_TRY(jinja_order(r, d->keys[order[at - 1]], d->keys[i], &c));
            if (c <= 0) break;
            order[at] = order[at - 1];
        }
        order[at] = i;
    }
    *out = order;
    return PAWL_OK;
}

static pawl_status json_dict(jinja_run *r, jinja_buffer *b, const jinja_dict *d, const jinja_json_style *style,
                             int level)
{
    size_t *order;
    PAWL_TRY(key_order(r, d, style->sort, &order));
    PAWL_TRY(jinja_put_words(r, b, "{"));
    for (size_t i = 0; i < d->count; i++) {
        if (i) PAWL_TRY(between_items(r, b, style));
        PAWL_TRY(new_line(r, b, style, level + 1));
        PAWL_TRY(json_key(r, b, d->keys[order[i]], style));
        if (style->key)
            PAWL_TRY(jinja_put_string(r, b, style->key));
        else
            PAWL_TRY(jinja_put_words(r, b, ": "));
        PAWL_TRY(json_value(r, b, d->values[order[i]], style, level + 1));
    }
    if (d->count) PAWL_TRY(new_line(r, b, style, level));
    return jinja_put_words(r, b, "}");
}

static pawl_status json_scalar(jinja_run *r, jinja_buffer *b, jinja_value v, const jinja_json_style *style)
{
    if (v.kind == JINJA_STRING) return json_string_of(r, b, v.string, style->ascii);
    if (v.kind == JINJA_NONE) return jinja_put_words(r, b, "null");
    if (v.kind == JINJA_BOOL) return jinja_put_words(r, b, v.integer ? "true" : "false");
    if (v.kind == JINJA_FLOAT && !isfinite(v.real))
        return jinja_put_words(r, b, isnan(v.real) ? "NaN" : v.real > 0 ? "Infinity" : "-Infinity");
    if (v.kind == JINJA_INT || v.kind == JINJA_FLOAT) return repr_scalar(r, b, v);
    return JINJA_FAIL(r, "tojson: a value of type %s is not JSON serializable", jinja_kind_name(v.kind));
}

static pawl_status json_value(jinja_run *r, jinja_buffer *b, jinja_value v, const jinja_json_style *style, int level)
{
    const size_t at = b->bytes;
    int32_t source = JINJA_NO_SOURCE;
    PAWL_TRY(jinja_deeper(r));
    if (v.kind == JINJA_LIST || v.kind == JINJA_TUPLE) {
        PAWL_TRY(json_list(r, b, v.list, style, level));
        source = v.list->source;
    } else if (v.kind == JINJA_DICT) {
        PAWL_TRY(json_dict(r, b, v.dict, style, level));
        source = v.dict->source;
    } else {
        PAWL_TRY(json_scalar(r, b, v, style));
    }
    r->depth--;
    return source >= 0 ? jinja_put_mark(r, b, at, b->bytes, source) : PAWL_OK;
}

pawl_status jinja_tojson(jinja_run *r, jinja_buffer *b, jinja_value v, const jinja_json_style *style)
{
    return json_value(r, b, v, style, 0);
}
