/* config.json and generation_config.json out of a GGUF file's keys. A key of the architecture's own that might change
 * the result is read, or must have the one value that is computed, or is refused by name. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "model/gguf.h"

/* Keys that are read elsewhere in model/gguf_*.c, beside the family's settings. */
static const char *const read_keys[] = {
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scaling.original_context_length",
    "rope.scaling.finetuned", /* says how the model was trained, not what it computes */
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    "rope.scale_linear",
    "vocab_size",
    NULL,
};

/* Numbers (flags are 0 and 1) that must be these, where they are there. */
static const struct {
    const char *suffix;
    double value;
} must_be[] = {
    {"attention.causal", 1},
    {"logit_scale", 1},
    {"residual_scale", 1},
    {"embedding_scale", 1},
    {"rope.scaling.attn_factor", 1},
    {"rope.scaling.yarn_attn_factor", 1},
    {"rope.scaling.yarn_ext_factor", 1},
};

static int is_read(const pawl_gguf_model *m, const char *suffix)
{
    for (int i = 0; read_keys[i]; i++)
        if (strcmp(read_keys[i], suffix) == 0) return 1;
    for (const pawl_gguf_setting *s = m->family->settings; s->theirs; s++)
        if (strcmp(s->theirs, suffix) == 0) return 1;
    return strcmp(suffix, "attention.sliding_window") == 0 && strcmp(m->family->name, "llama") == 0;
}

/* A flag or a number as a number; NaN for anything else but empty text, which counts as 0. */
static double plain_value(const pawl_gguf *g, const char *key)
{
    double x;
    int flag;
    if (pawl_gguf_is(g, key, "")) return 0;
    if (pawl_gguf_flag_or(g, key, 0, &flag) == PAWL_OK) return flag;
    return pawl_gguf_f64(g, key, &x) == PAWL_OK ? x : (double)NAN;
}

static int is_harmless(const pawl_gguf_model *m, const char *key, const char *suffix)
{
    if (strcmp(suffix, "tensor_data_layout") == 0)
        return pawl_gguf_is(m->file, key, "reference") || pawl_gguf_is(m->file, key, "Meta AI original pth");
    double wanted = 0; /* what is not known may be there as long as it says no */
    for (size_t i = 0; i < sizeof must_be / sizeof must_be[0]; i++)
        if (strcmp(must_be[i].suffix, suffix) == 0) wanted = must_be[i].value;
    return plain_value(m->file, key) == wanted;
}

pawl_status pawl_gguf_check_keys(const pawl_gguf_model *m)
{
    char prefix[64];
    const int n = snprintf(prefix, sizeof prefix, "%s.", m->family->name);
    for (int i = 0; i < pawl_gguf_keys(m->file); i++) {
        const char *key = pawl_gguf_key(m->file, i), *suffix = key + n;
        if (strncmp(key, prefix, (size_t)n) != 0 || is_read(m, suffix) || is_harmless(m, key, suffix)) continue;
        pawl_text found = {0};
        pawl_gguf_show(m->file, key, &found);
        const pawl_status s =
            PAWL_FAIL(PAWL_EDATA, "%s: key %s is %s, which is not computed here and may change the result",
                      pawl_gguf_path(m->file), key, found.data ? found.data : "something");
        pawl_text_close(&found);
        return s;
    }
    return PAWL_OK;
}

/* --- config.json -------------------------------------------------------------------------------------------- */

double pawl_gguf_short(double x)
{
    char text[32];
    double back = x;
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        back = strtod(text, NULL);
        if ((float)back == (float)x) break;
    }
    return back;
}

static pawl_status set(json_t *config, const char *key, json_t *value)
{
    PAWL_CHECK(value && json_object_set_new(config, key, value) == 0, PAWL_EMEM, "no memory for config.json");
    return PAWL_OK;
}

static pawl_status set_setting(const pawl_gguf_model *m, const pawl_gguf_setting *s, json_t *config)
{
    char key[256];
    int64_t whole;
    double real;
    pawl_gguf_own_key(m, s->theirs, key);
    if (s->kind == PAWL_WHOLE) {
        PAWL_TRY(pawl_gguf_i64(m->file, key, 1, 1000000000, &whole));
        return set(config, s->ours, json_integer(whole));
    }
    PAWL_TRY(pawl_gguf_f64(m->file, key, &real));
    PAWL_CHECK(real > 0 && real < 1, PAWL_EDATA, "%s: key %s: expected a number between 0 and 1, found %g",
               pawl_gguf_path(m->file), key, real);
    return set(config, s->ours, json_real(pawl_gguf_short(real)));
}

/* What rotary decoders say beside their settings. */
static pawl_status set_rotary(const pawl_gguf_model *m, json_t *config)
{
    char key[256];
    double theta;
    json_t *rope;
    PAWL_TRY(set(config, "num_key_value_heads", json_integer(m->kv_heads)));
    PAWL_TRY(set(config, "head_dim", json_integer(m->head_dim)));
    PAWL_TRY(pawl_gguf_f64_or(m->file, pawl_gguf_own_key(m, "rope.freq_base", key), 10000, &theta));
    PAWL_CHECK(theta >= 1, PAWL_EDATA, "%s: key %s: expected a number of 1 or more, found %g", pawl_gguf_path(m->file),
               key, theta);
    theta = pawl_gguf_short(theta);
    PAWL_TRY(set(config, "rope_theta", json_real(theta)));
    PAWL_TRY(pawl_gguf_rope_json(m, theta, &rope));
    return set(config, "rope_scaling", rope);
}

