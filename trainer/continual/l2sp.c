/* L2-SP: loss + (lambda / 2) ||w - w_start||^2, w_start being the weights at the stage's begin. A first stage from
 * random weights has no such term. Source: Li, Grandvalet & Davoine 2018. */
#include "trainer/continual/slices.h"

static const char *const kept[] = {"anchor", NULL};

static pawl_status gradient(void *self, const pawl_moment *m, const float *weights, float *grads, double *penalty)
{
    pawl_slices *s = self;
    if (pawl_knows_nothing(m)) return PAWL_OK;
    return pawl_slices_anchor(s, weights, grads, s->run[0], NULL, m->p->continual->l2sp.value.lambda, penalty);
}

const pawl_method pawl_l2sp = {.name = "l2sp",
                               .present = PAWL_METHOD_ON(l2sp),
                               .kept = kept,
                               .begin_stage = pawl_slices_begin_stage,
                               .gradient = gradient};
