/* One step: rows to slots, slots to lanes, lanes to one gradient, one update (decisions 1, 2 and 4).
 *
 * pawl_step_compute is local; pawl_step_update is collective and begins with the agreement, so a rank that failed still
 * takes part, and no rank's weights have changed when it returns an error. */
#include <math.h>
#include <stdio.h>

#include "core/span.h"
#include "trainer/continual/methods.h"
#include "trainer/stepper.h"


static void lay_out(pawl_stepper *s)
{
    const int64_t micro = s->cut.micro, rows = s->most;
    const size_t ranks = (size_t)s->p->comm->size;
    pawl_batch_lay_out(&s->small, &s->batch, micro, s->tokens);
    s->losses = pawl_take_bytes(&s->small, (size_t)(micro * s->tokens) * sizeof(float));
    s->row_lengths = pawl_take_bytes(&s->small, (size_t)micro * sizeof(int64_t));
    s->bad = pawl_take_bytes(&s->small, (size_t)micro * sizeof(int32_t));
    s->row_weights = pawl_take_bytes(&s->small, (size_t)micro * sizeof(float));
    pawl_soft_lay_out(&s->small, &s->soft, pawl_run_bins(s->p), micro, s->tokens);
    s->rows = pawl_take_bytes(&s->small, (size_t)rows * sizeof(pawl_step_row));
    s->results = pawl_take_bytes(&s->small, (size_t)rows * sizeof(pawl_row_result));
    s->mine = pawl_take_bytes(&s->small, (size_t)rows * sizeof(pawl_row_result));
    s->slots = pawl_take_bytes(&s->small, (size_t)pawl_cut_for(s->p->train, s->p->reduce, rows).slots * sizeof(int64_t));
    s->first_slot = pawl_take_bytes(&s->small, (ranks + 1) * sizeof(int64_t));
    s->lengths = pawl_take_bytes(&s->small, ranks * sizeof(size_t));
    s->offsets = pawl_take_bytes(&s->small, ranks * sizeof(size_t));
}

size_t pawl_stepper_bytes(const pawl_parts *p, int64_t tokens)
{
    pawl_stepper s = {.p = p, .cut = pawl_cut_of(p->train, p->reduce), .most = pawl_most_rows(p), .tokens = tokens};
    lay_out(&s);
    return s.small.used;
}

/* The slots of a rank from place `at` on; returns the place behind them. Stages 0 and 1: lane after lane. */
static int64_t list_lanes(pawl_stepper *s, int rank, int64_t at)
{
    int first_lane, end_lane;
    int64_t slot, end;
    pawl_lanes_of(s->cut.lanes, rank, s->p->comm->size, &first_lane, &end_lane);
    for (int lane = first_lane; lane < end_lane; lane++)
        for (pawl_lane_slots(&s->cut, lane, &slot, &end); slot < end; slot++) s->slots[at++] = slot;
    return at;
}

/* Stages 2 and 3: turn after turn, round after round. */
static int64_t list_turns(pawl_stepper *s, int rank, int64_t at)
{
    const pawl_cut *c = &s->cut;
    const int size = s->p->comm->size;
    for (int64_t round = 0; round < pawl_rounds_of(c->slots, c->lanes); round++)
        for (int64_t turn = 0; turn < pawl_turns_of(c->slots, c->lanes, size, round); turn++) {
            const int lane = pawl_turn_lane(c->slots, c->lanes, size, round, turn, rank);
            int64_t first, end;
            if (lane < 0) continue;
            pawl_lane_slots(c, lane, &first, &end);
            s->slots[at++] = first + round;
        }
    return at;
}

