/* Runs: cmocka */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/arena.h"
#include "core/file.h"
#include "core/safetensors.h"
#include "model/decoder.h"

static char root[] = "test_model_hf.XXXXXX";

static const char *in_root(const char *name)
{
    static char path[4][256];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", root, name);
    return path[turn];
}

static void put_config(const char *text)
{
    assert_int_equal(pawl_file_replace(in_root("config.json"), text, strlen(text)), PAWL_OK);
}

static void expect_error(pawl_status status, const char *because)
{
    assert_int_equal(status, PAWL_EDATA);
    if (!strstr(pawl_last_error()->what, because))
        fail_msg("expected an error about \"%s\", found: %s", because, pawl_last_error()->what);
}

/* --- config.json ------------------------------------------------------------------------------------------- */

#define SIZES                                                                                                          \
    "\"model_type\": \"llama\", \"vocab_size\": 40, \"hidden_size\": 16, \"intermediate_size\": 23, "                  \
    "\"num_hidden_layers\": 2, \"num_attention_heads\": 4"

static pawl_model_config read_config(const char *text)
{
    pawl_model_config c;
    put_config(text);
    if (pawl_hf_config(root, &c) != PAWL_OK) fail_msg("%s", pawl_last_error()->what);
    return c;
}

static void both_published_forms_say_the_same(void **unused)
{
    (void)unused;
    const pawl_model_config before = read_config(
        "{" SIZES ", \"rope_theta\": 500000.0, \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0, "
        "\"low_freq_factor\": 1.0,"
        " \"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 64}, \"torch_dtype\": \"bfloat16\","
        " \"architectures\": [\"LlamaForCausalLM\"]}");
    const pawl_model_config now = read_config(
        "{" SIZES ", \"rope_parameters\": {\"rope_theta\": 500000.0, \"rope_type\": \"llama3\", \"factor\": 8.0,"
        " \"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 64}, \"dtype\": "
        "\"float32\"}");
    assert_memory_equal(&before, &now, sizeof now);
    assert_true(now.rope_theta == 500000 && now.rope_scaling.present && now.rope_scaling.value.factor == 8);
    assert_int_equal(now.rope_scaling.value.original_max_position_embeddings, 64);
}

/* The values of LlamaConfig where config.json is silent, and of the oldest published files. */
static void silence_means_what_transformers_takes(void **unused)
{
    (void)unused;
    pawl_model_config c = read_config("{" SIZES "}");
    assert_true(c.rms_norm_eps == 1e-6 && c.rope_theta == 10000 && c.initializer_range == 0.02);
    assert_int_equal(c.num_key_value_heads, 0);
    assert_int_equal(c.tie_word_embeddings, 0);
    assert_int_equal(c.bos_token_id, 1);
    assert_int_equal(c.eos_token_id, 2);
    assert_int_equal(c.max_position_embeddings, 2048);
    assert_int_equal(c.rope_scaling.present, 0);
    c = read_config(
        "{" SIZES ", \"bos_token_id\": null, \"eos_token_id\": [7, 8, 9], \"head_dim\": null, \"rope_scaling\": null}");
    assert_int_equal(c.bos_token_id, -1);
    assert_int_equal(c.eos_token_id, 7);
    assert_int_equal(c.head_dim, 0);
    c = read_config("{" SIZES ", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 4}}");
    assert_true(c.rope_scaling.present && strcmp(pawl_rope_types[c.rope_scaling.value.rope_type], "linear") == 0);
    c = read_config("{" SIZES ", \"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 777.5}}");
    assert_true(!c.rope_scaling.present && c.rope_theta == 777.5);
}

static void what_cannot_matter_is_let_pass(void **unused)
{
    (void)unused;
    read_config(
        "{" SIZES
        ", \"use_cache\": true, \"pad_token_id\": 0, \"transformers_version\": \"4.31\", \"_name_or_path\": \"x\","
        " \"is_llama_config\": true, \"rope_interleaved\": false, \"transformers.js_config\": {\"dtype\": \"q4\"},"
        " \"hidden_act\": \"silu\", \"attention_dropout\": 0.0, \"pretraining_tp\": 1, \"quantization_config\": null,"
        " \"partial_rotary_factor\": 1.0, \"temperature\": 0.7, \"a_feature_of_tomorrow\": null, \"another\": false}");
}

