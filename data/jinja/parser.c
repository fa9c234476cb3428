/* What all of the parser shares, and the template from beginning to end. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "data/jinja/jinja.h"
#include "data/jinja/eval.h"
#include "data/utf8.h"

enum { NESTED_MAX = 200, NAMES_MAX = 10000 };

pawl_status jinja_bad_(const jinja_parser *p, int line, const char *format, ...)
{
    char what[512];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return PAWL_FAIL_AT(PAWL_EUSAGE, p->template->where, line, 0, "%s", what);
}

const jinja_token *jinja_token_now(const jinja_parser *p)
{
    return &p->tokens[p->at];
}

int jinja_is_operator(const jinja_token *t, const char *op)
{
    return t->kind == JINJA_T_OPERATOR && jinja_string_is(t->text, op);
}

int jinja_is_word(const jinja_token *t, const char *word)
{
    return t->kind == JINJA_T_NAME && jinja_string_is(t->text, word);
}

int jinja_take_operator(jinja_parser *p, const char *op)
{
    const int is = jinja_is_operator(jinja_token_now(p), op);
    p->at += (size_t)is;
    return is;
}

int jinja_take_word(jinja_parser *p, const char *word)
{
    const int is = jinja_is_word(jinja_token_now(p), word);
    p->at += (size_t)is;
    return is;
}

void jinja_token_words(const jinja_token *t, char *out, size_t room)
{
    static const char *const fixed[] = {
        [JINJA_T_DATA] = "text",           [JINJA_T_BLOCK_BEGIN] = "'{%'",  [JINJA_T_BLOCK_END] = "'%}'",
        [JINJA_T_VARIABLE_BEGIN] = "'{{'", [JINJA_T_VARIABLE_END] = "'}}'", [JINJA_T_INTEGER] = "a number",
        [JINJA_T_FLOAT] = "a number",      [JINJA_T_STRING] = "a string",   [JINJA_T_END] = "the end of the template"};
    if (t->kind == JINJA_T_NAME || t->kind == JINJA_T_OPERATOR)
        snprintf(out, room, "'%.*s'", (int)(t->text->bytes < 40 ? t->text->bytes : 40), t->text->data);
    else
        snprintf(out, room, "%s", fixed[t->kind]);
}

pawl_status jinja_expected(const jinja_parser *p, const char *what)
{
    char found[64];
    jinja_token_words(jinja_token_now(p), found, sizeof found);
    return JINJA_BAD(p, jinja_token_now(p)->line, "expected %s, found %s", what, found);
}

pawl_status jinja_expect_operator(jinja_parser *p, const char *op)
{
    char what[8];
    if (jinja_take_operator(p, op)) return PAWL_OK;
    snprintf(what, sizeof what, "'%s'", op);
    return jinja_expected(p, what);
}

pawl_status jinja_expect_name(jinja_parser *p, const jinja_string **out)
{
    if (jinja_token_now(p)->kind != JINJA_T_NAME) return jinja_expected(p, "a name");
    *out = jinja_token_now(p)->text;
    p->at++;
    return PAWL_OK;
}

pawl_status jinja_expect(jinja_parser *p, jinja_token_kind kind, const char *what)
{
    if (jinja_token_now(p)->kind != kind) return jinja_expected(p, what);
    p->at++;
    return PAWL_OK;
}

pawl_status jinja_enter(jinja_parser *p)
{
    if (++p->run.depth > NESTED_MAX)
        return JINJA_BAD(p, jinja_token_now(p)->line, "the template is nested more than %d deep", NESTED_MAX);
    return PAWL_OK;
}

void jinja_leave(jinja_parser *p)
{
    p->run.depth--;
}

pawl_status jinja_node_new(jinja_parser *p, jinja_op op, jinja_node **out)
{
    PAWL_TRY(jinja_pool_take(&p->run.pool, sizeof **out, (void **)out));
    (*out)->op = op;
    (*out)->line = jinja_token_now(p)->line;
    return PAWL_OK;
}

pawl_status jinja_nodes_add(jinja_parser *p, jinja_nodes *list, jinja_node *n)
{
    if (list->count == list->room) {
        const size_t room = 2 * list->room + 4, one = sizeof *list->items;
        PAWL_TRY(jinja_pool_grow(&p->run.pool, (void **)&list->items, list->room * one, room * one));
        list->room = room;
    }
    list->items[list->count++] = n;
    return PAWL_OK;
}

static pawl_status symbol_of(jinja_parser *p, const jinja_string *name, int *out)
{
    pawl_jinja *t = p->template;
    for (size_t i = 0; i < t->symbol_count; i++)
        if (jinja_string_order(t->symbols[i], name) == 0) {
            *out = (int)i;
            return PAWL_OK;
        }
    if (t->symbol_count == t->symbol_room) {
        const size_t room = 2 * t->symbol_room + 32, one = sizeof *t->symbols;
        PAWL_TRY(jinja_pool_grow(&p->run.pool, (void **)&t->symbols, t->symbol_room * one, room * one));
        t->symbol_room = room;
    }
    if (t->symbol_count == NAMES_MAX)
        return JINJA_BAD(p, jinja_token_now(p)->line, "the template has more than %d names", NAMES_MAX);
    *out = (int)t->symbol_count;
    t->symbols[t->symbol_count++] = name;
    return PAWL_OK;
}

pawl_status jinja_add_name(jinja_parser *p, jinja_node *n, const jinja_string *name)
{
    PAWL_TRY(jinja_pool_grow(&p->run.pool, (void **)&n->names, n->name_count * sizeof *n->names,
                             (n->name_count + 1) * sizeof *n->names));
    n->names[n->name_count++] = name;
    return PAWL_OK;
}

pawl_status jinja_name_node(jinja_parser *p, const jinja_string *name, jinja_node **out)
{
    PAWL_TRY(jinja_node_new(p, JINJA_N_NAME, out));
    (*out)->text = name;
    return symbol_of(p, name, &(*out)->symbol);
}

/* Those that statements set by themselves, in the order of their numbers. */
static pawl_status first_symbols(jinja_parser *p)
{
    static const char *const names[JINJA_SYMBOLS] = {"loop", "caller"};
    for (int i = 0; i < JINJA_SYMBOLS; i++) {
        jinja_value name;
        int symbol;
        PAWL_TRY(jinja_string_new(&p->run, names[i], strlen(names[i]), &name));
        PAWL_TRY(symbol_of(p, name.string, &symbol));
    }
    return PAWL_OK;
}

