/* A pass over one slot: what comes in is checked, forward and backward. Nothing is allocated here. */
#include "model/pass.h"

#include <string.h>

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
void pass_choose_turns(const pass *p, int32_t *turns)
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
    PAWL_CHECK(!p->learns || p->x->train, PAWL_EBUG, "these activations are for forward passes only");
    PAWL_CHECK(p->x->type == PAWL_F32 || p->how->low || (p->how->hooks && p->how->hooks->need), PAWL_EBUG,
               "a pass in bf16 has no rounded weights");
    PAWL_CHECK(!p->adapting.over || p->N <= p->adapting.over->work->positions, PAWL_EBUG,
               "a slot of %lld positions does not fit an adapter's scratch for %lld", (long long)p->N,
               (long long)p->adapting.over->work->positions);
    p->adapting.N = p->N;
    p->adapting.tokens = b->tokens;
    for (int64_t n = 0; n < p->N; n++) PAWL_TRY(check_position(p, n));
    PAWL_TRY(pass_take_up(p));
    p->attend = (pawl_attend){.rows = b->rows,
                              .tokens = b->tokens,
                              .heads = c->num_attention_heads,
                              .kv_heads = c->num_key_value_heads,
                              .head_dim = c->head_dim,
                              .starts = p->at.starts,
                              .bounds = p->bounds,
                              .documents = p->documents,
                              .longest = p->longest};
    return PAWL_OK;
}

/* --- rows that are not finite ------------------------------------------------------------------------------ */

typedef struct finite_check {
    const pass *p;
    const float *losses, *dsum; /* dsum NULL: not looked at */
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
    const pawl_soft *soft = f->p->how->extra.soft;
    const int64_t T = f->p->b->tokens, D = f->p->m->config.hidden_size;
    f->bad[row] = !all_finite(f->losses + row * T, T) || (soft && !all_finite(soft->loss + row * T, T)) ||
                  (f->dsum && !all_finite(f->dsum + row * T * D, T * D));
}

static pawl_status find_bad_rows(const pass *p)
{
    const int here = pawl_device_shares_memory(p->d);
    finite_check f = {.p = p, .losses = p->how->losses, .dsum = p->learns && here ? p->x->dsum : NULL, .bad = p->how->bad_rows};
    pawl_parallel(p->d, p->b->rows, check_row, &f);
    return p->learns && !here ? pass_finite_gradients(p, f.bad) : PAWL_OK;
}

/* --- the two passes ---------------------------------------------------------------------------------------- */

static pass begin(const pawl_model *m, pawl_device *d, pawl_activations *a, const pawl_batch *b, const pawl_pass *how)
{
    return (pass){.m = m,
                  .d = d,
                  .x = a,
                  .b = b,
                  .how = how,
                  .learns = how->grads || (how->hooks && how->hooks->want),
                  .adapting = {.over = how->over, .d = d, .fp8 = a->fp8}};
}

/* Losses, the gradient of the hidden states and of the head. */
static pawl_status head_loss(pass *p)
{
    const pawl_slot head = pawl_head_slot(p->m);
    const int64_t part = pass_head(p), D = p->m->config.hidden_size;
    if (part != pass_above(p)) PAWL_TRY(pass_need(p, part));
    if (p->learns) PAWL_TRY(pass_want(p, part));
    const pawl_head h = {.hidden = pass_low(p, p->x->final.in, D),
                         .w = pass_matrix(p, 0, head),
                         .targets = p->at.targets,
                         .trained = p->trained,
                         .scale = p->how->scale,
                         .loss = pass_view(p, p->losses, 0),
                         .dhidden = pass_view(p, p->learns ? p->x->dnorm : NULL, D),
                         .dw = pass_grad(p, 0, head),
                         .put = pass_put(p, head),
                         .extra = p->extra};
    PAWL_TRY(pawl_head_loss(p->d, &h));
    return part != pass_above(p) ? pass_done(p, part) : PAWL_OK;
}

pawl_status pawl_model_pass(const pawl_model *m, pawl_device *d, pawl_activations *a, const pawl_batch *b,
                            const pawl_pass *how)
{
    pass p = begin(m, d, a, b, how);
    PAWL_TRY(open_pass(&p));
    PAWL_SPAN_TRY("forward", pass_forward(&p));
    PAWL_SPAN_TRY("head", head_loss(&p));
    if (p.learns) PAWL_SPAN_TRY("backward", pass_backward(&p));
    else PAWL_TRY(pass_done(&p, pass_above(&p)));
    PAWL_TRY(pass_bring_back(&p));
    return how->bad_rows ? find_bad_rows(&p) : PAWL_OK;
}

pawl_status pawl_model_logits(const pawl_model *m, pawl_device *d, pawl_activations *a, const pawl_batch *b,
                              const pawl_over *over, const float *weights, const uint16_t *low, float *logits)
{
    const pawl_pass how = {.over = over, .weights = weights, .low = low};
    pass p = begin(m, d, a, b, &how);
    PAWL_TRY(open_pass(&p));
    PAWL_TRY(pass_forward(&p));
    PAWL_TRY(pass_need(&p, pass_head(&p)));
    return pawl_linear(d, pass_low(&p, a->final.in, m->config.hidden_size), pass_matrix(&p, 0, pawl_head_slot(m)),
                       (pawl_tensor){.dtype = PAWL_F32}, PAWL_SET, pass_view(&p, logits, m->config.vocab_size));
}
