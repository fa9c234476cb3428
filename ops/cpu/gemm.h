/* ops/cpu/gemm.h - matrix products cut into fixed panels, each computed by one thread with one library call.
 *
 * The cut is a function of the shape alone, so neither the number of threads nor who takes which panel changes a bit
 * (decision 10). A library turns a panel's shape into a plan, made at the first use of that shape and kept. */
#ifndef PAWL_OPS_CPU_GEMM_H
#define PAWL_OPS_CPU_GEMM_H

#include "ops/cpu/kernels.h"
#include "ops/cpu/pool.h"

#ifdef __cplusplus
extern "C" {
#endif

/* So many plans at most are kept at a time: a library takes room for them when it is opened, and none inside a step. */
enum { PAWL_PLANS_MOST = 2048 };

/* Who multiplies. Every entry is required. */
typedef struct pawl_gemm_library {
    void (*name)(char out[32]); /* "onednn 2.6.3", "portable" */
    pawl_status (*open)(int threads, const pawl_kernels *k, void **self);
    void (*close)(void *self);
    /* A plan is the library's own; scratch_bytes is what one thread needs while it runs it. NULL: the library does not
     * multiply these types on this machine, or these rows not well. All f32 it does of operands that do not move. */
    pawl_status (*plan)(void *self, const pawl_panel *p, void **plan, size_t *scratch_bytes);
    void (*forget)(void *plan);
    /* bias: of a plan that is biased, else NULL */
    pawl_status (*run)(void *plan, const pawl_panel *p, int thread, const void *a, const void *b, const float *bias,
                       void *c, void *scratch);
} pawl_gemm_library;

extern const pawl_gemm_library pawl_gemm_portable;
/* The library found when pawl was configured: gemm_dnnl.c, or gemm_none.c where there is none (NULL then). */
const pawl_gemm_library *pawl_gemm_found(void);

typedef struct pawl_gemm pawl_gemm;

PAWL_MUST pawl_status pawl_gemm_open(const pawl_gemm_library *library, pawl_pool *pool, const pawl_kernels *k,
                                     pawl_gemm **out);
void pawl_gemm_close(pawl_gemm *g);
const char *pawl_gemm_name(const pawl_gemm *g);

/* Whether a product of f32 takes an operand from a copy, where its library does not read it well as it lies: rows of a
 * turned operand are read a few numbers at a time, and where they lie a multiple of half the caches' reach apart, each
 * row pushes another out before its line is used up (on AVX2 such a product takes twice its time). */
enum { PAWL_GEMM_REACH = 2048 }; /* bytes */
static inline int pawl_gemm_moves(pawl_dtype type, int64_t lead, int turned)
{
    return type != PAWL_F32 || (turned && lead * 4 % PAWL_GEMM_REACH == 0);
}

/* What a product is for sets how it is cut: sums over positions are long and their outputs small. */
typedef enum pawl_gemm_use { PAWL_OVER_WIDTH, PAWL_OVER_POSITIONS } pawl_gemm_use;

/* c = a b, or c += a b, of the whole shape p. bias: NULL, or [n] numbers of f32 added to every row of c. */
PAWL_MUST pawl_status pawl_gemm_run(pawl_gemm *g, pawl_gemm_use use, const pawl_panel *p, const void *a, const void *b,
                                    const float *bias, void *c);
/* Scratch in bytes: of each thread, and what all threads of a product share. */
typedef struct pawl_gemm_need {
    size_t each, shared;
} pawl_gemm_need;
/* Makes the plans of shape p, and raises *need to what running them takes. */
PAWL_MUST pawl_status pawl_gemm_prepare(pawl_gemm *g, pawl_gemm_use use, const pawl_panel *p, pawl_gemm_need *need);
/* Scratch for plans to come. A product that needs more than was reserved grows it. */
PAWL_MUST pawl_status pawl_gemm_reserve(pawl_gemm *g, pawl_gemm_need need);
/* Where so many numbers of that type end. */
static inline const void *pawl_gemm_number(const void *base, pawl_dtype type, int64_t numbers)
{
    return (const char *)base + numbers * (type == PAWL_BF16 ? 2 : 4);
}
size_t pawl_gemm_need_bytes(const pawl_gemm *g, pawl_gemm_need need);

#ifdef __cplusplus
}
#endif
#endif
