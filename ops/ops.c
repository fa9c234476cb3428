/* Checks once, then dispatches. A wrong shape is a bug of the caller (EBUG); a wrong id in the data is EDATA. */
#include <string.h>

#include "core/batch.h"
#include "ops/backend.h"
#include "ops/checks.h"
#include "ops/fp8_rule.h"

/* Where memory is not shared, whoever has uploaded them has checked them. */
static pawl_status check_indices(const pawl_device *d, const char *op, const char *name, const int32_t *x, int64_t count,
                                 int64_t below)
{
    if (!d->ops->shares_memory) return PAWL_OK;
    for (int64_t n = 0; n < count; n++)
        PAWL_CHECK(x[n] >= 0 && x[n] < below, PAWL_EDATA, "%s: %s %d at position %ld is outside [0, %ld)", op, name,
                   x[n], (long)n, (long)below);
    return PAWL_OK;
}

void pawl_device_close(pawl_device *d)
{
    if (d) d->ops->close(d);
}

static int64_t smallest(const pawl_shapes *s)
{
    const int64_t all[] = {s->positions, s->tokens, s->width, s->heads, s->kv_heads, s->head_dim, s->ff, s->vocab};
    int64_t least = all[0];
    for (size_t i = 1; i < sizeof all / sizeof *all; i++) least = all[i] < least ? all[i] : least;
    return least;
}

size_t pawl_device_scratch_bytes(const pawl_device *d, const pawl_shapes *most)
{
    PAWL_ASSERT(smallest(most) > 0);
    return d->ops->scratch_bytes(d, most);
}

pawl_status pawl_device_reserve(pawl_device *d, const pawl_shapes *most)
{
    PAWL_CHECK(smallest(most) > 0, PAWL_EBUG, "reserve: a shape is %ld", (long)smallest(most));
    return d->ops->reserve(d, most);
}

int pawl_device_threads(const pawl_device *d)
{
    return d->ops->threads(d);
}

const char *pawl_device_describe(const pawl_device *d)
{
    return d->ops->describe(d);
}

double pawl_device_gemm_rate(pawl_device *d, pawl_dtype type)
{
    PAWL_ASSERT(type == PAWL_F32 || type == PAWL_BF16);
    return d->ops->gemm_rate(d, type);
}

double pawl_device_memory_rate(pawl_device *d)
{
    return d->ops->memory_rate(d);
}

int pawl_device_tune(pawl_device *d, int on)
{
    return d->ops->tune(d, on);
}

pawl_status pawl_device_algorithms(const pawl_device *d, pawl_text *out)
{
    return d->ops->algorithms(d, out);
}

pawl_status pawl_device_choose(pawl_device *d, const char *table)
{
    return d->ops->choose(d, table);
}

pawl_status pawl_device_attend_by_library(pawl_device *d)
{
    return d->ops->attend_by_library(d);
}

int pawl_device_shares_memory(const pawl_device *d)
{
    return !d || d->ops->shares_memory;
}

pawl_status pawl_device_take(pawl_device *d, pawl_side_of side, size_t bytes, const char *what, void **out)
{
    return d ? d->ops->take(d, side, bytes, what, out) : pawl_pages_take(bytes, what, out);
}

void pawl_device_give(pawl_device *d, pawl_side_of side, void *block, size_t bytes)
{
    if (block && d) d->ops->give(d, side, block, bytes);
    if (block && !d) pawl_pages_give(block, bytes);
}

pawl_status pawl_arena_open_on(pawl_device *d, pawl_side_of side, pawl_arena *a)
{
    void *block;
    if (!a->used) a->used = 1;
    PAWL_TRY(pawl_device_take(d, side, a->used, a->name, &block));
    a->on_device = side == PAWL_ON_DEVICE && !pawl_device_shares_memory(d);
    pawl_arena_adopt(a, block);
    return PAWL_OK;
}

void pawl_arena_close_on(pawl_device *d, pawl_side_of side, pawl_arena *a)
{
    const size_t bytes = a->size;
    pawl_device_give(d, side, pawl_arena_release(a), bytes);
}

