/* Which adapter a run trains, on what, and where its weights begin. */
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "launch/launch.h"

/* The adapter at parent_checkpoint, where there is one. */
typedef struct parent {
    const char *path; /* NULL: none */
    json_t *settings, *base;
    char base_path[1024];
    int finished; /* adapters under it, of its earlier stages */
} parent;

static pawl_status open_parent(const pawl_opened *o, parent *p)
{
    const char *path = o->config.checkpoint.parent_checkpoint;
    if (!path[0]) return PAWL_OK;
    p->path = path;
    PAWL_TRY(pawl_describe_adapter(path, &p->settings, &p->base, p->base_path));
    return p->base ? pawl_count_finished(path, &p->finished) : PAWL_OK;
}

static void close_parent(parent *p)
{
    json_decref(p->settings);
    json_decref(p->base);
}

/* Keys beside lora_model_dir, or a parent that they are taken from, may repeat what stands there, but not contradict it. */
static pawl_status agree_with_keys(const pawl_adapter_config *c, const json_t *settings, const char *where)
{
    const json_t *r = json_object_get(settings, "r"), *alpha = json_object_get(settings, "lora_alpha");
    PAWL_CHECK(!c->lora_r || !r || json_integer_value(r) == c->lora_r, PAWL_EUSAGE,
               "lora_r is %lld, but %s has %lld: leave it out", (long long)c->lora_r, where,
               (long long)json_integer_value(r));
    PAWL_CHECK(c->lora_alpha == 0 || !alpha || json_number_value(alpha) == c->lora_alpha, PAWL_EUSAGE,
               "lora_alpha is %g, but %s has %g: leave it out", c->lora_alpha, where, json_number_value(alpha));
    PAWL_CHECK(!c->peft_use_rslora || json_is_true(json_object_get(settings, "use_rslora")), PAWL_EUSAGE,
               "peft_use_rslora is true, but %s was made without it: leave it out", where);
    PAWL_CHECK(!c->peft_use_dora || json_is_true(json_object_get(settings, "use_dora")), PAWL_EUSAGE,
               "peft_use_dora is true, but %s was made without it: leave it out", where);
    return PAWL_OK;
}

static pawl_status settings_of(const pawl_opened *o, const parent *p, json_t **out, const char **where)
{
    const pawl_adapter_config *c = &o->config.adapter;
    *where = "the run";
    if (c->lora_model_dir[0]) {
        *where = c->lora_model_dir;
        PAWL_TRY(pawl_peft_settings(c->lora_model_dir, out));
    } else if (c->lora_r == 0) {
        PAWL_CHECK(p->settings, PAWL_EUSAGE,
                   "adapter: expected lora_r, lora_alpha and lora_target_modules, or lora_model_dir%s",
                   p->path ? ": there is no adapter in parent_checkpoint" : "");
        *where = p->path;
        *out = json_deep_copy(p->settings);
    } else {
        return pawl_adapter_settings(c, out);
    }
    PAWL_CHECK(*out, PAWL_EMEM, "no memory for the settings of an adapter");
    json_object_set_new(*out, "lora_dropout", json_real(c->lora_dropout));
    const pawl_status s = agree_with_keys(c, *out, *where);
    if (s == PAWL_OK) return PAWL_OK;
    json_decref(*out);
    return s;
}

/* Dropout is of the training, not of what was learnt. */
static int same_adapter(const json_t *a, const json_t *b)
{
    pawl_text x = {0}, y = {0};
    json_t *c = json_deep_copy(a), *d = json_deep_copy(b);
    json_object_del(c, "lora_dropout");
    json_object_del(d, "lora_dropout");
    const int same = c && d && pawl_json_canonical(c, &x) == PAWL_OK && pawl_json_canonical(d, &y) == PAWL_OK &&
                     x.bytes == y.bytes && memcmp(x.data, y.data, x.bytes) == 0;
    pawl_text_close(&x);
    pawl_text_close(&y);
    json_decref(c);
    json_decref(d);
    return same;
}

/* Of a parent's adapter that does not go on. */
static void tell_new(const pawl_opened *o, const parent *p)
{
    if (!p->settings || o->adapter_goes_on || o->config.adapter.lora_model_dir[0]) return;
    pawl_log(PAWL_LOG_INFO, "adapter: a new one begins over all that parent_checkpoint is, since %s%s",
             same_adapter(p->settings, o->adapter_settings) ? "its own stands on finished ones, which lora_stages: same does not keep"
                                                            : "its own has other settings",
             o->config.continual.lora_stages == PAWL_LORA_ORTHOGONAL ? "; it is held off none of those before" : "");
}

/* On base_model; on what the parent's adapter stands on, when that adapter goes on; or on all that the parent is. With an adapter for
 * each stage the parent's goes on as a finished one; without, it does not where there are finished ones under it. */
static void stand_on(pawl_opened *o, const parent *p)
{
    const char *path = o->config.model.base_model;
    const int one = o->config.continual.lora_stages == PAWL_LORA_SAME;
    o->adapter_goes_on = p->settings && !o->config.adapter.lora_model_dir[0] && same_adapter(p->settings, o->adapter_settings) &&
                         !(one && p->finished);
    o->adapters_before = o->adapter_goes_on && !one ? p->finished + 1 : 0;
    tell_new(o, p);
    if (p->path) path = o->adapter_goes_on ? p->base_path : p->path;
    memcpy(o->adapter_base, path, strlen(path) + 1);
    if (p->path) o->base = json_incref(o->adapter_goes_on ? p->base : o->parent);
}

static pawl_status check_stages(const pawl_opened *o, const char *where)
{
    PAWL_CHECK(o->config.continual.lora_stages == PAWL_LORA_SAME || !pawl_adapter_is_dora(o->adapter), PAWL_EUSAGE,
               "lora_stages: expected same with DoRA, as %s has it, found %s: it changes the length of rows, which adds up over no stages", where,
               pawl_lora_stages_names[o->config.continual.lora_stages]);
    return PAWL_OK;
}

static pawl_status choose(pawl_opened *o, const parent *p)
{
    json_t *settings;
    const char *where;
    PAWL_TRY(settings_of(o, p, &settings, &where));
    pawl_status s = pawl_adapter_open(o->model, settings, where, &o->adapter);
    json_decref(settings);
    if (s == PAWL_OK) s = check_stages(o, where);
    if (s == PAWL_OK) s = pawl_adapter_json(o->adapter, &o->adapter_settings);
    if (s == PAWL_OK) stand_on(o, p);
    if (s == PAWL_OK && o->config.adapter.lora_model_dir[0]) s = pawl_peft_lineage(o->config.adapter.lora_model_dir, &o->adapter_start);
    if (s == PAWL_OK && o->adapter_goes_on) s = pawl_check_base(p->base, p->base_path, p->path);
    return s;
}

pawl_status pawl_choose_adapter(pawl_opened *o)
{
    parent p = {.path = NULL};
    if (o->config.adapter.adapter == 0) return PAWL_OK;
    pawl_status s = open_parent(o, &p);
    if (s == PAWL_OK) s = choose(o, &p);
    close_parent(&p);
    return s;
}
