/* ops/cpu/vector.h - registers of the instruction set this file is compiled for, in GCC's vector language.
 *
 * W floats to a register. Sums over a row run in W or more lanes and are folded in one fixed tree, so that their order
 * is set by the row's length and by nothing else. */
#ifndef PAWL_OPS_CPU_VECTOR_H
#define PAWL_OPS_CPU_VECTOR_H

#include <stdint.h>
#include <string.h>

#include "ops/bf16_rule.h"

#if defined(__AVX512F__)
#include <immintrin.h>
enum { W = 16, TILE_ROWS = 8, TILE_VECS = 3 };
#elif defined(__AVX2__)
#include <immintrin.h>
enum { W = 8, TILE_ROWS = 4, TILE_VECS = 2 };
#else
enum { W = 4, TILE_ROWS = 4, TILE_VECS = 2 };
#endif

/* Before a loop whose arrays are the same one or apart, never shifted against each other: no iteration waits for
 * another. */
#if defined(__clang__)
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#endif

#define ALWAYS static inline __attribute__((always_inline))

/* Number i of an array of f32, or with `low` of bf16; low is a constant wherever these are called, and both names of a
 * kernel, NAME_f32 and NAME_bf16, come from one text. */
ALWAYS float get(const void *p, int64_t i, int low)
{
    return low ? pawl_bf16_widen_rule(((const uint16_t *)p)[i]) : ((const float *)p)[i];
}

ALWAYS void put(void *p, int64_t i, float x, int low)
{
    if (low)
        ((uint16_t *)p)[i] = pawl_bf16_narrow_rule(x);
    else
        ((float *)p)[i] = x;
}

/* The array from number i on. */
ALWAYS void *from(const void *p, int64_t i, int low)
{
    return (char *)(uintptr_t)p + i * (low ? 2 : 4);
}

#define BOTH(name, parameters, ...)                                                                                    \
    static void name##_f32 parameters                                                                                  \
    {                                                                                                                  \
        name(0, __VA_ARGS__);                                                                                          \
    }                                                                                                                  \
    static void name##_bf16 parameters                                                                                 \
    {                                                                                                                  \
        name(1, __VA_ARGS__);                                                                                          \
    }
#define PAIR(name) {name##_f32, name##_bf16}

typedef float vec __attribute__((vector_size(4 * W)));
typedef float vec_anywhere __attribute__((vector_size(4 * W), aligned(4), may_alias));

ALWAYS vec load(const float *p)
{
    return *(const vec_anywhere *)p;
}

ALWAYS void store(float *p, vec x)
{
    *(vec_anywhere *)p = x;
}

ALWAYS vec splat(float x)
{
    return x - (vec){0};
}

/* The first n < W numbers at p; the others 0. */
ALWAYS vec load_part(const float *p, int64_t n)
{
#if defined(__AVX512F__)
    return (vec)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1u), p);
#else
    float lanes[W] = {0};
    for (int64_t i = 0; i < n; i++) lanes[i] = p[i];
    return load(lanes);
#endif
}

ALWAYS void store_part(float *p, vec x, int64_t n)
{
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1u), (__m512)x);
#else
    float lanes[W];
    store(lanes, x);
    for (int64_t i = 0; i < n; i++) p[i] = lanes[i];
#endif
}

ALWAYS vec madd(vec a, vec b, vec c)
{
#if defined(__AVX512F__)
    return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__)
    return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;
#endif
}

/* NaN in a stays hidden, NaN in b too: whoever takes a maximum sees a NaN elsewhere (in the sum of exponentials). */
ALWAYS vec larger(vec a, vec b)
{
#if defined(__AVX512F__)
    return (vec)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (vec)_mm256_max_ps((__m256)a, (__m256)b);
#else
    typedef int32_t bits __attribute__((vector_size(4 * W)));
    const bits greater = a > b;
    return (vec)((greater & (bits)a) | (~greater & (bits)b));
#endif
}

ALWAYS float fold_sum(vec x)
{
    float lanes[W];
    store(lanes, x);
    for (int half = W / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
}

ALWAYS float fold_most(vec x)
{
    float lanes[W];
    store(lanes, x);
    for (int half = W / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] = lanes[i] > lanes[i + half] ? lanes[i] : lanes[i + half];
    return lanes[0];
}

/* Sum of a[i] b[i]: four registers of partial sums, then the rest, then the fold. */
ALWAYS float dot(const float *a, const float *b, int64_t n)
{
    vec s[4] = {{0}, {0}, {0}, {0}};
    int64_t i = 0;
    for (; i + 4 * W <= n; i += 4 * W)
        for (int j = 0; j < 4; j++) s[j] = madd(load(a + i + j * W), load(b + i + j * W), s[j]);
    for (; i + W <= n; i += W) s[0] = madd(load(a + i), load(b + i), s[0]);
    if (i < n) s[1] = madd(load_part(a + i, n - i), load_part(b + i, n - i), s[1]);
    return fold_sum((s[0] + s[1]) + (s[2] + s[3]));
}

ALWAYS float total(const float *x, int64_t n)
{
    vec s[4] = {{0}, {0}, {0}, {0}};
    int64_t i = 0;
    for (; i + 4 * W <= n; i += 4 * W)
        for (int j = 0; j < 4; j++) s[j] += load(x + i + j * W);
    for (; i + W <= n; i += W) s[0] += load(x + i);
    if (i < n) s[1] += load_part(x + i, n - i);
    return fold_sum((s[0] + s[1]) + (s[2] + s[3]));
}

#endif
