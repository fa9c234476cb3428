/* core/fields.h - a knob is one row: from it come the struct member, default, parser, range check, --help,
 * docs/configuration.md, JSON Schema and the resolved dump.
 *
 * A folder declares its section as a list macro in its public header,
 *
 *     #define PAWL_OPTIM_FIELDS(F, C, T)                                                                       \
 *         C(optimizer,     "adamw", pawl_optimizer_names, FIXED, "update rule")                               \
 *         F(f64, learning_rate, NULL, 1e-12, 1, "", FIXED, "peak learning rate")                             \
 *         T(run_name,      "", 128, FREE, "name of the run in logs")
 *
 * (F numbers and flags, A a whole number that may be left to the program, N a number that may be null, C one of some words, D the same or null, T a text, W a list of texts, L a list of records, R a record or null),
 *
 *     typedef struct pawl_optim_config { PAWL_OPTIM_FIELDS(PAWL_MEMBER_F, PAWL_MEMBER_C, PAWL_MEMBER_T) } pawl_optim_config;
 *
 * and defines the rows once in a .c file with PAWL_ROW_F and friends (PAWL_SECTION names the struct). Structs are plain
 * bytes: they are broadcast and hashed whole, so texts are arrays inside them and lists have a stated maximum. */
#ifndef PAWL_CORE_FIELDS_H
#define PAWL_CORE_FIELDS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "core/json.h"
#include "core/status.h"
#include "core/text.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef int64_t pawl_i64;
typedef double pawl_f64;
typedef int32_t pawl_flag; /* true | false */

typedef enum pawl_kind {
    PAWL_KIND_i64,
    PAWL_KIND_f64,
    PAWL_KIND_flag,
    PAWL_KIND_choice, /* int32_t: index into choices */
    PAWL_KIND_text,   /* char[room] */
    PAWL_KIND_texts,  /* struct { int32_t count; char items[most][room]; } */
    PAWL_KIND_list,   /* of records: struct { int32_t count; RECORD items[most]; } */
    PAWL_KIND_record  /* of rows:    struct { int32_t present; RECORD value; } */
} pawl_kind;

/* Whether a row may differ when a run is resumed: FIXED enters the numbers, FREE does not (contracts.md, Resuming). */
typedef enum pawl_change { PAWL_CHANGE_FIXED, PAWL_CHANGE_FREE } pawl_change;

typedef struct pawl_field {
    const char *key;
    pawl_kind kind;
    size_t at;           /* offset in the section's struct */
    const char *dflt;    /* as text, through the same parser as YAML; NULL: the key is required */
    double lo, hi;       /* numbers: both ends allowed */
    const char *unit;    /* "steps", "tokens"; "" when there is none */
    int may_be_auto;     /* i64: the word auto is taken too, and stands for PAWL_AUTO, which is below lo */
    int may_be_null;     /* i64, f64, choice: null is taken too, and stands for PAWL_NONE_i64, PAWL_NONE_f64, PAWL_NONE */
    const char *const *choices; /* choice: names, ended by NULL */
    size_t room;         /* text, texts: bytes with the NUL; list and record: bytes of one RECORD */
    int most;            /* list, texts: items at most */
    size_t body_at;      /* list, texts and record: offset of the first item behind `at` */
    const struct pawl_field *fields; /* list and record: rows of the RECORD, ended by key NULL */
    pawl_change change;
    const char *doc;
} pawl_field;

enum { PAWL_AUTO = 0 };
/* What null stands for, in each kind of member. */
#define PAWL_NONE (-1)
#define PAWL_NONE_i64 INT64_MIN
#define PAWL_NONE_f64 (-HUGE_VAL)
/* x, or dflt where x is null. */
static inline int64_t pawl_i64_or(int64_t x, int64_t dflt)
{
    return x == PAWL_NONE_i64 ? dflt : x;
}
static inline double pawl_f64_or(double x, double dflt)
{
    return x == PAWL_NONE_f64 ? dflt : x;
}
static inline int32_t pawl_choice_or(int32_t x, int32_t dflt)
{
    return x == PAWL_NONE ? dflt : x;
}

/* The two ways a row is read: as a member ... */
#define PAWL_MEMBER_F(type, key, dflt, lo, hi, unit, change, doc) pawl_##type key;
#define PAWL_MEMBER_A(key, dflt, lo, hi, unit, change, doc) pawl_i64 key;
#define PAWL_MEMBER_N(type, key, lo, hi, unit, change, doc) pawl_##type key;
#define PAWL_MEMBER_D(key, choices, change, doc) int32_t key;
#define PAWL_MEMBER_C(key, dflt, choices, change, doc) int32_t key;
#define PAWL_MEMBER_T(key, dflt, room, change, doc) char key[room];
#define PAWL_MEMBER_W(key, dflt, most, room, change, doc) struct { int32_t count; char items[most][room]; } key;
#define PAWL_MEMBER_L(key, record, most, rows, change, doc) struct { int32_t count; record items[most]; } key;
#define PAWL_MEMBER_R(key, record, rows, change, doc) struct { int32_t present; record value; } key;

