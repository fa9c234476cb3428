/* The backward half of a pass, written by hand: every gradient is the exact transpose of the line in forward.c that it
 * stands against. */
#include "model/pass.h"

/* Whether nothing that is trained lies below the input of the product that begins at a slot. */
static int is_lowest(const pass *p, int64_t layer, pawl_slot s)
{
    if (!p->adapting.over) return 0;
    const pawl_module *m = &p->adapting.over->adapter->items[0].module;
    return m->layer == layer && m->group == s;
}

/* The transpose of linear. */
static pawl_status linear_backward(const pass *p, int64_t l, pawl_slot w, pawl_slot bias, pawl_tensor dy,
                                   pawl_tensor dx)
{
    pawl_tensor x;
    PAWL_TRY(pass_input(p, l, w, &x));
    if (is_lowest(p, l, w)) dx.data = NULL;
    if (p->adapting.over) return pawl_adapted_backward(&p->adapting, l, w, dy, x, dx);
    PAWL_TRY(pawl_linear_dx(p->d, dy, pass_matrix(p, l, w), PAWL_SET, dx));
    return pawl_linear_dw(p->d, dy, x, pass_put(p, w), pass_grad(p, l, w), pass_grad(p, l, bias));
}

/* The gradient of the residual stream as products read it; every sub-layer's is read by two. */
static pawl_status dsum_for_products(const pass *p, pawl_tensor *out)
{
    const int64_t D = p->m->config.hidden_size;
    const pawl_tensor dsum = pass_view(p, p->x->dsum, D);
    *out = p->x->dsum_low ? pass_low(p, p->x->dsum_low, D) : dsum;
    return p->x->dsum_low ? pawl_cast(p->d, dsum, *out) : PAWL_OK;
}

static pawl_status norm_backward(const pass *p, int64_t l, pawl_slot w, const pawl_normed *n)
{
    const int64_t D = p->m->config.hidden_size;
    const pawl_tensor dy = pass_view(p, p->x->dnorm, D), dsum = pass_view(p, p->x->dsum, D),
                      sum = pass_view(p, n->sum, D), rstd = pass_view(p, n->rstd, 0);
    if (!(p->m->has & PAWL_LAYER_NORM))
        return pawl_rmsnorm_backward(p->d, dy, sum, pass_weight(p, l, w), rstd, pass_put(p, w), dsum,
                                     pass_grad(p, l, w));
    return pawl_layernorm_backward(p->d, dy, sum, pass_weight(p, l, w), pass_view(p, n->mean, 0), rstd, pass_put(p, w),
                                   dsum, pass_grad(p, l, w), pass_grad(p, l, w + 1));
}

static pawl_status norm_heads_backward(const pass *p, int64_t l, const pawl_kept *k, pawl_tensor dqkv)
{
    const int64_t H = p->m->config.num_attention_heads, G = p->m->config.num_key_value_heads;
    const pawl_tensor raw = pass_low(p, k->qkv_raw, pawl_qkv_width(&p->m->config));
    PAWL_TRY(pawl_head_norm_backward(p->d, raw, pass_weight(p, l, PAWL_Q_NORM), pass_view(p, k->q_rstd, H), 0, H,
                                     pass_put(p, PAWL_Q_NORM), dqkv, pass_grad(p, l, PAWL_Q_NORM)));
    return pawl_head_norm_backward(p->d, raw, pass_weight(p, l, PAWL_K_NORM), pass_view(p, k->k_rstd, G), H, G,
                                   pass_put(p, PAWL_Q_NORM), dqkv, pass_grad(p, l, PAWL_K_NORM));
}

