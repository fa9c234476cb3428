/* ops/checks.h - private to ops/: what every checked call asks of its arguments. */
#ifndef PAWL_OPS_CHECKS_H
#define PAWL_OPS_CHECKS_H

#include "ops/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What an argument has to be. */
typedef struct argument {
    const char *name;
    pawl_tensor tensor;
    pawl_dtype dtype;
    int64_t rows, columns; /* columns is the last dimension, rows the product of the others; rows 0: a vector */
} argument;

static inline pawl_status check_one(const char *op, const argument *a)
{
    const pawl_tensor t = a->tensor;
    PAWL_CHECK(t.data, PAWL_EBUG, "%s: %s has no data", op, a->name);
    PAWL_CHECK(t.dtype == a->dtype, PAWL_EBUG, "%s: %s is %s, expected %s", op, a->name, pawl_dtype_name(t.dtype),
               pawl_dtype_name(a->dtype));
    PAWL_CHECK(t.ndim >= 1 && t.ndim <= PAWL_MAX_NDIM, PAWL_EBUG, "%s: %s has %d dimensions", op, a->name, t.ndim);
    const int64_t count = pawl_tensor_count(t), columns = t.dim[t.ndim - 1];
    PAWL_CHECK(count > 0, PAWL_EBUG, "%s: %s is empty", op, a->name);
    if (a->rows == 0)
        PAWL_CHECK(count == a->columns, PAWL_EBUG, "%s: %s has %ld numbers, expected %ld", op, a->name, (long)count,
                   (long)a->columns);
    else
        PAWL_CHECK(columns == a->columns && count == a->rows * a->columns, PAWL_EBUG,
                   "%s: %s is [%ld, %ld], expected [%ld, %ld]", op, a->name, (long)(count / columns), (long)columns,
                   (long)a->rows, (long)a->columns);
    return PAWL_OK;
}

static inline pawl_status check_all(const char *op, const argument *list, size_t count)
{
    for (size_t i = 0; i < count; i++) PAWL_TRY(check_one(op, &list[i]));
    return PAWL_OK;
}

#define CHECK_ALL(op, ...)                                                                                             \
    do {                                                                                                               \
        const argument list_[] = {__VA_ARGS__};                                                                        \
        PAWL_TRY(check_all((op), list_, sizeof list_ / sizeof *list_));                                                \
    } while (0)
/* clang-format off */
#define MATRIX(t, rows, columns) {#t, t, PAWL_F32, rows, columns}
#define VECTOR(t, count) {#t, t, PAWL_F32, 0, count}
#define INDICES(t, count) {#t, t, PAWL_I32, 0, count}
/* f32 or bf16; and of the type of another, which is one of these */
#define EITHER(t, rows, columns) {#t, t, (t).dtype == PAWL_BF16 ? PAWL_BF16 : PAWL_F32, rows, columns}
#define LIKE(t, other, rows, columns) {#t, t, (other).dtype == PAWL_BF16 ? PAWL_BF16 : PAWL_F32, rows, columns}
#define EITHER_VECTOR(t, count) EITHER(t, 0, count)
#define LIKE_VECTOR(t, other, count) LIKE(t, other, 0, count)
/* clang-format on */

static inline int64_t last_dim(pawl_tensor t)
{
    return t.ndim >= 1 && t.ndim <= PAWL_MAX_NDIM ? t.dim[t.ndim - 1] : 0;
}

/* Rows of a tensor seen as a matrix; 0 for a tensor that check_one refuses. */
static inline int64_t rows_of(pawl_tensor t)
{
    return last_dim(t) > 0 ? pawl_tensor_count(t) / last_dim(t) : 0;
}

static inline pawl_status check_matrix(const char *op, const char *name, pawl_tensor t)
{
    PAWL_CHECK(t.ndim >= 2 && rows_of(t) > 0, PAWL_EBUG, "%s: %s is not a matrix", op, name);
    return PAWL_OK;
}

static inline pawl_status check_part(const char *op, int64_t first, int64_t columns, int64_t width)
{
    PAWL_CHECK(first >= 0 && columns > 0 && first + columns <= width, PAWL_EBUG, "%s: columns [%ld, %ld) of %ld", op,
               (long)first, (long)(first + columns), (long)width);
    return PAWL_OK;
}

static inline pawl_status check_array(const char *op, const void *const *arrays, int count, int64_t numbers)
{
    PAWL_CHECK(numbers >= 0, PAWL_EBUG, "%s: a count of %ld", op, (long)numbers);
    for (int i = 0; i < count && numbers > 0; i++) PAWL_CHECK(arrays[i], PAWL_EBUG, "%s: array %d is NULL", op, i);
    return PAWL_OK;
}

#define CHECK_ARRAYS(op, count, ...)                                                                                   \
    do {                                                                                                               \
        const void *const arrays_[] = {__VA_ARGS__};                                                                   \
        PAWL_TRY(check_array((op), arrays_, (int)(sizeof arrays_ / sizeof *arrays_), (count)));                        \
    } while (0)

#ifdef __cplusplus
}
#endif
#endif
