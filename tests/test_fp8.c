/* Runs: cmocka
 * 8-bit floats: conversion as PyTorch's (tests/fixtures/fp8), scales, and products of both against sums in double. */
#include "tests/ops_check.h"

#include "core/json.h"
#include "ops/bf16_rule.h"
#include "ops/fp8_rule.h"

enum { CODES = 127 }; /* of positive sign, below NaN */

static json_t *read_fixture(void)
{
    const char *source = getenv("PAWL_SOURCE");
    char path[1024];
    json_t *j;
    snprintf(path, sizeof path, "%s/tests/fixtures/fp8/e4m3.json", source ? source : ".");
    assert_done(pawl_json_read(path, 1 << 20, &j));
    return j;
}

static void check_edge(uint32_t last, int code)
{
    for (uint32_t sign = 0; sign < 2; sign++) {
        assert_int_equal(pawl_e4m3_rule(pawl_bits_float(last | sign << 31)), code | (int)sign << 7);
        assert_int_equal(pawl_e4m3_rule(pawl_bits_float((last + 1) | sign << 31)), (code + 1) | (int)sign << 7);
    }
}

/* Conversion rises with magnitudes, so its edges say all of it; random numbers say that it does. */
static void numbers_become_what_they_become_in_pytorch(void **state)
{
    (void)state;
    json_t *j = read_fixture();
    const json_t *value = json_object_get(j, "value"), *last = json_object_get(j, "last");
    float *x = numbers(50000, 1, 1);
    assert_int_equal(json_array_size(value), CODES);
    for (int c = 0; c < CODES; c++) {
        const float v = (float)json_number_value(json_array_get(value, (size_t)c));
        assert_true(pawl_e4m3_widen_rule((uint8_t)c) == v && pawl_e4m3_widen_rule((uint8_t)(c | 0x80)) == -v);
        check_edge((uint32_t)json_integer_value(json_array_get(last, (size_t)c)), c);
    }
    assert_true(isnan(pawl_e4m3_widen_rule(0x7f)) && isnan(pawl_e4m3_widen_rule(0xff)));
    assert_int_equal(pawl_e4m3_rule(INFINITY), 0x7f);
    assert_int_equal(pawl_e4m3_rule(NAN) & 0x7f, 0x7f);
    for (int i = 0; i < 50000; i++) {
        const float y = x[i] * ldexpf(1, i % 20 - 10);
        int c = 0;
        if (fabsf(y) > 464) { /* PyTorch keeps to 448; here it is NaN, which a step finds */
            assert_int_equal(pawl_e4m3_rule(y) & 0x7f, 0x7f);
            continue;
        }
        while (pawl_float_bits(fabsf(y)) > (uint32_t)json_integer_value(json_array_get(last, (size_t)c))) c++;
        assert_int_equal(pawl_e4m3_rule(y), c | (signbit(y) ? 0x80 : 0));
    }
    free(x);
    json_decref(j);
}

/* A power of two; the greatest fits, and would not with twice as much. */
static void scales_fill_the_range(void **state)
{
    (void)state;
    for (uint32_t h = 1; h < 0x7f80; h++) {
        const float most = pawl_bf16_widen_rule((uint16_t)h);
        const pawl_fp8_scale s = pawl_fp8_scale_rule(pawl_float_bits(most));
        assert_true((pawl_float_bits(s.to) & 0x7fffffu) == 0 && s.to * s.from == 1.0f);
        if (!((double)most * (double)s.to <= 448.0)) fail_msg("%a times %a", most, s.to);
        if (!((double)most * (double)s.to > 224.0 || s.to == 0x1p126f)) fail_msg("%a times only %a", most, s.to);
    }
    assert_true(pawl_fp8_scale_rule(0).to == 1.0f && pawl_fp8_scale_rule(0x7f800000u).to == 1.0f && pawl_fp8_scale_rule(0x7fc00000u).from == 1.0f);
}

/* ---- products ---- */

enum { N = 37, I = 48, O = 32 };

static pawl_tensor low_matrix(int64_t rows, int64_t cols, uint64_t which, float spread)
{
    float *x = numbers(rows * cols, which, spread);
    uint16_t *low = malloc((size_t)(rows * cols) * sizeof *low);
    for (int64_t i = 0; i < rows * cols; i++) low[i] = pawl_bf16_narrow_rule(x[i]);
    free(x);
    return (pawl_tensor){low, PAWL_BF16, 2, {rows, cols}};
}

static double at(pawl_tensor t, int64_t i)
{
    return (double)pawl_bf16_widen_rule(((const uint16_t *)t.data)[i]);
}

