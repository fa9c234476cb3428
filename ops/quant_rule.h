/* ops/quant_rule.h - numbers in few bits. The only copy of these formulas.
 *
 * int8: a row is q * absmax / 127, q = x * 127 / absmax to the nearest.   Source: Dettmers et al. 2022, LLM.int8().
 * NF4:  a block of 64 numbers of a row is level[q] * absmax, q the nearest of sixteen levels, the lower one on a tie; two
 *       to a byte, the first in the upper half.   Source: Dettmers et al. 2023, QLoRA, appendix E. */
#ifndef PAWL_OPS_QUANT_RULE_H
#define PAWL_OPS_QUANT_RULE_H

#include <math.h>
#include <stdint.h>

#include "ops/anywhere.h"

enum { PAWL_NF4_BLOCK = 64, PAWL_NF4_LEVELS = 16 };

PAWL_ANYWHERE_TABLE float pawl_nf4_level[PAWL_NF4_LEVELS] = {-1.0f,
                                                      -0.6961928009986877f,
                                                      -0.5250730514526367f,
                                                      -0.39491748809814453f,
                                                      -0.28444138169288635f,
                                                      -0.18477343022823334f,
                                                      -0.09105003625154495f,
                                                      0.0f,
                                                      0.07958029955625534f,
                                                      0.16093020141124725f,
                                                      0.24611230194568634f,
                                                      0.33791524171829224f,
                                                      0.44070982933044434f,
                                                      0.5626170039176941f,
                                                      0.7229568362236023f,
                                                      1.0f};

/* x in [-1, 1]. */
PAWL_ANYWHERE int pawl_nf4_code(float x)
{
    int q = 0;
    while (q + 1 < PAWL_NF4_LEVELS && x > 0.5f * (pawl_nf4_level[q] + pawl_nf4_level[q + 1])) q++;
    return q;
}

/* x within absmax, which is not 0. */
PAWL_ANYWHERE int pawl_int8_code(float x, float absmax)
{
    return (int)rintf(x * (127.0f / absmax));
}

PAWL_ANYWHERE float pawl_int8_value(int q, float absmax)
{
    return (float)q * (absmax / 127.0f);
}

#endif
