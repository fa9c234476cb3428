/* SFA: every so many steps of a stage w <- (1 - beta) w + beta w_start, w_start being the weights at its begin; not in
 * a first stage from random weights. Source: Kleiman et al. 2025 (sequential fine-tuning with averaging). */
#include "trainer/continual/slices.h"

static const char *const kept[] = {"anchor", NULL};

static pawl_status updated(void *self, const pawl_moment *m, float *weights)
{
    const pawl_slices *s = self;
    const pawl_sfa_config *c = &m->p->continual->sfa.value;
    if (pawl_knows_nothing(m) || s->end == s->first || (m->step + 1 - m->stage->first_step) % c->every != 0)
        return PAWL_OK;
    return pawl_lerp(m->p->device, weights, s->run[0], (float)c->beta, s->end - s->first);
}

const pawl_method pawl_sfa = {.name = "sfa",
                              .present = PAWL_METHOD_ON(sfa),
                              .kept = kept,
                              .begin_stage = pawl_slices_begin_stage,
                              .updated = updated};
