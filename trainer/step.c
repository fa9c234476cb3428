/* One step: rows to slots, slots to lanes, lanes to one gradient, one update (decisions 1, 2 and 4).
 *
 * pawl_step_compute is local; pawl_step_update is collective and begins with the agreement, so a rank that failed still
 * takes part, and no rank's weights have changed when it returns an error. */
#include <math.h>
#include <stdio.h>

#include "trainer/internal.h"

struct pawl_stepper {
    const pawl_parts *p;
    pawl_cut cut;
    int64_t tokens;          /* T of the largest slot */
    int64_t first_row, end_row; /* this rank's rows of every step */
    pawl_arena arena;        /* weights */
    pawl_arena small;        /* everything of a step that is not counted in gigabytes */
    float *weights;          /* [pawl_trained_count] */
    pawl_frozen *base;       /* with an adapter: what it stands on, ... */
    pawl_adapter_work *work; /* ... scratch ... */
    pawl_over over;          /* ... and both for a pass */
    int64_t at;              /* the running number of the step's first row */
    pawl_batch batch;        /* one slot */
    float *losses;           /* [micro * T] */
    int32_t *bad;            /* [micro] */
    pawl_row *rows;          /* [global_batch_size] */
    pawl_row_result *results; /* [global_batch_size] */
    size_t *lengths, *offsets; /* [ranks] of results, in bytes */
    pawl_activations *activations;
    pawl_reduction *reduction;
    pawl_optim *optim;
    pawl_state state;
};

static void lay_out(pawl_stepper *s)
{
    const int64_t micro = s->cut.micro, rows = s->cut.rows;
    const size_t ranks = (size_t)s->p->comm->size;
    s->weights = pawl_take_bytes(&s->arena, (size_t)pawl_trained_count(s->p->model, s->p->adapter) * sizeof(float));
    pawl_batch_lay_out(&s->small, &s->batch, micro, s->tokens);
    s->losses = pawl_take_bytes(&s->small, (size_t)(micro * s->tokens) * sizeof(float));
    s->bad = pawl_take_bytes(&s->small, (size_t)micro * sizeof(int32_t));
    s->rows = pawl_take_bytes(&s->small, (size_t)rows * sizeof(pawl_row));
    s->results = pawl_take_bytes(&s->small, (size_t)rows * sizeof(pawl_row_result));
    s->lengths = pawl_take_bytes(&s->small, ranks * sizeof(size_t));
    s->offsets = pawl_take_bytes(&s->small, ranks * sizeof(size_t));
}

void pawl_stepper_bytes(const pawl_parts *p, int64_t tokens, size_t *weights, size_t *batch)
{
    pawl_stepper s = {.p = p, .cut = pawl_cut_of(p->train, p->reduce), .tokens = tokens};
    lay_out(&s);
    *weights = s.arena.used;
    *batch = s.small.used;
}

static void rows_of_rank(const pawl_cut *cut, int rank, int size, int64_t *first, int64_t *end)
{
    int first_lane, end_lane;
    int64_t slot, ignored;
    pawl_lanes_of(cut->lanes, rank, size, &first_lane, &end_lane);
    pawl_lane_slots(cut, first_lane, &slot, &ignored);
    pawl_slot_rows(cut, slot, first, &ignored);
    pawl_lane_slots(cut, end_lane - 1, &ignored, &slot);
    pawl_slot_rows(cut, slot - 1, &ignored, end);
}

static void share_out(pawl_stepper *s)
{
    const pawl_comm *c = s->p->comm;
    rows_of_rank(&s->cut, c->rank, c->size, &s->first_row, &s->end_row);
    for (int rank = 0; rank < c->size; rank++) {
        int64_t first, end;
        rows_of_rank(&s->cut, rank, c->size, &first, &end);
        s->offsets[rank] = (size_t)first * sizeof(pawl_row_result);
        s->lengths[rank] = (size_t)(end - first) * sizeof(pawl_row_result);
    }
}

static pawl_status list_state(pawl_stepper *s)
{
    pawl_state names = {0};
    pawl_status status = pawl_trained_state(s->p->model, s->p->adapter, s->weights, "model/", &s->state);
    if (status == PAWL_OK) status = pawl_trained_state(s->p->model, s->p->adapter, s->weights, "", &names);
    if (status == PAWL_OK) status = pawl_optim_state(s->optim, &names, &s->state);
    pawl_state_close(&names);
    return status;
}

