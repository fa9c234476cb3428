/* Sums over rows for each column, and what is done to columns. */
#include "ops/cuda/columns.h"
#include "ops/cuda/numbers.h"
#include "ops/cuda/scratch.h"

/* A block has 32 columns and 32 rows at a time: a thread adds up every 32nd row of up to CHUNK, a warp the 32 sums of a
 * column. More rows than that are summed in chunks, whose sums are summed in turn. */
enum { SIDE = PAWL_WARP, CHUNK = PAWL_CUDA_COLUMN_CHUNK };

/* x, and what it is multiplied by; NULL: by nothing. */
template <class T> struct addends {
    const T *x;
    int64_t ldx;
    const float *by;
    int64_t ldby;
};

template <class T>
static __global__ void __launch_bounds__(SIDE *SIDE) column_sums_kernel(addends<T> a, int64_t rows, int64_t width, pawl_put how, float *sums)
{
    PAWL_SHARED(float, parts, SIDE *(SIDE + 1));
    const int64_t panels = (width + SIDE - 1) / SIDE, chunk = blockIdx.x / panels, at = blockIdx.x % panels * SIDE;
    const int64_t column = at + pawl_lane(), first = chunk * CHUNK, last = first + CHUNK < rows ? first + CHUNK : rows;
    float sum = 0;
    for (int64_t n = first + pawl_warp(); n < last && column < width; n += SIDE) {
        const float x = get(a.x, n * a.ldx + column);
        sum += a.by ? x * a.by[n * a.ldby + column] : x;
    }
    parts[pawl_warp() * (SIDE + 1) + pawl_lane()] = sum;
    __syncthreads();
    sum = pawl_warp_reduce<pawl_plus>(parts[pawl_lane() * (SIDE + 1) + pawl_warp()]);
    if (pawl_lane() > 0 || at + pawl_warp() >= width) return;
    float *out = sums + chunk * width + at + pawl_warp();
    *out = how == PAWL_ADD ? *out + sum : sum;
}

template <class T>
static void sum_columns(pawl_stream s, addends<T> a, int64_t rows, int64_t width, pawl_put put, float *sums, float *scratch)
{
    const int64_t chunks = blocks_of(rows, CHUNK), panels = blocks_of(width, SIDE);
    if (chunks <= 1) {
        PAWL_LAUNCH(column_sums_kernel<T>, panels, SIDE * SIDE, 0, s, a, rows, width, put, sums);
        return;
    }
    PAWL_LAUNCH(column_sums_kernel<T>, chunks * panels, SIDE * SIDE, 0, s, a, rows, width, PAWL_SET, scratch);
    sum_columns<float>(s, {scratch, width, nullptr, 0}, chunks, width, put, sums, scratch + chunks * width);
}

void pawl_column_sums(pawl_stream s, const float *x, int64_t ldx, int64_t rows, int64_t width, pawl_put put, float *sums,
                      void *scratch)
{
    sum_columns<float>(s, {x, ldx, nullptr, 0}, rows, width, put, sums, (float *)scratch);
}

void pawl_cuda_column_sums(pawl_stream s, pawl_tensor x, int64_t first, pawl_put put, pawl_tensor sums, void *scratch)
{
    const int64_t W = last_dim(x), O = count_of(sums), N = count_of(x) / W;
    BY_TYPE(x, sum_columns<T>(s, {data<T>(x) + first, W, nullptr, 0}, N, O, put, data<float>(sums), (float *)scratch));
}

void pawl_cuda_column_dots(pawl_stream s, pawl_tensor x, int64_t first, pawl_tensor y, pawl_put put, pawl_tensor sums,
                           void *scratch)
{
    const int64_t W = last_dim(x), O = last_dim(y), N = count_of(y) / O;
    sum_columns<float>(s, {data<float>(x) + first, W, data<float>(y), O}, N, O, put, data<float>(sums), (float *)scratch);
}

template <class T>
static __global__ void add_bias_kernel(const float *bias, int64_t rows, int64_t width, pawl_put how, T *y, int64_t ldy)
{
    const int64_t i = first_of<1>(), n = i / width, o = i % width;
    if (n < rows) put(y, n * ldy + o, how == PAWL_ADD ? get(y, n * ldy + o) + bias[o] : bias[o]);
}

void pawl_cuda_add_bias(pawl_stream s, pawl_tensor bias, pawl_put put, pawl_tensor y, int64_t first)
{
    const int64_t W = last_dim(y), O = count_of(bias), N = count_of(y) / W;
    BY_TYPE(y, PAWL_LAUNCH(add_bias_kernel<T>, blocks_of(N * O, PAWL_THREADS), PAWL_THREADS, 0, s, data<float>(bias), N, O, put,
                           data<T>(y) + first, W));
}

