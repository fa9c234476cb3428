/* Runs: cmocka */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/model_oracle.h"
#include "tests/model_setting.h"

static void near(double x, double y, double tolerance, const char *what)
{
    if (!(fabs(x - y) <= tolerance)) fail_msg("%s: %.9g, expected %.9g", what, x, y);
}

static double greatest(const float *x, int64_t count)
{
    double most = 0;
    for (int64_t i = 0; i < count; i++) most = fmax(most, fabs((double)x[i]));
    return most;
}

/* Two gradients (or runs of weights), tensor by tensor, against the size of each tensor's largest number. */
static void flat_near(const pawl_model *m, const float *x, const float *y, double tolerance)
{
    for (int t = 0; t < m->count; t++) {
        const pawl_extent *e = &m->extents[t];
        const double most = greatest(y + e->first, e->count) + 1e-6;
        for (int64_t i = e->first; i < e->first + e->count; i++) near(x[i], y[i], tolerance * most, m->weights[t].name);
    }
}

/* --- against the oracle ------------------------------------------------------------------------------------ */

static double *doubles_of(const setting *s)
{
    double *w = calloc((size_t)s->count, sizeof *w);
    assert_non_null(w);
    for (int64_t i = 0; i < s->count; i++) w[i] = s->weights[i];
    return w;
}

/* A position's loss is a few nats; forward in f32 through two layers keeps six digits of it. */
static void losses_are_those_of_the_oracle(void **unused)
{
    (void)unused;
    for (int v = 0; v < VARIANTS; v++) {
        setting s = open_setting(&variants[v], 1);
        double *w = doubles_of(&s), expected[MOST];
        usual_batch(&s);
        pass(&s, 1, NULL, PAWL_SET);
        oracle_batch(&(oracle){s.model, w}, &s.batch, expected);
        for (int64_t n = 0; n < s.batch.rows * T; n++) near(s.losses[n], expected[n], 2e-5, variants[v].name);
        free(w);
        close_setting(&s);
    }
}

/* Central differences of the oracle in double are exact to 1e-8 or so, so the tolerance is what f32 leaves of a
 * gradient. */
static void gradients_are_those_of_finite_differences(void **unused)
{
    (void)unused;
    enum { PROBES = 23 };
    const double h = 1e-4;
    for (int v = 0; v < VARIANTS; v++) {
        setting s = open_setting(&variants[v], 2);
        double *w = doubles_of(&s), losses[MOST];
        const oracle o = {s.model, w};
        usual_batch(&s);
        pass(&s, 0.25f, s.grads, PAWL_SET);
        for (int t = 0; t < s.model->count; t++) {
            const pawl_extent *e = &s.model->extents[t];
            const double most = greatest(s.grads + e->first, e->count);
            assert_true(most > 0);
            for (int64_t k = 0; k < PROBES && k < e->count; k++) {
                const int64_t i = e->first + k * e->count / (e->count < PROBES ? e->count : PROBES);
                const double kept = w[i];
                w[i] = kept + h;
                const double above = oracle_batch(&o, &s.batch, losses);
                w[i] = kept - h;
                const double below = oracle_batch(&o, &s.batch, losses);
                w[i] = kept;
                char what[256];
                snprintf(what, sizeof what, "%s: %s[%d]", variants[v].name, s.model->weights[t].name,
                         (int)(i - e->first));
                near(s.grads[i], 0.25 * (above - below) / (2 * h), 2e-5 * most + 1e-7, what);
            }
        }
        free(w);
        close_setting(&s);
    }
}

/* --- documents and slots ----------------------------------------------------------------------------------- */

/* Packed or alone in a row each, documents have the same losses and add up to the same gradients. */
static void packing_changes_nothing(void **unused)
{
    (void)unused;
    for (int v = 0; v < VARIANTS; v++) {
        setting s = open_setting(&variants[v], 1);
        float packed[MOST], *packed_grads = floats(s.count);
        begin_batch(&s);
        add_row(&s, 100, (const int[]){3, 4, 6, 0});
        pass(&s, 1, packed_grads, PAWL_SET);
        memcpy(packed, s.losses, sizeof packed);
        begin_batch(&s);
        for (int d = 0; d < 3; d++) add_row(&s, 100 + (uint64_t)d, (const int[]){d == 2 ? 6 : 3 + d, 0});
        pass(&s, 1, s.grads, PAWL_SET);
        for (int d = 0, at = 0; d < 3; d++)
            for (int n = 0; n < (d == 2 ? 6 : 3 + d); n++, at++)
                near(s.losses[d * T + n], packed[at], 2e-6, variants[v].name);
        flat_near(s.model, s.grads, packed_grads, 1e-5);
        free(packed_grads);
        close_setting(&s);
    }
}

