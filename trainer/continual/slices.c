#include "trainer/continual/slices.h"

#include <string.h>

static pawl_slices slices_of(const pawl_parts *p, int64_t first, int64_t end, int runs)
{
    pawl_slices s = {.p = p, .first = first, .end = end, .count = runs, .arena = {.name = "methods"}, .here = {.name = "methods"}};
    s.extent_count = pawl_trained_extents(p->model, p->adapter, &s.extents);
    return s;
}

static void lay_out(pawl_slices *s)
{
    for (int i = 0; i < s->count; i++)
        s->run[i] = pawl_take_bytes(&s->arena, (size_t)(s->end - s->first) * sizeof(float));
    const int64_t blocks = pawl_norm_blocks(s->extents, s->extent_count, s->first, s->end);
    s->blocks = s->blocks_here = pawl_take_bytes(&s->arena, (size_t)(blocks + 1) * sizeof(double));
    if (!pawl_device_shares_memory(s->p->device)) s->blocks_here = pawl_take_bytes(&s->here, (size_t)(blocks + 1) * sizeof(double));
}

pawl_room pawl_slices_bytes(const pawl_parts *p, int64_t first, int64_t end, int runs)
{
    pawl_slices s = slices_of(p, first, end, runs);
    lay_out(&s);
    return pawl_room_of(&s.arena, &s.here);
}

pawl_status pawl_slices_open(const pawl_moment *m, int runs, pawl_slices *out)
{
    pawl_hold *h = &m->stepper->hold;
    *out = slices_of(m->p, h->first, h->end, runs);
    out->hold = h;
    lay_out(out);
    PAWL_TRY(pawl_arena_open_on(m->p->device, PAWL_ON_DEVICE, &out->arena));
    if (out->here.used) PAWL_TRY(pawl_arena_open_on(m->p->device, PAWL_ON_HOST, &out->here));
    lay_out(out);
    return PAWL_OK;
}

void pawl_slices_close(pawl_slices *s)
{
    pawl_device *d = s->p ? s->p->device : NULL;
    pawl_arena_close_on(d, PAWL_ON_DEVICE, &s->arena);
    pawl_arena_close_on(d, PAWL_ON_HOST, &s->here);
}

int pawl_slice_next(const pawl_slices *s, pawl_slice *x)
{
    if (x->part < 0)
        *x = (pawl_slice){.part = -1, .blocks = s->blocks};
    else
        x->blocks += (x->count + PAWL_SUM_BLOCK - 1) / PAWL_SUM_BLOCK;
    for (x->part++; x->part < s->extent_count; x->part++) {
        const pawl_extent *e = &s->extents[x->part];
        const int64_t first = e->first > s->first ? e->first : s->first;
        const int64_t end = e->first + e->count < s->end ? e->first + e->count : s->end;
        if (first >= end) continue;
        x->at = first - s->first;
        x->count = end - first;
        return 1;
    }
    return 0;
}

pawl_status pawl_list_range(const pawl_parts *p, const char *prefix, const float *data, int64_t first, int64_t end,
                            const pawl_state *names, pawl_state *out)
{
    const pawl_extent *extents;
    const int count = pawl_trained_extents(p->model, p->adapter, &extents);
    for (int i = 0; i < count; i++) {
        const pawl_extent *e = &extents[i];
        const int64_t from = e->first > first ? e->first : first,
                      to = e->first + e->count < end ? e->first + e->count : end;
        pawl_tensor whole = names->items[i].tensor;
        whole.data = from < to && data ? (void *)(data + (from - first)) : NULL;
        PAWL_TRY(pawl_state_add(out, prefix, names->items[i].name, whole));
        pawl_named *item = &out->items[out->count - 1];
        item->sharded = p->reduce->zero_stage > 0;
        item->device = p->device;
        item->first = from < to ? from - e->first : 0;
        item->count = from < to ? to - from : 0;
    }
    return PAWL_OK;
}

pawl_status pawl_slices_begin_stage(void *slices, const pawl_moment *m)
{
    const pawl_slices *s = slices;
    return pawl_slices_copy(s, s->run[0], pawl_hold_mine(&m->stepper->hold));
}

static int64_t blocks_of(const pawl_slices *s)
{
    return pawl_norm_blocks(s->extents, s->extent_count, s->first, s->end);
}

pawl_status pawl_slices_anchor(pawl_slices *s, const float *weights, float *grads, const float *anchor,
                               const float *importance, double strength, double *penalty)
{
    const int64_t blocks = blocks_of(s);
    memset(s->blocks_here, 0, (size_t)blocks * sizeof *s->blocks);
    PAWL_TRY(pawl_upload(s->p->device, s->blocks, s->blocks_here, (size_t)blocks * sizeof *s->blocks));
    for (pawl_slice x = {.part = -1}; pawl_slice_next(s, &x);)
        PAWL_TRY(pawl_anchor(s->p->device, grads + x.at, weights + x.at, anchor ? anchor + x.at : NULL,
                             importance ? importance + x.at : NULL, (float)strength, x.count, x.blocks));
    PAWL_TRY(pawl_download(s->p->device, s->blocks_here, s->blocks, (size_t)blocks * sizeof *s->blocks));
    for (int64_t i = 0; i < blocks; i++) *penalty += s->blocks_here[i];
    return PAWL_OK;
}

pawl_status pawl_slices_copy(const pawl_slices *s, float *to, const float *from)
{
    return s->end > s->first ? pawl_copy(s->p->device, to, from, s->end - s->first) : PAWL_OK;
}

pawl_status pawl_slices_dot(pawl_slices *s, const float *x, const float *y, double *out)
{
    pawl_hold *h = s->hold;
    pawl_status status = PAWL_OK;
    for (pawl_slice at = {.part = -1}; status == PAWL_OK && pawl_slice_next(s, &at);)
        status = pawl_dot(s->p->device, x + at.at, y + at.at, at.count, at.blocks);
    if (status == PAWL_OK) status = pawl_download(s->p->device, s->blocks_here, s->blocks, (size_t)blocks_of(s) * sizeof *s->blocks);
    PAWL_TRY(pawl_agree(s->p->comm, status));
    if (h->stage == 0) {
        *out = pawl_blocks_join(s->extents, s->extent_count, s->blocks_here);
        return PAWL_OK;
    }
    PAWL_TRY(pawl_allgather_blocks(s->p->comm, s->blocks_here, h->lengths, h->offsets, h->blocks));
    *out = pawl_blocks_join(s->extents, s->extent_count, h->blocks);
    return PAWL_OK;
}

int pawl_knows_nothing(const pawl_moment *m)
{
    return m->stage_index == 0 && !m->p->base && !m->p->parent;
}

int pawl_is_frozen(const pawl_parts *p, const pawl_extent *e)
{
    const int64_t layers = pawl_model_settings(p->model)->num_hidden_layers;
    if (!p->continual || !p->continual->freeze.present) return 0;
    if (e->above >= layers) return p->continual->freeze.value.embeddings && e->role == PAWL_ROLE_EMBEDDING;
    return e->role != PAWL_ROLE_EMBEDDING && e->above >= layers - p->continual->freeze.value.layers;
}

pawl_status pawl_slices_still(const pawl_slices *s, float *x)
{
    for (pawl_slice at = {.part = -1}; pawl_slice_next(s, &at);)
        if (pawl_is_frozen(s->p, &s->extents[at.part])) PAWL_TRY(pawl_zero(s->p->device, x + at.at, at.count));
    return PAWL_OK;
}
