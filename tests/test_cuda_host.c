/* Runs: cmocka */
/* The host side of the CUDA backend, on stand-ins for NVIDIA's libraries: memory, what goes up and down, products. */
#include <dlfcn.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/span.h"
#include "ops/backend.h"
#include "ops/bf16_rule.h"
#include "ops/fp8_rule.h"
#include "optim/optim.h"

static const pawl_cuda_place standin = {.library = PAWL_STANDIN};

static void done(pawl_status s)
{
    if (s != PAWL_OK) fail_msg("%s [%s]", pawl_last_error()->what, pawl_last_error()->trail);
}

static pawl_device *open_device(void)
{
    pawl_device *d;
    done(pawl_device_open_cuda(&standin, 0, &d));
    return d;
}

static uint32_t roll(uint32_t *state)
{
    *state ^= *state << 13, *state ^= *state >> 17, *state ^= *state << 5;
    return *state;
}

static float number(uint32_t *state)
{
    return (float)(int32_t)roll(state) * 0x1p-31f;
}

static void it_is_found_and_says_what_it_is(void **state)
{
    int gpus = 0;
    pawl_device *d;
    (void)state;
    done(pawl_cuda_count(&standin, &gpus));
    assert_int_equal(gpus, 1);
    assert_int_equal(pawl_device_open_cuda(&standin, 1, &d), PAWL_EUSAGE);
    d = open_device();
    assert_string_equal(pawl_device_describe(d), "cuda stand-in sm_90 cublaslt 13.0.0");
    assert_false(pawl_device_shares_memory(d));
    assert_true(pawl_device_gemm_rate(d, PAWL_BF16) > 0 && pawl_device_gemm_rate(d, PAWL_F32) > 0 && pawl_device_memory_rate(d) > 0);
    pawl_device_close(d);
}

/* Where each entry of the table is; the name and shares_memory are not functions. */
static void every_entry_of_the_table_is_there(void **state)
{
    const size_t word = sizeof(void (*)(void)), data = offsetof(pawl_ops, shares_memory);
    pawl_device *d = open_device();
    (void)state;
    for (size_t at = offsetof(pawl_ops, close); at < sizeof(pawl_ops); at += word) {
        void (*entry)(void);
        memcpy(&entry, (const char *)d->ops + at, word);
        if (at != data && !entry) fail_msg("entry number %zu of ops/backend.h is missing in the CUDA backend's table", at / word);
    }
    pawl_device_close(d);
}

/* Pieces of all sizes, up and down, more than the staging holds; what is taken is zeros. */
static void what_goes_up_comes_down(void **state)
{
    enum { NUMBERS = 9 << 20 };
    uint32_t dice = 1;
    float *here = malloc(NUMBERS * sizeof *here), *there = malloc(NUMBERS * sizeof *there);
    void *block;
    pawl_device *d = open_device();
    (void)state;
    done(pawl_device_take(d, PAWL_ON_DEVICE, NUMBERS * sizeof *here, "a test", &block));
    done(pawl_download(d, there, block, NUMBERS * sizeof *there));
    for (int i = 0; i < NUMBERS; i++) assert_true(there[i] == 0);
    for (int i = 0; i < NUMBERS; i++) here[i] = number(&dice);
    for (int64_t at = 0, n; at < NUMBERS; at += n) { /* what is uploaded may be changed at once */
        float some[5000];
        n = 1 + roll(&dice) % 5000;
        if (at > 1 << 18 || at + n > NUMBERS) n = NUMBERS - at;
        if (n <= 5000) memcpy(some, here + at, (size_t)n * sizeof *some);
        done(pawl_upload(d, (float *)block + at, n <= 5000 ? some : here + at, (size_t)n * sizeof *here));
        if (n <= 5000) memset(some, 0xff, sizeof some);
    }
    done(pawl_scale(d, (pawl_tensor){.data = block, .ndim = 1, .dim = {NUMBERS}}, 2));
    done(pawl_download(d, there, block, NUMBERS * sizeof *there));
    for (int i = 0; i < NUMBERS; i++) assert_true(there[i] == 2 * here[i]);
    pawl_device_give(d, PAWL_ON_DEVICE, block, NUMBERS * sizeof *here);
    assert_int_equal(pawl_device_take(d, PAWL_ON_DEVICE, (size_t)1 << 40, "far too much", &block), PAWL_EMEM);
    assert_non_null(strstr(pawl_last_error()->what, "far too much"));
    done(pawl_device_take(d, PAWL_ON_DEVICE, sizeof *here, "a test", &block));
    done(pawl_scale(d, (pawl_tensor){.data = block, .ndim = 1, .dim = {1}}, 2)); /* that was no error of the next op */
    pawl_device_give(d, PAWL_ON_DEVICE, block, sizeof *here);
    pawl_device_close(d);
    free(here);
    free(there);
}

