#include "trainer/held.h"

#include <string.h>

#include "trainer/continual/methods.h"
#include "trainer/internal.h"

/* ---- memory ---- */

static int64_t part_count(const pawl_parts *p, int64_t part)
{
    int64_t first, count;
    pawl_trained_part(p->model, p->adapter, part, &first, &count);
    return count;
}

static int buffer_of(const pawl_parts *p, int64_t part)
{
    if (part == 0) return PAWL_HELD_BELOW;
    return part == pawl_trained_parts(p->model) - 1 ? PAWL_HELD_ABOVE : PAWL_HELD_BLOCK;
}

/* One block is in use at a time. What lies below the blocks and above them is in use together only where the head is the
 * embedding; else it takes turns in one buffer. */
static void lay_out_parts(const pawl_parts *p, pawl_arena *a, size_t bytes, void *to[PAWL_HELD_PARTS])
{
    const int64_t parts = pawl_trained_parts(p->model);
    int64_t most[PAWL_HELD_PARTS] = {0};
    for (int64_t part = 0; part < parts; part++) {
        int64_t *at = &most[buffer_of(p, part)];
        if (part_count(p, part) > *at) *at = part_count(p, part);
    }
    const int together = pawl_model_settings(p->model)->tie_word_embeddings != 0;
    if (!together && most[PAWL_HELD_ABOVE] > most[PAWL_HELD_BELOW]) most[PAWL_HELD_BELOW] = most[PAWL_HELD_ABOVE];
    for (int i = 0; i < PAWL_HELD_PARTS; i++)
        to[i] = i == PAWL_HELD_ABOVE && !together ? to[PAWL_HELD_BELOW] : pawl_take_bytes(a, (size_t)most[i] * bytes);
}

static void lay_out_floats(const pawl_parts *p, pawl_arena *a, float *to[PAWL_HELD_PARTS])
{
    void *at[PAWL_HELD_PARTS];
    lay_out_parts(p, a, sizeof(float), at);
    for (int i = 0; i < PAWL_HELD_PARTS; i++) to[i] = at[i];
}

