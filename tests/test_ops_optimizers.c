/* Runs: cmocka
 * The update rules' own parts: 8-bit levels against a search over all of them, arrays in pieces, and matrices on
 * any number of threads. */
#include "tests/ops_check.h"

#include "ops/dynamic_rule.h"

static int nearest(const pawl_dynamic *d, double x)
{
    int best = 0;
    for (int i = 1; i < PAWL_DYNAMIC_LEVELS; i++)
        if (fabs(x - d->level[i]) < fabs(x - d->level[best])) best = i;
    return best;
}

static void check_code(const pawl_dynamic *d, float x, int is_signed)
{
    const int code = pawl_dynamic_code(d, x, is_signed ? 254 : 255), best = nearest(d, x);
    const double lost = fabs((double)x - (double)d->level[code]) - fabs((double)x - (double)d->level[best]);
    if (lost > 1.2e-7 * fabs(x)) /* an edge is a float, half a place off */
        fail_msg("%.9g has code %d (%.9g), nearest is %d (%.9g)", x, code, d->level[code], best, d->level[best]);
}

/* Every level comes back as itself; numbers beside every edge, and everywhere else, become the nearest. */
static void codes_are_the_nearest(void **state)
{
    static pawl_dynamic d;
    (void)state;
    for (int is_signed = 0; is_signed < 2; is_signed++) {
        pawl_dynamic_fill(&d, is_signed);
        assert_true(d.level[0] == (is_signed ? -d.level[254] : 0.0f) && d.level[255] == 1.0f &&
                    d.level[d.zero] == 0.0f);
        for (int i = 0; i < PAWL_DYNAMIC_LEVELS; i++) {
            assert_true(i == 0 || d.level[i] > d.level[i - 1]);
            assert_int_equal(pawl_dynamic_code(&d, d.level[i], is_signed ? 254 : 255), i);
            for (int k = -3; k <= 3 && i < 255; k++) check_code(&d, d.edge[i] * (1 + 1e-6f * (float)k), is_signed);
        }
        float *x = numbers(20000, 5, 0.3f);
        for (int i = 0; i < 20000; i++) {
            const float small = powf(10, (float)-(i % 9)), y = fmaxf(-1, fminf(1, x[i])) * small;
            check_code(&d, is_signed ? y : fabsf(y), is_signed);
        }
        check_code(&d, 1, is_signed);
        if (is_signed) check_code(&d, -1, is_signed);
        free(x);
    }
}

/* All rules over the whole array, and over pieces of whole 8-bit blocks. */
enum { COUNT = 33001 };

typedef struct arrays {
    float *w, *g, *a, *b, *scales;
    uint8_t *codes;
} arrays;

static arrays fresh(void)
{
    arrays x = {numbers(COUNT, 1, 1), numbers(COUNT, 2, 1), numbers(COUNT, 3, 1),
                numbers(COUNT, 4, 1), calloc(2 * COUNT, 4), calloc(2 * COUNT, 1)};
    return x;
}

static void free_arrays(arrays *x)
{
    free(x->w), free(x->g), free(x->a), free(x->b), free(x->scales), free(x->codes);
}

static void run_all(pawl_device *d, const arrays *x, int64_t at, int64_t count)
{
    const pawl_sgd_step sgd = {.lr = 0.1, .momentum = 0.9, .dampening = 0.1, .decay = 0.1, .grad_scale = 0.5};
    const pawl_lion_step lion = {.lr = 0.1, .beta1 = 0.9, .beta2 = 0.99, .decay = 0.1, .grad_scale = 0.5};
    const pawl_adamw_step adamw = {
        .lr = 0.1, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .fix1 = 0.1, .fix2 = 0.01, .grad_scale = 0.5};
    const int64_t block = at / PAWL_DYNAMIC_BLOCK;
    const pawl_moments_8bit m = {x->codes + at, x->codes + COUNT + at, x->scales + block, x->scales + COUNT + block};
    for (int step = 0; step < 2; step++) {
        assert_done(pawl_sgd(d, x->w + at, x->g + at, x->a + at, count, &sgd));
        assert_done(pawl_lion(d, x->w + at, x->g + at, x->b + at, count, &lion));
        assert_done(pawl_adamw_8bit(d, x->w + at, x->g + at, &m, count, &adamw));
        assert_done(pawl_mix(d, 0.9f, x->w + at, 0.2f, x->a + at, count));
        assert_done(pawl_lerp(d, x->b + at, x->w + at, 0.3f, count));
    }
}

static void check_pieces(pawl_device *d)
{
    arrays whole = fresh(), cut = fresh();
    run_all(d, &whole, 0, COUNT);
    for (int64_t at = 0, piece = PAWL_DYNAMIC_BLOCK; at < COUNT; at += piece, piece *= 3)
        run_all(d, &cut, at, COUNT - at < piece ? COUNT - at : piece);
    assert_memory_equal(whole.w, cut.w, COUNT * sizeof *whole.w);
    assert_memory_equal(whole.a, cut.a, COUNT * sizeof *whole.a);
    assert_memory_equal(whole.b, cut.b, COUNT * sizeof *whole.b);
    assert_memory_equal(whole.codes, cut.codes, 2 * COUNT);
    assert_memory_equal(whole.scales, cut.scales, 2 * COUNT * sizeof *whole.scales);
    free_arrays(&whole), free_arrays(&cut);
}

EVERY_DEVICE(pieces_have_the_bits_of_the_whole, check_pieces)

/* Whole-matrix rules: equal bits on 1, 2, 3 and 8 threads. */
static void matrices_do_not_depend_on_threads(void **state)
{
    enum { ROWS = 300, COLS = 129 };
    float *first[2] = {NULL, NULL};
    static const int threads[] = {1, 2, 3, 8};
    (void)state;
    for (int t = 0; t < 4; t++) {
        pawl_device *d;
        const pawl_muon_step muon = {.lr = 0.1, .momentum = 0.9, .grad_scale = 1, .steps = 5, .nesterov = 1};
        const pawl_adafactor_step adafactor = {
            .lr = 0.1, .beta2 = 0.5, .eps = 1e-30, .clip_threshold = 1, .grad_scale = 1};
        float *w[2] = {numbers(ROWS * COLS, 1, 1), numbers(ROWS * COLS, 1, 1)}, *g = numbers(ROWS * COLS, 2, 1);
        float *m = calloc(ROWS * COLS, sizeof *m);
        void *scratch = malloc(pawl_muon_scratch_bytes(ROWS, COLS) + pawl_adafactor_scratch_bytes(ROWS, COLS));
        assert_done(pawl_device_open_cpu(threads[t], "auto", &d));
        assert_done(pawl_muon(d, w[0], g, m, ROWS, COLS, scratch, &muon));
        memset(m, 0, ROWS * COLS * sizeof *m);
        assert_done(pawl_adafactor(d, w[1], g, m, m + ROWS, ROWS, COLS, scratch, &adafactor));
        for (int k = 0; k < 2; k++) {
            if (first[k])
                assert_memory_equal(first[k], w[k], ROWS * COLS * sizeof *w[k]);
            else
                first[k] = copy_of(w[k], ROWS * COLS);
            free(w[k]);
        }
        free(g), free(m), free(scratch);
        pawl_device_close(d);
    }
    free(first[0]), free(first[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(codes_are_the_nearest),
                                       cmocka_unit_test(pieces_have_the_bits_of_the_whole),
                                       cmocka_unit_test(matrices_do_not_depend_on_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
