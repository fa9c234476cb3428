/* Runs: cmocka */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/arena.h"
#include "core/rng.h"
#include "model/decoder.h"

static pawl_model_config config_of(int64_t V, int64_t D, int64_t F, int64_t L, int64_t H, int64_t G, int tied)
{
    pawl_model_config c;
    memset(&c, 0, sizeof c);
    pawl_fields_default(pawl_model_rows, &c);
    c.vocab_size = V;
    c.hidden_size = D;
    c.intermediate_size = F;
    c.num_hidden_layers = L;
    c.num_attention_heads = H;
    c.num_key_value_heads = G;
    c.tie_word_embeddings = tied;
    return c;
}

static pawl_model *open_model(const pawl_model_config *c)
{
    pawl_model *m;
    if (pawl_model_open(c, &m) != PAWL_OK) fail_msg("%s", pawl_last_error()->what);
    return m;
}

/* SmolLM2-135M has 134,515,008 parameters (its model card and its file agree). Norms take part in no matrix product,
 * and the tied embedding does, as the head: 61 norms of 576. With a head of its own the lookup drops out of N. */
static void parameters_are_counted_as_published(void **unused)
{
    (void)unused;
    pawl_model_config c = config_of(49152, 576, 1536, 30, 9, 3, 1);
    pawl_model *m = open_model(&c);
    assert_int_equal(pawl_model_parameters(m), 134515008);
    assert_int_equal(pawl_model_matmul_parameters(m), 134515008 - 61 * 576);
    pawl_model_close(m);
    c.tie_word_embeddings = 0;
    m = open_model(&c);
    assert_int_equal(pawl_model_parameters(m), 134515008 + 49152 * 576);
    assert_int_equal(pawl_model_matmul_parameters(m), 134515008 - 61 * 576);
    pawl_model_close(m);
}

static int64_t first_of(const pawl_model *m, const char *name)
{
    pawl_state s = {.items = NULL};
    float *base = NULL;
    assert_int_equal(pawl_alloc((void **)&base, (size_t)pawl_model_count(m) * sizeof *base, "weights"), PAWL_OK);
    assert_int_equal(pawl_model_state(m, base, "x/", &s), PAWL_OK);
    char full[PAWL_NAME_MAX];
    snprintf(full, sizeof full, "x/%s", name);
    const pawl_named *n = pawl_state_find(&s, full);
    const int64_t first = n ? (const float *)n->tensor.data - base : -1;
    pawl_state_close(&s);
    pawl_free(base);
    return first;
}

static void fused_groups_lie_side_by_side(void **unused)
{
    (void)unused;
    pawl_model_config c = config_of(33, 20, 7, 2, 2, 1, 0); /* 20 x 10 and 7 x 20: no multiples of 16 */
    c.attention_bias = c.mlp_bias = 1;
    pawl_model *m = open_model(&c);
    const int64_t q = first_of(m, "model.layers.1.self_attn.q_proj.weight");
    assert_int_equal(first_of(m, "model.layers.1.self_attn.k_proj.weight"), q + 20 * 20);
    assert_int_equal(first_of(m, "model.layers.1.self_attn.v_proj.weight"), q + 20 * 20 + 10 * 20);
    const int64_t b = first_of(m, "model.layers.1.self_attn.q_proj.bias");
    assert_int_equal(first_of(m, "model.layers.1.self_attn.v_proj.bias"), b + 30);
    const int64_t gate = first_of(m, "model.layers.1.mlp.gate_proj.weight");
    assert_int_equal(first_of(m, "model.layers.1.mlp.up_proj.weight"), gate + 7 * 20);
    assert_int_equal(first_of(m, "model.layers.1.mlp.up_proj.bias"),
                     first_of(m, "model.layers.1.mlp.gate_proj.bias") + 7);
    static const char *const groups[] = {"model.embed_tokens.weight",
                                         "model.layers.0.input_layernorm.weight",
                                         "model.layers.0.self_attn.q_proj.weight",
                                         "model.layers.0.self_attn.q_proj.bias",
                                         "model.layers.0.self_attn.o_proj.weight",
                                         "model.layers.0.self_attn.o_proj.bias",
                                         "model.layers.0.post_attention_layernorm.weight",
                                         "model.layers.1.mlp.gate_proj.weight",
                                         "model.layers.1.mlp.gate_proj.bias",
                                         "model.layers.1.mlp.down_proj.weight",
                                         "model.layers.1.mlp.down_proj.bias",
                                         "model.norm.weight",
                                         "lm_head.weight"};
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        const int64_t first = first_of(m, groups[i]);
        if (first < 0 || first % 16 != 0) fail_msg("%s lies at %d", groups[i], (int)first);
    }
    pawl_model_close(m);
    c.tie_word_embeddings = 1;
    m = open_model(&c);
    assert_int_equal(first_of(m, "lm_head.weight"), -1);
    pawl_model_close(m);
}

