/* The figures of a retention matrix. */
#include "trainer/continual/retention.h"

#include <math.h>

#include "core/arena.h"

pawl_status pawl_retention_open(int stages, int columns, int higher_is_better, pawl_retention *out)
{
    const size_t cells = (size_t)(stages + 1) * (size_t)columns;
    *out = (pawl_retention){.stages = stages, .columns = columns, .higher_is_better = higher_is_better};
    pawl_status s = pawl_alloc((void **)&out->R, (cells + 1) * sizeof *out->R, "a retention matrix");
    if (s == PAWL_OK)
        s = pawl_alloc((void **)&out->reference, (size_t)(columns + 1) * sizeof *out->reference, "a retention matrix");
    if (s == PAWL_OK)
        s = pawl_alloc((void **)&out->learnt, (size_t)(columns + 1) * sizeof *out->learnt, "a retention matrix");
    if (s == PAWL_OK)
        s = pawl_alloc((void **)&out->names, (size_t)(columns + 1) * sizeof *out->names, "a retention matrix");
    if (s != PAWL_OK) {
        pawl_retention_close(out);
        return s;
    }
    for (size_t i = 0; i < cells; i++) out->R[i] = NAN;
    for (int j = 0; j < columns; j++) {
        out->reference[j] = NAN;
        out->learnt[j] = PAWL_NEVER_LEARNT;
    }
    return PAWL_OK;
}

void pawl_retention_close(pawl_retention *r)
{
    pawl_free(r->R);
    pawl_free(r->reference);
    pawl_free(r->learnt);
    pawl_free(r->names);
    *r = (pawl_retention){0};
}

/* ---- means ---- */

typedef struct mean {
    double sum;
    int count;
} mean;

static void put(mean *m, double x)
{
    if (isnan(x)) return;
    m->sum += x;
    m->count++;
}

static double value(const mean *m)
{
    return m->count ? m->sum / m->count : NAN;
}

static double at(const pawl_retention *r, int stage, int column)
{
    return r->R[(size_t)stage * (size_t)r->columns + (size_t)column];
}

/* By how much a is better than b. */
static double better(const pawl_retention *r, double a, double b)
{
    return r->higher_is_better ? a - b : b - a;
}

static int learnt_by(const pawl_retention *r, int column, int stage)
{
    return r->learnt[column] >= 0 && r->learnt[column] <= stage;
}

/* By how much a column was better at its best than in the end. */
static double forgotten(const pawl_retention *r, int column)
{
    double most = NAN;
    for (int i = r->learnt[column]; i < r->stages; i++) {
        const double lost = better(r, at(r, i, column), at(r, r->stages, column));
        if (isnan(most) || lost > most) most = lost;
    }
    return most;
}

int pawl_retention_from(const pawl_retention *r, int column)
{
    if (r->learnt[column] < 0) return -1;
    for (int i = r->learnt[column]; i <= r->stages; i++)
        if (!isnan(at(r, i, column))) return i;
    return -1;
}

static double average_on_the_way(const pawl_retention *r)
{
    mean all = {0};
    for (int i = 1; i <= r->stages; i++) {
        mean row = {0};
        for (int j = 0; j < r->columns; j++)
            if (learnt_by(r, j, i)) put(&row, at(r, i, j));
        put(&all, value(&row));
    }
    return value(&all);
}

pawl_retention_figures pawl_retention_of(const pawl_retention *r)
{
    const int T = r->stages;
    mean ACC = {0}, LA = {0}, BWT = {0}, FWT = {0}, F = {0}, I = {0};
    pawl_retention_figures out = {.forgetting_worst = NAN, .worst = -1};
    int domains = 0;
    for (int j = 0; j < r->columns; j++) {
        if (!learnt_by(r, j, T)) continue;
        const int l = r->learnt[j];
        domains++;
        put(&ACC, at(r, T, j));
        put(&LA, at(r, l, j));
        put(&I, better(r, r->reference[j], at(r, l, j)));
        if (l >= 2) put(&FWT, better(r, at(r, l - 1, j), at(r, 0, j)));
        if (l == T) continue;
        const double lost = forgotten(r, j);
        put(&BWT, better(r, at(r, T, j), at(r, l, j)));
        put(&F, lost);
        if (!isnan(lost) && (out.worst < 0 || lost > out.forgetting_worst)) {
            out.forgetting_worst = lost;
            out.worst = j;
        }
    }
    out.ACC = value(&ACC);
    out.LA = value(&LA);
    out.AAA = average_on_the_way(r);
    out.BWT = value(&BWT);
    out.BWT_final = BWT.count ? BWT.sum / domains : NAN;
    out.FWT = value(&FWT);
    out.forgetting_mean = value(&F);
    out.intransigence = value(&I);
    return out;
}

/* ---- for other programs ---- */

static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *row_json(const pawl_retention *r, int stage)
{
    json_t *row = json_array();
    for (int j = 0; j < r->columns; j++) json_array_append_new(row, number(at(r, stage, j)));
    return row;
}

/* The row before the first stage, null where nothing was measured then. */
static json_t *before_json(const pawl_retention *r)
{
    for (int j = 0; j < r->columns; j++)
        if (!isnan(at(r, 0, j))) return row_json(r, 0);
    return json_null();
}

pawl_status pawl_retention_json(const pawl_retention *r, json_t **out)
{
    const pawl_retention_figures f = pawl_retention_of(r);
    json_t *o = json_object(), *matrix = json_array(), *domains = json_array(), *learnt = json_array();
    const struct {
        const char *key;
        double value;
    } figures[] = {{"ACC", f.ACC},
                   {"LA", f.LA},
                   {"AAA", f.AAA},
                   {"BWT", f.BWT},
                   {"BWT_final", f.BWT_final},
                   {"FWT", f.FWT},
                   {"forgetting_mean", f.forgetting_mean},
                   {"forgetting_worst", f.forgetting_worst},
                   {"intransigence", f.intransigence}};
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        json_object_set_new(o, figures[i].key, number(figures[i].value));
    for (int i = 1; i <= r->stages; i++) json_array_append_new(matrix, row_json(r, i));
    for (int j = 0; j < r->columns; j++) {
        json_array_append_new(domains, json_string(r->names[j]));
        json_array_append_new(learnt, r->learnt[j] < 0 ? json_null() : json_integer(r->learnt[j]));
    }
    json_object_set_new(o, "forgetting_worst_domain", f.worst < 0 ? json_null() : json_string(r->names[f.worst]));
    json_object_set_new(o, "higher_is_better", json_boolean(r->higher_is_better));
    json_object_set_new(o, "domains", domains);
    json_object_set_new(o, "learnt_after", learnt);
    json_object_set_new(o, "before", before_json(r));
    json_object_set_new(o, "matrix", matrix);
    PAWL_CHECK(o, PAWL_EMEM, "no memory for a retention matrix");
    *out = o;
    return PAWL_OK;
}
