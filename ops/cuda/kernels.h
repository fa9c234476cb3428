/* ops/cuda/kernels.h - private to ops/cuda: our own kernels, each behind one C function that launches it.
 *
 * A function is named as the entry of ops/backend.h that it computes and takes the same arguments, with a stream in place of
 * the device: what they mean stands in ops/ops.h. Arrays, in tensors and in structures, are in device memory; structures
 * themselves are read before the function returns. Arguments have been checked. Launches are asynchronous; one that failed
 * is known by cudaGetLastError. Nothing is allocated: what a kernel needs beside its arguments is `scratch`, of as many
 * bytes as the function next to it says, on 16 bytes, which may be used again by the next launch on that stream.
 *
 * What is computed does not depend on the order in which blocks or threads run: there are no atomic additions of floats, and
 * every sum has a shape that its length alone decides. Where a number is not a sum its bits are the CPU backend's on a
 * machine that fuses multiply and add; sums run in another order (tests/cuda_on_cpu says how near they are). */
#ifndef PAWL_OPS_CUDA_KERNELS_H
#define PAWL_OPS_CUDA_KERNELS_H

#include "ops/dynamic_rule.h"
#include "ops/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct CUstream_st *pawl_stream; /* a cudaStream_t */

/* A launch that wants more dynamic shared memory has to ask for it: a kernel has 48 KiB unasked, its own arrays included. */
enum { PAWL_SHARED_UNASKED = 32 << 10 };

/* ---- elementwise.cu ---- */
void pawl_cuda_swiglu(pawl_stream s, pawl_tensor gate_up, pawl_tensor out);
void pawl_cuda_swiglu_backward(pawl_stream s, pawl_tensor dout, pawl_tensor gate_up, pawl_tensor dgate_up);
void pawl_cuda_activate(pawl_stream s, pawl_activation which, pawl_tensor x, pawl_tensor out);
void pawl_cuda_activate_backward(pawl_stream s, pawl_activation which, pawl_tensor dout, pawl_tensor x, pawl_tensor dx);
void pawl_cuda_rope(pawl_stream s, pawl_tensor x, int64_t heads, pawl_tensor cos, pawl_tensor sin, pawl_tensor positions,
                    int direction);
void pawl_cuda_cast(pawl_stream s, pawl_tensor from, pawl_tensor to);
void pawl_cuda_scale(pawl_stream s, pawl_tensor a, float by);
void pawl_cuda_add(pawl_stream s, float *a, const float *b, int64_t count);
void pawl_cuda_zero(pawl_stream s, float *a, int64_t count);
void pawl_cuda_copy(pawl_stream s, float *to, const float *from, int64_t count);

/* ---- optimizers.cu ---- */
void pawl_cuda_adamw(pawl_stream s, void *w, const float *g, void *m, void *v, int64_t count, const pawl_adamw_step *k);
/* m NULL: no momentum. */
void pawl_cuda_sgd(pawl_stream s, void *w, const float *g, void *m, int64_t count, const pawl_sgd_step *k);
void pawl_cuda_lion(pawl_stream s, void *w, const float *g, void *m, int64_t count, const pawl_lion_step *k);
void pawl_cuda_muon_momentum(pawl_stream s, const float *g, void *m, float *out, int64_t count, const pawl_muon_step *k);
void pawl_cuda_mix(pawl_stream s, float by_y, void *y, float by_x, const float *x, int64_t count, const pawl_kept_as *kept);
void pawl_cuda_lerp(pawl_stream s, float *a, const float *b, float part, int64_t count);

/* signed_levels, levels: as pawl_dynamic_fill makes them, in device memory. */
void pawl_cuda_adamw_8bit(pawl_stream s, void *w, const float *g, const pawl_moments_8bit *moments, int64_t count,
                          const pawl_adamw_step *k, const pawl_dynamic *signed_levels, const pawl_dynamic *levels);

/* ---- adafactor.cu ---- */
/* two: room for two numbers beside the scratch that every backend has. */
void pawl_cuda_adafactor(pawl_stream s, void *w, const float *g, float *row, float *col, int64_t rows, int64_t cols,
                         void *scratch, const pawl_adafactor_step *k, double *two);

