#include "trainer/held.h"

#include <string.h>

#include "trainer/continual/methods.h"
#include "trainer/internal.h"

/* ---- memory ---- */

/* In bf16 runs. */
static void lay_out_low(pawl_hold *h)
{
    int64_t first, count;
    if (!h->p->train->bf16) return;
    if (h->stage == 3) pawl_hold_lay_out_low(h, h->masters ? &h->low_arena : &h->gathered_arena, h->gathered_low);
    if (h->stage == 3 || !h->masters) return;
    pawl_low_stretch(h->p->model, h->p->adapter, &first, &count);
    h->low = pawl_take_bytes(&h->low_arena, (size_t)count * sizeof(uint16_t));
}

static void lay_out(pawl_hold *h)
{
    const pawl_parts *p = h->p;
    const pawl_extent *extents;
    const int extent_count = pawl_trained_extents(p->model, p->adapter, &extents);
    const size_t ranks = (size_t)p->comm->size;
    const int64_t weights = h->stage == 3 ? h->end - h->first : h->count;
    if (h->masters) {
        h->weights = pawl_take_bytes(&h->weights_arena, (size_t)weights * sizeof(float));
    } else {
        h->low = pawl_take_bytes(&h->weights_arena, (size_t)weights * sizeof(uint16_t));
        h->vectors = pawl_take_bytes(&h->weights_arena, (size_t)pawl_vectors_count(p->model) * sizeof(float));
    }
    lay_out_low(h);
    if (h->stage == 3 && h->masters) pawl_hold_lay_out_parts(h, &h->gathered_arena, h->gathered);
    if (h->stage >= 2) pawl_hold_lay_out_parts(h, &h->grads_arena, h->grads);
    if (h->stage == 0) return;
    h->blocks = pawl_take_bytes(&h->norm_arena, (size_t)pawl_norm_blocks(extents, extent_count, 0, h->count) * sizeof(double));
    h->lengths = pawl_take_bytes(&h->norm_arena, ranks * sizeof(size_t));
    h->offsets = pawl_take_bytes(&h->norm_arena, ranks * sizeof(size_t));
}

/* Parts begin at even numbers, and so do tensors, but for one that lies right behind another of an odd count. */
static pawl_status deal_pairs(pawl_hold *h, int64_t *cuts)
{
    for (int r = 0; r <= h->p->comm->size; r++) {
        PAWL_CHECK(cuts[r] % 2 == 0, PAWL_EUSAGE,
                   "zero_stage: without master weights they are gathered in pairs of bfloat16, and rank %d of %d would begin inside one (a side of the model "
                   "is odd): leave zero_stage or master_weights out, or take another number of ranks", r, h->p->comm->size);
        cuts[r] /= 2;
    }
    return pawl_owners_open(h->p->comm, cuts, &h->pairs);
}

static pawl_status deal_ranges(pawl_hold *h)
{
    const pawl_parts *p = h->p;
    const pawl_extent *extents;
    const int extent_count = pawl_trained_extents(p->model, p->adapter, &extents);
    int64_t *cuts;
    if (h->stage == 0) return PAWL_OK;
    PAWL_TRY(pawl_alloc((void **)&cuts, (size_t)(p->comm->size + 1) * sizeof *cuts, "the ranges of ranks"));
    pawl_optim_cuts(p->optim, extents, extent_count, h->count, p->comm->size, cuts);
    pawl_status s = pawl_owners_open(p->comm, cuts, &h->owners);
    if (s == PAWL_OK) pawl_owner_range(h->owners, p->comm->rank, &h->first, &h->end);
    if (s == PAWL_OK && !h->masters) s = deal_pairs(h, cuts);
    pawl_free(cuts);
    return s;
}

static pawl_hold hold_of(const pawl_parts *p)
{
    const int64_t count = pawl_trained_count(p->model, p->adapter);
    return (pawl_hold){.p = p,
                       .cut = pawl_cut_for(p->train, p->reduce, pawl_most_rows(p)),
                       .stage = (int)p->reduce->zero_stage,
                       .behind = pawl_comm_overlaps(p->comm, p->device),
                       .count = count,
                       .end = count,
                       .masters = p->optim->master_weights,
                       .weights_arena = {.name = "weights"},
                       .low_arena = {.name = "bf16 weights"},
                       .gathered_arena = {.name = "gathered weights"},
                       .grads_arena = {.name = "gradients"},
                       .norm_arena = {.name = "gradients"}};
}

/* By which weights are gathered. */
static pawl_owners *gatherer(const pawl_hold *h)
{
    return h->masters ? h->owners : h->pairs;
}

static pawl_room sum_bytes(const pawl_hold *h)
{
    const pawl_parts *p = h->p;
    const size_t staging = h->owners ? pawl_owners_staging_bytes(gatherer(h), p->device) : 0;
    return pawl_room_add((pawl_room){.host = staging}, h->stage >= 2 ? pawl_rounds_bytes(p->comm, p->device, pawl_cut_of(p->train, p->reduce).slots, h->cut.slots, h->cut.lanes, h->owners)
                         : pawl_reduction_bytes(p->comm, p->device, p->reduce->reduction, h->cut.lanes, h->count, h->owners));
}

/* Of the blocks that take() and the reduction open as shared ones. */
static size_t rest_bytes(const pawl_hold *h, pawl_room sums)
{
    const size_t shared[] = {h->stage > 0 ? h->weights_arena.used : 0, h->gathered_arena.used, h->grads_arena.used, sums.device};
    size_t rest = 0;
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++) rest += pawl_shared_rest(h->p->comm, h->p->device, shared[i]);
    return rest;
}

