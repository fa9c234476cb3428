/* Runs: cmocka
 * What the device promises: the same bits on any number of threads, nothing allocated once shapes are known, errors
 * that name what is wrong, and the accuracy of the functions that it does not take from a library. */
#include <unistd.h>

#include "core/arena.h"
#include "core/batch.h"
#include "ops/cpu/products.h"
#include "ops/exp_rule.h"
#include "tests/ops_check.h"

/* Every op once, on shapes large enough to be cut; the outputs lie in one block so that their bits are compared at
 * once. */
enum { B = 2, T = 330, N = B * T, H = 4, G = 2, K = 18, D = 72, F = 150, V = 1009, QKV = (H + 2 * G) * K };

typedef struct outputs {
    float sum[N * D], y[N * D], rstd[N], qkv[N * QKV], normed[N * QKV], head_rstd[N * H], out[N * H * K], lse[N * H];
    float act[N * F], loss[N], dhidden[N * D], dw[V * D], dqkv[N * QKV], dx[N * D], dw_qkv[QKV * D], dbias[QKV];
    float dsum[N * D], dnorm[D], ln_sum[N * D], ln[N * D], mean[N], ln_rstd[N], dln[D], dln_bias[D], gelu[N * 2 * F];
    float dgelu[N * 2 * F], dact[N * 2 * F], dhead_norm[K], table[V * D], embedded[N * D], wide[200 * 700];
    double squares[(V * D + PAWL_SUM_BLOCK - 1) / PAWL_SUM_BLOCK];
} outputs;

typedef struct inputs {
    float *x, *w, *bias, *norm, *head_norm, *gate_up, *table, *angles, *tall, *short_and_wide;
    int32_t *ids, *targets, *positions, *starts;
} inputs;

static inputs open_inputs(void)
{
    inputs in = {
        numbers(N * D, 1, 1),     numbers(QKV * D, 2, 0.2f),  numbers(QKV, 3, 1),      numbers(D, 4, 1),
        numbers(K, 5, 1),         numbers(N * 2 * F, 6, 1),   numbers(V * D, 7, 0.2f), numbers(T * K / 2, 8, 0.5f),
        numbers(200 * 333, 9, 1), numbers(700 * 333, 10, 1),  integers(N, 11, V),      integers(N, 12, V),
        integers(N, 13, T),       malloc(N * sizeof(int32_t))};
    for (int n = 0; n < N; n++) {
        in.starts[n] = n % T < 100 ? n / T * T : n / T * T + 100;
        if (n % 7 == 0) in.targets[n] = PAWL_NOT_TRAINED;
    }
    return in;
}

static void close_inputs(inputs *in)
{
    free(in->x), free(in->w), free(in->bias), free(in->norm), free(in->head_norm), free(in->gate_up), free(in->table);
    free(in->angles), free(in->tall), free(in->short_and_wide), free(in->ids), free(in->targets), free(in->positions),
        free(in->starts);
}

