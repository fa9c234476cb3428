/* Runs: cmocka
 * The ops on bf16: conversions over every pattern of bits against arithmetic by hand, and every op that takes bf16
 * against the same op on the same numbers in f32, from which it may differ by the rounding of its results and by
 * nothing else. Matrix products have sums in another order: their oracle is in double precision. */
#include "ops/bf16_rule.h"
#include "tests/ops_check.h"

static float value_of(uint16_t h)
{
    const int sign = h >> 15 ? -1 : 1, exponent = h >> 7 & 255, mantissa = h & 127;
    if (exponent == 255) return mantissa ? NAN : (float)sign * INFINITY;
    return (float)(sign * (exponent ? ldexp(128 + mantissa, exponent - 134) : ldexp(mantissa, -133)));
}

/* The nearest of the two neighbours, the even one where both are as near. */
static uint16_t nearest(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    if (isinf(x)) return (uint16_t)(u >> 16);
    const uint16_t below = (uint16_t)(u >> 16), above = (uint16_t)(below + 1); /* in magnitude */
    const double under = fabs((double)value_of(below)),
                 over = isinf(value_of(above)) ? 0x1p128 : fabs((double)value_of(above));
    const double to_under = fabs((double)x) - under, to_over = over - fabs((double)x);
    if (to_under != to_over) return to_under < to_over ? below : above;
    return below & 1 ? above : below;
}

static void every_pattern_converts(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        const float x = value_of((uint16_t)h), got = pawl_bf16_widen_rule((uint16_t)h);
        if (isnan(x) ? !isnan(got) : memcmp(&x, &got, sizeof x) != 0) fail_msg("%04x widens to %a, not %a", h, got, x);
        if (isnan(x)) {
            assert_true(isnan(value_of(pawl_bf16_narrow_rule(got))));
            continue;
        }
        static const uint32_t tails[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff, 0x1234, 0xcdef};
        for (size_t t = 0; isfinite(x) && t < sizeof tails / sizeof *tails; t++) {
            const uint32_t bits = h << 16 | tails[t];
            float near;
            memcpy(&near, &bits, sizeof near);
            if (pawl_bf16_narrow_rule(near) != nearest(near))
                fail_msg("%a becomes %04x, not %04x", near, pawl_bf16_narrow_rule(near), nearest(near));
        }
    }
    assert_int_equal(pawl_bf16_narrow_rule(INFINITY), 0x7f80);
    const uint32_t signalling = 0x7f800001;
    float nan;
    memcpy(&nan, &signalling, sizeof nan);
    assert_true(isnan(value_of(pawl_bf16_narrow_rule(nan))));
}

/* ---- numbers in both types ---- */

static uint16_t *low_numbers(int64_t count, uint64_t which, float spread, float **wide)
{
    float *x = numbers(count, which, spread);
    uint16_t *low = malloc((size_t)count * sizeof *low);
    for (int64_t i = 0; i < count; i++) x[i] = value_of(low[i] = nearest(x[i]));
    *wide = x;
    return low;
}

static pawl_tensor low_matrix(uint16_t *data, int64_t rows, int64_t columns)
{
    return (pawl_tensor){data, PAWL_BF16, 2, {rows, columns}};
}

static void assert_rounded(const char *what, const uint16_t *low, const float *exact, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (low[i] != nearest(exact[i]))
            fail_msg("%s: number %ld is %a, not %a rounded", what, (long)i, value_of(low[i]), exact[i]);
}

static float *widened_low(const uint16_t *low, int64_t count)
{
    float *x = malloc((size_t)count * sizeof *x);
    for (int64_t i = 0; i < count; i++) x[i] = value_of(low[i]);
    return x;
}

/* ---- products ---- */

static void product(const float *a, int64_t am, int64_t ak, const float *b, int64_t bk, int64_t bn, int64_t m,
                    int64_t n, int64_t k, double *c)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            for (int64_t p = 0; p < k; p++) c[i * n + j] += (double)a[i * am + p * ak] * b[p * bk + j * bn];
}

enum { ROUNDING = 1, NO_ROUNDING = 0 };
static const double tolerance[] = {[NO_ROUNDING] = 2e-6, [ROUNDING] = 0x1p-8}; /* of a result; half a unit each */

