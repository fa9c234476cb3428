/* The output head: logits of a chunk of positions, their loss, and both gradients while the chunk is in memory.
 * Positions that are not trained cost nothing: the others are gathered, unless they already lie side by side. */
#include <string.h>

#include "core/batch.h"
#include "ops/cpu/cpu.h"

enum {
    CHUNK_MOST = 1024,
    CHUNK_LEAST = 128,
    CHUNK_BYTES = 128 << 20, /* of logits */
    GATHER_STEP = 64,        /* gathered chunks have a multiple of this many positions: few shapes, few plans */
    LOSS_ROWS = 8            /* of a task */
};

int64_t pawl_head_chunk(int64_t positions, int64_t vocab)
{
    int64_t chunk = CHUNK_MOST;
    while (chunk > CHUNK_LEAST && chunk * vocab * (int64_t)sizeof(float) > CHUNK_BYTES) chunk /= 2;
    const int64_t all = pawl_blocks(positions, GATHER_STEP) * GATHER_STEP;
    return chunk < all ? chunk : all;
}

typedef struct head_scratch {
    float *logits;    /* [chunk, V]; of bf16, gradients take the first half of each row */
    void *hidden;     /* [chunk, D], gathered */
    float *dhidden;   /* [chunk, D], gathered */
    int32_t *trained; /* [N]: the positions that have a target */
} head_scratch;

static head_scratch lay_out(pawl_arena *a, int64_t N, int64_t D, int64_t V)
{
    const size_t chunk = (size_t)pawl_head_chunk(N, V);
    head_scratch s;
    s.logits = pawl_take_bytes(a, chunk * (size_t)V * sizeof(float));
    s.hidden = pawl_take_bytes(a, chunk * (size_t)D * sizeof(float));
    s.dhidden = pawl_take_bytes(a, chunk * (size_t)D * sizeof(float));
    s.trained = pawl_take_bytes(a, (size_t)N * sizeof(int32_t));
    return s;
}

size_t pawl_head_scratch_bytes(const pawl_shapes *most)
{
    pawl_arena a = {.name = "output head"};
    lay_out(&a, most->positions, most->width, most->vocab);
    return a.used;
}

typedef struct head_call {
    pawl_cpu *cpu;
    const pawl_head *head;
    head_scratch scratch;
    int64_t N, D, V;
    /* the chunk at hand */
    const int32_t *chosen; /* its positions */
    int64_t count, padded; /* of them; padded with rows of zeros, which add nothing to dw */
    int gathered;
    const void *hidden; /* [padded, D] */
    float *dhidden;
} head_call;

/* Untrained positions have no loss and no gradient. */
static void clear_rows(void *self, int64_t i, int thread)
{
    (void)thread;
    const head_call *c = self;
    float *loss = c->head->loss.data, *dhidden = c->head->dhidden.data;
    const int64_t first = i * PAWL_ROW_BLOCK, last = first + pawl_block_size(c->N, PAWL_ROW_BLOCK, i);
    for (int64_t n = first; n < last; n++) {
        if (c->head->targets[n] != PAWL_NOT_TRAINED) continue;
        loss[n] = 0.0f;
        if (dhidden) memset(dhidden + n * c->D, 0, (size_t)c->D * sizeof *dhidden);
    }
}

static int64_t list_trained(const head_call *c)
{
    int64_t count = 0;
    for (int64_t n = 0; n < c->N; n++)
        if (c->head->targets[n] != PAWL_NOT_TRAINED) c->scratch.trained[count++] = (int32_t)n;
    return count;
}

static void gather_rows(void *self, int64_t i, int thread)
{
    (void)thread;
    const head_call *c = self;
    const size_t bytes = (size_t)c->D * pawl_dtype_bytes(c->head->hidden.dtype);
    for (int64_t r = i * PAWL_ROW_BLOCK; r < i * PAWL_ROW_BLOCK + pawl_block_size(c->padded, PAWL_ROW_BLOCK, i); r++) {
        char *to = (char *)c->scratch.hidden + (size_t)r * bytes;
        if (r < c->count)
            memcpy(to, pawl_at(c->head->hidden, c->chosen[r] * c->D), bytes);
        else
            memset(to, 0, bytes);
    }
}

static void scatter_rows(void *self, int64_t i, int thread)
{
    (void)thread;
    const head_call *c = self;
    float *dhidden = c->head->dhidden.data;
    for (int64_t r = i * PAWL_ROW_BLOCK; r < i * PAWL_ROW_BLOCK + pawl_block_size(c->count, PAWL_ROW_BLOCK, i); r++)
        memcpy(dhidden + c->chosen[r] * c->D, c->scratch.dhidden + r * c->D, (size_t)c->D * sizeof *dhidden);
}

