/* RMSNorm of rows, or of heads inside rows, and LayerNorm of rows.
 *
 * A team of WARPS warps takes a row: one warp where rows are short, eight where they are long. In the backward pass a team
 * takes a run of rows, and adds up their shares of dw and dbias in shared memory, each lane its own columns; the runs'
 * sums are summed by columns. How many rows are in a run is set by the shape alone. */
#include "ops/cuda/columns.h"
#include "ops/cuda/numbers.h"
#include "ops/cuda/scratch.h"
#include "ops/layernorm_rule.h"
#include "ops/norm_rule.h"

enum { WARPS_LONG = PAWL_THREADS / PAWL_WARP, SHORT = PAWL_CUDA_NORM_SHORT };

/* `rows` times `groups` rows of `width` numbers: row r is group r % groups of a row of `stride` numbers, from `first` on. */
struct norm_rows {
    int64_t rows, groups, width, stride, first;
    float eps;
};

static __device__ __forceinline__ int64_t place_of(const norm_rows &s, int64_t r)
{
    return r / s.groups * s.stride + s.first + r % s.groups * s.width;
}

/* This thread's team: which one of all, and its place in it. */
template <int WARPS> static __device__ __forceinline__ int64_t team(void)
{
    return (int64_t)blockIdx.x * (WARPS_LONG / WARPS) + threadIdx.x / (PAWL_WARP * WARPS);
}

template <int WARPS> static __device__ __forceinline__ int in_team(void)
{
    return (int)(threadIdx.x % (PAWL_WARP * WARPS));
}

static bool is_short(const norm_rows &s)
{
    return s.width <= SHORT;
}

static int64_t blocks_of_teams(const norm_rows &s, int64_t teams)
{
    return blocks_of(teams, is_short(s) ? WARPS_LONG : 1);
}

/* The columns of one thread: V at a time, from its own on. */
#define COLUMNS_OF(i, width) for (int64_t i = in_team<WARPS>() * V; i < (width); i += PAWL_WARP * WARPS * V)

/* A row as it is normed: residual (+ x), which is written to sum. Returns its total, and leaves the square's in squares. */
template <int V, int WARPS, class T>
static __device__ __forceinline__ float add_row(const T *residual, const T *x, T *sum, int64_t at, int64_t width, float *squares)
{
    float total = 0;
    *squares = 0;
    COLUMNS_OF(i, width)
    {
        some<V> r = take<V>(residual, at + i, at + width);
        if (x) {
            const some<V> more = take<V>(x, at + i, at + width);
            for (int j = 0; j < V; j++) r.x[j] += more.x[j];
        }
        for (int j = 0; j < V; j++) {
            total += r.x[j];
            *squares = pawl_fma(r.x[j], r.x[j], *squares);
        }
        if (sum) give(sum, at + i, at + width, r);
    }
    return total;
}

template <int V, int WARPS, class T, class Y>
static __global__ void norm_kernel(norm_rows s, const T *residual, const T *x, const float *w, T *sum, Y *y, float *rstd)
{
    const int64_t row = team<WARPS>();
    if (row >= s.rows * s.groups) return;
    const int64_t at = place_of(s, row);
    const T *normed = sum ? sum : residual;
    float squares;
    add_row<V, WARPS>(residual, x, sum, at, s.width, &squares);
    const float scale = pawl_rstd_rule(pawl_block_reduce<WARPS, pawl_plus>(squares), s.width, s.eps);
    COLUMNS_OF(i, s.width)
    {
        some<V> r = take<V>(normed, at + i, at + s.width);
        const some<V> gain = take<V>(w, i, s.width);
        for (int j = 0; j < V; j++) r.x[j] = pawl_norm_rule(r.x[j], gain.x[j], scale);
        give(y, at + i, at + s.width, r);
    }
    if (in_team<WARPS>() == 0) rstd[row] = scale;
}