/* Whatever stands in its neighbours, a document's losses keep their bits. */
static void nothing_leaks_between_documents(void **unused)
{
    (void)unused;
    for (int v = 0; v < VARIANTS; v++) {
        setting s = open_setting(&variants[v], 1);
        float before[MOST];
        begin_batch(&s);
        add_row(&s, 100, (const int[]){4, 5, 4, 0});
        add_row(&s, 200, (const int[]){13, 0});
        pass(&s, 1, s.grads, PAWL_SET);
        memcpy(before, s.losses, sizeof before);
        for (int n = 0; n < 2 * T; n++)
            if (n < 4 || n >= 9) s.ids[n] = (s.ids[n] + 7) % V;
        pass(&s, 1, s.grads, PAWL_SET);
        assert_memory_equal(s.losses + 4, before + 4, 5 * sizeof(float));
        assert_memory_not_equal(s.losses, before, 4 * sizeof(float));
        close_setting(&s);
    }
}

static void take_rows(setting *part, const setting *whole, int64_t first, int64_t rows)
{
    const int64_t shift = first * T;
    *part = *whole;
    begin_batch(part);
    part->batch.rows = rows;
    for (int64_t n = 0; n < rows * T; n++) {
        part->ids[n] = whole->ids[shift + n];
        part->targets[n] = whole->targets[shift + n];
        part->positions[n] = whole->positions[shift + n];
        part->starts[n] = whole->starts[shift + n] - (int32_t)shift;
    }
}

/* The loss is equal to 1e-6 for every cut of the same rows into slots, and gradients add up to the same. */
static void slots_only_cut_rows(void **unused)
{
    (void)unused;
    static const int cuts[][4] = {{1, 2, 0}, {2, 1, 0}, {1, 1, 1, 0}};
    for (int v = 0; v < VARIANTS; v++) {
        setting s = open_setting(&variants[v], 1);
        float *whole_grads = floats(s.count);
        usual_batch(&s);
        const double whole = pass(&s, 0.125f, whole_grads, PAWL_SET);
        for (size_t c = 0; c < sizeof cuts / sizeof cuts[0]; c++) {
            double sum = 0;
            for (int64_t first = 0, i = 0; cuts[c][i]; first += cuts[c][i++]) {
                setting part;
                take_rows(&part, &s, first, cuts[c][i]);
                sum += pass(&part, 0.125f, s.grads, i == 0 ? PAWL_SET : PAWL_ADD);
            }
            near(sum / whole, 1, 1e-6, "loss");
            flat_near(s.model, s.grads, whole_grads, 1e-5);
        }
        free(whole_grads);
        close_setting(&s);
    }
}

/* PAWL_SET takes nothing from what was there before, and nobody writes between the groups. */
static void setting_forgets_and_paddings_stay(void **unused)
{
    (void)unused;
    for (int v = 0; v < VARIANTS; v++) {
        setting s = open_setting(&variants[v], 1);
        float *again = floats(s.count);
        usual_batch(&s);
        pass(&s, 1, s.grads, PAWL_SET);
        for (int64_t i = 0; i < s.count; i++) again[i] = NAN;
        pass(&s, 1, again, PAWL_SET);
        for (int64_t i = 0, t = 0; i < s.count; i++) {
            while (t < s.model->count && i >= s.model->extents[t].first + s.model->extents[t].count) t++;
            const int padding = t == s.model->count || i < s.model->extents[t].first;
            if (padding)
                assert_true(isnan(again[i]));
            else
                assert_memory_equal(&again[i], &s.grads[i], sizeof(float));
        }
        free(again);
        close_setting(&s);
    }
}

static void nothing_trained_gives_no_gradient(void **unused)
{
    (void)unused;
    for (int v = 0; v < 2; v++) { /* an own head and a tied one */
        setting s = open_setting(&variants[v], 1);
        usual_batch(&s);
        for (int n = 0; n < MOST; n++) s.targets[n] = PAWL_NOT_TRAINED;
        for (int64_t i = 0; i < s.count; i++) s.grads[i] = 1;
        near(pass(&s, 1, s.grads, PAWL_SET), 0, 0, "loss");
        for (int t = 0; t < s.model->count; t++)
            near(greatest(s.grads + s.model->extents[t].first, s.model->extents[t].count), 0, 0,
                 s.model->weights[t].name);
        close_setting(&s);
    }
}

