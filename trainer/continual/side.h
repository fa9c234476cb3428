/* trainer/continual/side.h - private to trainer/: gradients beside those of a step, summed over ranks by themselves.
 *
 * Slots go to lanes round by round: slot r L + l is lane l's of round r; what is missing of the last round counts as
 * zeros. A round's lanes are joined by the tree over lanes, rounds are added one after another: the same bits at any
 * number of ranks and zero_stage. */
#ifndef PAWL_TRAINER_CONTINUAL_SIDE_H
#define PAWL_TRAINER_CONTINUAL_SIDE_H

#include "trainer/continual/methods.h"

/* What is done to the gradient of one slot before it is added to any other. */
typedef enum pawl_side_form { PAWL_SIDE_PLAIN, PAWL_SIDE_ABSOLUTE, PAWL_SIDE_SQUARED } pawl_side_form;

typedef struct pawl_side {
    const pawl_parts *p;
    pawl_stepper *stepper; /* whose batch, activations and weights are used between steps */
    int lanes;
    int64_t most;              /* slots at most */
    pawl_reduction *reduction; /* zero_stage 0 and 1 */
    pawl_rounds *rounds;       /* 2 and 3 */
    pawl_pass_hooks hooks;
    float **at; /* [parts] where a part's gradients are */
    pawl_side_form form;
    int idle, empty; /* of the present turn: no slot of this rank's; a slot without rows */
} pawl_side;

pawl_room pawl_side_bytes(const pawl_parts *p, int64_t slots);
/* For at most so many slots. Local. */
PAWL_MUST pawl_status pawl_side_open(const pawl_moment *m, int64_t slots, pawl_side *out);
void pawl_side_close(pawl_side *s);
/* The rank that computes a slot, of so many. */
int pawl_side_rank(const pawl_side *s, int64_t slots, int64_t slot);

/* Fills the stepper's batch with a slot, and says what else is wanted of its pass (scale, extra). Local. */
typedef pawl_status (*pawl_side_fill)(void *self, int64_t slot, pawl_batch *b, pawl_pass *pass);
/* sum [this rank's range] = the sum over slots of their gradients in that form. Collective. */
PAWL_MUST pawl_status pawl_side_sum(pawl_side *s, int64_t slots, pawl_side_form form, pawl_side_fill fill, void *self,
                                    float *sum);

#endif
