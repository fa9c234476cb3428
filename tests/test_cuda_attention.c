/* Runs: cmocka */
/* Attention by cuDNN, on the stand-in that computes its graphs operation by operation, beside the CPU backend: in rows and packed,
 * forward and backward. cuDNN's graphs round to bf16 on the way (probabilities, gradients of scores, of heads that share keys), the CPU does
 * not: so they are 4e-3 apart at most forward, 6e-3 backward (relative, all numbers of a tensor). On a GPU where the environment asks for one
 * (tests/on_device.h), with cuDNN itself. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ops/cuda/cudnn_cut.h"
#include "tests/on_device.h"

typedef struct shape {
    int64_t rows, tokens, heads, kv_heads, head_dim, window;
    int documents, padding; /* documents of about so many tokens, 0: a row is one; padding behind, positions */
} shape;

/* In rows (a length that is a multiple of 64), and packed: odd lengths, one token, documents of one token; groups; windows, also of one; padding;
 * rows that are all padding but for one. */
static const shape shapes[] = {
    {2, 64, 2, 1, 32, 0, 0, 0},   {1, 128, 3, 3, 8, 40, 0, 0}, {3, 64, 4, 2, 16, 1, 0, 20},  {1, 1, 1, 1, 8, 0, 0, 0},     {2, 31, 2, 2, 64, 0, 0, 0},
    {1, 70, 6, 2, 24, 0, 13, 0},  {2, 97, 4, 1, 32, 9, 30, 5}, {1, 64, 2, 2, 80, 0, 1, 0},   {3, 33, 4, 4, 16, 200, 7, 12}, {2, 40, 8, 2, 8, 0, 40, 39},
    {1, 150, 8, 8, 128, 0, 64, 0}, {1, 40, 2, 1, 256, 5, 11, 3},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static void done(pawl_status s)
{
    if (s != PAWL_OK) fail_msg("%s [%s]", pawl_last_error()->what, pawl_last_error()->trail);
}

static float number(uint32_t *state)
{
    *state ^= *state << 13, *state ^= *state >> 17, *state ^= *state << 5;
    return (float)(int32_t)*state * 0x1p-31f;
}

/* A case: what goes in, in bf16 and by position. */
typedef struct given {
    pawl_attend over; /* arrays of the host */
    int32_t *starts, *bounds;
    int *read; /* whether a position is read by anybody: padding is not */
    uint16_t *qkv, *dout;
} given;

static void fill_documents(const shape *k, given *g)
{
    for (int64_t row = 0; row < k->rows; row++)
        for (int64_t t = 0, start = 0; t < k->tokens; t++) {
            const int64_t n = row * k->tokens + t;
            if (k->documents && t - start >= k->documents + start % 3) start = t;
            g->read[n] = t < k->tokens - k->padding;
            if (!g->read[n]) start = t;
            g->starts[n] = (int32_t)(row * k->tokens + start);
            if (g->starts[n] == n && g->read[n]) g->bounds[g->over.documents++] = (int32_t)n;
        }
    g->bounds[g->over.documents] = (int32_t)(k->rows * k->tokens);
    for (int64_t i = 0; i < g->over.documents; i++) {
        const int64_t length = g->bounds[i + 1] - g->bounds[i];
        g->over.longest = length > g->over.longest ? length : g->over.longest;
    }
}

static uint16_t *numbers(int64_t count, uint32_t *dice)
{
    float *f = calloc((size_t)count, sizeof *f);
    uint16_t *h = calloc((size_t)count, sizeof *h);
    for (int64_t i = 0; i < count; i++) f[i] = number(dice);
    pawl_convert(f, PAWL_F32, h, PAWL_BF16, count);
    free(f);
    return h;
}

/* Nobody's gradient comes from padding. */
static given give(const shape *k)
{
    const int64_t N = k->rows * k->tokens, O = k->heads * k->head_dim;
    uint32_t dice = 7;
    given g = {.over = {.rows = k->rows, .tokens = k->tokens, .heads = k->heads, .kv_heads = k->kv_heads, .head_dim = k->head_dim, .window = k->window,
                        .scale = 1 / sqrtf((float)k->head_dim)},
               .starts = calloc((size_t)N, sizeof *g.starts),
               .bounds = calloc((size_t)N + 1, sizeof *g.bounds),
               .read = calloc((size_t)N, sizeof *g.read),
               .qkv = numbers(N * (k->heads + 2 * k->kv_heads) * k->head_dim, &dice),
               .dout = numbers(N * O, &dice)};
    fill_documents(k, &g);
    for (int64_t n = 0; n < N; n++)
        if (!g.read[n]) memset(g.dout + n * O, 0, (size_t)O * sizeof *g.dout);
    return g;
}

static void take_back(given *g)
{
    free(g->starts), free(g->bounds), free(g->read), free(g->qkv), free(g->dout);
}

/* ---- on a device ---- */

typedef struct results {
    float *out, *dqkv; /* numbers of read positions; zeros elsewhere */
} results;

static void *on(pawl_device *d, const void *from, size_t bytes)
{
    void *at;
    done(pawl_device_take(d, PAWL_ON_DEVICE, bytes, "a test", &at));
    if (from) done(pawl_upload(d, at, from, bytes));
    return at;
}

static float *off(pawl_device *d, pawl_tensor t, const given *g)
{
    const int64_t count = pawl_tensor_count(t), width = t.dim[1];
    uint16_t *h = calloc((size_t)count, sizeof *h);
    float *f = calloc((size_t)count, sizeof *f);
    done(pawl_download(d, h, t.data, pawl_tensor_bytes(t)));
    pawl_convert(h, PAWL_BF16, f, PAWL_F32, count);
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(f[i])) fail_msg("number %ld is %g", (long)i, (double)f[i]);
        if (!g->read[i / width]) f[i] = 0;
    }
    free(h);
    return f;
}

