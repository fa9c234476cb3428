/* YAML into a tree, with libyaml's events. The language is kept small on purpose: no aliases, anchors, tags or second
 * documents, a stated size and depth. What is refused is named with its place, and reading goes on where it can. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "configs/tree.h"

enum { LEVELS_MAX = 16, NODES_MAX = 10000 };

typedef struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the current one */
    pawl_tree *tree;
    pawl_problems *problems;
    pawl_place base;
    const char *prefix, *text;
    size_t bytes;
} reader;

static pawl_place place_of(const reader *r, yaml_mark_t mark)
{
    pawl_place p = r->base;
    if (p.line > 0) {
        p.line += (long)mark.line;
        p.col = (long)mark.column + 1;
    }
    return p;
}

static void report(reader *r, pawl_place at, const char *format, ...) PAWL_PRINTF(3, 4);
static void report(reader *r, pawl_place at, const char *format, ...)
{
    char sentence[512];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    pawl_problem_add(r->problems, at, "%s%s", r->prefix, sentence);
}

/* The problem is on the list; this only ends the reading. */
static pawl_status stop(void)
{
    return PAWL_FAIL(PAWL_EUSAGE, "the configuration cannot be read any further");
}

/* ---- Syntax errors, in words that help ---- */

static const struct wording {
    const char *libyaml, *ours;
    int at_context; /* the place that matters is where the construct begins */
} wordings[] = {
    {"mapping values are not allowed in this context",
     "a second ': ' on one line, or a key indented deeper than its neighbours (put quotes around a text that contains ': ')", 0},
    {"did not find expected key", "expected 'key: value' here: is the indentation the same as that of the lines above?", 0},
    {"could not find expected ':'", "expected 'key: value', found no ': ' after the key", 1},
    {"did not find expected '-' indicator", "expected the next item of the list ('- '): is the indentation right?", 0},
    {"block sequence entries are not allowed in this context", "a list ('- ') cannot begin here: put it on a line of its own", 0},
    {"found unexpected end of stream", "this quote is never closed", 1},
    {"found unexpected document indicator", "this quote is never closed", 1},
    {"did not find expected ',' or ']'", "expected ',' or ']' in this list", 0},
    {"did not find expected ',' or '}'", "expected ',' or '}' between these keys", 0},
    {"did not find expected <document start>", "expected the end of the file: what stands here belongs to no key", 0},
    {"found character that cannot start any token", "a value cannot begin with this character: put quotes around it", 0},
    {NULL, NULL, 0},
};

static int is_tab_at(const reader *r, yaml_mark_t mark)
{
    size_t at = 0;
    for (size_t line = 0; at < r->bytes && line < mark.line; at++) line += r->text[at] == '\n';
    for (size_t col = 0; at < r->bytes && col < mark.column; at++)
        col += at + 1 >= r->bytes || ((unsigned char)r->text[at + 1] & 0xc0) != 0x80; /* columns are characters */
    return at < r->bytes && r->text[at] == '\t';
}

static pawl_place place_of_byte(const reader *r, size_t offset)
{
    yaml_mark_t mark = {0};
    for (size_t i = 0; i < offset && i < r->bytes; i++) {
        mark.column += ((unsigned char)r->text[i] & 0xc0) != 0x80;
        if (r->text[i] != '\n') continue;
        mark.line++;
        mark.column = 0;
    }
    return place_of(r, mark);
}

static pawl_status syntax_error(reader *r)
{
    const yaml_parser_t *p = &r->parser;
    const char *problem = p->problem ? p->problem : "unreadable";
    PAWL_CHECK(p->error != YAML_MEMORY_ERROR, PAWL_EMEM, "no memory for a configuration");
    if (p->error == YAML_READER_ERROR) {
        report(r, place_of_byte(r, p->problem_offset), "not plain UTF-8 text: %s (0x%02x)", problem, (unsigned)p->problem_value);
        return stop();
    }
    if (is_tab_at(r, p->problem_mark)) {
        report(r, place_of(r, p->problem_mark), "a tab in the indentation: YAML allows only spaces there");
        return stop();
    }
    const struct wording *w = wordings;
    while (w->libyaml && strcmp(w->libyaml, problem) != 0) w++;
    if (w->libyaml) report(r, place_of(r, w->at_context ? p->context_mark : p->problem_mark), "%s", w->ours);
    else report(r, place_of(r, p->problem_mark), "not valid YAML: %s%s%s", p->context ? p->context : "", p->context ? ", " : "", problem);
    return stop();
}

static pawl_status next(reader *r)
{
    yaml_event_delete(&r->event);
    return yaml_parser_parse(&r->parser, &r->event) ? PAWL_OK : syntax_error(r);
}

/* ---- Nodes ---- */

static const char *anchor_of(const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_SCALAR_EVENT: return (const char *)e->data.scalar.anchor;
    case YAML_SEQUENCE_START_EVENT: return (const char *)e->data.sequence_start.anchor;
    case YAML_MAPPING_START_EVENT: return (const char *)e->data.mapping_start.anchor;
    default: return NULL;
    }
}

static const char *tag_of(const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_SCALAR_EVENT: return (const char *)e->data.scalar.tag;
    case YAML_SEQUENCE_START_EVENT: return (const char *)e->data.sequence_start.tag;
    case YAML_MAPPING_START_EVENT: return (const char *)e->data.mapping_start.tag;
    default: return NULL;
    }
}

