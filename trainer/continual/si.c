/* Synaptic intelligence: loss + c sum Omega (w - w*)^2, w* being the weights at the last stage's end. Along a stage
 * path -= g dw, with g the loss' own gradient and dw the step as the optimizer made it; at its end Omega += max(0,
 * path) / ((w - w*)^2 + xi). Source: Zenke, Poole & Ganguli 2017. */
#include "trainer/continual/slices.h"

enum { IMPORTANCE, ANCHOR, PATH, GRADS, BEFORE, RUNS }; /* the last two live for a step */

static int on(const pawl_continual_config *c)
{
    return c->si.present;
}

static size_t bytes(const pawl_parts *p, int64_t first, int64_t end)
{
    return pawl_slices_bytes(p, first, end, RUNS);
}

static pawl_status take_up(const pawl_moment *m, void **self)
{
    PAWL_TRY(pawl_alloc(self, sizeof(pawl_slices), "si"));
    return pawl_slices_open(m, RUNS, *self);
}

static void put_down(void *self)
{
    if (self) pawl_slices_close(self);
    pawl_free(self);
}

static pawl_status state(void *self, const pawl_state *names, pawl_state *out)
{
    return pawl_slices_state(self, "si", (const char *const[]){"importance", "anchor", "path", NULL}, names, out);
}

static pawl_status begin(void *self, const pawl_moment *m)
{
    const pawl_slices *s = self;
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
                             .on = on,
                             .bytes = bytes,
                             .open = take_up,
                             .close = put_down,
                             .state = state,
                             .begin = begin,
                             .gradient = gradient,
                             .before_update = before_update,
                             .updated = updated,
                             .end_stage = end_stage};
