/* The update rules over flat arrays: a number has the same bits wherever its array begins, for ranks cut these. */
#include "ops/adamw_rule.h"
#include "ops/cuda/kept.h"
#include "ops/dynamic_rule.h"
#include "ops/lion_rule.h"
#include "ops/muon_rule.h"
#include "ops/sgd_rule.h"

template <int V, class W, class M>
static __global__ void adamw_kernel(W *w, const float *g, M *m, M *v, int64_t count, pawl_adamw_numbers k, pawl_kept_as as)
{
    const int64_t i = first_of<V>();
    if (i >= count) return;
    some<V> of_w = take<V>(w, i, count), of_m = take<V>(m, i, count), of_v = take<V>(v, i, count);
    const some<V> of_g = take<V>(g, i, count);
    for (int j = 0; j < V; j++) of_w.x[j] = pawl_adamw_rule(of_w.x[j], of_g.x[j], &of_m.x[j], &of_v.x[j], k);
    give_kept(w, i, count, of_w, as, PAWL_CHANCE_WEIGHT);
    give_kept(m, i, count, of_m, as, PAWL_CHANCE_FIRST);
    give_kept(v, i, count, of_v, as, PAWL_CHANCE_SECOND);
}

template <class W, class M>
static void adamw(pawl_stream s, W *w, const float *g, M *m, M *v, int64_t count, const pawl_adamw_step *k)
{
    EACH_KEPT(adamw_kernel, (wide_of<W, M>::V), (W, M), on_sixteen(w, g, m, v), k->kept, count, s, w, g, m, v, count,
              pawl_adamw_prepare(k), k->kept);
}

void pawl_cuda_adamw(pawl_stream s, void *w, const float *g, void *m, void *v, int64_t count, const pawl_adamw_step *k)
{
    BY_KEPT(k->kept, adamw(s, (W *)w, g, (M *)m, (M *)v, count, k));
}

template <int V, class W, class M>
static __global__ void sgd_kernel(W *w, const float *g, M *m, int64_t count, pawl_sgd_numbers k, pawl_kept_as as)
{
    const int64_t i = first_of<V>();
    if (i >= count) return;
    some<V> of_w = take<V>(w, i, count), of_m = take<V>(m, i, count);
    const some<V> of_g = take<V>(g, i, count);
    for (int j = 0; j < V; j++) of_w.x[j] = pawl_sgd_rule(of_w.x[j], of_g.x[j], &of_m.x[j], k);
    give_kept(w, i, count, of_w, as, PAWL_CHANCE_WEIGHT);
    give_kept(m, i, count, of_m, as, PAWL_CHANCE_FIRST);
}

template <int V, class W>
static __global__ void sgd_plain_kernel(W *w, const float *g, int64_t count, pawl_sgd_numbers k, pawl_kept_as as)
{
    const int64_t i = first_of<V>();
    if (i >= count) return;
    some<V> of_w = take<V>(w, i, count);
    const some<V> of_g = take<V>(g, i, count);
    for (int j = 0; j < V; j++) of_w.x[j] = pawl_sgd_plain_rule(of_w.x[j], of_g.x[j], k);
    give_kept(w, i, count, of_w, as, PAWL_CHANCE_WEIGHT);
}

template <class W, class M> static void sgd(pawl_stream s, W *w, const float *g, M *m, int64_t count, const pawl_sgd_step *k)
{
    const pawl_sgd_numbers n = pawl_sgd_prepare(k);
    if (m)
        EACH_KEPT(sgd_kernel, (wide_of<W, M>::V), (W, M), on_sixteen(w, g, m), k->kept, count, s, w, g, m, count, n, k->kept);
    else
        EACH_KEPT(sgd_plain_kernel, (wide_of<W, W>::V), (W), on_sixteen(w, g), k->kept, count, s, w, g, count, n, k->kept);
}

void pawl_cuda_sgd(pawl_stream s, void *w, const float *g, void *m, int64_t count, const pawl_sgd_step *k)
{
    BY_KEPT(k->kept, sgd(s, (W *)w, g, (M *)m, count, k));
}

template <int V, class W, class M>
static __global__ void lion_kernel(W *w, const float *g, M *m, int64_t count, pawl_lion_numbers k, pawl_kept_as as)
{
    const int64_t i = first_of<V>();
    if (i >= count) return;
    some<V> of_w = take<V>(w, i, count), of_m = take<V>(m, i, count);
    const some<V> of_g = take<V>(g, i, count);
    for (int j = 0; j < V; j++) of_w.x[j] = pawl_lion_rule(of_w.x[j], of_g.x[j], &of_m.x[j], k);
    give_kept(w, i, count, of_w, as, PAWL_CHANCE_WEIGHT);
    give_kept(m, i, count, of_m, as, PAWL_CHANCE_FIRST);
}

template <class W, class M> static void lion(pawl_stream s, W *w, const float *g, M *m, int64_t count, const pawl_lion_step *k)
{
    EACH_KEPT(lion_kernel, (wide_of<W, M>::V), (W, M), on_sixteen(w, g, m), k->kept, count, s, w, g, m, count, pawl_lion_prepare(k),
              k->kept);
}

void pawl_cuda_lion(pawl_stream s, void *w, const float *g, void *m, int64_t count, const pawl_lion_step *k)
{
    BY_KEPT(k->kept, lion(s, (W *)w, g, (M *)m, count, k));
}