static void evaluation_gives_the_same_bits_with_less_memory(void **unused)
{
    (void)unused;
    for (int v = 0; v < VARIANTS; v++) {
        setting s = open_setting(&variants[v], 1);
        const pawl_capacity three = {.rows = 3, .tokens = T}, kept = {.rows = 3, .tokens = T, .train = 1};
        pawl_activations *lean;
        float trained[MOST];
        usual_batch(&s);
        pass(&s, 1, s.grads, PAWL_SET);
        memcpy(trained, s.losses, sizeof trained);
        assert_int_equal(pawl_activations_open(s.model, &three, &lean), PAWL_OK);
        pawl_activations *full = s.acts;
        s.acts = lean;
        pass(&s, 1, NULL, PAWL_SET);
        assert_memory_equal(s.losses, trained, (size_t)(3 * T) * sizeof(float));
        assert_true(pawl_room_sum(pawl_activations_bytes(s.model, &three)) < pawl_room_sum(pawl_activations_bytes(s.model, &kept)));
        s.acts = full;
        pawl_activations_close(lean);
        close_setting(&s);
    }
}

/* --- rows that go wrong, and bad input --------------------------------------------------------------------- */

static void a_row_that_is_not_finite_is_named(void **unused)
{
    (void)unused;
    setting s = open_setting(&variants[0], 1);
    const float *embed = s.weights + s.model->outer.at[PAWL_EMBED];
    usual_batch(&s);
    for (int n = 0; n < MOST; n++) s.ids[n] = s.ids[n] == 17 ? 18 : s.ids[n];
    s.ids[T + 2] = 17;
    pass(&s, 1, s.grads, PAWL_SET);
    assert_int_equal(s.bad[0] | s.bad[1] | s.bad[2], 0);
    ((float *)(uintptr_t)embed)[17 * D + 3] = INFINITY;
    pass(&s, 1, s.grads, PAWL_SET);
    assert_int_equal(s.bad[0], 0);
    assert_int_equal(s.bad[1], 1);
    assert_int_equal(s.bad[2], 0);
    pass(&s, 1, NULL, PAWL_SET);
    assert_int_equal(s.bad[0], 0);
    assert_int_equal(s.bad[1], 1);
    ((float *)(uintptr_t)embed)[17 * D + 3] = 0;
    pass(&s, INFINITY, s.grads, PAWL_SET); /* losses are finite, gradients are not */
    assert_int_equal(s.bad[0] & s.bad[1] & s.bad[2], 1);
    pass(&s, INFINITY, NULL, PAWL_SET);
    assert_int_equal(s.bad[0] | s.bad[1] | s.bad[2], 0);
    close_setting(&s);
}

static pawl_status try_pass(setting *s, float *grads)
{
    const pawl_pass p = {.weights = s->weights, .grads = grads, .scale = 1, .losses = s->losses};
    return pawl_model_pass(s->model, s->device, s->acts, &s->batch, &p);
}

static void bad_batches_are_refused(void **unused)
{
    (void)unused;
    setting s = open_setting(&variants[0], 1);
    usual_batch(&s);
    s.ids[T + 4] = V;
    assert_int_equal(try_pass(&s, NULL), PAWL_EDATA);
    assert_non_null(strstr(pawl_last_error()->what, "row 1, position 4: id 29 is outside the vocabulary of 29"));
    usual_batch(&s);
    s.ids[0] = -1;
    assert_int_equal(try_pass(&s, NULL), PAWL_EDATA);
    usual_batch(&s);
    s.targets[3] = V;
    assert_int_equal(try_pass(&s, NULL), PAWL_EDATA);
    usual_batch(&s);
    s.targets[3] = -1;
    assert_int_equal(try_pass(&s, NULL), PAWL_EDATA);
    usual_batch(&s);
    s.positions[T] = 1;
    assert_int_equal(try_pass(&s, NULL), PAWL_EDATA);
    usual_batch(&s);
    s.starts[T + 1] = T - 1;
    assert_int_equal(try_pass(&s, NULL), PAWL_EDATA);
    usual_batch(&s);
    s.batch.rows = MOST_ROWS + 1;
    assert_int_equal(try_pass(&s, NULL), PAWL_EBUG);

    pawl_activations *lean, *full = s.acts;
    assert_int_equal(pawl_activations_open(s.model, &(pawl_capacity){.rows = MOST_ROWS, .tokens = T}, &lean), PAWL_OK);
    usual_batch(&s);
    s.acts = lean;
    assert_int_equal(try_pass(&s, s.grads), PAWL_EBUG);
    s.acts = full;
    pawl_activations_close(lean);
    close_setting(&s);
}