static pawl_status take_adapter(pawl_stepper *s)
{
    const pawl_parts *p = s->p;
    if (!p->adapter) return PAWL_OK;
    PAWL_TRY(pawl_frozen_open(p->model, p->base_code, &s->base));
    PAWL_TRY(pawl_adapter_work_open(p->adapter, s->cut.micro * s->tokens, &s->work));
    s->over = (pawl_over){.adapter = p->adapter, .base = s->base, .work = s->work, .seed = (uint64_t)p->train->seed, .first_row = -1};
    return PAWL_OK;
}

static pawl_status take(pawl_stepper *s)
{
    const pawl_parts *p = s->p;
    const pawl_extent *extents;
    const int extent_count = pawl_trained_extents(p->model, p->adapter, &extents);
    const int64_t count = pawl_trained_count(p->model, p->adapter);
    const pawl_shapes shapes = pawl_model_shapes(p->model, s->cut.micro, s->tokens);
    lay_out(s);
    PAWL_TRY(pawl_arena_open(&s->arena));
    PAWL_TRY(pawl_arena_open(&s->small));
    lay_out(s);
    share_out(s);
    PAWL_TRY(pawl_device_reserve(p->device, &shapes));
    PAWL_TRY(pawl_activations_open(p->model, s->cut.micro, s->tokens, 1, &s->activations));
    PAWL_TRY(pawl_reduction_open(p->comm, p->device, p->reduce->reduction, s->cut.lanes, count, NULL, &s->reduction));
    PAWL_TRY(pawl_optim_open(p->optim, p->device, extents, extent_count, 0, count, &s->optim));
    PAWL_TRY(take_adapter(s));
    return list_state(s);
}

pawl_status pawl_stepper_open(const pawl_parts *p, pawl_stepper **out)
{
    pawl_stepper *s;
    const pawl_cut cut = pawl_cut_of(p->train, p->reduce);
    PAWL_CHECK(p->comm->size <= cut.lanes, PAWL_EUSAGE,
               "%d ranks, but the %lld slots of a step (global_batch_size / micro_batch_size) are cut into %d lanes and a rank owns "
               "whole lanes: use at most %d ranks, or raise reduction_lanes or global_batch_size",
               p->comm->size, (long long)cut.slots, cut.lanes, cut.lanes);
    PAWL_TRY(pawl_alloc((void **)&s, sizeof *s, "the training step"));
    *s = (pawl_stepper){.p = p, .cut = cut, .tokens = pawl_data_longest(p->data)};
    s->arena.name = "weights";
    s->small.name = "batch";
    pawl_status status = take(s);
    if (status != PAWL_OK) {
        pawl_stepper_close(s);
        return status;
    }
    *out = s;
    return PAWL_OK;
}

void pawl_stepper_close(pawl_stepper *s)
{
    if (!s) return;
    pawl_state_close(&s->state);
    pawl_optim_close(s->optim);
    pawl_reduction_close(s->reduction);
    pawl_activations_close(s->activations);
    pawl_adapter_work_close(s->work);
    pawl_frozen_close(s->base);
    pawl_arena_close(&s->small);
    pawl_arena_close(&s->arena);
    pawl_free(s);
}

float *pawl_stepper_weights(pawl_stepper *s)
{
    return s->weights;
}

pawl_frozen *pawl_stepper_base(pawl_stepper *s)
{
    return s->base;
}

const pawl_over *pawl_stepper_over(pawl_stepper *s)
{
    s->over.first_row = -1; /* nothing is dropped where nothing is learnt */
    return s->p->adapter ? &s->over : NULL;
}

const pawl_state *pawl_stepper_state(const pawl_stepper *s)
{
    return &s->state;
}

const pawl_row *pawl_step_rows(const pawl_stepper *s)
{
    return s->rows;
}

const pawl_row_result *pawl_step_results(const pawl_stepper *s)
{
    return s->results;
}

