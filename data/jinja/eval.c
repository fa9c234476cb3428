/* Expressions to values. */
#include "data/jinja/eval.h"

#include <string.h>

/* ---- Scopes ---- */

pawl_status jinja_scope_open(jinja_run *r)
{
    jinja_scope *s;
    PAWL_TRY(jinja_pool_take(&r->pool, sizeof *s, (void **)&s));
    s->parent = r->scope;
    r->scope = s;
    return PAWL_OK;
}

void jinja_scope_close(jinja_run *r)
{
    r->scope = r->scope->parent;
}

pawl_status jinja_scope_set(jinja_run *r, int symbol, jinja_value v)
{
    jinja_scope *s = r->scope;
    for (size_t i = 0; i < s->count; i++)
        if (s->symbols[i] == symbol) {
            s->values[i] = v;
            return PAWL_OK;
        }
    if (s->count == s->room) {
        const size_t room = 2 * s->room + 8;
        PAWL_TRY(
            jinja_pool_grow(&r->pool, (void **)&s->symbols, s->room * sizeof *s->symbols, room * sizeof *s->symbols));
        PAWL_TRY(jinja_pool_grow(&r->pool, (void **)&s->values, s->room * sizeof *s->values, room * sizeof *s->values));
        s->room = room;
    }
    s->symbols[s->count] = symbol;
    s->values[s->count++] = v;
    return PAWL_OK;
}

static pawl_status eval_name(jinja_run *r, const jinja_node *n, jinja_value *out)
{
    if (!n->text) {
        *out = r->piped;
        return PAWL_OK;
    }
    for (const jinja_scope *s = r->scope; s; s = s->parent)
        for (size_t i = 0; i < s->count; i++)
            if (s->symbols[i] == n->symbol) {
                *out = s->values[i];
                return PAWL_OK;
            }
    for (const jinja_function *f = jinja_functions; f->name; f++)
        if (jinja_string_is(n->text, f->name)) {
            *out = (jinja_value){.kind = JINJA_FUNCTION, .function = f};
            return PAWL_OK;
        }
    *out = jinja_undefined(n->text);
    return PAWL_OK;
}

/* ---- Literals ---- */

static pawl_status eval_const(jinja_run *r, const jinja_node *n, jinja_value *out)
{
    (void)r;
    *out = n->value;
    return PAWL_OK;
}

static pawl_status eval_list(jinja_run *r, const jinja_node *n, jinja_value *out)
{
    PAWL_TRY(jinja_list_new(r, n->op == JINJA_N_TUPLE ? JINJA_TUPLE : JINJA_LIST, n->list.count, out));
    for (size_t i = 0; i < n->list.count; i++) {
        jinja_value v;
        PAWL_TRY(jinja_eval(r, n->list.items[i], &v));
        PAWL_TRY(jinja_list_add(r, out->list, v));
    }
    return PAWL_OK;
}

static pawl_status eval_dict(jinja_run *r, const jinja_node *n, jinja_value *out)
{
    PAWL_TRY(jinja_dict_new(r, JINJA_DICT, n->list.count / 2, out));
    for (size_t i = 0; i + 1 < n->list.count; i += 2) {
        jinja_value key, v;
        PAWL_TRY(jinja_eval(r, n->list.items[i], &key));
        PAWL_TRY(jinja_eval(r, n->list.items[i + 1], &v));
        PAWL_TRY(jinja_dict_set(r, out->dict, key, v));
    }
    return PAWL_OK;
}

/* ---- Logic ---- */

static pawl_status eval_cond(jinja_run *r, const jinja_node *n, jinja_value *out)
{
    jinja_value condition;
    PAWL_TRY(jinja_eval(r, n->b, &condition));
    if (jinja_truth(condition)) return jinja_eval(r, n->a, out);
    if (n->c) return jinja_eval(r, n->c, out);
    *out = jinja_undefined(NULL);
    return PAWL_OK;
}

static pawl_status eval_logic(jinja_run *r, const jinja_node *n, jinja_value *out)
{
    PAWL_TRY(jinja_eval(r, n->a, out));
    return jinja_truth(*out) == (n->op == JINJA_N_OR) ? PAWL_OK : jinja_eval(r, n->b, out);
}

static pawl_status eval_not(jinja_run *r, const jinja_node *n, jinja_value *out)
{
    PAWL_TRY(jinja_eval(r, n->a, out));
    *out = jinja_of_bool(!jinja_truth(*out));
    return PAWL_OK;
}

static pawl_status compare(jinja_run *r, const jinja_string *op, jinja_value a, jinja_value b, int *out)
{
    const char first = op->data[0];
    int order;
    if (first == '=' || first == '!') {
        PAWL_TRY(jinja_equal(r, a, b, out));
        *out ^= first == '!';
        return PAWL_OK;
    }
    if (first == 'i' || first == 'n') {
        PAWL_TRY(jinja_contains(r, b, a, out));
        *out ^= first == 'n';
        return PAWL_OK;
    }
    PAWL_TRY(jinja_order(r, a, b, &order));
    *out = (op->bytes == 2 && order == 0) || (first == '<' ? order < 0 : order > 0);
    return PAWL_OK;
}

