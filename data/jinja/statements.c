/* Tags to statements. */
#include <string.h>

#include "data/jinja/tree.h"

static pawl_status end_tag(jinja_parser *p)
{
    return jinja_expect(p, JINJA_T_BLOCK_END, "'%}'");
}

/* The rest of a tag, then statements up to one of ends, which is passed over; *which: the word that it was. */
static pawl_status parse_block(jinja_parser *p, const char *ends, jinja_nodes *out, const jinja_token **which)
{
    PAWL_TRY(end_tag(p));
    PAWL_TRY(jinja_parse_body(p, ends, out));
    *which = jinja_token_now(p);
    p->at++;
    return PAWL_OK;
}

static pawl_status target_name(jinja_parser *p, int namespaces, jinja_node **out)
{
    const jinja_string *name = NULL;
    PAWL_TRY(jinja_expect_name(p, &name));
    PAWL_TRY(jinja_name_node(p, name, out));
    if (!namespaces || !jinja_take_operator(p, ".")) return PAWL_OK;
    jinja_node *of = *out;
    PAWL_TRY(jinja_node_new(p, JINJA_N_ATTRIBUTE, out));
    (*out)->a = of;
    return jinja_expect_name(p, &(*out)->text);
}

static pawl_status parse_one_target(jinja_parser *p, int namespaces, jinja_node **out)
{
    if (!jinja_take_operator(p, "(")) return target_name(p, namespaces, out);
    PAWL_TRY(jinja_enter(p));
    PAWL_TRY(jinja_parse_target(p, namespaces, out));
    jinja_leave(p);
    return jinja_expect_operator(p, ")");
}

pawl_status jinja_parse_target(jinja_parser *p, int namespaces, jinja_node **out)
{
    jinja_node *first, *next;
    PAWL_TRY(parse_one_target(p, namespaces, out));
    if (!jinja_is_operator(jinja_token_now(p), ",")) return PAWL_OK;
    first = *out;
    PAWL_TRY(jinja_node_new(p, JINJA_N_TUPLE, out));
    PAWL_TRY(jinja_nodes_add(p, &(*out)->list, first));
    while (jinja_take_operator(p, ",")) {
        if (jinja_token_now(p)->kind != JINJA_T_NAME && !jinja_is_operator(jinja_token_now(p), "(")) break;
        if (jinja_is_word(jinja_token_now(p), "in")) break;
        PAWL_TRY(parse_one_target(p, namespaces, &next));
        PAWL_TRY(jinja_nodes_add(p, &(*out)->list, next));
    }
    return PAWL_OK;
}

static pawl_status parse_if(jinja_parser *p, jinja_node **out)
{
    const jinja_token *which;
    PAWL_TRY(jinja_node_new(p, JINJA_N_IF, out));
    do {
        jinja_node *condition, *body;
        PAWL_TRY(jinja_parse_tuple(p, 0, &condition));
        PAWL_TRY(jinja_node_new(p, JINJA_N_OUTPUT, &body));
        PAWL_TRY(parse_block(p, "elif else endif", &body->body, &which));
        PAWL_TRY(jinja_nodes_add(p, &(*out)->list, condition));
        PAWL_TRY(jinja_nodes_add(p, &(*out)->list, body));
    } while (jinja_is_word(which, "elif"));
    return jinja_is_word(which, "else") ? parse_block(p, "endif", &(*out)->other, &which) : PAWL_OK;
}

static pawl_status parse_for(jinja_parser *p, jinja_node **out)
{
    const jinja_token *which;
    PAWL_TRY(jinja_node_new(p, JINJA_N_FOR, out));
    PAWL_TRY(jinja_parse_target(p, 0, &(*out)->a));
    if (!jinja_take_word(p, "in")) return jinja_expected(p, "'in'");
    PAWL_TRY(jinja_parse_tuple(p, 0, &(*out)->b));
    if (jinja_take_word(p, "if")) PAWL_TRY(jinja_parse_expression(p, &(*out)->c));
    if (jinja_is_word(jinja_token_now(p), "recursive"))
        return JINJA_BAD(p, jinja_token_now(p)->line, "recursive loops are not computed");
    PAWL_TRY(parse_block(p, "endfor else", &(*out)->body, &which));
    return jinja_is_word(which, "else") ? parse_block(p, "endfor", &(*out)->other, &which) : PAWL_OK;
}

/* The filters of {% set x | f %} and {% filter f %}: a chain over a NAME without a text, where the block's text goes.
 */
static pawl_status parse_filter_chain(jinja_parser *p, jinja_node **out)
{
    PAWL_TRY(jinja_node_new(p, JINJA_N_NAME, out));
    return jinja_parse_filters(p, out);
}

static pawl_status parse_set(jinja_parser *p, jinja_node **out)
{
    const jinja_token *which;
    PAWL_TRY(jinja_node_new(p, JINJA_N_SET, out));
    PAWL_TRY(jinja_parse_target(p, 1, &(*out)->a));
    if (jinja_take_operator(p, "=")) return jinja_parse_tuple(p, 1, &(*out)->b);
    (*out)->op = JINJA_N_SET_BLOCK;
    if (jinja_is_operator(jinja_token_now(p), "|")) PAWL_TRY(parse_filter_chain(p, &(*out)->b));
    return parse_block(p, "endset", &(*out)->body, &which);
}