pawl_status pawl_upload(pawl_device *d, void *to_device, const void *from_host, size_t bytes)
{
    if (to_device == from_host || bytes == 0) return PAWL_OK;
    if (d) return d->ops->upload(d, to_device, from_host, bytes);
    memcpy(to_device, from_host, bytes);
    return PAWL_OK;
}

pawl_status pawl_download(pawl_device *d, void *to_host, const void *from_device, size_t bytes)
{
    if (to_host == from_device || bytes == 0) return PAWL_OK;
    if (d) return d->ops->download(d, to_host, from_device, bytes);
    memcpy(to_host, from_device, bytes);
    return PAWL_OK;
}

pawl_device_own pawl_device_own_of(const pawl_device *d)
{
    return d->ops->own(d);
}

pawl_device_memory pawl_device_memory_of(pawl_device *d)
{
    return d->ops->memory(d);
}

pawl_status pawl_carry(pawl_device *d, pawl_carry_way way, const pawl_load *loads, int count, int64_t *ticket)
{
    *ticket = 0;
    if (d->ops->carrier) return d->ops->carrier->carry(d, way, loads, count, ticket);
    for (int i = 0; i < count; i++) {
        const pawl_load *l = &loads[i];
        PAWL_TRY(way == PAWL_CARRY_UP ? pawl_upload(d, l->to, l->from, l->bytes) : pawl_download(d, l->to, l->from, l->bytes));
    }
    return PAWL_OK;
}

pawl_status pawl_carry_await(pawl_device *d, int64_t ticket)
{
    return d->ops->carrier ? d->ops->carrier->await(d, ticket) : PAWL_OK;
}

pawl_status pawl_carry_settle(pawl_device *d)
{
    return d->ops->carrier ? d->ops->carrier->settle(d) : PAWL_OK;
}

static const pawl_snapper *snapper_of(const pawl_device *d)
{
    return d ? d->ops->snapper : NULL;
}

pawl_status pawl_snapshot_begin(pawl_device *d, const pawl_load *loads, int64_t count, int64_t there)
{
    if (snapper_of(d)) return snapper_of(d)->begin(d, loads, count, there);
    for (int64_t i = 0; i < count; i++) PAWL_TRY(pawl_download(i < there ? d : NULL, loads[i].to, loads[i].from, loads[i].bytes));
    return PAWL_OK;
}

pawl_status pawl_snapshot_await(pawl_device *d)
{
    return snapper_of(d) ? snapper_of(d)->await(d) : PAWL_OK;
}

pawl_status pawl_snapshot_settle(pawl_device *d)
{
    return snapper_of(d) ? snapper_of(d)->settle(d) : PAWL_OK;
}

void pawl_snapshot_drop(pawl_device *d)
{
    if (snapper_of(d)) snapper_of(d)->drop(d);
}

void *pawl_device_stream(pawl_device *d)
{
    return d->ops->stream(d);
}

int pawl_device_works_aside(const pawl_device *d)
{
    return d && d->ops->aside;
}

pawl_status pawl_aside_begin(pawl_device *d)
{
    return d->ops->aside ? d->ops->aside->begin(d) : PAWL_OK;
}

pawl_status pawl_aside_end(pawl_device *d, int mark)
{
    PAWL_ASSERT(mark >= 0 && mark < PAWL_MARKS);
    return d->ops->aside ? d->ops->aside->end(d, mark) : PAWL_OK;
}

pawl_status pawl_aside_await(pawl_device *d, int mark)
{
    PAWL_ASSERT(mark >= 0 && mark < PAWL_MARKS);
    return d->ops->aside ? d->ops->aside->await(d, mark) : PAWL_OK;
}

void pawl_device_settle(pawl_device *d)
{
    if (d && d->ops->aside) d->ops->aside->settle(d);
}

void pawl_device_ask(pawl_device *d, pawl_status (*ask)(void *self), void *self)
{
    if (d->ops->aside) d->ops->aside->ask(d, ask, self);
}

pawl_status pawl_device_block_begin(pawl_device *d)
{
    return d->ops->block_begin(d);
}

pawl_status pawl_device_block_end(pawl_device *d)
{
    return d->ops->block_end(d);
}

