#include <stdio.h>
#include <string.h>

#include "ops/cpu/cpu.h"

static void close_cpu(pawl_device *d)
{
    pawl_cpu *cpu = pawl_cpu_of(d);
    pawl_gemm_close(cpu->gemm);
    pawl_pool_close(cpu->pool);
    pawl_arena_close(&cpu->tiles);
    pawl_arena_close(&cpu->scratch);
    pawl_free(cpu);
}

/* The products of a step: of every pair of widths that a linear layer joins, forward and both gradients; and the head's. */
static pawl_status prepare_linear(pawl_gemm *g, int64_t N, int64_t I, int64_t O, size_t *most)
{
    const pawl_panel products[] = {
        {.m = N, .n = O, .k = I, .lda = I, .ldb = I, .ldc = O, .b_transposed = 1},
        {.m = N, .n = I, .k = O, .lda = O, .ldb = I, .ldc = I},
        {.m = O, .n = I, .k = N, .lda = O, .ldb = I, .ldc = I, .a_transposed = 1},
    };
    for (int i = 0; i < 3; i++)
        for (int add = 0; add < 2; add++) {
            size_t bytes;
            pawl_panel p = products[i];
            p.add = add;
            PAWL_TRY(pawl_gemm_prepare(g, p.a_transposed ? PAWL_OVER_POSITIONS : PAWL_OVER_WIDTH, &p, &bytes));
            if (bytes > *most) *most = bytes;
        }
    return PAWL_OK;
}

static pawl_status prepare_products(const pawl_cpu *cpu, const pawl_shapes *s, size_t *most)
{
    const struct {
        int64_t positions, in, out;
    } layers[] = {
        {s->positions, s->width, (s->heads + 2 * s->kv_heads) * s->head_dim},
        {s->positions, s->heads * s->head_dim, s->width},
        {s->positions, s->width, 2 * s->ff},
        {s->positions, s->ff, s->width},
        {pawl_head_chunk(s->positions, s->vocab), s->width, s->vocab},
    };
    *most = 0;
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        PAWL_TRY(prepare_linear(cpu->gemm, layers[i].positions, layers[i].in, layers[i].out, most));
    return PAWL_OK;
}

static size_t shared_bytes(const pawl_shapes *s)
{
    const size_t norm = pawl_norm_scratch_bytes(s), head = pawl_head_scratch_bytes(s);
    return norm > head ? norm : head;
}

static size_t scratch_bytes_cpu(const pawl_device *d, const pawl_shapes *most)
{
    const pawl_cpu *cpu = (const pawl_cpu *)d;
    size_t each;
    if (prepare_products(cpu, most, &each) != PAWL_OK) each = 0; /* reserve will say what is wrong */
    return cpu->tiles.size + shared_bytes(most) + (size_t)pawl_pool_threads(cpu->pool) * each;
}

static pawl_status reserve_cpu(pawl_device *d, const pawl_shapes *most)
{
    pawl_cpu *cpu = pawl_cpu_of(d);
    size_t each;
    PAWL_TRY(prepare_products(cpu, most, &each));
    PAWL_TRY(pawl_gemm_reserve(cpu->gemm, each));
    if (shared_bytes(most) <= cpu->scratch.size) return PAWL_OK;
    pawl_arena grown = {.name = cpu->scratch.name, .used = shared_bytes(most)};
    PAWL_TRY(pawl_arena_open(&grown));
    pawl_arena_close(&cpu->scratch);
    cpu->scratch = grown;
    return PAWL_OK;
}

pawl_status pawl_cpu_scratch(pawl_cpu *cpu, const char *op, size_t bytes, pawl_arena *out)
{
    PAWL_CHECK(bytes <= cpu->scratch.size, PAWL_EBUG,
               "%s needs %zu bytes of scratch and %zu are reserved: pawl_device_reserve was called for smaller shapes", op,
               bytes, cpu->scratch.size);
    *out = cpu->scratch;
    out->used = 0;
    return PAWL_OK;
}

static int threads_cpu(const pawl_device *d)
{
    return pawl_pool_threads(((const pawl_cpu *)d)->pool);
}

static const char *describe_cpu(const pawl_device *d)
{
    return ((const pawl_cpu *)d)->description;
}

enum { RATE_SIDE = 1024, RATE_RUNS = 5 };

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double gemm_rate_cpu(pawl_device *d)
{
    const pawl_panel p = {.m = RATE_SIDE, .n = RATE_SIDE, .k = RATE_SIDE, .lda = RATE_SIDE, .ldb = RATE_SIDE, .ldc = RATE_SIDE};
    pawl_arena a = {.name = "matrices for measuring", .used = 3 * sizeof(float) * RATE_SIDE * RATE_SIDE};
    double seconds[RATE_RUNS];
    if (pawl_arena_open(&a) != PAWL_OK) return 0;
    float *x = (float *)a.base;
    for (int64_t i = 0; i < 2 * RATE_SIDE * RATE_SIDE; i++) x[i] = (float)(i % 251) / 251.0f - 0.5f;
    for (int run = -1; run < RATE_RUNS; run++) { /* -1 makes the plan and touches the pages */
        const double start = seconds_now();
        const pawl_status s = pawl_gemm_run(pawl_cpu_of(d)->gemm, PAWL_OVER_WIDTH, &p, x, x + RATE_SIDE * RATE_SIDE, NULL,
                                            x + 2 * RATE_SIDE * RATE_SIDE);
        if (s != PAWL_OK) break;
        double took = seconds_now() - start;
        for (int i = 0; i < run; i++)
            if (took < seconds[i]) { /* insertion keeps them sorted */
                const double later = seconds[i];
                seconds[i] = took;
                took = later;
            }
        if (run >= 0) seconds[run] = took;
    }
    pawl_arena_close(&a);
    return 2.0 * RATE_SIDE * RATE_SIDE * RATE_SIDE / seconds[RATE_RUNS / 2];
}
