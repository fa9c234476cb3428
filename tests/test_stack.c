/* Runs: cmocka */
/* Adapters of several stages on one another: what they add to weights, alone and joined into one, is the sum of what
 * each adds, in double precision; how they are listed; the penalty of a new one beside them, over ranges; their initial
 * weights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "core/rng.h"
#include "model/adapter.h"

enum { D = 12, F = 10, LAYERS = 2, STAGES = 3 };

/* Ranks and scales that differ from module to module. */
static const char
    settings[] = "{\"peft_type\": \"LORA\", \"r\": 3, \"lora_alpha\": 2, \"target_modules\": [\"q_proj\", \"v_proj\", "
                 "\"down_proj\"], "
                 "\"rank_pattern\": {\"layers.1.self_attn.q_proj\": 5}, \"alpha_pattern\": {\"v_proj\": 7}}",
    rooted[] =
        "{\"peft_type\": \"LORA\", \"r\": 3, \"lora_alpha\": 2, \"target_modules\": [\"q_proj\", \"down_proj\"], "
        "\"use_rslora\": true}",
    dora[] =
        "{\"peft_type\": \"LORA\", \"r\": 3, \"lora_alpha\": 2, \"target_modules\": [\"q_proj\"], \"use_dora\": true}";

typedef struct pile {
    pawl_model *m;
    pawl_adapter *a;
    pawl_stack stack;
} pile;

static float *numbers(int64_t count, uint64_t which)
{
    float *x = calloc((size_t)count, sizeof *x);
    for (int64_t i = 0; i < count; i++) {
        float two[2];
        const pawl_random r = pawl_random_at(3, PAWL_FOR_TEST, which, (uint64_t)i);
        pawl_normal(r.word[0], r.word[1], two);
        x[i] = two[0];
    }
    return x;
}

static pile open_pile(const char *text)
{
    pawl_model_config c;
    pile p = {.m = NULL};
    memset(&c, 0, sizeof c);
    pawl_fields_default(pawl_model_rows, &c);
    c.vocab_size = 17;
    c.hidden_size = D;
    c.intermediate_size = F;
    c.num_hidden_layers = LAYERS;
    c.num_attention_heads = 3;
    c.num_key_value_heads = 1;
    assert_int_equal(pawl_model_open(&c, &p.m), PAWL_OK);
    json_t *json = json_loads(text, 0, NULL);
    if (pawl_adapter_open(p.m, json, "here", &p.a) != PAWL_OK) fail_msg("%s", pawl_last_error()->what);
    json_decref(json);
    p.stack = (pawl_stack){.adapter = p.a, .flats = numbers(STAGES * p.a->flat, 1), .count = STAGES};
    return p;
}

static void close_pile(pile *p)
{
    free(p->stack.flats);
    pawl_adapter_close(p->a);
    pawl_model_close(p->m);
}

/* What all stages add to number (o, i) of a module's weight. */
static double sum_of(const pile *p, int item, int64_t o, int64_t i)
{
    const pawl_adapted *t = &p->a->items[item];
    double sum = 0;
    for (int k = 0; k < p->stack.count; k++)
        for (int64_t j = 0; j < t->r; j++) {
            const float *flat = p->stack.flats + k * p->a->flat;
            sum += (double)t->scale * (double)flat[t->b + o * t->r + j] * (double)flat[t->a + j * t->module.in + i];
        }
    return sum;
}

static int tensor_of(const pile *p, int item)
{
    int i = 0;
    while (p->m->weights[i].first != p->a->items[item].module.weight) i++;
    return i;
}

static pawl_status read_ones(void *self, int tensor, float *to)
{
    const pawl_model *m = self;
    for (int64_t i = 0; i < m->extents[tensor].count; i++) to[i] = 1;
    return PAWL_OK;
}

static void weights_get_the_sum_of_all_stages(void **state)
{
    (void)state;
    pile p = open_pile(settings);
    pawl_stacked with = {read_ones, p.m, &p.stack};
    float *w = malloc((size_t)p.m->flat * sizeof *w);
    for (int s = 0; s < p.a->count; s++) {
        const pawl_module *m = &p.a->items[s].module;
        assert_int_equal(pawl_stacked_read(&with, tensor_of(&p, s), w), PAWL_OK);
        for (int64_t i = 0; i < m->out * m->in; i++)
            assert_true(fabs((double)w[i] - 1 - sum_of(&p, s, i / m->in, i % m->in)) < 1e-5);
    }
    assert_int_equal(pawl_stacked_read(&with, 0, w), PAWL_OK); /* the embedding has no adapter */
    for (int64_t i = 0; i < p.m->extents[0].count; i++) assert_true(w[i] == 1);
    free(w);
    close_pile(&p);
}

static void check_joined(const char *text)
{
    pile p = open_pile(text);
    pawl_adapter *wide;
    float *flat;
    assert_int_equal(pawl_stack_join(&p.stack, &wide, &flat), PAWL_OK);
    assert_int_equal(wide->count, p.a->count);
    for (int s = 0; s < p.a->count; s++) {
        const pawl_adapted *t = &wide->items[s];
        assert_string_equal(t->module.name, p.a->items[s].module.name);
        assert_int_equal(t->r, STAGES * p.a->items[s].r);
        assert_true(fabsf(t->scale / p.a->items[s].scale - 1) < 1e-6f);
        for (int64_t o = 0; o < t->module.out; o++)
            for (int64_t i = 0; i < t->module.in; i++) {
                double sum = 0;
                for (int64_t j = 0; j < t->r; j++)
                    sum += (double)t->scale * (double)flat[t->b + o * t->r + j] *
                           (double)flat[t->a + j * t->module.in + i];
                assert_true(fabs(sum - sum_of(&p, s, o, i)) < 1e-5);
            }
    }
    pawl_free(flat);
    pawl_adapter_close(wide);
    close_pile(&p);
}

