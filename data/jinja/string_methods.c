/* Methods of strings, as Python's. */
#include <string.h>
#include <utf8proc.h>

#include "data/jinja/functions.h"

/* ---- Strings: looking ---- */

static int begins(const jinja_string *s, const jinja_string *with)
{
    return s->bytes >= with->bytes && memcmp(s->data, with->data, with->bytes) == 0;
}

static int ends(const jinja_string *s, const jinja_string *with)
{
    return s->bytes >= with->bytes && memcmp(s->data + s->bytes - with->bytes, with->data, with->bytes) == 0;
}

/* startswith and endswith: a string or a tuple of them. */
static pawl_status any_fits(jinja_run *r, jinja_value self, const jinja_args *a,
                            int (*fits)(const jinja_string *, const jinja_string *), jinja_value *out)
{
    PAWL_TRY(jinja_check_args(r, "startswith() and endswith()", a, 1, ""));
    const jinja_value v = a->count ? a->items[0] : jinja_none();
    const jinja_value *items = v.kind == JINJA_TUPLE ? v.list->items : &v;
    const size_t count = v.kind == JINJA_TUPLE ? v.list->count : 1;
    int holds = 0;
    for (size_t i = 0; i < count; i++) {
        if (items[i].kind != JINJA_STRING)
            return JINJA_FAIL(r, "startswith() and endswith() need a str or a tuple of them, found %s",
                              jinja_kind_name(items[i].kind));
        holds |= fits(self.string, items[i].string);
    }
    *out = jinja_of_bool(holds);
    return PAWL_OK;
}

static pawl_status startswith(jinja_run *r, jinja_value self, const jinja_args *a, jinja_value *out)
{
    return any_fits(r, self, a, begins, out);
}

static pawl_status endswith(jinja_run *r, jinja_value self, const jinja_args *a, jinja_value *out)
{
    return any_fits(r, self, a, ends, out);
}

static pawl_status removeprefix(jinja_run *r, jinja_value self, const jinja_args *a, jinja_value *out)
{
    const jinja_string *s = self.string, *what;
    PAWL_TRY(jinja_needed_string(r, "removeprefix()", a, &what));
    return jinja_string_cut(r, s, begins(s, what) ? what->bytes : 0, s->bytes, out);
}

static pawl_status removesuffix(jinja_run *r, jinja_value self, const jinja_args *a, jinja_value *out)
{
    const jinja_string *s = self.string, *what;
    PAWL_TRY(jinja_needed_string(r, "removesuffix()", a, &what));
    return jinja_string_cut(r, s, 0, ends(s, what) ? s->bytes - what->bytes : s->bytes, out);
}

static pawl_status place(jinja_run *r, const jinja_string *s, size_t at, jinja_value *out)
{
    jinja_value before;
    *out = jinja_of_int(-1);
    if (at == SIZE_MAX) return PAWL_OK;
    PAWL_TRY(jinja_string_cut(r, s, 0, at, &before));
    *out = jinja_of_int((int64_t)before.string->chars);
    return PAWL_OK;
}

static pawl_status find(jinja_run *r, jinja_value self, const jinja_args *a, jinja_value *out)
{
    const jinja_string *what;
    PAWL_TRY(jinja_needed_string(r, "find()", a, &what));
    return place(r, self.string, jinja_string_find(self.string, what, 0), out);
}

static pawl_status rfind(jinja_run *r, jinja_value self, const jinja_args *a, jinja_value *out)
{
    const jinja_string *what;
    PAWL_TRY(jinja_needed_string(r, "rfind()", a, &what));
    return place(r, self.string, jinja_string_find_last(self.string, what, self.string->bytes), out);
}

static pawl_status string_index(jinja_run *r, jinja_value self, const jinja_args *a, jinja_value *out)
{
    PAWL_TRY(find(r, self, a, out));
    return out->integer < 0 ? JINJA_FAIL(r, "index(): the str does not occur") : PAWL_OK;
}

static pawl_status string_count(jinja_run *r, jinja_value self, const jinja_args *a, jinja_value *out)
{
    const jinja_string *s = self.string, *what;
    int64_t n = 0;
    PAWL_TRY(jinja_needed_string(r, "count()", a, &what));
    PAWL_TRY(jinja_spend(r, s->bytes / 32));
    for (size_t at = 0; what->bytes && (at = jinja_string_find(s, what, at)) != SIZE_MAX; at += what->bytes) n++;
    *out = jinja_of_int(what->bytes ? n : (int64_t)s->chars + 1);
    return PAWL_OK;
}

/* Whether every character is of one kind, and there is one. */
static pawl_status all_are(jinja_run *r, jinja_value self, int (*is)(utf8proc_int32_t c), jinja_value *out)
{
    const jinja_string *s = self.string;
    int holds = s->bytes > 0;
    PAWL_TRY(jinja_spend(r, s->bytes / 8));
    for (size_t at = 0; at < s->bytes && holds; at += jinja_char_bytes(s->data[at])) {
        utf8proc_int32_t c;
        utf8proc_iterate((const utf8proc_uint8_t *)s->data + at, (utf8proc_ssize_t)(s->bytes - at), &c);
        holds = is(c);
    }
    *out = jinja_of_bool(holds);
    return PAWL_OK;
}