static __global__ void divide_kernel(const float *a, const float *b, float plus, int64_t count, pawl_put how, float *y)
{
    const int64_t i = first_of<1>();
    if (i >= count) return;
    const float quotient = a[i] / b[i] + plus;
    y[i] = how == PAWL_ADD ? y[i] + quotient : quotient;
}

void pawl_cuda_divide(pawl_stream s, pawl_tensor a, pawl_tensor b, float plus, pawl_put put, pawl_tensor y)
{
    const int64_t O = count_of(y);
    PAWL_LAUNCH(divide_kernel, blocks_of(O, PAWL_THREADS), PAWL_THREADS, 0, s, data<float>(a), data<float>(b), plus, O, put, data<float>(y));
}

/* y = (how) gain x, both parts of wider rows. */
static __global__ void gain_columns_kernel(const float *x, int64_t ldx, const float *gain, int64_t rows, int64_t width,
                                           pawl_put how, float *y, int64_t ldy)
{
    const int64_t i = first_of<1>(), n = i / width, o = i % width;
    if (n >= rows) return;
    const float scaled = gain[o] * x[n * ldx + o];
    y[n * ldy + o] = how == PAWL_ADD ? y[n * ldy + o] + scaled : scaled;
}

void pawl_cuda_scale_columns(pawl_stream s, pawl_tensor x, int64_t first, pawl_tensor gain, pawl_tensor y)
{
    const int64_t O = last_dim(y), N = count_of(y) / O;
    PAWL_LAUNCH(gain_columns_kernel, blocks_of(N * O, PAWL_THREADS), PAWL_THREADS, 0, s, data<float>(x) + first, last_dim(x),
                data<float>(gain), N, O, PAWL_SET, data<float>(y), O);
}

void pawl_cuda_add_columns(pawl_stream s, pawl_tensor x, pawl_tensor gain, pawl_tensor y, int64_t first)
{
    const int64_t O = last_dim(x), N = count_of(x) / O;
    PAWL_LAUNCH(gain_columns_kernel, blocks_of(N * O, PAWL_THREADS), PAWL_THREADS, 0, s, data<float>(x), O, data<float>(gain), N,
                O, PAWL_ADD, data<float>(y) + first, last_dim(y));
}

/* A block to some rows, so that a is read once for all of them; b's rows lie in shared memory, side by side for each k. */
enum { NORM_ROWS = 8 };

static __global__ void low_rank_norms_kernel(const float *w, const float *a, const float *b, int64_t rows, int64_t width, int64_t rank,
                                             float scale, float *norms)
{
    float *of_b = (float *)pawl_dynamic_shared();
    const int64_t first = (int64_t)blockIdx.x * NORM_ROWS;
    double squares[NORM_ROWS] = {};
    for (int64_t i = threadIdx.x; i < rank * NORM_ROWS; i += PAWL_THREADS) {
        const int64_t o = first + i % NORM_ROWS;
        of_b[i] = o < rows ? b[o * rank + i / NORM_ROWS] : 0.0f;
    }
    __syncthreads();
    for (int64_t i = threadIdx.x; i < width; i += PAWL_THREADS) {
        some<NORM_ROWS> sum = {};
        for (int64_t k = 0; k < rank; k++) {
            const float x = a[k * width + i];
            const some<NORM_ROWS> y = take<NORM_ROWS>(of_b, k * NORM_ROWS, rank * NORM_ROWS);
            for (int r = 0; r < NORM_ROWS; r++) sum.x[r] += y.x[r] * x;
        }
        for (int r = 0; r < NORM_ROWS; r++) {
            const double x = first + r < rows ? (double)(w[(first + r) * width + i] + scale * sum.x[r]) : 0.0;
            squares[r] += x * x;
        }
    }
    for (int r = 0; r < NORM_ROWS; r++) {
        const double all = pawl_block_reduce<PAWL_THREADS / PAWL_WARP, pawl_plus>(squares[r]);
        if (threadIdx.x == 0 && first + r < rows) norms[first + r] = (float)sqrt(all);
    }
}

void pawl_cuda_low_rank_norms(pawl_stream s, pawl_tensor w, pawl_tensor a, pawl_tensor b, float scale, pawl_tensor norms)
{
    PAWL_LAUNCH(low_rank_norms_kernel, blocks_of(w.dim[0], NORM_ROWS), PAWL_THREADS, (size_t)(a.dim[0] * NORM_ROWS) * sizeof(float), s,
                data<float>(w), data<float>(a), data<float>(b), w.dim[0], w.dim[1], a.dim[0], scale, data<float>(norms));
}
