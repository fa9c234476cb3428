/* The table of ops while a block is open. Those of which a block is made are written down with their arguments; before any other, what
 * is written down is issued. Each entry of the backend's table has a row here; arguments are pairs of a type and a name. */
#include "ops/cuda/cudnn_cut.h"
#include "ops/cuda/graphs.h"

/* EACH(F, (t, a), (u, b)): F(t, a) F(u, b). */
#define EACH_1(F, x)       F x
#define EACH_2(F, x, ...)  F x EACH_1(F, __VA_ARGS__)
#define EACH_3(F, x, ...)  F x EACH_2(F, __VA_ARGS__)
#define EACH_4(F, x, ...)  F x EACH_3(F, __VA_ARGS__)
#define EACH_5(F, x, ...)  F x EACH_4(F, __VA_ARGS__)
#define EACH_6(F, x, ...)  F x EACH_5(F, __VA_ARGS__)
#define EACH_7(F, x, ...)  F x EACH_6(F, __VA_ARGS__)
#define EACH_8(F, x, ...)  F x EACH_7(F, __VA_ARGS__)
#define EACH_9(F, x, ...)  F x EACH_8(F, __VA_ARGS__)
#define EACH_10(F, x, ...) F x EACH_9(F, __VA_ARGS__)
#define NUMBER_OF(a, b, c, d, e, f, g, h, i, j, n, ...) n
#define EACH_OF(n)                                      EACH_OF_(n)
#define EACH_OF_(n)                                     EACH_##n
#define EACH(F, ...)                                    EACH_OF(NUMBER_OF(__VA_ARGS__, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0))(F, __VA_ARGS__)

#define PARAMETER(type, name) , type name
#define ARGUMENT(type, name)  , name
#define MEMBER(type, name)    type name;
#define KEEP(type, name)      r->name = name;
#define KEPT(type, name)      , r->name

#define ROOM(op) PAWL_TRY(pawl_graphs_record(pawl_cuda_of(d), sizeof *r, op##_issue, (void **)&r))

/* An op whose arguments are all there is to it. */
#define RECORD(op, ...)                                                                   \
    typedef struct op##_record {                                                          \
        pawl_recorded head;                                                               \
        EACH(MEMBER, __VA_ARGS__)                                                         \
    } op##_record;                                                                        \
    static pawl_status op##_issue(pawl_device *d, const pawl_recorded *head)              \
    {                                                                                     \
        const op##_record *r = (const op##_record *)head;                                 \
        return pawl_cuda_ops.op(d EACH(KEPT, __VA_ARGS__));                               \
    }                                                                                     \
    static pawl_status op##_recorded(pawl_device *d EACH(PARAMETER, __VA_ARGS__))         \
    {                                                                                     \
        op##_record *r;                                                                   \
        ROOM(op);                                                                         \
        EACH(KEEP, __VA_ARGS__)                                                           \
        return PAWL_OK;                                                                   \
    }

/* One whose first argument is a struct of the host's: it is kept by its members, which leaves no byte between them unknown. */
#define RECORD_BY(op, type, keep, ...)                                                    \
    typedef struct op##_record {                                                          \
        pawl_recorded head;                                                               \
        type by;                                                                          \
        EACH(MEMBER, __VA_ARGS__)                                                         \
    } op##_record;                                                                        \
    static pawl_status op##_issue(pawl_device *d, const pawl_recorded *head)              \
    {                                                                                     \
        const op##_record *r = (const op##_record *)head;                                 \
        return pawl_cuda_ops.op(d, &r->by EACH(KEPT, __VA_ARGS__));                       \
    }                                                                                     \
    static pawl_status op##_recorded(pawl_device *d, const type *by EACH(PARAMETER, __VA_ARGS__)) \
    {                                                                                     \
        op##_record *r;                                                                   \
        ROOM(op);                                                                         \
        keep(by, &r->by);                                                                 \
        EACH(KEEP, __VA_ARGS__)                                                           \
        return PAWL_OK;                                                                   \
    }

