/* Reptile, with replay MER's outer step: every so many steps of a stage w <- slow + epsilon (w - slow), and slow <- w.
 * Sources: Nichol et al. 2018; Riemer et al. 2019 (MER); Abbes et al. 2025. */
#include "trainer/continual/slices.h"

static const char *const kept[] = {"slow", NULL};

static pawl_status updated(void *self, const pawl_moment *m, float *weights)
{
    const pawl_slices *s = self;
    const pawl_reptile_config *c = &m->p->continual->reptile.value;
    if (s->end == s->first || (m->step + 1 - m->stage->first_step) % c->every != 0) return PAWL_OK;
    PAWL_TRY(pawl_lerp(m->p->device, s->run[0], weights, (float)c->epsilon, s->end - s->first));
    return pawl_slices_copy(s, weights, s->run[0]);
}

const pawl_method pawl_reptile = {.name = "reptile",
                                  .present = PAWL_METHOD_ON(reptile),
                                  .kept = kept,
                                  .begin_stage = pawl_slices_begin_stage,
                                  .updated = updated};
