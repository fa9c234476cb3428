#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "trainer/internal.h"

pawl_cut pawl_cut_of(const pawl_train_config *t, const pawl_comm_config *r)
{
    enum { DEFAULT_LANES = 8 };
    pawl_cut c = {.rows = t->global_batch_size, .micro = t->micro_batch_size};
    c.slots = (c.rows + c.micro - 1) / c.micro;
    c.lanes = r->reduction_lanes ? (int)r->reduction_lanes : (int)(c.slots < DEFAULT_LANES ? c.slots : DEFAULT_LANES);
    return c;
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

static void add(pawl_plan *plan, const char *name, size_t bytes)
{
    plan->category[plan->categories].name = name;
    plan->category[plan->categories++].bytes = bytes;
    plan->peak_bytes += bytes;
}

/* What a checkpoint will hold, without the numbers themselves: enough to measure the writer's snapshot. */
static pawl_status snapshot_bytes(const pawl_parts *p, size_t *bytes)
{
    pawl_state like = {0}, names = {0};
    const pawl_extent *extents;
    pawl_status status;
    (void)pawl_trained_extents(p->model, p->adapter, &extents);
    PAWL_TRY_OUT(pawl_trained_state(p->model, p->adapter, NULL, "model/", &like));
    PAWL_TRY_OUT(pawl_trained_state(p->model, p->adapter, NULL, "", &names));
    PAWL_TRY_OUT(pawl_optim_state_like(p->optim, extents, &names, 0, pawl_trained_count(p->model, p->adapter), &like));
    *bytes = pawl_saver_bytes(p->comm, &like);
out:
    pawl_state_close(&names);
    pawl_state_close(&like);
    return status;
}

/* A token through the run costs 2 N forward and 4 N backward, attention 4 L d T and 8 L d T (d: all query heads together).
 * Frozen weights need no gradient of their own: 2 N backward; the adapter's come on top. */
static double flops_per_token(const pawl_parts *p, int64_t T)
{
    const pawl_model_config *m = pawl_model_settings(p->model);
    const double base = (double)pawl_model_matmul_parameters(p->model), adapter = (double)pawl_trained_parameters(p->model, p->adapter);
    return (p->adapter ? 4.0 * base + 6.0 * adapter : 6.0 * base) +
           12.0 * (double)(m->num_hidden_layers * m->num_attention_heads * m->head_dim) * (double)T;
}

/* Tokens in a row, without padding: of the run's first rows, which are all of them in a run that is short. */
static double tokens_per_row(const pawl_parts *p, int64_t rows)
{
    enum { ENOUGH = 1 << 16 };
    const int64_t count = rows < ENOUGH ? rows : ENOUGH;
    double tokens = 0;
    if (!p->data || count <= 0) return (double)p->sequence_len;
    for (int64_t at = 0; at < count; at++) tokens += (double)pawl_row_length(p->data, PAWL_TRAIN, pawl_data_row_at(p->data, at));
    return tokens / (double)count;
}

static void plan_work(const pawl_parts *p, int64_t T, pawl_plan *plan)
{
    const int64_t rows = plan->steps * p->train->global_batch_size;
    if (plan->steps == PAWL_STEPS_UNKNOWN) return;
    plan->tokens = (double)rows * tokens_per_row(p, rows);
    plan->flops = flops_per_token(p, T) * plan->tokens;
}

pawl_status pawl_plan_of(const pawl_parts *p, pawl_plan *out)
{
    const int64_t micro = p->train->micro_batch_size, T = p->data ? pawl_data_longest(p->data) : p->sequence_len;
    const int64_t count = pawl_trained_count(p->model, p->adapter);
    const pawl_extent *extents;
    const int extent_count = pawl_trained_extents(p->model, p->adapter, &extents);
    const pawl_shapes shapes = pawl_model_shapes(p->model, micro, T);
    const pawl_cut cut = pawl_cut_of(p->train, p->reduce);
    pawl_plan plan = {0};
    size_t snapshot;
    PAWL_TRY(snapshot_bytes(p, &snapshot));
    if (p->adapter) {
        add(&plan, "base weights", pawl_frozen_bytes(p->model, p->base_code));
        if (p->base_code != PAWL_CODE_NONE) add(&plan, "reading the base", pawl_frozen_fill_bytes(p->model, p->base_code));
    }
    add(&plan, "weights", (size_t)count * sizeof(float));
    add(&plan, "gradients", pawl_reduction_bytes(p->comm, p->reduce->reduction, cut.lanes, count, NULL));
    add(&plan, "optimizer", pawl_optim_bytes(p->optim, extents, extent_count, 0, count));
    add(&plan, "activations", pawl_activations_bytes(p->model, micro, T, 1));
    if (p->adapter) add(&plan, "adapter scratch", pawl_adapter_work_bytes(p->adapter, micro * T));
    add(&plan, "evaluation", pawl_activations_bytes(p->model, micro, T, 0));
    add(&plan, "scratch", pawl_device_scratch_bytes(p->device, &shapes));
    add(&plan, "checkpoint snapshot", snapshot);
    plan.steps = pawl_total_steps(p);
    plan_work(p, T, &plan);
    *out = plan;
    return PAWL_OK;
}

/* MemAvailable of /proc/meminfo, and what the control group's limit leaves. */
double pawl_memory_available(void)
{
    char *text;
    size_t bytes;
    double available = 0, limit, used;
    if (pawl_file_read("/proc/meminfo", 1 << 20, &text, &bytes) == PAWL_OK) {
        const char *at = strstr(text, "MemAvailable:");
        if (at) sscanf(at, "MemAvailable: %lf", &available);
        available *= 1024;
        pawl_free(text);
    }
    if (pawl_file_read("/sys/fs/cgroup/memory.max", 4096, &text, &bytes) == PAWL_OK) {
        const int limited = sscanf(text, "%lf", &limit) == 1;
        pawl_free(text);
        if (limited && pawl_file_read("/sys/fs/cgroup/memory.current", 4096, &text, &bytes) == PAWL_OK) {
            if (sscanf(text, "%lf", &used) == 1 && limit - used < available) available = limit - used;
            pawl_free(text);
        }
    }
    return available;
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
