/* The layout of an adapter: which modules, in which order, and where their tensors lie in its flat run. */
#include "model/adapter.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/rng.h"

enum { ALIGN_FLOATS = PAWL_ALIGN / (int)sizeof(float) };

/* ---- the modules of a model ---- */

static int find_slot(const pawl_model *m, int64_t first, int64_t *layer, pawl_slot *slot)
{
    for (int64_t l = 0; l < m->config.num_hidden_layers; l++)
        for (int s = PAWL_ATTENTION_NORM; s <= PAWL_DOWN_BIAS; s++)
            if (m->layers[l].at[s] == first) {
                *layer = l;
                *slot = (pawl_slot)s;
                return 1;
            }
    return 0;
}

static int module_of(const pawl_model *m, const pawl_weight *w, pawl_module *out)
{
    static const char end[] = ".weight";
    const size_t n = strlen(w->name), k = sizeof end - 1;
    pawl_slot slot;
    if (w->ndim != 2 || n <= k || strcmp(w->name + n - k, end) != 0) return 0;
    if (!find_slot(m, w->first, &out->layer, &slot)) return 0;
    memcpy(out->name, w->name, n - k);
    out->name[n - k] = 0;
    out->group = pawl_group_of(m, slot);
    out->out = w->dim[0];
    out->in = w->dim[1];
    out->weight = w->first;
    out->first = (w->first - m->layers[out->layer].at[out->group]) / out->in;
    out->fan_in_fan_out = w->transposed;
    return 1;
}

pawl_status pawl_modules_of(const pawl_model *m, pawl_module **out, int *count)
{
    pawl_module *list;
    int n = 0;
    PAWL_TRY(pawl_alloc((void **)&list, (size_t)m->count * sizeof *list, "the list of modules"));
    for (int i = 0; i < m->count; i++) n += module_of(m, &m->weights[i], &list[n]);
    *out = list;
    *count = n;
    return PAWL_OK;
}

/* ---- choosing among them ---- */

