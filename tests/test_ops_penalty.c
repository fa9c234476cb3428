/* Runs: cmocka
 * Penalties and importances of continual learning against double precision, on every device and in pieces. */
#include "tests/ops_check.h"

enum { COUNT = 2 * PAWL_SUM_BLOCK + 777, BLOCKS = 3 };

typedef struct arrays {
    float *g, *w, *a, *f, *path;
    double blocks[BLOCKS];
} arrays;

static arrays fresh(void)
{
    arrays x = {.g = numbers(COUNT, 1, 1),
                .w = numbers(COUNT, 2, 1),
                .a = numbers(COUNT, 3, 1),
                .f = numbers(COUNT, 4, 1),
                .path = numbers(COUNT, 5, 1)};
    for (int i = 0; i < COUNT; i++) x.f[i] = fabsf(x.f[i]);
    return x;
}

static void free_arrays(arrays *x)
{
    free(x->g), free(x->w), free(x->a), free(x->f), free(x->path);
}

static void near(double got, double expected, double scale)
{
    if (fabs(got - expected) > 1e-6 * scale) fail_msg("found %.9g, expected %.9g", got, expected);
}

static void check_oracle(pawl_device *d)
{
    const arrays before = fresh();
    arrays x = fresh();
    double value = 0, plain = 0, square = 0, dot = 0;
    for (int i = 0; i < BLOCKS; i++) x.blocks[i] = i == 0 ? 3 : 0; /* what is there stays in the sum */
    assert_done(pawl_anchor(d, x.g, x.w, x.a, x.f, 0.7f, COUNT, x.blocks));
    for (int i = 0; i < COUNT; i++) {
        const double moved = (double)before.w[i] - (double)before.a[i];
        near(x.g[i], (double)before.g[i] + (double)0.7f * (double)before.f[i] * moved, 2);
        value += (double)0.7f * (double)before.f[i] * moved * moved / 2;
        plain += (double)0.2f * moved * moved / 2;
        square += (double)0.2f * (double)before.w[i] * (double)before.w[i] / 2;
        dot += (double)before.w[i] * (double)before.a[i];
    }
    near(x.blocks[0] + x.blocks[1] + x.blocks[2], value + 3, value);
    memset(x.blocks, 0, sizeof x.blocks);
    assert_done(pawl_anchor(d, x.g, x.w, x.a, NULL, 0.2f, COUNT, x.blocks));
    near(x.blocks[0] + x.blocks[1] + x.blocks[2], plain, plain);
    memset(x.blocks, 0, sizeof x.blocks);
    memcpy(x.g, before.g, COUNT * sizeof *x.g);
    assert_done(pawl_anchor(d, x.g, x.w, NULL, NULL, 0.2f, COUNT, x.blocks));
    near(x.g[5], (double)before.g[5] + (double)0.2f * (double)before.w[5], 2);
    near(x.blocks[0] + x.blocks[1] + x.blocks[2], square, square);
    assert_done(pawl_dot(d, x.w, x.a, COUNT, x.blocks));
    near(x.blocks[0] + x.blocks[1] + x.blocks[2], dot, COUNT);
    memcpy(x.g, before.g, COUNT * sizeof *x.g);
    assert_done(pawl_path(d, x.path, x.g, x.w, x.a, COUNT));
    for (int i = 0; i < COUNT; i++)
        near(x.path[i], (double)before.path[i] - (double)before.g[i] * ((double)before.a[i] - (double)before.w[i]), 3);
    memcpy(x.path, before.path, COUNT * sizeof *x.path);
    assert_done(pawl_synapses(d, x.f, x.path, x.w, x.a, 0.1f, COUNT));
    for (int i = 0; i < COUNT; i++) {
        const double moved = (double)before.w[i] - (double)before.a[i];
        near(x.f[i], (double)before.f[i] + fmax(0, (double)before.path[i]) / (moved * moved + (double)0.1f), 10);
        assert_true(x.path[i] == 0);
    }
    assert_done(pawl_magnitudes(d, x.w, 1, COUNT));
    assert_done(pawl_magnitudes(d, x.a, 0, COUNT));
    for (int i = 0; i < COUNT; i++) {
        assert_true(x.w[i] == before.w[i] * before.w[i]);
        assert_true(x.a[i] == fabsf(before.a[i]));
    }
    free_arrays(&x);
    arrays done = before;
    free_arrays(&done);
}

EVERY_DEVICE(numbers_are_those_of_the_formulas, check_oracle)

