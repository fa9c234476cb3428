/* tests/bench/ops.c - how fast each op runs on the reference shapes, and what a whole step of them adds up to.
 *
 *   ops [SHAPE...] [--threads N] [--isa NAME] [--seconds S] [--portable] [--cpu-time]
 *
 * One line an op: how often a step calls it, milliseconds a call, GFLOP/s (or GB/s where it computes little), share of
 * the step. Last line of a shape: model GFLOP/s of the sum (6 N + 12 L d T per token) and its share of the library's
 * rate.
 * --cpu-time counts the processor's time rather than the clock's: with one thread, figures that busy neighbours do not
 * spoil. Computes on the device of tests/on_device.h; on a GPU calls are timed by twenties, and --threads, --isa and --portable are the
 * CPU's. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/arena.h"
#include "ops/cpu/cpu.h"
#include "tests/on_device.h"

typedef struct shape {
    const char *name;
    int64_t V, D, F, L, H, G, T, B;
} shape;

static const shape shapes[] = {
    {"0.9M", 256, 128, 352, 4, 4, 4, 128, 16},    {"2.8M", 512, 192, 512, 6, 6, 6, 256, 8},
    {"5.9M", 4096, 256, 688, 6, 8, 8, 256, 8},    {"15M", 32000, 288, 768, 6, 6, 6, 256, 4},
    {"135M", 49152, 576, 1536, 30, 9, 3, 512, 2},
};

typedef struct bench {
    pawl_device *device;
    shape s;
    int64_t N, K, Q; /* positions, head size, width of qkv */
    pawl_attend over;
    pawl_tensor x, y, z, rstd, wide, dwide, act, dact, qkv, dqkv, out, dout, lse;
    pawl_tensor w_qkv, w_out, w_up, w_down, w_head, norm, cos, sin, ids, positions, loss;
    float *weights, *grads, *m, *v; /* of all parameters */
    int64_t parameters;
    double *blocks;
    int32_t *targets, *starts;
    float *room; /* the host's: of the largest tensor, on its way to a device that is apart */
} bench;

