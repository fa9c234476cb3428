/* Methods of dicts and lists, as Python's. */
#include "data/jinja/functions.h"

/* ---- Dicts ---- */

static pawl_status dict_get(jinja_run *r, jinja_value self, const jinja_args *a, jinja_value *out)
{
    const jinja_value *v;
    PAWL_TRY(jinja_check_args(r, "get()", a, 2, ""));
    if (a->count == 0) return JINJA_FAIL(r, "get() needs a key");
    PAWL_TRY(jinja_dict_find(r, self.dict, a->items[0], &v));
    *out = v ? *v : a->count > 1 ? a->items[1] : jinja_none();
    return PAWL_OK;
}

static pawl_status dict_items(jinja_run *r, jinja_value self, const jinja_args *a, jinja_value *out)
{
    PAWL_TRY(jinja_check_args(r, "items()", a, 0, ""));
    PAWL_TRY(jinja_list_new(r, JINJA_VIEW, self.dict->count, out));
    for (size_t i = 0; i < self.dict->count; i++) {
        jinja_value pair;
        PAWL_TRY(jinja_list_new(r, JINJA_TUPLE, 2, &pair));
        PAWL_TRY(jinja_list_add(r, pair.list, self.dict->keys[i]));
        PAWL_TRY(jinja_list_add(r, pair.list, self.dict->values[i]));
        PAWL_TRY(jinja_list_add(r, out->list, pair));
    }
    return PAWL_OK;
}

static pawl_status view_of(jinja_run *r, jinja_value *items, size_t count, const jinja_args *a, jinja_value *out)
{
    PAWL_TRY(jinja_check_args(r, "keys() and values()", a, 0, ""));
    PAWL_TRY(jinja_list_new(r, JINJA_VIEW, 0, out));
    out->list->items = items;
    out->list->count = out->list->room = count;
    return PAWL_OK;
}

static pawl_status dict_keys(jinja_run *r, jinja_value self, const jinja_args *a, jinja_value *out)
{
    return view_of(r, self.dict->keys, self.dict->count, a, out);
}

static pawl_status dict_values(jinja_run *r, jinja_value self, const jinja_args *a, jinja_value *out)
{
    return view_of(r, self.dict->values, self.dict->count, a, out);
}

/* Nothing changes a dict or a list, so a copy is the thing itself. */
static pawl_status copy(jinja_run *r, jinja_value self, const jinja_args *a, jinja_value *out)
{
    PAWL_TRY(jinja_check_args(r, "copy()", a, 0, ""));
    *out = self;
    return PAWL_OK;
}

const jinja_method_row jinja_dict_methods[] = {
    {"get", dict_get}, {"items", dict_items}, {"keys", dict_keys}, {"values", dict_values},
    {"copy", copy},    {"clear", NULL},       {"pop", NULL},       {"popitem", NULL},
    {"update", NULL},  {"setdefault", NULL},  {"fromkeys", NULL},  {NULL, NULL},
};

/* ---- Lists ---- */

static pawl_status list_index(jinja_run *r, jinja_value self, const jinja_args *a, jinja_value *out)
{
    if (a->count != 1) return JINJA_FAIL(r, "index() needs one argument");
    for (size_t i = 0; i < self.list->count; i++) {
        int same;
        PAWL_TRY(jinja_equal(r, self.list->items[i], a->items[0], &same));
        *out = jinja_of_int((int64_t)i);
        if (same) return PAWL_OK;
    }
    return JINJA_FAIL(r, "index(): the value is not in the list");
}

static pawl_status list_count(jinja_run *r, jinja_value self, const jinja_args *a, jinja_value *out)
{
    *out = jinja_of_int(0);
    if (a->count != 1) return JINJA_FAIL(r, "count() needs one argument");
    for (size_t i = 0; i < self.list->count; i++) {
        int same;
        PAWL_TRY(jinja_equal(r, self.list->items[i], a->items[0], &same));
        out->integer += same;
    }
    return PAWL_OK;
}

const jinja_method_row jinja_list_methods[] = {
    {"index", list_index}, {"count", list_count}, {"copy", copy},    {"append", NULL},
    {"extend", NULL},      {"insert", NULL},      {"pop", NULL},     {"remove", NULL},
    {"clear", NULL},       {"sort", NULL},        {"reverse", NULL}, {NULL, NULL},
};
