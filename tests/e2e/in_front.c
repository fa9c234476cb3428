/* A device that stands before another: what the table of a backend has is handed on, with each array among the arguments where the
 * one behind has it. What is different about the memory of the one in front is its kind's (in_front.h). */
#include <stdlib.h>

#include "core/batch.h"
#include "ops/checks.h"
#include "tests/e2e/in_front.h"

typedef struct in_front {
    pawl_device device;
    pawl_device *behind;
} in_front;

static const in_front_kind *kind; /* one in a program */
static pawl_ops in_front_ops;

static pawl_device *behind_of(const pawl_device *d)
{
    return ((const in_front *)d)->behind;
}

/* ---- what is no op ---- */

static void close_behind(pawl_device *d)
{
    pawl_device_close(behind_of(d));
    pawl_free(d);
}

static size_t scratch_bytes_behind(const pawl_device *d, const pawl_shapes *most)
{
    return pawl_device_scratch_bytes(behind_of(d), most);
}

static pawl_status reserve_behind(pawl_device *d, const pawl_shapes *most)
{
    return pawl_device_reserve(behind_of(d), most);
}

static int threads_behind(const pawl_device *d)
{
    return pawl_device_threads(behind_of(d));
}

static const char *describe_behind(const pawl_device *d)
{
    return pawl_device_describe(behind_of(d));
}

static double gemm_rate_behind(pawl_device *d, pawl_dtype type)
{
    return pawl_device_gemm_rate(behind_of(d), type);
}

static double memory_rate_behind(pawl_device *d)
{
    return pawl_device_memory_rate(behind_of(d));
}

static int tune_behind(pawl_device *d, int on)
{
    return pawl_device_tune(behind_of(d), on);
}

static pawl_status algorithms_behind(const pawl_device *d, pawl_text *out)
{
    return pawl_device_algorithms(behind_of(d), out);
}

static pawl_status choose_behind(pawl_device *d, const char *table)
{
    return pawl_device_choose(behind_of(d), table);
}

static pawl_status attend_by_library_behind(pawl_device *d)
{
    return pawl_device_attend_by_library(behind_of(d));
}

static void *stream_behind(pawl_device *d)
{
    (void)d;
    return NULL;
}

static pawl_status wait_behind(pawl_device *d)
{
    return behind_of(d)->ops->wait(behind_of(d));
}

static pawl_status block_begin_behind(pawl_device *d)
{
    return pawl_device_block_begin(behind_of(d));
}

static pawl_status block_end_behind(pawl_device *d)
{
    return pawl_device_block_end(behind_of(d));
}

static pawl_status graphs_behind(pawl_device *d, int on)
{
    return pawl_device_graphs(behind_of(d), on);
}

static void parallel_behind(pawl_device *d, int64_t count, void (*body)(void *self, int64_t i), void *self)
{
    pawl_parallel(behind_of(d), count, body, self);
}

/* ---- ops: arguments where the device behind has them ---- */

static pawl_tensor tensor_at(const char *op, const char *name, pawl_tensor t)
{
    t.data = kind->real_of(op, name, t.data, t.data ? pawl_tensor_bytes(t) : 0);
    return t;
}

static int64_t blocks_of(int64_t count)
{
    return (count + PAWL_SUM_BLOCK - 1) / PAWL_SUM_BLOCK;
}

static pawl_overlap overlap_at(const char *op, const pawl_overlap *o)
{
    pawl_overlap r = *o;
    r.a = kind->real_of(op, "a", o->a, (size_t)(o->rows * o->width) * sizeof *o->a);
    r.kept = kind->real_of(op, "kept", o->kept, (size_t)(o->kept_rows * o->width) * sizeof *o->kept);
    return r;
}

static pawl_attend attend_at(const char *op, const pawl_attend *a)
{
    pawl_attend r = *a;
    r.bounds = NULL; /* is not said: so a library is left out */
    r.starts = kind->real_of(op, "starts", a->starts, (size_t)(a->rows * a->tokens) * sizeof *a->starts);
    return r;
}

static pawl_noise noise_at(const pawl_noise *n, int64_t positions)
{
    pawl_noise r = *n;
    r.lengths = kind->real_of("add_noise", "lengths", n->lengths, (size_t)(positions / n->tokens) * sizeof *n->lengths);
    return r;
}

static pawl_coded coded_at(const char *op, const pawl_coded *q)
{
    pawl_coded r = *q;
    r.codes = kind->real_of(op, "codes", q->codes, (size_t)(q->rows * pawl_code_row_bytes(q->code, q->cols)));
    r.scales = kind->real_of(op, "scales", q->scales, (size_t)(q->rows * pawl_code_row_scales(q->code, q->cols)) * sizeof *q->scales);
    return r;
}

