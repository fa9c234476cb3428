/* configs/fill.h - from the tree to the structs: each row takes its node, and says what it expected instead. */
#ifndef PAWL_CONFIGS_FILL_H
#define PAWL_CONFIGS_FILL_H

#include "configs/configs.h"
#include "configs/tree.h"

/* Sets all of run, whose bytes must be zero, to what root says and to defaults elsewhere. */
void pawl_fill_run(pawl_node *root, pawl_run_config *run, pawl_problems *problems);

/* The checks between keys; a check whose keys already have an error of their own is left out. */
void pawl_check_run(const pawl_node *root, const pawl_run_config *run, pawl_problems *problems);
/* Their rules, as lines of a Markdown list. */
void pawl_check_rules(pawl_text *out);

/* The row of a key at the top level, or NULL. */
const pawl_field *pawl_run_row(const char *key);

/* A key that we do not have but people know from elsewhere. */
typedef struct pawl_hint { const char *key, *ours, *advice; } pawl_hint;
const pawl_hint *pawl_hint_of(const char *key); /* NULL: nothing to say */
/* What to know of such a value of one of our keys; NULL: nothing. */
const char *pawl_hint_of_value(const char *key, const char *value);

#endif