static pawl_status measure(pawl_hold *h, pawl_hold_sizes *out)
{
    const pawl_parts *p = h->p;
    const pawl_extent *extents;
    const int extent_count = pawl_trained_extents(p->model, p->adapter, &extents);
    pawl_state like = {0};
    PAWL_TRY(deal_ranges(h));
    lay_out(h);
    pawl_status s = pawl_hold_state(h, NULL, &like);
    if (s == PAWL_OK) s = pawl_methods_state_like(p, h->first, h->end, &like);
    *out = (pawl_hold_sizes){.first = h->first, .end = h->end, .weights = h->weights_arena.used,
                             .low = h->low_arena.used,
                             .gathered = h->gathered_arena.used,
                             .rest = rest_bytes(h, sum_bytes(h)),
                             .gradients = pawl_room_add(pawl_room_of(&h->grads_arena, &h->norm_arena), sum_bytes(h)),
                             .optimizer = pawl_optim_bytes(p->optim, p->device, extents, extent_count, h->first, h->end),
                             .snapshot = s == PAWL_OK ? pawl_saver_bytes(p->comm, &like) : 0};
    pawl_state_close(&like);
    return s;
}

pawl_status pawl_hold_measure(const pawl_parts *p, pawl_hold_sizes *out)
{
    pawl_hold h = hold_of(p);
    const pawl_status s = measure(&h, out);
    pawl_owners_close(h.owners);
    pawl_owners_close(h.pairs);
    return s;
}

/* ---- opening ---- */

static void count_blocks(pawl_hold *h)
{
    const pawl_extent *extents;
    const int extent_count = pawl_trained_extents(h->p->model, h->p->adapter, &extents);
    size_t at = 0;
    for (int r = 0; r < h->p->comm->size && h->owners; r++) {
        int64_t first, end;
        pawl_owner_range(h->owners, r, &first, &end);
        h->offsets[r] = at;
        h->lengths[r] = (size_t)pawl_norm_blocks(extents, extent_count, first, end) * sizeof(double);
        at += h->lengths[r];
    }
}

/* What ranks exchange. An arena with nothing in it is none. */
static pawl_status open_arena(const pawl_hold *h, pawl_arena *a)
{
    return a->used ? pawl_shared_open(h->p->comm, h->p->device, a) : PAWL_OK;
}

static pawl_status take(pawl_hold *h)
{
    const pawl_parts *p = h->p;
    PAWL_TRY(deal_ranges(h));
    lay_out(h);
    if (h->owners) PAWL_TRY(pawl_owners_stage(gatherer(h), p->device));
    PAWL_TRY(h->stage > 0 ? open_arena(h, &h->weights_arena) : pawl_arena_open_on(p->device, PAWL_ON_DEVICE, &h->weights_arena));
    if (h->low_arena.used) PAWL_TRY(pawl_arena_open_on(p->device, PAWL_ON_DEVICE, &h->low_arena));
    PAWL_TRY(open_arena(h, &h->gathered_arena));
    PAWL_TRY(open_arena(h, &h->grads_arena));
    if (h->norm_arena.used) PAWL_TRY(pawl_arena_open(&h->norm_arena));
    lay_out(h);
    count_blocks(h);
    if (h->stage >= 2) return pawl_rounds_open(p->comm, p->device, pawl_cut_of(p->train, p->reduce).slots, h->cut.slots, h->cut.lanes, h->owners, &h->rounds);
    return pawl_reduction_open(p->comm, p->device, p->reduce->reduction, h->cut.lanes, h->count, h->owners, &h->reduction);
}

pawl_status pawl_hold_open(const pawl_parts *p, pawl_hold *out)
{
    *out = hold_of(p);
    pawl_hold_hooks(out);
    return take(out);
}

void pawl_hold_close(pawl_hold *h)
{
    pawl_reduction_close(h->reduction);
    pawl_rounds_close(h->rounds);
    pawl_owners_close(h->owners);
    pawl_owners_close(h->pairs);
    pawl_arena *const shared[] = {&h->weights_arena, &h->gathered_arena, &h->grads_arena};
    for (size_t i = 0; h->p && i < sizeof shared / sizeof *shared; i++) pawl_shared_close(h->p->comm, h->p->device, shared[i]);
    if (h->p) pawl_arena_close_on(h->p->device, PAWL_ON_DEVICE, &h->low_arena);
    pawl_arena_close(&h->norm_arena);
}

/* ---- the end of a step ---- */

pawl_status pawl_hold_sum(pawl_hold *h, float **grads)
{
    PAWL_TRY(pawl_hold_refresh(h)); /* where this rank had no pass */
    if (h->rounds) return pawl_rounds_sum(h->rounds, grads);
    PAWL_TRY(pawl_reduction_end(h->reduction, grads));
    *grads += h->first;
    return PAWL_OK;
}

pawl_status pawl_hold_norm(pawl_hold *h, pawl_optim *o, const float *grads, double *norm)
{
    const pawl_extent *extents;
    const int extent_count = pawl_trained_extents(h->p->model, h->p->adapter, &extents);
    if (h->stage == 0) return pawl_grad_norm(o, grads, norm);
    double *mine = (double *)((char *)h->blocks + h->offsets[h->p->comm->rank]);
    PAWL_TRY(pawl_agree(h->p->comm, pawl_norm_squares(o, grads, mine)));
    PAWL_TRY(pawl_allgather_blocks(h->p->comm, mine, h->lengths, h->offsets, h->blocks));
    *norm = pawl_norm_join(extents, extent_count, h->blocks);
    return PAWL_OK;
}

float *pawl_hold_mine(pawl_hold *h)
{
    return h->stage == 3 || !h->masters ? h->weights : h->weights + h->first;
}

void *pawl_hold_numbers(pawl_hold *h)
{
    if (h->masters) return pawl_hold_mine(h);
    return h->stage == 3 ? h->low : h->low + h->first;
}