template <int V, class M>
static __global__ void muon_momentum_kernel(const float *g, M *m, float *out, int64_t count, float decay, float grad_scale, int nesterov,
                                            pawl_kept_as as)
{
    const int64_t i = first_of<V>();
    if (i >= count) return;
    some<V> of_m = take<V>(m, i, count), y;
    const some<V> of_g = take<V>(g, i, count);
    for (int j = 0; j < V; j++) y.x[j] = pawl_muon_momentum_rule(grad_scale * of_g.x[j], &of_m.x[j], decay, nesterov);
    give_kept(m, i, count, of_m, as, PAWL_CHANCE_FIRST);
    give(out, i, count, y);
}

void pawl_cuda_muon_momentum(pawl_stream s, const float *g, void *m, float *out, int64_t count, const pawl_muon_step *k)
{
    BY_MOMENTS(k->kept, EACH_KEPT(muon_momentum_kernel, (wide_of<M, M>::V), (M), on_sixteen(g, m, out), k->kept, count, s, g, (M *)m, out,
                                  count, (float)k->momentum, (float)k->grad_scale, k->nesterov, k->kept));
}

/* Magnitudes are in the order of their bits. */
static __device__ __forceinline__ float greatest_magnitude(float x)
{
    const int most = pawl_block_reduce<PAWL_DYNAMIC_BLOCK / PAWL_WARP, pawl_greater>((int)(pawl_float_bits(x) & 0x7fffffffu));
    return pawl_bits_float((uint32_t)most);
}

/* A block of zeros has codes of 0 beside a scale of 0. */
static __device__ __forceinline__ void encode_dynamic(const pawl_dynamic *d, float x, bool is_there, int32_t mirror, uint8_t *code,
                                                      float *scale)
{
    const float most = greatest_magnitude(x);
    if (threadIdx.x == 0) *scale = most;
    if (is_there) *code = (uint8_t)(most == 0.0f ? d->zero : pawl_dynamic_code(d, x / most, mirror));
}

/* A thread to a number, a block of threads to a block that shares its scales. */
template <class W>
static __global__ void adamw_8bit_kernel(W *w, const float *g, pawl_moments_8bit moments, int64_t count, const pawl_dynamic *signed_levels,
                                         const pawl_dynamic *levels, pawl_adamw_numbers k, pawl_kept_as as)
{
    const int64_t i = first_of<1>();
    const bool is_there = i < count;
    float *m_scale = moments.m_scale + blockIdx.x, *v_scale = moments.v_scale + blockIdx.x, m = 0, v = 0;
    if (is_there) {
        m = signed_levels->level[moments.m[i]] * *m_scale;
        v = levels->level[moments.v[i]] * *v_scale;
        const some<1> of_w = {{pawl_adamw_rule(get(w, i), g[i], &m, &v, k)}};
        give_kept(w, i, count, of_w, as, PAWL_CHANCE_WEIGHT);
    }
    encode_dynamic(signed_levels, m, is_there, 254, moments.m + i, m_scale); /* begins with a barrier: all have read */
    encode_dynamic(levels, v, is_there, 255, moments.v + i, v_scale);
}

void pawl_cuda_adamw_8bit(pawl_stream s, void *w, const float *g, const pawl_moments_8bit *moments, int64_t count,
                          const pawl_adamw_step *k, const pawl_dynamic *signed_levels, const pawl_dynamic *levels)
{
    BY_WEIGHTS(k->kept, PAWL_LAUNCH(adamw_8bit_kernel<W>, blocks_of(count, PAWL_DYNAMIC_BLOCK), PAWL_DYNAMIC_BLOCK, 0, s, (W *)w, g,
                                    *moments, count, signed_levels, levels, pawl_adamw_prepare(k), k->kept));
}

template <int V, class W>
static __global__ void mix_kernel(float by_y, W *y, float by_x, const float *x, int64_t count, pawl_kept_as as)
{
    const int64_t i = first_of<V>();
    if (i >= count) return;
    some<V> of_y = take<V>(y, i, count);
    const some<V> of_x = take<V>(x, i, count);
    for (int j = 0; j < V; j++) of_y.x[j] = by_y * of_y.x[j] + by_x * of_x.x[j];
    give_kept(y, i, count, of_y, as, PAWL_CHANCE_WEIGHT);
}

void pawl_cuda_mix(pawl_stream s, float by_y, void *y, float by_x, const float *x, int64_t count, const pawl_kept_as *kept)
{
    BY_WEIGHTS(*kept, EACH_KEPT(mix_kernel, (wide_of<W, W>::V), (W), on_sixteen(y, x), *kept, count, s, by_y, (W *)y, by_x, x, count,
                                *kept));
}

template <int V> static __global__ void lerp_kernel(float *a, const float *b, float part, int64_t count)
{
    const int64_t i = first_of<V>();
    if (i >= count) return;
    some<V> of_a = take<V>(a, i, count);
    const some<V> of_b = take<V>(b, i, count);
    for (int j = 0; j < V; j++) of_a.x[j] += part * (of_b.x[j] - of_a.x[j]);
    give(a, i, count, of_a);
}

void pawl_cuda_lerp(pawl_stream s, float *a, const float *b, float part, int64_t count)
{
    EACH(lerp_kernel, 4, on_sixteen(a, b), count, s, a, b, part, count);
}
