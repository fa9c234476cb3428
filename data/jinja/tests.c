/* Tests: what stands behind `is`. */
#include <string.h>
#include <utf8proc.h>

#include "data/jinja/functions.h"

typedef pawl_status test_call(jinja_run *r, jinja_value v, const jinja_args *a, int *out);

/* A test of the kind alone: which kinds it holds for. */
#define KIND_TEST(name, condition)                                                                                     \
    static pawl_status name(jinja_run *r, jinja_value v, const jinja_args *a, int *out)                                \
    {                                                                                                                  \
        (void)r, (void)a;                                                                                              \
        *out = (condition);                                                                                            \
        return PAWL_OK;                                                                                                \
    }

KIND_TEST(is_defined, v.kind != JINJA_UNDEFINED)
KIND_TEST(is_undefined, v.kind == JINJA_UNDEFINED)
KIND_TEST(is_none, v.kind == JINJA_NONE)
KIND_TEST(is_boolean, v.kind == JINJA_BOOL)
KIND_TEST(is_true, v.kind == JINJA_BOOL && v.integer)
KIND_TEST(is_false, v.kind == JINJA_BOOL && !v.integer)
KIND_TEST(is_integer, v.kind == JINJA_INT)
KIND_TEST(is_float, v.kind == JINJA_FLOAT)
KIND_TEST(is_number, jinja_is_number(v))
KIND_TEST(is_string, v.kind == JINJA_STRING)
KIND_TEST(is_mapping, v.kind == JINJA_DICT)
KIND_TEST(is_escaped, v.kind == JINJA_STRING && v.string->safe)
KIND_TEST(is_iterable, v.kind == JINJA_UNDEFINED || v.kind == JINJA_STRING || v.kind == JINJA_DICT ||
                           v.kind == JINJA_LOOP || jinja_is_list(v))
KIND_TEST(is_sequence, v.kind == JINJA_UNDEFINED || v.kind == JINJA_STRING || v.kind == JINJA_DICT ||
                           v.kind == JINJA_LIST || v.kind == JINJA_TUPLE || (v.kind == JINJA_VIEW && v.list->is_range))
/* Undefined has a __call__ of its own, which fails: Python calls it callable. */
KIND_TEST(is_callable, v.kind == JINJA_MACRO || v.kind == JINJA_FUNCTION || v.kind == JINJA_METHOD ||
                           v.kind == JINJA_UNDEFINED || v.kind == JINJA_LOOP)

static pawl_status one_argument(jinja_run *r, const jinja_args *a, jinja_value *out)
{
    if (a->count != 1) return JINJA_FAIL(r, "a comparing test needs one argument, found %zu", a->count);
    *out = a->items[0];
    return PAWL_OK;
}

static pawl_status is_equal(jinja_run *r, jinja_value v, const jinja_args *a, int *out)
{
    jinja_value other;
    PAWL_TRY(one_argument(r, a, &other));
    return jinja_equal(r, v, other, out);
}

static pawl_status is_unequal(jinja_run *r, jinja_value v, const jinja_args *a, int *out)
{
    PAWL_TRY(is_equal(r, v, a, out));
    *out = !*out;
    return PAWL_OK;
}

/* A test of the order c of v and its argument. */
#define ORDER_TEST(name, condition)                                                                                    \
    static pawl_status name(jinja_run *r, jinja_value v, const jinja_args *a, int *out)                                \
    {                                                                                                                  \
        jinja_value other;                                                                                             \
        int c;                                                                                                         \
        PAWL_TRY(one_argument(r, a, &other));                                                                          \
        PAWL_TRY(jinja_order(r, v, other, &c));                                                                        \
        *out = (condition);                                                                                            \
        return PAWL_OK;                                                                                                \
    }

ORDER_TEST(is_less, c < 0)
ORDER_TEST(is_at_most, c <= 0)
ORDER_TEST(is_greater, c > 0)
ORDER_TEST(is_at_least, c >= 0)

static pawl_status is_in(jinja_run *r, jinja_value v, const jinja_args *a, int *out)
{
    jinja_value other;
    PAWL_TRY(one_argument(r, a, &other));
    return jinja_contains(r, other, v, out);
}

static pawl_status is_same(jinja_run *r, jinja_value v, const jinja_args *a, int *out)
{
    jinja_value other;
    PAWL_TRY(one_argument(r, a, &other));
    if (v.kind == other.kind && (v.kind == JINJA_NONE || v.kind == JINJA_BOOL)) return jinja_equal(r, v, other, out);
    if (v.kind != other.kind) return PAWL_OK;
    return JINJA_FAIL(r, "'sameas' is computed for none, true and false only");
}

