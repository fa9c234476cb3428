/* Runs: cmocka
 * The ops over rows (linear, embedding, norms, rope, swiglu, adamw, sums) against formulas in double precision and
 * their finite differences, over shapes that fit no register and no block. */
#include "tests/ops_check.h"

/* linear */

static void product(const double *a, int64_t am, int64_t ak, const double *b, int64_t bk, int64_t bn, int64_t m,
                    int64_t n, int64_t k, double *c)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            for (int64_t p = 0; p < k; p++) c[i * n + j] += a[i * am + p * ak] * b[p * bk + j * bn];
}

static void linear_of(pawl_device *d, int64_t N, int64_t I, int64_t O, pawl_put put, int biased)
{
    float *x = numbers(N * I, 1, 1), *w = numbers(O * I, 2, 1), *bias = numbers(O, 3, 1), *dy = numbers(N * O, 4, 1);
    float *y = numbers(N * O, 5, 1), *dx = numbers(N * I, 6, 1), *dw = numbers(O * I, 7, 1), *dbias = numbers(O, 8, 1);
    double *X = widened(x, N * I), *Wt = widened(w, O * I), *B = widened(bias, O), *DY = widened(dy, N * O);
    double *Y = put == PAWL_ADD ? widened(y, N * O) : zeros(N * O),
           *DX = put == PAWL_ADD ? widened(dx, N * I) : zeros(N * I);
    double *DW = put == PAWL_ADD ? widened(dw, O * I) : zeros(O * I),
           *DB = put == PAWL_ADD ? widened(dbias, O) : zeros(O);
    product(X, I, 1, Wt, 1, I, N, O, I, Y);
    product(DY, O, 1, Wt, I, 1, N, I, O, DX);
    product(DY, 1, O, X, I, 1, O, I, N, DW);
    for (int64_t n = 0; n < N; n++)
        for (int64_t o = 0; o < O; o++) {
            if (biased) Y[n * O + o] += B[o];
            DB[o] += DY[n * O + o];
        }
    const pawl_tensor b = biased ? vector(bias, O) : nothing, db = biased ? vector(dbias, O) : nothing;
    assert_done(pawl_linear(d, matrix(x, N, I), matrix(w, O, I), b, put, matrix(y, N, O)));
    assert_done(pawl_linear_dx(d, matrix(dy, N, O), matrix(w, O, I), put, matrix(dx, N, I)));
    assert_done(pawl_linear_dw(d, matrix(dy, N, O), matrix(x, N, I), put, matrix(dw, O, I), db));
    assert_near(y, Y, N * O, 2e-6);
    assert_near(dx, DX, N * I, 2e-6);
    assert_near(dw, DW, O * I, 2e-6);
    if (biased) assert_near(dbias, DB, O, 2e-6);
    free(x), free(w), free(bias), free(dy), free(y), free(dx), free(dw), free(dbias);
    free(X), free(Wt), free(B), free(DY), free(Y), free(DX), free(DW), free(DB);
}

static void check_linear(pawl_device *d)
{
    static const int64_t shapes[][3] = {{1, 1, 1},     {1, 64, 300},  {2, 3, 5},     {7, 17, 13},   {31, 37, 41},
                                        {64, 128, 96}, {97, 1, 33},   {101, 257, 1}, {130, 40, 70}, {259, 131, 67},
                                        {513, 96, 49}, {67, 90, 517}, {1030, 24, 31}, {9, 512, 512}, {21, 20, 1024},
                                        {21, 1024, 24}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int put = 0; put < 2; put++)
            for (int biased = 0; biased < 2; biased++)
                linear_of(d, shapes[i][0], shapes[i][1], shapes[i][2], put ? PAWL_ADD : PAWL_SET, biased);
}

EVERY_DEVICE(linear_and_its_gradients, check_linear)

/* embedding */

static void embedding_of(pawl_device *d, int64_t V, int64_t D, int64_t N)
{
    int32_t *ids = integers(N, 1, (int32_t)V);
    float *table = numbers(V * D, 2, 1), *out = numbers(N * D, 3, 1), *dout = numbers(N * D, 4, 1),
          *dtable = numbers(V * D, 5, 1);
    float *expected = copy_of(dtable, V * D);
    assert_done(pawl_embedding(d, matrix(table, V, D), indices(ids, N), matrix(out, N, D)));
    for (int64_t n = 0; n < N; n++) assert_memory_equal(out + n * D, table + ids[n] * D, (size_t)D * sizeof *out);
    for (int64_t n = 0; n < N; n++)
        for (int64_t i = 0; i < D; i++) expected[ids[n] * D + i] += dout[n * D + i];
    assert_done(pawl_embedding_dw(d, matrix(dout, N, D), indices(ids, N), matrix(dtable, V, D)));
    assert_memory_equal(dtable, expected, (size_t)(V * D) * sizeof *dtable); /* the order of n, to the bit */
    free(ids), free(table), free(out), free(dout), free(dtable), free(expected);
}

