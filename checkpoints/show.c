#include <string.h>

#include "checkpoints/manifest.h"

/* The member of that name, or of the member of that name, as JSON to hand on; null when there is none. */
static json_t *member(const json_t *object, const char *key, const char *inner)
{
    json_t *value = json_object_get(object, key);
    if (inner) value = json_object_get(value, inner);
    return value ? json_incref(value) : json_null();
}

/* Appends the licences of records that are not there yet. */
static void add_licenses(json_t *all, const json_t *records)
{
    json_t *record, *known;
    size_t i, j;
    json_array_foreach((json_t *)(uintptr_t)records, i, record)
    {
        json_t *license = json_object_get(record, "license");
        int seen = !json_is_string(license) || json_string_length(license) == 0;
        json_array_foreach(all, j, known) seen |= json_equal(known, license);
        if (!seen) json_array_append(all, license);
    }
}

/* Every licence once: of the datasets in their order, then of rows that a model wrote. */
static json_t *licenses_of(const json_t *lineage)
{
    json_t *all = json_array();
    add_licenses(all, json_object_get(lineage, "datasets"));
    add_licenses(all, json_object_get(lineage, "synthesis"));
    return all;
}

static json_t *tensors_of(const json_t *manifest)
{
    static const char *const keys[] = {"name", "dtype", "shape", "bytes", "sha256"};
    json_t *all = json_array(), *tensor;
    size_t i;
    json_array_foreach(json_object_get(manifest, "tensors"), i, tensor)
    {
        json_t *shown = json_object();
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
            json_object_set(shown, keys[k], json_object_get(tensor, keys[k]));
        json_array_append_new(all, shown);
    }
    return all;
}

pawl_status pawl_show(const char *path, json_t **out)
{
    pawl_checkpoint *k;
    PAWL_TRY(pawl_checkpoint_open(path, &k));
    const json_t *m = k->manifest, *lineage = json_object_get(m, "lineage"),
                 *datasets = json_object_get(lineage, "datasets");
    json_t *shown = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "step",
        member(m, "step", NULL), "stage", member(m, "run", "stage"), "weights_sha256",
        member(m, "weights_sha256", NULL), "state_sha256", member(m, "state_sha256", NULL), "memory_sha256",
        member(m, "memory_sha256", NULL), "root_sha256", member(m, "root_sha256", NULL), "parent",
        member(m, "parent", NULL), "created", member(m, "created", NULL), "pawl_version",
        member(m, "pawl_version", NULL), "ranks", member(m, "ranks", NULL), "reduction_lanes",
        member(json_object_get(lineage, "topology"), "lanes", NULL), "tokens", member(lineage, "tokens", NULL),
        "datasets", datasets ? json_incref((json_t *)(uintptr_t)datasets) : json_array(), "licenses",
        licenses_of(lineage), "tensors", tensors_of(m), "lineage", member(m, "lineage", NULL));
    pawl_checkpoint_close(k);
    PAWL_CHECK(shown, PAWL_EMEM, "no memory to show %s", path);
    *out = shown;
    return PAWL_OK;
}
