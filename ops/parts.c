/* Checked calls that adapters and weights in few bits need. */
#include "ops/checks.h"
#include "ops/quant_rule.h"

pawl_status pawl_linear_part(pawl_device *d, pawl_tensor x, pawl_tensor w, pawl_tensor bias, pawl_put put,
                             int64_t first, pawl_tensor y)
{
    PAWL_TRY(check_matrix("linear_part", "w", w));
    const int64_t N = rows_of(x), O = rows_of(w), I = last_dim(w);
    PAWL_TRY(check_part("linear_part", first, O, last_dim(y)));
    CHECK_ALL("linear_part", EITHER(x, N, I), LIKE(w, x, O, I), EITHER(y, N, last_dim(y)));
    if (bias.data) CHECK_ALL("linear_part", VECTOR(bias, O));
    return d->ops->linear(d, x, w, bias, put, first, y);
}

pawl_status pawl_linear_part_dx(pawl_device *d, pawl_tensor dy, int64_t first, pawl_tensor w, pawl_put put,
                                pawl_tensor dx)
{
    PAWL_TRY(check_matrix("linear_part_dx", "w", w));
    const int64_t N = rows_of(dy), O = rows_of(w), I = last_dim(w);
    PAWL_TRY(check_part("linear_part_dx", first, O, last_dim(dy)));
    CHECK_ALL("linear_part_dx", EITHER(dy, N, last_dim(dy)), LIKE(w, dy, O, I), EITHER(dx, N, I));
    return d->ops->linear_dx(d, dy, first, w, put, dx);
}

pawl_status pawl_linear_part_dw(pawl_device *d, pawl_tensor dy, int64_t first, pawl_tensor x, pawl_put put,
                                pawl_tensor dw)
{
    PAWL_TRY(check_matrix("linear_part_dw", "dw", dw));
    const int64_t N = rows_of(dy), O = rows_of(dw), I = last_dim(dw);
    PAWL_TRY(check_part("linear_part_dw", first, O, last_dim(dy)));
    CHECK_ALL("linear_part_dw", EITHER(dy, N, last_dim(dy)), LIKE(x, dy, N, I), MATRIX(dw, O, I));
    return d->ops->linear_dw(d, dy, first, x, put, dw, (pawl_tensor){.dtype = PAWL_F32});
}

pawl_status pawl_dropout(pawl_device *d, const pawl_drop *how, pawl_tensor x, pawl_put put, pawl_tensor y)
{
    const int64_t N = rows_of(x), I = last_dim(x);
    CHECK_ALL("dropout", EITHER(x, N, I), EITHER(y, N, I));
    PAWL_CHECK(how->rate >= 0 && how->rate < 1, PAWL_EBUG, "dropout: a rate of %g", how->rate);
    PAWL_CHECK(how->tokens > 0 && N % how->tokens == 0 && how->tokens * (I + 3) / 4 <= (int64_t)1 << 32 &&
                   how->stream >= 0 && how->stream < 1 << 16,
               PAWL_EBUG, "dropout: rows of %ld tokens, stream %ld", (long)how->tokens, (long)how->stream);
    return d->ops->dropout(d, how, x, put, y);
}

pawl_status pawl_add_noise(pawl_device *d, const pawl_noise *how, pawl_tensor x)
{
    const int64_t N = rows_of(x), D = last_dim(x);
    CHECK_ALL("add_noise", MATRIX(x, N, D));
    PAWL_CHECK(how->alpha > 0 && how->lengths && how->first_row >= 0 && how->tokens > 0 && N % how->tokens == 0, PAWL_EBUG,
               "add_noise: alpha %g, rows of %ld tokens from %ld on", how->alpha, (long)how->tokens,
               (long)how->first_row);
    return d->ops->add_noise(d, how, x);
}

