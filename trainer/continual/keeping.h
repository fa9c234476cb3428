/* trainer/continual/keeping.h - the loop's side of retention: verdicts at the ends of stages, probes between them, and
 * the controller that chooses how much is replayed. */
#ifndef PAWL_TRAINER_CONTINUAL_KEEPING_H
#define PAWL_TRAINER_CONTINUAL_KEEPING_H

#include "trainer/internal.h"

/* The present stage has ended and is measured: judges it, in lineage and metrics, unless it says so already. Local; all
 * ranks. */
PAWL_MUST pawl_status pawl_gate_record(pawl_trainer *t);
/* Whether the checkpoint of this step is within the budget, which makes it the best. */
int pawl_gate_passed(const pawl_trainer *t);
/* *over = 1 when the run ends here, since the budget is exceeded. */
int pawl_gate_stops(const pawl_trainer *t);
/* What forgetting_budget asks for, at the end of such a run; what it came to is shown and in metrics.
 * *gone_back = 1 when LATEST names an earlier checkpoint now. Collective. */
PAWL_MUST pawl_status pawl_gate_act(pawl_trainer *t, int *gone_back);

/* Measures some rows of every domain that was learnt before the present stage: when it begins, every so many steps,
 * when it ends. Not twice at the same step. Then the controller decides. Collective. */
PAWL_MUST pawl_status pawl_probe(pawl_trainer *t, int *stopped);
/* Errors: EDATA when something is to be judged, probed or controlled, and no row is held out. Local. */
PAWL_MUST pawl_status pawl_keeping_check(const pawl_trainer *t);
/* The step of the last probe that the lineage knows of; -1. */
int64_t pawl_probed(const pawl_trainer *t);

#endif