static const char *last_part(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

/* The short names that there are, once each. */
static void list_names(const pawl_module *list, int count, pawl_text *out)
{
    for (int i = 0; i < count; i++) {
        int seen = 0;
        for (int k = 0; k < i && !seen; k++) seen = strcmp(last_part(list[k].name), last_part(list[i].name)) == 0;
        if (!seen) pawl_text_add(out, "%s%s", out->bytes ? ", " : "", last_part(list[i].name));
    }
}

static int count_matches(const pawl_module *list, int count, const char *target)
{
    int matches = 0;
    for (int i = 0; i < count; i++) matches += pawl_lora_name_matches(list[i].name, target);
    return matches;
}

static pawl_status no_such_module(const char *where, const char *target, const pawl_module *list, int count)
{
    pawl_text names = {.data = NULL};
    list_names(list, count, &names);
    const pawl_status s =
        PAWL_FAIL(PAWL_EUSAGE,
                  "%s: no linear module of this model is called %s: there are %s (the embedding and the "
                  "output head take no adapters)",
                  where, target, names.data ? names.data : "none");
    pawl_text_close(&names);
    return s;
}

static pawl_status check_targets(const pawl_lora_settings *s, const char *where, const pawl_module *list, int count)
{
    size_t i;
    int found = 0;
    json_t *target;
    const char *missing = NULL;
    if (s->all_linear) return PAWL_OK;
    json_array_foreach(s->targets, i, target)
    {
        if (count_matches(list, count, json_string_value(target)))
            found++;
        else if (!missing)
            missing = json_string_value(target);
    }
    if (missing && (s->every_target || !found)) return no_such_module(where, missing, list, count);
    return PAWL_OK;
}

static pawl_status choose(pawl_adapter *a, const pawl_lora_settings *s, const char *where, const pawl_module *list,
                          int count)
{
    PAWL_TRY(check_targets(s, where, list, count));
    PAWL_TRY(pawl_alloc((void **)&a->items, (size_t)(count + 1) * sizeof *a->items, "an adapter"));
    for (int i = 0; i < count; i++) {
        const pawl_module *m = &list[i];
        if (!pawl_lora_targets(s, m->name, m->layer) || pawl_lora_excludes(s, m->name)) continue;
        pawl_adapted *t = &a->items[a->count++];
        *t = (pawl_adapted){.module = *m, .r = pawl_lora_rank(s, m->name), .alpha = pawl_lora_alpha(s, m->name)};
        t->scale = (float)(t->alpha / (s->rslora ? sqrt((double)t->r) : (double)t->r));
    }
    PAWL_CHECK(a->count, PAWL_EUSAGE, "%s: none of the model's linear modules is left to put an adapter on", where);
    return PAWL_OK;
}

/* ---- the flat run ---- */

/* cols 0: a vector. */
static int64_t place(pawl_adapter *a, int64_t layer, int64_t rows, int64_t cols)
{
    const int64_t at = a->flat = (a->flat + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
    pawl_extent *e = &a->extents[a->extent_count++];
    *e = cols ? pawl_extent_matrix(at, rows, cols) : pawl_extent_vector(at, rows);
    e->above = a->m->config.num_hidden_layers - 1 - layer;
    a->flat += e->count;
    a->parameters += e->count;
    return at;
}

static pawl_status lay_out(pawl_adapter *a)
{
    const int64_t L = a->m->config.num_hidden_layers;
    PAWL_TRY(pawl_alloc((void **)&a->starts, (size_t)(L + 1) * sizeof *a->starts, "an adapter"));
    PAWL_TRY(pawl_alloc((void **)&a->extents, (size_t)a->count * 3 * sizeof *a->extents, "an adapter"));
    for (int i = 0; i < a->count; i++) {
        pawl_adapted *t = &a->items[i];
        const int64_t layer = t->module.layer;
        t->a = place(a, layer, t->r, t->module.in);
        t->b = place(a, layer, t->module.out, t->r);
        t->magnitude = a->dora ? place(a, layer, t->module.out, 0) : -1;
        t->ranks_before = i ? t[-1].ranks_before + t[-1].r : 0;
        t->outs_before = i ? t[-1].outs_before + t[-1].module.out : 0;
    }
    a->flat = (a->flat + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
    int at = 0;
    for (int64_t l = 0; l <= L; l++) {
        while (at < a->count && a->items[at].module.layer < l) at++;
        a->starts[l] = at;
    }
    return PAWL_OK;
}

static pawl_status build(pawl_adapter *a, const pawl_lora_settings *s, const char *where)
{
    pawl_module *list = NULL;
    int count = 0;
    PAWL_TRY(pawl_modules_of(a->m, &list, &count));
    pawl_status status = choose(a, s, where, list, count);
    pawl_free(list);
    return status == PAWL_OK ? lay_out(a) : status;
}

pawl_status pawl_adapter_open(const pawl_model *m, const json_t *settings, const char *where, pawl_adapter **out)
{
    pawl_adapter *a;
    pawl_lora_settings s;
    PAWL_TRY(pawl_lora_settings_read(settings, where, &s));
    PAWL_TRY(pawl_alloc((void **)&a, sizeof *a, "an adapter"));
    a->m = m;
    a->r = s.r;
    a->alpha = s.alpha;
    a->dropout = s.dropout;
    a->rslora = s.rslora;
    a->dora = s.dora;
    const pawl_status status = build(a, &s, where);
    if (status != PAWL_OK) {
        pawl_adapter_close(a);
        return status;
    }
    *out = a;
    return PAWL_OK;
}

void pawl_adapter_close(pawl_adapter *a)
{
    if (!a) return;
    pawl_free(a->items);
    pawl_free(a->starts);
    pawl_free(a->extents);
    pawl_free(a);
}

int pawl_adapter_is_dora(const pawl_adapter *a)
{
    return a->dora;
}

const pawl_model *pawl_adapter_model(const pawl_adapter *a)
{
    return a->m;
}

const pawl_adapted *pawl_adapted_in(const pawl_adapter *a, int64_t layer, pawl_slot group, int *count)
{
    int first = a->starts[layer];
    const int end = a->starts[layer + 1];
    while (first < end && a->items[first].module.group != group) first++;
    for (*count = 0; first + *count < end && a->items[first + *count].module.group == group;) ++*count;
    return *count ? &a->items[first] : NULL;
}

static pawl_tensor view_of(pawl_stretch of, int64_t at, int64_t rows, int64_t cols)
{
    const int there = of.data && at >= 0;
    return pawl_view_as(of.type, there ? pawl_number_at(of, at - of.first) : NULL, rows, cols);
}

pawl_tensor pawl_adapted_a(const pawl_adapted *t, pawl_stretch of)
{
    return view_of(of, t->a, t->r, t->module.in);
}

pawl_tensor pawl_adapted_b(const pawl_adapted *t, pawl_stretch of)
{
    return view_of(of, t->b, t->module.out, t->r);
}

pawl_tensor pawl_adapted_magnitude(const pawl_adapted *t, pawl_stretch of)
{
    return view_of(of, t->magnitude, t->module.out, 0);
}

/* ---- as others see it: a NULL adapter stands for all of the model's weights ---- */

static pawl_status add_tensor(pawl_state *out, const char *prefix, const pawl_adapted *t, const char *what,
                              pawl_tensor view)
{
    char name[PAWL_NAME_MAX];
    const int n = snprintf(name, sizeof name, "base_model.model.%s.%s", t->module.name, what);
    PAWL_CHECK(n > 0 && n < (int)sizeof name, PAWL_EBUG, "the name of module %s is too long", t->module.name);
    return pawl_state_add(out, prefix, name, view);
}

pawl_status pawl_trained_state(const pawl_model *m, const pawl_adapter *a, float *flat, const char *prefix,
                               pawl_state *out)
{
    const pawl_stretch all = {flat, 0, PAWL_F32};
    if (!a) return pawl_model_state(m, flat, prefix, out);
    for (int i = 0; i < a->count; i++) {
        const pawl_adapted *t = &a->items[i];
        PAWL_TRY(add_tensor(out, prefix, t, "lora_A.weight", pawl_adapted_a(t, all)));
        PAWL_TRY(add_tensor(out, prefix, t, "lora_B.weight", pawl_adapted_b(t, all)));
        if (a->dora) PAWL_TRY(add_tensor(out, prefix, t, "lora_magnitude_vector", pawl_adapted_magnitude(t, all)));
    }
    return PAWL_OK;
}

int64_t pawl_trained_count(const pawl_model *m, const pawl_adapter *a)
{
    return a ? a->flat : pawl_model_count(m);
}

int64_t pawl_trained_parameters(const pawl_model *m, const pawl_adapter *a)
{
    return a ? a->parameters : pawl_model_parameters(m);
}

int pawl_trained_extents(const pawl_model *m, const pawl_adapter *a, const pawl_extent **out)
{
    if (!a) return pawl_model_extents(m, out);
    if (out) *out = a->extents;
    return a->extent_count;
}

int64_t pawl_adapter_rank(const pawl_adapter *a)
{
    int64_t most = 0;
    for (int i = 0; i < a->count; i++) most = a->items[i].r > most ? a->items[i].r : most;
    return most;
}

/* ---- initial weights ---- */

/* Uniform in [-bound, bound); four numbers to a counter value. */
static void fill_uniform(float *to, int64_t count, float bound, uint64_t seed, uint64_t tensor)
{
    for (int64_t i = 0; i < count; i += 4) {
        const pawl_random r = pawl_random_at(seed, PAWL_FOR_ADAPTER, tensor, (uint64_t)(i / 4));
        for (int64_t k = 0; k < 4 && i + k < count; k++) to[i + k] = bound * (2 * pawl_uniform(r.word[k]) - 1);
    }
}

void pawl_adapter_init(const pawl_adapter *a, uint64_t seed, int n, float *flat)
{
    memset(flat, 0, (size_t)a->flat * sizeof *flat);
    for (int i = 0; i < a->count; i++) {
        const pawl_adapted *t = &a->items[i];
        /* kaiming_uniform with a = sqrt(5): sqrt(6 / (1 + 5)) / sqrt(fan in) */
        fill_uniform(flat + t->a, t->r * t->module.in, (float)(1 / sqrt((double)t->module.in)), seed,
                     (uint64_t)n << 32 | (uint64_t)i);
    }
}
