/* micro_batch_size: auto. The rule, in this order:
 *   - a slot has enough positions to keep the matrix products busy, and no more: more rows than that take memory and win no
 *     time (docs/decisions/0028);
 *   - the slots of a step stay at least as many as lanes are asked for, or could be, or ranks, so that the run can be shared;
 *   - it divides global_batch_size, so that no slot is smaller than the others;
 *   - of what is left, the largest that fits. If nothing does it is 1, and the run is refused with what would help. */
#include "trainer/planning.h"

enum { ENOUGH_POSITIONS = 2048 };

static int64_t most_rows(const pawl_parts *p)
{
    const int64_t T = pawl_run_longest(p), rows = p->train->global_batch_size;
    int64_t slots = p->reduce->reduction_lanes ? p->reduce->reduction_lanes : PAWL_LANES_DEFAULT;
    if (slots < p->comm->size) slots = p->comm->size;
    const int64_t enough = (ENOUGH_POSITIONS + T - 1) / T, most = rows / slots;
    return most < 1 ? 1 : most < enough ? most : enough;
}

pawl_status pawl_micro_auto(const pawl_parts *p, const pawl_budget *budget, int64_t *micro)
{
    pawl_train_config train = *p->train;
    pawl_parts parts = *p;
    parts.train = &train;
    for (*micro = most_rows(p); *micro > 1; --*micro) {
        pawl_plan plan;
        if (train.global_batch_size % *micro != 0) continue;
        train.micro_batch_size = *micro;
        PAWL_TRY(pawl_plan_most(&parts, &plan));
        if (pawl_plan_is_within(&plan, budget)) return PAWL_OK;
    }
    return PAWL_OK;
}