/* What the stand-in is there for: a host that reads the device's memory does not live. */
static void a_host_that_touches_the_devices_memory_dies(void **state)
{
    void *block;
    pawl_device *d = open_device();
    (void)state;
    done(pawl_device_take(d, PAWL_ON_DEVICE, 64, "a test", &block));
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        _exit(*(volatile char *)block);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGSEGV);
    pawl_device_give(d, PAWL_ON_DEVICE, block, 64);
    pawl_device_close(d);
}

/* A kernel that goes astray is found by a later call, whose sentence says so; in a process of its own. */
static int says_what_broke(void)
{
    const char *what;
    float x[4];
    void *block;
    pawl_device *d = open_device();
    done(pawl_device_take(d, PAWL_ON_DEVICE, sizeof x, "a test", &block));
    setenv("PAWL_STANDIN_FAULT", "0", 1);
    done(pawl_scale(d, (pawl_tensor){.data = block, .ndim = 1, .dim = {4}}, 2));
    if (pawl_download(d, x, block, sizeof x) != PAWL_EBUG) return 1;
    what = pawl_last_error()->what;
    if (!strstr(what, "an illegal memory access was encountered (of a kernel before this call; with CUDA_LAUNCH_BLOCKING=1")) return 2;
    if (pawl_scale(d, (pawl_tensor){.data = block, .ndim = 1, .dim = {4}}, 2) != PAWL_EBUG) return 3;
    pawl_device_give(d, PAWL_ON_DEVICE, block, sizeof x);
    pawl_device_close(d);
    return 0;
}

static void a_gpu_that_breaks_is_told_of(void **state)
{
    int how;
    (void)state;
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) _exit(says_what_broke());
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
}

/* While spans are recorded an op is through when it returns: that is how long it took. Else the host goes ahead. */
static void a_timed_op_is_waited_for(void **state)
{
    static const pawl_rates rates = {.f32_flops = 1, .bf16_flops = 1, .bytes = 1};
    float x[4] = {1, 2, 3, 4};
    void *block;
    pawl_spans *spans;
    int idle = 0;
    pawl_device *d = open_device();
    int (*is_idle)(void) = (int (*)(void))dlsym(dlopen(PAWL_STANDIN, RTLD_NOW), "standin_is_idle");
    (void)state;
    assert_non_null(is_idle);
    done(pawl_device_take(d, PAWL_ON_DEVICE, sizeof x, "a test", &block));
    done(pawl_upload(d, block, x, sizeof x));
    const pawl_tensor t = {.data = block, .ndim = 1, .dim = {4}};
    for (int i = 0; i < 20; i++) {
        done(pawl_scale(d, t, 1));
        idle += is_idle();
    }
    assert_true(idle < 20);
    done(pawl_spans_open(1, &spans));
    pawl_device_time(d, &rates);
    pawl_spans_record(spans);
    for (int i = 0; i < 20; i++) {
        done(pawl_scale(d, t, 1));
        assert_true(is_idle());
    }
    pawl_spans_close(spans);
    pawl_device_time(d, NULL);
    pawl_device_give(d, PAWL_ON_DEVICE, block, sizeof x);
    pawl_device_close(d);
}

/* ---- products against sums in double precision ---- */

typedef struct operand {
    pawl_tensor t; /* of the device */
    double *is;    /* its numbers */
} operand;

