/* Filters of one value: what stands behind the bar. Those of sequences: sequences.c. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <utf8proc.h>

#include "data/jinja/sequences.h"

static pawl_status string_arg(jinja_run *r, const char *what, const jinja_args *a, size_t at, const char *name,
                              const char *dflt, const jinja_string **out)
{
    const jinja_value *v = jinja_arg(a, at, name);
    jinja_value made;
    if (v) return jinja_to_string(r, *v, out);
    if (!dflt) return JINJA_FAIL(r, "the filter %s needs '%s'", what, name);
    PAWL_TRY(jinja_string_new(r, dflt, strlen(dflt), &made));
    *out = made.string;
    return PAWL_OK;
}

static pawl_status flag_arg(jinja_run *r, const char *what, const jinja_args *a, size_t at, const char *name, int *out)
{
    const jinja_value *v = jinja_arg(a, at, name);
    (void)r, (void)what;
    *out = v && jinja_truth(*v);
    return PAWL_OK;
}

/* ---- Text ---- */

static pawl_status f_trim(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out)
{
    const jinja_string *s, *chars;
    PAWL_TRY(jinja_check_args(r, "trim", a, 1, "chars"));
    PAWL_TRY(jinja_to_string(r, v, &s));
    PAWL_TRY(jinja_arg_string(r, "trim", jinja_arg(a, 0, "chars"), &chars));
    const size_t first = jinja_strip_first(s, chars);
    return jinja_string_cut(r, s, first, jinja_strip_end(s, chars, first), out);
}

