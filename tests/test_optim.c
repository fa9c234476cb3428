/* Runs: cmocka */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "optim/optim.h"

static pawl_optim_config plain(void)
{
    pawl_optim_config c;
    pawl_fields_default(pawl_optim_rows, &c);
    c.learning_rate = 0.1;
    return c;
}

static void near(double x, double y, double tolerance)
{
    if (!(fabs(x - y) <= tolerance)) fail_msg("%.12g, expected %.12g", x, y);
}

/* One weight, one step, by hand: at t = 1, m/fix1 = g and v/fix2 = g^2, so the step is lr (sign(g) + decay w). */
static void first_step_is_signed_lr(void **unused)
{
    (void)unused;
    pawl_optim_config c = plain();
    c.weight_decay = 0.01;
    c.max_grad_norm = 0;
    const pawl_extent parts[2] = {pawl_extent_matrix(0, 1, 2), pawl_extent_vector(16, 1)};
    pawl_device *d;
    pawl_optim *o;
    assert_int_equal(pawl_device_open_cpu(1, "auto", &d), PAWL_OK);
    assert_int_equal(pawl_optim_open(&c, d, parts, 2, 0, 32, &o), PAWL_OK);
    float w[32] = {2.0f, -3.0f}, g[32] = {0.5f, -4.0f};
    w[16] = 5.0f;
    g[16] = 1e-3f;
    assert_int_equal(pawl_optim_step(o, w, g, 1, 0.1, 0), PAWL_OK);
    near(w[0], 2.0 - 0.1 * (1.0 + 0.01 * 2.0), 1e-6);
    near(w[1], -3.0 - 0.1 * (-1.0 + 0.01 * -3.0), 1e-6);
    near(w[16], 5.0 - 0.1, 1e-5); /* no decay; 1e-8 beside 1e-3 */
    pawl_optim_close(o);
    pawl_device_close(d);
}

/* Twenty steps of one number against the formula in double precision. */
static void steps_follow_the_paper(void **unused)
{
    (void)unused;
    pawl_optim_config c = plain();
    c.adam_beta1 = 0.8;
    c.adam_beta2 = 0.95;
    c.weight_decay = 0.1;
    c.max_grad_norm = 1;
    const pawl_extent part = pawl_extent_matrix(0, 1, 1);
    pawl_device *d;
    pawl_optim *o;
    assert_int_equal(pawl_device_open_cpu(1, "auto", &d), PAWL_OK);
    assert_int_equal(pawl_optim_open(&c, d, &part, 1, 0, 16, &o), PAWL_OK);
    float w[16] = {1.5f}, g[16] = {0};
    double x = 1.5, m = 0, v = 0;
    for (int t = 1; t <= 20; t++) {
        double norm;
        g[0] = (float)(2 * sin(t));
        assert_int_equal(pawl_grad_norm(o, g, &norm), PAWL_OK);
        near(norm, fabs((double)g[0]), 1e-7);
        const double clip = norm > 1 ? 1 / (norm + 1e-6) : 1, gc = g[0] * clip, lr = 0.01 * t;
        m = 0.8 * m + 0.2 * gc;
        v = 0.95 * v + 0.05 * gc * gc;
        x -= lr * 0.1 * x;
        x -= lr * (m / (1 - pow(0.8, t))) / (sqrt(v / (1 - pow(0.95, t))) + 1e-8);
        assert_int_equal(pawl_optim_step(o, w, g, norm, lr, t - 1), PAWL_OK);
        near(w[0], x, 2e-5);
    }
    pawl_optim_close(o);
    pawl_device_close(d);
}

static void norm_has_one_shape(void **unused)
{
    (void)unused;
    enum { COUNT = 3 * PAWL_SUM_BLOCK + 17 };
    static float g[COUNT + 64];
    pawl_optim_config c = plain();
    const pawl_extent parts[2] = {pawl_extent_matrix(0, 1, COUNT - 100), pawl_extent_vector(COUNT, 5)};
    double by_threads[2], expected = 0;
    for (int i = 0; i < COUNT - 100; i++) g[i] = (float)sin(i) * 3;
    for (int i = 0; i < 5; i++) g[COUNT + i] = (float)i;
    for (int i = 0; i < COUNT - 100; i++) expected += (double)g[i] * g[i];
    expected = sqrt(expected + 30);
    for (int threads = 1; threads <= 2; threads++) {
        pawl_device *d;
        pawl_optim *o;
        assert_int_equal(pawl_device_open_cpu(threads, "auto", &d), PAWL_OK);
        assert_int_equal(pawl_optim_open(&c, d, parts, 2, 0, COUNT + 64, &o), PAWL_OK);
        assert_int_equal(pawl_grad_norm(o, g, &by_threads[threads - 1]), PAWL_OK);
        pawl_optim_close(o);
        pawl_device_close(d);
    }
    assert_true(by_threads[0] == by_threads[1]);
    near(by_threads[0] / expected, 1, 1e-10);
}

static void schedules_by_hand(void **unused)
{
    (void)unused;
    pawl_optim_config c = plain();
    c.learning_rate = 1;
    c.warmup_steps = 4;
    c.cosine_min_lr_ratio = 0.1;
    static const struct { const char *name; double at[4]; } cases[] = {
        /* steps 1, 3, 4 and 12 of 20, warm-up 4: p = 0 at step 4 and 1/2 at step 12 */
        {"constant", {0.5, 1, 1, 1}},
        {"linear", {0.5, 1, 1, 0.1 + 0.9 * 0.5}},
        {"cosine", {0.5, 1, 1, 0.1 + 0.9 * 0.5}},
    };
    for (int i = 0; i < 3; i++) {
        assert_string_equal(pawl_schedule_names[i], cases[i].name);
        c.lr_scheduler = i;
        const int64_t steps[4] = {1, 3, 4, 12};
        for (int j = 0; j < 4; j++) near(pawl_learning_rate(&c, steps[j], 20), cases[i].at[j], 1e-12);
    }
    c.lr_scheduler = 2; /* cosine at p = 1/4 */
    near(pawl_learning_rate(&c, 8, 20), 0.1 + 0.9 * 0.5 * (1 + sqrt(0.5)), 1e-12);
    c.warmup_steps = 0;
    c.warmup_ratio = 0.3;
    assert_int_equal(pawl_warmup_steps(&c, 10), 3);
    assert_int_equal(pawl_warmup_steps(&c, 11), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_step_is_signed_lr),
        cmocka_unit_test(steps_follow_the_paper),
        cmocka_unit_test(norm_has_one_shape),
        cmocka_unit_test(schedules_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