template <int V, int WARPS, class Y>
static __global__ void layernorm_kernel(norm_rows s, const float *residual, const float *x, const float *w, const float *bias,
                                        float *sum, Y *y, float *mean, float *rstd)
{
    const int64_t row = team<WARPS>();
    if (row >= s.rows) return;
    const int64_t at = place_of(s, row);
    float squares;
    const float total = add_row<V, WARPS>(residual, x, sum, at, s.width, &squares);
    const float middle = pawl_block_reduce<WARPS, pawl_plus>(total) / (float)s.width;
    squares = 0;
    COLUMNS_OF(i, s.width)
    {
        const some<V> r = take<V>(sum, at + i, at + s.width);
        for (int j = 0; j < V; j++)
            if (i + j < s.width) squares = pawl_fma(r.x[j] - middle, r.x[j] - middle, squares);
    }
    const float scale = pawl_rstd_rule(pawl_block_reduce<WARPS, pawl_plus>(squares), s.width, s.eps);
    COLUMNS_OF(i, s.width)
    {
        some<V> r = take<V>(sum, at + i, at + s.width);
        const some<V> gain = take<V>(w, i, s.width), shift = take<V>(bias, i, s.width);
        for (int j = 0; j < V; j++) r.x[j] = pawl_layernorm_rule(r.x[j] - middle, gain.x[j], shift.x[j], scale);
        give(y, at + i, at + s.width, r);
    }
    if (in_team<WARPS>() > 0) return;
    mean[row] = middle;
    rstd[row] = scale;
}

/* The rows of a run, and how many runs there are. */
struct norm_runs {
    int64_t each, count;
};

static norm_runs runs_of(const norm_rows &s)
{
    const int64_t rows = s.rows * s.groups, each = pawl_cuda_norm_run(rows, s.width);
    return {each, blocks_of(rows, each)};
}

/* Where a column's sum is: numbers that a thread has side by side lie apart, so that threads side by side use banks side by side.
 * V is 1, or the width a multiple of it. */
template <int V> static __device__ __forceinline__ int64_t sum_at(int64_t i, int j, int64_t width)
{
    return V == 1 ? i : j * (width / V) + i / V;
}

/* This team's sums, in shared memory. */
template <int V, int WARPS> static __device__ __forceinline__ float *cleared_sums(int64_t width, int parts)
{
    float *sums = (float *)pawl_dynamic_shared() + threadIdx.x / (PAWL_WARP * WARPS) * width * parts;
    for (int p = 0; p < parts; p++)
        COLUMNS_OF(i, width) for (int j = 0; j < V; j++)
            if (i + j < width) sums[p * width + sum_at<V>(i, j, width)] = 0;
    return sums;
}

template <int V, int WARPS> static __device__ __forceinline__ void keep_sums(const float *sums, int64_t width, int parts, float *to)
{
    for (int p = 0; p < parts; p++)
        COLUMNS_OF(i, width) for (int j = 0; j < V; j++)
            if (i + j < width) to[p * width + i + j] = sums[p * width + sum_at<V>(i, j, width)];
}

template <int V, int WARPS, class T>
static __global__ void norm_backward_kernel(norm_rows s, norm_runs runs, const T *dy, const T *x, const float *w, const float *rstd,
                                            pawl_put how, T *dx, float *partials)
{
    const int64_t run = team<WARPS>(), first = run * runs.each;
    if (run >= runs.count) return;
    float *sums = cleared_sums<V, WARPS>(s.width, 1);
    for (int64_t row = first; row < first + runs.each && row < s.rows * s.groups; row++) {
        const int64_t at = place_of(s, row), end = at + s.width;
        const float scale = rstd[row];
        float dot = 0;
        COLUMNS_OF(i, s.width)
        {
            const some<V> d = take<V>(dy, at + i, end), r = take<V>(x, at + i, end), gain = take<V>(w, i, s.width);
            for (int j = 0; j < V; j++) dot = pawl_fma(d.x[j] * gain.x[j], r.x[j], dot);
        }
        const float pull = pawl_norm_pull_rule(pawl_block_reduce<WARPS, pawl_plus>(dot), s.width, scale);
        COLUMNS_OF(i, s.width)
        {
            const some<V> d = take<V>(dy, at + i, end), r = take<V>(x, at + i, end), gain = take<V>(w, i, s.width);
            some<V> out = {};
            if (how == PAWL_ADD) out = take<V>(dx, at + i, end);
            for (int j = 0; j < V; j++) {
                const float step = pawl_norm_dx_rule(d.x[j], r.x[j], gain.x[j], scale, pull);
                out.x[j] = how == PAWL_ADD ? out.x[j] + step : step;
                if (i + j < s.width) sums[sum_at<V>(i, j, s.width)] += pawl_norm_dw_rule(d.x[j], r.x[j], scale);
            }
            give(dx, at + i, end, out);
        }
    }
    keep_sums<V, WARPS>(sums, s.width, 1, partials + run * s.width);
}

