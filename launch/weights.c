#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "core/file.h"
#include "core/log.h"
#include "launch/launch.h"

enum { DEPTH_MAX = 16 }; /* adapters on adapters */

static int is_hugging_face(const char *path)
{
    char config[1100];
    return pawl_path_join(config, sizeof config, path, "config.json") == PAWL_OK && pawl_path_exists(config);
}

static int is_adapter_folder(const char *path)
{
    return !is_hugging_face(path) && pawl_is_peft(path);
}

static int has(const char *path, const char *name)
{
    char file[1100];
    return pawl_path_join(file, sizeof file, path, name) == PAWL_OK && pawl_path_exists(file);
}

/* OWNER/MODEL, as models are called on the hub. */
static int may_be_of_the_hub(const char *path)
{
    const char *slash = strchr(path, '/');
    return slash && slash != path && slash[1] && !strchr(slash + 1, '/') && path[0] != '.' && path[0] != '~';
}

#define EXPECTED "expected a Hugging Face directory, a GGUF file, a PEFT adapter, a checkpoint, or the folder of a run"

static pawl_status require_there(const char *path)
{
    PAWL_CHECK(strlen(path) < 1024, PAWL_EUSAGE, "path too long: %s", path);
    PAWL_CHECK(pawl_path_exists(path), PAWL_EUSAGE, "there is no %s: " EXPECTED "%s", path,
               may_be_of_the_hub(path) ? "; a model of the hub is downloaded first, into a folder that is named here" : "");
    PAWL_CHECK(is_hugging_face(path) || has(path, "adapter_config.json") || has(path, "manifest.json") || has(path, "checkpoints") ||
                   pawl_is_gguf(path),
               PAWL_EUSAGE, "%s is no model: " EXPECTED "%s", path,
               pawl_path_is_dir(path) ? "; it has none of config.json, adapter_config.json, manifest.json and checkpoints/" : "");
    return PAWL_OK;
}

/* What a checkpoint stands on may have been imported into a cache folder that was emptied since: then it is imported again,
 * which gives the same folder. Whatever fails here, fails where the folder is needed. */
static void restore_import(const json_t *lineage)
{
    const json_t *base = json_object_get(lineage, "base");
    const char *folder = json_string_value(json_object_get(base, "path"));
    const char *file = json_string_value(json_object_get(json_object_get(base, "imported"), "path"));
    char again[1024];
    if (!folder || !file || pawl_path_exists(folder) || !pawl_path_exists(file) || !pawl_is_gguf(file)) return;
    if (pawl_model_folder(file, again) != PAWL_OK) pawl_log(PAWL_LOG_WARN, "%s", pawl_last_error()->what);
}

/* ---- what lies there ---- */

/* The base that adapter_config.json names: as it stands, or beside the adapter. */
static pawl_status peft_base(const char *path, const json_t *settings, char base[1024])
{
    const char *name = json_string_value(json_object_get(settings, "base_model_name_or_path"));
    PAWL_CHECK(name && name[0], PAWL_EDATA, "%s/adapter_config.json: there is no base_model_name_or_path", path);
    if (name[0] != '/' && pawl_path_join(base, 1024, path, name) == PAWL_OK && pawl_path_exists(base)) return PAWL_OK;
    PAWL_CHECK(strlen(name) < 1024, PAWL_EDATA, "%s/adapter_config.json: base_model_name_or_path is too long", path);
    memcpy(base, name, strlen(name) + 1);
    return PAWL_OK;
}

static pawl_status describe_peft(const char *path, json_t **settings, char base[1024])
{
    PAWL_TRY(pawl_peft_settings(path, settings));
    const pawl_status s = peft_base(path, *settings, base);
    if (s == PAWL_OK) return PAWL_OK;
    json_decref(*settings);
    *settings = NULL;
    return s;
}

