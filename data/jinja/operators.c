/* Arithmetic, and taking things out of values. */
#include <math.h>
#include <string.h>

#include "data/jinja/functions.h"
#include "data/jinja/value.h"

/* ---- Arithmetic ---- */

static pawl_status whole_overflow(jinja_run *r)
{
    return JINJA_FAIL(r, "whole numbers of more than 64 bits are not computed");
}

static pawl_status real_power(jinja_run *r, double x, double y, jinja_value *out)
{
    const double z = pow(x, y);
    if (isfinite(x) && isfinite(y) && !isfinite(z))
        return JINJA_FAIL(r, "%g ** %g is no number that is computed", x, y);
    *out = jinja_of_float(z);
    return PAWL_OK;
}

static pawl_status whole_power(jinja_run *r, int64_t base, int64_t exponent, jinja_value *out)
{
    int64_t x = 1;
    if (exponent < 0) return real_power(r, (double)base, (double)exponent, out);
    for (int64_t i = 0; i < exponent && x != 0 && base != 1; i++) {
        PAWL_TRY(jinja_spend(r, 1));
        if (__builtin_mul_overflow(x, base, &x)) return whole_overflow(r);
    }
    *out = jinja_of_int(x);
    return PAWL_OK;
}

/* Python rounds quotients down, and remainders have the divisor's sign. */
static pawl_status whole_division(jinja_run *r, char op, int64_t x, int64_t y, jinja_value *out)
{
    if (y == 0) return JINJA_FAIL(r, "division by zero");
    if (y == -1 && x == INT64_MIN) return whole_overflow(r);
    const int64_t rest = x % y, down = rest != 0 && (rest < 0) != (y < 0);
    *out = jinja_of_int(op == 'f' ? x / y - down : rest + (down ? y : 0));
    return PAWL_OK;
}

static pawl_status whole_arithmetic(jinja_run *r, char op, int64_t x, int64_t y, jinja_value *out)
{
    int64_t z = 0;
    int over = 0;
    switch (op) {
    case '+': over = __builtin_add_overflow(x, y, &z); break;
    case '-': over = __builtin_sub_overflow(x, y, &z); break;
    case '*': over = __builtin_mul_overflow(x, y, &z); break;
    case 'p': return whole_power(r, x, y, out);
    case '/':
        if (y == 0) return JINJA_FAIL(r, "division by zero");
        *out = jinja_of_float((double)x / (double)y);
        return PAWL_OK;
    default: return whole_division(r, op, x, y, out);
    }
    if (over) return whole_overflow(r);
    *out = jinja_of_int(z);
    return PAWL_OK;
}

static pawl_status real_arithmetic(jinja_run *r, char op, double x, double y, jinja_value *out)
{
    double z = 0;
    if (y == 0 && strchr("/f%", op)) return JINJA_FAIL(r, "division by zero");
    switch (op) {
    case '+': z = x + y; break;
    case '-': z = x - y; break;
    case '*': z = x * y; break;
    case '/': z = x / y; break;
    case 'f': z = floor(x / y); break;
    case 'p': return real_power(r, x, y, out);
    default:
        z = fmod(x, y);
        if (z != 0 && (z < 0) != (y < 0)) z += y;
    }
    *out = jinja_of_float(z);
    return PAWL_OK;
}

static pawl_status repeat(jinja_run *r, jinja_value v, int64_t times, jinja_value *out)
{
    jinja_buffer b = {0};
    if (v.kind == JINJA_STRING) {
        for (int64_t i = 0; i < times; i++) PAWL_TRY(jinja_put_string(r, &b, v.string));
        return jinja_buffer_string(r, &b, out);
    }
    PAWL_TRY(jinja_list_new(r, v.kind, 0, out));
    for (int64_t i = 0; i < times && v.list->count; i++)
        for (size_t k = 0; k < v.list->count; k++) PAWL_TRY(jinja_list_add(r, out->list, v.list->items[k]));
    return PAWL_OK;
}

static pawl_status join_lists(jinja_run *r, jinja_value a, jinja_value b, jinja_value *out)
{
    PAWL_TRY(jinja_list_new(r, a.kind, a.list->count + b.list->count, out));
    for (size_t i = 0; i < a.list->count; i++) PAWL_TRY(jinja_list_add(r, out->list, a.list->items[i]));
    for (size_t i = 0; i < b.list->count; i++) PAWL_TRY(jinja_list_add(r, out->list, b.list->items[i]));
    return PAWL_OK;
}

static int can_repeat(jinja_value v, jinja_value times)
{
    return (v.kind == JINJA_STRING || v.kind == JINJA_LIST || v.kind == JINJA_TUPLE) &&
           (times.kind == JINJA_INT || times.kind == JINJA_BOOL);
}