static void extents_cover_the_tensors_once(void **unused)
{
    (void)unused;
    pawl_model_config c = config_of(33, 20, 7, 2, 2, 1, 0);
    c.attention_bias = 1;
    pawl_model *m = open_model(&c);
    const pawl_extent *e;
    const int count = pawl_model_extents(m, &e);
    pawl_state s = {.items = NULL};
    assert_int_equal(pawl_model_state(m, NULL, "", &s), PAWL_OK);
    assert_int_equal(s.count, count);
    assert_int_equal(pawl_model_extents(m, NULL), count);
    int64_t end = 0, parameters = 0;
    for (int i = 0; i < count; i++) {
        assert_true(e[i].first >= end && e[i].first - end < 16);
        assert_int_equal(e[i].count, pawl_tensor_count(s.items[i].tensor));
        assert_int_equal(e[i].decays, s.items[i].tensor.ndim == 2);
        end = e[i].first + e[i].count;
        parameters += e[i].count;
    }
    assert_int_equal(pawl_model_count(m) % 16, 0);
    assert_true(pawl_model_count(m) - end >= 0 && pawl_model_count(m) - end < 16);
    assert_int_equal(parameters, pawl_model_parameters(m));
    pawl_state_close(&s);
    pawl_model_close(m);
}

/* Element i of tensor t is a function of (seed, t, i): whatever else is in the model. */
static void initial_weights_are_counted(void **unused)
{
    (void)unused;
    pawl_model_config c = config_of(64, 32, 48, 2, 2, 2, 0);
    c.attention_bias = 1;
    c.initializer_range = 0.5;
    pawl_model *m = open_model(&c);
    const int64_t count = pawl_model_count(m);
    float *a = calloc((size_t)count, sizeof *a), *b = calloc((size_t)count, sizeof *b);
    assert_non_null(a);
    assert_non_null(b);
    for (int64_t i = 0; i < count; i++) b[i] = 9;
    pawl_model_init(m, 42, a);
    pawl_model_init(m, 42, b);
    assert_memory_equal(a, b, (size_t)count * sizeof *a);
    pawl_model_init(m, 43, b);
    assert_memory_not_equal(a, b, 64 * 32 * sizeof *a);

    const pawl_random r = pawl_random_at(42, PAWL_FOR_INIT, 0, 7); /* elements 28 .. 31 of the first tensor */
    float x[2];
    pawl_normal(r.word[2], r.word[3], x);
    assert_true(a[30] == 0.5f * x[0] && a[31] == 0.5f * x[1]);

    const pawl_random of_q = pawl_random_at(42, PAWL_FOR_INIT, 2, 0); /* after the embedding and the first norm */
    pawl_normal(of_q.word[0], of_q.word[1], x);
    assert_true(a[first_of(m, "model.layers.0.self_attn.q_proj.weight")] == 0.5f * x[0]);

    double sum = 0, squares = 0;
    for (int i = 0; i < 64 * 32; i++) sum += a[i], squares += (double)a[i] * a[i];
    assert_true(fabs(sum / 2048) < 4 * 0.5 / sqrt(2048)); /* four standard errors */
    assert_true(fabs(sqrt(squares / 2048) - 0.5) < 4 * 0.5 / sqrt(2 * 2048));
    for (int i = 0; i < 32; i++) assert_true(a[first_of(m, "model.layers.1.input_layernorm.weight") + i] == 1);
    for (int i = 0; i < 32; i++) assert_true(a[first_of(m, "model.layers.1.self_attn.o_proj.bias") + i] == 0);

    const float last_layer = a[first_of(m, "model.layers.1.mlp.down_proj.weight") + 5];
    pawl_model *tied;
    c.tie_word_embeddings = 1;
    tied = open_model(&c);
    pawl_model_init(tied, 42, b);
    assert_true(b[first_of(tied, "model.layers.1.mlp.down_proj.weight") + 5] == last_layer);
    pawl_model_close(tied);
    pawl_model_close(m);
    free(a);
    free(b);
}

