/* The plan of a run: how a step is cut, how many there are, and what that takes (takes.c) and costs (work.c). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/memory.h"
#include "trainer/planning.h"

pawl_cut pawl_cut_of(const pawl_train_config *t, const pawl_comm_config *r)
{
    enum { DEFAULT_LANES = 8 };
    pawl_cut c = {.rows = t->global_batch_size, .micro = t->micro_batch_size};
    c.slots = (c.rows + c.micro - 1) / c.micro;
    c.lanes = r->reduction_lanes ? (int)r->reduction_lanes : (int)(c.slots < DEFAULT_LANES ? c.slots : DEFAULT_LANES);
    return c;
}

pawl_capacity pawl_run_capacity(const pawl_parts *p, int64_t tokens, int train)
{
    return (pawl_capacity){.rows = p->train->micro_batch_size,
                           .tokens = tokens,
                           .train = train,
                           .recompute = (pawl_recompute)p->train->activation_recompute};
}

void pawl_lane_slots(const pawl_cut *c, int lane, int64_t *first, int64_t *end)
{
    pawl_slots_of_lane(c->slots, c->lanes, lane, first, end);
}

void pawl_slot_rows(const pawl_cut *c, int64_t slot, int64_t *first, int64_t *end)
{
    *first = slot * c->micro;
    *end = *first + c->micro < c->rows ? *first + c->micro : c->rows;
}

int64_t pawl_total_steps(const pawl_parts *p)
{
    if (p->train->max_steps > 0) return p->train->max_steps;
    if (!p->data) return PAWL_STEPS_UNKNOWN;
    /* The last batch is filled from the next epoch's order, so it counts whole. */
    return (int64_t)ceil(p->train->num_epochs * (double)pawl_data_epoch_rows(p->data) / (double)p->train->global_batch_size);
}

pawl_status pawl_plan_of(const pawl_parts *p, pawl_plan *out)
{
    pawl_plan plan = {.steps = pawl_total_steps(p)};
    pawl_planned w = {.p = p,
                      .micro = p->train->micro_batch_size,
                      .tokens = p->data ? pawl_data_longest(p->data) : p->sequence_len};
    PAWL_TRY(pawl_hold_measure(p, &w.held));
    w.shapes = pawl_model_shapes(p->model, w.micro, w.tokens);
    PAWL_TRY(pawl_plan_takes(&w, &plan));
    pawl_plan_work(&w, &plan);
    *out = plan;
    return PAWL_OK;
}

pawl_status pawl_plan_fits(const pawl_parts *p, const pawl_plan *plan)
{
    char need[32], have[32], each[32];
    const double available = pawl_memory_available(), wanted = (double)plan->peak_bytes * p->comm->local_size;
    pawl_format_bytes(wanted, need);
    pawl_format_bytes(available, have);
    pawl_format_bytes((double)plan->peak_bytes, each);
    PAWL_CHECK(available == 0 || wanted <= available, PAWL_EMEM,
               "the run needs %s here (%d ranks x %s) and %s are available: lower micro_batch_size or sequence_len, or use "
               "fewer ranks on a machine", need, p->comm->local_size, each, have);
    return PAWL_OK;
}