static operand make(pawl_device *d, pawl_dtype type, int64_t rows, int64_t cols, uint32_t *dice)
{
    const int64_t n = rows * cols;
    operand o = {.t = {.dtype = type, .ndim = 2, .dim = {rows, cols}}, .is = malloc((size_t)n * sizeof(double))};
    float *f = calloc((size_t)n, sizeof *f);
    uint16_t *h = calloc((size_t)n, sizeof *h);
    for (int64_t i = 0; i < n; i++) f[i] = number(dice);
    pawl_convert(f, PAWL_F32, h, PAWL_BF16, n);
    if (type == PAWL_BF16) pawl_convert(h, PAWL_BF16, f, PAWL_F32, n);
    for (int64_t i = 0; i < n; i++) o.is[i] = f[i];
    done(pawl_device_take(d, PAWL_ON_DEVICE, pawl_tensor_bytes(o.t), "a test", &o.t.data));
    done(pawl_upload(d, o.t.data, type == PAWL_BF16 ? (void *)h : f, pawl_tensor_bytes(o.t)));
    free(f);
    free(h);
    return o;
}

static void unmake(pawl_device *d, operand *o)
{
    pawl_device_give(d, PAWL_ON_DEVICE, o->t.data, pawl_tensor_bytes(o->t));
    free(o->is);
}

/* Every number of o is what is expected, to f32's or bf16's rounding of sums of `terms`. */
static void expect(pawl_device *d, const operand *o, const double *expected, int64_t terms, const char *what)
{
    const int64_t n = pawl_tensor_count(o->t);
    const double bound = (o->t.dtype == PAWL_BF16 ? 0x1p-7 : 0) + 0x1p-22 * (double)terms;
    void *raw = malloc(pawl_tensor_bytes(o->t));
    float *f = calloc((size_t)n, sizeof *f);
    done(pawl_download(d, raw, o->t.data, pawl_tensor_bytes(o->t)));
    pawl_convert(raw, o->t.dtype, f, PAWL_F32, n);
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(f[i] - expected[i]) <= bound * fmax(1, fabs(expected[i]))))
            fail_msg("%s: number %ld is %g, expected %g", what, (long)i, (double)f[i], expected[i]);
    free(raw);
    free(f);
}

typedef struct layer_case {
    int64_t N, I, O, W, first; /* y and dy are [N,W], columns [first, first + O) */
    pawl_dtype type, y, dx;
    int biased;
} layer_case;

static void check_layer(pawl_device *d, const layer_case *c, pawl_put put, uint32_t *dice)
{
    operand x = make(d, c->type, c->N, c->I, dice), w = make(d, c->type, c->O, c->I, dice), dy = make(d, c->type, c->N, c->W, dice),
            y = make(d, c->y, c->N, c->W, dice), dx = make(d, c->dx, c->N, c->I, dice), dw = make(d, PAWL_F32, c->O, c->I, dice),
            bias = make(d, PAWL_F32, 1, c->O, dice);
    const double keep = put == PAWL_ADD;
    const pawl_tensor none = {.dtype = PAWL_F32}, b = {.data = bias.t.data, .dtype = PAWL_F32, .ndim = 1, .dim = {c->O}};
    done(pawl_linear_part(d, x.t, w.t, c->biased ? b : none, put, c->first, y.t));
    done(pawl_linear_part_dx(d, dy.t, c->first, w.t, put, dx.t));
    done(pawl_linear_part_dw(d, dy.t, c->first, x.t, put, dw.t));
    for (int64_t n = 0; n < c->N; n++)
        for (int64_t o = 0; o < c->O; o++) {
            double *at = &y.is[n * c->W + c->first + o], sum = keep * *at + c->biased * bias.is[o];
            for (int64_t i = 0; i < c->I; i++) sum += x.is[n * c->I + i] * w.is[o * c->I + i];
            *at = sum;
        }
    for (int64_t n = 0; n < c->N; n++)
        for (int64_t i = 0; i < c->I; i++) {
            double *at = &dx.is[n * c->I + i], sum = keep * *at;
            for (int64_t o = 0; o < c->O; o++) sum += dy.is[n * c->W + c->first + o] * w.is[o * c->I + i];
            *at = sum;
        }
    for (int64_t o = 0; o < c->O; o++)
        for (int64_t i = 0; i < c->I; i++) {
            double *at = &dw.is[o * c->I + i], sum = keep * *at;
            for (int64_t n = 0; n < c->N; n++) sum += dy.is[n * c->W + c->first + o] * x.is[n * c->I + i];
            *at = sum;
        }
    expect(d, &y, y.is, c->I, "y");
    expect(d, &dx, dx.is, c->O, "dx");
    expect(d, &dw, dw.is, c->N, "dw");
    operand *all[] = {&x, &w, &dy, &y, &dx, &dw, &bias};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) unmake(d, all[i]);
}

