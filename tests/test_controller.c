/* Runs: cmocka - the controller of replay.ratio auto against a domain that forgets as the law of continual.md says. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "trainer/continual/controller.h"

/* A domain whose loss would rise to `most` without replay; with a share p it tends to most exp(-6 p), at a tenth of the
 * way a probe. */
static double settle(double most, double budget, int probes, double *share)
{
    double rise = 0, before = 0, highest = 0;
    *share = PAWL_CONTROL_START;
    for (int i = 0; i < probes; i++) {
        *share = pawl_control(*share, rise, before, budget);
        before = rise;
        rise += 0.1 * (most * exp(-6 * *share) - rise);
        if (i > probes / 2) highest = fmax(highest, rise);
    }
    return highest;
}

static void holds_the_budget_with_little(void **state)
{
    (void)state;
    double share;
    const double budget = 0.1, most = 0.576, needed = log(most / budget) / 6;
    const double highest = settle(most, budget, 200, &share);
    assert_true(highest <= 1.1 * budget);
    assert_true(share <= 1.6 * needed);
    assert_true(share >= 0.8 * needed);
}

static void gives_up_replay_where_nothing_is_forgotten(void **state)
{
    (void)state;
    double share;
    settle(0.01, 0.1, 50, &share);
    assert_true(share == 0);
}

static void goes_up_at_once(void **state)
{
    (void)state;
    assert_true(pawl_control(0.1, 0.2, 0.1, 0.1) > 0.1);   /* above */
    assert_true(pawl_control(0.1, 0.07, 0.03, 0.1) > 0.1); /* about to be */
    assert_true(pawl_control(0, NAN, 0, 0.1) > 0);         /* no number */
    assert_true(pawl_control(0.7, INFINITY, 0, 0.1) == PAWL_CONTROL_MOST);
    assert_true(pawl_control(0.2, 0.09, 0.09, 0.1) == 0.2); /* near: as it is */
    assert_true(pawl_control(0.2, 0.01, 0.02, 0.1) < 0.2);  /* far below */
    assert_true(pawl_control(0.2, -0.5, 0.02, 0.1) == 0.1); /* better than ever: half */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(holds_the_budget_with_little),
                                       cmocka_unit_test(gives_up_replay_where_nothing_is_forgotten),
                                       cmocka_unit_test(goes_up_at_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
