/* data/jinja/jinja.h - chat templates: the part of Jinja 3 that they are written in, as transformers runs it (trim_blocks,
 * lstrip_blocks, break and continue, generation blocks, an immutable sandbox), in bounded time and memory.
 *
 * Nothing of a template reaches outside: no files, no imports, no clock. What is not computed is refused with its line. */
#ifndef PAWL_DATA_JINJA_H
#define PAWL_DATA_JINJA_H

#include "core/json.h"

typedef struct pawl_jinja pawl_jinja;

enum {
    PAWL_JINJA_TEXT_MAX = 1 << 20,  /* bytes of a template */
    PAWL_JINJA_POOL_MAX = 256 << 20 /* bytes that reading a template or rendering a row may take */
};

/* where names it in errors and must outlive it. Errors: EUSAGE as where:line. */
PAWL_MUST pawl_status pawl_jinja_open(const char *text, size_t bytes, const char *where, pawl_jinja **out);
void pawl_jinja_close(pawl_jinja *t);
/* 1: the template marks by {% generation %} what the assistant writes. */
int pawl_jinja_has_generation(const pawl_jinja *t);

enum { PAWL_JINJA_VARIABLES_MAX = 64 };

typedef struct pawl_jinja_variable {
    const char *name;
    const json_t *value;
    int is_messages; /* 1: a list of objects, whose members but `role` are marked with the object's place */
} pawl_jinja_variable;

/* Where in the text something of a message stands (source: its place), or a generation block (PAWL_JINJA_GENERATION). */
enum { PAWL_JINJA_GENERATION = -2 };
typedef struct pawl_jinja_piece { int64_t first, end; int32_t source; } pawl_jinja_piece;

typedef struct pawl_jinja_output {
    pawl_text text;
    pawl_jinja_piece *pieces; /* in the order of first, then end */
    int64_t count, room;
} pawl_jinja_output;
void pawl_jinja_output_close(pawl_jinja_output *o);

/* Replaces out's content. date: "YYYY-MM-DD", today for the template. Errors: EDATA, a sentence that names the template's
 * line. */
PAWL_MUST pawl_status pawl_jinja_render(const pawl_jinja *t, const pawl_jinja_variable *variables, int count,
                                        const char *date, pawl_jinja_output *out);

#endif