static pawl_moments_8bit moments_at(const pawl_moments_8bit *m, int64_t count)
{
    const size_t scales = (size_t)((count + 255) / 256) * sizeof(float);
    return (pawl_moments_8bit){.m = kind->real_of("adamw_8bit", "m", m->m, (size_t)count),
                               .v = kind->real_of("adamw_8bit", "v", m->v, (size_t)count),
                               .m_scale = kind->real_of("adamw_8bit", "m_scale", m->m_scale, scales),
                               .v_scale = kind->real_of("adamw_8bit", "v_scale", m->v_scale, scales)};
}

#define AT(pointer, count) kind->real_of(op_name, #pointer, (pointer), (size_t)(count) * sizeof *(pointer))
#define BYTES(pointer, bytes) kind->real_of(op_name, #pointer, (pointer), (bytes))
/* Weights and moments, of the type that a step says. */
#define KEPT(pointer, which, count) BYTES(pointer, (size_t)(count) * pawl_dtype_bytes(k->kept.which))
#define T(tensor) tensor_at(op_name, #tensor, tensor)

static pawl_soft soft_at(const pawl_soft *s, int64_t N, int64_t B)
{
    const char *op_name = "head_loss (soft)";
    pawl_soft r = *s;
    r.ids = AT(s->ids, N * s->k);
    r.logp = AT(s->logp, N * s->k);
    r.row_weights = AT(s->row_weights, B);
    r.loss = AT(s->loss, N);
    r.row_k = AT(s->row_k, B);
    r.row_temperatures = AT(s->row_temperatures, B);
    return r;
}

static pawl_top top_at(const pawl_top *t, int64_t N)
{
    const char *op_name = "head_loss (top)";
    pawl_top r = *t;
    r.ids = AT(t->ids, N * t->k);
    r.logp = AT(t->logp, N * t->k);
    return r;
}

static pawl_labels labels_at(const pawl_labels *l, int64_t N)
{
    const char *op_name = "head_loss (labels)";
    pawl_labels r = *l;
    r.drawn = AT(l->drawn, N);
    return r;
}

/* Who calls ops on arrays of the host's says nothing of which positions are trained; NULL, or to be freed. */
static int32_t *list_trained(const pawl_head *h, int64_t N, pawl_trained *out)
{
    int32_t *at = kind->shares_memory ? malloc((size_t)N * sizeof *at) : NULL;
    if (!at) return NULL;
    *out = (pawl_trained){at, 0};
    for (int64_t n = 0; n < N; n++)
        if (h->targets[n] != PAWL_NOT_TRAINED) at[out->count++] = (int32_t)n;
    return at;
}

static pawl_status head_loss_behind(pawl_device *d, const pawl_head *h)
{
    const char *op_name = "head_loss";
    const int64_t N = rows_of(h->hidden), B = h->extra.tokens > 0 ? N / h->extra.tokens : 0;
    pawl_soft soft;
    pawl_top top;
    pawl_labels labels;
    pawl_head r = *h;
    int32_t *list = list_trained(h, N, &r.trained);
    r.hidden = T(h->hidden);
    r.w = T(h->w);
    r.targets = AT(h->targets, N);
    r.trained.at = AT(r.trained.at, r.trained.count);
    r.loss = T(h->loss);
    r.dhidden = T(h->dhidden);
    r.dw = T(h->dw);
    r.extra.row_weights = AT(h->extra.row_weights, B);
    if (h->extra.soft) soft = soft_at(h->extra.soft, N, B), r.extra.soft = &soft;
    if (h->extra.top) top = top_at(h->extra.top, N), r.extra.top = &top;
    if (h->extra.labels) labels = labels_at(h->extra.labels, N), r.extra.labels = &labels;
    const pawl_status s = kind->after(behind_of(d), behind_of(d)->ops->head_loss(behind_of(d), &r));
    free(list);
    return s;
}

#define BARE(...) __VA_ARGS__
/* op, parameters, arguments behind the device */
#define ROW(op, params, args)                              \
    static pawl_status op##_behind params                   \
    {                                                      \
        const char *const op_name = #op;                   \
        pawl_device *const behind = behind_of(d);                \
        (void)op_name;                                     \
        return kind->after(behind, behind->ops->op(behind, BARE args));               \
    }

/* clang-format off */
ROW(linear, (pawl_device *d, pawl_tensor x, pawl_tensor w, pawl_tensor bias, pawl_put put, int64_t first, pawl_tensor y),
    (T(x), T(w), T(bias), put, first, T(y)))