/* Returns 1 when the node's value must not be read as it stands. */
static int refuse_decoration(reader *r)
{
    const yaml_event_t *e = &r->event;
    const pawl_place at = place_of(r, e->start_mark);
    if (e->type == YAML_ALIAS_EVENT) report(r, at, "an alias (*%s) is not allowed: write the value itself", e->data.alias.anchor);
    if (anchor_of(e)) report(r, at, "an anchor (&%s) is not allowed: write the value where it is needed", anchor_of(e));
    if (tag_of(e)) report(r, at, "a tag (%s) is not allowed: types come from the keys", tag_of(e));
    return e->type == YAML_ALIAS_EVENT || tag_of(e) != NULL;
}

static pawl_status read_node(reader *r, int level, pawl_node **out);

static pawl_status read_scalar(reader *r, pawl_node *n)
{
    const char *text = (const char *)r->event.data.scalar.value;
    const size_t bytes = r->event.data.scalar.length;
    n->plain = r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (memchr(text, 0, bytes)) {
        report(r, n->at, "a text cannot contain the character \\0");
        n->refused = 1;
    }
    return pawl_tree_text(r->tree, text, bytes, &n->text);
}

static pawl_status read_list(reader *r, int level, pawl_node *n)
{
    pawl_node *child;
    for (;;) {
        PAWL_TRY(next(r));
        if (r->event.type == YAML_SEQUENCE_END_EVENT) return PAWL_OK;
        PAWL_TRY(read_node(r, level + 1, &child));
        pawl_node_append(n, child);
    }
}

static pawl_status read_key(reader *r, const char **key, pawl_place *at)
{
    *at = place_of(r, r->event.start_mark);
    refuse_decoration(r);
    if (r->event.type != YAML_SCALAR_EVENT) {
        report(r, *at, "expected a key, found %s",
               r->event.type == YAML_ALIAS_EVENT ? "an alias" : "a list or keys in brackets");
        return stop();
    }
    return pawl_tree_text(r->tree, (const char *)r->event.data.scalar.value, r->event.data.scalar.length, key);
}

static void report_twice(reader *r, pawl_place at, const pawl_node *before)
{
    char first[40] = "";
    if (before->key_at.line > 0) snprintf(first, sizeof first, " (first in line %ld)", before->key_at.line);
    report(r, at, "'%.60s' is given twice%s: leave one of them out", before->key, first);
}

static pawl_status read_keys(reader *r, int level, pawl_node *n)
{
    pawl_node *child;
    const char *key;
    pawl_place at;
    for (;;) {
        PAWL_TRY(next(r));
        if (r->event.type == YAML_MAPPING_END_EVENT) return PAWL_OK;
        PAWL_TRY(read_key(r, &key, &at));
        PAWL_TRY(next(r));
        PAWL_TRY(read_node(r, level + 1, &child));
        const pawl_node *before = pawl_node_find(n, key);
        if (before) {
            report_twice(r, at, before);
            continue;
        }
        child->key = key;
        child->key_at = at;
        pawl_node_append(n, child);
    }
}

static pawl_status read_node(reader *r, int level, pawl_node **out)
{
    const pawl_place at = place_of(r, r->event.start_mark);
    if (level > LEVELS_MAX) {
        report(r, at, "nested deeper than %d levels", LEVELS_MAX);
        return stop();
    }
    if (r->tree->nodes >= NODES_MAX) {
        report(r, at, "more than %d values: this is no configuration of a run", NODES_MAX);
        return stop();
    }
    PAWL_TRY(pawl_tree_node(r->tree, PAWL_NODE_SCALAR, at, out));
    (*out)->refused = refuse_decoration(r);
    switch (r->event.type) {
    case YAML_SCALAR_EVENT: return read_scalar(r, *out);
    case YAML_SEQUENCE_START_EVENT: (*out)->kind = PAWL_NODE_LIST; return read_list(r, level, *out);
    case YAML_MAPPING_START_EVENT: (*out)->kind = PAWL_NODE_KEYS; return read_keys(r, level, *out);
    default: return PAWL_OK; /* an alias: refused above */
    }
}

/* ---- The document ---- */

static pawl_status read_nothing(reader *r, pawl_node **root)
{
    PAWL_TRY(pawl_tree_node(r->tree, PAWL_NODE_SCALAR, r->base, root));
    (*root)->plain = 1;
    return PAWL_OK;
}

static pawl_status read_document(reader *r, pawl_node **root)
{
    PAWL_TRY(next(r)); /* the stream begins */
    PAWL_TRY(next(r));
    if (r->event.type == YAML_STREAM_END_EVENT) return read_nothing(r, root);
    if (r->event.data.document_start.tag_directives.start != r->event.data.document_start.tag_directives.end)
        report(r, place_of(r, r->event.start_mark), "a %%TAG directive is not allowed: types come from the keys");
    PAWL_TRY(next(r));
    PAWL_TRY(read_node(r, 1, root));
    PAWL_TRY(next(r)); /* the document ends */
    PAWL_TRY(next(r));
    if (r->event.type != YAML_STREAM_END_EVENT)
        report(r, place_of(r, r->event.start_mark), "a second document (---) begins here: a file describes one run");
    return PAWL_OK;
}

pawl_status pawl_yaml_tree(pawl_tree *t, const char *text, size_t bytes, pawl_place at, const char *prefix,
                           pawl_problems *problems, pawl_node **root)
{
    const size_t mark = bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0; /* libyaml would count it as a column */
    reader r = {.tree = t, .problems = problems, .base = at, .prefix = prefix, .text = text + mark, .bytes = bytes - mark};
    PAWL_CHECK(yaml_parser_initialize(&r.parser), PAWL_EMEM, "no memory for a configuration");
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)r.text, r.bytes);
    const int before = problems->count;
    pawl_node *got = NULL;
    pawl_status status = read_document(&r, &got);
    yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    if (status != PAWL_OK) got = NULL;
    if (status == PAWL_EUSAGE && problems->count > before) status = PAWL_OK; /* it is on the list */
    *root = got;
    return status;
}
