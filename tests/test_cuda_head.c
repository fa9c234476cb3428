/* Runs: cmocka */
/* The output head of the CUDA backend where only some positions are trained and the host says which, on the stand-ins, beside the CPU
 * backend: none, one, some, nearly all and all of them, in one chunk and in two. Those that are not trained have hidden states that are no
 * numbers, where they are to be left out; and products are of so many rows and no more. Sums run in another order, and in f32: 2e-6 apart;
 * in bf16 a logit's gradient may be rounded the other way: 4e-3. On a GPU: test_ops_head. */
#include <dlfcn.h>

#include "core/batch.h"
#include "core/span.h"
#include "tests/ops_check.h"

static const pawl_cuda_place standin = {.library = PAWL_STANDIN};

/* Positions that are trained: each whose number times `of` leaves less than `below` by 100. */
typedef struct head_case {
    int64_t N, D, V;
    int of, below;
    int64_t rows; /* that products are to be of */
} head_case;

/* 16 sizes of chunks, in multiples of 64: 64 rows up to 1024 positions, 256 from 4096 on, which is also the largest chunk. */
static const head_case cases[] = {
    {130, 8, 33, 37, 0, 0},    {130, 8, 33, 1, 1, 64},   {130, 7, 33, 37, 40, 64},  {200, 16, 50, 37, 70, 192}, {130, 8, 33, 37, 95, 130}, {130, 8, 33, 37, 100, 130},
    {64, 8, 33, 37, 40, 64},   {63, 5, 9, 37, 40, 63},   {65, 5, 9, 37, 40, 65},    {1025, 4, 6, 37, 10, 128},  {5000, 2, 3, 37, 85, 4352}, {300, 33, 600, 37, 20, 64},
};
enum { CASES = sizeof cases / sizeof *cases, LONG = 2000 /* kernels of many positions take their time here: once is enough */ };

typedef struct given {
    const head_case *k;
    pawl_dtype type;
    pawl_put put;
    int32_t *targets, *trained;
    int64_t count;
    float *hidden, *w; /* as the type holds them */
} given;

typedef struct answer {
    float *loss, *alone, *dhidden, *dw; /* alone: of a pass that only goes forward */
} answer;

static given make(const head_case *k, pawl_dtype type, pawl_put put)
{
    given g = {.k = k, .type = type, .put = put, .targets = integers(k->N, 9, (int32_t)k->V), .trained = malloc((size_t)k->N * sizeof(int32_t)),
               .hidden = numbers(k->N * k->D, 1, 1), .w = numbers(k->V * k->D, 2, 0.5f)};
    for (int64_t n = 0; n < k->N; n++)
        if ((k->of == 1 ? n == k->N / 2 : n * k->of % 100 < k->below)) g.trained[g.count++] = (int32_t)n;
        else g.targets[n] = PAWL_NOT_TRAINED;
    for (int64_t n = 0; k->rows < k->N && n < k->N; n++)
        if (g.targets[n] == PAWL_NOT_TRAINED) g.hidden[n * k->D] = NAN;
    return g;
}


/* An array of the device's, with these numbers of that type. */
static pawl_tensor bring(pawl_device *d, pawl_dtype type, const float *from, int64_t rows, int64_t cols)
{
    pawl_tensor t = {.dtype = type, .ndim = cols ? 2 : 1, .dim = {rows, cols}};
    void *narrow = malloc(pawl_tensor_bytes(t));
    pawl_convert(from, PAWL_F32, narrow, type, pawl_tensor_count(t));
    assert_done(pawl_device_take(d, PAWL_ON_DEVICE, pawl_tensor_bytes(t), "a test", &t.data));
    assert_done(pawl_upload(d, t.data, narrow, pawl_tensor_bytes(t)));
    free(narrow);
    return t;
}

static void fetch(pawl_device *d, pawl_tensor t, float *to)
{
    if (to) assert_done(pawl_download(d, to, t.data, pawl_tensor_bytes(t)));
    pawl_device_give(d, PAWL_ON_DEVICE, t.data, pawl_tensor_bytes(t));
}

