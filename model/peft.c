/* Adapters as PEFT keeps them: adapter_config.json and adapter_model.safetensors. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/safetensors.h"
#include "model/adapter.h"
#include "model/hf.h"

static const char CONFIG[] = "adapter_config.json", WEIGHTS[] = "adapter_model.safetensors",
                  PREFIX[] = "base_model.model.";

int pawl_is_peft(const char *dir)
{
    char path[PATH_MAX];
    return pawl_path_join(path, sizeof path, dir, CONFIG) == PAWL_OK && pawl_path_exists(path);
}

static pawl_status open_weights(const char *dir, pawl_safetensors **out)
{
    char path[PATH_MAX], pickle[PATH_MAX];
    PAWL_TRY(pawl_path_join(path, sizeof path, dir, WEIGHTS));
    PAWL_TRY(pawl_path_join(pickle, sizeof pickle, dir, "adapter_model.bin"));
    PAWL_CHECK(pawl_path_exists(path) || !pawl_path_exists(pickle), PAWL_EDATA,
               "%s: adapter_model.bin is a pickle, which can hold any program and is not read: save the adapter with "
               "safe_serialization=True",
               dir);
    return pawl_safetensors_open(path, out);
}

/* ---- settings ---- */

/* The module that a tensor's name speaks of, "" when it is no adapter's. */
static void module_name(const char *name, char out[PAWL_NAME_MAX])
{
    const char *end = strstr(name, ".lora_");
    const size_t prefix = sizeof PREFIX - 1;
    out[0] = 0;
    if (strncmp(name, PREFIX, prefix) != 0 || !end || end < name + prefix) return;
    memcpy(out, name + prefix, (size_t)(end - name) - prefix);
    out[(size_t)(end - name) - prefix] = 0;
}

/* target_modules may be a regular expression; what it chose stands in the file. */
static pawl_status targets_from_weights(const char *dir, json_t *settings)
{
    pawl_safetensors *s;
    char name[PAWL_NAME_MAX], before[PAWL_NAME_MAX] = "";
    json_t *list = json_array();
    pawl_status status = list ? open_weights(dir, &s) : PAWL_FAIL(PAWL_EMEM, "no memory for %s", dir);
    if (status != PAWL_OK) {
        json_decref(list);
        return status;
    }
    for (int i = 0; i < pawl_safetensors_count(s); i++) { /* in byte order: a module's tensors are neighbours */
        module_name(pawl_safetensors_at(s, i)->name, name);
        if (name[0] && strcmp(name, before) != 0) json_array_append_new(list, json_string(name));
        memcpy(before, name, sizeof name);
    }
    pawl_safetensors_close(s);
    PAWL_CHECK(json_object_set_new(settings, "target_modules", list) == 0, PAWL_EMEM, "no memory for %s", dir);
    return PAWL_OK;
}

pawl_status pawl_peft_settings(const char *dir, json_t **out)
{
    char path[PATH_MAX];
    json_t *settings;
    PAWL_TRY(pawl_path_join(path, sizeof path, dir, CONFIG));
    PAWL_TRY(pawl_json_read(path, 1 << 20, &settings));
    const json_t *targets = json_object_get(settings, "target_modules");
    const char *pattern = json_string_value(targets);
    pawl_status status = PAWL_OK;
    if (pattern && strpbrk(pattern, "^$*+?()[]{}|\\")) status = targets_from_weights(dir, settings);
    if (status == PAWL_OK)
        *out = settings;
    else
        json_decref(settings);
    return status;
}

/* ---- weights in ---- */

static pawl_status load_tensor(const pawl_safetensors *s, const pawl_named *into, const char *dir)
{
    char wanted[96], got[96], other[PAWL_NAME_MAX + 8];
    const pawl_named *found = pawl_safetensors_find(s, into->name);
    snprintf(other, sizeof other, "%s.weight", into->name); /* a magnitude, as some versions name it */
    if (!found) found = pawl_safetensors_find(s, other);
    pawl_hf_shape_text(&into->tensor, wanted);
    PAWL_CHECK(found, PAWL_EDATA, "%s/%s: tensor %s %s is missing", dir, WEIGHTS, into->name, wanted);
    const pawl_tensor *t = &found->tensor;
    pawl_hf_shape_text(t, got);
    PAWL_CHECK(pawl_hf_same_shape(t, &into->tensor), PAWL_EDATA,
               "%s/%s: tensor %s: expected the shape %s that the model and %s imply, found %s", dir, WEIGHTS,
               found->name, wanted, CONFIG, got);
    PAWL_CHECK(t->dtype == PAWL_F32 || t->dtype == PAWL_F16 || t->dtype == PAWL_BF16, PAWL_EDATA,
               "%s/%s: tensor %s: expected numbers of f32, f16 or bf16, found %s", dir, WEIGHTS, found->name,
               pawl_dtype_name(t->dtype));
    pawl_hf_to_floats(t, into->tensor.data);
    return PAWL_OK;
}