static void run_all(pawl_device *d, arrays *x, int64_t at, int64_t count)
{
    assert_done(
        pawl_anchor(d, x->g + at, x->w + at, x->a + at, x->f + at, 0.7f, count, x->blocks + at / PAWL_SUM_BLOCK));
    assert_done(pawl_path(d, x->path + at, x->g + at, x->w + at, x->a + at, count));
    assert_done(pawl_synapses(d, x->f + at, x->path + at, x->w + at, x->a + at, 0.1f, count));
}

/* Ranges of ranks cut tensors at whole blocks: numbers and sums are those of the whole. */
static void check_pieces(pawl_device *d)
{
    arrays whole = fresh(), cut = fresh();
    run_all(d, &whole, 0, COUNT);
    run_all(d, &cut, 0, PAWL_SUM_BLOCK);
    run_all(d, &cut, PAWL_SUM_BLOCK, COUNT - PAWL_SUM_BLOCK);
    assert_memory_equal(whole.g, cut.g, COUNT * sizeof *whole.g);
    assert_memory_equal(whole.f, cut.f, COUNT * sizeof *whole.f);
    assert_memory_equal(whole.blocks, cut.blocks, sizeof whole.blocks);
    free_arrays(&whole), free_arrays(&cut);
}

EVERY_DEVICE(pieces_have_the_bits_of_the_whole, check_pieces)

/* ---- O-LoRA's overlap ---- */

enum { OVER_ROWS = 5, KEPT_ROWS = 7, WIDTH = 37, OVER = OVER_ROWS * WIDTH };

static void run_overlap(pawl_device *d, const pawl_overlap *o, int64_t first, int64_t end, float *g, double *sums)
{
    assert_done(pawl_overlap_add(d, o, first, end - first, g + first, sums));
}

/* By the definition, and by finite differences of it. */
static double overlap_value(const pawl_overlap *o, int64_t changed, double by)
{
    double sum = 0;
    for (int64_t r = 0; r < o->rows; r++)
        for (int64_t k = 0; k < o->kept_rows; k++) {
            double dot = 0;
            for (int64_t i = 0; i < o->width; i++)
                dot += ((double)o->a[r * o->width + i] + (r * o->width + i == changed ? by : 0)) * (double)o->kept[k * o->width + i];
            sum += fabs(dot);
        }
    return (double)o->strength * sum;
}

static void check_overlap(pawl_device *d)
{
    float *a = numbers(OVER, 11, 1), *kept = numbers(KEPT_ROWS * WIDTH, 12, 1), *before = numbers(OVER, 13, 1), *g = numbers(OVER, 13, 1);
    float *pieces = numbers(OVER, 13, 1);
    memset(a + 3 * WIDTH, 0, WIDTH * sizeof *a); /* a row that has no direction is pulled nowhere */
    const pawl_overlap o = {a, kept, OVER_ROWS, KEPT_ROWS, WIDTH, 0.3f};
    double sums[OVER_ROWS] = {2}, sums_of_pieces[OVER_ROWS] = {2}, all = 0; /* what is there stays in the sum */
    const double h = 1e-7;
    run_overlap(d, &o, 0, OVER, g, sums);
    for (int r = 0; r < OVER_ROWS; r++) all += sums[r];
    near(all - 2, overlap_value(&o, -1, 0), all);
    for (int i = 0; i < OVER; i++) {
        const double slope = (overlap_value(&o, i, h) - overlap_value(&o, i, -h)) / (2 * h);
        near((double)g[i] - (double)before[i], slope, 10);
    }
    run_overlap(d, &o, 0, 20, pieces, sums_of_pieces); /* cut inside rows, and where one begins */
    run_overlap(d, &o, 20, 2 * WIDTH, pieces, sums_of_pieces);
    run_overlap(d, &o, 2 * WIDTH, OVER - 1, pieces, sums_of_pieces);
    run_overlap(d, &o, OVER - 1, OVER, pieces, sums_of_pieces);
    run_overlap(d, &o, OVER, OVER, pieces, sums_of_pieces);
    assert_memory_equal(g, pieces, OVER * sizeof *g);
    assert_memory_equal(sums, sums_of_pieces, sizeof sums);
    free(a), free(kept), free(before), free(g), free(pieces);
}

EVERY_DEVICE(overlap_is_that_of_the_formula_wherever_it_is_cut, check_overlap)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_those_of_the_formulas),
        cmocka_unit_test(pieces_have_the_bits_of_the_whole),
        cmocka_unit_test(overlap_is_that_of_the_formula_wherever_it_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