static void run_forward(pawl_device *d, const inputs *in, outputs *o)
{
    const pawl_attend over = {B, T, H, G, K, 0, 0.25f, .starts = in->starts};
    const pawl_tensor angles = matrix(in->angles, T, K / 2), qkv = matrix(o->qkv, N, QKV),
                      normed = matrix(o->normed, N, QKV);
    assert_done(pawl_embedding(d, matrix(in->table, V, D), indices(in->ids, N), matrix(o->embedded, N, D)));
    assert_done(pawl_rmsnorm(d, matrix(in->x, N, D), matrix(o->embedded, N, D), vector(in->norm, D), 1e-5f,
                             matrix(o->sum, N, D), matrix(o->y, N, D), vector(o->rstd, N)));
    assert_done(pawl_linear(d, matrix(o->y, N, D), matrix(in->w, QKV, D), vector(in->bias, QKV), PAWL_SET, qkv));
    assert_done(pawl_copy(d, o->normed, o->qkv, N * QKV));
    assert_done(pawl_head_norm(d, qkv, vector(in->head_norm, K), 1e-5f, 0, H, normed, matrix(o->head_rstd, N, H)));
    assert_done(pawl_rope(d, normed, H + G, angles, angles, indices(in->positions, N), 1));
    assert_done(pawl_attention(d, &over, normed, matrix(o->out, N, H * K), matrix(o->lse, N, H)));
    assert_done(pawl_swiglu(d, matrix(in->gate_up, N, 2 * F), matrix(o->act, N, F)));
    assert_done(pawl_layernorm(d, matrix(in->x, N, D), matrix(o->embedded, N, D), vector(in->norm, D),
                               vector(in->bias, D), 1e-5f, matrix(o->ln_sum, N, D), matrix(o->ln, N, D),
                               vector(o->mean, N), vector(o->ln_rstd, N)));
    assert_done(pawl_activate(d, PAWL_GELU, matrix(in->gate_up, N, 2 * F), matrix(o->gelu, N, 2 * F)));
    assert_done(pawl_linear(d, matrix(in->tall, 200, 333), matrix(in->short_and_wide, 700, 333), nothing, PAWL_SET,
                            matrix(o->wide, 200, 700)));
}

static void run_backward(pawl_device *d, const inputs *in, outputs *o)
{
    const pawl_attend over = {B, T, H, G, K, 0, 0.25f, .starts = in->starts};
    const pawl_head head = {.hidden = matrix(o->y, N, D),
                            .w = matrix(in->table, V, D),
                            .targets = in->targets,
                            .scale = 0.01f,
                            .loss = vector(o->loss, N),
                            .dhidden = matrix(o->dhidden, N, D),
                            .dw = matrix(o->dw, V, D)};
    const pawl_tensor dqkv = matrix(o->dqkv, N, QKV);
    assert_done(pawl_head_loss(d, &head));
    assert_done(pawl_attention_backward(d, &over, matrix(o->out, N, H * K), matrix(o->normed, N, QKV),
                                        matrix(o->out, N, H * K), matrix(o->lse, N, H), dqkv));
    assert_done(pawl_head_norm_backward(d, matrix(o->qkv, N, QKV), vector(in->head_norm, K), matrix(o->head_rstd, N, H),
                                        0, H, PAWL_SET, dqkv, vector(o->dhead_norm, K)));
    assert_done(pawl_linear_dx(d, dqkv, matrix(in->w, QKV, D), PAWL_SET, matrix(o->dx, N, D)));
    assert_done(
        pawl_linear_dw(d, dqkv, matrix(o->y, N, D), PAWL_SET, matrix(o->dw_qkv, QKV, D), vector(o->dbias, QKV)));
    assert_done(pawl_zero(d, o->dsum, N * D));
    assert_done(pawl_rmsnorm_backward(d, matrix(o->dx, N, D), matrix(o->sum, N, D), vector(in->norm, D),
                                      vector(o->rstd, N), PAWL_SET, matrix(o->dsum, N, D), vector(o->dnorm, D)));
    assert_done(
        pawl_swiglu_backward(d, matrix(o->act, N, F), matrix(in->gate_up, N, 2 * F), matrix(o->dact, N, 2 * F)));
    assert_done(pawl_layernorm_backward(d, matrix(o->dx, N, D), matrix(o->ln_sum, N, D), vector(in->norm, D),
                                        vector(o->mean, N), vector(o->ln_rstd, N), PAWL_SET, matrix(o->dsum, N, D),
                                        vector(o->dln, D), vector(o->dln_bias, D)));
    assert_done(pawl_activate_backward(d, PAWL_GELU_TANH, matrix(o->gelu, N, 2 * F), matrix(in->gate_up, N, 2 * F),
                                       matrix(o->dgelu, N, 2 * F)));
    assert_done(pawl_zero(d, o->table, V * D));
    assert_done(pawl_embedding_dw(d, matrix(o->dsum, N, D), indices(in->ids, N), matrix(o->table, V, D)));
    assert_done(pawl_add(d, o->table, o->dw, V * D));
    assert_done(pawl_sum_squares(d, o->table, V * D, o->squares));
}

