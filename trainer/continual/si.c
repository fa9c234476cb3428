/* Synaptic intelligence: loss + c sum Omega (w - w*)^2, w* being the weights at the last stage's end. Along a stage
 * path -= g dw, with g the loss' own gradient and dw the step as the optimizer made it; at its end Omega += max(0,
 * path) / ((w - w*)^2 + xi). Source: Zenke, Poole & Ganguli 2017. */
#include "trainer/continual/slices.h"

enum { IMPORTANCE, ANCHOR, PATH, GRADS, BEFORE };
static const char *const kept[] = {"importance", "anchor", "path", NULL}; /* the rest lives for a step */
static const char *const carried[] = {"xi", NULL};

static pawl_status begin(void *self, const pawl_moment *m)
{
    const pawl_slices *s = self;
    if (pawl_is_carried(m, "si")) return PAWL_OK;
    return pawl_slices_copy(s, s->run[ANCHOR], pawl_hold_mine(&m->stepper->hold));
}

static pawl_status gradient(void *self, const pawl_moment *m, const float *weights, float *grads, double *penalty)
{
    pawl_slices *s = self;
    PAWL_TRY(pawl_slices_copy(s, s->run[GRADS], grads));
    return pawl_slices_anchor(s, weights, grads, s->run[ANCHOR], s->run[IMPORTANCE], 2 * m->p->continual->si.value.c,
                              penalty);
}

static pawl_status before_update(void *self, const pawl_moment *m, const float *weights, const float *grads, double lr)
{
    const pawl_slices *s = self;
    (void)m, (void)grads, (void)lr;
    return pawl_slices_copy(s, s->run[BEFORE], weights);
}

static pawl_status updated(void *self, const pawl_moment *m, float *weights)
{
    const pawl_slices *s = self;
    for (pawl_slice x = {.part = -1}; pawl_slice_next(s, &x);)
        PAWL_TRY(pawl_path(m->p->device, s->run[PATH] + x.at, s->run[GRADS] + x.at, s->run[BEFORE] + x.at,
                           weights + x.at, x.count));
    return PAWL_OK;
}

static pawl_status end_stage(void *self, const pawl_moment *m)
{
    const pawl_slices *s = self;
    const float *weights = pawl_hold_mine(&m->stepper->hold);
    for (pawl_slice x = {.part = -1}; pawl_slice_next(s, &x);)
        PAWL_TRY(pawl_synapses(m->p->device, s->run[IMPORTANCE] + x.at, s->run[PATH] + x.at, weights + x.at,
                               s->run[ANCHOR] + x.at, (float)m->p->continual->si.value.xi, x.count));
    return pawl_slices_copy(s, s->run[ANCHOR], weights);
}

const pawl_method pawl_si = {.name = "si",
                             .present = PAWL_METHOD_ON(si),
                             .kept = kept,
                             .more = 2,
                             .carried = carried,
                             .begin = begin,
                             .gradient = gradient,
                             .before_update = before_update,
                             .updated = updated,
                             .end_stage = end_stage};
