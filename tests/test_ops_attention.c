/* Runs: cmocka
 * Attention against the textbook in double precision, which is itself held to finite differences: groups of heads,
 * windows, several documents in a row, padding, and head sizes that fill no register. */
#include "ops/bf16_rule.h"
#include "tests/ops_check.h"

typedef struct attend_case {
    pawl_attend over;
    double *qkv, *out, *lse, *p; /* p [T]: a row of probabilities */
    double *c;                   /* what the outputs are weighed with */
} attend_case;

static double *query_of(const attend_case *k, double *qkv, int64_t n, int64_t h)
{
    const pawl_attend *o = &k->over;
    return qkv + (n * (o->heads + 2 * o->kv_heads) + h) * o->head_dim;
}

static int64_t kv_of(const attend_case *k, int64_t h)
{
    return k->over.heads + h / (k->over.heads / k->over.kv_heads);
}

/* Probabilities of n's keys [first, n] in k->p, counted from first; returns the log of their sum. */
static double probabilities(attend_case *k, int64_t n, int64_t h, int64_t *first)
{
    const pawl_attend *o = &k->over;
    double most = -INFINITY, sum = 0;
    *first = o->starts[n];
    if (o->window > 0 && n - o->window + 1 > *first) *first = n - o->window + 1;
    for (int64_t j = *first; j <= n; j++) {
        const double s = o->scale * inner(query_of(k, k->qkv, n, h), query_of(k, k->qkv, j, kv_of(k, h)), o->head_dim);
        k->p[j - *first] = s;
        most = s > most ? s : most;
    }
    for (int64_t j = *first; j <= n; j++) sum += exp(k->p[j - *first] - most);
    for (int64_t j = *first; j <= n; j++) k->p[j - *first] = exp(k->p[j - *first] - most) / sum;
    return most + log(sum);
}

static void forward(attend_case *k)
{
    const pawl_attend *o = &k->over;
    const int64_t N = o->rows * o->tokens, K = o->head_dim;
    memset(k->out, 0, (size_t)(N * o->heads * K) * sizeof *k->out);
    for (int64_t n = 0; n < N; n++)
        for (int64_t h = 0; h < o->heads; h++) {
            int64_t first;
            k->lse[n * o->heads + h] = probabilities(k, n, h, &first);
            for (int64_t j = first; j <= n; j++)
                for (int64_t i = 0; i < K; i++)
                    k->out[(n * o->heads + h) * K + i] +=
                        k->p[j - first] * query_of(k, k->qkv, j, kv_of(k, h) + o->kv_heads)[i];
        }
}

static double weighed(void *self)
{
    attend_case *k = self;
    forward(k);
    return inner(k->out, k->c, k->over.rows * k->over.tokens * k->over.heads * k->over.head_dim);
}

static void backward(attend_case *k, double *dqkv)
{
    const pawl_attend *o = &k->over;
    const int64_t K = o->head_dim;
    for (int64_t n = 0; n < o->rows * o->tokens; n++)
        for (int64_t h = 0; h < o->heads; h++) {
            int64_t first;
            const double *dout = k->c + (n * o->heads + h) * K, *out = k->out + (n * o->heads + h) * K;
            const double mean = inner(dout, out, K);
            probabilities(k, n, h, &first);
            for (int64_t j = first; j <= n; j++) {
                const int64_t kv = kv_of(k, h);
                const double p = k->p[j - first], dp = inner(dout, query_of(k, k->qkv, j, kv + o->kv_heads), K);
                const double ds = o->scale * p * (dp - mean);
                for (int64_t i = 0; i < K; i++) {
                    query_of(k, dqkv, n, h)[i] += ds * query_of(k, k->qkv, j, kv)[i];
                    query_of(k, dqkv, j, kv)[i] += ds * query_of(k, k->qkv, n, h)[i];
                    query_of(k, dqkv, j, kv + o->kv_heads)[i] += p * dout[i];
                }
            }
        }
}

/* Documents of varying length, and padding at the end of every row. */
static int32_t *documents(int64_t rows, int64_t tokens, int64_t longest, int64_t padding)
{
    int32_t *starts = malloc((size_t)(rows * tokens) * sizeof *starts);
    for (int64_t b = 0; b < rows; b++) {
        int64_t start = 0, length = 0;
        for (int64_t t = 0; t < tokens; t++) {
            if (t >= tokens - padding)
                start = t;
            else if (t == start + length) {
                start = t;
                length = 1 + pawl_random_at(3, PAWL_FOR_TEST, (uint64_t)b, (uint64_t)t).word[0] % longest;
            }
            starts[b * tokens + t] = (int32_t)(b * tokens + start);
        }
    }
    return starts;
}