#define MUST(call)                                                                                                     \
    do {                                                                                                               \
        if ((call) != PAWL_OK) {                                                                                       \
            fprintf(stderr, "%s\n", pawl_last_error()->what);                                                          \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* clang-format off */
static void linear_qkv(bench *b) { MUST(pawl_linear(b->device, b->x, b->w_qkv, (pawl_tensor){0}, PAWL_SET, b->qkv)); }
static void linear_qkv_dx(bench *b) { MUST(pawl_linear_dx(b->device, b->dqkv, b->w_qkv, PAWL_SET, b->x)); }
static void linear_qkv_dw(bench *b) { MUST(pawl_linear_dw(b->device, b->dqkv, b->x, PAWL_ADD, b->w_qkv, (pawl_tensor){0})); }
static void linear_out(bench *b) { MUST(pawl_linear(b->device, b->out, b->w_out, (pawl_tensor){0}, PAWL_SET, b->y)); }
static void linear_out_dx(bench *b) { MUST(pawl_linear_dx(b->device, b->y, b->w_out, PAWL_SET, b->dout)); }
static void linear_out_dw(bench *b) { MUST(pawl_linear_dw(b->device, b->y, b->out, PAWL_ADD, b->w_out, (pawl_tensor){0})); }
static void linear_up(bench *b) { MUST(pawl_linear(b->device, b->x, b->w_up, (pawl_tensor){0}, PAWL_SET, b->wide)); }
static void linear_up_dx(bench *b) { MUST(pawl_linear_dx(b->device, b->dwide, b->w_up, PAWL_SET, b->x)); }
static void linear_up_dw(bench *b) { MUST(pawl_linear_dw(b->device, b->dwide, b->x, PAWL_ADD, b->w_up, (pawl_tensor){0})); }
static void linear_down(bench *b) { MUST(pawl_linear(b->device, b->act, b->w_down, (pawl_tensor){0}, PAWL_SET, b->y)); }
static void linear_down_dx(bench *b) { MUST(pawl_linear_dx(b->device, b->y, b->w_down, PAWL_SET, b->dact)); }
static void linear_down_dw(bench *b) { MUST(pawl_linear_dw(b->device, b->y, b->act, PAWL_ADD, b->w_down, (pawl_tensor){0})); }
static void norm(bench *b) { MUST(pawl_rmsnorm(b->device, b->x, b->y, b->norm, 1e-5f, b->x, b->z, b->rstd)); }
static void norm_backward(bench *b) { MUST(pawl_rmsnorm_backward(b->device, b->y, b->x, b->norm, b->rstd, PAWL_ADD, b->z, b->norm)); }
static void rope(bench *b) { MUST(pawl_rope(b->device, b->qkv, b->s.H + b->s.G, b->cos, b->sin, b->positions, 1)); }
static void attention(bench *b) { MUST(pawl_attention(b->device, &b->over, b->qkv, b->out, b->lse)); }
static void attention_backward(bench *b) { MUST(pawl_attention_backward(b->device, &b->over, b->dout, b->qkv, b->out, b->lse, b->dqkv)); }
static void swiglu(bench *b) { MUST(pawl_swiglu(b->device, b->wide, b->act)); }
static void swiglu_backward(bench *b) { MUST(pawl_swiglu_backward(b->device, b->act, b->wide, b->dwide)); }
static void embedding(bench *b) { MUST(pawl_embedding(b->device, b->w_head, b->ids, b->x)); }
static void embedding_dw(bench *b) { MUST(pawl_embedding_dw(b->device, b->x, b->ids, b->w_head)); }
static void adamw(bench *b)
{
    const pawl_adamw_step k = {.lr = 1e-6, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .fix1 = 0.5, .fix2 = 0.5, .grad_scale = 1};
    MUST(pawl_adamw(b->device, b->weights, b->grads, b->m, b->v, b->parameters, &k));
}
static void sum_squares(bench *b) { MUST(pawl_sum_squares(b->device, b->grads, b->parameters, b->blocks)); }
static void head(bench *b)
{
    static pawl_tensor dw; /* its own: the head's weights stay as they are */
    dw = b->w_head;
    dw.data = b->grads;
    const pawl_head h = {.hidden = b->y, .w = b->w_head, .targets = b->targets, .scale = 1e-3f, .loss = b->loss, .dhidden = b->z, .dw = dw, .put = PAWL_ADD};
    MUST(pawl_head_loss(b->device, &h));
}

/* clang-format on */

typedef struct row {
    const char *name;
    void (*run)(bench *b);
    int per_layer, per_step; /* calls in a step */
    double (*flops)(const bench *b);
    double (*bytes)(const bench *b); /* used where there are no flops */
} row;

/* clang-format off */
static double flops_qkv(const bench *b) { return 2.0 * (double)(b->N * b->s.D * b->Q); }
static double flops_out(const bench *b) { return 2.0 * (double)(b->N * b->s.D * b->s.H * b->K); }
static double flops_up(const bench *b) { return 4.0 * (double)(b->N * b->s.D * b->s.F); }
static double flops_down(const bench *b) { return 2.0 * (double)(b->N * b->s.D * b->s.F); }
static double flops_head(const bench *b) { return 6.0 * (double)(b->N * b->s.D * b->s.V); }
static double flops_attention(const bench *b) { return 4.0 * (double)(b->N * b->s.T * b->s.H * b->K); }
static double flops_attention_backward(const bench *b) { return 2 * flops_attention(b); }
static double bytes_norm(const bench *b) { return 16.0 * (double)(b->N * b->s.D); }
static double bytes_rope(const bench *b) { return 8.0 * (double)(b->N * (b->s.H + b->s.G) * b->K); }
static double bytes_swiglu(const bench *b) { return 12.0 * (double)(b->N * b->s.F); }
static double bytes_swiglu_backward(const bench *b) { return 20.0 * (double)(b->N * b->s.F); }
static double bytes_embedding(const bench *b) { return 8.0 * (double)(b->N * b->s.D); }
static double bytes_embedding_dw(const bench *b) { return 12.0 * (double)(b->N * b->s.D); }
static double bytes_adamw(const bench *b) { return 28.0 * (double)b->parameters; }
static double bytes_sum(const bench *b) { return 4.0 * (double)b->parameters; }

static const row rows[] = {
    {"linear qkv", linear_qkv, 1, 0, flops_qkv, NULL},
    {"  dx", linear_qkv_dx, 1, 0, flops_qkv, NULL},
    {"  dw", linear_qkv_dw, 1, 0, flops_qkv, NULL},
    {"linear out", linear_out, 1, 0, flops_out, NULL},
    {"  dx", linear_out_dx, 1, 0, flops_out, NULL},
    {"  dw", linear_out_dw, 1, 0, flops_out, NULL},
    {"linear gate_up", linear_up, 1, 0, flops_up, NULL},
    {"  dx", linear_up_dx, 1, 0, flops_up, NULL},
    {"  dw", linear_up_dw, 1, 0, flops_up, NULL},
    {"linear down", linear_down, 1, 0, flops_down, NULL},
    {"  dx", linear_down_dx, 1, 0, flops_down, NULL},
    {"  dw", linear_down_dw, 1, 0, flops_down, NULL},
    {"attention", attention, 1, 0, flops_attention, NULL},
    {"  backward", attention_backward, 1, 0, flops_attention_backward, NULL},
    {"rmsnorm", norm, 2, 1, NULL, bytes_norm},
    {"  backward", norm_backward, 2, 1, NULL, bytes_norm},
    {"rope", rope, 2, 0, NULL, bytes_rope},
    {"swiglu", swiglu, 1, 0, NULL, bytes_swiglu},
    {"  backward", swiglu_backward, 1, 0, NULL, bytes_swiglu_backward},
    {"embedding", embedding, 0, 1, NULL, bytes_embedding},
    {"  backward", embedding_dw, 0, 1, NULL, bytes_embedding_dw},
    {"head loss", head, 0, 1, flops_head, NULL},
    {"sum of squares", sum_squares, 0, 1, NULL, bytes_sum},
    {"adamw", adamw, 0, 1, NULL, bytes_adamw},
};
enum { ROWS = sizeof rows / sizeof *rows };

/* clang-format on */

static pawl_tensor take(pawl_arena *a, int64_t r, int64_t c)
{
    return pawl_take(a, PAWL_F32, 2, (const int64_t[]){r, c});
}

static pawl_tensor take_i32(pawl_arena *a, int64_t count)
{
    return pawl_take(a, PAWL_I32, 1, &count);
}

static void lay_out(pawl_arena *a, bench *b)
{
    const shape *s = &b->s;
    const int64_t N = b->N, K = b->K, Q = b->Q;
    b->x = take(a, N, s->D), b->y = take(a, N, s->D), b->z = take(a, N, s->D), b->rstd = take(a, 1, N);
    b->wide = take(a, N, 2 * s->F), b->dwide = take(a, N, 2 * s->F), b->act = take(a, N, s->F),
    b->dact = take(a, N, s->F);
    b->qkv = take(a, N, Q), b->dqkv = take(a, N, Q), b->out = take(a, N, s->H * K), b->dout = take(a, N, s->H * K);
    b->lse = take(a, N, s->H), b->loss = take(a, 1, N), b->norm = take(a, 1, s->D);
    b->w_qkv = take(a, Q, s->D), b->w_out = take(a, s->D, s->H * K), b->w_up = take(a, 2 * s->F, s->D);
    b->w_down = take(a, s->D, s->F), b->w_head = take(a, s->V, s->D);
    b->cos = take(a, s->T, K / 2), b->sin = take(a, s->T, K / 2);
    b->ids = take_i32(a, N), b->positions = take_i32(a, N);
    b->targets = take_i32(a, N).data, b->starts = take_i32(a, N).data;
    b->parameters = s->V * s->D + s->L * (s->D * (Q + s->H * K + 3 * s->F + 2)) + s->D;
    b->weights = take(a, 1, b->parameters).data, b->grads = take(a, 1, b->parameters).data;
    b->m = take(a, 1, b->parameters).data, b->v = take(a, 1, b->parameters).data;
    b->blocks = pawl_take_bytes(a, (size_t)(b->parameters / PAWL_SUM_BLOCK + 1) * sizeof(double));
}

static void fill_numbers(bench *b, pawl_tensor t, float size)
{
    float *x = pawl_host_side(b->device, t.data, b->room);
    for (int64_t i = 0; i < pawl_tensor_count(t); i++) x[i] = size * ((float)(i * 7919 % 1009) / 1009.0f - 0.5f);
    MUST(pawl_upload(b->device, t.data, x, pawl_tensor_bytes(t)));
}

static void fill_ids(bench *b, int32_t *to, int32_t (*id)(const bench *b, int64_t n))
{
    int32_t *x = pawl_host_side(b->device, to, b->room);
    for (int64_t n = 0; n < b->N; n++) x[n] = id(b, n);
    MUST(pawl_upload(b->device, to, x, (size_t)b->N * sizeof *x));
}

static int32_t any_id(const bench *b, int64_t n)
{
    return (int32_t)(n * 7919 % b->s.V);
}

static int32_t position(const bench *b, int64_t n)
{
    return (int32_t)(n % b->s.T);
}

static int32_t start(const bench *b, int64_t n)
{
    return (int32_t)(n / b->s.T * b->s.T);
}

static void fill(bench *b)
{
    const pawl_tensor all[] = {b->x,    b->y,   b->z,    b->wide, b->dwide, b->act,
                               b->dact, b->qkv, b->dqkv, b->out,  b->dout,  b->norm};
    const pawl_tensor weights[] = {b->w_qkv, b->w_out, b->w_up, b->w_down, b->w_head};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) fill_numbers(b, all[i], 1);
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++) fill_numbers(b, weights[i], 0.1f);
    fill_numbers(b, b->cos, 2), fill_numbers(b, b->sin, 2);
    fill_ids(b, b->ids.data, any_id), fill_ids(b, b->targets, any_id);
    fill_ids(b, b->positions.data, position), fill_ids(b, b->starts, start);
}

