/* The parts of the flat run, and who is told when a pass uses them. */
#include "model/pass.h"

/* ---- where they lie ---- */

int64_t pawl_trained_parts(const pawl_model *m)
{
    return m->config.num_hidden_layers + 2;
}

static int64_t model_begin(const pawl_model *m, int64_t part)
{
    const int64_t L = m->config.num_hidden_layers;
    if (part == 0) return 0;
    if (part > L + 1) return m->flat;
    return part > L ? m->outer.at[PAWL_FINAL_NORM] : m->layers[part - 1].at[PAWL_ATTENTION_NORM];
}

static int64_t adapter_begin(const pawl_adapter *a, int64_t part)
{
    const int64_t L = a->m->config.num_hidden_layers;
    const int item = part == 0 ? 0 : part > L ? a->count : a->starts[part - 1];
    return item < a->count ? a->items[item].a : a->flat;
}

void pawl_trained_part(const pawl_model *m, const pawl_adapter *a, int64_t part, int64_t *first, int64_t *count)
{
    *first = a ? adapter_begin(a, part) : model_begin(m, part);
    *count = (a ? adapter_begin(a, part + 1) : model_begin(m, part + 1)) - *first;
}

void pawl_low_stretch(const pawl_model *m, const pawl_adapter *a, int64_t *first, int64_t *count)
{
    int64_t below;
    pawl_trained_part(m, a, 0, first, &below);
    if (!(m->has & PAWL_TIED_HEAD)) *first += below;
    *count = pawl_trained_count(m, a) - *first;
}

pawl_status pawl_low_round(const pawl_model *m, const pawl_adapter *a, pawl_device *d, const float *weights,
                           uint16_t *low)
{
    int64_t first, count;
    pawl_low_stretch(m, a, &first, &count);
    return pawl_cast(d, pawl_view(weights + first, count, 0), pawl_view_as(PAWL_BF16, low, count, 0));
}

pawl_status pawl_low_round_part(const pawl_model *m, const pawl_adapter *a, pawl_device *d, int64_t part, const float *weights, uint16_t *low)
{
    int64_t begin, first, count;
    pawl_low_stretch(m, a, &begin, &count);
    pawl_trained_part(m, a, part, &first, &count);
    if (count == 0 || first < begin) return PAWL_OK;
    return pawl_cast(d, pawl_view(weights + first, count, 0), pawl_view_as(PAWL_BF16, low + (first - begin), count, 0));
}

int64_t pawl_vectors_count(const pawl_model *m)
{
    return m->vectors;
}

/* Those of the vectors outside the layers, or of one layer, that stand in [first, first + count). */
static pawl_status widen_places(const pawl_model *m, pawl_device *d, const pawl_places *places, int64_t first, int64_t count, const uint16_t *low,
                                float *vectors)
{
    for (int s = 0; s < PAWL_SLOTS; s++) {
        const int64_t at = places->at[s] - first, numbers = m->rows[s];
        if (places->at[s] < 0 || m->cols[s] || (int)pawl_group_of(m, (pawl_slot)s) != s || at < 0 || at >= count) continue;
        PAWL_TRY(pawl_cast(d, pawl_view_as(PAWL_BF16, low + at, numbers, 0), pawl_view(vectors + places->vector[s], numbers, 0)));
    }
    return PAWL_OK;
}

pawl_status pawl_vectors_widen(const pawl_model *m, pawl_device *d, int64_t part, const uint16_t *low, float *vectors)
{
    int64_t first, count;
    pawl_trained_part(m, NULL, part, &first, &count);
    const int in_layer = part > 0 && part <= m->config.num_hidden_layers;
    return widen_places(m, d, in_layer ? &m->layers[part - 1] : &m->outer, first, count, low, vectors);
}

int64_t pass_block(int64_t layer)
{
    return layer + 1;
}

int64_t pass_above(const pass *p)
{
    return p->m->config.num_hidden_layers + 1;
}

int64_t pass_head(const pass *p)
{
    return p->m->has & PAWL_TIED_HEAD ? 0 : pass_above(p);
}

/* ---- in use ---- */

static held *held_of(pass *p, int64_t part)
{
    return &p->held[part == 0 ? BELOW : part == pass_above(p) ? ABOVE : BLOCK];
}

static const held *held_at(const pass *p, pawl_slot s)
{
    return &p->held[s < PAWL_ATTENTION_NORM ? BELOW : s > PAWL_DOWN_BIAS ? ABOVE : BLOCK];
}

static const pawl_adapter *adapter_of(const pass *p)
{
    return p->how->over ? p->how->over->adapter : NULL;
}

/* What is not given at another place stands in the flat runs. Returns whether there is anything of that part. */
static int take_up(pass *p, int64_t part, held *h)
{
    int64_t first, count;
    pawl_trained_part(p->m, adapter_of(p), part, &first, &count);
    h->part = part;
    h->first = first;
    return count > 0;
}

