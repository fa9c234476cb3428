/* Adafactor's passes, as those of the CPU backend: squares into the factors, the size of the update, the step. What one
 * pass leaves for the next, means and the rate too, stays in device memory. Sums over columns are the CPU's to the bit: of
 * panels of rows in f32, in the order of the rows, joined in double; those over rows and of the update run in trees. */
#include "ops/adafactor_rule.h"
#include "ops/backend.h"
#include "ops/cuda/kept.h"

enum { WARPS = PAWL_THREADS / PAWL_WARP, PANEL_THREADS = 1024 };

struct factors {
    float *row, *col;
    int64_t rows, cols, panels;
    double *sums;   /* [panels], or of blocks of a vector */
    float *panel;   /* [panels, cols] of squares */
    float *columns; /* [cols]: 1/sqrt of the column factors */
    double *two;    /* the mean of the row factors, and the rate */
    pawl_adafactor_numbers k;
};

/* A block to a row. */
static __global__ void adafactor_rows_kernel(factors f, const float *g)
{
    const int64_t row = blockIdx.x;
    double sum = 0;
    for (int64_t j = threadIdx.x; j < f.cols; j += PAWL_THREADS)
        sum += (double)pawl_adafactor_square_rule(g[row * f.cols + j], f.k);
    sum = pawl_block_reduce<WARPS, pawl_plus>(sum);
    if (threadIdx.x == 0) f.row[row] = pawl_adafactor_moment_rule(f.row[row], (float)(sum / (double)f.cols), f.k);
}

/* A thread to a column of a panel. */
static __global__ void adafactor_panels_kernel(factors f, const float *g)
{
    const int64_t i = first_of<1>(), panel = i / f.cols, j = i % f.cols;
    if (panel >= f.panels) return;
    const int64_t first = panel * PAWL_ADAFACTOR_ROWS, last = first + PAWL_ADAFACTOR_ROWS;
    float sum = 0;
    for (int64_t row = first; row < last && row < f.rows; row++) sum += pawl_adafactor_square_rule(g[row * f.cols + j], f.k);
    f.panel[i] = sum;
}

static __global__ void adafactor_columns_kernel(factors f)
{
    const int64_t j = first_of<1>();
    if (j >= f.cols) return;
    double sum = 0;
    for (int64_t p = 0; p < f.panels; p++) sum += (double)f.panel[p * f.cols + j];
    f.col[j] = pawl_adafactor_moment_rule(f.col[j], (float)(sum / (double)f.rows), f.k);
    f.columns[j] = 1.0f / sqrtf(f.col[j]);
}

/* One block. */
static __global__ void adafactor_mean_kernel(factors f)
{
    double sum = 0;
    for (int64_t i = threadIdx.x; i < f.rows; i += PAWL_THREADS) sum += (double)f.row[i];
    sum = pawl_block_reduce<WARPS, pawl_plus>(sum);
    if (threadIdx.x == 0) f.two[0] = sum / (double)f.rows;
}

static __device__ __forceinline__ float row_root(const factors &f, int64_t row)
{
    return 1.0f / sqrtf((float)((double)f.row[row] / f.two[0]));
}

/* A block to a panel: a large one, for a matrix has few panels. */
static __global__ void __launch_bounds__(PANEL_THREADS) adafactor_updates_kernel(factors f, const float *g)
{
    const int64_t first = blockIdx.x * (int64_t)PAWL_ADAFACTOR_ROWS, last = first + PAWL_ADAFACTOR_ROWS;
    double sum = 0;
    for (int64_t row = first; row < last && row < f.rows; row++) {
        const float root = row_root(f, row);
        for (int64_t j = threadIdx.x; j < f.cols; j += PANEL_THREADS) {
            const double u = (double)pawl_adafactor_update_rule(g[row * f.cols + j], root * f.columns[j], f.k);
            sum += u * u;
        }
    }
    sum = pawl_block_reduce<PANEL_THREADS / PAWL_WARP, pawl_plus>(sum);
    if (threadIdx.x == 0) f.sums[blockIdx.x] = sum;
}

/* One block: the rate of this step, from the sums of the updates' squares. */
static __global__ void adafactor_rate_kernel(factors f, int64_t sums, int64_t count, double lr, double clip_threshold)
{
    double squares = 0;
    for (int64_t i = threadIdx.x; i < sums; i += PAWL_THREADS) squares += f.sums[i];
    squares = pawl_block_reduce<WARPS, pawl_plus>(squares);
    if (threadIdx.x == 0) f.two[1] = lr * pawl_adafactor_clip_rule(squares, (double)count, clip_threshold);
}