static void check_embedding(pawl_device *d)
{
    embedding_of(d, 1, 1, 1);
    embedding_of(d, 3, 7, 200);
    embedding_of(d, 50, 65, 131);
    embedding_of(d, 11, 200, 1000);
}

EVERY_DEVICE(embedding_gathers_and_adds_in_order, check_embedding)

/* norms: over rows, and over heads inside rows */

typedef struct norm_case {
    int64_t N, D;
    double eps, *x, *w, *c; /* c: what the outputs are weighed with */
} norm_case;

static double rstd_of(const double *x, int64_t D, double eps)
{
    return 1 / sqrt(inner(x, x, D) / (double)D + eps);
}

static double norm_weighed(void *self)
{
    const norm_case *k = self;
    double s = 0;
    for (int64_t n = 0; n < k->N; n++) {
        const double *x = k->x + n * k->D, r = rstd_of(x, k->D, k->eps);
        for (int64_t i = 0; i < k->D; i++) s += k->c[n * k->D + i] * k->w[i] * x[i] * r;
    }
    return s;
}

static void rmsnorm_of(pawl_device *d, int64_t N, int64_t D, pawl_put put, int with_x)
{
    const float eps = 1e-5f;
    float *residual = numbers(N * D, 1, 2), *x = numbers(N * D, 2, 1), *w = numbers(D, 3, 1),
          *dy = numbers(N * D, 4, 1);
    float *sum = with_x ? numbers(N * D, 5, 1) : residual, *y = numbers(N * D, 6, 1), *rstd = numbers(N, 7, 1);
    float *dsum = numbers(N * D, 8, 1), *dw = numbers(D, 9, 1);
    double *S = widened(residual, N * D), *Y = zeros(N * D), *R = zeros(N), *DX = zeros(N * D), *DW = zeros(D);
    for (int64_t i = 0; with_x && i < N * D; i++) S[i] = (double)(residual[i] + x[i]);
    norm_case k = {N, D, eps, S, widened(w, D), widened(dy, N * D)};
    for (int64_t n = 0; n < N; n++) {
        R[n] = rstd_of(S + n * D, D, eps);
        for (int64_t i = 0; i < D; i++) Y[n * D + i] = k.w[i] * S[n * D + i] * R[n];
    }
    differences(norm_weighed, &k, S, N * D, DX);
    differences(norm_weighed, &k, k.w, D, DW);
    for (int64_t i = 0; i < N * D; i++) DX[i] += dsum[i];
    for (int64_t i = 0; put == PAWL_ADD && i < D; i++) DW[i] += dw[i];

    assert_done(pawl_rmsnorm(d, matrix(residual, N, D), with_x ? matrix(x, N, D) : nothing, vector(w, D), eps,
                             matrix(sum, N, D), matrix(y, N, D), vector(rstd, N)));
    assert_near(sum, S, N * D, 1e-9);
    assert_near(y, Y, N * D, 1e-6);
    assert_near(rstd, R, N, 1e-6);
    assert_done(pawl_rmsnorm_backward(d, matrix(dy, N, D), matrix(sum, N, D), vector(w, D), vector(rstd, N), put,
                                      matrix(dsum, N, D), vector(dw, D)));
    assert_near(dsum, DX, N * D, 2e-6);
    assert_near(dw, DW, D, 2e-6);
    if (with_x) free(sum);
    free(residual), free(x), free(w), free(dy), free(y), free(rstd), free(dsum), free(dw);
    free(S), free(Y), free(R), free(DX), free(DW), free(k.w), free(k.c);
}

static void check_rmsnorm(pawl_device *d)
{
    static const int64_t shapes[][2] = {{1, 1}, {1, 16}, {3, 17}, {65, 5}, {130, 7}, {2, 131}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int put = 0; put < 2; put++)
            for (int with_x = 0; with_x < 2; with_x++)
                rmsnorm_of(d, shapes[i][0], shapes[i][1], put ? PAWL_ADD : PAWL_SET, with_x);
}

