/* Runs: cmocka
 * A whole step of DER++ and one of LwF: what a model of another time records, what the model of now is given for it,
 * and the weights after a step of gradient descent, against PyTorch's numbers
 * (tests/fixtures/continual/make_distill.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <math.h>

#include "core/json.h"
#include "model/model.h"

enum { V = 23, T = 6, K = 5, ROWS = 4, N = ROWS * T, TENSORS = 64 };

static double number(int64_t seed, int64_t i)
{
    return (double)((i * 7919 + seed * 104729) % 2003) / 2003 - 0.5;
}

typedef struct setting {
    pawl_model *model;
    pawl_device *device;
    pawl_activations *acts;
    float *now, *then, *grads, losses[N], soft[N], logp[N * K];
    int32_t ids[N], targets[N], positions[N], starts[N], top[N * K];
    json_t *fixture;
} setting;

static setting s;

static int by_name(const void *a, const void *b)
{
    return strcmp(((const pawl_named *)a)->name, ((const pawl_named *)b)->name);
}

/* The tensors of a flat run in the order of their names. */
static pawl_state sorted(float *flat)
{
    pawl_state state = {0};
    assert_int_equal(pawl_model_state(s.model, flat, "", &state), PAWL_OK);
    qsort(state.items, (size_t)state.count, sizeof *state.items, by_name);
    return state;
}

static float *weights(int64_t seed)
{
    float *flat = calloc((size_t)pawl_model_count(s.model), sizeof *flat);
    pawl_state state = sorted(flat);
    for (int at = 0; at < state.count; at++) {
        float *x = state.items[at].tensor.data;
        const int norm = strstr(state.items[at].name, "norm") != NULL;
        for (int64_t i = 0; i < pawl_tensor_count(state.items[at].tensor); i++)
            x[i] = (float)(norm ? 1 + 0.5 * number(seed + at, i) : number(seed + at, i));
    }
    pawl_state_close(&state);
    return flat;
}

static void fill_rows(void)
{
    for (int b = 0; b < ROWS; b++)
        for (int t = 0; t < T; t++) {
            const int n = b * T + t;
            s.ids[n] = (int32_t)((number(7 + b, t) + 0.5) * V);
            s.targets[n] = t == 0 ? PAWL_NOT_TRAINED : (int32_t)((number(7 + b, t + 1) + 0.5) * V);
            s.positions[n] = t;
            s.starts[n] = b * T;
        }
}

static int open_all(void **state)
{
    (void)state;
    pawl_model_config c;
    char path[1024];
    const char *source = getenv("PAWL_SOURCE");
    memset(&c, 0, sizeof c);
    pawl_fields_default(pawl_model_rows, &c);
    c.vocab_size = V, c.hidden_size = 8, c.intermediate_size = 12, c.num_hidden_layers = 2, c.num_attention_heads = 2,
    c.num_key_value_heads = 1;
    c.max_position_embeddings = 16, c.rope_theta = 100;
    assert_int_equal(pawl_model_open(&c, &s.model), PAWL_OK);
    assert_int_equal(pawl_device_open_cpu(2, "auto", &s.device), PAWL_OK);
    pawl_shapes shapes = pawl_model_shapes(s.model, ROWS, T);
    shapes.bins = K;
    assert_int_equal(pawl_device_reserve(s.device, &shapes), PAWL_OK);
    assert_int_equal(pawl_activations_open(s.model, &(pawl_capacity){.rows = ROWS, .tokens = T, .train = 1}, &s.acts),
                     PAWL_OK);
    s.now = weights(1), s.then = weights(50), s.grads = calloc((size_t)pawl_model_count(s.model), sizeof *s.grads);
    fill_rows();
    snprintf(path, sizeof path, "%s/tests/fixtures/continual/distill.json", source ? source : ".");
    return pawl_json_read_real(path, 1 << 20, &s.fixture) != PAWL_OK;
}

static int close_all(void **state)
{
    (void)state;
    free(s.now), free(s.then), free(s.grads);
    pawl_activations_close(s.acts);
    pawl_model_close(s.model);
    pawl_device_close(s.device);
    json_decref(s.fixture);
    return 0;
}

