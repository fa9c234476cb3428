/* Where documents are, as cuDNN wants to be told: of a few at a time, padded with empty ones. */
#include "ops/cuda/numbers.h"

/* Number j of part p is document p * of_part + j; those behind the last are empty, and at the end. */
static __global__ void ragged_kernel(pawl_ragged r, int32_t *lengths, int32_t *qkv, int32_t *out, int32_t *stats)
{
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, j = i % r.numbers;
    if (i >= r.parts * r.numbers) return;
    const int64_t at = i / r.numbers * r.of_part + (j < r.of_part ? j : r.of_part), k = at < r.documents ? at : r.documents;
    const int64_t bound = r.bounds[k], next = r.bounds[k < r.documents ? k + 1 : k];
    lengths[i] = (int32_t)(next - bound);
    qkv[i] = (int32_t)(bound * r.qkv_width);
    out[i] = (int32_t)(bound * r.out_width);
    stats[i] = (int32_t)(bound * r.stats_width);
}

void pawl_cuda_ragged(pawl_stream s, const pawl_ragged *r, int32_t *lengths, int32_t *qkv, int32_t *out, int32_t *stats)
{
    PAWL_LAUNCH(ragged_kernel, blocks_of(r->parts * r->numbers, PAWL_THREADS), PAWL_THREADS, 0, s, *r, lengths, qkv, out, stats);
}
