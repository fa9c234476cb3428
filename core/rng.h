/* core/rng.h - counted randomness: a number is a pure function of what it is for, never of what was drawn before.
 *
 * There is no generator state to save, and no difference between ranks or micro-batch sizes (decision 3).
 * Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", Philox4x32-10. */
#ifndef PAWL_CORE_RNG_H
#define PAWL_CORE_RNG_H

#include <stdint.h>

#include "core/anywhere.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a number is for. Values enter checkpoints' reproducibility: append, never renumber. */
typedef enum pawl_purpose {
    PAWL_FOR_INIT = 1,     /* initial weights: a = tensor, b = element / 4 */
    PAWL_FOR_EPOCH = 2,    /* order of an epoch: a = epoch */
    PAWL_FOR_DATASET = 3,  /* order inside a dataset: a = dataset, b = pass */
    PAWL_FOR_SAMPLING = 4, /* generation: a = position, b = number of the text */
    PAWL_FOR_TEST = 5,
    PAWL_FOR_ADAPTER = 6, /* an adapter's initial weights: a = number of the adapter in the run * 2^32 + tensor, b = element / 4 */
    PAWL_FOR_DROPOUT = 7, /* a = row of the run, b = stream * 2^32 + element of the row / 4 */
    PAWL_FOR_NEFTUNE = 8, /* noise on embeddings: a = row of the run, b = element of the row / 4 */
    PAWL_FOR_REPLAY = 9,  /* rows drawn from the memory: a = step, b = use * 2^40 + number of the draw */
    PAWL_FOR_LABELS = 10, /* labels drawn from the model itself: a = row, b = position */
    PAWL_FOR_ROUNDING = 11, /* stochastic rounding: a = step, b = what * 2^44 + number of the flat run / 8 */
    PAWL_FOR_MERGE = 16   /* DARE: a = model + the first 8 bytes of SHA-256 of the tensor's name, b = element / 4 */
} pawl_purpose;

typedef struct pawl_random {
    uint32_t word[4];
} pawl_random;

/* The Philox4x32-10 block of counter (4 words) under key (2 words). Here for loops over blocks, which a compiler turns
 * into one block a lane. */
PAWL_ANYWHERE pawl_random pawl_philox(const uint32_t counter[4], const uint32_t key[2])
{
    uint32_t x0 = counter[0], x1 = counter[1], x2 = counter[2], x3 = counter[3], k0 = key[0], k1 = key[1];
#if defined(__CUDACC__)
#pragma unroll
#elif defined(__GNUC__) && !defined(__clang__)
#pragma GCC unroll 10
#endif
    for (int round = 0; round < 10; round++) {
        const uint32_t low0 = 0xD2511F53u * x0, low1 = 0xCD9E8D57u * x2;
        const uint32_t high0 = (uint32_t)((uint64_t)0xD2511F53u * x0 >> 32),
                       high1 = (uint32_t)((uint64_t)0xCD9E8D57u * x2 >> 32);
        x0 = high1 ^ x1 ^ k0;
        x2 = high0 ^ x3 ^ k1;
        x1 = low1;
        x3 = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    const pawl_random r = {{x0, x1, x2, x3}};
    return r;
}

/* 128 random bits for (seed, purpose, a, b). b < 2^48. */
PAWL_ANYWHERE pawl_random pawl_random_at(uint64_t seed, pawl_purpose purpose, uint64_t a, uint64_t b)
{
    const uint32_t counter[4] = {(uint32_t)b, (uint32_t)(b >> 32 & 0xffffu) | (uint32_t)purpose << 16, (uint32_t)a,
                                 (uint32_t)(a >> 32)};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    return pawl_philox(counter, key);
}

/* A word as a float in [0, 1) with 24 random bits. */
PAWL_ANYWHERE float pawl_uniform(uint32_t word)
{
    return (float)(word >> 8) * 0x1p-24f;
}

/* Two words as two independent standard normal numbers (Box-Muller). */
void pawl_normal(uint32_t u, uint32_t v, float out[2]);

/* Where index i of [0, n) goes in the permutation named by (seed, purpose, a, b): a bijection of [0, n), O(1) memory.
 * A Feistel network over the smallest even-bit domain that holds n, walked until it falls inside. 0 <= i < n <= 2^48. */
uint64_t pawl_permute(uint64_t i, uint64_t n, uint64_t seed, pawl_purpose purpose, uint64_t a, uint64_t b);

#ifdef __cplusplus
}
#endif
#endif
