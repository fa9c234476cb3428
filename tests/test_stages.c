/* Runs: cmocka
 * Stages: where each begins and ends, at which rate it learns, which rows it learns, how many are replayed. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "trainer/continual/stages.h"

/* ---- rows that are due ---- */

/* The formula of the design, floor((t + 1) r G) - floor(t r G), in whole numbers: r = share / 1000. */
static int64_t due_by_formula(int64_t t, int64_t share, int64_t G)
{
    return (t + 1) * share * G / 1000 - t * share * G / 1000;
}

static void rows_are_due_by_the_formula(void **state)
{
    (void)state;
    const int64_t shares[] = {1, 10, 50, 100, 250, 300, 333, 500, 700}, sizes[] = {2, 3, 8, 10, 16, 100};
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++)
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            int64_t credit = PAWL_CREDIT_START;
            for (int64_t t = 0; t < 5000; t++)
                assert_int_equal(pawl_replay_due(&credit, (double)shares[i] / 1000, sizes[k], 1),
                                 due_by_formula(t, shares[i], sizes[k]));
        }
}

static void a_step_always_has_new_rows(void **state)
{
    (void)state;
    int64_t credit = PAWL_CREDIT_START, added = PAWL_CREDIT_START;
    for (int t = 0; t < 100; t++) {
        assert_true(pawl_replay_due(&credit, 0.999, 4, 0) <= 3);
        assert_true(pawl_replay_due(&added, 0.999, 4, 1) <= 4);
    }
    credit = PAWL_CREDIT_START;
    for (int t = 0; t < 100; t++) assert_int_equal(pawl_replay_due(&credit, 0.5, 1, 0), 0);
}

/* ---- the stream ---- */

static pawl_continual_config continual; /* too large for the stack */

static pawl_stage_config *stage(int i, const char *name, int64_t max_steps)
{
    pawl_stage_config *s = &continual.stages.items[i];
    pawl_fields_default(pawl_stage_rows, s);
    snprintf(s->name, sizeof s->name, "%s", name);
    s->max_steps = max_steps;
    continual.stages.count = i + 1;
    return s;
}

typedef struct setting {
    pawl_train_config train;
    pawl_optim_config optim;
    pawl_parts parts;
} setting;

static void open_setting(setting *s)
{
    memset(s, 0, sizeof *s);
    pawl_fields_default(pawl_continual_rows, &continual);
    pawl_fields_default(pawl_train_rows, &s->train);
    pawl_fields_default(pawl_optim_rows, &s->optim);
    s->train.global_batch_size = 8;
    s->optim.learning_rate = 1e-3;
    s->optim.warmup_steps = 4;
    s->parts = (pawl_parts){.train = &s->train, .optim = &s->optim, .continual = &continual};
}

static int32_t schedule(const char *name)
{
    int32_t i = 0;
    while (strcmp(pawl_schedule_names[i], name) != 0) i++;
    return i;
}

static void a_stage_has_its_own_schedule(void **state)
{
    (void)state;
    setting s;
    pawl_stream x;
    open_setting(&s);
    stage(0, "a", 20);
    pawl_stage_config *b = stage(1, "b", 10);
    b->learning_rate = 4e-3;
    b->warmup_ratio = 0.5;
    b->reset_optimizer = 1;
    stage(2, "c", 5);
    pawl_stream_of(&s.parts, &x);
    assert_int_equal(x.count, 3);
    assert_int_equal(x.steps, 35);
    assert_int_equal(x.stages[1].first_step, 20);
    assert_int_equal(x.stages[1].end_step, 30);
    assert_int_equal(x.stages[0].since, 0);
    assert_int_equal(x.stages[1].since, 20);
    assert_int_equal(x.stages[2].since, 20); /* moments go on from the stage before */
    assert_true(x.stages[1].optim.warmup_steps == 0 && x.stages[1].optim.warmup_ratio == 0.5);
    for (int64_t t = 20; t < 25; t++)
        assert_true(fabs(pawl_stream_rate(&x, 1, t) - 4e-3 * (double)(t - 19) / 5) < 1e-15);
    assert_true(pawl_stream_rate(&x, 1, 25) == 4e-3);
    assert_true(fabs(pawl_stream_rate(&x, 2, 30) - 1e-3 / 4) < 1e-15); /* warmed up again */
    assert_int_equal(pawl_stream_find(&x, "b"), 1);
    assert_int_equal(pawl_stream_find(&x, "d"), -1);
}

