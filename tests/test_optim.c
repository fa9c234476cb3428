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

/* Plain SGD shows the rate: a weight of gradient 1 moves by it. */
static void rates_by_kind_and_layer(void **unused)
{
    (void)unused;
    static const struct { double embedding_lr, scale, layerwise, moved[4]; } cases[] = {
        {0, 0, 1, {0.1, 0.1, 0.1, 0.1}},
        {0.04, 0, 1, {0.04, 0.1, 0.1, 0.1}},
        {0, 0.5, 1, {0.05, 0.1, 0.1, 0.1}},
        {0, 0, 0.5, {0.0125, 0.025, 0.05, 0.1}}, /* embedding, two layers of three, final norm */
        {0.04, 0, 0.5, {0.04, 0.025, 0.05, 0.1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pawl_optim_config c = plain();
        pawl_device *d;
        pawl_optim *o;
        float w[64] = {0}, g[64];
        pawl_extent parts[4] = {pawl_extent_matrix(0, 1, 2), pawl_extent_matrix(16, 1, 2), pawl_extent_vector(32, 2), pawl_extent_vector(48, 2)};
        parts[0].role = PAWL_ROLE_EMBEDDING;
        for (int p = 0; p < 4; p++) parts[p].above = 3 - p;
        for (int k = 0; k < 64; k++) g[k] = -1;
        c.optimizer = 2;
        assert_string_equal(pawl_optimizer_names[c.optimizer], "sgd");
        c.max_grad_norm = 0;
        c.embedding_lr = cases[i].embedding_lr;
        c.embedding_lr_scale = cases[i].scale;
        c.layerwise_lr_decay = cases[i].layerwise;
        assert_int_equal(pawl_device_open_cpu(1, "auto", &d), PAWL_OK);
        assert_int_equal(pawl_optim_open(&c, d, parts, 4, 0, 64, &o), PAWL_OK);
        assert_int_equal(pawl_optim_step(o, w, g, 1, 0.1, 0), PAWL_OK);
        for (int p = 0; p < 4; p++) near(w[16 * p + 1], cases[i].moved[p], 1e-7);
        pawl_optim_close(o);
        pawl_device_close(d);
    }
}

/* A weight that moves by 1 a step, and its average by hand: from the first weight, every second step, warming up. */
static void average_follows_its_formula(void **unused)
{
    (void)unused;
    pawl_optim_config c = plain();
    pawl_device *d;
    pawl_optim *o;
    pawl_state names = {0}, state = {0};
    const pawl_extent part = pawl_extent_vector(0, 1);
    float w[16] = {5}, g[16] = {-1};
    double average = 5;
    c.optimizer = 2;
    c.max_grad_norm = 0;
    c.ema_decay = 0.3;
    c.ema_every = 2;
    c.ema_warmup = 1;
    assert_int_equal(pawl_device_open_cpu(1, "auto", &d), PAWL_OK);
    assert_int_equal(pawl_optim_open(&c, d, &part, 1, 0, 16, &o), PAWL_OK);
    assert_int_equal(pawl_state_add(&names, "", "w", (pawl_tensor){.dtype = PAWL_F32, .ndim = 1, .dim = {1}}), PAWL_OK);
    assert_int_equal(pawl_optim_state(o, &names, &state), PAWL_OK);
    assert_int_equal(state.count, 1); /* sgd without momentum keeps nothing else */
    assert_string_equal(state.items[0].name, "ema/w");
    assert_int_equal(pawl_optim_begin(o, w), PAWL_OK);
    for (int step = 0; step < 12; step++) {
        assert_int_equal(pawl_optim_step(o, w, g, 1, 1, step), PAWL_OK);
        if (step % 2 == 1) {
            const double n = (step + 1) / 2, early = (1 + n) / (10 + n), decay = early < 0.3 ? early : 0.3;
            average = decay * average + (1 - decay) * w[0];
        }
        near(*(const float *)state.items[0].tensor.data, average, 1e-6);
    }
    near(w[0], 17, 0);
    pawl_state_close(&state);
    pawl_state_close(&names);
    pawl_optim_close(o);
    pawl_device_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_step_is_signed_lr),
        cmocka_unit_test(steps_follow_the_paper),
        cmocka_unit_test(norm_has_one_shape),
        cmocka_unit_test(schedules_by_hand),
        cmocka_unit_test(rates_by_kind_and_layer),
        cmocka_unit_test(average_follows_its_formula),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
