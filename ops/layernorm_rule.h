/* ops/layernorm_rule.h - layer normalisation. Source: Ba, Kiros & Hinton 2016, equation 3. */
#ifndef PAWL_OPS_LAYERNORM_RULE_H
#define PAWL_OPS_LAYERNORM_RULE_H

#include "ops/anywhere.h"

/* centred is the number less its row's mean. */
PAWL_ANYWHERE float pawl_layernorm_rule(float centred, float w, float bias, float rstd)
{
    return pawl_fma(w, centred * rstd, bias);
}

/* The row's gradients share the means of w dy and of w dy times the normed number: push, and pull = rstd^2 times the
 * mean of w dy (x - mean). */
PAWL_ANYWHERE float pawl_layernorm_dx_rule(float dy, float centred, float w, float rstd, float push, float pull)
{
    return rstd * pawl_fma(-pull, centred, pawl_fma(w, dy, -push));
}

#endif
