/* Memory aware synapses: loss + lambda sum Omega (w - w*)^2; at a stage's end Omega <- decay Omega + (1 - decay) Omega
 * of the stage (the first one's as it is), w* <- w. Omega needs no labels (importance.h). Source: Aljundi et al. 2018.
 */
#include "trainer/continual/importance.h"

enum { IMPORTANCE, ANCHOR, FRESH };
static const char *const kept[] = {"importance", "anchor", NULL}; /* the rest lives for a stage's end */
static const char *const carried[] = {NULL}; /* of any settings */

static pawl_room bytes_for_a_while(const pawl_parts *p)
{
    return pawl_side_bytes(p, p->continual->mas.value.samples);
}

static pawl_status fold(const pawl_slices *s, const pawl_moment *m, int first)
{
    const float decay = first ? 0 : (float)m->p->continual->mas.value.decay;
    for (pawl_slice x = {.part = -1}; pawl_slice_next(s, &x);)
        PAWL_TRY(pawl_mix(m->p->device, decay, s->run[IMPORTANCE] + x.at, 1 - decay, s->run[FRESH] + x.at, x.count));
    return pawl_slices_copy(s, s->run[ANCHOR], pawl_hold_mine(&m->stepper->hold));
}

static pawl_status begin(void *self, const pawl_moment *m)
{
    const pawl_slices *s = self;
    int64_t found;
    if (pawl_is_carried(m, "mas") && m->general_known) return PAWL_OK;
    PAWL_TRY(
        pawl_importance_of_general(m, PAWL_SENSITIVITY, m->p->continual->mas.value.samples, s->run[FRESH], &found));
    return found ? fold(s, m, !pawl_is_carried(m, "mas")) : PAWL_OK;
}

static pawl_status end_stage(void *self, const pawl_moment *m)
{
    const pawl_slices *s = self;
    int64_t found;
    PAWL_TRY(pawl_importance_of_stage(m, PAWL_SENSITIVITY, m->p->continual->mas.value.samples, s->run[FRESH], &found));
    return found ? fold(s, m, m->stage->index == 0 && !pawl_has_general(m) && !pawl_is_carried(m, "mas")) : PAWL_OK;
}

static pawl_status gradient(void *self, const pawl_moment *m, const float *weights, float *grads, double *penalty)
{
    pawl_slices *s = self;
    return pawl_slices_anchor(s, weights, grads, s->run[ANCHOR], s->run[IMPORTANCE],
                              2 * m->p->continual->mas.value.lambda, penalty);
}

const pawl_method pawl_mas = {.name = "mas",
                              .present = PAWL_METHOD_ON(mas),
                              .kept = kept,
                              .more = 1,
                              .carried = carried,
                              .bytes_for_a_while = bytes_for_a_while,
                              .begin = begin,
                              .gradient = gradient,
                              .end_stage = end_stage};
