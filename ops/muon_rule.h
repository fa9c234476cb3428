/* ops/muon_rule.h - Muon: momentum, then the nearest orthogonal matrix by Newton-Schulz steps of a quintic polynomial,
 * X <- a X + (b G + c G G) X with G = X X^T, from X of norm 1.
 * Source: Jordan et al. 2024, Muon; momentum in the form of torch.optim.Muon; the scale to match AdamW's: Liu et al.
 * 2025. */
#ifndef PAWL_OPS_MUON_RULE_H
#define PAWL_OPS_MUON_RULE_H

#include "ops/anywhere.h"

#define PAWL_MUON_A   3.4445
#define PAWL_MUON_B   (-4.7750)
#define PAWL_MUON_C   2.0315
#define PAWL_MUON_EPS 1e-7 /* the least norm that is divided by */

/* The momentum, and the matrix that is made orthogonal. */
PAWL_ANYWHERE float pawl_muon_momentum_rule(float g, float *m, float decay, int nesterov)
{
    *m = *m + (1.0f - decay) * (g - *m);
    return nesterov ? g + decay * (*m - g) : *m;
}

/* What the rate of a matrix [rows, cols] is multiplied by. */
PAWL_ANYWHERE double pawl_muon_original_rule(double rows, double cols)
{
    return rows > cols ? sqrt(rows / cols) : 1.0;
}

PAWL_ANYWHERE double pawl_muon_match_rms_rule(double rows, double cols)
{
    return 0.2 * sqrt(rows > cols ? rows : cols);
}

#endif