/* What is not written down. */
#define BEHIND(op, ...)                                                                   \
    static pawl_status op##_recorded(pawl_device *d EACH(PARAMETER, __VA_ARGS__))         \
    {                                                                                     \
        PAWL_TRY(pawl_graphs_issue(pawl_cuda_of(d)));                                     \
        return pawl_cuda_ops.op(d EACH(ARGUMENT, __VA_ARGS__));                           \
    }

_Static_assert(sizeof(pawl_attend) == 88 && sizeof(pawl_coded) == 40, "a member that came has to be kept below, or two calls that differ are one");

static void keep_attend(const pawl_attend *from, pawl_attend *to)
{
    to->rows = from->rows, to->tokens = from->tokens;
    to->heads = from->heads, to->kv_heads = from->kv_heads, to->head_dim = from->head_dim;
    to->window = from->window;
    to->scale = from->scale;
    to->starts = from->starts;
    to->bounds = from->bounds;
    to->documents = from->documents, to->longest = from->longest;
}

static void keep_coded(const pawl_coded *from, pawl_coded *to)
{
    to->code = from->code;
    to->rows = from->rows, to->cols = from->cols;
    to->codes = from->codes;
    to->scales = from->scales;
}

/* clang-format off */
RECORD(linear, (pawl_tensor, x), (pawl_tensor, w), (pawl_tensor, bias), (pawl_put, put), (int64_t, first), (pawl_tensor, y))
RECORD(linear_fp8, (pawl_tensor, x), (pawl_tensor, w), (pawl_tensor, bias), (pawl_tensor, y))
RECORD(linear_dx, (pawl_tensor, dy), (int64_t, first), (pawl_tensor, w), (pawl_put, put), (pawl_tensor, dx))
RECORD(linear_dw, (pawl_tensor, dy), (int64_t, first), (pawl_tensor, x), (pawl_put, put), (pawl_tensor, dw), (pawl_tensor, dbias))
RECORD(low_rank_norms, (pawl_tensor, w), (pawl_tensor, a), (pawl_tensor, b), (float, scale), (pawl_tensor, norms))
RECORD(divide, (pawl_tensor, a), (pawl_tensor, b), (float, plus), (pawl_put, put), (pawl_tensor, y))
RECORD(scale_columns, (pawl_tensor, x), (int64_t, first), (pawl_tensor, gain), (pawl_tensor, y))
RECORD(add_columns, (pawl_tensor, x), (pawl_tensor, gain), (pawl_tensor, y), (int64_t, first))
RECORD(column_dots, (pawl_tensor, x), (int64_t, first), (pawl_tensor, y), (pawl_put, put), (pawl_tensor, sums))
RECORD(rmsnorm, (pawl_tensor, residual), (pawl_tensor, x), (pawl_tensor, w), (float, eps), (pawl_tensor, sum), (pawl_tensor, y), (pawl_tensor, rstd))
RECORD(rmsnorm_backward, (pawl_tensor, dy), (pawl_tensor, sum), (pawl_tensor, w), (pawl_tensor, rstd), (pawl_put, put), (pawl_tensor, dsum),
       (pawl_tensor, dw))
RECORD(layernorm, (pawl_tensor, residual), (pawl_tensor, x), (pawl_tensor, w), (pawl_tensor, bias), (float, eps), (pawl_tensor, sum),
       (pawl_tensor, y), (pawl_tensor, mean), (pawl_tensor, rstd))
RECORD(layernorm_backward, (pawl_tensor, dy), (pawl_tensor, sum), (pawl_tensor, w), (pawl_tensor, mean), (pawl_tensor, rstd), (pawl_put, put),
       (pawl_tensor, dsum), (pawl_tensor, dw), (pawl_tensor, dbias))
RECORD(head_norm, (pawl_tensor, x), (pawl_tensor, w), (float, eps), (int64_t, first), (int64_t, heads), (pawl_tensor, y), (pawl_tensor, rstd))
RECORD(head_norm_backward, (pawl_tensor, x), (pawl_tensor, w), (pawl_tensor, rstd), (int64_t, first), (int64_t, heads), (pawl_put, put),
       (pawl_tensor, dy), (pawl_tensor, dw))
