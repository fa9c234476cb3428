/* Sums in double over fixed blocks of flat arrays, and what penalties do to these arrays. */
#include "ops/cuda/numbers.h"
#include "ops/penalty_rule.h"

enum { SUM_THREADS = 512 };

/* A thread block to a block of PAWL_SUM_BLOCK numbers. */
static __device__ __forceinline__ int64_t end_of_block(int64_t count)
{
    const int64_t end = ((int64_t)blockIdx.x + 1) * PAWL_SUM_BLOCK;
    return end < count ? end : count;
}

template <int V> static __global__ void __launch_bounds__(SUM_THREADS) dot_kernel(const float *x, const float *y, int64_t count, double *blocks)
{
    const int64_t end = end_of_block(count);
    double sum = 0;
    for (int64_t i = (int64_t)blockIdx.x * PAWL_SUM_BLOCK + (int64_t)threadIdx.x * V; i < end; i += SUM_THREADS * V) {
        const some<V> a = take<V>(x, i, end), b = take<V>(y, i, end);
        for (int j = 0; j < V; j++) sum += (double)a.x[j] * (double)b.x[j];
    }
    sum = pawl_block_reduce<SUM_THREADS / PAWL_WARP, pawl_plus>(sum);
    if (threadIdx.x == 0) blocks[blockIdx.x] = sum;
}

void pawl_cuda_dot(pawl_stream s, const float *x, const float *y, int64_t count, double *blocks)
{
    if (on_sixteen(x, y))
        PAWL_LAUNCH(dot_kernel<4>, blocks_of(count, PAWL_SUM_BLOCK), SUM_THREADS, 0, s, x, y, count, blocks);
    else
        PAWL_LAUNCH(dot_kernel<1>, blocks_of(count, PAWL_SUM_BLOCK), SUM_THREADS, 0, s, x, y, count, blocks);
}

void pawl_cuda_sum_squares(pawl_stream s, const float *x, int64_t count, double *blocks)
{
    pawl_cuda_dot(s, x, x, count, blocks);
}

template <int V>
static __global__ void __launch_bounds__(SUM_THREADS) anchor_kernel(float *g, const float *w, const float *anchor, const float *importance, float strength,
                                     int64_t count, double *blocks)
{
    const int64_t end = end_of_block(count);
    double sum = 0;
    for (int64_t i = (int64_t)blockIdx.x * PAWL_SUM_BLOCK + (int64_t)threadIdx.x * V; i < end; i += SUM_THREADS * V) {
        const some<V> of_w = take<V>(w, i, end);
        some<V> weight = {}, at = {}, of_g = take<V>(g, i, end);
        if (anchor) at = take<V>(anchor, i, end);
        if (importance) weight = take<V>(importance, i, end);
        for (int j = 0; j < V; j++) {
            const float pull = pawl_anchor_rule(of_w.x[j], at.x[j], importance ? weight.x[j] : 1, strength);
            of_g.x[j] += pull;
            sum += 0.5 * (double)pull * (double)(of_w.x[j] - at.x[j]);
        }
        give(g, i, end, of_g);
    }
    sum = pawl_block_reduce<SUM_THREADS / PAWL_WARP, pawl_plus>(sum);
    if (threadIdx.x == 0) blocks[blockIdx.x] += sum;
}

void pawl_cuda_anchor(pawl_stream s, float *g, const float *w, const float *anchor, const float *importance, float strength,
                      int64_t count, double *blocks)
{
    if (on_sixteen(g, w, anchor, importance))
        PAWL_LAUNCH(anchor_kernel<4>, blocks_of(count, PAWL_SUM_BLOCK), SUM_THREADS, 0, s, g, w, anchor, importance, strength,
                    count, blocks);
    else
        PAWL_LAUNCH(anchor_kernel<1>, blocks_of(count, PAWL_SUM_BLOCK), SUM_THREADS, 0, s, g, w, anchor, importance, strength,
                    count, blocks);
}

/* A block to a row of a, from the one that holds number `first` on; columns that are not among [first, end) are left alone. */
static __global__ void overlap_kernel(pawl_overlap o, int64_t first, int64_t end, float *g, double *sums)
{
    const int64_t row = first / o.width + blockIdx.x, at = row * o.width;
    const float *a = o.a + at;
    double all = 0;
    for (int64_t k = 0; k < o.kept_rows; k++) {
        const float *kept = o.kept + k * o.width;
        double along = 0;
        for (int64_t i = threadIdx.x; i < o.width; i += PAWL_THREADS) along += (double)a[i] * (double)kept[i];
        along = pawl_block_reduce<PAWL_THREADS / PAWL_WARP, pawl_plus>(along);
        const float pull = pawl_overlap_rule(along, o.strength);
        for (int64_t i = threadIdx.x; i < o.width; i += PAWL_THREADS)
            if (at + i >= first && at + i < end) g[at + i - first] += pull * kept[i];
        all += along < 0 ? -along : along;
    }
    if (threadIdx.x == 0 && first <= at) sums[row] += (double)o.strength * all;
}

void pawl_cuda_overlap_add(pawl_stream s, const pawl_overlap *o, int64_t first, int64_t count, float *g, double *sums)
{
    const int64_t end = first + count, rows = count > 0 ? (end + o->width - 1) / o->width - first / o->width : 0;
    PAWL_LAUNCH(overlap_kernel, rows, PAWL_THREADS, 0, s, *o, first, end, g, sums);
}

template <int V>
static __global__ void path_kernel(float *path, const float *g, const float *before, const float *after, int64_t count)
{
    const int64_t i = first_of<V>();
    if (i >= count) return;
    some<V> p = take<V>(path, i, count);
    const some<V> of_g = take<V>(g, i, count), b = take<V>(before, i, count), a = take<V>(after, i, count);
    for (int j = 0; j < V; j++) p.x[j] = pawl_path_rule(p.x[j], of_g.x[j], b.x[j], a.x[j]);
    give(path, i, count, p);
}

void pawl_cuda_path(pawl_stream s, float *path, const float *g, const float *before, const float *after, int64_t count)
{
    EACH(path_kernel, 4, on_sixteen(path, g, before, after), count, s, path, g, before, after, count);
}

template <int V>
static __global__ void synapses_kernel(float *importance, float *path, const float *w, const float *start, float xi,
                                       int64_t count)
{
    const int64_t i = first_of<V>();
    if (i >= count) return;
    some<V> y = take<V>(importance, i, count);
    const some<V> p = take<V>(path, i, count), of_w = take<V>(w, i, count), from = take<V>(start, i, count), none = {};
    for (int j = 0; j < V; j++) y.x[j] = pawl_synapse_rule(y.x[j], p.x[j], of_w.x[j], from.x[j], xi);
    give(importance, i, count, y);
    give(path, i, count, none);
}

void pawl_cuda_synapses(pawl_stream s, float *importance, float *path, const float *w, const float *start, float xi, int64_t count)
{
    EACH(synapses_kernel, 4, on_sixteen(importance, path, w, start), count, s, importance, path, w, start, xi, count);
}

template <int V> static __global__ void magnitudes_kernel(float *g, int squared, int64_t count)
{
    const int64_t i = first_of<V>();
    if (i >= count) return;
    some<V> y = take<V>(g, i, count);
    for (int j = 0; j < V; j++) y.x[j] = pawl_magnitude_rule(y.x[j], squared);
    give(g, i, count, y);
}

void pawl_cuda_magnitudes(pawl_stream s, float *g, int squared, int64_t count)
{
    EACH(magnitudes_kernel, 4, on_sixteen(g), count, s, g, squared, count);
}
