#include "data/jinja/sequences.h"

#include <string.h>

/* What `attribute=` means: the parts of "a.b.0", taken one after another. */
static pawl_status attribute_of(jinja_run *r, jinja_value v, const jinja_value *path, jinja_value *out)
{
    *out = v;
    if (!path || path->kind == JINJA_NONE) return PAWL_OK;
    if (path->kind == JINJA_INT) return jinja_item(r, v, *path, out);
    if (path->kind != JINJA_STRING)
        return JINJA_FAIL(r, "an attribute is named by a str, found %s", jinja_kind_name(path->kind));
    const jinja_string *p = path->string;
    for (size_t at = 0; at <= p->bytes;) {
        const char *dot = memchr(p->data + at, '.', p->bytes - at);
        const size_t end = dot ? (size_t)(dot - p->data) : p->bytes;
        jinja_value part;
        PAWL_TRY(jinja_string_cut(r, p, at, end, &part));
        if (end > at && end - at < 10 && strspn(p->data + at, "0123456789") >= end - at) {
            int64_t place = 0;
            for (size_t i = at; i < end; i++) place = 10 * place + (p->data[i] - '0');
            part = jinja_of_int(place);
        }
        PAWL_TRY(jinja_item(r, *out, part, out));
        at = end + 1;
    }
    return PAWL_OK;
}

/* Text without its case, as most filters compare unless they are told not to. */
static pawl_status compared(jinja_run *r, jinja_value v, int case_sensitive, jinja_value *out)
{
    *out = v;
    return v.kind == JINJA_STRING && !case_sensitive ? jinja_change_case(r, v.string, JINJA_LOWER, out) : PAWL_OK;
}

static pawl_status as_iterator(jinja_run *r, jinja_value list, jinja_value *out)
{
    PAWL_TRY(jinja_list_new(r, JINJA_ITERATOR, 0, out));
    out->list->items = list.list->items;
    out->list->count = out->list->room = list.list->count;
    return PAWL_OK;
}

/* ---- The whole of a sequence ---- */

static pawl_status f_length(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out)
{
    PAWL_TRY(jinja_check_args(r, "length", a, 0, ""));
    if (jinja_length(v) < 0) return JINJA_FAIL(r, "a value of type %s has no length", jinja_kind_name(v.kind));
    *out = jinja_of_int(jinja_length(v));
    return PAWL_OK;
}

static pawl_status f_list(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out)
{
    PAWL_TRY(jinja_check_args(r, "list", a, 0, ""));
    return jinja_items(r, v, out);
}

static pawl_status f_join(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out)
{
    const jinja_value *mark = jinja_arg(a, 0, "d"), *path = jinja_arg(a, 1, "attribute");
    const jinja_string *between = NULL;
    jinja_buffer b = {0};
    jinja_value items, item;
    PAWL_TRY(jinja_check_args(r, "join", a, 2, "d attribute"));
    if (mark) PAWL_TRY(jinja_to_string(r, *mark, &between));
    PAWL_TRY(jinja_items(r, v, &items));
    for (size_t i = 0; i < items.list->count; i++) {
        if (i && between) PAWL_TRY(jinja_put_string(r, &b, between));
        PAWL_TRY(attribute_of(r, items.list->items[i], path, &item));
        PAWL_TRY(jinja_print(r, &b, item));
    }
    return jinja_buffer_string(r, &b, out);
}

static pawl_status f_first(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out)
{
    jinja_value items;
    PAWL_TRY(jinja_check_args(r, "first", a, 0, ""));
    const size_t at = v.kind == JINJA_ITERATOR ? v.list->at : 0;
    PAWL_TRY(jinja_items(r, v, &items));
    if (v.kind == JINJA_ITERATOR && items.list->count) v.list->at = at + 1; /* the others are still to come */
    *out = items.list->count ? items.list->items[0] : jinja_undefined(NULL);
    return PAWL_OK;
}