pawl_status jinja_arithmetic(jinja_run *r, char op, jinja_value a, jinja_value b, jinja_value *out)
{
    if (jinja_is_number(a) && jinja_is_number(b)) {
        if (a.kind == JINJA_FLOAT || b.kind == JINJA_FLOAT)
            return real_arithmetic(r, op, jinja_number(a), jinja_number(b), out);
        return whole_arithmetic(r, op, a.integer, b.integer, out);
    }
    if (op == '+' && a.kind == JINJA_STRING && b.kind == JINJA_STRING)
        return jinja_string_add(r, a.string, b.string, out);
    if (op == '+' && a.kind == b.kind && (a.kind == JINJA_LIST || a.kind == JINJA_TUPLE))
        return join_lists(r, a, b, out);
    if (op == '*' && can_repeat(a, b)) return repeat(r, a, b.integer, out);
    if (op == '*' && can_repeat(b, a)) return repeat(r, b, a.integer, out);
    if (op == '%' && a.kind == JINJA_STRING) return jinja_format_percent(r, a.string, b, out);
    const jinja_value missing = a.kind == JINJA_UNDEFINED ? a : b;
    if (missing.kind == JINJA_UNDEFINED && missing.string)
        return JINJA_FAIL(r, "'%.*s' is undefined", (int)missing.string->bytes, missing.string->data);
    return JINJA_FAIL(r, "'%s' of values of types %s and %s is not possible",
                      op == 'f'   ? "//"
                      : op == 'p' ? "**"
                                  : (char[]){op, 0},
                      jinja_kind_name(a.kind), jinja_kind_name(b.kind));
}

/* ---- Parts ---- */

static const jinja_method_row *method_named(jinja_kind kind, const jinja_string *name)
{
    const jinja_method_row *row = kind == JINJA_STRING ? jinja_string_methods
                                  : kind == JINJA_DICT ? jinja_dict_methods
                                  : kind == JINJA_LIST ? jinja_list_methods
                                                       : NULL;
    for (; row && row->name; row++)
        if (jinja_string_is(name, row->name)) return row;
    return NULL;
}

/* Python's getattr; out is untouched when there is none. */
static pawl_status python_attribute(jinja_run *r, jinja_value of, const jinja_string *name, jinja_value *out,
                                    int *found)
{
    jinja_method *m;
    const jinja_method_row *row = method_named(of.kind, name);
    *found = row != NULL;
    if (of.kind == JINJA_LOOP) return jinja_loop_attribute(r, of.loop, name, out, found);
    if (!row) return PAWL_OK;
    PAWL_TRY(jinja_pool_take(&r->pool, sizeof *m, (void **)&m));
    *m = (jinja_method){of, row};
    *out = (jinja_value){.kind = JINJA_METHOD, .method = m};
    return PAWL_OK;
}

static pawl_status of_undefined(jinja_run *r, jinja_value of, const jinja_string *name)
{
    if (!of.string) return JINJA_FAIL(r, "a value that is undefined has no '%.*s'", (int)name->bytes, name->data);
    return JINJA_FAIL(r, "'%.*s' is undefined, so it has no '%.*s'", (int)of.string->bytes, of.string->data,
                      (int)name->bytes, name->data);
}

static int can_index(jinja_value v)
{
    return v.kind == JINJA_LIST || v.kind == JINJA_TUPLE || (v.kind == JINJA_VIEW && v.list->is_range);
}

/* Python's of[key]; *found 0 when there is none. */
static pawl_status python_item(jinja_run *r, jinja_value of, jinja_value key, jinja_value *out, int *found)
{
    const jinja_value *v = NULL;
    const int whole = key.kind == JINJA_INT || key.kind == JINJA_BOOL;
    *found = 0;
    if (of.kind == JINJA_DICT) {
        if (key.kind != JINJA_DICT && (!jinja_is_list(key) || key.kind == JINJA_TUPLE))
            PAWL_TRY(jinja_dict_find(r, of.dict, key, &v));
    } else if (whole && (of.kind == JINJA_STRING || can_index(of))) {
        const int64_t n = jinja_length(of), at = key.integer < 0 ? key.integer + n : key.integer;
        if (at < 0 || at >= n) return PAWL_OK;
        if (of.kind == JINJA_STRING) {
            const size_t first = jinja_char_at(of.string, (size_t)at);
            PAWL_TRY(jinja_spend(r, first / 32));
            *found = 1;
            return jinja_string_cut(r, of.string, first, first + jinja_char_bytes(of.string->data[first]), out);
        }
        v = &of.list->items[at];
    }
    if (v) *out = *v;
    *found = v != NULL;
    return PAWL_OK;
}

