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
    const int is_f32 = p->a_type == PAWL_F32 && p->b_type == PAWL_F32 && p->c_type == PAWL_F32;
    *plan = is_f32 ? self : NULL;
    *scratch_bytes = (size_t)((const pawl_kernels *)self)->panel_floats * sizeof(float);
    return PAWL_OK;
}

static pawl_status run_portable(void *plan, const pawl_panel *p, int thread, const void *a, const void *b,
                                const float *bias, void *c, void *scratch)
{
    (void)thread;
    (void)bias;
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
