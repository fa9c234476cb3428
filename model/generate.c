/* One position at a time against a cache of keys and values: the same ops as pass.c with N = 1. */
#include "model/decoder.h"

#include <string.h>

typedef struct scratch {
    float *cos, *sin;       /* [sets, P, K/2] */
    float *sum, *next, *in; /* [1,D]: the residual stream, its successor, a norm's output */
    float *out, *mean, *rstd;
    float *qkv_raw, *qkv, *head_rstd, *attended;
    float *gate_up, *act, *logits;
    float *keys, *values; /* [L, P, GK] */
    int32_t *ids;         /* [P]: what was fed */
} scratch;

struct pawl_decoder {
    const pawl_model *m;
    pawl_device *d;
    const float *weights;
    int64_t room, used; /* P positions, of which so many are filled */
    int sets, set;      /* of rotary tables (0: learned positions), and the one in use */
    pawl_arena arena;
    scratch s;
};

static float *floats(pawl_arena *a, int64_t rows, int64_t cols)
{
    return pawl_take(a, PAWL_F32, 2, (const int64_t[]){rows, cols}).data;
}

static void lay_out(pawl_arena *a, const pawl_model *m, int64_t room, int sets, scratch *s)
{
    const pawl_model_config *c = &m->config;
    const int64_t D = c->hidden_size, F = c->intermediate_size, cache = c->num_hidden_layers * room;
    s->cos = floats(a, sets * room, c->head_dim / 2);
    s->sin = floats(a, sets * room, c->head_dim / 2);
    s->sum = floats(a, 1, D);
    s->next = floats(a, 1, D);
    s->in = floats(a, 1, D);
    s->out = floats(a, 1, D);
    s->mean = floats(a, 1, 1);
    s->rstd = floats(a, 1, 1);
    s->qkv_raw = floats(a, 1, pawl_qkv_width(c));
    s->qkv = floats(a, 1, pawl_qkv_width(c));
    s->head_rstd = floats(a, 1, c->num_attention_heads);
    s->attended = floats(a, 1, pawl_query_width(c));
    s->gate_up = floats(a, 1, pawl_up_width(m));
    s->act = floats(a, 1, F);
    s->logits = floats(a, 1, c->vocab_size);
    s->keys = floats(a, cache, pawl_key_width(c));
    s->values = floats(a, cache, pawl_key_width(c));
    s->ids = pawl_take(a, PAWL_I32, 1, (const int64_t[]){room}).data;
}

pawl_status pawl_decoder_open(const pawl_model *m, pawl_device *d, const float *weights, int64_t max_tokens,
                              pawl_decoder **out)
{
    pawl_decoder *g;
    PAWL_CHECK(max_tokens > 0 && max_tokens < INT32_MAX, PAWL_EUSAGE, "a context of %lld tokens: expected at least 1",
               (long long)max_tokens);
    const pawl_shapes shapes = pawl_model_shapes(m, 1, max_tokens);
    pawl_shapes most = shapes;
    most.positions = 1; /* the context is long, but one position is computed at a time */
    PAWL_TRY(pawl_device_reserve(d, &most));
    PAWL_TRY(pawl_alloc((void **)&g, sizeof *g, "a decoder"));
    *g = (pawl_decoder){.m = m, .d = d, .weights = weights, .room = max_tokens, .arena = {.name = "key/value cache"}};
    g->sets = m->has & PAWL_POSITION_TABLE ? 0 : pawl_rope_sets(&m->config, max_tokens);
    lay_out(&g->arena, m, max_tokens, g->sets, &g->s);
    const pawl_status status = pawl_arena_open(&g->arena);
    if (status != PAWL_OK) {
        pawl_free(g);
        return status;
    }
    lay_out(&g->arena, m, max_tokens, g->sets, &g->s);
    if (g->sets) pawl_rope_tables(&m->config, max_tokens, g->s.cos, g->s.sin);
    *out = g;
    return PAWL_OK;
}

void pawl_decoder_close(pawl_decoder *g)
{
    if (!g) return;
    pawl_arena_close(&g->arena);
    pawl_free(g);
}

static pawl_tensor weight(const pawl_decoder *g, int64_t layer, pawl_slot s)
{
    return pawl_part(g->m, g->weights, layer, s);
}