/* What a bias rounded to bf16 adds to the distance of Y [N,O]: the CUDA backend has cuBLASLt add such a one (decision 0042). */
static double of_rounded_bias(const float *bias, const double *Y, int64_t N, int64_t O)
{
    double added = 0;
    for (int64_t o = 0; o < O; o++) added += (double)bias[o] * (double)bias[o];
    return tests_are_on_cuda() ? 0x1p-8 * sqrt((double)N * added / inner(Y, Y, N * O)) : 0;
}

static void linear_of(pawl_device *d, int64_t N, int64_t I, int64_t O, pawl_put put, int biased)
{
    float *wx, *ww, *wdy, *wy, *wdx, *bias = numbers(O, 3, 1), *dbias = numbers(O, 8, 1), *dw = numbers(O * I, 7, 1);
    uint16_t *x = low_numbers(N * I, 1, 1, &wx), *w = low_numbers(O * I, 2, 1, &ww),
             *dy = low_numbers(N * O, 4, 1, &wdy), *y = low_numbers(N * O, 5, 1, &wy),
             *dx = low_numbers(N * I, 6, 1, &wdx);
    const int add = put == PAWL_ADD;
    double *Y = add ? widened(wy, N * O) : zeros(N * O), *DX = add ? widened(wdx, N * I) : zeros(N * I),
           *DW = add ? widened(dw, O * I) : zeros(O * I), *DB = add ? widened(dbias, O) : zeros(O);
    product(wx, I, 1, ww, 1, I, N, O, I, Y);
    product(wdy, O, 1, ww, I, 1, N, I, O, DX);
    product(wdy, 1, O, wx, I, 1, O, I, N, DW);
    for (int64_t n = 0; n < N; n++)
        for (int64_t o = 0; o < O; o++) {
            if (biased) Y[n * O + o] += (double)bias[o];
            DB[o] += (double)wdy[n * O + o];
        }
    const pawl_tensor b = biased ? vector(bias, O) : nothing, db = biased ? vector(dbias, O) : nothing;
    const pawl_tensor X = low_matrix(x, N, I), Wt = low_matrix(w, O, I), DY = low_matrix(dy, N, O);
    assert_done(pawl_linear(d, X, Wt, b, put, matrix(wy, N, O)));
    assert_done(pawl_linear(d, X, Wt, b, put, low_matrix(y, N, O)));
    assert_done(pawl_linear_dx(d, DY, Wt, put, matrix(wdx, N, I)));
    assert_done(pawl_linear_dx(d, DY, Wt, put, low_matrix(dx, N, I)));
    assert_done(pawl_linear_dw(d, DY, X, put, matrix(dw, O, I), db));
    float *ly = widened_low(y, N * O), *ldx = widened_low(dx, N * I);
    assert_near(wy, Y, N * O, tolerance[NO_ROUNDING]);
    assert_near(ly, Y, N * O, tolerance[ROUNDING] + (biased ? of_rounded_bias(bias, Y, N, O) : 0));
    assert_near(wdx, DX, N * I, tolerance[NO_ROUNDING]);
    assert_near(ldx, DX, N * I, tolerance[ROUNDING]);
    assert_near(dw, DW, O * I, tolerance[NO_ROUNDING]);
    if (biased) assert_near(dbias, DB, O, tolerance[NO_ROUNDING]);
    free(wx), free(ww), free(wdy), free(wy), free(wdx), free(bias), free(dbias), free(dw), free(x), free(w), free(dy);
    free(y), free(dx), free(Y), free(DX), free(DW), free(DB), free(ly), free(ldx);
}

static void check_linear(pawl_device *d)
{
    static const int64_t shapes[][3] = {{1, 1, 1},     {1, 64, 300},   {2, 3, 5},     {31, 37, 41}, {101, 257, 1},
                                        {130, 40, 70}, {259, 131, 67}, {67, 90, 517}, {530, 24, 31}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int put = 0; put < 2; put++)
            for (int biased = 0; biased < 2; biased++)
                linear_of(d, shapes[i][0], shapes[i][1], shapes[i][2], put ? PAWL_ADD : PAWL_SET, biased);
}

EVERY_DEVICE(linear_and_its_gradients, check_linear)

