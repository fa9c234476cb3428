#include "trainer/continual/side.h"

#include <string.h>

static int lanes_of(const pawl_parts *p)
{
    enum {
        USUAL = 8
    }; /* as many as a step has where nothing is said; not fewer, so that it does not depend on the batch */
    return p->reduce->reduction_lanes > USUAL ? (int)p->reduce->reduction_lanes : USUAL;
}

static int64_t whole_rounds(int64_t slots, int lanes)
{
    return (slots + lanes - 1) / lanes * lanes;
}

pawl_room pawl_side_bytes(const pawl_parts *p, int64_t slots)
{
    const pawl_extent *extents;
    const int extent_count = pawl_trained_extents(p->model, p->adapter, &extents);
    const int64_t count = pawl_trained_count(p->model, p->adapter), all = whole_rounds(slots, lanes_of(p));
    int64_t cuts[PAWL_RANKS_MOST + 1];
    pawl_owners *owners = NULL;
    if (p->reduce->zero_stage == 0) return pawl_reduction_bytes(p->comm, p->device, 0, lanes_of(p), count, NULL);
    pawl_optim_cuts(p->optim, extents, extent_count, count, p->comm->size, cuts);
    if (pawl_owners_open(p->comm, cuts, &owners) != PAWL_OK) return (pawl_room){0};
    const pawl_room bytes = p->reduce->zero_stage == 1 ? pawl_reduction_bytes(p->comm, p->device, 0, lanes_of(p), count, owners)
                                                    : pawl_rounds_bytes(p->comm, p->device, all, all, lanes_of(p), owners);
    pawl_owners_close(owners);
    return bytes;
}

/* ---- stages 2 and 3: what a pass asks for; weights come as in a step ---- */

static pawl_status need(void *self, int64_t part, pawl_part_place *at)
{
    const pawl_pass_hooks *of = &((pawl_side *)self)->stepper->hold.learning;
    return of->need(of->self, part, at);
}

static pawl_status soon(void *self, int64_t part)
{
    const pawl_pass_hooks *of = &((pawl_side *)self)->stepper->hold.learning;
    return of->soon(of->self, part);
}

static pawl_status want(void *self, int64_t part, pawl_part_place *at)
{
    pawl_side *s = self;
    int64_t first, count;
    const pawl_pass_hooks *of = &s->stepper->hold.learning;
    PAWL_TRY(of->want(of->self, part, at));
    pawl_trained_part(s->p->model, s->p->adapter, part, &first, &count);
    s->at[part] = at->grads;
    return s->empty ? pawl_zero(s->p->device, at->grads, count) : PAWL_OK;
}

static pawl_status take_form(const pawl_side *s, float *grads, int64_t count)
{
    if (s->form == PAWL_SIDE_PLAIN) return PAWL_OK;
    return pawl_magnitudes(s->p->device, grads, s->form == PAWL_SIDE_SQUARED, count);
}

static pawl_status ready(void *self, int64_t part)
{
    pawl_side *s = self;
    int64_t first, count;
    pawl_trained_part(s->p->model, s->p->adapter, part, &first, &count);
    PAWL_TRY(pawl_meet(s->p->comm, s->idle || s->empty ? PAWL_OK : take_form(s, s->at[part], count)));
    pawl_watch_renew();
    return pawl_rounds_add(s->rounds, first, count, s->idle ? NULL : s->at[part], pawl_hold_mark(&s->stepper->hold, part));
}

/* ---- opening ---- */

static pawl_status take(pawl_side *s)
{
    const pawl_hold *h = &s->stepper->hold;
    pawl_comm *c = s->p->comm;
    PAWL_TRY(pawl_alloc((void **)&s->at, (size_t)pawl_trained_parts(s->p->model) * sizeof *s->at,
                        "gradients beside a step"));
    if (h->stage < 2) return pawl_reduction_open(c, s->p->device, 0, s->lanes, h->count, h->owners, &s->reduction);
    return pawl_rounds_open(c, s->p->device, s->most, s->most, s->lanes, h->owners, &s->rounds);
}

pawl_status pawl_side_open(const pawl_moment *m, int64_t slots, pawl_side *out)
{
    *out = (pawl_side){.p = m->p, .stepper = m->stepper, .lanes = lanes_of(m->p)};
    out->most = whole_rounds(slots, out->lanes);
    return take(out);
}

void pawl_side_close(pawl_side *s)
{
    pawl_reduction_close(s->reduction);
    pawl_rounds_close(s->rounds);
    pawl_free(s->at);
    *s = (pawl_side){0};
}

int pawl_side_rank(const pawl_side *s, int64_t slots, int64_t slot)
{
    const int64_t all = whole_rounds(slots, s->lanes), round = slot / s->lanes;
    const int lane = (int)(slot % s->lanes), size = s->p->comm->size;
    for (int rank = 0; rank < size; rank++) {
        int first, end;
        pawl_lanes_of(s->lanes, rank, size, &first, &end);
        if (!s->rounds && lane >= first && lane < end) return rank;
        for (int64_t turn = 0; s->rounds && turn < pawl_turns_of(all, s->lanes, size, round); turn++)
            if (pawl_turn_lane(all, s->lanes, size, round, turn, rank) == lane) return rank;
    }
    return 0;
}

