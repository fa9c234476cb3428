/* Online EWC: loss + (lambda / 2) sum F (w - w*)^2; at a stage's end F <- gamma F + F of the stage, w* <- w. F is the
 * Fisher information a row (importance.h), empirical or true. Sources: Kirkpatrick et al. 2017; Schwarz et al. 2018
 * (online); Kunstner et al. 2019 (which Fisher). */
#include "trainer/continual/importance.h"

enum { FISHER, ANCHOR, FRESH };
static const char *const kept[] = {"fisher", "anchor", NULL}; /* the rest lives for a stage's end */
static const char *const carried[] = {"fisher", NULL};

static pawl_room bytes_for_a_while(const pawl_parts *p)
{
    return pawl_side_bytes(p, p->continual->ewc.value.samples);
}

static pawl_importance how(const pawl_moment *m)
{
    return m->p->continual->ewc.value.fisher == PAWL_FISHER_TRUE ? PAWL_FISHER_TRUE : PAWL_FISHER_EMPIRICAL;
}

static pawl_status fold(const pawl_slices *s, const pawl_moment *m)
{
    for (pawl_slice x = {.part = -1}; pawl_slice_next(s, &x);)
        PAWL_TRY(pawl_mix(m->p->device, (float)m->p->continual->ewc.value.gamma, s->run[FISHER] + x.at, 1,
                          s->run[FRESH] + x.at, x.count));
    return pawl_slices_copy(s, s->run[ANCHOR], pawl_hold_mine(&m->stepper->hold));
}

static pawl_status begin(void *self, const pawl_moment *m)
{
    const pawl_slices *s = self;
    int64_t found;
    if (pawl_is_carried(m, "ewc") && m->general_known) return PAWL_OK;
    PAWL_TRY(pawl_importance_of_general(m, how(m), m->p->continual->ewc.value.samples, s->run[FRESH], &found));
    return found ? fold(s, m) : PAWL_OK;
}

static pawl_status end_stage(void *self, const pawl_moment *m)
{
    const pawl_slices *s = self;
    int64_t found;
    PAWL_TRY(pawl_importance_of_stage(m, how(m), m->p->continual->ewc.value.samples, s->run[FRESH], &found));
    return found ? fold(s, m) : PAWL_OK;
}

static pawl_status gradient(void *self, const pawl_moment *m, const float *weights, float *grads, double *penalty)
{
    pawl_slices *s = self;
    return pawl_slices_anchor(s, weights, grads, s->run[ANCHOR], s->run[FISHER], m->p->continual->ewc.value.lambda,
                              penalty);
}

const pawl_method pawl_ewc = {.name = "ewc",
                              .present = PAWL_METHOD_ON(ewc),
                              .kept = kept,
                              .more = 1,
                              .carried = carried,
                              .bytes_for_a_while = bytes_for_a_while,
                              .begin = begin,
                              .gradient = gradient,
                              .end_stage = end_stage};
