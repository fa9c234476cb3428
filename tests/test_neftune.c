/* Runs: cmocka */
/* neftune_noise_alpha: the noise against numbers made by another program; the same for a row in any slot and for any
 * number of threads; nothing else of a pass changes. */
#include <limits.h>
#include <math.h>

#include "core/json.h"
#include "tests/model_setting.h"

static pawl_device *device_of(int threads)
{
    pawl_device *d;
    assert_int_equal(pawl_device_open_cpu(threads, "auto", &d), PAWL_OK);
    return d;
}

static void noise_is_that_of_numpy(void **unused)
{
    (void)unused;
    char path[PATH_MAX];
    json_t *f;
    snprintf(path, sizeof path, "%s/tests/fixtures/neftune/noise.json",
             getenv("PAWL_SOURCE") ? getenv("PAWL_SOURCE") : ".");
    assert_int_equal(pawl_json_read(path, 1 << 16, &f), PAWL_OK);
    const int64_t tokens = json_integer_value(json_object_get(f, "tokens")),
                  width = json_integer_value(json_object_get(f, "width"));
    const json_t *rows = json_object_get(f, "noise");
    int64_t lengths[2];
    for (size_t b = 0; b < 2; b++) lengths[b] = json_integer_value(json_array_get(json_object_get(f, "lengths"), b));
    const pawl_noise how = {.alpha = json_number_value(json_object_get(f, "alpha")),
                            .seed = (uint64_t)json_integer_value(json_object_get(f, "seed")),
                            .first_row = json_integer_value(json_object_get(f, "first_row")),
                            .tokens = tokens,
                            .lengths = lengths};
    pawl_device *d = device_of(1);
    float *x = floats(2 * tokens * width);
    assert_int_equal(pawl_add_noise(d, &how, pawl_view(x, 2 * tokens, width)), PAWL_OK);
    for (int64_t b = 0; b < 2; b++)
        for (int64_t i = 0; i < tokens * width; i++) {
            const float expected = (float)json_number_value(json_array_get(json_array_get(rows, (size_t)b), (size_t)i));
            if (x[b * tokens * width + i] != expected)
                fail_msg("row %d, number %d: %.9g, expected %.9g", (int)b, (int)i, x[b * tokens * width + i], expected);
        }
    free(x);
    pawl_device_close(d);
    json_decref(f);
}

static void noise_belongs_to_the_row(void **unused)
{
    (void)unused;
    enum { ROWS = 3, LONG = 40, WIDTH = 7 };
    const int64_t lengths[ROWS] = {LONG, 11, 30};
    pawl_device *one = device_of(1), *three = device_of(3);
    float *all = floats(ROWS * LONG * WIDTH), *again = floats(ROWS * LONG * WIDTH);
    pawl_noise how = {.alpha = 5, .seed = 3, .first_row = 100, .tokens = LONG, .lengths = lengths};
    assert_int_equal(pawl_add_noise(one, &how, pawl_view(all, ROWS * LONG, WIDTH)), PAWL_OK);
    assert_int_equal(pawl_add_noise(three, &how, pawl_view(again, ROWS * LONG, WIDTH)), PAWL_OK);
    assert_memory_equal(all, again, ROWS * LONG * WIDTH * sizeof(float));
    for (int64_t b = 0; b < ROWS; b++) { /* alone, in a slot that is as long as the row */
        float alone[LONG * WIDTH] = {0};
        how = (pawl_noise){.alpha = 5, .seed = 3, .first_row = 100 + b, .tokens = lengths[b], .lengths = &lengths[b]};
        assert_int_equal(pawl_add_noise(one, &how, pawl_view(alone, lengths[b], WIDTH)), PAWL_OK);
        assert_memory_equal(all + b * LONG * WIDTH, alone, sizeof alone); /* padding stays zero */
        const float most = 5 / sqrtf((float)(lengths[b] * WIDTH));
        float largest = 0;
        for (int64_t i = 0; i < lengths[b] * WIDTH; i++) largest = fmaxf(largest, fabsf(alone[i]));
        assert_true(largest <= most && largest > 0.9f * most);
    }
    free(all);
    free(again);
    pawl_device_close(one);
    pawl_device_close(three);
}

/* A row in which no id comes twice: with the noise in the embeddings instead, every number of the pass is the same. */
static void a_pass_with_noise_is_one_over_noisy_embeddings(void **unused)
{
    (void)unused;
    setting s = open_setting(&variants[0], 1);
    const int64_t length = 11;
    const pawl_noise noise = {.alpha = 5, .seed = 8, .first_row = 17, .tokens = T, .lengths = &length};
    float losses[T], *grads = floats(s.count), *embed = s.weights + s.model->outer.at[PAWL_EMBED], added[T * D] = {0};
    begin_batch(&s);
    add_row(&s, 100, (const int[]){4, 7, 0});
    for (int t = 0; t < T; t++) s.ids[t] = t < length ? t + 3 : 0;
    pawl_pass p = {.noise = &noise, .weights = s.weights, .grads = grads, .scale = 1, .losses = losses};
    assert_int_equal(pawl_model_pass(s.model, s.device, s.acts, &s.batch, &p), PAWL_OK);
    p.noise = NULL;
    p.grads = s.grads;
    p.losses = s.losses;
    assert_int_equal(pawl_model_pass(s.model, s.device, s.acts, &s.batch, &p), PAWL_OK);
    assert_memory_not_equal(s.losses, losses, sizeof losses);
    assert_int_equal(pawl_add_noise(s.device, &noise, pawl_view(added, T, D)), PAWL_OK);
    for (int64_t t = 0; t < length; t++)
        for (int64_t i = 0; i < D; i++) embed[s.ids[t] * D + i] += added[t * D + i];
    assert_int_equal(pawl_model_pass(s.model, s.device, s.acts, &s.batch, &p), PAWL_OK);
    assert_memory_equal(s.losses, losses, sizeof losses);
    for (int t = 0; t < s.model->count; t++) {
        const pawl_extent *e = &s.model->extents[t];
        assert_memory_equal(grads + e->first, s.grads + e->first, (size_t)e->count * sizeof(float));
    }
    free(grads);
    close_setting(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(noise_is_that_of_numpy),
        cmocka_unit_test(noise_belongs_to_the_row),
        cmocka_unit_test(a_pass_with_noise_is_one_over_noisy_embeddings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