static pawl_status f_last(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out)
{
    jinja_value items;
    PAWL_TRY(jinja_check_args(r, "last", a, 0, ""));
    if (v.kind == JINJA_ITERATOR) return JINJA_FAIL(r, "the last of an iterator is not known; make it a list first");
    PAWL_TRY(jinja_items(r, v, &items));
    *out = items.list->count ? items.list->items[items.list->count - 1] : jinja_undefined(NULL);
    return PAWL_OK;
}

static pawl_status f_reverse(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out)
{
    jinja_value items, turned;
    const jinja_value whole[3] = {jinja_none(), jinja_none(), jinja_of_int(-1)};
    PAWL_TRY(jinja_check_args(r, "reverse", a, 0, ""));
    if (v.kind == JINJA_STRING) return jinja_slice(r, v, whole, out);
    PAWL_TRY(jinja_items(r, v, &items));
    PAWL_TRY(jinja_slice(r, items, whole, &turned));
    return as_iterator(r, turned, out);
}

static pawl_status f_sum(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out)
{
    const jinja_value *path = jinja_arg(a, 0, "attribute"), *start = jinja_arg(a, 1, "start");
    jinja_value items, item;
    PAWL_TRY(jinja_check_args(r, "sum", a, 2, "attribute start"));
    PAWL_TRY(jinja_items(r, v, &items));
    *out = start ? *start : jinja_of_int(0);
    if (out->kind == JINJA_STRING) return JINJA_FAIL(r, "sum adds no strings");
    for (size_t i = 0; i < items.list->count; i++) {
        PAWL_TRY(attribute_of(r, items.list->items[i], path, &item));
        PAWL_TRY(jinja_arithmetic(r, '+', *out, item, out));
    }
    return PAWL_OK;
}

static pawl_status f_unique(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out)
{
    const jinja_value *sensitive = jinja_arg(a, 0, "case_sensitive"), *path = jinja_arg(a, 1, "attribute");
    jinja_value items, seen, kept, key;
    PAWL_TRY(jinja_check_args(r, "unique", a, 2, "case_sensitive attribute"));
    PAWL_TRY(jinja_items(r, v, &items));
    PAWL_TRY(jinja_list_new(r, JINJA_LIST, 0, &seen));
    PAWL_TRY(jinja_list_new(r, JINJA_LIST, 0, &kept));
    for (size_t i = 0; i < items.list->count; i++) {
        int there;
        PAWL_TRY(attribute_of(r, items.list->items[i], path, &key));
        PAWL_TRY(compared(r, key, sensitive && jinja_truth(*sensitive), &key));
        PAWL_TRY(jinja_contains(r, seen, key, &there));
        if (there) continue;
        PAWL_TRY(jinja_list_add(r, seen.list, key));
        PAWL_TRY(jinja_list_add(r, kept.list, items.list->items[i]));
    }
    return as_iterator(r, kept, out);
}

/* ---- Order ---- */

typedef struct sorting {
    const jinja_value *path;
    int case_sensitive, backward;
} sorting;

static pawl_status sorting_of(jinja_run *r, const jinja_args *a, size_t place[3], sorting *out)
{
    const jinja_value *sensitive = jinja_arg(a, place[0], "case_sensitive"),
                      *backward = jinja_arg(a, place[1], "reverse");
    PAWL_TRY(jinja_check_args(r, "sort, min and max", a, 3, "case_sensitive reverse attribute"));
    *out = (sorting){.path = jinja_arg(a, place[2], "attribute"),
                     .case_sensitive = sensitive && jinja_truth(*sensitive),
                     .backward = backward && jinja_truth(*backward)};
    return PAWL_OK;
}

static pawl_status key_of(jinja_run *r, jinja_value v, const sorting *how, jinja_value *out)
{
    PAWL_TRY(attribute_of(r, v, how->path, out));
    return compared(r, *out, how->case_sensitive, out);
}