EVERY_DEVICE(rmsnorm_and_its_gradient, check_rmsnorm)

static void head_norm_of(pawl_device *d, int64_t N, int64_t all, int64_t K, int64_t first, int64_t heads, pawl_put put)
{
    const float eps = 1e-6f;
    const int64_t width = all * K, rows = N * heads;
    float *x = numbers(N * width, 1, 1), *w = numbers(K, 2, 1), *y = numbers(N * width, 3, 1),
          *rstd = numbers(rows, 4, 1);
    float *dy = numbers(N * width, 5, 1), *dw = numbers(K, 6, 1);
    double *Y = widened(y, N * width), *DY = widened(dy, N * width), *X = zeros(rows * K), *C = zeros(rows * K);
    double *DX = zeros(rows * K), *DW = zeros(K);
    norm_case k = {rows, K, eps, X, widened(w, K), C};
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < K; i++) {
            const int64_t at = r / heads * width + (first + r % heads) * K + i;
            X[r * K + i] = x[at];
            C[r * K + i] = dy[at];
        }
    differences(norm_weighed, &k, X, rows * K, DX);
    differences(norm_weighed, &k, k.w, K, DW);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < K; i++) {
            const int64_t at = r / heads * width + (first + r % heads) * K + i;
            Y[at] = k.w[i] * X[r * K + i] * rstd_of(X + r * K, K, eps);
            DY[at] = DX[r * K + i];
        }
    for (int64_t i = 0; put == PAWL_ADD && i < K; i++) DW[i] += dw[i];
    assert_done(pawl_head_norm(d, matrix(x, N, width), vector(w, K), eps, first, heads, matrix(y, N, width),
                               matrix(rstd, N, heads)));
    assert_near(y, Y, N * width, 1e-6);
    assert_done(pawl_head_norm_backward(d, matrix(x, N, width), vector(w, K), matrix(rstd, N, heads), first, heads, put,
                                        matrix(dy, N, width), vector(dw, K)));
    assert_near(dy, DY, N * width, 2e-6);
    assert_near(dw, DW, K, 2e-6);
    free(x), free(w), free(y), free(rstd), free(dy), free(dw), free(Y), free(DY), free(X), free(C), free(DX), free(DW),
        free(k.w);
}

static void check_head_norm(pawl_device *d)
{
    head_norm_of(d, 1, 1, 2, 0, 1, PAWL_SET);
    head_norm_of(d, 67, 6, 4, 0, 4, PAWL_SET);
    head_norm_of(d, 5, 6, 18, 4, 1, PAWL_ADD);
    head_norm_of(d, 3, 4, 64, 2, 2, PAWL_SET);
}

EVERY_DEVICE(head_norm_touches_its_heads_only, check_head_norm)

/* rope */

static void rope_of(pawl_device *d, int64_t N, int64_t all, int64_t heads, int64_t half)
{
    const int64_t P = 40, width = all * 2 * half;
    float *x = numbers(N * width, 1, 1), *start = copy_of(x, N * width), *cos_ = numbers(P * half, 2, 1),
          *sin_ = numbers(P * half, 3, 1);
    int32_t *positions = integers(N, 4, (int32_t)P);
    double *X = widened(x, N * width);
    for (int64_t i = 0; i < P * half; i++) {
        const float angle = cos_[i];
        cos_[i] = cosf(angle);
        sin_[i] = sinf(angle);
    }
    for (int64_t n = 0; n < N; n++)
        for (int64_t h = 0; h < heads; h++)
            for (int64_t i = 0; i < half; i++) {
                double *a = X + n * width + h * 2 * half + i, *b = a + half, from_a = *a, from_b = *b;
                const double c = cos_[positions[n] * half + i], s = sin_[positions[n] * half + i];
                *a = from_a * c - from_b * s;
                *b = from_b * c + from_a * s;
            }
    const pawl_tensor t = matrix(x, N, width), c = matrix(cos_, P, half), s = matrix(sin_, P, half);
    assert_done(pawl_rope(d, t, heads, c, s, indices(positions, N), 1));
    assert_near(x, X, N * width, 2e-7);
    assert_done(pawl_rope(d, t, heads, c, s, indices(positions, N), -1)); /* a rotation: its transpose undoes it */
    double *back = widened(start, N * width);
    assert_near(x, back, N * width, 4e-7);
    free(x), free(start), free(cos_), free(sin_), free(positions), free(X), free(back);
}