/* The library's own word for it, and the product. */
static void a_product_that_is_refused_is_named(void **state)
{
    uint32_t dice = 3;
    pawl_device *d = open_device();
    operand x = make(d, PAWL_F32, 2, 3, &dice), w = make(d, PAWL_F32, 4, 3, &dice), y = make(d, PAWL_F32, 2, 4, &dice);
    const pawl_tensor none = {.dtype = PAWL_F32};
    float here[6] = {0};
    pawl_tensor of_the_host = x.t;
    (void)state;
    of_the_host.data = here;
    assert_int_equal(pawl_linear(d, of_the_host, w.t, none, PAWL_SET, y.t), PAWL_EBUG);
    assert_non_null(strstr(pawl_last_error()->what, "cublasLtMatmul failed with CUBLAS_STATUS_INVALID_VALUE for a product [2,3] x [3,4] of f32 into f32"));
    unmake(d, &x), unmake(d, &w), unmake(d, &y);
    pawl_device_close(d);
}

static const pawl_shapes layers_need = {.positions = 64, .tokens = 64, .width = 64, .heads = 4, .kv_heads = 2, .head_dim = 16, .ff = 128, .vocab = 128,
                                        .type = PAWL_BF16};

static void products_are_those_of_the_definition(void **state)
{
    static const layer_case cases[] = {
        {7, 5, 3, 3, 0, PAWL_F32, PAWL_F32, PAWL_F32, 1},
        {64, 32, 48, 80, 16, PAWL_F32, PAWL_F32, PAWL_F32, 0},
        {33, 24, 16, 40, 8, PAWL_BF16, PAWL_BF16, PAWL_F32, 1},
        {64, 32, 48, 48, 0, PAWL_BF16, PAWL_F32, PAWL_BF16, 0},
        {9, 17, 13, 31, 5, PAWL_BF16, PAWL_BF16, PAWL_BF16, 1}, /* nothing lies on 16 bytes */
        {1, 64, 128, 128, 0, PAWL_BF16, PAWL_F32, PAWL_F32, 1},
    };
    uint32_t dice = 7;
    pawl_device *d = open_device();
    (void)state;
    done(pawl_device_reserve(d, &layers_need));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int put = PAWL_SET; put <= PAWL_ADD; put++) check_layer(d, &cases[i], (pawl_put)put, &dice);
    pawl_device_close(d);
}

/* ---- products that end with an activation ---- */

static double gelu_of(double x)
{
    return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

/* By the product (F a multiple of 8), or by a kernel behind it. */
static void check_activated(pawl_device *d, pawl_dtype type, int64_t N, int64_t I, int64_t F, int biased, uint32_t *dice)
{
    operand x = make(d, type, N, I, dice), w = make(d, type, F, I, dice), bias = make(d, PAWL_F32, 1, F, dice), z = make(d, type, N, F, dice),
            out = make(d, type, N, F, dice), dy = make(d, type, N, I, dice), back = make(d, type, I, F, dice), room = make(d, type, N, F, dice),
            dz = make(d, type, N, F, dice);
    const pawl_tensor b = {.data = biased ? bias.t.data : NULL, .dtype = PAWL_F32, .ndim = 1, .dim = {F}};
    done(pawl_linear_activate(d, PAWL_GELU_TANH, x.t, w.t, b, z.t, out.t));
    done(pawl_linear_activate_dx(d, PAWL_GELU_TANH, dy.t, back.t, z.t, room.t, dz.t));
    for (int64_t n = 0; n < N; n++)
        for (int64_t f = 0; f < F; f++) {
            double sum = biased ? bias.is[f] : 0, slope = 0;
            for (int64_t i = 0; i < I; i++) sum += x.is[n * I + i] * w.is[f * I + i];
            for (int64_t i = 0; i < I; i++) slope += dy.is[n * I + i] * back.is[i * F + f];
            z.is[n * F + f] = sum;
            out.is[n * F + f] = gelu_of(sum);
            dz.is[n * F + f] = slope * (gelu_of(sum + 1e-5) - gelu_of(sum - 1e-5)) / 2e-5;
        }
    expect(d, &z, z.is, I, "z");
    expect(d, &out, out.is, I, "gelu(z)");
    expect(d, &dz, dz.is, 8 * I, "dz");
    operand *all[] = {&x, &w, &bias, &z, &out, &dy, &back, &room, &dz};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) unmake(d, all[i]);
}