static results compute(pawl_device *d, const given *g)
{
    pawl_attend a = g->over;
    const int64_t N = a.rows * a.tokens, O = a.heads * a.head_dim, W = O + 2 * a.kv_heads * a.head_dim;
    const pawl_tensor qkv = {.dtype = PAWL_BF16, .ndim = 2, .dim = {N, W}, .data = on(d, g->qkv, (size_t)(N * W) * 2)},
                      dqkv = {.dtype = PAWL_BF16, .ndim = 2, .dim = {N, W}, .data = on(d, NULL, (size_t)(N * W) * 2)},
                      out = {.dtype = PAWL_BF16, .ndim = 2, .dim = {N, O}, .data = on(d, NULL, (size_t)(N * O) * 2)},
                      dout = {.dtype = PAWL_BF16, .ndim = 2, .dim = {N, O}, .data = on(d, g->dout, (size_t)(N * O) * 2)},
                      lse = {.dtype = PAWL_F32, .ndim = 1, .dim = {N * a.heads}, .data = on(d, NULL, (size_t)(N * a.heads) * 4)};
    int32_t *starts = on(d, g->starts, (size_t)N * 4), *bounds = on(d, g->bounds, (size_t)(a.documents + 1) * 4);
    a.starts = starts;
    a.bounds = bounds;
    done(pawl_attention(d, &a, qkv, out, lse));
    done(pawl_attention_backward(d, &a, dout, qkv, out, lse, dqkv));
    const results r = {off(d, out, g), off(d, dqkv, g)};
    const pawl_tensor all[] = {qkv, dqkv, out, dout, lse};
    for (int i = 0; i < 5; i++) pawl_device_give(d, PAWL_ON_DEVICE, all[i].data, pawl_tensor_bytes(all[i]));
    pawl_device_give(d, PAWL_ON_DEVICE, starts, (size_t)N * 4);
    pawl_device_give(d, PAWL_ON_DEVICE, bounds, (size_t)(a.documents + 1) * 4);
    return r;
}

static void drop(results *r)
{
    free(r->out), free(r->dqkv);
}

static double apart(const float *x, const float *y, int64_t count)
{
    double difference = 0, size = 0;
    for (int64_t i = 0; i < count; i++) {
        difference += (double)(x[i] - y[i]) * (x[i] - y[i]);
        size += (double)y[i] * y[i];
    }
    return sqrt(difference / size);
}

static pawl_shapes shapes_of(const shape *k)
{
    return (pawl_shapes){.positions = k->rows * k->tokens, .tokens = k->tokens, .width = k->heads * k->head_dim, .heads = k->heads, .kv_heads = k->kv_heads,
                         .head_dim = k->head_dim, .ff = 8, .vocab = 8, .type = PAWL_BF16};
}

static pawl_device *open_gpu(int by_library)
{
    const char *part = getenv("PAWL_CUDA_PART");
    const pawl_cuda_place place = {.library = !tests_are_on_cuda() ? PAWL_STANDIN : part ? part : "libpawl_cuda.so"};
    pawl_device *d;
    done(pawl_device_open_cuda(&place, 0, &d));
    if (by_library) done(pawl_device_attend_by_library(d));
    return d;
}

