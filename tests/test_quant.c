/* Runs: cmocka */
/* Weights in few bits: codes against a search for the nearest level, error bounds, odd shapes, and products over them.
 * And which products of an adapted layer are of 8-bit floats. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "model/adapter.h"
#include "ops/quant_rule.h"

static float *numbers(int64_t count, uint64_t which, float spread)
{
    if (count <= 0) abort(); /* which gcc, that warns of it, else takes for possible */
    float *x = calloc((size_t)count, sizeof *x);
    for (int64_t i = 0; i < count; i++) {
        float two[2];
        const pawl_random r = pawl_random_at(13, PAWL_FOR_TEST, which, (uint64_t)i);
        pawl_normal(r.word[0], r.word[1], two);
        x[i] = spread * two[0];
    }
    return x;
}

typedef struct weight {
    pawl_device *d;
    pawl_coded q;
    float *w, *back;
} weight;

static weight coded(pawl_code code, int64_t rows, int64_t cols, int threads)
{
    weight x = {.q = {.code = code, .rows = rows, .cols = cols}};
    assert_int_equal(pawl_device_open_cpu(threads, "auto", &x.d), PAWL_OK);
    x.q.codes = malloc((size_t)(rows * pawl_code_row_bytes(code, cols)));
    x.q.scales = malloc((size_t)(rows * pawl_code_row_scales(code, cols)) * sizeof(float));
    x.w = numbers(rows * cols, (uint64_t)cols, 0.3f);
    for (int64_t i = 0; i < cols && rows > 2; i++) x.w[cols + i] = 0; /* a row of nothing */
    x.back = numbers(rows * cols, 99, 1);
    assert_int_equal(pawl_quantise(x.d, pawl_view(x.w, rows, cols), &x.q, 0), PAWL_OK);
    assert_int_equal(pawl_dequantise(x.d, &x.q, 0, pawl_view(x.back, rows, cols)), PAWL_OK);
    return x;
}

static void close_weight(weight *x)
{
    pawl_device_close(x->d);
    free(x->q.codes);
    free(x->q.scales);
    free(x->w);
    free(x->back);
}

static float largest(const float *x, int64_t count)
{
    float most = 0;
    for (int64_t i = 0; i < count; i++) most = fmaxf(most, fabsf(x[i]));
    return most;
}

/* The sixteen quantiles as appendix E of the paper prints them, and what is nearest to a number among them. */
static const double published[16] = {-1.0,
                                     -0.6961928009986877,
                                     -0.5250730514526367,
                                     -0.39491748809814453,
                                     -0.28444138169288635,
                                     -0.18477343022823334,
                                     -0.09105003625154495,
                                     0.0,
                                     0.07958029955625534,
                                     0.16093020141124725,
                                     0.24611230194568634,
                                     0.33791524171829224,
                                     0.44070982933044434,
                                     0.5626170039176941,
                                     0.7229568362236023,
                                     1.0};

static void nf4_is_the_nearest_published_level(void **state)
{
    enum { GRID = 200000 };
    (void)state;
    for (int q = 0; q < 16; q++) {
        assert_true((double)pawl_nf4_level[q] == published[q]);
        assert_int_equal(pawl_nf4_code(pawl_nf4_level[q]), q);
    }
    for (int i = 0; i <= GRID; i++) {
        const float x = -1 + 2 * (float)i / GRID;
        const double found = fabs(x - published[pawl_nf4_code(x)]);
        for (int q = 0; q < 16; q++) assert_true(found <= fabs(x - published[q]) + 1e-7);
    }
}

static const int64_t widths[] = {1, 2, 63, 64, 65, 128, 130, 257};
enum { WIDTHS = sizeof widths / sizeof *widths, ROWS = 35 };