/* Keys that a config.json has more than SIZES, and what is said of them. */
static const struct {
    const char *more, *because;
} refused[] = {
    {", \"hidden_act\": \"gelu\"",
     "\"hidden_act\" is \"gelu\", which is not computed here: expected one of [\"silu\", \"swish\"]"},
    {", \"attention_dropout\": 0.1", "\"attention_dropout\" is 0.1"},
    {", \"pretraining_tp\": 2", "\"pretraining_tp\" is 2"},
    {", \"partial_rotary_factor\": 0.5", "\"partial_rotary_factor\" is 0.5"},
    {", \"rope_interleaved\": true", "\"rope_interleaved\" is true"},
    {", \"quantization_config\": {\"bits\": 4}",
     "\"quantization_config\" is an object, which is not computed here: expected null"},
    {", \"sliding_window\": 4096", "\"sliding_window\": 4096 is not known here"},
    {", \"logit_scale\": 0.0625", "\"logit_scale\": 0.0625 is not known here"},
    {", \"zero\": 0", "\"zero\": 0 is not known here"},
    {", \"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2}", "rope_type \"dynamic\" is not computed here"},
    {", \"rope_parameters\": {\"rope_type\": \"proportional\", \"factor\": 2}",
     "rope_type \"proportional\" is not computed here"},
    {", \"rope_parameters\": {\"rope_type\": \"yarn\"}", "of rope_type yarn needs \"factor\""},
    {", \"rope_parameters\": {\"rope_type\": \"yarn\", \"factor\": 2, \"low_freq_factor\": 1}",
     "\"low_freq_factor\" of 1 is not computed here with rope_type yarn"},
    {", \"rope_parameters\": {\"rope_type\": \"yarn\", \"factor\": 2, \"attention_factor\": 0}",
     "\"attention_factor\" is 0, expected a number above 0"},
    {", \"rope_parameters\": {\"rope_type\": \"longrope\", \"short_factor\": [1, 1]}", "needs \"long_factor\""},
    {", \"rope_parameters\": {\"rope_type\": \"longrope\", \"short_factor\": [1, 1], \"long_factor\": [1]}",
     "needs 2 numbers in short_factor and in long_factor"},
    {", \"rope_parameters\": {\"rope_type\": \"longrope\", \"short_factor\": [1, \"x\"], \"long_factor\": [1, 1]}",
     "expected a list of numbers, found \"x\" in it"},
    {", \"rope_parameters\": {\"rope_type\": \"longrope\", \"short_factor\": [1, 0], \"long_factor\": [1, 1]}",
     "short_factor: '0' is not a number"},
    {", \"original_max_position_embeddings\": 8, \"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 2, "
     "\"original_max_position_embeddings\": 9}",
     "two \"original_max_position_embeddings\""},
    {", \"layer_types\": [\"full_attention\"]", "expected a list of 2 items"},
    {", \"layer_types\": [\"full_attention\", \"chunked_attention\"]", "\"chunked_attention\" is not computed"},
    {", \"layer_types\": [\"full_attention\", \"sliding_attention\"]", "there is no sliding_window in use"},
    {", \"head_dim\": 258", "head_dim) is 258, at most 256"},
    {", \"head_dim\": 5", "expected an even number"},
    {", \"rope_scaling\": {\"factor\": 2}", "has a factor and no rope_type"},
    {", \"rope_scaling\": {\"rope_type\": \"linear\", \"type\": \"llama3\", \"factor\": 2}", "another type"},
    {", \"rope_scaling\": {\"rope_type\": \"linear\"}", "needs \"factor\""},
    {", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1}",
     "needs \"high_freq_factor\""},
    {", \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 2, \"attention_factor\": 1.2}",
     "\"attention_factor\" of 1.2"},
    {", \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": \"2\"}",
     "\"factor\": expected a number, found \"2\""},
    {", \"rope_scaling\": [2]", "expected an object or null"},
    {", \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 2}, \"rope_parameters\": {\"rope_type\": "
     "\"default\"}",
     "differ"},
    {", \"rope_theta\": 1e4, \"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 5e5}",
     "\"rope_theta\" and"},
    {", \"architectures\": [\"LlamaForSequenceClassification\"]",
     "\"architectures\" is \"LlamaForSequenceClassification\""},
    {", \"architectures\": []", "expected [\"LlamaForCausalLM\"]"},
    {", \"num_key_value_heads\": 3", "num_key_value_heads 3"},
    {", \"num_key_value_heads\": -1", "\"num_key_value_heads\""},
    {", \"num_key_value_heads\": 1.5", "\"num_key_value_heads\""},
    {", \"num_key_value_heads\": \"2\"", "expected a number, found \"2\""},
    {", \"tie_word_embeddings\": 1", "\"tie_word_embeddings\""},
    {", \"rms_norm_eps\": []", "\"rms_norm_eps\": expected a number"},
};