pawl_status pawl_device_graphs(pawl_device *d, int on)
{
    return d->ops->graphs(d, on);
}

void pawl_parallel(pawl_device *d, int64_t count, void (*body)(void *self, int64_t i), void *self)
{
    d->ops->parallel(d, count, body, self);
}

pawl_status pawl_linear(pawl_device *d, pawl_tensor x, pawl_tensor w, pawl_tensor bias, pawl_put put, pawl_tensor y)
{
    PAWL_TRY(check_matrix("linear", "w", w));
    const int64_t N = rows_of(x), O = rows_of(w), I = last_dim(w);
    CHECK_ALL("linear", EITHER(x, N, I), LIKE(w, x, O, I), EITHER(y, N, O));
    if (bias.data) CHECK_ALL("linear", VECTOR(bias, O));
    return d->ops->linear(d, x, w, bias, put, 0, y);
}

pawl_status pawl_device_fp8(pawl_device *d)
{
    return d->ops->fp8 ? d->ops->fp8(d) : PAWL_OK;
}

pawl_status pawl_linear_fp8(pawl_device *d, pawl_tensor x, pawl_tensor w, pawl_tensor bias, pawl_tensor y)
{
    PAWL_TRY(check_matrix("linear_fp8", "w", w));
    const int64_t N = rows_of(x), O = rows_of(w), I = last_dim(w);
    PAWL_CHECK(x.dtype == PAWL_BF16, PAWL_EBUG, "linear_fp8: x is of %s, not of bf16", pawl_dtype_name(x.dtype));
    CHECK_ALL("linear_fp8", EITHER(x, N, I), LIKE(w, x, O, I), EITHER(y, N, O));
    if (bias.data) CHECK_ALL("linear_fp8", VECTOR(bias, O));
    if (O % PAWL_FP8_SIDE || I % PAWL_FP8_SIDE) return d->ops->linear(d, x, w, bias, PAWL_SET, 0, y);
    return d->ops->linear_fp8(d, x, w, bias, y);
}

pawl_status pawl_linear_dx(pawl_device *d, pawl_tensor dy, pawl_tensor w, pawl_put put, pawl_tensor dx)
{
    PAWL_TRY(check_matrix("linear_dx", "w", w));
    const int64_t N = rows_of(dy), O = rows_of(w), I = last_dim(w);
    CHECK_ALL("linear_dx", EITHER(dy, N, O), LIKE(w, dy, O, I), EITHER(dx, N, I));
    return d->ops->linear_dx(d, dy, 0, w, put, dx);
}

pawl_status pawl_linear_dw(pawl_device *d, pawl_tensor dy, pawl_tensor x, pawl_put put, pawl_tensor dw,
                           pawl_tensor dbias)
{
    PAWL_TRY(check_matrix("linear_dw", "dw", dw));
    const int64_t N = rows_of(dy), O = rows_of(dw), I = last_dim(dw);
    CHECK_ALL("linear_dw", EITHER(dy, N, O), LIKE(x, dy, N, I), MATRIX(dw, O, I));
    if (dbias.data) CHECK_ALL("linear_dw", VECTOR(dbias, O));
    return d->ops->linear_dw(d, dy, 0, x, put, dw, dbias);
}

static pawl_status check_embedding(const pawl_device *d, const char *op, pawl_tensor table, pawl_tensor ids, pawl_tensor out)
{
    PAWL_TRY(check_matrix(op, "the table", table));
    const int64_t V = rows_of(table), D = last_dim(table), N = rows_of(out);
    CHECK_ALL(op, EITHER(table, V, D), INDICES(ids, N), MATRIX(out, N, D));
    return check_indices(d, op, "token id", ids.data, N, V);
}

pawl_status pawl_embedding(pawl_device *d, pawl_tensor table, pawl_tensor ids, pawl_tensor out)
{
    PAWL_TRY(check_embedding(d, "embedding", table, ids, out));
    return d->ops->embedding(d, table, ids, out);
}

