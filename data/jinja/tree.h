/* data/jinja/tree.h - a template as read: tokens, and the tree that is evaluated. Lives in the template's pool. */
#ifndef PAWL_DATA_JINJA_TREE_H
#define PAWL_DATA_JINJA_TREE_H

#include "data/jinja/value.h"

typedef enum jinja_token_kind {
    JINJA_T_DATA,
    JINJA_T_BLOCK_BEGIN,
    JINJA_T_BLOCK_END,
    JINJA_T_VARIABLE_BEGIN,
    JINJA_T_VARIABLE_END,
    JINJA_T_NAME,
    JINJA_T_STRING,
    JINJA_T_INTEGER,
    JINJA_T_FLOAT,
    JINJA_T_OPERATOR,
    JINJA_T_END
} jinja_token_kind;

typedef struct jinja_token {
    jinja_token_kind kind;
    int line;
    const jinja_string *text; /* DATA, NAME, STRING, OPERATOR */
    int64_t integer;
    double real;
} jinja_token;

/* clang-format off */
#define JINJA_EXPRESSIONS(X) \
    X(CONST) X(NAME) X(LIST) X(TUPLE) X(DICT) X(COND) X(OR) X(AND) X(NOT) X(COMPARE) X(MATH) X(CONCAT) X(NEGATIVE) \
    X(POSITIVE) X(ATTRIBUTE) X(ITEM) X(SLICE) X(CALL) X(FILTER) X(TEST)
#define JINJA_STATEMENTS(X) \
    X(OUTPUT) X(IF) X(FOR) X(SET) X(SET_BLOCK) X(MACRO_BLOCK) X(CALL_BLOCK) X(FILTER_BLOCK) X(WITH) X(GENERATED) X(BREAK) X(CONTINUE)
/* clang-format on */
#define JINJA_NODE_ENUM(name) JINJA_N_##name,
typedef enum jinja_op { JINJA_EXPRESSIONS(JINJA_NODE_ENUM) JINJA_STATEMENTS(JINJA_NODE_ENUM) JINJA_NODE_KINDS } jinja_op;

typedef struct jinja_node jinja_node;

typedef struct jinja_nodes {
    jinja_node **items;
    size_t count, room;
} jinja_nodes;

/* One node; what its members mean:
 *   CONST value; NAME text, symbol; LIST, TUPLE, CONCAT list; DICT list (key, value, ...); COND a if b else c (c may be NULL)
 *   NOT, NEGATIVE, POSITIVE a; OR, AND a, b; MATH a op b; COMPARE a, then list with names[i] the operators
 *   ATTRIBUTE a.text; ITEM a[b]; SLICE a[list[0]:list[1]:list[2]] (NULL: left out)
 *   CALL a(list, *b, **c; the last name_count of list by names); FILTER a|text(list), TEST a is text(list): as CALL
 *   OUTPUT a; IF list (condition, body, condition, body, ...), other; FOR a in b if c: body, other; SET a = b
 *   SET_BLOCK a, body, b (a chain of filters over NAME with text NULL, or NULL); FILTER_BLOCK b, body
 *   MACRO_BLOCK text(list of NAMEs; defaults: the last name_count of values): body; CALL_BLOCK the same, a is the call
 *   WITH list (target, value, ...), body; GENERATED body */
struct jinja_node {
    jinja_op op;
    int line, symbol;
    jinja_node *a, *b, *c;
    const jinja_string *text;
    const jinja_string **names;
    jinja_nodes list, values, body, other;
    size_t name_count;
    jinja_value value;
    char math;
    const struct jinja_filter *filter; /* NULL: not one that is computed here */
    const struct jinja_test *test;
};

typedef struct pawl_jinja {
    jinja_pool pool;
    const char *where; /* the file, for errors; NULL: it has none */
    jinja_nodes body;
    const jinja_string **symbols; /* names of variables, once each */
    size_t symbol_count, symbol_room;
    int has_generation; /* 1: it says by {% generation %} what the assistant writes */
} pawl_jinja;