static void nf4_blocks_have_a_scale_each(void **state)
{
    (void)state;
    for (int k = 0; k < WIDTHS; k++) {
        const int64_t cols = widths[k], blocks = (cols + 63) / 64;
        weight x = coded(PAWL_CODE_NF4, ROWS, cols, 2);
        for (int64_t r = 0; r < ROWS; r++)
            for (int64_t b = 0; b < blocks; b++) {
                const int64_t at = r * cols + 64 * b, some = cols - 64 * b < 64 ? cols - 64 * b : 64;
                const float scale = largest(x.w + at, some);
                assert_true(x.q.scales[r * blocks + b] == scale);
                for (int64_t i = 0; i < some; i++) {
                    const uint8_t byte = x.q.codes[r * ((cols + 1) / 2) + (64 * b + i) / 2];
                    const int code = i % 2 ? byte & 15 : byte >> 4;
                    assert_true(x.back[at + i] == pawl_nf4_level[code] * scale);
                    assert_true(fabs(x.back[at + i] - x.w[at + i]) <= 0.152 * scale); /* half of the widest step */
                }
            }
        close_weight(&x);
    }
}

static void int8_rows_are_within_half_a_step(void **state)
{
    (void)state;
    for (int k = 0; k < WIDTHS; k++) {
        const int64_t cols = widths[k];
        weight x = coded(PAWL_CODE_INT8, ROWS, cols, 2);
        for (int64_t r = 0; r < ROWS; r++) {
            const float most = largest(x.w + r * cols, cols);
            assert_true(x.q.scales[r] == most);
            for (int64_t i = r * cols; i < (r + 1) * cols; i++) {
                assert_true(fabs(x.back[i] - x.w[i]) <= most / 254 * (1 + 1e-5));
                assert_true((float)(int8_t)x.q.codes[i] * (most / 127.0f) == x.back[i]);
            }
        }
        close_weight(&x);
    }
}

static void threads_and_pieces_change_nothing(void **state)
{
    enum { COLS = 130 };
    (void)state;
    for (int code = PAWL_CODE_INT8; code <= PAWL_CODE_NF4; code++) {
        weight one = coded((pawl_code)code, ROWS, COLS, 1), three = coded((pawl_code)code, ROWS, COLS, 3);
        assert_memory_equal(one.back, three.back, ROWS * COLS * sizeof(float));
        memset(three.q.codes, 0xee, (size_t)(ROWS * pawl_code_row_bytes(one.q.code, COLS)));
        for (int64_t row = 0; row < ROWS; row += 9) {
            const int64_t some = ROWS - row < 9 ? ROWS - row : 9;
            assert_int_equal(pawl_quantise(three.d, pawl_view(three.w + row * COLS, some, COLS), &three.q, row),
                             PAWL_OK);
        }
        assert_memory_equal(one.q.codes, three.q.codes, (size_t)(ROWS * pawl_code_row_bytes(one.q.code, COLS)));
        assert_int_equal(pawl_dequantise(three.d, &three.q, 20, pawl_view(three.back, 5, COLS)), PAWL_OK);
        assert_memory_equal(three.back, one.back + 20 * COLS, 5 * COLS * sizeof(float));
        close_weight(&one);
        close_weight(&three);
    }
}

/* ---- a base in few bits under an adapter ---- */

enum { D = 1024, F = 1100, HEADS = 4, N = 3 };

typedef struct base {
    pawl_model *m;
    pawl_device *d;
    pawl_frozen *frozen;
    float *weights; /* what the source gives */
    int poisoned;   /* a tensor that is not finite; -1: none */
} base;

static pawl_status give(void *self, int tensor, float *to)
{
    const base *b = self;
    memcpy(to, b->weights + b->m->extents[tensor].first, (size_t)b->m->extents[tensor].count * sizeof *to);
    if (tensor == b->poisoned) to[7] = NAN;
    return PAWL_OK;
}

static base open_base_as(pawl_code code, pawl_dtype type)
{
    base b = {.poisoned = -1};
    pawl_model_config c;
    memset(&c, 0, sizeof c);
    pawl_fields_default(pawl_model_rows, &c);
    c.vocab_size = 5;
    c.hidden_size = D;
    c.intermediate_size = F;
    c.num_hidden_layers = 1;
    c.num_attention_heads = HEADS;
    c.num_key_value_heads = 2;
    c.attention_bias = 1;
    assert_int_equal(pawl_model_open(&c, &b.m), PAWL_OK);
    assert_int_equal(pawl_device_open_cpu(2, "auto", &b.d), PAWL_OK);
    pawl_shapes shapes = pawl_model_shapes(b.m, 1, N);
    shapes.fp8 = type == PAWL_BF16;
    assert_int_equal(pawl_device_reserve(b.d, &shapes), PAWL_OK);
    b.weights = numbers(pawl_model_count(b.m), 4, 0.05f);
    assert_int_equal(pawl_frozen_open(b.m, b.d, code, type, &b.frozen), PAWL_OK);
    return b;
}

