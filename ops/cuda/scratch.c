#include "ops/cuda/scratch.h"

#include "ops/backend.h"
#include "ops/cuda/cudnn_cut.h"
#include "ops/cuda/kernels.h"
#include "ops/fp8_rule.h"

static int64_t parts_of(int64_t count, int64_t each)
{
    return (count + each - 1) / each;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* ---- kernels ---- */

size_t pawl_cuda_column_scratch_bytes(int64_t rows, int64_t width)
{
    const int64_t chunks = parts_of(rows, PAWL_CUDA_COLUMN_CHUNK);
    return chunks <= 1 ? 0 : (size_t)(chunks * width) * sizeof(float) + pawl_cuda_column_scratch_bytes(chunks, width);
}

int64_t pawl_cuda_norm_run(int64_t rows, int64_t width)
{
    return parts_of(rows, width <= PAWL_CUDA_NORM_SHORT ? PAWL_CUDA_NORM_RUNS_SHORT : PAWL_CUDA_NORM_RUNS_LONG);
}

size_t pawl_cuda_norm_scratch_bytes(int64_t rows, int64_t width)
{
    const int64_t runs = parts_of(rows, pawl_cuda_norm_run(rows, width));
    return (size_t)(runs * 2 * width) * sizeof(float) + pawl_cuda_column_scratch_bytes(runs, width);
}

size_t pawl_cuda_attention_scratch_bytes(int64_t positions, int64_t heads)
{
    return (size_t)(positions * heads) * sizeof(float);
}

size_t pawl_cuda_head_rows_scratch_bytes(int64_t count, int64_t vocab, int64_t k)
{
    (void)vocab;
    return (size_t)(count * k) * sizeof(float);
}

/* ---- the device ---- */

pawl_device_own pawl_cuda_own(void)
{
    return (pawl_device_own){.workspace = {.device = PAWL_CUDA_WORKSPACE_BYTES + PAWL_CUDA_CONSTANT_BYTES, .host = PAWL_CUDA_STAGING_BYTES + PAWL_CUDA_SNAPSHOT_BYTES},
                             .libraries = {.device = PAWL_CUDA_LIBRARY_BYTES, .host = PAWL_CUDA_LIBRARY_HOST_BYTES},
                             .peer = PAWL_CUDA_PEER_BYTES,
                             .graphs = PAWL_CUDA_GRAPHS_BYTES};
}

/* ---- ops ---- */

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t pawl_cuda_head_chunk(int64_t positions, int64_t vocab)
{
    enum { MOST = 4096, LEAST = 128 };
    const int64_t bytes = (int64_t)1 << 30; /* of logits */
    int64_t chunk = MOST;
    while (chunk > LEAST && chunk * vocab * (int64_t)sizeof(float) > bytes) chunk /= 2;
    return smaller(chunk, positions);
}

int64_t pawl_cuda_head_step(int64_t positions, int64_t vocab)
{
    enum { LEAST = 64, SHAPES = 16 };
    return parts_of(pawl_cuda_head_chunk(positions, vocab), SHAPES * LEAST) * LEAST;
}

/* Gathering and what belongs to it take 1-2 % of the products' time. */
static int64_t worth_gathering(int64_t positions)
{
    enum { PART = 32 };
    return positions - positions / PART;
}

int64_t pawl_cuda_head_computed(int64_t positions, int64_t vocab, int64_t trained)
{
    const int64_t step = pawl_cuda_head_step(positions, vocab), rows = parts_of(trained, step) * step;
    return rows < positions && rows <= worth_gathering(positions) ? rows : positions;
}

int64_t pawl_cuda_head_gathered(int64_t positions, int64_t vocab)
{
    const int64_t step = pawl_cuda_head_step(positions, vocab), rows = smaller(worth_gathering(positions), positions - 1) / step * step;
    return smaller(rows, pawl_cuda_head_chunk(positions, vocab));
}

int64_t pawl_cuda_head_row(int64_t vocab)
{
    return (vocab + 7) / 8 * 8;
}

/* Rows that are gathered are a few less than a chunk. How many depends on the step, so fewer positions may have more of them; a chunk has
 * never more where there are fewer positions, and what is reserved for the most is enough for all. */
pawl_cuda_head_room pawl_cuda_head_lay_out(pawl_arena *a, int64_t N, int64_t V, int64_t D, int64_t k)
{
    const int64_t chunk = pawl_cuda_head_chunk(N, V);
    pawl_cuda_head_room r;
    r.logits = pawl_take_bytes(a, (size_t)(chunk * pawl_cuda_head_row(V)) * sizeof *r.logits);
    r.kernel = pawl_take_bytes(a, pawl_cuda_head_rows_scratch_bytes(chunk, V, k));
    r.rows = pawl_take_bytes(a, (size_t)(chunk * D) * sizeof(float));
    return r;
}

static size_t head_bytes(const pawl_shapes *s)
{
    pawl_arena a = {.name = "output head"};
    (void)pawl_cuda_head_lay_out(&a, s->positions, s->vocab, s->width, s->bins);
    return a.used;
}

/* The widest bias, rounded. */
static size_t linear_bytes(const pawl_shapes *s)
{
    const int64_t qkv = (s->heads + 2 * s->kv_heads) * s->head_dim;
    return (size_t)larger(larger(qkv, s->width), larger(2 * s->ff, s->vocab)) * 2;
}

pawl_cuda_fp8_room pawl_cuda_fp8_lay_out(pawl_arena *a, int64_t x, int64_t w, int64_t bias)
{
    pawl_cuda_fp8_room r;
    r.x = pawl_take_bytes(a, (size_t)x);
    r.w = pawl_take_bytes(a, (size_t)w);
    r.bias = pawl_take_bytes(a, (size_t)bias * sizeof *r.bias);
    r.of_blocks = pawl_take_bytes(a, PAWL_CUDA_FP8_BLOCKS * sizeof *r.of_blocks);
    r.scale = pawl_take_bytes(a, 2 * sizeof *r.scale);
    return r;
}

static size_t fp8_bytes(const pawl_shapes *s)
{
    pawl_arena a = {.name = "products of 8 bits"};
    if (s->fp8) (void)pawl_cuda_fp8_lay_out(&a, pawl_fp8_inputs(s), pawl_fp8_weights(s), pawl_fp8_outputs(s));
    return a.used;
}

size_t pawl_cuda_scratch_bytes(const pawl_shapes *s, int by_library)
{
    const int64_t N = s->positions, qkv = (s->heads + 2 * s->kv_heads) * s->head_dim;
    const size_t all[] = {
        linear_bytes(s),
        fp8_bytes(s),
        head_bytes(s),
        pawl_cuda_norm_scratch_bytes(N, s->width),
        pawl_cuda_norm_scratch_bytes(N * s->heads, s->head_dim),
        pawl_cuda_column_scratch_bytes(N, qkv),
        pawl_cuda_column_scratch_bytes(N, s->width),
        pawl_cuda_column_scratch_bytes(N, 2 * s->ff),
        pawl_cuda_attention_scratch_bytes(N, s->heads),
        by_library ? pawl_sdpa_scratch_bytes(s) : 0,
    };
    size_t most = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) most = all[i] > most ? all[i] : most;
    return most;
}