/* ---- the sum ---- */

typedef struct side_call {
    pawl_side_fill fill;
    void *self;
    int64_t slots;
    float *sum;
} side_call;

static pawl_pass pass_of(pawl_side *s, float *grads)
{
    pawl_stepper *st = s->stepper;
    pawl_pass pass = {.over = s->p->adapter ? &st->over : NULL,
                      .grads = grads,
                      .put = PAWL_SET,
                      .losses = st->losses,
                      .bad_rows = st->bad};
    st->over.first_row = -1; /* no dropout: nothing is learnt from these */
    pawl_hold_pass(&st->hold, 1, &pass);
    if (pass.hooks) {
        s->hooks = (pawl_pass_hooks){.self = s, .need = need, .soon = pass.hooks->soon ? soon : NULL, .want = want, .ready = ready};
        pass.hooks = &s->hooks;
    }
    return pass;
}

static pawl_status compute(pawl_side *s, const side_call *c, int64_t slot, float *grads)
{
    pawl_pass pass = pass_of(s, grads);
    s->empty = slot >= c->slots;
    if (s->empty && grads) return pawl_zero(s->p->device, grads, s->stepper->hold.count);
    if (s->empty) return pawl_model_walk(s->p->model, &pass);
    PAWL_TRY(c->fill(c->self, slot, &s->stepper->batch, &pass));
    PAWL_TRY(pawl_model_pass(s->p->model, s->p->device, s->stepper->activations, &s->stepper->batch, &pass));
    return grads ? take_form(s, grads, s->stepper->hold.count) : PAWL_OK;
}

static pawl_status compute_round(pawl_side *s, const side_call *c, int64_t round)
{
    int lane, end;
    pawl_put put;
    pawl_reduction_begin(s->reduction);
    pawl_lanes_of(s->lanes, s->p->comm->rank, s->p->comm->size, &lane, &end);
    for (; lane < end; lane++) {
        PAWL_TRY(compute(s, c, round * s->lanes + lane, pawl_reduction_lane(s->reduction, &put)));
        PAWL_TRY(pawl_reduction_lane_done(s->reduction));
    }
    return PAWL_OK;
}

static pawl_status sum_rounds(pawl_side *s, const side_call *c)
{
    const pawl_hold *h = &s->stepper->hold;
    float *one;
    for (int64_t round = 0; round * s->lanes < c->slots; round++) {
        PAWL_TRY(pawl_agree(s->p->comm, compute_round(s, c, round)));
        pawl_watch_renew();
        PAWL_TRY(pawl_reduction_end(s->reduction, &one));
        if (h->end == h->first) continue;
        if (round == 0)
            PAWL_TRY(pawl_copy(s->p->device, c->sum, one + h->first, h->end - h->first));
        else
            PAWL_TRY(pawl_add(s->p->device, c->sum, one + h->first, h->end - h->first));
    }
    return PAWL_OK;
}

static pawl_status sum_turns(pawl_side *s, const side_call *c)
{
    const pawl_hold *h = &s->stepper->hold;
    pawl_comm *comm = s->p->comm;
    const int64_t all = whole_rounds(c->slots, s->lanes);
    const pawl_pass walk = pass_of(s, NULL);
    pawl_rounds_slots(s->rounds, all);
    for (int64_t round = 0; round < all / s->lanes; round++)
        for (int64_t turn = 0; turn < pawl_turns_of(all, s->lanes, comm->size, round); turn++) {
            const int lane = pawl_turn_lane(all, s->lanes, comm->size, round, turn, comm->rank);
            s->idle = lane < 0;
            s->empty = 0;
            pawl_rounds_turn(s->rounds, round, turn);
            if (s->idle)
                PAWL_TRY(pawl_model_walk(s->p->model, &walk));
            else
                PAWL_TRY(compute(s, c, round * s->lanes + lane, NULL));
        }
    float *sum;
    PAWL_TRY(pawl_rounds_sum(s->rounds, &sum));
    return h->end > h->first ? pawl_copy(s->p->device, c->sum, sum, h->end - h->first) : PAWL_OK;
}

pawl_status pawl_side_sum(pawl_side *s, int64_t slots, pawl_side_form form, pawl_side_fill fill, void *self, float *sum)
{
    const side_call c = {.fill = fill, .self = self, .slots = slots, .sum = sum};
    s->form = form;
    PAWL_TRY(pawl_agree(s->p->comm, pawl_hold_refresh(&s->stepper->hold)));
    if (s->rounds) return pawl_meet(s->p->comm, sum_turns(s, &c));
    return sum_rounds(s, &c);
}
