/* The output head: logits of a chunk of positions, their loss, and both gradients while the chunk is in memory. Targets are on the device, so
 * whoever uploads them says which positions are trained; these are gathered, and the others left out of the products (decision 0055). Where
 * nobody says so, or it would not be worth it, all are computed as they lie, and what is not trained has rows of zeros. */
#include "ops/cuda/cuda.h"

typedef struct head_call {
    pawl_cuda *c;
    const pawl_head *head;
    pawl_cuda_head_room room;
    int64_t N, D, V;
} head_call;

/* Its products are of so many rows; those behind the positions' are zeros, and so are their logits, which are then their gradients, too. */
typedef struct chunk {
    pawl_head_chunk_of of;
    int64_t rows;
    void *hidden;   /* [rows, D] */
    float *dhidden; /* the same place where rows are gathered: hidden states are read for the last time before it is set */
} chunk;

static pawl_status differentiate(const head_call *k, const chunk *x, pawl_put put)
{
    const pawl_head *h = k->head;
    const pawl_dtype type = h->w.dtype;
    const int64_t lead = pawl_cuda_head_row(k->V) * (type == PAWL_BF16 ? 2 : 1);
    const pawl_product dw = {.m = k->V, .n = k->D, .k = x->rows, .lda = lead, .ldb = k->D, .ldc = k->D, .a_transposed = 1,
                             .add = put == PAWL_ADD, .type = type, .out = PAWL_F32};
    const pawl_product dhidden = {.m = x->rows, .n = k->D, .k = k->V, .lda = lead, .ldb = k->D, .ldc = k->D, .type = type, .out = PAWL_F32};
    if (h->dw.data) PAWL_TRY(pawl_plans_multiply(k->c->plans, &dw, k->room.logits, x->hidden, NULL, h->dw.data));
    PAWL_TRY(pawl_plans_multiply(k->c->plans, &dhidden, k->room.logits, h->w.data, NULL, x->dhidden));
    if (!x->of.at) return PAWL_OK;
    pawl_cuda_head_scatter(k->c->stream, x->dhidden, x->of.at, x->of.count, h->dhidden);
    return pawl_cuda_launched("head_scatter");
}

static pawl_status run_chunk(const head_call *k, const chunk *x, pawl_put put)
{
    const pawl_head *h = k->head;
    const pawl_product logits = {.m = x->rows, .n = k->V, .k = k->D, .lda = k->D, .ldb = k->D, .ldc = pawl_cuda_head_row(k->V), .b_transposed = 1,
                                 .type = h->w.dtype, .out = PAWL_F32};
    PAWL_TRY(pawl_plans_multiply(k->c->plans, &logits, x->hidden, h->w.data, NULL, k->room.logits));
    pawl_cuda_head_rows(k->c->stream, h, &x->of, k->V, k->room.logits, pawl_cuda_head_row(k->V), k->room.kernel);
    PAWL_TRY(pawl_cuda_launched("head_loss"));
    return h->dhidden.data ? differentiate(k, x, put) : PAWL_OK;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---- as they lie ---- */

static chunk in_place(const head_call *k, int64_t first, int64_t count)
{
    const pawl_head *h = k->head;
    return (chunk){{.first = first, .count = count}, count, pawl_cuda_at(h->hidden, first * k->D), h->dhidden.data ? pawl_cuda_at(h->dhidden, first * k->D) : NULL};
}

static pawl_status run_all(const head_call *k)
{
    const int64_t most = pawl_cuda_head_chunk(k->N, k->V);
    for (int64_t at = 0; at < k->N; at += most) {
        const chunk x = in_place(k, at, smaller(most, k->N - at));
        PAWL_TRY(run_chunk(k, &x, at > 0 ? PAWL_ADD : k->head->put));
    }
    return PAWL_OK;
}

/* ---- gathered ---- */

static pawl_status run_trained(const head_call *k)
{
    const pawl_head *h = k->head;
    const int64_t most = pawl_cuda_head_gathered(k->N, k->V), step = pawl_cuda_head_step(k->N, k->V), trained = h->trained.count;
    pawl_cuda_head_clear(k->c->stream, h);
    PAWL_TRY(pawl_cuda_launched("head_clear"));
    if (trained == 0 && h->dw.data && h->put == PAWL_SET) pawl_cuda_zero(k->c->stream, h->dw.data, k->V * k->D);
    for (int64_t at = 0; at < trained; at += most) {
        const int64_t count = smaller(most, trained - at);
        const chunk x = {{.count = count, .at = h->trained.at + at}, (count + step - 1) / step * step, k->room.rows, k->room.rows};
        pawl_cuda_head_gather(k->c->stream, h->hidden, x.of.at, count, x.rows, x.hidden);
        PAWL_TRY(pawl_cuda_launched("head_gather"));
        PAWL_TRY(run_chunk(k, &x, at > 0 ? PAWL_ADD : h->put));
    }
    return pawl_cuda_launched("head_loss");
}

/* While algorithms are timed: chunks of all sizes that may be gathered of so many positions, over the first ones' hidden states. */
static pawl_status run_sizes(const head_call *k)
{
    const int64_t step = pawl_cuda_head_step(k->N, k->V);
    for (int64_t rows = pawl_cuda_head_gathered(k->N, k->V); rows > 0; rows -= step) {
        const chunk x = {{.count = rows}, rows, k->room.rows, k->room.rows};
        const size_t bytes = (size_t)(rows * k->D) * pawl_dtype_bytes(k->head->hidden.dtype);
        PAWL_TRY(pawl_cuda_status(cudaMemcpyAsync(x.hidden, k->head->hidden.data, bytes, cudaMemcpyDeviceToDevice, k->c->stream), "cudaMemcpyAsync"));
        PAWL_TRY(run_chunk(k, &x, k->head->put));
    }
    return PAWL_OK;
}

pawl_status head_loss_cuda(pawl_device *d, const pawl_head *h)
{
    pawl_cuda *c = pawl_cuda_of(d);
    head_call k = {.c = c, .head = h, .N = pawl_tensor_count(h->loss), .V = h->w.dim[0], .D = h->w.dim[1]};
    const int64_t bins = h->extra.soft ? h->extra.soft->k : 0;
    pawl_arena need = {.name = "output head"}, scratch;
    (void)pawl_cuda_head_lay_out(&need, k.N, k.V, k.D, bins);
    PAWL_TRY(pawl_cuda_scratch(c, "the output head", need.used, &scratch));
    k.room = pawl_cuda_head_lay_out(&scratch, k.N, k.V, k.D, bins);
    if (pawl_plans_are_timed(c->plans)) PAWL_TRY(run_sizes(&k));
    const int all = !h->trained.at || pawl_cuda_head_computed(k.N, k.V, h->trained.count) == k.N;
    return all ? run_all(&k) : run_trained(&k);
}