static int is_one_of(const jinja_token *t, const char *words)
{
    for (const char *w = words; t->kind == JINJA_T_NAME && w && *w;) {
        const size_t n = strcspn(w, " ");
        if (t->text->bytes == n && memcmp(t->text->data, w, n) == 0) return 1;
        w += n + (w[n] == ' ');
    }
    return 0;
}

static pawl_status add_output(jinja_parser *p, jinja_nodes *out)
{
    jinja_node *n;
    PAWL_TRY(jinja_node_new(p, JINJA_N_OUTPUT, &n));
    if (jinja_token_now(p)->kind == JINJA_T_DATA) {
        PAWL_TRY(jinja_node_new(p, JINJA_N_CONST, &n->a));
        n->a->value = jinja_of_string(jinja_token_now(p)->text);
        p->at++;
    } else {
        p->at++;
        PAWL_TRY(jinja_parse_tuple(p, 1, &n->a));
        PAWL_TRY(jinja_expect(p, JINJA_T_VARIABLE_END, "'}}'"));
    }
    return jinja_nodes_add(p, out, n);
}

static pawl_status parse_items(jinja_parser *p, const char *ends, jinja_nodes *out)
{
    const int line = jinja_token_now(p)->line;
    for (;;) {
        const jinja_token *t = jinja_token_now(p);
        jinja_node *n;
        if (t->kind == JINJA_T_END) {
            if (!ends) return PAWL_OK;
            return JINJA_BAD(p, line, "the block that begins here has no end: expected one of %s", ends);
        }
        if (t->kind != JINJA_T_BLOCK_BEGIN) {
            PAWL_TRY(add_output(p, out));
            continue;
        }
        p->at++;
        if (is_one_of(jinja_token_now(p), ends)) return PAWL_OK;
        PAWL_TRY(jinja_parse_statement(p, &n));
        PAWL_TRY(jinja_expect(p, JINJA_T_BLOCK_END, "'%}'"));
        PAWL_TRY(jinja_nodes_add(p, out, n));
    }
}

pawl_status jinja_parse_body(jinja_parser *p, const char *ends, jinja_nodes *out)
{
    PAWL_TRY(jinja_enter(p));
    PAWL_TRY(parse_items(p, ends, out));
    jinja_leave(p);
    return PAWL_OK;
}

static pawl_status check_text(const jinja_parser *p, const char *text, size_t bytes)
{
    const size_t good = pawl_utf8_valid_prefix(text, bytes);
    int line = 1;
    for (size_t i = 0; i < good; i++) line += text[i] == '\n';
    if (good < bytes)
        return JINJA_BAD(p, line, "expected UTF-8 without NUL, found the byte 0x%02x", (unsigned char)text[good]);
    return PAWL_OK;
}

pawl_status pawl_jinja_open(const char *text, size_t bytes, const char *where, pawl_jinja **out)
{
    pawl_jinja *t;
    jinja_parser p = {.run = {.pool = {.max = PAWL_JINJA_POOL_MAX}, .steps = INT64_MAX}};
    pawl_status status = PAWL_OK;
    PAWL_TRY(pawl_alloc((void **)&t, sizeof *t, "a template"));
    t->where = where;
    p.template = t;
    if (bytes > PAWL_JINJA_TEXT_MAX)
        PAWL_TRY_OUT(PAWL_FAIL(PAWL_EUSAGE, "%s: a template of %zu bytes; expected at most %d", where, bytes,
                               PAWL_JINJA_TEXT_MAX));
    PAWL_TRY_OUT(check_text(&p, text, bytes));
    PAWL_TRY_OUT(first_symbols(&p));
    PAWL_TRY_OUT(jinja_lex(&p, text, bytes));
    PAWL_TRY_OUT(jinja_parse_body(&p, NULL, &t->body));
    *out = t;
out:
    pawl_free(p.tokens);
    t->pool = p.run.pool;
    if (status != PAWL_OK) pawl_jinja_close(t);
    return status;
}

void pawl_jinja_close(pawl_jinja *t)
{
    if (!t) return;
    jinja_pool_close(&t->pool);
    pawl_free(t);
}
