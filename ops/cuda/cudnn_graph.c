/* Attention as cuDNN's graphs: the operations of a softmax written out, in the order in which cuDNN looks for them, so that it knows the
 * whole for one fused kernel. Numbers between are f32 and never in memory, but for what products read, which is bf16.
 * Source: the operations that cuDNN's documentation states for attention ("Fused Flash Attention fprop, bprop"). */
#include "ops/cuda/cudnn.h"

#define F32 PAWL_CUDNN_DATA_FLOAT
#define BF16 PAWL_CUDNN_DATA_BFLOAT16
#define I32 PAWL_CUDNN_DATA_INT32
#define BOOL PAWL_CUDNN_DATA_BOOLEAN
typedef pawl_cudnn_descriptor tensor;

typedef struct building {
    pawl_graph *g;
    const pawl_sdpa *s;
    tensor scale, lowest;
    tensor lengths, qkv_at, out_at, stats_at; /* packed, else NULL */
} building;

/* ---- extents ---- */

static pawl_extent plain(int64_t batch, int64_t heads, int64_t rows, int64_t columns)
{
    return (pawl_extent){{batch, heads, rows, columns}, {heads * rows * columns, rows * columns, columns, 1}};
}

/* Of `heads` that lie side by side in rows of `width` numbers. */
static pawl_extent heads_of(const pawl_sdpa *s, int64_t heads, int64_t width)
{
    return (pawl_extent){{s->sequences, heads, s->tokens, s->head_dim}, {s->tokens * width, s->head_dim, width, 1}};
}

static pawl_extent turned(pawl_extent e)
{
    return (pawl_extent){{e.dim[0], e.dim[1], e.dim[3], e.dim[2]}, {e.stride[0], e.stride[1], e.stride[3], e.stride[2]}};
}

static pawl_extent qkv_extent(const pawl_sdpa *s, int64_t heads)
{
    return heads_of(s, heads, (s->all_heads + 2 * s->all_kv_heads) * s->head_dim);
}

static pawl_extent out_extent(const pawl_sdpa *s)
{
    return heads_of(s, s->heads, s->all_heads * s->head_dim);
}

static pawl_extent scores_extent(const pawl_sdpa *s)
{
    return plain(s->sequences, s->heads, s->tokens, s->tokens);
}

static pawl_extent sums_extent(const pawl_sdpa *s)
{
    return plain(s->sequences, s->heads, s->tokens, 1);
}

static pawl_extent stats_extent(const pawl_sdpa *s)
{
    if (!s->packed) return sums_extent(s);
    return (pawl_extent){{s->sequences, s->heads, s->tokens, 1}, {s->tokens * s->all_heads, 1, s->all_heads, 1}};
}

/* ---- pieces ---- */

static tensor between(const building *b, int type, pawl_extent e)
{
    return pawl_graph_virtual(b->g, type, &e, NULL);
}

static tensor scores(const building *b, int type)
{
    return between(b, type, scores_extent(b->s));
}

/* A real tensor of bf16. */
static tensor real(const building *b, int64_t id, pawl_extent e, tensor ragged)
{
    return pawl_graph_real(b->g, id, BF16, &e, ragged);
}

/* mode(x, y) over all scores. */
static tensor of_scores(const building *b, int mode, tensor x, tensor y)
{
    const tensor to = scores(b, F32);
    pawl_graph_pointwise(b->g, mode, F32, x, y, NULL, to);
    return to;
}

static tensor of_sums(const building *b, int mode, tensor x, tensor y)
{
    const tensor to = between(b, F32, sums_extent(b->s));
    pawl_graph_pointwise(b->g, mode, F32, x, y, NULL, to);
    return to;
}

static tensor along(const building *b, int64_t axis, int precision, tensor x)
{
    const tensor to = scores(b, I32);
    pawl_graph_index(b->g, axis, precision, x, to);
    return to;
}

static tensor compare(const building *b, int mode, tensor x, tensor y)
{
    const tensor to = scores(b, BOOL);
    pawl_graph_pointwise(b->g, mode, BOOL, x, y, NULL, to);
    return to;
}

static tensor where(const building *b, tensor condition, tensor x)
{
    const tensor to = scores(b, F32);
    pawl_graph_pointwise(b->g, PAWL_CUDNN_POINTWISE_BINARY_SELECT, F32, x, b->lowest, condition, to);
    return to;
}

/* ---- masks ---- */

static tensor within_lengths(const building *b, tensor x)
{
    const tensor row = along(b, 2, I32, x), column = along(b, 3, I32, x);
    const tensor rows = compare(b, PAWL_CUDNN_POINTWISE_CMP_LT, row, b->lengths), columns = compare(b, PAWL_CUDNN_POINTWISE_CMP_LT, column, b->lengths);
    return where(b, compare(b, PAWL_CUDNN_POINTWISE_LOGICAL_AND, rows, columns), x);
}