RECORD(rope, (pawl_tensor, x), (int64_t, heads), (pawl_tensor, cos), (pawl_tensor, sin), (pawl_tensor, positions), (int, direction))
RECORD_BY(attention, pawl_attend, keep_attend, (pawl_tensor, qkv), (pawl_tensor, out), (pawl_tensor, lse))
RECORD_BY(attention_backward, pawl_attend, keep_attend, (pawl_tensor, dout), (pawl_tensor, qkv), (pawl_tensor, out), (pawl_tensor, lse),
          (pawl_tensor, dqkv))
RECORD(swiglu, (pawl_tensor, gate_up), (pawl_tensor, out))
RECORD(swiglu_backward, (pawl_tensor, dout), (pawl_tensor, gate_up), (pawl_tensor, dgate_up))
RECORD(activate, (pawl_activation, which), (pawl_tensor, x), (pawl_tensor, out))
RECORD(activate_backward, (pawl_activation, which), (pawl_tensor, dout), (pawl_tensor, x), (pawl_tensor, dx))
RECORD(linear_activate, (pawl_activation, which), (pawl_tensor, x), (pawl_tensor, w), (pawl_tensor, bias), (pawl_tensor, z), (pawl_tensor, out))
RECORD(linear_activate_dx, (pawl_activation, which), (pawl_tensor, dy), (pawl_tensor, w), (pawl_tensor, z), (pawl_tensor, room), (pawl_tensor, dz))
RECORD(cast, (pawl_tensor, from), (pawl_tensor, to))
RECORD(add, (float *, a), (const float *, b), (int64_t, count))
RECORD_BY(dequantise, pawl_coded, keep_coded, (int64_t, first), (pawl_tensor, w))
RECORD(scale, (pawl_tensor, a), (float, by))
RECORD(zero, (float *, a), (int64_t, count))
RECORD(copy, (float *, to), (const float *, from), (int64_t, count))

/* Not of a block, or never twice the same. */
BEHIND(add_noise, (const pawl_noise *, how), (pawl_tensor, x))
BEHIND(embedding, (pawl_tensor, table), (pawl_tensor, ids), (pawl_tensor, out))
BEHIND(embedding_dw, (pawl_tensor, dout), (pawl_tensor, ids), (pawl_tensor, dtable))
BEHIND(attention_cached, (const pawl_attend *, a), (pawl_tensor, q), (pawl_tensor, keys), (pawl_tensor, values), (int64_t, first), (int64_t, last),
       (pawl_tensor, out))
BEHIND(head_loss, (const pawl_head *, h))
BEHIND(adamw, (void *, w), (const float *, g), (void *, m), (void *, v), (int64_t, count), (const pawl_adamw_step *, k))
BEHIND(sgd, (void *, w), (const float *, g), (void *, m), (int64_t, count), (const pawl_sgd_step *, k))
BEHIND(lion, (void *, w), (const float *, g), (void *, m), (int64_t, count), (const pawl_lion_step *, k))
BEHIND(adamw_8bit, (void *, w), (const float *, g), (const pawl_moments_8bit *, moments), (int64_t, count), (const pawl_adamw_step *, k))
BEHIND(adafactor, (void *, w), (const float *, g), (float *, row), (float *, col), (int64_t, rows), (int64_t, cols), (void *, scratch),
       (const pawl_adafactor_step *, k))
BEHIND(muon_momentum, (const float *, g), (void *, m), (float *, out), (int64_t, count), (const pawl_muon_step *, k))
BEHIND(mix, (float, by_y), (void *, y), (float, by_x), (const float *, x), (int64_t, count), (const pawl_kept_as *, kept))
BEHIND(lerp, (float *, a), (const float *, b), (float, part), (int64_t, count))
BEHIND(anchor, (float *, g), (const float *, w), (const float *, from), (const float *, importance), (float, strength), (int64_t, count),
       (double *, blocks))