static void activations_come_with_their_products(void **state)
{
    uint32_t dice = 3;
    pawl_device *d = open_device();
    (void)state;
    done(pawl_device_reserve(d, &layers_need));
    for (int biased = 0; biased < 2; biased++)
        for (int type = 0; type < 2; type++) {
            check_activated(d, type ? PAWL_BF16 : PAWL_F32, 33, 16, 40, biased, &dice);
            check_activated(d, type ? PAWL_BF16 : PAWL_F32, 5, 7, 13, biased, &dice);
            check_activated(d, type ? PAWL_BF16 : PAWL_F32, 9, 24, 12, biased, &dice); /* rows of aux are no multiple of 8 */
        }
    pawl_device_close(d);
}

/* ---- products of 8-bit floats ---- */

/* As E4M3 holds them by a scale of their own. */
static void round_to_e4m3(operand *o)
{
    const int64_t n = pawl_tensor_count(o->t);
    float most = 0;
    for (int64_t i = 0; i < n; i++) most = fmaxf(most, (float)fabs(o->is[i]));
    const pawl_fp8_scale s = pawl_fp8_scale_rule(pawl_float_bits(most));
    for (int64_t i = 0; i < n; i++) o->is[i] = (double)(pawl_e4m3_widen_rule(pawl_e4m3_rule((float)o->is[i] * s.to)) * s.from);
}

static void check_8_bits(pawl_device *d, pawl_dtype out, int biased, uint32_t *dice)
{
    enum { N = 21, I = 48, O = 32 };
    operand x = make(d, PAWL_BF16, N, I, dice), w = make(d, PAWL_BF16, O, I, dice), y = make(d, out, N, O, dice), bias = make(d, PAWL_F32, 1, O, dice);
    const pawl_tensor b = {.data = biased ? bias.t.data : NULL, .dtype = PAWL_F32, .ndim = 1, .dim = {O}};
    done(pawl_linear_fp8(d, x.t, w.t, b, y.t));
    round_to_e4m3(&x);
    round_to_e4m3(&w);
    for (int64_t n = 0; n < N; n++)
        for (int64_t o = 0; o < O; o++) {
            double sum = biased ? (double)pawl_bf16_widen_rule(pawl_bf16_narrow_rule((float)bias.is[o])) : 0;
            for (int64_t i = 0; i < I; i++) sum += x.is[n * I + i] * w.is[o * I + i];
            y.is[n * O + o] = sum;
        }
    expect(d, &y, y.is, I, "y of 8 bits");
    unmake(d, &x), unmake(d, &w), unmake(d, &y), unmake(d, &bias);
}

static void products_of_8_bits_are_those_of_rounded_operands(void **state)
{
    uint32_t dice = 3;
    pawl_shapes most = layers_need;
    pawl_device *d = open_device();
    (void)state;
    most.fp8 = 1;
    done(pawl_device_reserve(d, &most));
    done(pawl_device_fp8(d));
    pawl_device_tune(d, 1); /* and their algorithms can be timed */
    for (int out = PAWL_F32; out <= PAWL_BF16; out++)
        for (int biased = 0; biased < 2; biased++)
            for (int again = 0; again < 2; again++) check_8_bits(d, (pawl_dtype)out, biased, &dice);
    pawl_device_close(d);
}

