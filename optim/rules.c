/* The table of rules: what each keeps for a tensor, where it may be cut, and its step. */
#include "optim/rules.h"

#include <math.h>
#include <string.h>

/* ---- shapes of state ---- */

static pawl_tensor numbers(pawl_dtype dtype, int64_t count)
{
    return (pawl_tensor){.dtype = dtype, .ndim = 1, .dim = {count}};
}

pawl_tensor pawl_shape_alike(const pawl_extent *e)
{
    if (e->cols == 0) return numbers(PAWL_F32, e->count);
    return (pawl_tensor){.dtype = PAWL_F32, .ndim = 2, .dim = {e->rows, e->cols}};
}

pawl_dtype pawl_moments_type(const pawl_optim_config *c)
{
    return c->moments_dtype ? PAWL_BF16 : PAWL_F32;
}

static pawl_tensor moments(const pawl_optim_config *c, const pawl_extent *e)
{
    pawl_tensor t = pawl_shape_alike(e);
    t.dtype = pawl_moments_type(c);
    return t;
}

static pawl_tensor momentum(const pawl_optim_config *c, const pawl_extent *e)
{
    return c->sgd_momentum > 0 ? moments(c, e) : numbers(PAWL_F32, 0);
}

/* Fewer numbers than this are not worth the error. */
static int is_small(const pawl_extent *e)
{
    return e->count < PAWL_8BIT_LEAST;
}

static pawl_tensor codes(const pawl_optim_config *c, const pawl_extent *e)
{
    (void)c;
    pawl_tensor t = pawl_shape_alike(e);
    if (!is_small(e)) t.dtype = PAWL_U8;
    return t;
}

static pawl_tensor scales(const pawl_optim_config *c, const pawl_extent *e)
{
    (void)c;
    return numbers(PAWL_F32, is_small(e) ? 0 : (e->count + PAWL_8BIT_BLOCK - 1) / PAWL_8BIT_BLOCK);
}

static pawl_tensor row_factors(const pawl_optim_config *c, const pawl_extent *e)
{
    (void)c;
    return numbers(PAWL_F32, e->cols > 0 ? e->rows : 0);
}

static pawl_tensor column_factors(const pawl_optim_config *c, const pawl_extent *e)
{
    (void)c;
    return numbers(PAWL_F32, e->cols);
}

static pawl_tensor if_vector(const pawl_optim_config *c, const pawl_extent *e)
{
    (void)c;
    return numbers(PAWL_F32, e->cols > 0 ? 0 : e->count);
}

/* ---- steps ---- */

static pawl_adamw_step adamw_numbers(const pawl_optim_config *c, const pawl_rule_step *k)
{
    const double t = (double)k->t;
    return (pawl_adamw_step){.lr = (float)k->lr,
                             .beta1 = (float)c->adam_beta1,
                             .beta2 = (float)c->adam_beta2,
                             .eps = (float)c->adam_epsilon,
                             .decay = (float)k->decay,
                             .fix1 = (float)(1 - pow(c->adam_beta1, t)),
                             .fix2 = (float)(1 - pow(c->adam_beta2, t)),
                             .grad_scale = (float)k->grad_scale,
                             .kept = k->kept};
}

static pawl_status step_adamw(pawl_optim *o, const pawl_piece *p, void *w, const float *g, const pawl_rule_step *k)
{
    const pawl_adamw_step s = adamw_numbers(&o->config, k);
    return pawl_adamw(o->device, w, g, p->state[0], p->state[1], p->count, &s);
}

static pawl_status step_adamw_8bit(pawl_optim *o, const pawl_piece *p, void *w, const float *g,
                                   const pawl_rule_step *k)
{
    pawl_adamw_step s = adamw_numbers(&o->config, k);
    s.kept.moments = PAWL_F32; /* of the small ones */
    const pawl_moments_8bit moments = {p->state[0], p->state[1], p->state[2], p->state[3]};
    if (is_small(p->of)) return pawl_adamw(o->device, w, g, p->state[0], p->state[1], p->count, &s);
    return pawl_adamw_8bit(o->device, w, g, &moments, p->count, &s);
}

static pawl_status step_sgd(pawl_optim *o, const pawl_piece *p, void *w, const float *g, const pawl_rule_step *k)
{
    const pawl_optim_config *c = &o->config;
    const pawl_sgd_step s = {.lr = k->lr,
                             .momentum = c->sgd_momentum,
                             .dampening = c->sgd_dampening,
                             .decay = k->decay,
                             .grad_scale = k->grad_scale,
                             .nesterov = c->sgd_nesterov,
                             .first = k->t == 1,
                             .kept = k->kept};
    return pawl_sgd(o->device, w, g, p->state[0], p->count, &s);
}

