/* Runs: cmocka */
/* What fixtures of PEFT cannot show: dropout, its counting and its gradients against the formulas in double precision;
 * settings and files that are refused; the same bits for any number of threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/arena.h"
#include "core/file.h"
#include "core/rng.h"
#include "model/adapter.h"

enum { D = 12, HEADS = 3, K = 4, W = (HEADS + 2) * K, F = 10, ROWS = 2, T = 5, N = ROWS * T, R = 3, FIRST_ROW = 41 };
static const double rate = 0.3;

static const char where[] = "here";

static pawl_model *small_model(int64_t layers, int biases)
{
    pawl_model_config c;
    pawl_model *m;
    memset(&c, 0, sizeof c);
    pawl_fields_default(pawl_model_rows, &c);
    c.vocab_size = 17;
    c.hidden_size = D;
    c.intermediate_size = F;
    c.num_hidden_layers = layers;
    c.num_attention_heads = HEADS;
    c.num_key_value_heads = 1;
    c.attention_bias = biases;
    assert_int_equal(pawl_model_open(&c, &m), PAWL_OK);
    return m;
}

static json_t *parsed(const char *text)
{
    json_t *value = json_loads(text, 0, NULL);
    assert_non_null(value);
    return value;
}

static pawl_adapter *adapter_on(const pawl_model *m, const char *settings)
{
    json_t *json = parsed(settings);
    pawl_adapter *a;
    if (pawl_adapter_open(m, json, where, &a) != PAWL_OK) fail_msg("%s", pawl_last_error()->what);
    json_decref(json);
    return a;
}

static float *numbers(int64_t count, uint64_t which, float spread)
{
    float *x = calloc((size_t)count, sizeof *x);
    for (int64_t i = 0; i < count; i++) {
        float two[2];
        const pawl_random r = pawl_random_at(3, PAWL_FOR_TEST, which, (uint64_t)i);
        pawl_normal(r.word[0], r.word[1], two);
        x[i] = spread * two[0];
    }
    return x;
}

/* ---- the product of one group, in double ---- */

typedef struct problem {
    pawl_model *m;
    pawl_adapter *a;
    pawl_device *d;
    pawl_frozen *base;
    pawl_adapter_work *work;
    pawl_over over;
    float *flat, *grads, *x, *y, *dy, *dx;
    double *norms; /* of each adapted module, [out] each, at the start: constant for gradients */
} problem;

static double mask(const problem *p, int stream, int64_t n, int64_t i)
{
    const int64_t element = n % T * D + i;
    const pawl_random r = pawl_random_at(p->over.seed, PAWL_FOR_DROPOUT, (uint64_t)(FIRST_ROW + n / T),
                                         (uint64_t)stream << 32 | (uint64_t)(element / 4));
    return p->a->dropout == 0 ? 1 : r.word[element % 4] >= (uint32_t)(rate * 0x1p32) ? 1 / (1 - rate) : 0;
}

static double low_rank(const pawl_adapted *t, const double *flat, int64_t o, int64_t i)
{
    double sum = 0;
    for (int64_t k = 0; k < t->r; k++) sum += flat[t->b + o * t->r + k] * flat[t->a + k * D + i];
    return t->scale * sum;
}

static const float *row_of(const problem *p, int64_t column)
{
    return (const float *)pawl_part(p->m, p->base->flat, 0, PAWL_Q).data + column * D;
}

/* sum of dy * y, by the formula at the head of model/adapter.h. */
static double naive_loss(const problem *p, const double *flat, const double *x)
{
    const float *bias = pawl_part(p->m, p->base->flat, 0, PAWL_Q_BIAS).data;
    double loss = 0, *norms = p->norms;
    for (int64_t n = 0; n < N; n++)
        for (int64_t o = 0; o < W; o++) {
            double y = bias ? bias[o] : 0;
            for (int64_t i = 0; i < D; i++) y += x[n * D + i] * row_of(p, o)[i];
            loss += p->dy[n * W + o] * y;
        }
    for (int s = 0; s < p->a->count; s++) {
        const pawl_adapted *t = &p->a->items[s];
        for (int64_t o = 0; o < t->module.out; o++, norms++) {
            const double g = p->a->dora ? flat[t->magnitude + o] / *norms : 1;
            for (int64_t n = 0; n < N; n++) {
                double plain = 0, low = 0;
                for (int64_t i = 0; i < D; i++) {
                    const double in = mask(p, s, n, i) * x[n * D + i];
                    plain += in * row_of(p, t->module.first + o)[i];
                    low += in * low_rank(t, flat, o, i);
                }
                loss += p->dy[n * W + t->module.first + o] * ((g - 1) * plain + g * low);
            }
        }
    }
    return loss;
}

