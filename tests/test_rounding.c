/* Runs: cmocka
 * Stochastic rounding (ops/stochastic_rule.h): exact odds, chances that are a pure function of place, step and kind, and small updates
 * that are kept in the mean, where rounding to nearest loses all of them. */
#include "tests/ops_check.h"

#include "ops/bf16_rule.h"
#include "ops/stochastic_rule.h"

static float widen(uint16_t h)
{
    return pawl_bf16_widen_rule(h);
}

/* Of all 2^16 chances as many go up as the number's share of the way to the next one says, and no other number comes out. */
static void odds_are_exact(void **state)
{
    static const uint32_t numbers_of[] = {0x3f800000u, 0x3f800001u, 0x3f808000u, 0x3fffffffu, 0xbf812345u, 0x00000001u, 0x8000ffffu,
                                          0x00801234u, 0x7f7f0000u, 0xff7e8888u, 0x40490fdbu, 0x00000000u, 0x80000000u};
    (void)state;
    for (size_t i = 0; i < sizeof numbers_of / sizeof *numbers_of; i++) {
        const float x = pawl_bits_float(numbers_of[i]);
        const uint16_t down = (uint16_t)(numbers_of[i] >> 16);
        uint32_t ups = 0;
        for (uint32_t chance = 0; chance < 65536; chance++) {
            const uint16_t y = pawl_stochastic_rule(x, chance);
            if (y != down && y != down + 1) fail_msg("%a becomes %a", x, widen(y));
            ups += y != down;
        }
        assert_int_equal(ups, numbers_of[i] & 0xffffu);
    }
    for (uint32_t chance = 0; chance < 65536; chance += 21845) {
        assert_int_equal(pawl_stochastic_rule(INFINITY, chance), 0x7f80);
        assert_int_equal(pawl_stochastic_rule(-INFINITY, chance), 0xff80);
        assert_true(isnan(widen(pawl_stochastic_rule(pawl_bits_float(0x7f800001u), chance))));
    }
}

/* The mean of x rounded with the chances of n places or steps is x, within five standard errors of an unbiased one. */
static void check_mean(float x, int by_step, pawl_chance_of what)
{
    enum { N = 20000 };
    const double gap = widen((uint16_t)((pawl_float_bits(x) >> 16) + 1)) - widen((uint16_t)(pawl_float_bits(x) >> 16));
    const double share = (double)(pawl_float_bits(x) & 0xffffu) / 65536;
    double mean = 0;
    for (uint64_t i = 0; i < N; i++) {
        const uint64_t step = by_step ? i : 3, index = by_step ? 12345 : i;
        mean += widen(pawl_stochastic_rule(x, pawl_chance_rule(pawl_chances_rule(42, step, what, index), index))) / N;
    }
    const double error = 5 * fabs(gap) * sqrt(share * (1 - share) / N);
    if (!(fabs(mean - x) <= error)) fail_msg("%g: mean %.9g, apart by %g of %g", x, mean, mean - x, error);
}

static void means_are_the_numbers(void **state)
{
    (void)state;
    for (int by_step = 0; by_step < 2; by_step++)
        for (int what = 0; what < 3; what++) {
            check_mean(1.001f, by_step, (pawl_chance_of)what);
            check_mean(-0.7391f, by_step, (pawl_chance_of)what);
            check_mean(1.23e-5f, by_step, (pawl_chance_of)what);
        }
}

/* Chances of different seeds, steps, kinds and places are different ones: of 1000 pairs few have the same 16 bits. */
static void chances_are_apart(void **state)
{
    int same[4] = {0};
    (void)state;
    for (uint64_t i = 0; i < 1000; i++) {
        const uint32_t here = pawl_chance_rule(pawl_chances_rule(1, 7, PAWL_CHANCE_WEIGHT, i), i);
        same[0] += here == pawl_chance_rule(pawl_chances_rule(2, 7, PAWL_CHANCE_WEIGHT, i), i);
        same[1] += here == pawl_chance_rule(pawl_chances_rule(1, 8, PAWL_CHANCE_WEIGHT, i), i);
        same[2] += here == pawl_chance_rule(pawl_chances_rule(1, 7, PAWL_CHANCE_FIRST, i), i);
        same[3] += here == pawl_chance_rule(pawl_chances_rule(1, 7, PAWL_CHANCE_WEIGHT, i + 1), i + 1);
    }
    for (int k = 0; k < 4; k++) assert_true(same[k] <= 3);
}

/* A thousand updates of a thirtieth of half a step each. By chance the mean weight goes as far as they say; to nearest, not at all. */
enum { WEIGHTS = 4099, STEPS = 1000 };

static void check_small_updates(pawl_device *d)
{
    const float rate = 1.0f / 8192, before = 1;
    uint16_t *chance = malloc(WEIGHTS * sizeof *chance), nearest = pawl_bf16_narrow_rule(before);
    float *g = malloc(WEIGHTS * sizeof *g);
    double mean = 0;
    for (int i = 0; i < WEIGHTS; i++) chance[i] = pawl_bf16_narrow_rule(before), g[i] = -1;
    for (uint64_t step = 0; step < STEPS; step++) {
        const pawl_sgd_step k = {.lr = (double)rate, .grad_scale = 1, .kept = {.weights = PAWL_BF16, .seed = 9, .step = step, .first = 5}};
        assert_done(pawl_sgd(d, chance, g, NULL, WEIGHTS, &k));
        nearest = pawl_bf16_narrow_rule(widen(nearest) + rate);
    }
    for (int i = 0; i < WEIGHTS; i++) mean += widen(chance[i]) / (double)WEIGHTS;
    /* a step adds at most a quarter of a gap's square (2^-7) of variance */
    const double expected = before + (double)STEPS * (double)rate, error = 5 * ldexp(1, -7) / 2 * sqrt((double)STEPS / WEIGHTS);
    if (!(fabs(mean - expected) <= error)) fail_msg("mean %.6f, expected %.6f within %.6f", mean, expected, error);
    assert_true(error < 0.3 * (expected - before));
    assert_true(widen(nearest) == before);
    free(chance), free(g);
}

EVERY_DEVICE(small_updates_are_kept_in_the_mean, check_small_updates)

/* Every backend's loops against the rule, number by number, wherever an array begins. */
static void check_places(pawl_device *d)
{
    enum { N = 3001 };
    float *x = numbers(N, 3, 1);
    uint16_t *y = malloc(N * sizeof *y);
    for (int64_t first = 0; first < 20; first += 3) {
        const pawl_kept_as as = {.weights = PAWL_BF16, .seed = 1, .step = 2, .first = first};
        memset(y, 0, N * sizeof *y);
        assert_done(d->ops->mix(d, 0, y, 1, x, N, &as)); /* y = x */
        for (int64_t i = 0; i < N; i++) {
            const uint64_t at = (uint64_t)(first + i);
            assert_int_equal(y[i], pawl_stochastic_rule(0.0f * 0.0f + x[i], pawl_chance_rule(pawl_chances_rule(1, 2, PAWL_CHANCE_WEIGHT, at), at)));
        }
    }
    free(x), free(y);
}

EVERY_DEVICE(places_decide, check_places)

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(odds_are_exact), cmocka_unit_test(means_are_the_numbers),
                                       cmocka_unit_test(chances_are_apart), cmocka_unit_test(small_updates_are_kept_in_the_mean),
                                       cmocka_unit_test(places_decide)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
