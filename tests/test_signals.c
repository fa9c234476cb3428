/* Runs: cmocka */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "launch/launch.h"

enum { N = 1024, MOST = 1024, ROUNDS = 60 };

static pthread_t worker;
static atomic_int stop;

static void *bother(void *unused)
{
    (void)unused;
    while (!stop) {
        pthread_kill(worker, SIGUSR1);
        usleep(20);
    }
    return NULL;
}

static pawl_tensor matrix(float *data, int64_t rows, int64_t columns)
{
    return (pawl_tensor){.data = data, .dtype = PAWL_F32, .ndim = 2, .dim = {rows, columns}};
}

/* The three products of a layer with I inputs and O outputs. */
static void products(pawl_device *d, float *x, float *w, float *y, float *dx, float *dw, int64_t O, int64_t I)
{
    const pawl_tensor none = {.dtype = PAWL_F32};
    assert_int_equal(pawl_linear(d, matrix(x, N, I), matrix(w, O, I), none, PAWL_SET, matrix(y, N, O)), PAWL_OK);
    assert_int_equal(pawl_linear_dx(d, matrix(y, N, O), matrix(w, O, I), PAWL_SET, matrix(dx, N, I)), PAWL_OK);
    assert_int_equal(pawl_linear_dw(d, matrix(y, N, O), matrix(x, N, I), PAWL_SET, matrix(dw, O, I), none), PAWL_OK);
}

/* Thousands of signals into matrix products, which may run on a stack of their own inside the heap (oneDNN's do): the
 * numbers stay, and so does the heap. */
static void signals_do_not_disturb_products(void **unused)
{
    (void)unused;
    static float x[N * MOST], w[MOST * MOST], y[N * MOST], dx[2][N * MOST], dw[2][MOST * MOST];
    static const int64_t shapes[][2] = {{192, 192}, {576, 192}, {192, 512}, {260, 192}, {1024, 192}};
    pawl_device *d;
    pthread_t sender;
    for (int i = 0; i < N * MOST; i++) x[i] = (float)(i % 13) - 6;
    for (int i = 0; i < MOST * MOST; i++) w[i] = (float)(i % 7) - 3;
    assert_int_equal(pawl_device_open_cpu(1, "auto", &d), PAWL_OK);
    pawl_catch_signals();
    worker = pthread_self();
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        const int64_t O = shapes[s][0], I = shapes[s][1];
        products(d, x, w, y, dx[0], dw[0], O, I);
        stop = 0;
        assert_int_equal(pthread_create(&sender, NULL, bother, NULL), 0);
        for (int i = 0; i < ROUNDS; i++) {
            void *between = malloc(1000 + (size_t)i); /* so that the heap's own records lie near */
            products(d, x, w, y, dx[1], dw[1], O, I);
            free(between);
            assert_memory_equal(dx[0], dx[1], sizeof(float) * (size_t)(N * I));
            assert_memory_equal(dw[0], dw[1], sizeof(float) * (size_t)(O * I));
        }
        stop = 1;
        pthread_join(sender, NULL);
    }
    assert_true(pawl_stop_asked); /* they did arrive */
    pawl_device_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(signals_do_not_disturb_products)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
