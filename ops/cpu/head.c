/* The output head: logits of a chunk of positions, their loss, and both gradients while the chunk is in memory.
 * Positions that are not trained cost nothing: the others are gathered, unless they already lie side by side. */
#include <string.h>

#include "core/batch.h"
#include "core/rng.h"
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
    char *desks;      /* [threads]: a row of logits, and k of them */
} head_scratch;

/* A thread's own lines of cache. */
static size_t desk_bytes(int64_t V, int64_t k)
{
    return k > 0 ? ((size_t)(V + k) * sizeof(float) + 63) / 64 * 64 : 0;
}

static head_scratch lay_out(pawl_arena *a, const pawl_cpu *cpu, int64_t N, int64_t D, int64_t V, int64_t k)
{
    const size_t chunk = (size_t)pawl_head_chunk(N, V);
    head_scratch s;
    s.logits = pawl_take_bytes(a, chunk * (size_t)V * sizeof(float));
    s.hidden = pawl_take_bytes(a, chunk * (size_t)D * sizeof(float));
    s.dhidden = pawl_take_bytes(a, chunk * (size_t)D * sizeof(float));
    s.trained = pawl_take_bytes(a, (size_t)N * sizeof(int32_t));
    s.desks = pawl_take_bytes(a, (size_t)pawl_pool_threads(cpu->pool) * desk_bytes(V, k));
    return s;
}

size_t pawl_head_scratch_bytes(const pawl_cpu *cpu, const pawl_shapes *most)
{
    pawl_arena a = {.name = "output head"};
    lay_out(&a, cpu, most->positions, most->width, most->vocab, most->bins);
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

static void clear_extra(const pawl_head_extra *x, int64_t n)
{
    if (x->soft) x->soft->loss[n] = 0.0f;
    if (x->labels && x->labels->drawn) x->labels->drawn[n] = PAWL_NOT_TRAINED;
    for (int64_t j = 0; x->top && j < x->top->k; j++) {
        x->top->ids[n * x->top->k + j] = 0;
        x->top->logp[n * x->top->k + j] = 0.0f;
    }
}

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
        clear_extra(&c->head->extra, n);
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

/* What position n is to learn: its target, or a label drawn from its logits. */
static int32_t label_of(const head_call *c, const float *logits, int64_t n)
{
    const pawl_labels *l = c->head->extra.labels;
    if (!l) return c->head->targets[n];
    const int64_t T = c->head->extra.tokens;
    const pawl_random r = pawl_random_at(l->seed, PAWL_FOR_LABELS, (uint64_t)(l->first_row + n / T), (uint64_t)(n % T));
    const int32_t label = c->cpu->kernels->draw_label(logits, c->V, ((double)r.word[0] + r.word[1] * 0x1p-32) * 0x1p-32);
    if (l->drawn) l->drawn[n] = label;
    return label;
}

/* A row with soft targets: both gradients are made as f32 and added before they are rounded. */
static void lose_softly(const head_call *c, float *logits, int64_t n, const float *scale, int thread)
{
    const pawl_kernels *kernels = c->cpu->kernels;
    const pawl_soft *s = c->head->extra.soft;
    const int64_t b = n / c->head->extra.tokens;
    const pawl_soft_row row = {.ids = s->ids + n * s->k,
                               .logp = s->logp + n * s->k,
                               .k = s->row_k ? s->row_k[b] : s->k,
                               .temperature = s->row_temperatures ? s->row_temperatures[b] : s->temperature};
    float *other = (float *)(c->scratch.desks + (size_t)thread * desk_bytes(c->V, s->k));
    memcpy(other, logits, (size_t)c->V * sizeof *other);
    const float *weight = scale ? &s->row_weights[b] : NULL;
    s->loss[n] = kernels->soft(other, c->V, &row, weight, other + c->V);
    ((float *)c->head->loss.data)[n] = kernels->cross_entropy[0](logits, c->V, label_of(c, logits, n), scale);
    if (!scale) return;
    kernels->add(other, logits, c->V);
    if (pawl_low(c->head->w))
        kernels->narrow(other, (uint16_t *)logits, c->V);
    else
        memcpy(logits, other, (size_t)c->V * sizeof *other);
}

static void lose_row(const head_call *c, float *logits, int64_t n, int thread)
{
    const pawl_kernels *kernels = c->cpu->kernels;
    const pawl_head_extra *x = &c->head->extra;
    const int low = pawl_low(c->head->w);
    const float *scale = x->row_weights ? &x->row_weights[n / x->tokens] : &c->head->scale;
    float *loss = (float *)c->head->loss.data + n;
    if (!c->head->dhidden.data) scale = NULL;
    if (x->top) kernels->likeliest(logits, c->V, x->top->k, x->top->temperature, x->top->ids + n * x->top->k, x->top->logp + n * x->top->k);
    if (x->soft && x->soft->row_weights[n / x->tokens] != 0.0f) {
        lose_softly(c, logits, n, scale, thread);
        return;
    }
    if (x->soft) x->soft->loss[n] = 0.0f;
    *loss = x->squares ? kernels->squares[low](logits, c->V, scale) : kernels->cross_entropy[low](logits, c->V, label_of(c, logits, n), scale);
}

static void lose_rows(void *self, int64_t i, int thread)
{
    const head_call *c = self;
    for (int64_t r = i * LOSS_ROWS; r < i * LOSS_ROWS + pawl_block_size(c->count, LOSS_ROWS, i); r++)
        lose_row(c, c->scratch.logits + r * c->V, c->chosen[r], thread);
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
    const int64_t k = h->extra.soft ? h->extra.soft->k : 0;
    lay_out(&need, cpu, c.N, c.D, c.V, k);
    PAWL_TRY(pawl_cpu_scratch(cpu, "the output head", need.used, &scratch));
    c.scratch = lay_out(&scratch, cpu, c.N, c.D, c.V, k);

    pawl_pool_run(cpu->pool, pawl_blocks(c.N, PAWL_ROW_BLOCK), clear_rows, &c);
    const int64_t trained = list_trained(&c), chunk = pawl_head_chunk(c.N, c.V);
    for (int64_t at = 0; at < trained; at += chunk) {
        choose(&c, c.scratch.trained + at, trained - at < chunk ? trained - at : chunk, trained);
        PAWL_TRY(run_chunk(&c, at > 0 ? PAWL_ADD : h->put));
    }
    if (trained == 0 && h->dw.data && h->put == PAWL_SET) return zero_cpu(d, h->dw.data, c.V * c.D);
    return PAWL_OK;
}
