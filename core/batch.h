/* core/batch.h - the tokens of one slot, as data/ makes them and model/ takes them. */
#ifndef PAWL_CORE_BATCH_H
#define PAWL_CORE_BATCH_H

#include <stdint.h>

#include "core/arena.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { PAWL_NOT_TRAINED = -100 };

typedef struct pawl_batch {
    int64_t rows, tokens;  /* B, T: the arrays are [B*T] */
    int32_t *ids;          /* padding has id 0 */
    int32_t *targets;      /* the id that position n predicts, or PAWL_NOT_TRAINED */
    int32_t *positions;    /* from 0 in each document */
    int32_t *starts;       /* index in [0, B*T) of the first position of n's document; padding: n itself */
} pawl_batch;

/* Room for a batch of rows x tokens at most. */
static inline void pawl_batch_lay_out(pawl_arena *a, pawl_batch *b, int64_t rows, int64_t tokens)
{
    const size_t bytes = (size_t)(rows * tokens) * sizeof(int32_t);
    b->rows = rows;
    b->tokens = tokens;
    b->ids = (int32_t *)pawl_take_bytes(a, bytes);
    b->targets = (int32_t *)pawl_take_bytes(a, bytes);
    b->positions = (int32_t *)pawl_take_bytes(a, bytes);
    b->starts = (int32_t *)pawl_take_bytes(a, bytes);
}

#ifdef __cplusplus
}
#endif
#endif
