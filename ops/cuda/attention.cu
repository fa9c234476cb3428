/* Attention in f32, without tensor cores: what serves where cuDNN does not, and what cuDNN is compared with.
 *
 * A block has rows of its own, OWN to a warp, and passes 32 others by at a time, one to a lane: so a lane has OWN scores, and what is
 * added up for the own rows is in registers, 32 columns apart. OWN is four; in the backward pass of heads with more than 128 columns
 * it is two, so that all lies in the 99 KiB of shared memory that the smallest GPUs have for a block. Forward, and for the queries'
 * gradients, the own rows are queries and the others keys; for the gradients of keys and values it is the other way round, and the
 * queries of all heads that share the keys pass by. Every sum runs in an order that the shape alone decides, and nothing is
 * added by two blocks: that costs seven products in the backward pass where five would do.
 * Sources: Dao et al. 2022, algorithms 1 and 4. */
#include "ops/cuda/numbers.h"
#include "ops/softmax_rule.h"

enum { TILE = PAWL_WARP, SCORES = TILE + 1 };

template <int OWN> struct block_of {
    enum { ROWS = OWN * PAWL_THREADS / PAWL_WARP };
};

static const float lowest = -1e30f; /* below every score, and still a number */

/* A call. Tensors are of bf16 where `low`. */
struct attend_of {
    pawl_attend over;
    int low;
    const void *qkv, *out, *dout;
    const float *lse, *mean;
};

static __device__ __forceinline__ float number(const void *at, int64_t i, int is_low)
{
    return is_low ? get((const bf16 *)at, i) : get((const float *)at, i);
}

static __device__ __forceinline__ void put_number(void *at, int64_t i, int is_low, float x)
{
    if (is_low)
        put((bf16 *)at, i, x);
    else
        put((float *)at, i, x);
}

static __device__ __forceinline__ int64_t qkv_stride(const pawl_attend &o)
{
    return (o.heads + 2 * o.kv_heads) * o.head_dim;
}

/* The earliest key that a query sees. */
static __device__ __forceinline__ int64_t sees(const pawl_attend &o, int64_t n)
{
    const int64_t window = o.window > 0 ? n - o.window + 1 : 0, start = o.starts[n];
    return start > window ? start : window;
}

/* ROWS rows side by side in shared memory, `columns` apart; zeros beyond the head's columns and beyond the last of `count`. M: 32
 * columns are zeroed or read so many times. */
template <int M, int ROWS>
static __device__ __forceinline__ void lay(const void *at, int is_low, int64_t stride, int64_t count, int64_t width, int columns,
                                           float *rows)
{
    for (int r = pawl_warp(); r < ROWS; r += PAWL_THREADS / PAWL_WARP)
        for (int m = 0; m < M; m++) {
            const int c = pawl_lane() + PAWL_WARP * m;
            rows[r * columns + c] = r < count && c < width ? number(at, r * stride + c, is_low) : 0.0f;
        }
}

/* The products of this warp's rows with this lane's. */
template <int OWN>
static __device__ __forceinline__ some<OWN> against(const float *own, int own_columns, const float *other, int64_t width)
{
    some<OWN> s = {};
    for (int64_t c = 0; c < width; c += 4) {
        float x[4];
        for (int j = 0; j < 4; j++) x[j] = other[c + j];
        for (int i = 0; i < OWN; i++) {
            const some<4> y = take<4>(own, i * own_columns + c, (i + 1) * own_columns);
            for (int j = 0; j < 4; j++) s.x[i] = pawl_fma(y.x[j], x[j], s.x[i]);
        }
    }
    return s;
}

template <int M, int OWN> struct sums {
    float x[OWN][M];
};

/* sums += scores times the rows that passed by. scores: this warp's, a row of SCORES to each own row. */
template <int M, int OWN>
static __device__ __forceinline__ void add_rows(const float *scores, const float *rows, int columns, sums<M, OWN> *to)
{
    PAWL_UNROLL(4)
    for (int j = 0; j < TILE; j++) {
        float x[M];
        for (int m = 0; m < M; m++) x[m] = rows[j * columns + pawl_lane() + PAWL_WARP * m];
        for (int i = 0; i < OWN; i++) {
            const float p = scores[i * SCORES + j];
            for (int m = 0; m < M; m++) to->x[i][m] = pawl_fma(p, x[m], to->x[i][m]);
        }
    }
}

