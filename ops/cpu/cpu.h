/* ops/cpu/cpu.h - the CPU backend's device, and what its files offer each other. */
#ifndef PAWL_OPS_CPU_CPU_H
#define PAWL_OPS_CPU_CPU_H

#include "ops/backend.h"
#include "ops/cpu/gemm.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pawl_cpu {
    pawl_device device; /* first */
    pawl_pool *pool;
    const pawl_kernels *kernels;
    pawl_gemm *gemm;
    pawl_arena scratch; /* shared by all threads, carved anew by each op that needs any */
    char description[64];
    pawl_dynamic signed_levels, levels; /* of 8-bit moments */
} pawl_cpu;

static inline pawl_cpu *pawl_cpu_of(pawl_device *d)
{
    return (pawl_cpu *)d;
}

/* A scratch to be carved from the start; an op measures first and fails with EBUG when more is needed than was
 * reserved. */
PAWL_MUST pawl_status pawl_cpu_scratch(pawl_cpu *cpu, const char *op, size_t bytes, pawl_arena *out);

/* Which of a pair of kernels a tensor asks for. */
static inline int pawl_low(pawl_tensor t)
{
    return t.dtype == PAWL_BF16;
}

/* Where number i of a tensor is. */
static inline void *pawl_at(pawl_tensor t, int64_t i)
{
    return (char *)t.data + i * (pawl_low(t) ? 2 : 4);
}

/* Rows are shared out in blocks of this many. */
enum { PAWL_ROW_BLOCK = 64 };

static inline int64_t pawl_blocks(int64_t count, int64_t each)
{
    return (count + each - 1) / each;
}

/* How many of `each` there are in block i of count. */
static inline int64_t pawl_block_size(int64_t count, int64_t each, int64_t i)
{
    const int64_t left = count - i * each;
    return left < each ? left : each;
}

/* A library of products other than the one found, for tests and benchmarks. */
PAWL_MUST pawl_status pawl_cpu_open_with(int threads, const char *isa, const pawl_gemm_library *library,
                                         pawl_device **out);

/* sums [width] = (put) the sums of x's columns, each in the order of the rows. */
void pawl_cpu_column_sums(pawl_cpu *cpu, pawl_dtype type, const void *x, int64_t ldx, int64_t rows, int64_t width,
                          pawl_put put, float *sums);

size_t pawl_norm_scratch_bytes(const pawl_shapes *most);
size_t pawl_cpu_fp8_scratch_bytes(const pawl_shapes *most);
size_t pawl_attention_scratch_bytes(const pawl_cpu *cpu, const pawl_shapes *most);
size_t pawl_head_scratch_bytes(const pawl_cpu *cpu, const pawl_shapes *most);
/* Positions of the head's loss that are computed at a time. */
int64_t pawl_head_chunk(int64_t positions, int64_t vocab);

double pawl_cpu_gemm_rate(pawl_device *d, pawl_dtype type);
double pawl_cpu_memory_rate(pawl_device *d);

pawl_status linear_cpu(pawl_device *d, pawl_tensor x, pawl_tensor w, pawl_tensor bias, pawl_put put, int64_t first,
                       pawl_tensor y);
pawl_status linear_fp8_cpu(pawl_device *d, pawl_tensor x, pawl_tensor w, pawl_tensor bias, pawl_tensor y);
pawl_status linear_dx_cpu(pawl_device *d, pawl_tensor dy, int64_t first, pawl_tensor w, pawl_put put, pawl_tensor dx);
pawl_status linear_dw_cpu(pawl_device *d, pawl_tensor dy, int64_t first, pawl_tensor x, pawl_put put, pawl_tensor dw,
                          pawl_tensor dbias);
pawl_status dropout_cpu(pawl_device *d, const pawl_drop *how, pawl_tensor x, pawl_put put, pawl_tensor y);
pawl_status add_noise_cpu(pawl_device *d, const pawl_noise *how, pawl_tensor x);
pawl_status low_rank_norms_cpu(pawl_device *d, pawl_tensor w, pawl_tensor a, pawl_tensor b, float scale,
                               pawl_tensor norms);
pawl_status divide_cpu(pawl_device *d, pawl_tensor a, pawl_tensor b, float plus, pawl_put put, pawl_tensor y);
pawl_status scale_columns_cpu(pawl_device *d, pawl_tensor x, int64_t first, pawl_tensor gain, pawl_tensor y);
pawl_status add_columns_cpu(pawl_device *d, pawl_tensor x, pawl_tensor gain, pawl_tensor y, int64_t first);
pawl_status column_dots_cpu(pawl_device *d, pawl_tensor x, int64_t first, pawl_tensor y, pawl_put put,
                            pawl_tensor sums);
pawl_status embedding_cpu(pawl_device *d, pawl_tensor table, pawl_tensor ids, pawl_tensor out);
pawl_status embedding_dw_cpu(pawl_device *d, pawl_tensor dout, pawl_tensor ids, pawl_tensor dtable);
pawl_status rmsnorm_cpu(pawl_device *d, pawl_tensor residual, pawl_tensor x, pawl_tensor w, float eps, pawl_tensor sum,
                        pawl_tensor y, pawl_tensor rstd);
pawl_status rmsnorm_backward_cpu(pawl_device *d, pawl_tensor dy, pawl_tensor sum, pawl_tensor w, pawl_tensor rstd,
                                 pawl_put put, pawl_tensor dsum, pawl_tensor dw);
