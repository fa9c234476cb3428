/* Forward and hand-written backward over one slot. Nothing is allocated here; every gradient is the exact transpose of
 * the forward line it stands against, so the two halves of this file read side by side. */
#include "model/adapter.h"

#include <string.h>

typedef struct pass {
    const pawl_model *m;
    pawl_device *d;
    pawl_activations *x;
    const pawl_batch *b;
    const float *weights;
    float *grads;
    pawl_put put;
    int64_t N;
    pawl_tensor ids, positions, turns; /* turns: each position's row of the rotary tables */
    pawl_attend attend;                /* but for window and scale, which are a layer's own */
    pawl_adapting adapting;            /* over NULL: all weights are trained */
} pass;

static pawl_tensor view(const pass *p, const float *data, int64_t cols)
{
    return pawl_view(data, p->N, cols);
}

static pawl_tensor weight(const pass *p, int64_t layer, pawl_slot s)
{
    return p->adapting.over ? pawl_frozen_part(p->adapting.over->base, layer, s)
                            : pawl_part(p->m, p->weights, layer, s);
}

static pawl_tensor grad(const pass *p, int64_t layer, pawl_slot s)
{
    return pawl_part(p->m, p->adapting.over ? NULL : p->grads, layer, s);
}

/* Whether nothing that is trained lies below the input of the product that begins at a slot. */
static int is_lowest(const pass *p, int64_t layer, pawl_slot s)
{
    if (!p->adapting.over) return 0;
    const pawl_module *m = &p->adapting.over->adapter->items[0].module;
    return m->layer == layer && m->group == s;
}

static pawl_attend attend_in(const pass *p, int64_t layer)
{
    pawl_attend a = p->attend;
    a.window = p->m->windows[layer];
    a.scale = pawl_score_scale(&p->m->config, layer);
    return a;
}

/* --- what comes in ----------------------------------------------------------------------------------------- */

static pawl_status check_position(const pass *p, int64_t n)
{
    const pawl_batch *b = p->b;
    const int64_t row = n / b->tokens, at = n % b->tokens;
    const int32_t V = (int32_t)p->m->config.vocab_size;
    PAWL_CHECK(b->ids[n] >= 0 && b->ids[n] < V, PAWL_EDATA,
               "row %lld, position %lld: id %d is outside the vocabulary of %d", (long long)row, (long long)at,
               b->ids[n], V);
    PAWL_CHECK(b->targets[n] == PAWL_NOT_TRAINED || (b->targets[n] >= 0 && b->targets[n] < V), PAWL_EDATA,
               "row %lld, position %lld: target %d is outside the vocabulary of %d", (long long)row, (long long)at,
               b->targets[n], V);
    PAWL_CHECK(b->positions[n] >= 0 && b->positions[n] <= at, PAWL_EDATA, "row %lld, position %lld: is numbered %d",
               (long long)row, (long long)at, b->positions[n]);
    PAWL_CHECK(b->starts[n] >= row * b->tokens && b->starts[n] <= n, PAWL_EDATA,
               "row %lld, position %lld: its document begins at %d, which is not in the row before it", (long long)row,
               (long long)at, b->starts[n]);
    return PAWL_OK;
}

/* Documents longer than the old context are turned by the second set of tables (longrope), each for itself, so that
 * packing changes nothing. */
static void choose_turns(const pass *p, int32_t *turns)
{
    const pawl_batch *b = p->b;
    const int64_t reach = pawl_rope_reach(&p->m->config);
    for (int64_t n = 0, end; n < p->N; n = end) {
        for (end = n + 1; end < p->N && b->starts[end] == n; end++) continue;
        const int64_t set = end - n > reach;
        for (int64_t i = n; i < end; i++) turns[i] = (int32_t)(b->positions[i] + set * p->x->tokens);
    }
}