static const pawl_shapes shapes = {
    .positions = N, .tokens = T, .width = D, .heads = H, .kv_heads = G, .head_dim = K, .ff = F, .vocab = V};

static void any_number_of_threads_gives_the_same_bits(void **state)
{
    (void)state;
    static const char *const sets[] = {"generic", "avx2", "avx512"};
    const pawl_gemm_library *const libraries[] = {&pawl_gemm_portable, pawl_gemm_found()};
    static const int threads[] = {1, 2, 3, 8};
    inputs in = open_inputs();
    outputs *first = malloc(sizeof *first), *o = malloc(sizeof *o);
    for (int s = 0; s < 6; s++) {
        int runs = 0;
        if (!libraries[s % 2] || !pawl_kernels_find(sets[s / 2], &runs) || !runs) continue;
        for (int t = 0; t < 4; t++) {
            pawl_device *d;
            outputs *to = t == 0 ? first : o;
            assert_done(pawl_cpu_open_with(threads[t], sets[s / 2], libraries[s % 2], &d));
            assert_int_equal(pawl_device_threads(d), threads[t]);
            assert_done(pawl_device_reserve(d, &shapes));
            for (int again = 0; again < (t > 0 ? 3 : 1); again++) { /* who takes what differs from time to time */
                memset(to, 0xff, sizeof *to);
                run_forward(d, &in, to);
                run_backward(d, &in, to);
                if (t > 0 && memcmp(first, o, sizeof *o) != 0)
                    fail_msg("%s: other bits with %d threads", pawl_device_describe(d), threads[t]);
            }
            pawl_device_close(d);
        }
    }
    close_inputs(&in);
    free(first), free(o);
}

static void nothing_is_allocated_once_shapes_are_known(void **state)
{
    (void)state;
    inputs in = open_inputs();
    outputs *o = malloc(sizeof *o);
    pawl_device *d;
    assert_done(pawl_device_open_cpu(2, "auto", &d));
    const size_t planned = pawl_device_scratch_bytes(d, &shapes);
    assert_true(planned > (size_t)V * sizeof(float));
    assert_done(pawl_device_reserve(d, &shapes));
    run_forward(d, &in, o);
    run_backward(d, &in, o);
    const long before = pawl_alloc_count();
    run_forward(d, &in, o);
    run_backward(d, &in, o);
    assert_done(pawl_device_reserve(d, &shapes));
    assert_int_equal(pawl_alloc_count(), before);
    pawl_device_close(d);
    close_inputs(&in);
    free(o);
}

/* Each allocation fails once: the device is either open, or says why and leaves nothing behind. */
static void opening_survives_a_lack_of_memory(void **state)
{
    (void)state;
    int failures = 0;
    for (long n = 1; n < 100; n++) {
        pawl_device *d = NULL;
        pawl_alloc_fail_after(n);
        pawl_status s = pawl_device_open_cpu(2, "auto", &d);
        if (s == PAWL_OK) s = pawl_device_reserve(d, &shapes);
        pawl_alloc_fail_after(0);
        pawl_device_close(d);
        if (s == PAWL_OK) break;
        assert_int_equal(s, PAWL_EMEM);
        failures++;
    }
    assert_true(failures >= 5 && failures < 99);
}

