/* data/jinja/functions.h - what templates may call: filters, tests, methods and functions, each a row of a table. */
#ifndef PAWL_DATA_JINJA_FUNCTIONS_H
#define PAWL_DATA_JINJA_FUNCTIONS_H

#include "data/jinja/value.h"

/* v is what stands before the bar. */
typedef struct jinja_filter {
    const char *name;
    pawl_status (*call)(jinja_run *r, jinja_value v, const jinja_args *a, jinja_value *out);
} jinja_filter;

typedef struct jinja_test {
    const char *name;
    pawl_status (*call)(jinja_run *r, jinja_value v, const jinja_args *a, int *out);
} jinja_test;

/* NULL: not one that is computed here. */
const jinja_filter *jinja_filter_named(const jinja_string *name);
const jinja_test *jinja_test_named(const jinja_string *name);

typedef pawl_status jinja_method_call(jinja_run *r, jinja_value self, const jinja_args *a, jinja_value *out);

typedef struct jinja_method_row {
    const char *name;
    jinja_method_call *call; /* NULL: Python has it, templates may not use it */
} jinja_method_row;

typedef struct jinja_method {
    jinja_value self;
    const jinja_method_row *row;
} jinja_method;

jinja_method_call jinja_strip, jinja_lstrip, jinja_rstrip, jinja_split, jinja_rsplit, jinja_splitlines, jinja_partition,
    jinja_rpartition;
extern const jinja_method_row jinja_string_methods[], jinja_dict_methods[], jinja_list_methods[]; /* ended by name NULL */

typedef struct jinja_function {
    const char *name;
    pawl_status (*call)(jinja_run *r, const jinja_args *a, jinja_value *out);
} jinja_function;
extern const jinja_function jinja_functions[]; /* ended by name NULL */

/* ---- Arguments ---- */
/* The argument at `position`, or of that name; NULL when it was not given. */
const jinja_value *jinja_arg(const jinja_args *a, size_t position, const char *name);
/* Errors: more arguments than that, or names that are none of known (separated by spaces). */
PAWL_MUST pawl_status jinja_check_args(jinja_run *r, const char *what, const jinja_args *a, size_t most, const char *known);
PAWL_MUST pawl_status jinja_arg_int(jinja_run *r, const char *what, const jinja_value *v, int64_t dflt, int64_t *out);
/* The string; NULL for an absent one or none. Errors: of another kind. */
PAWL_MUST pawl_status jinja_arg_string(jinja_run *r, const char *what, const jinja_value *v, const jinja_string **out);

/* format % v, as Python's. */
PAWL_MUST pawl_status jinja_format_percent(jinja_run *r, const jinja_string *format, jinja_value v, jinja_value *out);
/* An attribute of the variable `loop`. */
PAWL_MUST pawl_status jinja_loop_attribute(jinja_run *r, struct jinja_loop *l, const jinja_string *name, jinja_value *out, int *found);
/* The one argument, a str. */
PAWL_MUST pawl_status jinja_needed_string(jinja_run *r, const char *what, const jinja_args *a, const jinja_string **out);
/* The last place of what in s[0, end), in bytes; SIZE_MAX when there is none. */
size_t jinja_string_find_last(const jinja_string *s, const jinja_string *what, size_t end);
/* A call of what can be called. */
PAWL_MUST pawl_status jinja_call(jinja_run *r, jinja_value callee, const jinja_args *a, jinja_value *out);

#endif