static void joined_they_add_the_same(void **state)
{
    (void)state;
    pawl_adapter *wide = NULL;
    float *flat = NULL;
    check_joined(settings);
    check_joined(rooted);
    pile p = open_pile(dora);
    assert_int_equal(pawl_stack_join(&p.stack, &wide, &flat), PAWL_EUSAGE);
    close_pile(&p);
}

static void each_is_listed_under_its_number(void **state)
{
    (void)state;
    pile p = open_pile(settings);
    pawl_state list = {0}, own = {0};
    assert_int_equal(pawl_stack_state(&p.stack, &list), PAWL_OK);
    assert_int_equal(pawl_trained_state(p.m, p.a, p.stack.flats, "", &own), PAWL_OK);
    assert_int_equal(list.count, STAGES * own.count);
    for (int i = 0; i < own.count; i++) {
        char name[PAWL_NAME_MAX];
        snprintf(name, sizeof name, "model/finished/2/%.150s", own.items[i].name);
        const pawl_named *found = pawl_state_find(&list, name);
        assert_non_null(found);
        assert_true(found->frozen);
        assert_ptr_equal(found->tensor.data, (float *)own.items[i].tensor.data + p.a->flat);
    }
    pawl_state_close(&list);
    pawl_state_close(&own);
    close_pile(&p);
}

/* By the definition, in double. */
static double overlap_of(const pile *p, const float *flat)
{
    double sum = 0;
    for (int s = 0; s < p->a->count; s++) {
        const pawl_adapted *t = &p->a->items[s];
        for (int64_t j = 0; j < t->r * t->r * STAGES; j++) {
            const float *old = p->stack.flats + j / (t->r * t->r) * p->a->flat + t->a + j % t->r * t->module.in;
            const float *now = flat + t->a + j / t->r % t->r * t->module.in;
            double dot = 0;
            for (int64_t i = 0; i < t->module.in; i++) dot += (double)old[i] * (double)now[i];
            sum += fabs(dot);
        }
    }
    return sum;
}

static double run_overlap(const pile *p, pawl_device *d, const float *flat, int64_t first, int64_t end, float *grads)
{
    double sums[5] = {0}, all = 0;
    assert_int_equal(pawl_adapter_rank(p->a), 5);
    assert_int_equal(pawl_stack_overlap(&p->stack, d, flat, 0.5f, first, end, grads + first, sums), PAWL_OK);
    for (int i = 0; i < 5; i++) all += sums[i];
    return all;
}

/* The sum is linear but where a product of rows is 0, so that differences of it are its gradient. */
static void the_penalty_is_the_formula_over_any_ranges(void **state)
{
    (void)state;
    pile p = open_pile(settings);
    pawl_device *d;
    assert_int_equal(pawl_device_open_cpu(2, "auto", &d), PAWL_OK);
    const int64_t count = p.a->flat;
    float *flat = numbers(count, 2), *grads = calloc((size_t)count, sizeof *grads),
          *cut = calloc((size_t)count, sizeof *cut);
    const double value = run_overlap(&p, d, flat, 0, count, grads), expected = overlap_of(&p, flat) / 2;
    assert_true(fabs(value - expected) < 1e-6 * expected);
    for (int64_t i = 0; i < count; i++) {
        const float was = flat[i], step = 1.0f / 4096;
        flat[i] = was + step;
        const double above = overlap_of(&p, flat), up = (double)flat[i];
        flat[i] = was - step;
        const double below = overlap_of(&p, flat), down = (double)flat[i];
        flat[i] = was;
        assert_true(fabs((above - below) / (up - down) / 2 - (double)grads[i]) < 1e-3);
    }
    double pieces = 0;
    for (int64_t first = 0; first < count; first += 97)
        pieces += run_overlap(&p, d, flat, first, first + 97 < count ? first + 97 : count, cut);
    assert_memory_equal(grads, cut, (size_t)count * sizeof *grads);
    assert_true(fabs(pieces - value) < 1e-9 * value);
    free(flat), free(grads), free(cut);
    pawl_device_close(d);
    close_pile(&p);
}

static void each_begins_with_numbers_of_its_own(void **state)
{
    (void)state;
    pile p = open_pile(settings);
    float *one = malloc((size_t)p.a->flat * sizeof *one), *other = malloc((size_t)p.a->flat * sizeof *other);
    pawl_adapter_init(p.a, 8, 0, one);
    pawl_adapter_init(p.a, 8, 1, other);
    for (int s = 0; s < p.a->count; s++) {
        const pawl_adapted *t = &p.a->items[s];
        int same = 0;
        for (int64_t i = 0; i < t->r * t->module.in; i++) same += one[t->a + i] == other[t->a + i];
        assert_true(same < 3);
        for (int64_t i = 0; i < t->r * t->module.out; i++) assert_true(other[t->b + i] == 0);
    }
    free(one), free(other);
    close_pile(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_get_the_sum_of_all_stages),
        cmocka_unit_test(joined_they_add_the_same),
        cmocka_unit_test(each_is_listed_under_its_number),
        cmocka_unit_test(the_penalty_is_the_formula_over_any_ranges),
        cmocka_unit_test(each_begins_with_numbers_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
