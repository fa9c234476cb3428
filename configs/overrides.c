/* "datasets.0.path=x": a value is put into the tree before the rows look at it, so it meets the same checks as the file. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "configs/tree.h"

static const pawl_place command_line = {.file = "command line"};

/* A word of the path, between dots. */
typedef struct word { const char *at; size_t bytes; } word;

static int is_index(word w)
{
    for (size_t i = 0; i < w.bytes; i++)
        if (!isdigit((unsigned char)w.at[i])) return 0;
    return w.bytes > 0 && w.bytes <= 6;
}

static word word_at(const char *path)
{
    return (word){path, strcspn(path, ".=")};
}

/* The item of a list: one that is there, or exactly the next. *out is NULL when there is none such. */
static pawl_status item_of(pawl_tree *t, pawl_node *list, word w, const char *path, pawl_problems *problems, pawl_node **out)
{
    const int before = (int)(w.at - path) - 1; /* the list's own name, before the dot */
    *out = NULL;
    if (!is_index(w)) {
        pawl_problem_add(problems, command_line, "%.*s is a list: expected the number of an item (%.*s.0), found '%.*s'", before,
                         path, before, path, (int)w.bytes, w.at);
        return PAWL_OK;
    }
    int i = 0;
    for (size_t digit = 0; digit < w.bytes; digit++) i = 10 * i + (w.at[digit] - '0');
    if (i > list->count) {
        pawl_problem_add(problems, command_line, "%.*s has %d item%s: the next one is %.*s.%d, found %d", before, path,
                         list->count, list->count == 1 ? "" : "s", before, path, list->count, i);
        return PAWL_OK;
    }
    *out = pawl_node_at(list, i);
    if (*out) return PAWL_OK;
    PAWL_TRY(pawl_tree_node(t, PAWL_NODE_SCALAR, command_line, out));
    pawl_node_append(list, *out);
    return PAWL_OK;
}

static pawl_status member_of(pawl_tree *t, pawl_node *keys, word w, pawl_node **out)
{
    const char *key;
    PAWL_TRY(pawl_tree_text(t, w.at, w.bytes, &key));
    *out = pawl_node_find(keys, key);
    if (*out) return PAWL_OK;
    PAWL_TRY(pawl_tree_node(t, PAWL_NODE_SCALAR, command_line, out));
    (*out)->key = key;
    pawl_node_append(keys, *out);
    return PAWL_OK;
}

/* Something with children for the words that follow; a single value or null makes way. */
static pawl_status make_inner(pawl_tree *t, pawl_node *n, word below)
{
    pawl_node *fresh;
    if (n->kind != PAWL_NODE_SCALAR) return PAWL_OK;
    PAWL_TRY(pawl_tree_node(t, is_index(below) ? PAWL_NODE_LIST : PAWL_NODE_KEYS, command_line, &fresh));
    pawl_node_become(n, fresh);
    return PAWL_OK;
}

/* The node that path names, made where it is missing; NULL when the path makes no sense. */
static pawl_status descend(pawl_tree *t, pawl_node *root, const char *path, pawl_problems *problems, pawl_node **out)
{
    pawl_node *n = root;
    for (const char *p = path;; p++) {
        const word w = word_at(p);
        PAWL_TRY(make_inner(t, n, w));
        PAWL_TRY(n->kind == PAWL_NODE_LIST ? item_of(t, n, w, path, problems, &n) : member_of(t, n, w, &n));
        p += w.bytes;
        if (!n || *p == '=') break;
    }
    *out = n;
    return PAWL_OK;
}

static int well_formed(const char *override)
{
    int words = 0;
    for (const char *p = override;; p++) {
        const word w = word_at(p);
        p += w.bytes;
        if (w.bytes == 0 || w.bytes > 63 || ++words > 8) return 0;
        if (*p != '.') return *p == '=';
    }
}

pawl_status pawl_override(pawl_tree *t, pawl_node *root, const char *override, pawl_problems *problems)
{
    char prefix[600];
    pawl_node *value, *n;
    if (!well_formed(override)) {
        pawl_problem_add(problems, command_line, "expected KEY=VALUE, such as learning_rate=1e-4 or datasets.0.path=x, found '%.80s'",
                         override);
        return PAWL_OK;
    }
    const char *equals = strchr(override, '=');
    snprintf(prefix, sizeof prefix, "%.*s: ", (int)(equals - override), override);
    PAWL_TRY(pawl_yaml_tree(t, equals + 1, strlen(equals + 1), command_line, prefix, problems, &value));
    if (!value) return PAWL_OK;
    if (equals[1] == 0) value->plain = 0; /* `tokenizer=` is the empty text: a shell eats the quotes of tokenizer="" */
    PAWL_TRY(descend(t, root, override, problems, &n));
    if (n) pawl_node_become(n, value);
    return PAWL_OK;
}