static pawl_status describe_saved(const pawl_checkpoint *k, json_t **settings, json_t **lineage, char base[1024])
{
    json_t *all, *adapter, *under;
    const char *where = pawl_checkpoint_path(k), *path;
    PAWL_TRY(pawl_json_object(pawl_checkpoint_manifest(k), "lineage", where, &all));
    adapter = json_object_get(all, "adapter");
    if (!json_is_object(adapter)) return PAWL_OK;
    restore_import(all);
    PAWL_TRY(pawl_json_object(all, "base", where, &under));
    PAWL_TRY(pawl_json_text(under, "path", where, &path));
    PAWL_CHECK(strlen(path) < 1024, PAWL_EDATA, "%s: the base model's path is too long", where);
    memcpy(base, path, strlen(path) + 1);
    *settings = json_incref(adapter);
    *lineage = json_incref(under);
    return PAWL_OK;
}

pawl_status pawl_describe_adapter(const char *path, json_t **settings, json_t **base_lineage, char base[1024])
{
    pawl_checkpoint *k;
    *settings = *base_lineage = NULL;
    base[0] = 0;
    PAWL_TRY(require_there(path));
    if (is_hugging_face(path) || pawl_is_gguf(path)) return PAWL_OK;
    if (is_adapter_folder(path)) return describe_peft(path, settings, base);
    PAWL_TRY(pawl_checkpoint_open(path, &k));
    const pawl_status s = describe_saved(k, settings, base_lineage, base);
    pawl_checkpoint_close(k);
    return s;
}

pawl_status pawl_run_lineage(const char *path, json_t **out)
{
    pawl_checkpoint *k;
    json_t *lineage;
    *out = NULL;
    PAWL_TRY(require_there(path));
    if (is_hugging_face(path) || pawl_is_gguf(path) || is_adapter_folder(path)) return PAWL_OK;
    PAWL_TRY(pawl_checkpoint_open(path, &k));
    pawl_status s = pawl_json_object(pawl_checkpoint_manifest(k), "lineage", pawl_checkpoint_path(k), &lineage);
    if (s == PAWL_OK) *out = json_incref(lineage);
    pawl_checkpoint_close(k);
    return s;
}

pawl_status pawl_run_configuration(const char *path, json_t **out)
{
    json_t *lineage;
    PAWL_TRY(pawl_run_lineage(path, &lineage));
    *out = json_incref(json_object_get(lineage, "configuration"));
    json_decref(lineage);
    return PAWL_OK;
}

/* A checkpoint's lineage says what the model is and what opens its tokenizer. */
static pawl_status describe_checkpoint(const pawl_checkpoint *k, pawl_model_config *model, char spec[1024])
{
    json_t *lineage, *tokenizer, *settings;
    const char *text, *where = pawl_checkpoint_path(k);
    PAWL_TRY(pawl_json_object(pawl_checkpoint_manifest(k), "lineage", where, &lineage));
    PAWL_TRY(pawl_json_object(lineage, "tokenizer", where, &tokenizer));
    PAWL_TRY(pawl_json_text(tokenizer, "spec", where, &text));
    PAWL_CHECK(strlen(text) < 1024, PAWL_EDATA, "%s: the tokenizer's path is too long", where);
    PAWL_TRY(pawl_json_object(lineage, "model", where, &settings));
    PAWL_TRY(pawl_fields_from_json(pawl_model_rows, settings, where, model));
    memcpy(spec, text, strlen(text) + 1);
    restore_import(lineage);
    return PAWL_OK;
}

static pawl_status describe_base_of(const char *path, pawl_model_config *model, char spec[1024])
{
    json_t *settings;
    char base[1024];
    PAWL_TRY(describe_peft(path, &settings, base));
    json_decref(settings);
    PAWL_CHECK(pawl_path_exists(base) && !is_adapter_folder(base), PAWL_EUSAGE,
               "%s: its base model %s is not there, or is no model: expected a Hugging Face directory; say with --base where it is",
               path, base);
    return pawl_describe_model(base, model, spec);
}

