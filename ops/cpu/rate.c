#include <stdlib.h>
#include <time.h>

#include "ops/cpu/products.h"

enum { SIDE = 1024, RUNS = 7 };

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median seconds of the product; the first run makes the plan and touches the pages, and is not counted. */
static pawl_status measure(pawl_cpu *cpu, pawl_dtype type, float *numbers, double *median)
{
    pawl_panel p = pawl_product_dx(SIDE, SIDE, SIDE, SIDE);
    p.a_type = p.b_type = p.c_type = type;
    const pawl_tensor all = {.data = numbers, .dtype = PAWL_F32, .ndim = 1, .dim = {2 * SIDE * SIDE}};
    uint16_t *low = (uint16_t *)(numbers + 2 * SIDE * SIDE); /* read there, and written to where the f32 are */
    const void *from = type == PAWL_BF16 ? (const void *)low : numbers;
    void *to = type == PAWL_BF16 ? numbers : numbers + 2 * SIDE * SIDE;
    double seconds[1 + RUNS];
    for (int i = 0; i < 2 * SIDE * SIDE; i++)
        numbers[i] = (float)(i % 251) / 251.0f - 0.5f; /* zeros would run faster */
    if (type == PAWL_BF16)
        PAWL_TRY(cast_cpu(&cpu->device, all, (pawl_tensor){low, PAWL_BF16, 1, {2 * SIDE * SIDE}}));
    for (int run = 0; run <= RUNS; run++) {
        const double start = seconds_now();
        PAWL_TRY(
            pawl_gemm_run(cpu->gemm, PAWL_OVER_WIDTH, &p, from, pawl_gemm_number(from, type, SIDE * SIDE), NULL, to));
        seconds[run] = seconds_now() - start;
    }
    qsort(seconds + 1, RUNS, sizeof *seconds, by_size);
    *median = seconds[1 + RUNS / 2];
    return PAWL_OK;
}

double pawl_cpu_gemm_rate(pawl_device *d, pawl_dtype type)
{
    pawl_arena a = {.name = "matrices for measuring", .used = (size_t)3 * SIDE * SIDE * sizeof(float)};
    double median = INFINITY; /* a rate of 0 when it cannot be measured */
    if (pawl_arena_open(&a) != PAWL_OK) return 0;
    if (measure(pawl_cpu_of(d), type, (float *)a.base, &median) != PAWL_OK) median = INFINITY;
    pawl_arena_close(&a);
    return 2.0 * SIDE * SIDE * SIDE / median;
}

/* a[i] += b[i] over more than caches hold: two streams read, one written. */
double pawl_cpu_memory_rate(pawl_device *d)
{
    enum { COUNT = PAWL_MEMORY_RATE_BYTES / 8, RATES = 5 };
    pawl_arena a = {.name = "measuring", .used = (size_t)2 * COUNT * sizeof(float)};
    double seconds[1 + RATES];
    if (pawl_arena_open(&a) != PAWL_OK) return 0;
    float *numbers = (float *)a.base;
    for (int64_t i = 0; i < 2 * COUNT; i++) numbers[i] = 1; /* pages of its own: the system's zero page is in the cache */
    for (int run = 0; run <= RATES; run++) {
        const double start = seconds_now();
        if (d->ops->add(d, numbers, numbers + COUNT, COUNT) != PAWL_OK) seconds[run] = INFINITY;
        else seconds[run] = seconds_now() - start;
    }
    pawl_arena_close(&a);
    qsort(seconds + 1, RATES, sizeof *seconds, by_size);
    return 3.0 * COUNT * sizeof(float) / seconds[1];
}