/* dgate_up from dsum: through the last product, whose weights' gradient it makes, too, and the activation. */
static pawl_status narrow_fused(const pass *p, int64_t l, const pawl_kept *k, pawl_tensor dsum, pawl_tensor dgate_up)
{
    const int64_t F = p->m->config.intermediate_size;
    const pawl_tensor z = pass_low(p, k->gate_up, F), room = pass_low(p, p->x->dnarrow, F);
    pawl_tensor x;
    PAWL_TRY(pass_input(p, l, PAWL_DOWN, &x));
    PAWL_TRY(pawl_linear_activate_dx(p->d, PAWL_GELU_TANH, dsum, pass_matrix(p, l, PAWL_DOWN), z, room, dgate_up));
    return pawl_linear_dw(p->d, dsum, x, pass_put(p, PAWL_DOWN), pass_grad(p, l, PAWL_DOWN), pass_grad(p, l, PAWL_DOWN_BIAS));
}

static pawl_status narrow(const pass *p, int64_t l, const pawl_kept *k, pawl_tensor dsum, pawl_tensor dgate_up)
{
    const pawl_tensor gate_up = pass_low(p, k->gate_up, pawl_up_width(p->m)), dact = pass_low(p, p->x->dnarrow, p->m->config.intermediate_size);
    PAWL_TRY(linear_backward(p, l, PAWL_DOWN, PAWL_DOWN_BIAS, dsum, dact));
    if (is_lowest(p, l, PAWL_DOWN)) return PAWL_OK;
    return p->m->has & PAWL_UNGATED ? pawl_activate_backward(p->d, pawl_activation_of(&p->m->config), dact, gate_up, dgate_up)
                                    : pawl_swiglu_backward(p->d, dact, gate_up, dgate_up);
}

static pawl_status mlp_backward(const pass *p, int64_t l, const pawl_kept *k)
{
    const int64_t D = p->m->config.hidden_size;
    const pawl_tensor dgate_up = pass_low(p, p->x->dwide, pawl_up_width(p->m));
    pawl_tensor dsum;
    PAWL_TRY(dsum_for_products(p, &dsum));
    PAWL_TRY(pass_fused(p) ? narrow_fused(p, l, k, dsum, dgate_up) : narrow(p, l, k, dsum, dgate_up));
    if (is_lowest(p, l, PAWL_DOWN)) return PAWL_OK;
    PAWL_TRY(linear_backward(p, l, PAWL_GATE, PAWL_GATE_BIAS, dgate_up, pass_view(p, p->x->dnorm, D)));
    if (is_lowest(p, l, PAWL_GATE)) return PAWL_OK;
    return norm_backward(p, l, PAWL_MLP_NORM, &k->mlp_norm);
}

static pawl_status attention_backward(const pass *p, int64_t l, const pawl_kept *k)
{
    const pawl_model_config *c = &p->m->config;
    const int64_t D = c->hidden_size, W = pawl_qkv_width(c), Q = pawl_query_width(c);
    const pawl_tensor dqkv = pass_low(p, p->x->dwide, W), dattended = pass_low(p, p->x->dnarrow, Q),
                      attended = pass_low(p, k->attended, Q);
    const pawl_attend a = pass_attend(p, l);
    pawl_tensor dsum;
    PAWL_TRY(dsum_for_products(p, &dsum));
    PAWL_TRY(linear_backward(p, l, PAWL_O, PAWL_O_BIASES, dsum, dattended));
    if (is_lowest(p, l, PAWL_O)) return PAWL_OK;
    PAWL_TRY(pass_qkv_again(p, l));
    PAWL_TRY(pawl_attention_backward(p->d, &a, dattended, pass_low(p, k->qkv, W), attended,
                                     pass_view(p, k->lse, c->num_attention_heads), dqkv));
    PAWL_TRY(pass_rotate(p, p->x->dwide, -1));
    if (p->m->has & PAWL_QK_NORM) PAWL_TRY(norm_heads_backward(p, l, k, dqkv));
    PAWL_TRY(linear_backward(p, l, PAWL_Q, PAWL_Q_BIAS, dqkv, pass_view(p, p->x->dnorm, D)));
    if (is_lowest(p, l, PAWL_Q)) return PAWL_OK;
    return norm_backward(p, l, PAWL_ATTENTION_NORM, &k->attention_norm);
}

