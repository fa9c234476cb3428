/* L2-SP: loss + (lambda / 2) ||w - w_start||^2, w_start being the weights at the stage's begin. A first stage from
 * random weights has no such term. Source: Li, Grandvalet & Davoine 2018. */
#include "trainer/continual/slices.h"

static int on(const pawl_continual_config *c)
{
    return c->l2sp.present;
}

static size_t bytes(const pawl_parts *p, int64_t first, int64_t end)
{
    return pawl_slices_bytes(p, first, end, 1);
}

static pawl_status take_up(const pawl_moment *m, void **self)
{
    PAWL_TRY(pawl_alloc(self, sizeof(pawl_slices), "l2sp"));
    return pawl_slices_open(m, 1, *self);
}

static void put_down(void *self)
{
    if (self) pawl_slices_close(self);
    pawl_free(self);
}

static pawl_status state(void *self, const pawl_state *names, pawl_state *out)
{
    return pawl_slices_state(self, "l2sp", (const char *const[]){"anchor", NULL}, names, out);
}

static pawl_status begin_stage(void *self, const pawl_moment *m)
{
    const pawl_slices *s = self;
    return pawl_slices_copy(s, s->run[0], pawl_hold_mine(&m->stepper->hold));
}

static pawl_status gradient(void *self, const pawl_moment *m, const float *weights, float *grads, double *penalty)
{
    pawl_slices *s = self;
    if (pawl_knows_nothing(m)) return PAWL_OK;
    return pawl_slices_anchor(s, weights, grads, s->run[0], NULL, m->p->continual->l2sp.value.lambda, penalty);
}

const pawl_method pawl_l2sp = {.name = "l2sp",
                               .on = on,
                               .bytes = bytes,
                               .open = take_up,
                               .close = put_down,
                               .state = state,
                               .begin_stage = begin_stage,
                               .gradient = gradient};
