#include "core/rng.h"

#include <math.h>

#include "core/status.h"

void pawl_normal(uint32_t u, uint32_t v, float out[2])
{
    const double radius = sqrt(-2.0 * log(((double)u + 0.5) * 0x1p-32)), angle = 6.283185307179586 * ((double)v * 0x1p-32);
    out[0] = (float)(radius * cos(angle));
    out[1] = (float)(radius * sin(angle));
}

uint64_t pawl_permute(uint64_t i, uint64_t n, uint64_t seed, pawl_purpose purpose, uint64_t a, uint64_t b)
{
    enum { ROUNDS = 12 }; /* 6 are biased on domains of a few bits: chi-square of 53 with 4 degrees of freedom for n = 5 */
    PAWL_ASSERT(i < n && n <= (uint64_t)1 << 48);
    int half = 1;
    while ((uint64_t)1 << 2 * half < n) half++;
    const uint64_t mask = ((uint64_t)1 << half) - 1;
    const pawl_random name = pawl_random_at(seed, purpose, a, b);
    const uint32_t key[2] = {name.word[0], name.word[1]};
    do {
        uint64_t left = i >> half, right = i & mask;
        for (uint32_t round = 0; round < ROUNDS; round++) {
            const uint32_t counter[4] = {(uint32_t)right, round, name.word[2], name.word[3]};
            const uint64_t next = left ^ (pawl_philox(counter, key).word[0] & mask);
            left = right;
            right = next;
        }
        i = left << half | right;
    } while (i >= n); /* the domain is less than 4 n, so this takes under 4 turns on average */
    return i;
}