template <class W>
static __device__ __forceinline__ void step_number(const factors &f, W *w, const float *g, int64_t i, float root, int64_t count,
                                                   const pawl_kept_as &as)
{
    const some<1> next = {{pawl_adafactor_rule(get(w, i), pawl_adafactor_update_rule(g[i], root, f.k), (float)f.two[1], f.k)}};
    give_kept(w, i, count, next, as, PAWL_CHANCE_WEIGHT);
}

template <class W> static __global__ void adafactor_step_kernel(factors f, W *w, const float *g, pawl_kept_as as)
{
    const int64_t i = first_of<1>(), row = i / f.cols, j = i % f.cols;
    if (row < f.rows) step_number(f, w, g, i, row_root(f, row) * f.columns[j], f.rows * f.cols, as);
}

/* A vector keeps a moment of its own for each number. A block to PAWL_SUM_BLOCK of them. */
static __global__ void adafactor_vector_updates_kernel(factors f, const float *g)
{
    const int64_t first = blockIdx.x * (int64_t)PAWL_SUM_BLOCK, last = first + PAWL_SUM_BLOCK;
    double sum = 0;
    for (int64_t i = first + threadIdx.x; i < last && i < f.rows; i += PAWL_THREADS) {
        f.row[i] = pawl_adafactor_moment_rule(f.row[i], pawl_adafactor_square_rule(g[i], f.k), f.k);
        const double u = (double)pawl_adafactor_update_rule(g[i], 1.0f / sqrtf(f.row[i]), f.k);
        sum += u * u;
    }
    sum = pawl_block_reduce<WARPS, pawl_plus>(sum);
    if (threadIdx.x == 0) f.sums[blockIdx.x] = sum;
}

template <class W> static __global__ void adafactor_vector_step_kernel(factors f, W *w, const float *g, pawl_kept_as as)
{
    const int64_t i = first_of<1>();
    if (i < f.rows) step_number(f, w, g, i, 1.0f / sqrtf(f.row[i]), f.rows, as);
}

template <class W> static void vector_passes(pawl_stream s, factors f, W *w, const float *g, const pawl_adafactor_step *k)
{
    const int64_t sums = blocks_of(f.rows, PAWL_SUM_BLOCK);
    PAWL_LAUNCH(adafactor_vector_updates_kernel, sums, PAWL_THREADS, 0, s, f, g);
    PAWL_LAUNCH(adafactor_rate_kernel, sums > 0, PAWL_THREADS, 0, s, f, sums, f.rows, k->lr, k->clip_threshold);
    PAWL_LAUNCH(adafactor_vector_step_kernel<W>, blocks_of(f.rows, PAWL_THREADS), PAWL_THREADS, 0, s, f, w, g, k->kept);
}

template <class W> static void matrix_passes(pawl_stream s, factors f, W *w, const float *g, const pawl_adafactor_step *k)
{
    const int64_t count = f.rows * f.cols;
    PAWL_LAUNCH(adafactor_rows_kernel, f.rows, PAWL_THREADS, 0, s, f, g);
    PAWL_LAUNCH(adafactor_panels_kernel, blocks_of(f.panels * f.cols, PAWL_THREADS), PAWL_THREADS, 0, s, f, g);
    PAWL_LAUNCH(adafactor_columns_kernel, blocks_of(f.cols, PAWL_THREADS), PAWL_THREADS, 0, s, f);
    PAWL_LAUNCH(adafactor_mean_kernel, f.rows > 0, PAWL_THREADS, 0, s, f);
    PAWL_LAUNCH(adafactor_updates_kernel, f.panels, PANEL_THREADS, 0, s, f, g);
    PAWL_LAUNCH(adafactor_rate_kernel, f.rows > 0, PAWL_THREADS, 0, s, f, f.panels, count, k->lr, k->clip_threshold);
    PAWL_LAUNCH(adafactor_step_kernel<W>, blocks_of(count, PAWL_THREADS), PAWL_THREADS, 0, s, f, w, g, k->kept);
}

void pawl_cuda_adafactor(pawl_stream s, void *w, const float *g, float *row, float *col, int64_t rows, int64_t cols,
                         void *scratch, const pawl_adafactor_step *k, double *two)
{
    factors f = {row, col, rows, cols, blocks_of(rows, PAWL_ADAFACTOR_ROWS), (double *)scratch, nullptr, nullptr, two,
                 pawl_adafactor_prepare(k)};
    f.panel = (float *)(f.sums + f.panels);
    f.columns = f.panel + f.panels * cols;
    if (cols > 0)
        BY_WEIGHTS(k->kept, matrix_passes(s, f, (W *)w, g, k));
    else
        BY_WEIGHTS(k->kept, vector_passes(s, f, (W *)w, g, k));
}
