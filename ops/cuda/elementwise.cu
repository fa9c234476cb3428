/* Loops around the rules, and plain movement. In a row of `width` numbers V side by side never straddle two. */
#include "ops/activation_rule.h"
#include "ops/cuda/numbers.h"
#include "ops/rope_rule.h"
#include "ops/swiglu_rule.h"

template <int V, class T> static __global__ void swiglu_kernel(const T *gate_up, int64_t count, int64_t width, T *out)
{
    const int64_t i = first_of<V>(), at = i / width * 2 * width + i % width;
    if (i >= count) return;
    const some<V> gate = take<V>(gate_up, at, 2 * count), up = take<V>(gate_up, at + width, 2 * count);
    some<V> y;
    for (int j = 0; j < V; j++) y.x[j] = pawl_swiglu_rule(gate.x[j], up.x[j]);
    give(out, i, count, y);
}

void pawl_cuda_swiglu(pawl_stream s, pawl_tensor gate_up, pawl_tensor out)
{
    const int64_t F = last_dim(out), count = count_of(out);
    const bool wide = F % 8 == 0 && on_sixteen(gate_up.data, out.data);
    BY_TYPE(out, EACH_OF(swiglu_kernel, T, 8, wide, count, s, data<T>(gate_up), count, F, data<T>(out)));
}

template <int V, class T>
static __global__ void swiglu_backward_kernel(const T *dout, const T *gate_up, int64_t count, int64_t width, T *dgate_up)
{
    const int64_t i = first_of<V>(), at = i / width * 2 * width + i % width;
    if (i >= count) return;
    const some<V> d = take<V>(dout, i, count), gate = take<V>(gate_up, at, 2 * count),
                  up = take<V>(gate_up, at + width, 2 * count);
    some<V> dgate, dup;
    for (int j = 0; j < V; j++) pawl_swiglu_backward_rule(d.x[j], gate.x[j], up.x[j], &dgate.x[j], &dup.x[j]);
    give(dgate_up, at, 2 * count, dgate);
    give(dgate_up, at + width, 2 * count, dup);
}

void pawl_cuda_swiglu_backward(pawl_stream s, pawl_tensor dout, pawl_tensor gate_up, pawl_tensor dgate_up)
{
    const int64_t F = last_dim(dout), count = count_of(dout);
    const bool wide = F % 8 == 0 && on_sixteen(dout.data, gate_up.data, dgate_up.data);
    BY_TYPE(dout, EACH_OF(swiglu_backward_kernel, T, 8, wide, count, s, data<T>(dout), data<T>(gate_up), count, F,
                          data<T>(dgate_up)));
}

static __device__ __forceinline__ float activation(pawl_activation which, float x)
{
    switch (which) {
    case PAWL_GELU: return pawl_gelu_rule(x);
    case PAWL_GELU_TANH: return pawl_gelu_tanh_rule(x);
    case PAWL_QUICK_GELU: return pawl_quick_gelu_rule(x);
    case PAWL_SILU: return pawl_silu_rule(x);
    case PAWL_RELU: return pawl_relu_rule(x);
    default: return pawl_tanh_rule(x);
    }
}

static __device__ __forceinline__ float slope(pawl_activation which, float x)
{
    switch (which) {
    case PAWL_GELU: return pawl_gelu_slope_rule(x);
    case PAWL_GELU_TANH: return pawl_gelu_tanh_slope_rule(x);
    case PAWL_QUICK_GELU: return pawl_quick_gelu_slope_rule(x);
    case PAWL_SILU: return pawl_silu_slope_rule(x);
    case PAWL_RELU: return pawl_relu_slope_rule(x);
    default: return pawl_tanh_slope_rule(x);
    }
}

template <int V, class T> static __global__ void activate_kernel(pawl_activation which, const T *x, int64_t count, T *out)
{
    const int64_t i = first_of<V>();
    if (i >= count) return;
    some<V> y = take<V>(x, i, count);
    for (int j = 0; j < V; j++) y.x[j] = activation(which, y.x[j]);
    give(out, i, count, y);
}

void pawl_cuda_activate(pawl_stream s, pawl_activation which, pawl_tensor x, pawl_tensor out)
{
    const int64_t count = count_of(x);
    const bool wide = on_sixteen(x.data, out.data);
    BY_TYPE(x, EACH_OF(activate_kernel, T, 8, wide, count, s, which, data<T>(x), count, data<T>(out)));
}

template <int V, class T>
static __global__ void activate_backward_kernel(pawl_activation which, const T *dout, const T *x, int64_t count, T *dx)
{
    const int64_t i = first_of<V>();
    if (i >= count) return;
    some<V> y = take<V>(x, i, count);
    const some<V> d = take<V>(dout, i, count);
    for (int j = 0; j < V; j++) y.x[j] = d.x[j] * slope(which, y.x[j]);
    give(dx, i, count, y);
}