/* A product that is longer than a block of the sum, and cut into many strips. */
static void check_long(pawl_device *d)
{
    enum { N = 513, I = 600, O = 4200 };
    float *wdy, *ww, *got = malloc((size_t)(N * I) * sizeof *got);
    uint16_t *dy = low_numbers(N * O, 1, 1, &wdy), *w = low_numbers(O * I, 2, 1, &ww);
    assert_done(pawl_linear_dx(d, low_matrix(dy, N, O), low_matrix(w, O, I), PAWL_SET, matrix(got, N, I)));
    for (int64_t n = 0; n < N; n += 128)
        for (int64_t i = 0; i < I; i += 7) {
            double sum = 0;
            for (int64_t o = 0; o < O; o++) sum += (double)wdy[n * O + o] * ww[o * I + i];
            assert_true(fabs(got[n * I + i] - sum) < 1e-3);
        }
    free(wdy), free(ww), free(got), free(dy), free(w);
}

EVERY_DEVICE(long_sums_go_block_by_block, check_long)

/* ---- rows ---- */

static void rows_of_width(pawl_device *d, int64_t N, int64_t F)
{
    float *wgu, *wdout, *out = numbers(N * F, 3, 1), *dgu = numbers(2 * N * F, 4, 1);
    uint16_t *gu = low_numbers(2 * N * F, 1, 2, &wgu), *dout = low_numbers(N * F, 2, 1, &wdout),
             *lout = malloc((size_t)(N * F) * 2), *ldgu = malloc((size_t)(2 * N * F) * 2);
    assert_done(pawl_swiglu(d, matrix(wgu, N, 2 * F), matrix(out, N, F)));
    assert_done(pawl_swiglu(d, low_matrix(gu, N, 2 * F), low_matrix(lout, N, F)));
    assert_rounded("swiglu", lout, out, N * F);
    assert_done(pawl_swiglu_backward(d, matrix(wdout, N, F), matrix(wgu, N, 2 * F), matrix(dgu, N, 2 * F)));
    assert_done(pawl_swiglu_backward(d, low_matrix(dout, N, F), low_matrix(gu, N, 2 * F), low_matrix(ldgu, N, 2 * F)));
    assert_rounded("swiglu_backward", ldgu, dgu, 2 * N * F);
    for (int which = 0; which < PAWL_ACTIVATION_COUNT; which++) {
        const pawl_activation act = (pawl_activation)which;
        assert_done(pawl_activate(d, act, matrix(wgu, N, F), matrix(out, N, F)));
        assert_done(pawl_activate(d, act, low_matrix(gu, N, F), low_matrix(lout, N, F)));
        assert_rounded("activate", lout, out, N * F);
        assert_done(pawl_activate_backward(d, act, matrix(wdout, N, F), matrix(wgu, N, F), matrix(out, N, F)));
        assert_done(
            pawl_activate_backward(d, act, low_matrix(dout, N, F), low_matrix(gu, N, F), low_matrix(lout, N, F)));
        assert_rounded("activate_backward", lout, out, N * F);
    }
    free(wgu), free(wdout), free(out), free(dgu), free(gu), free(dout), free(lout), free(ldgu);
}

static void norms_of_width(pawl_device *d, int64_t N, int64_t D)
{
    float *residual = numbers(N * D, 1, 1), *x = numbers(N * D, 2, 1), *w = numbers(D, 3, 1), *bias = numbers(D, 4, 1);
    float *sum = numbers(N * D, 5, 1), *sum2 = numbers(N * D, 6, 1), *y = numbers(N * D, 7, 1),
          *m = numbers(2 * N, 8, 1), *r = numbers(N, 9, 1);
    uint16_t *low = malloc((size_t)(N * D) * 2);
    const pawl_tensor R = matrix(residual, N, D), X = matrix(x, N, D), Wt = vector(w, D), B = vector(bias, D);
    assert_done(pawl_rmsnorm(d, R, X, Wt, 1e-5f, matrix(sum, N, D), matrix(y, N, D), vector(m, N)));
    assert_done(pawl_rmsnorm(d, R, X, Wt, 1e-5f, matrix(sum2, N, D), low_matrix(low, N, D), vector(m + N, N)));
    assert_rounded("rmsnorm", low, y, N * D);
    assert_memory_equal(sum, sum2, (size_t)(N * D) * sizeof *sum);
    assert_memory_equal(m, m + N, (size_t)N * sizeof *m);
    assert_done(pawl_layernorm(d, R, X, Wt, B, 1e-5f, matrix(sum, N, D), matrix(y, N, D), vector(m, N), vector(r, N)));
    assert_done(
        pawl_layernorm(d, R, nothing, Wt, B, 1e-5f, matrix(sum2, N, D), matrix(y, N, D), vector(m, N), vector(r, N)));
    assert_done(pawl_layernorm(d, R, nothing, Wt, B, 1e-5f, matrix(sum2, N, D), low_matrix(low, N, D), vector(m + N, N),
                               vector(r, N)));
    assert_rounded("layernorm", low, y, N * D);
    assert_memory_equal(m, m + N, (size_t)N * sizeof *m);
    free(residual), free(x), free(w), free(bias), free(sum), free(sum2), free(y), free(m), free(r), free(low);
}