BEHIND(overlap_add, (const pawl_overlap *, o), (int64_t, first), (int64_t, count), (float *, g), (double *, sums))
BEHIND(path, (float *, sum), (const float *, g), (const float *, before), (const float *, after), (int64_t, count))
BEHIND(synapses, (float *, importance), (float *, sum), (const float *, w), (const float *, start), (float, xi), (int64_t, count))
BEHIND(magnitudes, (float *, g), (int, squared), (int64_t, count))
BEHIND(dot, (const float *, x), (const float *, y), (int64_t, count), (double *, blocks))
BEHIND(sum_squares, (const float *, x), (int64_t, count), (double *, blocks))
BEHIND(quantise, (pawl_tensor, w), (const pawl_coded *, q), (int64_t, first))
BEHIND(reserve, (const pawl_shapes *, most))
BEHIND(take, (pawl_side_of, side), (size_t, bytes), (const char *, what), (void **, out))
BEHIND(upload, (void *, to_device), (const void *, from_host), (size_t, bytes))
BEHIND(download, (void *, to_host), (const void *, from_device), (size_t, bytes))
BEHIND(choose, (const char *, table))
BEHIND(graphs, (int, on))
/* clang-format on */

/* A dropout's mask is counted by rows, which are others in each slot: they are told to the GPU before the first dropout of a slot, and
 * its kernels read them there. So what is written down of a dropout is the same in all slots. */
typedef struct dropout_record {
    pawl_recorded head;
    double rate;
    int64_t tokens, stream;
    pawl_tensor x, y;
    pawl_put put;
} dropout_record;

static pawl_status dropout_issue(pawl_device *d, const pawl_recorded *head)
{
    const dropout_record *r = (const dropout_record *)head;
    const pawl_drop how = {.rate = r->rate, .tokens = r->tokens, .stream = r->stream};
    pawl_cuda_dropout(pawl_stream_of(d), &how, pawl_cuda_of(d)->constants->drop_rows, r->x, r->put, r->y);
    return pawl_cuda_launched("dropout");
}

static pawl_status tell_rows(pawl_cuda *c, const pawl_drop *how)
{
    if (pawl_graphs_drops_rows(c, how)) return PAWL_OK;
    PAWL_TRY(pawl_graphs_issue(c)); /* of the rows before */
    pawl_cuda_drop_rows(c->stream, how, c->constants->drop_rows);
    return pawl_cuda_launched("dropout");
}

static pawl_status dropout_recorded(pawl_device *d, const pawl_drop *how, pawl_tensor x, pawl_put put, pawl_tensor y)
{
    dropout_record *r;
    PAWL_TRY(tell_rows(pawl_cuda_of(d), how));
    ROOM(dropout);
    r->rate = how->rate;
    r->tokens = how->tokens;
    r->stream = how->stream;
    r->x = x;
    r->put = put;
    r->y = y;
    return PAWL_OK;
}

static void give_recorded(pawl_device *d, pawl_side_of side, void *block, size_t bytes)
{
    pawl_graphs_issue_quietly(pawl_cuda_of(d));
    give_cuda(d, side, block, bytes);
}

static void *stream_recorded(pawl_device *d)
{
    pawl_graphs_issue_quietly(pawl_cuda_of(d));
    return stream_cuda(d);
}

static double gemm_rate_recorded(pawl_device *d, pawl_dtype type)
{
    pawl_graphs_issue_quietly(pawl_cuda_of(d));
    return gemm_rate_cuda(d, type);
}

static double memory_rate_recorded(pawl_device *d)
{
    pawl_graphs_issue_quietly(pawl_cuda_of(d));
    return memory_rate_cuda(d);
}

static int tune_recorded(pawl_device *d, int on)
{
    pawl_graphs_issue_quietly(pawl_cuda_of(d));
    return tune_cuda(d, on);
}

