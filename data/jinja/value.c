/* Making values, and what Python says of them: truth, equality, order, length. */
#include "data/jinja/value.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { DEPTH_MAX = 1000 };

pawl_status jinja_fail_(const jinja_run *r, const char *format, ...)
{
    char what[700];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return PAWL_FAIL(PAWL_EDATA, "the chat template, line %d: %s", r->line, what);
}

pawl_status jinja_spend(jinja_run *r, size_t steps)
{
    if (steps > (size_t)r->steps) return JINJA_FAIL(r, "the template works too long; it may not end");
    r->steps -= (int64_t)steps;
    return PAWL_OK;
}

pawl_status jinja_deeper(jinja_run *r)
{
    if (++r->depth > DEPTH_MAX) return JINJA_FAIL(r, "it is nested more than %d deep", DEPTH_MAX);
    return PAWL_OK;
}

const char *jinja_kind_name(jinja_kind k)
{
    static const char *const names[JINJA_KINDS] = {
        "undefined", "NoneType", "bool", "int",       "float", "str",   "list",     "tuple",
        "view",      "iterator", "dict", "namespace", "loop",  "macro", "function", "method",
    };
    return names[k];
}

/* ---- Containers ---- */

pawl_status jinja_list_new(jinja_run *r, jinja_kind kind, size_t room, jinja_value *out)
{
    jinja_list *l;
    PAWL_TRY(jinja_spend(r, room / 8 + 1));
    PAWL_TRY(jinja_pool_take(&r->pool, sizeof *l, (void **)&l));
    PAWL_TRY(jinja_pool_take(&r->pool, room * sizeof *l->items, (void **)&l->items));
    l->room = room;
    l->source = -1;
    *out = (jinja_value){.kind = kind, .list = l};
    return PAWL_OK;
}

pawl_status jinja_list_add(jinja_run *r, jinja_list *l, jinja_value v)
{
    PAWL_TRY(jinja_spend(r, 1));
    if (l->count == l->room) {
        const size_t room = 2 * l->room + 4, one = sizeof *l->items;
        PAWL_TRY(jinja_pool_grow(&r->pool, (void **)&l->items, l->room * one, room * one));
        l->room = room;
    }
    l->items[l->count++] = v;
    return PAWL_OK;
}

pawl_status jinja_dict_new(jinja_run *r, jinja_kind kind, size_t room, jinja_value *out)
{
    jinja_dict *d;
    PAWL_TRY(jinja_spend(r, room / 8 + 1));
    PAWL_TRY(jinja_pool_take(&r->pool, sizeof *d, (void **)&d));
    PAWL_TRY(jinja_pool_take(&r->pool, room * sizeof *d->keys, (void **)&d->keys));
    PAWL_TRY(jinja_pool_take(&r->pool, room * sizeof *d->values, (void **)&d->values));
    d->room = room;
    d->source = -1;
    *out = (jinja_value){.kind = kind, .dict = d};
    return PAWL_OK;
}

static pawl_status dict_append(jinja_run *r, jinja_dict *d, jinja_value key, jinja_value v)
{
    if (d->count == d->room) {
        const size_t room = 2 * d->room + 4, one = sizeof *d->keys;
        PAWL_TRY(jinja_pool_grow(&r->pool, (void **)&d->keys, d->room * one, room * one));
        PAWL_TRY(jinja_pool_grow(&r->pool, (void **)&d->values, d->room * one, room * one));
        d->room = room;
    }
    d->keys[d->count] = key;
    d->values[d->count++] = v;
    return PAWL_OK;
}

pawl_status jinja_dict_find(jinja_run *r, const jinja_dict *d, jinja_value key, const jinja_value **out)
{
    *out = NULL;
    if (jinja_is_list(key) && key.kind != JINJA_TUPLE)
        return JINJA_FAIL(r, "a %s cannot be the key of a dict", jinja_kind_name(key.kind));
    if (key.kind == JINJA_DICT) return JINJA_FAIL(r, "a dict cannot be the key of a dict");
    PAWL_TRY(jinja_spend(r, d->count / 16 + 1));
    for (size_t i = 0; i < d->count && !*out; i++) {
        int same;
        PAWL_TRY(jinja_equal(r, d->keys[i], key, &same));
        if (same) *out = &d->values[i];
    }
    return PAWL_OK;
}

const jinja_value *jinja_dict_named(const jinja_dict *d, const char *name)
{
    for (size_t i = 0; i < d->count; i++)
        if (d->keys[i].kind == JINJA_STRING && jinja_string_is(d->keys[i].string, name)) return &d->values[i];
    return NULL;
}

pawl_status jinja_dict_set(jinja_run *r, jinja_dict *d, jinja_value key, jinja_value v)
{
    const jinja_value *there;
    PAWL_TRY(jinja_dict_find(r, d, key, &there));
    if (!there) return dict_append(r, d, key, v);
    d->values[there - d->values] = v;
    return PAWL_OK;
}

/* ---- From JSON ---- */

