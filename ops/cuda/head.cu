/* A chunk of logits between the head's products: losses, gradients in their place, and what else a head computes. A block
 * to a row. And what surrounds the products where only some positions are trained. */
#include "core/batch.h"
#include "core/rng.h"
#include "ops/cuda/numbers.h"
#include "ops/soft_rule.h"
#include "ops/softmax_rule.h"

enum { ROW_THREADS = 512, ROW_WARPS = ROW_THREADS / PAWL_WARP, BINS = 256 };

static const float lowest = -1e30f; /* below every logit, and still a number: what was taken out is -infinity */

struct head_rows {
    const int32_t *targets;
    float *logits, *loss, *named; /* named [count, k]: the logits of soft targets */
    pawl_head_chunk_of of;
    int64_t vocab, ld, tokens;
    const float *row_weights;
    float scale;
    int differentiates, squares, has_labels; /* soft.k, top.k 0: none */
    pawl_soft soft;
    pawl_top top;
    pawl_labels labels;
};

/* The greatest of some numbers, and the sum of exponentials over it. */
struct peak {
    float most, sum;
};

template <class Op, class T> static __device__ __forceinline__ T reduce(T x)
{
    return pawl_block_reduce<ROW_WARPS, Op>(x);
}

/* Of by z, over the whole row. */
template <int P> static __device__ __forceinline__ peak peak_of(const float *z, int64_t vocab, float by)
{
    peak mine = {lowest, 0};
    for (int64_t i = (int64_t)threadIdx.x * P; i < vocab; i += ROW_THREADS * P) {
        const some<P> x = take<P>(z, i, vocab);
        float top = mine.most;
        for (int j = 0; j < P; j++)
            if (i + j < vocab) top = pawl_greater::of(by * x.x[j], top);
        mine.sum *= pawl_softmax_rule(mine.most, top);
        for (int j = 0; j < P; j++)
            if (i + j < vocab) mine.sum += pawl_softmax_rule(by * x.x[j], top);
        mine.most = top;
    }
    const float top = reduce<pawl_greater>(mine.most);
    return {top, reduce<pawl_plus>(mine.sum * pawl_softmax_rule(mine.most, top))};
}

/* Of by x, k numbers that are few. */
static __device__ __forceinline__ peak peak_of_few(const float *x, int64_t k, float by)
{
    float top = lowest;
    double sum = 0;
    for (int64_t j = threadIdx.x; j < k; j += ROW_THREADS) top = pawl_greater::of(by * x[j], top);
    top = reduce<pawl_greater>(top);
    for (int64_t j = threadIdx.x; j < k; j += ROW_THREADS) sum += (double)pawl_softmax_rule(by * x[j], top);
    return {top, (float)reduce<pawl_plus>(sum)};
}

static __device__ __forceinline__ peak together(peak a, peak b)
{
    const float top = pawl_greater::of(a.most, b.most);
    return {top, a.sum * pawl_softmax_rule(a.most, top) + b.sum * pawl_softmax_rule(b.most, top)};
}

/* --- the likeliest tokens ----------------------------------------------------------------------------------- */