static pawl_status open_pass(pass *p)
{
    const pawl_model_config *c = &p->m->config;
    const pawl_batch *b = p->b;
    p->N = b->rows * b->tokens;
    PAWL_CHECK(p->N > 0 && p->N <= p->x->positions && b->tokens <= p->x->tokens, PAWL_EBUG,
               "a slot of %lld rows of %lld tokens does not fit activations for %lld positions in rows of up to %lld",
               (long long)b->rows, (long long)b->tokens, (long long)p->x->positions, (long long)p->x->tokens);
    PAWL_CHECK(!p->grads || p->x->train, PAWL_EBUG, "these activations are for forward passes only");
    PAWL_CHECK(!p->adapting.over || p->N <= p->adapting.over->work->positions, PAWL_EBUG,
               "a slot of %lld positions does not fit an adapter's scratch for %lld", (long long)p->N,
               (long long)p->adapting.over->work->positions);
    p->adapting.N = p->N;
    p->adapting.tokens = b->tokens;
    for (int64_t n = 0; n < p->N; n++) PAWL_TRY(check_position(p, n));
    p->ids = (pawl_tensor){.data = b->ids, .dtype = PAWL_I32, .ndim = 1, .dim = {p->N}};
    p->positions = (pawl_tensor){.data = b->positions, .dtype = PAWL_I32, .ndim = 1, .dim = {p->N}};
    p->turns = p->positions;
    if (p->x->turns) {
        choose_turns(p, p->x->turns);
        p->turns.data = p->x->turns;
    }
    p->attend = (pawl_attend){.rows = b->rows,
                              .tokens = b->tokens,
                              .heads = c->num_attention_heads,
                              .kv_heads = c->num_key_value_heads,
                              .head_dim = c->head_dim,
                              .starts = b->starts};
    return PAWL_OK;
}

/* --- forward ----------------------------------------------------------------------------------------------- */

/* y = x w^T + bias: every product of a layer goes through here, w and bias being the groups that begin at two slots. */
static pawl_status linear(const pass *p, int64_t l, pawl_slot w, pawl_slot bias, pawl_tensor x, pawl_tensor y)
{
    if (p->adapting.over) return pawl_adapted_linear(&p->adapting, l, w, bias, x, y);
    return pawl_linear(p->d, x, weight(p, l, w), weight(p, l, bias), PAWL_SET, y);
}

/* The norm whose weight is slot w (its bias is the next slot): n->sum = residual + x, n->in its norm. */
static pawl_status norm(const pass *p, int64_t l, pawl_slot w, pawl_tensor residual, const float *x,
                        const pawl_normed *n)
{
    const int64_t D = p->m->config.hidden_size;
    const float eps = (float)p->m->config.rms_norm_eps;
    const pawl_tensor add = view(p, x, D), sum = view(p, n->sum, D), y = view(p, n->in, D), rstd = view(p, n->rstd, 0);
    if (!(p->m->has & PAWL_LAYER_NORM)) return pawl_rmsnorm(p->d, residual, add, weight(p, l, w), eps, sum, y, rstd);
    return pawl_layernorm(p->d, residual, add, weight(p, l, w), weight(p, l, w + 1), eps, sum, y, view(p, n->mean, 0),
                          rstd);
}

/* Values pass through unchanged, so all of it is copied and the normed heads are written over. */
static pawl_status norm_heads(const pass *p, int64_t l, const pawl_kept *k)
{
    const pawl_model_config *c = &p->m->config;
    const int64_t H = c->num_attention_heads, G = c->num_key_value_heads, W = pawl_qkv_width(c);
    const float eps = (float)c->rms_norm_eps;
    const pawl_tensor raw = view(p, k->qkv_raw, W), y = view(p, k->qkv, W);
    PAWL_TRY(pawl_copy(p->d, k->qkv, k->qkv_raw, p->N * W));
    PAWL_TRY(pawl_head_norm(p->d, raw, weight(p, l, PAWL_Q_NORM), eps, 0, H, y, view(p, k->q_rstd, H)));
    return pawl_head_norm(p->d, raw, weight(p, l, PAWL_K_NORM), eps, H, G, y, view(p, k->k_rstd, G));
}

static pawl_status rotate(const pass *p, float *qkv, int direction)
{
    const pawl_model_config *c = &p->m->config;
    const int64_t pairs = c->head_dim / 2, rows = p->x->sets * p->x->tokens;
    if (!rows) return PAWL_OK; /* positions were learned */
    return pawl_rope(p->d, view(p, qkv, pawl_qkv_width(c)), c->num_attention_heads + c->num_key_value_heads,
                     pawl_view(p->x->cos, rows, pairs), pawl_view(p->x->sin, rows, pairs), p->turns, direction);
}