template <int V, int WARPS>
static __global__ void layernorm_backward_kernel(norm_rows s, norm_runs runs, const float *dy, const float *x, const float *w,
                                                 const float *mean, const float *rstd, float *dx, float *partials)
{
    const int64_t run = team<WARPS>(), first = run * runs.each;
    if (run >= runs.count) return;
    float *sums = cleared_sums<V, WARPS>(s.width, 2);
    for (int64_t row = first; row < first + runs.each && row < s.rows; row++) {
        const int64_t at = place_of(s, row), end = at + s.width;
        const float middle = mean[row], scale = rstd[row];
        float push = 0, dot = 0;
        COLUMNS_OF(i, s.width)
        {
            const some<V> d = take<V>(dy, at + i, end), r = take<V>(x, at + i, end), gain = take<V>(w, i, s.width);
            for (int j = 0; j < V; j++) {
                push = pawl_fma(d.x[j], gain.x[j], push);
                dot = pawl_fma(d.x[j] * gain.x[j], r.x[j] - middle, dot);
            }
        }
        push = pawl_block_reduce<WARPS, pawl_plus>(push) / (float)s.width;
        const float pull = pawl_norm_pull_rule(pawl_block_reduce<WARPS, pawl_plus>(dot), s.width, scale);
        COLUMNS_OF(i, s.width)
        {
            const some<V> d = take<V>(dy, at + i, end), r = take<V>(x, at + i, end), gain = take<V>(w, i, s.width);
            some<V> out = take<V>(dx, at + i, end);
            for (int j = 0; j < V; j++) {
                const float centred = r.x[j] - middle;
                out.x[j] += pawl_layernorm_dx_rule(d.x[j], centred, gain.x[j], scale, push, pull);
                if (i + j >= s.width) continue;
                sums[sum_at<V>(i, j, s.width)] += pawl_norm_dw_rule(d.x[j], centred, scale);
                sums[s.width + sum_at<V>(i, j, s.width)] += d.x[j];
            }
            give(dx, at + i, end, out);
        }
    }
    keep_sums<V, WARPS>(sums, s.width, 2, partials + run * 2 * s.width);
}

/* A kernel of V numbers a thread, and teams by the length of rows; its other template arguments in parentheses. */
#define UNWRAP(...)  __VA_ARGS__
#define BY_TEAM(kernel, types, shape, wide, teams, shared, stream, ...)                                                \
    do {                                                                                                               \
        const int64_t blocks_ = blocks_of_teams(shape, teams);                                                         \
        if (is_short(shape) && (wide))                                                                                 \
            PAWL_LAUNCH((kernel<8, 1 UNWRAP types>), blocks_, PAWL_THREADS, shared, stream, __VA_ARGS__);              \
        else if (is_short(shape))                                                                                      \
            PAWL_LAUNCH((kernel<1, 1 UNWRAP types>), blocks_, PAWL_THREADS, shared, stream, __VA_ARGS__);              \
        else if (wide)                                                                                                 \
            PAWL_LAUNCH((kernel<8, WARPS_LONG UNWRAP types>), blocks_, PAWL_THREADS, shared, stream, __VA_ARGS__);     \
        else                                                                                                           \
            PAWL_LAUNCH((kernel<1, WARPS_LONG UNWRAP types>), blocks_, PAWL_THREADS, shared, stream, __VA_ARGS__);     \
    } while (0)

static size_t shared_of(const norm_rows &s, int parts)
{
    return (size_t)(s.width * parts * (is_short(s) ? WARPS_LONG : 1)) * sizeof(float);
}

static norm_rows rows_of(pawl_tensor x, int64_t width, float eps)
{
    return {count_of(x) / width, 1, width, width, 0, eps};
}

void pawl_cuda_rmsnorm(pawl_stream s, pawl_tensor residual, pawl_tensor x, pawl_tensor w, float eps, pawl_tensor sum,
                       pawl_tensor y, pawl_tensor rstd)
{
    const norm_rows shape = rows_of(residual, count_of(w), eps);
    const bool wide = shape.width % 8 == 0 && on_sixteen(residual.data, x.data, w.data, sum.data, y.data);
    BY_TYPE(y, BY_TEAM(norm_kernel, (, float, T), shape, wide, shape.rows, 0, s, shape, data<float>(residual), data<float>(x),
                       data<float>(w), data<float>(sum), data<T>(y), data<float>(rstd)));
}