typedef struct attend_shape {
    int64_t rows, tokens, heads, kv_heads, head_dim, window, longest, padding;
} attend_shape;

static int64_t width_of(const pawl_attend *o)
{
    return (o->heads + 2 * o->kv_heads) * o->head_dim;
}

static attend_case case_of(attend_shape s, const float *qkv, const float *dout)
{
    attend_case k = {.over = {.rows = s.rows,
                              .tokens = s.tokens,
                              .heads = s.heads,
                              .kv_heads = s.kv_heads,
                              .head_dim = s.head_dim,
                              .window = s.window,
                              .scale = 1 / sqrtf((float)s.head_dim),
                              .starts = documents(s.rows, s.tokens, s.longest, s.padding)}};
    const int64_t N = s.rows * s.tokens;
    k.qkv = widened(qkv, N * width_of(&k.over));
    k.c = widened(dout, N * s.heads * s.head_dim);
    k.out = zeros(N * s.heads * s.head_dim);
    k.lse = zeros(N * s.heads);
    k.p = zeros(s.tokens);
    return k;
}

static void free_case(attend_case *k)
{
    free((void *)(uintptr_t)k->over.starts), free(k->qkv), free(k->c), free(k->out), free(k->lse), free(k->p);
}

static void the_textbook_agrees_with_differences(void **state)
{
    (void)state;
    static const attend_shape shapes[] = {
        {1, 1, 1, 1, 2, 0, 1, 0}, {2, 9, 4, 2, 2, 0, 4, 2}, {1, 12, 2, 1, 6, 3, 12, 0}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const attend_shape s = shapes[i];
        const int64_t N = s.rows * s.tokens, width = (s.heads + 2 * s.kv_heads) * s.head_dim;
        float *qkv = numbers(N * width, 1, 1), *dout = numbers(N * s.heads * s.head_dim, 2, 1),
              *got = malloc((size_t)(N * width) * sizeof *got);
        attend_case k = case_of(s, qkv, dout);
        double *by_formula = zeros(N * width), *by_differences = zeros(N * width);
        differences(weighed, &k, k.qkv, N * width, by_differences);
        forward(&k);
        backward(&k, by_formula);
        for (int64_t j = 0; j < N * width; j++) got[j] = (float)by_formula[j];
        assert_near(got, by_differences, N * width, 1e-6);
        free(qkv), free(dout), free(got), free(by_formula), free(by_differences);
        free_case(&k);
    }
}

static void reserve(pawl_device *d, const pawl_attend *o)
{
    assert_done(pawl_device_reserve(d, &(pawl_shapes){.positions = o->rows * o->tokens,
                                                      .tokens = o->tokens,
                                                      .width = 1,
                                                      .heads = o->heads,
                                                      .kv_heads = o->kv_heads,
                                                      .head_dim = o->head_dim,
                                                      .ff = 1,
                                                      .vocab = 1}));
}

static void attention_of(pawl_device *d, attend_shape s)
{
    const int64_t N = s.rows * s.tokens, H = s.heads, width = (H + 2 * s.kv_heads) * s.head_dim, all = H * s.head_dim;
    float *qkv = numbers(N * width, 1, 1.5f), *dout = numbers(N * all, 2, 1), *out = numbers(N * all, 3, 1);
    float *lse = numbers(N * H, 4, 1), *dqkv = numbers(N * width, 5, 1);
    attend_case k = case_of(s, qkv, dout);
    double *expected = zeros(N * width);
    reserve(d, &k.over);
    forward(&k);
    backward(&k, expected);
    assert_done(pawl_attention(d, &k.over, matrix(qkv, N, width), matrix(out, N, all), matrix(lse, N, H)));
    assert_near(out, k.out, N * all, 2e-6);
    assert_near(lse, k.lse, N * H, 1e-6);
    assert_done(pawl_attention_backward(d, &k.over, matrix(dout, N, all), matrix(qkv, N, width), matrix(out, N, all),
                                        matrix(lse, N, H), matrix(dqkv, N, width)));
    assert_near(dqkv, expected, N * width, 5e-6);
    free(qkv), free(dout), free(out), free(lse), free(dqkv), free(expected);
    free_case(&k);
}

