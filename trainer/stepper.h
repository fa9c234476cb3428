/* trainer/stepper.h - private to trainer/: a step's memory, as the step and the methods of continual learning see it.
 */
#ifndef PAWL_TRAINER_STEPPER_H
#define PAWL_TRAINER_STEPPER_H

#include "trainer/continual/soft.h"
#include "trainer/held.h"
#include "trainer/internal.h"

struct pawl_stepper {
    const pawl_parts *p;
    pawl_cut cut;                 /* of the present step */
    int64_t most;                 /* rows of a step at most */
    int64_t tokens;               /* T of the largest slot */
    pawl_arena small;             /* everything of a step that is not counted in gigabytes */
    pawl_hold hold;               /* weights and gradients */
    int64_t *slots;               /* [slots] rank after rank, in the order in which they are computed, ... */
    int64_t *first_slot;          /* [ranks + 1] ... and where each rank's begin */
    int64_t next, done;           /* the place in it of this rank's next slot, and in `mine` of its next row */
    pawl_row_result *mine;        /* [most] results of rows in the order of `slots`; ... */
    pawl_frozen *base;            /* with an adapter: what it stands on, ... */
    pawl_adapter_work *work;      /* ... scratch ... */
    pawl_over over;               /* ... and both for a pass */
    pawl_step_order order;        /* of the present step */
    int64_t at;                   /* the running number of the step's first row */
    pawl_batch batch;             /* one slot */
    float *losses;                /* [micro * T] */
    int64_t *row_lengths;         /* [micro] */
    int32_t *bad;                 /* [micro] */
    float *row_weights;      /* [micro] of cross-entropy */
    pawl_soft_room soft;     /* of the slot at hand */
    pawl_step_row *rows;          /* [most] */
    pawl_row_result *results;     /* [most] ... and in the order of rows */
    size_t *lengths, *offsets;    /* [ranks] of mine, in bytes */
    struct pawl_memory *memory;   /* NULL: none */
    struct pawl_wanted *wanted;   /* [most] rows from the memory on their way, ... */
    int64_t *place;               /* [most] ... and where in that list a row is; -1 */
    struct pawl_methods *methods; /* NULL: none */
    pawl_activations *activations;
    pawl_optim *optim;
    pawl_state state;
};

#endif