/* Where the padding id was looked up nothing reaches its embedding, as in torch.nn.Embedding with a padding_idx. */
static pawl_status still_pad(const pass *p)
{
    const int64_t D = p->m->config.hidden_size, pad = p->m->config.pad_token_id;
    if (!(p->m->has & PAWL_STILL_PAD) || pad < 0) return PAWL_OK;
    for (int64_t n = 0, end; n < p->N; n = end) {
        for (end = n; end < p->N && p->b->ids[end] == pad; end++) continue;
        if (end > n) PAWL_TRY(pawl_zero(p->d, p->x->dsum + n * D, (end - n) * D));
        if (end == n) end++;
    }
    return PAWL_OK;
}

/* dsum is the gradient of the embedding's output. A tied head has set or added its share already. */
static pawl_status embed_backward(const pass *p)
{
    const pawl_tensor dembed = pass_grad(p, 0, PAWL_EMBED), dtable = pass_grad(p, 0, PAWL_POSITIONS),
                      dout = pass_view(p, p->x->dsum, p->m->config.hidden_size);
    if (pass_put(p, PAWL_EMBED) == PAWL_SET && !(p->m->has & PAWL_TIED_HEAD))
        PAWL_TRY(pawl_zero(p->d, dembed.data, pawl_tensor_count(dembed)));
    if (pass_put(p, PAWL_EMBED) == PAWL_SET && dtable.data)
        PAWL_TRY(pawl_zero(p->d, dtable.data, pawl_tensor_count(dtable)));
    if (dtable.data) PAWL_TRY(pawl_embedding_dw(p->d, dout, p->positions, dtable));
    PAWL_TRY(still_pad(p));
    return pawl_embedding_dw(p->d, dout, p->ids, dembed);
}

static int ends_above_attention(const pass *p, int64_t l)
{
    return is_lowest(p, l, PAWL_GATE) || is_lowest(p, l, PAWL_DOWN);
}

static pawl_status block_backward(const pass *p, int64_t l)
{
    const int newest = l == p->m->config.num_hidden_layers - 1; /* the shared buffers still hold it */
    if (p->x->recompute == PAWL_RECOMPUTE_BLOCK && !newest) PAWL_SPAN_TRY("recomputation", pass_block_again(p, l));
    PAWL_SPAN_TRY("feed-forward", mlp_backward(p, l, &p->x->layers[l]));
    if (!ends_above_attention(p, l)) PAWL_SPAN_TRY("self-attention", attention_backward(p, l, &p->x->layers[l]));
    return PAWL_OK;
}

/* dsum is the gradient of the residual stream: sub-layers add to it. Under an adapter it is followed down to the lowest
 * adapted product. */
pawl_status pass_backward(pass *p)
{
    PAWL_TRY(pawl_zero(p->d, p->x->dsum, p->N * p->m->config.hidden_size));
    if (pass_head(p) != pass_above(p)) PAWL_TRY(pass_want(p, pass_above(p)));
    PAWL_TRY(norm_backward(p, 0, PAWL_FINAL_NORM, &p->x->final));
    PAWL_TRY(pass_done(p, pass_above(p)));
    PAWL_TRY(pass_ready(p, pass_above(p)));
    const int64_t lowest = p->adapting.over ? p->adapting.over->adapter->items[0].module.layer : 0;
    for (int64_t l = p->m->config.num_hidden_layers - 1; l >= lowest; l--) {
        PAWL_TRY(pass_need(p, pass_block(l)));
        if (l > lowest) PAWL_TRY(pass_soon(p, pass_block(l - 1)));
        PAWL_TRY(pass_want(p, pass_block(l)));
        PAWL_TRY(pass_bring_near(p, l, lowest));
        PAWL_TRY(pawl_device_block_begin(p->d));
        PAWL_TRY(block_backward(p, l));
        PAWL_TRY(pawl_device_block_end(p->d));
        PAWL_TRY(pass_done(p, pass_block(l)));
        PAWL_TRY(pass_ready(p, pass_block(l)));
    }
    if (p->adapting.over) return PAWL_OK;
    if (pass_head(p) != 0) PAWL_TRY(pass_want(p, 0));
    PAWL_TRY(embed_backward(p));
    return pass_ready(p, 0);
}
