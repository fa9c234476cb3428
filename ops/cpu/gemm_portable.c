#include <stdio.h>

#include "ops/cpu/gemm.h"

static void name_portable(char out[32])
{
    snprintf(out, 32, "portable");
}

/* No preparation: a plan is the table of kernels, which is the library's whole state. */
static pawl_status open_portable(int threads, const pawl_kernels *k, void **self)
{
    (void)threads;
    *self = (void *)(uintptr_t)k;
    return PAWL_OK;
}

static void close_portable(void *self)
{
    (void)self;
}

static pawl_status plan_portable(void *self, const pawl_panel *p, void **plan, size_t *scratch_bytes)
{
    (void)p;
    *plan = self;
    *scratch_bytes = (size_t)((const pawl_kernels *)self)->panel_floats * sizeof(float);
    return PAWL_OK;
}

static pawl_status run_portable(void *plan, const pawl_panel *p, int thread, const float *a, const float *b, float *c,
                                void *scratch)
{
    (void)thread;
    ((const pawl_kernels *)plan)->panel(p, a, b, c, scratch);
    return PAWL_OK;
}

const pawl_gemm_library pawl_gemm_portable = {
    .name = name_portable,
    .open = open_portable,
    .close = close_portable,
    .plan = plan_portable,
    .forget = close_portable,
    .run = run_portable,
};
