/* Runs: cmocka
 * An optimizer over ranges of the flat run: any cuts give the bits of one range, and the state that all ranges list
 * together is that of one. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "core/arena.h"
#include "optim/optim.h"

enum { STEPS = 2, RANKS_MAX = 9, PARTS = 7 };

static pawl_extent parts[PARTS];
static int64_t flat;
static pawl_state names;

/* A model with tensors that may be cut, and that start off alignment. */
static void lay_out(void)
{
    static const int64_t shape[PARTS][2] = {{800, 700}, {64, 0}, {33, 65}, {33, 65}, {600, 450}, {5, 0}, {1, 1}};
    static const char *const name[PARTS] = {"embed", "norm", "q", "k", "up", "bias", "one"};
    flat = 0;
    memset(&names, 0, sizeof names);
    for (int i = 0; i < PARTS; i++) {
        const int joined = i == 3;
        if (!joined) flat = (flat + 15) / 16 * 16;
        parts[i] =
            shape[i][1] ? pawl_extent_matrix(flat, shape[i][0], shape[i][1]) : pawl_extent_vector(flat, shape[i][0]);
        parts[i].above = i == 0 ? 2 : 1 - i / 4;
        if (i == 0) parts[i].role = PAWL_ROLE_EMBEDDING;
        flat += parts[i].count;
        const pawl_tensor t = {.dtype = PAWL_F32, .ndim = shape[i][1] ? 2 : 1, .dim = {shape[i][0], shape[i][1]}};
        assert_int_equal(pawl_state_add(&names, "", name[i], t), PAWL_OK);
    }
    flat = (flat + 15) / 16 * 16;
}

static float *numbers(float seed)
{
    float *x;
    assert_int_equal(pawl_alloc((void **)&x, (size_t)flat * sizeof *x, "a test"), PAWL_OK);
    for (int i = 0; i < PARTS; i++)
        for (int64_t k = 0; k < parts[i].count; k++) x[parts[i].first + k] = sinf(seed + (float)i + 0.37f * (float)k);
    return x;
}

/* What a run of that many ranks ends with. weights: of the type that the configuration says. */
typedef struct ended {
    char *weights;
    size_t each;
    double norms[STEPS];
    pawl_state state; /* whole */
} ended;

static void gather(const pawl_optim *o, pawl_state *into)
{
    pawl_state held = {0};
    assert_int_equal(pawl_optim_state(o, &names, &held), PAWL_OK);
    assert_int_equal(held.count, into->count);
    for (int i = 0; i < held.count; i++) {
        const pawl_named *h = &held.items[i];
        const pawl_named *w = &into->items[i];
        const size_t each = pawl_dtype_bytes(h->tensor.dtype);
        assert_string_equal(h->name, w->name);
        assert_memory_equal(h->tensor.dim, w->tensor.dim, sizeof h->tensor.dim);
        assert_true(h->count == 0 || h->first + h->count <= pawl_tensor_count(h->tensor));
        if (h->count > 0)
            memcpy((char *)w->tensor.data + (size_t)h->first * each, h->tensor.data, (size_t)h->count * each);
    }
    pawl_state_close(&held);
}

static void step(pawl_optim *const *o, int ranks, const int64_t *cuts, int64_t at, ended *e)
{
    float *g = numbers((float)at);
    double *blocks;
    const int64_t all = pawl_norm_blocks(parts, PARTS, 0, flat);
    assert_int_equal(pawl_alloc((void **)&blocks, (size_t)all * sizeof *blocks, "a test"), PAWL_OK);
    for (int r = 0; r < ranks; r++)
        assert_int_equal(pawl_norm_squares(o[r], g + cuts[r], blocks + pawl_norm_blocks(parts, PARTS, 0, cuts[r])),
                         PAWL_OK);
    e->norms[at] = pawl_norm_join(parts, PARTS, blocks);
    for (int r = 0; r < ranks; r++)
        assert_int_equal(pawl_optim_step(o[r], e->weights + (size_t)cuts[r] * e->each, g + cuts[r], e->norms[at], 0.01, at), PAWL_OK);
    pawl_free(blocks);
    pawl_free(g);
}