template <int OWN> static __device__ __forceinline__ void keep_scores(const some<OWN> &s, float *scores)
{
    for (int i = 0; i < OWN; i++) scores[i * SCORES + pawl_lane()] = s.x[i];
}

template <int M, int OWN>
static __device__ __forceinline__ void put_sums(const sums<M, OWN> &from, int64_t own, int64_t end, int64_t stride, int64_t width,
                                                void *at, int is_low)
{
    for (int i = 0; i < OWN; i++)
        for (int m = 0; m < M; m++) {
            const int c = pawl_lane() + PAWL_WARP * m;
            if (own + i < end && c < width) put_number(at, (own + i) * stride + c, is_low, from.x[i][m]);
        }
}

/* Which rows a block has: of row `row`, head `head`, positions [first, ...), of which this warp's are from `own` on. */
struct place {
    int64_t row, head, first, own, begin, end; /* begin, end: of the row */
};

template <int OWN> static __device__ __forceinline__ place place_of(const pawl_attend &o, int64_t heads)
{
    enum { BLOCK_ROWS = block_of<OWN>::ROWS };
    const int64_t tiles = (o.tokens + BLOCK_ROWS - 1) / BLOCK_ROWS, at = blockIdx.x / tiles;
    place p;
    p.row = at / heads;
    p.head = at % heads;
    p.begin = p.row * o.tokens;
    p.end = p.begin + o.tokens;
    p.first = p.begin + blockIdx.x % tiles * BLOCK_ROWS;
    p.own = p.first + OWN * pawl_warp();
    return p;
}

/* The earliest key of the block's queries. Every warp looks at all of them. */
template <int OWN> static __device__ __forceinline__ int64_t first_key(const pawl_attend &o, const place &p)
{
    const int64_t n = pawl_lane() < block_of<OWN>::ROWS && p.first + pawl_lane() < p.end ? p.first + pawl_lane() : p.first;
    return p.end - pawl_warp_reduce<pawl_greater>(p.end - sees(o, n));
}

/* Where its parts of the shared memory are. */
template <int M> struct desk {
    enum { COLUMNS = PAWL_WARP * M, OTHER = COLUMNS + 1 }; /* odd: lanes read one column without waiting for each other */
    float *own, *own_too, *other, *other_too, *scores;
};

template <int M, int OWN> static __device__ __forceinline__ desk<M> desk_of(int kinds)
{
    typedef desk<M> d;
    desk<M> k;
    k.own = (float *)pawl_dynamic_shared();
    k.own_too = k.own + block_of<OWN>::ROWS * d::COLUMNS;
    k.other = k.own + kinds * block_of<OWN>::ROWS * d::COLUMNS;
    k.other_too = k.other + TILE * d::OTHER;
    k.scores = k.other + kinds * TILE * d::OTHER;
    return k;
}

template <int M, int OWN> static size_t desk_bytes(int kinds)
{
    typedef desk<M> d;
    return (size_t)(kinds * (block_of<OWN>::ROWS * d::COLUMNS + TILE * d::OTHER) + block_of<OWN>::ROWS * SCORES) * sizeof(float);
}

static __device__ __forceinline__ const void *from_number(const void *at, int64_t i, int is_low)
{
    return (const char *)at + i * (is_low ? 2 : 4);
}

/* The running softmax of an own row: its score becomes an exponential over the new maximum; returns the factor to it. */
static __device__ __forceinline__ float absorb(float *score, float *most, float *sum)
{
    const float top = pawl_greater::of(pawl_warp_reduce<pawl_greater>(*score), *most);
    const float shrink = pawl_softmax_rule(*most, top);
    *score = pawl_softmax_rule(*score, top);
    *sum = *sum * shrink + pawl_warp_reduce<pawl_plus>(*score);
    *most = top;
    return shrink;
}

