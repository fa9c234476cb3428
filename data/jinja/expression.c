/* Tokens to expressions: Jinja's operators, one function a level of precedence, from the strongest. */
#include "data/jinja/tree.h"

static pawl_status parse_power_operand(jinja_parser *p, jinja_node **out)
{
    return jinja_parse_unary(p, 1, out);
}

/* A level of binary operators that bind to the left: the operators, and what each is called in a node. */
typedef struct level {
    const char *operators[5];
    char math[5];
    pawl_status (*operand)(jinja_parser *p, jinja_node **out);
} level;

static pawl_status parse_level(jinja_parser *p, const level *l, jinja_node **out)
{
    PAWL_TRY(l->operand(p, out));
    for (int i = 0; l->operators[i];) {
        jinja_node *n;
        if (!jinja_take_operator(p, l->operators[i])) {
            i++;
            continue;
        }
        PAWL_TRY(jinja_node_new(p, JINJA_N_MATH, &n));
        n->a = *out;
        n->math = l->math[i];
        PAWL_TRY(l->operand(p, &n->b));
        *out = n;
        i = 0;
    }
    return PAWL_OK;
}

static pawl_status parse_power(jinja_parser *p, jinja_node **out)
{
    static const level l = {{"**", NULL}, "p", parse_power_operand};
    return parse_level(p, &l, out);
}

static pawl_status parse_product(jinja_parser *p, jinja_node **out)
{
    static const level l = {{"*", "//", "/", "%", NULL}, {'*', 'f', '/', '%'}, parse_power};
    return parse_level(p, &l, out);
}

static pawl_status parse_concat(jinja_parser *p, jinja_node **out)
{
    jinja_node *first, *next;
    PAWL_TRY(parse_product(p, out));
    if (!jinja_is_operator(jinja_token_now(p), "~")) return PAWL_OK;
    first = *out;
    PAWL_TRY(jinja_node_new(p, JINJA_N_CONCAT, out));
    PAWL_TRY(jinja_nodes_add(p, &(*out)->list, first));
    while (jinja_take_operator(p, "~")) {
        PAWL_TRY(parse_product(p, &next));
        PAWL_TRY(jinja_nodes_add(p, &(*out)->list, next));
    }
    return PAWL_OK;
}

static pawl_status parse_sum(jinja_parser *p, jinja_node **out)
{
    static const level l = {{"+", "-", NULL}, {'+', '-'}, parse_concat};
    return parse_level(p, &l, out);
}

/* The comparison that is next, as a string of the operator; NULL: none. */
static pawl_status take_comparison(jinja_parser *p, const jinja_string **out)
{
    static const char *const operators[] = {"==", "!=", "<=", ">=", "<", ">", NULL};
    const jinja_token *t = jinja_token_now(p);
    jinja_value v = {.string = NULL};
    for (int i = 0; operators[i]; i++)
        if (jinja_take_operator(p, operators[i])) v.string = t->text;
    if (!v.string && jinja_is_word(t, "in")) {
        p->at++;
        v.string = t->text;
    } else if (!v.string && jinja_is_word(t, "not") && jinja_is_word(&p->tokens[p->at + 1], "in")) {
        p->at += 2;
        PAWL_TRY(jinja_string_new(&p->run, "not in", 6, &v));
    }
    *out = v.string;
    return PAWL_OK;
}

static pawl_status parse_compare(jinja_parser *p, jinja_node **out)
{
    const jinja_string *operator;
    jinja_node *n = NULL, *operand;
    PAWL_TRY(parse_sum(p, out));
    for (;;) {
        PAWL_TRY(take_comparison(p, &operator));
        if (!operator) return PAWL_OK;
        if (!n) {
            PAWL_TRY(jinja_node_new(p, JINJA_N_COMPARE, &n));
            n->a = *out;
            *out = n;
        }
        PAWL_TRY(parse_sum(p, &operand));
        PAWL_TRY(jinja_nodes_add(p, &n->list, operand));
        PAWL_TRY(jinja_add_name(p, n, operator));
    }
}

static pawl_status parse_not(jinja_parser *p, jinja_node **out)
{
    if (!jinja_take_word(p, "not")) return parse_compare(p, out);
    PAWL_TRY(jinja_enter(p));
    PAWL_TRY(jinja_node_new(p, JINJA_N_NOT, out));
    PAWL_TRY(parse_not(p, &(*out)->a));
    jinja_leave(p);
    return PAWL_OK;
}

static pawl_status parse_and(jinja_parser *p, jinja_node **out)
{
    PAWL_TRY(parse_not(p, out));
    while (jinja_take_word(p, "and")) {
        jinja_node *n;
        PAWL_TRY(jinja_node_new(p, JINJA_N_AND, &n));
        n->a = *out;
        PAWL_TRY(parse_not(p, &n->b));
        *out = n;
    }
    return PAWL_OK;
}

pawl_status jinja_parse_or(jinja_parser *p, jinja_node **out)
{
    PAWL_TRY(parse_and(p, out));
    while (jinja_take_word(p, "or")) {
        jinja_node *n;
        PAWL_TRY(jinja_node_new(p, JINJA_N_OR, &n));
        n->a = *out;
        PAWL_TRY(parse_and(p, &n->b));
        *out = n;
    }
    return PAWL_OK;
}

static pawl_status parse_condition(jinja_parser *p, jinja_node **out)
{
    PAWL_TRY(jinja_parse_or(p, out));
    while (jinja_take_word(p, "if")) {
        jinja_node *n;
        PAWL_TRY(jinja_node_new(p, JINJA_N_COND, &n));
        n->a = *out;
        PAWL_TRY(jinja_parse_or(p, &n->b));
        if (jinja_take_word(p, "else")) PAWL_TRY(jinja_parse_expression(p, &n->c));
        *out = n;
    }
    return PAWL_OK;
}

pawl_status jinja_parse_expression(jinja_parser *p, jinja_node **out)
{
    PAWL_TRY(jinja_enter(p));
    PAWL_TRY(parse_condition(p, out));
    jinja_leave(p);
    return PAWL_OK;
}

static int ends_tuple(const jinja_token *t)
{
    return t->kind == JINJA_T_BLOCK_END || t->kind == JINJA_T_VARIABLE_END || jinja_is_operator(t, ")");
}

pawl_status jinja_parse_tuple(jinja_parser *p, int with_condition, jinja_node **out)
{
    jinja_node *first, *next;
    PAWL_TRY(with_condition ? jinja_parse_expression(p, out) : jinja_parse_or(p, out));
    if (!jinja_is_operator(jinja_token_now(p), ",")) return PAWL_OK;
    first = *out;
    PAWL_TRY(jinja_node_new(p, JINJA_N_TUPLE, out));
    PAWL_TRY(jinja_nodes_add(p, &(*out)->list, first));
    while (jinja_take_operator(p, ",")) {
        if (ends_tuple(jinja_token_now(p)) || jinja_is_operator(jinja_token_now(p), "=") ||
            jinja_is_word(jinja_token_now(p), "in"))
            break;
        PAWL_TRY(with_condition ? jinja_parse_expression(p, &next) : jinja_parse_or(p, &next));
        PAWL_TRY(jinja_nodes_add(p, &(*out)->list, next));
    }
    return PAWL_OK;
}