static void a_device_is_opened_by_name(void **state)
{
    (void)state;
    pawl_device *d = NULL;
    char found[32] = "portable", expected[64];
    int runs;
    assert_refused(pawl_device_open_cpu(1, "mmx", &d), PAWL_EUSAGE, "generic, avx2, avx512");
    assert_refused(pawl_device_open_cpu(0, "auto", &d), PAWL_EUSAGE, "at least 1");
    if (!pawl_kernels_find("avx512", &runs) || !runs)
        assert_refused(pawl_device_open_cpu(1, "avx512", &d), PAWL_EUSAGE, "avx512");
    if (pawl_gemm_found()) pawl_gemm_found()->name(found);
    assert_done(pawl_device_open_cpu(1, "generic", &d));
    snprintf(expected, sizeof expected, "cpu generic %s", found);
    assert_string_equal(pawl_device_describe(d), expected);
    pawl_device_close(d);
    assert_done(pawl_cpu_open_with(1, "auto", &pawl_gemm_portable, &d));
    snprintf(expected, sizeof expected, "cpu %s portable", pawl_kernels_find("auto", &runs)->isa);
    assert_string_equal(pawl_device_describe(d), expected);
    assert_true(pawl_device_gemm_rate(d, PAWL_F32) > 1e6);
    pawl_device_close(d);
    pawl_device_close(NULL);
}

/* Products of a step in bf16 with this library, and whether any of them is given f32 instead: those lay one operand out
 * for all threads. */
static int converts(const pawl_gemm_library *library)
{
    enum { ROWS = 256, WIDTH = 192, OUT = 1024, WORDS = 32000 };
    pawl_panel products[] = {
        pawl_product_y(ROWS, WIDTH, OUT, OUT),          pawl_product_dx(ROWS, WIDTH, OUT, OUT),
        pawl_product_dw(ROWS, WIDTH, OUT, OUT),         pawl_product_y(ROWS, WIDTH, WORDS, WORDS),
        pawl_product_dx(ROWS, WIDTH, WORDS, 2 * WORDS), pawl_product_dw(ROWS, WIDTH, WORDS, 2 * WORDS),
    };
    pawl_gemm_need need = {0};
    pawl_device *d;
    assert_done(pawl_cpu_open_with(1, "auto", library, &d));
    for (size_t i = 0; i < sizeof products / sizeof *products; i++) {
        products[i].a_type = products[i].b_type = PAWL_BF16;
        assert_done(pawl_gemm_prepare(pawl_cpu_of(d)->gemm, PAWL_OVER_WIDTH, &products[i], &need));
    }
    pawl_device_close(d);
    return need.shared > 0;
}

static void what_the_processor_multiplies_is_not_converted(void **state)
{
    (void)state;
    assert_true(converts(&pawl_gemm_portable));
#ifdef __x86_64__
    if (!pawl_gemm_found() || !__builtin_cpu_supports("avx512bf16")) skip();
    assert_false(converts(pawl_gemm_found()));
#else
    skip();
#endif
}