static void *bring_list(pawl_device *d, const int32_t *list, int64_t count)
{
    void *to;
    assert_done(pawl_device_take(d, PAWL_ON_DEVICE, (size_t)(count + 1) * sizeof *list, "a test", &to));
    assert_done(pawl_upload(d, to, list, (size_t)count * sizeof *list));
    return to;
}

/* What is set has been no number before. */
static answer ask(pawl_device *d, const given *g)
{
    const int64_t N = g->k->N, D = g->k->D, V = g->k->V;
    answer a = {numbers(N, 3, NAN), numbers(N, 3, NAN), numbers(N * D, 4, NAN), numbers(V * D, 5, g->put == PAWL_ADD ? 1 : NAN)};
    const pawl_tensor hidden = bring(d, g->type, g->hidden, N, D), w = bring(d, g->type, g->w, V, D), loss = bring(d, PAWL_F32, a.loss, N, 0),
                      alone = bring(d, PAWL_F32, a.loss, N, 0), dhidden = bring(d, PAWL_F32, a.dhidden, N, D), dw = bring(d, PAWL_F32, a.dw, V, D);
    int32_t *targets = bring_list(d, g->targets, N), *trained = bring_list(d, g->trained, g->count);
    pawl_head h = {.hidden = hidden, .w = w, .targets = targets, .trained = {trained, g->count}, .scale = 0.37f, .loss = alone, .put = g->put};
    if (N < LONG) assert_done(pawl_head_loss(d, &h));
    h.loss = loss, h.dhidden = dhidden, h.dw = dw;
    assert_done(pawl_head_loss(d, &h));
    fetch(d, loss, a.loss), fetch(d, alone, a.alone), fetch(d, dhidden, a.dhidden), fetch(d, dw, a.dw), fetch(d, hidden, NULL), fetch(d, w, NULL);
    pawl_device_give(d, PAWL_ON_DEVICE, targets, (size_t)(N + 1) * sizeof *targets);
    pawl_device_give(d, PAWL_ON_DEVICE, trained, (size_t)(g->count + 1) * sizeof *trained);
    return a;
}

static void forget(answer *a)
{
    free(a->loss), free(a->alone), free(a->dhidden), free(a->dw);
}

static void near(const float *x, const float *y, int64_t count, double bound)
{
    double *wide = widened(y, count);
    assert_near(x, wide, count, bound);
    free(wide);
}

static void check(pawl_device *gpu, pawl_device *cpu, const head_case *k, pawl_dtype type, pawl_put put)
{
    int64_t (*terms)(void) = (int64_t(*)(void))dlsym(dlopen(PAWL_STANDIN, RTLD_NOW), "standin_terms");
    const double bound = type == PAWL_BF16 ? 4e-3 : 2e-6;
    given g = make(k, type, put);
    const int64_t before = terms();
    answer there = ask(gpu, &g), here = ask(cpu, &g);
    assert_int_equal(terms() - before, (k->N < LONG ? 4 : 3) * k->rows * k->V * k->D); /* logits, twice, and two gradients */
    near(there.loss, here.loss, k->N, 2e-6);
    near(there.dhidden, here.dhidden, k->N * k->D, bound);
    near(there.dw, here.dw, k->V * k->D, bound);
    if (k->N < LONG) assert_memory_equal(there.alone, there.loss, (size_t)k->N * sizeof(float));
    for (int64_t n = 0; n < k->N; n++)
        for (int64_t i = 0; g.targets[n] == PAWL_NOT_TRAINED && i < k->D; i++) assert_true(there.loss[n] == 0 && there.dhidden[n * k->D + i] == 0);
    forget(&there), forget(&here);
    free(g.targets), free(g.trained), free(g.hidden), free(g.w);
}

