/* Rows of a table by their numbers, and the gradient of that. */
#include "ops/cuda/numbers.h"

template <int V, class T>
static __global__ void embedding_kernel(const T *table, const int32_t *ids, int64_t count, int64_t width, float *out)
{
    const int64_t i = first_of<V>();
    if (i >= count) return;
    const int64_t from = ids[i / width] * width;
    give(out, i, count, take<V>(table, from + i % width, from + width));
}

void pawl_cuda_embedding(pawl_stream s, pawl_tensor table, pawl_tensor ids, pawl_tensor out)
{
    const int64_t D = last_dim(table), count = count_of(out);
    const bool wide = D % 8 == 0 && on_sixteen(table.data, out.data);
    BY_TYPE(table, EACH_OF(embedding_kernel, T, 8, wide, count, s, data<T>(table), data<int32_t>(ids), count, D,
                           data<float>(out)));
}

/* A block owns some rows of the table and some columns. It looks through all positions, lists those of its rows in their order,
 * a block of threads at a time, and adds them one after another: so each sum runs in the order of the positions. */
enum { OWNERS = 1024, COLUMNS = 1024 };

static __global__ void embedding_dw_kernel(const float *dout, const int32_t *ids, int64_t positions, int64_t rows, int64_t width,
                                           int64_t each, float *dtable)
{
    enum { WARPS = PAWL_THREADS / PAWL_WARP };
    PAWL_SHARED(int32_t, list, PAWL_THREADS);
    PAWL_SHARED(int32_t, of_warps, WARPS);
    const int64_t owners = (rows + each - 1) / each, first = blockIdx.x % owners * each, last = first + each;
    const int64_t column = blockIdx.x / owners * COLUMNS, end = column + COLUMNS < width ? column + COLUMNS : width;
    for (int64_t at = 0; at < positions; at += PAWL_THREADS) {
        const int64_t n = at + threadIdx.x;
        const int mine = n < positions && ids[n] >= first && ids[n] < last;
        const uint32_t lanes = pawl_ballot(mine);
        int before = 0, all = 0;
        if (pawl_lane() == 0) of_warps[pawl_warp()] = __popc(lanes);
        __syncthreads();
        for (int w = 0; w < WARPS; w++) {
            if (w < pawl_warp()) before += of_warps[w];
            all += of_warps[w];
        }
        if (mine) list[before + __popc(lanes & ((1u << pawl_lane()) - 1))] = (int32_t)n;
        __syncthreads();
        for (int k = 0; k < all; k++) {
            const int64_t from = list[k] * width, to = ids[list[k]] * width;
            for (int64_t c = column + threadIdx.x; c < end; c += PAWL_THREADS) dtable[to + c] += dout[from + c];
        }
    }
}

void pawl_cuda_embedding_dw(pawl_stream s, pawl_tensor dout, pawl_tensor ids, pawl_tensor dtable)
{
    const int64_t V = dtable.dim[0], D = last_dim(dtable), each = blocks_of(V, OWNERS);
    PAWL_LAUNCH(embedding_dw_kernel, blocks_of(V, each) * blocks_of(D, COLUMNS), PAWL_THREADS, 0, s, data<float>(dout),
                data<int32_t>(ids), count_of(ids), V, D, each, data<float>(dtable));
}