template <int M, int OWN> static __global__ void __launch_bounds__(PAWL_THREADS, 2) attend_kernel(attend_of a, void *out, float *lse)
{
    enum { ROWS = block_of<OWN>::ROWS };
    const pawl_attend &o = a.over;
    const int64_t K = o.head_dim, stride = qkv_stride(o);
    const place p = place_of<OWN>(o, o.heads);
    const desk<M> d = desk_of<M, OWN>(1);
    const int64_t kv = p.head / (o.heads / o.kv_heads), last = p.first + ROWS < p.end ? p.first + ROWS : p.end;
    const float *own = d.own + OWN * pawl_warp() * desk<M>::COLUMNS;
    float *scores = d.scores + OWN * pawl_warp() * SCORES, most[OWN], sum[OWN];
    int64_t from[OWN];
    sums<M, OWN> to = {};
    for (int i = 0; i < OWN; i++) {
        most[i] = lowest;
        sum[i] = 0;
        from[i] = p.own + i < p.end ? sees(o, p.own + i) : p.end;
    }
    lay<M, ROWS>(from_number(a.qkv, p.first * stride + p.head * K, a.low), a.low, stride, p.end - p.first, K, desk<M>::COLUMNS, d.own);
    for (int64_t key = first_key<OWN>(o, p); key < last; key += TILE) {
        const void *keys = from_number(a.qkv, key * stride + (o.heads + kv) * K, a.low);
        __syncthreads();
        lay<M, TILE>(keys, a.low, stride, last - key, K, desk<M>::OTHER, d.other);
        __syncthreads();
        some<OWN> s = against<OWN>(own, desk<M>::COLUMNS, d.other + pawl_lane() * desk<M>::OTHER, K);
        const int64_t j = key + pawl_lane();
        for (int i = 0; i < OWN; i++) {
            s.x[i] = j >= from[i] && j <= p.own + i ? o.scale * s.x[i] : -INFINITY;
            const float shrink = absorb(&s.x[i], &most[i], &sum[i]);
            for (int m = 0; m < M; m++) to.x[i][m] *= shrink;
        }
        keep_scores(s, scores);
        __syncthreads();
        lay<M, TILE>(from_number(keys, o.kv_heads * K, a.low), a.low, stride, last - key, K, desk<M>::OTHER, d.other);
        __syncthreads();
        add_rows(scores, d.other, desk<M>::OTHER, &to);
    }
    for (int i = 0; i < OWN; i++) {
        for (int m = 0; m < M; m++) to.x[i][m] *= 1.0f / sum[i];
        if (pawl_lane() == 0 && p.own + i < p.end) lse[(p.own + i) * o.heads + p.head] = most[i] + pawl_log_rule(sum[i]);
    }
    put_sums(to, p.own, p.end, o.heads * K, K, (void *)from_number(out, p.head * K, a.low), a.low);
}

/* mean[n, h] = the output's product with its gradient. A warp to each. */
static __global__ void attend_mean_kernel(attend_of a, float *mean)
{
    const int64_t i = (int64_t)blockIdx.x * (PAWL_THREADS / PAWL_WARP) + pawl_warp(), K = a.over.head_dim;
    if (i >= a.over.rows * a.over.tokens * a.over.heads) return;
    float sum = 0;
    for (int64_t c = pawl_lane(); c < K; c += PAWL_WARP) sum = pawl_fma(number(a.dout, i * K + c, a.low), number(a.out, i * K + c, a.low), sum);
    sum = pawl_warp_reduce<pawl_plus>(sum);
    if (pawl_lane() == 0) mean[i] = sum;
}

/* A score's product as its probability; and the gradient of the score, by that of the probability. */
static __device__ __forceinline__ float gradient_of(float *score, float dp, bool seen, float scale, float lse, float mean)
{
    *score = seen ? pawl_softmax_rule(scale * *score, lse) : 0.0f;
    return scale * pawl_softmax_backward_rule(*score, dp, mean);
}

