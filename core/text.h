/* core/text.h - text that grows up to a stated maximum, numbers out of text, and the nearest known word. */
#ifndef PAWL_CORE_TEXT_H
#define PAWL_CORE_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Always NUL-terminated once something was added. An addition that fails sets `failed` and later ones do nothing, so a
 * builder may add many pieces and ask once, with pawl_text_status. */
typedef struct pawl_text {
    char *data;
    size_t bytes, room, max; /* max 0: PAWL_TEXT_MAX */
    int failed;
} pawl_text;

enum { PAWL_TEXT_MAX = 1 << 28 };

void pawl_text_add(pawl_text *t, const char *format, ...) PAWL_PRINTF(2, 3);
void pawl_text_add_bytes(pawl_text *t, const void *data, size_t bytes);
/* Bytes as UTF-8: what is not valid becomes U+FFFD, one for each maximal part, as Unicode recommends. */
void pawl_text_add_utf8(pawl_text *t, const void *data, size_t bytes);
PAWL_MUST pawl_status pawl_text_status(const pawl_text *t);
void pawl_text_close(pawl_text *t);

/* The whole of s as a number; 0 when it is not one (trailing letters, out of range, empty). Integers may be written
 * 1_000_000; a number written 1e6 counts as an integer when it is one. NaN and infinities are refused. */
int pawl_parse_i64(const char *s, int64_t *out);
int pawl_parse_f64(const char *s, double *out);

/* Shortest decimal text that reads back to the same double: "0.1", "1e-08", "300". */
void pawl_format_f64(double x, char out[32]);
/* 1536 -> "1.5 KiB". */
void pawl_format_bytes(double bytes, char out[32]);
/* "0:09", "12:30", "3:00:59". */
void pawl_format_seconds(double seconds, char out[32]);

/* Edits (insert, delete, replace, swap of neighbours) that make b of a; words longer than 63 bytes count as far apart. */
int pawl_edit_distance(const char *a, const char *b);
/* The nearest of words (a NULL ends them) to what was typed, or NULL when none is near enough to suggest. */
const char *pawl_nearest(const char *typed, const char *const *words);

#ifdef __cplusplus
}
#endif
#endif