static void check_rope(pawl_device *d)
{
    rope_of(d, 1, 1, 1, 1);
    rope_of(d, 67, 5, 3, 3);
    rope_of(d, 130, 4, 3, 16);
    rope_of(d, 9, 3, 2, 40);
}

EVERY_DEVICE(rope_turns_and_turns_back, check_rope)

/* swiglu */

typedef struct swiglu_case {
    int64_t N, F;
    double *gate_up, *c;
} swiglu_case;

static double silu(double x)
{
    return x / (1 + exp(-x));
}

static double swiglu_weighed(void *self)
{
    const swiglu_case *k = self;
    double s = 0;
    for (int64_t n = 0; n < k->N; n++)
        for (int64_t i = 0; i < k->F; i++)
            s += k->c[n * k->F + i] * silu(k->gate_up[n * 2 * k->F + i]) * k->gate_up[n * 2 * k->F + k->F + i];
    return s;
}

static void swiglu_of(pawl_device *d, int64_t N, int64_t F)
{
    float *gate_up = numbers(N * 2 * F, 1, 3), *out = numbers(N * F, 2, 1), *dout = numbers(N * F, 3, 1),
          *dgate_up = numbers(N * 2 * F, 4, 1);
    swiglu_case k = {N, F, widened(gate_up, N * 2 * F), widened(dout, N * F)};
    double *Y = zeros(N * F), *D = zeros(N * 2 * F);
    for (int64_t n = 0; n < N; n++)
        for (int64_t i = 0; i < F; i++) Y[n * F + i] = silu(gate_up[n * 2 * F + i]) * gate_up[n * 2 * F + F + i];
    differences(swiglu_weighed, &k, k.gate_up, N * 2 * F, D);
    assert_done(pawl_swiglu(d, matrix(gate_up, N, 2 * F), matrix(out, N, F)));
    assert_done(pawl_swiglu_backward(d, matrix(dout, N, F), matrix(gate_up, N, 2 * F), matrix(dgate_up, N, 2 * F)));
    assert_near(out, Y, N * F, 3e-7);
    assert_near(dgate_up, D, N * 2 * F, 1e-6);
    free(gate_up), free(out), free(dout), free(dgate_up), free(k.gate_up), free(k.c), free(Y), free(D);
}

/* Where silu is flat or straight its value is known: no overflow on the way there. */
static void swiglu_at_the_ends(pawl_device *d)
{
    float gate_up[] = {-200, -89, 0, 89, 200, -1e30f, 1, 1, 1, 1, 1, 1}, out[6], dout[] = {1, 1, 1, 1, 1, 1},
          dgate_up[12];
    assert_done(pawl_swiglu(d, matrix(gate_up, 1, 12), matrix(out, 1, 6)));
    assert_done(pawl_swiglu_backward(d, matrix(dout, 1, 6), matrix(gate_up, 1, 12), matrix(dgate_up, 1, 12)));
    const float values[] = {0, 0, 0, 89, 200, 0}, slopes[] = {0, 0, 0.5f, 1, 1, 0};
    for (int i = 0; i < 6; i++) {
        assert_true(fabsf(out[i] - values[i]) < 1e-30f);
        assert_true(fabsf(dgate_up[i] - slopes[i]) < 1e-30f);
    }
}

static void check_swiglu(pawl_device *d)
{
    swiglu_of(d, 1, 1);
    swiglu_of(d, 3, 17);
    swiglu_of(d, 70, 5);
    swiglu_of(d, 2, 67);
    swiglu_at_the_ends(d);
}

EVERY_DEVICE(swiglu_and_its_gradient, check_swiglu)

/* arrays */

static void check_adamw(pawl_device *d)
{
    enum { COUNT = 40001 };
    float *w = numbers(COUNT, 1, 1), *m = numbers(COUNT, 2, 0), *v = numbers(COUNT, 3, 0);
    double *Wd = widened(w, COUNT), *M = zeros(COUNT), *V = zeros(COUNT);
    const double lr = 1e-3, b1 = 0.9, b2 = 0.95, eps = 1e-8, decay = 0.1, clip = 0.7;
    for (int t = 1; t <= 3; t++) {
        float *g = numbers(COUNT, (uint64_t)(10 + t), 0.1f);
        const pawl_adamw_step k = {.lr = lr,
                                   .beta1 = b1,
                                   .beta2 = b2,
                                   .eps = eps,
                                   .decay = decay,
                                   .fix1 = 1 - pow(b1, t),
                                   .fix2 = 1 - pow(b2, t),
                                   .grad_scale = clip};
        for (int i = 0; i < COUNT; i++) {
            const double gd = clip * g[i];
            M[i] = b1 * M[i] + (1 - b1) * gd;
            V[i] = b2 * V[i] + (1 - b2) * gd * gd;
            Wd[i] = Wd[i] - lr * decay * Wd[i] - lr * (M[i] / k.fix1) / (sqrt(V[i] / k.fix2) + eps);
        }
        assert_done(pawl_adamw(d, w, g, m, v, COUNT, &k));
        free(g);
    }
    assert_near(w, Wd, COUNT, 2e-7);
    assert_near(m, M, COUNT, 1e-6);
    assert_near(v, V, COUNT, 1e-6);
    free(w), free(m), free(v), free(Wd), free(M), free(V);
}