/* ---- fp8.cu ---- */
enum { PAWL_CUDA_FP8_BLOCKS = 1024 };
struct pawl_fp8_scale; /* ops/fp8_rule.h */
/* x: bf16 [count], on 16 bytes; codes [count] of E4M3 of x times scale->to. of_blocks: room for PAWL_CUDA_FP8_BLOCKS words. All in device memory. */
void pawl_cuda_fp8(pawl_stream s, const void *x, int64_t count, uint32_t *of_blocks, struct pawl_fp8_scale *scale, uint8_t *codes);

/* ---- sums.cu ---- */
void pawl_cuda_dot(pawl_stream s, const float *x, const float *y, int64_t count, double *blocks);
void pawl_cuda_sum_squares(pawl_stream s, const float *x, int64_t count, double *blocks);
void pawl_cuda_anchor(pawl_stream s, float *g, const float *w, const float *anchor, const float *importance, float strength,
                      int64_t count, double *blocks);
void pawl_cuda_overlap_add(pawl_stream s, const pawl_overlap *o, int64_t first, int64_t count, float *g, double *sums);
void pawl_cuda_path(pawl_stream s, float *path, const float *g, const float *before, const float *after, int64_t count);
void pawl_cuda_synapses(pawl_stream s, float *importance, float *path, const float *w, const float *start, float xi, int64_t count);
void pawl_cuda_magnitudes(pawl_stream s, float *g, int squared, int64_t count);

/* ---- embedding.cu ---- */
void pawl_cuda_embedding(pawl_stream s, pawl_tensor table, pawl_tensor ids, pawl_tensor out);
void pawl_cuda_embedding_dw(pawl_stream s, pawl_tensor dout, pawl_tensor ids, pawl_tensor dtable);

/* ---- noise.cu ---- */
/* at: the GPU's, NULL, or where pawl_cuda_drop_rows has put how's seed and first_row: these are then read there, and how's do not count. */
void pawl_cuda_dropout(pawl_stream s, const pawl_drop *how, const uint64_t *at, pawl_tensor x, pawl_put put, pawl_tensor y);
void pawl_cuda_drop_rows(pawl_stream s, const pawl_drop *how, uint64_t *at); /* at [2] */
void pawl_cuda_add_noise(pawl_stream s, const pawl_noise *how, pawl_tensor x);

/* ---- quant.cu ---- */
void pawl_cuda_quantise(pawl_stream s, pawl_tensor w, const pawl_coded *q, int64_t first);
void pawl_cuda_dequantise(pawl_stream s, const pawl_coded *q, int64_t first, pawl_tensor w);

/* ---- norm.cu ---- */
/* What the gradients of norms of `rows` rows (of heads: rows times heads) of `width` numbers need. */
size_t pawl_cuda_norm_scratch_bytes(int64_t rows, int64_t width);
void pawl_cuda_rmsnorm(pawl_stream s, pawl_tensor residual, pawl_tensor x, pawl_tensor w, float eps, pawl_tensor sum,
                       pawl_tensor y, pawl_tensor rstd);
void pawl_cuda_rmsnorm_backward(pawl_stream s, pawl_tensor dy, pawl_tensor sum, pawl_tensor w, pawl_tensor rstd, pawl_put put,
                                pawl_tensor dsum, pawl_tensor dw, void *scratch);
void pawl_cuda_layernorm(pawl_stream s, pawl_tensor residual, pawl_tensor x, pawl_tensor w, pawl_tensor bias, float eps,
                         pawl_tensor sum, pawl_tensor y, pawl_tensor mean, pawl_tensor rstd);
void pawl_cuda_layernorm_backward(pawl_stream s, pawl_tensor dy, pawl_tensor sum, pawl_tensor w, pawl_tensor mean,
                                  pawl_tensor rstd, pawl_put put, pawl_tensor dsum, pawl_tensor dw, pawl_tensor dbias,
                                  void *scratch);
void pawl_cuda_head_norm(pawl_stream s, pawl_tensor x, pawl_tensor w, float eps, int64_t first, int64_t heads, pawl_tensor y,
                         pawl_tensor rstd);
void pawl_cuda_head_norm_backward(pawl_stream s, pawl_tensor x, pawl_tensor w, pawl_tensor rstd, int64_t first, int64_t heads,
                                  pawl_put put, pawl_tensor dy, pawl_tensor dw, void *scratch);