static void share_out(pawl_stepper *s)
{
    const int size = s->p->comm->size;
    size_t rows = 0;
    for (int rank = 0; rank < size; rank++) {
        const int64_t at = s->first_slot[rank];
        s->first_slot[rank + 1] = s->hold.stage >= 2 ? list_turns(s, rank, at) : list_lanes(s, rank, at);
        s->offsets[rank] = rows * sizeof(pawl_row_result);
        for (int64_t i = at; i < s->first_slot[rank + 1]; i++) {
            int64_t first, end;
            pawl_slot_rows(&s->cut, s->slots[i], &first, &end);
            rows += (size_t)(end - first);
        }
        s->lengths[rank] = rows * sizeof(pawl_row_result) - s->offsets[rank];
    }
}

static pawl_status take_adapter(pawl_stepper *s, const pawl_capacity *room)
{
    const pawl_parts *p = s->p;
    if (!p->adapter) return PAWL_OK;
    PAWL_TRY(pawl_frozen_open(p->model, p->device, p->base_code, pawl_run_type(p), &s->base));
    PAWL_TRY(pawl_adapter_work_open(p->adapter, room, &s->work));
    s->over = (pawl_over){.adapter = p->adapter, .base = s->base, .work = s->work, .seed = (uint64_t)p->train->seed, .first_row = -1};
    return PAWL_OK;
}

/* Scratch and kernels for slots, and for the last one of a step, which may have fewer rows: none is made inside a step. With rows
 * from a memory that number differs from step to step. */
static pawl_status reserve(const pawl_stepper *s)
{
    const int64_t rest = s->cut.rows % s->cut.micro, counts[] = {s->cut.micro, rest ? rest : s->cut.micro};
    for (int i = 0; i < 2; i++) {
        const pawl_shapes shapes = pawl_run_shapes(s->p, counts[i], s->tokens);
        PAWL_TRY(pawl_device_reserve(s->p->device, &shapes));
    }
    for (int64_t rows = 1; s->most > s->cut.rows && rows < s->cut.micro; rows++) {
        const pawl_shapes shapes = pawl_run_shapes(s->p, rows, s->tokens);
        PAWL_TRY(pawl_device_reserve(s->p->device, &shapes));
    }
    return PAWL_OK;
}

static pawl_status take(pawl_stepper *s)
{
    const pawl_parts *p = s->p;
    const pawl_extent *extents;
    const int extent_count = pawl_trained_extents(p->model, p->adapter, &extents);
    const pawl_capacity room = pawl_run_capacity(p, s->tokens, 1);
    if (p->train->fp8) PAWL_TRY(pawl_device_fp8(p->device));
    lay_out(s);
    PAWL_TRY(pawl_arena_open(&s->small));
    lay_out(s);
    PAWL_TRY(pawl_hold_open(p, &s->hold));
    share_out(s);
    PAWL_TRY(reserve(s));
    PAWL_TRY(pawl_activations_open(p->model, &room, &s->activations));
    PAWL_TRY(pawl_optim_open(p->optim, p->device, extents, extent_count, s->hold.first, s->hold.end, &s->optim));
    pawl_optim_seed(s->optim, (uint64_t)p->train->seed);
    PAWL_TRY(take_adapter(s, &room));
    return pawl_hold_state(&s->hold, s->optim, &s->state);
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
    *s = (pawl_stepper){.p = p, .cut = cut, .most = pawl_most_rows(p), .tokens = pawl_run_longest(p)};
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
    pawl_free(s->wanted);
    pawl_free(s->place);
    pawl_hold_close(&s->hold);
    pawl_activations_close(s->activations);
    pawl_adapter_work_close(s->work);
    pawl_frozen_close(s->base);
    pawl_arena_close(&s->small);
    pawl_free(s);
}

pawl_status pawl_stepper_begin(pawl_stepper *s)
{
    return pawl_optim_begin(s->optim, pawl_hold_mine(&s->hold));
}

float *pawl_stepper_weights(pawl_stepper *s)
{
    return s->hold.stage == 3 ? NULL : s->hold.weights;
}

