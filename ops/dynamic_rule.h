/* ops/dynamic_rule.h - numbers in [-1, 1] or [0, 1] as 8 bits whose steps grow with the number: seven decades, each cut
 * into twice as many equal parts as the one below it; a level is the middle of its part. With 0 and 1, 256 levels.
 *   signed: 2^i levels in decade i of 0..6, [10^(i-7), 10^(i-6)), and their negatives; unsigned: 2^(i+1).
 * A number becomes its nearest level, the lower one where two are as near. Blocks of PAWL_DYNAMIC_BLOCK numbers share a
 * scale, their greatest magnitude. Source: Dettmers et al. 2022, 8-bit optimizers via block-wise quantization; levels
 * to the bit those of bitsandbytes. */
#ifndef PAWL_OPS_DYNAMIC_RULE_H
#define PAWL_OPS_DYNAMIC_RULE_H

#include "ops/anywhere.h"

enum { PAWL_DYNAMIC_LEVELS = 256, PAWL_DYNAMIC_BLOCK = 256 };
/* Magnitudes from 2^-23, under which all are 0, in 128 parts an octave: the parts are finer than the levels, so one
 * comparison settles which of two levels it is. */
enum { PAWL_DYNAMIC_LOWEST = (127 - 23) << 7, PAWL_DYNAMIC_STARTS = (23 << 7) + 1 };

typedef struct pawl_dynamic {
    float level[PAWL_DYNAMIC_LEVELS]; /* rising */
    float edge[PAWL_DYNAMIC_LEVELS];  /* between level i and the next */
    int32_t start[PAWL_DYNAMIC_STARTS];
    int32_t zero; /* the code of 0 */
} pawl_dynamic;

static inline void pawl_dynamic_fill(pawl_dynamic *d, int is_signed)
{
    static const double decade[7] = {1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1};
    int at = d->zero = is_signed ? 127 : 0;
    d->level[at++] = 0.0f;
    for (int i = 0; i < 7; i++) {
        const int n = is_signed ? 1 << i : 2 << i;
        for (int k = 0; k < n; k++, at++) {
            d->level[at] = (float)(decade[i] * (0.1 + 0.9 * (k + 0.5) / n));
            if (is_signed) d->level[254 - at] = -d->level[at];
        }
    }
    d->level[255] = 1.0f;
    for (int i = 0; i < 255; i++) d->edge[i] = (d->level[i] + d->level[i + 1]) / 2.0f;
    d->edge[255] = 2.0f;
    for (int s = 0, code = d->zero; s < PAWL_DYNAMIC_STARTS; s++) {
        while (s > 0 && d->edge[code] < pawl_bits_float((uint32_t)(s + PAWL_DYNAMIC_LOWEST) << 16)) code++;
        d->start[s] = code;
    }
}

/* x in [-1, 1]; where it is not to be negative, mirror is 255. */
PAWL_ANYWHERE int32_t pawl_dynamic_code(const pawl_dynamic *d, float x, int32_t mirror)
{
    const float far = fabsf(x);
    const int32_t part = (int32_t)(pawl_float_bits(far) >> 16) - PAWL_DYNAMIC_LOWEST;
    int32_t code = d->start[part > 0 ? part : 0];
    code += far > d->edge[code];
    const int32_t below = mirror - code;
    return x < 0.0f ? (below > 0 ? below : 0) : code;
}

#endif
