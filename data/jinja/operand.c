/* Tokens to operands: literals and names, with what may stand behind them. */
#include <string.h>

#include "data/jinja/functions.h"
#include "data/jinja/tree.h"

static pawl_status constant(jinja_parser *p, jinja_value v, jinja_node **out)
{
    PAWL_TRY(jinja_node_new(p, JINJA_N_CONST, out));
    (*out)->value = v;
    return PAWL_OK;
}

/* ---- Primaries ---- */

static pawl_status parse_strings(jinja_parser *p, jinja_node **out)
{
    jinja_value v = jinja_of_string(jinja_token_now(p)->text);
    for (p->at++; jinja_token_now(p)->kind == JINJA_T_STRING; p->at++) /* neighbours are one string */
        PAWL_TRY(jinja_string_add(&p->run, v.string, jinja_token_now(p)->text, &v));
    return constant(p, v, out);
}

static pawl_status parse_list(jinja_parser *p, jinja_node **out)
{
    PAWL_TRY(jinja_node_new(p, JINJA_N_LIST, out));
    while (!jinja_take_operator(p, "]")) {
        jinja_node *item;
        PAWL_TRY(jinja_parse_expression(p, &item));
        PAWL_TRY(jinja_nodes_add(p, &(*out)->list, item));
        if (!jinja_is_operator(jinja_token_now(p), "]")) PAWL_TRY(jinja_expect_operator(p, ","));
    }
    return PAWL_OK;
}

static pawl_status parse_dict(jinja_parser *p, jinja_node **out)
{
    PAWL_TRY(jinja_node_new(p, JINJA_N_DICT, out));
    while (!jinja_take_operator(p, "}")) {
        jinja_node *item;
        PAWL_TRY(jinja_parse_expression(p, &item));
        PAWL_TRY(jinja_nodes_add(p, &(*out)->list, item));
        PAWL_TRY(jinja_expect_operator(p, ":"));
        PAWL_TRY(jinja_parse_expression(p, &item));
        PAWL_TRY(jinja_nodes_add(p, &(*out)->list, item));
        if (!jinja_is_operator(jinja_token_now(p), "}")) PAWL_TRY(jinja_expect_operator(p, ","));
    }
    return PAWL_OK;
}

static pawl_status parse_word(jinja_parser *p, jinja_node **out)
{
    static const struct {
        const char *word;
        jinja_value value;
    } constants[] = {
        {"true", {.kind = JINJA_BOOL, .integer = 1}},
        {"True", {.kind = JINJA_BOOL, .integer = 1}},
        {"false", {.kind = JINJA_BOOL}},
        {"False", {.kind = JINJA_BOOL}},
        {"none", {.kind = JINJA_NONE}},
        {"None", {.kind = JINJA_NONE}},
    };
    const jinja_token *t = jinja_token_now(p);
    p->at++;
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
        if (jinja_is_word(t, constants[i].word)) return constant(p, constants[i].value, out);
    return jinja_name_node(p, t->text, out);
}

static pawl_status parse_brackets(jinja_parser *p, jinja_node **out)
{
    if (jinja_take_operator(p, "[")) return parse_list(p, out);
    if (jinja_take_operator(p, "{")) return parse_dict(p, out);
    if (jinja_take_operator(p, "(")) {
        if (jinja_take_operator(p, ")")) return jinja_node_new(p, JINJA_N_TUPLE, out);
        PAWL_TRY(jinja_parse_tuple(p, 1, out));
        return jinja_expect_operator(p, ")");
    }
    char found[64];
    jinja_token_words(jinja_token_now(p), found, sizeof found);
    return JINJA_BAD(p, jinja_token_now(p)->line, "expected a value, found %s", found);
}

static pawl_status parse_primary(jinja_parser *p, jinja_node **out)
{
    const jinja_token *t = jinja_token_now(p);
    switch (t->kind) {
    case JINJA_T_NAME: return parse_word(p, out);
    case JINJA_T_STRING: return parse_strings(p, out);
    case JINJA_T_INTEGER: p->at++; return constant(p, jinja_of_int(t->integer), out);
    case JINJA_T_FLOAT: p->at++; return constant(p, jinja_of_float(t->real), out);
    default: return parse_brackets(p, out);
    }
}

/* ---- What may stand behind a value ---- */

