/* The head's part between its products, against the CPU backend's whole head: with hidden states [N, V] and w the unit matrix
 * the logits are the hidden states, and their gradients (of f32) are those of the hidden states. Sums of a row run in other
 * blocks: 2e-6; 1e-5 where one position is all there is, whose loss may be small beside the logits that it is the difference of.
 * Gradients of bf16 are compared as they are rounded, and one that is rounded the other way is 2^-8 off: 4e-3. */
#include "core/batch.h"
#include "tests/cuda_on_cpu/cases.h"

enum { ROWS = 3, TOKENS = 2, N = ROWS * TOKENS };

/* What a case asks for beside cross-entropy. */
typedef struct wish {
    const char *name;
    int row_weights, soft, whole, top, labels, squares;
} wish;

static const wish wishes[] = {{.name = "cross-entropy"},
                              {.name = "row weights", .row_weights = 1},
                              {.name = "soft targets", .soft = 1},
                              {.name = "soft targets of the whole vocabulary", .soft = 1, .whole = 1, .row_weights = 1},
                              {.name = "the likeliest", .top = 1, .soft = 1},
                              {.name = "labels", .labels = 1, .top = 1},
                              {.name = "squares", .squares = 1, .top = 1, .row_weights = 1}};
enum { WISHES = sizeof wishes / sizeof *wishes };

typedef struct extras {
    pawl_soft soft;
    pawl_top top;
    pawl_labels labels;
} extras;

/* k different tokens for each position, with log-probabilities that leave something, or, of all tokens, nothing. */
static void soft_targets(pawl_soft *s, int64_t k, int64_t V)
{
    static const float weights[ROWS] = {0.5f, 0, 1.5f}, temperatures[ROWS] = {1, 1, 2.5f};
    static int64_t counts_of_rows[ROWS];
    int32_t *ids = scratch_of((size_t)(N * k) * sizeof *ids);
    float *logp = scratch_of((size_t)(N * k) * sizeof *logp);
    for (int64_t n = 0; n < N; n++) {
        double sum = 0;
        for (int64_t j = 0; j < k; j++) {
            ids[n * k + j] = (int32_t)((j * (V / k) + n) % V);
            sum += exp(-(double)((j * 7 + n) % 5));
        }
        for (int64_t j = 0; j < k; j++)
            logp[n * k + j] = (float)(-(double)((j * 7 + n) % 5) - log(sum) + (k < V ? log(0.8) : 0));
    }
    for (int b = 0; b < ROWS; b++) counts_of_rows[b] = k > 2 && k < V ? k - b : k;
    *s = (pawl_soft){.k = k, .ids = ids, .logp = logp, .temperature = 1, .row_weights = weights, .loss = output("soft loss", 0, 0, N).data,
                     .row_k = k < V ? counts_of_rows : NULL, .row_temperatures = temperatures};
}

static pawl_head_extra extra_of(const wish *w, int64_t V, extras *e)
{
    static const float row_weights[ROWS] = {0.25f, 1, -0.5f};
    pawl_head_extra x = {.tokens = TOKENS, .row_weights = w->row_weights ? row_weights : NULL, .squares = w->squares};
    if (w->soft) soft_targets(&e->soft, w->whole ? V : V < 5 ? 1 : 5, V);
    if (w->top) {
        const int64_t k = V < 9 ? V : V > 600 ? 600 : 9;
        e->top = (pawl_top){k, 1.5f, output_ids("ids", N * k), output("logp", 0, N, k).data};
    }
    if (w->labels) e->labels = (pawl_labels){7, 100, output_ids("drawn", N)};
    x.soft = w->soft ? &e->soft : NULL;
    x.top = w->top ? &e->top : NULL;
    x.labels = w->labels ? &e->labels : NULL;
    return x;
}

/* What a kernel works in. */
typedef struct room {
    float *logits, *dhidden; /* [N, ld], [CHUNK, V] */
    void *scratch, *hidden;  /* hidden [CHUNK + 1, V] */
    int64_t V, ld;
} room;
enum { CHUNK = 4 };

/* The kernel's logits: hidden's numbers, in room of f32, rows of ld, of which the rest is poison. */
static void multiply(const room *r, const void *hidden, pawl_dtype type, int64_t rows, float *logits)
{
    memset(logits, 0xff, (size_t)(rows * r->ld) * sizeof *logits);
    for (int64_t n = 0; n < rows; n++)
        pawl_convert((const char *)hidden + (size_t)(n * r->V) * pawl_dtype_bytes(type), type, logits + n * r->ld, PAWL_F32, r->V);
}

/* The gradients that it leaves there. */
static void multiply_back(const room *r, const float *logits, pawl_dtype type, int64_t rows, float *dhidden)
{
    for (int64_t n = 0; n < rows && dhidden; n++) pawl_convert(logits + n * r->ld, type, dhidden + n * r->V, PAWL_F32, r->V);
}

static void run_kernel(const pawl_head *h, const room *r)
{
    multiply(r, h->hidden.data, h->hidden.dtype, N, r->logits);
    for (int64_t first = 0; first < N; first += CHUNK)
        pawl_cuda_head_rows(NULL, h, &(pawl_head_chunk_of){.first = first, .count = N - first < CHUNK ? N - first : CHUNK}, r->V, r->logits + first * r->ld, r->ld,
                            r->scratch);
    multiply_back(r, r->logits, h->w.dtype, N, h->dhidden.data);
}

