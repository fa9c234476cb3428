/* ops/cpu/gemm_plans.h - private to the files gemm*.c: the table of plans, the scratch, and how a product is cut. */
#ifndef PAWL_OPS_CPU_GEMM_PLANS_H
#define PAWL_OPS_CPU_GEMM_PLANS_H

#include "core/arena.h"
#include "ops/cpu/gemm.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pawl_gemm_entry {
    pawl_panel shape;
    int planned; /* 0: the slot is free */
    void *plan;  /* NULL: the library does not multiply these types */
    size_t scratch_bytes;
} pawl_gemm_entry;

struct pawl_gemm {
    const pawl_gemm_library *library;
    void *self;
    char name[32];
    pawl_pool *pool;
    const pawl_kernels *kernels;
    pawl_gemm_entry *table; /* open addressing */
    int plans;
    pawl_arena scratch; /* threads x reserved.each, then reserved.shared */
    pawl_gemm_need reserved;
};

/* The plan of a panel, made where there is none; and the same where it is known to be there, for any thread. */
PAWL_MUST pawl_status pawl_gemm_plan(pawl_gemm *g, const pawl_panel *p, const pawl_gemm_entry **out);
const pawl_gemm_entry *pawl_gemm_planned(const pawl_gemm *g, const pawl_panel *p);
char *pawl_gemm_scratch(const pawl_gemm *g, int thread);
char *pawl_gemm_shared(const pawl_gemm *g);

/* ---- Products of types that the library lacks, computed in f32 (gemm_convert.c) ---- */
PAWL_MUST pawl_status pawl_gemm_convert_prepare(pawl_gemm *g, const pawl_panel *p, pawl_gemm_need *need);
PAWL_MUST pawl_status pawl_gemm_convert_run(pawl_gemm *g, const pawl_panel *p, const void *a, const void *b,
                                            const float *bias, void *c);

#ifdef __cplusplus
}
#endif
#endif