template <int M, int OWN> static __global__ void __launch_bounds__(PAWL_THREADS, 2) attend_queries_kernel(attend_of a, void *dqkv)
{
    enum { ROWS = block_of<OWN>::ROWS };
    const pawl_attend &o = a.over;
    const int64_t K = o.head_dim, stride = qkv_stride(o), head_stride = o.heads * K;
    const place p = place_of<OWN>(o, o.heads);
    const desk<M> d = desk_of<M, OWN>(2);
    const int64_t kv = p.head / (o.heads / o.kv_heads), last = p.first + ROWS < p.end ? p.first + ROWS : p.end;
    const int at = OWN * pawl_warp() * desk<M>::COLUMNS, lane = pawl_lane() * desk<M>::OTHER;
    float *scores = d.scores + OWN * pawl_warp() * SCORES, lse[OWN], mean[OWN];
    int64_t from[OWN];
    sums<M, OWN> to = {};
    for (int i = 0; i < OWN; i++) {
        const int64_t n = p.own + i;
        from[i] = n < p.end ? sees(o, n) : p.end;
        lse[i] = n < p.end ? a.lse[n * o.heads + p.head] : 0.0f;
        mean[i] = n < p.end ? a.mean[n * o.heads + p.head] : 0.0f;
    }
    lay<M, ROWS>(from_number(a.qkv, p.first * stride + p.head * K, a.low), a.low, stride, p.end - p.first, K, desk<M>::COLUMNS, d.own);
    lay<M, ROWS>(from_number(a.dout, p.first * head_stride + p.head * K, a.low), a.low, head_stride, p.end - p.first, K, desk<M>::COLUMNS,
           d.own_too);
    for (int64_t key = first_key<OWN>(o, p); key < last; key += TILE) {
        const void *keys = from_number(a.qkv, key * stride + (o.heads + kv) * K, a.low);
        __syncthreads();
        lay<M, TILE>(keys, a.low, stride, last - key, K, desk<M>::OTHER, d.other);
        lay<M, TILE>(from_number(keys, o.kv_heads * K, a.low), a.low, stride, last - key, K, desk<M>::OTHER, d.other_too);
        __syncthreads();
        some<OWN> s = against<OWN>(d.own + at, desk<M>::COLUMNS, d.other + lane, K),
                  ds = against<OWN>(d.own_too + at, desk<M>::COLUMNS, d.other_too + lane, K);
        const int64_t j = key + pawl_lane();
        for (int i = 0; i < OWN; i++)
            ds.x[i] = gradient_of(&s.x[i], ds.x[i], j >= from[i] && j <= p.own + i, o.scale, lse[i], mean[i]);
        keep_scores(ds, scores);
        pawl_warp_barrier();
        add_rows(scores, d.other, desk<M>::OTHER, &to);
    }
    put_sums(to, p.own, p.end, stride, K, (void *)from_number(dqkv, p.head * K, a.low), a.low);
}

template <int M, int OWN> static __global__ void __launch_bounds__(PAWL_THREADS, 2) attend_keys_kernel(attend_of a, void *dqkv)
{
    enum { ROWS = block_of<OWN>::ROWS };
    const pawl_attend &o = a.over;
    const int64_t K = o.head_dim, stride = qkv_stride(o), head_stride = o.heads * K, group = o.heads / o.kv_heads;
    const place p = place_of<OWN>(o, o.kv_heads);
    const desk<M> d = desk_of<M, OWN>(2);
    const int64_t keys = (o.heads + p.head) * K, values = keys + o.kv_heads * K;
    const int64_t last_key = p.first + ROWS - 1 < p.end - 1 ? p.first + ROWS - 1 : p.end - 1;
    const int at = OWN * pawl_warp() * desk<M>::COLUMNS, lane = pawl_lane() * desk<M>::OTHER;
    float *scores = d.scores + OWN * pawl_warp() * SCORES;
    sums<M, OWN> dkeys = {}, dvalues = {};
    lay<M, ROWS>(from_number(a.qkv, p.first * stride + keys, a.low), a.low, stride, p.end - p.first, K, desk<M>::COLUMNS, d.own);
    lay<M, ROWS>(from_number(a.qkv, p.first * stride + values, a.low), a.low, stride, p.end - p.first, K, desk<M>::COLUMNS, d.own_too);
    for (int64_t head = p.head * group; head < (p.head + 1) * group; head++)
        for (int64_t first = p.first; first < p.end; first += TILE) {
            const int64_t n = first + pawl_lane(), from = n < p.end ? sees(o, n) : p.end;
            if (!pawl_ballot(from <= last_key)) continue; /* every warp looks at the same queries */
            const float lse = n < p.end ? a.lse[n * o.heads + head] : 0.0f, mean = n < p.end ? a.mean[n * o.heads + head] : 0.0f;
            __syncthreads();
            lay<M, TILE>(from_number(a.qkv, first * stride + head * K, a.low), a.low, stride, p.end - first, K, desk<M>::OTHER, d.other);
            lay<M, TILE>(from_number(a.dout, first * head_stride + head * K, a.low), a.low, head_stride, p.end - first, K,
                   desk<M>::OTHER, d.other_too);
            __syncthreads();
            some<OWN> s = against<OWN>(d.own + at, desk<M>::COLUMNS, d.other + lane, K),
                      ds = against<OWN>(d.own_too + at, desk<M>::COLUMNS, d.other_too + lane, K);
            for (int i = 0; i < OWN; i++)
                ds.x[i] = gradient_of(&s.x[i], ds.x[i], p.own + i >= from && p.own + i <= n, o.scale, lse, mean);
            keep_scores(s, scores);
            pawl_warp_barrier();
            add_rows(scores, d.other_too, desk<M>::OTHER, &dvalues);
            pawl_warp_barrier();
            keep_scores(ds, scores);
            pawl_warp_barrier();
            add_rows(scores, d.other, desk<M>::OTHER, &dkeys);
        }
    put_sums(dkeys, p.own, p.end, stride, K, (void *)from_number(dqkv, keys, a.low), a.low);
    put_sums(dvalues, p.own, p.end, stride, K, (void *)from_number(dqkv, values, a.low), a.low);
}

