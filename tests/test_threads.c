/* Runs: cmocka
 * Two whole steps (forward, backward, norm, clipping, update) have the same bits on 1, 2, 3 and 8 threads, of which a
 * machine may have fewer: for shapes of every class, large enough to be cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/rng.h"
#include "model/model.h"
#include "optim/optim.h"
#include "tests/shape.h"

enum { ROWS = 2, T = 130, STEPS = 2 };

static const struct shape shapes[] = {
    {"llama", 1030, 64, 512, 2, 4, 2, 1, 16, 0}, /* widths whose rows are moved before a product reads them */
    {"llama", 37, 40, 56, 2, 1, 1, 0, 40, 0},    /* one head, few words: attention and head in few pieces */
    {"qwen3", 519, 96, 250, 2, 6, 1, 0, 32, 40}, /* one key head, norms of heads, a window */
    {"gpt2", 777, 72, 288, 2, 6, 6, 1, 12, 0},   /* biases, means, a table of positions */
};

typedef struct run {
    pawl_model *model;
    pawl_device *device;
    pawl_activations *activations;
    pawl_optim *optim;
    int64_t count;
    pawl_dtype type;
    uint16_t *low; /* of bf16: what products read */
    float *weights, *grads, losses[ROWS * T];
    double norm;
} run;

static void done(pawl_status s)
{
    if (s != PAWL_OK) fail_msg("%s", pawl_last_error()->what);
}

static void open_run(const struct shape *s, pawl_dtype type, int threads, run *r)
{
    const pawl_model_config c = configured(s);
    static pawl_optim_config o;
    const pawl_extent *extents;
    pawl_fields_default(pawl_optim_rows, &o);
    done(pawl_model_open(&c, &r->model));
    done(pawl_device_open_cpu(threads, "auto", &r->device));
    pawl_shapes most = pawl_model_shapes(r->model, ROWS, T);
    most.type = r->type = type;
    done(pawl_device_reserve(r->device, &most));
    done(pawl_activations_open(r->model, &(pawl_capacity){.rows = ROWS, .tokens = T, .train = 1, .type = type},
                               &r->activations));
    r->count = pawl_model_count(r->model);
    const int parts = pawl_model_extents(r->model, &extents);
    done(pawl_optim_open(&o, r->device, extents, parts, 0, r->count, &r->optim));
    r->weights = calloc((size_t)r->count, sizeof(float));
    r->grads = calloc((size_t)r->count, sizeof(float));
    r->low = calloc((size_t)r->count, sizeof(uint16_t));
    pawl_model_init(r->model, 42, r->weights);
}

static void close_run(run *r)
{
    free(r->weights), free(r->grads), free(r->low);
    pawl_optim_close(r->optim);
    pawl_activations_close(r->activations);
    pawl_device_close(r->device);
    pawl_model_close(r->model);
}

/* Packed rows: documents of 50 and 80 positions, and one of all 130. */
static void step(run *r, const struct shape *s, int64_t at)
{
    static int32_t ids[ROWS * T], targets[ROWS * T], positions[ROWS * T], starts[ROWS * T];
    for (int32_t n = 0; n < ROWS * T; n++) {
        const uint32_t word = pawl_random_at(1, PAWL_FOR_TEST, (uint64_t)at, (uint64_t)n).word[0];
        const int32_t first = n < 50 ? 0 : n < T ? 50 : T;
        ids[n] = (int32_t)(word % (uint32_t)s->vocab);
        targets[n] = n % 9 == 0 ? PAWL_NOT_TRAINED : (int32_t)(word / 7 % (uint32_t)s->vocab);
        positions[n] = n - first;
        starts[n] = first;
    }
    const pawl_batch b = {
        .rows = ROWS, .tokens = T, .ids = ids, .targets = targets, .positions = positions, .starts = starts};
    if (r->type == PAWL_BF16) done(pawl_low_round(r->model, NULL, r->device, r->weights, r->low));
    const pawl_pass p = {.weights = r->weights,
                         .low = r->type == PAWL_BF16 ? r->low : NULL,
                         .grads = r->grads,
                         .put = PAWL_SET,
                         .scale = 1.0f / (ROWS * T),
                         .losses = r->losses};
    done(pawl_model_pass(r->model, r->device, r->activations, &b, &p));
    done(pawl_grad_norm(r->optim, r->grads, &r->norm));
    done(pawl_optim_step(r->optim, r->weights, r->grads, r->norm, 1e-2, at));
}

static void assert_same(const char *what, const struct shape *s, int threads, const void *x, const void *y,
                        size_t bytes)
{
    if (memcmp(x, y, bytes) != 0)
        fail_msg("%s of width %lld: %s has other bits on %d threads", s->family, (long long)s->width, what, threads);
}

static void same_on_any_threads(const struct shape *s, pawl_dtype type)
{
    static const int threads[] = {2, 3, 8};
    run one = {.model = NULL};
    open_run(s, type, 1, &one);
    for (int64_t at = 0; at < STEPS; at++) step(&one, s, at);
    for (int t = 0; t < 3; t++) {
        run r = {.model = NULL};
        open_run(s, type, threads[t], &r);
        for (int64_t at = 0; at < STEPS; at++) step(&r, s, at);
        const size_t bytes = (size_t)r.count * sizeof(float);
        assert_same("the losses", s, threads[t], r.losses, one.losses, sizeof r.losses);
        assert_same("the norm", s, threads[t], &r.norm, &one.norm, sizeof r.norm);
        assert_same("the gradient", s, threads[t], r.grads, one.grads, bytes);
        assert_same("the model", s, threads[t], r.weights, one.weights, bytes);
        close_run(&r);
    }
    close_run(&one);
}

static void threads_change_no_bit_of_a_step(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) same_on_any_threads(&shapes[i], PAWL_F32);
}

static void nor_in_bf16(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) same_on_any_threads(&shapes[i], PAWL_BF16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(threads_change_no_bit_of_a_step),
                                       cmocka_unit_test(nor_in_bf16)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
