#include <math.h>

#include "optim/optim.h"

/* Where a step is: of the steps after warm-up the share that is done, and all of it. */
typedef struct place {
    const pawl_optim_config *c;
    double p;
    int64_t step, warmup, steps;
} place;

/* Half a cosine, from 1 at 0 to 0 at 1. */
static double cosine_down(double p)
{
    return 0.5 * (1 + cos(3.14159265358979323846 * p));
}

static double constant(const place *x)
{
    (void)x;
    return 1;
}

static double linear(const place *x)
{
    return 1 - x->p;
}

static double cosine(const place *x)
{
    return cosine_down(x->p);
}

static double cosine_with_restarts(const place *x)
{
    return x->p < 1 ? cosine_down(fmod((double)x->c->lr_num_cycles * x->p, 1)) : 0;
}

static double polynomial(const place *x)
{
    return pow(1 - x->p, x->c->lr_power);
}

static double inverse_sqrt(const place *x)
{
    enum { WITHOUT_WARMUP = 10000 };
    const int64_t given = x->c->lr_timescale, scale = given ? given : x->warmup ? x->warmup : WITHOUT_WARMUP;
    return 1 / sqrt((double)(x->step - x->warmup + scale) / (double)scale);
}

static double sqrt_down(double p)
{
    return 1 - sqrt(p);
}

static double linear_down(double p)
{
    return 1 - p;
}

/* In the order of pawl_decay_names. */
static double (*const decays[])(double p) = {linear_down, cosine_down, sqrt_down};

int64_t pawl_decay_steps(const pawl_optim_config *c, int64_t steps)
{
    const int64_t after = steps - pawl_warmup_steps(c, steps);
    const double share = c->lr_decay_ratio > 0 || !pawl_schedule_is_endless(c->lr_scheduler) ? c->lr_decay_ratio : 0.1;
    const int64_t d = c->lr_decay_steps > 0 ? c->lr_decay_steps : (int64_t)ceil(share * (double)steps);
    return d < after ? d : after;
}

static double warmup_stable_decay(const place *x)
{
    const int64_t decay = pawl_decay_steps(x->c, x->steps), at = x->step - (x->steps - decay);
    if (at < 0) return 1;
    return at < decay ? decays[x->c->lr_decay_type]((double)at / (double)decay) : 0;
}

/* The constant rate is reached from above, and left, when the stream ends, towards the floor by equal factors. */
static double infinite(const place *x)
{
    const pawl_optim_config *c = x->c;
    const double level = c->lr_constant_ratio, least = c->cosine_min_lr_ratio > 0 ? c->cosine_min_lr_ratio : level / 100;
    const int64_t decay = pawl_decay_steps(c, x->steps), at = x->step - (x->steps - decay);
    const double cool = ceil(c->lr_cooldown_ratio * (double)x->steps), cooled = (double)(x->step - x->warmup);
    const double before = cooled < cool ? level + (1 - level) * cosine_down(cooled / cool) : level;
    if (at < 0 || before <= 0) return before;
    return before * pow(least / before, (double)at / (double)decay);
}

/* In the order of pawl_schedule_names. Those that come down end at the floor. */
static const struct {
    double (*shape)(const place *x);
    int floor;
} schedules[] = {{constant, 0},
                 {linear, 1},
                 {cosine, 1},
                 {cosine_with_restarts, 1},
                 {polynomial, 1},
                 {inverse_sqrt, 0},
                 {warmup_stable_decay, 1},
                 {constant, 0},
                 {infinite, 0}};

int pawl_schedule_is_endless(int32_t lr_scheduler)
{
    return schedules[lr_scheduler].shape == infinite;
}

int64_t pawl_warmup_steps(const pawl_optim_config *c, int64_t steps)
{
    const int64_t w = c->warmup_steps > 0 ? c->warmup_steps : (int64_t)ceil(c->warmup_ratio * (double)steps);
    return w < steps ? w : steps;
}

double pawl_learning_rate(const pawl_optim_config *c, int64_t step, int64_t steps)
{
    const int64_t w = pawl_warmup_steps(c, steps);
    if (step < w) return c->learning_rate * (double)(step + 1) / (double)w;
    const double p = steps > w ? (double)(step - w) / (double)(steps - w) : 1;
    const place x = {.c = c, .p = p < 1 ? p : 1, .step = step, .warmup = w, .steps = steps};
    const double floor = schedules[c->lr_scheduler].floor ? c->cosine_min_lr_ratio : 0;
    return c->learning_rate * (floor + (1 - floor) * schedules[c->lr_scheduler].shape(&x));
}
