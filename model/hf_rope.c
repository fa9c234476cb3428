/* Rotary embedding in config.json: `rope_parameters` as transformers 5 writes it, or `rope_theta` beside `rope_scaling`
 * as in published models. */
#include <stdio.h>
#include <string.h>

#include "model/hf_config.h"

enum { DEFAULT = 1, LINEAR = 2, LLAMA3 = 4, YARN = 8, LONGROPE = 16, EVERY = 31 }; /* in the order of pawl_rope_types */

/* Which types a key belongs to, and which cannot do without it. */
static const struct rope_key {
    const char *key;
    unsigned types, needed;
} rope_keys[] = {
    {"factor", LINEAR | LLAMA3 | YARN | LONGROPE, LINEAR | LLAMA3},
    {"low_freq_factor", LLAMA3, LLAMA3},
    {"high_freq_factor", LLAMA3, LLAMA3},
    {"original_max_position_embeddings", EVERY, 0}, /* transformers lets it stand where it has no use */
    {"attention_factor", YARN | LONGROPE, 0},
    {"beta_fast", YARN, 0},
    {"beta_slow", YARN, 0},
    {"mscale", YARN, 0},
    {"mscale_all_dim", YARN, 0},
    {"truncate", YARN, 0},
    {"short_factor", LONGROPE, LONGROPE},
    {"long_factor", LONGROPE, LONGROPE},
};
enum { ROPE_KEYS = sizeof rope_keys / sizeof rope_keys[0] };

static const pawl_field *row_named(const pawl_field *rows, const char *key)
{
    while (rows->key && strcmp(rows->key, key) != 0) rows++;
    PAWL_ASSERT(rows->key);
    return rows;
}

static pawl_status read_type(const json_t *rope, const char *where, const char *path, pawl_rope_config *r)
{
    const json_t *type = pawl_hf_given(rope, "rope_type"), *older = pawl_hf_given(rope, "type");
    char seen[96];
    PAWL_CHECK(!type || !older || json_equal(type, older), PAWL_EDATA, "%s: \"%s\" has a rope_type and another type",
               path, where);
    if (!type) type = older;
    PAWL_CHECK(type || !pawl_hf_given(rope, "factor"), PAWL_EDATA, "%s: \"%s\" has a factor and no rope_type", path,
               where);
    if (!type) return PAWL_OK;
    int i = 0;
    while (pawl_rope_types[i] && !(json_is_string(type) && strcmp(pawl_rope_types[i], json_string_value(type)) == 0))
        i++;
    PAWL_CHECK(pawl_rope_types[i], PAWL_EDATA,
               "%s: \"%s\": rope_type %s is not computed here: expected default, linear, llama3, yarn or longrope",
               path, where, pawl_hf_shown(type, seen));
    r->rope_type = i;
    return PAWL_OK;
}

static pawl_status take_list(const json_t *value, const char *path, const pawl_field *row, pawl_rope_config *r)
{
    char seen[96], text[64], why[256];
    PAWL_CHECK(json_is_array(value), PAWL_EDATA, "%s: \"%s\": expected a list of numbers, found %s", path, row->key,
               pawl_hf_shown(value, seen));
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *item = json_array_get(value, i);
        PAWL_CHECK(json_is_number(item), PAWL_EDATA, "%s: \"%s\": expected a list of numbers, found %s in it", path,
                   row->key, pawl_hf_shown(item, seen));
        pawl_format_f64(json_number_value(item), text);
        PAWL_CHECK(pawl_field_append(row, r, text, why, sizeof why), PAWL_EDATA, "%s: \"%s\": %s", path, row->key, why);
    }
    return PAWL_OK;
}

static pawl_status read_key(const char *key, const json_t *value, const char *where, const char *path,
                            pawl_model_config *c)
{
    pawl_rope_config *r = &c->rope_scaling.value;
    char seen[96];
    int i = 0;
    if (strcmp(key, "rope_type") == 0 || strcmp(key, "type") == 0) return PAWL_OK;
    if (strcmp(key, "truncate") == 0 && json_is_null(value)) r->truncate = 0; /* Python's reading of None */
    if (json_is_null(value)) return PAWL_OK;
    if (strcmp(key, "rope_theta") == 0) return pawl_hf_take(value, path, key, row_named(pawl_model_rows, key), c);
    while (i < ROPE_KEYS && strcmp(rope_keys[i].key, key) != 0) i++;
    const int known = i < ROPE_KEYS && rope_keys[i].types >> r->rope_type & 1;
    PAWL_CHECK(known || (strcmp(key, "partial_rotary_factor") == 0 && json_number_value(value) == 1), PAWL_EDATA,
               "%s: \"%s\": \"%.60s\" of %s is not computed here with rope_type %s", path, where, key,
               pawl_hf_shown(value, seen), pawl_rope_types[r->rope_type]);
    if (!known) return PAWL_OK;
    PAWL_CHECK(strcmp(key, "attention_factor") != 0 || json_number_value(value) > 0, PAWL_EDATA,
               "%s: \"%s\": \"%s\" is %s, expected a number above 0", path, where, key, pawl_hf_shown(value, seen));
    const pawl_field *row = row_named(pawl_rope_rows, key);
    return row->kind == PAWL_KIND_texts ? take_list(value, path, row, r) : pawl_hf_take(value, path, key, row, r);
}