static pawl_status parse_argument(jinja_parser *p, jinja_node *call)
{
    const jinja_token *t = jinja_token_now(p);
    jinja_node *value;
    jinja_node **spread = jinja_is_operator(t, "*") ? &call->b : jinja_is_operator(t, "**") ? &call->c : NULL;
    if (spread) {
        if (*spread) return JINJA_BAD(p, t->line, "a call takes one list by * and one dict by **");
        p->at++;
        return jinja_parse_expression(p, spread);
    }
    if (t->kind == JINJA_T_NAME && jinja_is_operator(&p->tokens[p->at + 1], "=")) {
        p->at += 2;
        PAWL_TRY(jinja_add_name(p, call, t->text));
    } else if (call->name_count > 0) {
        return JINJA_BAD(p, t->line, "an argument without a name stands behind one with a name");
    }
    PAWL_TRY(jinja_parse_expression(p, &value));
    return jinja_nodes_add(p, &call->list, value);
}

pawl_status jinja_parse_arguments(jinja_parser *p, jinja_node *call)
{
    PAWL_TRY(jinja_expect_operator(p, "("));
    while (!jinja_take_operator(p, ")")) {
        PAWL_TRY(parse_argument(p, call));
        if (!jinja_is_operator(jinja_token_now(p), ")")) PAWL_TRY(jinja_expect_operator(p, ","));
    }
    return PAWL_OK;
}

static int ends_slice_part(const jinja_token *t)
{
    return jinja_is_operator(t, ":") || jinja_is_operator(t, "]") || jinja_is_operator(t, ",");
}

static pawl_status parse_subscript(jinja_parser *p, jinja_node *of, jinja_node **out)
{
    jinja_node *part[3] = {NULL, NULL, NULL};
    int n = 0;
    for (;; n++) {
        if (!ends_slice_part(jinja_token_now(p))) PAWL_TRY(jinja_parse_expression(p, &part[n]));
        if (n == 2 || !jinja_take_operator(p, ":")) break;
    }
    if (jinja_is_operator(jinja_token_now(p), ","))
        return JINJA_BAD(p, jinja_token_now(p)->line, "a subscript of several parts is not computed");
    PAWL_TRY(jinja_expect_operator(p, "]"));
    if (n == 0 && !part[0]) return JINJA_BAD(p, jinja_token_now(p)->line, "expected a subscript between '[' and ']'");
    PAWL_TRY(jinja_node_new(p, n ? JINJA_N_SLICE : JINJA_N_ITEM, out));
    (*out)->a = of;
    (*out)->b = part[0];
    for (int i = 0; n && i < 3; i++) PAWL_TRY(jinja_nodes_add(p, &(*out)->list, part[i]));
    return PAWL_OK;
}

static pawl_status parse_dot(jinja_parser *p, jinja_node *of, jinja_node **out)
{
    const jinja_token *t = jinja_token_now(p);
    p->at++;
    if (t->kind == JINJA_T_INTEGER) {
        PAWL_TRY(jinja_node_new(p, JINJA_N_ITEM, out));
        (*out)->a = of;
        return constant(p, jinja_of_int(t->integer), &(*out)->b);
    }
    p->at--;
    PAWL_TRY(jinja_node_new(p, JINJA_N_ATTRIBUTE, out));
    (*out)->a = of;
    return jinja_expect_name(p, &(*out)->text);
}

static pawl_status parse_call(jinja_parser *p, jinja_node *of, jinja_node **out)
{
    PAWL_TRY(jinja_node_new(p, JINJA_N_CALL, out));
    (*out)->a = of;
    return jinja_parse_arguments(p, *out);
}

static pawl_status parse_postfix(jinja_parser *p, jinja_node **node)
{
    for (;;) {
        if (jinja_take_operator(p, "."))
            PAWL_TRY(parse_dot(p, *node, node));
        else if (jinja_take_operator(p, "["))
            PAWL_TRY(parse_subscript(p, *node, node));
        else if (jinja_is_operator(jinja_token_now(p), "("))
            PAWL_TRY(parse_call(p, *node, node));
        else
            return PAWL_OK;
    }
}

