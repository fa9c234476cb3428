/* The forward half of a pass over one slot. */
#include "model/pass.h"

/* y = x w^T + bias: every product of a layer goes through here, w and bias being the groups that begin at two slots. */
static pawl_status linear(const pass *p, int64_t l, pawl_slot w, pawl_slot bias, pawl_tensor x, pawl_tensor y)
{
    if (p->adapting.over) return pawl_adapted_linear(&p->adapting, l, w, bias, x, y);
    if (p->x->fp8) return pawl_linear_fp8(p->d, x, pass_matrix(p, l, w), pass_weight(p, l, bias), y);
    return pawl_linear(p->d, x, pass_matrix(p, l, w), pass_weight(p, l, bias), PAWL_SET, y);
}

/* The norm whose weight is slot w (its bias is the next slot): n->sum = residual + x, n->in its norm. */
static pawl_status norm(const pass *p, int64_t l, pawl_slot w, pawl_tensor residual, const float *x,
                        const pawl_normed *n)
{
    const int64_t D = p->m->config.hidden_size;
    const float eps = (float)p->m->config.rms_norm_eps;
    const pawl_tensor add = pass_view(p, x, D), sum = pass_view(p, n->sum, D), y = pass_low(p, n->in, D),
                      rstd = pass_view(p, n->rstd, 0);
    if (!(p->m->has & PAWL_LAYER_NORM))
        return pawl_rmsnorm(p->d, residual, add, pass_weight(p, l, w), eps, sum, y, rstd);
    return pawl_layernorm(p->d, residual, add, pass_weight(p, l, w), pass_weight(p, l, w + 1), eps, sum, y,
                          pass_view(p, n->mean, 0), rstd);
}

pawl_attend pass_attend(const pass *p, int64_t layer)
{
    pawl_attend a = p->attend;
    a.window = p->m->windows[layer];
    a.scale = pawl_score_scale(&p->m->config, layer);
    return a;
}

/* Values pass through unchanged, so all of it is copied and the normed heads are written over. */
static pawl_status norm_heads(const pass *p, int64_t l, const pawl_kept *k)
{
    const pawl_model_config *c = &p->m->config;
    const int64_t H = c->num_attention_heads, G = c->num_key_value_heads, W = pawl_qkv_width(c);
    const float eps = (float)c->rms_norm_eps;
    const pawl_tensor raw = pass_low(p, k->qkv_raw, W), y = pass_low(p, k->qkv, W);
    PAWL_TRY(pawl_cast(p->d, raw, y));
    PAWL_TRY(pawl_head_norm(p->d, raw, pass_weight(p, l, PAWL_Q_NORM), eps, 0, H, y, pass_view(p, k->q_rstd, H)));
    return pawl_head_norm(p->d, raw, pass_weight(p, l, PAWL_K_NORM), eps, H, G, y, pass_view(p, k->k_rstd, G));
}

pawl_status pass_rotate(const pass *p, void *qkv, int direction)
{
    const pawl_model_config *c = &p->m->config;
    const int64_t pairs = c->head_dim / 2, rows = p->x->sets * p->x->tokens;
    if (!rows) return PAWL_OK; /* positions were learned */
    return pawl_rope(p->d, pass_low(p, qkv, pawl_qkv_width(c)), c->num_attention_heads + c->num_key_value_heads,
                     pawl_view(p->x->cos, rows, pairs), pawl_view(p->x->sin, rows, pairs), p->turns, direction);
}

pawl_status pass_qkv_again(const pass *p, int64_t l)
{
    const pawl_kept *k = &p->x->layers[l];
    if (!(p->m->has & PAWL_QK_NORM) || p->x->recompute != PAWL_RECOMPUTE_NORMS) return PAWL_OK;
    PAWL_TRY(norm_heads(p, l, k));
    return pass_rotate(p, k->qkv, +1);
}

