#include "configs/fill.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The rows that may stand side by side, and the structs they fill: all sections at the top level, one set of rows below. */
typedef struct scope {
    const pawl_section *sections;
    void *base;
} scope;

enum { PATH_ROOM = 256, KEYS_MAX = 256 };

static const pawl_field *row_in(const pawl_field *rows, const char *key)
{
    for (; rows->key; rows++)
        if (strcmp(rows->key, key) == 0) return rows;
    return NULL;
}

static const pawl_field *row_of(const pawl_section *sections, const char *key, size_t *at)
{
    for (; sections->title; sections++) {
        const pawl_field *row = row_in(sections->rows, key);
        *at = sections->at;
        if (row) return row;
    }
    return NULL;
}

const pawl_field *pawl_run_row(const char *key)
{
    size_t at;
    return row_of(pawl_sections, key, &at);
}

static void complain(pawl_problems *p, pawl_node *n, pawl_place at, const char *format, ...) PAWL_PRINTF(4, 5);
static void complain(pawl_problems *p, pawl_node *n, pawl_place at, const char *format, ...)
{
    char sentence[800];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    n->bad = 1;
    pawl_problem_add(p, at, "%s", sentence);
}

static void complain_kind(pawl_problems *p, const pawl_field *row, pawl_node *n, const char *path)
{
    char expected[512], found[80];
    pawl_field_expects(row, expected, sizeof expected);
    pawl_node_describe(n, found, sizeof found);
    const int empty = n->key && n->kind == PAWL_NODE_SCALAR && pawl_node_is_null(n) && row->kind != PAWL_KIND_record;
    complain(p, n, n->at, "%s: expected %s, found %s%s", path, expected, found,
             empty && row->dflt ? "; leave the key out for its default" : "");
}

static void complain_item(pawl_problems *p, const pawl_field *row, pawl_node *item, const char *path)
{
    char found[80];
    pawl_node_describe(item, found, sizeof found);
    complain(p, item, item->at, "%s: expected keys and values ('%s: ...'), found %s", path, row->fields->key, found);
}

/* ---- Keys that are not known ---- */

static const pawl_field *nearest_row(const pawl_section *sections, const char *key)
{
    const char *words[KEYS_MAX + 1];
    size_t at;
    int count = 0;
    for (const pawl_section *s = sections; s->title; s++)
        for (const pawl_field *row = s->rows; row->key && count < KEYS_MAX; row++) words[count++] = row->key;
    words[count] = NULL;
    const char *near = pawl_nearest(key, words);
    return near ? row_of(sections, near, &at) : NULL;
}

/* The record or list of the top level that has a key of that name. */
static const char *home_of(const char *key)
{
    for (const pawl_section *s = pawl_sections; s->title; s++)
        for (const pawl_field *row = s->rows; row->key; row++)
            if (row->fields && row_in(row->fields, key)) return row->key;
    return NULL;
}

static void advise(pawl_node *n, const pawl_section *sections, int top, char *out, size_t room)
{
    const char *home = home_of(n->key);
    const pawl_hint *hint = pawl_hint_of(n->key);
    if (!top && hint && hint->ours) hint = NULL; /* it names a key of the top */
    n->meant = hint && hint->ours ? pawl_run_row(hint->ours) : nearest_row(sections, n->key);
    if (!top && pawl_run_row(n->key)) snprintf(out, room, ": it is a key of the top level; is it indented too far?");
    else if (hint && !hint->ours) snprintf(out, room, ": %s", hint->advice);
    else if (top && home) snprintf(out, room, ": it is a key of '%s'; is it indented too little?", home);
    else if (n->meant) snprintf(out, room, "; did you mean '%s'?", n->meant->key);
    else snprintf(out, room, "; `pawl config reference` lists all keys");
    const size_t used = strlen(out);
    if (hint && hint->ours && hint->advice) snprintf(out + used, room - used, " (%s)", hint->advice);
}

static void complain_unknown(pawl_problems *p, const pawl_section *sections, pawl_node *n, const char *path)
{
    char advice[320];
    advise(n, sections, path[0] == 0, advice, sizeof advice);
    complain(p, n, n->key_at, "%s%sunknown key '%.60s'%s", path, path[0] ? ": " : "", n->key, advice);
}

/* ---- Values ---- */

static void fill_scope(pawl_problems *p, const scope *s, pawl_node *n, pawl_place missing_at, const char *path);

static void fill_scalar(pawl_problems *p, const pawl_field *row, void *section, pawl_node *n, const char *path)
{
    char why[700];
    const int typed = row->kind == PAWL_KIND_i64 || row->kind == PAWL_KIND_f64 || row->kind == PAWL_KIND_flag;
    const int none = row->may_be_null && n->kind == PAWL_NODE_SCALAR && n->plain && strcmp(n->text, "null") == 0;
    if (n->kind != PAWL_NODE_SCALAR || (pawl_node_is_null(n) && !none)) {
        complain_kind(p, row, n, path);
    } else if (!pawl_field_set(row, section, n->text, why, sizeof why)) {
        const char *advice = pawl_hint_of_value(row->key, n->text);
        char *guess = advice ? strstr(why, "; did you mean") : NULL; /* what is known to be meant need not be guessed */
        if (guess) *guess = '\0';
        complain(p, n, n->at, "%s: %s%s%s%s", path, why, advice ? " (" : "", advice ? advice : "", advice ? ")" : "");
    } else if (typed && !n->plain) {
        complain(p, n, n->at, "%s: found '%s' in quotes, which make it a text: leave them out", path, n->text);
    }
}

