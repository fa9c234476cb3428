/* Models merged into one, tensor by tensor: sums over the models in the order in which they were given, so that the
 * same recipe gives the same bits. */
#include <math.h>
#include <string.h>

#include "core/hash.h"
#include "model/decoder.h"

const char *const pawl_merge_methods[] = {"linear", "wise", "task_arithmetic", "ties", "dare", "dare_ties", NULL};

enum { BINS = 1 << 16 };

/* What is done to differences, and how they are joined; without a base, what is joined are the weights themselves. */
static const struct {
    int task, trim, drop, elect;
    pawl_merge_reads reads;
} methods[] = {
    [PAWL_MERGE_LINEAR] = {.reads = {.weights = 1}},
    [PAWL_MERGE_WISE] = {.reads = {.base = 1, .lambda = 1, .lambda_default = 0.5}},
    [PAWL_MERGE_TASK_ARITHMETIC] = {.task = 1, .reads = {.base = 1, .lambda = 1, .weights = 1, .lambda_default = 1}},
    [PAWL_MERGE_TIES] = {.task = 1,
                         .trim = 1,
                         .elect = 1,
                         .reads = {1, 1, 1, 1, .density_default = 0.2, .lambda_default = 1}},
    [PAWL_MERGE_DARE] = {.task = 1, .drop = 1, .reads = {1, 1, 1, 1, .density_default = 0.1, .lambda_default = 1}},
    [PAWL_MERGE_DARE_TIES] = {.task = 1,
                              .drop = 1,
                              .elect = 1,
                              .reads = {1, 1, 1, 1, .density_default = 0.1, .lambda_default = 1}},
};

pawl_merge_reads pawl_merge_method_reads(pawl_merge_method method)
{
    return methods[method].reads;
}

struct pawl_merge {
    const pawl_model *m;
    pawl_merge_recipe r;
    pawl_arena arena;
    float *base, *tau;       /* of the largest tensor */
    double *sum;             /* without election */
    pawl_merge_sides *sides; /* with it */
    int64_t *bins;
};

/* --- the recipe ---------------------------------------------------------------------------------------------- */

static pawl_status check(const pawl_merge_recipe *r)
{
    const char *name = pawl_merge_methods[r->method];
    const int mean = r->method == PAWL_MERGE_LINEAR || methods[r->method].elect;
    double sum = 0;
    PAWL_CHECK(r->count >= 1 && r->count <= PAWL_MERGE_MAX, PAWL_EUSAGE, "merge: expected 1 to %d models, found %d",
               PAWL_MERGE_MAX, r->count);
    PAWL_CHECK(r->method != PAWL_MERGE_WISE || r->count == 1, PAWL_EUSAGE,
               "merge: wise lies between a base and one model, found %d models", r->count);
    PAWL_CHECK(r->method != PAWL_MERGE_LINEAR || r->count >= 2, PAWL_EUSAGE,
               "merge: linear: expected two models or more");
    for (int i = 0; i < r->count; i++) {
        const double w = r->weights[i];
        PAWL_CHECK(isfinite(w) && (w >= 0 || !mean), PAWL_EUSAGE, "merge: %s: the weight of %s: expected %s, found %g",
                   name, r->models[i].name,
                   mean ? "a number that is not negative, since a mean is taken" : "a finite number", w);
        sum += w;
    }
    PAWL_CHECK(!mean || sum > 0, PAWL_EUSAGE, "merge: %s: the weights sum to zero: there is no mean of them", name);
    PAWL_CHECK(!methods[r->method].reads.density || (r->density > 0 && r->density <= 1), PAWL_EUSAGE,
               "merge: %s: expected a density above 0 and up to 1, found %g", name, r->density);
    PAWL_CHECK(!methods[r->method].reads.lambda || isfinite(r->lambda), PAWL_EUSAGE, "merge: %s: lambda is not finite",
               name);
    PAWL_CHECK(!methods[r->method].reads.base || r->base.read, PAWL_EUSAGE, "merge: %s starts from a base model", name);
    return PAWL_OK;
}

static void lay_out(pawl_merge *g, int64_t most)
{
    const size_t n = (size_t)most;
    const int task = methods[g->r.method].task, elect = methods[g->r.method].elect;
    g->tau = pawl_take_bytes(&g->arena, n * sizeof *g->tau);
    if (task) g->base = pawl_take_bytes(&g->arena, n * sizeof *g->base);
    if (elect)
        g->sides = pawl_take_bytes(&g->arena, n * sizeof *g->sides);
    else
        g->sum = pawl_take_bytes(&g->arena, n * sizeof *g->sum);
    if (methods[g->r.method].trim) g->bins = pawl_take_bytes(&g->arena, BINS * sizeof *g->bins);
}

/* WiSE-FT is a mean of two with weights that sum to one; both ends are exact. */
static void weigh(pawl_merge *g)
{
    pawl_merge_recipe *r = &g->r;
    double sum = 0;
    if (r->method == PAWL_MERGE_WISE) {
        r->models[1] = r->models[0];
        r->models[0] = r->base;
        r->weights[0] = 1 - r->lambda;
        r->weights[1] = r->lambda;
        r->count = 2;
    }
    if (r->method != PAWL_MERGE_LINEAR) return;
    for (int i = 0; i < r->count; i++) sum += r->weights[i];
    for (int i = 0; i < r->count; i++) r->weights[i] /= sum;
}