static void wrong_arguments_are_named(void **state)
{
    (void)state;
    float x[64] = {0};
    int32_t ids[4] = {0, 5, 1, 0}, starts[4] = {0, 0, 3, 2};
    pawl_device *d;
    assert_done(pawl_device_open_cpu(1, "auto", &d));
    assert_refused(pawl_linear(d, matrix(x, 2, 3), matrix(x, 4, 5), nothing, PAWL_SET, matrix(x, 2, 4)), PAWL_EBUG,
                   "linear: x is [2, 3], expected [2, 5]");
    assert_refused(pawl_linear(d, matrix(x, 2, 3), matrix(x, 4, 3), nothing, PAWL_SET, nothing), PAWL_EBUG,
                   "linear: y has no data");
    assert_refused(pawl_linear(d, matrix(x, 2, 3), matrix(x, 4, 3), vector(x, 3), PAWL_SET, matrix(x, 2, 4)), PAWL_EBUG,
                   "bias has 3 numbers, expected 4");
    pawl_tensor half = matrix(x, 2, 3);
    half.dtype = PAWL_BF16;
    assert_refused(pawl_linear(d, half, matrix(x, 4, 3), nothing, PAWL_SET, matrix(x, 2, 4)), PAWL_EBUG,
                   "w is f32, expected bf16");
    assert_refused(pawl_embedding(d, matrix(x, 5, 2), indices(ids, 4), matrix(x, 4, 2)), PAWL_EDATA,
                   "token id 5 at position 1");
    const pawl_attend lost = {1, 4, 1, 1, 2, 0, 1, .starts = starts}, shared = {1, 4, 3, 2, 2, 0, 1, .starts = ids};
    assert_refused(pawl_attention(d, &lost, matrix(x, 4, 6), matrix(x, 4, 2), vector(x, 4)), PAWL_EBUG,
                   "position 2 starts at 3");
    assert_refused(pawl_attention(d, &shared, matrix(x, 4, 6), matrix(x, 4, 2), vector(x, 4)), PAWL_EBUG,
                   "3 heads cannot share 2");
    const pawl_head head = {.hidden = matrix(x, 4, 2), .w = matrix(x, 5, 2), .targets = ids, .loss = vector(x, 4)};
    assert_refused(pawl_head_loss(d, &head), PAWL_EDATA, "target 5 at position 1");
    pawl_head unreserved = head;
    unreserved.w = matrix(x, 6, 2);
    assert_refused(pawl_head_loss(d, &unreserved), PAWL_EBUG, "pawl_device_reserve");
    assert_refused(pawl_rmsnorm_backward(d, matrix(x, 2, 3), matrix(x, 2, 3), vector(x, 3), vector(x, 2), PAWL_SET,
                                         matrix(x, 2, 3), vector(x, 3)),
                   PAWL_EBUG, "pawl_device_reserve");
    assert_refused(pawl_device_reserve(d, &(pawl_shapes){.positions = 1}), PAWL_EBUG, "a shape is 0");
    pawl_device_close(d);
}

/* More shapes than the table of plans holds: it starts afresh and goes on. */
static void ever_new_shapes_do_not_grow_without_end(void **state)
{
    (void)state;
    float *x = numbers(3000, 1, 1), w = 2, *y = malloc(3000 * sizeof *y);
    pawl_device *d;
    assert_done(pawl_cpu_open_with(1, "auto", &pawl_gemm_portable, &d));
    for (int64_t n = 1; n <= 3000; n++)
        assert_done(pawl_linear(d, matrix(x, n, 1), matrix(&w, 1, 1), nothing, PAWL_SET, matrix(y, n, 1)));
    for (int i = 0; i < 3000; i++) assert_true(y[i] == 2 * x[i]);
    pawl_device_close(d);
    free(x), free(y);
}

typedef struct counts {
    int32_t seen[1000];
} counts;

static void count_one(void *self, int64_t i)
{
    ((counts *)self)->seen[i]++;
}

/* Jobs on each other's heels, and some after a pause in which the threads have gone to sleep. */
static void every_task_runs_once(void **state)
{
    (void)state;
    static const int threads[] = {2, 5};
    for (int t = 0; t < 2; t++) {
        pawl_device *d;
        assert_done(pawl_device_open_cpu(threads[t], "auto", &d));
        for (int round = 0; round < 2000; round++) {
            static counts c;
            memset(&c, 0, sizeof c);
            const int64_t count = round % 1000;
            if (round % 100 == 0) usleep(1000);
            pawl_parallel(d, count, count_one, &c);
            for (int64_t i = 0; i < 1000; i++) assert_int_equal(c.seen[i], i < count);
        }
        pawl_device_close(d);
    }
}

/* The bounds that exp_rule.h states, over every 97th float of the range, on each instruction set. */
static void check_exp(const pawl_kernels *k)
{
    enum { AT_ONCE = 4096 };
    static float x[AT_ONCE], y[AT_ONCE];
    double worst = 0;
    int count = 0;
    for (uint32_t bits = 0; bits < 0x42b17218u; bits += 97) /* up to 88.72 */
        for (int sign = 0; sign < 2; sign++) {
            const float value = pawl_bits_float(bits | (uint32_t)sign << 31);
            if (value >= -86.9f) x[count++] = value;
            if (count < AT_ONCE) continue;
            k->exp(x, y, count);
            for (int i = 0; i < count; i++) worst = fmax(worst, fabs((double)y[i] / exp((double)x[i]) - 1));
            count = 0;
        }
    if (!(worst <= 2.0e-7)) fail_msg("%s: exp is off by %.3g", k->isa, worst);
    float ends[] = {0, -0.0f, -87, -1000, -INFINITY, 88.74f, 1e10f, INFINITY, NAN, -86.9f}, got[10];
    const float expected[] = {1, 1, 0, 0, 0, INFINITY, INFINITY, INFINITY};
    k->exp(ends, got, 10);
    for (int i = 0; i < 8; i++) assert_true(got[i] == expected[i]);
    assert_true(isnan(got[8]) && got[9] > 0);
}