static pawl_status attention(const pass *p, int64_t l, const pawl_kept *k)
{
    const pawl_model_config *c = &p->m->config;
    const int64_t D = c->hidden_size, W = pawl_qkv_width(c);
    const int normed = (p->m->has & PAWL_QK_NORM) != 0;
    const pawl_attend a = attend_in(p, l);
    const pawl_tensor attended = view(p, k->attended, pawl_query_width(c));
    PAWL_TRY(
        linear(p, l, PAWL_Q, PAWL_Q_BIAS, view(p, k->attention_norm.in, D), view(p, normed ? k->qkv_raw : k->qkv, W)));
    if (normed) PAWL_TRY(norm_heads(p, l, k));
    PAWL_TRY(rotate(p, k->qkv, +1));
    PAWL_TRY(pawl_attention(p->d, &a, view(p, k->qkv, W), attended, view(p, k->lse, c->num_attention_heads)));
    return linear(p, l, PAWL_O, PAWL_O_BIASES, attended, view(p, p->x->out, D));
}

static pawl_status mlp(const pass *p, int64_t l, const pawl_kept *k)
{
    const int64_t D = p->m->config.hidden_size, F = p->m->config.intermediate_size;
    const pawl_tensor gate_up = view(p, k->gate_up, pawl_up_width(p->m)), act = view(p, k->act, F);
    PAWL_TRY(linear(p, l, PAWL_GATE, PAWL_GATE_BIAS, view(p, k->mlp_norm.in, D), gate_up));
    PAWL_TRY(p->m->has & PAWL_UNGATED ? pawl_activate(p->d, pawl_activation_of(&p->m->config), gate_up, act)
                                      : pawl_swiglu(p->d, gate_up, act));
    return linear(p, l, PAWL_DOWN, PAWL_DOWN_BIAS, act, view(p, p->x->out, D));
}

/* The embedding goes into stream, and what learned positions add to it into *add. */
static pawl_status embed(const pass *p, pawl_tensor stream, const float **add)
{
    const pawl_tensor table = weight(p, 0, PAWL_POSITIONS);
    PAWL_TRY(pawl_embedding(p->d, weight(p, 0, PAWL_EMBED), p->ids, stream));
    *add = table.data ? p->x->out : NULL;
    return table.data ? pawl_embedding(p->d, table, p->positions, view(p, p->x->out, p->m->config.hidden_size))
                      : PAWL_OK;
}

/* Leaves the normed hidden states in final.in. What a sub-layer adds (out) joins the stream in the next norm. */
static pawl_status forward(const pass *p)
{
    const int64_t D = p->m->config.hidden_size, L = p->m->config.num_hidden_layers;
    const pawl_activations *x = p->x;
    pawl_tensor stream = view(p, x->layers[0].attention_norm.sum, D);
    const float *add;
    PAWL_TRY(embed(p, stream, &add));
    for (int64_t l = 0; l < L; l++) {
        const pawl_kept *k = &x->layers[l];
        PAWL_TRY(norm(p, l, PAWL_ATTENTION_NORM, stream, add, &k->attention_norm));
        PAWL_TRY(attention(p, l, k));
        stream = view(p, k->attention_norm.sum, D);
        add = x->out;
        PAWL_TRY(norm(p, l, PAWL_MLP_NORM, stream, add, &k->mlp_norm));
        PAWL_TRY(mlp(p, l, k));
        stream = view(p, k->mlp_norm.sum, D);
    }
    return norm(p, 0, PAWL_FINAL_NORM, stream, add, &x->final);
}

/* --- backward ---------------------------------------------------------------------------------------------- */

/* The transpose of linear. */
static pawl_status linear_backward(const pass *p, int64_t l, pawl_slot w, pawl_slot bias, pawl_tensor dy, pawl_tensor x,
                                   pawl_tensor dx)
{
    if (is_lowest(p, l, w)) dx.data = NULL;
    if (p->adapting.over) return pawl_adapted_backward(&p->adapting, l, w, dy, x, dx);
    PAWL_TRY(pawl_linear_dx(p->d, dy, weight(p, l, w), PAWL_SET, dx));
    return pawl_linear_dw(p->d, dy, x, p->put, grad(p, l, w), grad(p, l, bias));
}