void pawl_row_results_of(const pawl_data *d, pawl_part part, const pawl_row *rows, const pawl_batch *b, const float *losses,
                         const int32_t *bad, pawl_row_result *out)
{
    for (int64_t i = 0; i < b->rows; i++) {
        double sum = 0;
        for (int64_t j = 0; j < b->tokens; j++) sum += losses[i * b->tokens + j];
        out[i] = (pawl_row_result){.loss = sum,
                                   .trained = pawl_row_trained(d, part, rows[i]),
                                   .length = pawl_row_length(d, part, rows[i]),
                                   .bad = bad[i]};
    }
}

static pawl_status compute_slot(pawl_stepper *s, int64_t slot, float scale, float *grads, pawl_put put)
{
    const pawl_parts *p = s->p;
    int64_t first, end;
    pawl_slot_rows(&s->cut, slot, &first, &end);
    pawl_slot_fill(p->data, PAWL_TRAIN, s->rows + first, end - first, &s->batch);
    s->over.first_row = s->at + first;
    const pawl_pass pass = {.over = p->adapter ? &s->over : NULL, .weights = s->weights, .grads = grads, .put = put, .scale = scale, .losses = s->losses, .bad_rows = s->bad};
    PAWL_TRY(pawl_model_pass(p->model, p->device, s->activations, &s->batch, &pass));
    pawl_row_results_of(p->data, PAWL_TRAIN, s->rows + first, &s->batch, s->losses, s->bad, s->results + first);
    return PAWL_OK;
}

pawl_status pawl_step_compute(pawl_stepper *s, int64_t at)
{
    int64_t trained = 0;
    int first_lane, end_lane;
    for (int64_t g = 0; g < s->cut.rows; g++) {
        s->rows[g] = pawl_data_row_at(s->p->data, at + g);
        trained += pawl_row_trained(s->p->data, PAWL_TRAIN, s->rows[g]);
    }
    s->at = at;
    const float scale = trained ? (float)(1.0 / (double)trained) : 0;
    pawl_reduction_begin(s->reduction);
    pawl_lanes_of(s->cut.lanes, s->p->comm->rank, s->p->comm->size, &first_lane, &end_lane);
    for (int lane = first_lane; lane < end_lane; lane++) {
        int64_t slot, end;
        pawl_put put;
        float *grads = pawl_reduction_lane(s->reduction, &put);
        for (pawl_lane_slots(&s->cut, lane, &slot, &end); slot < end; slot++, put = PAWL_ADD)
            PAWL_TRY(compute_slot(s, slot, scale, grads, put));
        PAWL_TRY(pawl_reduction_lane_done(s->reduction));
    }
    return PAWL_OK;
}

/* Sums in the order of rows, so the loss does not depend on who computed which. */
static int sum_results(const pawl_stepper *s, pawl_step_report *r)
{
    double loss = 0;
    int bad = 0;
    for (int64_t g = 0; g < s->cut.rows; g++) {
        loss += s->results[g].loss;
        r->trained += s->results[g].trained;
        r->tokens += s->results[g].length;
        bad |= s->results[g].bad;
    }
    for (int64_t g = s->first_row; g < s->end_row; g++) r->my_tokens += s->results[g].length;
    r->loss = r->trained ? loss / (double)r->trained : 0;
    return bad;
}

pawl_status pawl_step_update(pawl_stepper *s, pawl_status mine, int64_t step, int64_t steps, pawl_step_report *out)
{
    pawl_comm *c = s->p->comm;
    pawl_step_report r = {.lr = pawl_learning_rate(s->p->optim, step, steps)};
    float *grads;
    PAWL_TRY(pawl_agree(c, mine));
    PAWL_TRY(pawl_allgather_blocks(c, s->results + s->first_row, s->lengths, s->offsets, s->results));
    const int bad = sum_results(s, &r);
    PAWL_TRY(pawl_reduction_end(s->reduction, &grads));
    PAWL_TRY(pawl_grad_norm(s->optim, grads, &r.grad_norm));
    r.skipped = bad || !isfinite(r.loss) || !isfinite(r.grad_norm);
    if (!r.skipped) PAWL_TRY(pawl_optim_step(s->optim, s->weights, grads, r.grad_norm, r.lr, step));
    *out = r;
    return PAWL_OK;
}
