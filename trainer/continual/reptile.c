/* Reptile, with replay MER's outer step: every so many steps of a stage w <- slow + epsilon (w - slow), and slow <- w.
 * Sources: Nichol et al. 2018; Riemer et al. 2019 (MER); Abbes et al. 2025. */
#include "trainer/continual/slices.h"

static int on(const pawl_continual_config *c)
{
    return c->reptile.present;
}

static size_t bytes(const pawl_parts *p, int64_t first, int64_t end)
{
    return pawl_slices_bytes(p, first, end, 1);
}

static pawl_status take_up(const pawl_moment *m, void **self)
{
    PAWL_TRY(pawl_alloc(self, sizeof(pawl_slices), "reptile"));
    return pawl_slices_open(m, 1, *self);
}

static void put_down(void *self)
{
    if (self) pawl_slices_close(self);
    pawl_free(self);
}

static pawl_status state(void *self, const pawl_state *names, pawl_state *out)
{
    return pawl_slices_state(self, "reptile", (const char *const[]){"slow", NULL}, names, out);
}

static pawl_status begin_stage(void *self, const pawl_moment *m)
{
    const pawl_slices *s = self;
    return pawl_slices_copy(s, s->run[0], pawl_hold_mine(&m->stepper->hold));
}

static pawl_status updated(void *self, const pawl_moment *m, float *weights)
{
    const pawl_slices *s = self;
    const pawl_reptile_config *c = &m->p->continual->reptile.value;
    if (s->end == s->first || (m->step + 1 - m->stage->first_step) % c->every != 0) return PAWL_OK;
    PAWL_TRY(pawl_lerp(m->p->device, s->run[0], weights, (float)c->epsilon, s->end - s->first));
    return pawl_slices_copy(s, weights, s->run[0]);
}

const pawl_method pawl_reptile = {.name = "reptile",
                                  .on = on,
                                  .bytes = bytes,
                                  .open = take_up,
                                  .close = put_down,
                                  .state = state,
                                  .begin_stage = begin_stage,
                                  .updated = updated};
