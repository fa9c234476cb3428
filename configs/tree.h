/* configs/tree.h - what a text of YAML or JSON says before any row has looked at it; every node knows where it stands. */
#ifndef PAWL_CONFIGS_TREE_H
#define PAWL_CONFIGS_TREE_H

#include "configs/problems.h"
#include "core/fields.h"

typedef enum pawl_node_kind { PAWL_NODE_SCALAR, PAWL_NODE_LIST, PAWL_NODE_KEYS } pawl_node_kind;

typedef struct pawl_node {
    pawl_node_kind kind;
    pawl_place at, key_at;   /* of the value; of its key */
    const char *key;         /* under PAWL_NODE_KEYS */
    const char *text;        /* of a scalar */
    int plain;               /* a scalar without quotes */
    int refused;             /* its form was refused: there is nothing to read in it */
    int bad;                 /* something in it was reported */
    const pawl_field *meant; /* for an unknown key: the row it was probably meant to be */
    struct pawl_node *first, *last, *next;
    int count;               /* children */
} pawl_node;

typedef struct pawl_tree {
    struct pawl_tree_block *blocks;
    int nodes;
} pawl_tree;

void pawl_tree_close(pawl_tree *t);
PAWL_MUST pawl_status pawl_tree_node(pawl_tree *t, pawl_node_kind kind, pawl_place at, pawl_node **out);
PAWL_MUST pawl_status pawl_tree_text(pawl_tree *t, const char *text, size_t bytes, const char **out);

void pawl_node_append(pawl_node *parent, pawl_node *child);
/* Takes over the value of other: kind, text, children and place; key and place in its own parent stay. */
void pawl_node_become(pawl_node *n, const pawl_node *other);
pawl_node *pawl_node_find(const pawl_node *n, const char *key);
pawl_node *pawl_node_at(const pawl_node *n, int i);
/* Nothing, null or ~ without quotes. */
int pawl_node_is_null(const pawl_node *n);
/* "a list", "keys and values", "nothing", "null", "'text'". */
void pawl_node_describe(const pawl_node *n, char *out, size_t room);

/* Reads a document. *root is NULL when a problem ended it. at.line > 0: positions count from there; 0: there are none
 * (an override). prefix begins each sentence. */
PAWL_MUST pawl_status pawl_yaml_tree(pawl_tree *t, const char *text, size_t bytes, pawl_place at, const char *prefix,
                                     pawl_problems *problems, pawl_node **root);
PAWL_MUST pawl_status pawl_json_tree(pawl_tree *t, const json_t *value, pawl_place at, pawl_node **root);

/* Puts "a.b.0.c=value" into the tree. */
PAWL_MUST pawl_status pawl_override(pawl_tree *t, pawl_node *root, const char *override, pawl_problems *problems);

#endif