static pawl_status eval_compare(jinja_run *r, const jinja_node *n, jinja_value *out)
{
    jinja_value left, right;
    int holds = 1;
    PAWL_TRY(jinja_eval(r, n->a, &left));
    for (size_t i = 0; i < n->list.count && holds; i++) {
        PAWL_TRY(jinja_eval(r, n->list.items[i], &right));
        PAWL_TRY(compare(r, n->names[i], left, right, &holds));
        left = right;
    }
    *out = jinja_of_bool(holds);
    return PAWL_OK;
}

/* ---- Arithmetic ---- */

static pawl_status eval_math(jinja_run *r, const jinja_node *n, jinja_value *out)
{
    jinja_value a, b;
    PAWL_TRY(jinja_eval(r, n->a, &a));
    PAWL_TRY(jinja_eval(r, n->b, &b));
    r->line = n->line;
    return jinja_arithmetic(r, n->math, a, b, out);
}

static pawl_status eval_sign(jinja_run *r, const jinja_node *n, jinja_value *out)
{
    jinja_value v;
    PAWL_TRY(jinja_eval(r, n->a, &v));
    if (!jinja_is_number(v)) return JINJA_FAIL(r, "a value of type %s has no sign", jinja_kind_name(v.kind));
    if (v.kind == JINJA_FLOAT) { /* 0 - 0.0 has lost its sign */
        *out = jinja_of_float(n->op == JINJA_N_NEGATIVE ? -v.real : v.real);
        return PAWL_OK;
    }
    return jinja_arithmetic(r, n->op == JINJA_N_NEGATIVE ? '-' : '+', jinja_of_int(0), v, out);
}

static pawl_status eval_concat(jinja_run *r, const jinja_node *n, jinja_value *out)
{
    jinja_buffer b = {0};
    for (size_t i = 0; i < n->list.count; i++) {
        jinja_value v;
        PAWL_TRY(jinja_eval(r, n->list.items[i], &v));
        PAWL_TRY(jinja_print(r, &b, v));
    }
    return jinja_buffer_string(r, &b, out);
}

/* ---- Parts and calls ---- */

static pawl_status eval_attribute(jinja_run *r, const jinja_node *n, jinja_value *out)
{
    jinja_value of;
    PAWL_TRY(jinja_eval(r, n->a, &of));
    r->line = n->line;
    return jinja_attribute(r, of, n->text, out);
}

static pawl_status eval_item(jinja_run *r, const jinja_node *n, jinja_value *out)
{
    jinja_value of, key;
    PAWL_TRY(jinja_eval(r, n->a, &of));
    PAWL_TRY(jinja_eval(r, n->b, &key));
    r->line = n->line;
    return jinja_item(r, of, key, out);
}

static pawl_status eval_slice(jinja_run *r, const jinja_node *n, jinja_value *out)
{
    jinja_value of, part[3] = {jinja_none(), jinja_none(), jinja_none()};
    PAWL_TRY(jinja_eval(r, n->a, &of));
    for (size_t i = 0; i < 3; i++)
        if (n->list.items[i]) PAWL_TRY(jinja_eval(r, n->list.items[i], &part[i]));
    r->line = n->line;
    return jinja_slice(r, of, part, out);
}

/* The arguments of a call with *list and **dict: those by place, the list's, those by name, the dict's. */
static pawl_status spread_args(jinja_run *r, const jinja_node *n, const jinja_args *written, jinja_args *out)
{
    const size_t by_place = written->count - written->name_count;
    jinja_value list, dict, all;
    const jinja_string **names;
    PAWL_TRY(jinja_list_new(r, JINJA_LIST, 0, &list));
    PAWL_TRY(jinja_dict_new(r, JINJA_DICT, 0, &dict));
    if (n->b) {
        PAWL_TRY(jinja_eval(r, n->b, &list));
        PAWL_TRY(jinja_items(r, list, &list));
    }
    if (n->c) PAWL_TRY(jinja_eval(r, n->c, &dict));
    if (dict.kind != JINJA_DICT) return JINJA_FAIL(r, "** needs a dict, found %s", jinja_kind_name(dict.kind));
    PAWL_TRY(jinja_list_new(r, JINJA_LIST, written->count + list.list->count + dict.dict->count, &all));
    PAWL_TRY(jinja_pool_take(&r->pool, (written->name_count + dict.dict->count) * sizeof *names, (void **)&names));
    for (size_t i = 0; i < by_place; i++) PAWL_TRY(jinja_list_add(r, all.list, written->items[i]));
    for (size_t i = 0; i < list.list->count; i++) PAWL_TRY(jinja_list_add(r, all.list, list.list->items[i]));
    for (size_t i = by_place; i < written->count; i++) PAWL_TRY(jinja_list_add(r, all.list, written->items[i]));
    for (size_t i = 0; i < written->name_count; i++) names[i] = written->names[i];
    for (size_t i = 0; i < dict.dict->count; i++) {
        if (dict.dict->keys[i].kind != JINJA_STRING) return JINJA_FAIL(r, "the keys of ** are strs");
        names[written->name_count + i] = dict.dict->keys[i].string;
        PAWL_TRY(jinja_list_add(r, all.list, dict.dict->values[i]));
    }
    *out = (jinja_args){all.list->items, all.list->count, names, written->name_count + dict.dict->count};
    return PAWL_OK;
}

