/* Runs: cmocka
 * What the progress line says of speed and of the time that is left, against arithmetic by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "trainer/internal.h"

static int near(double a, double b)
{
    return a - b < 1e-9 && b - a < 1e-9;
}

static void nothing_yet(void **state)
{
    (void)state;
    pawl_pace p = {0};
    assert_true(pawl_pace_median(&p) == 0 && pawl_pace_left(&p, 10) == 0 && pawl_pace_rate(&p) == 0);
}

/* Steps of 9 (the first, which makes the kernels), 2, 2, 3 and 2 seconds, with an evaluation of 5 seconds after the third. */
static void left(void **state)
{
    (void)state;
    const double begins[] = {100, 109, 111, 118, 121}, ends[] = {109, 111, 113, 121, 123};
    pawl_pace p = {0};
    for (int i = 0; i < 5; i++) pawl_pace_step(&p, begins[i], ends[i], 600);
    assert_true(near(pawl_pace_median(&p), 2));
    assert_true(near(p.between, 5));
    assert_true(near(pawl_pace_left(&p, 100), 100 * (2 + 5.0 / 5)));
    assert_true(pawl_pace_left(&p, 0) == 0);
}

static void rate_since_last_told(void **state)
{
    (void)state;
    pawl_pace p = {0};
    pawl_pace_step(&p, 0, 10, 100);
    assert_true(near(pawl_pace_rate(&p), 10));
    pawl_pace_step(&p, 20, 21, 50);
    pawl_pace_step(&p, 30, 32, 100);
    assert_true(near(pawl_pace_rate(&p), 50)); /* what lies between steps is not counted */
}

static void only_the_last_steps(void **state)
{
    (void)state;
    pawl_pace p = {0};
    for (int i = 0; i < 100; i++) pawl_pace_step(&p, 10 * i, 10 * i + 8, 1);
    for (int i = 0; i < PAWL_RECENT_STEPS; i++) pawl_pace_step(&p, 1000 + i, 1000 + i + 0.5, 1);
    assert_true(near(pawl_pace_median(&p), 0.5));
}

static void how_long_a_step_may_take(void **state)
{
    (void)state;
    const pawl_comm_config by_default = {.phase_seconds = 600}, said = {.watchdog_seconds = 7, .phase_seconds = 600};
    pawl_pace p = {0};
    assert_true(near(pawl_pace_limit(&p, &by_default, 2), 600)); /* the first step */
    pawl_pace_step(&p, 0, 2, 1);
    assert_true(near(pawl_pace_limit(&p, &by_default, 2), 30));
    for (int i = 1; i < 4; i++) pawl_pace_step(&p, 10 * i, 10 * i + 8, 1);
    assert_true(near(pawl_pace_limit(&p, &by_default, 2), 40));
    assert_true(near(pawl_pace_limit(&p, &by_default, 1), 600)); /* there is no one to give up */
    assert_true(near(pawl_pace_limit(&p, &said, 1), 7) && near(pawl_pace_limit(&p, &said, 2), 7));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_yet),
        cmocka_unit_test(left),
        cmocka_unit_test(rate_since_last_told),
        cmocka_unit_test(only_the_last_steps),
        cmocka_unit_test(how_long_a_step_may_take),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
