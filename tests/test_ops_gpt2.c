/* Runs: cmocka
 * The ops that GPT-2 needs beside the others (LayerNorm, activations without a gate) against formulas in double
 * precision and their finite differences, over shapes that fit no register and no block. */
#include "tests/ops_check.h"

/* layernorm */

typedef struct norm_case {
    int64_t N, D;
    double eps, *x, *w, *bias, *c; /* c: what the outputs are weighed with */
} norm_case;

static void moments(const double *x, int64_t D, double eps, double *mean, double *rstd)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < D; i++) sum += x[i];
    *mean = sum / (double)D;
    for (int64_t i = 0; i < D; i++) squares += (x[i] - *mean) * (x[i] - *mean);
    *rstd = 1 / sqrt(squares / (double)D + eps);
}

static double norm_weighed(void *self)
{
    const norm_case *k = self;
    double s = 0, mean, rstd;
    for (int64_t n = 0; n < k->N; n++) {
        const double *x = k->x + n * k->D;
        moments(x, k->D, k->eps, &mean, &rstd);
        for (int64_t i = 0; i < k->D; i++) s += k->c[n * k->D + i] * (k->w[i] * (x[i] - mean) * rstd + k->bias[i]);
    }
    return s;
}

/* far: how far the rows' means lie from zero. */
static void layernorm_of(pawl_device *d, int64_t N, int64_t D, pawl_put put, int with_x, float far)
{
    const float eps = 1e-5f;
    float *residual = numbers(N * D, 1, 2), *x = numbers(N * D, 2, 1), *w = numbers(D, 3, 1), *bias = numbers(D, 4, 1);
    float *dy = numbers(N * D, 5, 1), *y = numbers(N * D, 6, 1), *mean = numbers(N, 7, 1), *rstd = numbers(N, 8, 1);
    for (int64_t i = 0; i < N * D; i++) residual[i] += far;
    float *sum = with_x ? copy_of(residual, N * D) : residual; /* sum may be the residual itself */
    float *dsum = numbers(N * D, 9, 1), *dw = numbers(D, 10, 1), *dbias = numbers(D, 11, 1);
    double *S = widened(residual, N * D), *Y = zeros(N * D), *M = zeros(N), *R = zeros(N), *DX = zeros(N * D);
    double *DW = zeros(D), *DB = zeros(D);
    for (int64_t i = 0; with_x && i < N * D; i++) S[i] = (double)(residual[i] + x[i]);
    norm_case k = {N, D, eps, S, widened(w, D), widened(bias, D), widened(dy, N * D)};
    for (int64_t n = 0; n < N; n++) {
        moments(S + n * D, D, eps, M + n, R + n);
        for (int64_t i = 0; i < D; i++) Y[n * D + i] = k.w[i] * (S[n * D + i] - M[n]) * R[n] + k.bias[i];
    }
    differences(norm_weighed, &k, S, N * D, DX);
    differences(norm_weighed, &k, k.w, D, DW);
    differences(norm_weighed, &k, k.bias, D, DB);
    for (int64_t i = 0; i < N * D; i++) DX[i] += dsum[i];
    for (int64_t i = 0; put == PAWL_ADD && i < D; i++) DW[i] += dw[i], DB[i] += dbias[i];

    assert_done(pawl_layernorm(d, matrix(sum, N, D), with_x ? matrix(x, N, D) : nothing, vector(w, D), vector(bias, D),
                               eps, matrix(sum, N, D), matrix(y, N, D), vector(mean, N), vector(rstd, N)));
    assert_near(sum, S, N * D, 1e-9);
    assert_near(y, Y, N * D, 1e-6 * (1 + far));
    assert_near(mean, M, N, 1e-6);
    assert_near(rstd, R, N, 1e-6 * (1 + far));
    assert_done(pawl_layernorm_backward(d, matrix(dy, N, D), matrix(sum, N, D), vector(w, D), vector(mean, N),
                                        vector(rstd, N), put, matrix(dsum, N, D), vector(dw, D), vector(dbias, D)));
    assert_near(dsum, DX, N * D, 2e-6 * (1 + far));
    assert_near(dw, DW, D, 2e-6 * (1 + far));
    assert_near(dbias, DB, D, 2e-6);
    if (with_x) free(sum);
    free(residual), free(x), free(w), free(bias), free(dy), free(y), free(mean), free(rstd), free(dsum), free(dw),
        free(dbias);
    free(S), free(Y), free(M), free(R), free(DX), free(DW), free(DB), free(k.w), free(k.bias), free(k.c);
}

static void check_layernorm(pawl_device *d)
{
    static const int64_t shapes[][2] = {{1, 2}, {1, 16}, {3, 17}, {65, 5}, {130, 7}, {2, 131}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int put = 0; put < 2; put++)
            for (int with_x = 0; with_x < 2; with_x++)
                layernorm_of(d, shapes[i][0], shapes[i][1], put ? PAWL_ADD : PAWL_SET, with_x, 0);
    layernorm_of(d, 5, 67, PAWL_SET, 0, 30); /* means that swallow the deviations, were squares summed about zero */
}

