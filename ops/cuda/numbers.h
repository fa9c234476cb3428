/* ops/cuda/numbers.h - private to ops/cuda: numbers of f32 or bf16 in memory, one at a time or 16 bytes at a time. */
#ifndef PAWL_OPS_CUDA_NUMBERS_H
#define PAWL_OPS_CUDA_NUMBERS_H

#include "ops/bf16_rule.h"
#include "ops/cuda/launch.h"

typedef struct bf16 {
    uint16_t bits;
} bf16;

static __device__ __forceinline__ float get(const float *p, int64_t i)
{
    return p[i];
}

static __device__ __forceinline__ float get(const bf16 *p, int64_t i)
{
    return pawl_bf16_widen_rule(p[i].bits);
}

static __device__ __forceinline__ void put(float *p, int64_t i, float x)
{
    p[i] = x;
}

static __device__ __forceinline__ void put(bf16 *p, int64_t i, float x)
{
    p[i].bits = pawl_bf16_narrow_rule(x);
}

/* V numbers side by side. V is 1, or 4 where all arrays are of f32, or 8: then they are moved 16 bytes at a time, and arrays
 * begin on 16 bytes. */
template <int V> struct some {
    float x[V];
};

struct __attribute__((aligned(16), may_alias)) sixteen {
    uint32_t word[4];
};

/* Numbers [i, i + V); those from count on are 0. */
template <int V> static __device__ __forceinline__ some<V> take(const float *p, int64_t i, int64_t count)
{
    some<V> s;
    if (V % 4 == 0 && i + V <= count) {
        for (int k = 0; k < V / 4; k++) {
            const sixteen q = ((const sixteen *)PAWL_ALIGNED(p + i, 16))[k];
            for (int j = 0; j < 4; j++) s.x[4 * k + j] = pawl_bits_float(q.word[j]);
        }
    } else {
        for (int j = 0; j < V; j++) s.x[j] = i + j < count ? p[i + j] : 0.0f;
    }
    return s;
}

template <int V> static __device__ __forceinline__ some<V> take(const bf16 *p, int64_t i, int64_t count)
{
    some<V> s;
    if (V % 8 == 0 && i + V <= count) {
        const sixteen q = *(const sixteen *)PAWL_ALIGNED(p + i, 16);
        for (int j = 0; j < V; j++) s.x[j] = pawl_bf16_widen_rule((uint16_t)(q.word[j / 2 % 4] >> 16 * (j % 2)));
    } else {
        for (int j = 0; j < V; j++) s.x[j] = i + j < count ? get(p, i + j) : 0.0f;
    }
    return s;
}

template <int V> static __device__ __forceinline__ void give(float *p, int64_t i, int64_t count, const some<V> &s)
{
    if (V % 4 == 0 && i + V <= count) {
        for (int k = 0; k < V / 4; k++) {
            sixteen q;
            for (int j = 0; j < 4; j++) q.word[j] = pawl_float_bits(s.x[(4 * k + j) % V]);
            ((sixteen *)PAWL_ALIGNED(p + i, 16))[k] = q;
        }
    } else {
        for (int j = 0; j < V; j++)
            if (i + j < count) p[i + j] = s.x[j];
    }
}

template <int V> static __device__ __forceinline__ void give(bf16 *p, int64_t i, int64_t count, const some<V> &s)
{
    if (V % 8 == 0 && i + V <= count) {
        sixteen q;
        for (int k = 0; k < 4; k++)
            q.word[k] = (uint32_t)pawl_bf16_narrow_rule(s.x[2 * k % V]) |
                        (uint32_t)pawl_bf16_narrow_rule(s.x[(2 * k + 1) % V]) << 16;
        *(sixteen *)PAWL_ALIGNED(p + i, 16) = q;
    } else {
        for (int j = 0; j < V; j++)
            if (i + j < count) put(p, i + j, s.x[j]);
    }
}

/* The first of this thread's V numbers. */
template <int V> static __device__ __forceinline__ int64_t first_of(void)
{
    return ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * V;
}

/* On the host. */

static inline int64_t blocks_of(int64_t count, int64_t each)
{
    return (count + each - 1) / each;
}

static inline bool low(pawl_tensor t)
{
    return t.dtype == PAWL_BF16;
}

static inline int64_t last_dim(pawl_tensor t)
{
    return t.dim[t.ndim - 1];
}

static inline int64_t count_of(pawl_tensor t)
{
    int64_t count = 1;
    for (int i = 0; i < t.ndim; i++) count *= t.dim[i];
    return count;
}

template <class T> static inline T *data(pawl_tensor t)
{
    return (T *)t.data;
}

/* Whether all arrays begin on 16 bytes; NULL does. */
template <class... Pointers> static inline bool on_sixteen(Pointers... p)
{
    return ((0 | ... | (uintptr_t)p) & 15) == 0;
}

/* As T the type that a tensor has. */
#define BY_TYPE(tensor, ...)                                                                                           \
    do {                                                                                                               \
        if (low(tensor)) {                                                                                             \
            typedef bf16 T;                                                                                            \
            __VA_ARGS__;                                                                                               \
        } else {                                                                                                       \
            typedef float T;                                                                                           \
            __VA_ARGS__;                                                                                               \
        }                                                                                                              \
    } while (0)

/* A kernel of `count` numbers, V to a thread where `wide`, else one: its first template argument. A second one, the type, is
 * the last argument of EACH_OF. */
#define EACH(kernel, V, wide, count, stream, ...)                                                                      \
    do {                                                                                                               \
        if (wide)                                                                                                      \
            PAWL_LAUNCH(kernel<V>, blocks_of(count, PAWL_THREADS * V), PAWL_THREADS, 0, stream, __VA_ARGS__);          \
        else                                                                                                           \
            PAWL_LAUNCH(kernel<1>, blocks_of(count, PAWL_THREADS), PAWL_THREADS, 0, stream, __VA_ARGS__);              \
    } while (0)
#define EACH_OF(kernel, T, V, wide, count, stream, ...)                                                                \
    do {                                                                                                               \
        if (wide)                                                                                                      \
            PAWL_LAUNCH((kernel<V, T>), blocks_of(count, PAWL_THREADS * V), PAWL_THREADS, 0, stream, __VA_ARGS__);     \
        else                                                                                                           \
            PAWL_LAUNCH((kernel<1, T>), blocks_of(count, PAWL_THREADS), PAWL_THREADS, 0, stream, __VA_ARGS__);         \
    } while (0)

#endif
