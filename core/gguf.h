/* core/gguf.h - the GGUF container (versions 2 and 3, little endian): keys, tensors, and their blocks as numbers.
 *
 * A file is mapped and walked once when it is opened: every count, length, type, alignment, extent and overlap is
 * checked before anything is handed out. Source: the GGUF specification of the ggml project. */
#ifndef PAWL_CORE_GGUF_H
#define PAWL_CORE_GGUF_H

#include "core/hash.h"
#include "core/state.h"
#include "core/text.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pawl_gguf pawl_gguf;

/* Types of tensors that are read: name, number in files, numbers in a block, bytes of a block. */
#define PAWL_GGUF_TYPE_LIST(X)                                                                                         \
    X(F32, 0, 1, 4)                                                                                                    \
    X(F16, 1, 1, 2)                                                                                                    \
    X(Q4_0, 2, 32, 18)                                                                                                 \
    X(Q4_1, 3, 32, 20)                                                                                                 \
    X(Q5_0, 6, 32, 22)                                                                                                 \
    X(Q5_1, 7, 32, 24)                                                                                                 \
    X(Q8_0, 8, 32, 34)                                                                                                 \
    X(Q2_K, 10, 256, 84)                                                                                               \
    X(Q3_K, 11, 256, 110)                                                                                              \
    X(Q4_K, 12, 256, 144)                                                                                              \
    X(Q5_K, 13, 256, 176)                                                                                              \
    X(Q6_K, 14, 256, 210)                                                                                              \
    X(Q8_K, 15, 256, 292)                                                                                              \
    X(BF16, 30, 1, 2)

typedef struct pawl_gguf_type {
    const char *name;
    uint32_t number;
    int block, bytes;
    void (*floats)(const uint8_t *blocks, int64_t count, float *out); /* count blocks */
} pawl_gguf_type;

/* The type of that number or of that name, or NULL when it is not read. */
const pawl_gguf_type *pawl_gguf_type_numbered(uint32_t number);
const pawl_gguf_type *pawl_gguf_type_named(const char *name);

typedef struct pawl_gguf_tensor {
    char name[PAWL_NAME_MAX];
    const pawl_gguf_type *type;
    int ndim;
    int64_t dim[PAWL_MAX_NDIM]; /* row-major, as everywhere in pawl: the file states them the other way round */
    int64_t count;              /* numbers */
    const uint8_t *data;
    size_t bytes;
} pawl_gguf_tensor;

/* Text in the mapped file: no NUL behind it, and any bytes in it. */
typedef struct pawl_gguf_text {
    const char *data;
    size_t bytes;
} pawl_gguf_text;

/* Errors: EDATA naming file and key or tensor; EIO. */
PAWL_MUST pawl_status pawl_gguf_open(const char *path, pawl_gguf **out);
void pawl_gguf_close(pawl_gguf *g);
const char *pawl_gguf_path(const pawl_gguf *g);
/* The SHA-256 and length of the whole file. */
pawl_digest pawl_gguf_digest(const pawl_gguf *g, size_t *bytes);

/* Tensors, in the order of the file. */
int pawl_gguf_count(const pawl_gguf *g);
const pawl_gguf_tensor *pawl_gguf_at(const pawl_gguf *g, int i);
const pawl_gguf_tensor *pawl_gguf_find(const pawl_gguf *g, const char *name);
/* Numbers [first, first + count) of t; both are multiples of its block. */
void pawl_gguf_floats(const pawl_gguf_tensor *t, int64_t first, int64_t count, float *out);

/* Keys, in byte order. */
int pawl_gguf_keys(const pawl_gguf *g);
const char *pawl_gguf_key(const pawl_gguf *g, int i);
int pawl_gguf_has(const pawl_gguf *g, const char *key);
/* Elements of a list; 1 for another value, 0 where there is none. */
int64_t pawl_gguf_length(const pawl_gguf *g, const char *key);
/* Appends a value as people would read it, cut short. */
void pawl_gguf_show(const pawl_gguf *g, const char *key, pawl_text *out);

/* The value of a key, checked. Without a default the key must be there. Integers of every width are one, and so are
 * floats; a list of equal integers stands for one (counts that a file may state per layer).
 * Errors: EDATA naming file and key, what was expected and what was found. */
PAWL_MUST pawl_status pawl_gguf_i64(const pawl_gguf *g, const char *key, int64_t lo, int64_t hi, int64_t *out);
PAWL_MUST pawl_status pawl_gguf_i64_or(const pawl_gguf *g, const char *key, int64_t lo, int64_t hi, int64_t dflt,
                                       int64_t *out);
PAWL_MUST pawl_status pawl_gguf_f64(const pawl_gguf *g, const char *key, double *out); /* finite */
PAWL_MUST pawl_status pawl_gguf_f64_or(const pawl_gguf *g, const char *key, double dflt, double *out);
PAWL_MUST pawl_status pawl_gguf_flag_or(const pawl_gguf *g, const char *key, int dflt, int *out);
PAWL_MUST pawl_status pawl_gguf_string(const pawl_gguf *g, const char *key, pawl_gguf_text *out);
/* Whether it is that text. */
int pawl_gguf_is(const pawl_gguf *g, const char *key, const char *value);

/* Lists; pawl_free *out. An empty one is NULL with count 0. */
PAWL_MUST pawl_status pawl_gguf_strings(const pawl_gguf *g, const char *key, pawl_gguf_text **out, int64_t *count);
PAWL_MUST pawl_status pawl_gguf_integers(const pawl_gguf *g, const char *key, int64_t **out, int64_t *count);
PAWL_MUST pawl_status pawl_gguf_numbers(const pawl_gguf *g, const char *key, double **out, int64_t *count);

#ifdef __cplusplus
}
#endif
#endif