static tensor not_after(const building *b, tensor x)
{
    const tensor row = along(b, 2, F32, x), column = along(b, 3, F32, x);
    return where(b, compare(b, PAWL_CUDNN_POINTWISE_CMP_GE, row, column), x);
}

/* Keys j with j + window > n. The window is a float: so cuDNN knows it. */
static tensor within_window(const building *b, tensor x)
{
    const tensor window = pawl_graph_scalar(b->g, PAWL_SDPA_WINDOW, F32), row = along(b, 2, F32, x), column = along(b, 3, F32, x);
    const tensor reach = scores(b, F32);
    pawl_graph_pointwise(b->g, PAWL_CUDNN_POINTWISE_ADD, F32, column, window, NULL, reach);
    return where(b, compare(b, PAWL_CUDNN_POINTWISE_CMP_GT, reach, row), x);
}

static tensor masked(const building *b, tensor x)
{
    if (b->s->packed) x = within_lengths(b, x);
    x = not_after(b, x);
    return b->s->window ? within_window(b, x) : x;
}

/* ---- forward ---- */

static void softmax(const building *b, tensor x, tensor stats, tensor p)
{
    const tensor most = between(b, F32, sums_extent(b->s)), sum = between(b, F32, sums_extent(b->s));
    pawl_graph_reduce(b->g, PAWL_CUDNN_REDUCE_TENSOR_MAX, x, most);
    const tensor e = of_scores(b, PAWL_CUDNN_POINTWISE_EXP, of_scores(b, PAWL_CUDNN_POINTWISE_SUB, x, most), NULL);
    pawl_graph_reduce(b->g, PAWL_CUDNN_REDUCE_TENSOR_ADD, e, sum);
    pawl_graph_pointwise(b->g, PAWL_CUDNN_POINTWISE_ADD, F32, most, of_sums(b, PAWL_CUDNN_POINTWISE_LOG, sum, NULL), NULL, stats);
    pawl_graph_pointwise(b->g, PAWL_CUDNN_POINTWISE_DIV, F32, e, sum, NULL, p);
}

static void build_forward(const building *b)
{
    const pawl_sdpa *s = b->s;
    const pawl_extent at_stats = stats_extent(s);
    const tensor q = real(b, PAWL_SDPA_Q, qkv_extent(s, s->heads), b->qkv_at), k = real(b, PAWL_SDPA_K, turned(qkv_extent(s, s->kv_heads)), b->qkv_at),
                 v = real(b, PAWL_SDPA_V, qkv_extent(s, s->kv_heads), b->qkv_at), out = real(b, PAWL_SDPA_OUT, out_extent(s), b->out_at),
                 stats = pawl_graph_real(b->g, PAWL_SDPA_STATS, F32, &at_stats, b->stats_at);
    const tensor x = scores(b, F32), p = scores(b, BF16);
    pawl_graph_product(b->g, q, k, b->lengths, b->lengths, NULL, x);
    softmax(b, masked(b, of_scores(b, PAWL_CUDNN_POINTWISE_MUL, x, b->scale)), stats, p);
    pawl_graph_product(b->g, p, v, b->lengths, NULL, b->lengths, out);
}

/* ---- backward ---- */

typedef struct inputs {
    tensor q, k, v, out, dout, stats; /* k and v turned */
} inputs;

static inputs inputs_of(const building *b)
{
    const pawl_sdpa *s = b->s;
    const pawl_extent at_stats = stats_extent(s), turned_kv = turned(qkv_extent(s, s->kv_heads));
    return (inputs){.q = real(b, PAWL_SDPA_Q, qkv_extent(s, s->heads), b->qkv_at),
                    .k = real(b, PAWL_SDPA_K, turned_kv, b->qkv_at),
                    .v = real(b, PAWL_SDPA_V, turned_kv, b->qkv_at),
                    .out = real(b, PAWL_SDPA_OUT, out_extent(s), b->out_at),
                    .dout = real(b, PAWL_SDPA_DOUT, out_extent(s), b->out_at),
                    .stats = pawl_graph_real(b->g, PAWL_SDPA_STATS, F32, &at_stats, b->stats_at)};
}

