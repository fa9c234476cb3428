/* The head's part between its products, against the CPU backend's whole head: with hidden states [N, V] and w the unit matrix
 * the logits are the hidden states, and their gradients (of f32) are those of the hidden states. Sums of a row run in other
 * blocks: 2e-6. Gradients of bf16 are compared as they are rounded, and one that is rounded the other way is 2^-8 off: 4e-3. */
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

/* The kernel's logits: hidden's numbers, in room of f32, rows of ld, of which the rest is poison. The gradients that it leaves there go
 * where the CPU has its own. */
static void run_kernel(const pawl_head *h, int64_t V, float *logits, int64_t ld, void *scratch)
{
    const int low = h->w.dtype == PAWL_BF16;
    memset(logits, 0xff, (size_t)(N * ld) * sizeof *logits);
    for (int64_t n = 0; n < N; n++)
        pawl_convert((char *)h->hidden.data + (size_t)(n * V) * pawl_dtype_bytes(h->hidden.dtype), h->hidden.dtype, logits + n * ld, PAWL_F32, V);
    for (int64_t first = 0; first < N; first += 4) /* in chunks */
        pawl_cuda_head_rows(NULL, h, first, N - first < 4 ? N - first : 4, V, logits + first * ld, ld, scratch);
    for (int64_t n = 0; n < N && h->dhidden.data; n++)
        pawl_convert(logits + n * ld, low ? PAWL_BF16 : PAWL_F32, (float *)h->dhidden.data + n * V, PAWL_F32, V);
}

static void run(const wish *w, int64_t V, int low, int differentiates)
{
    extras e;
    const pawl_tensor hidden = values(low, N, V, 2), unit = values(low, V, V, 0), targets = ids_below(N, (int32_t)V);
    const float one = 1;
    for (int64_t i = 0; i < V; i++)
        pawl_convert(&one, PAWL_F32, (char *)unit.data + (size_t)(i * (V + 1)) * pawl_dtype_bytes(unit.dtype), unit.dtype, 1);
    ((int32_t *)targets.data)[4] = PAWL_NOT_TRAINED;
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
    float *logits = bytes_of((size_t)(N * ld) * sizeof *logits, (size_t)at_hand.shift * sizeof *logits);
    void *scratch = scratch_of(pawl_cuda_head_rows_scratch_bytes(4, V, w->soft ? e.soft.k : 0) + 1);
    AGREE(low ? 4e-3 : 2e-6, pawl_head_loss(at_hand.cpu, &h), run_kernel(&h, V, logits, ld, scratch));
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
                    run(&wishes[w], vocabularies[v], low, differentiates);
                }
}

const struct CMUnitTest head_tests[] = {cmocka_unit_test(head_rows), {NULL, NULL, NULL, NULL, NULL}};