static int is_known(const pawl_state *state, const char *name)
{
    static const char end[] = ".weight";
    const size_t n = strlen(name), k = sizeof end - 1;
    char bare[PAWL_NAME_MAX] = "";
    if (pawl_state_find(state, name)) return 1;
    if (n <= k || strcmp(name + n - k, end) != 0) return 0;
    memcpy(bare, name, n - k);
    return pawl_state_find(state, bare) != NULL;
}

static pawl_status check_others(const pawl_safetensors *s, const pawl_state *state, const char *dir)
{
    for (int i = 0; i < pawl_safetensors_count(s); i++)
        PAWL_CHECK(is_known(state, pawl_safetensors_at(s, i)->name), PAWL_EDATA,
                   "%s/%s: tensor %s does not belong to an adapter on this model's linear modules as %s describes it",
                   dir, WEIGHTS, pawl_safetensors_at(s, i)->name, CONFIG);
    return PAWL_OK;
}

pawl_status pawl_peft_load(const pawl_adapter *a, const char *dir, float *flat)
{
    pawl_safetensors *s;
    pawl_state state = {.items = NULL};
    pawl_status status;
    PAWL_TRY(open_weights(dir, &s));
    memset(flat, 0, (size_t)a->flat * sizeof *flat);
    PAWL_TRY_OUT(pawl_trained_state(a->m, a, flat, "", &state));
    for (int i = 0; i < state.count; i++) PAWL_TRY_OUT(load_tensor(s, &state.items[i], dir));
    PAWL_TRY_OUT(check_others(s, &state, dir));
out:
    pawl_state_close(&state);
    pawl_safetensors_close(s);
    return status;
}

/* ---- weights out ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const pawl_named *)a)->name, ((const pawl_named *)b)->name);
}

pawl_status pawl_peft_save(const pawl_adapter *a, const float *flat, pawl_dtype dtype, const char *base,
                           const char *dir)
{
    char path[PATH_MAX];
    pawl_state state = {.items = NULL};
    json_t *config;
    pawl_status status;
    PAWL_CHECK(dtype == PAWL_F32 || dtype == PAWL_BF16 || dtype == PAWL_F16, PAWL_EUSAGE,
               "adapters are written as f32, bf16 or f16, not as %s", pawl_dtype_name(dtype));
    PAWL_TRY(pawl_adapter_json(a, &config));
    json_object_set_new(config, "base_model_name_or_path", json_string(base));
    json_object_set_new(config, "inference_mode", json_true());
    PAWL_TRY_OUT(pawl_dir_make(dir));
    PAWL_TRY_OUT(pawl_path_join(path, sizeof path, dir, WEIGHTS));
    PAWL_TRY_OUT(pawl_trained_state(a->m, a, (float *)(uintptr_t)flat, "", &state)); /* read only */
    qsort(state.items, (size_t)state.count, sizeof *state.items, by_name);           /* as peft does */
    PAWL_TRY_OUT(pawl_safetensors_write(path, &state, dtype));
    PAWL_TRY_OUT(pawl_hf_write_json(dir, CONFIG, json_incref(config)));
out:
    json_decref(config);
    pawl_state_close(&state);
    return status;
}

/* ---- lineage ---- */

static pawl_status add_files(json_t *files, const char *dir)
{
    const char *const names[] = {CONFIG, WEIGHTS};
    char path[PATH_MAX];
    for (int i = 0; i < 2; i++) {
        PAWL_TRY(pawl_path_join(path, sizeof path, dir, names[i]));
        PAWL_TRY(pawl_hf_add_file(files, path));
    }
    return PAWL_OK;
}

pawl_status pawl_peft_lineage(const char *dir, json_t **out)
{
    json_t *files = json_array(), *all = json_pack("{s:s,s:O?}", "path", dir, "files", files);
    const pawl_status status =
        files && all ? add_files(files, dir) : PAWL_FAIL(PAWL_EMEM, "no memory for the lineage of %s", dir);
    json_decref(files);
    if (status == PAWL_OK)
        *out = all;
    else
        json_decref(all);
    return status;
}