void pawl_cuda_rmsnorm_backward(pawl_stream s, pawl_tensor dy, pawl_tensor sum, pawl_tensor w, pawl_tensor rstd, pawl_put put,
                                pawl_tensor dsum, pawl_tensor dw, void *scratch)
{
    const norm_rows shape = rows_of(dy, count_of(w), 0);
    const norm_runs runs = runs_of(shape);
    const bool wide = shape.width % 8 == 0 && on_sixteen(dy.data, sum.data, w.data, dsum.data);
    float *partials = (float *)scratch;
    BY_TEAM(norm_backward_kernel, (, float), shape, wide, runs.count, shared_of(shape, 1), s, shape, runs, data<float>(dy),
            data<float>(sum), data<float>(w), data<float>(rstd), PAWL_ADD, data<float>(dsum), partials);
    if (dw.data)
        pawl_column_sums(s, partials, shape.width, runs.count, shape.width, put, data<float>(dw),
                         partials + runs.count * shape.width);
}

void pawl_cuda_layernorm(pawl_stream s, pawl_tensor residual, pawl_tensor x, pawl_tensor w, pawl_tensor bias, float eps,
                         pawl_tensor sum, pawl_tensor y, pawl_tensor mean, pawl_tensor rstd)
{
    const norm_rows shape = rows_of(residual, count_of(w), eps);
    const bool wide = shape.width % 8 == 0 && on_sixteen(residual.data, x.data, w.data, bias.data, sum.data, y.data);
    BY_TYPE(y, BY_TEAM(layernorm_kernel, (, T), shape, wide, shape.rows, 0, s, shape, data<float>(residual), data<float>(x),
                       data<float>(w), data<float>(bias), data<float>(sum), data<T>(y), data<float>(mean),
                       data<float>(rstd)));
}

void pawl_cuda_layernorm_backward(pawl_stream s, pawl_tensor dy, pawl_tensor sum, pawl_tensor w, pawl_tensor mean,
                                  pawl_tensor rstd, pawl_put put, pawl_tensor dsum, pawl_tensor dw, pawl_tensor dbias,
                                  void *scratch)
{
    const norm_rows shape = rows_of(dy, count_of(w), 0);
    const norm_runs runs = runs_of(shape);
    const int64_t W = shape.width;
    const bool wide = W % 8 == 0 && on_sixteen(dy.data, sum.data, w.data, dsum.data);
    float *partials = (float *)scratch, *rest = partials + runs.count * 2 * W;
    BY_TEAM(layernorm_backward_kernel, (), shape, wide, runs.count, shared_of(shape, 2), s, shape, runs, data<float>(dy),
            data<float>(sum), data<float>(w), data<float>(mean), data<float>(rstd), data<float>(dsum), partials);
    if (dw.data) pawl_column_sums(s, partials, 2 * W, runs.count, W, put, data<float>(dw), rest);
    if (dbias.data) pawl_column_sums(s, partials + W, 2 * W, runs.count, W, put, data<float>(dbias), rest);
}

static norm_rows heads_of(pawl_tensor x, pawl_tensor w, int64_t first, int64_t heads, float eps)
{
    const int64_t K = count_of(w), W = last_dim(x);
    return {count_of(x) / W, heads, K, W, first * K, eps};
}

void pawl_cuda_head_norm(pawl_stream s, pawl_tensor x, pawl_tensor w, float eps, int64_t first, int64_t heads, pawl_tensor y,
                         pawl_tensor rstd)
{
    const norm_rows shape = heads_of(x, w, first, heads, eps);
    const bool wide = shape.width % 8 == 0 && on_sixteen(x.data, w.data, y.data);
    BY_TYPE(x, BY_TEAM(norm_kernel, (, T, T), shape, wide, shape.rows * heads, 0, s, shape, data<T>(x), (const T *)nullptr,
                       data<float>(w), (T *)nullptr, data<T>(y), data<float>(rstd)));
}

void pawl_cuda_head_norm_backward(pawl_stream s, pawl_tensor x, pawl_tensor w, pawl_tensor rstd, int64_t first, int64_t heads,
                                  pawl_put put, pawl_tensor dy, pawl_tensor dw, void *scratch)
{
    const norm_rows shape = heads_of(x, w, first, heads, 0);
    const norm_runs runs = runs_of(shape);
    const bool wide = shape.width % 8 == 0 && on_sixteen(x.data, w.data, dy.data);
    float *partials = (float *)scratch;
    BY_TYPE(x, BY_TEAM(norm_backward_kernel, (, T), shape, wide, runs.count, shared_of(shape, 1), s, shape, runs, data<T>(dy),
                       data<T>(x), data<float>(w), data<float>(rstd), PAWL_SET, data<T>(dy), partials));
    if (dw.data)
        pawl_column_sums(s, partials, shape.width, runs.count, shape.width, put, data<float>(dw),
                         partials + runs.count * shape.width);
}
