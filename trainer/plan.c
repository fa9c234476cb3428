/* The plan of a run: how a step is cut, how many there are, and what that takes (takes.c) and costs (work.c). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/memory.h"
#include "trainer/continual/methods.h"
#include "trainer/continual/soft.h"
#include "trainer/planning.h"

pawl_cut pawl_cut_of(const pawl_train_config *t, const pawl_comm_config *r)
{
    pawl_cut c = {.rows = t->global_batch_size, .micro = t->micro_batch_size};
    c.slots = (c.rows + c.micro - 1) / c.micro;
    c.lanes = r->reduction_lanes ? (int)r->reduction_lanes : (int)(c.slots < PAWL_LANES_DEFAULT ? c.slots : PAWL_LANES_DEFAULT);
    return c;
}

pawl_cut pawl_cut_for(const pawl_train_config *t, const pawl_comm_config *r, int64_t rows)
{
    pawl_cut c = pawl_cut_of(t, r);
    c.rows = rows;
    c.slots = (rows + c.micro - 1) / c.micro;
    return c;
}

int64_t pawl_most_rows(const pawl_parts *p)
{
    const pawl_continual_config *c = p->continual;
    const int64_t rows = p->train->global_batch_size;
    const int add = c && c->replay.present && c->replay.value.rows == PAWL_REPLAY_ADD;
    return rows + (add ? rows : 0) + pawl_methods_rows(p);
}

/* What the model writes itself may be longer than any row of data that are not packed. */
int64_t pawl_run_longest(const pawl_parts *p)
{
    const int writes = p->continual && p->continual->synthesis.present;
    const int64_t longest = p->data && !writes ? pawl_data_longest(p->data) : p->sequence_len;
    return longest < p->sequence_len ? longest : p->sequence_len;
}

pawl_dtype pawl_run_type(const pawl_parts *p)
{
    return p->train->bf16 ? PAWL_BF16 : PAWL_F32;
}

/* Of steps and of evaluations. */
static int64_t most_bins(const pawl_parts *p)
{
    const int64_t steps = pawl_run_bins(p), evaluations = pawl_drift_bins(p);
    return steps > evaluations ? steps : evaluations;
}

pawl_shapes pawl_run_shapes(const pawl_parts *p, int64_t rows, int64_t tokens)
{
    pawl_shapes s = pawl_model_shapes(p->model, rows, tokens);
    s.type = pawl_run_type(p);
    s.rank = p->adapter ? pawl_adapter_rank(p->adapter) : 0;
    s.muon = pawl_optim_is_muon(p->optim);
    s.bins = most_bins(p);
    return s;
}

pawl_capacity pawl_run_capacity(const pawl_parts *p, int64_t tokens, int train)
{
    return (pawl_capacity){.rows = p->train->micro_batch_size,
                           .tokens = tokens,
                           .train = train,
                           .recompute = (pawl_recompute)p->train->activation_recompute,
                           .type = pawl_run_type(p),
                           .device = p->device,
                           .bins = train ? pawl_run_bins(p) : most_bins(p)};
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
    pawl_stream stream;
    pawl_stream_of(p, &stream);
    return stream.steps;
}

static pawl_status planned_of(const pawl_parts *p, pawl_planned *out)
{
    pawl_planned w = {.p = p, .micro = p->train->micro_batch_size, .tokens = pawl_run_longest(p)};
    PAWL_TRY(pawl_hold_measure(p, &w.held));
    w.shapes = pawl_run_shapes(p, w.micro, w.tokens);
    *out = w;
    return PAWL_OK;
}

pawl_status pawl_plan_of(const pawl_parts *p, pawl_plan *out)
{
    pawl_planned w;
    pawl_plan plan = {.steps = pawl_total_steps(p)};
    PAWL_TRY(planned_of(p, &w));
    PAWL_TRY(pawl_plan_takes(&w, &plan));
    pawl_plan_work(&w, &plan);
    *out = plan;
    return PAWL_OK;
}

pawl_status pawl_plan_most(const pawl_parts *p, pawl_plan *out)
{
    *out = (pawl_plan){.steps = PAWL_STEPS_UNKNOWN};
    for (int rank = 0; rank < p->comm->size; rank++) {
        pawl_comm like = *p->comm;
        pawl_parts parts = *p;
        pawl_plan plan = {.steps = PAWL_STEPS_UNKNOWN};
        like.rank = rank;
        parts.comm = &like;
        pawl_planned w;
        PAWL_TRY(planned_of(&parts, &w));
        PAWL_TRY(pawl_plan_takes(&w, &plan));
        if (plan.peak_bytes > out->peak_bytes) *out = plan;
    }
    return PAWL_OK;
}

pawl_status pawl_plan_fits(const pawl_parts *p, const pawl_plan *plan)
{
    const double available = pawl_memory_available(), wanted = (double)plan->peak_bytes * p->comm->local_size;
    char need[32], have[32], each[32], advice[PAWL_NEAREST_ROOM];
    pawl_plan then;
    if (available == 0 || wanted <= available) return PAWL_OK;
    PAWL_TRY(pawl_plan_nearest(p, available / p->comm->local_size, advice, &then));
    pawl_format_bytes(wanted, need);
    pawl_format_bytes(available, have);
    pawl_format_bytes((double)plan->peak_bytes, each);
    if (!advice[0])
        return PAWL_FAIL(PAWL_EMEM,
                         "the run needs %s here (%d ranks x %s) and %s are available; no key alone or with others makes it fit: take a "
                         "smaller model, an adapter, or fewer ranks on a machine", need, p->comm->local_size, each, have);
    char fewer[32];
    pawl_format_bytes((double)then.peak_bytes, fewer);
    return PAWL_FAIL(PAWL_EMEM, "the run needs %s here (%d ranks x %s) and %s are available; it fits (%s a rank) with %s", need,
                     p->comm->local_size, each, have, fewer, advice);
}
