/* The functions that every template has, arguments, and the formats with % and strftime. */
#include "data/jinja/functions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "data/jinja/eval.h"

enum { RANGE_MAX = 100000 }; /* Jinja's sandbox has the same */

/* ---- Arguments ---- */

const jinja_value *jinja_arg(const jinja_args *a, size_t position, const char *name)
{
    const size_t by_place = a->count - a->name_count;
    if (position < by_place) return &a->items[position];
    for (size_t i = 0; i < a->name_count; i++)
        if (jinja_string_is(a->names[i], name)) return &a->items[by_place + i];
    return NULL;
}

static int is_listed(const jinja_string *name, const char *words)
{
    for (const char *w = words; *w;) {
        const size_t n = strcspn(w, " ");
        if (n == name->bytes && memcmp(w, name->data, n) == 0) return 1;
        w += n + (w[n] == ' ');
    }
    return 0;
}

pawl_status jinja_check_args(jinja_run *r, const char *what, const jinja_args *a, size_t most, const char *known)
{
    if (a->count > most) return JINJA_FAIL(r, "%s takes at most %zu arguments, found %zu", what, most, a->count);
    for (size_t i = 0; i < a->name_count; i++)
        if (!is_listed(a->names[i], known))
            return JINJA_FAIL(r, "%s has no argument '%.*s' that is computed", what, (int)a->names[i]->bytes,
                              a->names[i]->data);
    return PAWL_OK;
}

pawl_status jinja_arg_int(jinja_run *r, const char *what, const jinja_value *v, int64_t dflt, int64_t *out)
{
    *out = dflt;
    if (!v || v->kind == JINJA_NONE) return PAWL_OK;
    if (v->kind != JINJA_INT && v->kind != JINJA_BOOL)
        return JINJA_FAIL(r, "%s needs a whole number, found %s", what, jinja_kind_name(v->kind));
    *out = v->integer;
    return PAWL_OK;
}

pawl_status jinja_arg_string(jinja_run *r, const char *what, const jinja_value *v, const jinja_string **out)
{
    *out = NULL;
    if (!v || v->kind == JINJA_NONE) return PAWL_OK;
    if (v->kind != JINJA_STRING) return JINJA_FAIL(r, "%s needs a str, found %s", what, jinja_kind_name(v->kind));
    *out = v->string;
    return PAWL_OK;
}

/* ---- Formats ---- */

static pawl_status format_one(jinja_run *r, jinja_buffer *b, char letter, jinja_value v)
{
    if (letter == 's') return jinja_print(r, b, v);
    if (letter == 'r') return jinja_repr(r, b, v);
    if (!strchr("di", letter)) return JINJA_FAIL(r, "the format '%%%c' is not computed", letter);
    if (!jinja_is_number(v))
        return JINJA_FAIL(r, "the format '%%%c' needs a number, found %s", letter, jinja_kind_name(v.kind));
    return jinja_print(r, b, jinja_of_int(v.kind == JINJA_FLOAT ? (int64_t)v.real : v.integer));
}

pawl_status jinja_format_percent(jinja_run *r, const jinja_string *format, jinja_value v, jinja_value *out)
{
    jinja_buffer b = {0};
    const jinja_value *items = v.kind == JINJA_TUPLE ? v.list->items : &v;
    const size_t count = v.kind == JINJA_TUPLE ? v.list->count : 1;
    size_t used = 0, at = 0;
    while (at < format->bytes) {
        const char *percent = memchr(format->data + at, '%', format->bytes - at);
        const size_t next = percent ? (size_t)(percent - format->data) : format->bytes;
        jinja_value piece;
        PAWL_TRY(jinja_string_cut(r, format, at, next, &piece));
        PAWL_TRY(jinja_put_string(r, &b, piece.string));
        at = next + 2;
        if (!percent) break;
        if (next + 1 == format->bytes) return JINJA_FAIL(r, "a format ends with a lone %%");
        if (percent[1] == '%') {
            PAWL_TRY(jinja_put(r, &b, "%", 1));
            continue;
        }
        if (used == count) return JINJA_FAIL(r, "not enough arguments for the format");
        PAWL_TRY(format_one(r, &b, percent[1], items[used++]));
    }
    if (used < count) return JINJA_FAIL(r, "not all arguments were used by the format");
    return jinja_buffer_string(r, &b, out);
}

/* ---- Functions ---- */