static void check_attention(pawl_device *d)
{
    static const attend_shape shapes[] = {
        /* rows tokens heads kv K window longest padding */
        {1, 1, 1, 1, 2, 0, 1, 0},       {3, 7, 2, 2, 6, 0, 7, 0},       {2, 64, 2, 1, 16, 0, 64, 0},
        {1, 65, 4, 2, 64, 0, 65, 0},    {2, 97, 3, 1, 80, 0, 30, 5},    {1, 200, 2, 2, 10, 0, 23, 11},
        {1, 333, 4, 1, 32, 0, 333, 0},  {1, 333, 4, 2, 18, 50, 333, 0}, {2, 131, 2, 1, 34, 1, 60, 70},
        {1, 259, 2, 1, 256, 0, 140, 3}, {1, 150, 1, 1, 48, 64, 90, 0},  {2, 128, 6, 3, 128, 33, 128, 0},
        {1, 600, 2, 1, 8, 128, 600, 1}, {2, 197, 4, 2, 24, 0, 130, 9},  {4, 150, 2, 1, 20, 70, 150, 0},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) attention_of(d, shapes[i]);
}

EVERY_DEVICE(attention_and_its_gradient, check_attention)

/* A cache holds the keys and values of one row: its last position has to come out as in the whole row. */
static void check_cached(pawl_device *d)
{
    static const attend_shape shapes[] = {{1, 1, 1, 1, 2, 0, 1, 0},
                                          {1, 77, 4, 2, 6, 0, 77, 0},
                                          {1, 130, 6, 2, 64, 40, 130, 0},
                                          {1, 33, 2, 1, 80, 0, 9, 0}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const attend_shape s = shapes[i];
        const int64_t T = s.tokens, K = s.head_dim, H = s.heads, G = s.kv_heads, width = (H + 2 * G) * K, n = T - 1;
        float *qkv = numbers(T * width, 1, 1), *dout = numbers(T * H * K, 2, 1);
        float *keys = malloc((size_t)(T * G * K) * sizeof *keys),
              *values = malloc((size_t)(T * G * K) * sizeof *values);
        float *out = malloc((size_t)(H * K) * sizeof *out), *q = copy_of(qkv + n * width, H * K);
        attend_case k = case_of(s, qkv, dout);
        forward(&k);
        for (int64_t t = 0; t < T; t++) {
            memcpy(keys + t * G * K, qkv + t * width + H * K, (size_t)(G * K) * sizeof *keys);
            memcpy(values + t * G * K, qkv + t * width + (H + G) * K, (size_t)(G * K) * sizeof *values);
        }
        int64_t first = k.over.starts[n];
        if (s.window > 0 && n - s.window + 1 > first) first = n - s.window + 1;
        assert_done(pawl_attention_cached(d, &k.over, vector(q, H * K), matrix(keys, T, G * K),
                                          matrix(values, T, G * K), first, n, vector(out, H * K)));
        assert_near(out, k.out + n * H * K, H * K, 2e-6);
        free(qkv), free(dout), free(keys), free(values), free(out), free(q);
        free_case(&k);
    }
}

EVERY_DEVICE(a_cached_position_is_the_last_of_its_row, check_cached)

/* What a document says does not reach another one, nor the past: the others' outputs keep their bits. What it says that
 * is no number reaches all that comes after it. */
static void check_leaks(pawl_device *d)
{
    const attend_shape s = {1, 160, 2, 1, 16, 0, 160, 0};
    const int64_t N = s.tokens, H = s.heads, width = 4 * s.head_dim, all = H * s.head_dim;
    float *qkv = numbers(N * width, 1, 1), *dout = numbers(N * all, 2, 1), *lse = numbers(N * H, 4, 1);
    float *out[3];
    attend_case k = case_of(s, qkv, dout);
    int32_t *starts = (int32_t *)(uintptr_t)k.over.starts;
    for (int64_t n = 0; n < N; n++) starts[n] = n < 50 ? 0 : n < 97 ? 50 : 97;
    reserve(d, &k.over);
    for (int run = 0; run < 3; run++) {
        out[run] = numbers(N * all, 3, 1);
        if (run > 0)
            for (int64_t i = 0; i < width; i++) qkv[70 * width + i] = run == 1 ? 1e10f : NAN;
        assert_done(pawl_attention(d, &k.over, matrix(qkv, N, width), matrix(out[run], N, all), matrix(lse, N, H)));
    }
    for (int64_t n = 0; n < N; n++) {
        const int reached = n >= 70 && n < 97;
        assert_int_equal(memcmp(out[0] + n * all, out[1] + n * all, (size_t)all * sizeof **out) != 0, reached);
        for (int64_t i = 0; reached && i < all; i++) assert_true(isnan(out[2][n * all + i]));
    }
    free(qkv), free(dout), free(lse), free(out[0]), free(out[1]), free(out[2]);
    free_case(&k);
}