static base open_base(pawl_code code)
{
    return open_base_as(code, PAWL_F32);
}

static void close_base(base *b)
{
    pawl_frozen_close(b->frozen);
    pawl_device_close(b->d);
    pawl_model_close(b->m);
    free(b->weights);
}

typedef struct gathering {
    float *w;
    int64_t cols;
    int calls;
} gathering;

static pawl_status gather(void *self, pawl_tensor w, int64_t row)
{
    gathering *g = self;
    memcpy(g->w + row * g->cols, w.data, (size_t)pawl_tensor_count(w) * sizeof(float));
    g->calls++;
    return PAWL_OK;
}

/* The rows that products see: every weight near its own, whole groups in as many panels as they need. */
static void panels_are_the_weights(void **state)
{
    static const pawl_slot groups[] = {PAWL_Q, PAWL_O, PAWL_GATE, PAWL_DOWN};
    (void)state;
    for (int code = PAWL_CODE_INT8; code <= PAWL_CODE_NF4; code++) {
        base b = open_base((pawl_code)code);
        assert_int_equal(pawl_frozen_fill(b.frozen, give, &b), PAWL_OK);
        int most = 0;
        for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) {
            const pawl_tensor w = pawl_part(b.m, b.weights, 0, groups[g]);
            gathering all = {.w = numbers(pawl_tensor_count(w), 1, 1), .cols = w.dim[1]};
            assert_int_equal(pawl_frozen_rows(b.frozen, b.d, 0, groups[g], 0, w.dim[0], gather, &all), PAWL_OK);
            double apart = 0, size = 0;
            for (int64_t i = 0; i < pawl_tensor_count(w); i++) {
                apart += pow(all.w[i] - ((float *)w.data)[i], 2);
                size += pow(((float *)w.data)[i], 2);
            }
            assert_true(sqrt(apart / size) < (code == PAWL_CODE_NF4 ? 0.11 : 0.01) && apart > 0);
            gathering some = {.w = numbers(10 * w.dim[1], 1, 1), .cols = w.dim[1]};
            assert_int_equal(pawl_frozen_rows(b.frozen, b.d, 0, groups[g], 5, 10, gather, &some), PAWL_OK);
            assert_memory_equal(some.w, all.w + 5 * w.dim[1], (size_t)(10 * w.dim[1]) * sizeof(float));
            most = all.calls > most ? all.calls : most;
            free(all.w);
            free(some.w);
        }
        assert_true(most > 1);
        static const pawl_slot plain[] = {PAWL_EMBED,    PAWL_ATTENTION_NORM, PAWL_Q_BIAS, PAWL_O_BIASES,
                                          PAWL_MLP_NORM, PAWL_FINAL_NORM,     PAWL_HEAD};
        for (size_t s = 0; s < sizeof plain / sizeof *plain; s++) {
            const pawl_tensor is = pawl_frozen_part(b.frozen, 0, plain[s]),
                              was = pawl_part(b.m, b.weights, 0, plain[s]);
            assert_int_equal(pawl_tensor_count(is), pawl_tensor_count(was));
            assert_memory_equal(is.data, was.data, pawl_tensor_bytes(was));
        }
        close_base(&b);
    }
}

typedef struct product {
    base b;
    float *y, *dx;
} product;

