/* A pass without the computing. */
#include "model/pass.h"

static pawl_status walk_forward(pass *p)
{
    for (int64_t part = 0; part < pass_above(p); part++) {
        PAWL_TRY(pass_need(p, part));
        PAWL_TRY(pass_soon_above(p, part));
        PAWL_TRY(pass_done(p, part));
    }
    PAWL_TRY(pass_need(p, pass_above(p)));
    return pass_soon_above(p, pass_above(p));
}

static pawl_status walk_head(pass *p)
{
    const int64_t part = pass_head(p);
    if (part != pass_above(p)) PAWL_TRY(pass_need(p, part));
    if (p->learns) PAWL_TRY(pass_want(p, part));
    return part != pass_above(p) ? pass_done(p, part) : PAWL_OK;
}

static pawl_status walk_backward(pass *p)
{
    if (pass_head(p) != pass_above(p)) PAWL_TRY(pass_want(p, pass_above(p)));
    PAWL_TRY(pass_done(p, pass_above(p)));
    PAWL_TRY(pass_ready(p, pass_above(p)));
    const int64_t lowest = p->adapting.over ? p->adapting.over->adapter->items[0].module.layer : 0;
    for (int64_t l = p->m->config.num_hidden_layers - 1; l >= lowest; l--) {
        PAWL_TRY(pass_need(p, pass_block(l)));
        if (l > lowest) PAWL_TRY(pass_soon(p, pass_block(l - 1)));
        PAWL_TRY(pass_want(p, pass_block(l)));
        PAWL_TRY(pass_done(p, pass_block(l)));
        PAWL_TRY(pass_ready(p, pass_block(l)));
    }
    if (p->adapting.over) return PAWL_OK;
    if (pass_head(p) != 0) PAWL_TRY(pass_want(p, 0));
    return pass_ready(p, 0);
}

pawl_status pawl_model_walk(const pawl_model *m, const pawl_pass *how)
{
    pass p = {
        .m = m, .how = how, .learns = how->grads || (how->hooks && how->hooks->want), .adapting = {.over = how->over}};
    PAWL_TRY(walk_forward(&p));
    PAWL_TRY(walk_head(&p));
    return p.learns ? walk_backward(&p) : pass_done(&p, pass_above(&p));
}
