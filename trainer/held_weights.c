/* The weights that a rank holds: filled, and listed for a checkpoint. */
#include "trainer/held.h"
#include "trainer/internal.h"

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
    if (end - first < e->count) whole = h->gathered[pawl_hold_place(h, part_of(h->p, e->first))];
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