static pawl_status remainder_of(jinja_run *r, jinja_value v, int64_t divisor, int *out)
{
    jinja_value rest;
    PAWL_TRY(jinja_arithmetic(r, '%', v, jinja_of_int(divisor), &rest));
    *out = !jinja_truth(rest);
    return PAWL_OK;
}

static pawl_status is_even(jinja_run *r, jinja_value v, const jinja_args *a, int *out)
{
    (void)a;
    return remainder_of(r, v, 2, out);
}

static pawl_status is_odd(jinja_run *r, jinja_value v, const jinja_args *a, int *out)
{
    (void)a;
    PAWL_TRY(remainder_of(r, v, 2, out));
    *out = !*out;
    return PAWL_OK;
}

static pawl_status is_divisible(jinja_run *r, jinja_value v, const jinja_args *a, int *out)
{
    jinja_value by = {.kind = JINJA_NONE};
    PAWL_TRY(one_argument(r, a, &by));
    if (by.kind != JINJA_INT) return JINJA_FAIL(r, "'divisibleby' needs a whole number");
    return remainder_of(r, v, by.integer, out);
}

/* Python's islower and isupper: letters of that case, and none of the other. */
static pawl_status has_case(jinja_run *r, jinja_value v, utf8proc_category_t wanted, int *out)
{
    const jinja_string *s;
    PAWL_TRY(jinja_to_string(r, v, &s));
    *out = 0;
    for (size_t at = 0; at < s->bytes; at += jinja_char_bytes(s->data[at])) {
        utf8proc_int32_t c;
        utf8proc_iterate((const utf8proc_uint8_t *)s->data + at, (utf8proc_ssize_t)(s->bytes - at), &c);
        const utf8proc_category_t k = utf8proc_category(c);
        if (k == wanted)
            *out = 1;
        else if (k == UTF8PROC_CATEGORY_LU || k == UTF8PROC_CATEGORY_LL || k == UTF8PROC_CATEGORY_LT) {
            *out = 0;
            return PAWL_OK;
        }
    }
    return PAWL_OK;
}

static pawl_status is_lower(jinja_run *r, jinja_value v, const jinja_args *a, int *out)
{
    (void)a;
    return has_case(r, v, UTF8PROC_CATEGORY_LL, out);
}

static pawl_status is_upper(jinja_run *r, jinja_value v, const jinja_args *a, int *out)
{
    (void)a;
    return has_case(r, v, UTF8PROC_CATEGORY_LU, out);
}

static pawl_status is_filter(jinja_run *r, jinja_value v, const jinja_args *a, int *out)
{
    (void)r, (void)a;
    *out = v.kind == JINJA_STRING && jinja_filter_named(v.string);
    return PAWL_OK;
}

static pawl_status is_test(jinja_run *r, jinja_value v, const jinja_args *a, int *out)
{
    (void)r, (void)a;
    *out = v.kind == JINJA_STRING && jinja_test_named(v.string);
    return PAWL_OK;
}

static const jinja_test tests[] = {
    {"defined", is_defined},
    {"undefined", is_undefined},
    {"none", is_none},
    {"boolean", is_boolean},
    {"true", is_true},
    {"false", is_false},
    {"integer", is_integer},
    {"float", is_float},
    {"number", is_number},
    {"string", is_string},
    {"mapping", is_mapping},
    {"iterable", is_iterable},
    {"sequence", is_sequence},
    {"callable", is_callable},
    {"escaped", is_escaped},
    {"sameas", is_same},
    {"==", is_equal},
    {"eq", is_equal},
    {"equalto", is_equal},
    {"!=", is_unequal},
    {"ne", is_unequal},
    {"<", is_less},
    {"lt", is_less},
    {"lessthan", is_less},
    {"<=", is_at_most},
    {"le", is_at_most},
    {">", is_greater},
    {"gt", is_greater},
    {"greaterthan", is_greater},
    {">=", is_at_least},
    {"ge", is_at_least},
    {"in", is_in},
    {"even", is_even},
    {"odd", is_odd},
    {"divisibleby", is_divisible},
    {"lower", is_lower},
    {"upper", is_upper},
    {"filter", is_filter},
    {"test", is_test},
};

const jinja_test *jinja_test_named(const jinja_string *name)
{
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        if (jinja_string_is(name, tests[i].name)) return &tests[i];
    return NULL;
}