/* Ranks own different pieces of the weights: a number's new value may not depend on where its piece begins. */
static void check_adamw_by_pieces(pawl_device *d)
{
    enum { COUNT = 33000 };
    const pawl_adamw_step k = {.lr = 0.01,
                               .beta1 = 0.9,
                               .beta2 = 0.999,
                               .eps = 1e-8,
                               .decay = 0.01,
                               .fix1 = 0.1,
                               .fix2 = 0.001,
                               .grad_scale = 1};
    float *w = numbers(COUNT, 1, 1), *g = numbers(COUNT, 2, 1), *m = numbers(COUNT, 3, 1), *v = numbers(COUNT, 4, 1);
    for (int i = 0; i < COUNT; i++) v[i] = fabsf(v[i]);
    float *w2 = copy_of(w, COUNT), *m2 = copy_of(m, COUNT), *v2 = copy_of(v, COUNT);
    assert_done(pawl_adamw(d, w, g, m, v, COUNT, &k));
    for (int at = 0, piece = 1; at < COUNT; at += piece, piece = piece * 3 + 1) {
        const int count = COUNT - at < piece ? COUNT - at : piece;
        assert_done(pawl_adamw(d, w2 + at, g + at, m2 + at, v2 + at, count, &k));
    }
    assert_memory_equal(w, w2, COUNT * sizeof *w);
    assert_memory_equal(m, m2, COUNT * sizeof *m);
    assert_memory_equal(v, v2, COUNT * sizeof *v);
    free(w), free(g), free(m), free(v), free(w2), free(m2), free(v2);
}

static void adamw_steps(void **state)
{
    (void)state;
    on_every_device(2, check_adamw);
    on_every_device(2, check_adamw_by_pieces);
}

static double first_sum; /* of the first device: all others have to agree with it to the bit */

static void check_arrays(pawl_device *d)
{
    enum { COUNT = 2 * PAWL_SUM_BLOCK + 1237 };
    float *a = numbers(COUNT, 1, 1), *b = numbers(COUNT, 2, 1), *c = malloc(COUNT * sizeof *c),
          *expected = copy_of(a, COUNT);
    double blocks[3], squares[3] = {0};
    for (int i = 0; i < COUNT; i++) squares[i / PAWL_SUM_BLOCK] += (double)a[i] * a[i];
    assert_done(pawl_sum_squares(d, a, COUNT, blocks));
    for (int i = 0; i < 3; i++) assert_true(fabs(blocks[i] - squares[i]) <= 1e-12 * squares[i]);
    if (first_sum == 0) first_sum = blocks[2];
    assert_true(blocks[2] == first_sum);
    for (int i = 0; i < COUNT; i++) expected[i] = a[i] + b[i];
    assert_done(pawl_add(d, a, b, COUNT));
    assert_memory_equal(a, expected, COUNT * sizeof *a);
    assert_done(pawl_copy(d, c, a, COUNT));
    assert_memory_equal(c, expected, COUNT * sizeof *a);
    assert_done(pawl_zero(d, a, COUNT));
    for (int i = 0; i < COUNT; i++) assert_true(a[i] == 0);
    assert_done(pawl_add(d, NULL, NULL, 0)); /* nothing to do is not an error */
    free(a), free(b), free(c), free(expected);
}

EVERY_DEVICE(sums_copies_and_zeros, check_arrays)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_and_its_gradients),
        cmocka_unit_test(embedding_gathers_and_adds_in_order),
        cmocka_unit_test(rmsnorm_and_its_gradient),
        cmocka_unit_test(head_norm_touches_its_heads_only),
        cmocka_unit_test(rope_turns_and_turns_back),
        cmocka_unit_test(swiglu_and_its_gradient),
        cmocka_unit_test(adamw_steps),
        cmocka_unit_test(sums_copies_and_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
