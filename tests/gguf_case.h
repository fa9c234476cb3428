/* tests/gguf_case.h - GGUF files made by hand, whole or broken, for the tests of what reads them. */
#ifndef PAWL_TESTS_GGUF_CASE_H
#define PAWL_TESTS_GGUF_CASE_H

#include <stdint.h>
#include <string.h>

#include "core/file.h"
#include "core/text.h"

enum { G_U32 = 4, G_I32 = 5, G_F32 = 6, G_BOOL = 7, G_STRING = 8, G_LIST = 9 };

static inline void g_word(pawl_text *f, uint64_t x, int bytes)
{
    for (int i = 0; i < bytes; i++) {
        const uint8_t b = (uint8_t)(x >> 8 * i);
        pawl_text_add_bytes(f, &b, 1);
    }
}

static inline void g_string(pawl_text *f, const char *s)
{
    g_word(f, strlen(s), 8);
    pawl_text_add_bytes(f, s, strlen(s));
}

static inline void g_head(pawl_text *f, uint64_t tensors, uint64_t keys)
{
    pawl_text_add_bytes(f, "GGUF", 4);
    g_word(f, 3, 4);
    g_word(f, tensors, 8);
    g_word(f, keys, 8);
}

static inline void g_key(pawl_text *f, const char *key, uint32_t kind)
{
    g_string(f, key);
    g_word(f, kind, 4);
}

static inline void g_u32(pawl_text *f, const char *key, uint32_t x)
{
    g_key(f, key, G_U32);
    g_word(f, x, 4);
}

static inline void g_f32(pawl_text *f, const char *key, float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    g_key(f, key, G_F32);
    g_word(f, bits, 4);
}

static inline void g_flag(pawl_text *f, const char *key, int x)
{
    g_key(f, key, G_BOOL);
    g_word(f, (uint64_t)x, 1);
}

static inline void g_text(pawl_text *f, const char *key, const char *value)
{
    g_key(f, key, G_STRING);
    g_string(f, value);
}

static inline void g_list(pawl_text *f, const char *key, uint32_t kind, uint64_t count)
{
    g_key(f, key, G_LIST);
    g_word(f, kind, 4);
    g_word(f, count, 8);
}

static inline void g_texts(pawl_text *f, const char *key, const char *const *values, int count)
{
    g_list(f, key, G_STRING, (uint64_t)count);
    for (int i = 0; i < count; i++) g_string(f, values[i]);
}

/* dims as files state them: fastest first. */
static inline void g_tensor(pawl_text *f, const char *name, int ndim, const uint64_t *dims, uint32_t type,
                            uint64_t offset)
{
    g_string(f, name);
    g_word(f, (uint64_t)ndim, 4);
    for (int i = 0; i < ndim; i++) g_word(f, dims[i], 8);
    g_word(f, type, 4);
    g_word(f, offset, 8);
}

static inline void g_pad(pawl_text *f, size_t alignment)
{
    while (f->bytes % alignment) g_word(f, 0, 1);
}

#endif