/* In bf16 runs. */
static void lay_out_low(pawl_hold *h)
{
    void *at[PAWL_HELD_PARTS];
    int64_t first, count;
    if (!h->p->train->bf16) return;
    if (h->stage == 3) {
        lay_out_parts(h->p, h->masters ? &h->low_arena : &h->gathered_arena, sizeof(uint16_t), at);
        for (int i = 0; i < PAWL_HELD_PARTS; i++) h->gathered_low[i] = at[i];
        return;
    }
    if (!h->masters) return;
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
    if (h->stage == 3 && h->masters) lay_out_floats(p, &h->gathered_arena, h->gathered);
    if (h->stage >= 2) lay_out_floats(p, &h->grads_arena, h->grads);
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
                       .count = count,
                       .end = count,
                       .masters = p->optim->master_weights,
                       .weights_arena = {.name = "weights"},
                       .low_stale = 1,
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

/* ---- what a pass asks for ---- */

static pawl_status round_numbers(const pawl_hold *h, float *from, int64_t count, uint16_t *to)
{
    return pawl_cast(h->p->device, (pawl_tensor){from, PAWL_F32, 1, {count}}, (pawl_tensor){to, PAWL_BF16, 1, {count}});
}

static pawl_status widen_all(const pawl_hold *h)
{
    for (int64_t part = 0; part < pawl_trained_parts(h->p->model); part++) {
        int64_t first, count;
        pawl_trained_part(h->p->model, NULL, part, &first, &count);
        PAWL_TRY(pawl_vectors_widen(h->p->model, h->p->device, part, h->low + first, h->vectors));
    }
    return PAWL_OK;
}

/* Numbers [first, first + count) of the flat run of bf16, of which this rank's own begin at mine. */
static pawl_status gather_low(const pawl_hold *h, int64_t first, int64_t count, const uint16_t *mine, uint16_t *to)
{
    return pawl_owners_gather(h->pairs, first / 2, count / 2, (const float *)(const void *)mine, (float *)(void *)to);
}

pawl_status pawl_hold_refresh(pawl_hold *h)
{
    if (!h->low || !h->low_stale || (!h->masters && h->stage == 3)) return PAWL_OK;
    h->low_stale = 0;
    if (!h->masters) return widen_all(h);
    return pawl_low_round(h->p->model, h->p->adapter, h->p->device, h->weights, h->low);
}

static pawl_status need_low(pawl_hold *h, int64_t part, int64_t first, int64_t count, int all_mine, pawl_part_place *at)
{
    uint16_t *to = all_mine ? h->low + (first - h->first) : h->gathered_low[buffer_of(h->p, part)];
    PAWL_TRY(pawl_meet(h->p->comm, PAWL_OK));
    pawl_watch_renew();
    PAWL_TRY(gather_low(h, first, count, h->low, to));
    at->low = to;
    return pawl_vectors_widen(h->p->model, h->p->device, part, to, h->vectors);
}

static pawl_status need(void *self, int64_t part, pawl_part_place *at)
{
    pawl_hold *h = self;
    int64_t first, count;
    pawl_trained_part(h->p->model, h->p->adapter, part, &first, &count);
    const int all_mine = h->first <= first && first + count <= h->end;
    if (!h->masters) return need_low(h, part, first, count, all_mine, at);
    float *to = all_mine ? h->weights + (first - h->first) : h->gathered[buffer_of(h->p, part)];
    PAWL_TRY(pawl_meet(h->p->comm, PAWL_OK));
    pawl_watch_renew();
    PAWL_TRY(pawl_owners_gather(h->owners, first, count, h->weights, to));
    at->weights = to;
    at->low = h->gathered_low[buffer_of(h->p, part)];
    return at->low ? round_numbers(h, to, count, h->gathered_low[buffer_of(h->p, part)]) : PAWL_OK;
}

static pawl_status want(void *self, int64_t part, pawl_part_place *at)
{
    pawl_hold *h = self;
    at->grads = h->grads[buffer_of(h->p, part)];
    at->put = PAWL_SET; /* slots are added up as they are summed over ranks */
    return PAWL_OK;
}

static pawl_status ready(void *self, int64_t part)
{
    pawl_hold *h = self;
    int64_t first, count;
    pawl_trained_part(h->p->model, h->p->adapter, part, &first, &count);
    PAWL_TRY(pawl_meet(h->p->comm, PAWL_OK));
    pawl_watch_renew();
    return pawl_rounds_add(h->rounds, first, count, h->idle ? NULL : h->grads[buffer_of(h->p, part)]);
}

/* Stages 0 and 1. */
static pawl_status ready_at_last(void *self, int64_t part)
{
    pawl_hold *h = self;
    int64_t first, count;
    pawl_trained_part(h->p->model, h->p->adapter, part, &first, &count);
    return pawl_reduction_ready(h->reduction, first, count);
}

void pawl_hold_last(pawl_hold *h, pawl_pass *pass)
{
    if (pawl_reduction_overlaps(h->reduction)) pass->hooks = &h->ending;
}

void pawl_hold_pass(pawl_hold *h, int learns, pawl_pass *pass)
{
    pass->weights = h->stage == 3 ? NULL : h->weights;
    pass->low = h->stage == 3 ? NULL : h->low;
    pass->vectors = h->vectors;
    if (h->stage == 3 || (h->stage == 2 && learns)) pass->hooks = learns ? &h->learning : &h->reading;
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
    out->learning = out->reading = (pawl_pass_hooks){.self = out, .need = out->stage == 3 ? need : NULL};
    out->learning.want = want;
    out->learning.ready = ready;
    out->ending = (pawl_pass_hooks){.self = out, .ready = ready_at_last};
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

/* ---- weights: filled, listed ---- */

/* The part that number `at` of the flat run is in. */
static int64_t part_of(const pawl_parts *p, int64_t at)
{
    int64_t part = 0, first, count;
    for (pawl_trained_part(p->model, p->adapter, part, &first, &count); at >= first + count;
         pawl_trained_part(p->model, p->adapter, part, &first, &count))
        part++;
    return part;
}

/* [*first, *end): what of a tensor is held, as numbers of the flat run. */
static int held_part(const pawl_hold *h, const pawl_extent *e, int64_t *first, int64_t *end)
{
    const int64_t begin = h->stage == 3 ? h->first : 0, limit = h->stage == 3 ? h->end : h->count;
    *first = e->first > begin ? e->first : begin;
    *end = e->first + e->count < limit ? e->first + e->count : limit;
    return *first < *end;
}

static int64_t longest_tensor(const pawl_parts *p)
{
    const pawl_extent *extents;
    const int count = pawl_trained_extents(p->model, p->adapter, &extents);
    int64_t most = 0;
    for (int i = 0; i < count; i++) most = extents[i].count > most ? extents[i].count : most;
    return most;
}

/* Room for one tensor, where the host cannot read it into its place; without masters it is rounded there, too. */
size_t pawl_hold_fill_bytes(const pawl_parts *p)
{
    if (!p->optim->master_weights) return (size_t)longest_tensor(p) * (sizeof(float) + sizeof(uint16_t));
    return pawl_device_shares_memory(p->device) ? 0 : (size_t)longest_tensor(p) * sizeof(float);
}

static pawl_status fill_low(pawl_hold *h, pawl_weight_read read, void *self, int i, const pawl_extent *e, float *room)
{
    uint16_t *low = (uint16_t *)(void *)(room + longest_tensor(h->p));
    int64_t first, end;
    if (!held_part(h, e, &first, &end)) return PAWL_OK;
    PAWL_TRY(read(self, i, room));
    pawl_convert(room + (first - e->first), PAWL_F32, low, PAWL_BF16, end - first);
    return pawl_upload(h->p->device, h->low + (first - (h->stage == 3 ? h->first : 0)), low, (size_t)(end - first) * sizeof *low);
}

/* A tensor of which this rank holds a part is read into the buffer of its part, and what is held copied. */
static pawl_status fill_tensor(pawl_hold *h, pawl_weight_read read, void *self, int i, const pawl_extent *e, float *room)
{
    const int64_t base = h->stage == 3 ? h->first : 0;
    int64_t first, end;
    if (!held_part(h, e, &first, &end)) return PAWL_OK;
    float *to = h->weights + (first - base), *whole = to;
    if (end - first < e->count) whole = h->gathered[buffer_of(h->p, part_of(h->p, e->first))];
    whole = pawl_host_side(h->p->device, whole, room);
    PAWL_TRY(read(self, i, whole));
    return pawl_upload(h->p->device, to, whole + (first - e->first), (size_t)(end - first) * sizeof *to);
}

pawl_status pawl_hold_fill(pawl_hold *h, pawl_weight_read read, void *self)
{
    const pawl_extent *extents;
    const int count = pawl_trained_extents(h->p->model, h->p->adapter, &extents);
    const size_t bytes = pawl_hold_fill_bytes(h->p);
    float *room = NULL;
    pawl_status status = PAWL_OK;
    if (bytes) PAWL_TRY(pawl_alloc((void **)&room, bytes, "one tensor of the weights"));
    for (int i = 0; i < count; i++) PAWL_TRY_OUT((h->masters ? fill_tensor : fill_low)(h, read, self, i, &extents[i], room));
out:
    pawl_free(room);
    return status;
}

/* As what they are kept. */
static void list_low(const pawl_hold *h, pawl_state *out)
{
    const pawl_extent *extents;
    const int count = pawl_trained_extents(h->p->model, h->p->adapter, &extents);
    for (int i = 0; i < count; i++) {
        out->items[i].tensor.dtype = PAWL_BF16;
        if (h->stage < 3) out->items[i].tensor.data = h->low ? h->low + extents[i].first : NULL;
    }
}

static void *held_at(const pawl_hold *h, int64_t number)
{
    if (h->masters) return h->weights ? h->weights + (number - h->first) : NULL;
    return h->low ? h->low + (number - h->first) : NULL;
}

static void share_weights(const pawl_hold *h, pawl_state *out)
{
    const pawl_extent *extents;
    const int count = pawl_trained_extents(h->p->model, h->p->adapter, &extents);
    for (int i = 0; i < count; i++) {
        pawl_named *item = &out->items[i];
        int64_t first, end;
        const int some = held_part(h, &extents[i], &first, &end);
        item->sharded = 1;
        item->first = some ? first - extents[i].first : 0;
        item->count = some ? end - first : 0;
        item->tensor.data = some ? held_at(h, first) : NULL;
    }
}

pawl_status pawl_hold_state(const pawl_hold *h, const pawl_optim *o, pawl_state *out)
{
    const pawl_parts *p = h->p;
    const pawl_extent *extents;
    pawl_state names = {0};
    (void)pawl_trained_extents(p->model, p->adapter, &extents);
    pawl_status s = pawl_trained_state(p->model, p->adapter, h->stage == 3 ? NULL : h->weights, "model/", out);
    const int weights = out->count;
    for (int i = 0; i < weights; i++) out->items[i].device = p->device;
    if (s == PAWL_OK && !h->masters) list_low(h, out);
    if (s == PAWL_OK && h->stage == 3) share_weights(h, out);
    if (s == PAWL_OK) s = pawl_trained_state(p->model, p->adapter, NULL, "", &names);
    if (s == PAWL_OK)
        s = o ? pawl_optim_state(o, &names, out) : pawl_optim_state_like(p->optim, extents, &names, h->first, h->end, out);
    for (int i = weights; i < out->count; i++) out->items[i].sharded = h->stage > 0;
    pawl_state_close(&names);
    return s;
}

/* ---- the end of a step ---- */

pawl_status pawl_hold_sum(pawl_hold *h, float **grads)
{
    if (h->rounds) {
        *grads = pawl_rounds_sum(h->rounds);
        return PAWL_OK;
    }
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

pawl_status pawl_hold_spread(pawl_hold *h)
{
    h->low_stale = 1;
    if (h->stage == 0 || h->stage == 3) return PAWL_OK;
    if (!h->masters) return gather_low(h, 0, h->count, h->low + h->first, h->low);
    return pawl_owners_gather(h->owners, 0, h->count, pawl_hold_mine(h), h->weights);
}