static void fill_record(pawl_problems *p, const pawl_field *row, void *body, pawl_node *n, pawl_place missing_at, const char *path)
{
    const pawl_section sections[] = {{.title = "", .rows = row->fields}, {.title = NULL}};
    const scope s = {sections, body};
    pawl_fields_default(row->fields, body);
    fill_scope(p, &s, n, missing_at, path);
}

static void inherit(pawl_node *n)
{
    for (const pawl_node *c = n->first; c; c = c->next) n->bad |= c->bad;
}

/* A list whose records begin with a name may be written as keys and values, too: {NAME: {...}, ...}. */
static int is_named(const pawl_field *row)
{
    return strcmp(row->fields[0].key, "name") == 0;
}

static void fill_item(pawl_problems *p, const pawl_field *row, void *body, pawl_node *item, int named, const char *path)
{
    pawl_node name = {.kind = PAWL_NODE_SCALAR, .at = item->key_at, .key_at = item->key_at, .key = "name", .text = item->key, .plain = 1, .next = item->first};
    if (item->refused) {
        item->bad = 1;
    } else if (item->kind != PAWL_NODE_KEYS) {
        complain_item(p, row, item, path);
    } else {
        if (named) item->first = &name;
        fill_record(p, row, body, item, item->at, path);
        if (named) item->first = name.next;
    }
}

static void fill_list(pawl_problems *p, const pawl_field *row, void *section, pawl_node *n, const char *path)
{
    char item_path[PATH_ROOM];
    int32_t count = 0;
    const int named = n->kind == PAWL_NODE_KEYS && is_named(row);
    if (n->kind != PAWL_NODE_LIST && !named) {
        complain_kind(p, row, n, path);
        return;
    }
    for (pawl_node *item = n->first; item; item = item->next, count++) {
        if (named) snprintf(item_path, sizeof item_path, "%.180s.%.60s", path, item->key);
        else snprintf(item_path, sizeof item_path, "%.180s.%d", path, (int)count);
        if (count == row->most) {
            complain(p, item, item->at, "%s: expected at most %d items, found %d", path, row->most, n->count);
            break;
        }
        fill_item(p, row, (void *)(uintptr_t)pawl_field_item(row, section, count), item, named, item_path);
    }
    memcpy((char *)section + row->at, &count, sizeof count);
    inherit(n);
}

/* A list of texts; one text alone is a list of one. */
static void fill_texts(pawl_problems *p, const pawl_field *row, void *section, pawl_node *n, const char *path)
{
    char why[700];
    const int alone = n->kind == PAWL_NODE_SCALAR && !pawl_node_is_null(n);
    if (!alone && n->kind != PAWL_NODE_LIST) {
        complain_kind(p, row, n, path);
        return;
    }
    memset((char *)section + row->at, 0, row->body_at + row->room * (size_t)row->most); /* the default makes way */
    for (pawl_node *item = alone ? n : n->first; item; item = alone ? NULL : item->next) {
        if (item->refused) item->bad = 1;
        else if (item->kind != PAWL_NODE_SCALAR || pawl_node_is_null(item)) complain_kind(p, row, item, path);
        else if (!pawl_field_append(row, section, item->text, why, sizeof why)) {
            complain(p, item, item->at, "%s: %s", path, why);
            break;
        }
    }
    if (!alone) inherit(n);
}

static void fill_field(pawl_problems *p, const pawl_field *row, void *section, pawl_node *n, const char *path)
{
    const int32_t present = 1;
    if (n->refused) {
        n->bad = 1; /* reported where it was read */
    } else if (row->kind == PAWL_KIND_list) {
        fill_list(p, row, section, n, path);
    } else if (row->kind == PAWL_KIND_texts) {
        fill_texts(p, row, section, n, path);
    } else if (row->kind != PAWL_KIND_record) {
        fill_scalar(p, row, section, n, path);
    } else if (n->kind == PAWL_NODE_KEYS) {
        memcpy((char *)section + row->at, &present, sizeof present);
        fill_record(p, row, (void *)(uintptr_t)pawl_field_item(row, section, 0), n, n->key_at, path);
    } else if (strcmp(n->text, "null") != 0 || !n->plain || n->kind != PAWL_NODE_SCALAR) {
        complain_kind(p, row, n, path);
    }
}

static int was_meant(const pawl_node *n, const pawl_field *row)
{
    for (const pawl_node *c = n->first; c; c = c->next)
        if (c->meant == row) return 1;
    return 0;
}

static void fill_scope(pawl_problems *p, const scope *s, pawl_node *n, pawl_place missing_at, const char *path)
{
    char child_path[PATH_ROOM], expected[512];
    for (pawl_node *c = n->first; c; c = c->next) {
        size_t at;
        const pawl_field *row = row_of(s->sections, c->key, &at);
        snprintf(child_path, sizeof child_path, "%.180s%s%.60s", path, path[0] ? "." : "", c->key);
        if (row) fill_field(p, row, (char *)s->base + at, c, child_path);
        else complain_unknown(p, s->sections, c, path);
    }
    inherit(n);
    for (const pawl_section *section = s->sections; section->title; section++)
        for (const pawl_field *row = section->rows; row->key; row++) {
            if (row->dflt || pawl_node_find(n, row->key) || was_meant(n, row)) continue;
            pawl_field_expects(row, expected, sizeof expected);
            complain(p, n, missing_at, "%s%smissing key '%s' (%s): expected %s", path, path[0] ? ": " : "", row->key, row->doc,
                     expected);
        }
}

void pawl_fill_run(pawl_node *root, pawl_run_config *run, pawl_problems *problems)
{
    const scope all = {pawl_sections, run};
    for (const pawl_section *s = pawl_sections; s->title; s++) pawl_fields_default(s->rows, (char *)run + s->at);
    fill_scope(problems, &all, root, root->at, "");
}