/* As M how many times 32 columns a head has, rounded up to a power of two; as OWN and BACK a warp's own rows, forward and
 * backward. */
#define BY_COLUMNS(head_dim, ...)                                                                                      \
    do {                                                                                                               \
        if ((head_dim) <= 32) {                                                                                        \
            enum { M = 1, OWN = 4, BACK = 4 };                                                                         \
            __VA_ARGS__;                                                                                               \
        } else if ((head_dim) <= 64) {                                                                                 \
            enum { M = 2, OWN = 4, BACK = 4 };                                                                         \
            __VA_ARGS__;                                                                                               \
        } else if ((head_dim) <= 128) {                                                                                \
            enum { M = 4, OWN = 4, BACK = 4 };                                                                         \
            __VA_ARGS__;                                                                                               \
        } else {                                                                                                       \
            enum { M = 8, OWN = 4, BACK = 2 };                                                                         \
            __VA_ARGS__;                                                                                               \
        }                                                                                                              \
    } while (0)

static int64_t blocks_for(const pawl_attend *o, int64_t heads, int64_t rows)
{
    return o->rows * heads * blocks_of(o->tokens, rows);
}

void pawl_cuda_attention(pawl_stream s, const pawl_attend *o, pawl_tensor qkv, pawl_tensor out, pawl_tensor lse)
{
    const attend_of a = {*o, low(qkv), qkv.data, nullptr, nullptr, nullptr, nullptr};
    BY_COLUMNS(o->head_dim, PAWL_LAUNCH((attend_kernel<M, OWN>), blocks_for(o, o->heads, block_of<OWN>::ROWS), PAWL_THREADS,
                                        desk_bytes<M, OWN>(1), s, a, out.data, data<float>(lse)));
}

void pawl_cuda_attention_backward(pawl_stream s, const pawl_attend *o, pawl_tensor dout, pawl_tensor qkv, pawl_tensor out,
                                  pawl_tensor lse, pawl_tensor dqkv, void *scratch)
{
    float *mean = (float *)scratch;
    const attend_of a = {*o, low(qkv), qkv.data, out.data, dout.data, data<float>(lse), mean};
    PAWL_LAUNCH(attend_mean_kernel, blocks_of(o->rows * o->tokens * o->heads, PAWL_THREADS / PAWL_WARP), PAWL_THREADS, 0, s, a, mean);
    BY_COLUMNS(o->head_dim, PAWL_LAUNCH((attend_queries_kernel<M, BACK>), blocks_for(o, o->heads, block_of<BACK>::ROWS), PAWL_THREADS,
                                        desk_bytes<M, BACK>(2), s, a, dqkv.data);
               PAWL_LAUNCH((attend_keys_kernel<M, BACK>), blocks_for(o, o->kv_heads, block_of<BACK>::ROWS), PAWL_THREADS,
                           desk_bytes<M, BACK>(2), s, a, dqkv.data));
}

/* One query against a cache. A block to a head: its warps take keys in turn, some at a time, and have a running softmax each; lanes have
 * the head's columns, so keys and values are read side by side. At the end the warps' sums are added up in their order. */
enum { CACHED_THREADS = 512, CACHED_WARPS = CACHED_THREADS / PAWL_WARP, AT_A_TIME = 4 };

