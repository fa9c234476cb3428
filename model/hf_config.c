/* config.json, read by a table of every key that is known, and written in the form that transformers 4 and 5 both read.
 *
 * The rule: a key is taken, or must have the one value that is computed here, or is known to leave the result alone.
 * Any other key is refused by name, for it might change the result. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "model/decoder.h"

enum { CONFIG_MAX = 16 << 20 };

typedef enum rule {
    TAKEN,  /* a row of pawl_model_rows of that name */
    TOKEN,  /* the same, where null is none and a list stands for its first */
    APART,  /* read by a function of its own */
    MUST,   /* null or one of `values` */
    IGNORED /* cannot change the result */
} rule;

static const struct known_key {
    const char *key;
    rule rule;
    const char *values; /* MUST: a JSON array */
} known_keys[] = {
    {"model_type", APART, NULL},
    {"architectures", APART, NULL},
    {"rope_theta", APART, NULL},
    {"rope_scaling", APART, NULL},
    {"rope_parameters", APART, NULL},
    {"vocab_size", TAKEN, NULL},
    {"hidden_size", TAKEN, NULL},
    {"intermediate_size", TAKEN, NULL},
    {"num_hidden_layers", TAKEN, NULL},
    {"num_attention_heads", TAKEN, NULL},
    {"num_key_value_heads", TAKEN, NULL},
    {"head_dim", TAKEN, NULL},
    {"max_position_embeddings", TAKEN, NULL},
    {"rms_norm_eps", TAKEN, NULL},
    {"tie_word_embeddings", TAKEN, NULL},
    {"attention_bias", TAKEN, NULL},
    {"mlp_bias", TAKEN, NULL},
    {"initializer_range", TAKEN, NULL},
    {"bos_token_id", TOKEN, NULL},
    {"eos_token_id", TOKEN, NULL},
    {"hidden_act", MUST, "[\"silu\", \"swish\"]"},
    {"attention_dropout", MUST, "[0]"},
    {"hidden_dropout", MUST, "[0]"},
    {"resid_pdrop", MUST, "[0]"},
    {"embd_pdrop", MUST, "[0]"},
    {"pretraining_tp", MUST, "[1]"},
    {"partial_rotary_factor", MUST, "[1]"},
    {"rope_interleaved", MUST, "[false]"},
    {"embedding_multiplier", MUST, "[1]"},
    {"residual_multiplier", MUST, "[1]"},
    {"logits_scaling", MUST, "[1]"},
    {"is_encoder_decoder", MUST, "[false]"},
    {"add_cross_attention", MUST, "[false]"},
    {"pruned_heads", MUST, "[{}]"},
    {"quantization_config", MUST, "[]"},
    {"auto_map", MUST, "[]"},
    {"dtype", IGNORED, NULL}, /* the tensors say it themselves, and all is computed in f32 */
    {"torch_dtype", IGNORED, NULL},
    {"pad_token_id", IGNORED, NULL}, /* padding is neither attended to nor trained */
    {"sep_token_id", IGNORED, NULL},
    {"decoder_start_token_id", IGNORED, NULL},
    {"transformers_version", IGNORED, NULL},
    {"transformers.js_config", IGNORED, NULL},
    {"_name_or_path", IGNORED, NULL},
    {"_commit_hash", IGNORED, NULL},
    {"_from_model_config", IGNORED, NULL},
    {"_attn_implementation", IGNORED, NULL},
    {"_attn_implementation_autoset", IGNORED, NULL},
    {"attn_implementation", IGNORED, NULL},
    {"experts_implementation", IGNORED, NULL},
    {"use_cache", IGNORED, NULL},
    {"is_decoder", IGNORED, NULL},
    {"is_llama_config", IGNORED, NULL},
    {"model_max_length", IGNORED, NULL},
    {"max_sequence_length", IGNORED, NULL},
    {"tokenizer_class", IGNORED, NULL},
    {"unsloth_fixed", IGNORED, NULL},
    {"unsloth_version", IGNORED, NULL},
    {"base_model_tp_plan", IGNORED, NULL},
    {"base_model_pp_plan", IGNORED, NULL},
    {"keys_to_ignore_at_inference", IGNORED, NULL},
    {"tie_encoder_decoder", IGNORED, NULL},
    {"cross_attention_hidden_size", IGNORED, NULL},
    {"chunk_size_feed_forward", IGNORED, NULL}, /* the same sums in pieces */
    {"gradient_checkpointing", IGNORED, NULL},
    {"torchscript", IGNORED, NULL},
    {"tf_legacy_loss", IGNORED, NULL},
    {"use_bfloat16", IGNORED, NULL},
    {"return_dict", IGNORED, NULL},
    {"output_hidden_states", IGNORED, NULL},
    {"output_attentions", IGNORED, NULL},
    {"finetuning_task", IGNORED, NULL},
    {"task_specific_params", IGNORED, NULL},
    {"problem_type", IGNORED, NULL},
    {"id2label", IGNORED, NULL},
    {"label2id", IGNORED, NULL},
    {"num_labels", IGNORED, NULL},
    /* defaults of generation, which older versions wrote here */
    {"max_length", IGNORED, NULL},
    {"min_length", IGNORED, NULL},
    {"do_sample", IGNORED, NULL},
    {"early_stopping", IGNORED, NULL},
    {"num_beams", IGNORED, NULL},
    {"num_beam_groups", IGNORED, NULL},
    {"diversity_penalty", IGNORED, NULL},
    {"temperature", IGNORED, NULL},
    {"top_k", IGNORED, NULL},
    {"top_p", IGNORED, NULL},
    {"typical_p", IGNORED, NULL},
    {"repetition_penalty", IGNORED, NULL},
    {"length_penalty", IGNORED, NULL},
    {"no_repeat_ngram_size", IGNORED, NULL},
    {"encoder_no_repeat_ngram_size", IGNORED, NULL},
    {"bad_words_ids", IGNORED, NULL},
    {"num_return_sequences", IGNORED, NULL},
    {"output_scores", IGNORED, NULL},
    {"return_dict_in_generate", IGNORED, NULL},
    {"forced_bos_token_id", IGNORED, NULL},
    {"forced_eos_token_id", IGNORED, NULL},
    {"remove_invalid_values", IGNORED, NULL},
    {"exponential_decay_length_penalty", IGNORED, NULL},
    {"suppress_tokens", IGNORED, NULL},
    {"begin_suppress_tokens", IGNORED, NULL},
    {"prefix", IGNORED, NULL},
};