static void an_endless_schedule_runs_over_all_stages(void **state)
{
    (void)state;
    setting s;
    pawl_stream x;
    open_setting(&s);
    s.optim.lr_scheduler = schedule("infinite");
    s.optim.lr_constant_ratio = 0.5;
    s.optim.lr_cooldown_ratio = 0.1;
    s.optim.lr_decay_steps = 20;
    s.optim.cosine_min_lr_ratio = 0.05;
    stage(0, "a", 50);
    stage(1, "b", 50);
    pawl_stream_of(&s.parts, &x);
    assert_true(fabs(pawl_stream_rate(&x, 0, 3) - 1e-3) < 1e-15);
    assert_true(fabs(pawl_stream_rate(&x, 0, 9) - 0.75e-3) < 1e-12); /* half of the cool-down */
    for (int64_t t = 14; t <= 80; t++) assert_true(fabs(pawl_stream_rate(&x, t >= 50, t) - 0.5e-3) < 1e-15);
    assert_true(fabs(pawl_stream_rate(&x, 1, 90) - 0.5e-3 * sqrt(0.1)) <
                1e-12); /* half of the anneal, by equal factors */
    assert_true(fabs(pawl_stream_rate(&x, 1, 99) - 0.5e-3 * pow(0.1, 0.95)) < 1e-12);
}

static void lengths_in_epochs_need_data(void **state)
{
    (void)state;
    setting s;
    pawl_stream x;
    open_setting(&s);
    stage(0, "a", 20);
    stage(1, "b", PAWL_NONE_i64);
    stage(2, "c", 5);
    pawl_stream_of(&s.parts, &x);
    assert_int_equal(x.steps, PAWL_STEPS_UNKNOWN);
    assert_int_equal(x.stages[0].end_step, 20);
    s.train.max_steps = 7; /* what a stage does not say, the run does */
    pawl_stream_of(&s.parts, &x);
    assert_int_equal(x.steps, 32);
}

static void a_run_without_stages_is_one(void **state)
{
    (void)state;
    setting s;
    pawl_stream x;
    open_setting(&s);
    s.train.max_steps = 9;
    s.parts.continual = NULL;
    pawl_stream_of(&s.parts, &x);
    assert_true(x.count == 1 && x.steps == 9 && strcmp(x.stages[0].name, "main") == 0 && x.stages[0].replay_ratio == 0);
    for (int64_t t = 0; t < 9; t++) assert_true(pawl_stream_rate(&x, 0, t) == pawl_learning_rate(&s.optim, t, 9));
}

/* ---- what must hold ---- */

static void what_is_wrong_is_said(void **state)
{
    (void)state;
    setting s;
    char why[700];
    open_setting(&s);
    for (int i = 0; i < 2; i++) {
        pawl_stage_config *x = stage(i, "same", 3);
        x->datasets.count = 1;
        pawl_fields_default(pawl_dataset_rows, &x->datasets.items[0]);
    }
    pawl_continual_check(&continual, why, sizeof why);
    assert_non_null(strstr(why, "stages.1.name"));
    snprintf(continual.stages.items[1].name, 64, "other");
    pawl_continual_check(&continual, why, sizeof why);
    assert_string_equal(why, "");
    continual.stages.items[1].max_tokens = 5;
    pawl_continual_check(&continual, why, sizeof why);
    assert_non_null(strstr(why, "expected one of num_epochs, max_steps and max_tokens"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_due_by_the_formula),  cmocka_unit_test(a_step_always_has_new_rows),
        cmocka_unit_test(a_stage_has_its_own_schedule), cmocka_unit_test(an_endless_schedule_runs_over_all_stages),
        cmocka_unit_test(lengths_in_epochs_need_data),  cmocka_unit_test(a_run_without_stages_is_one),
        cmocka_unit_test(what_is_wrong_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
