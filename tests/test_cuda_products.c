/* Runs: cmocka */
/* Products of the CUDA backend, on stand-ins for NVIDIA's libraries: by the definition, with an activation, of 8-bit floats; and their algorithms. */
#include <math.h>

#include "ops/bf16_rule.h"
#include "ops/fp8_rule.h"
#include "tests/standin_case.h"

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

/* Each algorithm's first run is not counted, the median of the others is, and the library's first answer stays unless another is 2 % faster. */
static void the_fastest_is_chosen(void **state)
{
    static const struct { const char *first, *second, *chosen; } cases[] = {
        {"1,1,1,1,1,1,", "0.5,0.985,0.985,0.985,0.985,0.985,", " tile=1 splits=1 "},
        {"1,1,1,1,1,1,", "1,0.975,0.975,0.975,0.975,0.975,", " tile=2 splits=1 "},
        {"0.1,1,1,1,1,1,", "9,0.9,5,0.9,5,0.9,", " tile=2 splits=1 "},
        {"9,1,0.2,1,0.2,1,", "0.1,1.1,0.9,1.1,0.9,1.1,", " tile=1 splits=1 "},
    };
    uint32_t dice = 5;
    pawl_device *d = open_device();
    operand x = make(d, PAWL_F32, 8, 16, &dice), w = make(d, PAWL_F32, 8, 16, &dice), y = make(d, PAWL_F32, 8, 8, &dice);
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char times[256];
        snprintf(times, sizeof times, "%s%s3,3,3,3,3,3,3,3,3,3,3,3,3,3,3,3,3,3", cases[i].first, cases[i].second); /* and three that are slow */
        setenv("PAWL_STANDIN_TIMES", times, 1);
        done(pawl_device_choose(d, ""));
        assert_true(pawl_device_tune(d, 1));
        done(pawl_linear(d, x.t, w.t, (pawl_tensor){.dtype = PAWL_F32}, PAWL_SET, y.t));
        assert_true(pawl_device_tune(d, 0));
        unsetenv("PAWL_STANDIN_TIMES");
        char *table = table_of(d);
        if (!strstr(table, "id=20") || !strstr(table, cases[i].chosen)) fail_msg("times %s: chosen is %s", times, table);
        free(table);
    }
    unmake(d, &x), unmake(d, &w), unmake(d, &y);
    pawl_device_close(d);
}

/* Rows that are not packed have as many shapes as lengths: a run of any number of them goes on, by the answers that it had, and with its table. */
static void shapes_may_be_more_than_are_kept(void **state)
{
    enum { MOST = 3300, I = 4 };
    uint32_t dice = 9;
    const pawl_tensor none = {.dtype = PAWL_F32};
    static float first[MOST], got[MOST];
    pawl_device *d = open_device();
    (void)state;
    done(pawl_device_choose(d, PRODUCT SETTINGS(20, 1, 2, 2)));
    char *table = table_of(d);
    operand x = make(d, PAWL_F32, 1, I, &dice), w = make(d, PAWL_F32, MOST, I, &dice), y = make(d, PAWL_F32, 1, MOST, &dice);
    for (int turn = 0; turn < 2; turn++)
        for (int64_t n = 1; n <= MOST; n++) {
            pawl_tensor some = w.t, to = y.t;
            some.dim[0] = to.dim[1] = n;
            done(pawl_linear(d, x.t, some, none, PAWL_SET, to));
            if (n % 500 != 0) continue;
            done(pawl_download(d, got, y.t.data, (size_t)n * sizeof *got));
            if (n == 500 && turn == 0) memcpy(first, got, sizeof first);
            assert_memory_equal(got, first, 500 * sizeof *got);
        }
    char *still = table_of(d);
    assert_string_equal(still, table);
    check_layer(d, &(layer_case){8, 16, 8, 8, 0, PAWL_F32, PAWL_F32, PAWL_F32, 0}, PAWL_SET, &dice); /* by the table */
    for (int64_t o = 0; o < MOST; o++) {
        y.is[o] = 0;
        for (int64_t i = 0; i < I; i++) y.is[o] += x.is[i] * w.is[o * I + i];
    }
    expect(d, &y, y.is, I, "y");
    free(table), free(still);
    unmake(d, &x), unmake(d, &w), unmake(d, &y);
    pawl_device_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_product_that_is_refused_is_named),
        cmocka_unit_test(products_are_those_of_the_definition),
        cmocka_unit_test(activations_come_with_their_products),
        cmocka_unit_test(products_of_8_bits_are_those_of_rounded_operands),
        cmocka_unit_test(gpus_without_8_bits_say_so),
        cmocka_unit_test(the_fastest_is_chosen),
        cmocka_unit_test(what_is_timed_is_written_and_taken_again),
        cmocka_unit_test(tables_that_cannot_be_followed_are_refused),
        cmocka_unit_test(shapes_may_be_more_than_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
