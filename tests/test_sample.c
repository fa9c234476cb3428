/* Runs: cmocka */
/* Texts from a decoder: the next token against the formula in double precision over whole passes, draws in proportion, where a text ends;
 * and the frozen weights that an adapter's texts are written with. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/model_setting.h"

typedef struct author {
    setting s;
    pawl_decoder *d;
    pawl_sampler *sampler;
} author;

static author open_author(pawl_sampling how)
{
    author a = {.s = open_setting(&variants[1], 1)};
    assert_int_equal(pawl_decoder_open(a.s.model, a.s.device, a.s.weights, T, &a.d), PAWL_OK);
    assert_int_equal(pawl_sampler_open(&how, &a.sampler), PAWL_OK);
    return a;
}

static void close_author(author *a)
{
    pawl_sampler_close(a->sampler);
    pawl_decoder_close(a->d);
    close_setting(&a->s);
}

static pawl_sampling drawing(double temperature, double top_p)
{
    return (pawl_sampling){.temperature = temperature, .top_p = top_p, .seed = 9, .size = V - 1, .end = -1};
}

static pawl_written write_from(author *a, int64_t number, int32_t end, int32_t first, int64_t most, int32_t ids[T])
{
    pawl_written w;
    ids[0] = first;
    assert_int_equal(pawl_write(a->d, a->sampler, &(pawl_to_write){.number = number, .end = end, .ids = ids, .prompt = 1, .most = most}, &w), PAWL_OK);
    return w;
}

/* Probabilities of what follows ids[0..n), from a whole pass. */
static void follow(author *a, const int32_t *ids, int64_t n, double temperature, double p[V - 1])
{
    float all[T * V];
    double top = -INFINITY, sum = 0;
    begin_batch(&a->s);
    add_row(&a->s, 1, (const int[]){T, 0});
    memcpy(a->s.ids, ids, (size_t)n * sizeof *ids);
    assert_int_equal(pawl_model_logits(a->s.model, a->s.device, a->s.acts, &a->s.batch, NULL, a->s.weights, NULL, all), PAWL_OK);
    const float *x = all + (n - 1) * V;
    for (int i = 0; i < V - 1; i++) top = fmax(top, x[i]);
    for (int i = 0; i < V - 1; i++) sum += p[i] = exp((x[i] - top) / temperature);
    for (int i = 0; i < V - 1; i++) p[i] /= sum;
}

static void greedily_it_is_the_likeliest(void **state)
{
    (void)state;
    author a = open_author(drawing(0, 1));
    int32_t ids[T], again[T];
    for (int32_t first = 0; first < 5; first++) {
        assert_int_equal(write_from(&a, first, -1, first, T - 1, ids).count, T);
        for (int64_t n = 1; n < T; n++) {
            double p[V - 1];
            follow(&a, ids, n, 1, p);
            for (int i = 0; i < V - 1; i++) assert_true(p[ids[n]] >= p[i] * (1 - 1e-4));
        }
        write_from(&a, 77, -1, first, T - 1, again); /* what was written before is forgotten, and the number is nothing to it */
        assert_memory_equal(ids, again, sizeof ids);
    }
    close_author(&a);
}

/* Only the nucleus is drawn from, each in proportion: chi-square over the first token of many texts, p > 0.001. */
static void draws_are_in_proportion(void **state)
{
    enum { TEXTS = 4000 };
    (void)state;
    author a = open_author(drawing(1.3, 0.8));
    int32_t ids[T], first[1] = {3};
    double p[V - 1], kept = 0, chi = 0, drawn[V - 1] = {0};
    int in[V - 1] = {0}, cells = 0;
    follow(&a, first, 1, 1.3, p);
    while (kept < 0.8) {
        int best = -1;
        for (int i = 0; i < V - 1; i++)
            if (!in[i] && (best < 0 || p[i] > p[best])) best = i;
        in[best] = 1;
        kept += p[best];
        cells++;
    }
    for (int64_t n = 0; n < TEXTS; n++) {
        assert_int_equal(write_from(&a, n, -1, 3, 1, ids).count, 2);
        assert_true(in[ids[1]]);
        drawn[ids[1]]++;
    }
    for (int i = 0; i < V - 1; i++)
        if (in[i]) chi += pow(drawn[i] - TEXTS * p[i] / kept, 2) / (TEXTS * p[i] / kept);
    assert_true(cells > 3 && chi < cells + 5 * sqrt(2.0 * cells)); /* above the 0.999 quantile for every number of cells here */
    close_author(&a);
}

static void a_text_is_its_number_and_seed(void **state)
{
    (void)state;
    author a = open_author(drawing(1, 1)), b = open_author(drawing(1, 1));
    int32_t x[T], y[T];
    int differ = 0;
    for (int64_t n = 0; n < 6; n++) {
        write_from(&a, n, -1, 2, T - 1, x);
        write_from(&b, 5 - n, -1, 2, T - 1, y); /* in another order */
        write_from(&b, n, -1, 2, T - 1, y);
        assert_memory_equal(x, y, sizeof x);
        write_from(&b, n + 1, -1, 2, T - 1, y);
        differ += memcmp(x, y, sizeof x) != 0;
    }
    assert_int_equal(differ, 6);
    close_author(&a);
    close_author(&b);
}