pawl_status pawl_embedding_dw(pawl_device *d, pawl_tensor dout, pawl_tensor ids, pawl_tensor dtable)
{
    PAWL_TRY(check_embedding(d, "embedding_dw", dtable, ids, dout));
    CHECK_ALL("embedding_dw", MATRIX(dtable, rows_of(dtable), last_dim(dtable)));
    return d->ops->embedding_dw(d, dout, ids, dtable);
}

pawl_status pawl_rmsnorm(pawl_device *d, pawl_tensor residual, pawl_tensor x, pawl_tensor w, float eps, pawl_tensor sum,
                         pawl_tensor y, pawl_tensor rstd)
{
    const int64_t N = rows_of(residual), D = last_dim(residual);
    CHECK_ALL("rmsnorm", MATRIX(residual, N, D), VECTOR(w, D), MATRIX(sum, N, D), EITHER(y, N, D), VECTOR(rstd, N));
    if (x.data) CHECK_ALL("rmsnorm", MATRIX(x, N, D));
    return d->ops->rmsnorm(d, residual, x, w, eps, sum, y, rstd);
}

pawl_status pawl_rmsnorm_backward(pawl_device *d, pawl_tensor dy, pawl_tensor sum, pawl_tensor w, pawl_tensor rstd,
                                  pawl_put put, pawl_tensor dsum, pawl_tensor dw)
{
    const int64_t N = rows_of(dy), D = last_dim(dy);
    CHECK_ALL("rmsnorm_backward", MATRIX(dy, N, D), MATRIX(sum, N, D), VECTOR(w, D), VECTOR(rstd, N),
              MATRIX(dsum, N, D));
    if (dw.data) CHECK_ALL("rmsnorm_backward", VECTOR(dw, D));
    return d->ops->rmsnorm_backward(d, dy, sum, w, rstd, put, dsum, dw);
}

pawl_status pawl_layernorm(pawl_device *d, pawl_tensor residual, pawl_tensor x, pawl_tensor w, pawl_tensor bias,
                           float eps, pawl_tensor sum, pawl_tensor y, pawl_tensor mean, pawl_tensor rstd)
{
    const int64_t N = rows_of(residual), D = last_dim(residual);
    CHECK_ALL("layernorm", MATRIX(residual, N, D), VECTOR(w, D), VECTOR(bias, D), MATRIX(sum, N, D), EITHER(y, N, D),
              VECTOR(mean, N), VECTOR(rstd, N));
    if (x.data) CHECK_ALL("layernorm", MATRIX(x, N, D));
    return d->ops->layernorm(d, residual, x, w, bias, eps, sum, y, mean, rstd);
}

pawl_status pawl_layernorm_backward(pawl_device *d, pawl_tensor dy, pawl_tensor sum, pawl_tensor w, pawl_tensor mean,
                                    pawl_tensor rstd, pawl_put put, pawl_tensor dsum, pawl_tensor dw, pawl_tensor dbias)
{
    const int64_t N = rows_of(dy), D = last_dim(dy);
    CHECK_ALL("layernorm_backward", MATRIX(dy, N, D), MATRIX(sum, N, D), VECTOR(w, D), VECTOR(mean, N), VECTOR(rstd, N),
              MATRIX(dsum, N, D));
    if (dw.data) CHECK_ALL("layernorm_backward", VECTOR(dw, D));
    if (dbias.data) CHECK_ALL("layernorm_backward", VECTOR(dbias, D));
    return d->ops->layernorm_backward(d, dy, sum, w, mean, rstd, put, dsum, dw, dbias);
}

static pawl_status check_heads(const char *op, pawl_tensor x, int64_t head_dim, int64_t first, int64_t heads)
{
    const int64_t all = head_dim > 0 ? last_dim(x) / head_dim : 0;
    PAWL_CHECK(all > 0 && all * head_dim == last_dim(x), PAWL_EBUG, "%s: rows of %ld numbers are not heads of %ld", op,
               (long)last_dim(x), (long)head_dim);
    PAWL_CHECK(first >= 0 && heads > 0 && first + heads <= all, PAWL_EBUG, "%s: heads [%ld, %ld) of %ld", op,
               (long)first, (long)(first + heads), (long)all);
    return PAWL_OK;
}

