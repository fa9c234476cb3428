/* Adapters that were finished one after the other: worked into weights, listed, held against a new one, and joined into
 * one. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "model/adapter.h"

const float *pawl_stack_at(const pawl_stack *s, int i)
{
    return s->flats + (int64_t)i * s->adapter->flat;
}

void pawl_stack_merge(const pawl_stack *s, int tensor, float *w)
{
    for (int i = 0; i < s->count; i++) pawl_adapter_merge(s->adapter, pawl_stack_at(s, i), tensor, w);
}

pawl_status pawl_stacked_read(void *stacked, int tensor, float *to)
{
    const pawl_stacked *s = stacked;
    PAWL_TRY(s->read(s->self, tensor, to));
    pawl_stack_merge(s->stack, tensor, to);
    return PAWL_OK;
}

pawl_status pawl_stack_state(const pawl_stack *s, pawl_state *out)
{
    for (int i = 0; i < s->count; i++) {
        char prefix[64];
        const int before = out->count;
        snprintf(prefix, sizeof prefix, PAWL_STACK_PREFIX "%d/", i + 1);
        PAWL_TRY(pawl_trained_state(s->adapter->m, s->adapter, (float *)(uintptr_t)pawl_stack_at(s, i), prefix, out));
        for (int k = before; k < out->count; k++) out->items[k].frozen = 1;
    }
    return PAWL_OK;
}

/* ---- a new one beside them ---- */

pawl_status pawl_stack_overlap(const pawl_stack *s, pawl_device *d, const float *weights, float strength, int64_t first,
                               int64_t end, float *grads, double *sums)
{
    const pawl_adapter *a = s->adapter;
    const float *kept = s->there ? s->there : s->flats;
    for (int i = 0; i < a->count; i++) {
        const pawl_adapted *t = &a->items[i];
        const int64_t from = t->a > first ? t->a : first, all = t->r * t->module.in,
                      to = t->a + all < end ? t->a + all : end;
        for (int k = 0; k < s->count && from < to; k++) {
            const pawl_overlap o = {weights + t->a, kept + (int64_t)k * a->flat + t->a, t->r, t->r, t->module.in, strength};
            PAWL_TRY(pawl_overlap_add(d, &o, from - t->a, to - from, grads + (from - first), sums));
        }
    }
    return PAWL_OK;
}

/* ---- all of them as one ---- */

/* The same adapter with so many times the rank, and the same scale: alpha / r stays, or alpha / sqrt(r). */
static void widen(json_t *settings, int times, int rslora)
{
    const double by = rslora ? sqrt(times) : times;
    const char *key;
    json_t *value;
    json_object_set_new(settings, "r", json_integer(json_integer_value(json_object_get(settings, "r")) * times));
    json_object_set_new(settings, "lora_alpha",
                        json_real(json_number_value(json_object_get(settings, "lora_alpha")) * by));
    json_object_foreach(json_object_get(settings, "rank_pattern"), key, value)
        json_integer_set(value, json_integer_value(value) * times);
    json_t *alphas = json_object_get(settings, "alpha_pattern"), *wider = json_object();
    json_object_foreach(alphas, key, value) json_object_set_new(wider, key, json_real(json_number_value(value) * by));
    json_object_set_new(settings, "alpha_pattern", wider);
}

/* Rows of A one behind the other; of each row of B likewise. */
static void join_module(const pawl_adapted *from, const float *flat, int at, const pawl_adapted *to, float *wide)
{
    const int64_t r = from->r, first = at * r;
    memcpy(wide + to->a + first * from->module.in, flat + from->a, (size_t)(r * from->module.in) * sizeof *flat);
    for (int64_t o = 0; o < from->module.out; o++)
        memcpy(wide + to->b + o * to->r + first, flat + from->b + o * r, (size_t)r * sizeof *flat);
}

static pawl_status join(const pawl_stack *s, const pawl_adapter *wide, float **out)
{
    PAWL_TRY(pawl_alloc((void **)out, (size_t)wide->flat * sizeof **out, "adapters as one"));
    for (int k = 0; k < s->count; k++)
        for (int i = 0; i < wide->count; i++)
            join_module(&s->adapter->items[i], pawl_stack_at(s, k), k, &wide->items[i], *out);
    return PAWL_OK;
}

pawl_status pawl_stack_join(const pawl_stack *s, pawl_adapter **adapter, float **weights)
{
    json_t *settings;
    pawl_adapter *wide = NULL;
    PAWL_CHECK(!s->adapter->dora, PAWL_EUSAGE, "adapters of DoRA, one on the other, are not one adapter");
    PAWL_TRY(pawl_adapter_json(s->adapter, &settings));
    widen(settings, s->count, s->adapter->rslora);
    pawl_status status = pawl_adapter_open(s->adapter->m, settings, "adapters as one", &wide);
    json_decref(settings);
    if (status == PAWL_OK) status = join(s, wide, weights);
    if (status == PAWL_OK)
        *adapter = wide;
    else
        pawl_adapter_close(wide);
    return status;
}
