/* trainer/planning.h - private to trainer/: what a plan is made from. */
#ifndef PAWL_TRAINER_PLANNING_H
#define PAWL_TRAINER_PLANNING_H

#include "trainer/held.h"
#include "trainer/internal.h"

enum { PAWL_LANES_DEFAULT = 8 };

typedef struct pawl_planned {
    const pawl_parts *p;
    int64_t micro, tokens; /* rows and T of the largest slot */
    pawl_hold_sizes held;  /* of weights, gradients and state on this rank */
    pawl_shapes shapes;
} pawl_planned;

/* Bytes by category on each side, at the time when they are most together there (takes.c). Local. */
void pawl_plan_takes(const pawl_planned *w, pawl_plan *plan);
/* Tokens and FLOP of plan->steps steps (work.c). Local. */
void pawl_plan_work(const pawl_planned *w, pawl_plan *plan);

#endif
