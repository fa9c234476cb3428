/* Sections as JSON, read back and compared: what checkpoints and prepared data remember of a configuration. */
#include "core/fields.h"

#include <stdio.h>
#include <string.h>

/* ---- Differences ---- */

static int same(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b) && !(json_is_integer(a) && json_is_integer(b)))
        return json_number_value(a) == json_number_value(b); /* canonical JSON writes 1.0 as 1 */
    return json_equal(a, b);
}

/* Of a record the keys that are not at their defaults, as people write it. A new reference. */
static json_t *as_written(const pawl_field *rows, const json_t *record)
{
    json_t *out = json_object();
    for (; out && rows->key; rows++) {
        json_t *value = json_object_get(record, rows->key), *dflt = pawl_field_default_json(rows);
        if (value && !same(value, dflt) && json_object_set(out, rows->key, value) < 0) {
            json_decref(out);
            out = NULL;
        }
        json_decref(dflt);
    }
    return out;
}

static void show(const pawl_field *row, const json_t *value, pawl_text *out)
{
    if (!value || json_is_null(value)) {
        pawl_text_add(out, "none");
        return;
    }
    const int record = json_is_object(value) && (row->kind == PAWL_KIND_record || row->kind == PAWL_KIND_list);
    json_t *shown = record ? as_written(row->fields, value) : json_incref((json_t *)(uintptr_t)value);
    if (!shown || pawl_json_canonical(shown, out) != PAWL_OK) pawl_text_add(out, "?");
    json_decref(shown);
}

static int differ(const pawl_field *row, const char *path, const json_t *before, const json_t *after, pawl_text *out)
{
    pawl_text_add(out, "%s: ", path);
    show(row, before, out);
    pawl_text_add(out, " -> ");
    show(row, after, out);
    pawl_text_add(out, "\n");
    return 1;
}

static int field_diff(const pawl_field *row, const char *path, const json_t *before, const json_t *after, int fixed_only,
                      pawl_text *out)
{
    char prefix[320];
    int count = 0;
    if (row->kind == PAWL_KIND_record && json_is_object(before) && json_is_object(after)) {
        snprintf(prefix, sizeof prefix, "%s.", path);
        return pawl_fields_diff(row->fields, prefix, before, after, fixed_only, out);
    }
    if (row->kind != PAWL_KIND_list || !json_is_array(before) || !json_is_array(after))
        return same(before, after) ? 0 : differ(row, path, before, after, out);
    for (size_t i = 0; i < json_array_size(before) || i < json_array_size(after); i++) {
        const json_t *b = json_array_get(before, i), *a = json_array_get(after, i);
        snprintf(prefix, sizeof prefix, b && a ? "%s.%zu." : "%s.%zu", path, i);
        count += b && a ? pawl_fields_diff(row->fields, prefix, b, a, fixed_only, out) : differ(row, prefix, b, a, out);
    }
    return count;
}

int pawl_fields_diff(const pawl_field *rows, const char *prefix, const json_t *before, const json_t *after, int fixed_only,
                     pawl_text *out)
{
    char path[256];
    int count = 0;
    for (; rows->key; rows++) {
        if (fixed_only && rows->change == PAWL_CHANGE_FREE) continue;
        /* a key that a later version adds is no difference as long as it stands at its default */
        json_t *dflt = pawl_field_default_json(rows);
        const json_t *b = json_object_get(before, rows->key), *a = json_object_get(after, rows->key);
        snprintf(path, sizeof path, "%s%s", prefix, rows->key);
        count += field_diff(rows, path, b ? b : dflt, a ? a : dflt, fixed_only, out);
        json_decref(dflt);
    }
    return count;
}

/* A scalar's JSON as the text that pawl_field_set takes. */
static pawl_status json_as_text(const json_t *value, const char *where, const char *key, char out[1024])
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        PAWL_CHECK(json_string_length(value) < 1024, PAWL_EDATA, "%s: '%s' is longer than 1023 bytes", where, key);
        memcpy(out, json_string_value(value), json_string_length(value) + 1);
        return PAWL_OK;
    case JSON_INTEGER: snprintf(out, 1024, "%lld", (long long)json_integer_value(value)); return PAWL_OK;
    case JSON_REAL: pawl_format_f64(json_real_value(value), out); return PAWL_OK;
    case JSON_TRUE: memcpy(out, "true", 5); return PAWL_OK;
    case JSON_FALSE: memcpy(out, "false", 6); return PAWL_OK;
    default: return PAWL_FAIL(PAWL_EDATA, "%s: '%s' is not a text, number or truth value", where, key);
    }
}

static pawl_status texts_from_json(const pawl_field *row, const json_t *value, const char *where, void *section)
{
    char why[512];
    PAWL_CHECK(json_is_array(value), PAWL_EDATA, "%s: '%s' is not a list", where, row->key);
    memset((char *)section + row->at, 0, row->body_at + row->room * (size_t)row->most); /* the default makes way */
    for (size_t i = 0; i < json_array_size(value); i++) {
        const char *text = json_string_value(json_array_get(value, i));
        PAWL_CHECK(text, PAWL_EDATA, "%s: '%s': item %zu is not a text", where, row->key, i);
        PAWL_CHECK(pawl_field_append(row, section, text, why, sizeof why), PAWL_EDATA, "%s: '%s': %s", where, row->key, why);
    }
    return PAWL_OK;
}

pawl_status pawl_fields_from_json(const pawl_field *rows, const json_t *json, const char *where, void *section)
{
    char text[1024], why[512];
    pawl_fields_default(rows, section);
    for (; rows->key; rows++) {
        const json_t *value = json_object_get(json, rows->key);
        if (!value && rows->dflt) continue;
        PAWL_CHECK(value, PAWL_EDATA, "%s: expected the key '%s'", where, rows->key);
        if (rows->kind == PAWL_KIND_record) {
            const int32_t present = !json_is_null(value);
            char *member = (char *)section + rows->at;
            if (present) PAWL_TRY(pawl_fields_from_json(rows->fields, value, where, member + rows->body_at));
            memcpy(member, &present, sizeof present);
            continue;
        }
        if (rows->kind == PAWL_KIND_texts) {
            PAWL_TRY(texts_from_json(rows, value, where, section));
            continue;
        }
        if (rows->may_be_null && json_is_null(value)) continue; /* its default */
        PAWL_TRY(json_as_text(value, where, rows->key, text));
        PAWL_CHECK(pawl_field_set(rows, section, text, why, sizeof why), PAWL_EDATA, "%s: '%s': %s", where, rows->key, why);
    }
    return PAWL_OK;
}