/* Scratch is reserved for each case alone: what it takes beyond that is refused. */
static void only_trained_positions_are_multiplied(void **state)
{
    pawl_device *cpu, *gpu;
    (void)state;
    assert_done(pawl_device_open_cpu(1, "auto", &cpu));
    assert_done(pawl_device_reserve(cpu, &largest));
    for (int i = 0; i < CASES; i++) {
        const head_case *k = &cases[i];
        const pawl_shapes most = {.positions = k->N, .tokens = k->N, .width = k->D, .heads = 1, .kv_heads = 1, .head_dim = 2, .ff = 2, .vocab = k->V};
        assert_done(pawl_device_open_cuda(&standin, 0, &gpu));
        assert_done(pawl_device_reserve(gpu, &most));
        if (k->N > LONG) assert_done(pawl_device_reserve(cpu, &most));
        check(gpu, cpu, k, i % 2 ? PAWL_BF16 : PAWL_F32, i % 3 ? PAWL_SET : PAWL_ADD);
        if (k->N < 300) check(gpu, cpu, k, i % 2 ? PAWL_F32 : PAWL_BF16, PAWL_SET);
        pawl_device_close(gpu);
    }
    pawl_device_close(cpu);
}

/* A slot of fewer positions may have longer chunks of gathered ones: the steps of 1025 positions are of 128 rows, those of 1024 of 64. */
static void scratch_for_most_positions_is_enough_for_fewer(void **state)
{
    static const head_case k = {1024, 516, 40, 37, 10, 128}; /* so wide that nothing else needs more */
    const pawl_shapes most = {.positions = k.N + 1, .tokens = k.N + 1, .width = k.D, .heads = 1, .kv_heads = 1, .head_dim = 2, .ff = 2, .vocab = k.V};
    pawl_device *cpu, *gpu;
    (void)state;
    assert_done(pawl_device_open_cpu(1, "auto", &cpu));
    assert_done(pawl_device_open_cuda(&standin, 0, &gpu));
    assert_done(pawl_device_reserve(cpu, &most));
    assert_done(pawl_device_reserve(gpu, &most));
    check(gpu, cpu, &k, PAWL_BF16, PAWL_SET);
    pawl_device_close(gpu);
    pawl_device_close(cpu);
}

/* A profile counts what is trained, as the list says: two passes of 4 + 2 D and 4 + 6 D a logit. */
static void a_profile_counts_trained_positions(void **state)
{
    static const head_case k = {130, 8, 33, 37, 40, 64};
    static const pawl_rates rates = {.f32_flops = 100, .bf16_flops = 200, .bytes = 10};
    const pawl_shapes most = {.positions = k.N, .tokens = k.N, .width = k.D, .heads = 1, .kv_heads = 1, .head_dim = 2, .ff = 2, .vocab = k.V};
    given g = make(&k, PAWL_F32, PAWL_SET);
    pawl_spans *spans;
    pawl_device *gpu;
    (void)state;
    assert_done(pawl_device_open_cuda(&standin, 0, &gpu));
    assert_done(pawl_device_reserve(gpu, &most));
    assert_done(pawl_spans_open(1, &spans));
    pawl_device_time(gpu, &rates);
    pawl_spans_record(spans);
    answer a = ask(gpu, &g);
    const pawl_span_track *t = pawl_spans_track(spans, PAWL_SPAN_MAIN);
    assert_true(t->nodes[t->node_count - 1].flops == (double)(g.count * k.V * (4 + 2 * k.D + 4 + 6 * k.D)));
    pawl_spans_close(spans);
    pawl_device_time(gpu, NULL);
    pawl_device_close(gpu);
    forget(&a);
    free(g.targets), free(g.trained), free(g.hidden), free(g.w);
}

/* A list of more than there are is refused. */
static void a_list_that_is_too_long_is_refused(void **state)
{
    float x[2] = {0}, loss[2];
    const int32_t targets[2] = {0, 0};
    const pawl_head h = {.hidden = matrix(x, 2, 1), .w = matrix(x, 1, 1), .targets = targets, .trained = {targets, 3}, .loss = vector(loss, 2)};
    pawl_device *d;
    (void)state;
    assert_done(pawl_device_open_cpu(1, "auto", &d));
    assert_refused(pawl_head_loss(d, &h), PAWL_EBUG, "3 trained positions of 2");
    pawl_device_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_trained_positions_are_multiplied),
        cmocka_unit_test(scratch_for_most_positions_is_enough_for_fewer),
        cmocka_unit_test(a_profile_counts_trained_positions),
        cmocka_unit_test(a_list_that_is_too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