/* In the order of the numbers; the two zeros are one. */
static __device__ __forceinline__ uint32_t rank_bits(float x)
{
    const uint32_t bits = pawl_float_bits(x + 0.0f);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

/* The k-th greatest logit's bits, found eight at a time; `equal`: how many of that value are among the k. */
static __device__ __forceinline__ uint32_t kth_greatest(const float *z, int64_t vocab, int64_t k, int *equal)
{
    PAWL_SHARED(int, counts, BINS);
    PAWL_SHARED(int, found, 2);
    uint32_t known = 0;
    int left = (int)k;
    for (int shift = 24; shift >= 0; shift -= 8) {
        for (int b = (int)threadIdx.x; b < BINS; b += ROW_THREADS) counts[b] = 0;
        __syncthreads();
        for (int64_t i = threadIdx.x; i < vocab; i += ROW_THREADS) {
            const uint32_t bits = rank_bits(z[i]);
            if (shift == 24 || bits >> (shift + 8) == known >> (shift + 8)) atomicAdd(&counts[bits >> shift & 255u], 1);
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            int b = BINS - 1;
            for (; b > 0 && counts[b] < left; b--) left -= counts[b];
            found[0] = b;
            found[1] = left;
        }
        __syncthreads();
        known |= (uint32_t)found[0] << shift;
        left = found[1];
    }
    *equal = left;
    return known;
}

/* How many threads before this one have the condition, and how many in all. */
static __device__ __forceinline__ int threads_before(int condition, int *all)
{
    PAWL_SHARED(int, of_warps, ROW_WARPS);
    const uint32_t lanes = pawl_ballot(condition);
    int before = __popc(lanes & ((1u << pawl_lane()) - 1));
    __syncthreads();
    if (pawl_lane() == 0) of_warps[pawl_warp()] = __popc(lanes);
    __syncthreads();
    *all = 0;
    for (int w = 0; w < ROW_WARPS; w++) {
        if (w < pawl_warp()) before += of_warps[w];
        *all += of_warps[w];
    }
    return before;
}

static __device__ __forceinline__ int stands_before(const float *z, int32_t a, int32_t b)
{
    return z[a] > z[b] || (z[a] == z[b] && a < b);
}

/* The k are listed (in the room for their log-probabilities), and each goes where as many stand before it. */
template <int P>
static __device__ __forceinline__ void likeliest(const float *z, int64_t vocab, int64_t k, float temperature, int32_t *ids, float *logp)
{
    const float by = 1.0f / temperature;
    const peak p = peak_of<P>(z, vocab, by);
    const float lse = p.most + pawl_log_rule(p.sum);
    int equal, equal_before = 0, listed = 0;
    const uint32_t kth = kth_greatest(z, vocab, k, &equal);
    for (int64_t at = 0; at < vocab; at += ROW_THREADS) {
        const int64_t v = at + threadIdx.x;
        const uint32_t bits = v < vocab ? rank_bits(z[v]) : 0;
        int all_equal, all;
        const int is_equal = v < vocab && bits == kth, before = equal_before + threads_before(is_equal, &all_equal);
        const int taken = v < vocab && (bits > kth || (is_equal && before < equal)), place = listed + threads_before(taken, &all);
        if (taken && place < k) logp[place] = pawl_bits_float((uint32_t)v);
        equal_before += all_equal;
        listed += all;
    }
    __syncthreads();
    for (int64_t j = threadIdx.x; j < k; j += ROW_THREADS) {
        const int32_t id = (int32_t)pawl_float_bits(logp[j]);
        int64_t before = 0;
        for (int64_t m = 0; m < k; m++) before += stands_before(z, (int32_t)pawl_float_bits(logp[m]), id);
        ids[before] = id;
    }
    __syncthreads();
    for (int64_t j = threadIdx.x; j < k; j += ROW_THREADS) logp[j] = z[ids[j]] * by - lse;
}

/* --- labels drawn from the model ---------------------------------------------------------------------------- */

/* The first token of [at, end) at which the sum, from `sum` on, exceeds u; else the last one that is possible at all. */
static __device__ __forceinline__ int32_t draw_from(const float *z, int64_t at, int64_t end, float lse, double sum, double u)
{
    int32_t last = (int32_t)at;
    for (int64_t v = at; v < end; v++) {
        const float p = pawl_softmax_rule(z[v], lse);
        sum += (double)p;
        if (p > 0.0f) last = (int32_t)v;
        if (sum > u) break;
    }
    return last;
}

template <int P> static __device__ __forceinline__ int32_t draw_label(const head_rows &h, const float *z, int64_t n)
{
    PAWL_SHARED(int32_t, drawn, 1);
    const pawl_labels &l = h.labels;
    const pawl_random r = pawl_random_at(l.seed, PAWL_FOR_LABELS, (uint64_t)(l.first_row + n / h.tokens), (uint64_t)(n % h.tokens));
    const double u = ((double)r.word[0] + r.word[1] * 0x1p-32) * 0x1p-32;
    const peak p = peak_of<P>(z, h.vocab, 1);
    const float lse = p.most + pawl_log_rule(p.sum);
    double sum = 0;
    for (int64_t at = 0; at < h.vocab; at += ROW_THREADS) {
        const int64_t v = at + threadIdx.x, end = at + ROW_THREADS < h.vocab ? at + ROW_THREADS : h.vocab;
        const double more = reduce<pawl_plus>(v < h.vocab ? (double)pawl_softmax_rule(z[v], lse) : 0.0);
        const bool here = sum + more > u, over = end == h.vocab;
        if (here || over) {
            if (threadIdx.x == 0) *drawn = draw_from(z, here ? at : 0, end, lse, here ? sum : 0, u);
            break;
        }
        sum += more;
    }
    __syncthreads();
    return *drawn;
}

/* --- losses ------------------------------------------------------------------------------------------------- */

/* What a number of the row becomes: the cross-entropy's gradient, and that of the unnamed ones of distillation. */
struct gradient {
    peak p;
    float share, scale; /* of cross-entropy; scale is taken off the target */
    int64_t target;
    float by, top, each; /* of distillation */
};

static __device__ __forceinline__ float differentiated(const gradient &g, float z, int64_t i)
{
    const float e = pawl_softmax_rule(z, g.p.most) * g.share, of = i == g.target ? e - g.scale : e;
    return g.each != 0.0f ? pawl_softmax_rule(g.by * z, g.top) * g.each + of : of;
}

/* All threads have read their numbers of a strip before they are written over: gradients of bf16 take the first half of the
 * row, what they lie on has been read by then. */
template <int P, class T, class F> static __device__ __forceinline__ void replace(float *z, int64_t vocab, F f)
{
    T *to = (T *)z;
    for (int64_t at = 0; at < vocab; at += ROW_THREADS * P) {
        const int64_t i = at + (int64_t)threadIdx.x * P;
        some<P> x = take<P>(z, i, vocab);
        for (int j = 0; j < P; j++) x.x[j] = f(x.x[j], i + j);
        __syncthreads();
        give(to, i, vocab, x);
    }
    __syncthreads();
}

/* The logits of soft targets, moved out of the row. */
static __device__ __forceinline__ void pick_out(float *z, const int32_t *ids, int64_t k, float *named)
{
    for (int64_t j = threadIdx.x; j < k; j += ROW_THREADS) named[j] = z[ids[j]];
    __syncthreads();
    for (int64_t j = threadIdx.x; j < k; j += ROW_THREADS) z[ids[j]] = -INFINITY;
    __syncthreads();
}

/* Distillation of a row, as ops/cpu/soft.inc has it: sums are relative to the greatest of their own side, so that neither
 * vanishes beside the other. */
struct distilled {
    const int32_t *ids;
    const float *logp;
    int64_t k;
    float by, lse, all, share;
    float p_rest, q_rest;
    peak rest;
    double loss;
};

template <int P>
static __device__ __forceinline__ distilled distil(const head_rows &h, const float *z, int64_t n, const float *named)
{
    const pawl_soft &s = h.soft;
    const int64_t b = n / h.tokens;
    const float T = s.row_temperatures ? s.row_temperatures[b] : s.temperature;
    distilled d = {};
    d.ids = s.ids + n * s.k;
    d.logp = s.logp + n * s.k;
    d.k = s.row_k ? s.row_k[b] : s.k;
    d.by = 1.0f / T;
    double mass = 0, loss = 0;
    for (int64_t j = threadIdx.x; j < d.k; j += ROW_THREADS) mass += (double)pawl_exp_rule(d.logp[j]);
    mass = reduce<pawl_plus>(mass);
    const bool rest = d.k < h.vocab;
    const peak few = peak_of_few(named, d.k, d.by);
    d.rest = peak_of<P>(z, h.vocab, d.by);
    const peak both = rest ? together(few, d.rest) : few;
    d.lse = both.most + pawl_log_rule(both.sum);
    d.q_rest = rest ? pawl_rest_rule(mass) : 0.0f;
    d.p_rest = rest ? d.rest.sum * pawl_exp_rule(d.rest.most - d.lse) : 0.0f;
    d.all = (float)(mass + (double)d.q_rest);
    d.share = T * s.row_weights[b];
    for (int64_t j = threadIdx.x; j < d.k; j += ROW_THREADS)
        loss += pawl_bin_loss_rule(pawl_exp_rule(d.logp[j]), d.logp[j], d.by * named[j] - d.lse);
    loss = reduce<pawl_plus>(loss);
    if (rest) loss += pawl_bin_loss_rule(d.q_rest, pawl_log_rule(d.q_rest), d.rest.most + pawl_log_rule(d.rest.sum) - d.lse);
    d.loss = loss * (double)T * (double)T;
    return d;
}

template <int P, class T>
static __device__ __forceinline__ void lose_softly(const head_rows &h, float *z, int64_t n, int64_t target, float scale)
{
    float *named = h.named + blockIdx.x * h.soft.k;
    const float of_target = z[target];
    pick_out(z, h.soft.ids + n * h.soft.k, h.soft.row_k ? h.soft.row_k[n / h.tokens] : h.soft.k, named);
    const distilled d = distil<P>(h, z, n, named);
    const peak p = together(peak_of<P>(z, h.vocab, 1), peak_of_few(named, d.k, 1));
    if (threadIdx.x == 0) {
        h.soft.loss[n] = (float)d.loss;
        h.loss[n] = pawl_cross_entropy_rule(of_target, p.most, p.sum);
    }
    if (!h.differentiates) return;
    const float each = d.k < h.vocab ? pawl_bin_gradient_rule(d.p_rest, d.q_rest, d.all, d.share) / d.rest.sum : 0.0f;
    gradient g = {p, scale / p.sum, scale, target, d.by, d.rest.most, each};
    replace<P, T>(z, h.vocab, [g](float x, int64_t i) { return differentiated(g, x, i); });
    g.each = 0;
    for (int64_t j = threadIdx.x; j < d.k; j += ROW_THREADS) {
        const float student = pawl_exp_rule(d.by * named[j] - d.lse), teacher = pawl_exp_rule(d.logp[j]);
        put((T *)z, d.ids[j],
            pawl_bin_gradient_rule(student, teacher, d.all, d.share) + differentiated(g, named[j], d.ids[j]));
    }
}

template <int P, class T>
static __device__ __forceinline__ void lose(const head_rows &h, float *z, int64_t n, int64_t target, float scale)
{
    const float of_target = z[target];
    const peak p = peak_of<P>(z, h.vocab, 1);
    if (threadIdx.x == 0) h.loss[n] = pawl_cross_entropy_rule(of_target, p.most, p.sum);
    const gradient g = {p, scale / p.sum, scale, target, 0, 0, 0};
    if (h.differentiates) replace<P, T>(z, h.vocab, [g](float x, int64_t i) { return differentiated(g, x, i); });
}

template <int P, class T>
static __device__ __forceinline__ void lose_squares(const head_rows &h, float *z, int64_t n, float scale)
{
    double sum = 0;
    for (int64_t i = (int64_t)threadIdx.x * P; i < h.vocab; i += ROW_THREADS * P) {
        const some<P> x = take<P>(z, i, h.vocab);
        for (int j = 0; j < P; j++) sum += (double)x.x[j] * (double)x.x[j];
    }
    sum = reduce<pawl_plus>(sum);
    if (threadIdx.x == 0) h.loss[n] = (float)sum;
    const float by = 2.0f * scale;
    if (h.differentiates) replace<P, T>(z, h.vocab, [by](float x, int64_t) { return x * by; });
}

/* What is not trained has no loss, and a gradient of zeros. */
static __device__ __forceinline__ void clear(const head_rows &h, int64_t n)
{
    if (threadIdx.x == 0) {
        h.loss[n] = 0.0f;
        if (h.soft.k) h.soft.loss[n] = 0.0f;
        if (h.has_labels && h.labels.drawn) h.labels.drawn[n] = PAWL_NOT_TRAINED;
    }
    for (int64_t j = threadIdx.x; j < h.top.k; j += blockDim.x) {
        h.top.ids[n * h.top.k + j] = 0;
        h.top.logp[n * h.top.k + j] = 0.0f;
    }
}

template <int P, class T> static __global__ void __launch_bounds__(ROW_THREADS, 2) head_rows_kernel(head_rows h)
{
    const int64_t n = h.of.at ? h.of.at[blockIdx.x] : h.of.first + blockIdx.x, b = h.tokens > 0 ? n / h.tokens : 0;
    float *z = h.logits + blockIdx.x * h.ld;
    const float scale = h.row_weights ? h.row_weights[b] : h.scale;
    const bool soft = h.soft.k > 0 && h.soft.row_weights[b] != 0.0f;
    int32_t target = h.targets[n];
    if (target == PAWL_NOT_TRAINED) {
        clear(h, n);
        if (h.differentiates) replace<P, T>(z, h.vocab, [](float, int64_t) { return 0.0f; });
        return;
    }
    if (h.top.k > 0) likeliest<P>(z, h.vocab, h.top.k, h.top.temperature, h.top.ids + n * h.top.k, h.top.logp + n * h.top.k);
    if (h.squares) {
        lose_squares<P, T>(h, z, n, scale);
        return;
    }
    if (h.has_labels) {
        target = draw_label<P>(h, z, n);
        if (threadIdx.x == 0 && h.labels.drawn) h.labels.drawn[n] = target;
    }
    if (soft) {
        lose_softly<P, T>(h, z, n, target, scale);
        return;
    }
    if (threadIdx.x == 0 && h.soft.k > 0) h.soft.loss[n] = 0.0f;
    lose<P, T>(h, z, n, target, scale);
}

static head_rows rows_of(const pawl_head *h)
{
    const pawl_head_extra *x = &h->extra;
    head_rows r = {};
    r.targets = h->targets;
    r.loss = data<float>(h->loss);
    r.tokens = x->tokens;
    r.row_weights = x->row_weights;
    r.scale = h->scale;
    r.differentiates = h->dhidden.data != nullptr;
    r.squares = x->squares;
    r.has_labels = x->labels != nullptr;
    if (x->soft) r.soft = *x->soft;
    if (x->top) r.top = *x->top;
    if (x->labels) r.labels = *x->labels;
    return r;
}

void pawl_cuda_head_rows(pawl_stream s, const pawl_head *h, const pawl_head_chunk_of *which, int64_t vocab, float *logits, int64_t ld,
                         void *scratch)
{
    head_rows r = rows_of(h);
    r.of = *which;
    r.logits = logits;
    r.named = (float *)scratch;
    r.vocab = vocab;
    r.ld = ld;
    const bool wide = ld % 8 == 0 && on_sixteen(logits);
    BY_TYPE(h->w, if (wide) PAWL_LAUNCH((head_rows_kernel<8, T>), which->count, ROW_THREADS, 0, s, r);
            else PAWL_LAUNCH((head_rows_kernel<1, T>), which->count, ROW_THREADS, 0, s, r));
}

/* --- where only some positions are trained ------------------------------------------------------------------- */

template <int P, class T>
static __global__ void head_gather_kernel(const T *x, const int32_t *at, int64_t count, int64_t rows, int64_t width, T *to)
{
    const int64_t i = first_of<P>(), r = i / width;
    if (i >= rows * width) return;
    some<P> these = {};
    if (r < count) {
        const int64_t from = at[r] * width;
        these = take<P>(x, from + i % width, from + width);
    }
    give(to, i, rows * width, these);
}

void pawl_cuda_head_gather(pawl_stream s, pawl_tensor x, const int32_t *at, int64_t count, int64_t rows, void *to)
{
    const int64_t D = last_dim(x);
    const bool wide = D % 8 == 0 && on_sixteen(x.data, to);
    BY_TYPE(x, EACH_OF(head_gather_kernel, T, 8, wide, rows * D, s, data<T>(x), at, count, rows, D, (T *)to));
}

template <int P>
static __global__ void head_scatter_kernel(const float *from, const int32_t *at, int64_t count, int64_t width, float *x)
{
    const int64_t i = first_of<P>(), r = i / width;
    if (r >= count) return;
    const int64_t to = at[r] * width;
    give(x, to + i % width, to + width, take<P>(from, i, count * width));
}

void pawl_cuda_head_scatter(pawl_stream s, const float *from, const int32_t *at, int64_t count, pawl_tensor x)
{
    const int64_t D = last_dim(x);
    const bool wide = D % 4 == 0 && on_sixteen(from, x.data);
    EACH(head_scatter_kernel, 4, wide, count * D, s, from, at, count, D, data<float>(x));
}

/* A block to a position. */
static __global__ void head_clear_kernel(head_rows h, float *dhidden, int64_t width)
{
    const int64_t n = blockIdx.x;
    if (h.targets[n] != PAWL_NOT_TRAINED) return;
    clear(h, n);
    if (!h.differentiates) return;
    for (int64_t i = threadIdx.x; i < width; i += blockDim.x) dhidden[n * width + i] = 0.0f;
}

void pawl_cuda_head_clear(pawl_stream s, const pawl_head *h)
{
    PAWL_LAUNCH(head_clear_kernel, count_of(h->loss), PAWL_THREADS, 0, s, rows_of(h), data<float>(h->dhidden), last_dim(h->w));
}
