/* Runs: cmocka - what happened between the ends of stages, from lineages that are written here. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "trainer/continual/retention.h"

/* Domain one is learnt in stage a, and measured in the end, at the start of a run that goes on, and in its end. */
static json_t *gap_of(double at_end, double at_start, double last)
{
    json_t *all, *found, *lineage = json_pack("{s:[{s:s,s:i,s:i,s:[s]},{s:s,s:i,s:i,s:[s]}],s:[{s:i,s:s,s:i,s:s,s:{s:{s:f}}},"
                                              "{s:i,s:s,s:i,s:s,s:{s:{s:f}}},{s:i,s:s,s:i,s:s,s:{s:{s:f}}}]}",
                                              "stages", "name", "a", "first_step", 1, "end_step", 4, "domains", "one", "name", "b", "first_step", 1,
                                              "end_step", 4, "domains", "two", "evaluations", "step", 4, "stage", "a", "stage_index", 0, "at",
                                              "stage_end", "scores", "one", "loss", at_end, "step", 0, "stage", "b", "stage_index", 1, "at", "start",
                                              "scores", "one", "loss", at_start, "step", 4, "stage", "b", "stage_index", 1, "at", "stage_end",
                                              "scores", "one", "loss", last);
    assert_non_null(lineage);
    assert_int_equal(pawl_retention_gaps(lineage, "loss", &all), PAWL_OK);
    found = json_incref(json_object_get(all, "one"));
    assert_non_null(found);
    json_decref(all);
    json_decref(lineage);
    return found;
}

static void what_rounding_makes_is_no_gap(void **state)
{
    (void)state;
    json_t *none = gap_of(5.75, 5.75 + 1e-8, 5.5), *some = gap_of(5.75, 6, 5.875);
    assert_true(json_number_value(json_object_get(none, "gap")) == 0 && json_is_null(json_object_get(none, "recovered")));
    assert_true(json_number_value(json_object_get(some, "gap")) == 0.25 && json_number_value(json_object_get(some, "recovered")) == 0.5);
    json_decref(none);
    json_decref(some);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_rounding_makes_is_no_gap)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