typedef struct jinja_parser {
    jinja_run run; /* for values and strings that are made while parsing; its pool becomes the template's */
    pawl_jinja *template;
    jinja_token *tokens;
    size_t count, room, at;
} jinja_parser;

/* "WHERE:LINE: error: ..." */
#define JINJA_BAD(p, line, ...) jinja_bad_((p), (line), __VA_ARGS__)
PAWL_MUST pawl_status jinja_bad_(const jinja_parser *p, int line, const char *format, ...) PAWL_PRINTF(3, 4);

PAWL_MUST pawl_status jinja_lex(jinja_parser *p, const char *text, size_t bytes);
/* The value of a string as written between its quotes, escapes and all. */
PAWL_MUST pawl_status jinja_unescape(jinja_parser *p, const char *data, size_t bytes, int line, const jinja_string **out);

/* Statements up to one that begins with a word of ends (separated by spaces; NULL: the template's end); that word is next. */
PAWL_MUST pawl_status jinja_parse_body(jinja_parser *p, const char *ends, jinja_nodes *out);
/* The statement whose word is next, up to the end of its last tag. */
PAWL_MUST pawl_status jinja_parse_statement(jinja_parser *p, jinja_node **out);
PAWL_MUST pawl_status jinja_parse_expression(jinja_parser *p, jinja_node **out);
/* An expression without `if`, as the sequence of a for. */
PAWL_MUST pawl_status jinja_parse_or(jinja_parser *p, jinja_node **out);
/* Expressions separated by commas: one alone, or a tuple. */
PAWL_MUST pawl_status jinja_parse_tuple(jinja_parser *p, int with_condition, jinja_node **out);
/* A value with its sign and what stands behind it; filters too when asked. */
PAWL_MUST pawl_status jinja_parse_unary(jinja_parser *p, int with_filter, jinja_node **out);
/* |filter ... behind *node. */
PAWL_MUST pawl_status jinja_parse_filters(jinja_parser *p, jinja_node **node);
/* ( ... ) behind a name: into call's list and names. */
PAWL_MUST pawl_status jinja_parse_arguments(jinja_parser *p, jinja_node *call);
/* Where a value goes: names, a tuple of them, or namespace.name when it may. */
PAWL_MUST pawl_status jinja_parse_target(jinja_parser *p, int namespaces, jinja_node **out);

/* ---- What all of the parser uses ---- */
const jinja_token *jinja_token_now(const jinja_parser *p);
int jinja_is_operator(const jinja_token *t, const char *op);
int jinja_is_word(const jinja_token *t, const char *word);
int jinja_take_operator(jinja_parser *p, const char *op); /* 1: it was next, and is passed over */
int jinja_take_word(jinja_parser *p, const char *word);
/* "expected WHAT, found ..." */
PAWL_MUST pawl_status jinja_expected(const jinja_parser *p, const char *what);
PAWL_MUST pawl_status jinja_expect(jinja_parser *p, jinja_token_kind kind, const char *what);
PAWL_MUST pawl_status jinja_expect_operator(jinja_parser *p, const char *op);
PAWL_MUST pawl_status jinja_expect_name(jinja_parser *p, const jinja_string **out);
PAWL_MUST pawl_status jinja_node_new(jinja_parser *p, jinja_op op, jinja_node **out);
PAWL_MUST pawl_status jinja_nodes_add(jinja_parser *p, jinja_nodes *list, jinja_node *n);
PAWL_MUST pawl_status jinja_add_name(jinja_parser *p, jinja_node *n, const jinja_string *name); /* to n->names */
PAWL_MUST pawl_status jinja_name_node(jinja_parser *p, const jinja_string *name, jinja_node **out);
/* "the name 'x'", "'%}'": for errors. */
void jinja_token_words(const jinja_token *t, char *out, size_t room);
/* Guards against nesting that would exhaust the stack; every one needs a leave. */
PAWL_MUST pawl_status jinja_enter(jinja_parser *p);
void jinja_leave(jinja_parser *p);

#endif
