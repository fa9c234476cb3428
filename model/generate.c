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
    int32_t *now;         /* [NUMBERS] of the position at hand, where memory is not shared; else they lie in now_here */
    int32_t *now_here, *ids; /* in the host's memory: the same; [P] what was fed */
    float *logits_here;      /* [V] where memory is not shared */
} scratch;

enum { ID, POSITION, TURN, NUMBERS }; /* the id that is fed, its position, its row of the rotary tables */

struct pawl_decoder {
    const pawl_model *m;
    pawl_device *d;
    const float *weights;
    int64_t room, used; /* P positions, of which so many are filled */
    int sets, set;      /* of rotary tables (0: learned positions), and the one in use */
    pawl_arena arena, here; /* here: in the host's memory */
    scratch s;
};

static float *floats(pawl_arena *a, int64_t rows, int64_t cols)
{
    return pawl_take(a, PAWL_F32, 2, (const int64_t[]){rows, cols}).data;
}

static void lay_out(pawl_decoder *g)
{
    pawl_arena *a = &g->arena;
    scratch *s = &g->s;
    const pawl_model *m = g->m;
    const int64_t room = g->room;
    const int sets = g->sets;
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
    s->ids = pawl_take(&g->here, PAWL_I32, 1, (const int64_t[]){room}).data;
    s->now_here = pawl_take(&g->here, PAWL_I32, 1, (const int64_t[]){NUMBERS}).data;
    s->now = s->now_here;
    if (pawl_device_shares_memory(g->d)) return;
    s->now = pawl_take(a, PAWL_I32, 1, (const int64_t[]){NUMBERS}).data;
    s->logits_here = floats(&g->here, 1, c->vocab_size);
}

/* The host makes the tables. */
static pawl_status fill_tables(pawl_decoder *g)
{
    const size_t numbers = (size_t)(g->sets * g->room * (g->m->config.head_dim / 2)), bytes = numbers * sizeof(float);
    float *room = NULL;
    pawl_status status = PAWL_OK;
    if (!g->sets) return PAWL_OK;
    if (!pawl_device_shares_memory(g->d)) PAWL_TRY(pawl_alloc((void **)&room, 2 * bytes, "rotary tables"));
    float *cos = pawl_host_side(g->d, g->s.cos, room), *sin = pawl_host_side(g->d, g->s.sin, room ? room + numbers : NULL);
    pawl_rope_tables(&g->m->config, g->room, cos, sin);
    PAWL_TRY_OUT(pawl_upload(g->d, g->s.cos, cos, bytes));
    PAWL_TRY_OUT(pawl_upload(g->d, g->s.sin, sin, bytes));
out:
    pawl_free(room);
    return status;
}

static pawl_status take(pawl_decoder *g)
{
    lay_out(g); /* measures */
    PAWL_TRY(pawl_arena_open_on(g->d, PAWL_ON_DEVICE, &g->arena));
    PAWL_TRY(pawl_arena_open_on(g->d, PAWL_ON_HOST, &g->here));
    lay_out(g);
    return fill_tables(g);
}

pawl_room pawl_decoder_bytes(const pawl_model *m, pawl_device *d, int64_t max_tokens)
{
    pawl_decoder g = {.m = m, .d = d, .room = max_tokens};
    g.sets = m->has & PAWL_POSITION_TABLE ? 0 : pawl_rope_sets(&m->config, max_tokens);
    lay_out(&g);
    return pawl_room_of(&g.arena, &g.here);
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
    *g = (pawl_decoder){.m = m, .d = d, .weights = weights, .room = max_tokens, .arena = {.name = "key/value cache"}, .here = {.name = "key/value cache"}};
    g->sets = m->has & PAWL_POSITION_TABLE ? 0 : pawl_rope_sets(&m->config, max_tokens);
    const pawl_status status = take(g);
    if (status != PAWL_OK) {
        pawl_decoder_close(g);
        return status;
    }
    *out = g;
    return PAWL_OK;
}

void pawl_decoder_close(pawl_decoder *g)
{
    if (!g) return;
    pawl_arena_close_on(g->d, PAWL_ON_DEVICE, &g->arena);
    pawl_arena_close_on(g->d, PAWL_ON_HOST, &g->here);
    pawl_free(g);
}

void pawl_decoder_restart(pawl_decoder *g)
{
    g->used = 0;
    g->set = 0;
}

const pawl_model *pawl_decoder_model(const pawl_decoder *g)
{
    return g->m;
}

static pawl_tensor weight(const pawl_decoder *g, int64_t layer, pawl_slot s)
{
    return pawl_part(g->m, g->weights, layer, s);
}

static pawl_tensor one(const float *data, int64_t cols)
{
    return pawl_view(data, 1, cols);
}

static pawl_tensor number_of(const pawl_decoder *g, int which)
{
    return (pawl_tensor){.data = g->s.now + which, .dtype = PAWL_I32, .ndim = 1, .dim = {1}};
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
    if (!rows) return PAWL_OK; /* positions were learned */
    return pawl_rope(g->d, one(g->s.qkv, pawl_qkv_width(c)), c->num_attention_heads + c->num_key_value_heads,
                     pawl_view(g->s.cos, rows, pairs), pawl_view(g->s.sin, rows, pairs), number_of(g, TURN), +1);
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
    const pawl_tensor table = weight(g, 0, PAWL_POSITIONS);
    g->s.now_here[ID] = id;
    g->s.now_here[POSITION] = (int32_t)g->used;
    g->s.now_here[TURN] = (int32_t)(g->used + g->set * g->room);
    PAWL_TRY(pawl_upload(g->d, g->s.now, g->s.now_here, NUMBERS * sizeof *g->s.now));
    PAWL_TRY(pawl_embedding(g->d, weight(g, 0, PAWL_EMBED), number_of(g, ID), one(g->s.sum, D)));
    return table.data ? pawl_embedding(g->d, table, number_of(g, POSITION), one(g->s.out, D)) : PAWL_OK;
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
    float *here = pawl_host_side(g->d, g->s.logits, g->s.logits_here);
    *logits = here;
    return pawl_download(g->d, here, g->s.logits, (size_t)c->vocab_size * sizeof *here);
}