static void what_would_change_the_result_is_refused_by_name(void **unused)
{
    (void)unused;
    pawl_model_config c;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        char text[1024];
        snprintf(text, sizeof text, "{" SIZES "%s}", refused[i].more);
        put_config(text);
        expect_error(pawl_hf_config(root, &c), refused[i].because);
    }
    put_config("{\"model_type\": \"mamba\"}");
    expect_error(pawl_hf_config(root, &c), "\"model_type\" mamba is not supported by this version, which knows llama, mistral, qwen2, qwen3, gpt2");
    put_config("{\"model_type\": \"llama\", \"vocab_size\": 40, \"hidden_size\": 16}");
    expect_error(pawl_hf_config(root, &c), "\"intermediate_size\" is missing");
    put_config("{" SIZES ", \"hidden_size\": 16}");
    expect_error(pawl_hf_config(root, &c), "not valid JSON: duplicate");
    put_config("[]");
    expect_error(pawl_hf_config(root, &c), "config.json");
    assert_int_equal(pawl_file_remove(in_root("config.json")), PAWL_OK);
    expect_error(pawl_hf_config(root, &c), "found no config.json");
}

/* --- weights ----------------------------------------------------------------------------------------------- */

#define SMALL(more) "{" SIZES ", \"num_key_value_heads\": 2, \"attention_bias\": true, \"mlp_bias\": true" more "}"

typedef struct loaded {
    pawl_model *m;
    float *flat;
    pawl_state state;
} loaded;

/* A model with known numbers, and a list of its tensors to change before it is written. */
static loaded make(const char *config)
{
    loaded x = {.m = NULL};
    const pawl_model_config c = read_config(config);
    assert_int_equal(pawl_model_open(&c, &x.m), PAWL_OK);
    x.flat = calloc((size_t)pawl_model_count(x.m), sizeof *x.flat);
    assert_non_null(x.flat);
    pawl_model_init(x.m, 1, x.flat);
    assert_int_equal(pawl_model_state(x.m, x.flat, "", &x.state), PAWL_OK);
    return x;
}

static void drop(loaded *x)
{
    pawl_state_close(&x->state);
    pawl_model_close(x->m);
    free(x->flat);
}

static void write_weights(const loaded *x, pawl_dtype dtype)
{
    assert_int_equal(pawl_safetensors_write_dir(root, &x->state, dtype, INT64_MAX), PAWL_OK);
}

static pawl_status load(const loaded *x)
{
    float *flat = calloc((size_t)pawl_model_count(x->m), sizeof *flat);
    assert_non_null(flat);
    const pawl_status status = pawl_hf_load(x->m, root, flat);
    free(flat);
    return status;
}