/* One product forward and backward over a base of that code, with the same x and dy always. */
static product multiply(base b)
{
    json_t *settings = json_loads(
        "{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 2, \"target_modules\": [\"up_proj\"], \"use_dora\": true}",
        0, NULL);
    pawl_adapter *a;
    pawl_adapter_work *work;
    assert_int_equal(pawl_adapter_open(b.m, settings, "here", &a), PAWL_OK);
    assert_int_equal(pawl_adapter_work_open(a, &(pawl_capacity){.rows = 1, .tokens = N}, &work), PAWL_OK);
    float *flat = numbers(pawl_trained_count(b.m, a), 7, 0.1f), *grads = numbers(pawl_trained_count(b.m, a), 7, 1);
    float *x = numbers(N * D, 8, 1), *dy = numbers(N * 2 * F, 9, 1);
    product p = {b, numbers(N * 2 * F, 1, 1), numbers(N * D, 1, 1)};
    assert_int_equal(pawl_adapter_measure(a, b.d, b.frozen, flat), PAWL_OK);
    const pawl_over over = {.adapter = a, .base = b.frozen, .work = work, .first_row = -1};
    const pawl_adapting how = {.over = &over, .d = b.d, .weights = {flat, 0}, .grads = {grads, 0}, .N = N, .tokens = N};
    assert_int_equal(
        pawl_adapted_linear(&how, 0, PAWL_GATE, PAWL_GATE_BIAS, pawl_view(x, N, D), pawl_view(p.y, N, 2 * F)), PAWL_OK);
    assert_int_equal(
        pawl_adapted_backward(&how, 0, PAWL_GATE, pawl_view(dy, N, 2 * F), pawl_view(x, N, D), pawl_view(p.dx, N, D)),
        PAWL_OK);
    free(flat);
    free(grads);
    free(x);
    free(dy);
    json_decref(settings);
    pawl_adapter_work_close(work);
    pawl_adapter_close(a);
    return p;
}

static void expect_near(const float *a, const float *b, int64_t count)
{
    double apart = 0, size = 0;
    for (int64_t i = 0; i < count; i++) {
        apart += pow(a[i] - b[i], 2);
        size += pow(b[i], 2);
    }
    assert_true(sqrt(apart / size) < 1e-5);
}

/* Panel by panel gives what the whole dequantised weight gives. */
static void products_are_those_of_the_decoded_weights(void **state)
{
    (void)state;
    base few = open_base(PAWL_CODE_NF4), whole = open_base(PAWL_CODE_NONE);
    assert_int_equal(pawl_frozen_fill(few.frozen, give, &few), PAWL_OK);
    gathering all = {.w = (float *)pawl_part(whole.m, whole.weights, 0, PAWL_GATE).data, .cols = D};
    assert_int_equal(pawl_frozen_rows(few.frozen, few.d, 0, PAWL_GATE, 0, 2 * F, gather, &all), PAWL_OK);
    assert_int_equal(pawl_frozen_fill(whole.frozen, give, &whole), PAWL_OK);
    product a = multiply(few), b = multiply(whole);
    expect_near(a.y, b.y, N * 2 * F);
    expect_near(a.dx, b.dx, N * D);
    free(a.y);
    free(a.dx);
    free(b.y);
    free(b.dx);
    close_base(&few);
    close_base(&whole);
}

/* ---- products of 8-bit floats under an adapter ---- */

enum { QKV = (HEADS + 4) * D / HEADS, R = 4 };

static pawl_tensor low_matrix(int64_t rows, int64_t cols, uint64_t which)
{
    float *x = numbers(rows * cols, which, 1);
    uint16_t *low = malloc((size_t)(rows * cols) * sizeof *low);
    pawl_convert(x, PAWL_F32, low, PAWL_BF16, rows * cols);
    free(x);
    return pawl_view_as(PAWL_BF16, low, rows, cols);
}

/* The base's product in 8 bits or not, and then the adapter's own, which are of bf16: one call after the other. */
static void call_by_call(const pawl_adapting *how, pawl_tensor x, pawl_tensor y)
{
    const pawl_tensor low = low_matrix(N, R, 6), nothing = {.dtype = PAWL_F32}, w = pawl_frozen_part(how->over->base, 0, PAWL_Q),
                      bias = pawl_frozen_part(how->over->base, 0, PAWL_Q_BIAS);
    int count;
    const pawl_adapted *t = pawl_adapted_in(how->over->adapter, 0, PAWL_Q, &count);
    assert_int_equal(count, 2);
    assert_int_equal(how->fp8 ? pawl_linear_fp8(how->d, x, w, bias, y) : pawl_linear(how->d, x, w, bias, PAWL_SET, y), PAWL_OK);
    for (int i = 0; i < count; i++) {
        assert_int_equal(pawl_linear(how->d, x, pawl_adapted_a(&t[i], how->weights), nothing, PAWL_SET, low), PAWL_OK);
        assert_int_equal(pawl_scale(how->d, low, t[i].scale), PAWL_OK);
        assert_int_equal(pawl_linear_part(how->d, low, pawl_adapted_b(&t[i], how->weights), nothing, PAWL_ADD, t[i].module.first, y), PAWL_OK);
    }
    free(low.data);
}

