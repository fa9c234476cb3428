/* Loops over what ops/merge_rule.h says of one number. On the host: a merge is bound by files. */
#include "core/rng.h"
#include "ops/merge_rule.h"

void pawl_merge_add_sides(const float *tau, double weight, int64_t count, pawl_merge_sides *sides)
{
    for (int64_t i = 0; i < count; i++) pawl_merge_side(&sides[i], tau[i], (float)weight);
}

double pawl_merge_joined(pawl_merge_sides sides)
{
    return pawl_merge_elect(sides);
}

void pawl_merge_drop_some(float *tau, int64_t count, double density, uint64_t seed, uint64_t place)
{
    for (int64_t i = 0; i < count; i += 4) {
        const pawl_random words = pawl_random_at(seed, PAWL_FOR_MERGE, place, (uint64_t)i / 4);
        for (int64_t k = i; k < i + 4 && k < count; k++) tau[k] = pawl_merge_drop(tau[k], words.word[k - i], density);
    }
}
