/* ops/stochastic_rule.h - stochastic rounding to bfloat16: up or down by chance, each as often as the number is near it, so that the
 * mean over chances is the number itself and an update far below half a step is not lost. What decides is 16 bits that belong to the
 * number's place in the run, to the step and to what it is: no result depends on who rounds it, or with what else.
 * Source: Gupta et al. 2015, "Deep learning with limited numerical precision", section 2.2. */
#ifndef PAWL_OPS_STOCHASTIC_RULE_H
#define PAWL_OPS_STOCHASTIC_RULE_H

#include "core/rng.h"
#include "ops/anywhere.h"

/* What of a number's weight and state is rounded: each has chances of its own. Values enter the bits of runs: append. */
typedef enum pawl_chance_of { PAWL_CHANCE_WEIGHT, PAWL_CHANCE_FIRST, PAWL_CHANCE_SECOND } pawl_chance_of;

enum { PAWL_CHANCE_BLOCK = 8 }; /* numbers whose chances are drawn together */

/* The chances of the block that number `index` of the flat run is in; index < 2^47. */
PAWL_ANYWHERE pawl_random pawl_chances_rule(uint64_t seed, uint64_t step, pawl_chance_of what, uint64_t index)
{
    return pawl_random_at(seed, PAWL_FOR_ROUNDING, step, (uint64_t)what << 44 | index / PAWL_CHANCE_BLOCK);
}

/* Those 16 bits of them that are number index's. */
PAWL_ANYWHERE uint32_t pawl_chance_rule(pawl_random of_block, uint64_t index)
{
    return of_block.word[index / 2 % 4] >> 16 * (index % 2) & 0xffffu;
}

/* chance below 2^16, uniform. What lies between two bfloat16 goes to the greater in magnitude with the probability of its share of
 * the way there; what is one stays it; NaN stays NaN, a quiet one. Without a branch, so that loops of it are vectorised. */
PAWL_ANYWHERE uint16_t pawl_stochastic_rule(float x, uint32_t chance)
{
    const uint32_t u = pawl_float_bits(x), moved = (u + chance) >> 16, quiet = u >> 16 | 0x40u;
    return (uint16_t)((int32_t)(u & 0x7fffffffu) > 0x7f800000 ? quiet : moved);
}

#endif
