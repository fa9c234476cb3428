/* ops/merge_rule.h - models merged, one number at a time; tau is a model's difference to the base, w its weight.
 *
 * Sources: WiSE-FT, Wortsman et al. 2021, eq. 1; task arithmetic, Ilharco et al. 2022, section 2; TIES, Yadav et al.
 * 2023, algorithm 1 (trim, elect a sign by the mass of both, mean of those that have it); DARE, Yu et al. 2023, eq. 2
 * and 3 (a number is dropped with probability 1 - density, and what stays is divided by density). */
#ifndef PAWL_OPS_MERGE_RULE_H
#define PAWL_OPS_MERGE_RULE_H

#include "ops/anywhere.h"
#include "ops/ops.h"

PAWL_ANYWHERE void pawl_merge_side(pawl_merge_sides *s, float tau, float w)
{
    s->up += tau > 0.0f ? w * tau : 0.0f;
    s->up_weight += tau > 0.0f ? w : 0.0f;
    s->down += tau < 0.0f ? w * tau : 0.0f;
    s->down_weight += tau < 0.0f ? w : 0.0f;
}

/* The sign with more mass is elected, plus when both have as much; then the mean of those that have it. */
PAWL_ANYWHERE float pawl_merge_elect(pawl_merge_sides s)
{
    const int up = s.up + s.down >= 0.0f;
    const float sum = up ? s.up : s.down, weight = up ? s.up_weight : s.down_weight;
    return weight > 0.0f ? sum / weight : 0.0f;
}

/* A word as one of 2^24 numbers in [0, 1), as pawl_uniform has it. */
PAWL_ANYWHERE float pawl_merge_drop(float tau, uint32_t word, double density)
{
    return (double)(word >> 8) * 0x1p-24 < density ? (float)(tau / density) : 0.0f;
}

#endif