pawl_status pawl_low_rank_norms(pawl_device *d, pawl_tensor w, pawl_tensor a, pawl_tensor b, float scale,
                                pawl_tensor norms)
{
    PAWL_TRY(check_matrix("low_rank_norms", "w", w));
    PAWL_TRY(check_matrix("low_rank_norms", "a", a));
    const int64_t O = rows_of(w), I = last_dim(w), r = rows_of(a);
    CHECK_ALL("low_rank_norms", MATRIX(w, O, I), MATRIX(a, r, I), MATRIX(b, O, r), VECTOR(norms, O));
    return d->ops->low_rank_norms(d, w, a, b, scale, norms);
}

pawl_status pawl_scale_columns(pawl_device *d, pawl_tensor x, int64_t first, pawl_tensor gain, pawl_tensor y)
{
    const int64_t N = rows_of(x), O = last_dim(y);
    PAWL_TRY(check_part("scale_columns", first, O, last_dim(x)));
    CHECK_ALL("scale_columns", MATRIX(x, N, last_dim(x)), VECTOR(gain, O), MATRIX(y, N, O));
    return d->ops->scale_columns(d, x, first, gain, y);
}

pawl_status pawl_add_columns(pawl_device *d, pawl_tensor x, pawl_tensor gain, pawl_tensor y, int64_t first)
{
    const int64_t N = rows_of(x), O = last_dim(x);
    PAWL_TRY(check_part("add_columns", first, O, last_dim(y)));
    CHECK_ALL("add_columns", MATRIX(x, N, O), VECTOR(gain, O), MATRIX(y, N, last_dim(y)));
    return d->ops->add_columns(d, x, gain, y, first);
}

pawl_status pawl_divide(pawl_device *d, pawl_tensor a, pawl_tensor b, float plus, pawl_put put, pawl_tensor y)
{
    const int64_t O = pawl_tensor_count(y);
    CHECK_ALL("divide", VECTOR(a, O), VECTOR(b, O), VECTOR(y, O));
    return d->ops->divide(d, a, b, plus, put, y);
}

int64_t pawl_code_row_bytes(pawl_code code, int64_t cols)
{
    return code == PAWL_CODE_NF4 ? (cols + 1) / 2 : cols;
}

int64_t pawl_code_row_scales(pawl_code code, int64_t cols)
{
    return code == PAWL_CODE_NF4 ? (cols + PAWL_NF4_BLOCK - 1) / PAWL_NF4_BLOCK : 1;
}

static pawl_status check_coded(const char *op, const pawl_coded *q, int64_t first, pawl_tensor w)
{
    PAWL_CHECK(q->code == PAWL_CODE_INT8 || q->code == PAWL_CODE_NF4, PAWL_EBUG, "%s: a code of %d", op, q->code);
    PAWL_CHECK(q->codes && q->scales, PAWL_EBUG, "%s: there is no room for codes", op);
    PAWL_TRY(check_matrix(op, "w", w));
    PAWL_TRY(check_part(op, first, rows_of(w), q->rows));
    CHECK_ALL(op, EITHER(w, rows_of(w), q->cols));
    return PAWL_OK;
}

pawl_status pawl_quantise(pawl_device *d, pawl_tensor w, const pawl_coded *q, int64_t first)
{
    PAWL_TRY(check_coded("quantise", q, first, w));
    CHECK_ALL("quantise", MATRIX(w, rows_of(w), q->cols));
    return d->ops->quantise(d, w, q, first);
}

pawl_status pawl_dequantise(pawl_device *d, const pawl_coded *q, int64_t first, pawl_tensor w)
{
    PAWL_TRY(check_coded("dequantise", q, first, w));
    return d->ops->dequantise(d, q, first, w);
}

pawl_status pawl_column_dots(pawl_device *d, pawl_tensor x, int64_t first, pawl_tensor y, pawl_put put,
                             pawl_tensor sums)
{
    const int64_t N = rows_of(x), O = last_dim(y);
    PAWL_TRY(check_part("column_dots", first, O, last_dim(x)));
    CHECK_ALL("column_dots", MATRIX(x, N, last_dim(x)), MATRIX(y, N, O), VECTOR(sums, O));
    return d->ops->column_dots(d, x, first, y, put, sums);
}