pawl_status pawl_merge_open(const pawl_model *m, const pawl_merge_recipe *r, pawl_merge **out)
{
    pawl_merge *g;
    int64_t most = 0;
    PAWL_TRY(check(r));
    for (int i = 0; i < m->count; i++)
        if (m->extents[i].count > most) most = m->extents[i].count;
    PAWL_TRY(pawl_alloc((void **)&g, sizeof *g, "a merge"));
    *g = (pawl_merge){.m = m, .r = *r, .arena = {.name = "merge"}};
    weigh(g);
    lay_out(g, most);
    const pawl_status s = pawl_arena_open(&g->arena);
    if (s != PAWL_OK) {
        pawl_merge_close(g);
        return s;
    }
    lay_out(g, most);
    *out = g;
    return PAWL_OK;
}

void pawl_merge_close(pawl_merge *g)
{
    if (!g) return;
    pawl_arena_close(&g->arena);
    pawl_free(g);
}

/* --- differences --------------------------------------------------------------------------------------------- */

/* Bits that are in the order of magnitudes. */
static uint32_t magnitude(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x7fffffffu;
}

/* The bin, from the highest down, in which the n-th largest lies; *n becomes its number in there. */
static uint32_t bin_of(const int64_t *bins, int64_t *n)
{
    uint32_t b = BINS - 1;
    while (bins[b] < *n) *n -= bins[b--];
    return b;
}

/* Sets all but the keep largest to zero; of equals the first stay. Two rounds over the bits of the magnitudes, 16
 * and 15. */
static void trim(int64_t *bins, float *tau, int64_t count, int64_t keep)
{
    int64_t left = keep;
    memset(bins, 0, BINS * sizeof *bins);
    for (int64_t i = 0; i < count; i++) bins[magnitude(tau[i]) >> 15]++;
    const uint32_t high = bin_of(bins, &left);
    memset(bins, 0, BINS * sizeof *bins);
    for (int64_t i = 0; i < count; i++)
        if (magnitude(tau[i]) >> 15 == high) bins[magnitude(tau[i]) & 0x7fffu]++;
    const uint32_t least = high << 15 | bin_of(bins, &left);
    for (int64_t i = 0; i < count; i++) {
        const uint32_t size = magnitude(tau[i]);
        if (size > least || (size == least && left-- > 0)) continue;
        tau[i] = 0.0f;
    }
}

/* The place of a tensor's random numbers is in its name, so that it does not depend on how a model lies in memory. */
static uint64_t place_of(const char *name, int model)
{
    const pawl_digest digest = pawl_sha256(name, strlen(name));
    uint64_t place = 0;
    for (int i = 7; i >= 0; i--) place = place << 8 | digest.byte[i];
    return place + (uint64_t)model;
}

static pawl_status require_finite(const pawl_merge *g, const char *name, int tensor, const float *x)
{
    for (int64_t i = 0; i < g->m->extents[tensor].count; i++)
        PAWL_CHECK(isfinite(x[i]), PAWL_EDATA, "%s: tensor %s holds a number that is not finite: it is not merged",
                   name, g->m->weights[tensor].name);
    return PAWL_OK;
}

/* A model's weights, or what its differences to the base become. */
static pawl_status take(pawl_merge *g, int model, int tensor)
{
    const pawl_weight_source *from = &g->r.models[model];
    const int64_t count = g->m->extents[tensor].count;
    PAWL_TRY(from->read(from->self, tensor, g->tau));
    PAWL_TRY(require_finite(g, from->name, tensor, g->tau));
    if (!methods[g->r.method].task) return PAWL_OK;
    for (int64_t i = 0; i < count; i++) g->tau[i] -= g->base[i];
    if (methods[g->r.method].trim) {
        const int64_t keep = (int64_t)(g->r.density * (double)count);
        trim(g->bins, g->tau, count, keep > 0 ? keep : 1);
    }
    if (methods[g->r.method].drop)
        pawl_merge_drop_some(g->tau, count, g->r.density, g->r.seed, place_of(g->m->weights[tensor].name, model));
    return PAWL_OK;
}

/* --- a tensor ------------------------------------------------------------------------------------------------ */

static pawl_status add_up(pawl_merge *g, int tensor, int64_t count)
{
    if (g->sides)
        memset(g->sides, 0, (size_t)count * sizeof *g->sides);
    else
        memset(g->sum, 0, (size_t)count * sizeof *g->sum);
    for (int k = 0; k < g->r.count; k++) {
        PAWL_TRY(take(g, k, tensor));
        const double w = g->r.weights[k];
        if (g->sides) pawl_merge_add_sides(g->tau, w, count, g->sides);
        for (int64_t i = 0; g->sum && i < count; i++) g->sum[i] += w * g->tau[i];
    }
    return PAWL_OK;
}

pawl_status pawl_merge_read(void *merge, int tensor, float *to)
{
    pawl_merge *g = merge;
    const int64_t count = g->m->extents[tensor].count;
    if (g->base) {
        PAWL_TRY(g->r.base.read(g->r.base.self, tensor, g->base));
        PAWL_TRY(require_finite(g, g->r.base.name, tensor, g->base));
    }
    PAWL_TRY(add_up(g, tensor, count));
    for (int64_t i = 0; i < count; i++) {
        const double joined = g->sides ? pawl_merge_joined(g->sides[i]) : g->sum[i];
        to[i] = (float)(g->base ? g->base[i] + g->r.lambda * joined : joined);
    }
    return PAWL_OK;
}
