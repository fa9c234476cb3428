/* tests/model_setting.h - small models of every kind of block, their weights, and a slot of packed rows. */
#ifndef PAWL_TESTS_MODEL_SETTING_H
#define PAWL_TESTS_MODEL_SETTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/rng.h"
#include "model/decoder.h"

enum { V = 29, D = 24, F = 20, L = 2, T = 13, MOST_ROWS = 4, MOST = MOST_ROWS * T };

/* --- models and batches ------------------------------------------------------------------------------------ */

static const int64_t windows[L] = {0, 3};

enum { GPT2_HAS = PAWL_LAYER_NORM | PAWL_POSITION_TABLE | PAWL_UNGATED | PAWL_QKV_BIAS | PAWL_O_BIAS | PAWL_MLP_BIAS };

static const struct variant {
    const char *name;
    int64_t heads, groups, head_dim;
    int tied, attention_bias, mlp_bias, rope; /* rope: index into pawl_rope_types */
    unsigned has;
    const int64_t *windows;
    const char *family, *act;
} variants[] = {
    {"plain", 4, 4, 0, 0, 0, 0, 0, 0, NULL, "llama", "silu"},
    {"grouped, tied, scaled as Llama 3.1", 4, 2, 0, 1, 0, 0, 2, 0, NULL, "llama", "silu"},
    {"all biases, one key head, wide heads, linear", 3, 1, 10, 0, 1, 1, 1, PAWL_QKV_BIAS | PAWL_O_BIAS | PAWL_MLP_BIAS,
     NULL, "llama", "silu"},
    {"q/k norm and a window", 4, 2, 8, 1, 0, 0, 0, PAWL_QK_NORM, windows, "qwen3", "silu"},
    {"biases on q, k and v only, a window", 2, 2, 0, 1, 0, 0, 0, PAWL_QKV_BIAS, windows, "qwen2", "silu"},
    {"yarn", 4, 2, 12, 0, 0, 0, 3, 0, NULL, "mistral", "silu"},
    {"longrope, two sets", 4, 4, 0, 0, 0, 0, 4, 0, NULL, "llama", "silu"},
    {"gpt2, tied", 4, 4, 0, 1, 0, 0, 0, GPT2_HAS, NULL, "gpt2", "gelu_new"},
    {"gpt2, exact gelu, odd heads, scaled by layer", 8, 8, 0, 0, 0, 0, 0, GPT2_HAS, NULL, "gpt2", "gelu"},
};
enum { VARIANTS = sizeof variants / sizeof variants[0] };

typedef struct setting {
    pawl_device *device;
    pawl_model *model;
    pawl_activations *acts;
    int64_t count;
    float *weights, *grads;
    pawl_batch batch;
    int32_t ids[MOST], targets[MOST], positions[MOST], starts[MOST];
    float losses[MOST];
    int32_t bad[MOST_ROWS];
} setting;

static inline float *floats(int64_t count)
{
    float *x = calloc((size_t)count, sizeof *x);
    assert_non_null(x);
    return x;
}

/* Weights of a size at which every part of the model matters. */
static inline void fill_weights(const pawl_model *m, float *flat)
{
    pawl_model_init(m, 5, flat);
    for (int t = 0; t < m->count; t++)
        for (int64_t i = 0; i < m->extents[t].count; i++) {
            const pawl_random r = pawl_random_at(11, PAWL_FOR_TEST, (uint64_t)t, (uint64_t)i);
            float x[2];
            pawl_normal(r.word[0], r.word[1], x);
            flat[m->extents[t].first + i] += 0.2f * x[0];
        }
}

static inline int32_t index_of(const char *const *names, const char *name)
{
    int32_t i = 0;
    while (strcmp(names[i], name) != 0) i++;
    return i;
}

static inline void set_rope(pawl_model_config *c, int32_t type)
{
    pawl_rope_config *r = &c->rope_scaling.value;
    pawl_fields_default(pawl_rope_rows, r);
    c->rope_scaling.present = type != 0;
    r->rope_type = type;
    r->factor = 4;
    r->original_max_position_embeddings = strcmp(pawl_rope_types[type], "longrope") == 0 ? 5 : 16;
    r->beta_fast = 4;
    r->short_factor.count = r->long_factor.count = 3;
    for (int i = 0; i < 3; i++) {
        snprintf(r->short_factor.items[i], sizeof r->short_factor.items[i], "%g", 1 + 0.25 * i);
        snprintf(r->long_factor.items[i], sizeof r->long_factor.items[i], "%g", 1.5 + i);
    }
}