static void a_pass_allocates_nothing(void **unused)
{
    (void)unused;
    setting s = open_setting(&variants[3], 2);
    usual_batch(&s);
    pass(&s, 1, s.grads, PAWL_SET); /* the first of each kind may build primitives */
    pass(&s, 1, s.grads, PAWL_ADD);
    const long before = pawl_alloc_count();
    pass(&s, 1, s.grads, PAWL_SET);
    pass(&s, 1, s.grads, PAWL_ADD);
    pass(&s, 1, NULL, PAWL_SET);
    assert_int_equal(pawl_alloc_count(), before);
    close_setting(&s);
}

/* --- generation -------------------------------------------------------------------------------------------- */

/* One id at a time against the cache, or all at once: the same logits, but for the order of sums. A beginning that
 * longrope turns otherwise than the whole is another text. */
static void the_decoder_steps_through_the_same_logits(void **unused)
{
    (void)unused;
    for (int v = 0; v < VARIANTS; v++) {
        setting s = open_setting(&variants[v], 1);
        pawl_decoder *g;
        float all[T * V];
        const float *logits;
        begin_batch(&s);
        add_row(&s, 400, (const int[]){13, 0});
        assert_int_equal(pawl_model_logits(s.model, s.device, s.acts, &s.batch, NULL, s.weights, NULL, all), PAWL_OK);
        assert_int_equal(pawl_decoder_open(s.model, s.device, s.weights, T, &g), PAWL_OK);
        assert_int_equal(pawl_decoder_step(g, V, &logits), PAWL_EDATA);
        for (int n = 0; n < T; n++) {
            if (pawl_decoder_step(g, s.ids[n], &logits) != PAWL_OK) fail_msg("%s", pawl_last_error()->what);
            const int other = pawl_rope_sets(&s.model->config, T) == 2 && n < pawl_rope_reach(&s.model->config);
            for (int i = 0; i < V && !other; i++) near(logits[i], all[n * V + i], 2e-5, variants[v].name);
        }
        assert_int_equal(pawl_decoder_step(g, 1, &logits), PAWL_EDATA);
        assert_non_null(strstr(pawl_last_error()->what, "context of 13 tokens is full"));
        pawl_decoder_close(g);
        close_setting(&s);
    }
}

/* The logits that tools see are those that the loss is made of. */
static void logits_and_losses_agree(void **unused)
{
    (void)unused;
    setting s = open_setting(&variants[1], 1);
    float all[3 * T * V];
    usual_batch(&s);
    pass(&s, 1, NULL, PAWL_SET);
    assert_int_equal(pawl_model_logits(s.model, s.device, s.acts, &s.batch, NULL, s.weights, NULL, all), PAWL_OK);
    for (int n = 0; n < 3 * T; n++) {
        double total = 0;
        for (int i = 0; i < V; i++) total += exp(all[n * V + i]);
        if (s.targets[n] >= 0) near(s.losses[n], log(total) - all[n * V + s.targets[n]], 1e-5, "loss");
    }
    close_setting(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_are_those_of_the_oracle),
        cmocka_unit_test(gradients_are_those_of_finite_differences),
        cmocka_unit_test(packing_changes_nothing),
        cmocka_unit_test(nothing_leaks_between_documents),
        cmocka_unit_test(slots_only_cut_rows),
        cmocka_unit_test(setting_forgets_and_paddings_stay),
        cmocka_unit_test(nothing_trained_gives_no_gradient),
        cmocka_unit_test(evaluation_gives_the_same_bits_with_less_memory),
        cmocka_unit_test(a_row_that_is_not_finite_is_named),
        cmocka_unit_test(bad_batches_are_refused),
        cmocka_unit_test(a_pass_allocates_nothing),
        cmocka_unit_test(the_decoder_steps_through_the_same_logits),
        cmocka_unit_test(logits_and_losses_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
