/* The update rules over flat arrays: a number has the same bits wherever its array begins, for ranks cut these. */
#include "ops/adamw_rule.h"
#include "ops/cuda/numbers.h"
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
