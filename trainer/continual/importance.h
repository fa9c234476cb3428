/* trainer/continual/importance.h - private to trainer/: how much each weight matters to rows that were learnt. */
#ifndef PAWL_TRAINER_CONTINUAL_IMPORTANCE_H
#define PAWL_TRAINER_CONTINUAL_IMPORTANCE_H

#include "trainer/continual/side.h"
#include "trainer/continual/slices.h"

/* The mean over rows of a function of one row's own gradient: one row a backward pass, squared (or without its sign)
 * before it is added to anything, so that no number depends on batches or ranks. Squaring a mean over B rows would
 * estimate its variance / B. */
typedef enum pawl_importance {
    PAWL_FISHER_EMPIRICAL, /* (d log p(row) / d w)^2, with the labels of the data; log p: the sum over its trained
                              tokens */
    PAWL_FISHER_TRUE,      /* the same with labels drawn from the model's own distribution */
    PAWL_SENSITIVITY       /* |d f / d w| with f the mean over tokens of ||logits||^2 (MAS) */
} pawl_importance;

/* Of `rows` of the stage's rows, those that were seen first (fewer when it saw fewer); or of general data, evenly over
 * them. to: over this rank's range. *found: how many there were; 0: to is as it was. Takes memory while it runs.
 * Collective. */
PAWL_MUST pawl_status pawl_importance_of_stage(const pawl_moment *m, pawl_importance how, int64_t rows, float *to,
                                               int64_t *found);
PAWL_MUST pawl_status pawl_importance_of_general(const pawl_moment *m, pawl_importance how, int64_t rows, float *to,
                                                 int64_t *found);
/* Whether there is general data, which counts as learnt before the first stage. */
int pawl_has_general(const pawl_moment *m);

#endif
