/* ops/cpu/kernels.h - the loops of one thread over a block of rows, compiled once per instruction set.
 *
 * kernels.inc is the only source; kernels_avx512.c and its like include it under their own compiler flags and export a
 * table. The ops choose the blocks, these do the work. Shapes and letters as in ops/ops.h. */
#ifndef PAWL_OPS_CPU_KERNELS_H
#define PAWL_OPS_CPU_KERNELS_H

#include <stdint.h>

#include "ops/adafactor_rule.h"
#include "ops/adamw_rule.h"
#include "ops/dynamic_rule.h"
#include "ops/fp8_rule.h"
#include "ops/lion_rule.h"
#include "ops/sgd_rule.h"
#include "ops/stochastic_rule.h"
#include "ops/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One panel of a matrix product: c [m,n] = a [m,k] b [k,n], or c += when add is 1. a's element (i,p) is at
 * a[i * lda + p], or a[p * lda + i] when a is transposed; b and c likewise. Types are f32 (what is not named) or bf16;
 * sums are f32 in either case, and rounded once; biased: n numbers of f32, added to every row of a c of bf16, are among
 * what is summed. */
typedef struct pawl_panel {
    int64_t m, n, k, lda, ldb, ldc;
    int a_transposed, b_transposed, add, biased;
    pawl_dtype a_type, b_type, c_type;
} pawl_panel;

/* Rows of a norm: width numbers each, `groups` of them side by side in a row of `stride` numbers. */
typedef struct pawl_norm_rows {
    int64_t rows, groups, width, stride;
    float eps;
} pawl_norm_rows;

enum { PAWL_ATTEND_QUERIES = 64, PAWL_ATTEND_PANEL = 128, PAWL_HEAD_DIM_MAX = 256 };
/* What one thread needs for attention: a block of queries and of output gradients, as they are and turned, sums, scores
 * and their gradients; and a head's keys and values with their gradients. */
static inline int64_t pawl_attend_floats(int64_t tokens, int64_t head_dim)
{
    return PAWL_ATTEND_QUERIES * (5 * head_dim + 2 * PAWL_ATTEND_QUERIES) + 4 * tokens * head_dim;
}

typedef struct pawl_attend_args {
    const pawl_attend *over;
    int low; /* bf16: qkv, dout, out, dqkv */
    const void *qkv, *dout, *out_read;
    const float *lse_read;
    void *out, *dqkv;
    float *lse;
} pawl_attend_args;

/* Some blocks of PAWL_ATTEND_QUERIES queries, of some heads that share keys. */
typedef struct pawl_attend_task {
    int64_t row, head, heads, block, blocks;
} pawl_attend_task;

/* Part of one position of a dropout (pawl_drop in ops/ops.h): elements [first, first + count) of a row of the run. Words
 * under `below` are dropped, the rest is multiplied by scale. */
typedef struct pawl_drop_row {
    uint64_t seed, row, stream;
    int64_t first, count;
    uint32_t below;
    float scale;
} pawl_drop_row;

/* The chances of stochastic rounding: those of numbers `first` and behind of the flat run. */
typedef struct pawl_chances {
    uint64_t seed, step, first;
    pawl_chance_of what;
} pawl_chances;

/* A position's soft target: k tokens and their log-probabilities (pawl_soft in ops/ops.h). */
typedef struct pawl_soft_row {
    const int32_t *ids;
    const float *logp;
    int64_t k;
    float temperature;
} pawl_soft_row;

