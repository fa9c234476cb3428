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
    s.fp8 = p->train->fp8;
    return s;
}

pawl_capacity pawl_run_capacity(const pawl_parts *p, int64_t tokens, int train)
{
    return (pawl_capacity){.rows = p->train->micro_batch_size,
                           .tokens = tokens,
                           .train = train,
                           .recompute = (pawl_recompute)p->train->activation_recompute,
                           .type = pawl_run_type(p),
                           .fp8 = train && p->train->fp8,
                           .device = p->device,
                           .fused_gelu = p->train->gelu_fused && !p->adapter,
                           .offload = p->train->offload_activations,
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
    pawl_plan_takes(&w, &plan);
    pawl_plan_work(&w, &plan);
    *out = plan;
    return PAWL_OK;
}

/* Each side of the rank that needs most there. */
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
        pawl_plan_takes(&w, &plan);
        if (plan.host.peak_bytes > out->host.peak_bytes) out->host = plan.host;
        if (plan.device.peak_bytes > out->device.peak_bytes) out->device = plan.device;
    }
    return PAWL_OK;
}

/* ---- what there is ---- */

static int is_within(const pawl_plan_side *s, double budget)
{
    return budget == 0 || (double)s->peak_bytes <= budget;
}

int pawl_plan_is_within(const pawl_plan *plan, const pawl_budget *b)
{
    return is_within(&plan->host, b->host) && is_within(&plan->device, b->device);
}

static int device_ranks(const pawl_parts *p)
{
    return p->device_ranks > 0 ? p->device_ranks : 1;
}

pawl_budget pawl_budget_here(const pawl_parts *p)
{
    const double available = (double)pawl_device_memory_of(p->device).available;
    const size_t mine = pawl_device_own_of(p->device).workspace.device + pawl_arena_use_of(NULL, 1).bytes; /* taken already, and in the plan */
    return (pawl_budget){.host = pawl_memory_available() / p->comm->local_size,
                         .device = available > 0 ? available / device_ranks(p) + (double)mine : 0};
}

static pawl_status refuse(const pawl_parts *p, const pawl_plan *plan, const pawl_budget *b, int on_device)
{
    const size_t mine = on_device ? plan->device.peak_bytes : plan->host.peak_bytes;
    const int ranks = on_device ? device_ranks(p) : p->comm->local_size;
    const char *where = on_device ? "of its GPU's memory" : "here";
    char need[32], have[32], each[32], fewer[32], advice[PAWL_NEAREST_ROOM];
    pawl_plan then;
    PAWL_TRY(pawl_plan_nearest(p, b, advice, &then));
    pawl_format_bytes((double)mine * ranks, need);
    pawl_format_bytes((on_device ? b->device : b->host) * ranks, have);
    pawl_format_bytes((double)mine, each);
    if (!advice[0]) {
        pawl_plan_no_key(plan, b, device_ranks(p), p->comm->local_size, advice);
        return PAWL_FAIL(PAWL_EMEM, "the run needs %s %s (%d ranks x %s) and %s are available; %s", need, where, ranks, each, have, advice);
    }
    pawl_format_bytes((double)(on_device ? then.device.peak_bytes : then.host.peak_bytes), fewer);
    return PAWL_FAIL(PAWL_EMEM, "the run needs %s %s (%d ranks x %s) and %s are available; it fits (%s a rank) with %s", need, where, ranks,
                     each, have, fewer, advice);
}

pawl_status pawl_plan_fits(const pawl_parts *p, const pawl_plan *plan)
{
    const pawl_budget b = pawl_budget_here(p);
    if (!is_within(&plan->device, b.device)) return refuse(p, plan, &b, 1);
    return is_within(&plan->host, b.host) ? PAWL_OK : refuse(p, plan, &b, 0);
}
