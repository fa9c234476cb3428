/* A device that is timed: a table of ops in front of the backend's own, for `pawl train --profile`.
 *
 * One row an op: what it is called with, the letters of its shape, and what one call has to do. FLOPs count an addition, a
 * multiplication, a division, a root, a comparison and an exponential as one each; bytes count every operand once for
 * being read and once for being written, wherever caches keep it. So both are of shapes alone, but for attention, which
 * is over documents, and the head, which is over trained positions (as far as they are known). A device that gets on by itself is
 * waited for behind each op: a span is then the op's own time and what a launch costs, and nothing of others runs beside it. */
#include "core/batch.h"
#include "core/span.h"
#include "ops/checks.h"

static pawl_rates machine;

static double seconds_at_best(double flops, double bytes, pawl_dtype dtype)
{
    const double compute = flops / (dtype == PAWL_BF16 ? machine.bf16_flops : machine.f32_flops);
    const double traffic = bytes / machine.bytes;
    return compute > traffic ? compute : traffic;
}

/* ---- What operands weigh ---- */

static double size(pawl_tensor t)
{
    return t.data ? (double)pawl_tensor_bytes(t) : 0;
}

/* An output that is added to is read, too. */
static double put_size(pawl_tensor t, pawl_put put)
{
    return size(t) * (put == PAWL_ADD ? 2 : 1);
}

/* Bytes that an update reads and writes of a number's weight and of so many moments. */
static double kept_bytes(const pawl_kept_as *as, int moments)
{
    return (as->weights == PAWL_BF16 ? 4 : 8) + moments * (as->moments == PAWL_BF16 ? 4 : 8);
}

/* So many numbers of a tensor that is wider. */
static double part(pawl_tensor t, int64_t numbers)
{
    return (double)numbers * (double)pawl_dtype_bytes(t.dtype);
}

static double put_part(pawl_tensor t, int64_t numbers, pawl_put put)
{
    return part(t, numbers) * (put == PAWL_ADD ? 2 : 1);
}

/* Pairs of positions of which one attends to the other; where memory is not shared, those of rows that are one document. */
static double pairs_of(const pawl_device *d, const pawl_attend *a)
{
    double pairs = 0;
    if (!d->ops->shares_memory) return (double)a->rows * (double)a->tokens * (double)(a->tokens + 1) / 2;
    for (int64_t n = 0; n < a->rows * a->tokens; n++) {
        const int64_t seen = n - a->starts[n] + 1;
        pairs += (double)(a->window && a->window < seen ? a->window : seen);
    }
    return pairs;
}

static int64_t trained_of(const pawl_device *d, const pawl_head *h)
{
    int64_t trained = 0;
    if (!d->ops->shares_memory) return h->trained.at ? h->trained.count : rows_of(h->hidden);
    for (int64_t n = 0; n < rows_of(h->hidden); n++) trained += h->targets[n] != PAWL_NOT_TRAINED;
    return trained;
}

static double products_of(const pawl_head *h)
{
    return 1 + (h->dhidden.data != NULL) + (h->dw.data != NULL);
}

/* ---- The rows ---- */