pawl_status pawl_describe_model(const char *given, pawl_model_config *model, char spec[1024])
{
    pawl_checkpoint *k;
    char path[1024];
    PAWL_TRY(require_there(given));
    PAWL_TRY(pawl_model_folder(given, path));
    if (is_hugging_face(path)) {
        memcpy(spec, path, strlen(path) + 1);
        return pawl_hf_config(path, model);
    }
    if (is_adapter_folder(path)) return describe_base_of(path, model, spec);
    PAWL_TRY(pawl_checkpoint_open(path, &k));
    pawl_status s = describe_checkpoint(k, model, spec);
    pawl_checkpoint_close(k);
    return s;
}

/* ---- lineage ---- */

static pawl_status checkpoint_lineage(const char *path, json_t **out)
{
    pawl_checkpoint *k;
    const char *root;
    PAWL_TRY(pawl_checkpoint_open(path, &k));
    pawl_status s = pawl_json_text(pawl_checkpoint_manifest(k), "root_sha256", pawl_checkpoint_path(k), &root);
    if (s == PAWL_OK)
        *out = json_pack("{s:s,s:I,s:s}", "path", pawl_checkpoint_path(k), "step", (json_int_t)pawl_checkpoint_step(k),
                         "root_sha256", root);
    pawl_checkpoint_close(k);
    return s;
}