static pawl_status check_low_head(const char *op, pawl_tensor x, int64_t head_dim)
{
    PAWL_CHECK(x.dtype != PAWL_BF16 || head_dim <= 256, PAWL_EBUG,
               "%s: a head has %ld numbers, at most 256 are possible in bf16", op, (long)head_dim);
    return PAWL_OK;
}

pawl_status pawl_head_norm(pawl_device *d, pawl_tensor x, pawl_tensor w, float eps, int64_t first, int64_t heads,
                           pawl_tensor y, pawl_tensor rstd)
{
    const int64_t N = rows_of(x), K = pawl_tensor_count(w);
    PAWL_TRY(check_heads("head_norm", x, K, first, heads));
    CHECK_ALL("head_norm", EITHER(x, N, last_dim(x)), VECTOR(w, K), LIKE(y, x, N, last_dim(x)),
              VECTOR(rstd, N * heads));
    PAWL_TRY(check_low_head("head_norm", x, K));
    PAWL_CHECK(x.data != y.data, PAWL_EBUG, "head_norm: y may not alias x");
    return d->ops->head_norm(d, x, w, eps, first, heads, y, rstd);
}

pawl_status pawl_head_norm_backward(pawl_device *d, pawl_tensor x, pawl_tensor w, pawl_tensor rstd, int64_t first,
                                    int64_t heads, pawl_put put, pawl_tensor dy, pawl_tensor dw)
{
    const int64_t N = rows_of(x), K = pawl_tensor_count(w);
    PAWL_TRY(check_heads("head_norm_backward", x, K, first, heads));
    CHECK_ALL("head_norm_backward", EITHER(x, N, last_dim(x)), VECTOR(w, K), VECTOR(rstd, N * heads),
              LIKE(dy, x, N, last_dim(x)));
    PAWL_TRY(check_low_head("head_norm_backward", x, K));
    if (dw.data) CHECK_ALL("head_norm_backward", VECTOR(dw, K));
    return d->ops->head_norm_backward(d, x, w, rstd, first, heads, put, dy, dw);
}

pawl_status pawl_rope(pawl_device *d, pawl_tensor x, int64_t heads, pawl_tensor cos, pawl_tensor sin,
                      pawl_tensor positions, int direction)
{
    PAWL_TRY(check_matrix("rope", "cos", cos));
    const int64_t N = rows_of(x), P = rows_of(cos), half = last_dim(cos);
    PAWL_TRY(check_heads("rope", x, 2 * half, 0, heads));
    CHECK_ALL("rope", EITHER(x, N, last_dim(x)), MATRIX(cos, P, half), MATRIX(sin, P, half), INDICES(positions, N));
    PAWL_CHECK(direction == 1 || direction == -1, PAWL_EBUG, "rope: direction %d is neither 1 nor -1", direction);
    PAWL_TRY(check_indices(d, "rope", "position", positions.data, N, P));
    return d->ops->rope(d, x, heads, cos, sin, positions, direction);
}

static pawl_status check_attend(const char *op, const pawl_attend *a)
{
    PAWL_CHECK(a->heads > 0 && a->kv_heads > 0 && a->heads % a->kv_heads == 0, PAWL_EBUG,
               "%s: %ld heads cannot share %ld key/value heads", op, (long)a->heads, (long)a->kv_heads);
    PAWL_CHECK(a->head_dim > 0 && a->head_dim <= 256, PAWL_EBUG, "%s: a head has %ld numbers, at most 256 are possible",
               op, (long)a->head_dim);
    PAWL_CHECK(a->window >= 0, PAWL_EBUG, "%s: a window of %ld", op, (long)a->window);
    return PAWL_OK;
}

static pawl_status check_rows(const pawl_device *d, const char *op, const pawl_attend *a)
{
    PAWL_TRY(check_attend(op, a));
    PAWL_CHECK(a->rows > 0 && a->tokens > 0 && a->starts, PAWL_EBUG, "%s: %ld rows of %ld tokens", op, (long)a->rows,
               (long)a->tokens);
    PAWL_CHECK(!a->bounds || (a->documents >= a->rows && a->longest > 0 && a->longest <= a->tokens), PAWL_EBUG,
               "%s: %ld documents of up to %ld positions in %ld rows of %ld", op, (long)a->documents, (long)a->longest, (long)a->rows,
               (long)a->tokens);
    for (int64_t n = 0; n < a->rows * a->tokens && d->ops->shares_memory; n++)
        PAWL_CHECK(a->starts[n] >= n / a->tokens * a->tokens && a->starts[n] <= n, PAWL_EBUG,
                   "%s: the document of position %ld starts at %d, outside its row", op, (long)n, a->starts[n]);
    return PAWL_OK;
}