ROW(linear_fp8, (pawl_device *d, pawl_tensor x, pawl_tensor w, pawl_tensor bias, pawl_tensor y), (T(x), T(w), T(bias), T(y)))
ROW(linear_dx, (pawl_device *d, pawl_tensor dy, int64_t first, pawl_tensor w, pawl_put put, pawl_tensor dx),
    (T(dy), first, T(w), put, T(dx)))
ROW(linear_dw, (pawl_device *d, pawl_tensor dy, int64_t first, pawl_tensor x, pawl_put put, pawl_tensor dw, pawl_tensor dbias),
    (T(dy), first, T(x), put, T(dw), T(dbias)))
ROW(dropout, (pawl_device *d, const pawl_drop *how, pawl_tensor x, pawl_put put, pawl_tensor y), (how, T(x), put, T(y)))
ROW(add_noise, (pawl_device *d, const pawl_noise *how, pawl_tensor x),
    (&(pawl_noise[]){noise_at(how, rows_of(x))}[0], T(x)))
ROW(low_rank_norms, (pawl_device *d, pawl_tensor w, pawl_tensor a, pawl_tensor b, float scale, pawl_tensor norms),
    (T(w), T(a), T(b), scale, T(norms)))
ROW(divide, (pawl_device *d, pawl_tensor a, pawl_tensor b, float plus, pawl_put put, pawl_tensor y), (T(a), T(b), plus, put, T(y)))
ROW(scale_columns, (pawl_device *d, pawl_tensor x, int64_t first, pawl_tensor gain, pawl_tensor y), (T(x), first, T(gain), T(y)))
ROW(add_columns, (pawl_device *d, pawl_tensor x, pawl_tensor gain, pawl_tensor y, int64_t first), (T(x), T(gain), T(y), first))
ROW(column_dots, (pawl_device *d, pawl_tensor x, int64_t first, pawl_tensor y, pawl_put put, pawl_tensor sums),
    (T(x), first, T(y), put, T(sums)))
ROW(embedding, (pawl_device *d, pawl_tensor table, pawl_tensor ids, pawl_tensor out), (T(table), T(ids), T(out)))
ROW(embedding_dw, (pawl_device *d, pawl_tensor dout, pawl_tensor ids, pawl_tensor dtable), (T(dout), T(ids), T(dtable)))
ROW(rmsnorm, (pawl_device *d, pawl_tensor residual, pawl_tensor x, pawl_tensor w, float eps, pawl_tensor sum, pawl_tensor y, pawl_tensor rstd),
    (T(residual), T(x), T(w), eps, T(sum), T(y), T(rstd)))
ROW(rmsnorm_backward, (pawl_device *d, pawl_tensor dy, pawl_tensor sum, pawl_tensor w, pawl_tensor rstd, pawl_put put, pawl_tensor dsum, pawl_tensor dw),
    (T(dy), T(sum), T(w), T(rstd), put, T(dsum), T(dw)))
ROW(layernorm, (pawl_device *d, pawl_tensor residual, pawl_tensor x, pawl_tensor w, pawl_tensor bias, float eps, pawl_tensor sum, pawl_tensor y,
                pawl_tensor mean, pawl_tensor rstd),
    (T(residual), T(x), T(w), T(bias), eps, T(sum), T(y), T(mean), T(rstd)))
ROW(layernorm_backward, (pawl_device *d, pawl_tensor dy, pawl_tensor sum, pawl_tensor w, pawl_tensor mean, pawl_tensor rstd, pawl_put put,
                         pawl_tensor dsum, pawl_tensor dw, pawl_tensor dbias),
    (T(dy), T(sum), T(w), T(mean), T(rstd), put, T(dsum), T(dw), T(dbias)))
ROW(head_norm, (pawl_device *d, pawl_tensor x, pawl_tensor w, float eps, int64_t first, int64_t heads, pawl_tensor y, pawl_tensor rstd),
    (T(x), T(w), eps, first, heads, T(y), T(rstd)))
ROW(head_norm_backward, (pawl_device *d, pawl_tensor x, pawl_tensor w, pawl_tensor rstd, int64_t first, int64_t heads, pawl_put put, pawl_tensor dy,
                         pawl_tensor dw),
    (T(x), T(w), T(rstd), first, heads, put, T(dy), T(dw)))
ROW(rope, (pawl_device *d, pawl_tensor x, int64_t heads, pawl_tensor cos, pawl_tensor sin, pawl_tensor positions, int direction),
    (T(x), heads, T(cos), T(sin), T(positions), direction))
