/* The output head: logits of a chunk of positions, their loss, and both gradients while the chunk is in memory. Targets are on the
 * device, so positions that are not trained are computed, too; their rows of gradients are zeros. */
#include "ops/cuda/cuda.h"

typedef struct head_scratch {
    float *logits; /* [chunk, row]; of bf16, gradients take the first half of each row */
    void *rows;    /* of the kernel */
} head_scratch;

static head_scratch lay_out(pawl_arena *a, int64_t N, int64_t V, int64_t k)
{
    const int64_t chunk = pawl_cuda_head_chunk(N, V);
    head_scratch s;
    s.logits = pawl_take_bytes(a, (size_t)(chunk * pawl_cuda_head_row(V)) * sizeof(float));
    s.rows = pawl_take_bytes(a, pawl_cuda_head_rows_scratch_bytes(chunk, V, k));
    return s;
}

typedef struct chunk {
    int64_t first, count; /* positions */
    int64_t D, V;
    float *logits;
} chunk;

static pawl_status differentiate(pawl_cuda *c, const pawl_head *h, const chunk *x, pawl_put put)
{
    const pawl_dtype type = h->w.dtype;
    const int64_t lead = pawl_cuda_head_row(x->V) * (type == PAWL_BF16 ? 2 : 1);
    const pawl_product dhidden = {.m = x->count, .n = x->D, .k = x->V, .lda = lead, .ldb = x->D, .ldc = x->D, .type = type, .out = PAWL_F32};
    const pawl_product dw = {.m = x->V, .n = x->D, .k = x->count, .lda = lead, .ldb = x->D, .ldc = x->D, .a_transposed = 1,
                             .add = put == PAWL_ADD, .type = type, .out = PAWL_F32};
    PAWL_TRY(pawl_plans_multiply(c->plans, &dhidden, x->logits, h->w.data, NULL, pawl_cuda_at(h->dhidden, x->first * x->D)));
    if (!h->dw.data) return PAWL_OK;
    return pawl_plans_multiply(c->plans, &dw, x->logits, pawl_cuda_at(h->hidden, x->first * x->D), NULL, h->dw.data);
}

static pawl_status run_chunk(pawl_cuda *c, const pawl_head *h, const chunk *x, void *scratch)
{
    const pawl_product logits = {.m = x->count, .n = x->V, .k = x->D, .lda = x->D, .ldb = x->D, .ldc = pawl_cuda_head_row(x->V), .b_transposed = 1,
                                 .type = h->w.dtype, .out = PAWL_F32};
    PAWL_TRY(pawl_plans_multiply(c->plans, &logits, pawl_cuda_at(h->hidden, x->first * x->D), h->w.data, NULL, x->logits));
    pawl_cuda_head_rows(c->stream, h, x->first, x->count, x->V, x->logits, pawl_cuda_head_row(x->V), scratch);
    PAWL_TRY(pawl_cuda_launched("head_loss"));
    return h->dhidden.data ? differentiate(c, h, x, x->first > 0 ? PAWL_ADD : h->put) : PAWL_OK;
}

pawl_status head_loss_cuda(pawl_device *d, const pawl_head *h)
{
    pawl_cuda *c = pawl_cuda_of(d);
    const int64_t N = pawl_tensor_count(h->loss), V = h->w.dim[0], D = h->w.dim[1], k = h->extra.soft ? h->extra.soft->k : 0,
                  most = pawl_cuda_head_chunk(N, V);
    pawl_arena need = {.name = "output head"}, scratch;
    (void)lay_out(&need, N, V, k);
    PAWL_TRY(pawl_cuda_scratch(c, "the output head", need.used, &scratch));
    const head_scratch s = lay_out(&scratch, N, V, k);
    for (int64_t at = 0; at < N; at += most)
        PAWL_TRY(run_chunk(c, h, &(chunk){at, N - at < most ? N - at : most, D, V, s.logits}, s.rows));
    return PAWL_OK;
}
