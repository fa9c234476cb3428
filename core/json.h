/* core/json.h - JSON through jansson: parsing with positions, and the canonical form that digests are taken of. */
#ifndef PAWL_CORE_JSON_H
#define PAWL_CORE_JSON_H

#include <jansson.h>

#include "core/status.h"
#include "core/text.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Parses text (duplicate keys refused, at most max_depth levels of nesting as jansson bounds it); json_decref it.
 * where names the text in errors. Errors: EDATA, as where:line:column. */
PAWL_MUST pawl_status pawl_json_parse(const char *text, size_t bytes, const char *where, json_t **out);
PAWL_MUST pawl_status pawl_json_read(const char *path, size_t max_bytes, json_t **out);
/* The same with every number as a real, so that whole numbers of any size can be read (transformers writes
 * "model_max_length": 1000000000000000019884624838656). */
PAWL_MUST pawl_status pawl_json_read_real(const char *path, size_t max_bytes, json_t **out);

/* A finite number as ECMAScript and so RFC 8785 write it: the fewest digits that read back, "10", "0.000001", "1e-7", "1e+21". */
void pawl_json_number(double x, char out[32]);

/* Appends the canonical form: RFC 8785 (keys sorted by UTF-16 code units, ECMAScript numbers, no white space). */
PAWL_MUST pawl_status pawl_json_canonical(const json_t *value, pawl_text *out);
/* Appends an indented form for people, keys in the order they were set. */
PAWL_MUST pawl_status pawl_json_pretty(const json_t *value, pawl_text *out);
/* Makes dir/name hold that form and a line's end, or what it held before. Errors: EIO; EMEM. */
PAWL_MUST pawl_status pawl_json_write(const char *dir, const char *name, const json_t *value);

/* The member of that key, checked. where names the file. Errors: EDATA, naming where and key. */
PAWL_MUST pawl_status pawl_json_text(const json_t *object, const char *key, const char *where, const char **out);
PAWL_MUST pawl_status pawl_json_i64(const json_t *object, const char *key, const char *where, int64_t lo, int64_t hi, int64_t *out);
PAWL_MUST pawl_status pawl_json_object(const json_t *object, const char *key, const char *where, json_t **out);
PAWL_MUST pawl_status pawl_json_array(const json_t *object, const char *key, const char *where, json_t **out);

#ifdef __cplusplus
}
#endif
#endif
