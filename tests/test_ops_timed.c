/* Runs: cmocka
 * A timed device computes the same bits, records every op of the table once, and counts what shapes say by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/batch.h"
#include "core/span.h"
#include "ops/backend.h"

enum { N = 6, I = 5, O = 4 };
static const pawl_rates rates = {.f32_flops = 100, .bf16_flops = 200, .bytes = 10};

typedef struct bench {
    pawl_device *device;
    pawl_spans *spans;
} bench;

static bench open_bench(void)
{
    bench b;
    const pawl_shapes most = {N, N, I, 1, 1, I, I, O, PAWL_F32, 0, 0, 0, 0};
    assert_int_equal(pawl_device_open_cpu(1, "auto", &b.device), PAWL_OK);
    assert_int_equal(pawl_device_reserve(b.device, &most), PAWL_OK);
    assert_int_equal(pawl_spans_open(1, &b.spans), PAWL_OK);
    pawl_device_time(b.device, &rates);
    pawl_spans_record(b.spans);
    return b;
}

static void close_bench(bench *b)
{
    pawl_spans_close(b->spans);
    pawl_device_time(b->device, NULL);
    pawl_device_close(b->device);
}

static const pawl_span_node *last(bench *b)
{
    const pawl_span_track *t = pawl_spans_track(b->spans, PAWL_SPAN_MAIN);
    return &t->nodes[t->node_count - 1];
}

static pawl_tensor matrix(float *data, int64_t rows, int64_t columns)
{
    return (pawl_tensor){.data = data, .dtype = PAWL_F32, .ndim = 2, .dim = {rows, columns}};
}

static void product(void **state)
{
    (void)state;
    float x[N * I], w[O * I], y[2][N * O];
    const pawl_tensor none = {.dtype = PAWL_F32};
    bench b = open_bench();
    for (int i = 0; i < N * I; i++) x[i] = (float)(i % 7) / 3;
    for (int i = 0; i < O * I; i++) w[i] = (float)(i % 5) / 7;
    assert_int_equal(pawl_linear(b.device, matrix(x, N, I), matrix(w, O, I), none, PAWL_SET, matrix(y[0], N, O)), PAWL_OK);
    const pawl_span_node *n = last(&b);
    assert_string_equal(n->name, "linear");
    assert_string_equal(n->letters, "NOI");
    assert_true(n->shape[0] == N && n->shape[1] == O && n->shape[2] == I && n->shape[3] == 0);
    assert_true(n->flops == 2 * N * O * I);
    assert_true(n->bytes == 4 * (N * I + O * I + N * O));
    assert_true(n->ideal_seconds == n->bytes / rates.bytes); /* 29.6 s, against 2.4 s of computing */
    assert_int_equal(n->calls, 1);
    memcpy(y[1], y[0], sizeof y[1]);
    pawl_device_time(b.device, NULL);
    assert_int_equal(pawl_linear(b.device, matrix(x, N, I), matrix(w, O, I), none, PAWL_SET, matrix(y[0], N, O)), PAWL_OK);
    assert_memory_equal(y[0], y[1], sizeof y[0]);
    assert_int_equal(last(&b)->calls, 1);
    close_bench(&b);
}

/* Rows of 3 tokens: documents of 3, and of 1 and 2: 1+2+3 + 1+1+2 pairs; seen through a window of 2: 1+2+2 + 1+1+2. */
static void attended_pairs(void **state)
{
    (void)state;
    float qkv[N * 3 * I] = {0}, out[N * I], lse[N];
    const int32_t starts[N] = {0, 0, 0, 3, 4, 4};
    bench b = open_bench();
    pawl_attend a = {.rows = 2, .tokens = 3, .heads = 1, .kv_heads = 1, .head_dim = I, .scale = 1, .starts = starts};
    assert_int_equal(pawl_attention(b.device, &a, matrix(qkv, N, 3 * I), matrix(out, N, I), matrix(lse, N, 1)), PAWL_OK);
    assert_true(last(&b)->flops == (4 * I + 4) * 10);
    a.window = 2;
    assert_int_equal(pawl_attention(b.device, &a, matrix(qkv, N, 3 * I), matrix(out, N, I), matrix(lse, N, 1)), PAWL_OK);
    assert_true(last(&b)->calls == 2 && last(&b)->flops == (4 * I + 4) * (10 + 9));
    close_bench(&b);
}

static void trained_positions(void **state)
{
    (void)state;
    float hidden[N * I] = {0}, w[O * I] = {0}, loss[N], dhidden[N * I], dw[O * I];
    const int32_t targets[N] = {0, PAWL_NOT_TRAINED, 1, 2, PAWL_NOT_TRAINED, 3};
    bench b = open_bench();
    pawl_head h = {.hidden = matrix(hidden, N, I), .w = matrix(w, O, I), .targets = targets, .scale = 1, .loss = matrix(loss, N, 1)};
    assert_int_equal(pawl_head_loss(b.device, &h), PAWL_OK);
    assert_true(last(&b)->flops == 4 * O * (2 * I + 4));
    h.dhidden = matrix(dhidden, N, I);
    h.dw = matrix(dw, O, I);
    assert_int_equal(pawl_head_loss(b.device, &h), PAWL_OK);
    assert_true(last(&b)->flops == 4 * O * (2 * I + 4) + 4 * O * (6 * I + 4));
    close_bench(&b);
}

/* A new op in the table needs its row in ops/timed.c: every entry behind `parallel` is one of the timed ones. */
static void every_op(void **state)
{
    (void)state;
    bench b = open_bench();
    const char *timed = (const char *)b.device->ops, *own = (const char *)b.device->under;
    assert_ptr_not_equal(timed, own);
    for (size_t at = offsetof(pawl_ops, linear); at < sizeof(pawl_ops); at += sizeof(void (*)(void))) {
        if (memcmp(timed + at, own + at, sizeof(void (*)(void))) == 0) fail_msg("entry %zu of pawl_ops has no row in ops/timed.c", at / sizeof(void *));
    }
    assert_memory_equal(timed, own, offsetof(pawl_ops, linear));
    close_bench(&b);
}

static void measured(void **state)
{
    (void)state;
    bench b = open_bench();
    assert_true(pawl_device_memory_rate(b.device) > 1e8);
    close_bench(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(product),  cmocka_unit_test(attended_pairs), cmocka_unit_test(trained_positions),
        cmocka_unit_test(every_op), cmocka_unit_test(measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