/* --- values ------------------------------------------------------------------------------------------------ */

/* A JSON value as people would read it in a sentence, cut to fit. */
static const char *shown(const json_t *value, char out[96])
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

static int same_value(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b)) return json_number_value(a) == json_number_value(b); /* 0 and 0.0 */
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

static pawl_status take(const json_t *value, const char *path, const char *key, const pawl_field *rows, void *section)
{
    char text[64], why[256], seen[96];
    const pawl_field *row = rows;
    while (row->key && strcmp(row->key, key) != 0) row++;
    PAWL_ASSERT(row->key);
    PAWL_CHECK(scalar_text(value, row, text), PAWL_EDATA, "%s: \"%s\": expected a %s, found %s", path, key,
               row->kind == PAWL_KIND_flag     ? "true or false"
               : row->kind == PAWL_KIND_choice ? "text"
                                               : "number",
               shown(value, seen));
    PAWL_CHECK(pawl_field_set(row, section, text, why, sizeof why), PAWL_EDATA, "%s: \"%s\": %s", path, key, why);
    return PAWL_OK;
}

static pawl_status take_token(const json_t *value, const char *path, const char *key, pawl_model_config *c)
{
    if (json_is_array(value) && json_array_size(value) > 0) value = json_array_get(value, 0);
    json_t *none = json_is_null(value) ? json_integer(-1) : NULL;
    const pawl_status status = take(none ? none : value, path, key, pawl_model_rows, c);
    json_decref(none);
    return status;
}