static void its_graphs_compute_attention(void **state)
{
    pawl_device *cpu, *gpu = open_gpu(1);
    (void)state;
    pawl_cuda_attention_most = 160000; /* so that small calls are cut, too */
    done(pawl_device_open_cpu(1, "auto", &cpu));
    for (int i = 0; i < SHAPES; i++) {
        const shape *k = &shapes[i];
        const int64_t N = k->rows * k->tokens, O = k->heads * k->head_dim;
        const pawl_shapes most = shapes_of(k);
        given g = give(k);
        done(pawl_device_reserve(cpu, &most));
        done(pawl_device_reserve(gpu, &most));
        results expected = compute(cpu, &g), is = compute(gpu, &g);
        const double forward = apart(is.out, expected.out, N * O), backward = apart(is.dqkv, expected.dqkv, N * (O + 2 * k->kv_heads * k->head_dim));
        if (!(forward < 4e-3 && backward < 6e-3)) fail_msg("shape %d: %g forward, %g backward", i, forward, backward);
        drop(&expected), drop(&is), take_back(&g);
    }
    pawl_device_close(gpu);
    pawl_device_close(cpu);
}

/* What it does not know is our own kernel's, and so are the bits. */
static void what_it_does_not_know_is_our_own_kernels(void **state)
{
    static const shape odd = {1, 33, 2, 1, 20, 0, 0, 0}, known = {1, 33, 2, 1, 24, 0, 0, 0};
    pawl_device *own = open_gpu(0), *library = open_gpu(1);
    (void)state;
    for (int i = 0; i < 2; i++) {
        const shape *k = i ? &known : &odd;
        const int64_t N = k->rows * k->tokens;
        const pawl_shapes most = shapes_of(k);
        given g = give(k);
        done(pawl_device_reserve(own, &most));
        done(pawl_device_reserve(library, &most));
        results a = compute(own, &g), b = compute(library, &g);
        const int same = memcmp(a.dqkv, b.dqkv, (size_t)(N * (k->heads + 2 * k->kv_heads) * k->head_dim) * sizeof(float)) == 0;
        assert_int_equal(same, !i); /* and what it knows is not */
        drop(&a), drop(&b), take_back(&g);
    }
    pawl_device_close(own);
    pawl_device_close(library);
}

/* Rows that are not packed have as many shapes as lengths (here: windows and heads): a run of any number of them goes on, by the plans that it had. */
static void shapes_may_be_more_than_are_kept(void **state)
{
    enum { WINDOWS = 34, SIZES = 8, ALL = WINDOWS * SIZES };
    shape k = {1, WINDOWS + 1, 1, 1, 8 * SIZES, 0, 0, 0};
    const pawl_shapes most = shapes_of(&k);
    pawl_device *gpu = open_gpu(1);
    results first = {0};
    (void)state;
    done(pawl_device_reserve(gpu, &most));
    for (int i = 0; i <= ALL; i++) {
        k.window = 1 + i % WINDOWS;
        k.head_dim = 8 * (1 + i / WINDOWS % SIZES);
        given g = give(&k);
        results is = compute(gpu, &g);
        if (i == ALL) assert_memory_equal(is.dqkv, first.dqkv, (size_t)(k.tokens * 3 * k.head_dim) * sizeof(float));
        if (i == 0) first = is;
        else drop(&is);
        take_back(&g);
    }
    drop(&first);
    pawl_device_close(gpu);
}

static void the_device_says_so(void **state)
{
    pawl_device *own = open_gpu(0), *library = open_gpu(1);
    (void)state;
    assert_null(strstr(pawl_device_describe(own), "cudnn"));
    assert_non_null(strstr(pawl_device_describe(library), " cudnn 9."));
    pawl_device_close(own);
    pawl_device_close(library);
}

/* Whether others than Hopper add packed gradients in a fixed order nobody has seen. */
static void other_gpus_have_our_own_kernel(void **state)
{
    static const char *const others[] = {"80", "89", "100", "120"};
    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof *others && !tests_are_on_cuda(); i++) {
        setenv("PAWL_STANDIN_SM", others[i], 1);
        pawl_device *d = open_gpu(0);
        unsetenv("PAWL_STANDIN_SM");
        assert_int_equal(pawl_device_attend_by_library(d), PAWL_EUSAGE);
        assert_null(strstr(pawl_device_describe(d), "cudnn"));
        pawl_device_close(d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_graphs_compute_attention),
        cmocka_unit_test(what_it_does_not_know_is_our_own_kernels),
        cmocka_unit_test(the_device_says_so),
        cmocka_unit_test(other_gpus_have_our_own_kernel),
        cmocka_unit_test(shapes_may_be_more_than_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