static clockid_t clock_used = CLOCK_MONOTONIC;

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(clock_used, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* So many calls, up to their end: a GPU is behind its host. */
static void run_calls(void (*run)(bench *b), bench *b, int calls)
{
    float one;
    for (int i = 0; i < calls; i++) run(b);
    MUST(pawl_download(b->device, &one, b->x.data, sizeof one));
}

/* The best of many: neighbours only ever take time away. */
static double best_of(void (*run)(bench *b), bench *b, double seconds)
{
    const int calls = pawl_device_shares_memory(b->device) ? 1 : 20;
    double best = INFINITY;
    run_calls(run, b, 1);
    for (double began = seconds_now(), now = began; now - began < seconds;) {
        run_calls(run, b, calls);
        const double then = now;
        now = seconds_now();
        if (now - then < best * calls) best = (now - then) / calls;
    }
    return best;
}

enum { SIDE = 896 }; /* fits in the parameters of the smallest shape */

static pawl_tensor matrix(float *data)
{
    return (pawl_tensor){data, PAWL_F32, 2, {SIDE, SIDE}};
}

/* The library's own rate in the same run, on the same clock. */
static void square(bench *b)
{
    MUST(pawl_linear(b->device, matrix(b->weights), matrix(b->grads), (pawl_tensor){0}, PAWL_SET, matrix(b->m)));
}

static double gemm_rate(bench *b)
{
    return 2.0 * SIDE * SIDE * SIDE / best_of(square, b, 0.5);
}

static void measure(pawl_device *d, shape s, double seconds)
{
    bench b = {.device = d, .s = s, .N = s.B * s.T, .K = s.D / s.H};
    double took[ROWS], step = 0, matmul_weights = 0;
    pawl_arena a = {.name = "benchmark"};
    b.Q = (s.H + 2 * s.G) * b.K;
    lay_out(&a, &b);
    MUST(pawl_arena_open_on(d, PAWL_ON_DEVICE, &a));
    lay_out(&a, &b);
    const size_t largest = pawl_tensor_bytes(b.w_head) + pawl_tensor_bytes(b.wide); /* and so than each */
    if (!pawl_device_shares_memory(d)) MUST(pawl_alloc((void **)&b.room, largest, "numbers on their way"));
    fill(&b);
    b.over = (pawl_attend){s.B, s.T, s.H, s.G, b.K, 0, 1 / sqrtf((float)b.K), .starts = b.starts};
    MUST(pawl_device_reserve(d, &(pawl_shapes){b.N, s.T, s.D, s.H, s.G, b.K, s.F, s.V, PAWL_F32, 0, 0, 0, 0}));
    for (int i = 0; i < ROWS; i++) {
        fill(&b); /* what adds to its output must not grow without end */
        took[i] = best_of(rows[i].run, &b, seconds);
        step += took[i] * (double)(rows[i].per_layer * s.L + rows[i].per_step);
    }
    printf("%s on %s, %d threads\n", s.name, pawl_device_describe(d), pawl_device_threads(d));
    for (int i = 0; i < ROWS; i++) {
        const double calls = (double)(rows[i].per_layer * s.L + rows[i].per_step);
        printf("  %-16s %4.0f x %9.3f ms  %7.1f %s  %5.1f%%\n", rows[i].name, calls, 1e3 * took[i],
               1e-9 * (rows[i].flops ? rows[i].flops(&b) : rows[i].bytes(&b)) / took[i],
               rows[i].flops ? "GFLOP/s" : "GB/s   ", 100 * calls * took[i] / step);
    }
    matmul_weights = (double)(s.L * s.D * (b.Q + s.H * b.K + 3 * s.F) + s.V * s.D);
    const double rate = (double)b.N * (6 * matmul_weights + 12.0 * (double)(s.L * s.D * s.T)) / step;
    printf("%s fp32 step %.2f ms %.0f tok/s %.0f GFLOP/s %.0f%% of gemm\n", s.name, 1e3 * step, (double)b.N / step,
           1e-9 * rate, 100 * rate / gemm_rate(&b));
    pawl_free(b.room);
    pawl_arena_close_on(d, PAWL_ON_DEVICE, &a);
}

int main(int argc, char **argv)
{
    const char *isa = "auto", *wanted[16];
    int threads = 2, portable = 0, count = 0;
    double seconds = 0.2;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--portable") == 0)
            portable = 1;
        else if (strcmp(argv[i], "--cpu-time") == 0)
            clock_used = CLOCK_PROCESS_CPUTIME_ID;
        else if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc)
            threads = (int)strtol(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--isa") == 0 && i + 1 < argc)
            isa = argv[++i];
        else if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc)
            seconds = strtod(argv[++i], NULL);
        else if (count < 16)
            wanted[count++] = argv[i];
    }
    pawl_device *d;
    const pawl_gemm_library *library = portable || !pawl_gemm_found() ? &pawl_gemm_portable : pawl_gemm_found();
    MUST(tests_are_on_cuda() ? open_tested_device(threads, &d) : pawl_cpu_open_with(threads, isa, library, &d));
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        int chosen = count == 0;
        for (int k = 0; k < count; k++) chosen |= strcmp(wanted[k], shapes[i].name) == 0;
        if (chosen) measure(d, shapes[i], seconds);
    }
    pawl_device_close(d);
    return 0;
}