static pawl_status eval_args(jinja_run *r, const jinja_node *n, jinja_args *out)
{
    jinja_value *items;
    PAWL_TRY(jinja_pool_take(&r->pool, n->list.count * sizeof *items, (void **)&items));
    for (size_t i = 0; i < n->list.count; i++) PAWL_TRY(jinja_eval(r, n->list.items[i], &items[i]));
    *out = (jinja_args){items, n->list.count, n->names, n->name_count};
    return n->b || n->c ? spread_args(r, n, out, out) : PAWL_OK;
}

pawl_status jinja_call(jinja_run *r, jinja_value callee, const jinja_args *a, jinja_value *out)
{
    switch (callee.kind) {
    case JINJA_FUNCTION: return callee.function->call(r, a, out);
    case JINJA_MACRO: return jinja_call_macro(r, callee.macro, a, out);
    case JINJA_METHOD:
        if (!callee.method->row->call)
            return JINJA_FAIL(r, "%s() changes or reveals what templates may not; it is not computed",
                              callee.method->row->name);
        return callee.method->row->call(r, callee.method->self, a, out);
    case JINJA_UNDEFINED:
        if (callee.string)
            return JINJA_FAIL(r, "'%.*s' is undefined, it cannot be called", (int)callee.string->bytes,
                              callee.string->data);
        return JINJA_FAIL(r, "a value that is undefined cannot be called");
    default: return JINJA_FAIL(r, "a value of type %s cannot be called", jinja_kind_name(callee.kind));
    }
}

static pawl_status eval_call(jinja_run *r, const jinja_node *n, jinja_value *out)
{
    jinja_value callee;
    jinja_args args;
    PAWL_TRY(jinja_eval(r, n->a, &callee));
    PAWL_TRY(eval_args(r, n, &args));
    r->line = n->line;
    return jinja_call(r, callee, &args, out);
}

static pawl_status eval_filter(jinja_run *r, const jinja_node *n, jinja_value *out)
{
    jinja_value v;
    jinja_args args;
    PAWL_TRY(jinja_eval(r, n->a, &v));
    PAWL_TRY(eval_args(r, n, &args));
    r->line = n->line;
    if (!n->filter) return JINJA_FAIL(r, "the filter '%.*s' is not computed", (int)n->text->bytes, n->text->data);
    return n->filter->call(r, v, &args, out);
}

static pawl_status eval_test(jinja_run *r, const jinja_node *n, jinja_value *out)
{
    jinja_value v;
    jinja_args args;
    int holds = 0;
    PAWL_TRY(jinja_eval(r, n->a, &v));
    PAWL_TRY(eval_args(r, n, &args));
    r->line = n->line;
    if (!n->test) return JINJA_FAIL(r, "the test '%.*s' is not computed", (int)n->text->bytes, n->text->data);
    PAWL_TRY(n->test->call(r, v, &args, &holds));
    *out = jinja_of_bool(holds);
    return PAWL_OK;
}

typedef pawl_status evaluate(jinja_run *r, const jinja_node *n, jinja_value *out);

static evaluate *const evaluators[] = {
    [JINJA_N_CONST] = eval_const,     [JINJA_N_NAME] = eval_name,     [JINJA_N_LIST] = eval_list,
    [JINJA_N_TUPLE] = eval_list,      [JINJA_N_DICT] = eval_dict,     [JINJA_N_COND] = eval_cond,
    [JINJA_N_OR] = eval_logic,        [JINJA_N_AND] = eval_logic,     [JINJA_N_NOT] = eval_not,
    [JINJA_N_COMPARE] = eval_compare, [JINJA_N_MATH] = eval_math,     [JINJA_N_CONCAT] = eval_concat,
    [JINJA_N_NEGATIVE] = eval_sign,   [JINJA_N_POSITIVE] = eval_sign, [JINJA_N_ATTRIBUTE] = eval_attribute,
    [JINJA_N_ITEM] = eval_item,       [JINJA_N_SLICE] = eval_slice,   [JINJA_N_CALL] = eval_call,
    [JINJA_N_FILTER] = eval_filter,   [JINJA_N_TEST] = eval_test,
};

pawl_status jinja_eval(jinja_run *r, const jinja_node *n, jinja_value *out)
{
    r->line = n->line;
    PAWL_TRY(jinja_spend(r, 1));
    PAWL_TRY(jinja_deeper(r));
    PAWL_TRY(evaluators[n->op](r, n, out));
    r->depth--;
    return PAWL_OK;
}