/* Mistral's models are written as llama; a window makes the difference. Biases are seen by their tensors. */
static pawl_status set_llama(const pawl_gguf_model *m, json_t *config)
{
    char key[256];
    int64_t window;
    const int attention = pawl_gguf_find(m->file, "blk.0.attn_q.bias") != NULL;
    const int mlp = pawl_gguf_find(m->file, "blk.0.ffn_gate.bias") != NULL;
    PAWL_TRY(
        pawl_gguf_i64_or(m->file, pawl_gguf_own_key(m, "attention.sliding_window", key), 0, 1000000000, 0, &window));
    if (window == 0) {
        PAWL_TRY(set(config, "attention_bias", json_boolean(attention)));
        return set(config, "mlp_bias", json_boolean(mlp));
    }
    PAWL_CHECK(!attention && !mlp, PAWL_EDATA, "%s: a sliding window together with biases is not computed here",
               pawl_gguf_path(m->file));
    PAWL_TRY(set(config, "architectures", json_pack("[s]", "MistralForCausalLM")));
    PAWL_TRY(set(config, "model_type", json_string("mistral")));
    return set(config, "sliding_window", json_integer(window));
}

/* The id of a token that the file names, or JSON's null. */
static pawl_status token(const pawl_gguf_model *m, const char *key, json_t **out)
{
    int64_t id;
    PAWL_TRY(pawl_gguf_i64_or(m->file, key, 0, m->vocabulary - 1, -1, &id));
    *out = id < 0 ? json_null() : json_integer(id);
    return PAWL_OK;
}

static pawl_status set_tokens(const pawl_gguf_model *m, json_t *config)
{
    static const char *const names[][2] = {{"tokenizer.ggml.bos_token_id", "bos_token_id"},
                                           {"tokenizer.ggml.eos_token_id", "eos_token_id"},
                                           {"tokenizer.ggml.padding_token_id", "pad_token_id"}};
    json_t *id;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        PAWL_TRY(token(m, names[i][0], &id));
        PAWL_TRY(set(config, names[i][1], id));
    }
    return PAWL_OK;
}

static pawl_status fill(const pawl_gguf_model *m, pawl_dtype dtype, json_t *config)
{
    const char *const torch = dtype == PAWL_BF16 ? "bfloat16" : dtype == PAWL_F16 ? "float16" : "float32";
    for (const pawl_gguf_setting *s = m->family->settings; s->theirs; s++) PAWL_TRY(set_setting(m, s, config));
    if (m->family->rotary) PAWL_TRY(set_rotary(m, config));
    if (strcmp(m->family->name, "llama") == 0) PAWL_TRY(set_llama(m, config));
    PAWL_TRY(set_tokens(m, config));
    PAWL_TRY(set(config, "vocab_size", json_integer(m->vocabulary)));
    PAWL_TRY(set(config, "tie_word_embeddings", json_boolean(m->tied)));
    PAWL_TRY(set(config, "torch_dtype", json_string(torch)));
    return set(config, "use_cache", json_true());
}

pawl_status pawl_gguf_config_json(const pawl_gguf_model *m, pawl_dtype dtype, json_t **out)
{
    json_t *config = json_loads(m->family->constants, 0, NULL);
    PAWL_CHECK(config, PAWL_EMEM, "no memory for config.json");
    const pawl_status s = fill(m, dtype, config);
    if (s == PAWL_OK)
        *out = config;
    else
        json_decref(config);
    return s;
}

/* An answer ends at the end of the text, and at the end of a turn or message where the file names one. */
static pawl_status ends(const pawl_gguf_model *m, json_t **out)
{
    static const char *const names[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                        "tokenizer.ggml.eom_token_id"};
    json_t *list = json_array(), *id;
    pawl_status status = list ? PAWL_OK : PAWL_FAIL(PAWL_EMEM, "no memory for generation_config.json");
    for (size_t i = 0; i < sizeof names / sizeof names[0] && status == PAWL_OK; i++) {
        status = token(m, names[i], &id);
        if (status != PAWL_OK) break;
        int there = json_is_null(id);
        for (size_t k = 0; k < json_array_size(list); k++) there |= json_equal(json_array_get(list, k), id);
        if (there)
            json_decref(id);
        else if (json_array_append_new(list, id) < 0)
            status = PAWL_FAIL(PAWL_EMEM, "no memory for generation_config.json");
    }
    if (status != PAWL_OK) {
        json_decref(list);
        return status;
    }
    const size_t n = json_array_size(list);
    *out = n == 0 ? json_null() : n == 1 ? json_incref(json_array_get(list, 0)) : json_incref(list);
    json_decref(list);
    return PAWL_OK;
}

pawl_status pawl_gguf_generation_json(const pawl_gguf_model *m, json_t **out)
{
    json_t *begin, *end, *pad;
    PAWL_TRY(token(m, "tokenizer.ggml.bos_token_id", &begin));
    PAWL_TRY(token(m, "tokenizer.ggml.padding_token_id", &pad));
    PAWL_TRY(ends(m, &end));
    *out = json_pack("{s:o,s:o,s:o}", "bos_token_id", begin, "eos_token_id", end, "pad_token_id", pad);
    PAWL_CHECK(*out, PAWL_EMEM, "no memory for generation_config.json");
    return PAWL_OK;
}
