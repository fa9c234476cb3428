/* Runs: cmocka
 * The output head: loss and both gradients against the textbook in double precision and finite differences, with
 * untrained positions, several chunks, and vocabularies that fill no register. */
#include "core/batch.h"
#include "tests/ops_check.h"

typedef struct head_case {
    int64_t N, D, V;
    double *hidden, *w, *losses;
    const int32_t *targets;
} head_case;

/* Loss of every position; with dhidden and dw, their gradients times scale. */
static double lose(const head_case *k, double scale, double *dhidden, double *dw)
{
    double *z = zeros(k->V), all = 0;
    for (int64_t n = 0; n < k->N; n++) {
        double sum = 0;
        k->losses[n] = 0;
        if (k->targets[n] == PAWL_NOT_TRAINED) continue;
        for (int64_t v = 0; v < k->V; v++) z[v] = inner(k->hidden + n * k->D, k->w + v * k->D, k->D);
        const double of_target = z[k->targets[n]];
        for (int64_t v = 0; v < k->V; v++) sum += exp(z[v] - of_target);
        k->losses[n] = log(sum);
        all += k->losses[n];
        for (int64_t v = 0; dhidden && v < k->V; v++) {
            const double dz = scale * (exp(z[v] - of_target) / sum - (v == k->targets[n]));
            for (int64_t i = 0; i < k->D; i++) {
                dhidden[n * k->D + i] += dz * k->w[v * k->D + i];
                dw[v * k->D + i] += dz * k->hidden[n * k->D + i];
            }
        }
    }
    free(z);
    return all;
}

static double total_loss(void *self)
{
    return lose(self, 1, NULL, NULL);
}

/* Every `every`-th position is not trained; 0: all are; 1: none is. */
static int32_t *targets_of(int64_t N, int64_t V, int every)
{
    int32_t *targets = integers(N, 9, (int32_t)V);
    for (int64_t n = 0; every > 0 && n < N; n += every) targets[n] = PAWL_NOT_TRAINED;
    return targets;
}

static void the_textbook_agrees_with_differences(void **state)
{
    (void)state;
    enum { N = 5, D = 4, V = 7 };
    float *hidden = numbers(N * D, 1, 1), *w = numbers(V * D, 2, 1), got[V * D];
    int32_t *targets = targets_of(N, V, 3);
    head_case k = {N, D, V, widened(hidden, N * D), widened(w, V * D), zeros(N), targets};
    double *dhidden = zeros(N * D), *dw = zeros(V * D), *by_differences = zeros(V * D);
    lose(&k, 1, dhidden, dw);
    differences(total_loss, &k, k.hidden, N * D, by_differences);
    for (int i = 0; i < N * D; i++) got[i] = (float)dhidden[i];
    assert_near(got, by_differences, N * D, 1e-6);
    differences(total_loss, &k, k.w, V * D, by_differences);
    for (int i = 0; i < V * D; i++) got[i] = (float)dw[i];
    assert_near(got, by_differences, V * D, 1e-6);
    free(hidden), free(w), free(targets), free(k.hidden), free(k.w), free(k.losses), free(dhidden), free(dw),
        free(by_differences);
}

