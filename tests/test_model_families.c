/* Runs: cmocka
 * Every family as Hugging Face directories have it: what comes in goes out byte for byte, generation steps through the
 * logits of the whole, and configurations mean what transformers takes them to mean. parity has the numbers. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/file.h"
#include "core/safetensors.h"
#include "model/hf_config.h"

static char root[] = "test_model_families.XXXXXX";

static const char *const fixtures[] = {"llama2-sharded",
                                       "llama3-scaled",
                                       "llama3-scaled-oldconfig",
                                       "llama-yarn",
                                       "llama-yarn-mscale",
                                       "llama-longrope-short",
                                       "llama-longrope-long",
                                       "llama-biases",
                                       "mistral-window",
                                       "mistral-no-window",
                                       "qwen2",
                                       "qwen2-mixed",
                                       "qwen3",
                                       "qwen3-mixed",
                                       "gpt2",
                                       "gpt2-gelu",
                                       "gpt2-plain-scores"};
enum { FIXTURES = sizeof fixtures / sizeof fixtures[0] };

#define assert_done(call)                                                                                              \
    do {                                                                                                               \
        if ((call) != PAWL_OK) fail_msg("%s: %s", #call, pawl_last_error()->what);                                     \
    } while (0)

typedef struct opened {
    char dir[512];
    pawl_model *m;
    float *flat;
} opened;

static opened open_dir(const char *dir)
{
    opened o = {.m = NULL};
    pawl_model_config c;
    snprintf(o.dir, sizeof o.dir, "%s", dir);
    assert_done(pawl_hf_config(dir, &c));
    assert_done(pawl_model_open(&c, &o.m));
    o.flat = calloc((size_t)pawl_model_count(o.m), sizeof *o.flat);
    assert_non_null(o.flat);
    assert_done(pawl_hf_load(o.m, dir, o.flat));
    return o;
}

static opened open_fixture(const char *name)
{
    char dir[512];
    const char *source = getenv("PAWL_SOURCE");
    snprintf(dir, sizeof dir, "%s/tests/fixtures/hf/%s/model", source ? source : ".", name);
    return open_dir(dir);
}

static void close_dir(opened *o)
{
    pawl_model_close(o->m);
    free(o->flat);
}

/* --- in and out -------------------------------------------------------------------------------------------- */

static const pawl_named *with_prefix(const pawl_safetensors *s, const pawl_model *m, const char *name)
{
    char full[PAWL_NAME_MAX];
    const pawl_named *found = pawl_safetensors_find(s, name);
    snprintf(full, sizeof full, "%s%s", pawl_families[m->config.model_type].prefix, name);
    return found ? found : pawl_safetensors_find(s, full);
}

/* Each tensor of `in` stands in `out`, but for tables and a head that follow from the rest. */
static void same_tensors(const opened *o, const char *out_dir)
{
    pawl_safetensors *in, *out;
    int same = 0;
    assert_done(pawl_safetensors_open(o->dir, &in));
    assert_done(pawl_safetensors_open(out_dir, &out));
    for (int i = 0; i < pawl_safetensors_count(in); i++) {
        const pawl_named *a = pawl_safetensors_at(in, i), *b = with_prefix(out, o->m, a->name);
        const int follows = strstr(a->name, ".attn.bias") || strstr(a->name, ".attn.masked_bias") ||
                            (o->m->config.tie_word_embeddings && strcmp(a->name, "lm_head.weight") == 0);
        if (follows) {
            assert_null(b);
            continue;
        }
        if (!b) fail_msg("%s: %s did not come back", o->dir, a->name);
        assert_int_equal(a->tensor.ndim, b->tensor.ndim);
        assert_memory_equal(a->tensor.dim, b->tensor.dim, (size_t)a->tensor.ndim * sizeof *a->tensor.dim);
        assert_int_equal(a->tensor.dtype, b->tensor.dtype);
        assert_memory_equal(a->tensor.data, b->tensor.data, pawl_tensor_bytes(a->tensor));
        same++;
    }
    assert_int_equal(same, pawl_safetensors_count(out));
    pawl_safetensors_close(in);
    pawl_safetensors_close(out);
}

static pawl_dtype dtype_of(const char *dir)
{
    pawl_safetensors *s;
    assert_done(pawl_safetensors_open(dir, &s));
    const pawl_dtype t = pawl_safetensors_find(s, "model.norm.weight")
                             ? pawl_safetensors_find(s, "model.norm.weight")->tensor.dtype
                             : PAWL_F32;
    pawl_safetensors_close(s);
    return t;
}