/* The same of those positions alone that are trained, a row of zeros behind each chunk. */
static void run_listed(const pawl_head *h, const room *r, const int32_t *trained, int64_t count)
{
    const size_t row = (size_t)r->V * pawl_dtype_bytes(h->hidden.dtype);
    pawl_cuda_head_clear(NULL, h);
    for (int64_t at = 0; at < count; at += CHUNK) {
        const pawl_head_chunk_of of = {.count = count - at < CHUNK ? count - at : CHUNK, .at = trained + at};
        memset(r->hidden, 0xff, (CHUNK + 1) * row);
        pawl_cuda_head_gather(NULL, h->hidden, of.at, of.count, of.count + 1, r->hidden);
        for (size_t i = 0; i < row; i++) assert_int_equal(((const char *)r->hidden)[(size_t)of.count * row + i], 0);
        multiply(r, r->hidden, h->hidden.dtype, of.count, r->logits);
        pawl_cuda_head_rows(NULL, h, &of, r->V, r->logits, r->ld, r->scratch);
        if (!h->dhidden.data) continue;
        multiply_back(r, r->logits, h->w.dtype, of.count, r->dhidden);
        pawl_cuda_head_scatter(NULL, r->dhidden, of.at, of.count, h->dhidden);
    }
}

/* untrained: a bit each. Where listed, the kernels hear of the trained ones alone. */
static void run(const wish *w, int64_t V, int low, int differentiates, unsigned untrained, int listed)
{
    extras e;
    const pawl_tensor hidden = values(low, N, V, 2), unit = values(low, V, V, 0), targets = ids_below(N, (int32_t)V);
    const float one = 1;
    for (int64_t i = 0; i < V; i++)
        pawl_convert(&one, PAWL_F32, (char *)unit.data + (size_t)(i * (V + 1)) * pawl_dtype_bytes(unit.dtype), unit.dtype, 1);
    int32_t *trained = scratch_of(N * sizeof *trained);
    int64_t count = 0;
    for (int32_t n = 0; n < N; n++)
        if (untrained >> n & 1) ((int32_t *)targets.data)[n] = PAWL_NOT_TRAINED;
        else trained[count++] = n;
    for (int64_t i = 0; i < V && V > 20 && i < 40; i += 2) /* equal logits: which are the likeliest is a matter of place */
        memcpy((char *)hidden.data + (size_t)(V + i) * pawl_dtype_bytes(hidden.dtype),
               (const char *)hidden.data + (size_t)V * pawl_dtype_bytes(hidden.dtype), pawl_dtype_bytes(hidden.dtype));
    const pawl_head h = {.hidden = hidden,
                         .w = unit,
                         .targets = targets.data,
                         .scale = 0.1f,
                         .loss = output("loss", 0, 0, N),
                         .dhidden = differentiates ? output("dlogits", 0, N, V) : nothing,
                         .extra = extra_of(w, V, &e)};
    const int64_t ld = at_hand.shift ? V : (V + 7) / 8 * 8; /* numbers one at a time, or eight */
    const room r = {.logits = bytes_of((size_t)(N * ld) * sizeof(float), (size_t)at_hand.shift * sizeof(float)),
                    .dhidden = bytes_of((size_t)(CHUNK * V) * sizeof(float), (size_t)at_hand.shift * sizeof(float)),
                    .scratch = scratch_of(pawl_cuda_head_rows_scratch_bytes(CHUNK, V, w->soft ? e.soft.k : 0) + 1),
                    .hidden = values(low, CHUNK + 1, V, 1).data,
                    .V = V,
                    .ld = ld};
    AGREE(low ? 4e-3 : count == 1 ? 1e-5 : 2e-6, pawl_head_loss(at_hand.cpu, &h), listed ? run_listed(&h, &r, trained, count) : run_kernel(&h, &r));
}

static void head_rows(void **state)
{
    static const int64_t vocabularies[] = {1, 2, 33, 517, 1040};
    (void)state;
    for (int v = 0; v < 5; v++)
        for (int w = 0; w < WISHES; w++)
            for (int low = 0; low < 2; low++)
                for (int differentiates = vocabularies[v] == 33 ? 0 : 1; differentiates < 2; differentiates++) {
                    if (vocabularies[v] > 500 && low != (v + w / 2) % 2) continue; /* long rows in one type each */
                    at_hand.shift = (v + w) % 2;
                    run(&wishes[w], vocabularies[v], low, differentiates, 1u << 4, 0);
                }
}

/* All, one, some and none of them, in rows that are moved one number at a time, four and eight. */
static void head_of_trained_positions(void **state)
{
    static const int64_t vocabularies[] = {1, 12, 33, 264};
    static const unsigned untrained[] = {0, 0x3f & ~(1u << 3), 0x29, 0x3f};
    (void)state;
    for (int v = 0; v < 4; v++)
        for (int w = 0; w < WISHES; w++)
            for (int which = 0; which < 4; which++)
                for (int low = 0; low < 2; low++) {
                    at_hand.shift = (v + w + which) % 2;
                    run(&wishes[w], vocabularies[v], low, (w + which + low) % 3 > 0, untrained[which], 1);
                }
}

const struct CMUnitTest head_tests[] = {cmocka_unit_test(head_rows), cmocka_unit_test(head_of_trained_positions), {NULL, NULL, NULL, NULL, NULL}};