static int asked;
static int for_a_while(void)
{
    return asked++ < 4;
}

static void a_text_ends(void **state)
{
    (void)state;
    int32_t ids[T], whole[T];
    author a = open_author(drawing(0, 1));
    write_from(&a, 0, -1, 1, T - 1, whole);
    int64_t at = 1; /* where the third token comes for the first time */
    while (whole[at] != whole[3]) at++;
    pawl_written w = write_from(&a, 0, whole[3], 1, T - 1, ids);
    assert_true(w.end == whole[3] && w.count == at);
    w = write_from(&a, 0, -1, 1, 2, ids);
    assert_true(w.end == -1 && w.count == 3);
    close_author(&a);
    pawl_sampling how = drawing(0, 1);
    how.end = whole[3];
    a = open_author(how);
    w = write_from(&a, 0, -1, 1, T - 1, ids);
    assert_true(w.end == whole[3] && w.count == at);
    close_author(&a);
    how = drawing(0, 1);
    how.alive = for_a_while;
    a = open_author(how);
    w = write_from(&a, 0, -1, 1, T - 1, ids);
    assert_true(w.end == -1 && w.count == 4);
    close_author(&a);
}

/* A model that has diverged writes nothing. */
static void no_numbers_are_no_text(void **state)
{
    (void)state;
    for (int drawn = 0; drawn < 2; drawn++) {
        author a = open_author(drawing(drawn, 1));
        int32_t ids[T] = {1};
        pawl_written w;
        for (int64_t i = 0; i < a.s.count; i++) a.s.weights[i] = NAN;
        assert_int_equal(pawl_write(a.d, a.sampler, &(pawl_to_write){.end = -1, .ids = ids, .prompt = 1, .most = 2}, &w), PAWL_EDATA);
        assert_non_null(strstr(pawl_last_error()->what, "it has diverged"));
        close_author(&a);
    }
}

/* ---- frozen weights are read as they are kept ---- */

static pawl_status give(void *self, int tensor, float *to)
{
    const setting *s = self;
    memcpy(to, s->weights + s->model->extents[tensor].first, (size_t)s->model->extents[tensor].count * sizeof *to);
    return PAWL_OK;
}

static void read_back(setting *s, pawl_code code, pawl_dtype type, double most)
{
    pawl_frozen *f;
    float *x = floats(s->count), *again = floats(s->count);
    int changed = 0;
    assert_int_equal(pawl_frozen_open(s->model, s->device, code, type, &f), PAWL_OK);
    assert_int_equal(pawl_frozen_fill(f, give, s), PAWL_OK);
    for (int t = 0; t < s->model->count; t++) {
        const pawl_extent *e = &s->model->extents[t];
        double apart = 0, size = 0;
        assert_int_equal(pawl_frozen_read(f, t, x + e->first), PAWL_OK);
        for (int64_t i = e->first; i < e->first + e->count; i++) {
            apart += pow(x[i] - s->weights[i], 2);
            size += pow(s->weights[i], 2);
        }
        if (!(sqrt(apart) <= most * sqrt(size))) fail_msg("tensor %s: %g apart", s->model->weights[t].name, sqrt(apart / size));
        changed += apart > 0;
    }
    assert_true((changed > 0) == (most > 0));
    free(s->weights); /* what is read is kept again as it is: nothing is lost on the way */
    s->weights = x;
    assert_int_equal(pawl_frozen_fill(f, give, s), PAWL_OK);
    for (int t = 0; t < s->model->count; t++) {
        const pawl_extent *e = &s->model->extents[t];
        assert_int_equal(pawl_frozen_read(f, t, again + e->first), PAWL_OK);
        for (int64_t i = e->first; i < e->first + e->count; i++) assert_true(fabs(again[i] - x[i]) <= 1e-6 * fabs(x[i]));
    }
    free(again);
    pawl_frozen_close(f);
}

static void frozen_weights_are_read_as_they_are_kept(void **state)
{
    static const struct { pawl_code code; pawl_dtype type; double most; } kinds[] = {
        {PAWL_CODE_NONE, PAWL_F32, 0}, {PAWL_CODE_NONE, PAWL_BF16, 1.0 / 256}, {PAWL_CODE_INT8, PAWL_F32, 0.02},
        {PAWL_CODE_INT8, PAWL_BF16, 0.02}, {PAWL_CODE_NF4, PAWL_F32, 0.2}};
    (void)state;
    for (int v = 0; v < VARIANTS; v += 3)
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            setting s = open_setting(&variants[v], 2);
            read_back(&s, kinds[k].code, kinds[k].type, kinds[k].most);
            close_setting(&s);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedily_it_is_the_likeliest),
        cmocka_unit_test(draws_are_in_proportion),
        cmocka_unit_test(a_text_is_its_number_and_seed),
        cmocka_unit_test(a_text_ends),
        cmocka_unit_test(no_numbers_are_no_text),
        cmocka_unit_test(frozen_weights_are_read_as_they_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
