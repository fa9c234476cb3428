/* data/jinja/eval.h - evaluating the tree: scopes, loops and macros. */
#ifndef PAWL_DATA_JINJA_EVAL_H
#define PAWL_DATA_JINJA_EVAL_H

#include "data/jinja/functions.h"
#include "data/jinja/tree.h"

enum { JINJA_SYMBOL_LOOP, JINJA_SYMBOL_CALLER, JINJA_SYMBOLS }; /* the first symbols of every template */

typedef enum jinja_flow { JINJA_GO_ON, JINJA_BREAK, JINJA_CONTINUE } jinja_flow;

typedef struct jinja_scope {
    struct jinja_scope *parent;
    int *symbols;
    jinja_value *values;
    size_t count, room;
} jinja_scope;

typedef struct jinja_loop {
    const jinja_list *items;
    size_t at;
    int depth;
    jinja_value changed; /* what loop.changed was last asked about */
    int has_changed;
} jinja_loop;

typedef struct jinja_macro {
    const jinja_node *node;
    jinja_scope *scope; /* where it was defined */
} jinja_macro;

PAWL_MUST pawl_status jinja_scope_open(jinja_run *r); /* a new one inside r->scope */
void jinja_scope_close(jinja_run *r);
PAWL_MUST pawl_status jinja_scope_set(jinja_run *r, int symbol, jinja_value v);

PAWL_MUST pawl_status jinja_eval(jinja_run *r, const jinja_node *n, jinja_value *out);
/* Runs statements; r->flow says whether a break or continue is under way. */
PAWL_MUST pawl_status jinja_exec(jinja_run *r, const jinja_nodes *list);
/* The text that statements print. */
PAWL_MUST pawl_status jinja_capture(jinja_run *r, const jinja_nodes *list, jinja_value *out);
PAWL_MUST pawl_status jinja_call_macro(jinja_run *r, const jinja_macro *m, const jinja_args *a, jinja_value *out);

#endif