static pawl_status call_namespace(jinja_run *r, const jinja_args *a, jinja_value *out)
{
    const size_t by_place = a->count - a->name_count;
    PAWL_TRY(jinja_dict_new(r, JINJA_NAMESPACE, a->count, out));
    if (by_place > 1 || (by_place == 1 && a->items[0].kind != JINJA_DICT))
        return JINJA_FAIL(r, "namespace() takes names with values, or one dict");
    for (size_t i = 0; by_place && i < a->items[0].dict->count; i++)
        PAWL_TRY(jinja_dict_set(r, out->dict, a->items[0].dict->keys[i], a->items[0].dict->values[i]));
    for (size_t i = 0; i < a->name_count; i++) {
        if (a->names[i]->bytes && a->names[i]->data[0] == '_')
            return JINJA_FAIL(r, "a namespace cannot have attributes that begin with '_'");
        PAWL_TRY(jinja_dict_set(r, out->dict, jinja_of_string(a->names[i]), a->items[by_place + i]));
    }
    return PAWL_OK;
}

static pawl_status pair_of(jinja_run *r, jinja_value v, jinja_value *pair)
{
    PAWL_TRY(jinja_items(r, v, pair));
    if (pair->list->count != 2) return JINJA_FAIL(r, "dict() takes pairs, found a list of %zu", pair->list->count);
    return PAWL_OK;
}

static pawl_status call_dict(jinja_run *r, const jinja_args *a, jinja_value *out)
{
    const size_t by_place = a->count - a->name_count;
    jinja_value items, pair;
    PAWL_TRY(jinja_dict_new(r, JINJA_DICT, a->count, out));
    if (by_place > 1) return JINJA_FAIL(r, "dict() takes one argument without a name, found %zu", by_place);
    if (by_place && a->items[0].kind == JINJA_DICT) {
        for (size_t i = 0; i < a->items[0].dict->count; i++)
            PAWL_TRY(jinja_dict_set(r, out->dict, a->items[0].dict->keys[i], a->items[0].dict->values[i]));
    } else if (by_place) {
        PAWL_TRY(jinja_items(r, a->items[0], &items));
        for (size_t i = 0; i < items.list->count; i++) {
            PAWL_TRY(pair_of(r, items.list->items[i], &pair));
            PAWL_TRY(jinja_dict_set(r, out->dict, pair.list->items[0], pair.list->items[1]));
        }
    }
    for (size_t i = 0; i < a->name_count; i++)
        PAWL_TRY(jinja_dict_set(r, out->dict, jinja_of_string(a->names[i]), a->items[by_place + i]));
    return PAWL_OK;
}

static pawl_status call_range(jinja_run *r, const jinja_args *a, jinja_value *out)
{
    int64_t first = 0, end, step = 1;
    PAWL_TRY(jinja_check_args(r, "range()", a, 3, ""));
    if (a->count == 0) return JINJA_FAIL(r, "range() needs a number");
    PAWL_TRY(jinja_arg_int(r, "range()", &a->items[0], 0, &end));
    if (a->count > 1) {
        first = end;
        PAWL_TRY(jinja_arg_int(r, "range()", &a->items[1], 0, &end));
    }
    if (a->count > 2) PAWL_TRY(jinja_arg_int(r, "range()", &a->items[2], 0, &step));
    if (step == 0) return JINJA_FAIL(r, "the step of range() cannot be zero");
    const double span = ((double)end - (double)first) / (double)step;
    if (span > RANGE_MAX) return JINJA_FAIL(r, "range() gives at most %d numbers", RANGE_MAX);
    PAWL_TRY(jinja_list_new(r, JINJA_VIEW, span > 0 ? (size_t)span + 1 : 0, out));
    out->list->is_range = 1;
    for (int64_t i = 0; (double)i < span; i++) PAWL_TRY(jinja_list_add(r, out->list, jinja_of_int(first + i * step)));
    return PAWL_OK;
}

static pawl_status call_raise(jinja_run *r, const jinja_args *a, jinja_value *out)
{
    const jinja_string *text;
    (void)out;
    PAWL_TRY(jinja_check_args(r, "raise_exception()", a, 1, "message"));
    PAWL_TRY(jinja_to_string(r, a->count ? a->items[0] : jinja_none(), &text));
    return JINJA_FAIL(r, "it refuses the conversation: %.*s", (int)(text->bytes < 400 ? text->bytes : 400), text->data);
}

