/* config.json and generation_config.json written, in the form of published models, which transformers 4 and 5 both
 * read: rope_theta beside rope_scaling, and torch_dtype. */
#include <stdlib.h>
#include <string.h>

#include "model/hf_config.h"

static json_t *window_types(const pawl_model *m)
{
    json_t *list = json_array();
    for (int64_t l = 0; list && l < m->config.num_hidden_layers; l++)
        json_array_append_new(list, json_string(m->windows[l] ? "sliding_attention" : "full_attention"));
    return list;
}

static const char *torch_name(pawl_dtype t)
{
    return t == PAWL_BF16 ? "bfloat16" : t == PAWL_F16 ? "float16" : "float32";
}

static json_t *apart(const pawl_model *m, const char *key, pawl_dtype dtype)
{
    const pawl_model_config *c = &m->config;
    if (strcmp(key, "model_type") == 0) return json_string(pawl_model_types[c->model_type]);
    if (strcmp(key, "architectures") == 0) return json_pack("[s]", pawl_families[c->model_type].architecture);
    if (strcmp(key, "rope_theta") == 0) return json_real(c->rope_theta);
    if (strcmp(key, "rope_scaling") == 0) return pawl_hf_rope_json(c);
    if (strcmp(key, "use_sliding_window") == 0) return json_boolean(c->sliding_window > 0);
    if (strcmp(key, "layer_types") == 0) return window_types(m);
    if (strcmp(key, "torch_dtype") == 0) return json_string(torch_name(dtype));
    return NULL;
}

static json_t *taken(const pawl_known_key *k, json_t *fields)
{
    json_t *value = json_object_get(fields, pawl_known_key_row(k)->key);
    const json_int_t number = json_integer_value(value);
    const int none = (k->rule == PAWL_KEY_OR_NONE && number == 0) || (k->rule == PAWL_KEY_TOKEN && number < 0);
    return none ? json_null() : json_incref(value);
}

static json_t *written(const pawl_model *m, const pawl_known_key *k, json_t *fields, pawl_dtype dtype)
{
    json_t *values, *first;
    switch (k->rule) {
    case PAWL_KEY_TAKEN:
    case PAWL_KEY_OR_NONE:
    case PAWL_KEY_TOKEN: return taken(k, fields);
    case PAWL_KEY_APART: return apart(m, k->key, dtype);
    case PAWL_KEY_NOTED: return json_real(0);
    case PAWL_KEY_IGNORED: return json_loads(k->is, JSON_DECODE_ANY, NULL);
    case PAWL_KEY_MUST: break;
    }
    values = json_loads(k->is, 0, NULL);
    first = json_incref(json_array_get(values, 0));
    json_decref(values);
    return first;
}

/* Options that the configuration does not imply have no words in config.json. */
static pawl_status check_options(const pawl_model *m)
{
    const unsigned has = m->has & ~(unsigned)(PAWL_TIED_HEAD | PAWL_OWN_HEAD);
    int same = has == pawl_family_options(&m->config);
    for (int64_t l = 0; l < m->config.num_hidden_layers; l++) same &= m->windows[l] == pawl_window_of(&m->config, l);
    PAWL_CHECK(same, PAWL_EBUG, "a model with options that no config.json of model_type %s can state",
               pawl_model_types[m->config.model_type]);
    return PAWL_OK;
}

pawl_status pawl_hf_config_json(const pawl_model *m, pawl_dtype dtype, json_t **out)
{
    json_t *fields;
    PAWL_TRY(check_options(m));
    PAWL_TRY(pawl_fields_json(pawl_model_rows, &m->config, &fields));
    json_t *config = json_object();
    int failed = !config;
    for (const pawl_known_key *k = pawl_known_keys; k->key && !failed; k++)
        if (k->written && k->families >> m->config.model_type & 1)
            failed = json_object_set_new(config, k->key, written(m, k, fields, dtype)) != 0;
    json_decref(fields);
    if (failed) json_decref(config);
    PAWL_CHECK(!failed, PAWL_EMEM, "no memory for a config.json");
    *out = config;
    return PAWL_OK;
}

static json_t *id_json(int64_t id)
{
    return id < 0 ? json_null() : json_integer(id);
}

json_t *pawl_hf_generation_json(const pawl_model *m)
{
    const pawl_model_config *c = &m->config;
    json_t *ends = c->eos_token_ids.count ? json_array() : id_json(c->eos_token_id);
    for (int i = 0; i < c->eos_token_ids.count; i++)
        json_array_append_new(ends, json_integer(strtol(c->eos_token_ids.items[i], NULL, 10)));
    return json_pack("{s:b,s:o,s:o,s:o}", "_from_model_config", 1, "bos_token_id", id_json(c->bos_token_id),
                     "eos_token_id", ends, "pad_token_id", id_json(c->pad_token_id));
}
