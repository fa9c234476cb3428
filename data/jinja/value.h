/* data/jinja/value.h - the values of a template: Python's, as far as templates for chats have them.
 *
 * A string knows which message each of its bytes came from (marks), through every operation: so what the assistant said is
 * found again in the text, exactly, whatever the template does with it. */
#ifndef PAWL_DATA_JINJA_VALUE_H
#define PAWL_DATA_JINJA_VALUE_H

#include <stdint.h>

#include "core/json.h"
#include "data/jinja/pool.h"

enum { JINJA_NO_SOURCE = -1, JINJA_GENERATION = -2 }; /* sources that are no message */

typedef struct jinja_mark {
    size_t first, end; /* bytes; may be empty: the place where an empty text stands */
    int32_t source;    /* the message's index, or JINJA_GENERATION */
} jinja_mark;

typedef struct jinja_string {
    const char *data; /* UTF-8, not ended by NUL */
    size_t bytes, chars;
    const jinja_mark *marks; /* in no order; they may overlap */
    size_t mark_count;
    int safe; /* what Jinja calls Markup: adding to it escapes HTML */
} jinja_string;

typedef enum jinja_kind {
    JINJA_UNDEFINED,
    JINJA_NONE,
    JINJA_BOOL,
    JINJA_INT,
    JINJA_FLOAT,
    JINJA_STRING,
    JINJA_LIST,
    JINJA_TUPLE,
    JINJA_VIEW,     /* of a dict's keys, values or items; a range: has a length, cannot be indexed or printed */
    JINJA_ITERATOR, /* gives its items once; has no length */
    JINJA_DICT,
    JINJA_NAMESPACE,
    JINJA_LOOP,
    JINJA_MACRO,
    JINJA_FUNCTION,
    JINJA_METHOD,
    JINJA_KINDS
} jinja_kind;

typedef struct jinja_value {
    jinja_kind kind;
    union {
        int64_t integer; /* BOOL too: 0 or 1 */
        double real;
        const jinja_string *string; /* UNDEFINED: the name of what is missing, or NULL */
        struct jinja_list *list;    /* LIST, TUPLE, VIEW, ITERATOR */
        struct jinja_dict *dict;    /* DICT, NAMESPACE */
        struct jinja_loop *loop;
        const struct jinja_macro *macro;
        const struct jinja_function *function;
        const struct jinja_method *method;
    };
} jinja_value;

typedef struct jinja_list {
    jinja_value *items;
    size_t count, room;
    size_t at;      /* ITERATOR: how many were given */
    int is_range;   /* VIEW: of numbers, which can be indexed */
    int32_t source; /* the message that it stood in, or JINJA_NO_SOURCE */
} jinja_list;

typedef struct jinja_dict {
    jinja_value *keys, *values; /* in the order of insertion */
    size_t count, room;
    int32_t source;
} jinja_dict;

/* What a call is given. */
typedef struct jinja_args {
    const jinja_value *items;
    size_t count;
    const jinja_string *const *names; /* of the last name_count items */
    size_t name_count;
} jinja_args;

/* One rendering: memory, the work that is left, and where the template is. */
typedef struct jinja_run jinja_run;
struct jinja_run {
    jinja_pool pool;
    int64_t steps; /* left; what takes time says so with jinja_spend */
    int depth;     /* of nested evaluation */
    int line;      /* of the template, for errors */
    const struct pawl_jinja *template;
    const char *date; /* "YYYY-MM-DD": today, for the template */
    struct jinja_buffer *out;
    struct jinja_scope *scope;
    jinja_value piped; /* the text of the filter block in hand */
    int flow;          /* a break or continue on its way to its loop */
};

/* An error of the row or the template: "line N: ...". */
#define JINJA_FAIL(r, ...) jinja_fail_((r), __VA_ARGS__)
PAWL_MUST pawl_status jinja_fail_(const jinja_run *r, const char *format, ...) PAWL_PRINTF(2, 3);
/* Errors: EDATA when the template works too long. */
PAWL_MUST pawl_status jinja_spend(jinja_run *r, size_t steps);