/* A stable insertion sort: lists in templates are short, and steps are counted. */
static pawl_status sorted_by(jinja_run *r, jinja_value items, const sorting *how, jinja_value *out)
{
    jinja_value keys;
    PAWL_TRY(jinja_list_new(r, JINJA_LIST, items.list->count, &keys));
    PAWL_TRY(jinja_list_new(r, JINJA_LIST, items.list->count, out));
    for (size_t i = 0; i < items.list->count; i++) {
        jinja_value key;
        size_t at = i;
        PAWL_TRY(key_of(r, items.list->items[i], how, &key));
        PAWL_TRY(jinja_list_add(r, keys.list, key));
        PAWL_TRY(jinja_list_add(r, out->list, items.list->items[i]));
        for (; at > 0; at--) {
            int c;
            PAWL_TRY(jinja_order(r, keys.list->items[at - 1], key, &c));
            if (how->backward ? c >= 0 : c <= 0) break;
            keys.list->items[at] = keys.list->items[at - 1];
            out->list->items[at] = out->list->items[at - 1];
        }
        keys.list->items[at] = key;
        out->list->items[at] = items.list->items[i];
    }
    return PAWL_OK;
}

static pawl_status f_sort(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out)
{
    sorting how;
    jinja_value items;
    PAWL_TRY(sorting_of(r, a, (size_t[]){1, 0, 2}, &how));
    PAWL_TRY(jinja_items(r, v, &items));
    return sorted_by(r, items, &how, out);
}

static pawl_status extreme(jinja_run *r, jinja_value v, const jinja_args *a, int backward, jinja_value *out)
{
    sorting how;
    jinja_value items;
    PAWL_TRY(sorting_of(r, a, (size_t[]){0, 9, 1}, &how));
    how.backward = backward;
    PAWL_TRY(jinja_items(r, v, &items));
    PAWL_TRY(sorted_by(r, items, &how, &items));
    *out = items.list->count ? items.list->items[0] : jinja_undefined(NULL);
    return PAWL_OK;
}

static pawl_status f_min(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out)
{
    return extreme(r, v, a, 0, out);
}

static pawl_status f_max(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out)
{
    return extreme(r, v, a, 1, out);
}

static pawl_status f_items(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out)
{
    jinja_value method, view;
    PAWL_TRY(jinja_check_args(r, "items", a, 0, ""));
    if (v.kind == JINJA_UNDEFINED) return jinja_list_new(r, JINJA_ITERATOR, 0, out);
    if (v.kind != JINJA_DICT) return JINJA_FAIL(r, "items needs a dict, found %s", jinja_kind_name(v.kind));
    PAWL_TRY(jinja_attribute(r, v, &(jinja_string){.data = "items", .bytes = 5}, &method));
    PAWL_TRY(jinja_call(r, method, &(jinja_args){0}, &view));
    return as_iterator(r, view, out);
}

static pawl_status f_dictsort(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out)
{
    const jinja_value *sensitive = jinja_arg(a, 0, "case_sensitive"), *by = jinja_arg(a, 1, "by"),
                      *backward = jinja_arg(a, 2, "reverse");
    jinja_value items;
    PAWL_TRY(jinja_check_args(r, "dictsort", a, 3, "case_sensitive by reverse"));
    const int by_value = by && by->kind == JINJA_STRING && jinja_string_is(by->string, "value");
    const jinja_value place = jinja_of_int(by_value);
    const sorting how = {&place, sensitive && jinja_truth(*sensitive), backward && jinja_truth(*backward)};
    if (v.kind != JINJA_DICT) return JINJA_FAIL(r, "dictsort needs a dict, found %s", jinja_kind_name(v.kind));
    PAWL_TRY(f_items(r, v, &(jinja_args){0}, &items));
    return sorted_by(r, items, &how, out);
}

/* ---- Choosing and mapping ---- */

/* The test that select and its kin apply: named by the first argument from `first`, with those behind it; else truth.
 */
