/* Weights in few bits and back (ops/quant_rule.h): a greatest magnitude is no sum, so all bits are the CPU's. */
#include "ops/quant_rule.h"

#include "ops/cuda/numbers.h"

enum { NF4_WARPS = PAWL_THREADS / PAWL_WARP };

static __device__ __forceinline__ float magnitude(float most, float x)
{
    return fabsf(x) > most ? fabsf(x) : most;
}

/* A block to a row. */
static __global__ void quantise_int8_kernel(const float *w, int64_t cols, uint8_t *codes, float *scales)
{
    const int64_t at = blockIdx.x * cols;
    float most = 0;
    for (int64_t i = threadIdx.x; i < cols; i += PAWL_THREADS) most = magnitude(most, w[at + i]);
    most = pawl_block_reduce<PAWL_THREADS / PAWL_WARP, pawl_greater>(most);
    if (threadIdx.x == 0) scales[blockIdx.x] = most;
    for (int64_t i = threadIdx.x; i < cols; i += PAWL_THREADS)
        codes[at + i] = (uint8_t)(int8_t)(most > 0 ? pawl_int8_code(w[at + i], most) : 0);
}

/* A warp to a block of 64 numbers: a lane has two of them, and their byte. */
static __global__ void quantise_nf4_kernel(const float *w, int64_t rows, int64_t cols, uint8_t *codes, float *scales)
{
    const int64_t each = (cols + PAWL_NF4_BLOCK - 1) / PAWL_NF4_BLOCK, block = (int64_t)blockIdx.x * NF4_WARPS + pawl_warp();
    const int64_t row = block / each, i = block % each * PAWL_NF4_BLOCK + 2 * pawl_lane();
    if (row >= rows) return;
    const float first = i < cols ? w[row * cols + i] : 0.0f, second = i + 1 < cols ? w[row * cols + i + 1] : 0.0f;
    const float most = pawl_warp_reduce<pawl_greater>(magnitude(magnitude(0, first), second));
    if (pawl_lane() == 0) scales[block] = most;
    if (i >= cols) return;
    const int high = pawl_nf4_code(most > 0 ? first / most : 0),
              under = i + 1 < cols ? pawl_nf4_code(most > 0 ? second / most : 0) : 0;
    codes[row * ((cols + 1) / 2) + i / 2] = (uint8_t)(high << 4 | under);
}

void pawl_cuda_quantise(pawl_stream s, pawl_tensor w, const pawl_coded *q, int64_t first)
{
    const int64_t rows = w.dim[0], blocks = (q->cols + PAWL_NF4_BLOCK - 1) / PAWL_NF4_BLOCK;
    if (q->code == PAWL_CODE_NF4)
        PAWL_LAUNCH(quantise_nf4_kernel, blocks_of(rows * blocks, NF4_WARPS), PAWL_THREADS, 0, s, data<float>(w), rows, q->cols,
                    q->codes + first * ((q->cols + 1) / 2), q->scales + first * blocks);
    else
        PAWL_LAUNCH(quantise_int8_kernel, rows, PAWL_THREADS, 0, s, data<float>(w), q->cols, q->codes + first * q->cols,
                    q->scales + first);
}

template <int V, class T>
static __global__ void dequantise_int8_kernel(const uint8_t *codes, const float *scales, int64_t count, int64_t cols, T *w)
{
    const int64_t i = first_of<V>();
    if (i >= count) return;
    const float by = pawl_int8_value(1, scales[i / cols]);
    some<V> x;
    for (int j = 0; j < V; j++) x.x[j] = (float)(int8_t)codes[i + j] * by;
    give(w, i, count, x);
}

template <int V, class T>
static __global__ void dequantise_nf4_kernel(const uint8_t *codes, const float *scales, int64_t count, int64_t cols, T *w)
{
    const int64_t i = first_of<V>(), row = i / cols, c = i % cols;
    if (i >= count) return;
    const float scale = scales[row * ((cols + PAWL_NF4_BLOCK - 1) / PAWL_NF4_BLOCK) + c / PAWL_NF4_BLOCK];
    const uint8_t *from = codes + row * ((cols + 1) / 2);
    some<V> x;
    for (int j = 0; j < V; j++) {
        const int both = from[(c + j) / 2], q = (c + j) % 2 ? both & 15 : both >> 4;
        x.x[j] = pawl_nf4_level[q] * scale;
    }
    give(w, i, count, x);
}

void pawl_cuda_dequantise(pawl_stream s, const pawl_coded *q, int64_t first, pawl_tensor w)
{
    const int64_t count = count_of(w), blocks = (q->cols + PAWL_NF4_BLOCK - 1) / PAWL_NF4_BLOCK;
    const bool wide = q->cols % 8 == 0 && on_sixteen(w.data);
    if (q->code == PAWL_CODE_NF4)
        BY_TYPE(w, EACH_OF(dequantise_nf4_kernel, T, 8, wide, count, s, q->codes + first * ((q->cols + 1) / 2),
                           q->scales + first * blocks, count, q->cols, data<T>(w)));
    else
        BY_TYPE(w, EACH_OF(dequantise_int8_kernel, T, 8, wide, count, s, q->codes + first * q->cols, q->scales + first, count,
                           q->cols, data<T>(w)));
}