static double *widened(const float *x, int64_t count)
{
    double *y = malloc((size_t)count * sizeof *y);
    for (int64_t i = 0; i < count; i++) y[i] = x[i];
    return y;
}

static void naive_norms(problem *p)
{
    double *flat = widened(p->flat, p->a->flat), *to = p->norms = calloc(W, sizeof *to);
    for (int s = 0; s < p->a->count; s++) {
        const pawl_adapted *t = &p->a->items[s];
        for (int64_t o = 0; o < t->module.out; o++, to++) {
            for (int64_t i = 0; i < D; i++) {
                const double v = row_of(p, t->module.first + o)[i] + low_rank(t, flat, o, i);
                *to += v * v;
            }
            *to = sqrt(*to);
        }
    }
    free(flat);
}

static problem open_problem_with(const char *settings, int threads, int biases)
{
    problem p = {.m = small_model(1, biases)};
    p.a = adapter_on(p.m, settings);
    assert_int_equal(pawl_device_open_cpu(threads, "auto", &p.d), PAWL_OK);
    assert_int_equal(pawl_frozen_open(p.m, p.d, PAWL_CODE_NONE, PAWL_F32, &p.base), PAWL_OK);
    assert_int_equal(pawl_adapter_work_open(p.a, &(pawl_capacity){.rows = ROWS, .tokens = T}, &p.work), PAWL_OK);
    const pawl_shapes shapes = pawl_model_shapes(p.m, ROWS, T);
    assert_int_equal(pawl_device_reserve(p.d, &shapes), PAWL_OK);
    p.over = (pawl_over){.adapter = p.a, .base = p.base, .work = p.work, .seed = 5, .first_row = FIRST_ROW};
    float *weights = numbers(pawl_model_count(p.m), 1, 0.5f);
    memcpy(p.base->flat, weights, (size_t)pawl_model_count(p.m) * sizeof *weights);
    free(weights);
    p.flat = numbers(p.a->flat, 2, 0.5f);
    p.grads = numbers(p.a->flat, 3, 1);
    p.x = numbers(N * D, 4, 1);
    p.y = numbers(N * W, 5, 1);
    p.dy = numbers(N * W, 6, 1);
    p.dx = numbers(N * D, 7, 1);
    naive_norms(&p);
    return p;
}

static problem open_problem(const char *settings, int threads)
{
    return open_problem_with(settings, threads, 1);
}

static void close_problem(problem *p)
{
    pawl_adapter_work_close(p->work);
    pawl_frozen_close(p->base);
    pawl_device_close(p->d);
    pawl_adapter_close(p->a);
    pawl_model_close(p->m);
    float *all[] = {p->flat, p->grads, p->x, p->y, p->dy, p->dx};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(p->norms);
}

static void compute(problem *p, pawl_put put)
{
    const pawl_adapting how = {.over = &p->over,
                               .d = p->d,
                               .weights = {p->flat, 0},
                               .grads = {p->grads, 0},
                               .put = put,
                               .N = N,
                               .tokens = T};
    const pawl_tensor x = pawl_view(p->x, N, D), y = pawl_view(p->y, N, W), dy = pawl_view(p->dy, N, W);
    assert_int_equal(pawl_adapted_linear(&how, 0, PAWL_Q, PAWL_Q_BIAS, x, y), PAWL_OK);
    assert_int_equal(pawl_adapted_backward(&how, 0, PAWL_Q, dy, x, pawl_view(p->dx, N, D)), PAWL_OK);
}