/* A factor that is not given is the ratio of the contexts, after and before (yarn: only where it is null). */
static pawl_status find_factor(const json_t *rope, const char *where, const char *path, pawl_model_config *c)
{
    pawl_rope_config *r = &c->rope_scaling.value;
    const char *type = pawl_rope_types[r->rope_type];
    const int yarn = strcmp(type, "yarn") == 0;
    if ((!yarn && strcmp(type, "longrope") != 0) || pawl_hf_given(rope, "factor")) return PAWL_OK;
    PAWL_CHECK(!yarn || json_object_get(rope, "factor"), PAWL_EDATA, "%s: \"%s\" of rope_type yarn needs \"factor\"",
               path, where);
    const double before = (double)r->original_max_position_embeddings;
    const double ratio = before > 0 ? (double)c->max_position_embeddings / before : 1;
    PAWL_CHECK(!yarn || ratio >= 1, PAWL_EDATA,
               "%s: \"%s\": max_position_embeddings is below original_max_position_embeddings, and there is no factor",
               path, where);
    r->factor = ratio < 1 ? 1 : ratio; /* longrope: up to 1 all factors mean the same */
    return PAWL_OK;
}

static pawl_status read_object(const json_t *rope, const char *where, const char *path, pawl_model_config *c)
{
    pawl_rope_config *r = &c->rope_scaling.value;
    const char *key;
    json_t *value;
    char seen[96];
    PAWL_CHECK(json_is_object(rope), PAWL_EDATA, "%s: \"%s\": expected an object or null, found %s", path, where,
               pawl_hf_shown(rope, seen));
    PAWL_TRY(read_type(rope, where, path, r));
    json_object_foreach((json_t *)(uintptr_t)rope, key, value) PAWL_TRY(read_key(key, value, where, path, c));
    c->rope_scaling.present = r->rope_type != 0;
    for (int i = 0; i < ROPE_KEYS; i++)
        PAWL_CHECK(!(rope_keys[i].needed >> r->rope_type & 1) || pawl_hf_given(rope, rope_keys[i].key), PAWL_EDATA,
                   "%s: \"%s\" of rope_type %s needs \"%s\"", path, where, pawl_rope_types[r->rope_type],
                   rope_keys[i].key);
    return PAWL_OK;
}

/* original_max_position_embeddings outside the object, as some published models have it. */
static pawl_status read_outside(const json_t *root, const json_t *rope, const char *path, pawl_model_config *c)
{
    static const char key[] = "original_max_position_embeddings";
    const json_t *outside = pawl_hf_given(root, key), *inside = pawl_hf_given(rope, key);
    if (!outside) return PAWL_OK;
    PAWL_CHECK(!inside || pawl_hf_same_value(outside, inside), PAWL_EDATA,
               "%s: there are two \"%s\", and they differ: keep one of them", path, key);
    return pawl_hf_take(outside, path, key, row_named(pawl_rope_rows, key), &c->rope_scaling.value);
}

pawl_status pawl_hf_rope(const json_t *root, const char *path, pawl_model_config *c)
{
    const json_t *now = pawl_hf_given(root, "rope_parameters"), *before = pawl_hf_given(root, "rope_scaling"),
                 *theta = pawl_hf_given(root, "rope_theta"), *rope = now ? now : before,
                 *inner = pawl_hf_given(rope, "rope_theta");
    const char *where = now ? "rope_parameters" : "rope_scaling";
    PAWL_CHECK(!now || !before || json_equal(now, before), PAWL_EDATA,
               "%s: \"rope_parameters\" and \"rope_scaling\" differ: keep one of them", path);
    PAWL_CHECK(!theta || !inner || pawl_hf_same_value(theta, inner), PAWL_EDATA,
               "%s: \"rope_theta\" and \"rope_theta\" of \"%s\" differ: keep one of them", path, where);
    pawl_fields_default(pawl_rope_rows, &c->rope_scaling.value);
    if (theta) PAWL_TRY(pawl_hf_take(theta, path, "rope_theta", row_named(pawl_model_rows, "rope_theta"), c));
    if (!rope) return PAWL_OK;
    PAWL_TRY(read_object(rope, where, path, c));
    PAWL_TRY(read_outside(root, rope, path, c));
    return find_factor(rope, where, path, c);
}

/* --- writing ----------------------------------------------------------------------------------------------- */

static json_t *list_json(const pawl_field *row, const pawl_rope_config *r)
{
    json_t *list = json_array();
    for (int i = 0; list && i < pawl_field_count(row, r); i++) {
        double x = 1;
        pawl_parse_f64(pawl_field_item(row, r, i), &x);
        json_array_append_new(list, json_real(x));
    }
    return list;
}

/* The keys of the type, but those that stand for "as published" by not being there. */
static int put_key(json_t *object, const char *key, const pawl_rope_config *r, json_t *all)
{
    const pawl_field *row = row_named(pawl_rope_rows, key);
    if (row->kind == PAWL_KIND_texts) return json_object_set_new(object, key, list_json(row, r));
    json_t *value = json_object_get(all, key);
    if (json_is_number(value) && json_number_value(value) == 0) return 0;
    return json_object_set(object, key, value);
}

json_t *pawl_hf_rope_json(const pawl_model_config *c)
{
    const pawl_rope_config *r = &c->rope_scaling.value;
    json_t *object, *all;
    if (!c->rope_scaling.present) return json_null();
    if (pawl_fields_json(pawl_rope_rows, r, &all) != PAWL_OK) return NULL;
    object = json_pack("{s:s}", "rope_type", pawl_rope_types[r->rope_type]);
    int failed = !object;
    for (int i = 0; i < ROPE_KEYS && !failed; i++) {
        const int unused = r->rope_type == 1 && strcmp(rope_keys[i].key, "original_max_position_embeddings") == 0;
        if (rope_keys[i].types >> r->rope_type & 1 && !unused) failed = put_key(object, rope_keys[i].key, r, all) != 0;
    }
    json_decref(all);
    if (!failed) return object;
    json_decref(object);
    return NULL;
}