static void check_paddings(const pawl_model *m, const float *flat)
{
    int64_t at = 0;
    for (int t = 0; t <= m->count; t++) {
        const int64_t end = t < m->count ? m->extents[t].first : pawl_model_count(m);
        for (; at < end; at++) assert_true(flat[at] == 0);
        if (t < m->count) at += m->extents[t].count;
    }
}

/* Whatever goes in comes out: each dtype, tied or not, one file or shards. */
static void import_then_export_keeps_every_byte(void **unused)
{
    (void)unused;
    static const pawl_dtype dtypes[] = {PAWL_F32, PAWL_BF16, PAWL_F16};
    static const char *const configs[] = {SMALL(""), SMALL(", \"tie_word_embeddings\": true")};
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++)
        for (size_t k = 0; k < sizeof configs / sizeof configs[0]; k++) {
            loaded x = make(configs[k]);
            assert_int_equal(pawl_safetensors_write_dir(root, &x.state, dtypes[i], k ? 1000 : INT64_MAX), PAWL_OK);
            float *flat = calloc((size_t)pawl_model_count(x.m), sizeof *flat);
            assert_non_null(flat);
            for (int64_t n = 0; n < pawl_model_count(x.m); n++) flat[n] = 99;
            if (pawl_hf_load(x.m, root, flat) != PAWL_OK) fail_msg("%s", pawl_last_error()->what);
            check_paddings(x.m, flat);
            assert_int_equal(pawl_hf_save(x.m, flat, dtypes[i], in_root("out")), PAWL_OK);
            pawl_safetensors *in, *out;
            assert_int_equal(pawl_safetensors_open(root, &in), PAWL_OK);
            assert_int_equal(pawl_safetensors_open(in_root("out"), &out), PAWL_OK);
            assert_int_equal(pawl_safetensors_count(in), pawl_safetensors_count(out));
            for (int t = 0; t < pawl_safetensors_count(in); t++) {
                const pawl_named *a = pawl_safetensors_at(in, t), *b = pawl_safetensors_at(out, t);
                assert_string_equal(a->name, b->name);
                assert_int_equal(b->tensor.dtype, dtypes[i]);
                assert_memory_equal(a->tensor.data, b->tensor.data, pawl_tensor_bytes(a->tensor));
            }
            pawl_safetensors_close(in);
            pawl_safetensors_close(out);
            pawl_model_config again, resolved = *pawl_model_settings(x.m);
            assert_int_equal(pawl_hf_config(in_root("out"), &again), PAWL_OK);
            again = pawl_model_config_resolve(&again);
            assert_memory_equal(&again, &resolved, sizeof again);
            free(flat);
            drop(&x);
            assert_int_equal(pawl_dir_remove(root), PAWL_OK);
            assert_int_equal(pawl_dir_make(root), PAWL_OK);
        }
}

static void a_written_config_reads_back_the_same(void **unused)
{
    (void)unused;
    static const char *const more[] = {
        ", \"rope_theta\": 123456.5, \"rms_norm_eps\": 1e-05, \"bos_token_id\": null, \"eos_token_id\": 39, "
        "\"head_dim\": 6",
        ", \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 2.5}",
        ", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 32, \"low_freq_factor\": 1, \"high_freq_factor\": "
        "4,"
        " \"original_max_position_embeddings\": 8192}, \"max_position_embeddings\": 131072, \"initializer_range\": "
        "0.01",
    };
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++) {
        char text[1024];
        snprintf(text, sizeof text, "{" SIZES "%s}", more[i]);
        loaded x = make(text);
        assert_int_equal(pawl_hf_save(x.m, x.flat, PAWL_BF16, in_root("again")), PAWL_OK);
        pawl_model_config again;
        assert_int_equal(pawl_hf_config(in_root("again"), &again), PAWL_OK);
        again = pawl_model_config_resolve(&again);
        assert_memory_equal(&again, pawl_model_settings(x.m), sizeof again);
        drop(&x);
    }
    json_t *written;
    const char *text;
    assert_int_equal(pawl_json_read(in_root("again/config.json"), 1 << 20, &written), PAWL_OK);
    assert_int_equal(pawl_json_text(written, "torch_dtype", "config.json", &text), PAWL_OK);
    assert_string_equal(text, "bfloat16");
    assert_string_equal(json_string_value(json_array_get(json_object_get(written, "architectures"), 0)),
                        "LlamaForCausalLM");
    json_decref(written);
    assert_true(pawl_path_exists(in_root("again/generation_config.json")));
}