static void every_model_comes_back_byte_for_byte(void **unused)
{
    (void)unused;
    for (int i = 0; i < FIXTURES; i++) {
        opened o = open_fixture(fixtures[i]);
        assert_done(pawl_hf_save(o.m, o.flat, dtype_of(o.dir), root));
        same_tensors(&o, root);
        opened again = open_dir(root);
        assert_memory_equal(pawl_model_settings(again.m), pawl_model_settings(o.m), sizeof(pawl_model_config));
        assert_memory_equal(again.flat, o.flat, (size_t)pawl_model_count(o.m) * sizeof *o.flat);
        close_dir(&again);
        close_dir(&o);
        assert_done(pawl_dir_remove(root));
        assert_done(pawl_dir_make(root));
    }
}

/* The half types, from files of ours: rounding once is rounding for good. */
static void half_types_come_back_too(void **unused)
{
    (void)unused;
    static const pawl_dtype dtypes[] = {PAWL_BF16, PAWL_F16};
    static const char *const names[] = {"mistral-no-window", "qwen2-mixed", "qwen3-mixed", "gpt2-gelu"};
    char first[64], second[64];
    snprintf(first, sizeof first, "%s/first", root);
    snprintf(second, sizeof second, "%s/second", root);
    for (size_t t = 0; t < 2; t++)
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
            opened o = open_fixture(names[i]);
            assert_done(pawl_hf_save(o.m, o.flat, dtypes[t], first));
            opened rounded = open_dir(first);
            assert_done(pawl_hf_save(rounded.m, rounded.flat, dtypes[t], second));
            same_tensors(&rounded, second);
            close_dir(&rounded);
            close_dir(&o);
        }
}

/* --- generation -------------------------------------------------------------------------------------------- */

enum { STEPS = 40, VOCAB = 384 };