typedef struct pawl_kernels {
    const char *isa;
    void (*exp)(const float *x, float *y, int64_t count);

    /* The portable matrix product, and the scratch that it needs whatever the shape. */
    void (*panel)(const pawl_panel *p, const float *a, const float *b, float *c, float *scratch);
    int64_t panel_floats;

    void (*widen)(const uint16_t *x, float *y, int64_t count);
    void (*narrow)(const float *x, uint16_t *y, int64_t count);
    /* The greatest magnitude, as the bits of its f32; and numbers as E4M3 brings them back. */
    uint32_t (*greatest_bf16)(const uint16_t *x, int64_t count);
    void (*round_e4m3)(const uint16_t *x, uint16_t *y, int64_t count, pawl_fp8_scale s);
    void (*narrow_by_chance)(const float *x, uint16_t *y, int64_t count, const pawl_chances *c);
    /* y = (put) x + bias, rounded once; bias NULL: none. */
    void (*narrow_sum)(const float *x, const float *bias, int64_t count, pawl_put put, uint16_t *y);

    /* Pairs are for numbers of f32 and of bf16, in the arguments without a type. */
    void (*add)(float *a, const float *b, int64_t count);
    void (*scale[2])(void *a, int64_t count, float by);
    void (*add_bias)(float *y, int64_t ldy, const float *bias, int64_t rows, int64_t width, pawl_put put);
    void (*column_sums[2])(const void *x, int64_t ldx, int64_t rows, int64_t width, pawl_put put, float *sums);
    /* By the type of x, then of y. */
    void (*dropout[2][2])(const pawl_drop_row *r, const void *x, pawl_put put, void *y);
    double (*sum_squares)(const float *x, int64_t count);

    /* sum = residual + x where x is not NULL; y = norm of sum. */
    void (*norm[2])(pawl_norm_rows r, const float *residual, const float *x, const float *w, float *sum, void *y,
                    float *rstd);
    /* dx += or =; dw [width] is added to. */
    void (*norm_backward)(pawl_norm_rows r, const float *dy, const float *x, const float *w, const float *rstd,
                          pawl_put put, float *dx, float *dw);
    /* Norms of heads in bf16, at most PAWL_HEAD_DIM_MAX wide; the gradient takes dy's place. */
    void (*norm_heads_bf16)(pawl_norm_rows r, const uint16_t *x, const float *w, uint16_t *y, float *rstd);
    void (*norm_heads_backward_bf16)(pawl_norm_rows r, const uint16_t *x, const float *w, const float *rstd,
                                     uint16_t *dy, float *dw);
    /* The same with the mean taken off and a bias; dw [2 width]: of the weight, then of the bias. */
    void (*layernorm[2])(pawl_norm_rows r, const float *residual, const float *x, const float *w, const float *bias,
                         float *sum, void *y, float *mean, float *rstd);
    void (*layernorm_backward)(pawl_norm_rows r, const float *dy, const float *x, const float *w, const float *mean,
                               const float *rstd, float *dx, float *dw);
    /* half = K/2; direction +1 or -1. */
    void (*rope[2])(void *x, int64_t rows, int64_t stride, int64_t heads, int64_t half, const float *cos,
                    const float *sin, const int32_t *positions, int direction);
    void (*swiglu[2])(const void *gate_up, int64_t rows, int64_t width, void *out);
    void (*swiglu_backward[2])(const void *dout, const void *gate_up, int64_t rows, int64_t width, void *dgate_up);

    void (*activate[PAWL_ACTIVATION_COUNT][2])(const void *x, int64_t count, void *out);
    void (*activate_backward[PAWL_ACTIVATION_COUNT][2])(const void *dout, const void *x, int64_t count, void *dx);

    void (*attend)(const pawl_attend_args *a, pawl_attend_task t, float *scratch);
    /* All gradients of a key/value head and its queries at once; or, recomputing the scores, those of one block of
     * queries and those of one panel of PAWL_ATTEND_PANEL keys and their values. */
    void (*attend_backward)(const pawl_attend_args *a, int64_t row, int64_t kv_head, float *scratch);
    void (*attend_backward_queries)(const pawl_attend_args *a, int64_t row, int64_t head, int64_t block,
                                    float *scratch);
    void (*attend_backward_keys)(const pawl_attend_args *a, int64_t row, int64_t kv_head, int64_t panel,
                                 float *scratch);
    /* One query against a cache. */
    void (*attend_cached)(const pawl_attend *over, const float *q, const float *keys, const float *values,
                          int64_t first, int64_t last, int64_t head, float *out);

    /* Loss of a row of logits; where scale is not NULL their gradients take their place, those of bf16 the first half. */
    float (*cross_entropy[2])(float *logits, int64_t vocab, int64_t target, const float *scale);
    /* Sum of a row's squares; where scale is not NULL, scale times their gradients likewise. */
    float (*squares[2])(float *logits, int64_t vocab, const float *scale);
    /* T^2 KL of a row, which is overwritten: by weight times its gradient where weight is not NULL. named [k]: scratch. */
    float (*soft)(float *logits, int64_t vocab, const pawl_soft_row *s, const float *weight, float *named);
    /* The k likeliest tokens, first the likeliest (of equals the first), and their log-probabilities at that temperature. */
    void (*likeliest)(const float *logits, int64_t vocab, int64_t k, float temperature, int32_t *ids, float *logp);
    int32_t (*draw_label)(const float *logits, int64_t vocab, double u); /* u uniform in [0, 1) */

    void (*adamw)(float *w, const float *g, float *m, float *v, int64_t count, pawl_adamw_numbers k);
    void (*sgd)(float *w, const float *g, float *m, int64_t count, pawl_sgd_numbers k); /* m NULL: without momentum */
    void (*lion)(float *w, const float *g, float *m, int64_t count, pawl_lion_numbers k);
    /* One block of PAWL_DYNAMIC_BLOCK numbers or fewer, with its scales. */
    void (*adamw_8bit)(float *w, const float *g, uint8_t *m, uint8_t *v, float *m_scale, float *v_scale, int64_t count,
                       const pawl_dynamic *signed_levels, const pawl_dynamic *levels, pawl_adamw_numbers k);
    /* The sum of what enters a row's factor; each is added to cols, too. */
    double (*adafactor_squares)(const float *g, int64_t count, float *cols, pawl_adafactor_numbers k);
    /* The sum of squares of a row's updates, and the step by them. */
    double (*adafactor_updates)(const float *g, const float *cols, float row, int64_t count, pawl_adafactor_numbers k);
    void (*adafactor)(float *w, const float *g, const float *cols, float row, int64_t count, float rate,
                      pawl_adafactor_numbers k);
    /* The same of a vector: second moments first. */
    double (*adafactor_vector_updates)(const float *g, float *v, int64_t count, pawl_adafactor_numbers k);
    void (*adafactor_vector)(float *w, const float *g, const float *v, int64_t count, float rate, pawl_adafactor_numbers k);
    void (*muon_momentum)(const float *g, float *m, float *out, int64_t count, float decay, float grad_scale, int nesterov);
    void (*mix)(float by_y, float *y, float by_x, const float *x, int64_t count);
    void (*lerp)(float *a, const float *b, float part, int64_t count);
    /* Returns the penalty's value. */
    double (*anchor)(float *g, const float *w, const float *anchor, const float *importance, float strength, int64_t count);
    /* The part of row a [width] alone: g [end - first] gets its gradient's columns [first, end). Returns its value. */
    double (*overlap)(float *g, const float *a, const pawl_overlap *o, int64_t first, int64_t end);
    void (*path)(float *path, const float *g, const float *before, const float *after, int64_t count);
    void (*synapses)(float *importance, float *path, const float *w, const float *start, float xi, int64_t count);
    void (*magnitudes)(float *g, int squared, int64_t count);
    double (*dot)(const float *x, const float *y, int64_t count);
} pawl_kernels;

/* The table of that name, "auto": the best this machine runs. NULL: no such set; *runs 0: this machine lacks it. */
const pawl_kernels *pawl_kernels_find(const char *isa, int *runs);

extern const pawl_kernels pawl_kernels_generic;

#ifdef __cplusplus
}
#endif
#endif
