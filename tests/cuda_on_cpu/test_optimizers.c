#include "tests/cuda_on_cpu/cases.h"

#define EVERY_COUNT(n)                                                                                                 \
    for (int i_ = 0; i_ < COUNTS; i_++)                                                                                \
        BOTH_PLACES for (int64_t n = counts[i_], once_ = 1; once_; once_ = 0)

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

static const pawl_adamw_step adamw_step = {1e-2, 0.9, 0.999, 1e-8, 0.1, 0.19, 0.002, 0.7};

static void adamw(void **state)
{
    (void)state;
    EVERY_COUNT(n)
    {
        float *w = array_changed("w", n), *g = array_of(n), *m = array_changed("m", n), *v = array_positive("v", n);
        AGREE(0, pawl_adamw(at_hand.cpu, w, g, m, v, n, &adamw_step), pawl_cuda_adamw(NULL, w, g, m, v, n, &adamw_step));
    }
}

static void sgd(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++)
        EVERY_COUNT(n)
        {
            const pawl_sgd_step k = {1e-2, kind > 0 ? 0.9 : 0, 0.1, 0.01, 0.7, kind == 2, kind == 3};
            float *w = array_changed("w", n), *g = array_of(n), *m = kind > 0 ? array_changed("m", n) : NULL;
            AGREE(0, pawl_sgd(at_hand.cpu, w, g, m, n, &k), pawl_cuda_sgd(NULL, w, g, m, n, &k));
        }
}

static void lion(void **state)
{
    const pawl_lion_step k = {1e-2, 0.9, 0.99, 0.1, 0.7};
    (void)state;
    EVERY_COUNT(n)
    {
        float *w = array_changed("w", n), *g = array_of(n), *m = array_changed("m", n);
        AGREE(0, pawl_lion(at_hand.cpu, w, g, m, n, &k), pawl_cuda_lion(NULL, w, g, m, n, &k));
    }
}

static void mixtures(void **state)
{
    (void)state;
    EVERY_COUNT(n)
    {
        float *y = array_changed("y", n), *a = array_changed("a", n), *x = array_of(n);
        AGREE(0, pawl_mix(at_hand.cpu, -4.775f, y, 2.03f, x, n) || pawl_lerp(at_hand.cpu, a, x, 0.1f, n),
              (pawl_cuda_mix(NULL, -4.775f, y, 2.03f, x, n), pawl_cuda_lerp(NULL, a, x, 0.1f, n)));
    }
}

static void muon_momentum(void **state)
{
    (void)state;
    for (int nesterov = 0; nesterov < 2; nesterov++)
        EVERY_COUNT(n)
        {
            const pawl_muon_step k = {.momentum = 0.95, .grad_scale = 0.7, .nesterov = nesterov};
            float *m = array_changed("m", n), *g = array_of(n), *out = array_changed("out", n);
            if (n == 0) continue; /* no matrix is empty */
            AGREE(0, at_hand.cpu->ops->muon_momentum(at_hand.cpu, g, m, out, n, &k),
                  pawl_cuda_muon_momentum(NULL, g, m, out, n, &k));
        }
    end_case();
}

const struct CMUnitTest optimizer_tests[] = {cmocka_unit_test(adamw),    cmocka_unit_test(sgd),
                                             cmocka_unit_test(lion),     cmocka_unit_test(mixtures),
                                             cmocka_unit_test(muon_momentum), {NULL, NULL, NULL, NULL, NULL}};