EVERY_DEVICE(layernorm_and_its_gradient, check_layernorm)

/* activations */

static double gelu(double x)
{
    return x * 0.5 * erfc(-x / sqrt(2));
}

static double gelu_tanh(double x)
{
    return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

static double quick_gelu(double x)
{
    return x / (1 + exp(-1.702 * x));
}

static double silu(double x)
{
    return x / (1 + exp(-x));
}

static double relu(double x)
{
    return fmax(x, 0);
}

static double (*const formulas[PAWL_ACTIVATION_COUNT])(double) = {
    [PAWL_GELU] = gelu, [PAWL_GELU_TANH] = gelu_tanh, [PAWL_QUICK_GELU] = quick_gelu,
    [PAWL_SILU] = silu, [PAWL_RELU] = relu,           [PAWL_TANH] = tanh};

static void activation_of(pawl_device *d, pawl_activation which, int64_t N, int64_t F)
{
    const int64_t count = N * F;
    const double h = 1e-5;
    float *x = numbers(count, 1, 3), *y = numbers(count, 2, 1), *dout = numbers(count, 3, 1),
          *dx = numbers(count, 4, 1);
    double *Y = zeros(count), *DX = zeros(count);
    for (int64_t i = 0; i < count; i++) {
        Y[i] = formulas[which](x[i]);
        DX[i] = dout[i] * (formulas[which](x[i] + h) - formulas[which](x[i] - h)) / (2 * h);
    }
    assert_done(pawl_activate(d, which, matrix(x, N, F), matrix(y, N, F)));
    assert_done(pawl_activate_backward(d, which, matrix(dout, N, F), matrix(x, N, F), matrix(dx, N, F)));
    assert_near(y, Y, count, 5e-7);
    assert_near(dx, DX, count, 1e-6);
    free(x), free(y), free(dout), free(dx), free(Y), free(DX);
}

/* Through the layer before it, and back through the one behind it. A backend may take it of sums that are not rounded yet; the CPU's numbers
 * are those of the two calls. */
static void activation_beside_products(pawl_device *d, pawl_activation which, int64_t N, int64_t I, int64_t F)
{
    const double h = 1e-5;
    float *x = numbers(N * I, 1, 1), *w = numbers(F * I, 2, 0.5f), *bias = numbers(F, 3, 1), *z = numbers(N * F, 4, 1), *out = numbers(N * F, 5, 1);
    float *dy = numbers(N * I, 6, 1), *back = numbers(I * F, 7, 0.5f), *room = numbers(N * F, 8, 1), *dz = numbers(N * F, 9, 1), *two = numbers(N * F, 10, 1);
    double *Z = zeros(N * F), *OUT = zeros(N * F), *DZ = zeros(N * F);
    assert_done(pawl_linear_activate(d, which, matrix(x, N, I), matrix(w, F, I), vector(bias, F), matrix(z, N, F), matrix(out, N, F)));
    assert_done(pawl_linear_activate_dx(d, which, matrix(dy, N, I), matrix(back, I, F), matrix(z, N, F), matrix(room, N, F), matrix(dz, N, F)));
    for (int64_t n = 0; n < N; n++)
        for (int64_t f = 0; f < F; f++) {
            double sum = bias[f], slope = 0;
            for (int64_t i = 0; i < I; i++) sum += (double)x[n * I + i] * w[f * I + i];
            for (int64_t i = 0; i < I; i++) slope += (double)dy[n * I + i] * back[i * F + f];
            Z[n * F + f] = sum;
            OUT[n * F + f] = formulas[which](sum);
            DZ[n * F + f] = slope * (formulas[which](sum + h) - formulas[which](sum - h)) / (2 * h);
        }
    const int kinked = which == PAWL_RELU; /* a sum that is nearly 0 may be on either side of it */
    assert_near(z, Z, N * F, 3e-6);
    assert_near(out, OUT, N * F, 3e-6);
    if (!kinked) assert_near(dz, DZ, N * F, 1e-5);
    if (strncmp(pawl_device_describe(d), "cpu", 3) == 0) {
        assert_done(pawl_linear(d, matrix(x, N, I), matrix(w, F, I), vector(bias, F), PAWL_SET, matrix(two, N, F)));
        assert_memory_equal(two, z, (size_t)(N * F) * sizeof *z);
        assert_done(pawl_activate(d, which, matrix(z, N, F), matrix(two, N, F)));
        assert_memory_equal(two, out, (size_t)(N * F) * sizeof *out);
        assert_done(pawl_linear_dx(d, matrix(dy, N, I), matrix(back, I, F), PAWL_SET, matrix(room, N, F)));
        assert_done(pawl_activate_backward(d, which, matrix(room, N, F), matrix(z, N, F), matrix(two, N, F)));
        assert_memory_equal(two, dz, (size_t)(N * F) * sizeof *dz);
    }
    free(x), free(w), free(bias), free(z), free(out), free(dy), free(back), free(room), free(dz), free(two), free(Z), free(OUT), free(DZ);
}

static void check_beside_products(pawl_device *d)
{
    assert_done(pawl_device_reserve(d, &(pawl_shapes){.positions = 64, .tokens = 64, .width = 32, .heads = 2, .kv_heads = 2, .head_dim = 16, .ff = 64,
                                                      .vocab = 64}));
    for (int which = 0; which < PAWL_ACTIVATION_COUNT; which++) {
        activation_beside_products(d, (pawl_activation)which, 1, 3, 1);
        activation_beside_products(d, (pawl_activation)which, 5, 7, 13);
        activation_beside_products(d, (pawl_activation)which, 33, 16, 40);
    }
}

EVERY_DEVICE(activations_beside_products, check_beside_products)

/* Far out every activation is flat or straight: no overflow on the way there. */
static void activation_at_the_ends(pawl_device *d, pawl_activation which)
{
    float x[] = {-1e30f, -200, -60, 0, 60, 200, 1e30f}, y[7], dx[7], ones[] = {1, 1, 1, 1, 1, 1, 1};
    assert_done(pawl_activate(d, which, matrix(x, 1, 7), matrix(y, 1, 7)));
    assert_done(pawl_activate_backward(d, which, matrix(ones, 1, 7), matrix(x, 1, 7), matrix(dx, 1, 7)));
    for (int i = 0; i < 7; i++) {
        const double expected = x[i] < 0 ? (which == PAWL_TANH ? -1 : 0) : formulas[which](x[i]);
        assert_true(fabs(y[i] - expected) <= 1e-20 * fabs((double)x[i]) + 1e-22);
        if (i != 3) assert_true(fabsf(dx[i] - (x[i] > 0 && which != PAWL_TANH ? 1.0f : 0.0f)) < 1e-20f);
    }
}

static void check_activations(pawl_device *d)
{
    for (int which = 0; which < PAWL_ACTIVATION_COUNT; which++) {
        activation_of(d, (pawl_activation)which, 1, 1);
        activation_of(d, (pawl_activation)which, 3, 17);
        activation_of(d, (pawl_activation)which, 70, 5);
        activation_of(d, (pawl_activation)which, 131, 67);
        activation_at_the_ends(d, (pawl_activation)which);
    }
}

EVERY_DEVICE(activations_and_their_slopes, check_activations)

/* A not-a-number goes through, so that the row it stands in is named. */
static void nan_is_never_hidden(void **state)
{
    (void)state;
    float x[] = {NAN, 1, 2}, w[] = {1, 1, 1}, sum[3], y[3], mean[1], rstd[1];
    pawl_device *d;
    assert_done(pawl_device_open_cpu(1, "auto", &d));
    for (int which = 0; which < PAWL_ACTIVATION_COUNT; which++) {
        assert_done(pawl_activate(d, (pawl_activation)which, matrix(x, 1, 3), matrix(y, 1, 3)));
        assert_true(isnan(y[0]) && !isnan(y[1]));
    }
    assert_done(pawl_layernorm(d, matrix(x, 1, 3), nothing, vector(w, 3), vector(w, 3), 1e-5f, matrix(sum, 1, 3),
                               matrix(y, 1, 3), vector(mean, 1), vector(rstd, 1)));
    assert_true(isnan(y[0]) && isnan(y[1]));
    pawl_device_close(d);
}

static void wrong_arguments_are_named(void **state)
{
    (void)state;
    float x[16] = {0};
    pawl_device *d;
    assert_done(pawl_device_open_cpu(1, "auto", &d));
    assert_refused(pawl_activate(d, PAWL_ACTIVATION_COUNT, matrix(x, 2, 3), matrix(x, 2, 3)), PAWL_EBUG,
                   "there is no activation");
    assert_refused(pawl_activate(d, PAWL_GELU, matrix(x, 2, 3), matrix(x, 3, 2)), PAWL_EBUG, "activate: out is [3, 2]");
    assert_refused(pawl_linear_activate(d, PAWL_GELU, matrix(x, 2, 3), matrix(x, 2, 3), nothing, matrix(x, 2, 2), matrix(x, 2, 3)), PAWL_EBUG,
                   "linear_activate: out is [2, 3]");
    assert_refused(pawl_linear_activate_dx(d, PAWL_GELU, matrix(x, 2, 3), matrix(x, 3, 2), matrix(x + 4, 2, 2), matrix(x, 2, 2), matrix(x, 2, 2)), PAWL_EBUG,
                   "the room is another array");
    assert_refused(pawl_layernorm(d, matrix(x, 2, 3), nothing, vector(x, 3), nothing, 1e-5f, matrix(x, 2, 3),
                                  matrix(x, 2, 3), vector(x, 2), vector(x, 2)),
                   PAWL_EBUG, "layernorm: bias has no data");
    pawl_device_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layernorm_and_its_gradient),
        cmocka_unit_test(activations_and_their_slopes),
        cmocka_unit_test(activations_beside_products),
        cmocka_unit_test(nan_is_never_hidden),
        cmocka_unit_test(wrong_arguments_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