pawl_status pawl_attention(pawl_device *d, const pawl_attend *a, pawl_tensor qkv, pawl_tensor out, pawl_tensor lse)
{
    PAWL_TRY(check_rows(d, "attention", a));
    const int64_t N = a->rows * a->tokens, H = a->heads, G = a->kv_heads, K = a->head_dim;
    CHECK_ALL("attention", EITHER(qkv, N, (H + 2 * G) * K), LIKE(out, qkv, N, H * K), VECTOR(lse, N * H));
    return d->ops->attention(d, a, qkv, out, lse);
}

pawl_status pawl_attention_backward(pawl_device *d, const pawl_attend *a, pawl_tensor dout, pawl_tensor qkv,
                                    pawl_tensor out, pawl_tensor lse, pawl_tensor dqkv)
{
    PAWL_TRY(check_rows(d, "attention_backward", a));
    const int64_t N = a->rows * a->tokens, H = a->heads, G = a->kv_heads, K = a->head_dim, all = (H + 2 * G) * K;
    CHECK_ALL("attention_backward", EITHER(dout, N, H * K), LIKE(qkv, dout, N, all), LIKE(out, dout, N, H * K),
              VECTOR(lse, N * H), LIKE(dqkv, dout, N, all));
    return d->ops->attention_backward(d, a, dout, qkv, out, lse, dqkv);
}

pawl_status pawl_attention_cached(pawl_device *d, const pawl_attend *a, pawl_tensor q, pawl_tensor keys,
                                  pawl_tensor values, int64_t first, int64_t last, pawl_tensor out)
{
    PAWL_TRY(check_attend("attention_cached", a));
    const int64_t P = rows_of(keys), all = a->heads * a->head_dim, kv = a->kv_heads * a->head_dim;
    CHECK_ALL("attention_cached", VECTOR(q, all), MATRIX(keys, P, kv), MATRIX(values, P, kv), VECTOR(out, all));
    PAWL_CHECK(first >= 0 && first <= last && last < P, PAWL_EBUG, "attention_cached: positions [%ld, %ld] of %ld",
               (long)first, (long)last, (long)P);
    return d->ops->attention_cached(d, a, q, keys, values, first, last, out);
}

pawl_status pawl_swiglu(pawl_device *d, pawl_tensor gate_up, pawl_tensor out)
{
    const int64_t N = rows_of(out), F = last_dim(out);
    CHECK_ALL("swiglu", EITHER(gate_up, N, 2 * F), LIKE(out, gate_up, N, F));
    return d->ops->swiglu(d, gate_up, out);
}

pawl_status pawl_swiglu_backward(pawl_device *d, pawl_tensor dout, pawl_tensor gate_up, pawl_tensor dgate_up)
{
    const int64_t N = rows_of(dout), F = last_dim(dout);
    CHECK_ALL("swiglu_backward", EITHER(dout, N, F), LIKE(gate_up, dout, N, 2 * F), LIKE(dgate_up, dout, N, 2 * F));
    return d->ops->swiglu_backward(d, dout, gate_up, dgate_up);
}

static pawl_status check_activation(const char *op, pawl_activation which)
{
    PAWL_CHECK((unsigned)which < PAWL_ACTIVATION_COUNT, PAWL_EBUG, "%s: there is no activation %d", op, (int)which);
    return PAWL_OK;
}

pawl_status pawl_activate(pawl_device *d, pawl_activation which, pawl_tensor x, pawl_tensor out)
{
    const int64_t N = rows_of(x), F = last_dim(x);
    PAWL_TRY(check_activation("activate", which));
    CHECK_ALL("activate", EITHER(x, N, F), LIKE(out, x, N, F));
    return d->ops->activate(d, which, x, out);
}