static pawl_batch batch_of(int64_t first, int64_t rows)
{
    for (int64_t n = 0; n < rows * T; n++)
        s.starts[first * T + n] = (int32_t)(n / T * T); /* numbers in the batch at hand */
    return (pawl_batch){
        rows, T, s.ids + first * T, s.targets + first * T, s.positions + first * T, s.starts + first * T};
}

/* What the model of another time says of rows [first, first + rows). */
static void record(int64_t first, int64_t rows, float temperature, int32_t *ids, float *logp)
{
    const pawl_batch b = batch_of(first, rows);
    const pawl_top top = {K, temperature, ids, logp};
    const pawl_pass pass = {.weights = s.then, .losses = s.losses, .extra = {.top = &top}};
    assert_int_equal(pawl_model_pass(s.model, s.device, s.acts, &b, &pass), PAWL_OK);
}

static double field(const json_t *c, const char *key)
{
    return json_number_value(json_object_get(c, key));
}

static void learn(const json_t *c, const float *ce, const float *soft_weights, float temperature)
{
    const pawl_batch b = batch_of(0, ROWS);
    const pawl_soft soft = {
        .k = K, .ids = s.top, .logp = s.logp, .temperature = temperature, .row_weights = soft_weights, .loss = s.soft};
    const pawl_pass pass = {
        .weights = s.now, .grads = s.grads, .losses = s.losses, .extra = {.row_weights = ce, .soft = &soft}};
    double loss = 0, apart = 0, size = 0;
    assert_int_equal(pawl_model_pass(s.model, s.device, s.acts, &b, &pass), PAWL_OK);
    for (int n = 0; n < N; n++)
        loss += (double)s.losses[n] * (double)ce[n / T] + (double)s.soft[n] * (double)soft_weights[n / T];
    assert_true(fabs(loss - field(c, "loss")) < 2e-6 * fabs(loss));
    pawl_state now = sorted(s.now), grads = sorted(s.grads);
    const json_t *after = json_object_get(c, "after");
    assert_int_equal(json_object_size(after), now.count);
    for (int at = 0; at < now.count; at++) {
        const json_t *expected = json_object_get(after, now.items[at].name);
        const float *w = now.items[at].tensor.data, *g = grads.items[at].tensor.data;
        assert_int_equal(json_array_size(expected), pawl_tensor_count(now.items[at].tensor));
        for (size_t i = 0; i < json_array_size(expected); i++) {
            const double moved = json_number_value(json_array_get(expected, i)) - (double)w[i],
                         mine = -field(s.fixture, "rate") * (double)g[i];
            apart += (mine - moved) * (mine - moved), size += moved * moved;
        }
    }
    assert_true(size > 0 && sqrt(apart / size) < 1e-5);
    pawl_state_close(&now), pawl_state_close(&grads);
}

static const json_t *case_of(size_t i)
{
    return json_array_get(json_object_get(s.fixture, "cases"), i);
}

static void a_step_of_dark_replay(void **state)
{
    (void)state;
    const json_t *c = case_of(0);
    const float each = 1.0f / (2 * (T - 1)), ce[ROWS] = {each, each, 0, (float)(field(c, "beta") / (T - 1))},
                soft[ROWS] = {0, 0, (float)(field(c, "alpha") / (T - 1)), 0};
    record(2, 1, 1, s.top + (ptrdiff_t)2 * T * K, s.logp + (ptrdiff_t)2 * T * K);
    learn(c, ce, soft, 1);
}

static void a_step_of_learning_without_forgetting(void **state)
{
    (void)state;
    const json_t *c = case_of(1);
    const float each = 1.0f / (ROWS * (T - 1)), part = (float)field(c, "factor") * each,
                ce[ROWS] = {each, each, each, each}, soft[ROWS] = {part, part, part, part},
                temperature = (float)field(c, "temperature");
    record(0, ROWS, temperature, s.top, s.logp);
    learn(c, ce, soft, temperature);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_of_dark_replay),
        cmocka_unit_test(a_step_of_learning_without_forgetting),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