ROW(attention, (pawl_device *d, const pawl_attend *a, pawl_tensor qkv, pawl_tensor out, pawl_tensor lse),
    (&(pawl_attend[]){attend_at(op_name, a)}[0], T(qkv), T(out), T(lse)))
ROW(attention_backward, (pawl_device *d, const pawl_attend *a, pawl_tensor dout, pawl_tensor qkv, pawl_tensor out, pawl_tensor lse, pawl_tensor dqkv),
    (&(pawl_attend[]){attend_at(op_name, a)}[0], T(dout), T(qkv), T(out), T(lse), T(dqkv)))
ROW(attention_cached, (pawl_device *d, const pawl_attend *a, pawl_tensor q, pawl_tensor keys, pawl_tensor values, int64_t first, int64_t last, pawl_tensor out),
    (a, T(q), T(keys), T(values), first, last, T(out)))
ROW(swiglu, (pawl_device *d, pawl_tensor gate_up, pawl_tensor out), (T(gate_up), T(out)))
ROW(swiglu_backward, (pawl_device *d, pawl_tensor dout, pawl_tensor gate_up, pawl_tensor dgate_up), (T(dout), T(gate_up), T(dgate_up)))
ROW(activate, (pawl_device *d, pawl_activation which, pawl_tensor x, pawl_tensor out), (which, T(x), T(out)))
ROW(activate_backward, (pawl_device *d, pawl_activation which, pawl_tensor dout, pawl_tensor x, pawl_tensor dx), (which, T(dout), T(x), T(dx)))
ROW(linear_activate, (pawl_device *d, pawl_activation which, pawl_tensor x, pawl_tensor w, pawl_tensor bias, pawl_tensor z, pawl_tensor out),
    (which, T(x), T(w), T(bias), T(z), T(out)))
ROW(linear_activate_dx, (pawl_device *d, pawl_activation which, pawl_tensor dy, pawl_tensor w, pawl_tensor z, pawl_tensor room, pawl_tensor dz),
    (which, T(dy), T(w), T(z), T(room), T(dz)))
ROW(adamw, (pawl_device *d, void *w, const float *g, void *m, void *v, int64_t count, const pawl_adamw_step *k),
    (KEPT(w, weights, count), AT(g, count), KEPT(m, moments, count), KEPT(v, moments, count), count, k))
ROW(sgd, (pawl_device *d, void *w, const float *g, void *m, int64_t count, const pawl_sgd_step *k),
    (KEPT(w, weights, count), AT(g, count), KEPT(m, moments, count), count, k))
ROW(lion, (pawl_device *d, void *w, const float *g, void *m, int64_t count, const pawl_lion_step *k),
    (KEPT(w, weights, count), AT(g, count), KEPT(m, moments, count), count, k))
ROW(adamw_8bit, (pawl_device *d, void *w, const float *g, const pawl_moments_8bit *moments, int64_t count, const pawl_adamw_step *k),
    (KEPT(w, weights, count), AT(g, count), &(pawl_moments_8bit[]){moments_at(moments, count)}[0], count, k))
ROW(adafactor, (pawl_device *d, void *w, const float *g, float *row, float *col, int64_t rows, int64_t cols, void *scratch, const pawl_adafactor_step *k),
    (KEPT(w, weights, rows * (cols ? cols : 1)), AT(g, rows * (cols ? cols : 1)), AT(row, rows), AT(col, cols), rows, cols,
     BYTES(scratch, pawl_adafactor_scratch_bytes(rows, cols)), k))
ROW(muon_momentum, (pawl_device *d, const float *g, void *m, float *out, int64_t count, const pawl_muon_step *k),
    (AT(g, count), KEPT(m, moments, count), AT(out, count), count, k))
ROW(mix, (pawl_device *d, float by_y, void *y, float by_x, const float *x, int64_t count, const pawl_kept_as *kept),
    (by_y, BYTES(y, (size_t)count * pawl_dtype_bytes(kept->weights)), by_x, AT(x, count), count, kept))
ROW(lerp, (pawl_device *d, float *a, const float *b, float part, int64_t count), (AT(a, count), AT(b, count), part, count))
ROW(anchor, (pawl_device *d, float *g, const float *w, const float *anchor, const float *importance, float strength, int64_t count, double *blocks),
    (AT(g, count), AT(w, count), AT(anchor, count), AT(importance, count), strength, count, AT(blocks, blocks_of(count))))
ROW(overlap_add, (pawl_device *d, const pawl_overlap *o, int64_t first, int64_t count, float *g, double *sums),
    (&(pawl_overlap[]){overlap_at(op_name, o)}[0], first, count, AT(g, count), AT(sums, o->rows)))