/* Columns lane, lane + 32, ... of a row of `width`; zeros beyond it. */
template <int M> static __device__ __forceinline__ some<M> columns_at(const float *row, int64_t width)
{
    some<M> s;
    for (int m = 0; m < M; m++) {
        const int c = pawl_lane() + PAWL_WARP * m;
        s.x[m] = c < width ? row[c] : 0.0f;
    }
    return s;
}

/* A warp's running softmax over its keys. */
template <int M> struct softened {
    float most, sum;
    some<M> to;
};

template <int M>
static __device__ __forceinline__ void pass_by(const pawl_attend &o, const some<M> &q, const float *keys, const float *values, int64_t count,
                                               softened<M> *s)
{
    const int64_t K = o.head_dim, stride = o.kv_heads * K;
    some<M> k[AT_A_TIME], v[AT_A_TIME];
    float score[AT_A_TIME], top = s->most;
    for (int j = 0; j < AT_A_TIME; j++) {
        k[j] = columns_at<M>(keys + j * stride, j < count ? K : 0);
        v[j] = columns_at<M>(values + j * stride, j < count ? K : 0);
    }
    for (int j = 0; j < AT_A_TIME; j++) {
        float sum = 0;
        for (int m = 0; m < M; m++) sum = pawl_fma(q.x[m], k[j].x[m], sum);
        sum = pawl_warp_reduce<pawl_plus>(sum);
        score[j] = j < count ? o.scale * sum : -INFINITY;
        top = pawl_greater::of(score[j], top);
    }
    const float shrink = pawl_softmax_rule(s->most, top);
    s->most = top;
    s->sum *= shrink;
    for (int m = 0; m < M; m++) s->to.x[m] *= shrink;
    for (int j = 0; j < AT_A_TIME; j++) {
        const float p = pawl_softmax_rule(score[j], top);
        s->sum += p;
        for (int m = 0; m < M; m++) s->to.x[m] = pawl_fma(p, v[j].x[m], s->to.x[m]);
    }
}

template <int M>
static __global__ void __launch_bounds__(CACHED_THREADS) attend_cached_kernel(pawl_attend o, const float *q, const float *keys, const float *values,
                                                                              int64_t first, int64_t last, float *out)
{
    enum { COLUMNS = PAWL_WARP * M, STEP = CACHED_WARPS * AT_A_TIME };
    PAWL_SHARED(float, of_warps, CACHED_WARPS *COLUMNS);
    PAWL_SHARED(float, most, CACHED_WARPS);
    PAWL_SHARED(float, sums, CACHED_WARPS);
    const int64_t K = o.head_dim, stride = o.kv_heads * K, head = blockIdx.x, kv = head / (o.heads / o.kv_heads) * K;
    const some<M> mine = columns_at<M>(q + head * K, K);
    softened<M> s = {lowest, 0, {}};
    for (int64_t key = first + pawl_warp() * AT_A_TIME; key <= last; key += STEP)
        pass_by<M>(o, mine, keys + key * stride + kv, values + key * stride + kv, last - key + 1, &s);
    for (int m = 0; m < M; m++) of_warps[pawl_warp() * COLUMNS + pawl_lane() + PAWL_WARP * m] = s.to.x[m];
    if (pawl_lane() == 0) {
        most[pawl_warp()] = s.most;
        sums[pawl_warp()] = s.sum;
    }
    const float top = pawl_block_reduce<CACHED_WARPS, pawl_greater>(s.most); /* its barriers make the arrays whole */
    for (int c = (int)threadIdx.x; c < K; c += CACHED_THREADS) {
        float sum = 0, to = 0;
        for (int w = 0; w < CACHED_WARPS; w++) {
            const float share = pawl_softmax_rule(most[w], top);
            sum = pawl_fma(share, sums[w], sum);
            to = pawl_fma(share, of_warps[w * COLUMNS + c], to);
        }
        out[head * K + c] = to / sum;
    }
}

void pawl_cuda_attention_cached(pawl_stream s, const pawl_attend *a, pawl_tensor q, pawl_tensor keys, pawl_tensor values,
                                int64_t first, int64_t last, pawl_tensor out)
{
    BY_COLUMNS(a->head_dim, PAWL_LAUNCH(attend_cached_kernel<M>, a->heads, CACHED_THREADS, 0, s, *a, data<float>(q), data<float>(keys),
                                        data<float>(values), first, last, data<float>(out)));
}