/* Heads inside rows: norms, their gradients, rotation. */
static void heads_of_width(pawl_device *d, int64_t N, int64_t heads, int64_t K)
{
    const int64_t W = (heads + 1) * K;
    float *wx, *wdy, *w = numbers(K, 3, 1), *y = numbers(N * W, 4, 1), *rstd = numbers(2 * N * heads, 5, 1),
                     *dw = numbers(2 * K, 6, 1), *cos = numbers(7 * K, 7, 1), *sin = numbers(7 * K, 8, 1);
    uint16_t *x = low_numbers(N * W, 1, 1, &wx), *dy = low_numbers(N * W, 2, 1, &wdy),
             *low = malloc((size_t)(N * W) * 2);
    int32_t *positions = integers(N, 9, 7);
    memcpy(low, x, (size_t)(N * W) * 2);
    memcpy(y, wx, (size_t)(N * W) * sizeof *y);
    assert_done(
        pawl_head_norm(d, matrix(wx, N, W), vector(w, K), 1e-6f, 1, heads, matrix(y, N, W), matrix(rstd, N, heads)));
    assert_done(pawl_head_norm(d, low_matrix(x, N, W), vector(w, K), 1e-6f, 1, heads, low_matrix(low, N, W),
                               matrix(rstd + N * heads, N, heads)));
    assert_rounded("head_norm", low, y, N * W);
    assert_memory_equal(rstd, rstd + N * heads, (size_t)(N * heads) * sizeof *rstd);
    assert_done(pawl_head_norm_backward(d, matrix(wx, N, W), vector(w, K), matrix(rstd, N, heads), 1, heads, PAWL_SET,
                                        matrix(wdy, N, W), vector(dw, K)));
    assert_done(pawl_head_norm_backward(d, low_matrix(x, N, W), vector(w, K), matrix(rstd, N, heads), 1, heads,
                                        PAWL_SET, low_matrix(dy, N, W), vector(dw + K, K)));
    assert_rounded("head_norm_backward", dy, wdy, N * W);
    assert_memory_equal(dw, dw + K, (size_t)K * sizeof *dw);
    const pawl_tensor turns = indices(positions, N), C = matrix(cos, 7, K / 2), S = matrix(sin, 7, K / 2);
    assert_done(pawl_rope(d, matrix(wx, N, W), heads, C, S, turns, 1));
    assert_done(pawl_rope(d, low_matrix(x, N, W), heads, C, S, turns, 1));
    assert_rounded("rope", x, wx, N * W);
    free(wx), free(wdy), free(w), free(y), free(rstd), free(dw), free(cos), free(sin), free(x), free(dy), free(low);
    free(positions);
}

static void check_rows(pawl_device *d)
{
    static const int64_t shapes[][2] = {{1, 1}, {3, 7}, {65, 33}, {130, 100}, {70, 257}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        rows_of_width(d, shapes[i][0], shapes[i][1]);
        norms_of_width(d, shapes[i][0], shapes[i][1]);
    }
    heads_of_width(d, 67, 3, 10);
    heads_of_width(d, 5, 2, 64);
}

EVERY_DEVICE(rows_are_those_of_f32_rounded_once, check_rows)

/* ---- casts and the embedding ---- */