/* name, or name.name (Jinja's extensions name filters so) */
static pawl_status parse_dotted(jinja_parser *p, const jinja_string **out)
{
    PAWL_TRY(jinja_expect_name(p, out));
    while (jinja_take_operator(p, ".")) {
        const jinja_string *more;
        jinja_value v, dot;
        PAWL_TRY(jinja_expect_name(p, &more));
        PAWL_TRY(jinja_string_new(&p->run, ".", 1, &dot));
        PAWL_TRY(jinja_string_add(&p->run, *out, dot.string, &v));
        PAWL_TRY(jinja_string_add(&p->run, v.string, more, &v));
        *out = v.string;
    }
    return PAWL_OK;
}

static pawl_status parse_filter(jinja_parser *p, jinja_node *of, jinja_node **out)
{
    PAWL_TRY(jinja_node_new(p, JINJA_N_FILTER, out));
    (*out)->a = of;
    PAWL_TRY(parse_dotted(p, &(*out)->text));
    (*out)->filter = jinja_filter_named((*out)->text);
    return jinja_is_operator(jinja_token_now(p), "(") ? jinja_parse_arguments(p, *out) : PAWL_OK;
}

/* Whether a test's one argument, without brackets, is next. */
static int begins_argument(const jinja_token *t)
{
    if (jinja_is_word(t, "else") || jinja_is_word(t, "or") || jinja_is_word(t, "and")) return 0;
    return t->kind == JINJA_T_NAME || t->kind == JINJA_T_STRING || t->kind == JINJA_T_INTEGER ||
           t->kind == JINJA_T_FLOAT || jinja_is_operator(t, "[") || jinja_is_operator(t, "{");
}

static pawl_status parse_test(jinja_parser *p, jinja_node *of, jinja_node **out)
{
    const int negated = jinja_take_word(p, "not");
    jinja_node *test, *argument;
    PAWL_TRY(jinja_node_new(p, JINJA_N_TEST, &test));
    test->a = of;
    PAWL_TRY(parse_dotted(p, &test->text));
    test->test = jinja_test_named(test->text);
    if (jinja_is_operator(jinja_token_now(p), "(")) {
        PAWL_TRY(jinja_parse_arguments(p, test));
    } else if (begins_argument(jinja_token_now(p))) {
        if (jinja_is_word(jinja_token_now(p), "is"))
            return JINJA_BAD(p, jinja_token_now(p)->line, "tests cannot be chained with 'is'");
        PAWL_TRY(parse_primary(p, &argument));
        PAWL_TRY(parse_postfix(p, &argument));
        PAWL_TRY(jinja_nodes_add(p, &test->list, argument));
    }
    *out = test;
    if (!negated) return PAWL_OK;
    PAWL_TRY(jinja_node_new(p, JINJA_N_NOT, out));
    (*out)->a = test;
    return PAWL_OK;
}

pawl_status jinja_parse_filters(jinja_parser *p, jinja_node **node)
{
    for (;;) {
        if (jinja_take_operator(p, "|"))
            PAWL_TRY(parse_filter(p, *node, node));
        else if (jinja_take_word(p, "is"))
            PAWL_TRY(parse_test(p, *node, node));
        else if (jinja_is_operator(jinja_token_now(p), "("))
            PAWL_TRY(parse_call(p, *node, node));
        else
            return PAWL_OK;
    }
}

/* ---- Signs ---- */

static pawl_status parse_signed(jinja_parser *p, jinja_op op, jinja_node **out)
{
    PAWL_TRY(jinja_node_new(p, op, out));
    return jinja_parse_unary(p, 0, &(*out)->a);
}

static pawl_status unary_inside(jinja_parser *p, int with_filter, jinja_node **out)
{
    if (jinja_take_operator(p, "-"))
        PAWL_TRY(parse_signed(p, JINJA_N_NEGATIVE, out));
    else if (jinja_take_operator(p, "+"))
        PAWL_TRY(parse_signed(p, JINJA_N_POSITIVE, out));
    else
        PAWL_TRY(parse_primary(p, out));
    PAWL_TRY(parse_postfix(p, out));
    return with_filter ? jinja_parse_filters(p, out) : PAWL_OK;
}

pawl_status jinja_parse_unary(jinja_parser *p, int with_filter, jinja_node **out)
{
    PAWL_TRY(jinja_enter(p));
    PAWL_TRY(unary_inside(p, with_filter, out));
    jinja_leave(p);
    return PAWL_OK;
}
