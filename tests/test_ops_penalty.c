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
    double value = 0, plain = 0, dot = 0;
    for (int i = 0; i < BLOCKS; i++) x.blocks[i] = i == 0 ? 3 : 0; /* what is there stays in the sum */
    assert_done(pawl_anchor(d, x.g, x.w, x.a, x.f, 0.7f, COUNT, x.blocks));
    for (int i = 0; i < COUNT; i++) {
        const double moved = (double)before.w[i] - (double)before.a[i];
        near(x.g[i], (double)before.g[i] + (double)0.7f * (double)before.f[i] * moved, 2);
        value += (double)0.7f * (double)before.f[i] * moved * moved / 2;
        plain += (double)0.2f * moved * moved / 2;
        dot += (double)before.w[i] * (double)before.a[i];
    }
    near(x.blocks[0] + x.blocks[1] + x.blocks[2], value + 3, value);
    memset(x.blocks, 0, sizeof x.blocks);
    assert_done(pawl_anchor(d, x.g, x.w, x.a, NULL, 0.2f, COUNT, x.blocks));
    near(x.blocks[0] + x.blocks[1] + x.blocks[2], plain, plain);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_those_of_the_formulas),
        cmocka_unit_test(pieces_have_the_bits_of_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