static pawl_status step_lion(pawl_optim *o, const pawl_piece *p, void *w, const float *g, const pawl_rule_step *k)
{
    const pawl_optim_config *c = &o->config;
    const pawl_lion_step s = {
        .lr = k->lr, .beta1 = c->adam_beta1, .beta2 = c->adam_beta2, .decay = k->decay, .grad_scale = k->grad_scale, .kept = k->kept};
    return pawl_lion(o->device, w, g, p->state[0], p->count, &s);
}

static size_t adafactor_scratch_bytes(const pawl_optim_config *c, const pawl_extent *e)
{
    (void)c;
    return pawl_adafactor_scratch_bytes(e->rows, e->cols);
}

static pawl_status step_adafactor(pawl_optim *o, const pawl_piece *p, void *w, const float *g, const pawl_rule_step *k)
{
    /* What transformers' Adafactor has for clip_threshold, decay_rate and the first eps when nothing is said. */
    const pawl_adafactor_step s = {.lr = k->lr,
                                   .decay = k->decay,
                                   .beta2 = 1 - pow((double)k->t, -0.8),
                                   .eps = 1e-30,
                                   .clip_threshold = 1,
                                   .grad_scale = k->grad_scale,
                                   .kept = k->kept};
    float *row = p->of->cols > 0 ? p->state[0] : p->state[2];
    return pawl_adafactor(o->device, w, g, row, p->state[1], p->of->rows, p->of->cols, o->scratch, &s);
}

static size_t muon_scratch_bytes(const pawl_optim_config *c, const pawl_extent *e)
{
    (void)c;
    return pawl_muon_scratch_bytes(e->rows, e->cols);
}

static pawl_status step_muon(pawl_optim *o, const pawl_piece *p, void *w, const float *g, const pawl_rule_step *k)
{
    const pawl_optim_config *c = &o->config;
    const pawl_muon_step s = {.lr = k->lr,
                              .decay = k->decay,
                              .momentum = c->muon_momentum,
                              .grad_scale = k->grad_scale,
                              .steps = c->muon_ns_steps,
                              .nesterov = c->muon_nesterov,
                              .adjust = (pawl_muon_adjust)c->muon_adjust_lr_fn,
                              .kept = k->kept};
    return pawl_muon(o->device, w, g, p->state[0], p->of->rows, p->of->cols, o->scratch, &s);
}

/* ---- the table, in the order of pawl_optimizer_names ---- */

static const pawl_rule rules[] = {
    {"adamw", {{"m", moments, 1}, {"v", moments, 1}}, PAWL_OPTIM_CUT, NULL, step_adamw},
    {"adamw_8bit",
     {{"m", codes, 1}, {"v", codes, 1}, {"m_scale", scales, PAWL_8BIT_BLOCK}, {"v_scale", scales, PAWL_8BIT_BLOCK}},
     PAWL_OPTIM_CUT,
     NULL,
     step_adamw_8bit},
    {"sgd", {{"momentum", momentum, 1}}, PAWL_OPTIM_CUT, NULL, step_sgd},
    {"lion", {{"m", moments, 1}}, PAWL_OPTIM_CUT, NULL, step_lion},
    {"adafactor",
     {{"row", row_factors, 1}, {"column", column_factors, 1}, {"v", if_vector, 1}},
     0,
     adafactor_scratch_bytes,
     step_adafactor},
    {"muon", {{"momentum", moments, 1}}, 0, muon_scratch_bytes, step_muon},
};

int pawl_optim_is_muon(const pawl_optim_config *c)
{
    return rules[c->optimizer].step == step_muon;
}

int pawl_is_muons(const pawl_optim_config *c, const pawl_extent *e)
{
    return pawl_optim_is_muon(c) && e->role == PAWL_ROLE_MATRIX;
}

/* Muon is for matrices inside the network: AdamW, the first row, has the rest. */
const pawl_rule *pawl_rule_of(const pawl_optim_config *c, const pawl_extent *e)
{
    const pawl_rule *chosen = &rules[c->optimizer];
    return pawl_optim_is_muon(c) && !pawl_is_muons(c, e) ? &rules[0] : chosen;
}

void pawl_run_part(const pawl_rule_run *run, pawl_tensor whole, const pawl_piece *p, int64_t *first, int64_t *count)
{
    const int64_t all = pawl_tensor_count(whole);
    const int is_whole = p->first == 0 && p->count == p->of->count;
    *first = is_whole || all == 0 ? 0 : p->first / run->per;
    *count = is_whole || all == 0 ? all : (p->count + run->per - 1) / run->per;
}
