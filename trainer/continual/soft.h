/* trainer/continual/soft.h - the soft targets of a slot: one room in the stepper, which methods fill row by row before its pass. */
#ifndef PAWL_TRAINER_CONTINUAL_SOFT_H
#define PAWL_TRAINER_CONTINUAL_SOFT_H

#include "core/arena.h"
#include "trainer/trainer.h"

typedef struct pawl_soft_room {
    int64_t k; /* the most of any method; 0: no method has soft targets, and nothing below is there */
    int32_t *ids;
    float *logp;        /* both [micro * T, k] */
    float *loss;        /* [micro * T] */
    float *row_weights; /* these [micro] */
    float *row_temperatures;
    int64_t *row_k;
} pawl_soft_room;

/* The most tokens that a soft target of the run names; 0: it has none. */
int64_t pawl_run_bins(const pawl_parts *p);
/* For rows of up to so many tokens. */
void pawl_soft_lay_out(pawl_arena *a, pawl_soft_room *s, int64_t k, int64_t rows, int64_t tokens);
/* No row has soft targets yet. */
void pawl_soft_clear(pawl_soft_room *s, int64_t rows);
/* Row b of a slot of rows of T tokens gets the first k of its tokens from ids, logp [count][k]; the others of T are not trained. */
void pawl_soft_put(pawl_soft_room *s, int64_t b, int64_t T, int64_t k, float temperature, float weight, const int32_t *ids, const float *logp,
                   int64_t count);
/* What a pass is told; 0 where no row has any. */
int pawl_soft_of(const pawl_soft_room *s, int64_t rows, pawl_soft *out);

#endif
