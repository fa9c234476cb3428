#include "configs/tree.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "core/arena.h"

struct pawl_tree_block {
    struct pawl_tree_block *next;
    max_align_t data[];
};

static pawl_status take(pawl_tree *t, size_t bytes, void **out)
{
    struct pawl_tree_block *block;
    PAWL_TRY(pawl_alloc((void **)&block, sizeof *block + bytes, "a configuration"));
    block->next = t->blocks;
    t->blocks = block;
    *out = block->data;
    return PAWL_OK;
}

void pawl_tree_close(pawl_tree *t)
{
    while (t->blocks) {
        struct pawl_tree_block *next = t->blocks->next;
        pawl_free(t->blocks);
        t->blocks = next;
    }
}

pawl_status pawl_tree_node(pawl_tree *t, pawl_node_kind kind, pawl_place at, pawl_node **out)
{
    void *block;
    PAWL_TRY(take(t, sizeof **out, &block));
    t->nodes++;
    *out = block;
    (*out)->kind = kind;
    (*out)->at = (*out)->key_at = at;
    (*out)->text = "";
    return PAWL_OK;
}

pawl_status pawl_tree_text(pawl_tree *t, const char *text, size_t bytes, const char **out)
{
    void *block;
    PAWL_TRY(take(t, bytes + 1, &block)); /* zeroed: the NUL is there */
    if (bytes) memcpy(block, text, bytes);
    *out = block;
    return PAWL_OK;
}

void pawl_node_append(pawl_node *parent, pawl_node *child)
{
    if (parent->last) parent->last->next = child;
    else parent->first = child;
    parent->last = child;
    parent->count++;
}

void pawl_node_become(pawl_node *n, const pawl_node *other)
{
    const pawl_node old = *n;
    *n = *other;
    n->key = old.key;
    n->key_at = other->at;
    n->next = old.next;
}

pawl_node *pawl_node_find(const pawl_node *n, const char *key)
{
    for (pawl_node *c = n->first; c; c = c->next)
        if (c->key && strcmp(c->key, key) == 0) return c;
    return NULL;
}

pawl_node *pawl_node_at(const pawl_node *n, int i)
{
    pawl_node *c = n->first;
    while (c && i-- > 0) c = c->next;
    return c;
}

int pawl_node_is_null(const pawl_node *n)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    if (n->kind != PAWL_NODE_SCALAR || !n->plain) return 0;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(n->text, words[i]) == 0) return 1;
    return 0;
}

void pawl_node_describe(const pawl_node *n, char *out, size_t room)
{
    if (n->kind == PAWL_NODE_LIST) snprintf(out, room, "a list");
    else if (n->kind == PAWL_NODE_KEYS) snprintf(out, room, "keys and values");
    else if (pawl_node_is_null(n)) snprintf(out, room, "%s", n->text[0] ? "null" : "nothing");
    else snprintf(out, room, "'%.60s'", n->text);
}

/* ---- From JSON ---- */

static const char *scalar_text(const json_t *value, char number[32])
{
    switch (json_typeof(value)) {
    case JSON_STRING: return json_string_value(value);
    case JSON_TRUE: return "true";
    case JSON_FALSE: return "false";
    case JSON_INTEGER: snprintf(number, 32, "%" JSON_INTEGER_FORMAT, json_integer_value(value)); return number;
    case JSON_REAL: pawl_format_f64(json_real_value(value), number); return number;
    default: return "null";
    }
}

static pawl_status children_of(pawl_tree *t, const json_t *value, pawl_place at, pawl_node *n)
{
    json_t *object = (json_t *)value; /* jansson's iterator asks for it, and changes nothing */
    pawl_node *child;
    for (size_t i = 0; i < json_array_size(value); i++) {
        PAWL_TRY(pawl_json_tree(t, json_array_get(value, i), at, &child));
        pawl_node_append(n, child);
    }
    for (void *it = json_object_iter(object); it; it = json_object_iter_next(object, it)) {
        const char *key = json_object_iter_key(it);
        PAWL_TRY(pawl_json_tree(t, json_object_iter_value(it), at, &child));
        PAWL_TRY(pawl_tree_text(t, key, strlen(key), &child->key));
        pawl_node_append(n, child);
    }
    return PAWL_OK;
}

pawl_status pawl_json_tree(pawl_tree *t, const json_t *value, pawl_place at, pawl_node **root)
{
    char number[32];
    const pawl_node_kind kind = json_is_array(value)    ? PAWL_NODE_LIST
                                : json_is_object(value) ? PAWL_NODE_KEYS
                                                        : PAWL_NODE_SCALAR;
    PAWL_TRY(pawl_tree_node(t, kind, at, root));
    if (kind != PAWL_NODE_SCALAR) return children_of(t, value, at, *root);
    (*root)->plain = !json_is_string(value);
    const char *text = scalar_text(value, number);
    return pawl_tree_text(t, text, strlen(text), &(*root)->text);
}
