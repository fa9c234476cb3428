/* Freezing: tensors whose bits never change. Their gradients are 0 (nor are they in the norm), and the optimizer passes
 * them by: no decay, no moments. Source: Zheng et al. 2025 (spurious forgetting). */
#include "trainer/continual/slices.h"

static pawl_status check(const pawl_slices *s)
{
    const int64_t layers = pawl_model_settings(s->p->model)->num_hidden_layers;
    int trained = 0;
    PAWL_CHECK(s->p->continual->freeze.value.layers <= layers, PAWL_EUSAGE,
               "freeze.layers: the model has %lld layers, found %lld", (long long)layers,
               (long long)s->p->continual->freeze.value.layers);
    for (int i = 0; i < s->extent_count; i++) trained += !pawl_is_frozen(s->p, &s->extents[i]);
    PAWL_CHECK(trained > 0, PAWL_EUSAGE, "freeze: nothing would be left to train; freeze fewer layers");
    return PAWL_OK;
}

static pawl_status hold_still(const pawl_moment *m, void **self)
{
    const pawl_slices *s = *self;
    PAWL_TRY(check(s));
    for (int i = 0; i < s->extent_count; i++)
        if (pawl_is_frozen(m->p, &s->extents[i])) pawl_optim_freeze(m->stepper->optim, i);
    return PAWL_OK;
}

static pawl_status gradient(void *self, const pawl_moment *m, const float *weights, float *grads, double *penalty)
{
    (void)m, (void)weights, (void)penalty;
    return pawl_slices_still(self, grads);
}

static const char *const none[] = {NULL};

const pawl_method pawl_freeze = {
    .name = "freeze", .present = PAWL_METHOD_ON(freeze), .kept = none, .open = hold_still, .gradient = gradient};
