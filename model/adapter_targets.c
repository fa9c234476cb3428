/* Which modules settings mean, with which rank and alpha, and settings that mean the modules of an adapter again. */
#include <math.h>
#include <string.h>

#include "model/adapter.h"

/* ---- matching ---- */

int pawl_lora_name_matches(const char *name, const char *target)
{
    const size_t n = strlen(name), k = strlen(target);
    return n >= k && strcmp(name + n - k, target) == 0 && (n == k || name[n - k - 1] == '.');
}

static int any_matches(const json_t *list, const char *name)
{
    size_t i;
    json_t *item;
    json_array_foreach((json_t *)(uintptr_t)list, i,
                       item) if (pawl_lora_name_matches(name, json_string_value(item))) return 1;
    return 0;
}

/* PEFT looks at the layers only where a target is no full name. */
static int is_full_name(const json_t *list, const char *name)
{
    size_t i;
    json_t *item;
    json_array_foreach((json_t *)(uintptr_t)list, i, item) if (strcmp(json_string_value(item), name) == 0) return 1;
    return 0;
}

static int in_layers(const json_t *layers, int64_t layer)
{
    size_t i;
    json_t *item;
    if (!layers || json_is_integer(layers)) return !layers || json_integer_value(layers) == layer;
    json_array_foreach((json_t *)(uintptr_t)layers, i, item) if (json_integer_value(item) == layer) return 1;
    return 0;
}

int pawl_lora_targets(const pawl_lora_settings *s, const char *name, int64_t layer)
{
    if (!s->all_linear && is_full_name(s->targets, name)) return 1;
    return (s->all_linear || any_matches(s->targets, name)) && in_layers(s->layers, layer);
}

int pawl_lora_excludes(const pawl_lora_settings *s, const char *name)
{
    return s->excluded && any_matches(s->excluded, name);
}

/* PEFT's key is a regular expression in which a dot is any letter; "^" in front means the whole name. */
static int pattern_matches(const char *key, const char *name)
{
    const int whole = key[0] == '^';
    const size_t n = strlen(name), k = strlen(key + whole);
    if (k > n || (whole && k != n) || (k < n && name[n - k - 1] != '.')) return 0;
    for (size_t i = 0; i < k; i++)
        if (key[i + (size_t)whole] != '.' && key[i + (size_t)whole] != name[n - k + i]) return 0;
    return 1;
}

static const json_t *in_pattern(const json_t *pattern, const char *name)
{
    const char *key;
    json_t *value;
    if (!pattern) return NULL;
    json_object_foreach((json_t *)(uintptr_t)pattern, key, value) /* in the order in which they are written */
        if (pattern_matches(key, name)) return value;
    return NULL;
}

int64_t pawl_lora_rank(const pawl_lora_settings *s, const char *name)
{
    const json_t *v = in_pattern(s->rank_pattern, name);
    return v ? json_integer_value(v) : s->r;
}

double pawl_lora_alpha(const pawl_lora_settings *s, const char *name)
{
    const json_t *v = in_pattern(s->alpha_pattern, name);
    return v ? json_number_value(v) : s->alpha;
}

/* ---- and back ---- */

/* The end of a name that has so many parts; all of it when it has no more. */
static const char *tail(const char *name, int parts)
{
    const char *at = name + strlen(name);
    while (at > name && (at[-1] != '.' || --parts > 0)) at--;
    return at;
}

static int is_adapted(const pawl_adapter *a, const char *name)
{
    for (int i = 0; i < a->count; i++)
        if (strcmp(a->items[i].module.name, name) == 0) return 1;
    return 0;
}

/* The shortest end of a name that is not the end of a module without an adapter too. */
static const char *shortest(const pawl_adapter *a, const pawl_module *list, int count, const char *name)
{
    for (int parts = 1;; parts++) {
        const char *end = tail(name, parts);
        int strangers = 0;
        for (int i = 0; i < count && !strangers; i++)
            strangers = pawl_lora_name_matches(list[i].name, end) && !is_adapted(a, list[i].name);
        if (!strangers || end == name) return end;
    }
}

static pawl_status targets_json(const pawl_adapter *a, json_t **out)
{
    pawl_module *list;
    int count;
    json_t *names = json_array();
    pawl_status status;
    PAWL_TRY_OUT(pawl_modules_of(a->m, &list, &count));
    for (int i = 0; i < a->count; i++) {
        if (any_matches(names, a->items[i].module.name)) continue; /* an end that stands there already is its end too */
        json_array_append_new(names, json_string(shortest(a, list, count, a->items[i].module.name)));
    }
    pawl_free(list);
    *out = names;
    return PAWL_OK;
out:
    json_decref(names);
    return status;
}

/* PEFT writes whole numbers as such. */
static json_t *number(double x)
{
    return x == floor(x) && fabs(x) < 1e9 ? json_integer((json_int_t)x) : json_real(x);
}

static json_t *rank_pattern(const pawl_adapter *a)
{
    json_t *all = json_object();
    for (int i = 0; i < a->count; i++)
        if (a->items[i].r != a->r)
            json_object_set_new(all, a->items[i].module.name, json_integer((json_int_t)a->items[i].r));
    return all;
}

static json_t *alpha_pattern(const pawl_adapter *a)
{
    json_t *all = json_object();
    for (int i = 0; i < a->count; i++)
        if (a->items[i].alpha != a->alpha) json_object_set_new(all, a->items[i].module.name, number(a->items[i].alpha));
    return all;
}

pawl_status pawl_adapter_json(const pawl_adapter *a, json_t **out)
{
    json_t *targets = NULL;
    PAWL_TRY(targets_json(a, &targets));
    json_t *all =
        json_pack("{s:s,s:s,s:I,s:o,s:f,s:b,s:b,s:b,s:o,s:o,s:o,s:s,s:b,s:n}", "peft_type", "LORA", "task_type",
                  "CAUSAL_LM", "r", (json_int_t)a->r, "lora_alpha", number(a->alpha), "lora_dropout", a->dropout,
                  "use_rslora", a->rslora, "use_dora", a->dora, "fan_in_fan_out", a->items[0].module.fan_in_fan_out,
                  "target_modules", targets, "rank_pattern", rank_pattern(a), "alpha_pattern", alpha_pattern(a), "bias",
                  "none", "init_lora_weights", 1, "modules_to_save");
    PAWL_CHECK(all, PAWL_EMEM, "no memory for the settings of an adapter");
    *out = all;
    return PAWL_OK;
}