static void gpus_without_8_bits_say_so(void **state)
{
    (void)state;
    setenv("PAWL_STANDIN_SM", "86", 1);
    pawl_device *d = open_device();
    unsetenv("PAWL_STANDIN_SM");
    assert_int_equal(pawl_device_fp8(d), PAWL_EUSAGE);
    assert_non_null(strstr(pawl_last_error()->what, "compute capability 8.6"));
    pawl_device_close(d);
}

/* ---- algorithms ---- */

static char *table_of(const pawl_device *d)
{
    pawl_text t = {0};
    done(pawl_device_algorithms(d, &t));
    char *s = strdup(t.data ? t.data : "");
    pawl_text_close(&t);
    return s;
}

enum { TIMED = 12 }; /* shapes: so many that each candidate is the fastest of one */

static void what_is_timed_is_written_and_taken_again(void **state)
{
    operand x, w, y;
    uint32_t dice = 5;
    pawl_device *d = open_device(), *other = open_device();
    (void)state;
    done(pawl_device_reserve(d, &layers_need));
    done(pawl_device_reserve(other, &layers_need));
    char *none = table_of(d);
    assert_string_equal(none, "");
    assert_true(pawl_device_tune(d, 1));
    for (int n = 1; n <= TIMED; n++) {
        x = make(d, PAWL_F32, 8, 16, &dice), w = make(d, PAWL_F32, 4 * n, 16, &dice), y = make(d, PAWL_F32, 8, 4 * n, &dice);
        done(pawl_linear(d, x.t, w.t, (pawl_tensor){.dtype = PAWL_F32}, PAWL_SET, y.t));
        unmake(d, &x), unmake(d, &w), unmake(d, &y);
    }
    assert_true(pawl_device_tune(d, 0));
    check_layer(d, &(layer_case){9, 17, 13, 31, 5, PAWL_BF16, PAWL_BF16, PAWL_BF16, 1}, PAWL_ADD, &dice); /* not timed */
    char *table = table_of(d);
    int lines = 0;
    for (const char *at = table; *at; at++) lines += *at == '\n';
    assert_int_equal(lines, TIMED);
    assert_non_null(strstr(table, " tile=2 "));
    assert_non_null(strstr(table, " splits=2 reduction=2 "));
    done(pawl_device_choose(other, table));
    char *again = table_of(other);
    assert_string_equal(again, table);
    for (int n = 1; n <= TIMED; n++) check_layer(other, &(layer_case){8, 16, 4 * n, 4 * n, 0, PAWL_F32, PAWL_F32, PAWL_F32, 0}, PAWL_SET, &dice);
    done(pawl_device_choose(other, ""));
    char *gone = table_of(other);
    assert_string_equal(gone, "");
    free(none), free(table), free(again), free(gone);
    pawl_device_close(d);
    pawl_device_close(other);
}

#define PRODUCT "m=8 n=8 k=16 lda=16 ldb=16 ldc=8 ldx=0 at=0 bt=1 add=0 bias=0 from=32 to=32 then=0 align_a=16 align_b=16 align_c=16 align_bias=16 align_aux=16 "
#define SETTINGS(id, tile, splits, reduction) \
    "id=" #id " tile=" #tile " splits=" #splits " reduction=" #reduction " swizzle=0 option=0 stages=0 inner=0 cluster=0\n"

static void tables_that_cannot_be_followed_are_refused(void **state)
{
    static const struct { const char *table, *why; } cases[] = {
        {PRODUCT SETTINGS(99, 1, 1, 0), "does not take algorithm 99"},
        {PRODUCT SETTINGS(20, 7, 1, 0), "does not take algorithm 20"},
        {PRODUCT SETTINGS(20, 1, 2, 1), "adds as it comes"},
        {PRODUCT SETTINGS(20, 1, 1, 0) PRODUCT "id=20\n", "line 2"},
        {"m=8\n", "line 1"},
        {"\n", "line 1"},
        {"m=-8 n=8\n", "line 1"},
    };
    pawl_device *d = open_device();
    (void)state;
    done(pawl_device_choose(d, PRODUCT SETTINGS(20, 1, 2, 2)));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(pawl_device_choose(d, cases[i].table), PAWL_EDATA);
        if (!strstr(pawl_last_error()->what, cases[i].why)) fail_msg("'%s' does not say '%s'", pawl_last_error()->what, cases[i].why);
        char *left = table_of(d);
        assert_string_equal(left, "");
        free(left);
    }
    pawl_device_close(d);
}

