/* ops/rope_rule.h - rotary position embedding in the halves convention. Source: Su et al. 2021, equation 34. */
#ifndef PAWL_OPS_ROPE_RULE_H
#define PAWL_OPS_ROPE_RULE_H

#include "ops/anywhere.h"

/* Turns (a, b) by the angle whose cosine and sine are c and s. */
PAWL_ANYWHERE void pawl_rope_rule(float *a, float *b, float c, float s)
{
    const float x = *a, y = *b;
    *a = pawl_fma(x, c, -(y * s));
    *b = pawl_fma(y, c, x * s);
}

#endif