static pawl_tensor one(const float *data, int64_t cols)
{
    return pawl_view(data, 1, cols);
}

/* sum becomes sum + x (none for NULL); in becomes its norm, with the weight of slot w. */
static pawl_status norm(pawl_decoder *g, int64_t l, pawl_slot w, const float *x)
{
    const int64_t D = g->m->config.hidden_size;
    const float eps = (float)g->m->config.rms_norm_eps;
    scratch *s = &g->s;
    const pawl_tensor add = one(x, D), from = one(s->sum, D), to = one(s->next, D), y = one(s->in, D);
    if (g->m->has & PAWL_LAYER_NORM)
        PAWL_TRY(pawl_layernorm(g->d, from, add, weight(g, l, w), weight(g, l, w + 1), eps, to, y, one(s->mean, 0),
                                one(s->rstd, 0)));
    else
        PAWL_TRY(pawl_rmsnorm(g->d, from, add, weight(g, l, w), eps, to, y, one(s->rstd, 0)));
    float *sum = s->sum;
    s->sum = s->next;
    s->next = sum;
    return PAWL_OK;
}

static pawl_status linear(const pawl_decoder *g, int64_t l, pawl_slot w, pawl_slot bias, pawl_tensor x, pawl_tensor y)
{
    return pawl_linear(g->d, x, weight(g, l, w), weight(g, l, bias), PAWL_SET, y);
}

static pawl_status norm_heads(pawl_decoder *g, int64_t l)
{
    const pawl_model_config *c = &g->m->config;
    const int64_t H = c->num_attention_heads, G = c->num_key_value_heads, W = pawl_qkv_width(c);
    const float eps = (float)c->rms_norm_eps;
    const pawl_tensor raw = one(g->s.qkv_raw, W), y = one(g->s.qkv, W);
    PAWL_TRY(pawl_copy(g->d, g->s.qkv, g->s.qkv_raw, W));
    PAWL_TRY(pawl_head_norm(g->d, raw, weight(g, l, PAWL_Q_NORM), eps, 0, H, y, one(g->s.head_rstd, H)));
    return pawl_head_norm(g->d, raw, weight(g, l, PAWL_K_NORM), eps, H, G, y, one(g->s.head_rstd, G));
}

/* This position's keys and values go into the cache; then the query attends to all that its window shows. */
static pawl_status attend(pawl_decoder *g, int64_t l)
{
    const pawl_model_config *c = &g->m->config;
    const int64_t Q = pawl_query_width(c), GK = pawl_key_width(c), P = g->room, at = g->used, window = g->m->windows[l];
    float *keys = g->s.keys + l * P * GK, *values = g->s.values + l * P * GK;
    const pawl_attend a = {.rows = 1,
                           .tokens = 1,
                           .heads = c->num_attention_heads,
                           .kv_heads = c->num_key_value_heads,
                           .head_dim = c->head_dim,
                           .scale = pawl_score_scale(c, l)};
    PAWL_TRY(pawl_copy(g->d, keys + at * GK, g->s.qkv + Q, GK));
    PAWL_TRY(pawl_copy(g->d, values + at * GK, g->s.qkv + Q + GK, GK));
    return pawl_attention_cached(g->d, &a, pawl_view(g->s.qkv, Q, 0), pawl_view(keys, P, GK), pawl_view(values, P, GK),
                                 window && at >= window ? at - window + 1 : 0, at, pawl_view(g->s.attended, Q, 0));
}

static pawl_status rotate(pawl_decoder *g)
{
    const pawl_model_config *c = &g->m->config;
    const int64_t pairs = c->head_dim / 2, rows = g->sets * g->room;
    int32_t turn = (int32_t)(g->used + g->set * g->room);
    const pawl_tensor turns = {.data = &turn, .dtype = PAWL_I32, .ndim = 1, .dim = {1}};
    if (!rows) return PAWL_OK; /* positions were learned */
    return pawl_rope(g->d, one(g->s.qkv, pawl_qkv_width(c)), c->num_attention_heads + c->num_key_value_heads,
                     pawl_view(g->s.cos, rows, pairs), pawl_view(g->s.sin, rows, pairs), turns, +1);
}