#define BARE(...) __VA_ARGS__
/* op, parameters, arguments, dimensions, letters, their values, FLOPs, bytes, the type it computes in */
#define ROW(op, params, args, dimensions, letters_, values, flops_, bytes_, dtype)                          \
    static pawl_status op##_timed params                                                                    \
    {                                                                                                       \
        const int64_t BARE dimensions;                                                                      \
        pawl_span_work work = {.flops = (double)(flops_), .bytes = (bytes_), .letters = letters_, .shape = {BARE values}}; \
        work.ideal_seconds = seconds_at_best(work.flops, work.bytes, (dtype));                              \
        const int span = pawl_span_here ? pawl_span_enter_(#op, PAWL_SPAN_OP, &work) : -1;                  \
        pawl_status status = d->under->op args;                                                             \
        if (status == PAWL_OK && span >= 0) status = d->under->wait(d);                                     \
        pawl_span_end(span);                                                                                \
        return status;                                                                                      \
    }

/* clang-format off */
ROW(linear, (pawl_device *d, pawl_tensor x, pawl_tensor w, pawl_tensor bias, pawl_put put, int64_t first, pawl_tensor y),
    (d, x, w, bias, put, first, y), (N = rows_of(x), O = rows_of(w), I = last_dim(w)), "NOI", (N, O, I),
    2.0 * (double)N * (double)O * (double)I, size(x) + size(w) + size(bias) + put_part(y, N * O, put), x.dtype)
ROW(linear_fp8, (pawl_device *d, pawl_tensor x, pawl_tensor w, pawl_tensor bias, pawl_tensor y),
    (d, x, w, bias, y), (N = rows_of(x), O = rows_of(w), I = last_dim(w)), "NOI", (N, O, I), 2.0 * (double)N * (double)O * (double)I,
    size(x) + size(w) + size(bias) + size(y), x.dtype)
ROW(linear_dx, (pawl_device *d, pawl_tensor dy, int64_t first, pawl_tensor w, pawl_put put, pawl_tensor dx),
    (d, dy, first, w, put, dx), (N = rows_of(dy), O = rows_of(w), I = last_dim(w)), "NOI", (N, O, I),
    2.0 * (double)N * (double)O * (double)I, part(dy, N * O) + size(w) + put_size(dx, put), dy.dtype)
ROW(linear_dw, (pawl_device *d, pawl_tensor dy, int64_t first, pawl_tensor x, pawl_put put, pawl_tensor dw, pawl_tensor dbias),
    (d, dy, first, x, put, dw, dbias), (N = rows_of(dy), O = rows_of(dw), I = last_dim(dw)), "NOI", (N, O, I),
    2.0 * (double)N * (double)O * (double)I, part(dy, N * O) + size(x) + put_size(dw, put) + put_size(dbias, put), dy.dtype)
ROW(dropout, (pawl_device *d, const pawl_drop *how, pawl_tensor x, pawl_put put, pawl_tensor y),
    (d, how, x, put, y), (N = rows_of(x), I = last_dim(x)), "NI", (N, I), 2 * N * I, size(x) + put_size(y, put), PAWL_F32)
ROW(add_noise, (pawl_device *d, const pawl_noise *how, pawl_tensor x), (d, how, x), (N = rows_of(x), D = last_dim(x)), "ND", (N, D),
    3 * N * D, 2 * size(x), PAWL_F32)
ROW(low_rank_norms, (pawl_device *d, pawl_tensor w, pawl_tensor a, pawl_tensor b, float scale, pawl_tensor norms),
    (d, w, a, b, scale, norms), (O = rows_of(w), I = last_dim(w), R = rows_of(a)), "OIR", (O, I, R),
    (2.0 * (double)R + 4) * (double)O * (double)I, size(w) + size(a) + size(b) + size(norms), PAWL_F32)
ROW(divide, (pawl_device *d, pawl_tensor a, pawl_tensor b, float plus, pawl_put put, pawl_tensor y),
    (d, a, b, plus, put, y), (N = pawl_tensor_count(y)), "N", (N), 2 * N, size(a) + size(b) + put_size(y, put), PAWL_F32)
ROW(scale_columns, (pawl_device *d, pawl_tensor x, int64_t first, pawl_tensor gain, pawl_tensor y),
    (d, x, first, gain, y), (N = rows_of(x), O = last_dim(y)), "NO", (N, O), N * O, part(x, N * O) + size(gain) + size(y), PAWL_F32)
ROW(add_columns, (pawl_device *d, pawl_tensor x, pawl_tensor gain, pawl_tensor y, int64_t first),
    (d, x, gain, y, first), (N = rows_of(x), O = last_dim(x)), "NO", (N, O), 2 * N * O, size(x) + size(gain) + 2 * part(y, N * O), PAWL_F32)
ROW(column_dots, (pawl_device *d, pawl_tensor x, int64_t first, pawl_tensor y, pawl_put put, pawl_tensor sums),
    (d, x, first, y, put, sums), (N = rows_of(x), O = last_dim(y)), "NO", (N, O), 2 * N * O,
    part(x, N * O) + size(y) + put_size(sums, put), PAWL_F32)
ROW(embedding, (pawl_device *d, pawl_tensor table, pawl_tensor ids, pawl_tensor out),
    (d, table, ids, out), (N = rows_of(out), D = last_dim(out)), "ND", (N, D), 0, part(table, N * D) + size(ids) + size(out), PAWL_F32)
ROW(embedding_dw, (pawl_device *d, pawl_tensor dout, pawl_tensor ids, pawl_tensor dtable),
    (d, dout, ids, dtable), (N = rows_of(dout), D = last_dim(dout)), "ND", (N, D), N * D,
    size(dout) + size(ids) + 2 * part(dtable, N * D), PAWL_F32)
ROW(rmsnorm, (pawl_device *d, pawl_tensor residual, pawl_tensor x, pawl_tensor w, float eps, pawl_tensor sum, pawl_tensor y, pawl_tensor rstd),
    (d, residual, x, w, eps, sum, y, rstd), (N = rows_of(residual), D = last_dim(residual)), "ND", (N, D), (4 + (x.data != NULL)) * N * D,
    size(residual) + size(x) + size(w) + size(sum) + size(y) + size(rstd), PAWL_F32)
ROW(rmsnorm_backward, (pawl_device *d, pawl_tensor dy, pawl_tensor sum, pawl_tensor w, pawl_tensor rstd, pawl_put put, pawl_tensor dsum, pawl_tensor dw),
    (d, dy, sum, w, rstd, put, dsum, dw), (N = rows_of(dy), D = last_dim(dy)), "ND", (N, D), (7 + 2 * (dw.data != NULL)) * N * D,
    size(dy) + size(sum) + size(w) + size(rstd) + 2 * size(dsum) + put_size(dw, put), PAWL_F32)
ROW(layernorm, (pawl_device *d, pawl_tensor residual, pawl_tensor x, pawl_tensor w, pawl_tensor bias, float eps, pawl_tensor sum, pawl_tensor y,
                pawl_tensor mean, pawl_tensor rstd),
    (d, residual, x, w, bias, eps, sum, y, mean, rstd), (N = rows_of(residual), D = last_dim(residual)), "ND", (N, D), (7 + (x.data != NULL)) * N * D,
    size(residual) + size(x) + size(w) + size(bias) + size(sum) + size(y) + size(mean) + size(rstd), PAWL_F32)
ROW(layernorm_backward, (pawl_device *d, pawl_tensor dy, pawl_tensor sum, pawl_tensor w, pawl_tensor mean, pawl_tensor rstd, pawl_put put,
                         pawl_tensor dsum, pawl_tensor dw, pawl_tensor dbias),
    (d, dy, sum, w, mean, rstd, put, dsum, dw, dbias), (N = rows_of(dy), D = last_dim(dy)), "ND", (N, D), (10 + 3 * (dw.data != NULL)) * N * D,
    size(dy) + size(sum) + size(w) + size(mean) + size(rstd) + 2 * size(dsum) + put_size(dw, put) + put_size(dbias, put), PAWL_F32)
ROW(head_norm, (pawl_device *d, pawl_tensor x, pawl_tensor w, float eps, int64_t first, int64_t heads, pawl_tensor y, pawl_tensor rstd),
    (d, x, w, eps, first, heads, y, rstd), (N = rows_of(x), H = heads, K = pawl_tensor_count(w)), "NHK", (N, H, K), 4 * N * H * K,
    part(x, N * H * K) + size(w) + part(y, N * H * K) + size(rstd), PAWL_F32)
ROW(head_norm_backward, (pawl_device *d, pawl_tensor x, pawl_tensor w, pawl_tensor rstd, int64_t first, int64_t heads, pawl_put put, pawl_tensor dy,
                         pawl_tensor dw),
    (d, x, w, rstd, first, heads, put, dy, dw), (N = rows_of(x), H = heads, K = pawl_tensor_count(w)), "NHK", (N, H, K),
    (7 + 2 * (dw.data != NULL)) * N * H * K,
    part(x, N * H * K) + size(w) + size(rstd) + 2 * part(dy, N * H * K) + put_size(dw, put), PAWL_F32)
ROW(rope, (pawl_device *d, pawl_tensor x, int64_t heads, pawl_tensor cos, pawl_tensor sin, pawl_tensor positions, int direction),
    (d, x, heads, cos, sin, positions, direction), (N = rows_of(x), H = heads, K = 2 * last_dim(cos)), "NHK", (N, H, K), 3 * N * H * K,
    2 * part(x, N * H * K) + part(cos, N * K / 2) + part(sin, N * K / 2) + size(positions), PAWL_F32)
ROW(attention, (pawl_device *d, const pawl_attend *a, pawl_tensor qkv, pawl_tensor out, pawl_tensor lse),
    (d, a, qkv, out, lse), (B = a->rows, T = a->tokens, H = a->heads, G = a->kv_heads, K = a->head_dim), "BTHGK", (B, T, H, G, K),
    (4.0 * (double)K + 4) * (double)H * pairs_of(d, a), size(qkv) + size(out) + size(lse), qkv.dtype)
ROW(attention_backward, (pawl_device *d, const pawl_attend *a, pawl_tensor dout, pawl_tensor qkv, pawl_tensor out, pawl_tensor lse, pawl_tensor dqkv),
    (d, a, dout, qkv, out, lse, dqkv), (B = a->rows, T = a->tokens, H = a->heads, G = a->kv_heads, K = a->head_dim), "BTHGK", (B, T, H, G, K),
    (10.0 * (double)K + 5) * (double)H * pairs_of(d, a), size(dout) + size(qkv) + size(out) + size(lse) + size(dqkv), qkv.dtype)
ROW(attention_cached, (pawl_device *d, const pawl_attend *a, pawl_tensor q, pawl_tensor keys, pawl_tensor values, int64_t first, int64_t last, pawl_tensor out),
    (d, a, q, keys, values, first, last, out), (P = last - first + 1, H = a->heads, G = a->kv_heads, K = a->head_dim), "PHGK", (P, H, G, K),
    (4.0 * (double)K + 4) * (double)H * (double)P, size(q) + part(keys, P * G * K) + part(values, P * G * K) + size(out), q.dtype)
ROW(swiglu, (pawl_device *d, pawl_tensor gate_up, pawl_tensor out),
    (d, gate_up, out), (N = rows_of(out), F = last_dim(out)), "NF", (N, F), 5 * N * F, size(gate_up) + size(out), PAWL_F32)
ROW(swiglu_backward, (pawl_device *d, pawl_tensor dout, pawl_tensor gate_up, pawl_tensor dgate_up),
    (d, dout, gate_up, dgate_up), (N = rows_of(dout), F = last_dim(dout)), "NF", (N, F), 10 * N * F, size(dout) + size(gate_up) + size(dgate_up), PAWL_F32)
ROW(activate, (pawl_device *d, pawl_activation which, pawl_tensor x, pawl_tensor out),
    (d, which, x, out), (N = rows_of(x), F = last_dim(x)), "NF", (N, F), 10 * N * F, size(x) + size(out), PAWL_F32)
ROW(activate_backward, (pawl_device *d, pawl_activation which, pawl_tensor dout, pawl_tensor x, pawl_tensor dx),
    (d, which, dout, x, dx), (N = rows_of(x), F = last_dim(x)), "NF", (N, F), 15 * N * F, size(dout) + size(x) + size(dx), PAWL_F32)
ROW(linear_activate, (pawl_device *d, pawl_activation which, pawl_tensor x, pawl_tensor w, pawl_tensor bias, pawl_tensor z, pawl_tensor out),
    (d, which, x, w, bias, z, out), (N = rows_of(x), F = rows_of(w), I = last_dim(w)), "NFI", (N, F, I),
    (2.0 * (double)I + 10) * (double)N * (double)F, size(x) + size(w) + size(bias) + size(z) + size(out), x.dtype)
ROW(linear_activate_dx, (pawl_device *d, pawl_activation which, pawl_tensor dy, pawl_tensor w, pawl_tensor z, pawl_tensor room, pawl_tensor dz),
    (d, which, dy, w, z, room, dz), (N = rows_of(dy), O = rows_of(w), F = last_dim(w)), "NOF", (N, O, F),
    (2.0 * (double)O + 15) * (double)N * (double)F, size(dy) + size(w) + size(z) + size(dz), dy.dtype)
ROW(head_loss, (pawl_device *d, const pawl_head *h),
    (d, h), (N = rows_of(h->hidden), V = rows_of(h->w), D = last_dim(h->w)), "NVD", (N, V, D),
    (2.0 * (double)D * products_of(h) + 4) * (double)trained_of(d, h) * (double)V,
    size(h->hidden) + products_of(h) * size(h->w) + size(h->loss) + size(h->dhidden) + put_size(h->dw, h->put), h->hidden.dtype)
ROW(adamw, (pawl_device *d, void *w, const float *g, void *m, void *v, int64_t count, const pawl_adamw_step *k),
    (d, w, g, m, v, count, k), (N = count), "N", (N), 15 * N, (4.0 + kept_bytes(&k->kept, 2)) * (double)N, PAWL_F32)
ROW(sgd, (pawl_device *d, void *w, const float *g, void *m, int64_t count, const pawl_sgd_step *k),
    (d, w, g, m, count, k), (N = count), "N", (N), 8 * N, (4.0 + kept_bytes(&k->kept, m != NULL)) * (double)N, PAWL_F32)
ROW(lion, (pawl_device *d, void *w, const float *g, void *m, int64_t count, const pawl_lion_step *k),
    (d, w, g, m, count, k), (N = count), "N", (N), 10 * N, (4.0 + kept_bytes(&k->kept, 1)) * (double)N, PAWL_F32)
ROW(adamw_8bit, (pawl_device *d, void *w, const float *g, const pawl_moments_8bit *moments, int64_t count, const pawl_adamw_step *k),
    (d, w, g, moments, count, k), (N = count), "N", (N), 23 * N, (8.0 + kept_bytes(&k->kept, 0)) * (double)N, PAWL_F32)
ROW(adafactor, (pawl_device *d, void *w, const float *g, float *row, float *col, int64_t rows, int64_t cols, void *scratch,
                const pawl_adafactor_step *k),
    (d, w, g, row, col, rows, cols, scratch, k), (O = rows, I = cols > 0 ? cols : 1), "OI", (O, I), 14 * O * I, (12.0 + kept_bytes(&k->kept, 0)) * (double)(O * I), PAWL_F32)
ROW(muon_momentum, (pawl_device *d, const float *g, void *m, float *out, int64_t count, const pawl_muon_step *k),
    (d, g, m, out, count, k), (N = count), "N", (N), 7 * N, (k->kept.moments == PAWL_BF16 ? 12.0 : 16.0) * (double)N, PAWL_F32)
ROW(mix, (pawl_device *d, float by_y, void *y, float by_x, const float *x, int64_t count, const pawl_kept_as *kept),
    (d, by_y, y, by_x, x, count, kept), (N = count), "N", (N), 3 * N, (4.0 + kept_bytes(kept, 0)) * (double)N, PAWL_F32)
ROW(lerp, (pawl_device *d, float *a, const float *b, float part, int64_t count),
    (d, a, b, part, count), (N = count), "N", (N), 3 * N, 12.0 * (double)N, PAWL_F32)
ROW(anchor, (pawl_device *d, float *g, const float *w, const float *anchor, const float *importance, float strength, int64_t count, double *blocks),
    (d, g, w, anchor, importance, strength, count, blocks), (N = count), "N", (N), 5 * N, (importance ? 20.0 : 16.0) * (double)N, PAWL_F32)
ROW(overlap_add, (pawl_device *d, const pawl_overlap *o, int64_t first, int64_t count, float *g, double *sums),
    (d, o, first, count, g, sums), (N = o->rows, R = o->kept_rows, I = o->width), "NRI", (N, R, I), 4 * N * R * I,
    4.0 * (double)(2 * N * I + R * I), PAWL_F32)
ROW(path, (pawl_device *d, float *path, const float *g, const float *before, const float *after, int64_t count),
    (d, path, g, before, after, count), (N = count), "N", (N), 3 * N, 20.0 * (double)N, PAWL_F32)
ROW(synapses, (pawl_device *d, float *importance, float *path, const float *w, const float *start, float xi, int64_t count),
    (d, importance, path, w, start, xi, count), (N = count), "N", (N), 6 * N, 24.0 * (double)N, PAWL_F32)
ROW(magnitudes, (pawl_device *d, float *g, int squared, int64_t count),
    (d, g, squared, count), (N = count), "N", (N), N, 8.0 * (double)N, PAWL_F32)
ROW(dot, (pawl_device *d, const float *x, const float *y, int64_t count, double *blocks),
    (d, x, y, count, blocks), (N = count), "N", (N), 2 * N, 8.0 * (double)N, PAWL_F32)
ROW(sum_squares, (pawl_device *d, const float *x, int64_t count, double *blocks),
    (d, x, count, blocks), (N = count), "N", (N), 2 * N, 4.0 * (double)N, PAWL_F32)
ROW(add, (pawl_device *d, float *a, const float *b, int64_t count), (d, a, b, count), (N = count), "N", (N), N, 12.0 * (double)N, PAWL_F32)
ROW(quantise, (pawl_device *d, pawl_tensor w, const pawl_coded *q, int64_t first),
    (d, w, q, first), (O = rows_of(w), I = last_dim(w)), "OI", (O, I), 4 * O * I,
    size(w) + (double)(O * (pawl_code_row_bytes(q->code, q->cols) + 4 * pawl_code_row_scales(q->code, q->cols))), PAWL_F32)
ROW(dequantise, (pawl_device *d, const pawl_coded *q, int64_t first, pawl_tensor w),
    (d, q, first, w), (O = rows_of(w), I = last_dim(w)), "OI", (O, I), 2 * O * I,
    size(w) + (double)(O * (pawl_code_row_bytes(q->code, q->cols) + 4 * pawl_code_row_scales(q->code, q->cols))), PAWL_F32)
ROW(cast, (pawl_device *d, pawl_tensor from, pawl_tensor to), (d, from, to), (N = pawl_tensor_count(to)), "N", (N), 0, size(from) + size(to), PAWL_F32)
ROW(scale, (pawl_device *d, pawl_tensor a, float by), (d, a, by), (N = pawl_tensor_count(a)), "N", (N), N, 2 * size(a), PAWL_F32)
ROW(zero, (pawl_device *d, float *a, int64_t count), (d, a, count), (N = count), "N", (N), 0, 4.0 * (double)N, PAWL_F32)
ROW(copy, (pawl_device *d, float *to, const float *from, int64_t count), (d, to, from, count), (N = count), "N", (N), 0, 8.0 * (double)N, PAWL_F32)

#define PAWL_TIMED_OPS(X) \
    X(linear) X(linear_fp8) X(linear_dx) X(linear_dw) X(dropout) X(add_noise) X(low_rank_norms) X(divide) X(scale_columns) X(add_columns) X(column_dots) X(embedding) \
    X(embedding_dw) X(rmsnorm) X(rmsnorm_backward) X(layernorm) X(layernorm_backward) X(head_norm) X(head_norm_backward) X(rope) \
    X(attention) X(attention_backward) X(attention_cached) X(swiglu) X(swiglu_backward) X(activate) X(activate_backward) \
    X(linear_activate) X(linear_activate_dx) X(head_loss) X(adamw) X(sgd) X(lion) X(adamw_8bit) X(adafactor) X(muon_momentum) X(mix) X(lerp) X(anchor) X(overlap_add) X(path) X(synapses) X(magnitudes) \
    X(dot) X(sum_squares) X(cast) X(add) X(quantise) \
    X(dequantise) X(scale) X(zero) X(copy)
/* clang-format on */

void pawl_device_time(pawl_device *d, const pawl_rates *rates)
{
    static pawl_ops timed; /* the backend's table with the rows above in front */
    if (d->ops == &timed) d->ops = d->under;
    if (!rates) return;
    machine = *rates;
    d->under = d->ops;
    timed = *d->under;
#define IN_FRONT(op) timed.op = op##_timed;
    PAWL_TIMED_OPS(IN_FRONT)
#undef IN_FRONT
    d->ops = &timed;
}