static void check_casts(pawl_device *d)
{
    enum { COUNT = 40000, V = 11, D = 37, N = 200 };
    float *wide, *x = numbers(COUNT, 1, 1e3f), *back = malloc(COUNT * sizeof *back);
    uint16_t *low = low_numbers(COUNT, 2, 1, &wide);
    x[7] = NAN, x[8] = INFINITY, x[9] = -INFINITY, x[10] = 0x1.fffp-130f;
    const pawl_tensor X = vector(x, COUNT), B = vector(back, COUNT), L = {low, PAWL_BF16, 1, {COUNT}};
    assert_done(pawl_cast(d, X, L));
    assert_done(pawl_cast(d, L, B));
    for (int64_t i = 0; i < COUNT; i++)
        if (isnan(x[i]) ? !isnan(back[i]) : memcmp(&back[i], &(float){value_of(nearest(x[i]))}, sizeof *back) != 0)
            fail_msg("%a went to bf16 and back to %a", x[i], back[i]);
    int32_t *ids = integers(N, 3, V);
    assert_done(pawl_embedding(d, low_matrix(low, V, D), indices(ids, N), matrix(back, N, D)));
    for (int64_t n = 0; n < N; n++)
        for (int64_t i = 0; i < D; i++)
            if (n != 0 || i < 7)
                assert_true(memcmp(&back[n * D + i], &(float){value_of(low[ids[n] * D + i])}, 4) == 0 ||
                            isnan(back[n * D + i]));
    assert_refused(pawl_linear(d, low_matrix(low, 2, 3), matrix(x, 4, 3), nothing, PAWL_SET, matrix(back, 2, 4)),
                   PAWL_EBUG, "w is f32, expected bf16");
    assert_refused(pawl_rmsnorm(d, low_matrix(low, 2, 3), nothing, vector(x, 3), 1e-5f, matrix(back, 2, 3),
                                matrix(back, 2, 3), vector(x, 2)),
                   PAWL_EBUG, "residual is bf16, expected f32");
    free(wide), free(x), free(back), free(low), free(ids);
}

EVERY_DEVICE(casts_and_lookups, check_casts)

/* ---- the output head ---- */

static void check_head(pawl_device *d)
{
    enum { N = 150, D = 40, V = 333 };
    float *wh, *ww, *loss = numbers(N, 3, 1), *loss2 = numbers(N, 4, 1), *dh = numbers(N * D, 5, 1),
                    *dh2 = numbers(N * D, 6, 1), *dw = numbers(V * D, 7, 1), *dw2 = copy_of(dw, V * D);
    uint16_t *h = low_numbers(N * D, 1, 1, &wh), *w = low_numbers(V * D, 2, 1, &ww);
    int32_t *targets = integers(N, 8, V);
    for (int64_t n = 0; n < N; n += 5) targets[n] = -100;
    pawl_head wide = {.hidden = matrix(wh, N, D),
                      .w = matrix(ww, V, D),
                      .targets = targets,
                      .scale = 0.01f,
                      .loss = vector(loss, N),
                      .dhidden = matrix(dh, N, D),
                      .dw = matrix(dw, V, D),
                      .put = PAWL_ADD};
    pawl_head low = wide;
    low.hidden = low_matrix(h, N, D), low.w = low_matrix(w, V, D), low.loss.data = loss2, low.dhidden.data = dh2,
    low.dw.data = dw2;
    assert_done(pawl_head_loss(d, &wide));
    assert_done(pawl_head_loss(d, &low));
    double *L = widened(loss, N), *DH = widened(dh, N * D), *DW = widened(dw, V * D);
    assert_near(loss2, L, N, 1e-6);      /* logits are f32 */
    assert_near(dh2, DH, N * D, 0x1p-8); /* their gradients are rounded */
    assert_near(dw2, DW, V * D, 0x1p-8);
    free(wh), free(ww), free(loss), free(loss2), free(dh), free(dh2), free(dw), free(dw2), free(h), free(w),
        free(targets), free(L), free(DH), free(DW);
}

EVERY_DEVICE(head_has_the_loss_of_f32_logits, check_head)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pattern_converts),      cmocka_unit_test(linear_and_its_gradients),
        cmocka_unit_test(long_sums_go_block_by_block), cmocka_unit_test(rows_are_those_of_f32_rounded_once),
        cmocka_unit_test(casts_and_lookups),           cmocka_unit_test(head_has_the_loss_of_f32_logits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
