/* Which algorithm of a product is the fastest, on the operands at hand: each is run a few times between two events, and
 * the medians are compared. The library's first answer stays unless another one is faster by more than two measurements
 * of one and the same differ. */
#include <stdlib.h>

#include "ops/cuda/gemm_plans.h"
#include "ops/cuda/timer.h"

enum { CANDIDATES = 16, RUNS = 5 };
static const double WORTH = 0.98;

/* *ms < 0: this algorithm does not run on these operands. */
static pawl_status run_once(const pawl_plans *p, const pawl_product_plan *x, const cublasLtMatmulAlgo_t *algorithm,
                            const pawl_operands *o, const pawl_timer *t, float *ms)
{
    PAWL_TRY(pawl_timer_start(t, p->stream));
    *ms = -1;
    if (pawl_product_run(p, x, algorithm, o) != CUBLAS_STATUS_SUCCESS) return PAWL_OK;
    return pawl_timer_stop(t, p->stream, ms);
}

static int by_size(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* After one run that is not counted. */
static pawl_status median_of(const pawl_plans *p, const pawl_product_plan *x, const cublasLtMatmulAlgo_t *algorithm,
                             const pawl_operands *o, const pawl_timer *t, float *ms)
{
    float all[RUNS];
    PAWL_TRY(run_once(p, x, algorithm, o, t, ms));
    for (int i = 0; *ms >= 0 && i < RUNS; i++) {
        PAWL_TRY(run_once(p, x, algorithm, o, t, ms));
        all[i] = *ms;
    }
    if (*ms < 0) return PAWL_OK;
    qsort(all, RUNS, sizeof *all, by_size);
    *ms = all[RUNS / 2];
    return PAWL_OK;
}

/* What runs later is what its settings say: so that is what is timed. */
static int restored(const pawl_plans *p, const pawl_product_plan *x, const cublasLtMatmulHeuristicResult_t *named, cublasLtMatmulAlgo_t *out)
{
    int64_t set[PAWL_SETTINGS];
    return named->state == CUBLAS_STATUS_SUCCESS && pawl_settings_of(&named->algo, set) == CUBLAS_STATUS_SUCCESS &&
           pawl_product_restore(p, x, set, out) == CUBLAS_STATUS_SUCCESS;
}

static pawl_status fastest(const pawl_plans *p, pawl_product_plan *x, const pawl_operands *o, const pawl_timer *t)
{
    cublasLtMatmulHeuristicResult_t all[CANDIDATES];
    float best = -1;
    int found;
    PAWL_TRY(pawl_product_candidates(p, x, CANDIDATES, all, &found));
    for (int i = 0; i < found; i++) {
        cublasLtMatmulAlgo_t algorithm;
        float ms;
        if (!restored(p, x, &all[i], &algorithm)) continue;
        PAWL_TRY(median_of(p, x, &algorithm, o, t, &ms));
        if (ms < 0 || (best >= 0 && (double)ms >= WORTH * (double)best)) continue;
        best = ms;
        x->algorithm = algorithm;
    }
    x->chosen = best >= 0;
    return PAWL_OK;
}

pawl_status pawl_product_time(const pawl_plans *p, pawl_product_plan *x, const pawl_operands *o)
{
    pawl_timer t = {0};
    pawl_status s = pawl_timer_open(&t);
    if (s == PAWL_OK) s = fastest(p, x, o, &t);
    pawl_timer_close(&t);
    return s;
}
