/* Muon's step of one matrix (formulas: ops/muon_rule.h), made of other ops: Newton-Schulz steps over the Gram matrix of
 * the smaller side, in f32. */
#include <math.h>

#include "ops/checks.h"
#include "ops/muon_rule.h"

/* X and its next value [rows, cols], Gram matrix and its square [side, side], and sums of squares. */
typedef struct work {
    float *x, *y, *gram, *square;
    double *sums;
} work;

static work lay_out(pawl_arena *a, int64_t rows, int64_t cols)
{
    const size_t count = (size_t)(rows * cols), side = (size_t)(rows < cols ? rows : cols);
    work w;
    w.x = pawl_take_bytes(a, count * sizeof(float));
    w.y = pawl_take_bytes(a, count * sizeof(float));
    w.gram = pawl_take_bytes(a, side * side * sizeof(float));
    w.square = pawl_take_bytes(a, side * side * sizeof(float));
    w.sums = pawl_take_bytes(a, (count / PAWL_SUM_BLOCK + 1) * sizeof(double));
    return w;
}

size_t pawl_muon_scratch_bytes(int64_t rows, int64_t cols)
{
    pawl_arena a = {0};
    (void)lay_out(&a, rows, cols);
    return a.used;
}

static pawl_tensor matrix(float *data, int64_t rows, int64_t cols)
{
    return (pawl_tensor){.data = data, .dtype = PAWL_F32, .ndim = 2, .dim = {rows, cols}};
}

/* The blocks of a sum, which the device made, in their order. */
static pawl_status sum_of(pawl_device *d, const double *blocks, int64_t count, double *out)
{
    double piece[256];
    enum { PIECE = sizeof piece / sizeof *piece };
    for (int64_t at = 0; at < count; at += PIECE) {
        const int64_t some = count - at < PIECE ? count - at : PIECE;
        PAWL_TRY(pawl_download(d, piece, blocks + at, (size_t)some * sizeof *piece));
        for (int64_t i = 0; i < some; i++) *out += piece[i];
    }
    return PAWL_OK;
}

static pawl_status normalise(pawl_device *d, const work *w, int64_t count)
{
    double squares = 0;
    PAWL_TRY(pawl_sum_squares(d, w->x, count, w->sums));
    PAWL_TRY(sum_of(d, w->sums, (count + PAWL_SUM_BLOCK - 1) / PAWL_SUM_BLOCK, &squares));
    return pawl_scale(d, matrix(w->x, 1, count), (float)(1 / fmax(sqrt(squares), PAWL_MUON_EPS)));
}

/* A wide X is multiplied from the left, a tall one from the right: the Gram matrix is symmetric, and its side the
 * smaller one. */
static pawl_status newton_schulz(pawl_device *d, work *w, int64_t rows, int64_t cols)
{
    const int wide = rows <= cols;
    const int64_t side = wide ? rows : cols;
    const pawl_tensor x = matrix(w->x, rows, cols), y = matrix(w->y, rows, cols), gram = matrix(w->gram, side, side),
                      square = matrix(w->square, side, side), none = {.dtype = PAWL_F32};
    PAWL_TRY(wide ? pawl_linear(d, x, x, none, PAWL_SET, gram) : pawl_linear_dw(d, x, x, PAWL_SET, gram, none));
    PAWL_TRY(pawl_linear(d, gram, gram, none, PAWL_SET, square));
    PAWL_TRY(pawl_mix(d, (float)PAWL_MUON_B, w->gram, (float)PAWL_MUON_C, w->square, side * side));
    PAWL_TRY(wide ? pawl_linear_dx(d, gram, x, PAWL_SET, y) : pawl_linear(d, x, gram, none, PAWL_SET, y));
    PAWL_TRY(pawl_mix(d, 1, w->y, (float)PAWL_MUON_A, w->x, rows * cols));
    float *next = w->y;
    w->y = w->x;
    w->x = next;
    return PAWL_OK;
}

/* In the order of pawl_muon_adjust. */
static double (*const adjust[])(double rows, double cols) = {pawl_muon_original_rule, pawl_muon_match_rms_rule};

pawl_status pawl_muon(pawl_device *d, void *w, const float *g, void *m, int64_t rows, int64_t cols, void *scratch,
                      const pawl_muon_step *k)
{
    const int64_t count = rows * cols;
    pawl_arena a = {.name = "muon", .base = scratch, .size = pawl_muon_scratch_bytes(rows, cols)};
    CHECK_ARRAYS("muon", count, w, g, m, scratch);
    work x = lay_out(&a, rows, cols);
    PAWL_TRY(d->ops->muon_momentum(d, g, m, x.x, count, k));
    PAWL_TRY(normalise(d, &x, count));
    for (int64_t i = 0; i < k->steps; i++) PAWL_TRY(newton_schulz(d, &x, rows, cols));
    const double rate = k->lr * adjust[k->adjust]((double)rows, (double)cols);
    return d->ops->mix(d, (float)(1 - k->lr * k->decay), w, (float)-rate, x.x, count, &k->kept);
}
