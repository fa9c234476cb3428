/* What lies in a folder or a file: which kind of model or adapter, what it says of itself, and its lineage. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/log.h"
#include "launch/launch.h"

int pawl_is_hugging_face(const char *path)
{
    char config[1100];
    return pawl_path_join(config, sizeof config, path, "config.json") == PAWL_OK && pawl_path_exists(config);
}

int pawl_is_adapter_folder(const char *path)
{
    return !pawl_is_hugging_face(path) && pawl_is_peft(path);
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
    PAWL_CHECK(pawl_is_hugging_face(path) || has(path, "adapter_config.json") || has(path, "manifest.json") || has(path, "checkpoints") ||
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
    if (pawl_is_hugging_face(path) || pawl_is_gguf(path)) return PAWL_OK;
    if (pawl_is_adapter_folder(path)) return describe_peft(path, settings, base);
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
    if (pawl_is_hugging_face(path) || pawl_is_gguf(path) || pawl_is_adapter_folder(path)) return PAWL_OK;
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
    PAWL_CHECK(pawl_path_exists(base) && !pawl_is_adapter_folder(base), PAWL_EUSAGE,
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
    if (pawl_is_hugging_face(path)) {
        memcpy(spec, path, strlen(path) + 1);
        return pawl_hf_config(path, model);
    }
    if (pawl_is_adapter_folder(path)) return describe_base_of(path, model, spec);
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
    PAWL_CHECK(!pawl_is_adapter_folder(path), PAWL_EUSAGE,
               "%s is an adapter, not a model: give its base as base_model, and it as lora_model_dir", path);
    PAWL_TRY(pawl_is_hugging_face(path) ? pawl_hf_lineage(path, out) : checkpoint_lineage(path, out));
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

pawl_status pawl_require_base(const char *path, const char *who)
{
    PAWL_CHECK(pawl_path_exists(path), PAWL_EUSAGE,
               "%s is an adapter on the model %s, which is not there any more: say with --base where it is now", who, path);
    return PAWL_OK;
}

pawl_status pawl_check_base(const json_t *lineage, const char *path, const char *who)
{
    json_t *now;
    PAWL_TRY(pawl_require_base(path, who));
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