/* A block that an error has left open ends here. */
static pawl_status block_begin_recorded(pawl_device *d)
{
    return pawl_graphs_issue(pawl_cuda_of(d));
}

static pawl_status wait_recorded(pawl_device *d)
{
    PAWL_TRY(pawl_graphs_issue(pawl_cuda_of(d)));
    return wait_cuda(d);
}

static pawl_status attend_by_library_recorded(pawl_device *d)
{
    PAWL_TRY(pawl_graphs_issue(pawl_cuda_of(d)));
    return attend_by_library_cuda(d);
}

/* cuDNN is told how many documents there are of packed rows, and how long they are: that is seldom the same twice, so it is not written
 * down. Our own kernel finds documents where they lie; what it is not told is none of its arguments. */
static int is_packed(pawl_device *d, const pawl_attend *a, pawl_tensor qkv, pawl_attend *said)
{
    const int taken = pawl_sdpa_takes(pawl_cuda_of(d), a, qkv);
    *said = *a;
    if (taken) return (int)pawl_sdpa_of(a).packed;
    said->bounds = NULL;
    said->documents = said->longest = 0;
    return 0;
}

static pawl_status attention_by_shape(pawl_device *d, const pawl_attend *a, pawl_tensor qkv, pawl_tensor out, pawl_tensor lse)
{
    pawl_attend said;
    if (!is_packed(d, a, qkv, &said)) return attention_recorded(d, &said, qkv, out, lse);
    PAWL_TRY(pawl_graphs_issue(pawl_cuda_of(d)));
    return pawl_cuda_ops.attention(d, a, qkv, out, lse);
}

static pawl_status attention_backward_by_shape(pawl_device *d, const pawl_attend *a, pawl_tensor dout, pawl_tensor qkv, pawl_tensor out,
                                               pawl_tensor lse, pawl_tensor dqkv)
{
    pawl_attend said;
    if (!is_packed(d, a, qkv, &said)) return attention_backward_recorded(d, &said, dout, qkv, out, lse, dqkv);
    PAWL_TRY(pawl_graphs_issue(pawl_cuda_of(d)));
    return pawl_cuda_ops.attention_backward(d, a, dout, qkv, out, lse, dqkv);
}

static pawl_status block_end_recorded(pawl_device *d)
{
    d->ops = &pawl_cuda_ops;
    return pawl_graphs_issue(pawl_cuda_of(d));
}

/* What is put aside, and what waits for it, comes where it was asked for. */
static pawl_status aside_begin_recorded(pawl_device *d)
{
    PAWL_TRY(pawl_graphs_issue(pawl_cuda_of(d)));
    return pawl_cuda_aside.begin(d);
}

static pawl_status aside_end_recorded(pawl_device *d, int mark)
{
    PAWL_TRY(pawl_graphs_issue(pawl_cuda_of(d)));
    return pawl_cuda_aside.end(d, mark);
}

static pawl_status aside_await_recorded(pawl_device *d, int mark)
{
    PAWL_TRY(pawl_graphs_issue(pawl_cuda_of(d)));
    return pawl_cuda_aside.await(d, mark);
}

static void aside_settle_recorded(pawl_device *d)
{
    pawl_graphs_issue_quietly(pawl_cuda_of(d));
    pawl_cuda_aside.settle(d);
}

static void ask_recorded(pawl_device *d, pawl_status (*ask)(void *self), void *self)
{
    pawl_cuda_aside.ask(d, ask, self);
}

static const pawl_aside recording_aside = {
    .settle = aside_settle_recorded, .begin = aside_begin_recorded, .end = aside_end_recorded, .await = aside_await_recorded, .ask = ask_recorded};

static pawl_status carry_recorded(pawl_device *d, pawl_carry_way way, const pawl_load *loads, int count, int64_t *ticket)
{
    PAWL_TRY(pawl_graphs_issue(pawl_cuda_of(d)));
    return pawl_cuda_carrier.carry(d, way, loads, count, ticket);
}

