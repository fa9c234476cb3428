/* The update rules over flat arrays: a number has the same bits wherever its array begins, for ranks cut these. */
#include "ops/adamw_rule.h"
#include "ops/cuda/numbers.h"
#include "ops/dynamic_rule.h"
#include "ops/lion_rule.h"
#include "ops/muon_rule.h"
#include "ops/sgd_rule.h"

template <int V>
static __global__ void adamw_kernel(float *w, const float *g, float *m, float *v, int64_t count, pawl_adamw_numbers k)
{
    const int64_t i = first_of<V>();
    if (i >= count) return;
    some<V> of_w = take<V>(w, i, count), of_m = take<V>(m, i, count), of_v = take<V>(v, i, count);
    const some<V> of_g = take<V>(g, i, count);
    for (int j = 0; j < V; j++) of_w.x[j] = pawl_adamw_rule(of_w.x[j], of_g.x[j], &of_m.x[j], &of_v.x[j], k);
    give(w, i, count, of_w);
    give(m, i, count, of_m);
    give(v, i, count, of_v);
}

void pawl_cuda_adamw(pawl_stream s, float *w, const float *g, float *m, float *v, int64_t count, const pawl_adamw_step *k)
{
    EACH(adamw_kernel, 4, on_sixteen(w, g, m, v), count, s, w, g, m, v, count, pawl_adamw_prepare(k));
}

template <int V>
static __global__ void sgd_kernel(float *w, const float *g, float *m, int64_t count, pawl_sgd_numbers k)
{
    const int64_t i = first_of<V>();
    if (i >= count) return;
    some<V> of_w = take<V>(w, i, count), of_m = take<V>(m, i, count);
    const some<V> of_g = take<V>(g, i, count);
    for (int j = 0; j < V; j++) of_w.x[j] = pawl_sgd_rule(of_w.x[j], of_g.x[j], &of_m.x[j], k);
    give(w, i, count, of_w);
    give(m, i, count, of_m);
}

template <int V> static __global__ void sgd_plain_kernel(float *w, const float *g, int64_t count, pawl_sgd_numbers k)
{
    const int64_t i = first_of<V>();
    if (i >= count) return;
    some<V> of_w = take<V>(w, i, count);
    const some<V> of_g = take<V>(g, i, count);
    for (int j = 0; j < V; j++) of_w.x[j] = pawl_sgd_plain_rule(of_w.x[j], of_g.x[j], k);
    give(w, i, count, of_w);
}

void pawl_cuda_sgd(pawl_stream s, float *w, const float *g, float *m, int64_t count, const pawl_sgd_step *k)
{
    if (m)
        EACH(sgd_kernel, 4, on_sixteen(w, g, m), count, s, w, g, m, count, pawl_sgd_prepare(k));
    else
        EACH(sgd_plain_kernel, 4, on_sixteen(w, g), count, s, w, g, count, pawl_sgd_prepare(k));
}

template <int V>
static __global__ void lion_kernel(float *w, const float *g, float *m, int64_t count, pawl_lion_numbers k)
{
    const int64_t i = first_of<V>();
    if (i >= count) return;
    some<V> of_w = take<V>(w, i, count), of_m = take<V>(m, i, count);
    const some<V> of_g = take<V>(g, i, count);
    for (int j = 0; j < V; j++) of_w.x[j] = pawl_lion_rule(of_w.x[j], of_g.x[j], &of_m.x[j], k);
    give(w, i, count, of_w);
    give(m, i, count, of_m);
}

void pawl_cuda_lion(pawl_stream s, float *w, const float *g, float *m, int64_t count, const pawl_lion_step *k)
{
    EACH(lion_kernel, 4, on_sixteen(w, g, m), count, s, w, g, m, count, pawl_lion_prepare(k));
}

template <int V>
static __global__ void muon_momentum_kernel(const float *g, float *m, float *out, int64_t count, float decay, float grad_scale,
                                            int nesterov)
{
    const int64_t i = first_of<V>();
    if (i >= count) return;
    some<V> of_m = take<V>(m, i, count), y;
    const some<V> of_g = take<V>(g, i, count);
    for (int j = 0; j < V; j++) y.x[j] = pawl_muon_momentum_rule(grad_scale * of_g.x[j], &of_m.x[j], decay, nesterov);
    give(m, i, count, of_m);
    give(out, i, count, y);
}

void pawl_cuda_muon_momentum(pawl_stream s, const float *g, float *m, float *out, int64_t count, const pawl_muon_step *k)
{
    EACH(muon_momentum_kernel, 4, on_sixteen(g, m, out), count, s, g, m, out, count, (float)k->momentum,
         (float)k->grad_scale, k->nesterov);
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
static __global__ void adamw_8bit_kernel(float *w, const float *g, pawl_moments_8bit moments, int64_t count,
                                         const pawl_dynamic *signed_levels, const pawl_dynamic *levels, pawl_adamw_numbers k)
{
    const int64_t i = first_of<1>();
    const bool is_there = i < count;
    float *m_scale = moments.m_scale + blockIdx.x, *v_scale = moments.v_scale + blockIdx.x, m = 0, v = 0;
    if (is_there) {
        m = signed_levels->level[moments.m[i]] * *m_scale;
        v = levels->level[moments.v[i]] * *v_scale;
        w[i] = pawl_adamw_rule(w[i], g[i], &m, &v, k);
    }
    encode_dynamic(signed_levels, m, is_there, 254, moments.m + i, m_scale); /* begins with a barrier: all have read */
    encode_dynamic(levels, v, is_there, 255, moments.v + i, v_scale);
}

void pawl_cuda_adamw_8bit(pawl_stream s, float *w, const float *g, const pawl_moments_8bit *moments, int64_t count,
                          const pawl_adamw_step *k, const pawl_dynamic *signed_levels, const pawl_dynamic *levels)
{
    PAWL_LAUNCH(adamw_8bit_kernel, blocks_of(count, PAWL_DYNAMIC_BLOCK), PAWL_DYNAMIC_BLOCK, 0, s, w, g, *moments, count,
                signed_levels, levels, pawl_adamw_prepare(k));
}

template <int V> static __global__ void mix_kernel(float by_y, float *y, float by_x, const float *x, int64_t count)
{
    const int64_t i = first_of<V>();
    if (i >= count) return;
    some<V> of_y = take<V>(y, i, count);
    const some<V> of_x = take<V>(x, i, count);
    for (int j = 0; j < V; j++) of_y.x[j] = by_y * of_y.x[j] + by_x * of_x.x[j];
    give(y, i, count, of_y);
}

void pawl_cuda_mix(pawl_stream s, float by_y, float *y, float by_x, const float *x, int64_t count)
{
    EACH(mix_kernel, 4, on_sixteen(y, x), count, s, by_y, y, by_x, x, count);
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