static void take_whole(const pawl_optim_config *c, pawl_state *s)
{
    assert_int_equal(pawl_optim_state_like(c, parts, &names, 0, flat, s), PAWL_OK);
    for (int i = 0; i < s->count; i++)
        assert_int_equal(pawl_alloc(&s->items[i].tensor.data, pawl_tensor_bytes(s->items[i].tensor), "a test"),
                         PAWL_OK);
}

static void train(const pawl_optim_config *c, int ranks, ended *e)
{
    int64_t cuts[RANKS_MAX + 1];
    pawl_optim *o[RANKS_MAX];
    pawl_device *d;
    float *first = numbers(0.5f);
    *e = (ended){.each = pawl_dtype_bytes(pawl_optim_weights(c))};
    assert_int_equal(pawl_alloc((void **)&e->weights, (size_t)flat * e->each, "a test"), PAWL_OK);
    pawl_convert(first, PAWL_F32, e->weights, pawl_optim_weights(c), flat);
    pawl_free(first);
    take_whole(c, &e->state);
    assert_int_equal(pawl_device_open_cpu(2, "auto", &d), PAWL_OK);
    pawl_optim_cuts(c, parts, PARTS, flat, ranks, cuts);
    for (int r = 0; r < ranks; r++)
        assert_int_equal(pawl_optim_open(c, d, parts, PARTS, cuts[r], cuts[r + 1], &o[r]), PAWL_OK);
    for (int64_t at = 0; at < STEPS; at++) step(o, ranks, cuts, at, e);
    for (int r = 0; r < ranks; r++) {
        gather(o[r], &e->state);
        pawl_optim_close(o[r]);
    }
    pawl_device_close(d);
}

static void free_ended(ended *e)
{
    for (int i = 0; i < e->state.count; i++) pawl_free(e->state.items[i].tensor.data);
    pawl_state_close(&e->state);
    pawl_free(e->weights);
}

/* Of each rule: f32, moments of bf16, and all of bf16. */
static void any_cuts_give_the_same_bits(void **unused)
{
    (void)unused;
    lay_out();
    for (int way = 0, rule = 0; pawl_optimizer_names[rule]; rule += way == 2, way = (way + 1) % 3) {
        pawl_optim_config c;
        ended one, many;
        pawl_fields_default(pawl_optim_rows, &c);
        c.optimizer = rule;
        c.weight_decay = 0.1;
        c.moments_dtype = way > 0;
        c.master_weights = way < 2;
        c.sgd_momentum = 0.9;
        train(&c, 1, &one);
        for (int ranks = 2; ranks <= RANKS_MAX; ranks += ranks < 4 ? 1 : 5) {
            train(&c, ranks, &many);
            assert_memory_equal(one.weights, many.weights, (size_t)flat * one.each);
            assert_memory_equal(one.norms, many.norms, sizeof one.norms);
            for (int i = 0; i < one.state.count; i++)
                if (memcmp(one.state.items[i].tensor.data, many.state.items[i].tensor.data,
                           pawl_tensor_bytes(one.state.items[i].tensor)) != 0)
                    fail_msg("%s differs on %d ranks", one.state.items[i].name, ranks);
            free_ended(&many);
        }
        free_ended(&one);
    }
    pawl_state_close(&names);
}

/* Cuts are in order, on whole blocks, and no range is longer than an equal part by more than what a tensor cannot be
 * cut. */
static void cuts_are_even(void **unused)
{
    (void)unused;
    pawl_optim_config c;
    int64_t cuts[RANKS_MAX + 1];
    lay_out();
    pawl_fields_default(pawl_optim_rows, &c);
    for (int ranks = 1; ranks <= RANKS_MAX; ranks++) {
        int64_t blocks = 0;
        pawl_optim_cuts(&c, parts, PARTS, flat, ranks, cuts);
        assert_int_equal(cuts[0], 0);
        assert_int_equal(cuts[ranks], flat);
        for (int r = 0; r < ranks; r++) {
            assert_true(cuts[r] <= cuts[r + 1]);
            assert_true(cuts[r + 1] - cuts[r] <= flat / ranks + PAWL_OPTIM_CUT);
            blocks += pawl_norm_blocks(parts, PARTS, cuts[r], cuts[r + 1]);
        }
        assert_int_equal(blocks, pawl_norm_blocks(parts, PARTS, 0, flat));
    }
    pawl_state_close(&names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(any_cuts_give_the_same_bits), cmocka_unit_test(cuts_are_even)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