void pawl_cuda_activate_backward(pawl_stream s, pawl_activation which, pawl_tensor dout, pawl_tensor x, pawl_tensor dx)
{
    const int64_t count = count_of(x);
    const bool wide = on_sixteen(dout.data, x.data, dx.data);
    BY_TYPE(x, EACH_OF(activate_backward_kernel, T, 8, wide, count, s, which, data<T>(dout), data<T>(x), count,
                       data<T>(dx)));
}

struct rope_shape {
    int64_t count, stride, heads, half; /* count pairs */
    float sign;
};

template <int V, class T>
static __global__ void rope_kernel(T *x, rope_shape r, const float *cos, const float *sin, const int32_t *positions)
{
    const int64_t i = first_of<V>();
    if (i >= r.count) return;
    const int64_t pair = r.heads * r.half, n = i / pair, h = i % pair / r.half, c = i % r.half;
    const int64_t at = n * r.stride + 2 * h * r.half + c, end = at + 2 * r.half, turn = positions[n] * r.half + c;
    some<V> a = take<V>(x, at, end), b = take<V>(x, at + r.half, end);
    const some<V> by = take<V>(cos, turn, turn + V), up = take<V>(sin, turn, turn + V);
    for (int j = 0; j < V; j++) pawl_rope_rule(&a.x[j], &b.x[j], by.x[j], r.sign * up.x[j]);
    give(x, at, end, a);
    give(x, at + r.half, end, b);
}

void pawl_cuda_rope(pawl_stream s, pawl_tensor x, int64_t heads, pawl_tensor cos, pawl_tensor sin, pawl_tensor positions,
                    int direction)
{
    const int64_t N = count_of(positions), half = last_dim(cos);
    const rope_shape r = {N * heads * half, count_of(x) / N, heads, half, (float)direction};
    const bool wide = half % 8 == 0 && on_sixteen(x.data, cos.data, sin.data);
    BY_TYPE(x, EACH_OF(rope_kernel, T, 8, wide, r.count, s, data<T>(x), r, data<float>(cos), data<float>(sin),
                       data<int32_t>(positions)));
}

template <int V, class From, class To> static __global__ void cast_kernel(const From *from, int64_t count, To *to)
{
    const int64_t i = first_of<V>();
    if (i < count) give(to, i, count, take<V>(from, i, count));
}

template <class From, class To> static void cast_as(pawl_stream s, const From *from, int64_t count, To *to)
{
    if (on_sixteen(from, to))
        PAWL_LAUNCH((cast_kernel<8, From, To>), blocks_of(count, 8 * PAWL_THREADS), PAWL_THREADS, 0, s, from, count, to);
    else
        PAWL_LAUNCH((cast_kernel<1, From, To>), blocks_of(count, PAWL_THREADS), PAWL_THREADS, 0, s, from, count, to);
}

void pawl_cuda_cast(pawl_stream s, pawl_tensor from, pawl_tensor to)
{
    const int64_t count = count_of(from);
    if (low(from))
        BY_TYPE(to, cast_as(s, data<bf16>(from), count, data<T>(to)));
    else
        BY_TYPE(to, cast_as(s, data<float>(from), count, data<T>(to)));
}

template <int V, class T> static __global__ void scale_kernel(T *a, int64_t count, float by)
{
    const int64_t i = first_of<V>();
    if (i >= count) return;
    some<V> y = take<V>(a, i, count);
    for (int j = 0; j < V; j++) y.x[j] *= by;
    give(a, i, count, y);
}

void pawl_cuda_scale(pawl_stream s, pawl_tensor a, float by)
{
    const int64_t count = count_of(a);
    BY_TYPE(a, EACH_OF(scale_kernel, T, 8, on_sixteen(a.data), count, s, data<T>(a), count, by));
}

template <int V> static __global__ void add_kernel(float *a, const float *b, int64_t count)
{
    const int64_t i = first_of<V>();
    if (i >= count) return;
    some<V> y = take<V>(a, i, count);
    const some<V> x = take<V>(b, i, count);
    for (int j = 0; j < V; j++) y.x[j] += x.x[j];
    give(a, i, count, y);
}

void pawl_cuda_add(pawl_stream s, float *a, const float *b, int64_t count)
{
    EACH(add_kernel, 4, on_sixteen(a, b), count, s, a, b, count);
}

template <int V> static __global__ void zero_kernel(float *a, int64_t count)
{
    const int64_t i = first_of<V>();
    const some<V> none = {};
    if (i < count) give(a, i, count, none);
}

void pawl_cuda_zero(pawl_stream s, float *a, int64_t count)
{
    EACH(zero_kernel, 4, on_sixteen(a), count, s, a, count);
}

template <int V> static __global__ void copy_kernel(float *to, const float *from, int64_t count)
{
    const int64_t i = first_of<V>();
    if (i < count) give(to, i, count, take<V>(from, i, count));
}

void pawl_cuda_copy(pawl_stream s, float *to, const float *from, int64_t count)
{
    EACH(copy_kernel, 4, on_sixteen(to, from), count, s, to, from, count);
}