/* Chunks of whole steps that lie side by side are used where they lie, and so is everything when all are trained. */
static void choose(head_call *c, const int32_t *chosen, int64_t count, int64_t all)
{
    const int adjacent = chosen[count - 1] - chosen[0] == count - 1;
    c->chosen = chosen;
    c->count = count;
    c->gathered = !(adjacent && (count % GATHER_STEP == 0 || all == c->N));
    c->padded = c->gathered ? pawl_blocks(count, GATHER_STEP) * GATHER_STEP : count;
    c->hidden = c->gathered ? c->scratch.hidden : pawl_at(c->head->hidden, chosen[0] * c->D);
    c->dhidden = c->gathered ? c->scratch.dhidden : (float *)c->head->dhidden.data + chosen[0] * c->D;
    if (c->gathered) pawl_pool_run(c->cpu->pool, pawl_blocks(c->padded, PAWL_ROW_BLOCK), gather_rows, c);
}

static void lose_rows(void *self, int64_t i, int thread)
{
    (void)thread;
    const head_call *c = self;
    float *loss = c->head->loss.data;
    const float *scale = c->head->dhidden.data ? &c->head->scale : NULL;
    for (int64_t r = i * LOSS_ROWS; r < i * LOSS_ROWS + pawl_block_size(c->count, LOSS_ROWS, i); r++) {
        const int32_t n = c->chosen[r];
        loss[n] = c->cpu->kernels->cross_entropy[pawl_low(c->head->w)](c->scratch.logits + r * c->V, c->V,
                                                                       c->head->targets[n], scale);
    }
}

static pawl_status differentiate(head_call *c, pawl_put put)
{
    const pawl_dtype type = c->head->w.dtype;
    const int64_t lead = type == PAWL_BF16 ? 2 * c->V : c->V;
    const pawl_panel dhidden = {
        .m = c->padded, .n = c->D, .k = c->V, .lda = lead, .ldb = c->D, .ldc = c->D, .a_type = type, .b_type = type};
    const pawl_panel dw = {.m = c->V,
                           .n = c->D,
                           .k = c->padded,
                           .lda = lead,
                           .ldb = c->D,
                           .ldc = c->D,
                           .a_transposed = 1,
                           .add = put == PAWL_ADD,
                           .a_type = type,
                           .b_type = type};
    const void *w = c->head->w.data, *dlogits = c->scratch.logits;
    PAWL_TRY(pawl_gemm_run(c->cpu->gemm, PAWL_OVER_WIDTH, &dhidden, dlogits, w, NULL, c->dhidden));
    if (c->gathered) pawl_pool_run(c->cpu->pool, pawl_blocks(c->count, PAWL_ROW_BLOCK), scatter_rows, c);
    if (!c->head->dw.data) return PAWL_OK;
    return pawl_gemm_run(c->cpu->gemm, PAWL_OVER_POSITIONS, &dw, dlogits, c->hidden, NULL, c->head->dw.data);
}

static pawl_status run_chunk(head_call *c, pawl_put put)
{
    const pawl_dtype type = c->head->w.dtype;
    const pawl_panel logits = {.m = c->padded,
                               .n = c->V,
                               .k = c->D,
                               .lda = c->D,
                               .ldb = c->D,
                               .ldc = c->V,
                               .b_transposed = 1,
                               .a_type = type,
                               .b_type = type};
    PAWL_TRY(
        pawl_gemm_run(c->cpu->gemm, PAWL_OVER_WIDTH, &logits, c->hidden, c->head->w.data, NULL, c->scratch.logits));
    pawl_pool_run(c->cpu->pool, pawl_blocks(c->count, LOSS_ROWS), lose_rows, c);
    return c->head->dhidden.data ? differentiate(c, put) : PAWL_OK;
}

pawl_status head_loss_cpu(pawl_device *d, const pawl_head *h)
{
    pawl_cpu *cpu = pawl_cpu_of(d);
    head_call c = {.cpu = cpu, .head = h, .N = pawl_tensor_count(h->loss), .D = h->w.dim[1], .V = h->w.dim[0]};
    pawl_arena need = {.name = "output head"}, scratch;
    lay_out(&need, c.N, c.D, c.V);
    PAWL_TRY(pawl_cpu_scratch(cpu, "the output head", need.used, &scratch));
    c.scratch = lay_out(&scratch, c.N, c.D, c.V);

    pawl_pool_run(cpu->pool, pawl_blocks(c.N, PAWL_ROW_BLOCK), clear_rows, &c);
    const int64_t trained = list_trained(&c), chunk = pawl_head_chunk(c.N, c.V);
    for (int64_t at = 0; at < trained; at += chunk) {
        choose(&c, c.scratch.trained + at, trained - at < chunk ? trained - at : chunk, trained);
        PAWL_TRY(run_chunk(&c, at > 0 ? PAWL_ADD : h->put));
    }
    if (trained == 0 && h->dw.data && h->put == PAWL_SET) return zero_cpu(d, h->dw.data, c.V * c.D);
    return PAWL_OK;
}