static double *rounded(pawl_tensor t)
{
    const int64_t count = pawl_tensor_count(t);
    double *y = malloc((size_t)count * sizeof *y), most = 0;
    for (int64_t i = 0; i < count; i++) most = fabs(at(t, i)) > most ? fabs(at(t, i)) : most;
    const double scale = ldexp(1, (int)floor(log2(448 / most)));
    for (int64_t i = 0; i < count; i++) y[i] = (double)pawl_e4m3_widen_rule(pawl_e4m3_rule((float)(at(t, i) * scale))) / scale;
    return y;
}

static double *as_is(pawl_tensor t)
{
    const int64_t count = pawl_tensor_count(t);
    double *y = malloc((size_t)count * sizeof *y);
    for (int64_t i = 0; i < count; i++) y[i] = at(t, i);
    return y;
}

/* How far y is from x w^T + bias, relatively. */
static double distance(pawl_tensor y, const double *x, const double *w, const float *bias)
{
    double apart = 0, size = 0;
    for (int64_t n = 0; n < N; n++)
        for (int64_t o = 0; o < O; o++) {
            double sum = (double)bias[o];
            for (int64_t i = 0; i < I; i++) sum += x[n * I + i] * w[o * I + i];
            apart += (at(y, n * O + o) - sum) * (at(y, n * O + o) - sum);
            size += sum * sum;
        }
    return sqrt(apart / size);
}

static void reserve(pawl_device *d)
{
    const pawl_shapes most = {.positions = N, .tokens = N, .width = I, .heads = 1, .kv_heads = 1, .head_dim = 16, .ff = I, .vocab = 32, .type = PAWL_BF16, .fp8 = 1};
    assert_done(pawl_device_reserve(d, &most));
}

static void check_products(pawl_device *d)
{
    const pawl_tensor x = low_matrix(N, I, 1, 30), w = low_matrix(O, I, 2, 0.02f), y = low_matrix(N, O, 3, 1);
    float *bias = numbers(O, 4, 1);
    double *low_x = rounded(x), *low_w = rounded(w), *whole_x = as_is(x), *whole_w = as_is(w);
    reserve(d);
    assert_done(pawl_linear_fp8(d, x, w, vector(bias, O), y));
    /* sums of f32, and one rounding to bf16: 2^-9 at most */
    const double near = distance(y, low_x, low_w, bias), far = distance(y, whole_x, whole_w, bias);
    if (!(near < 3e-3)) fail_msg("%g from the product of what E4M3 holds", near);
    /* E4M3 is off by up to 2^-4 of a number, a few hundredths in the mean */
    if (!(far > 1e-2 && far < 6e-2)) fail_msg("%g from the product of bf16", far);
    free(x.data), free(w.data), free(y.data), free(bias), free(low_x), free(low_w), free(whole_x), free(whole_w);
}

EVERY_DEVICE(products_are_of_rounded_operands, check_products)

/* Sides that 8-bit units do not take: the bits of bf16. */
static void check_other_sides(pawl_device *d)
{
    reserve(d);
    for (int which = 0; which < 2; which++) {
        const int64_t in = which ? 24 : 48, out = which ? 32 : 20;
        const pawl_tensor x = low_matrix(N, in, 1, 1), w = low_matrix(out, in, 2, 1), y = low_matrix(N, out, 3, 1), z = low_matrix(N, out, 4, 1);
        assert_done(pawl_linear_fp8(d, x, w, nothing, y));
        assert_done(pawl_linear(d, x, w, nothing, PAWL_SET, z));
        assert_memory_equal(y.data, z.data, (size_t)(N * out) * 2);
        free(x.data), free(w.data), free(y.data), free(z.data);
    }
}

EVERY_DEVICE(other_sides_are_products_of_bf16, check_other_sides)

/* What is not finite stays so, and not more: its row, which a step then names. */
static void check_what_is_not_finite(pawl_device *d)
{
    const pawl_tensor x = low_matrix(N, I, 1, 1), w = low_matrix(O, I, 2, 1), y = low_matrix(N, O, 3, 1);
    ((uint16_t *)x.data)[5 * I + 3] = 0x7f80;
    reserve(d);
    assert_done(pawl_linear_fp8(d, x, w, nothing, y));
    for (int64_t n = 0; n < N; n++)
        for (int64_t o = 0; o < O; o++) assert_int_equal(isfinite(at(y, n * O + o)) != 0, n != 5);
    free(x.data), free(w.data), free(y.data);
}

EVERY_DEVICE(what_is_not_finite_shows, check_what_is_not_finite)

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(numbers_become_what_they_become_in_pytorch), cmocka_unit_test(scales_fill_the_range),
                                       cmocka_unit_test(products_are_of_rounded_operands), cmocka_unit_test(other_sides_are_products_of_bf16),
                                       cmocka_unit_test(what_is_not_finite_shows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