static const char *const kinds[] = {
    "{\"peft_type\": \"LORA\", \"r\": 3, \"lora_alpha\": 2, \"target_modules\": [\"q_proj\", \"v_proj\"]}",
    "{\"peft_type\": \"LORA\", \"r\": 3, \"lora_alpha\": 2, \"target_modules\": [\"q_proj\", \"v_proj\"], "
    "\"lora_dropout\": 0.3}",
    "{\"peft_type\": \"LORA\", \"r\": 3, \"lora_alpha\": 2, \"target_modules\": [\"k_proj\", \"v_proj\"], "
    "\"use_dora\": true}",
    "{\"peft_type\": \"LORA\", \"r\": 3, \"lora_alpha\": 2, \"target_modules\": [\"q_proj\", \"k_proj\"], "
    "\"use_dora\": true, "
    "\"lora_dropout\": 0.3}",
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void expect_gradient(const problem *p, double *numbers_, int64_t i, const double *flat, const double *x,
                            double found, const char *what)
{
    const double at = numbers_[i], step = 1e-4;
    numbers_[i] = at + step;
    const double above = naive_loss(p, flat, x);
    numbers_[i] = at - step;
    const double below = naive_loss(p, flat, x);
    numbers_[i] = at;
    const double expected = (above - below) / (2 * step);
    if (fabs(found - expected) > 1e-4 * (1 + fabs(expected)))
        fail_msg("%s %ld: %g, expected %g", what, (long)i, found, expected);
}

/* The loss is linear in x, B and m, and quadratic in A and B together, so differences are exact but for rounding. */
static void products_and_gradients_are_the_formulas(void **state)
{
    (void)state;
    for (int turn = 0; turn < 2 * KINDS; turn++) {
        const int kind = turn / 2;
        problem p = open_problem_with(kinds[kind], 2, turn % 2);
        double *flat = widened(p.flat, p.a->flat), *x = widened(p.x, N * D), loss = 0;
        compute(&p, PAWL_SET);
        for (int64_t i = 0; i < N * W; i++) loss += (double)p.dy[i] * p.y[i];
        const double expected = naive_loss(&p, flat, x);
        if (fabs(loss - expected) > 1e-5 * (1 + fabs(expected)))
            fail_msg("kind %d: %g, expected %g", kind, loss, expected);
        for (int e = 0; e < p.a->extent_count; e++)
            for (int64_t i = p.a->extents[e].first; i < p.a->extents[e].first + p.a->extents[e].count; i++)
                expect_gradient(&p, flat, i, flat, x, p.grads[i], "weight");
        for (int64_t i = 0; i < N * D; i++) expect_gradient(&p, x, i, flat, x, p.dx[i], "input");
        float *once = malloc((size_t)p.a->flat * sizeof *once);
        memcpy(once, p.grads, (size_t)p.a->flat * sizeof *once);
        compute(&p, PAWL_ADD);
        for (int64_t i = p.a->extents[0].first; i < p.a->extents[0].count; i++)
            assert_true(fabsf(p.grads[i] - 2 * once[i]) <= 1e-6f * (1 + fabsf(once[i])));
        free(once);
        free(flat);
        free(x);
        close_problem(&p);
    }
}

static void threads_change_no_bit(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        problem one = open_problem(kinds[kind], 1), three = open_problem(kinds[kind], 3);
        compute(&one, PAWL_SET);
        compute(&three, PAWL_SET);
        assert_memory_equal(one.y, three.y, N * W * sizeof(float));
        assert_memory_equal(one.dx, three.dx, N * D * sizeof(float));
        assert_memory_equal(one.grads, three.grads, (size_t)one.a->flat * sizeof(float));
        close_problem(&one);
        close_problem(&three);
    }
}

static void nothing_is_dropped_outside_training(void **state)
{
    (void)state;
    problem with = open_problem(kinds[1], 2), without = open_problem(kinds[0], 2);
    with.over.first_row = -1;
    compute(&with, PAWL_SET);
    compute(&without, PAWL_SET);
    assert_memory_equal(with.y, without.y, N * W * sizeof(float));
    close_problem(&with);
    close_problem(&without);
}

/* ---- dropout ---- */