static pawl_status attention(pawl_decoder *g, int64_t l)
{
    const pawl_model_config *c = &g->m->config;
    const int64_t D = c->hidden_size, W = pawl_qkv_width(c);
    const int normed = (g->m->has & PAWL_QK_NORM) != 0;
    PAWL_TRY(linear(g, l, PAWL_Q, PAWL_Q_BIAS, one(g->s.in, D), one(normed ? g->s.qkv_raw : g->s.qkv, W)));
    if (normed) PAWL_TRY(norm_heads(g, l));
    PAWL_TRY(rotate(g));
    PAWL_TRY(attend(g, l));
    return linear(g, l, PAWL_O, PAWL_O_BIASES, one(g->s.attended, pawl_query_width(c)), one(g->s.out, D));
}

static pawl_status mlp(pawl_decoder *g, int64_t l)
{
    const int64_t D = g->m->config.hidden_size, F = g->m->config.intermediate_size;
    const pawl_tensor gate_up = one(g->s.gate_up, pawl_up_width(g->m)), act = one(g->s.act, F);
    PAWL_TRY(linear(g, l, PAWL_GATE, PAWL_GATE_BIAS, one(g->s.in, D), gate_up));
    PAWL_TRY(g->m->has & PAWL_UNGATED ? pawl_activate(g->d, pawl_activation_of(&g->m->config), gate_up, act)
                                      : pawl_swiglu(g->d, gate_up, act));
    return linear(g, l, PAWL_DOWN, PAWL_DOWN_BIAS, act, one(g->s.out, D));
}

static pawl_status embed(pawl_decoder *g, int32_t id)
{
    const int64_t D = g->m->config.hidden_size;
    int32_t position = (int32_t)g->used;
    const pawl_tensor ids = {.data = &id, .dtype = PAWL_I32, .ndim = 1, .dim = {1}},
                      positions = {.data = &position, .dtype = PAWL_I32, .ndim = 1, .dim = {1}},
                      table = weight(g, 0, PAWL_POSITIONS);
    PAWL_TRY(pawl_embedding(g->d, weight(g, 0, PAWL_EMBED), ids, one(g->s.sum, D)));
    return table.data ? pawl_embedding(g->d, table, positions, one(g->s.out, D)) : PAWL_OK;
}

/* All layers for the next position; its keys and values stay in the cache. */
static pawl_status feed(pawl_decoder *g, int32_t id)
{
    const float *add = g->m->has & PAWL_POSITION_TABLE ? g->s.out : NULL;
    PAWL_TRY(embed(g, id));
    for (int64_t l = 0; l < g->m->config.num_hidden_layers; l++) {
        PAWL_TRY(norm(g, l, PAWL_ATTENTION_NORM, add));
        PAWL_TRY(attention(g, l));
        add = g->s.out;
        PAWL_TRY(norm(g, l, PAWL_MLP_NORM, add));
        PAWL_TRY(mlp(g, l));
    }
    g->s.ids[g->used++] = id;
    return PAWL_OK;
}

/* The text outgrows the first set of rotary tables: all of it is computed again with the second. */
static pawl_status feed_again(pawl_decoder *g)
{
    const int64_t fed = g->used;
    g->set = 1;
    g->used = 0;
    while (g->used < fed) PAWL_TRY(feed(g, g->s.ids[g->used]));
    return PAWL_OK;
}

pawl_status pawl_decoder_step(pawl_decoder *g, int32_t id, const float **logits)
{
    const pawl_model_config *c = &g->m->config;
    PAWL_CHECK(g->used < g->room, PAWL_EDATA, "the context of %lld tokens is full", (long long)g->room);
    PAWL_CHECK(id >= 0 && id < c->vocab_size, PAWL_EDATA, "id %d is outside the vocabulary of %lld", id,
               (long long)c->vocab_size);
    if (g->sets == 2 && g->set == 0 && g->used + 1 > pawl_rope_reach(c)) PAWL_TRY(feed_again(g));
    PAWL_TRY(feed(g, id));
    PAWL_TRY(norm(g, 0, PAWL_FINAL_NORM, g->s.out));
    PAWL_TRY(pawl_linear(g->d, one(g->s.in, c->hidden_size), weight(g, 0, pawl_head_slot(g->m)),
                         (pawl_tensor){.dtype = PAWL_F32}, PAWL_SET, one(g->s.logits, c->vocab_size)));
    *logits = g->s.logits;
    return PAWL_OK;
}