pawl_status pawl_activate_backward(pawl_device *d, pawl_activation which, pawl_tensor dout, pawl_tensor x,
                                   pawl_tensor dx)
{
    const int64_t N = rows_of(x), F = last_dim(x);
    PAWL_TRY(check_activation("activate_backward", which));
    CHECK_ALL("activate_backward", EITHER(dout, N, F), LIKE(x, dout, N, F), LIKE(dx, dout, N, F));
    return d->ops->activate_backward(d, which, dout, x, dx);
}

pawl_status pawl_linear_activate(pawl_device *d, pawl_activation which, pawl_tensor x, pawl_tensor w, pawl_tensor bias, pawl_tensor z, pawl_tensor out)
{
    PAWL_TRY(check_activation("linear_activate", which));
    PAWL_TRY(check_matrix("linear_activate", "w", w));
    const int64_t N = rows_of(x), F = rows_of(w), I = last_dim(w);
    CHECK_ALL("linear_activate", EITHER(x, N, I), LIKE(w, x, F, I), LIKE(z, x, N, F), LIKE(out, x, N, F));
    if (bias.data) CHECK_ALL("linear_activate", VECTOR(bias, F));
    return d->ops->linear_activate(d, which, x, w, bias, z, out);
}

pawl_status pawl_linear_activate_dx(pawl_device *d, pawl_activation which, pawl_tensor dy, pawl_tensor w, pawl_tensor z, pawl_tensor room, pawl_tensor dz)
{
    PAWL_TRY(check_activation("linear_activate_dx", which));
    PAWL_TRY(check_matrix("linear_activate_dx", "w", w));
    const int64_t N = rows_of(dy), O = rows_of(w), F = last_dim(w);
    CHECK_ALL("linear_activate_dx", EITHER(dy, N, O), LIKE(w, dy, O, F), LIKE(z, dy, N, F), LIKE(room, dy, N, F), LIKE(dz, dy, N, F));
    PAWL_CHECK(room.data != dz.data && room.data != z.data, PAWL_EBUG, "linear_activate_dx: the room is another array");
    return d->ops->linear_activate_dx(d, which, dy, w, z, room, dz);
}

pawl_status pawl_soft_check(const pawl_soft *s, const int32_t *targets, int64_t rows, int64_t tokens, int64_t vocab)
{
    for (int64_t b = 0; b < rows; b++) {
        if (s->row_weights[b] == 0.0f) continue;
        PAWL_CHECK(!s->row_k || (s->row_k[b] > 0 && s->row_k[b] <= s->k), PAWL_EBUG, "head_loss: %ld soft targets of %ld", s->row_k ? (long)s->row_k[b] : 0L, (long)s->k);
        PAWL_CHECK(!s->row_temperatures || s->row_temperatures[b] > 0, PAWL_EBUG, "head_loss: the temperature of row %ld is not above 0", (long)b);
    }
    for (int64_t n = 0; n < rows * tokens; n++) {
        const int64_t k = s->row_k ? s->row_k[n / tokens] : s->k;
        if (targets[n] == PAWL_NOT_TRAINED || s->row_weights[n / tokens] == 0.0f) continue;
        for (int64_t j = 0; j < k; j++)
            PAWL_CHECK(s->ids[n * s->k + j] >= 0 && s->ids[n * s->k + j] < vocab, PAWL_EDATA,
                       "head_loss: soft target %d at position %ld is outside [0, %ld)", s->ids[n * s->k + j], (long)n, (long)vocab);
    }
    return PAWL_OK;
}

static pawl_status check_soft(const pawl_device *d, const char *op, const pawl_head *h, int64_t N, int64_t V)
{
    const pawl_soft *s = h->extra.soft;
    PAWL_CHECK(s->k > 0 && s->k <= V && s->temperature > 0, PAWL_EBUG, "%s: soft targets of %ld tokens at temperature %g", op, (long)s->k,
               (double)s->temperature);
    PAWL_CHECK(s->ids && s->logp && s->row_weights && s->loss && !h->extra.squares, PAWL_EBUG, "%s: soft targets are not whole", op);
    return d->ops->shares_memory ? pawl_soft_check(s, h->targets, N / h->extra.tokens, h->extra.tokens, V) : PAWL_OK;
}