static pawl_status attention(const pass *p, int64_t l, const pawl_kept *k)
{
    const pawl_model_config *c = &p->m->config;
    const int64_t D = c->hidden_size, W = pawl_qkv_width(c);
    const int normed = (p->m->has & PAWL_QK_NORM) != 0;
    const pawl_attend a = pass_attend(p, l);
    const pawl_tensor attended = pass_low(p, k->attended, pawl_query_width(c));
    PAWL_TRY(linear(p, l, PAWL_Q, PAWL_Q_BIAS, pass_low(p, k->attention_norm.in, D),
                    pass_low(p, normed ? k->qkv_raw : k->qkv, W)));
    if (normed) PAWL_TRY(norm_heads(p, l, k));
    PAWL_TRY(pass_rotate(p, k->qkv, +1));
    PAWL_TRY(pawl_attention(p->d, &a, pass_low(p, k->qkv, W), attended, pass_view(p, k->lse, c->num_attention_heads)));
    return linear(p, l, PAWL_O, PAWL_O_BIASES, attended, pass_view(p, p->x->out, D));
}

static pawl_status activate(const pass *p, const pawl_kept *k)
{
    const pawl_tensor gate_up = pass_low(p, k->gate_up, pawl_up_width(p->m)),
                      act = pass_low(p, k->act, p->m->config.intermediate_size);
    return p->m->has & PAWL_UNGATED ? pawl_activate(p->d, pawl_activation_of(&p->m->config), gate_up, act)
                                    : pawl_swiglu(p->d, gate_up, act);
}

/* What goes into the last product, from what goes into the one before. */
static pawl_status widen(const pass *p, int64_t l, const pawl_kept *k)
{
    const pawl_tensor x = pass_low(p, k->mlp_norm.in, p->m->config.hidden_size), z = pass_low(p, k->gate_up, pawl_up_width(p->m));
    if (pass_fused_forward(p))
        return pawl_linear_activate(p->d, PAWL_GELU_TANH, x, pass_matrix(p, l, PAWL_GATE), pass_weight(p, l, PAWL_GATE_BIAS), z,
                                    pass_low(p, k->act, p->m->config.intermediate_size));
    PAWL_TRY(linear(p, l, PAWL_GATE, PAWL_GATE_BIAS, x, z));
    return activate(p, k);
}

/* Only the forward pass needs the last product. */
static pawl_status mlp(const pass *p, int64_t l, const pawl_kept *k, int whole)
{
    const int64_t D = p->m->config.hidden_size;
    PAWL_TRY(widen(p, l, k));
    if (!whole) return PAWL_OK;
    return linear(p, l, PAWL_DOWN, PAWL_DOWN_BIAS, pass_low(p, k->act, p->m->config.intermediate_size),
                  pass_view(p, p->x->out, D));
}

/* The embedding goes into stream, and what learned positions add to it into *add. */
static pawl_status embed(const pass *p, pawl_tensor stream, const float **add)
{
    const pawl_tensor table = pass_weight(p, 0, PAWL_POSITIONS);
    PAWL_TRY(pawl_embedding(p->d, pass_weight(p, 0, PAWL_EMBED), p->ids, stream));
    if (p->how->noise) PAWL_TRY(pawl_add_noise(p->d, &p->noise, stream));
    *add = table.data ? p->x->out : NULL;
    return table.data ? pawl_embedding(p->d, table, p->positions, pass_view(p, p->x->out, p->m->config.hidden_size))
                      : PAWL_OK;
}

/* What a sub-layer adds (out) joins the stream in the next norm. */
static pawl_status block(const pass *p, int64_t l, pawl_tensor stream, const float *add, int whole)
{
    const pawl_kept *k = &p->x->layers[l];
    PAWL_TRY(norm(p, l, PAWL_ATTENTION_NORM, stream, add, &k->attention_norm));
    PAWL_SPAN_TRY("self-attention", attention(p, l, k));
    stream = pass_view(p, k->attention_norm.sum, p->m->config.hidden_size);
    PAWL_TRY(norm(p, l, PAWL_MLP_NORM, stream, p->x->out, &k->mlp_norm));
    PAWL_SPAN_TRY("feed-forward", mlp(p, l, k, whole));
    return PAWL_OK;
}

