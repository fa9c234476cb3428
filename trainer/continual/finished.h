/* trainer/continual/finished.h - private to trainer/: the adapters of finished stages (lora_stages: merge, orthogonal).
 *
 * At a stage's begin the adapter of the one before joins a stack, the base's weights are read again with all of the
 * stack worked in, and a new adapter begins. What is under it in memory follows from base and stack, so a checkpoint
 * holds the stack. */
#ifndef PAWL_TRAINER_CONTINUAL_FINISHED_H
#define PAWL_TRAINER_CONTINUAL_FINISHED_H

#include "trainer/stepper.h"

typedef struct pawl_finished {
    const pawl_parts *p;
    pawl_arena arena, there; /* the host's, and the device's where that is another */
    int most;     /* of adapters, by the last stage */
    int uploaded; /* so many are up to date there */
    pawl_stack stack;
} pawl_finished;

/* Whether a stage has an adapter of its own. */
int pawl_adapter_a_stage(const pawl_parts *p);
pawl_room pawl_finished_bytes(const pawl_parts *p);      /* the plan */
pawl_room pawl_finished_read_bytes(const pawl_parts *p); /* ... and what reading the base again takes meanwhile */
/* NULL where there is one adapter for all stages. Local. */
PAWL_MUST pawl_status pawl_finished_open(const pawl_parts *p, pawl_finished **out);
void pawl_finished_close(pawl_finished *f);
/* Makes room for those that a checkpoint holds; their tensors are then read as pawl_stack_state lists them. Local.
 * Errors: EDATA when they are more than the run can have. */
PAWL_MUST pawl_status pawl_finished_place(pawl_finished *f, const pawl_checkpoint *k);
/* Brings those that ops are to read into the device's memory, where that is another. Local. */
PAWL_MUST pawl_status pawl_finished_bring(pawl_finished *f);
/* What is under the adapter: the base with the stack worked in. Collective. */
PAWL_MUST pawl_status pawl_finished_lay(const pawl_finished *f, pawl_stepper *s);
/* The present adapter is finished, and a new one begins. Collective. */
PAWL_MUST pawl_status pawl_finished_push(pawl_finished *f, pawl_stepper *s);

#endif