static void head_of(pawl_device *d, int64_t N, int64_t D, int64_t V, int every, pawl_put put)
{
    const float scale = 0.37f;
    float *hidden = numbers(N * D, 1, 1), *w = numbers(V * D, 2, 0.5f), *loss = numbers(N, 3, 1),
          *only = numbers(N, 4, 1);
    float *dhidden = numbers(N * D, 5, 1), *dw = numbers(V * D, 6, 1);
    int32_t *targets = targets_of(N, V, every);
    head_case k = {N, D, V, widened(hidden, N * D), widened(w, V * D), zeros(N), targets};
    double *H = zeros(N * D), *Wd = put == PAWL_ADD ? widened(dw, V * D) : zeros(V * D);
    lose(&k, (double)scale, H, Wd);
    pawl_head h = {.hidden = matrix(hidden, N, D),
                   .w = matrix(w, V, D),
                   .targets = targets,
                   .scale = scale,
                   .loss = vector(only, N)};
    assert_done(pawl_head_loss(d, &h));
    h.loss = vector(loss, N), h.dhidden = matrix(dhidden, N, D), h.dw = matrix(dw, V, D), h.put = put;
    assert_done(pawl_head_loss(d, &h));
    assert_memory_equal(loss, only, (size_t)N * sizeof *loss);
    assert_near(loss, k.losses, N, 2e-6);
    assert_near(dhidden, H, N * D, 3e-6);
    assert_near(dw, Wd, V * D, 3e-6);
    for (int64_t n = 0; n < N; n++) {
        if (targets[n] != PAWL_NOT_TRAINED) continue;
        assert_true(loss[n] == 0);
        for (int64_t i = 0; i < D; i++) assert_true(dhidden[n * D + i] == 0);
    }
    free(hidden), free(w), free(loss), free(only), free(dhidden), free(dw), free(targets);
    free(k.hidden), free(k.w), free(k.losses), free(H), free(Wd);
}

static void check_head(pawl_device *d)
{
    static const int64_t shapes[][3] = {{1, 1, 1},      {1, 5, 2},      {7, 3, 17},    {65, 16, 64},
                                        {200, 33, 131}, {130, 24, 700}, {1100, 8, 37}, {2050, 5, 11}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int every = 0; every < 4; every++)
            head_of(d, shapes[i][0], shapes[i][1], shapes[i][2], every, i % 2 ? PAWL_ADD : PAWL_SET);
    head_of(d, 70, 6, 2999, 0, PAWL_SET);
    head_of(d, 40, 7, 13, 1, PAWL_SET); /* none is trained: dw is cleared */
}

EVERY_DEVICE(head_loss_and_its_gradients, check_head)

/* A head too large for one chunk: the same answer as position by position. */
static void a_large_vocabulary_goes_in_chunks(void **state)
{
    (void)state;
    enum { N = 300, D = 4, V = 300000 };
    assert_true(pawl_head_chunk(N, V) < N);
    const pawl_shapes most = {
        .positions = N, .tokens = N, .width = D, .heads = 1, .kv_heads = 1, .head_dim = 4, .ff = 4, .vocab = V};
    pawl_device *d;
    assert_done(pawl_device_open_cpu(2, "auto", &d));
    assert_done(pawl_device_reserve(d, &most));
    head_of(d, N, D, V, 0, PAWL_SET);
    head_of(d, N, D, V, 2, PAWL_ADD);
    pawl_device_close(d);
}

/* Logits far from zero, and ones that are no numbers. */
static void check_ends(pawl_device *d)
{
    float hidden[] = {1000, -1000, 1, NAN, INFINITY}, w[] = {1, 0, -1}, loss[5], dhidden[5], dw[3];
    const int32_t targets[] = {0, 0, 1, 2, 1};
    const pawl_head h = {.hidden = matrix(hidden, 5, 1),
                         .w = matrix(w, 3, 1),
                         .targets = targets,
                         .scale = 1,
                         .loss = vector(loss, 5),
                         .dhidden = matrix(dhidden, 5, 1),
                         .dw = matrix(dw, 3, 1)};
    assert_done(pawl_head_loss(d, &h));
    assert_true(loss[0] == 0 && loss[1] == 2000 && fabsf(loss[2] - 1.4076059f) < 1e-6f);
    assert_true(dhidden[0] == 0 && dhidden[1] == -2);
    assert_true(isnan(loss[3]) && isnan(loss[4]) && isnan(dhidden[3]) && isnan(dw[0]));
}

static void losses_at_the_ends(void **state)
{
    (void)state;
    on_every_device(1, check_ends);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_textbook_agrees_with_differences),
        cmocka_unit_test(head_loss_and_its_gradients),
        cmocka_unit_test(a_large_vocabulary_goes_in_chunks),
        cmocka_unit_test(losses_at_the_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
