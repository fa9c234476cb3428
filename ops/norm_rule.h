/* ops/norm_rule.h - root-mean-square normalisation. Source: Zhang & Sennrich 2019, equation 4. */
#ifndef PAWL_OPS_NORM_RULE_H
#define PAWL_OPS_NORM_RULE_H

#include "ops/anywhere.h"

/* 1 / rms of width numbers whose squares add up to squares. */
PAWL_ANYWHERE float pawl_rstd_rule(float squares, int64_t width, float eps)
{
    return 1.0f / sqrtf(squares / (float)width + eps);
}

/* What all of a row's gradients share: rstd^2 times the mean of w dy x. */
PAWL_ANYWHERE float pawl_norm_pull_rule(float dot, int64_t width, float rstd)
{
    return rstd * rstd * (dot / (float)width);
}

PAWL_ANYWHERE float pawl_norm_rule(float x, float w, float rstd)
{
    return w * (x * rstd);
}

PAWL_ANYWHERE float pawl_norm_dx_rule(float dy, float x, float w, float rstd, float pull)
{
    return rstd * pawl_fma(-pull, x, w * dy);
}

/* The row's share of dw. */
PAWL_ANYWHERE float pawl_norm_dw_rule(float dy, float x, float rstd)
{
    return dy * (x * rstd);
}

#endif