ROW(path, (pawl_device *d, float *path, const float *g, const float *before, const float *after, int64_t count),
    (AT(path, count), AT(g, count), AT(before, count), AT(after, count), count))
ROW(synapses, (pawl_device *d, float *importance, float *path, const float *w, const float *start, float xi, int64_t count),
    (AT(importance, count), AT(path, count), AT(w, count), AT(start, count), xi, count))
ROW(magnitudes, (pawl_device *d, float *g, int squared, int64_t count), (AT(g, count), squared, count))
ROW(dot, (pawl_device *d, const float *x, const float *y, int64_t count, double *blocks), (AT(x, count), AT(y, count), count, AT(blocks, blocks_of(count))))
ROW(sum_squares, (pawl_device *d, const float *x, int64_t count, double *blocks), (AT(x, count), count, AT(blocks, blocks_of(count))))
ROW(cast, (pawl_device *d, pawl_tensor from, pawl_tensor to), (T(from), T(to)))
ROW(add, (pawl_device *d, float *a, const float *b, int64_t count), (AT(a, count), AT(b, count), count))
ROW(quantise, (pawl_device *d, pawl_tensor w, const pawl_coded *q, int64_t first), (T(w), &(pawl_coded[]){coded_at(op_name, q)}[0], first))
ROW(dequantise, (pawl_device *d, const pawl_coded *q, int64_t first, pawl_tensor w), (&(pawl_coded[]){coded_at(op_name, q)}[0], first, T(w)))
ROW(scale, (pawl_device *d, pawl_tensor a, float by), (T(a), by))
ROW(zero, (pawl_device *d, float *a, int64_t count), (AT(a, count), count))
ROW(copy, (pawl_device *d, float *to, const float *from, int64_t count), (AT(to, count), AT(from, count), count))

static pawl_device_own own_behind(const pawl_device *d)
{
    return pawl_device_own_of(behind_of(d));
}

static pawl_device_memory memory_behind(pawl_device *d)
{
    return pawl_device_memory_of(behind_of(d));
}

static const pawl_ops all_ops = {
    .name = "in front", .close = close_behind, .own = own_behind, .memory = memory_behind, .scratch_bytes = scratch_bytes_behind, .reserve = reserve_behind, .threads = threads_behind,
    .describe = describe_behind, .gemm_rate = gemm_rate_behind, .memory_rate = memory_rate_behind, .tune = tune_behind,
    .algorithms = algorithms_behind, .choose = choose_behind,
    .attend_by_library = attend_by_library_behind,
    .stream = stream_behind, .wait = wait_behind, .block_begin = block_begin_behind, .block_end = block_end_behind, .graphs = graphs_behind,
    .parallel = parallel_behind,
#define OP(op) .op = op##_behind,
    OP(linear) OP(linear_fp8) OP(linear_dx) OP(linear_dw) OP(dropout) OP(add_noise) OP(low_rank_norms) OP(divide) OP(scale_columns) OP(add_columns) OP(column_dots)
    OP(embedding) OP(embedding_dw) OP(rmsnorm) OP(rmsnorm_backward) OP(layernorm) OP(layernorm_backward) OP(head_norm) OP(head_norm_backward)
    OP(rope) OP(attention) OP(attention_backward) OP(attention_cached) OP(swiglu) OP(swiglu_backward) OP(activate) OP(activate_backward) OP(linear_activate)
    OP(linear_activate_dx)
    OP(head_loss) OP(adamw) OP(sgd) OP(lion) OP(adamw_8bit) OP(adafactor) OP(muon_momentum) OP(mix) OP(lerp) OP(anchor) OP(overlap_add) OP(path) OP(synapses)
    OP(magnitudes) OP(dot) OP(sum_squares) OP(cast) OP(add) OP(quantise) OP(dequantise) OP(scale) OP(zero) OP(copy)
#undef OP
};
/* clang-format on */

pawl_status in_front_open(const in_front_kind *of, pawl_device *behind, pawl_device **out)
{
    in_front *f;
    const pawl_status s = pawl_alloc((void **)&f, sizeof *f, "a device in front");
    if (s != PAWL_OK) {
        pawl_device_close(behind);
        return s;
    }
    kind = of;
    in_front_ops = all_ops;
    in_front_ops.shares_memory = of->shares_memory;
    in_front_ops.take = of->take;
    in_front_ops.give = of->give;
    in_front_ops.upload = of->upload;
    in_front_ops.download = of->download;
    *f = (in_front){.device = {.ops = &in_front_ops}, .behind = behind};
    *out = &f->device;
    return PAWL_OK;
}