static pawl_status norm_backward(const pass *p, int64_t l, pawl_slot w, const pawl_normed *n)
{
    const int64_t D = p->m->config.hidden_size;
    const pawl_tensor dy = view(p, p->x->dnorm, D), dsum = view(p, p->x->dsum, D), sum = view(p, n->sum, D),
                      rstd = view(p, n->rstd, 0);
    if (!(p->m->has & PAWL_LAYER_NORM))
        return pawl_rmsnorm_backward(p->d, dy, sum, weight(p, l, w), rstd, p->put, dsum, grad(p, l, w));
    return pawl_layernorm_backward(p->d, dy, sum, weight(p, l, w), view(p, n->mean, 0), rstd, p->put, dsum,
                                   grad(p, l, w), grad(p, l, w + 1));
}

static pawl_status norm_heads_backward(const pass *p, int64_t l, const pawl_kept *k, pawl_tensor dqkv)
{
    const int64_t H = p->m->config.num_attention_heads, G = p->m->config.num_key_value_heads;
    const pawl_tensor raw = view(p, k->qkv_raw, pawl_qkv_width(&p->m->config));
    PAWL_TRY(pawl_head_norm_backward(p->d, raw, weight(p, l, PAWL_Q_NORM), view(p, k->q_rstd, H), 0, H, p->put, dqkv,
                                     grad(p, l, PAWL_Q_NORM)));
    return pawl_head_norm_backward(p->d, raw, weight(p, l, PAWL_K_NORM), view(p, k->k_rstd, G), H, G, p->put, dqkv,
                                   grad(p, l, PAWL_K_NORM));
}

static pawl_status mlp_backward(const pass *p, int64_t l, const pawl_kept *k)
{
    const int64_t D = p->m->config.hidden_size, F = p->m->config.intermediate_size;
    const pawl_tensor gate_up = view(p, k->gate_up, pawl_up_width(p->m)), dact = view(p, p->x->dnarrow, F),
                      dgate_up = view(p, p->x->dwide, pawl_up_width(p->m));
    PAWL_TRY(linear_backward(p, l, PAWL_DOWN, PAWL_DOWN_BIAS, view(p, p->x->dsum, D), view(p, k->act, F), dact));
    if (is_lowest(p, l, PAWL_DOWN)) return PAWL_OK;
    PAWL_TRY(p->m->has & PAWL_UNGATED
                 ? pawl_activate_backward(p->d, pawl_activation_of(&p->m->config), dact, gate_up, dgate_up)
                 : pawl_swiglu_backward(p->d, dact, gate_up, dgate_up));
    PAWL_TRY(linear_backward(p, l, PAWL_GATE, PAWL_GATE_BIAS, dgate_up, view(p, k->mlp_norm.in, D),
                             view(p, p->x->dnorm, D)));
    if (is_lowest(p, l, PAWL_GATE)) return PAWL_OK;
    return norm_backward(p, l, PAWL_MLP_NORM, &k->mlp_norm);
}

static pawl_status attention_backward(const pass *p, int64_t l, const pawl_kept *k)
{
    const pawl_model_config *c = &p->m->config;
    const int64_t D = c->hidden_size, W = pawl_qkv_width(c), Q = pawl_query_width(c);
    const pawl_tensor dqkv = view(p, p->x->dwide, W), dattended = view(p, p->x->dnarrow, Q),
                      attended = view(p, k->attended, Q);
    const pawl_attend a = attend_in(p, l);
    PAWL_TRY(linear_backward(p, l, PAWL_O, PAWL_O_BIASES, view(p, p->x->dsum, D), attended, dattended));
    if (is_lowest(p, l, PAWL_O)) return PAWL_OK;
    PAWL_TRY(pawl_attention_backward(p->d, &a, dattended, view(p, k->qkv, W), attended,
                                     view(p, k->lse, c->num_attention_heads), dqkv));
    PAWL_TRY(rotate(p, p->x->dwide, -1));
    if (p->m->has & PAWL_QK_NORM) PAWL_TRY(norm_heads_backward(p, l, k, dqkv));
    PAWL_TRY(
        linear_backward(p, l, PAWL_Q, PAWL_Q_BIAS, dqkv, view(p, k->attention_norm.in, D), view(p, p->x->dnorm, D)));
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
    const pawl_tensor dembed = grad(p, 0, PAWL_EMBED), dtable = grad(p, 0, PAWL_POSITIONS),
                      dout = view(p, p->x->dsum, p->m->config.hidden_size);
    if (p->put == PAWL_SET && !(p->m->has & PAWL_TIED_HEAD))
        PAWL_TRY(pawl_zero(p->d, dembed.data, pawl_tensor_count(dembed)));
    if (p->put == PAWL_SET && dtable.data) PAWL_TRY(pawl_zero(p->d, dtable.data, pawl_tensor_count(dtable)));
    if (dtable.data) PAWL_TRY(pawl_embedding_dw(p->d, dout, p->positions, dtable));
    PAWL_TRY(still_pad(p));
    return pawl_embedding_dw(p->d, dout, p->ids, dembed);
}

