/* core/gguf_file.h - what core/gguf.c has found in a file, for core/gguf_keys.c. Others use core/gguf.h. */
#ifndef PAWL_CORE_GGUF_FILE_H
#define PAWL_CORE_GGUF_FILE_H

#include <limits.h>

#include "core/gguf.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { PAWL_GGUF_KEY_MAX = 256 };

/* Kinds of values, numbered as in files: name, bytes (0: not of fixed size). */
#define PAWL_GGUF_VALUE_LIST(X)                                                                                        \
    X(U8, "u8", 1)                                                                                                     \
    X(I8, "i8", 1)                                                                                                     \
    X(U16, "u16", 2)                                                                                                   \
    X(I16, "i16", 2)                                                                                                   \
    X(U32, "u32", 4)                                                                                                   \
    X(I32, "i32", 4)                                                                                                   \
    X(F32, "f32", 4)                                                                                                   \
    X(BOOL, "bool", 1)                                                                                                 \
    X(STRING, "string", 0)                                                                                             \
    X(LIST, "list", 0)                                                                                                 \
    X(U64, "u64", 8)                                                                                                   \
    X(I64, "i64", 8)                                                                                                   \
    X(F64, "f64", 8)

#define PAWL_GGUF_VALUE_ENUM(name, text, bytes) PAWL_GGUF_##name,
typedef enum pawl_gguf_value { PAWL_GGUF_VALUE_LIST(PAWL_GGUF_VALUE_ENUM) PAWL_GGUF_VALUES } pawl_gguf_value;

typedef struct pawl_gguf_pair {
    char key[PAWL_GGUF_KEY_MAX];
    pawl_gguf_value kind; /* of the value, or of a list's elements */
    int is_list;
    int64_t count;       /* 1, or the elements of a list */
    const uint8_t *data; /* of the value, or of the first element; checked to lie in the file */
} pawl_gguf_pair;

struct pawl_gguf {
    char path[PATH_MAX];
    const uint8_t *data;
    size_t bytes;
    pawl_gguf_pair *pairs; /* by key */
    pawl_gguf_tensor *tensors;
    int pair_count, tensor_count;
    int *by_name; /* tensors */
};

size_t pawl_gguf_value_bytes(pawl_gguf_value kind);
/* Little-endian, of that many bytes. */
uint64_t pawl_gguf_word(const uint8_t *p, size_t bytes);
const pawl_gguf_pair *pawl_gguf_pair_of(const pawl_gguf *g, const char *key);

#ifdef __cplusplus
}
#endif
#endif