pawl_status jinja_item(jinja_run *r, jinja_value of, jinja_value key, jinja_value *out)
{
    int found;
    static const jinja_string unnamed = {.data = "item", .bytes = 4};
    const jinja_string *name = key.kind == JINJA_STRING ? key.string : NULL;
    if (of.kind == JINJA_UNDEFINED) return of_undefined(r, of, name ? name : &unnamed);
    PAWL_TRY(python_item(r, of, key, out, &found));
    if (!found && name && of.kind == JINJA_NAMESPACE) return jinja_attribute(r, of, name, out);
    if (!found && name) PAWL_TRY(python_attribute(r, of, name, out, &found));
    if (!found) *out = jinja_undefined(name);
    return PAWL_OK;
}

pawl_status jinja_attribute(jinja_run *r, jinja_value of, const jinja_string *name, jinja_value *out)
{
    int found;
    if (of.kind == JINJA_UNDEFINED) return of_undefined(r, of, name);
    if (name->bytes > 1 && memcmp(name->data, "__", 2) == 0)
        return JINJA_FAIL(r, "access to '%.*s' is not safe", (int)name->bytes, name->data);
    if (of.kind == JINJA_NAMESPACE) {
        const jinja_value *v;
        PAWL_TRY(jinja_dict_find(r, of.dict, jinja_of_string(name), &v));
        *out = v ? *v : jinja_undefined(name);
        return PAWL_OK;
    }
    PAWL_TRY(python_attribute(r, of, name, out, &found));
    if (!found) PAWL_TRY(python_item(r, of, jinja_of_string(name), out, &found));
    if (!found) *out = jinja_undefined(name);
    return PAWL_OK;
}

static pawl_status slice_bound(jinja_run *r, jinja_value v, int64_t n, int64_t dflt, int backward, int64_t *out)
{
    *out = dflt;
    if (v.kind == JINJA_NONE) return PAWL_OK;
    if (v.kind != JINJA_INT && v.kind != JINJA_BOOL)
        return JINJA_FAIL(r, "the bounds of a slice are whole numbers, found %s", jinja_kind_name(v.kind));
    const int64_t least = backward ? -1 : 0, most = backward ? n - 1 : n;
    int64_t at = v.integer < 0 ? (v.integer < -n ? least : v.integer + n) : v.integer;
    if (at < least) at = least;
    *out = at > most ? most : at;
    return PAWL_OK;
}

static pawl_status slice_string(jinja_run *r, const jinja_string *s, int64_t first, int64_t end, int64_t step,
                                jinja_value *out)
{
    jinja_buffer b = {0};
    if (step == 1) {
        const size_t from = jinja_char_at(s, (size_t)first);
        return jinja_string_cut(r, s, from, end > first ? jinja_char_at(s, (size_t)end) : from, out);
    }
    for (int64_t i = first; step > 0 ? i < end : i > end; i += step) {
        const size_t at = jinja_char_at(s, (size_t)i);
        jinja_value c;
        PAWL_TRY(jinja_spend(r, at / 32));
        PAWL_TRY(jinja_string_cut(r, s, at, at + jinja_char_bytes(s->data[at]), &c));
        PAWL_TRY(jinja_put_string(r, &b, c.string));
    }
    return jinja_buffer_string(r, &b, out);
}

pawl_status jinja_slice(jinja_run *r, jinja_value of, const jinja_value part[3], jinja_value *out)
{
    int64_t first, end, step = 1;
    const int64_t n = jinja_length(of);
    if (of.kind == JINJA_UNDEFINED) return of_undefined(r, of, &(jinja_string){.data = "slice", .bytes = 5});
    if (of.kind != JINJA_STRING && !can_index(of)) {
        *out = jinja_undefined(NULL);
        return PAWL_OK;
    }
    if (part[2].kind == JINJA_INT)
        step = part[2].integer;
    else if (part[2].kind != JINJA_NONE)
        return JINJA_FAIL(r, "the step of a slice is a whole number");
    if (step == 0) return JINJA_FAIL(r, "the step of a slice cannot be zero");
    if (step > n + 1) step = n + 1; /* as good, and cannot overflow */
    if (step < -n - 1) step = -n - 1;
    PAWL_TRY(slice_bound(r, part[0], n, step > 0 ? 0 : n - 1, step < 0, &first));
    PAWL_TRY(slice_bound(r, part[1], n, step > 0 ? n : -1, step < 0, &end));
    if (of.kind == JINJA_STRING) return slice_string(r, of.string, first, end, step, out);
    PAWL_TRY(jinja_list_new(r, of.kind, 0, out));
    out->list->is_range = of.list->is_range;
    for (int64_t i = first; step > 0 ? i < end : i > end; i += step)
        PAWL_TRY(jinja_list_add(r, out->list, of.list->items[i]));
    return PAWL_OK;
}