static void masks_belong_to_rows(void **state)
{
    enum { TOKENS = 50, WIDTH = 37, COUNT = 4 * TOKENS * WIDTH };
    (void)state;
    pawl_device *d;
    float *x = malloc(COUNT * sizeof *x), *all = malloc(COUNT * sizeof *all), *one = malloc(COUNT * sizeof *one);
    for (int i = 0; i < COUNT; i++) x[i] = 1;
    assert_int_equal(pawl_device_open_cpu(2, "auto", &d), PAWL_OK);
    pawl_drop how = {.rate = 0.25, .seed = 9, .first_row = 100, .tokens = TOKENS, .stream = 3};
    assert_int_equal(
        pawl_dropout(d, &how, pawl_view(x, 4 * TOKENS, WIDTH), PAWL_SET, pawl_view(all, 4 * TOKENS, WIDTH)), PAWL_OK);
    int kept = 0;
    for (int i = 0; i < COUNT; i++) {
        const uint64_t row = 100 + (uint64_t)i / (TOKENS * WIDTH), element = (uint64_t)i % (TOKENS * WIDTH);
        const pawl_random words = pawl_random_at(9, PAWL_FOR_DROPOUT, row, (uint64_t)3 << 32 | element / 4);
        assert_int_equal(all[i] != 0, words.word[element % 4] >= 0.25 * 0x1p32);
        assert_true(all[i] == 0 || fabsf(all[i] - 1 / 0.75f) < 1e-6f);
        kept += all[i] != 0;
    }
    assert_true(fabs(kept / (double)COUNT - 0.75) < 5 * sqrt(0.25 * 0.75 / COUNT));
    for (int row = 0; row < 4; row++) { /* alone, in another call */
        how.first_row = 100 + row;
        assert_int_equal(pawl_dropout(d, &how, pawl_view(x, TOKENS, WIDTH), PAWL_SET, pawl_view(one, TOKENS, WIDTH)),
                         PAWL_OK);
        assert_memory_equal(one, all + row * TOKENS * WIDTH, TOKENS * WIDTH * sizeof *one);
    }
    how.stream = 4; /* another module's mask is another one */
    assert_int_equal(pawl_dropout(d, &how, pawl_view(x, TOKENS, WIDTH), PAWL_SET, pawl_view(one, TOKENS, WIDTH)),
                     PAWL_OK);
    assert_memory_not_equal(one, all + 3 * TOKENS * WIDTH, TOKENS * WIDTH * sizeof *one);
    assert_int_equal(pawl_dropout(d, &how, pawl_view(x, TOKENS, WIDTH), PAWL_ADD, pawl_view(one, TOKENS, WIDTH)),
                     PAWL_OK);
    for (int i = 0; i < TOKENS * WIDTH; i++) assert_true(one[i] == 0 || fabsf(one[i] - 2 / 0.75f) < 1e-6f);
    pawl_device_close(d);
    free(x);
    free(all);
    free(one);
}

/* ---- initial weights ---- */

static void adapters_begin_as_nothing(void **state)
{
    (void)state;
    problem p = open_problem(kinds[3], 1);
    pawl_adapter_init(p.a, 8, 0, p.flat);
    free(p.norms);
    assert_int_equal(pawl_adapter_measure(p.a, p.d, p.base, p.flat), PAWL_OK);
    naive_norms(&p);
    const double *norms = p.norms;
    double squares = 0;
    for (int s = 0; s < p.a->count; s++) {
        const pawl_adapted *t = &p.a->items[s];
        for (int64_t i = 0; i < t->r * D; i++) {
            assert_true(fabs(p.flat[t->a + i]) <= 1 / sqrt(D));
            squares += (double)p.flat[t->a + i] * p.flat[t->a + i];
        }
        for (int64_t i = 0; i < t->module.out * t->r; i++) assert_true(p.flat[t->b + i] == 0);
        for (int64_t o = 0; o < t->module.out; o++) assert_true(fabs(p.flat[t->magnitude + o] - *norms++) < 1e-5);
    }
    assert_true(fabs(squares / (2 * R * D) - 1.0 / (3 * D)) < 0.3 / (3 * D)); /* uniform within 1/sqrt(D) */
    float *again = malloc((size_t)p.a->flat * sizeof *again);
    pawl_adapter_init(p.a, 8, 0, again);
    assert_memory_equal(again + p.a->items[1].a, p.flat + p.a->items[1].a, R * D * sizeof *again);
    pawl_adapter_init(p.a, 9, 0, again);
    assert_memory_not_equal(again + p.a->items[1].a, p.flat + p.a->items[1].a, R * D * sizeof *again);
    free(again);
    close_problem(&p);
}

/* ---- settings ---- */