/* One level deeper into what calls itself; r->depth-- on the way back. Errors: too deep. */
PAWL_MUST pawl_status jinja_deeper(jinja_run *r);

/* ---- Making values ---- */
static inline jinja_value jinja_of_bool(int x) { return (jinja_value){.kind = JINJA_BOOL, .integer = x != 0}; }
static inline jinja_value jinja_of_int(int64_t x) { return (jinja_value){.kind = JINJA_INT, .integer = x}; }
static inline jinja_value jinja_of_float(double x) { return (jinja_value){.kind = JINJA_FLOAT, .real = x}; }
static inline jinja_value jinja_of_string(const jinja_string *s) { return (jinja_value){.kind = JINJA_STRING, .string = s}; }
static inline jinja_value jinja_undefined(const jinja_string *name) { return (jinja_value){.kind = JINJA_UNDEFINED, .string = name}; }
static inline jinja_value jinja_none(void) { return (jinja_value){.kind = JINJA_NONE}; }

PAWL_MUST pawl_status jinja_list_new(jinja_run *r, jinja_kind kind, size_t room, jinja_value *out);
PAWL_MUST pawl_status jinja_list_add(jinja_run *r, jinja_list *l, jinja_value v);
PAWL_MUST pawl_status jinja_dict_new(jinja_run *r, jinja_kind kind, size_t room, jinja_value *out);
/* Replaces the value of an equal key. */
PAWL_MUST pawl_status jinja_dict_set(jinja_run *r, jinja_dict *d, jinja_value key, jinja_value v);
/* NULL when there is none. */
PAWL_MUST pawl_status jinja_dict_find(jinja_run *r, const jinja_dict *d, jinja_value key, const jinja_value **out);
const jinja_value *jinja_dict_named(const jinja_dict *d, const char *name);
/* The JSON as values; its strings and containers carry source. They point into json, which must outlive the run. */
PAWL_MUST pawl_status jinja_from_json(jinja_run *r, const json_t *json, int32_t source, jinja_value *out);

/* ---- What Python does with values ---- */
const char *jinja_kind_name(jinja_kind k); /* "str", "dict" */
int jinja_truth(jinja_value v);
int jinja_is_number(jinja_value v); /* BOOL, INT, FLOAT */
double jinja_number(jinja_value v);
PAWL_MUST pawl_status jinja_equal(jinja_run *r, jinja_value a, jinja_value b, int *out);
/* -1, 0, 1. Errors: values that Python does not order. */
PAWL_MUST pawl_status jinja_order(jinja_run *r, jinja_value a, jinja_value b, int *out);
PAWL_MUST pawl_status jinja_contains(jinja_run *r, jinja_value container, jinja_value item, int *out);
/* len(); -1: it has none. */
int64_t jinja_length(jinja_value v);
/* The items that iterating gives, as a new list value; an iterator is used up. Errors: not iterable. */
PAWL_MUST pawl_status jinja_items(jinja_run *r, jinja_value v, jinja_value *out);
/* A list, tuple, view, iterator: has l. */
int jinja_is_list(jinja_value v);
/* a + b and so on; op one of + - * / % and 'f' (floor division) and 'p' (power). */
PAWL_MUST pawl_status jinja_arithmetic(jinja_run *r, char op, jinja_value a, jinja_value b, jinja_value *out);
PAWL_MUST pawl_status jinja_item(jinja_run *r, jinja_value of, jinja_value key, jinja_value *out);
PAWL_MUST pawl_status jinja_attribute(jinja_run *r, jinja_value of, const jinja_string *name, jinja_value *out);
/* of[first:end:step]; JINJA_NONE for what is left out. */
PAWL_MUST pawl_status jinja_slice(jinja_run *r, jinja_value of, const jinja_value part[3], jinja_value *out);

