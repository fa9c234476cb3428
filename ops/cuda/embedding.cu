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

/* A block owns some rows of the table and some columns, V to a thread. It looks through all positions and lists those of its rows in
 * their order; now and then it sorts the list by rows, and adds each row's up, one after another, beside what the table holds.
 * So each sum runs in the order of the positions, however many have one token, and a row is read and written once for many. */
enum { OWNERS = 1024, TURNS = 4, STRIP = TURNS * PAWL_THREADS, LIST = 2 * STRIP, AHEAD = 8, WARPS = PAWL_THREADS / PAWL_WARP };

struct listed {
    int32_t *position, *row, *sorted; /* sorted: numbers of the list */
    int *of_warps;                    /* [TURNS, WARPS] */
    int count;
};

/* Appends those of a strip of positions whose token is in [first, last). */
static __device__ __forceinline__ void list_strip(const int32_t *ids, int64_t at, int64_t positions, int64_t first, int64_t last, listed *l)
{
    int32_t id[TURNS];
    uint32_t lanes[TURNS];
    for (int t = 0; t < TURNS; t++) {
        const int64_t n = at + t * PAWL_THREADS + threadIdx.x;
        id[t] = n < positions ? ids[n] : -1;
    }
    for (int t = 0; t < TURNS; t++) {
        lanes[t] = pawl_ballot(id[t] >= first && id[t] < last);
        if (pawl_lane() == 0) l->of_warps[t * WARPS + pawl_warp()] = __popc(lanes[t]);
    }
    __syncthreads();
    for (int t = 0; t < TURNS; t++) {
        int before = l->count;
        for (int w = 0; w < WARPS; w++) {
            if (w < pawl_warp()) before += l->of_warps[t * WARPS + w];
            l->count += l->of_warps[t * WARPS + w];
        }
        if (!(lanes[t] >> pawl_lane() & 1)) continue;
        before += __popc(lanes[t] & ((1u << pawl_lane()) - 1));
        l->position[before] = (int32_t)(at + t * PAWL_THREADS + threadIdx.x);
        l->row[before] = id[t];
    }
    __syncthreads();
}

/* By rows, those of one row in the order of the list. */
static __device__ __forceinline__ void sort_list(const listed &l)
{
    for (int k = (int)threadIdx.x; k < l.count; k += PAWL_THREADS) {
        const int32_t row = l.row[k];
        int before = 0;
        for (int j = 0; j < l.count; j++) before += l.row[j] < row || (l.row[j] == row && j < k);
        l.sorted[before] = k;
    }
    __syncthreads();
}

/* This thread's columns, from c on. Gradients are read some ahead of their being added. */
template <int V>
static __device__ __forceinline__ void add_list(const listed &l, const float *dout, int64_t width, int64_t c, float *dtable)
{
    some<V> sum = {}, next[AHEAD] = {};
    int32_t row = -1;
    for (int k = 0; k < l.count && c < width; k += AHEAD) {
        for (int j = 0; j < AHEAD; j++)
            if (k + j < l.count) next[j] = take<V>(dout + l.position[l.sorted[k + j]] * width, c, width);
        for (int j = 0; j < AHEAD; j++) {
            if (k + j >= l.count) break;
            const int32_t of = l.row[l.sorted[k + j]];
            if (of != row) {
                if (row >= 0) give(dtable + row * width, c, width, sum);
                sum = take<V>(dtable + of * width, c, width);
                row = of;
            }
            for (int i = 0; i < V; i++) sum.x[i] += next[j].x[i];
        }
    }
    if (row >= 0) give(dtable + row * width, c, width, sum);
    __syncthreads();
}

template <int V>
static __global__ void embedding_dw_kernel(const float *dout, const int32_t *ids, int64_t positions, int64_t rows, int64_t width,
                                           int64_t each, float *dtable)
{
    PAWL_SHARED(int32_t, position, LIST);
    PAWL_SHARED(int32_t, row, LIST);
    PAWL_SHARED(int32_t, sorted, LIST);
    PAWL_SHARED(int, of_warps, TURNS *WARPS);
    const int64_t owners = (rows + each - 1) / each, first = blockIdx.x % owners * each;
    const int64_t c = (blockIdx.x / owners * PAWL_THREADS + threadIdx.x) * V;
    listed l = {position, row, sorted, of_warps, 0};
    for (int64_t at = 0; at < positions; at += STRIP) {
        list_strip(ids, at, positions, first, first + each, &l);
        if (l.count <= LIST - STRIP && at + STRIP < positions) continue;
        sort_list(l);
        add_list<V>(l, dout, width, c, dtable);
        l.count = 0;
    }
}

template <int V> static void add_rows(pawl_stream s, pawl_tensor dout, pawl_tensor ids, pawl_tensor dtable)
{
    const int64_t rows = dtable.dim[0], width = last_dim(dtable), each = blocks_of(rows, OWNERS);
    PAWL_LAUNCH(embedding_dw_kernel<V>, blocks_of(rows, each) * blocks_of(width, PAWL_THREADS * V), PAWL_THREADS, 0, s, data<float>(dout),
                data<int32_t>(ids), count_of(ids), rows, width, each, data<float>(dtable));
}

void pawl_cuda_embedding_dw(pawl_stream s, pawl_tensor dout, pawl_tensor ids, pawl_tensor dtable)
{
    if (last_dim(dtable) % 4 == 0 && on_sixteen(dout.data, dtable.data))
        add_rows<4>(s, dout, ids, dtable);
    else
        add_rows<1>(s, dout, ids, dtable);
}