/* The template's today is the run's, so that equal data give equal rows. */
static pawl_status call_strftime(jinja_run *r, const jinja_args *a, jinja_value *out)
{
    const jinja_string *format;
    struct tm day = {.tm_isdst = -1, .tm_zone = ""}; /* of no zone: %z and %Z are empty */
    char *text, *pattern;
    enum { ROOM = 512 };
    PAWL_TRY(jinja_check_args(r, "strftime_now()", a, 1, "format"));
    PAWL_TRY(jinja_arg_string(r, "strftime_now()", jinja_arg(a, 0, "format"), &format));
    if (!format || format->bytes > ROOM / 8) return JINJA_FAIL(r, "strftime_now() needs a short format");
    if (!strptime(r->date, "%Y-%m-%d", &day)) return JINJA_FAIL(r, "the date '%s' is none", r->date);
    PAWL_TRY(jinja_pool_take(&r->pool, ROOM, (void **)&text));
    PAWL_TRY(jinja_pool_take(&r->pool, format->bytes + 1, (void **)&pattern));
    memcpy(pattern, format->data, format->bytes);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    const size_t n = strftime(text, ROOM, pattern, &day); /* strftime writes at most ROOM bytes, whatever the format */
#pragma GCC diagnostic pop
    return jinja_string_new(r, text, n, out);
}

static pawl_status call_refused(jinja_run *r, const jinja_args *a, jinja_value *out)
{
    (void)a, (void)out;
    return JINJA_FAIL(r, "cycler(), joiner() and lipsum() are not computed");
}

const jinja_function jinja_functions[] = {
    {"cycler", call_refused},
    {"joiner", call_refused},
    {"lipsum", call_refused},
    {"namespace", call_namespace},
    {"dict", call_dict},
    {"range", call_range},
    {"raise_exception", call_raise},
    {"strftime_now", call_strftime},
    {NULL, NULL},
};

/* ---- The variable `loop` ---- */

static pawl_status call_cycle(jinja_run *r, jinja_value self, const jinja_args *a, jinja_value *out)
{
    if (a->count == 0) return JINJA_FAIL(r, "loop.cycle() needs something to cycle through");
    *out = a->items[self.loop->at % a->count];
    return PAWL_OK;
}

static pawl_status call_changed(jinja_run *r, jinja_value self, const jinja_args *a, jinja_value *out)
{
    jinja_value now;
    int same = 0;
    PAWL_TRY(jinja_list_new(r, JINJA_TUPLE, a->count, &now));
    for (size_t i = 0; i < a->count; i++) PAWL_TRY(jinja_list_add(r, now.list, a->items[i]));
    if (self.loop->has_changed) PAWL_TRY(jinja_equal(r, self.loop->changed, now, &same));
    self.loop->changed = now;
    self.loop->has_changed = 1;
    *out = jinja_of_bool(!same);
    return PAWL_OK;
}

static pawl_status loop_method(jinja_run *r, jinja_loop *l, const jinja_method_row *row, jinja_value *out)
{
    jinja_method *m;
    PAWL_TRY(jinja_pool_take(&r->pool, sizeof *m, (void **)&m));
    *m = (jinja_method){{.kind = JINJA_LOOP, .loop = l}, row};
    *out = (jinja_value){.kind = JINJA_METHOD, .method = m};
    return PAWL_OK;
}

pawl_status jinja_loop_attribute(jinja_run *r, jinja_loop *l, const jinja_string *name, jinja_value *out, int *found)
{
    static const jinja_method_row methods[] = {{"cycle", call_cycle}, {"changed", call_changed}};
    const int64_t at = (int64_t)l->at, n = (int64_t)l->items->count;
    const struct {
        const char *name;
        jinja_value value;
    } known[] = {
        {"index", jinja_of_int(at + 1)},
        {"index0", jinja_of_int(at)},
        {"revindex", jinja_of_int(n - at)},
        {"revindex0", jinja_of_int(n - at - 1)},
        {"first", jinja_of_bool(at == 0)},
        {"last", jinja_of_bool(at == n - 1)},
        {"length", jinja_of_int(n)},
        {"depth", jinja_of_int(l->depth)},
        {"depth0", jinja_of_int(l->depth - 1)},
        {"previtem", at > 0 ? l->items->items[at - 1] : jinja_undefined(name)},
        {"nextitem", at + 1 < n ? l->items->items[at + 1] : jinja_undefined(name)},
    };
    *found = 1;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (jinja_string_is(name, known[i].name)) {
            *out = known[i].value;
            return PAWL_OK;
        }
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (jinja_string_is(name, methods[i].name)) return loop_method(r, l, &methods[i], out);
    *found = 0;
    return PAWL_OK;
}