static void settings_are_resolved(void **unused)
{
    (void)unused;
    pawl_model_config c = config_of(64, 32, 48, 2, 4, 0, 1);
    pawl_model *m = open_model(&c);
    assert_int_equal(pawl_model_settings(m)->num_key_value_heads, 4);
    assert_int_equal(pawl_model_settings(m)->head_dim, 8);
    const pawl_shapes s = pawl_model_shapes(m, 3, 7);
    assert_int_equal(s.positions, 21);
    assert_int_equal(s.kv_heads, 4);
    assert_int_equal(s.ff, 48);
    pawl_model_close(m);
}

static void refused(const pawl_model_config *c, const char *because)
{
    pawl_model *m;
    assert_int_equal(pawl_model_open(c, &m), PAWL_EUSAGE);
    if (!strstr(pawl_last_error()->what, because))
        fail_msg("expected an error about \"%s\", found: %s", because, pawl_last_error()->what);
}

static void impossible_sizes_are_refused_by_name(void **unused)
{
    (void)unused;
    const pawl_model_config good = config_of(64, 32, 48, 2, 4, 2, 0);
    pawl_model_config c = good;
    c.num_attention_heads = 5;
    refused(&c, "hidden_size 32 is not a multiple of num_attention_heads 5");
    c = good;
    c.num_key_value_heads = 3;
    refused(&c, "num_attention_heads 4 is not a multiple of num_key_value_heads 3");
    c = good;
    c.num_key_value_heads = 8;
    refused(&c, "num_key_value_heads 8");
    c = good;
    c.head_dim = 7;
    refused(&c, "size of a head is 7, expected an even number");
    c = good;
    c.num_attention_heads = c.num_key_value_heads = 32;
    refused(&c, "size of a head is 1");
    c = good;
    c.vocab_size = 0;
    refused(&c, "vocab_size is not known");
    c = good;
    c.rope_scaling.present = 1;
    pawl_fields_default(pawl_rope_rows, &c.rope_scaling.value);
    c.rope_scaling.value.rope_type = 2;
    c.rope_scaling.value.low_freq_factor = 4;
    refused(&c, "low_freq_factor < high_freq_factor, found 4 and 4");
}

static void memory_that_runs_out_is_an_error(void **unused)
{
    (void)unused;
    const pawl_model_config c = config_of(64, 32, 48, 2, 4, 2, 0);
    pawl_status status = PAWL_EMEM;
    int n = 0;
    while (status == PAWL_EMEM && n < 100) {
        pawl_model *m;
        pawl_activations *a = NULL;
        pawl_alloc_fail_after(++n);
        status = pawl_model_open(&c, &m);
        if (status == PAWL_OK) {
            status = pawl_activations_open(m, &(pawl_capacity){.rows = 2, .tokens = 5, .train = 1}, &a);
            if (status == PAWL_OK) pawl_activations_close(a);
            pawl_model_close(m);
        }
        pawl_alloc_fail_after(0);
    }
    assert_int_equal(status, PAWL_OK);
    assert_true(n > 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_are_counted_as_published),
        cmocka_unit_test(fused_groups_lie_side_by_side),
        cmocka_unit_test(extents_cover_the_tensors_once),
        cmocka_unit_test(initial_weights_are_counted),
        cmocka_unit_test(settings_are_resolved),
        cmocka_unit_test(impossible_sizes_are_refused_by_name),
        cmocka_unit_test(memory_that_runs_out_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
