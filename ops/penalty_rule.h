/* ops/penalty_rule.h - what methods of continual learning do to one number. Sources: Kirkpatrick et al. 2017 and Schwarz et al.
 * 2018 (EWC), Zenke et al. 2017 (SI), Aljundi et al. 2018 (MAS), Li et al. 2018 (L2-SP), Wang et al. 2023 (O-LoRA). */
#ifndef PAWL_OPS_PENALTY_RULE_H
#define PAWL_OPS_PENALTY_RULE_H

#include "ops/anywhere.h"

/* The gradient of (strength / 2) importance (w - anchor)^2. */
PAWL_ANYWHERE float pawl_anchor_rule(float w, float anchor, float importance, float strength)
{
    return strength * importance * (w - anchor);
}

/* SI: a step's share of the fall of the loss, by the gradient before it. */
PAWL_ANYWHERE float pawl_path_rule(float path, float g, float before, float after)
{
    return path - g * (after - before);
}

/* SI: what a stage's path makes of a weight's importance. */
PAWL_ANYWHERE float pawl_synapse_rule(float importance, float path, float w, float start, float xi)
{
    const float moved = w - start;
    return importance + (path > 0 ? path : 0) / (moved * moved + xi);
}

/* What |x . y| pulls x along y by; strength times its derivative by x . y, and 0 where that is 0. */
PAWL_ANYWHERE float pawl_overlap_rule(double dot, float strength)
{
    return dot > 0 ? strength : dot < 0 ? -strength : 0;
}

/* One sequence's gradient as it enters an importance: squared (Fisher) or without its sign (MAS). */
PAWL_ANYWHERE float pawl_magnitude_rule(float g, int squared)
{
    return squared ? g * g : fabsf(g);
}

#endif