#define CASE_FILTER(name, how)                                                                                         \
    static pawl_status name(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out)                        \
    {                                                                                                                  \
        const jinja_string *s;                                                                                         \
        PAWL_TRY(jinja_check_args(r, #name, a, 0, ""));                                                                \
        PAWL_TRY(jinja_to_string(r, v, &s));                                                                           \
        return jinja_change_case(r, s, how, out);                                                                      \
    }

CASE_FILTER(f_upper, JINJA_UPPER)
CASE_FILTER(f_lower, JINJA_LOWER)
CASE_FILTER(f_capitalize, JINJA_CAPITALIZE)

/* Jinja's own: a word begins behind a hyphen, white space or an opening bracket. */
static pawl_status f_title(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out)
{
    jinja_buffer b = {0};
    const jinja_string *s;
    size_t first = 0, taken;
    PAWL_TRY(jinja_check_args(r, "title", a, 0, ""));
    PAWL_TRY(jinja_to_string(r, v, &s));
    for (size_t at = 0; at <= s->bytes; at += at < s->bytes ? jinja_char_bytes(s->data[at]) : 1) {
        const int between =
            at == s->bytes || strchr("-({[<", s->data[at]) || jinja_space_at(s->data + at, s->bytes - at, &taken);
        jinja_value word, changed;
        if (!between) continue;
        PAWL_TRY(jinja_string_cut(r, s, first, at, &word));
        PAWL_TRY(jinja_change_case(r, word.string, JINJA_CAPITALIZE, &changed));
        PAWL_TRY(jinja_put_string(r, &b, changed.string));
        first = at < s->bytes ? at + jinja_char_bytes(s->data[at]) : at;
        PAWL_TRY(jinja_string_cut(r, s, at, first, &word));
        PAWL_TRY(jinja_put_string(r, &b, word.string));
    }
    return jinja_buffer_string(r, &b, out);
}

static pawl_status f_string(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out)
{
    const jinja_string *s;
    PAWL_TRY(jinja_check_args(r, "string", a, 0, ""));
    PAWL_TRY(jinja_to_string(r, v, &s));
    *out = jinja_of_string(s);
    return PAWL_OK;
}

static pawl_status f_safe(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out)
{
    const jinja_string *s;
    jinja_string *safe;
    PAWL_TRY(jinja_check_args(r, "safe", a, 0, ""));
    PAWL_TRY(jinja_to_string(r, v, &s));
    PAWL_TRY(jinja_pool_take(&r->pool, sizeof *safe, (void **)&safe));
    *safe = *s;
    safe->safe = 1;
    *out = jinja_of_string(safe);
    return PAWL_OK;
}

static pawl_status f_escape(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out)
{
    static const jinja_string empty = {.data = "", .safe = 1};
    const jinja_string *s;
    PAWL_TRY(jinja_check_args(r, "escape", a, 0, ""));
    PAWL_TRY(jinja_to_string(r, v, &s));
    return jinja_string_add(r, &empty, s, out); /* adding to what is safe escapes */
}

static pawl_status f_replace(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out)
{
    const jinja_string *s, *old, *new;
    int64_t most;
    PAWL_TRY(jinja_check_args(r, "replace", a, 3, "old new count"));
    PAWL_TRY(jinja_to_string(r, v, &s));
    PAWL_TRY(string_arg(r, "replace", a, 0, "old", NULL, &old));
    PAWL_TRY(string_arg(r, "replace", a, 1, "new", NULL, &new));
    PAWL_TRY(jinja_arg_int(r, "replace", jinja_arg(a, 2, "count"), -1, &most));
    return jinja_replace(r, s, old, new, most, out);
}

static pawl_status f_format(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out)
{
    const jinja_string *s;
    jinja_value tuple;
    if (a->name_count) return JINJA_FAIL(r, "the filter format with names is not computed");
    PAWL_TRY(jinja_to_string(r, v, &s));
    PAWL_TRY(jinja_list_new(r, JINJA_TUPLE, a->count, &tuple));
    for (size_t i = 0; i < a->count; i++) PAWL_TRY(jinja_list_add(r, tuple.list, a->items[i]));
    return jinja_format_percent(r, s, tuple, out);
}

/* How one level of indentation looks: that many spaces, or the string itself. */
static pawl_status indentation(jinja_run *r, const jinja_value *v, int64_t dflt, const jinja_string **out)
{
    jinja_value spaces, made;
    int64_t width;
    if (v && v->kind == JINJA_STRING) {
        *out = v->string;
        return PAWL_OK;
    }
    PAWL_TRY(jinja_arg_int(r, "indent", v, dflt, &width));
    PAWL_TRY(jinja_string_new(r, " ", 1, &spaces));
    PAWL_TRY(jinja_arithmetic(r, '*', spaces, jinja_of_int(width), &made));
    *out = made.string;
    return PAWL_OK;
}

static pawl_status f_indent(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out)
{
    jinja_buffer b = {0};
    const jinja_string *s, *with;
    jinja_value line;
    int first_too, blank_too;
    PAWL_TRY(jinja_check_args(r, "indent", a, 3, "width first blank"));
    PAWL_TRY(jinja_to_string(r, v, &s));
    PAWL_TRY(indentation(r, jinja_arg(a, 0, "width"), 4, &with));
    PAWL_TRY(flag_arg(r, "indent", a, 1, "first", &first_too));
    PAWL_TRY(flag_arg(r, "indent", a, 2, "blank", &blank_too));
    for (size_t at = 0, n = 0;; n++) {
        size_t end = at, mark = 0;
        while (end < s->bytes && !(mark = jinja_line_end_bytes(s->data + end, s->bytes - end))) end++;
        const int as_is = mark == 1 && s->data[end] == '\n';
        if (n ? (end > at || blank_too) : first_too) PAWL_TRY(jinja_put_string(r, &b, with));
        PAWL_TRY(jinja_string_cut(r, s, at, end + (size_t)as_is, &line));
        PAWL_TRY(jinja_put_string(r, &b, line.string));
        at = end + mark;
        /* Jinja puts a newline behind the text, which is one with a carriage return there */
        if (!mark || (at == s->bytes && s->data[at - 1] == '\r')) break;
        if (!as_is) PAWL_TRY(jinja_put(r, &b, "\n", 1)); /* every line end becomes one */
    }
    return jinja_buffer_string(r, &b, out);
}

static pawl_status f_tojson(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out)
{
    jinja_buffer b = {0};
    jinja_json_style style = {0};
    const jinja_value *indent = jinja_arg(a, 1, "indent"), *marks = jinja_arg(a, 2, "separators");
    PAWL_TRY(jinja_check_args(r, "tojson", a, 4, "ensure_ascii indent separators sort_keys"));
    PAWL_TRY(flag_arg(r, "tojson", a, 0, "ensure_ascii", &style.ascii));
    PAWL_TRY(flag_arg(r, "tojson", a, 3, "sort_keys", &style.sort));
    if (indent && indent->kind != JINJA_NONE) {
        style.pretty = 1;
        PAWL_TRY(indentation(r, indent, 0, &style.indent));
    }
    if (marks && marks->kind != JINJA_NONE) {
        jinja_value items;
        PAWL_TRY(jinja_items(r, *marks, &items));
        if (items.list->count != 2 || items.list->items[0].kind != JINJA_STRING ||
            items.list->items[1].kind != JINJA_STRING)
            return JINJA_FAIL(r, "tojson: separators are two strs");
        style.item = items.list->items[0].string;
        style.key = items.list->items[1].string;
    }
    PAWL_TRY(jinja_tojson(r, &b, v, &style));
    return jinja_buffer_string(r, &b, out);
}

/* ---- Numbers and choices ---- */

static pawl_status f_default(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out)
{
    const jinja_value *other = jinja_arg(a, 0, "default_value");
    int boolean;
    PAWL_TRY(jinja_check_args(r, "default", a, 2, "default_value boolean"));
    PAWL_TRY(flag_arg(r, "default", a, 1, "boolean", &boolean));
    *out = v;
    if (v.kind != JINJA_UNDEFINED && !(boolean && !jinja_truth(v))) return PAWL_OK;
    if (!other) return jinja_string_new(r, "", 0, out);
    *out = *other;
    return PAWL_OK;
}

static pawl_status f_abs(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out)
{
    PAWL_TRY(jinja_check_args(r, "abs", a, 0, ""));
    if (!jinja_is_number(v)) return JINJA_FAIL(r, "abs needs a number, found %s", jinja_kind_name(v.kind));
    *out = v.kind == JINJA_FLOAT ? jinja_of_float(fabs(v.real)) : jinja_of_int(v.integer < 0 ? -v.integer : v.integer);
    return PAWL_OK;
}

static int is_numeric(char c)
{
    return c && strchr("0123456789+-.eE", c);
}

/* What Python may take for a number and strtod does not: digits of other scripts, 1_000, inf and nan, or a long one. */
static int may_spell(const char *text, size_t n)
{
    size_t digits = 0;
    const size_t sign = n && (*text == '+' || *text == '-');
    static const char *const words[] = {"inf", "infinity", "nan"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (n - sign == strlen(words[i]) && strncasecmp(text + sign, words[i], n - sign) == 0) return 1;
    for (size_t at = 0; at < n; at += jinja_char_bytes(text[at])) {
        utf8proc_int32_t c;
        utf8proc_iterate((const utf8proc_uint8_t *)text + at, (utf8proc_ssize_t)(n - at), &c);
        const int is_digit = utf8proc_category(c) == UTF8PROC_CATEGORY_ND;
        if (!is_digit && !is_numeric(text[at]) && text[at] != '_') return 0;
        digits += (size_t)is_digit;
    }
    return digits > 0;
}

/* The number that a string spells; is 0 when it spells none. */
static pawl_status spelled(jinja_run *r, const jinja_string *s, double *out, int *is)
{
    char text[64], *end;
    const size_t first = jinja_strip_first(s, NULL), n = jinja_strip_end(s, NULL, first) - first;
    size_t numeric = 0;
    while (numeric < n && is_numeric(s->data[first + numeric])) numeric++;
    *is = n > 0 && n < sizeof text && numeric == n;
    if (*is) {
        memcpy(text, s->data + first, n);
        text[n] = 0;
        *out = strtod(text, &end);
        *is = *end == 0;
    } else if (may_spell(s->data + first, n)) {
        return JINJA_FAIL(r, "a number that is written as '%.*s' is not computed", (int)(n < 60 ? n : 60),
                          s->data + first);
    }
    return PAWL_OK;
}

static pawl_status f_int(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out)
{
    double x = 0;
    const jinja_value *dflt = jinja_arg(a, 0, "default");
    PAWL_TRY(jinja_check_args(r, "int", a, 1, "default"));
    int is = jinja_is_number(v);
    if (v.kind == JINJA_STRING) PAWL_TRY(spelled(r, v.string, &x, &is));
    if (v.kind == JINJA_INT || v.kind == JINJA_BOOL)
        *out = jinja_of_int(v.integer);
    else if (!is)
        *out = dflt ? *dflt : jinja_of_int(0);
    else if (v.kind == JINJA_FLOAT)
        x = v.real;
    if (is && v.kind != JINJA_INT && v.kind != JINJA_BOOL) {
        if (!(fabs(x) < 9e15)) return JINJA_FAIL(r, "int: a number that large is not computed");
        *out = jinja_of_int((int64_t)x);
    }
    return PAWL_OK;
}

static pawl_status f_float(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out)
{
    double x = 0;
    int is = 0;
    const jinja_value *dflt = jinja_arg(a, 0, "default");
    PAWL_TRY(jinja_check_args(r, "float", a, 1, "default"));
    if (v.kind == JINJA_STRING) PAWL_TRY(spelled(r, v.string, &x, &is));
    if (jinja_is_number(v))
        *out = jinja_of_float(jinja_number(v));
    else if (is)
        *out = jinja_of_float(x);
    else
        *out = dflt ? *dflt : jinja_of_float(0);
    return PAWL_OK;
}

static pawl_status f_round(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out)
{
    char text[400];
    int64_t digits;
    PAWL_TRY(jinja_check_args(r, "round", a, 1, "precision"));
    PAWL_TRY(jinja_arg_int(r, "round", jinja_arg(a, 0, "precision"), 0, &digits));
    if (!jinja_is_number(v) || digits < 0 || digits > 15)
        return JINJA_FAIL(r, "round is computed for numbers, to 0 to 15 digits");
    snprintf(text, sizeof text, "%.*f", (int)digits, jinja_number(v)); /* halves to even, as Python */
    *out = v.kind == JINJA_FLOAT ? jinja_of_float(strtod(text, NULL)) : v;
    return PAWL_OK;
}

static pawl_status f_attr(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out)
{
    const jinja_string *name;
    PAWL_TRY(jinja_check_args(r, "attr", a, 1, "name"));
    PAWL_TRY(string_arg(r, "attr", a, 0, "name", NULL, &name));
    if (v.kind == JINJA_DICT) { /* attributes alone, not members */
        jinja_value empty;
        PAWL_TRY(jinja_dict_new(r, JINJA_DICT, 0, &empty));
        PAWL_TRY(jinja_attribute(r, empty, name, out));
        if (out->kind == JINJA_METHOD) return jinja_attribute(r, v, name, out);
        return PAWL_OK;
    }
    return jinja_attribute(r, v, name, out);
}

static const jinja_filter filters[] = {
    {"trim", f_trim},       {"upper", f_upper},
    {"lower", f_lower},     {"capitalize", f_capitalize},
    {"title", f_title},     {"string", f_string},
    {"safe", f_safe},       {"escape", f_escape},
    {"e", f_escape},        {"forceescape", f_escape},
    {"replace", f_replace}, {"format", f_format},
    {"indent", f_indent},   {"tojson", f_tojson},
    {"default", f_default}, {"d", f_default},
    {"abs", f_abs},         {"int", f_int},
    {"float", f_float},     {"round", f_round},
    {"attr", f_attr},
};

static const jinja_filter *row_named(const jinja_filter *rows, size_t count, const jinja_string *name)
{
    for (size_t i = 0; i < count; i++)
        if (jinja_string_is(name, rows[i].name)) return &rows[i];
    return NULL;
}

const jinja_filter *jinja_filter_named(const jinja_string *name)
{
    const jinja_filter *f = row_named(filters, sizeof filters / sizeof *filters, name);
    return f ? f : row_named(jinja_sequence_filters, jinja_sequence_filter_count, name);
}
