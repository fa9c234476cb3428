/* The rates of a step: the schedule's, and what each tensor makes of it. */
#include <math.h>

#include "optim/rules.h"

double pawl_rate_of(const pawl_optim_config *c, const pawl_extent *e, double lr)
{
    const int embedding = e->role == PAWL_ROLE_EMBEDDING;
    if (embedding && c->embedding_lr > 0) return lr * (c->embedding_lr / c->learning_rate);
    if (embedding && c->embedding_lr_scale > 0) return lr * c->embedding_lr_scale;
    if (c->muon_adamw_lr > 0 && !pawl_is_muons(c, e)) lr *= c->muon_adamw_lr / c->learning_rate;
    return c->layerwise_lr_decay < 1 ? lr * pow(c->layerwise_lr_decay, (double)e->above) : lr;
}
