/* tests/ops_check.h - what the tests of the ops share: numbers, comparison, finite differences, and every device that
 * this machine can open (each instruction set, with the library's matrix products and with our own); or the GPU alone, where the
 * environment asks for it (tests/on_device.h). */
#ifndef PAWL_TESTS_OPS_CHECK_H
#define PAWL_TESTS_OPS_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "ops/cpu/cpu.h"
#include "tests/e2e/in_front.h"
#include "tests/on_device.h"

#define UNUSED __attribute__((unused))

/* count numbers, standard normal times spread, in a block of exactly that size: a sanitizer sees a step too far. */
static UNUSED float *numbers(int64_t count, uint64_t which, float spread)
{
    float *x = malloc((size_t)count * sizeof *x);
    for (int64_t i = 0; i < count; i++) {
        const pawl_random r = pawl_random_at(7, PAWL_FOR_TEST, which, (uint64_t)i);
        float two[2];
        pawl_normal(r.word[0], r.word[1], two);
        x[i] = spread * two[0];
    }
    return x;
}

static UNUSED float *copy_of(const float *x, int64_t count)
{
    return memcpy(malloc((size_t)count * sizeof *x), x, (size_t)count * sizeof *x);
}

static UNUSED double *widened(const float *x, int64_t count)
{
    double *y = malloc((size_t)count * sizeof *y);
    for (int64_t i = 0; i < count; i++) y[i] = x[i];
    return y;
}

static UNUSED double *zeros(int64_t count)
{
    return calloc((size_t)count, sizeof(double));
}

/* Integers in [0, below). */
static UNUSED int32_t *integers(int64_t count, uint64_t which, int32_t below)
{
    int32_t *x = malloc((size_t)count * sizeof *x);
    for (int64_t i = 0; i < count; i++)
        x[i] = (int32_t)(pawl_random_at(11, PAWL_FOR_TEST, which, (uint64_t)i).word[0] % (uint32_t)below);
    return x;
}

static UNUSED pawl_tensor matrix(void *data, int64_t rows, int64_t columns)
{
    return (pawl_tensor){data, PAWL_F32, 2, {rows, columns}};
}

static UNUSED pawl_tensor vector(void *data, int64_t count)
{
    return (pawl_tensor){data, PAWL_F32, 1, {count}};
}

static UNUSED pawl_tensor indices(void *data, int64_t count)
{
    return (pawl_tensor){data, PAWL_I32, 1, {count}};
}

static const pawl_tensor nothing = {.data = NULL};

/* |x - y| / |y| over all numbers; |x| where y is all zero. NaN and infinities never pass as near. */
static UNUSED double relative_l2(const float *x, const double *y, int64_t count)
{
    double apart = 0, size = 0;
    for (int64_t i = 0; i < count; i++) {
        apart += (x[i] - y[i]) * (x[i] - y[i]);
        size += y[i] * y[i];
    }
    return sqrt(size > 0 ? apart / size : apart);
}

#define assert_near(x, y, count, tolerance)                                                                            \
    do {                                                                                                               \
        const double r_ = relative_l2((x), (y), (count));                                                              \
        if (!(r_ <= (tolerance))) fail_msg("%s is %.3g (relative L2) from %s, more than %.3g", #x, r_, #y, tolerance); \
    } while (0)

#define assert_done(call)                                                                                              \
    do {                                                                                                               \
        if ((call) != PAWL_OK) fail_msg("%s: %s", #call, pawl_last_error()->what);                                     \
    } while (0)
#define assert_refused(call, code, word)                                                                               \
    do {                                                                                                               \
        assert_int_equal((call), (code));                                                                              \
        if (!strstr(pawl_last_error()->what, (word)))                                                                  \
            fail_msg("'%s' does not speak of '%s'", pawl_last_error()->what, (word));                                  \
    } while (0)

/* Gradient of f by central differences: out[i] = d f / d x[i]. */
static UNUSED void differences(double (*f)(void *self), void *self, double *x, int64_t count, double *out)
{
    const double h = 1e-5;
    for (int64_t i = 0; i < count; i++) {
        const double here = x[i];
        x[i] = here + h;
        const double above = f(self);
        x[i] = here - h;
        out[i] = (above - f(self)) / (2 * h);
        x[i] = here;
    }
}

static UNUSED double inner(const double *x, const double *y, int64_t count)
{
    double s = 0;
    for (int64_t i = 0; i < count; i++) s += x[i] * y[i];
    return s;
}

/* The largest of all shapes that the tests use. */
static const pawl_shapes largest = {.positions = 2100,
                                    .tokens = 700,
                                    .width = 600,
                                    .heads = 8,
                                    .kv_heads = 4,
                                    .head_dim = 256,
                                    .ff = 700,
                                    .vocab = 3000,
                                    .bins = 3000};

static UNUSED void on_the_gpu(void (*check)(pawl_device *d))
{
    pawl_device *d;
    assert_done(mirrored_open(&d));
    assert_done(pawl_device_reserve(d, &largest));
    check(d);
    pawl_device_close(d);
}

/* Runs check on every device that can be opened here, and counts on there being at least two. */
static UNUSED void on_every_device(int threads, void (*check)(pawl_device *d))
{
    static const char *const sets[] = {"generic", "avx2", "avx512"};
    const pawl_gemm_library *const libraries[] = {&pawl_gemm_portable, pawl_gemm_found()};
    int devices = 0;
    if (tests_are_on_cuda()) {
        on_the_gpu(check);
        return;
    }
    for (int s = 0; s < 3; s++)
        for (int l = 0; l < 2; l++) {
            int runs = 0;
            if (!libraries[l] || !pawl_kernels_find(sets[s], &runs) || !runs) continue;
            pawl_device *d;
            assert_done(pawl_cpu_open_with(threads, sets[s], libraries[l], &d));
            assert_done(pawl_device_reserve(d, &largest));
            check(d);
            pawl_device_close(d);
            devices++;
        }
    assert_true(devices >= 1);
}

/* A case of cmocka that is check on every device. */
#define EVERY_DEVICE(name, check)                                                                                      \
    static void name(void **state)                                                                                     \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        on_every_device(2, check);                                                                                     \
    }

#endif
