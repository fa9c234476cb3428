/* ops/noise_rule.h - NEFTune's noise: uniform, smaller for longer rows and wider embeddings.
 * Source: Jain et al. 2023, algorithm 1. */
#ifndef PAWL_OPS_NOISE_RULE_H
#define PAWL_OPS_NOISE_RULE_H

#include <math.h>

#include "ops/anywhere.h"

/* What numbers in [-1, 1) are multiplied by in a row of that length. */
PAWL_ANYWHERE float pawl_noise_size(double alpha, double length, double width)
{
    return (float)(alpha / sqrt(length * width));
}

/* uniform: in [0, 1) */
PAWL_ANYWHERE float pawl_noise_rule(float uniform, float size)
{
    return (2.0f * uniform - 1.0f) * size;
}

#endif