/* ---- Printing ---- */
typedef struct jinja_buffer {
    char *data;
    size_t bytes, room;
    jinja_mark *marks;
    size_t mark_count, mark_room;
} jinja_buffer;
PAWL_MUST pawl_status jinja_put(jinja_run *r, jinja_buffer *b, const char *data, size_t bytes);
PAWL_MUST pawl_status jinja_put_words(jinja_run *r, jinja_buffer *b, const char *words);
PAWL_MUST pawl_status jinja_put_string(jinja_run *r, jinja_buffer *b, const jinja_string *s); /* with its marks */
PAWL_MUST pawl_status jinja_put_mark(jinja_run *r, jinja_buffer *b, size_t first, size_t end, int32_t source);
PAWL_MUST pawl_status jinja_buffer_string(jinja_run *r, jinja_buffer *b, jinja_value *out);
/* str(v) and repr(v), appended. */
PAWL_MUST pawl_status jinja_print(jinja_run *r, jinja_buffer *b, jinja_value v);
PAWL_MUST pawl_status jinja_repr(jinja_run *r, jinja_buffer *b, jinja_value v);
/* str(v) as a string (v itself when it is one). */
PAWL_MUST pawl_status jinja_to_string(jinja_run *r, jinja_value v, const jinja_string **out);

typedef struct jinja_json_style {
    int ascii, sort, pretty;
    const jinja_string *indent, *item, *key; /* one level of indent; separators behind items and keys; NULL: the default */
} jinja_json_style;
PAWL_MUST pawl_status jinja_tojson(jinja_run *r, jinja_buffer *b, jinja_value v, const jinja_json_style *style);
/* As Python's repr: "1.0", "1e-05", "inf". */
void jinja_format_real(double x, char out[32]);

/* ---- Strings ---- */
PAWL_MUST pawl_status jinja_string_new(jinja_run *r, const char *data, size_t bytes, jinja_value *out); /* not copied */
PAWL_MUST pawl_status jinja_string_add(jinja_run *r, const jinja_string *a, const jinja_string *b, jinja_value *out);
/* Bytes [first, end) of s, with their marks. */
PAWL_MUST pawl_status jinja_string_cut(jinja_run *r, const jinja_string *s, size_t first, size_t end, jinja_value *out);
/* The source that all of s came from; JINJA_NO_SOURCE when it has none. */
int32_t jinja_string_source(const jinja_string *s);
size_t jinja_char_bytes(char lead);
/* The byte at which character `index` begins. */
size_t jinja_char_at(const jinja_string *s, size_t index);
int jinja_string_is(const jinja_string *s, const char *words);
int jinja_string_order(const jinja_string *a, const jinja_string *b);
/* The place of what in s[from, ...), in bytes; SIZE_MAX when there is none. */
size_t jinja_string_find(const jinja_string *s, const jinja_string *what, size_t from);
/* Bytes at the beginning (or, from the end) that str.strip takes; chars NULL: white space. */
size_t jinja_strip_first(const jinja_string *s, const jinja_string *chars);
size_t jinja_strip_end(const jinja_string *s, const jinja_string *chars, size_t first);
/* Bytes of a line end as Python's str.splitlines knows them at data, which has `left` bytes; 0: there is none. */
size_t jinja_line_end_bytes(const char *data, size_t left);
/* Whether Python's str.isspace holds for the character at data, and its bytes. */
int jinja_space_at(const char *data, size_t bytes, size_t *taken);
PAWL_MUST pawl_status jinja_replace(jinja_run *r, const jinja_string *s, const jinja_string *old, const jinja_string *new,
                                    int64_t most, jinja_value *out);

typedef enum jinja_case { JINJA_UPPER, JINJA_LOWER, JINJA_CAPITALIZE, JINJA_TITLE } jinja_case;
PAWL_MUST pawl_status jinja_change_case(jinja_run *r, const jinja_string *s, jinja_case how, jinja_value *out);

#endif
