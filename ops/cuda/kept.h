/* ops/cuda/kept.h - private to ops/cuda: weights and moments of f32 or bf16, rounded by chance where they are put back. */
#ifndef PAWL_OPS_CUDA_KEPT_H
#define PAWL_OPS_CUDA_KEPT_H

#include "ops/cuda/numbers.h"
#include "ops/stochastic_rule.h"

template <int V>
static __device__ __forceinline__ void give_kept(float *p, int64_t i, int64_t count, const some<V> &s, const pawl_kept_as &, pawl_chance_of)
{
    give(p, i, count, s);
}

/* V is 1, or 8 where number as.first is the first of a block of chances: then one draw does for all. */
template <int V>
static __device__ __forceinline__ void give_kept(bf16 *p, int64_t i, int64_t count, const some<V> &s, const pawl_kept_as &as,
                                                 pawl_chance_of what)
{
    const uint64_t at = (uint64_t)(as.first + i);
    const pawl_random r = pawl_chances_rule(as.seed, as.step, what, at);
    if (V % 8 == 0 && i + V <= count) {
        sixteen q;
        for (int k = 0; k < 4; k++)
            q.word[k] = (uint32_t)pawl_stochastic_rule(s.x[2 * k % V], pawl_chance_rule(r, 2 * (uint64_t)k)) |
                        (uint32_t)pawl_stochastic_rule(s.x[(2 * k + 1) % V], pawl_chance_rule(r, 2 * (uint64_t)k + 1)) << 16;
        *(sixteen *)PAWL_ALIGNED(p + i, 16) = q;
    } else {
        for (int j = 0; j < V; j++)
            if (i + j < count) p[i + j].bits = pawl_stochastic_rule(s.x[j], pawl_chance_rule(r, at + (uint64_t)j));
    }
}

/* Of a type, numbers that a thread takes: 16 bytes of the narrower one. */
template <class W, class M> struct wide_of {
    enum { V = sizeof(W) + sizeof(M) == 2 * sizeof(float) ? 4 : 8 };
};

/* As W and M the types that weights and moments are kept as. */
#define BY_MOMENTS(kept, ...)                                                                                          \
    do {                                                                                                               \
        if ((kept).moments == PAWL_BF16) {                                                                             \
            typedef bf16 M;                                                                                            \
            __VA_ARGS__;                                                                                               \
        } else {                                                                                                       \
            typedef float M;                                                                                           \
            __VA_ARGS__;                                                                                               \
        }                                                                                                              \
    } while (0)
#define BY_WEIGHTS(kept, ...)                                                                                          \
    do {                                                                                                               \
        if ((kept).weights == PAWL_BF16) {                                                                             \
            typedef bf16 W;                                                                                            \
            __VA_ARGS__;                                                                                               \
        } else {                                                                                                       \
            typedef float W;                                                                                           \
            __VA_ARGS__;                                                                                               \
        }                                                                                                              \
    } while (0)
#define BY_KEPT(kept, ...) BY_WEIGHTS(kept, BY_MOMENTS(kept, __VA_ARGS__))

/* A kernel <V, Types...> over count numbers: several to a thread where they are aligned and begin a block of chances. */
#define EACH_KEPT(kernel, V, types, aligned, kept, count, stream, ...)                                                 \
    do {                                                                                                               \
        if ((aligned) && (kept).first % PAWL_CHANCE_BLOCK == 0)                                                        \
            PAWL_LAUNCH((kernel<V, TYPES_OF types>), blocks_of(count, PAWL_THREADS * V), PAWL_THREADS, 0, stream,      \
                        __VA_ARGS__);                                                                                  \
        else                                                                                                           \
            PAWL_LAUNCH((kernel<1, TYPES_OF types>), blocks_of(count, PAWL_THREADS), PAWL_THREADS, 0, stream,          \
                        __VA_ARGS__);                                                                                  \
    } while (0)
#define TYPES_OF(...) __VA_ARGS__

#endif