pawl_status pawl_stepper_fill(pawl_stepper *s, pawl_weight_read read, void *self)
{
    return pawl_hold_fill(&s->hold, read, self);
}

pawl_frozen *pawl_stepper_base(pawl_stepper *s)
{
    return s->base;
}

pawl_status pawl_stepper_pass(pawl_stepper *s, pawl_pass *out)
{
    *out = (pawl_pass){.over = s->p->adapter ? &s->over : NULL};
    s->over.first_row = -1; /* nothing is dropped where nothing is learnt */
    PAWL_TRY(pawl_hold_refresh(&s->hold));
    pawl_hold_pass(&s->hold, 0, out);
    return PAWL_OK;
}

pawl_status pawl_stepper_settle(pawl_stepper *s)
{
    return pawl_hold_refresh(&s->hold);
}

const pawl_state *pawl_stepper_state(const pawl_stepper *s)
{
    return &s->state;
}

pawl_step_row *pawl_step_rows(pawl_stepper *s)
{
    return s->rows;
}

int64_t pawl_step_count(const pawl_stepper *s)
{
    return s->cut.rows;
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

static void results_of(const pawl_stepper *s, const pawl_step_row *rows, pawl_row_result *out)
{
    const pawl_batch *b = &s->batch;
    for (int64_t i = 0; i < b->rows; i++) {
        double sum = 0, soft = 0;
        const int softly = s->soft.k > 0 && s->soft.row_weights[i] != 0.0f;
        for (int64_t j = 0; j < b->tokens; j++) sum += s->losses[i * b->tokens + j];
        for (int64_t j = 0; softly && j < b->tokens; j++) soft += s->soft.loss[i * b->tokens + j];
        out[i] = (pawl_row_result){.loss = sum, .trained = pawl_step_row_trained(s, &rows[i]), .length = pawl_step_row_length(s, &rows[i]), .bad = s->bad[i]};
        out[i].soft = soft;
        out[i].soft_trained = softly ? out[i].trained : 0;
    }
}

/* Noise is counted by a row's number in the run and by its own length, so it does not depend on the slot (0003). */
static pawl_noise noise_of(pawl_stepper *s, int64_t first, int64_t end)
{
    for (int64_t i = first; i < end; i++) s->row_lengths[i - first] = pawl_step_row_length(s, &s->rows[i]);
    return (pawl_noise){.alpha = s->p->train->neftune_noise_alpha,
                        .seed = (uint64_t)s->p->train->seed,
                        .first_row = s->at + first,
                        .tokens = s->batch.tokens,
                        .lengths = s->row_lengths};
}

static void fill_slot(pawl_stepper *s, int64_t first, int64_t end)
{
    int64_t longest = 0;
    for (int64_t i = first; i < end; i++) {
        const int64_t n = pawl_step_row_length(s, &s->rows[i]);
        longest = n > longest ? n : longest;
    }
    s->batch.rows = end - first;
    s->batch.tokens = pawl_slot_tokens_for(s->p->data, longest);
    for (int64_t i = first; i < end; i++) {
        if (s->rows[i].item < 0) {
            pawl_row_fill(s->p->data, PAWL_TRAIN, s->rows[i].row, &s->batch, i - first);
        } else {
            const pawl_row_tokens r = pawl_memory_row(s->memory, s->place[i]);
            pawl_row_put(&r, &s->batch, i - first);
        }
    }
}

/* This rank's next slot. */
static pawl_status compute_slot(pawl_stepper *s, float *grads, pawl_put put, int last)
{
    const pawl_parts *p = s->p;
    pawl_soft soft;
    int64_t first, end;
    pawl_slot_rows(&s->cut, s->slots[s->next++], &first, &end);
    const int span = pawl_span_begin("rows");
    fill_slot(s, first, end);
    pawl_span_end(span);
    s->over.first_row = s->at + first;
    const pawl_noise noise = noise_of(s, first, end);
    pawl_pass pass = {.over = p->adapter ? &s->over : NULL, .noise = noise.alpha > 0 ? &noise : NULL, .grads = grads, .put = put, .scale = s->rows[first].ce, .losses = s->losses, .bad_rows = s->bad};
    pawl_hold_pass(&s->hold, 1, &pass);
    for (int64_t i = first; i < end; i++) s->row_weights[i - first] = s->rows[i].ce;
    pawl_soft_clear(&s->soft, end - first);
    if (s->methods) PAWL_TRY(pawl_methods_before_slot(s->methods, s->rows + first, end - first, &s->batch, &pass));
    pass.extra.row_weights = s->row_weights;
    pass.extra.soft = pawl_soft_of(&s->soft, end - first, &soft) ? &soft : NULL;
    if (last) pawl_hold_last(&s->hold, &pass);
    PAWL_TRY(pawl_model_pass(p->model, p->device, s->activations, &s->batch, &pass));
    results_of(s, s->rows + first, s->mine + s->done);
    s->done += end - first;
    return PAWL_OK;
}

/* Stages 0 and 1: local, but that the exchange of the last slot's gradients begins behind it between GPUs, whose hosts do not wait: a rank
 * that fails meets the others where the step is agreed on. */
static pawl_status compute_lanes(pawl_stepper *s)
{
    int first_lane, end_lane;
    pawl_reduction *r = s->hold.reduction;
    pawl_reduction_begin(r);
    pawl_lanes_of(s->cut.lanes, s->p->comm->rank, s->p->comm->size, &first_lane, &end_lane);
    for (int lane = first_lane; lane < end_lane; lane++) {
        int64_t slot, end;
        pawl_put put;
        float *grads = pawl_reduction_lane(r, &put);
        for (pawl_lane_slots(&s->cut, lane, &slot, &end); slot < end; slot++, put = PAWL_ADD)
            PAWL_TRY(compute_slot(s, grads, put, lane == end_lane - 1 && slot == end - 1));
        PAWL_SPAN_TRY("lanes", pawl_reduction_lane_done(r));
    }
    return PAWL_OK;
}

/* Stages 2 and 3: ranks meet in every part of every turn; one without a slot takes part without computing. */
static pawl_status compute_turns(pawl_stepper *s)
{
    const pawl_cut *c = &s->cut;
    const pawl_comm *comm = s->p->comm;
    pawl_pass walk = {.over = s->p->adapter ? &s->over : NULL};
    pawl_hold_pass(&s->hold, 1, &walk);
    for (int64_t round = 0; round < pawl_rounds_of(c->slots, c->lanes); round++)
        for (int64_t turn = 0; turn < pawl_turns_of(c->slots, c->lanes, comm->size, round); turn++) {
            s->hold.idle = pawl_turn_lane(c->slots, c->lanes, comm->size, round, turn, comm->rank) < 0;
            pawl_rounds_turn(s->hold.rounds, round, turn);
            if (s->hold.idle) PAWL_SPAN_TRY("a turn of others", pawl_model_walk(s->p->model, &walk));
            else PAWL_TRY(compute_slot(s, NULL, PAWL_SET, 0));
        }
    return PAWL_OK;
}

int64_t pawl_step_row_trained(const pawl_stepper *s, const pawl_step_row *r)
{
    return r->item >= 0 ? pawl_memory_kept(s->memory, r->item)->trained : pawl_row_trained(s->p->data, PAWL_TRAIN, r->row);
}

int64_t pawl_step_row_length(const pawl_stepper *s, const pawl_step_row *r)
{
    return r->item >= 0 ? pawl_memory_kept(s->memory, r->item)->tokens : pawl_row_length(s->p->data, PAWL_TRAIN, r->row);
}

/* What travels: in the order in which ranks compute it. */
static pawl_status fetch(pawl_stepper *s)
{
    int64_t count = 0;
    for (int rank = 0; rank < s->p->comm->size; rank++)
        for (int64_t i = s->first_slot[rank]; i < s->first_slot[rank + 1]; i++) {
            int64_t row, end;
            for (pawl_slot_rows(&s->cut, s->slots[i], &row, &end); row < end; row++) {
                if (s->rows[row].item < 0) continue;
                s->place[row] = count;
                s->wanted[count++] = (pawl_wanted){.item = s->rows[row].item, .to = rank};
            }
        }
    return count ? pawl_memory_fetch(s->memory, s->wanted, count) : PAWL_OK;
}

pawl_status pawl_step_begin(pawl_stepper *s, const pawl_step_order *o)
{
    s->order = *o;
    if (o->rows != s->cut.rows) {
        s->cut = pawl_cut_for(s->p->train, s->p->reduce, o->rows);
        s->hold.cut = s->cut;
        if (s->hold.rounds) pawl_rounds_slots(s->hold.rounds, s->cut.slots);
        share_out(s);
    }
    s->at = o->at;
    s->next = s->first_slot[s->p->comm->rank];
    s->done = (int64_t)(s->offsets[s->p->comm->rank] / sizeof(pawl_row_result));
    return s->memory ? fetch(s) : PAWL_OK;
}

pawl_status pawl_step_compute(pawl_stepper *s)
{
    PAWL_TRY(pawl_hold_begin(&s->hold));
    return s->hold.stage >= 2 ? compute_turns(s) : compute_lanes(s);
}

/* Every rank's results, into the order of rows. */
static pawl_status share_results(pawl_stepper *s, pawl_step_report *r)
{
    const pawl_comm *c = s->p->comm;
    const char *mine = (const char *)s->mine + s->offsets[c->rank];
    const pawl_row_result *from = s->mine;
    PAWL_TRY(pawl_allgather_blocks(s->p->comm, mine, s->lengths, s->offsets, s->mine));
    for (int64_t i = 0; i < s->cut.slots; i++) {
        int64_t row, end;
        for (pawl_slot_rows(&s->cut, s->slots[i], &row, &end); row < end; row++) {
            if (i >= s->first_slot[c->rank] && i < s->first_slot[c->rank + 1]) r->my_tokens += from->length;
            s->results[row] = *from++;
        }
    }
    return PAWL_OK;
}

/* Sums in the order of rows, so the loss does not depend on who computed which. */
static int sum_results(const pawl_stepper *s, pawl_step_report *r)
{
    double loss = 0, soft = 0;
    int64_t soft_trained = 0;
    int bad = 0;
    for (int64_t g = 0; g < s->cut.rows; g++) {
        if (g < s->order.batch) loss += s->results[g].loss;
        if (g < s->order.batch) r->trained += s->results[g].trained;
        r->tokens += s->results[g].length;
        soft += s->results[g].soft;
        soft_trained += s->results[g].soft_trained;
        bad |= s->results[g].bad;
    }
    r->loss = r->trained ? loss / (double)r->trained : 0;
    r->distill = soft_trained ? soft / (double)soft_trained : 0;
    return bad;
}

/* Methods see the summed gradient of this rank's range. What they add to the loss is summed over ranks by their numbers. */
static pawl_status change_gradient(pawl_stepper *s, float *grads, pawl_step_report *r)
{
    const pawl_comm *c = s->p->comm;
    double mine = 0, all[PAWL_RANKS_MOST];
    PAWL_TRY(pawl_agree(s->p->comm, pawl_methods_gradient(s->methods, pawl_hold_mine(&s->hold), grads, &mine)));
    if (s->hold.stage == 0) {
        r->penalty = mine;
        return PAWL_OK;
    }
    PAWL_TRY(pawl_allgather(s->p->comm, &mine, sizeof mine, all));
    for (int i = 0; i < c->size; i++) r->penalty += all[i];
    return PAWL_OK;
}

/* What a save is copying changes from here on. It may take longer than a step does. */
static pawl_status await_save(pawl_stepper *s)
{
    const char *what;
    double limit;
    if (pawl_device_shares_memory(s->p->device)) return PAWL_OK;
    (void)pawl_watch_left(&limit, &what);
    pawl_watch("copying a checkpoint", (double)s->p->reduce->phase_seconds);
    PAWL_SPAN_TRY("save: copies", pawl_snapshot_await(s->p->device));
    pawl_watch(what, limit);
    return PAWL_OK;
}

/* Agreed on where ranks did different work: those that were well would wait for the weights of one that was not. */
static pawl_status update(pawl_stepper *s, const float *grads, const pawl_step_report *r)
{
    float *mine = pawl_hold_mine(&s->hold);
    pawl_status status = await_save(s);
    if (status == PAWL_OK && s->methods) status = pawl_methods_before_update(s->methods, mine, grads, r->lr);
    if (status == PAWL_OK) status = pawl_optim_step(s->optim, pawl_hold_numbers(&s->hold), grads, r->grad_norm, r->lr, s->order.step);
    if (status == PAWL_OK && s->methods) status = pawl_methods_updated(s->methods, mine);
    return s->hold.stage > 0 ? pawl_agree(s->p->comm, status) : status;
}

pawl_status pawl_step_update(pawl_stepper *s, pawl_status mine, pawl_step_report *out)
{
    pawl_step_report r = {.lr = s->order.lr, .replayed = s->order.replayed};
    float *grads;
    PAWL_TRY(pawl_meet(s->p->comm, mine));
    PAWL_TRY(share_results(s, &r));
    const int bad = sum_results(s, &r);
    PAWL_SPAN_TRY("reduction", pawl_hold_sum(&s->hold, &grads));
    if (s->methods && s->methods->count > 0) PAWL_SPAN_TRY("methods", change_gradient(s, grads, &r));
    PAWL_SPAN_TRY("norm", pawl_hold_norm(&s->hold, s->optim, grads, &r.grad_norm));
    r.skipped = bad || !isfinite(r.loss) || !isfinite(r.grad_norm);
    if (!r.skipped) {
        PAWL_SPAN_TRY("optimizer", update(s, grads, &r));
        PAWL_SPAN_TRY("spread", pawl_hold_spread(&s->hold));
    }
    *out = r;
    return PAWL_OK;
}

pawl_status pawl_stepper_seal(pawl_stepper *s)
{
    int changed = 0;
    PAWL_TRY(pawl_stepper_settle(s));
    pawl_status status = await_save(s);
    if (status == PAWL_OK && s->methods) status = pawl_methods_seal(s->methods, pawl_hold_mine(&s->hold), &changed);
    if (!s->methods || s->methods->count == 0) return status;
    PAWL_TRY(pawl_agree(s->p->comm, status));
    return changed ? pawl_hold_spread(&s->hold) : PAWL_OK;
}

pawl_optim *pawl_stepper_optim(pawl_stepper *s)
{
    return s->optim;
}

pawl_status pawl_stepper_names(const pawl_stepper *s, pawl_state *out)
{
    return pawl_trained_state(s->p->model, s->p->adapter, NULL, "", out);
}

pawl_status pawl_stepper_join(pawl_stepper *s, pawl_memory *memory, pawl_methods *methods)
{
    s->methods = methods;
    s->memory = memory;
    if (!memory) return PAWL_OK;
    PAWL_TRY(pawl_alloc((void **)&s->wanted, (size_t)s->most * sizeof *s->wanted, "rows from the memory"));
    PAWL_TRY(pawl_alloc((void **)&s->place, (size_t)s->most * sizeof *s->place, "rows from the memory"));
    const int64_t reference = s->p->continual->agem.present ? s->p->continual->agem.value.rows : 0;
    const int64_t rows = s->most > reference ? s->most : reference;
    return pawl_memory_reserve(memory, rows, rows);
}
