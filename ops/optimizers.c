/* The update rules, checked once and dispatched. */
#include "ops/checks.h"

#define CHECK_KEPT(op, kept)                                                                                           \
    PAWL_CHECK((kept).weights <= PAWL_BF16 && (kept).moments <= PAWL_BF16, PAWL_EBUG,                                  \
               "%s: weights and moments are f32 or bf16", op)

pawl_status pawl_adamw(pawl_device *d, void *w, const float *g, void *m, void *v, int64_t count,
                       const pawl_adamw_step *k)
{
    CHECK_ARRAYS("adamw", count, w, g, m, v);
    CHECK_KEPT("adamw", k->kept);
    return d->ops->adamw(d, w, g, m, v, count, k);
}

pawl_status pawl_sgd(pawl_device *d, void *w, const float *g, void *m, int64_t count, const pawl_sgd_step *k)
{
    CHECK_ARRAYS("sgd", count, w, g);
    if (k->momentum > 0) CHECK_ARRAYS("sgd's momentum", count, m);
    CHECK_KEPT("sgd", k->kept);
    return d->ops->sgd(d, w, g, k->momentum > 0 ? m : NULL, count, k);
}

pawl_status pawl_lion(pawl_device *d, void *w, const float *g, void *m, int64_t count, const pawl_lion_step *k)
{
    CHECK_ARRAYS("lion", count, w, g, m);
    CHECK_KEPT("lion", k->kept);
    return d->ops->lion(d, w, g, m, count, k);
}

pawl_status pawl_adamw_8bit(pawl_device *d, void *w, const float *g, const pawl_moments_8bit *moments, int64_t count,
                            const pawl_adamw_step *k)
{
    CHECK_ARRAYS("adamw_8bit", count, w, g, moments->m, moments->v, moments->m_scale, moments->v_scale);
    CHECK_KEPT("adamw_8bit", k->kept);
    return d->ops->adamw_8bit(d, w, g, moments, count, k);
}

size_t pawl_adafactor_scratch_bytes(int64_t rows, int64_t cols)
{
    const int64_t panels = (rows + PAWL_ADAFACTOR_ROWS - 1) / PAWL_ADAFACTOR_ROWS;
    if (cols == 0) return (size_t)((rows + PAWL_SUM_BLOCK - 1) / PAWL_SUM_BLOCK) * sizeof(double);
    return (size_t)panels * sizeof(double) + (size_t)((panels + 1) * cols) * sizeof(float);
}

pawl_status pawl_adafactor(pawl_device *d, void *w, const float *g, float *row, float *col, int64_t rows, int64_t cols,
                           void *scratch, const pawl_adafactor_step *k)
{
    CHECK_ARRAYS("adafactor", rows, w, g, row, scratch);
    if (cols > 0) CHECK_ARRAYS("adafactor's columns", cols, col);
    CHECK_KEPT("adafactor", k->kept);
    return d->ops->adafactor(d, w, g, row, col, rows, cols, scratch, k);
}

pawl_status pawl_mix(pawl_device *d, float by_y, float *y, float by_x, const float *x, int64_t count)
{
    CHECK_ARRAYS("mix", count, y, x);
    static const pawl_kept_as f32 = {0};
    return d->ops->mix(d, by_y, y, by_x, x, count, &f32);
}

pawl_status pawl_lerp(pawl_device *d, float *a, const float *b, float part, int64_t count)
{
    CHECK_ARRAYS("lerp", count, a, b);
    return d->ops->lerp(d, a, b, part, count);
}

pawl_status pawl_anchor(pawl_device *d, float *g, const float *w, const float *anchor, const float *importance, float strength, int64_t count,
                        double *blocks)
{
    CHECK_ARRAYS("anchor", count, g, w, blocks);
    return d->ops->anchor(d, g, w, anchor, importance, strength, count, blocks);
}

pawl_status pawl_overlap_add(pawl_device *d, const pawl_overlap *o, int64_t first, int64_t count, float *g, double *sums)
{
    CHECK_ARRAYS("overlap", count, g, sums, o->a, o->kept);
    PAWL_CHECK(o->rows > 0 && o->kept_rows > 0 && o->width > 0 && first >= 0 && first + count <= o->rows * o->width, PAWL_EBUG,
               "overlap: numbers [%ld, %ld) of [%ld, %ld]", (long)first, (long)(first + count), (long)o->rows, (long)o->width);
    return d->ops->overlap_add(d, o, first, count, g, sums);
}

pawl_status pawl_path(pawl_device *d, float *path, const float *g, const float *before, const float *after, int64_t count)
{
    CHECK_ARRAYS("path", count, path, g, before, after);
    return d->ops->path(d, path, g, before, after, count);
}

pawl_status pawl_synapses(pawl_device *d, float *importance, float *path, const float *w, const float *start, float xi, int64_t count)
{
    CHECK_ARRAYS("synapses", count, importance, path, w, start);
    return d->ops->synapses(d, importance, path, w, start, xi, count);
}

pawl_status pawl_magnitudes(pawl_device *d, float *g, int squared, int64_t count)
{
    CHECK_ARRAYS("magnitudes", count, g);
    return d->ops->magnitudes(d, g, squared, count);
}

pawl_status pawl_dot(pawl_device *d, const float *x, const float *y, int64_t count, double *blocks)
{
    CHECK_ARRAYS("dot", count, x, y, blocks);
    return d->ops->dot(d, x, y, count, blocks);
}
