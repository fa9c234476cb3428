/* Runs: cmocka
 * Signals in the middle of the mathematics. oneDNN's matrix products move the stack pointer into a heap block while they
 * run: without a stack of its own a handler's frame lands in the heap, and the process dies of it later. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/arena.h"
#include "launch/launch.h"

enum { N = 1024, O = 512, I = 512, ROUNDS = 200 };

static pawl_tensor numbers(int64_t rows, int64_t columns, int period)
{
    pawl_tensor t = {.dtype = PAWL_F32, .ndim = 2, .dim = {rows, columns}};
    assert_int_equal(pawl_alloc(&t.data, (size_t)(rows * columns) * sizeof(float), "a test's matrix"), PAWL_OK);
    for (int64_t i = 0; i < rows * columns; i++) ((float *)t.data)[i] = (float)(i % period) - (float)period / 2;
    return t;
}

static timer_t every_half_millisecond(int signal_number)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = signal_number};
    const struct itimerspec often = {{0, 500000}, {0, 500000}};
    timer_t timer;
    assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    assert_int_equal(timer_settime(timer, 0, &often, NULL), 0);
    return timer;
}

/* Blocks come and go between products, so that an overwritten one is found by the allocator. */
static void allocate_a_little(int round)
{
    void *block;
    assert_int_equal(pawl_alloc(&block, (size_t)(3000 + round), "a block of a test"), PAWL_OK);
    memset(block, round, 3000);
    pawl_free(block);
}

static void a_signal_in_a_product_changes_nothing(void **state)
{
    const pawl_shapes most = {.positions = N, .tokens = 256, .width = I, .heads = 8, .kv_heads = 8, .head_dim = 64, .ff = O, .vocab = 260};
    const pawl_tensor x = numbers(N, I, 17), dy = numbers(N, O, 13), dw = numbers(O, I, 1), first = numbers(O, I, 1), none = {0};
    const size_t bytes = (size_t)O * I * sizeof(float);
    pawl_device *d;
    (void)state;

    assert_int_equal(pawl_device_open_cpu(1, "auto", &d), PAWL_OK);
    assert_int_equal(pawl_device_reserve(d, &most), PAWL_OK);
    assert_int_equal(pawl_linear_dw(d, dy, x, PAWL_SET, first, none), PAWL_OK);

    pawl_catch_signals();
    const timer_t timer = every_half_millisecond(SIGUSR1);
    for (int round = 0; round < ROUNDS; round++) {
        assert_int_equal(pawl_linear_dw(d, dy, x, PAWL_SET, dw, none), PAWL_OK);
        assert_memory_equal(dw.data, first.data, bytes);
        allocate_a_little(round);
    }
    timer_delete(timer);
    assert_int_equal(pawl_stop_asked, 1);

    pawl_device_close(d);
    pawl_free(x.data);
    pawl_free(dy.data);
    pawl_free(dw.data);
    pawl_free(first.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_signal_in_a_product_changes_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
