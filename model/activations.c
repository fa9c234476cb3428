#include "model/decoder.h"

#include <string.h>

static float *floats(pawl_arena *a, int64_t rows, int64_t cols)
{
    return pawl_take(a, PAWL_F32, 2, (const int64_t[]){rows, cols}).data;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* in: another norm's output that is done with when this one's is made, or NULL. */
static pawl_normed lay_out_norm(pawl_arena *a, const pawl_model *m, int64_t N, float *in)
{
    pawl_normed n = {.in = in};
    n.sum = floats(a, N, m->config.hidden_size);
    if (!in) n.in = floats(a, N, m->config.hidden_size);
    if (m->has & PAWL_LAYER_NORM) n.mean = floats(a, N, 1);
    n.rstd = floats(a, N, 1);
    return n;
}

static void lay_out_layer(pawl_arena *a, const pawl_model *m, int64_t N, int train, pawl_kept *k)
{
    const pawl_model_config *c = &m->config;
    const int64_t F = c->intermediate_size, H = c->num_attention_heads, G = c->num_key_value_heads;
    k->attention_norm = lay_out_norm(a, m, N, NULL);
    k->qkv = floats(a, N, pawl_qkv_width(c));
    if (m->has & PAWL_QK_NORM) {
        k->qkv_raw = floats(a, N, pawl_qkv_width(c));
        k->q_rstd = floats(a, N, H);
        k->k_rstd = floats(a, N, G);
    }
    k->attended = floats(a, N, pawl_query_width(c));
    k->lse = floats(a, N, H);
    k->mlp_norm = lay_out_norm(a, m, N, train ? NULL : k->attention_norm.in);
    k->gate_up = floats(a, N, pawl_up_width(m));
    k->act = floats(a, N, F);
}

static void lay_out(pawl_arena *a, const pawl_model *m, int64_t rows, int64_t tokens, int train, pawl_activations *x)
{
    const pawl_model_config *c = &m->config;
    const int64_t N = rows * tokens, D = c->hidden_size, F = c->intermediate_size;
    x->sets = m->has & PAWL_POSITION_TABLE ? 0 : pawl_rope_sets(c, tokens);
    x->cos = floats(a, x->sets * tokens, c->head_dim / 2);
    x->sin = floats(a, x->sets * tokens, c->head_dim / 2);
    x->turns = x->sets > 1 ? pawl_take(a, PAWL_I32, 1, (const int64_t[]){N}).data : NULL;
    x->out = floats(a, N, D);
    x->final = lay_out_norm(a, m, N, NULL);
    if (train) {
        x->dsum = floats(a, N, D);
        x->dnorm = floats(a, N, D);
        x->dwide = floats(a, N, larger(pawl_up_width(m), pawl_qkv_width(c)));
        x->dnarrow = floats(a, N, larger(F, pawl_query_width(c)));
    }
    pawl_kept shared = {.qkv = NULL};
    if (!train) lay_out_layer(a, m, N, train, &shared);
    for (int64_t l = 0; l < c->num_hidden_layers; l++) {
        pawl_kept k = shared;
        if (train) lay_out_layer(a, m, N, train, &k);
        if (x->layers) x->layers[l] = k;
    }
}

size_t pawl_activations_bytes(const pawl_model *m, int64_t rows, int64_t tokens, int train)
{
    pawl_arena a = {.name = "activations"};
    pawl_activations x = {.train = train};
    lay_out(&a, m, rows, tokens, train, &x);
    return a.used;
}

pawl_status pawl_activations_open(const pawl_model *m, int64_t rows, int64_t tokens, int train, pawl_activations **out)
{
    pawl_activations *x;
    PAWL_CHECK(rows > 0 && tokens > 0 && rows <= INT32_MAX / tokens, PAWL_EUSAGE,
               "a slot of %lld rows of %lld tokens: expected at least one of each and fewer than 2^31 tokens in all",
               (long long)rows, (long long)tokens);
    PAWL_TRY(pawl_alloc((void **)&x, sizeof *x, "activations"));
    pawl_status status;
    x->arena = (pawl_arena){.name = train ? "activations" : "evaluation", .used = pawl_activations_bytes(m, rows, tokens, train)};
    x->positions = rows * tokens;
    x->tokens = tokens;
    x->train = train;
    PAWL_TRY_OUT(
        pawl_alloc((void **)&x->layers, (size_t)m->config.num_hidden_layers * sizeof *x->layers, "activations"));
    PAWL_TRY_OUT(pawl_arena_open(&x->arena));
    lay_out(&x->arena, m, rows, tokens, train, x);
    if (x->sets) pawl_rope_tables(&m->config, tokens, x->cos, x->sin);
    *out = x;
    return PAWL_OK;
out:
    pawl_activations_close(x);
    return status;
}

void pawl_activations_close(pawl_activations *x)
{
    if (!x) return;
    pawl_arena_close(&x->arena);
    pawl_free(x->layers);
    pawl_free(x);
}

pawl_shapes pawl_model_shapes(const pawl_model *m, int64_t rows, int64_t tokens)
{
    const pawl_model_config *c = &m->config;
    return (pawl_shapes){.positions = rows * tokens,
                         .tokens = tokens,
                         .width = c->hidden_size,
                         .heads = c->num_attention_heads,
                         .kv_heads = c->num_key_value_heads,
                         .head_dim = c->head_dim,
                         .ff = c->intermediate_size,
                         .vocab = c->vocab_size};
}