static void refused_by_name(void **state)
{
    static const struct {
        const char *settings, *sentence;
    } cases[] = {
        {"{\"r\": 4, \"target_modules\": [\"q_proj\"]}", "no peft_type"},
        {"{\"peft_type\": \"LOHA\", \"target_modules\": [\"q_proj\"]}", "peft_type: expected LORA, found LOHA"},
        {"{\"peft_type\": \"LORA\", \"task_type\": \"SEQ_CLS\", \"target_modules\": [\"q_proj\"]}", "task_type"},
        {"{\"peft_type\": \"LORA\"}", "no target_modules"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": []}", "target_modules: expected a list"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [3]}", "target_modules: expected a list"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": \".*q_proj\"}", "regular expression"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [\"q_proj\"], \"r\": 0}", "r: expected a whole number"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [\"q_proj\"], \"r\": 1e300}", "r: expected a whole number"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [\"q_proj\"], \"lora_alpha\": \"8\"}", "lora_alpha"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [\"q_proj\"], \"lora_dropout\": 1}", "lora_dropout"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [\"q_proj\"], \"bias\": \"all\"}", "bias: expected none"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [\"q_proj\"], \"modules_to_save\": [\"lm_head\"]}",
         "modules_to_save is not supported"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [\"q_proj\"], \"lora_bias\": true}",
         "lora_bias is not supported"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [\"q_proj\"], \"use_qalora\": true}",
         "use_qalora is not supported"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [\"q_proj\"], \"something_new\": 1}",
         "something_new is not supported"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [\"q_proj\"], \"init_lora_weights\": \"pissa\"}",
         "init_lora_weights: 'pissa'"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [\"q_proj\"], \"rank_pattern\": {\"(q|k)_proj\": 2}}",
         "rank_pattern: '(q|k)_proj'"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [\"q_proj\"], \"layers_pattern\": \"blocks\"}",
         "layers_pattern"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [\"q_proj\"], \"layers_to_transform\": \"first\"}",
         "layers_to_transform"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [\"q_proj\"], \"layers_to_transform\": 7}",
         "none of the model's linear modules"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [\"c_attn\"]}",
         "there are q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [\"roj\"]}", "is called roj"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [\"lm_head\"]}", "is called lm_head"},
        {"{\"peft_type\": \"LORA\", \"every_target\": true, \"target_modules\": [\"q_proj\", \"x\"]}", "is called x"},
    };
    (void)state;
    pawl_model *m = small_model(2, 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pawl_adapter *a;
        json_t *json = parsed(cases[i].settings);
        if (pawl_adapter_open(m, json, where, &a) == PAWL_OK) fail_msg("%s was taken", cases[i].settings);
        if (!strstr(pawl_last_error()->what, cases[i].sentence))
            fail_msg("%s: %s", cases[i].settings, pawl_last_error()->what);
        json_decref(json);
    }
    pawl_model_close(m);
}

static void expect_modules(const pawl_model *m, const char *settings, const char *expected)
{
    pawl_text found = {.data = NULL};
    pawl_adapter *a = adapter_on(m, settings);
    for (int i = 0; i < a->count; i++)
        pawl_text_add(&found, "%s%s:%d:%g", i ? " " : "", strstr(a->items[i].module.name, "layers.") + 7,
                      (int)a->items[i].r, a->items[i].alpha);
    assert_string_equal(found.data, expected);
    pawl_text_close(&found);
    json_t *json; /* written and read again, it is the same */
    assert_int_equal(pawl_adapter_json(a, &json), PAWL_OK);
    pawl_adapter *b;
    assert_int_equal(pawl_adapter_open(m, json, where, &b), PAWL_OK);
    assert_int_equal(b->count, a->count);
    for (int i = 0; i < a->count; i++) {
        assert_string_equal(b->items[i].module.name, a->items[i].module.name);
        assert_true(b->items[i].r == a->items[i].r && b->items[i].scale == a->items[i].scale &&
                    b->items[i].b == a->items[i].b);
    }
    json_decref(json);
    pawl_adapter_close(a);
    pawl_adapter_close(b);
}

static void modules_are_chosen_as_peft_does(void **state)
{
    (void)state;
    pawl_model *m = small_model(12, 1);
    expect_modules(m,
                   "{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 4, \"target_modules\": [\"q_proj\"], "
                   "\"layers_to_transform\": [1, 11]}",
                   "1.self_attn.q_proj:2:4 11.self_attn.q_proj:2:4");
    expect_modules(m,
                   "{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 4, \"target_modules\": "
                   "[\"layers.1.mlp.up_proj\", \"nowhere\"]}",
                   "1.mlp.up_proj:2:4");
    expect_modules(m,
                   "{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 0.5, \"target_modules\": "
                   "[\"model.layers.3.mlp.up_proj\", \"o_proj\"], "
                   "\"layers_to_transform\": 2, \"layers_pattern\": [\"layers\"], \"rank_pattern\": {\"up_proj\": 5}, "
                   "\"alpha_pattern\": "
                   "{\"o.proj\": 3, \"o_proj\": 9}}",
                   "2.self_attn.o_proj:2:3 3.mlp.up_proj:5:0.5");
    expect_modules(
        m,
        "{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 4, \"target_modules\": \"All-Linear\", "
        "\"layers_to_transform\": [0], "
        "\"exclude_modules\": [\"mlp.up_proj\", \"self_attn.q_proj\", \"k_proj\", \"v_proj\", \"gate_proj\"], "
        "\"rank_pattern\": {\"^proj\": 7, \"^model.layers.0.mlp.down_proj\": 8}}",
        "0.self_attn.o_proj:2:4 0.mlp.down_proj:8:4");
    pawl_adapter *a =
        adapter_on(m, "{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 4, \"target_modules\": \"all-linear\"}");
    assert_int_equal(a->count, 12 * 7);
    pawl_adapter_close(a);
    pawl_model_close(m);
}

/* ---- files ---- */

static char folder[256];

static void expect_refused_file(const pawl_model *m, const char *settings, const char *sentence)
{
    pawl_adapter *a = adapter_on(m, settings);
    float *flat = calloc((size_t)a->flat, sizeof *flat);
    assert_int_equal(pawl_peft_load(a, folder, flat), PAWL_EDATA);
    if (!strstr(pawl_last_error()->what, sentence)) fail_msg("%s: %s", settings, pawl_last_error()->what);
    free(flat);
    pawl_adapter_close(a);
}

static void files_are_read_exactly(void **state)
{
    static const char both[] = "{\"peft_type\": \"LORA\", \"r\": 3, \"lora_alpha\": 2, \"target_modules\": "
                               "[\"q_proj\", \"up_proj\"], \"use_dora\": true}";
    (void)state;
    pawl_model *m = small_model(2, 1);
    pawl_adapter *a = adapter_on(m, both);
    float *flat = numbers(a->flat, 9, 1), *back = calloc((size_t)a->flat, sizeof *back);
    snprintf(folder, sizeof folder, "/tmp/pawl-adapter-%d", (int)getpid());
    assert_int_equal(pawl_peft_save(a, flat, PAWL_F32, "base", folder), PAWL_OK);
    assert_true(pawl_is_peft(folder));
    assert_int_equal(pawl_peft_load(a, folder, back), PAWL_OK);
    for (int e = 0; e < a->extent_count; e++)
        assert_memory_equal(flat + a->extents[e].first, back + a->extents[e].first,
                            (size_t)a->extents[e].count * sizeof *flat);
    expect_refused_file(
        m, "{\"peft_type\": \"LORA\", \"r\": 2, \"target_modules\": [\"q_proj\", \"up_proj\"], \"use_dora\": true}",
        "expected the shape [2, 12]");
    expect_refused_file(m, "{\"peft_type\": \"LORA\", \"r\": 3, \"target_modules\": [\"q_proj\"], \"use_dora\": true}",
                        "does not belong");
    expect_refused_file(m, "{\"peft_type\": \"LORA\", \"r\": 3, \"target_modules\": [\"q_proj\", \"up_proj\"]}",
                        "lora_magnitude_vector does not belong");
    expect_refused_file(
        m, "{\"peft_type\": \"LORA\", \"r\": 3, \"target_modules\": \"all-linear\", \"use_dora\": true}", "is missing");
    char weights[300], pickle[300];
    snprintf(weights, sizeof weights, "%s/adapter_model.safetensors", folder);
    snprintf(pickle, sizeof pickle, "%s/adapter_model.bin", folder);
    assert_int_equal(pawl_file_rename(weights, pickle), PAWL_OK);
    expect_refused_file(m, both, "is a pickle");
    assert_int_equal(pawl_dir_remove(folder), PAWL_OK);
    free(flat);
    free(back);
    pawl_adapter_close(a);
    pawl_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_and_gradients_are_the_formulas),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(nothing_is_dropped_outside_training),
        cmocka_unit_test(masks_belong_to_rows),
        cmocka_unit_test(adapters_begin_as_nothing),
        cmocka_unit_test(refused_by_name),
        cmocka_unit_test(modules_are_chosen_as_peft_does),
        cmocka_unit_test(files_are_read_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