static int32_t greatest(const float *x, int64_t count)
{
    int32_t best = 0;
    for (int32_t i = 1; i < count; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

/* The logits of all positions of one document, computed at once. */
static void whole(const opened *o, pawl_device *d, pawl_activations *a, int32_t *ids, int64_t tokens, float *logits)
{
    int32_t targets[STEPS], positions[STEPS], starts[STEPS] = {0};
    const pawl_batch b = {
        .rows = 1, .tokens = tokens, .ids = ids, .targets = targets, .positions = positions, .starts = starts};
    for (int32_t n = 0; n < tokens; n++) {
        targets[n] = PAWL_NOT_TRAINED;
        positions[n] = n;
    }
    assert_done(pawl_model_logits(o->m, d, a, &b, NULL, o->flat, NULL, logits));
}

/* Greedy: each next id is the one that the whole text's last logits favour, and those are the decoder's. */
static void generation_is_the_argmax_of_the_whole(void **unused)
{
    (void)unused;
    static float all[STEPS * VOCAB];
    for (int i = 0; i < FIXTURES; i++) {
        opened o = open_fixture(fixtures[i]);
        const int64_t V = o.m->config.vocab_size;
        const pawl_shapes shapes = pawl_model_shapes(o.m, 1, STEPS);
        int32_t ids[STEPS + 1] = {7};
        const float *logits;
        pawl_device *d;
        pawl_activations *a;
        pawl_decoder *g;
        assert_true(V <= VOCAB);
        assert_done(pawl_device_open_cpu(1, "auto", &d));
        assert_done(pawl_device_reserve(d, &shapes));
        assert_done(pawl_activations_open(o.m, &(pawl_capacity){.rows = 1, .tokens = STEPS, .train = 0}, &a));
        assert_done(pawl_decoder_open(o.m, d, o.flat, STEPS, &g));
        for (int n = 0; n < STEPS; n++) {
            assert_done(pawl_decoder_step(g, ids[n], &logits));
            whole(&o, d, a, ids, n + 1, all);
            const float *last = all + n * V, most = fabsf(last[greatest(last, V)]);
            for (int v = 0; v < V; v++)
                if (!(fabsf(logits[v] - last[v]) <= 1e-4f * (1 + most)))
                    fail_msg("%s, step %d: logit %d is %g, of the whole %g", fixtures[i], n, v, logits[v], last[v]);
            ids[n + 1] = greatest(last, V);
            assert_int_equal(ids[n + 1], greatest(logits, V));
        }
        pawl_decoder_close(g);
        pawl_activations_close(a);
        pawl_device_close(d);
        close_dir(&o);
    }
}

/* --- configurations ---------------------------------------------------------------------------------------- */

static void put(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", root, name);
    assert_done(pawl_file_replace(path, text, strlen(text)));
}

static pawl_model_config read_text(const char *text)
{
    pawl_model_config c;
    put("config.json", text);
    assert_done(pawl_hf_config(root, &c));
    return c;
}

#define SIZES(type, heads)                                                                                             \
    "{\"model_type\": \"" type "\", \"vocab_size\": 40, \"hidden_size\": 64, \"intermediate_size\": 23, "              \
    "\"num_hidden_layers\": 4, \"num_attention_heads\": " heads
#define GPT2_SIZES "{\"model_type\": \"gpt2\", \"vocab_size\": 40, \"n_embd\": 20, \"n_layer\": 2, \"n_head\": 5"

/* The values of each family's configuration class. */
static void silence_means_what_transformers_takes(void **unused)
{
    (void)unused;
    pawl_model_config c = read_text(SIZES("mistral", "8") "}");
    assert_int_equal(c.num_key_value_heads, 8);
    assert_int_equal(c.max_position_embeddings, 131072);
    assert_int_equal(c.sliding_window, 4096);
    assert_int_equal(c.eos_token_id, 2);
    assert_true(c.rms_norm_eps == 1e-6 && c.rope_theta == 10000 && !c.tie_word_embeddings);
    c = read_text(SIZES("mistral", "4") ", \"num_key_value_heads\": null, \"sliding_window\": null}");
    assert_int_equal(c.num_key_value_heads, 0);
    assert_int_equal(c.sliding_window, 0);
    c = read_text(SIZES("qwen2", "32") "}");
    assert_int_equal(c.num_key_value_heads, 32);
    assert_int_equal(c.max_position_embeddings, 32768);
    assert_int_equal(c.sliding_window, 0);
    assert_int_equal(c.eos_token_id, -1);
    c = read_text(SIZES("qwen3", "32") "}");
    assert_int_equal(c.head_dim, 128);
    assert_int_equal(pawl_model_config_resolve(&c).head_dim, 128);
    assert_int_equal(c.bos_token_id, -1);
    c = read_text(GPT2_SIZES "}");
    assert_int_equal(c.intermediate_size, 80);
    assert_int_equal(c.max_position_embeddings, 1024);
    assert_int_equal(c.bos_token_id, 50256);
    assert_true(c.tie_word_embeddings && c.rms_norm_eps == 1e-5 && c.scale_attn_weights);
    assert_string_equal(pawl_hidden_activations[pawl_model_config_resolve(&c).hidden_act], "gelu_new");
}

static void windows_fall_on_the_right_layers(void **unused)
{
    (void)unused;
    static const struct {
        const char *more;
        int64_t windows[4];
    } cases[] = {
        {"", {0, 0, 0, 0}},
        {", \"sliding_window\": 5", {0, 0, 0, 0}},
        {", \"sliding_window\": 5, \"use_sliding_window\": true", {0, 0, 0, 0}}, /* max_window_layers is 28 */
        {", \"sliding_window\": 5, \"use_sliding_window\": true, \"max_window_layers\": 1", {0, 5, 5, 5}},
        {", \"use_sliding_window\": true, \"max_window_layers\": 3", {0, 0, 0, 4096}},
        {", \"sliding_window\": 5, \"use_sliding_window\": true, \"layer_types\": [\"sliding_attention\", "
         "\"full_attention\", \"full_attention\", \"sliding_attention\"]",
         {5, 0, 0, 5}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[512];
        snprintf(text, sizeof text, "%s%s}", SIZES("qwen2", "32"), cases[i].more);
        const pawl_model_config c = read_text(text);
        for (int l = 0; l < 4; l++) assert_int_equal(pawl_window_of(&c, l), cases[i].windows[l]);
    }
    const pawl_model_config c = read_text(SIZES("mistral", "8") ", \"sliding_window\": 9}");
    for (int l = 0; l < 4; l++) assert_int_equal(pawl_window_of(&c, l), 9);
}

static void what_is_not_computed_is_refused_by_name(void **unused)
{
    (void)unused;
    static const struct {
        const char *text, *because;
    } cases[] = {
        {SIZES("mistral", "8") ", \"sliding_window\": 0}", "\"sliding_window\" is 0: expected null or at least 1"},
        {SIZES("mistral", "8") ", \"sliding_window\": -1}", "\"sliding_window\""},
        {SIZES("mistral", "8") ", \"attention_bias\": true}", "\"attention_bias\": true is not known here"},
        {SIZES("mistral", "8") ", \"hidden_act\": \"gelu\"}", "\"hidden_act\" is \"gelu\""},
        {SIZES("mistral", "8") ", \"attention_dropout\": 0.1}", "\"attention_dropout\" is 0.1"},
        {SIZES("mistral", "8") ", \"layer_types\": [\"full_attention\", \"full_attention\", \"full_attention\", "
                               "\"full_attention\"]}",
         "\"layer_types\" disagrees with \"sliding_window\""},
        {SIZES("qwen2", "32") ", \"use_mrope\": true}", "\"use_mrope\": true is not known here"},
        {SIZES("qwen2", "32") ", \"layer_types\": [\"sliding_attention\", \"full_attention\", \"full_attention\", "
                              "\"full_attention\"]}",
         "there is no sliding_window in use"},
        {SIZES("qwen2", "32") ", \"rope_scaling\": {\"type\": \"mrope\", \"mrope_section\": [1, 1]}}",
         "rope_type \"mrope\" is not computed here"},
        {SIZES("qwen2", "32") ", \"architectures\": [\"Qwen2ForSequenceClassification\"]}", "\"architectures\""},
        {SIZES("qwen3", "32") ", \"rope_parameters\": {\"rope_type\": \"dynamic\", \"factor\": 2}}",
         "rope_type \"dynamic\" is not computed here"},
        {SIZES("qwen3", "32") ", \"mlp_bias\": true}", "\"mlp_bias\": true is not known here"},
        {SIZES("qwen3", "32") ", \"num_experts\": 8}", "\"num_experts\": 8 is not known here"},
        {GPT2_SIZES ", \"activation_function\": \"mish\"}", "\"activation_function\""},
        {GPT2_SIZES ", \"add_cross_attention\": true}", "\"add_cross_attention\" is true"},
        {GPT2_SIZES ", \"attn_pdrop\": 1.5}", "\"attn_pdrop\""},
        {"{\"model_type\": \"gpt2\", \"vocab_size\": 40, \"n_embd\": 20, \"n_layer\": 2, \"n_head\": 3}",
         "not a multiple of num_attention_heads 3"},
        {GPT2_SIZES ", \"rope_theta\": 10000}", "\"rope_theta\": 10000 is not known here"},
        {GPT2_SIZES ", \"hidden_size\": 32}", "\"hidden_size\": 32 is not known here"},
        {"{\"model_type\": \"gpt2\", \"vocab_size\": 40, \"n_embd\": 20, \"n_layer\": 2}", "\"n_head\" is missing"},
    };
    pawl_model_config c;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put("config.json", cases[i].text);
        assert_int_equal(pawl_hf_config(root, &c), PAWL_EDATA);
        if (!strstr(pawl_last_error()->what, cases[i].because))
            fail_msg("expected an error about '%s', found: %s", cases[i].because, pawl_last_error()->what);
    }
}

static const char *const odd_values[] = {"null",
                                         "true",
                                         "-1",
                                         "0",
                                         "1",
                                         "7",
                                         "1e300",
                                         "-0.5",
                                         "9223372036854775807",
                                         "\"\"",
                                         "\"x\"",
                                         "[]",
                                         "{}",
                                         "[0]",
                                         "[null, 2]",
                                         "[[], {}, 1]",
                                         "{\"rope_type\": \"yarn\", \"factor\": 1}"};

/* Whatever stands under a key: a model that can be laid out, or one error. */
static void try_value(const char *base, const char *key, const char *value, int in_rope)
{
    char path[128], text[1024];
    pawl_model_config c;
    pawl_model *m;
    snprintf(path, sizeof path, "%s/config.json", root);
    remove(path); /* ext4 flushes a file that is written over */
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    snprintf(text, sizeof text,
             in_rope ? "%s, \"rope_scaling\": {\"rope_type\": \"yarn\", \"%s\": %s}}" : "%s, \"%s\": %s}", base, key,
             value);
    fputs(text, f);
    fclose(f);
    pawl_status s = pawl_hf_config(root, &c);
    if (s == PAWL_OK) s = pawl_model_open(&c, &m);
    if (s == PAWL_OK) {
        json_t *written;
        assert_true(pawl_model_count(m) > 0);
        assert_done(pawl_hf_config_json(m, PAWL_F32, &written));
        json_decref(written);
        pawl_model_close(m);
    } else if ((s != PAWL_EDATA && s != PAWL_EUSAGE) || strlen(pawl_last_error()->what) < 10)
        fail_msg("%s: %d, %s", text, s, pawl_last_error()->what);
}

static void odd_values_are_errors_and_nothing_worse(void **unused)
{
    (void)unused;
    static const char *const bases[] = {SIZES("llama", "4"), SIZES("mistral", "8"), SIZES("qwen2", "32"),
                                        SIZES("qwen3", "32"), GPT2_SIZES};
    for (size_t b = 0; b < sizeof bases / sizeof bases[0]; b++)
        for (size_t v = 0; v < sizeof odd_values / sizeof odd_values[0]; v++) {
            for (const pawl_known_key *k = pawl_known_keys; k->key; k++)
                if (k->rule != PAWL_KEY_IGNORED && !strstr(bases[b], k->key))
                    try_value(bases[b], k->key, odd_values[v], 0);
            for (const pawl_field *r = pawl_rope_rows; r->key; r++) try_value(bases[b], r->key, odd_values[v], 1);
        }
}

/* Published GPT-2s have dropout rates, which concern only how they were trained. */
static void published_gpt2_is_read(void **unused)
{
    (void)unused;
    const pawl_model_config c = read_text(
        "{\"activation_function\": \"gelu_new\", \"architectures\": [\"GPT2LMHeadModel\"], \"attn_pdrop\": 0.1, "
        "\"bos_token_id\": 50256, \"embd_pdrop\": 0.1, \"eos_token_id\": 50256, \"initializer_range\": 0.02, "
        "\"layer_norm_epsilon\": 1e-05, \"model_type\": \"gpt2\", \"n_ctx\": 1024, \"n_embd\": 768, \"n_head\": 12, "
        "\"n_layer\": 12, \"n_positions\": 1024, \"resid_pdrop\": 0.1, \"summary_activation\": null, "
        "\"summary_first_dropout\": 0.1, \"summary_proj_to_labels\": true, \"summary_type\": \"cls_index\", "
        "\"summary_use_proj\": true, \"task_specific_params\": {\"text-generation\": {\"do_sample\": true, "
        "\"max_length\": 50}}, \"vocab_size\": 50257}");
    pawl_model *m;
    assert_done(pawl_model_open(&c, &m));
    assert_int_equal(pawl_model_parameters(m), 124439808);
    assert_int_equal(pawl_model_matmul_parameters(m), 12 * 7077888 + 50257 * 768);
    pawl_model_close(m);
}

/* Numbers of parameters as published. */
static void parameters_are_counted_as_published(void **unused)
{
    (void)unused;
    static const struct {
        const char *config;
        int64_t all, products;
    } models[] = {
        {"{\"model_type\": \"mistral\", \"vocab_size\": 32000, \"hidden_size\": 4096, \"intermediate_size\": 14336, "
         "\"num_hidden_layers\": 32, \"num_attention_heads\": 32}", /* Mistral-7B-v0.1 */
         7241732096, 7241732096 - 32000 * 4096 - 65 * 4096},
        {"{\"model_type\": \"qwen2\", \"vocab_size\": 151936, \"hidden_size\": 896, \"intermediate_size\": 4864, "
         "\"num_hidden_layers\": 24, \"num_attention_heads\": 14, \"num_key_value_heads\": 2, \"tie_word_embeddings\": "
         "true}", /* Qwen2-0.5B */
         494032768, 494032768 - 49 * 896 - 24 * (896 + 2 * 128)},
        {"{\"model_type\": \"qwen3\", \"vocab_size\": 151936, \"hidden_size\": 1024, \"intermediate_size\": 3072, "
         "\"num_hidden_layers\": 28, \"num_attention_heads\": 16, \"num_key_value_heads\": 8, \"tie_word_embeddings\": "
         "true}", /* Qwen3-0.6B */
         596049920, 596049920 - 57 * 1024 - 28 * 256},
    };
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        const pawl_model_config c = read_text(models[i].config);
        pawl_model *m;
        assert_done(pawl_model_open(&c, &m));
        assert_int_equal(pawl_model_parameters(m), models[i].all);
        assert_int_equal(pawl_model_matmul_parameters(m), models[i].products);
        pawl_model_close(m);
    }
}

static void generation_ends_at_every_id_that_is_named(void **unused)
{
    (void)unused;
    pawl_model *m;
    pawl_model_config c = read_text(SIZES("llama", "4") ", \"eos_token_id\": [7, 9]}");
    assert_int_equal(c.eos_token_id, 7);
    put("generation_config.json", "{\"eos_token_id\": [9, 11], \"temperature\": 0.6}");
    assert_done(pawl_hf_config(root, &c));
    assert_done(pawl_model_open(&c, &m));
    assert_true(pawl_model_ends(m, 7) && pawl_model_ends(m, 9) && pawl_model_ends(m, 11));
    assert_false(pawl_model_ends(m, 2) || pawl_model_ends(m, 1));
    float *flat = calloc((size_t)pawl_model_count(m), sizeof *flat);
    assert_done(pawl_hf_save(m, flat, PAWL_F32, root));
    pawl_model_config again;
    assert_done(pawl_hf_config(root, &again));
    again = pawl_model_config_resolve(&again);
    assert_memory_equal(&again, pawl_model_settings(m), sizeof again);
    free(flat);
    pawl_model_close(m);
    put("generation_config.json", "{\"eos_token_id\": \"</s>\"}");
    assert_int_equal(pawl_hf_config(root, &again), PAWL_EDATA);
    put("generation_config.json", "{\"eos_token_id\": 2}");
    c = read_text(SIZES("llama", "4") "}");
    assert_int_equal(c.eos_token_ids.count, 0); /* the one that eos_token_id says already */
}

/* --- the padding id ---------------------------------------------------------------------------------------- */

static void lookups_of_padding_do_not_train_it(void **unused)
{
    (void)unused;
    int32_t ids[] = {3, 5, 5, 1, 3, 5}, targets[] = {5, 5, 1, 3, 5, -100}, positions[] = {0, 1, 2, 3, 4, 5},
            starts[6] = {0};
    const pawl_batch b = {
        .rows = 1, .tokens = 6, .ids = ids, .targets = targets, .positions = positions, .starts = starts};
    float losses[6], *grads[2];
    for (int with = 0; with < 2; with++) {
        opened o = open_fixture("mistral-no-window");
        pawl_activations *a;
        pawl_device *d;
        const pawl_shapes shapes = pawl_model_shapes(o.m, 1, 6);
        o.m->config.pad_token_id = with ? 5 : -1;
        grads[with] = calloc((size_t)pawl_model_count(o.m), sizeof **grads);
        assert_done(pawl_device_open_cpu(1, "auto", &d));
        assert_done(pawl_device_reserve(d, &shapes));
        assert_done(pawl_activations_open(o.m, &(pawl_capacity){.rows = 1, .tokens = 6, .train = 1}, &a));
        const pawl_pass pass = {.weights = o.flat, .grads = grads[with], .put = PAWL_SET, .scale = 1, .losses = losses};
        assert_done(pawl_model_pass(o.m, d, a, &b, &pass));
        const int64_t D = o.m->config.hidden_size, at = o.m->outer.at[PAWL_EMBED] + 5 * D;
        if (with) {
            for (int64_t i = 0; i < D; i++) assert_true(grads[0][at + i] != 0 && grads[1][at + i] == 0);
            memcpy(grads[1] + at, grads[0] + at, (size_t)D * sizeof **grads);
            assert_memory_equal(grads[0], grads[1], (size_t)pawl_model_count(o.m) * sizeof **grads);
        }
        pawl_activations_close(a);
        pawl_device_close(d);
        close_dir(&o);
    }
    free(grads[0]);
    free(grads[1]);
}

static int no_sync(int fd)
{
    (void)fd;
    return 0;
}

/* Nothing here is to outlive a crash, and disks are slow to promise it. */
static int begin(void **unused)
{
    static pawl_fs quick;
    (void)unused;
    quick = pawl_fs_posix;
    quick.fsync = no_sync;
    pawl_fs_in_use = &quick;
    return mkdtemp(root) ? 0 : -1;
}

static int end(void **unused)
{
    (void)unused;
    return pawl_dir_remove(root) == PAWL_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_model_comes_back_byte_for_byte),
        cmocka_unit_test(half_types_come_back_too),
        cmocka_unit_test(generation_is_the_argmax_of_the_whole),
        cmocka_unit_test(silence_means_what_transformers_takes),
        cmocka_unit_test(windows_fall_on_the_right_layers),
        cmocka_unit_test(what_is_not_computed_is_refused_by_name),
        cmocka_unit_test(odd_values_are_errors_and_nothing_worse),
        cmocka_unit_test(published_gpt2_is_read),
        cmocka_unit_test(parameters_are_counted_as_published),
        cmocka_unit_test(generation_ends_at_every_id_that_is_named),
        cmocka_unit_test(lookups_of_padding_do_not_train_it),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