/* The weights after some steps of sgd with momentum, whose state is the host's or the device's: of one tensor of `count` numbers, and many small ones. */
enum { TENSORS = 12, SMALL = 700 };
static void train(int offload, int64_t count, float *out)
{
    enum { STEPS = 3 };
    const int64_t all = count + (TENSORS - 1) * SMALL;
    pawl_extent parts[TENSORS] = {pawl_extent_vector(0, count)};
    for (int i = 1; i < TENSORS; i++) parts[i] = pawl_extent_vector(count + (i - 1) * SMALL, SMALL);
    const size_t bytes = (size_t)all * sizeof(float);
    pawl_device *d = open_device();
    pawl_optim_config c;
    pawl_optim *o;
    float *numbers = malloc(bytes), *w, *g;
    uint32_t dice = 5;
    pawl_fields_default(pawl_optim_rows, &c);
    c.optimizer = 2; /* sgd */
    c.sgd_momentum = 0.9;
    c.max_grad_norm = 0;
    c.offload_optimizer = offload;
    done(pawl_device_take(d, PAWL_ON_DEVICE, bytes, "weights", (void **)&w));
    done(pawl_device_take(d, PAWL_ON_DEVICE, bytes, "gradients", (void **)&g));
    done(pawl_optim_open(&c, d, parts, TENSORS, 0, all, &o));
    const pawl_room room = pawl_optim_bytes(&c, d, parts, TENSORS, 0, all);
    assert_true(offload ? room.host > bytes && room.device < 2 * bytes + (1 << 20) : room.device > bytes && room.host < bytes);
    for (int64_t step = 0; step < STEPS; step++) {
        for (int64_t i = 0; i < all; i++) numbers[i] = number(&dice);
        done(pawl_upload(d, g, numbers, bytes));
        done(pawl_optim_step(o, w, g, 1, 0.1, step));
    }
    done(pawl_download(d, out, w, bytes));
    pawl_optim_close(o);
    pawl_device_give(d, PAWL_ON_DEVICE, w, bytes);
    pawl_device_give(d, PAWL_ON_DEVICE, g, bytes);
    pawl_device_close(d);
    free(numbers);
}

/* Two chunks of one tensor, the second cut short, and one of each other. */
static void state_in_the_hosts_memory_changes_no_bit(void **state)
{
    const int64_t count = ((int64_t)1 << 22) + 5000;
    const size_t bytes = (size_t)(count + (TENSORS - 1) * SMALL) * sizeof(float);
    float *with = malloc(bytes), *without = malloc(bytes);
    (void)state;
    train(1, count, with);
    train(0, count, without);
    assert_memory_equal(with, without, bytes);
    free(with);
    free(without);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_found_and_says_what_it_is),
        cmocka_unit_test(every_entry_of_the_table_is_there),
        cmocka_unit_test(what_goes_up_comes_down),
        cmocka_unit_test(a_timed_op_is_waited_for),
        cmocka_unit_test(a_gpu_that_breaks_is_told_of),
        cmocka_unit_test(a_host_that_touches_the_devices_memory_dies),
        cmocka_unit_test(a_product_that_is_refused_is_named),
        cmocka_unit_test(products_are_those_of_the_definition),
        cmocka_unit_test(activations_come_with_their_products),
        cmocka_unit_test(products_of_8_bits_are_those_of_rounded_operands),
        cmocka_unit_test(gpus_without_8_bits_say_so),
        cmocka_unit_test(what_is_timed_is_written_and_taken_again),
        cmocka_unit_test(tables_that_cannot_be_followed_are_refused),
        cmocka_unit_test(state_in_the_hosts_memory_changes_no_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
