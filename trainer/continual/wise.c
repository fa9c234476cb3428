/* WiSE-FT: at a stage's end w <- (1 - alpha) w_start + alpha w, w_start being the weights at its begin; not in a first
 * stage from random weights. Source: Wortsman et al. 2022. */
#include "trainer/continual/slices.h"

static int on(const pawl_continual_config *c)
{
    return c->wise.present;
}

static size_t bytes(const pawl_parts *p, int64_t first, int64_t end)
{
    return pawl_slices_bytes(p, first, end, 1);
}

static pawl_status take_up(const pawl_moment *m, void **self)
{
    PAWL_TRY(pawl_alloc(self, sizeof(pawl_slices), "wise"));
    return pawl_slices_open(m, 1, *self);
}

static void put_down(void *self)
{
    if (self) pawl_slices_close(self);
    pawl_free(self);
}

static pawl_status state(void *self, const pawl_state *names, pawl_state *out)
{
    return pawl_slices_state(self, "wise", (const char *const[]){"anchor", NULL}, names, out);
}

static pawl_status begin_stage(void *self, const pawl_moment *m)
{
    const pawl_slices *s = self;
    return pawl_slices_copy(s, s->run[0], pawl_hold_mine(&m->stepper->hold));
}

static pawl_status seal(void *self, const pawl_moment *m, float *weights)
{
    const pawl_slices *s = self;
    if (pawl_knows_nothing(m) || s->end == s->first) return PAWL_OK;
    return pawl_lerp(m->p->device, weights, s->run[0], (float)(1 - m->p->continual->wise.value.alpha),
                     s->end - s->first);
}

const pawl_method pawl_wise = {.name = "wise",
                               .on = on,
                               .bytes = bytes,
                               .open = take_up,
                               .close = put_down,
                               .state = state,
                               .begin_stage = begin_stage,
                               .seal = seal};