/* --- again, for the backward pass ---------------------------------------------------------------------------- */

pawl_status pass_block_again(const pass *p, int64_t l)
{
    const pawl_kept *k = &p->x->layers[l];
    const pawl_model_config *c = &p->m->config;
    PAWL_TRY(block(p, l, pass_view(p, k->attention_norm.sum, c->hidden_size), NULL, 0));
    if (!p->adapting.over) return PAWL_OK;
    return pawl_adapted_low(&p->adapting, l, PAWL_DOWN, pass_low(p, k->act, c->intermediate_size));
}

static pawl_status norm_again(const pass *p, int64_t l, pawl_slot w, const pawl_normed *n)
{
    return norm(p, l, w, pass_view(p, n->sum, p->m->config.hidden_size), NULL, n);
}

/* Inputs are wanted for gradients of weights. */
static int wants_input(const pass *p, int64_t l, pawl_slot s)
{
    int count = 1;
    if (p->adapting.over) (void)pawl_adapted_in(p->adapting.over->adapter, l, s, &count);
    return count > 0;
}

/* The input of the product that begins at a slot: attended is always kept. */
static pawl_status input_again(const pass *p, int64_t l, pawl_slot s)
{
    const pawl_kept *k = &p->x->layers[l];
    if (s == PAWL_Q) return norm_again(p, l, PAWL_ATTENTION_NORM, &k->attention_norm);
    if (s == PAWL_GATE) return norm_again(p, l, PAWL_MLP_NORM, &k->mlp_norm);
    return s == PAWL_DOWN && !pass_fused_forward(p) ? activate(p, k) : PAWL_OK;
}

pawl_status pass_input(const pass *p, int64_t l, pawl_slot s, pawl_tensor *x)
{
    const pawl_kept *k = &p->x->layers[l];
    const int64_t D = p->m->config.hidden_size;
    const pawl_tensor inputs[PAWL_SLOTS] = {[PAWL_Q] = pass_low(p, k->attention_norm.in, D),
                                            [PAWL_O] = pass_low(p, k->attended, pawl_query_width(&p->m->config)),
                                            [PAWL_GATE] = pass_low(p, k->mlp_norm.in, D),
                                            [PAWL_DOWN] = pass_low(p, k->act, p->m->config.intermediate_size)};
    *x = inputs[s];
    return p->x->recompute == PAWL_RECOMPUTE_NORMS && wants_input(p, l, s) ? input_again(p, l, s) : PAWL_OK;
}

pawl_status pass_forward(pass *p)
{
    const int64_t D = p->m->config.hidden_size, L = p->m->config.num_hidden_layers;
    const pawl_activations *x = p->x;
    pawl_tensor stream = pass_view(p, x->layers[0].attention_norm.sum, D);
    const float *add;
    PAWL_TRY(pass_need(p, 0));
    PAWL_TRY(pass_soon_above(p, 0));
    PAWL_TRY(embed(p, stream, &add));
    PAWL_TRY(pass_done(p, 0));
    for (int64_t l = 0; l < L; l++) {
        PAWL_TRY(pass_need(p, pass_block(l)));
        PAWL_TRY(pass_soon_above(p, pass_block(l)));
        PAWL_TRY(pass_make_room(p, l));
        PAWL_TRY(pawl_device_block_begin(p->d));
        PAWL_TRY(block(p, l, stream, add, 1));
        PAWL_TRY(pawl_device_block_end(p->d));
        PAWL_TRY(pass_carry_away(p, l));
        PAWL_TRY(pass_done(p, pass_block(l)));
        stream = pass_view(p, x->layers[l].mlp_norm.sum, D);
        add = x->out;
    }
    PAWL_TRY(pass_need(p, pass_above(p)));
    PAWL_TRY(pass_soon_above(p, pass_above(p)));
    return norm(p, 0, PAWL_FINAL_NORM, stream, add, &x->final);
}