/* The output's product with its gradient, of each row: kept in memory, as cuDNN wants it. */
static tensor row_sums(const building *b, const inputs *in)
{
    const pawl_sdpa *s = b->s;
    const pawl_extent at = sums_extent(s);
    const tensor product = between(b, F32, heads_of(s, s->heads, s->heads * s->head_dim)), sum = between(b, F32, at),
                 one = pawl_graph_scalar(b->g, PAWL_SDPA_ONE, F32), to = pawl_graph_real(b->g, PAWL_SDPA_SUMS, F32, &at, NULL);
    pawl_graph_pointwise(b->g, PAWL_CUDNN_POINTWISE_MUL, F32, in->dout, in->out, NULL, product);
    pawl_graph_reduce(b->g, PAWL_CUDNN_REDUCE_TENSOR_ADD, product, sum);
    pawl_graph_pointwise(b->g, PAWL_CUDNN_POINTWISE_MUL, F32, sum, one, NULL, to);
    return to;
}

static tensor probabilities(const building *b, const inputs *in)
{
    const tensor x = scores(b, F32);
    pawl_graph_product(b->g, in->q, in->k, b->lengths, b->lengths, NULL, x);
    const tensor scaled = of_scores(b, PAWL_CUDNN_POINTWISE_MUL, x, b->scale);
    return of_scores(b, PAWL_CUDNN_POINTWISE_EXP, masked(b, of_scores(b, PAWL_CUDNN_POINTWISE_SUB, scaled, in->stats)), NULL);
}

/* The gradient of keys or values: x^T y, added over the heads that share them. */
static void keys_gradient(const building *b, tensor x, tensor y, int64_t id)
{
    const pawl_sdpa *s = b->s;
    const tensor to = real(b, id, qkv_extent(s, s->kv_heads), b->qkv_at), x_turned = between(b, BF16, turned(scores_extent(s)));
    pawl_graph_turn(b->g, x, x_turned);
    if (s->heads == s->kv_heads) {
        pawl_graph_product(b->g, x_turned, y, b->lengths, NULL, b->lengths, to);
        return;
    }
    const tensor each = between(b, BF16, plain(s->sequences, s->heads, s->tokens, s->head_dim));
    pawl_graph_product(b->g, x_turned, y, b->lengths, NULL, b->lengths, each);
    pawl_graph_reduce(b->g, PAWL_CUDNN_REDUCE_TENSOR_ADD, each, to);
}

/* Straight into bf16, not through sums in f32 that are added to as they come: so the order is fixed. */
static void queries_gradient(const building *b, tensor ds, tensor k)
{
    const pawl_sdpa *s = b->s;
    const pawl_extent at = qkv_extent(s, s->kv_heads);
    const tensor dq = real(b, PAWL_SDPA_DQ, qkv_extent(s, s->heads), b->qkv_at), k_turned = pawl_graph_virtual(b->g, BF16, &at, b->qkv_at);
    pawl_graph_turn(b->g, k, k_turned);
    pawl_graph_product(b->g, ds, k_turned, b->lengths, NULL, b->lengths, dq);
}

static void build_backward(const building *b)
{
    const inputs in = inputs_of(b);
    const tensor sums = row_sums(b, &in), p = probabilities(b, &in), dp = scores(b, F32);
    keys_gradient(b, p, in.dout, PAWL_SDPA_DV);
    pawl_graph_product(b->g, in.dout, in.v, b->lengths, b->lengths, NULL, dp);
    const tensor by_p = of_scores(b, PAWL_CUDNN_POINTWISE_MUL, of_scores(b, PAWL_CUDNN_POINTWISE_SUB, dp, sums), p);
    const tensor ds = of_scores(b, PAWL_CUDNN_POINTWISE_MUL, by_p, b->scale);
    keys_gradient(b, ds, in.q, PAWL_SDPA_DK);
    queries_gradient(b, ds, in.k);
}

static void begin_packed(building *b)
{
    const pawl_extent lengths = {{b->s->sequences, 1, 1, 1}, {1, 1, 1, 1}}, offsets = {{b->s->sequences + 1, 1, 1, 1}, {1, 1, 1, 1}};
    b->lengths = pawl_graph_real(b->g, PAWL_SDPA_LENGTHS, I32, &lengths, NULL);
    b->qkv_at = pawl_graph_real(b->g, PAWL_SDPA_QKV_AT, I32, &offsets, NULL);
    b->out_at = pawl_graph_real(b->g, PAWL_SDPA_OUT_AT, I32, &offsets, NULL);
    b->stats_at = pawl_graph_real(b->g, PAWL_SDPA_STATS_AT, I32, &offsets, NULL);
}

void pawl_sdpa_build(const pawl_cudnn *c, const pawl_sdpa *s, pawl_graph *g)
{
    building b = {.g = g, .s = s};
    *g = (pawl_graph){.lib = c};
    b.scale = pawl_graph_scalar(g, PAWL_SDPA_SCALE, F32);
    b.lowest = pawl_graph_scalar(g, PAWL_SDPA_LOWEST, F32);
    if (s->packed) begin_packed(&b);
    if (s->backward) build_backward(&b);
    else build_forward(&b);
}
