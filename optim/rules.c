/* The table of rules: what each keeps for a tensor, where it may be cut, and its step. */
#include "optim/rules.h"

#include <math.h>

pawl_tensor pawl_shape_alike(const pawl_optim_config *c, const pawl_extent *e)
{
    (void)c;
    const int matrix = e->cols > 0;
    return (pawl_tensor){
        .dtype = PAWL_F32, .ndim = matrix ? 2 : 1, .dim = {matrix ? e->rows : e->count, matrix ? e->cols : 0}};
}

/* In the order of pawl_optimizer_names. */
static const pawl_rule rules[] = {
    {"adamw", {{"m", pawl_shape_alike, 1}, {"v", pawl_shape_alike, 1}}, PAWL_OPTIM_CUT, NULL, pawl_step_adamw},
};

const pawl_rule *pawl_rule_of(const pawl_optim_config *c, const pawl_extent *e)
{
    (void)e;
    return &rules[c->optimizer];
}

void pawl_run_part(const pawl_rule_run *run, pawl_tensor whole, const pawl_piece *p, int64_t *first, int64_t *count)
{
    const int64_t all = pawl_tensor_count(whole);
    const int is_whole = p->first == 0 && p->count == p->of->count;
    *first = is_whole || all == 0 ? 0 : p->first / run->per;
    *count = is_whole || all == 0 ? all : (p->count + run->per - 1) / run->per;
}

pawl_status pawl_step_adamw(pawl_optim *o, const pawl_piece *p, float *w, const float *g, const pawl_rule_step *k)
{
    const pawl_optim_config *c = &o->config;
    const double t = (double)k->t;
    const pawl_adamw_step s = {.lr = (float)k->lr,
                               .beta1 = (float)c->adam_beta1,
                               .beta2 = (float)c->adam_beta2,
                               .eps = (float)c->adam_epsilon,
                               .decay = (float)k->decay,
                               .fix1 = (float)(1 - pow(c->adam_beta1, t)),
                               .fix2 = (float)(1 - pow(c->adam_beta2, t)),
                               .grad_scale = (float)k->grad_scale};
    return pawl_adamw(o->device, w, g, p->state[0], p->state[1], p->count, &s);
}
