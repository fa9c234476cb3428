/* core/tensor.h - a view of numbers in memory: where, of what type, in which shape. Never owns, never frees. */
#ifndef PAWL_CORE_TENSOR_H
#define PAWL_CORE_TENSOR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* name, bytes, name in safetensors, name in manifests */
#define PAWL_DTYPE_LIST(X)      \
    X(F32, 4, "F32", "f32")     \
    X(BF16, 2, "BF16", "bf16")  \
    X(F16, 2, "F16", "f16")     \
    X(F64, 8, "F64", "f64")     \
    X(I64, 8, "I64", "i64")     \
    X(I32, 4, "I32", "i32")     \
    X(U8, 1, "U8", "u8")        \
    X(BOOL, 1, "BOOL", "bool")  \
    X(U16, 2, "U16", "u16")

#define PAWL_DTYPE_ENUM(name, bytes, safetensors, wire) PAWL_##name,
typedef enum pawl_dtype { PAWL_DTYPE_LIST(PAWL_DTYPE_ENUM) PAWL_DTYPE_COUNT } pawl_dtype;

enum { PAWL_MAX_NDIM = 4 };

typedef struct pawl_tensor {
    void *data;
    pawl_dtype dtype;
    int ndim;
    int64_t dim[PAWL_MAX_NDIM]; /* row-major, contiguous */
} pawl_tensor;

size_t pawl_dtype_bytes(pawl_dtype t);
const char *pawl_dtype_name(pawl_dtype t);        /* "bf16" */
const char *pawl_dtype_safetensors(pawl_dtype t); /* "BF16" */
/* The type of that name, in either spelling; PAWL_DTYPE_COUNT when there is none. */
pawl_dtype pawl_dtype_named(const char *name);

int64_t pawl_tensor_count(pawl_tensor t); /* elements */
size_t pawl_tensor_bytes(pawl_tensor t);

/* count numbers from one float type to another, to nearest even; NaN stays NaN. Local. from and to do not overlap. */
void pawl_convert(const void *from, pawl_dtype from_type, void *to, pawl_dtype to_type, int64_t count);

#ifdef __cplusplus
}
#endif
#endif