static void exp_and_log_keep_their_bounds(void **state)
{
    (void)state;
    static const char *const sets[] = {"generic", "avx2", "avx512"};
    for (int s = 0; s < 3; s++) {
        int runs = 0;
        const pawl_kernels *k = pawl_kernels_find(sets[s], &runs);
        if (k && runs) check_exp(k);
    }
    double worst = 0;
    for (uint32_t bits = 0x00800000u; bits < 0x7f000000u; bits += 997) {
        const float value = pawl_bits_float(bits), got = pawl_log_rule(value);
        const double exact = log((double)value), unit = fabs((double)(nextafterf(fabsf(got), INFINITY) - fabsf(got)));
        if (got != 0) worst = fmax(worst, fabs((double)got - exact) / unit);
    }
    assert_true(worst <= 0.51);
    assert_true(pawl_log_rule(1) == 0 && pawl_log_rule(0) == -INFINITY && pawl_log_rule(INFINITY) == INFINITY);
    assert_true(isnan(pawl_log_rule(-1)) && isnan(pawl_log_rule(NAN)));
}

/* Both sides of a device that shares the host's memory: pages, zeroed, and copies that are none between one address. */
static void memory_is_taken_and_copied(void **state)
{
    (void)state;
    float here[1000], there[1000] = {0};
    void *block;
    pawl_device *d;
    for (int i = 0; i < 1000; i++) here[i] = (float)i;
    assert_done(pawl_device_open_cpu(1, "auto", &d));
    assert_true(pawl_device_shares_memory(d));
    for (int side = PAWL_ON_DEVICE; side <= PAWL_ON_HOST; side++) {
        assert_done(pawl_device_take(d, (pawl_side_of)side, sizeof here, "a test", &block));
        assert_memory_equal(block, there, sizeof here);
        assert_done(pawl_upload(d, block, here, sizeof here));
        assert_done(pawl_upload(d, block, block, sizeof here));
        assert_done(pawl_scale(d, (pawl_tensor){.data = block, .ndim = 1, .dim = {1000}}, 2));
        assert_done(pawl_download(d, there, block, sizeof here));
        for (int i = 0; i < 1000; i++) assert_true(there[i] == 2 * here[i]);
        memset(there, 0, sizeof there);
        pawl_device_give(d, (pawl_side_of)side, block, sizeof here);
    }
    pawl_alloc_fail_after(1);
    assert_int_equal(pawl_device_take(d, PAWL_ON_DEVICE, 1, "a test", &block), PAWL_EMEM);
    pawl_alloc_fail_after(0);
    pawl_device_give(d, PAWL_ON_DEVICE, NULL, 1);
    pawl_device_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_number_of_threads_gives_the_same_bits),
        cmocka_unit_test(nothing_is_allocated_once_shapes_are_known),
        cmocka_unit_test(opening_survives_a_lack_of_memory),
        cmocka_unit_test(a_device_is_opened_by_name),
        cmocka_unit_test(what_the_processor_multiplies_is_not_converted),
        cmocka_unit_test(wrong_arguments_are_named),
        cmocka_unit_test(ever_new_shapes_do_not_grow_without_end),
        cmocka_unit_test(every_task_runs_once),
        cmocka_unit_test(memory_is_taken_and_copied),
        cmocka_unit_test(exp_and_log_keep_their_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
