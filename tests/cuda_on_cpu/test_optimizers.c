#include "tests/cuda_on_cpu/cases.h"

static void positive(float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) x[i] = fabsf(x[i]);
}

static float *array_positive(const char *name, int64_t n)
{
    const pawl_tensor t = floats(0, n > 0 ? n : 1, 1);
    positive(t.data, n);
    return n > 0 ? changed(name, t).data : t.data;
}

static const pawl_adamw_step adamw_step = {1e-2, 0.9, 0.999, 1e-8, 0.1, 0.19, 0.002, 0.7, {0}};

/* Weights and moments of each type; the last two begin inside a block of chances. */
enum { KEPT = 6 };

static pawl_kept_as kept(int which)
{
    return (pawl_kept_as){.weights = which % 4 & 1 ? PAWL_BF16 : PAWL_F32,
                          .moments = which % 4 & 2 || which > 3 ? PAWL_BF16 : PAWL_F32,
                          .seed = 77,
                          .step = 5,
                          .first = which > 3 ? 1013 : 16};
}

#define EVERY_KEPT(as)                                                                                                 \
    for (int which_ = 0; which_ < KEPT; which_++)                                                                      \
        for (pawl_kept_as as = kept(which_), *go_ = &as; go_; go_ = NULL)

static void *array_kept(const char *name, pawl_dtype type, int64_t n)
{
    return n > 0 ? changed(name, values(type == PAWL_BF16, 0, n, 1)).data : scratch_of(1);
}

/* Second moments. */
static void *array_kept_positive(const char *name, pawl_dtype type, int64_t n)
{
    const pawl_tensor t = values(type == PAWL_BF16, 0, n > 0 ? n : 1, 1);
    if (type == PAWL_F32)
        positive(t.data, n);
    else
        for (int64_t i = 0; i < n; i++) ((uint16_t *)t.data)[i] &= 0x7fff;
    return n > 0 ? changed(name, t).data : t.data;
}

static void adamw(void **state)
{
    (void)state;
    EVERY_KEPT(as)
    EVERY_COUNT(n)
    {
        pawl_adamw_step k = adamw_step;
        k.kept = as;
        void *w = array_kept("w", as.weights, n), *m = array_kept("m", as.moments, n), *v = array_kept_positive("v", as.moments, n);
        float *g = array_of(n);
        AGREE(0, pawl_adamw(at_hand.cpu, w, g, m, v, n, &k), pawl_cuda_adamw(NULL, w, g, m, v, n, &k));
    }
}

static void sgd(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++)
        EVERY_KEPT(as)
        EVERY_COUNT(n)
        {
            const pawl_sgd_step k = {1e-2, kind > 0 ? 0.9 : 0, 0.1, 0.01, 0.7, kind == 2, kind == 3, as};
            void *w = array_kept("w", as.weights, n), *m = kind > 0 ? array_kept("m", as.moments, n) : NULL;
            float *g = array_of(n);
            AGREE(0, pawl_sgd(at_hand.cpu, w, g, m, n, &k), pawl_cuda_sgd(NULL, w, g, m, n, &k));
        }
}

static void lion(void **state)
{
    (void)state;
    EVERY_KEPT(as)
    EVERY_COUNT(n)
    {
        const pawl_lion_step k = {1e-2, 0.9, 0.99, 0.1, 0.7, as};
        void *w = array_kept("w", as.weights, n), *m = array_kept("m", as.moments, n);
        float *g = array_of(n);
        AGREE(0, pawl_lion(at_hand.cpu, w, g, m, n, &k), pawl_cuda_lion(NULL, w, g, m, n, &k));
    }
}

static void mixtures(void **state)
{
    (void)state;
    EVERY_KEPT(as)
    EVERY_COUNT(n)
    {
        void *y = array_kept("y", as.weights, n);
        float *a = array_changed("a", n), *x = array_of(n);
        if (n == 0) continue; /* no matrix is empty */
        AGREE(0, at_hand.cpu->ops->mix(at_hand.cpu, -4.775f, y, 2.03f, x, n, &as) || pawl_lerp(at_hand.cpu, a, x, 0.1f, n),
              (pawl_cuda_mix(NULL, -4.775f, y, 2.03f, x, n, &as), pawl_cuda_lerp(NULL, a, x, 0.1f, n)));
    }
}

