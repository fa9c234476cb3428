/* Dropout and noise on embeddings: words of Philox counted by place, the CPU's to the bit. */
#include "ops/noise_rule.h"

#include "core/rng.h"
#include "ops/cuda/numbers.h"

/* V words from number `first` of a row of the run on. V is 1, or first is a multiple of it and V one of 4. */
template <int V> struct drawn {
    uint32_t word[V];
};

template <int V>
static __device__ __forceinline__ drawn<V> words_of(uint64_t seed, pawl_purpose purpose, uint64_t row, uint64_t high, uint64_t first)
{
    drawn<V> d;
    for (int k = 0; k < (V + 3) / 4; k++) {
        const pawl_random r = pawl_random_at(seed, purpose, row, high | (first / 4 + (uint64_t)k));
        if (V == 1)
            d.word[0] = r.word[first % 4];
        else
            for (int j = 0; j < 4; j++) d.word[(4 * k + j) % V] = r.word[j];
    }
    return d;
}

struct drop_of {
    uint64_t seed, first_row, high;
    const uint64_t *at; /* where seed and first_row are told instead; or null */
    int64_t tokens, width;
    uint32_t below;
    float scale;
};

template <int V, class X, class Y>
static __global__ void dropout_kernel(drop_of d, const X *x, int64_t count, pawl_put how, Y *y)
{
    const int64_t i = first_of<V>();
    if (i >= count) return;
    const int64_t row = d.tokens * d.width;
    const uint64_t seed = d.at ? d.at[0] : d.seed, first_row = d.at ? d.at[1] : d.first_row;
    const drawn<V> w = words_of<V>(seed, PAWL_FOR_DROPOUT, first_row + (uint64_t)(i / row), d.high, (uint64_t)(i % row));
    const some<V> from = take<V>(x, i, count);
    some<V> to = {};
    if (how == PAWL_ADD) to = take<V>(y, i, count);
    for (int j = 0; j < V; j++) {
        const float scaled = from.x[j] * d.scale, kept = w.word[j] >= d.below ? scaled : 0.0f;
        to.x[j] = how == PAWL_ADD ? to.x[j] + kept : kept;
    }
    give(y, i, count, to);
}

template <class X, class Y> static void drop(pawl_stream s, drop_of d, const X *x, int64_t count, pawl_put put, Y *y)
{
    /* a row of the run begins with a whole block of words */
    if (d.tokens * d.width % 8 == 0 && on_sixteen(x, y))
        PAWL_LAUNCH((dropout_kernel<8, X, Y>), blocks_of(count, 8 * PAWL_THREADS), PAWL_THREADS, 0, s, d, x, count, put, y);
    else
        PAWL_LAUNCH((dropout_kernel<1, X, Y>), blocks_of(count, PAWL_THREADS), PAWL_THREADS, 0, s, d, x, count, put, y);
}

static __global__ void drop_rows_kernel(uint64_t seed, uint64_t first_row, uint64_t *at)
{
    at[0] = seed;
    at[1] = first_row;
}

void pawl_cuda_drop_rows(pawl_stream s, const pawl_drop *how, uint64_t *at)
{
    PAWL_LAUNCH(drop_rows_kernel, 1, 1, 0, s, how->seed, (uint64_t)how->first_row, at);
}

void pawl_cuda_dropout(pawl_stream s, const pawl_drop *how, const uint64_t *at, pawl_tensor x, pawl_put put, pawl_tensor y)
{
    const int64_t count = count_of(x);
    const drop_of d = {how->seed,   (uint64_t)how->first_row, (uint64_t)how->stream << 32,        at, how->tokens,
                       last_dim(x), (uint32_t)(how->rate * 0x1p32), (float)(1 / (1 - how->rate))};
    if (low(x))
        BY_TYPE(y, drop(s, d, data<bf16>(x), count, put, data<T>(y)));
    else
        BY_TYPE(y, drop(s, d, data<float>(x), count, put, data<T>(y)));
}

struct noise_of {
    double alpha;
    uint64_t seed, first_row;
    int64_t tokens, width;
    const int64_t *lengths;
};

template <int V> static __global__ void noise_kernel(noise_of h, float *x, int64_t count)
{
    const int64_t i = first_of<V>();
    if (i >= count) return;
    const int64_t n = i / h.width, b = n / h.tokens, at = i - b * h.tokens * h.width;
    if (n % h.tokens >= h.lengths[b]) return;
    const float size = pawl_noise_size(h.alpha, (double)h.lengths[b], (double)h.width);
    const drawn<V> w = words_of<V>(h.seed, PAWL_FOR_NEFTUNE, h.first_row + (uint64_t)b, 0, (uint64_t)at);
    some<V> y = take<V>(x, i, count);
    for (int j = 0; j < V; j++) y.x[j] += pawl_noise_rule(pawl_uniform(w.word[j]), size);
    give(x, i, count, y);
}

void pawl_cuda_add_noise(pawl_stream s, const pawl_noise *how, pawl_tensor x)
{
    const noise_of h = {how->alpha, how->seed, (uint64_t)how->first_row, how->tokens, last_dim(x), how->lengths};
    EACH(noise_kernel, 4, h.width % 4 == 0 && on_sixteen(x.data), count_of(x), s, h, data<float>(x), count_of(x));
}