static inline setting open_setting(const struct variant *v, int threads)
{
    setting s = {.device = NULL};
    pawl_model_config c;
    memset(&c, 0, sizeof c);
    pawl_fields_default(pawl_model_rows, &c);
    c.vocab_size = V;
    c.hidden_size = D;
    c.intermediate_size = F;
    c.num_hidden_layers = L;
    c.num_attention_heads = v->heads;
    c.num_key_value_heads = v->groups;
    c.head_dim = v->head_dim;
    c.tie_word_embeddings = v->tied;
    c.attention_bias = v->attention_bias;
    c.mlp_bias = v->mlp_bias;
    c.max_position_embeddings = 32;
    c.rope_theta = 100;
    c.initializer_range = 0.2;
    c.model_type = index_of(pawl_model_types, v->family);
    c.hidden_act = index_of(pawl_hidden_activations, v->act);
    c.scale_attn_by_inverse_layer_idx = strstr(v->name, "scaled by layer") != NULL;
    set_rope(&c, v->rope);
    assert_int_equal(pawl_model_open_with(&c, &(pawl_block_options){v->has, v->windows}, &s.model), PAWL_OK);
    assert_int_equal(pawl_device_open_cpu(threads, "auto", &s.device), PAWL_OK);
    const pawl_shapes shapes = pawl_model_shapes(s.model, MOST_ROWS, T);
    assert_int_equal(pawl_device_reserve(s.device, &shapes), PAWL_OK);
    assert_int_equal(pawl_activations_open(s.model, &(pawl_capacity){.rows = MOST_ROWS, .tokens = T, .train = 1}, &s.acts), PAWL_OK);
    s.count = pawl_model_count(s.model);
    s.weights = floats(s.count);
    s.grads = floats(s.count);
    fill_weights(s.model, s.weights);
    return s;
}

static inline void close_setting(setting *s)
{
    free(s->weights);
    free(s->grads);
    pawl_activations_close(s->acts);
    pawl_model_close(s->model);
    pawl_device_close(s->device);
}

static inline void begin_batch(setting *s)
{
    s->batch = (pawl_batch){
        .rows = 0, .tokens = T, .ids = s->ids, .targets = s->targets, .positions = s->positions, .starts = s->starts};
}

/* A row of documents of those lengths (0 ends the list), then padding. key names its random ids. */
static inline void add_row(setting *s, uint64_t key, const int *lengths)
{
    int64_t at = s->batch.rows++ * T;
    const int64_t end = at + T;
    for (int d = 0; lengths[d]; d++) {
        const int64_t first = at;
        for (; at < first + lengths[d]; at++) {
            const pawl_random r = pawl_random_at(3, PAWL_FOR_TEST, key + (uint64_t)d, (uint64_t)(at - first));
            s->ids[at] = (int32_t)(r.word[0] % V);
            s->targets[at] =
                at + 1 == first + lengths[d] || r.word[1] % 5 == 0 ? PAWL_NOT_TRAINED : (int32_t)(r.word[2] % V);
            s->positions[at] = (int32_t)(at - first);
            s->starts[at] = (int32_t)first;
        }
    }
    for (; at < end; at++) {
        s->ids[at] = 0;
        s->targets[at] = PAWL_NOT_TRAINED;
        s->positions[at] = 0;
        s->starts[at] = (int32_t)at;
    }
}

/* Packed rows, a whole one, and one with padding. */
static inline void usual_batch(setting *s)
{
    begin_batch(s);
    add_row(s, 100, (const int[]){5, 8, 0});
    add_row(s, 200, (const int[]){13, 0});
    add_row(s, 300, (const int[]){6, 1, 3, 0});
}

static inline double pass(setting *s, float scale, float *grads, pawl_put put)
{
    const pawl_pass p = {
        .weights = s->weights, .grads = grads, .put = put, .scale = scale, .losses = s->losses, .bad_rows = s->bad};
    double sum = 0;
    if (pawl_model_pass(s->model, s->device, s->acts, &s->batch, &p) != PAWL_OK)
        fail_msg("%s", pawl_last_error()->what);
    for (int64_t n = 0; n < s->batch.rows * T; n++) sum += s->losses[n];
    return sum;
}

#endif