static void muon_momentum(void **state)
{
    (void)state;
    for (int nesterov = 0; nesterov < 2; nesterov++)
        EVERY_KEPT(as)
        EVERY_COUNT(n)
        {
            const pawl_muon_step k = {.momentum = 0.95, .grad_scale = 0.7, .nesterov = nesterov, .kept = as};
            void *m = array_kept("m", as.moments, n);
            float *g = array_of(n), *out = array_changed("out", n);
            if (n == 0) continue; /* no matrix is empty */
            AGREE(0, at_hand.cpu->ops->muon_momentum(at_hand.cpu, g, m, out, n, &k),
                  pawl_cuda_muon_momentum(NULL, g, m, out, n, &k));
        }
    end_case();
}

static const pawl_dynamic *levels(int is_signed)
{
    static pawl_dynamic d[2];
    pawl_dynamic_fill(&d[is_signed], is_signed);
    return &d[is_signed];
}

static void adamw_8bit(void **state)
{
    (void)state;
    EVERY_KEPT(as)
    EVERY_COUNT(n)
    {
        const size_t blocks = (size_t)(n + 255) / 256;
        pawl_adamw_step how = adamw_step;
        how.kept = as;
        void *w = array_kept("w", as.weights, n);
        float *g = array_of(n);
        if (n == 0) continue;
        const pawl_moments_8bit k = {output_bytes("m", (size_t)n), output_bytes("v", (size_t)n), output("m's scales", 0, 0, (int64_t)blocks).data,
                                     output("v's scales", 0, 0, (int64_t)blocks).data};
        memset(k.m_scale, 0, blocks * sizeof(float));
        memset(k.v_scale, 0, blocks * sizeof(float));
        for (int64_t i = 0; i < n; i++) g[i] = i / 256 == 1 ? 0.0f : g[i]; /* a block of zeros among them */
        /* two steps from zeros on: the second decodes what the first has coded */
        for (int i = 0; i < 2; i++) assert_done(pawl_adamw_8bit(at_hand.cpu, w, g, &k, n, &how));
        for (int i = 0; i < at_hand.result_count; i++)
            memcpy(at_hand.results[i].before, at_hand.results[i].t.data, pawl_tensor_bytes(at_hand.results[i].t));
        AGREE(0, pawl_adamw_8bit(at_hand.cpu, w, g, &k, n, &how),
              pawl_cuda_adamw_8bit(NULL, w, g, &k, n, &how, levels(1), levels(0)));
    }
    end_case();
}

/* Row factors, the clipping and so the weights hang on sums in double that run in another order: 1e-6. */
static void adafactor(void **state)
{
    static const int64_t of[][2] = {{1, 1}, {3, 33}, {130, 5}, {257, 64}, {70, 300}, {1, 0}, {300, 0}, {70000, 0}};
    (void)state;
    for (size_t i = 0; i < 2 * sizeof of / sizeof *of; i++) {
        const int64_t rows = of[i / 2][0], cols = of[i / 2][1], count = cols > 0 ? rows * cols : rows;
        const pawl_adafactor_step k = {1e-2, 0.1, 0.9, 1e-30, i / 2 % 2 ? 0.5 : 1.0, 0.7, kept(i % 2)};
        void *w = array_kept("w", k.kept.weights, count);
        float *g = array_of(count), *row = array_positive("row", rows),
              *col = cols > 0 ? array_positive("col", cols) : NULL;
        void *scratch = scratch_of(pawl_adafactor_scratch_bytes(rows, cols));
        double *two = scratch_of(2 * sizeof *two);
        AGREE(1e-6, pawl_adafactor(at_hand.cpu, w, g, row, col, rows, cols, scratch, &k),
              pawl_cuda_adafactor(NULL, w, g, row, col, rows, cols, scratch, &k, two));
    }
}

const struct CMUnitTest optimizer_tests[] = {cmocka_unit_test(adamw),    cmocka_unit_test(sgd),
                                             cmocka_unit_test(lion),     cmocka_unit_test(mixtures),
                                             cmocka_unit_test(muon_momentum), cmocka_unit_test(adamw_8bit), cmocka_unit_test(adafactor), {NULL, NULL, NULL, NULL, NULL}};