static pawl_status check_must(const json_t *value, const char *path, const struct known_key *k)
{
    char seen[96];
    int found = json_is_null(value);
    json_t *values = json_loads(k->values, 0, NULL);
    PAWL_CHECK(values, PAWL_EMEM, "no memory to read %s", path);
    for (size_t i = 0; i < json_array_size(values); i++) found |= same_value(value, json_array_get(values, i));
    const int none = json_array_size(values) == 0;
    json_decref(values);
    PAWL_CHECK(found, PAWL_EDATA, "%s: \"%s\" is %s, which is not computed here: expected %s%s", path, k->key,
               shown(value, seen), none ? "null or no such key" : "one of ", none ? "" : k->values);
    return PAWL_OK;
}

static pawl_status read_key(const char *key, const json_t *value, const char *path, pawl_model_config *c)
{
    const size_t count = sizeof known_keys / sizeof known_keys[0];
    char seen[96];
    size_t i = 0;
    while (i < count && strcmp(known_keys[i].key, key) != 0) i++;
    if (i == count) {
        PAWL_CHECK(json_is_null(value) || json_is_false(value), PAWL_EDATA,
                   "%s: \"%.60s\": %s is not known here, so it may change the result; if it does not, remove it or set "
                   "it to null",
                   path, key, shown(value, seen));
        return PAWL_OK;
    }
    switch (known_keys[i].rule) {
    case TAKEN: return json_is_null(value) ? PAWL_OK : take(value, path, key, pawl_model_rows, c);
    case TOKEN: return take_token(value, path, key, c);
    case MUST: return check_must(value, path, &known_keys[i]);
    case APART:
    case IGNORED: break;
    }
    return PAWL_OK;
}

/* --- rotary embedding, in both published forms ------------------------------------------------------------- */

