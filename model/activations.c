#include <stddef.h>
#include <string.h>

#include "core/log.h"
#include "model/decoder.h"

static float *floats(pawl_arena *a, int64_t rows, int64_t cols)
{
    return pawl_take(a, PAWL_F32, 2, (const int64_t[]){rows, cols}).data;
}

static void *numbers(pawl_arena *a, pawl_dtype type, int64_t rows, int64_t cols)
{
    return pawl_take(a, type, 2, (const int64_t[]){rows, cols}).data;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

const char *const pawl_recompute_names[] = {"none", "norms", "block", NULL};

enum { NOTHING_KEPT = PAWL_RECOMPUTE_BLOCK + 1 }; /* the level of forward-only passes */

typedef enum width { ONE, HIDDEN, QKV, QUERIES, HEADS, KV_HEADS, UP, FF } width;

/* What a layer leaves, and the last level at which each layer has its own; above it there is one for all. */
static const struct buffer {
    size_t at;
    width width;
    int own;
    unsigned needs, lacks; /* options of the model */
    int low;               /* of the pass's type, else f32 */
} buffers[] = {
    {offsetof(pawl_kept, attention_norm.sum), HIDDEN, PAWL_RECOMPUTE_BLOCK, 0, 0, 0},
    {offsetof(pawl_kept, attention_norm.in), HIDDEN, PAWL_RECOMPUTE_NONE, 0, 0, 1},
    {offsetof(pawl_kept, attention_norm.mean), ONE, PAWL_RECOMPUTE_NORMS, PAWL_LAYER_NORM, 0, 0},
    {offsetof(pawl_kept, attention_norm.rstd), ONE, PAWL_RECOMPUTE_NORMS, 0, 0, 0},
    {offsetof(pawl_kept, qkv), QKV, PAWL_RECOMPUTE_NORMS, 0, PAWL_QK_NORM, 1},
    {offsetof(pawl_kept, qkv), QKV, PAWL_RECOMPUTE_NONE, PAWL_QK_NORM, 0, 1},
    {offsetof(pawl_kept, qkv_raw), QKV, PAWL_RECOMPUTE_NORMS, PAWL_QK_NORM, 0, 1},
    {offsetof(pawl_kept, q_rstd), HEADS, PAWL_RECOMPUTE_NORMS, PAWL_QK_NORM, 0, 0},
    {offsetof(pawl_kept, k_rstd), KV_HEADS, PAWL_RECOMPUTE_NORMS, PAWL_QK_NORM, 0, 0},
    {offsetof(pawl_kept, attended), QUERIES, PAWL_RECOMPUTE_NORMS, 0, 0, 1},
    {offsetof(pawl_kept, lse), HEADS, PAWL_RECOMPUTE_NORMS, 0, 0, 0},
    {offsetof(pawl_kept, mlp_norm.sum), HIDDEN, PAWL_RECOMPUTE_NORMS, 0, 0, 0},
    {offsetof(pawl_kept, mlp_norm.in), HIDDEN, PAWL_RECOMPUTE_NONE, 0, 0, 1},
    {offsetof(pawl_kept, mlp_norm.mean), ONE, PAWL_RECOMPUTE_NORMS, PAWL_LAYER_NORM, 0, 0},
    {offsetof(pawl_kept, mlp_norm.rstd), ONE, PAWL_RECOMPUTE_NORMS, 0, 0, 0},
    {offsetof(pawl_kept, gate_up), UP, PAWL_RECOMPUTE_NORMS, 0, 0, 1},
    {offsetof(pawl_kept, act), FF, PAWL_RECOMPUTE_NONE, 0, 0, 1},
};
enum { BUFFERS = sizeof buffers / sizeof *buffers };

/* act is not made again from z where a backend makes it of what z is rounded from. */
static int own_level(const pawl_activations *x, const struct buffer *b)
{
    return x->fused && !x->fp8 && b->at == offsetof(pawl_kept, act) ? PAWL_RECOMPUTE_NORMS : b->own;
}

static int64_t columns(const pawl_model *m, width w)
{
    const pawl_model_config *c = &m->config;
    const int64_t widths[] = {[ONE] = 1,
                              [HIDDEN] = c->hidden_size,
                              [QKV] = pawl_qkv_width(c),
                              [QUERIES] = pawl_query_width(c),
                              [HEADS] = c->num_attention_heads,
                              [KV_HEADS] = c->num_key_value_heads,
                              [UP] = pawl_up_width(m),
                              [FF] = c->intermediate_size};
    return widths[w];
}

static int level_of(const pawl_activations *x)
{
    return x->train ? (int)x->recompute : NOTHING_KEPT;
}

/* Where normed hidden states are made again right before they are used, the two norms of a layer have one place. */
static int one_input(int level)
{
    return level == PAWL_RECOMPUTE_NORMS || level == NOTHING_KEPT;
}

static int is_kept(const pawl_model *m, const struct buffer *b)
{
    return (m->has & b->needs) == b->needs && !(m->has & b->lacks);
}

/* The layer's own buffers into *k, or (own 0) those that are for all. */
static void lay_out_kept(pawl_arena *a, const pawl_model *m, const pawl_activations *x, int own, pawl_kept *k)
{
    const int level = level_of(x);
    for (int i = 0; i < BUFFERS; i++) {
        const struct buffer *b = &buffers[i];
        if (!is_kept(m, b) || (level <= own_level(x, b)) != own) continue;
        if (one_input(level) && b->at == offsetof(pawl_kept, mlp_norm.in)) {
            k->mlp_norm.in = k->attention_norm.in;
            continue;
        }
        void *data = numbers(a, b->low ? x->type : PAWL_F32, x->positions, columns(m, b->width));
        memcpy((char *)k + b->at, &data, sizeof data);
    }
}

static int64_t places_of(const pawl_model *m, const pawl_activations *x)
{
    const int64_t L = m->config.num_hidden_layers;
    return x->offload && L > PAWL_AWAY_PLACES ? PAWL_AWAY_PLACES : L;
}

static void lay_out_layers(const pawl_model *m, pawl_activations *x, const pawl_kept *shared)
{
    const int64_t L = m->config.num_hidden_layers, places = places_of(m, x);
    for (int64_t l = 0; l < L; l++) {
        pawl_kept k = *shared;
        if (l < places) lay_out_kept(&x->arena, m, x, 1, &k);
        if (x->layers) x->layers[l] = l < places ? k : x->layers[l % places];
    }
    for (int64_t l = 0; l < L - places; l++) {
        pawl_kept k = {.qkv = NULL};
        lay_out_kept(&x->here, m, x, 1, &k);
        if (x->away) x->away[l] = k;
    }
}

static void *buffer_at(const pawl_kept *k, const struct buffer *b)
{
    void *data;
    memcpy(&data, (const char *)k + b->at, sizeof data);
    return data;
}

_Static_assert((int)BUFFERS <= (int)PAWL_KEPT_MOST, "there is a load for each");
int pawl_kept_loads(const pawl_model *m, const pawl_activations *x, int64_t layer, int64_t N, pawl_carry_way way, pawl_load loads[])
{
    int count = 0;
    for (int i = 0; i < BUFFERS; i++) {
        const struct buffer *b = &buffers[i];
        if (!is_kept(m, b) || level_of(x) > own_level(x, b)) continue;
        void *there = buffer_at(&x->layers[layer], b), *here = buffer_at(&x->away[layer], b);
        const size_t bytes = (size_t)(N * columns(m, b->width)) * pawl_dtype_bytes(b->low ? x->type : PAWL_F32);
        loads[count++] = way == PAWL_CARRY_UP ? (pawl_load){there, here, bytes} : (pawl_load){here, there, bytes};
    }
    return count;
}

static pawl_normed lay_out_final(pawl_arena *a, const pawl_model *m, int64_t N, pawl_dtype type)
{
    pawl_normed n = {.sum = floats(a, N, m->config.hidden_size), .in = numbers(a, type, N, m->config.hidden_size)};
    if (m->has & PAWL_LAYER_NORM) n.mean = floats(a, N, 1);
    n.rstd = floats(a, N, 1);
    return n;
}

static void lay_out(const pawl_model *m, pawl_activations *x)
{
    pawl_arena *a = &x->arena;
    const pawl_model_config *c = &m->config;
    const int64_t N = x->positions, D = c->hidden_size;
    x->sets = m->has & PAWL_POSITION_TABLE ? 0 : pawl_rope_sets(c, x->tokens);
    x->cos = floats(a, x->sets * x->tokens, c->head_dim / 2);
    x->sin = floats(a, x->sets * x->tokens, c->head_dim / 2);
    x->turns = x->sets > 1 ? pawl_take(a, PAWL_I32, 1, (const int64_t[]){N}).data : NULL;
    pawl_transit_lay_out(x);
    x->out = floats(a, N, D);
    x->final = lay_out_final(a, m, N, x->type);
    if (x->train) {
        x->dsum = floats(a, N, D);
        x->dnorm = floats(a, N, D);
        x->dwide = numbers(a, x->type, N, larger(pawl_up_width(m), pawl_qkv_width(c)));
        x->dnarrow = numbers(a, x->type, N, larger(c->intermediate_size, pawl_query_width(c)));
        if (x->type != PAWL_F32) x->dsum_low = numbers(a, x->type, N, D);
    }
    pawl_kept shared = {.qkv = NULL};
    lay_out_kept(a, m, x, 0, &shared);
    lay_out_layers(m, x, &shared);
}

int pawl_fuses(const pawl_model *m, const pawl_capacity *c)
{
    return c->fused_gelu && m->has & PAWL_UNGATED && pawl_activation_of(&m->config) == PAWL_GELU_TANH;
}

/* A knob that this model has no use for is told, and not refused: the model may come out of another run or file. */
static void say_idle(const pawl_model *m, const pawl_capacity *c)
{
    if (c->fused_gelu && c->train && !pawl_fuses(m, c))
        pawl_log(PAWL_LOG_WARN, "gelu_fused does nothing here: this model's activation is not the tanh form of GELU");
}

static pawl_activations sized(const pawl_model *m, const pawl_capacity *c)
{
    return (pawl_activations){.arena = {.name = c->train ? "activations" : "evaluation"},
                              .here = {.name = c->train ? "activations" : "evaluation"},
                              .device = c->device,
                              .rows = c->rows,
                              .bins = c->bins,
                              .width = m->config.hidden_size,
                              .positions = c->rows * c->tokens,
                              .tokens = c->tokens,
                              .train = c->train,
                              .recompute = c->recompute,
                              .fused = pawl_fuses(m, c),
                              .offload = c->offload && c->train && !pawl_device_shares_memory(c->device),
                              .type = c->type,
                              .fp8 = c->fp8};
}

pawl_room pawl_activations_bytes(const pawl_model *m, const pawl_capacity *c)
{
    pawl_activations x = sized(m, c);
    lay_out(m, &x);
    return pawl_room_of(&x.arena, &x.here);
}

/* The tables are made by the host. */
static pawl_status fill_tables(const pawl_model *m, pawl_activations *x)
{
    const size_t numbers = (size_t)(x->sets * x->tokens * (m->config.head_dim / 2)), bytes = numbers * sizeof(float);
    float *room = NULL;
    pawl_status status = PAWL_OK;
    if (!pawl_device_shares_memory(x->device)) PAWL_TRY(pawl_alloc((void **)&room, 2 * bytes, "rotary tables"));
    float *cos = pawl_host_side(x->device, x->cos, room), *sin = pawl_host_side(x->device, x->sin, room ? room + numbers : NULL);
    pawl_rope_tables(&m->config, x->tokens, cos, sin);
    PAWL_TRY_OUT(pawl_upload(x->device, x->cos, cos, bytes));
    PAWL_TRY_OUT(pawl_upload(x->device, x->sin, sin, bytes));
out:
    pawl_free(room);
    return status;
}

pawl_status pawl_activations_open(const pawl_model *m, const pawl_capacity *c, pawl_activations **out)
{
    pawl_activations *x;
    PAWL_CHECK(c->rows > 0 && c->tokens > 0 && c->rows <= INT32_MAX / c->tokens, PAWL_EUSAGE,
               "a slot of %lld rows of %lld tokens: expected at least one of each and fewer than 2^31 tokens in all",
               (long long)c->rows, (long long)c->tokens);
    PAWL_TRY(pawl_alloc((void **)&x, sizeof *x, "activations"));
    pawl_status status;
    *x = sized(m, c);
    say_idle(m, c);
    lay_out(m, x); /* measures */
    PAWL_TRY_OUT(
        pawl_alloc((void **)&x->layers, (size_t)m->config.num_hidden_layers * sizeof *x->layers, "activations"));
    if (m->config.num_hidden_layers > places_of(m, x))
        PAWL_TRY_OUT(pawl_alloc((void **)&x->away, (size_t)m->config.num_hidden_layers * sizeof *x->away, "activations"));
    PAWL_TRY_OUT(pawl_arena_open_on(x->device, PAWL_ON_DEVICE, &x->arena));
    if (x->here.used) PAWL_TRY_OUT(pawl_arena_open_on(x->device, PAWL_ON_HOST, &x->here));
    lay_out(m, x);
    if (x->sets) PAWL_TRY_OUT(fill_tables(m, x));
    *out = x;
    return PAWL_OK;
out:
    pawl_activations_close(x);
    return status;
}

void pawl_activations_close(pawl_activations *x)
{
    if (!x) return;
    pawl_arena_close_on(x->device, PAWL_ON_DEVICE, &x->arena);
    pawl_arena_close_on(x->device, PAWL_ON_HOST, &x->here);
    pawl_free(x->layers);
    pawl_free(x->away);
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