static pawl_status string_from(jinja_run *r, const char *text, size_t bytes, int32_t source, jinja_value *out)
{
    jinja_mark *mark;
    PAWL_TRY(jinja_string_new(r, text, bytes, out));
    if (source < 0) return PAWL_OK;
    jinja_string *s = (jinja_string *)(uintptr_t)out->string;
    PAWL_TRY(jinja_pool_take(&r->pool, sizeof *mark, (void **)&mark));
    *mark = (jinja_mark){0, bytes, source};
    s->marks = mark;
    s->mark_count = 1;
    return PAWL_OK;
}

static pawl_status list_from(jinja_run *r, const json_t *json, int32_t source, jinja_value *out)
{
    PAWL_TRY(jinja_list_new(r, JINJA_LIST, json_array_size(json), out));
    out->list->source = source;
    for (size_t i = 0; i < json_array_size(json); i++) {
        jinja_value item;
        PAWL_TRY(jinja_from_json(r, json_array_get(json, i), source, &item));
        PAWL_TRY(jinja_list_add(r, out->list, item));
    }
    return PAWL_OK;
}

static pawl_status dict_from(jinja_run *r, const json_t *json, int32_t source, jinja_value *out)
{
    const char *name;
    size_t bytes;
    json_t *value;
    PAWL_TRY(jinja_dict_new(r, JINJA_DICT, json_object_size(json), out));
    out->dict->source = source;
    json_object_keylen_foreach((json_t *)(uintptr_t)json, name, bytes, value)
    {
        jinja_value key, item;
        PAWL_TRY(string_from(r, name, bytes, source, &key));
        PAWL_TRY(jinja_from_json(r, value, source, &item));
        PAWL_TRY(dict_append(r, out->dict, key, item));
    }
    return PAWL_OK;
}

pawl_status jinja_from_json(jinja_run *r, const json_t *json, int32_t source, jinja_value *out)
{
    pawl_status status = PAWL_OK;
    PAWL_TRY(jinja_deeper(r));
    switch (json_typeof(json)) {
    case JSON_OBJECT: status = dict_from(r, json, source, out); break;
    case JSON_ARRAY: status = list_from(r, json, source, out); break;
    case JSON_STRING: status = string_from(r, json_string_value(json), json_string_length(json), source, out); break;
    case JSON_INTEGER: *out = jinja_of_int(json_integer_value(json)); break;
    case JSON_REAL: *out = jinja_of_float(json_real_value(json)); break;
    case JSON_TRUE:
    case JSON_FALSE: *out = jinja_of_bool(json_is_true(json)); break;
    case JSON_NULL: *out = jinja_none(); break;
    }
    r->depth--;
    return status;
}

/* ---- Truth, length, order ---- */

int jinja_is_list(jinja_value v)
{
    return v.kind == JINJA_LIST || v.kind == JINJA_TUPLE || v.kind == JINJA_VIEW || v.kind == JINJA_ITERATOR;
}

int jinja_is_number(jinja_value v)
{
    return v.kind == JINJA_BOOL || v.kind == JINJA_INT || v.kind == JINJA_FLOAT;
}

double jinja_number(jinja_value v)
{
    return v.kind == JINJA_FLOAT ? v.real : (double)v.integer;
}

int64_t jinja_length(jinja_value v)
{
    switch (v.kind) {
    case JINJA_UNDEFINED: return 0;
    case JINJA_STRING: return (int64_t)v.string->chars;
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_VIEW: return (int64_t)v.list->count;
    case JINJA_DICT: return (int64_t)v.dict->count;
    default: return -1;
    }
}

int jinja_truth(jinja_value v)
{
    if (v.kind == JINJA_NONE) return 0;
    if (v.kind == JINJA_FLOAT) return v.real != 0;
    if (v.kind == JINJA_BOOL || v.kind == JINJA_INT) return v.integer != 0;
    return jinja_length(v) != 0;
}

static int numbers_order(jinja_value a, jinja_value b)
{
    if (a.kind != JINJA_FLOAT && b.kind != JINJA_FLOAT) return (a.integer > b.integer) - (a.integer < b.integer);
    return (jinja_number(a) > jinja_number(b)) - (jinja_number(a) < jinja_number(b));
}

static pawl_status lists_equal(jinja_run *r, const jinja_list *a, const jinja_list *b, int *out)
{
    *out = a->count == b->count;
    for (size_t i = 0; i < a->count && *out; i++) PAWL_TRY(jinja_equal(r, a->items[i], b->items[i], out));
    return PAWL_OK;
}

static pawl_status dicts_equal(jinja_run *r, const jinja_dict *a, const jinja_dict *b, int *out)
{
    *out = a->count == b->count;
    for (size_t i = 0; i < a->count && *out; i++) {
        const jinja_value *other;
        PAWL_TRY(jinja_dict_find(r, b, a->keys[i], &other));
        *out = 0;
        if (other) PAWL_TRY(jinja_equal(r, a->values[i], *other, out));
    }
    return PAWL_OK;
}

