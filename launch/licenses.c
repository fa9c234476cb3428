/* What a model may be used under, as far as what it lies beside says so. */
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "core/file.h"
#include "launch/launch.h"

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void add(json_t *set, const char *name, size_t bytes)
{
    json_t *text = name && bytes ? json_stringn(name, bytes) : NULL;
    if (text) json_object_set_new(set, json_string_value(text), json_true());
    json_decref(text);
}

static pawl_status from_import(const char *path, json_t *set)
{
    char file[1100];
    json_t *record;
    PAWL_TRY(pawl_path_join(file, sizeof file, path, PAWL_IMPORT_RECORD));
    if (!pawl_path_exists(file)) return PAWL_OK;
    PAWL_TRY(pawl_json_read(file, 1 << 20, &record));
    const char *name = json_string_value(json_object_get(record, "license"));
    if (name) add(set, name, strlen(name));
    json_decref(record);
    return PAWL_OK;
}

static pawl_status from_merge(const char *path, json_t *set)
{
    char file[1100];
    json_t *record, *name;
    size_t i;
    PAWL_TRY(pawl_path_join(file, sizeof file, path, PAWL_MERGE_RECORD));
    if (!pawl_path_exists(file)) return PAWL_OK;
    PAWL_TRY(pawl_json_read(file, 1 << 20, &record));
    json_array_foreach(json_object_get(record, "licenses"), i, name)
        add(set, json_string_value(name), json_string_length(name));
    json_decref(record);
    return PAWL_OK;
}

/* `license: NAME` in the lines between the first two `---` of a model card. */
static void from_front_matter(const char *text, json_t *set)
{
    if (strncmp(text, "---\n", 4) != 0) return;
    for (const char *at = text + 4, *end; (end = strchr(at, '\n')) && strncmp(at, "---", 3) != 0; at = end + 1) {
        if (strncmp(at, "license:", 8) != 0) continue;
        const char *name = at + 8;
        name += strspn(name, " \"'");
        add(set, name, strcspn(name, " \"'\r\n#"));
    }
}

static pawl_status from_card(const char *path, json_t *set)
{
    enum { CARD_MAX = 16 << 20 };
    char file[1100], *text;
    size_t bytes;
    PAWL_TRY(pawl_path_join(file, sizeof file, path, "README.md"));
    if (!pawl_path_exists(file)) return PAWL_OK;
    PAWL_TRY(pawl_file_read(file, CARD_MAX, &text, &bytes));
    from_front_matter(text, set);
    pawl_free(text);
    return PAWL_OK;
}

/* Datasets that were not only measured, and what a model wrote. */
static void from_records(const json_t *records, json_t *set)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)(uintptr_t)records, i, one)
    {
        const char *use = json_string_value(json_object_get(one, "use")),
                   *name = json_string_value(json_object_get(one, "license"));
        if (name && (!use || strcmp(use, "measured") != 0)) add(set, name, strlen(name));
    }
}

static pawl_status from_run(const char *path, json_t *set)
{
    pawl_checkpoint *k;
    PAWL_TRY(pawl_checkpoint_open(path, &k));
    const json_t *lineage = json_object_get(pawl_checkpoint_manifest(k), "lineage");
    from_records(json_object_get(lineage, "datasets"), set);
    from_records(json_object_get(lineage, "synthesis"), set);
    pawl_checkpoint_close(k);
    return PAWL_OK;
}

static pawl_status collect(const char *path, json_t *set)
{
    char file[1100];
    PAWL_TRY(pawl_path_join(file, sizeof file, path, "config.json"));
    const int published = pawl_path_exists(file) || pawl_is_peft(path);
    if (!published) return from_run(path, set);
    PAWL_TRY(from_import(path, set));
    PAWL_TRY(from_merge(path, set));
    return from_card(path, set);
}

pawl_status pawl_model_licenses(const char *given, json_t **out)
{
    char path[1024];
    const char *names[256], *name;
    size_t count = 0;
    json_t *value, *set = json_object(), *list = json_array();
    pawl_status s = set && list ? pawl_model_folder(given, path) : PAWL_FAIL(PAWL_EMEM, "no memory for licences");
    if (s == PAWL_OK) s = collect(path, set);
    json_object_foreach(set, name, value) if (count < sizeof names / sizeof *names) names[count++] = name;
    qsort(names, count, sizeof *names, by_text);
    for (size_t i = 0; i < count; i++) json_array_append_new(list, json_string(names[i]));
    json_decref(set);
    if (s == PAWL_OK)
        *out = list;
    else
        json_decref(list);
    return s;
}