static int is_letter(utf8proc_int32_t c)
{
    const utf8proc_category_t k = utf8proc_category(c);
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

/* Unicode's Numeric_Type is Decimal or Digit. */
static int is_digit(utf8proc_int32_t c)
{
    static const struct {
        int32_t first, last;
    } others[] = {{0xb2, 0xb3},     {0xb9, 0xb9},       {0x1369, 0x1371},   {0x19da, 0x19da},   {0x2070, 0x2070},
                  {0x2074, 0x2079}, {0x2080, 0x2089},   {0x2460, 0x2468},   {0x2474, 0x247c},   {0x2488, 0x2490},
                  {0x24ea, 0x24ea}, {0x24f5, 0x24fd},   {0x24ff, 0x24ff},   {0x2776, 0x277e},   {0x2780, 0x2788},
                  {0x278a, 0x2792}, {0x10a40, 0x10a43}, {0x10e60, 0x10e68}, {0x11052, 0x1105a}, {0x1f100, 0x1f10a}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (c >= others[i].first && c <= others[i].last) return 1;
    return utf8proc_category(c) == UTF8PROC_CATEGORY_ND;
}

static int is_letter_or_number(utf8proc_int32_t c)
{
    const utf8proc_category_t k = utf8proc_category(c);
    return is_letter(c) || (k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO);
}

static pawl_status isalpha_(jinja_run *r, jinja_value self, const jinja_args *a, jinja_value *out)
{
    (void)a;
    return all_are(r, self, is_letter, out);
}

static pawl_status isdigit_(jinja_run *r, jinja_value self, const jinja_args *a, jinja_value *out)
{
    (void)a;
    return all_are(r, self, is_digit, out);
}

static pawl_status isalnum_(jinja_run *r, jinja_value self, const jinja_args *a, jinja_value *out)
{
    (void)a;
    return all_are(r, self, is_letter_or_number, out);
}

static pawl_status isspace_(jinja_run *r, jinja_value self, const jinja_args *a, jinja_value *out)
{
    (void)r, (void)a;
    *out = jinja_of_bool(self.string->bytes > 0 && jinja_strip_first(self.string, NULL) == self.string->bytes);
    return PAWL_OK;
}

/* ---- Strings: changing ---- */

#define CASE_METHOD(name, how)                                                                                         \
    static pawl_status name(jinja_run *r, jinja_value self, const jinja_args *a, jinja_value *out)                     \
    {                                                                                                                  \
        (void)a;                                                                                                       \
        return jinja_change_case(r, self.string, how, out);                                                            \
    }

CASE_METHOD(upper, JINJA_UPPER)
CASE_METHOD(lower, JINJA_LOWER)
CASE_METHOD(capitalize, JINJA_CAPITALIZE)
CASE_METHOD(title, JINJA_TITLE)

static pawl_status replace(jinja_run *r, jinja_value self, const jinja_args *a, jinja_value *out)
{
    const jinja_string *old, *new;
    int64_t most;
    PAWL_TRY(jinja_check_args(r, "replace()", a, 3, "count"));
    PAWL_TRY(jinja_arg_string(r, "replace()", jinja_arg(a, 0, ""), &old));
    PAWL_TRY(jinja_arg_string(r, "replace()", jinja_arg(a, 1, ""), &new));
    PAWL_TRY(jinja_arg_int(r, "replace()", jinja_arg(a, 2, "count"), -1, &most));
    if (!old || !new) return JINJA_FAIL(r, "replace() needs two strs");
    return jinja_replace(r, self.string, old, new, most, out);
}

static pawl_status join(jinja_run *r, jinja_value self, const jinja_args *a, jinja_value *out)
{
    jinja_buffer b = {0};
    jinja_value items;
    if (a->count != 1) return JINJA_FAIL(r, "join() needs one argument");
    PAWL_TRY(jinja_items(r, a->items[0], &items));
    for (size_t i = 0; i < items.list->count; i++) {
        const jinja_value v = items.list->items[i];
        if (v.kind != JINJA_STRING) return JINJA_FAIL(r, "join() needs strs, found %s", jinja_kind_name(v.kind));
        if (i) PAWL_TRY(jinja_put_string(r, &b, self.string));
        PAWL_TRY(jinja_put_string(r, &b, v.string));
    }
    return jinja_buffer_string(r, &b, out);
}

const jinja_method_row jinja_string_methods[] = {
    {"strip", jinja_strip},
    {"lstrip", jinja_lstrip},
    {"rstrip", jinja_rstrip},
    {"split", jinja_split},
    {"rsplit", jinja_rsplit},
    {"splitlines", jinja_splitlines},
    {"partition", jinja_partition},
    {"rpartition", jinja_rpartition},
    {"startswith", startswith},
    {"endswith", endswith},
    {"removeprefix", removeprefix},
    {"removesuffix", removesuffix},
    {"find", find},
    {"rfind", rfind},
    {"index", string_index},
    {"count", string_count},
    {"isalpha", isalpha_},
    {"isdigit", isdigit_},
    {"isalnum", isalnum_},
    {"isspace", isspace_},
    {"upper", upper},
    {"lower", lower},
    {"capitalize", capitalize},
    {"title", title},
    {"replace", replace},
    {"join", join},
    {"format", NULL},
    {"format_map", NULL},
    {"encode", NULL},
    {"center", NULL},
    {"ljust", NULL},
    {"rjust", NULL},
    {"zfill", NULL},
    {"casefold", NULL},
    {"swapcase", NULL},
    {"translate", NULL},
    {"expandtabs", NULL},
    {"isupper", NULL},
    {"islower", NULL},
    {"istitle", NULL},
    {"isnumeric", NULL},
    {"isdecimal", NULL},
    {"isascii", NULL},
    {"isidentifier", NULL},
    {"isprintable", NULL},
    {"rindex", NULL},
    {"maketrans", NULL},
    {NULL, NULL},
};
