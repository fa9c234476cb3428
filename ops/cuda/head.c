/* The output head: logits of a chunk of positions, their loss, and both gradients while the chunk is in memory. Targets are on the
 * device, so positions that are not trained are computed, too; their rows of gradients are zeros. */
#include "ops/cuda/cuda.h"

enum { CHUNK_MOST = 4096, CHUNK_LEAST = 128 };
static const int64_t CHUNK_BYTES = (int64_t)1 << 30; /* of logits */

static int64_t chunk_of(int64_t positions, int64_t vocab)
{
    int64_t chunk = CHUNK_MOST;
    while (chunk > CHUNK_LEAST && chunk * vocab * (int64_t)sizeof(float) > CHUNK_BYTES) chunk /= 2;
    return chunk < positions ? chunk : positions;
}

/* Rows of logits begin on 32 bytes whatever the vocabulary (50257, say): kernels and products move 16 bytes at a time then. */
static int64_t row_of(int64_t vocab)
{
    return (vocab + 7) / 8 * 8;
}

typedef struct head_scratch {
    float *logits; /* [chunk, row]; of bf16, gradients take the first half of each row */
    void *rows;    /* of the kernel */
} head_scratch;

static head_scratch lay_out(pawl_arena *a, int64_t N, int64_t V, int64_t k)
{
    const int64_t chunk = chunk_of(N, V);
    head_scratch s;
    s.logits = pawl_take_bytes(a, (size_t)(chunk * row_of(V)) * sizeof(float));
    s.rows = pawl_take_bytes(a, pawl_cuda_head_rows_scratch_bytes(chunk, V, k));
    return s;
}

size_t pawl_cuda_head_scratch_bytes(const pawl_shapes *most)
{
    pawl_arena a = {.name = "output head"};
    (void)lay_out(&a, most->positions, most->vocab, most->bins);
    return a.used;
}

typedef struct chunk {
    int64_t first, count; /* positions */
    int64_t D, V;
    float *logits;
} chunk;

static pawl_status differentiate(pawl_cuda *c, const pawl_head *h, const chunk *x, pawl_put put)
{
    const pawl_dtype type = h->w.dtype;
    const int64_t lead = row_of(x->V) * (type == PAWL_BF16 ? 2 : 1);
    const pawl_product dhidden = {.m = x->count, .n = x->D, .k = x->V, .lda = lead, .ldb = x->D, .ldc = x->D, .type = type, .out = PAWL_F32};
    const pawl_product dw = {.m = x->V, .n = x->D, .k = x->count, .lda = lead, .ldb = x->D, .ldc = x->D, .a_transposed = 1,
                             .add = put == PAWL_ADD, .type = type, .out = PAWL_F32};
    PAWL_TRY(pawl_plans_multiply(c->plans, &dhidden, x->logits, h->w.data, NULL, pawl_cuda_at(h->dhidden, x->first * x->D)));
    if (!h->dw.data) return PAWL_OK;
    return pawl_plans_multiply(c->plans, &dw, x->logits, pawl_cuda_at(h->hidden, x->first * x->D), NULL, h->dw.data);
}

static pawl_status run_chunk(pawl_cuda *c, const pawl_head *h, const chunk *x, void *scratch)
{
    const pawl_product logits = {.m = x->count, .n = x->V, .k = x->D, .lda = x->D, .ldb = x->D, .ldc = row_of(x->V), .b_transposed = 1,
                                 .type = h->w.dtype, .out = PAWL_F32};
    PAWL_TRY(pawl_plans_multiply(c->plans, &logits, pawl_cuda_at(h->hidden, x->first * x->D), h->w.data, NULL, x->logits));
    pawl_cuda_head_rows(c->stream, h, x->first, x->count, x->V, x->logits, row_of(x->V), scratch);
    PAWL_TRY(pawl_cuda_launched("head_loss"));
    return h->dhidden.data ? differentiate(c, h, x, x->first > 0 ? PAWL_ADD : h->put) : PAWL_OK;
}

pawl_status head_loss_cuda(pawl_device *d, const pawl_head *h)
{
    pawl_cuda *c = pawl_cuda_of(d);
    const int64_t N = pawl_tensor_count(h->loss), V = h->w.dim[0], D = h->w.dim[1], k = h->extra.soft ? h->extra.soft->k : 0,
                  most = chunk_of(N, V);
    pawl_arena need = {.name = "output head"}, scratch;
    (void)lay_out(&need, N, V, k);
    PAWL_TRY(pawl_cuda_scratch(c, "the output head", need.used, &scratch));
    const head_scratch s = lay_out(&scratch, N, V, k);
    for (int64_t at = 0; at < N; at += most)
        PAWL_TRY(run_chunk(c, h, &(chunk){at, N - at < most ? N - at : most, D, V, s.logits}, s.rows));
    return PAWL_OK;
}
