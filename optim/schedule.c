#include <math.h>

#include "optim/optim.h"

static double constant(double p, double floor_ratio)
{
    (void)p;
    (void)floor_ratio;
    return 1;
}

static double linear(double p, double floor_ratio)
{
    return floor_ratio + (1 - floor_ratio) * (1 - p);
}

static double cosine(double p, double floor_ratio)
{
    return floor_ratio + (1 - floor_ratio) * 0.5 * (1 + cos(3.14159265358979323846 * p));
}

/* In the order of pawl_schedule_names. */
static double (*const shapes[])(double p, double floor_ratio) = {constant, linear, cosine};

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
    return c->learning_rate * shapes[c->lr_scheduler](p < 1 ? p : 1, c->cosine_min_lr_ratio);
}