/* ... and as a row of the table. */
#define PAWL_ROW_F(type, key_, dflt_, lo_, hi_, unit_, change_, doc_)                                           \
    {.key = #key_, .kind = PAWL_KIND_##type, .at = offsetof(PAWL_SECTION, key_), .dflt = dflt_, .lo = lo_,      \
     .hi = hi_, .unit = unit_, .change = PAWL_CHANGE_##change_, .doc = doc_},
#define PAWL_ROW_A(key_, dflt_, lo_, hi_, unit_, change_, doc_)                                                 \
    {.key = #key_, .kind = PAWL_KIND_i64, .at = offsetof(PAWL_SECTION, key_), .dflt = dflt_, .lo = lo_,         \
     .hi = hi_, .unit = unit_, .may_be_auto = 1, .change = PAWL_CHANGE_##change_, .doc = doc_},
#define PAWL_ROW_N(type, key_, lo_, hi_, unit_, change_, doc_)                                                   \
    {.key = #key_, .kind = PAWL_KIND_##type, .at = offsetof(PAWL_SECTION, key_), .dflt = "null", .lo = lo_,      \
     .hi = hi_, .unit = unit_, .may_be_null = 1, .change = PAWL_CHANGE_##change_, .doc = doc_},
#define PAWL_ROW_D(key_, choices_, change_, doc_)                                                               \
    {.key = #key_, .kind = PAWL_KIND_choice, .at = offsetof(PAWL_SECTION, key_), .dflt = "null", .unit = "",    \
     .choices = choices_, .may_be_null = 1, .change = PAWL_CHANGE_##change_, .doc = doc_},
#define PAWL_ROW_C(key_, dflt_, choices_, change_, doc_)                                                        \
    {.key = #key_, .kind = PAWL_KIND_choice, .at = offsetof(PAWL_SECTION, key_), .dflt = dflt_, .unit = "",     \
     .choices = choices_, .change = PAWL_CHANGE_##change_, .doc = doc_},
#define PAWL_ROW_T(key_, dflt_, room_, change_, doc_)                                                           \
    {.key = #key_, .kind = PAWL_KIND_text, .at = offsetof(PAWL_SECTION, key_), .dflt = dflt_, .unit = "",       \
     .room = room_, .change = PAWL_CHANGE_##change_, .doc = doc_},
#define PAWL_ROW_W(key_, dflt_, most_, room_, change_, doc_)                                                    \
    {.key = #key_, .kind = PAWL_KIND_texts, .at = offsetof(PAWL_SECTION, key_), .dflt = dflt_, .unit = "",      \
     .room = room_, .most = most_,                                                                              \
     .body_at = offsetof(PAWL_SECTION, key_.items) - offsetof(PAWL_SECTION, key_),                              \
     .change = PAWL_CHANGE_##change_, .doc = doc_},
#define PAWL_ROW_L(key_, record_, most_, rows_, change_, doc_)                                                  \
    {.key = #key_, .kind = PAWL_KIND_list, .at = offsetof(PAWL_SECTION, key_), .dflt = "", .unit = "",          \
     .room = sizeof(record_), .most = most_,                                                                    \
     .body_at = offsetof(PAWL_SECTION, key_.items) - offsetof(PAWL_SECTION, key_), .fields = rows_,             \
     .change = PAWL_CHANGE_##change_, .doc = doc_},
#define PAWL_ROW_R(key_, record_, rows_, change_, doc_)                                                         \
    {.key = #key_, .kind = PAWL_KIND_record, .at = offsetof(PAWL_SECTION, key_), .dflt = "", .unit = "",        \
     .room = sizeof(record_),                                                                                   \
     .body_at = offsetof(PAWL_SECTION, key_.value) - offsetof(PAWL_SECTION, key_), .fields = rows_,             \
     .change = PAWL_CHANGE_##change_, .doc = doc_},
#define PAWL_ROW_END {.key = NULL}

/* Sets every member to its default (lists empty, records absent; a required key to zero). */
void pawl_fields_default(const pawl_field *rows, void *section);

/* What a row expects, as words for an error: "a whole number in [0, 1e12] steps"; and a number's range alone: "[0, 1e12]". */
void pawl_field_expects(const pawl_field *row, char *out, size_t room);
void pawl_field_range(const pawl_field *row, char *out, size_t room);

/* Puts one scalar, given as text, into its member, checked. On failure `why` says what was expected and found, as in
 * "expected a number in [0, 1], found '3'"; the member is untouched. Returns 1 when it was taken. */
int pawl_field_set(const pawl_field *row, void *section, const char *text, char *why, size_t room);

/* How many bytes at text would break the line they are shown on, or that YAML cannot hold; 0: none. Texts of fields have none of them. */
int pawl_unprintable(const char *text);

/* Appends one text to a list of texts, checked as by pawl_field_set; the list is untouched when it is refused. */
int pawl_field_append(const pawl_field *row, void *section, const char *text, char *why, size_t room);

/* The member as text that pawl_field_set reads back to the same value (scalars only). */
void pawl_field_get(const pawl_field *row, const void *section, char *out, size_t room);

/* A list's count or a record's presence (0 or 1), and one of its items (a record has item 0 only). */
int pawl_field_count(const pawl_field *row, const void *section);
const void *pawl_field_item(const pawl_field *row, const void *section, int item);
/* The JSON value that the row's default stands for; null for a required key and an absent record. */
json_t *pawl_field_default_json(const pawl_field *row);

/* The section as JSON: every key of rows, lists as arrays, absent records as null. json_decref it. */
PAWL_MUST pawl_status pawl_fields_json(const pawl_field *rows, const void *section, json_t **out);

/* Reads what pawl_fields_json wrote (sections without lists of records). A key that an older version did not know stands at
 * its default; a key without one must be there. where names it in errors. Errors: EDATA. */
PAWL_MUST pawl_status pawl_fields_from_json(const pawl_field *rows, const json_t *json, const char *where, void *section);

/* Appends a line "key: before -> after" for each key that differs, FIXED keys only when fixed_only; of a record that
 * came or went those of its keys that are not at their defaults. Returns how many. */
int pawl_fields_diff(const pawl_field *rows, const char *prefix, const json_t *before, const json_t *after, int fixed_only,
                     pawl_text *out);

#ifdef __cplusplus
}
#endif
#endif
