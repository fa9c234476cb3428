/* WiSE-FT: at a stage's end w <- (1 - alpha) w_start + alpha w, w_start being the weights at its begin; not in a first
 * stage from random weights. Source: Wortsman et al. 2022. */
#include "trainer/continual/slices.h"

static const char *const kept[] = {"anchor", NULL};

static pawl_status seal(void *self, const pawl_moment *m, float *weights)
{
    const pawl_slices *s = self;
    if (pawl_knows_nothing(m) || s->end == s->first) return PAWL_OK;
    return pawl_lerp(m->p->device, weights, s->run[0], (float)(1 - m->p->continual->wise.value.alpha),
                     s->end - s->first);
}

const pawl_method pawl_wise = {.name = "wise",
                               .present = PAWL_METHOD_ON(wise),
                               .kept = kept,
                               .begin_stage = pawl_slices_begin_stage,
                               .seal = seal};