static const uint16_t *low_of(const pass *p, int64_t first)
{
    int64_t begin, count;
    pawl_low_stretch(p->m, adapter_of(p), &begin, &count);
    if (p->how->vectors) begin = 0;
    return p->how->low && first >= begin ? p->how->low + (first - begin) : NULL;
}

pawl_status pass_need(pass *p, int64_t part)
{
    held *h = held_of(p, part);
    const pawl_pass_hooks *hooks = p->how->hooks;
    const int some = take_up(p, part, h);
    h->place.weights = p->how->weights ? p->how->weights + h->first : NULL;
    h->place.low = low_of(p, h->first);
    if (some && hooks && hooks->need) PAWL_TRY(hooks->need(hooks->self, part, &h->place));
    if (h == &p->held[BLOCK])
        p->adapting.weights = p->x && p->x->type == PAWL_BF16 ? (pawl_stretch){h->place.low, h->first, PAWL_BF16}
                                                              : (pawl_stretch){h->place.weights, h->first, PAWL_F32};
    return PAWL_OK;
}

pawl_status pass_want(pass *p, int64_t part)
{
    held *h = held_of(p, part);
    const pawl_pass_hooks *hooks = p->how->hooks;
    const int some = take_up(p, part, h);
    h->place.grads = p->how->grads ? p->how->grads + h->first : NULL;
    h->place.put = p->how->put;
    if (some && hooks && hooks->want) PAWL_TRY(hooks->want(hooks->self, part, &h->place));
    if (h == &p->held[BLOCK]) {
        p->adapting.grads = (pawl_stretch){h->place.grads, h->first, PAWL_F32};
        p->adapting.put = h->place.put;
    }
    return PAWL_OK;
}

static pawl_status tell(pass *p, int64_t part, pawl_status (*hook)(void *self, int64_t part))
{
    int64_t first, count;
    pawl_trained_part(p->m, adapter_of(p), part, &first, &count);
    return hook && count ? hook(p->how->hooks->self, part) : PAWL_OK;
}

pawl_status pass_done(pass *p, int64_t part)
{
    return p->how->hooks ? tell(p, part, p->how->hooks->done) : PAWL_OK;
}

pawl_status pass_ready(pass *p, int64_t part)
{
    return p->how->hooks ? tell(p, part, p->how->hooks->ready) : PAWL_OK;
}

pawl_status pass_soon(pass *p, int64_t part)
{
    return p->how->hooks ? tell(p, part, p->how->hooks->soon) : PAWL_OK;
}

/* A head that is the embedding comes with what is above the blocks: that alone is little work. */
pawl_status pass_soon_above(pass *p, int64_t part)
{
    const int64_t above = pass_above(p);
    if (part == above) return p->learns ? pass_soon(p, above - 1) : PAWL_OK;
    PAWL_TRY(pass_soon(p, part + 1));
    return part + 1 == above && pass_head(p) != above ? pass_soon(p, pass_head(p)) : PAWL_OK;
}

/* ---- the tensors of what is in use ---- */

/* Without weights of f32. */
static pawl_tensor kept_low(const pass *p, const held *h, int64_t layer, pawl_slot s)
{
    const pawl_places *places = h == &p->held[BLOCK] ? &p->m->layers[layer] : &p->m->outer;
    if (p->m->cols[s]) return pawl_part_in(p->m, (pawl_stretch){h->place.low, h->first, PAWL_BF16}, layer, s);
    return places->at[s] < 0 ? (pawl_tensor){.dtype = PAWL_F32} : pawl_view(p->how->vectors + places->vector[s], p->m->rows[s], 0);
}

pawl_tensor pass_weight(const pass *p, int64_t layer, pawl_slot s)
{
    const held *h = held_at(p, s);
    if (p->adapting.over) return pawl_frozen_part(p->adapting.over->base, layer, s);
    if (p->how->vectors) return kept_low(p, h, layer, s);
    return pawl_part_in(p->m, (pawl_stretch){h->place.weights, h->first, PAWL_F32}, layer, s);
}

pawl_tensor pass_matrix(const pass *p, int64_t layer, pawl_slot s)
{
    const held *h = held_at(p, s);
    if (p->adapting.over || p->x->type == PAWL_F32) return pass_weight(p, layer, s);
    return pawl_part_in(p->m, (pawl_stretch){h->place.low, h->first, PAWL_BF16}, layer, s);
}

pawl_tensor pass_grad(const pass *p, int64_t layer, pawl_slot s)
{
    const held *h = held_at(p, s);
    return pawl_part_in(p->m, (pawl_stretch){p->adapting.over ? NULL : h->place.grads, h->first, PAWL_F32}, layer, s);
}

pawl_put pass_put(const pass *p, pawl_slot s)
{
    return held_at(p, s)->place.put;
}