/* ---- attention.cu ---- */
void pawl_cuda_attention(pawl_stream s, const pawl_attend *a, pawl_tensor qkv, pawl_tensor out, pawl_tensor lse);
size_t pawl_cuda_attention_scratch_bytes(int64_t positions, int64_t heads);
void pawl_cuda_attention_backward(pawl_stream s, const pawl_attend *a, pawl_tensor dout, pawl_tensor qkv, pawl_tensor out,
                                  pawl_tensor lse, pawl_tensor dqkv, void *scratch);
void pawl_cuda_attention_cached(pawl_stream s, const pawl_attend *a, pawl_tensor q, pawl_tensor keys, pawl_tensor values,
                                int64_t first, int64_t last, pawl_tensor out);

/* ---- ragged.cu ---- */
/* Documents, documents + 1 bounds between them, in parts of of_part each: of part p the `numbers` (more than of_part) from p * numbers
 * on of each array. Where in rows of such widths each begins; behind the last all are empty. */
typedef struct pawl_ragged {
    const int32_t *bounds;
    int64_t documents, of_part, numbers, parts, qkv_width, out_width, stats_width;
} pawl_ragged;
void pawl_cuda_ragged(pawl_stream s, const pawl_ragged *r, int32_t *lengths, int32_t *qkv, int32_t *out, int32_t *stats);

/* ---- head.cu ---- */
/* Rows of a chunk of the head: row r, below count, is of position at[r], or of first + r where at is NULL. */
typedef struct pawl_head_chunk_of {
    int64_t first, count;
    const int32_t *at;
} pawl_head_chunk_of;
/* A chunk of the head between its products: logits [count, V], their rows ld >= V numbers apart, become their positions' losses (h->loss and
 * what h->extra asks for); and where h->dhidden.data is not NULL the gradients, in their place: of f32, or where h->w is of bf16 of bf16 in
 * the first half of each row, which is then 2 ld numbers from the next. Fastest where ld is a multiple of 8. A position that is not trained has no loss and a
 * gradient of zeros. k: of soft targets, 0 for none. */
size_t pawl_cuda_head_rows_scratch_bytes(int64_t count, int64_t V, int64_t k);
void pawl_cuda_head_rows(pawl_stream s, const pawl_head *h, const pawl_head_chunk_of *which, int64_t V, float *logits, int64_t ld,
                         void *scratch);
/* to [rows, D] = rows at[r] of x for r below count, and zeros.   lo x [N,D], to */
void pawl_cuda_head_gather(pawl_stream s, pawl_tensor x, const int32_t *at, int64_t count, int64_t rows, void *to);
/* Rows at[r] of x = rows r of from, for r below count.   from [count,D], x [N,D] */
void pawl_cuda_head_scatter(pawl_stream s, const float *from, const int32_t *at, int64_t count, pawl_tensor x);
/* All that the head leaves of positions that are not trained. */
void pawl_cuda_head_clear(pawl_stream s, const pawl_head *h);

/* ---- columns.cu ---- */
/* What sums over `rows` rows need for each of `width` columns. */
size_t pawl_cuda_column_scratch_bytes(int64_t rows, int64_t width);
/* sums[o] = (put) the sum over n of x[n, first + o]: a bias's gradient.   lo? x [N,W]  sums [O] */
void pawl_cuda_column_sums(pawl_stream s, pawl_tensor x, int64_t first, pawl_put put, pawl_tensor sums, void *scratch);
void pawl_cuda_column_dots(pawl_stream s, pawl_tensor x, int64_t first, pawl_tensor y, pawl_put put, pawl_tensor sums,
                           void *scratch);
/* y[n, first + o] = (put) bias[o]: what a product is then added to.   bias [O]  lo? y [N,W] */
void pawl_cuda_add_bias(pawl_stream s, pawl_tensor bias, pawl_put put, pawl_tensor y, int64_t first);
void pawl_cuda_divide(pawl_stream s, pawl_tensor a, pawl_tensor b, float plus, pawl_put put, pawl_tensor y);
void pawl_cuda_scale_columns(pawl_stream s, pawl_tensor x, int64_t first, pawl_tensor gain, pawl_tensor y);
void pawl_cuda_add_columns(pawl_stream s, pawl_tensor x, pawl_tensor gain, pawl_tensor y, int64_t first);
void pawl_cuda_low_rank_norms(pawl_stream s, pawl_tensor w, pawl_tensor a, pawl_tensor b, float scale, pawl_tensor norms);

#ifdef __cplusplus
}
#endif
#endif