static pawl_status carry_await_recorded(pawl_device *d, int64_t ticket)
{
    PAWL_TRY(pawl_graphs_issue(pawl_cuda_of(d)));
    return pawl_cuda_carrier.await(d, ticket);
}

static pawl_status carry_settle_recorded(pawl_device *d)
{
    PAWL_TRY(pawl_graphs_issue(pawl_cuda_of(d)));
    return pawl_cuda_carrier.settle(d);
}

static const pawl_carrier recording_carrier = {.carry = carry_recorded, .await = carry_await_recorded, .settle = carry_settle_recorded};

static pawl_status snapshot_begin_recorded(pawl_device *d, const pawl_load *loads, int64_t count, int64_t there)
{
    PAWL_TRY(pawl_graphs_issue(pawl_cuda_of(d)));
    return pawl_cuda_snapper.begin(d, loads, count, there);
}

static pawl_status snapshot_await_recorded(pawl_device *d)
{
    PAWL_TRY(pawl_graphs_issue(pawl_cuda_of(d)));
    return pawl_cuda_snapper.await(d);
}

/* What was begun does not depend on what is written down since. */
static pawl_status snapshot_settle_recorded(pawl_device *d)
{
    return pawl_cuda_snapper.settle(d);
}

static void snapshot_drop_recorded(pawl_device *d)
{
    pawl_cuda_snapper.drop(d);
}

static const pawl_snapper recording_snapper = {
    .begin = snapshot_begin_recorded, .await = snapshot_await_recorded, .settle = snapshot_settle_recorded, .drop = snapshot_drop_recorded};

enum { ENTRIES = 81 };
_Static_assert(sizeof(pawl_ops) == ENTRIES * sizeof(void (*)(void)), "an entry came or went: so does its row below (RECORD or BEHIND)");

const pawl_ops pawl_recording_ops = {
    .name = "cuda",
    .close = close_cuda,
    .scratch_bytes = scratch_bytes_cuda,
    .threads = threads_cuda,
    .describe = describe_cuda,
    .algorithms = algorithms_cuda,
    .own = own_cuda,
    .fp8 = fp8_cuda,
    .memory = memory_cuda,
    .carrier = &recording_carrier,
    .snapper = &recording_snapper,
    .parallel = parallel_cuda,
    .aside = &recording_aside,
    .block_begin = block_begin_recorded,
    .block_end = block_end_recorded,
    .attention = attention_by_shape,
    .attention_backward = attention_backward_by_shape,
#define ROW(op) .op = op##_recorded,
    /* clang-format off */
    ROW(reserve) ROW(gemm_rate) ROW(memory_rate) ROW(take) ROW(give) ROW(upload) ROW(download) ROW(stream) ROW(wait) ROW(graphs) ROW(tune) ROW(choose) ROW(attend_by_library)
    ROW(linear) ROW(linear_fp8) ROW(linear_dx) ROW(linear_dw) ROW(dropout) ROW(add_noise) ROW(low_rank_norms) ROW(divide) ROW(scale_columns) ROW(add_columns)
    ROW(column_dots) ROW(embedding) ROW(embedding_dw) ROW(rmsnorm) ROW(rmsnorm_backward) ROW(layernorm) ROW(layernorm_backward)
    ROW(head_norm) ROW(head_norm_backward) ROW(rope) ROW(attention_cached) ROW(swiglu)
    ROW(swiglu_backward) ROW(activate) ROW(activate_backward)
    ROW(linear_activate) ROW(linear_activate_dx) ROW(head_loss) ROW(adamw) ROW(sgd) ROW(lion) ROW(adamw_8bit) ROW(adafactor)
    ROW(muon_momentum) ROW(mix) ROW(lerp) ROW(anchor) ROW(overlap_add) ROW(path) ROW(synapses) ROW(magnitudes) ROW(dot) ROW(sum_squares)
    ROW(cast) ROW(add) ROW(quantise) ROW(dequantise) ROW(scale) ROW(zero) ROW(copy)
    /* clang-format on */
#undef ROW
};