static void options_without_a_family_are_not_written(void **unused)
{
    (void)unused;
    const pawl_model_config c = read_config("{" SIZES "}");
    pawl_model *m;
    float *flat;
    assert_int_equal(pawl_model_open_with(&c, &(pawl_block_options){.has = PAWL_QK_NORM}, &m), PAWL_OK);
    assert_int_equal(pawl_alloc((void **)&flat, (size_t)pawl_model_count(m) * sizeof *flat, "weights"), PAWL_OK);
    assert_int_equal(pawl_hf_save(m, flat, PAWL_F32, in_root("never")), PAWL_EBUG);
    assert_int_equal(pawl_hf_save(m, flat, PAWL_I64, in_root("never")), PAWL_EUSAGE);
    assert_false(pawl_path_exists(in_root("never")));
    pawl_free(flat);
    pawl_model_close(m);
}

static void every_tensor_must_be_there_in_its_shape(void **unused)
{
    (void)unused;
    loaded x = make(SMALL(""));
    for (int i = 0; i < x.state.count; i++) {
        pawl_named kept = x.state.items[i];
        char because[300];
        snprintf(x.state.items[i].name, PAWL_NAME_MAX, "renamed");
        write_weights(&x, PAWL_F32);
        snprintf(because, sizeof because, "tensor %s [", kept.name);
        expect_error(load(&x), because);
        x.state.items[i] = kept;
        x.state.items[i].tensor.dim[0]--;
        write_weights(&x, PAWL_F32);
        snprintf(because, sizeof because, "tensor %s: expected the shape [%d", kept.name, (int)kept.tensor.dim[0]);
        expect_error(load(&x), because);
        x.state.items[i] = kept;
    }
    write_weights(&x, PAWL_F32);
    assert_int_equal(load(&x), PAWL_OK);
    drop(&x);
}

static void nothing_unknown_may_be_there(void **unused)
{
    (void)unused;
    float table[8] = {0};
    int64_t whole[16] = {0};
    loaded x = make(SMALL(""));
    const int count = x.state.count;
    const pawl_tensor extra = {table, PAWL_F32, 1, {8}};
    assert_int_equal(pawl_state_add(&x.state, "", "model.layers.0.self_attn.rotary_emb.inv_freq", extra), PAWL_OK);
    write_weights(&x, PAWL_F32);
    assert_int_equal(load(&x), PAWL_OK);
    assert_int_equal(pawl_state_add(&x.state, "", "model.layers.2.mlp.up_proj.weight", extra), PAWL_OK);
    write_weights(&x, PAWL_F32);
    expect_error(load(&x), "tensor model.layers.2.mlp.up_proj.weight [8] does not belong");
    x.state.count = count;
    pawl_named *norm = pawl_state_find(&x.state, "model.norm.weight");
    norm->tensor = (pawl_tensor){whole, PAWL_I64, 1, {16}};
    write_weights(&x, PAWL_F32);
    expect_error(load(&x), "model.norm.weight: expected numbers of f32, f16 or bf16, found i64");
    drop(&x);
}