static void documents_do_not_leak(void **state)
{
    (void)state;
    on_every_device(1, check_leaks);
}

typedef struct halves {
    uint16_t *low;
    float *high; /* the same numbers */
    int64_t count;
} halves;

static halves halves_of(float *x, int64_t count)
{
    halves h = {malloc((size_t)count * sizeof *h.low), x, count};
    for (int64_t i = 0; i < count; i++) {
        h.low[i] = pawl_bf16_narrow_rule(x[i]);
        x[i] = pawl_bf16_widen_rule(h.low[i]);
    }
    return h;
}

static pawl_tensor low_matrix(halves h, int64_t rows)
{
    return (pawl_tensor){h.low, PAWL_BF16, 2, {rows, h.count / rows}};
}

static void assert_rounded(halves h)
{
    for (int64_t i = 0; i < h.count; i++) assert_int_equal(h.low[i], pawl_bf16_narrow_rule(h.high[i]));
}

/* In bf16 the very sums of f32 are rounded once. */
static void rounded(pawl_device *d, attend_shape s)
{
    const int64_t N = s.rows * s.tokens, H = s.heads, width = (H + 2 * s.kv_heads) * s.head_dim, all = H * s.head_dim;
    halves qkv = halves_of(numbers(N * width, 1, 1.5f), N * width), dout = halves_of(numbers(N * all, 2, 1), N * all),
           out = halves_of(numbers(N * all, 3, 1), N * all), dqkv = halves_of(numbers(N * width, 5, 1), N * width);
    float *lse[] = {numbers(N * H, 4, 1), numbers(N * H, 4, 1)};
    attend_case k = case_of(s, qkv.high, dout.high);
    reserve(d, &k.over);
    assert_done(pawl_attention(d, &k.over, matrix(qkv.high, N, width), matrix(out.high, N, all), matrix(lse[0], N, H)));
    assert_done(pawl_attention(d, &k.over, low_matrix(qkv, N), low_matrix(out, N), matrix(lse[1], N, H)));
    assert_memory_equal(lse[0], lse[1], (size_t)(N * H) * sizeof **lse);
    assert_rounded(out);
    for (int64_t i = 0; i < out.count; i++) out.high[i] = pawl_bf16_widen_rule(out.low[i]);
    assert_done(pawl_attention_backward(d, &k.over, matrix(dout.high, N, all), matrix(qkv.high, N, width),
                                        matrix(out.high, N, all), matrix(lse[0], N, H), matrix(dqkv.high, N, width)));
    assert_done(pawl_attention_backward(d, &k.over, low_matrix(dout, N), low_matrix(qkv, N), low_matrix(out, N),
                                        matrix(lse[0], N, H), low_matrix(dqkv, N)));
    assert_rounded(dqkv);
    free(qkv.low), free(dout.low), free(out.low), free(dqkv.low), free(lse[0]), free(lse[1]);
    free(qkv.high), free(dout.high), free(out.high), free(dqkv.high);
    free_case(&k);
}

static void check_rounded(pawl_device *d)
{
    static const attend_shape shapes[] = {
        {2, 97, 4, 2, 32, 0, 30, 5}, {1, 200, 2, 1, 18, 50, 200, 0}, {4, 70, 3, 1, 10, 0, 70, 1}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) rounded(d, shapes[i]);
}

EVERY_DEVICE(bf16_rounds_once, check_rounded)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_textbook_agrees_with_differences),
        cmocka_unit_test(attention_and_its_gradient),
        cmocka_unit_test(a_cached_position_is_the_last_of_its_row),
        cmocka_unit_test(documents_do_not_leak),
        cmocka_unit_test(bf16_rounds_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