static const json_t *given(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

static pawl_status read_rope_type(const json_t *rope, const char *where, const char *path, pawl_rope_config *r)
{
    const json_t *type = given(rope, "rope_type"), *older = given(rope, "type");
    char seen[96];
    PAWL_CHECK(!type || !older || json_equal(type, older), PAWL_EDATA, "%s: \"%s\" has a rope_type and another type",
               path, where);
    if (!type) type = older;
    PAWL_CHECK(type || !given(rope, "factor"), PAWL_EDATA, "%s: \"%s\" has a factor and no rope_type", path, where);
    if (!type) return PAWL_OK;
    int i = 0;
    while (pawl_rope_types[i] && !(json_is_string(type) && strcmp(pawl_rope_types[i], json_string_value(type)) == 0))
        i++;
    PAWL_CHECK(pawl_rope_types[i], PAWL_EDATA,
               "%s: \"%s\": rope_type %s is not computed here: expected default, linear or llama3", path, where,
               shown(type, seen));
    r->rope_type = i;
    return PAWL_OK;
}

static pawl_status need(const json_t *rope, const char *key, const char *where, const char *path,
                        const pawl_rope_config *r)
{
    PAWL_CHECK(given(rope, key), PAWL_EDATA, "%s: \"%s\" of rope_type %s needs \"%s\"", path, where,
               pawl_rope_types[r->rope_type], key);
    return PAWL_OK;
}

static pawl_status read_rope_object(const json_t *rope, const char *where, const char *path, pawl_model_config *c)
{
    static const char *const plain[] = {"factor", "low_freq_factor", "high_freq_factor",
                                        "original_max_position_embeddings", NULL};
    pawl_rope_config *r = &c->rope_scaling.value;
    const char *key;
    json_t *value;
    char seen[96];
    PAWL_CHECK(json_is_object(rope), PAWL_EDATA, "%s: \"%s\": expected an object or null, found %s", path, where,
               shown(rope, seen));
    PAWL_TRY(read_rope_type(rope, where, path, r));
    json_object_foreach((json_t *)(uintptr_t)rope, key, value)
    {
        int i = 0;
        while (plain[i] && strcmp(plain[i], key) != 0) i++;
        if (json_is_null(value) || strcmp(key, "rope_type") == 0 || strcmp(key, "type") == 0) continue;
        if (plain[i])
            PAWL_TRY(take(value, path, key, pawl_rope_rows, r));
        else if (strcmp(key, "rope_theta") == 0)
            PAWL_TRY(take(value, path, key, pawl_model_rows, c));
        else
            PAWL_CHECK(strcmp(key, "partial_rotary_factor") == 0 && json_number_value(value) == 1, PAWL_EDATA,
                       "%s: \"%s\": \"%.60s\" of %s is not computed here", path, where, key, shown(value, seen));
    }
    c->rope_scaling.present = r->rope_type != 0;
    if (r->rope_type != 0) PAWL_TRY(need(rope, "factor", where, path, r));
    if (strcmp(pawl_rope_types[r->rope_type], "llama3") != 0) return PAWL_OK;
    PAWL_TRY(need(rope, "low_freq_factor", where, path, r));
    return need(rope, "high_freq_factor", where, path, r);
}

static pawl_status read_rope(const json_t *root, const char *path, pawl_model_config *c)
{
    const json_t *now = given(root, "rope_parameters"), *before = given(root, "rope_scaling"),
                 *theta = given(root, "rope_theta");
    const json_t *inner = given(now ? now : before, "rope_theta");
    PAWL_CHECK(!now || !before || json_equal(now, before), PAWL_EDATA,
               "%s: \"rope_parameters\" and \"rope_scaling\" differ: keep one of them", path);
    PAWL_CHECK(!theta || !inner || same_value(theta, inner), PAWL_EDATA,
               "%s: \"rope_theta\" and \"rope_theta\" of \"%s\" differ: keep one of them", path,
               now ? "rope_parameters" : "rope_scaling");
    pawl_fields_default(pawl_rope_rows, &c->rope_scaling.value);
    if (theta) PAWL_TRY(take(theta, path, "rope_theta", pawl_model_rows, c));
    if (now) return read_rope_object(now, "rope_parameters", path, c);
    return before ? read_rope_object(before, "rope_scaling", path, c) : PAWL_OK;
}

/* --- the whole --------------------------------------------------------------------------------------------- */

static pawl_status read_family(const json_t *root, const char *path, pawl_model_config *c)
{
    const char *type;
    char seen[96];
    int i = 0;
    PAWL_TRY(pawl_json_text(root, "model_type", path, &type));
    while (pawl_model_types[i] && strcmp(pawl_model_types[i], type) != 0) i++;
    PAWL_CHECK(pawl_model_types[i], PAWL_EDATA, "%s: \"model_type\" %.60s is not supported by this version", path,
               type);
    const pawl_family *f = &pawl_families[i];
    const json_t *list = given(root, "architectures"), *name = json_array_get(list, 0);
    PAWL_CHECK(!list || (json_array_size(list) == 1 && json_is_string(name) &&
                         strcmp(json_string_value(name), f->architecture) == 0),
               PAWL_EDATA, "%s: \"architectures\" is %s, expected [\"%s\"] for model_type %s", path,
               shown(name ? name : list, seen), f->architecture, type);
    c->model_type = i;
    c->rms_norm_eps = f->rms_norm_eps;
    c->bos_token_id = f->bos_token_id;
    c->eos_token_id = f->eos_token_id;
    return PAWL_OK;
}

static pawl_status check_sizes(const json_t *root, const char *path)
{
    static const char *const sizes[] = {"vocab_size",        "hidden_size",         "intermediate_size",
                                        "num_hidden_layers", "num_attention_heads", NULL};
    for (int i = 0; sizes[i]; i++)
        PAWL_CHECK(given(root, sizes[i]), PAWL_EDATA, "%s: \"%s\" is missing", path, sizes[i]);
    return PAWL_OK;
}

static pawl_status read_config(json_t *root, const char *path, pawl_model_config *out)
{
    pawl_model_config c;
    const char *key;
    json_t *value;
    memset(&c, 0, sizeof c); /* sections are compared as bytes */
    PAWL_CHECK(json_is_object(root), PAWL_EDATA, "%s: expected a JSON object", path);
    pawl_fields_default(pawl_model_rows, &c);
    PAWL_TRY(read_family(root, path, &c));
    PAWL_TRY(check_sizes(root, path));
    json_object_foreach(root, key, value) PAWL_TRY(read_key(key, value, path, &c));
    PAWL_TRY(read_rope(root, path, &c));
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
    const pawl_status status = read_config(root, path, out);
    json_decref(root);
    return status;
}

/* --- writing ----------------------------------------------------------------------------------------------- */

static json_t *rope_json(const pawl_model_config *c)
{
    const pawl_rope_config *r = &c->rope_scaling.value;
    const char *type = pawl_rope_types[r->rope_type];
    if (!c->rope_scaling.present) return json_null();
    if (strcmp(type, "llama3") != 0) return json_pack("{s:s,s:f}", "rope_type", type, "factor", r->factor);
    return json_pack("{s:s,s:f,s:f,s:f,s:I}", "rope_type", type, "factor", r->factor, "low_freq_factor",
                     r->low_freq_factor, "high_freq_factor", r->high_freq_factor, "original_max_position_embeddings",
                     (json_int_t)r->original_max_position_embeddings);
}

static json_t *token_json(int64_t id)
{
    return id < 0 ? json_null() : json_integer(id);
}

static const char *torch_name(pawl_dtype t)
{
    return t == PAWL_BF16 ? "bfloat16" : t == PAWL_F16 ? "float16" : "float32";
}

/* rope_theta beside rope_scaling, and torch_dtype: the form of published models, which old and new readers take. */
static json_t *config_json(const pawl_model_config *c, pawl_dtype dtype)
{
    return json_pack("{s:[s], s:b, s:f, s:o, s:o, s:I, s:s, s:I, s:f, s:I, s:I, s:b, s:s, s:I, s:I, s:I, s:n, s:I,"
                     " s:f, s:o, s:f, s:b, s:s, s:b, s:I}",
                     "architectures", pawl_families[c->model_type].architecture, "attention_bias", c->attention_bias,
                     "attention_dropout", 0.0, "bos_token_id", token_json(c->bos_token_id), "eos_token_id",
                     token_json(c->eos_token_id), "head_dim", (json_int_t)c->head_dim, "hidden_act", "silu",
                     "hidden_size", (json_int_t)c->hidden_size, "initializer_range", c->initializer_range,
                     "intermediate_size", (json_int_t)c->intermediate_size, "max_position_embeddings",
                     (json_int_t)c->max_position_embeddings, "mlp_bias", c->mlp_bias, "model_type",
                     pawl_model_types[c->model_type], "num_attention_heads", (json_int_t)c->num_attention_heads,
                     "num_hidden_layers", (json_int_t)c->num_hidden_layers, "num_key_value_heads",
                     (json_int_t)c->num_key_value_heads, "pad_token_id", "pretraining_tp", (json_int_t)1,
                     "rms_norm_eps", c->rms_norm_eps, "rope_scaling", rope_json(c), "rope_theta", c->rope_theta,
                     "tie_word_embeddings", c->tie_word_embeddings, "torch_dtype", torch_name(dtype), "use_cache", 1,
                     "vocab_size", (json_int_t)c->vocab_size);
}

pawl_status pawl_hf_config_json(const pawl_model *m, pawl_dtype dtype, json_t **out)
{
    const pawl_model_config *c = &m->config;
    const unsigned has = m->has & ~(unsigned)(PAWL_TIED_HEAD | PAWL_OWN_HEAD);
    int windows = 0;
    for (int64_t l = 0; l < c->num_hidden_layers; l++) windows |= m->windows[l] != 0;
    PAWL_CHECK(!windows && has == pawl_family_options(c), PAWL_EBUG,
               "a model with options that no config.json of model_type %s can state", pawl_model_types[c->model_type]);
    *out = config_json(c, dtype);
    PAWL_CHECK(*out, PAWL_EMEM, "no memory for a config.json");
    return PAWL_OK;
}