static pawl_status parse_parameters(jinja_parser *p, jinja_node *macro)
{
    PAWL_TRY(jinja_expect_operator(p, "("));
    while (!jinja_take_operator(p, ")")) {
        const jinja_string *name = NULL;
        jinja_node *node, *value;
        if (macro->list.count) PAWL_TRY(jinja_expect_operator(p, ","));
        PAWL_TRY(jinja_expect_name(p, &name));
        PAWL_TRY(jinja_name_node(p, name, &node));
        PAWL_TRY(jinja_nodes_add(p, &macro->list, node));
        if (jinja_take_operator(p, "=")) {
            PAWL_TRY(jinja_parse_expression(p, &value));
            PAWL_TRY(jinja_nodes_add(p, &macro->values, value));
        } else if (macro->values.count) {
            return JINJA_BAD(p, node->line, "a parameter without a default stands behind one with a default");
        }
    }
    return PAWL_OK;
}

static pawl_status parse_macro(jinja_parser *p, jinja_node **out)
{
    const jinja_token *which;
    PAWL_TRY(target_name(p, 0, out));
    (*out)->op = JINJA_N_MACRO_BLOCK;
    PAWL_TRY(parse_parameters(p, *out));
    return parse_block(p, "endmacro", &(*out)->body, &which);
}

static pawl_status parse_call_block(jinja_parser *p, jinja_node **out)
{
    const jinja_token *which;
    PAWL_TRY(jinja_node_new(p, JINJA_N_CALL_BLOCK, out));
    if (jinja_is_operator(jinja_token_now(p), "(")) PAWL_TRY(parse_parameters(p, *out));
    PAWL_TRY(jinja_parse_expression(p, &(*out)->a));
    if ((*out)->a->op != JINJA_N_CALL) return JINJA_BAD(p, (*out)->line, "expected the call of a macro behind 'call'");
    if ((*out)->a->b || (*out)->a->c)
        return JINJA_BAD(p, (*out)->line, "arguments by * and ** behind 'call' are not computed");
    return parse_block(p, "endcall", &(*out)->body, &which);
}

static pawl_status parse_filter_block(jinja_parser *p, jinja_node **out)
{
    const jinja_token *which;
    PAWL_TRY(jinja_node_new(p, JINJA_N_FILTER_BLOCK, out));
    /* The first filter stands without a bar. */
    p->at--;
    p->tokens[p->at].kind = JINJA_T_OPERATOR;
    jinja_value bar;
    PAWL_TRY(jinja_string_new(&p->run, "|", 1, &bar));
    p->tokens[p->at].text = bar.string;
    PAWL_TRY(parse_filter_chain(p, &(*out)->b));
    return parse_block(p, "endfilter", &(*out)->body, &which);
}

static pawl_status parse_with(jinja_parser *p, jinja_node **out)
{
    const jinja_token *which;
    PAWL_TRY(jinja_node_new(p, JINJA_N_WITH, out));
    while (jinja_token_now(p)->kind != JINJA_T_BLOCK_END) {
        jinja_node *target, *value;
        if ((*out)->list.count) PAWL_TRY(jinja_expect_operator(p, ","));
        PAWL_TRY(target_name(p, 0, &target));
        PAWL_TRY(jinja_expect_operator(p, "="));
        PAWL_TRY(jinja_parse_expression(p, &value));
        PAWL_TRY(jinja_nodes_add(p, &(*out)->list, target));
        PAWL_TRY(jinja_nodes_add(p, &(*out)->list, value));
    }
    return parse_block(p, "endwith", &(*out)->body, &which);
}

static pawl_status parse_generated(jinja_parser *p, jinja_node **out)
{
    const jinja_token *which;
    p->template->has_generation = 1;
    PAWL_TRY(jinja_node_new(p, JINJA_N_GENERATED, out));
    return parse_block(p, "endgeneration", &(*out)->body, &which);
}

static pawl_status parse_print(jinja_parser *p, jinja_node **out)
{
    PAWL_TRY(jinja_node_new(p, JINJA_N_OUTPUT, out));
    PAWL_TRY(jinja_node_new(p, JINJA_N_CONCAT, &(*out)->a));
    do {
        jinja_node *n;
        PAWL_TRY(jinja_parse_expression(p, &n));
        PAWL_TRY(jinja_nodes_add(p, &(*out)->a->list, n));
    } while (jinja_take_operator(p, ","));
    return PAWL_OK;
}

static pawl_status parse_break(jinja_parser *p, jinja_node **out)
{
    return jinja_node_new(p, JINJA_N_BREAK, out);
}

static pawl_status parse_continue(jinja_parser *p, jinja_node **out)
{
    return jinja_node_new(p, JINJA_N_CONTINUE, out);
}

static const struct {
    const char *word;
    pawl_status (*parse)(jinja_parser *p, jinja_node **out);
} statements[] = {
    {"if", parse_if},       {"for", parse_for},           {"set", parse_set},
    {"macro", parse_macro}, {"call", parse_call_block},   {"filter", parse_filter_block},
    {"with", parse_with},   {"print", parse_print},       {"generation", parse_generated},
    {"break", parse_break}, {"continue", parse_continue},
};

pawl_status jinja_parse_statement(jinja_parser *p, jinja_node **out)
{
    const jinja_token *t = jinja_token_now(p);
    char found[64];
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
        if (jinja_take_word(p, statements[i].word)) return statements[i].parse(p, out);
    jinja_token_words(t, found, sizeof found);
    return JINJA_BAD(p, t->line, "the tag %s is not one that chat templates have here", found);
}