static int ends_above_attention(const pass *p, int64_t l)
{
    return is_lowest(p, l, PAWL_GATE) || is_lowest(p, l, PAWL_DOWN);
}

/* dnorm holds the gradient of final.in. dsum is the gradient of the residual stream: sub-layers add to it. Under an
 * adapter it is followed down to the lowest adapted product. */
static pawl_status backward(const pass *p)
{
    PAWL_TRY(pawl_zero(p->d, p->x->dsum, p->N * p->m->config.hidden_size));
    PAWL_TRY(norm_backward(p, 0, PAWL_FINAL_NORM, &p->x->final));
    const int64_t lowest = p->adapting.over ? p->adapting.over->adapter->items[0].module.layer : 0;
    for (int64_t l = p->m->config.num_hidden_layers - 1; l >= lowest; l--) {
        PAWL_TRY(mlp_backward(p, l, &p->x->layers[l]));
        if (!ends_above_attention(p, l)) PAWL_TRY(attention_backward(p, l, &p->x->layers[l]));
    }
    return p->adapting.over ? PAWL_OK : embed_backward(p);
}

/* --- rows that are not finite ------------------------------------------------------------------------------ */

typedef struct finite_check {
    const pass *p;
    const float *losses;
    int32_t *bad;
} finite_check;

static int all_finite(const float *x, int64_t count)
{
    int bad = 0;
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        bad |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    return !bad;
}

static void check_row(void *self, int64_t row)
{
    const finite_check *f = self;
    const int64_t T = f->p->b->tokens, D = f->p->m->config.hidden_size;
    f->bad[row] =
        !all_finite(f->losses + row * T, T) || (f->p->grads && !all_finite(f->p->x->dsum + row * T * D, T * D));
}

/* --- the two passes ---------------------------------------------------------------------------------------- */

pawl_status pawl_model_pass(const pawl_model *m, pawl_device *d, pawl_activations *a, const pawl_batch *b,
                            const pawl_pass *how)
{
    pass p = {.m = m, .d = d, .x = a, .b = b, .weights = how->weights, .grads = how->grads, .put = how->put};
    p.adapting =
        (pawl_adapting){.over = how->over, .d = d, .weights = how->weights, .grads = how->grads, .put = how->put};
    const int64_t D = m->config.hidden_size;
    const pawl_slot head = pawl_head_slot(m);
    PAWL_TRY(open_pass(&p));
    PAWL_TRY(forward(&p));
    const pawl_head h = {.hidden = view(&p, a->final.in, D),
                         .w = weight(&p, 0, head),
                         .targets = b->targets,
                         .scale = how->scale,
                         .loss = view(&p, how->losses, 0),
                         .dhidden = view(&p, p.grads ? a->dnorm : NULL, D),
                         .dw = grad(&p, 0, head),
                         .put = how->put};
    PAWL_TRY(pawl_head_loss(d, &h));
    if (p.grads) PAWL_TRY(backward(&p));
    finite_check f = {.p = &p, .losses = how->losses, .bad = how->bad_rows};
    if (how->bad_rows) pawl_parallel(d, b->rows, check_row, &f);
    return PAWL_OK;
}

pawl_status pawl_model_logits(const pawl_model *m, pawl_device *d, pawl_activations *a, const pawl_batch *b,
                              const pawl_over *over, const float *weights, float *logits)
{
    pass p = {.m = m, .d = d, .x = a, .b = b, .weights = weights};
    p.adapting = (pawl_adapting){.over = over, .d = d, .weights = weights};
    PAWL_TRY(open_pass(&p));
    PAWL_TRY(forward(&p));
    return pawl_linear(d, view(&p, a->final.in, m->config.hidden_size), weight(&p, 0, pawl_head_slot(m)),
                       (pawl_tensor){.dtype = PAWL_F32}, PAWL_SET, view(&p, logits, m->config.vocab_size));
}
