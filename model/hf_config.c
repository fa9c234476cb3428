/* config.json, read by the table of known keys. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/log.h"
#include "model/hf_config.h"

enum { CONFIG_MAX = 16 << 20 };

/* --- values ------------------------------------------------------------------------------------------------ */

const char *pawl_hf_shown(const json_t *value, char out[96])
{
    pawl_text text = {.data = NULL};
    const int ok = pawl_json_pretty(value, &text) == PAWL_OK && strlen(text.data) < 96 && !strchr(text.data, '\n');
    snprintf(out, 96, "%s",
             ok                      ? text.data
             : json_is_object(value) ? "an object"
             : json_is_array(value)  ? "a list"
                                     : "a long text");
    pawl_text_close(&text);
    return out;
}

int pawl_hf_same_value(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b)) return json_number_value(a) == json_number_value(b);
    return json_equal(a, b);
}

/* One scalar as the text that pawl_field_set takes. */
static int scalar_text(const json_t *value, const pawl_field *row, char out[64])
{
    const int named = row->kind == PAWL_KIND_choice || row->kind == PAWL_KIND_text;
    if (json_is_string(value) && named)
        snprintf(out, 64, "%s", json_string_value(value));
    else if (json_is_integer(value))
        snprintf(out, 64, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        pawl_format_f64(json_real_value(value), out);
    else if (json_is_boolean(value))
        snprintf(out, 64, "%s", json_is_true(value) ? "true" : "false");
    else
        return 0;
    return 1;
}

pawl_status pawl_hf_take(const json_t *value, const char *path, const char *key, const pawl_field *row, void *section)
{
    char text[64], why[1024], seen[96];
    PAWL_CHECK(scalar_text(value, row, text), PAWL_EDATA, "%s: \"%s\": expected a %s, found %s", path, key,
               row->kind == PAWL_KIND_flag     ? "true or false"
               : row->kind == PAWL_KIND_choice ? "text"
                                               : "number",
               pawl_hf_shown(value, seen));
    PAWL_CHECK(pawl_field_set(row, section, text, why, sizeof why), PAWL_EDATA, "%s: \"%s\": %s", path, key, why);
    return PAWL_OK;
}

const json_t *pawl_hf_given(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

/* --- keys -------------------------------------------------------------------------------------------------- */

/* null: that value. */
static pawl_status take_or(const json_t *value, int64_t none, const char *path, const char *key, const pawl_field *row,
                           pawl_model_config *c)
{
    json_t *stands = json_is_null(value) ? json_integer(none) : NULL;
    const pawl_status status = pawl_hf_take(stands ? stands : value, path, key, row, c);
    json_decref(stands);
    return status;
}

static pawl_status take_token(const json_t *value, const char *path, const char *key, const pawl_field *row,
                              pawl_model_config *c)
{
    if (json_is_array(value) && json_array_size(value) > 0) value = json_array_get(value, 0);
    if (json_is_integer(value) && json_integer_value(value) < 0) value = json_null(); /* -1: none */
    return take_or(value, -1, path, key, row, c);
}

static pawl_status check_must(const json_t *value, const char *path, const pawl_known_key *k)
{
    char seen[96];
    int found = json_is_null(value);
    json_t *values = json_loads(k->is, 0, NULL);
    PAWL_CHECK(values, PAWL_EMEM, "no memory to read %s", path);
    for (size_t i = 0; i < json_array_size(values); i++) found |= pawl_hf_same_value(value, json_array_get(values, i));
    const int none = json_array_size(values) == 0;
    json_decref(values);
    PAWL_CHECK(found, PAWL_EDATA, "%s: \"%s\" is %s, which is not computed here: expected %s%s", path, k->key,
               pawl_hf_shown(value, seen), none ? "null or no such key" : "one of ", none ? "" : k->is);
    return PAWL_OK;
}

static pawl_status note_dropout(const json_t *value, const char *path, const char *key)
{
    char seen[96];
    if (json_is_null(value)) return PAWL_OK;
    PAWL_CHECK(json_is_number(value) && json_number_value(value) >= 0 && json_number_value(value) < 1, PAWL_EDATA,
               "%s: \"%s\": expected a number in [0, 1), found %s", path, key, pawl_hf_shown(value, seen));
    if (json_number_value(value) > 0)
        pawl_log(PAWL_LOG_INFO, "%s: \"%s\" is %s: pawl trains without dropout", path, key, pawl_hf_shown(value, seen));
    return PAWL_OK;
}

static pawl_status read_key(const char *key, const json_t *value, const char *path, pawl_model_config *c)
{
    const pawl_known_key *k = pawl_known_key_find(key, c->model_type);
    char seen[96];
    if (!k) {
        PAWL_CHECK(json_is_null(value) || json_is_false(value), PAWL_EDATA,
                   "%s: \"%.60s\": %s is not known here, so it may change the result; if it does not, remove it or set "
                   "it to null",
                   path, key, pawl_hf_shown(value, seen));
        return PAWL_OK;
    }
    switch (k->rule) {
    case PAWL_KEY_TAKEN:
        return json_is_null(value) ? PAWL_OK : pawl_hf_take(value, path, key, pawl_known_key_row(k), c);
    case PAWL_KEY_OR_NONE: return take_or(value, 0, path, key, pawl_known_key_row(k), c);
    case PAWL_KEY_TOKEN: return take_token(value, path, key, pawl_known_key_row(k), c);
    case PAWL_KEY_MUST: return check_must(value, path, k);
    case PAWL_KEY_NOTED: return note_dropout(value, path, key);
    case PAWL_KEY_APART:
    case PAWL_KEY_IGNORED: break;
    }
    return PAWL_OK;
}

/* --- windows ----------------------------------------------------------------------------------------------- */

static pawl_status read_layer_types(const json_t *list, const char *path, pawl_model_config *c)
{
    char seen[96];
    int as_ruled = 1;
    PAWL_CHECK(json_is_array(list) && json_array_size(list) == (size_t)c->num_hidden_layers, PAWL_EDATA,
               "%s: \"layer_types\": expected a list of %lld items, one a layer, found %s", path,
               (long long)c->num_hidden_layers, json_is_array(list) ? "another number" : pawl_hf_shown(list, seen));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *type = json_string_value(json_array_get(list, i));
        const int sliding = type && strcmp(type, "sliding_attention") == 0;
        PAWL_CHECK(sliding || (type && strcmp(type, "full_attention") == 0), PAWL_EDATA,
                   "%s: \"layer_types\": %s is not computed here: expected full_attention or sliding_attention", path,
                   pawl_hf_shown(json_array_get(list, i), seen));
        PAWL_CHECK(!sliding || c->sliding_window > 0, PAWL_EDATA,
                   "%s: \"layer_types\" has sliding_attention, and there is no sliding_window in use", path);
        as_ruled &= sliding == (pawl_window_of(c, (int64_t)i) > 0);
    }
    if (as_ruled) return PAWL_OK;
    PAWL_CHECK(pawl_families[c->model_type].may & PAWL_MAY_MIX_WINDOWS, PAWL_EDATA,
               "%s: \"layer_types\" disagrees with \"sliding_window\", which model_type %s has in all layers or none",
               path, pawl_model_types[c->model_type]);
    PAWL_CHECK(json_array_size(list) <= PAWL_MIXED_LAYERS, PAWL_EDATA,
               "%s: \"layer_types\": a mixture of its own in %zu layers, at most %d are possible", path,
               json_array_size(list), PAWL_MIXED_LAYERS);
    for (size_t i = 0; i < json_array_size(list); i++)
        snprintf(c->layer_types.items[i], sizeof c->layer_types.items[i], "%s",
                 json_string_value(json_array_get(list, i)));
    c->layer_types.count = (int32_t)json_array_size(list);
    return PAWL_OK;
}

static pawl_status read_windows(const json_t *root, const char *path, pawl_model_config *c)
{
    const json_t *window = pawl_hf_given(root, "sliding_window"), *use = pawl_hf_given(root, "use_sliding_window"),
                 *types = pawl_hf_given(root, "layer_types");
    const unsigned may = pawl_families[c->model_type].may;
    char seen[96];
    PAWL_CHECK(!use || json_is_boolean(use), PAWL_EDATA, "%s: \"use_sliding_window\": expected true or false, found %s",
               path, pawl_hf_shown(use, seen));
    if (may & PAWL_MAY_MIX_WINDOWS && !json_is_true(use)) {
        c->sliding_window = 0;
        window = NULL;
    }
    PAWL_CHECK(!(may & PAWL_MAY_WINDOW) || !window || c->sliding_window > 0, PAWL_EDATA,
               "%s: \"sliding_window\" is %s: expected null or at least 1", path, pawl_hf_shown(window, seen));
    return types && may != PAWL_MAY_SCALE_SCORES ? read_layer_types(types, path, c) : PAWL_OK;
}

/* --- ids that end a text ----------------------------------------------------------------------------------- */

static pawl_status add_end(const json_t *id, const char *path, pawl_model_config *c)
{
    char text[32], seen[96];
    PAWL_CHECK(json_is_integer(id), PAWL_EDATA, "%s: \"eos_token_id\": expected an id or a list of ids, found %s in it",
               path, pawl_hf_shown(id, seen));
    if (json_integer_value(id) < 0) return PAWL_OK;
    snprintf(text, sizeof text, "%lld", (long long)json_integer_value(id));
    for (int i = 0; i < c->eos_token_ids.count; i++)
        if (strcmp(c->eos_token_ids.items[i], text) == 0) return PAWL_OK;
    PAWL_CHECK(strlen(text) < sizeof c->eos_token_ids.items[0] && c->eos_token_ids.count < PAWL_END_IDS, PAWL_EDATA,
               "%s: \"eos_token_id\": %s is one id too many or out of range", path, text);
    memcpy(c->eos_token_ids.items[c->eos_token_ids.count++], text, strlen(text) + 1);
    return PAWL_OK;
}

static pawl_status add_ends(const json_t *root, const char *path, pawl_model_config *c)
{
    const json_t *ends = pawl_hf_given(root, "eos_token_id");
    if (ends && !json_is_array(ends)) return add_end(ends, path, c);
    for (size_t i = 0; i < json_array_size(ends); i++) PAWL_TRY(add_end(json_array_get(ends, i), path, c));
    return PAWL_OK;
}

/* Generation ends at any id that config.json or generation_config.json names; a list is kept where there are others
 * than eos_token_id. */
static pawl_status read_ends(const char *dir, const json_t *config, const char *config_path, pawl_model_config *c)
{
    char path[PATH_MAX], first[32];
    json_t *generation;
    pawl_status status = PAWL_OK;
    PAWL_TRY(add_ends(config, config_path, c));
    PAWL_TRY(pawl_path_join(path, sizeof path, dir, "generation_config.json"));
    if (pawl_path_exists(path)) {
        PAWL_TRY(pawl_json_read(path, CONFIG_MAX, &generation));
        status = add_ends(generation, path, c);
        json_decref(generation);
    }
    snprintf(first, sizeof first, "%lld", (long long)c->eos_token_id);
    if (c->eos_token_ids.count == 1 && strcmp(c->eos_token_ids.items[0], first) == 0)
        memset(&c->eos_token_ids, 0, sizeof c->eos_token_ids);
    return status;
}

/* --- the whole --------------------------------------------------------------------------------------------- */

/* What the family means where config.json is silent. */
static void begin(pawl_model_config *c, int32_t family)
{
    char why[256];
    c->model_type = family;
    for (const pawl_silence *s = pawl_families[family].silence; s->key; s++) {
        const pawl_known_key k = {.key = s->key};
        const int taken = pawl_field_set(pawl_known_key_row(&k), c, s->value, why, sizeof why);
        PAWL_ASSERT(taken);
    }
}

static pawl_status refuse_family(const char *path, const char *type)
{
    char known[160] = "";
    size_t used = 0;
    for (int i = 0; pawl_model_types[i] && used < sizeof known; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", pawl_model_types[i]);
    return PAWL_FAIL(PAWL_EDATA, "%s: \"model_type\" %.60s is not supported by this version, which knows %s", path, type,
                     known);
}

static pawl_status read_family(const json_t *root, const char *path, pawl_model_config *c)
{
    const char *type;
    char seen[96];
    int i = 0;
    PAWL_TRY(pawl_json_text(root, "model_type", path, &type));
    while (pawl_model_types[i] && strcmp(pawl_model_types[i], type) != 0) i++;
    if (!pawl_model_types[i]) return refuse_family(path, type);
    const pawl_family *f = &pawl_families[i];
    const json_t *list = pawl_hf_given(root, "architectures"), *name = json_array_get(list, 0);
    PAWL_CHECK(!list || (json_array_size(list) == 1 && json_is_string(name) &&
                         strcmp(json_string_value(name), f->architecture) == 0),
               PAWL_EDATA, "%s: \"architectures\" is %s, expected [\"%s\"] for model_type %s", path,
               pawl_hf_shown(name ? name : list, seen), f->architecture, type);
    begin(c, i);
    return PAWL_OK;
}

/* Sizes have no value worth guessing, but GPT-2's feed-forward layer, which is as wide as four. */
static pawl_status check_sizes(const json_t *root, const char *path, const pawl_model_config *c)
{
    for (const pawl_known_key *k = pawl_known_keys; k->key; k++) {
        if (k->rule != PAWL_KEY_TAKEN || !(k->families >> c->model_type & 1)) continue;
        const pawl_field *row = pawl_known_key_row(k);
        const int size = !row->dflt || strcmp(row->key, "vocab_size") == 0;
        PAWL_CHECK(!size || strcmp(k->key, "n_inner") == 0 || pawl_hf_given(root, k->key), PAWL_EDATA,
                   "%s: \"%s\" is missing", path, k->key);
    }
    return PAWL_OK;
}

static pawl_status read_config(json_t *root, const char *dir, const char *path, pawl_model_config *out)
{
    pawl_model_config c;
    const char *key;
    json_t *value;
    memset(&c, 0, sizeof c); /* sections are compared as bytes */
    PAWL_CHECK(json_is_object(root), PAWL_EDATA, "%s: expected a JSON object", path);
    pawl_fields_default(pawl_model_rows, &c);
    PAWL_TRY(read_family(root, path, &c));
    PAWL_TRY(check_sizes(root, path, &c));
    json_object_foreach(root, key, value) PAWL_TRY(read_key(key, value, path, &c));
    if (!c.intermediate_size) c.intermediate_size = 4 * c.hidden_size;
    PAWL_TRY(read_windows(root, path, &c));
    PAWL_TRY(pawl_hf_rope(root, path, &c));
    PAWL_TRY(read_ends(dir, root, path, &c));
    if (pawl_model_config_check(&c, path) != PAWL_OK) {
        pawl_last_error()->code = PAWL_EDATA; /* what would be bad usage in a run's configuration is bad data here */
        return pawl_trail_(PAWL_EDATA, __FILE__, __LINE__);
    }
    *out = c;
    return PAWL_OK;
}

pawl_status pawl_hf_config(const char *dir, pawl_model_config *out)
{
    char path[PATH_MAX];
    json_t *root;
    PAWL_TRY(pawl_path_join(path, sizeof path, dir, "config.json"));
    PAWL_CHECK(pawl_path_exists(path), PAWL_EDATA,
               "%s: expected a Hugging Face model in this folder, found no config.json", dir);
    PAWL_TRY(pawl_json_read(path, CONFIG_MAX, &root));
    const pawl_status status = read_config(root, dir, path, out);
    json_decref(root);
    return status;
}