static void the_base_alone_is_in_8_bits(void **state)
{
    (void)state;
    json_t *settings = json_loads("{\"peft_type\": \"LORA\", \"r\": 4, \"lora_alpha\": 8, \"target_modules\": [\"q_proj\", \"v_proj\"]}", 0, NULL);
    base b = open_base_as(PAWL_CODE_NONE, PAWL_BF16);
    pawl_adapter *a;
    pawl_adapter_work *work;
    assert_int_equal(pawl_frozen_fill(b.frozen, give, &b), PAWL_OK);
    assert_int_equal(pawl_adapter_open(b.m, settings, "here", &a), PAWL_OK);
    assert_int_equal(pawl_adapter_work_open(a, &(pawl_capacity){.rows = 1, .tokens = N, .type = PAWL_BF16}, &work), PAWL_OK);
    const pawl_over over = {.adapter = a, .base = b.frozen, .work = work, .first_row = -1};
    const pawl_tensor flat = low_matrix(1, pawl_trained_count(b.m, a), 7), x = low_matrix(N, D, 8), expected = low_matrix(N, QKV, 9);
    pawl_tensor y[] = {low_matrix(N, QKV, 10), low_matrix(N, QKV, 11)};
    for (int fp8 = 0; fp8 < 2; fp8++) {
        const pawl_adapting how = {.over = &over, .d = b.d, .weights = {flat.data, 0, PAWL_BF16}, .N = N, .tokens = N, .fp8 = fp8};
        assert_int_equal(pawl_adapted_linear(&how, 0, PAWL_Q, PAWL_Q_BIAS, x, y[fp8]), PAWL_OK);
        call_by_call(&how, x, expected);
        assert_memory_equal(y[fp8].data, expected.data, (size_t)(N * QKV) * sizeof(uint16_t));
    }
    assert_memory_not_equal(y[0].data, y[1].data, (size_t)(N * QKV) * sizeof(uint16_t));
    free(flat.data), free(x.data), free(expected.data), free(y[0].data), free(y[1].data);
    json_decref(settings);
    pawl_adapter_work_close(work);
    pawl_adapter_close(a);
    close_base(&b);
}

static void bytes_are_saved_and_bad_numbers_refused(void **state)
{
    (void)state;
    base b = open_base(PAWL_CODE_NF4);
    const double linear = 3.0 * D * D + 3.0 * D * F; /* q, k and v are twice as wide as o, here */
    const double saved = (double)pawl_frozen_bytes(b.m, PAWL_CODE_NONE, PAWL_F32) - (double)pawl_frozen_bytes(b.m, PAWL_CODE_NF4, PAWL_F32);
    assert_true(saved > linear * (4 - 0.57) - 4.0 * (1 << 20) - 65536); /* but for one panel */
    assert_true(pawl_frozen_bytes(b.m, PAWL_CODE_INT8, PAWL_F32) > pawl_frozen_bytes(b.m, PAWL_CODE_NF4, PAWL_F32));
    b.poisoned = 4;
    assert_int_equal(pawl_frozen_fill(b.frozen, give, &b), PAWL_EDATA);
    assert_non_null(strstr(pawl_last_error()->what, b.m->weights[4].name));
    close_base(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nf4_is_the_nearest_published_level),
        cmocka_unit_test(nf4_blocks_have_a_scale_each),
        cmocka_unit_test(int8_rows_are_within_half_a_step),
        cmocka_unit_test(threads_and_pieces_change_nothing),
        cmocka_unit_test(panels_are_the_weights),
        cmocka_unit_test(products_are_those_of_the_decoded_weights),
        cmocka_unit_test(bytes_are_saved_and_bad_numbers_refused),
        cmocka_unit_test(the_base_alone_is_in_8_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