static void a_tied_head_may_be_written_out_but_not_differ(void **unused)
{
    (void)unused;
    loaded x = make(SMALL(", \"tie_word_embeddings\": true"));
    pawl_tensor head = pawl_state_find(&x.state, "model.embed_tokens.weight")->tensor;
    assert_int_equal(pawl_state_add(&x.state, "", "lm_head.weight", head), PAWL_OK);
    write_weights(&x, PAWL_BF16);
    assert_int_equal(load(&x), PAWL_OK);
    float *other = calloc(40 * 16, sizeof *other);
    assert_non_null(other);
    pawl_state_find(&x.state, "lm_head.weight")->tensor.data = other;
    write_weights(&x, PAWL_BF16);
    expect_error(load(&x), "lm_head.weight differs from model.embed_tokens.weight");
    free(other);
    drop(&x);
    x = make(SMALL(""));
    x.state.count--; /* the head comes last */
    write_weights(&x, PAWL_F32);
    expect_error(load(&x), "lm_head.weight [40, 16] is missing; if the head is the embedding");
    drop(&x);
}

/* --- lineage ----------------------------------------------------------------------------------------------- */

static void lineage_names_the_files_that_were_read(void **unused)
{
    (void)unused;
    loaded x = make("{" SIZES "}");
    json_t *lineage;
    assert_int_equal(pawl_safetensors_write_dir(root, &x.state, PAWL_F32, 4000), PAWL_OK);
    assert_int_equal(pawl_hf_lineage(root, &lineage), PAWL_OK);
    const json_t *files = json_object_get(lineage, "files");
    static const char *const first[] = {"config.json", "model.safetensors.index.json"};
    assert_string_equal(json_string_value(json_object_get(lineage, "path")), root);
    assert_true(json_array_size(files) > 3);
    for (size_t i = 0; i < json_array_size(files); i++) {
        const json_t *f = json_array_get(files, i);
        const char *name = json_string_value(json_object_get(f, "name"));
        char *data;
        size_t bytes;
        if (i < 2) assert_string_equal(name, first[i]);
        assert_int_equal(pawl_file_read(in_root(name), 1 << 20, &data, &bytes), PAWL_OK);
        assert_int_equal(json_integer_value(json_object_get(f, "bytes")), bytes);
        assert_string_equal(json_string_value(json_object_get(f, "sha256")),
                            pawl_digest_hex(pawl_sha256(data, bytes)).text);
        pawl_free(data);
    }
    json_decref(lineage);
    drop(&x);
}

static void memory_that_runs_out_is_an_error(void **unused)
{
    (void)unused;
    loaded x = make("{" SIZES "}");
    assert_int_equal(pawl_safetensors_write_dir(root, &x.state, PAWL_F32, 4000), PAWL_OK);
    pawl_status status = PAWL_EMEM;
    int n = 0;
    while (status == PAWL_EMEM && n < 1000) {
        pawl_model_config c;
        json_t *lineage;
        pawl_alloc_fail_after(++n);
        status = pawl_hf_config(root, &c);
        if (status == PAWL_OK) status = pawl_hf_load(x.m, root, x.flat);
        if (status == PAWL_OK) status = pawl_hf_save(x.m, x.flat, PAWL_F32, in_root("scarce"));
        if (status == PAWL_OK && (status = pawl_hf_lineage(root, &lineage)) == PAWL_OK) json_decref(lineage);
        pawl_alloc_fail_after(0);
    }
    assert_int_equal(status, PAWL_OK);
    assert_true(n > 20);
    drop(&x);
}

static int make_root(void **unused)
{
    (void)unused;
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **unused)
{
    (void)unused;
    return pawl_dir_remove(root) == PAWL_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_published_forms_say_the_same),
        cmocka_unit_test(silence_means_what_transformers_takes),
        cmocka_unit_test(what_cannot_matter_is_let_pass),
        cmocka_unit_test(what_would_change_the_result_is_refused_by_name),
        cmocka_unit_test(import_then_export_keeps_every_byte),
        cmocka_unit_test(a_written_config_reads_back_the_same),
        cmocka_unit_test(options_without_a_family_are_not_written),
        cmocka_unit_test(every_tensor_must_be_there_in_its_shape),
        cmocka_unit_test(nothing_unknown_may_be_there),
        cmocka_unit_test(a_tied_head_may_be_written_out_but_not_differ),
        cmocka_unit_test(lineage_names_the_files_that_were_read),
        cmocka_unit_test(memory_that_runs_out_is_an_error),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