pawl_status pawl_weights_lineage(const char *given, json_t **out)
{
    char whole[PATH_MAX], path[1024];
    PAWL_TRY(pawl_model_folder(given, path));
    PAWL_CHECK(!is_adapter_folder(path), PAWL_EUSAGE,
               "%s is an adapter, not a model: give its base as base_model, and it as lora_model_dir", path);
    PAWL_TRY(is_hugging_face(path) ? pawl_hf_lineage(path, out) : checkpoint_lineage(path, out));
    const char *named = json_string_value(json_object_get(*out, "path"));
    if (named && realpath(named, whole)) json_object_set_new(*out, "path", json_string(whole));
    return PAWL_OK;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* The first file of `then` that is another one now, or NULL. */
static const char *changed_file(const json_t *then, const json_t *now)
{
    size_t i, k;
    json_t *a, *b;
    json_array_foreach((json_t *)(uintptr_t)then, i, a) {
        int same = 0;
        json_array_foreach((json_t *)(uintptr_t)now, k, b)
            same |= strcmp(text_of(a, "name"), text_of(b, "name")) == 0 &&
                    strcmp(text_of(a, "sha256"), text_of(b, "sha256")) == 0;
        if (!same) return text_of(a, "name");
    }
    return NULL;
}

static pawl_status require_base(const char *path, const char *who)
{
    PAWL_CHECK(pawl_path_exists(path), PAWL_EUSAGE,
               "%s is an adapter on the model %s, which is not there any more: say with --base where it is now", who, path);
    return PAWL_OK;
}

pawl_status pawl_check_base(const json_t *lineage, const char *path, const char *who)
{
    json_t *now;
    PAWL_TRY(require_base(path, who));
    PAWL_TRY(pawl_weights_lineage(path, &now));
    const char *file = changed_file(json_object_get(lineage, "files"), json_object_get(now, "files"));
    const int same = !file && strcmp(text_of(lineage, "root_sha256"), text_of(now, "root_sha256")) == 0;
    pawl_status s = PAWL_OK;
    if (!same)
        s = PAWL_FAIL(PAWL_EUSAGE, "%s is an adapter on the model %s, which has changed since: %s%s has another SHA-256",
                      who, path, file ? "its file " : "it", file ? file : "");
    json_decref(now);
    return s;
}

/* ---- weights ---- */

/* What the names of the wanted weights begin with in a checkpoint. */
static const char *prefix_of(int ema)
{
    return ema ? "ema/" : "model/";
}

static pawl_status require_average(const pawl_checkpoint *k, int ema)
{
    const json_t *tensors = json_object_get(pawl_checkpoint_manifest(k), "tensors");
    size_t i;
    json_t *t;
    if (!ema) return PAWL_OK;
    json_array_foreach((json_t *)(uintptr_t)tensors, i, t) if (strncmp(text_of(t, "name"), "ema/", 4) == 0) return PAWL_OK;
    return PAWL_FAIL(PAWL_EUSAGE, "%s has no average of weights: its run kept none (ema_decay): leave --ema out", pawl_checkpoint_path(k));
}

static pawl_status refuse_average(const char *path, int ema)
{
    PAWL_CHECK(!ema, PAWL_EUSAGE, "%s has no average of weights, only checkpoints of a run with ema_decay have: leave --ema out", path);
    return PAWL_OK;
}

/* The last adapter, behind those of s, which may be none. */
static pawl_status read_state(const pawl_checkpoint *k, int ema, const pawl_stack *s, float *last)
{
    pawl_state weights = {0};
    PAWL_TRY(require_average(k, ema));
    pawl_status status = pawl_stack_state(s, &weights);
    if (status == PAWL_OK) status = pawl_trained_state(pawl_adapter_model(s->adapter), s->adapter, last, prefix_of(ema), &weights);
    if (status == PAWL_OK) status = pawl_checkpoint_read(k, &weights);
    pawl_state_close(&weights);
    return status;
}

static pawl_status read_stack(const pawl_checkpoint *k, int ema, pawl_stack *s)
{
    const size_t numbers = (size_t)pawl_trained_count(pawl_adapter_model(s->adapter), s->adapter);
    s->count = pawl_finished_in(k);
    PAWL_TRY(pawl_alloc((void **)&s->flats, (size_t)(s->count + 1) * numbers * sizeof *s->flats, "adapters"));
    PAWL_TRY(read_state(k, ema, s, s->flats + (size_t)s->count * numbers));
    s->count++;
    return PAWL_OK;
}

pawl_status pawl_count_finished(const char *path, int *count)
{
    pawl_checkpoint *k;
    PAWL_TRY(pawl_checkpoint_open(path, &k));
    *count = pawl_finished_in(k);
    pawl_checkpoint_close(k);
    return PAWL_OK;
}

pawl_status pawl_load_adapter(const char *path, int ema, const pawl_adapter *a, float *flat)
{
    pawl_checkpoint *k;
    if (is_adapter_folder(path)) {
        PAWL_TRY(refuse_average(path, ema));
        return pawl_peft_load(a, path, flat);
    }
    PAWL_TRY(pawl_checkpoint_open(path, &k));
    const pawl_status s = read_state(k, ema, &(pawl_stack){.adapter = a}, flat);
    pawl_checkpoint_close(k);
    return s;
}

pawl_status pawl_load_stack(const char *path, int ema, const pawl_adapter *a, pawl_stack *s)
{
    pawl_checkpoint *k;
    *s = (pawl_stack){.adapter = a};
    if (is_adapter_folder(path)) {
        s->count = 1;
        PAWL_TRY(pawl_alloc((void **)&s->flats, (size_t)pawl_trained_count(pawl_adapter_model(a), a) * sizeof *s->flats, "an adapter"));
        return pawl_load_adapter(path, ema, a, s->flats);
    }
    PAWL_TRY(pawl_checkpoint_open(path, &k));
    const pawl_status status = read_stack(k, ema, s);
    pawl_checkpoint_close(k);
    return status;
}

/* One of: a Hugging Face directory; a checkpoint of all weights; an adapter over another source. */
struct pawl_source {
    const pawl_model *m;
    pawl_hf_reader *hf;
    pawl_checkpoint *checkpoint;
    pawl_state names; /* of the checkpoint's tensors, with shapes */
    pawl_adapter *adapter;
    pawl_stack stack; /* the adapter of the last stage, on those of finished ones */
    pawl_source *under;
};

void pawl_source_close(pawl_source *s)
{
    if (!s) return;
    pawl_source_close(s->under);
    pawl_hf_reader_close(s->hf);
    pawl_checkpoint_close(s->checkpoint);
    pawl_state_close(&s->names);
    pawl_free(s->stack.flats);
    pawl_adapter_close(s->adapter);
    pawl_free(s);
}

/* As f32. What a run without master weights keeps in bf16 is read into the upper half of its place, and widened from the lower end on:
 * number i is written where no number behind it still stands. */
static pawl_status read_stored(const pawl_checkpoint *k, pawl_named one, float *to)
{
    const pawl_state only = {.items = &one, .count = 1, .room = 1};
    const int64_t count = pawl_tensor_count(one.tensor);
    pawl_tensor stored;
    uint16_t *low = (uint16_t *)(void *)to + count;
    const int is_low = pawl_checkpoint_tensor(k, one.name, &stored) && stored.dtype == PAWL_BF16;
    one.tensor.data = to;
    if (is_low) one.tensor.dtype = PAWL_BF16, one.tensor.data = low;
    PAWL_TRY(pawl_checkpoint_read(k, &only));
    for (int64_t i = 0; i < count && is_low; i++) {
        const uint32_t bits = (uint32_t)low[i] << 16;
        memcpy(to + i, &bits, sizeof bits);
    }
    return PAWL_OK;
}

pawl_status pawl_source_read(void *self, int tensor, float *to)
{
    pawl_source *s = self;
    if (s->hf) return pawl_hf_read(s->hf, tensor, to);
    if (s->checkpoint) return read_stored(s->checkpoint, s->names.items[tensor], to);
    PAWL_TRY(pawl_source_read(s->under, tensor, to));
    pawl_stack_merge(&s->stack, tensor, to);
    return PAWL_OK;
}

static pawl_status open_adapter(pawl_source *s, const char *path, int ema, const json_t *settings)
{
    PAWL_TRY(pawl_adapter_open(s->m, settings, path, &s->adapter));
    return pawl_load_stack(path, ema, s->adapter, &s->stack);
}

static pawl_status open_source(const char *path, pawl_which which, const pawl_model *m, int depth, pawl_source **out);

static pawl_status open_over(pawl_source *s, const char *path, pawl_which which, int depth)
{
    json_t *settings, *lineage;
    char was[1024];
    PAWL_TRY(pawl_describe_adapter(path, &settings, &lineage, was));
    if (!settings) {
        PAWL_TRY(pawl_checkpoint_open(path, &s->checkpoint));
        PAWL_TRY(require_average(s->checkpoint, which.ema));
        return pawl_model_state(s->m, NULL, prefix_of(which.ema), &s->names);
    }
    const char *under = which.base ? which.base : was;
    pawl_status status = lineage ? pawl_check_base(lineage, under, path) : PAWL_OK;
    if (status == PAWL_OK) status = open_source(under, (pawl_which){NULL, 0}, s->m, depth + 1, &s->under);
    if (status == PAWL_OK) status = open_adapter(s, path, which.ema, settings);
    json_decref(settings);
    json_decref(lineage);
    return status;
}

static pawl_status open_hf(pawl_source *s, const char *path, int ema)
{
    PAWL_TRY(refuse_average(path, ema));
    PAWL_TRY(pawl_hf_open(s->m, path, &s->hf));
    return pawl_hf_others(s->hf);
}

static pawl_status open_source(const char *given, pawl_which which, const pawl_model *m, int depth, pawl_source **out)
{
    pawl_source *s;
    char path[1024];
    PAWL_TRY(pawl_model_folder(given, path));
    PAWL_CHECK(depth < DEPTH_MAX, PAWL_EUSAGE, "%s: more than %d adapters stand on one another", path, DEPTH_MAX);
    PAWL_TRY(pawl_alloc((void **)&s, sizeof *s, "a source of weights"));
    s->m = m;
    const pawl_status status = is_hugging_face(path) ? open_hf(s, path, which.ema) : open_over(s, path, which, depth);
    if (status == PAWL_OK) *out = s;
    else pawl_source_close(s);
    return status;
}

pawl_status pawl_source_open(const char *path, pawl_which which, const pawl_model *m, pawl_source **out)
{
    return open_source(path, which, m, 0, out);
}

/* Tensor by tensor; through `room`, which holds the largest, where the host does not reach their places. */
static pawl_status read_all(pawl_source *s, pawl_device *d, float *flat, float *room)
{
    const pawl_extent *extents;
    const int count = pawl_model_extents(s->m, &extents);
    for (int i = 0; i < count; i++) {
        float *to = flat + extents[i].first, *here = pawl_host_side(d, to, room);
        PAWL_TRY(pawl_source_read(s, i, here));
        PAWL_TRY(pawl_upload(d, to, here, (size_t)extents[i].count * sizeof *here));
    }
    return PAWL_OK;
}

static pawl_status take_room(const pawl_model *m, const pawl_device *d, float **out)
{
    const pawl_extent *extents;
    const int count = pawl_model_extents(m, &extents);
    int64_t most = 0;
    for (int i = 0; i < count; i++) most = extents[i].count > most ? extents[i].count : most;
    return pawl_device_shares_memory(d) ? PAWL_OK : pawl_alloc((void **)out, (size_t)most * sizeof **out, "one tensor of the weights");
}

pawl_status pawl_load_weights(const char *path, pawl_which which, const pawl_model *m, pawl_device *d, float *flat)
{
    pawl_source *s;
    float *room = NULL;
    PAWL_TRY(pawl_source_open(path, which, m, &s));
    pawl_status status = take_room(m, d, &room);
    if (status == PAWL_OK) status = read_all(s, d, flat, room);
    pawl_free(room);
    pawl_source_close(s);
    return status;
}

/* An adapter's tokenizer is its base's as a rule, and that may have moved. */
static pawl_status find_tokenizer(const char *path, const char *base, char spec[1024])
{
    json_t *settings, *lineage;
    char was[1024];
    PAWL_TRY(pawl_describe_adapter(path, &settings, &lineage, was));
    const char *under = base ? base : was;
    const pawl_status s = settings ? require_base(under, path) : PAWL_OK;
    if (s == PAWL_OK && settings && !pawl_path_exists(spec) && is_hugging_face(under) && strlen(under) < 1024)
        if (strcmp(spec, "bytes") != 0) memcpy(spec, under, strlen(under) + 1);
    json_decref(settings);
    json_decref(lineage);
    return s;
}

static pawl_status load(const char *given, pawl_which which, pawl_loaded *l)
{
    pawl_model_config config;
    char path[1024], folder[1024];
    const char *base = which.base ? folder : NULL;
    PAWL_TRY(pawl_model_folder(given, path));
    if (base) PAWL_TRY(pawl_model_folder(which.base, folder));
    PAWL_TRY(pawl_describe_model(base && is_adapter_folder(path) ? base : path, &config, l->tokenizer_spec));
    PAWL_TRY(find_tokenizer(path, base, l->tokenizer_spec));
    PAWL_TRY(pawl_tokenizer_open(l->tokenizer_spec, &l->tokenizer));
    PAWL_TRY(pawl_model_open(&config, &l->model));
    l->arena = (pawl_arena){.name = "weights", .used = (size_t)pawl_model_count(l->model) * sizeof(float)};
    PAWL_TRY(pawl_arena_open_on(l->device, PAWL_ON_DEVICE, &l->arena));
    l->weights = (float *)(void *)l->arena.base;
    return pawl_load_weights(path, (pawl_which){base, which.ema}, l->model, l->device, l->weights);
}

pawl_status pawl_load_model(const char *path, pawl_which which, pawl_device *d, pawl_loaded *out)
{
    memset(out, 0, sizeof *out);
    out->device = d;
    pawl_status s = load(path, which, out);
    if (s != PAWL_OK) pawl_unload_model(out);
    return s;
}

void pawl_unload_model(pawl_loaded *l)
{
    pawl_model_close(l->model);
    pawl_tokenizer_close(l->tokenizer);
    pawl_arena_close_on(l->device, PAWL_ON_DEVICE, &l->arena);
    memset(l, 0, sizeof *l);
}
