/* What a run has to compute. */
#include "trainer/continual/stages.h"
#include "trainer/planning.h"

/* How often a block computes forward, by activation_recompute: norms are no products. */
static const double forwards[] = {[PAWL_RECOMPUTE_NONE] = 1, [PAWL_RECOMPUTE_NORMS] = 1, [PAWL_RECOMPUTE_BLOCK] = 2};

/* Positions that attention reaches from one, added up over the layers: sequence_len or the layer's window. That rows are
 * packed of shorter documents is left out: it would need every document's length, and attention is the smaller part. */
static double reach(const pawl_model_config *m, int64_t T)
{
    double sum = 0;
    for (int64_t l = 0; l < m->num_hidden_layers; l++) {
        const int64_t window = pawl_window_of(m, l);
        sum += (double)(window > 0 && window < T ? window : T);
    }
    return sum;
}

/* A token through the run costs 2 N forward and 4 N backward, attention 4 d T and 8 d T a layer (d: all query heads together,
 * T: reach). Frozen weights need no gradient of their own: 2 N backward; the adapter's come on top. What is computed again
 * costs forward's share of the blocks, which is all but the head's. */
static double flops_per_token(const pawl_parts *p, int64_t T)
{
    const pawl_model_config *m = pawl_model_settings(p->model);
    const double base = (double)pawl_model_matmul_parameters(p->model), adapter = (double)pawl_trained_parameters(p->model, p->adapter);
    const double blocks = base - (double)m->vocab_size * (double)m->hidden_size + (p->adapter ? adapter : 0);
    const double attention = (double)(m->num_attention_heads * m->head_dim) * reach(m, T);
    const double again = forwards[p->train->activation_recompute] - 1;
    return (p->adapter ? 4.0 * base + 6.0 * adapter : 6.0 * base) + 12.0 * attention + again * (2.0 * blocks + 4.0 * attention);
}

/* Tokens in a row, without padding: of a stage's first rows, which are all of them in one that is short. */
static double tokens_per_row(const pawl_parts *p, int stage, int64_t rows)
{
    enum { ENOUGH = 1 << 16 };
    const int64_t count = rows < ENOUGH ? rows : ENOUGH;
    double tokens = 0;
    if (!p->data || count <= 0) return (double)p->sequence_len;
    for (int64_t at = 0; at < count; at++) tokens += (double)pawl_row_length(p->data, PAWL_TRAIN, pawl_data_row_at(p->data, stage, at));
    return tokens / (double)count;
}

void pawl_plan_work(const pawl_planned *w, pawl_plan *plan)
{
    const pawl_parts *p = w->p;
    pawl_stream stream;
    if (plan->steps == PAWL_STEPS_UNKNOWN) return;
    pawl_stream_of(p, &stream);
    plan->tokens = 0;
    for (int i = 0; i < stream.count; i++) {
        const int64_t rows = (stream.stages[i].end_step - stream.stages[i].first_step) * p->train->global_batch_size;
        plan->tokens += (double)rows * tokens_per_row(p, i, rows);
    }
    plan->flops = flops_per_token(p, w->tokens) * plan->tokens;
}