static pawl_status same_kind_equal(jinja_run *r, jinja_value a, jinja_value b, int *out)
{
    switch (a.kind) {
    case JINJA_UNDEFINED:
    case JINJA_NONE: *out = 1; return PAWL_OK;
    case JINJA_STRING: *out = a.string == b.string || jinja_string_order(a.string, b.string) == 0; return PAWL_OK;
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_VIEW: return lists_equal(r, a.list, b.list, out);
    case JINJA_DICT: return dicts_equal(r, a.dict, b.dict, out);
    default: *out = a.dict == b.dict; return PAWL_OK; /* the same thing */
    }
}

pawl_status jinja_equal(jinja_run *r, jinja_value a, jinja_value b, int *out)
{
    PAWL_TRY(jinja_spend(r, 1));
    if (jinja_is_number(a) && jinja_is_number(b)) {
        const int nan = (a.kind == JINJA_FLOAT && isnan(a.real)) || (b.kind == JINJA_FLOAT && isnan(b.real));
        *out = !nan && numbers_order(a, b) == 0;
        return PAWL_OK;
    }
    *out = 0;
    if (a.kind != b.kind) return PAWL_OK;
    PAWL_TRY(jinja_deeper(r));
    PAWL_TRY(same_kind_equal(r, a, b, out));
    r->depth--;
    return PAWL_OK;
}

static pawl_status lists_order(jinja_run *r, const jinja_list *a, const jinja_list *b, int *out)
{
    for (size_t i = 0; i < a->count && i < b->count; i++) {
        int same;
        PAWL_TRY(jinja_equal(r, a->items[i], b->items[i], &same));
        if (!same) return jinja_order(r, a->items[i], b->items[i], out);
    }
    *out = (a->count > b->count) - (a->count < b->count);
    return PAWL_OK;
}

pawl_status jinja_order(jinja_run *r, jinja_value a, jinja_value b, int *out)
{
    PAWL_TRY(jinja_spend(r, 1));
    if (jinja_is_number(a) && jinja_is_number(b))
        *out = numbers_order(a, b);
    else if (a.kind == JINJA_STRING && b.kind == JINJA_STRING)
        *out = jinja_string_order(a.string, b.string);
    else if (a.kind == b.kind && (a.kind == JINJA_LIST || a.kind == JINJA_TUPLE))
        return lists_order(r, a.list, b.list, out);
    else
        return JINJA_FAIL(r, "values of types %s and %s have no order", jinja_kind_name(a.kind),
                          jinja_kind_name(b.kind));
    return PAWL_OK;
}

pawl_status jinja_contains(jinja_run *r, jinja_value container, jinja_value item, int *out)
{
    const jinja_value *found;
    *out = 0;
    if (container.kind == JINJA_UNDEFINED) return PAWL_OK;
    if (container.kind == JINJA_STRING) {
        if (item.kind != JINJA_STRING)
            return JINJA_FAIL(r, "'in' a str needs a str on its left, found %s", jinja_kind_name(item.kind));
        PAWL_TRY(jinja_spend(r, container.string->bytes / 32));
        *out = jinja_string_find(container.string, item.string, 0) != SIZE_MAX;
        return PAWL_OK;
    }
    if (container.kind == JINJA_DICT) {
        PAWL_TRY(jinja_dict_find(r, container.dict, item, &found));
        *out = found != NULL;
        return PAWL_OK;
    }
    if (!jinja_is_list(container))
        return JINJA_FAIL(r, "'in' needs a container on its right, found %s", jinja_kind_name(container.kind));
    jinja_value items;
    PAWL_TRY(jinja_items(r, container, &items));
    for (size_t i = 0; i < items.list->count && !*out; i++) PAWL_TRY(jinja_equal(r, items.list->items[i], item, out));
    return PAWL_OK;
}

static pawl_status chars_of(jinja_run *r, const jinja_string *s, jinja_value *out)
{
    PAWL_TRY(jinja_list_new(r, JINJA_LIST, s->chars, out));
    for (size_t at = 0, n; at < s->bytes; at += n) {
        jinja_value c;
        n = jinja_char_bytes(s->data[at]);
        PAWL_TRY(jinja_string_cut(r, s, at, at + n, &c));
        PAWL_TRY(jinja_list_add(r, out->list, c));
    }
    return PAWL_OK;
}

pawl_status jinja_items(jinja_run *r, jinja_value v, jinja_value *out)
{
    if (v.kind == JINJA_STRING) return chars_of(r, v.string, out);
    PAWL_TRY(jinja_list_new(r, JINJA_LIST, 0, out));
    if (v.kind == JINJA_UNDEFINED) return PAWL_OK;
    if (v.kind == JINJA_DICT) {
        out->list->items = v.dict->keys;
        out->list->count = out->list->room = v.dict->count;
        return PAWL_OK;
    }
    if (!jinja_is_list(v)) return JINJA_FAIL(r, "a value of type %s cannot be iterated over", jinja_kind_name(v.kind));
    out->list->items = v.list->items + v.list->at;
    out->list->count = out->list->room = v.list->count - v.list->at;
    if (v.kind == JINJA_ITERATOR) v.list->at = v.list->count;
    return PAWL_OK;
}