static pawl_status check_extra(const pawl_device *d, const char *op, const pawl_head *h, int64_t N, int64_t V)
{
    const pawl_head_extra *x = &h->extra;
    const int by_rows = x->row_weights || x->soft || x->labels;
    PAWL_CHECK(!by_rows || (x->tokens > 0 && N % x->tokens == 0), PAWL_EBUG, "%s: %ld positions are not rows of %ld", op, (long)N,
               (long)x->tokens);
    PAWL_CHECK(!x->top || (x->top->k > 0 && x->top->k <= V && x->top->temperature > 0 && x->top->ids && x->top->logp), PAWL_EBUG,
               "%s: the %ld likeliest of %ld tokens at temperature %g", op, x->top ? (long)x->top->k : 0L, (long)V,
               x->top ? (double)x->top->temperature : 0.0);
    return x->soft ? check_soft(d, op, h, N, V) : PAWL_OK;
}

pawl_status pawl_head_loss(pawl_device *d, const pawl_head *h)
{
    const char *op = "head_loss";
    const pawl_tensor hidden = h->hidden, w = h->w, loss = h->loss, dhidden = h->dhidden, dw = h->dw;
    PAWL_TRY(check_matrix(op, "w", w));
    const int64_t N = rows_of(hidden), V = rows_of(w), D = last_dim(w);
    CHECK_ALL(op, EITHER(hidden, N, D), LIKE(w, hidden, V, D), VECTOR(loss, N));
    PAWL_CHECK(h->targets, PAWL_EBUG, "%s: there are no targets", op);
    PAWL_CHECK(!h->trained.at || (h->trained.count >= 0 && h->trained.count <= N), PAWL_EBUG, "%s: %ld trained positions of %ld", op,
               (long)h->trained.count, (long)N);
    PAWL_CHECK(dhidden.data || !dw.data, PAWL_EBUG, "%s: dw is asked for without dhidden", op);
    if (dhidden.data) CHECK_ALL(op, MATRIX(dhidden, N, D));
    if (dw.data) CHECK_ALL(op, MATRIX(dw, V, D));
    for (int64_t n = 0; n < N && d->ops->shares_memory; n++)
        PAWL_CHECK(h->targets[n] == PAWL_NOT_TRAINED || (h->targets[n] >= 0 && h->targets[n] < V), PAWL_EDATA,
                   "%s: target %d at position %ld is outside [0, %ld)", op, h->targets[n], (long)n, (long)V);
    PAWL_TRY(check_extra(d, op, h, N, V));
    return d->ops->head_loss(d, h);
}

pawl_status pawl_sum_squares(pawl_device *d, const float *x, int64_t count, double *blocks)
{
    CHECK_ARRAYS("sum_squares", count, x, blocks);
    return d->ops->sum_squares(d, x, count, blocks);
}

pawl_status pawl_add(pawl_device *d, float *a, const float *b, int64_t count)
{
    CHECK_ARRAYS("add", count, a, b);
    return d->ops->add(d, a, b, count);
}

pawl_status pawl_scale(pawl_device *d, pawl_tensor a, float by)
{
    CHECK_ALL("scale", EITHER_VECTOR(a, pawl_tensor_count(a)));
    return d->ops->scale(d, a, by);
}

pawl_status pawl_zero(pawl_device *d, float *a, int64_t count)
{
    CHECK_ARRAYS("zero", count, a);
    return d->ops->zero(d, a, count);
}

pawl_status pawl_copy(pawl_device *d, float *to, const float *from, int64_t count)
{
    CHECK_ARRAYS("copy", count, to, from);
    return d->ops->copy(d, to, from, count);
}

pawl_status pawl_cast(pawl_device *d, pawl_tensor from, pawl_tensor to)
{
    const int64_t count = pawl_tensor_count(from);
    CHECK_ALL("cast", EITHER_VECTOR(from, count), EITHER_VECTOR(to, count));
    return d->ops->cast(d, from, to);
}