pawl_status layernorm_cpu(pawl_device *d, pawl_tensor residual, pawl_tensor x, pawl_tensor w, pawl_tensor bias,
                          float eps, pawl_tensor sum, pawl_tensor y, pawl_tensor mean, pawl_tensor rstd);
pawl_status layernorm_backward_cpu(pawl_device *d, pawl_tensor dy, pawl_tensor sum, pawl_tensor w, pawl_tensor mean,
                                   pawl_tensor rstd, pawl_put put, pawl_tensor dsum, pawl_tensor dw,
                                   pawl_tensor dbias);
pawl_status head_norm_cpu(pawl_device *d, pawl_tensor x, pawl_tensor w, float eps, int64_t first, int64_t heads,
                          pawl_tensor y, pawl_tensor rstd);
pawl_status head_norm_backward_cpu(pawl_device *d, pawl_tensor x, pawl_tensor w, pawl_tensor rstd, int64_t first,
                                   int64_t heads, pawl_put put, pawl_tensor dy, pawl_tensor dw);
pawl_status rope_cpu(pawl_device *d, pawl_tensor x, int64_t heads, pawl_tensor cos, pawl_tensor sin,
                     pawl_tensor positions, int direction);
pawl_status attention_cpu(pawl_device *d, const pawl_attend *a, pawl_tensor qkv, pawl_tensor out, pawl_tensor lse);
pawl_status attention_backward_cpu(pawl_device *d, const pawl_attend *a, pawl_tensor dout, pawl_tensor qkv,
                                   pawl_tensor out, pawl_tensor lse, pawl_tensor dqkv);
pawl_status attention_cached_cpu(pawl_device *d, const pawl_attend *a, pawl_tensor q, pawl_tensor keys,
                                 pawl_tensor values, int64_t first, int64_t last, pawl_tensor out);
pawl_status swiglu_cpu(pawl_device *d, pawl_tensor gate_up, pawl_tensor out);
pawl_status swiglu_backward_cpu(pawl_device *d, pawl_tensor dout, pawl_tensor gate_up, pawl_tensor dgate_up);
pawl_status activate_cpu(pawl_device *d, pawl_activation which, pawl_tensor x, pawl_tensor out);
pawl_status activate_backward_cpu(pawl_device *d, pawl_activation which, pawl_tensor dout, pawl_tensor x,
                                  pawl_tensor dx);
pawl_status linear_activate_cpu(pawl_device *d, pawl_activation which, pawl_tensor x, pawl_tensor w, pawl_tensor bias,
                                pawl_tensor z, pawl_tensor out);
pawl_status linear_activate_dx_cpu(pawl_device *d, pawl_activation which, pawl_tensor dy, pawl_tensor w, pawl_tensor z,
                                   pawl_tensor room, pawl_tensor dz);
pawl_status head_loss_cpu(pawl_device *d, const pawl_head *h);
pawl_status adamw_cpu(pawl_device *d, void *w, const float *g, void *m, void *v, int64_t count,
                      const pawl_adamw_step *k);
pawl_status sgd_cpu(pawl_device *d, void *w, const float *g, void *m, int64_t count, const pawl_sgd_step *k);
pawl_status lion_cpu(pawl_device *d, void *w, const float *g, void *m, int64_t count, const pawl_lion_step *k);
pawl_status adamw_8bit_cpu(pawl_device *d, void *w, const float *g, const pawl_moments_8bit *moments, int64_t count,
                          const pawl_adamw_step *k);
pawl_status adafactor_cpu(pawl_device *d, void *w, const float *g, float *row, float *col, int64_t rows, int64_t cols,
                         void *scratch, const pawl_adafactor_step *k);
pawl_status muon_momentum_cpu(pawl_device *d, const float *g, void *m, float *out, int64_t count,
                             const pawl_muon_step *k);
pawl_status mix_cpu(pawl_device *d, float by_y, void *y, float by_x, const float *x, int64_t count, const pawl_kept_as *kept);
pawl_status lerp_cpu(pawl_device *d, float *a, const float *b, float part, int64_t count);
pawl_status anchor_cpu(pawl_device *d, float *g, const float *w, const float *anchor, const float *importance, float strength, int64_t count, double *blocks);
pawl_status overlap_add_cpu(pawl_device *d, const pawl_overlap *o, int64_t first, int64_t count, float *g, double *sums);
pawl_status path_cpu(pawl_device *d, float *path, const float *g, const float *before, const float *after, int64_t count);
pawl_status synapses_cpu(pawl_device *d, float *importance, float *path, const float *w, const float *start, float xi, int64_t count);
pawl_status magnitudes_cpu(pawl_device *d, float *g, int squared, int64_t count);
pawl_status dot_cpu(pawl_device *d, const float *x, const float *y, int64_t count, double *blocks);
pawl_status sum_squares_cpu(pawl_device *d, const float *x, int64_t count, double *blocks);
pawl_status cast_cpu(pawl_device *d, pawl_tensor from, pawl_tensor to);
pawl_status add_cpu(pawl_device *d, float *a, const float *b, int64_t count);
pawl_status quantise_cpu(pawl_device *d, pawl_tensor w, const pawl_coded *q, int64_t first);
pawl_status dequantise_cpu(pawl_device *d, const pawl_coded *q, int64_t first, pawl_tensor w);
pawl_status scale_cpu(pawl_device *d, pawl_tensor a, float by);
pawl_status zero_cpu(pawl_device *d, float *a, int64_t count);
pawl_status copy_cpu(pawl_device *d, float *to, const float *from, int64_t count);

#ifdef __cplusplus
}
#endif
#endif