static pawl_status passes(jinja_run *r, jinja_value v, const jinja_args *a, size_t first, int *out)
{
    *out = jinja_truth(v);
    if (a->count <= first) return PAWL_OK;
    const jinja_value name = a->items[first];
    const jinja_test *test = name.kind == JINJA_STRING ? jinja_test_named(name.string) : NULL;
    if (!test) return JINJA_FAIL(r, "a test is named by a str that names one that is computed");
    return test->call(r, v, &(jinja_args){a->items + first + 1, a->count - first - 1, NULL, 0}, out);
}

static pawl_status choose(jinja_run *r, jinja_value v, const jinja_args *a, int by_attribute, int wanted,
                          jinja_value *out)
{
    jinja_value items, kept, tested;
    if (a->name_count || (by_attribute && a->count == 0))
        return JINJA_FAIL(r, "selectattr and rejectattr need an attribute, and no names");
    PAWL_TRY(jinja_items(r, v, &items));
    PAWL_TRY(jinja_list_new(r, JINJA_LIST, 0, &kept));
    for (size_t i = 0; i < items.list->count; i++) {
        int holds;
        PAWL_TRY(attribute_of(r, items.list->items[i], by_attribute ? &a->items[0] : NULL, &tested));
        PAWL_TRY(passes(r, tested, a, (size_t)by_attribute, &holds));
        if (!holds == !wanted) PAWL_TRY(jinja_list_add(r, kept.list, items.list->items[i]));
    }
    return as_iterator(r, kept, out);
}

static pawl_status f_select(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out)
{
    return choose(r, v, a, 0, 1, out);
}

static pawl_status f_reject(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out)
{
    return choose(r, v, a, 0, 0, out);
}

static pawl_status f_selectattr(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out)
{
    return choose(r, v, a, 1, 1, out);
}

static pawl_status f_rejectattr(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out)
{
    return choose(r, v, a, 1, 0, out);
}

static pawl_status map_one(jinja_run *r, jinja_value v, const jinja_args *a, const jinja_value *path, jinja_value *out)
{
    if (path) {
        const jinja_value *dflt = jinja_arg(a, 9, "default");
        PAWL_TRY(attribute_of(r, v, path, out));
        if (out->kind == JINJA_UNDEFINED && dflt) *out = *dflt;
        return PAWL_OK;
    }
    const jinja_filter *f =
        a->count && a->items[0].kind == JINJA_STRING ? jinja_filter_named(a->items[0].string) : NULL;
    if (!f) return JINJA_FAIL(r, "map needs an attribute, or the name of a filter that is computed");
    return f->call(r, v, &(jinja_args){a->items + 1, a->count - 1, a->names, a->name_count}, out);
}

static pawl_status f_map(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out)
{
    const jinja_value *path = a->count == a->name_count ? jinja_arg(a, 9, "attribute") : NULL;
    jinja_value items, made, one;
    PAWL_TRY(jinja_items(r, v, &items));
    PAWL_TRY(jinja_list_new(r, JINJA_LIST, items.list->count, &made));
    for (size_t i = 0; i < items.list->count; i++) {
        PAWL_TRY(map_one(r, items.list->items[i], a, path, &one));
        PAWL_TRY(jinja_list_add(r, made.list, one));
    }
    return as_iterator(r, made, out);
}

const jinja_filter jinja_sequence_filters[] = {
    {"length", f_length},
    {"count", f_length},
    {"list", f_list},
    {"join", f_join},
    {"first", f_first},
    {"last", f_last},
    {"reverse", f_reverse},
    {"sum", f_sum},
    {"unique", f_unique},
    {"sort", f_sort},
    {"min", f_min},
    {"max", f_max},
    {"items", f_items},
    {"dictsort", f_dictsort},
    {"select", f_select},
    {"reject", f_reject},
    {"selectattr", f_selectattr},
    {"rejectattr", f_rejectattr},
    {"map", f_map},
};
const size_t jinja_sequence_filter_count = sizeof jinja_sequence_filters / sizeof *jinja_sequence_filters;
