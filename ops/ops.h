/* ops/ops.h - the mathematics of a step, behind one table per backend.
 *
 * Letters: N positions of a slot (rows x tokens), B rows, T tokens of a row, D width, H heads, G key/value heads,
 * K head size, F feed-forward width, V vocabulary.
 * A tensor of more dimensions than stated is taken as rows of its last one: [B,T,D] is [N,D].
 * Every function here checks its arguments once and dispatches; backends compute and assume them checked. Numbers are
 * f32, but for those that a comment marks "lo": these are all f32, or all bf16 (decision 0022), within one call; "lo?"
 * may be either by itself. Whatever the type, arithmetic and sums are f32, and a bf16 result is rounded once, to nearest
 * even. All calls are local. Results do not depend on the number of threads: work is cut into panels by shape alone
 * (decisions 2 and 10). */
#ifndef PAWL_OPS_OPS_H
#define PAWL_OPS_OPS_H

#include <stdint.h>

#include "core/arena.h"
#include "core/status.h"
#include "core/tensor.h"
#include "core/text.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pawl_device pawl_device; /* a backend, its threads, its scratch */

typedef enum pawl_put { PAWL_SET, PAWL_ADD } pawl_put; /* replace the output, or add to it */

/* The largest shapes that will be asked for: what scratch is measured from. */
typedef struct pawl_shapes {
    int64_t positions; /* N of the largest slot */
    int64_t tokens;    /* T of the longest row */
    int64_t width, heads, kv_heads, head_dim, ff, vocab;
    pawl_dtype type; /* of what products read: PAWL_F32 (0) or PAWL_BF16 */
    int64_t rank;    /* of the adapter that is trained beside; 0: none */
    int muon;        /* whether pawl_muon updates the matrices of blocks, or the adapter's */
    int64_t bins;    /* k of soft targets; 0: none */
    int fp8;         /* whether pawl_linear_fp8 multiplies by the matrices of blocks */
} pawl_shapes;

/* Opens the CPU backend with that many threads (>= 1) of its own pool. isa: "auto", "generic", "avx2", "avx512": the
 * instruction set of our own kernels, auto being the best this machine has. Errors: EMEM; EUSAGE for an isa that the
 * machine lacks or that does not exist. */
PAWL_MUST pawl_status pawl_device_open_cpu(int threads, const char *isa, pawl_device **out);
/* Where the CUDA backend (ops/cuda/) is: a shared object, loaded the first time it is asked for, and kept. */
typedef struct pawl_cuda_place {
    const char *library; /* its name, or its path */
    const char *driver;  /* a library that must be there for it; NULL: none */
} pawl_cuda_place;
/* Whether there is a driver; where there is none, a machine has no GPU, which nobody need be told. */
int pawl_cuda_has_driver(const pawl_cuda_place *where);
/* How many GPUs this process sees, at least 1. Errors: EUSAGE with what lacks: a driver, the shared object, one that was built with
 * this program, a GPU. */
PAWL_MUST pawl_status pawl_cuda_count(const pawl_cuda_place *where, int *gpus);
/* Opens the CUDA backend on that GPU, below the count. Errors: as pawl_cuda_count; EMEM. */
PAWL_MUST pawl_status pawl_device_open_cuda(const pawl_cuda_place *where, int gpu, pawl_device **out);
void pawl_device_close(pawl_device *d);
/* Bytes of scratch for these shapes (the plan), and the taking of it; again for larger shapes is allowed. Ops that need
 * more than was reserved fail with EBUG; only the plan of a matrix product in a shape of its own (of shorter rows, say) is
 * made, and takes what it lacks, the first time it is asked for. */
size_t pawl_device_scratch_bytes(const pawl_device *d, const pawl_shapes *most);
PAWL_MUST pawl_status pawl_device_reserve(pawl_device *d, const pawl_shapes *most);
int pawl_device_threads(const pawl_device *d);
/* What computes, for lineage: "cpu avx512 onednn 2.6.3" (bits are promised within one such line only). */
const char *pawl_device_describe(const pawl_device *d);
/* Rate of the library's own square GEMM of that type (f32, bf16) on all threads, FLOP/s, median of a few (for plans and
 * benchmarks). */
double pawl_device_gemm_rate(pawl_device *d, pawl_dtype type);
/* Bytes a second that all threads together read and write, best of a few; takes so many for the while. */
enum { PAWL_MEMORY_RATE_BYTES = 64 << 20 };
double pawl_device_memory_rate(pawl_device *d);

/* ---- Algorithms of matrix products, timed and chosen (decision 0045) ----
 * A backend whose library has more than one algorithm for a product takes the library's first answer, unless a table says
 * otherwise. Algorithms may differ in bits. */
/* While it is on, algorithms are timed for every product of a shape that has none yet, on the arrays it is called with: what such a
 * call leaves in its result is not defined. pawl_head_loss times all numbers of rows that it may gather of so many positions. 0: there
 * is nothing to choose here. */
int pawl_device_tune(pawl_device *d, int on);
/* What was chosen, a line a product; nothing where nothing was. Errors: EMEM. */
PAWL_MUST pawl_status pawl_device_algorithms(const pawl_device *d, pawl_text *out);
/* From now on a table's algorithms in place of those that were chosen before; "": the library's first answers. Errors: EDATA with the
 * reason when this device cannot follow it; then it has none. */
PAWL_MUST pawl_status pawl_device_choose(pawl_device *d, const char *table);

/* From now on attention of bf16 is a library's (cuDNN's) where it knows the shape, and our own kernel's elsewhere; describe says so. CPUs have
 * nothing but their own. Errors: EUSAGE where the library cannot be loaded, or is not for this GPU; EMEM. */
PAWL_MUST pawl_status pawl_device_attend_by_library(pawl_device *d);
/* What this machine does at best: FLOP/s of matrix products in each type, bytes/s of memory. */
typedef struct pawl_rates {
    double f32_flops, bf16_flops, bytes;
} pawl_rates;
/* From now on every op is a span (core/span.h) that says its shape, FLOPs, bytes, and the seconds that it would take on a
 * roofline of these rates; NULL ends that. For one device at a time. */
void pawl_device_time(pawl_device *d, const pawl_rates *rates);

/* ---- Where numbers lie (decision 0043) ----
 *
 * Every array that an op reads or writes is in the device's memory: tensors, flat runs, and also ids, positions, starts, lengths,
 * targets, row weights, soft targets, records, losses, blocks of sums, codes, scales, tables and scratch. Every struct that an op is
 * handed by address (pawl_head and what hangs on it, pawl_attend, the constants of a step, ...) is in the host's, and may be gone
 * when the call returns. Nothing else in pawl may touch the device's memory: it goes up and down through the two calls below.
 * On CPUs the two memories are one (pawl_device_shares_memory): then who has an array hands it to ops where it lies, and copies
 * nothing. Where they are not one, indices have been checked by whoever uploads them; ops cannot.
 * Ops, uploads and downloads of a device happen in the order of the calls, whatever runs behind them. In these functions d may be
 * NULL: then there is the host's memory alone. */
int pawl_device_shares_memory(const pawl_device *d);
/* Where the host reads and writes an array of the device's: the array itself where memory is shared, else `room`, between
 * an upload or a download. */
static inline void *pawl_host_side(const pawl_device *d, const void *array, void *room)
{
    return pawl_device_shares_memory(d) ? (void *)(uintptr_t)array : room;
}
typedef enum pawl_side_of {
    PAWL_ON_DEVICE, /* what ops read and write */
    PAWL_ON_HOST    /* the host's, which the device copies from and to at its best (pinned): for staging */
} pawl_side_of;
/* So many bytes, zeroed, aligned to a page; what: for errors. give: with the bytes that were taken; NULL is nothing. Errors: EMEM. */
PAWL_MUST pawl_status pawl_device_take(pawl_device *d, pawl_side_of side, size_t bytes, const char *what, void **out);
void pawl_device_give(pawl_device *d, pawl_side_of side, void *block, size_t bytes);
/* As pawl_arena_open and pawl_arena_close, of either side; such an arena is laid out as any other, and read by no one but ops. */
PAWL_MUST pawl_status pawl_arena_open_on(pawl_device *d, pawl_side_of side, pawl_arena *a);
void pawl_arena_close_on(pawl_device *d, pawl_side_of side, pawl_arena *a);
/* What d has for itself beside arenas and scratch, from when it is opened: its workspace, and estimates of what the libraries take that it
 * calls, and on the device for each peer that messages go to without the host, and for the graphs of each layer (decision 0047). */
typedef struct pawl_device_own {
    pawl_room workspace, libraries;
    size_t peer, graphs;
} pawl_device_own;
pawl_device_own pawl_device_own_of(const pawl_device *d);
/* The memory of a device that has its own, else zeros: bytes that are free now; all; and a number that is the same for two
 * devices of one machine when they are one. */
typedef struct pawl_device_memory {
    size_t available, total;
    uint64_t which;
} pawl_device_memory;
pawl_device_memory pawl_device_memory_of(pawl_device *d);
/* A device of which nothing can be asked but what a plan asks: that takes what the CUDA backend takes, and computes nothing. */
PAWL_MUST pawl_status pawl_device_open_planned(pawl_device **out);
/* Copies bytes. They return when from_host may be changed, and when to_host is whole. The same address on both sides, which shared
 * memory allows: nothing. On the thread that calls ops. Errors: the device's. */
PAWL_MUST pawl_status pawl_upload(pawl_device *d, void *to_device, const void *from_host, size_t bytes);
PAWL_MUST pawl_status pawl_download(pawl_device *d, void *to_host, const void *from_device, size_t bytes);

/* What a library is handed that puts work on the device beside ops: CUDA's stream, on which ops are in the order of the calls, or NULL. */
void *pawl_device_stream(pawl_device *d);

/* Around the ops of a transformer block: where graphs are on, a GPU is handed what it has been handed before in one piece (a CUDA graph,
 * decision 0049). Order and bits are the same, an error of an op may be that of a later call. Blocks do not nest; after an error no
 * end is needed. On CPUs all three do nothing. Errors: the ops'; EMEM. */
PAWL_MUST pawl_status pawl_device_block_begin(pawl_device *d);
PAWL_MUST pawl_status pawl_device_block_end(pawl_device *d);
PAWL_MUST pawl_status pawl_device_graphs(pawl_device *d, int on); /* off at first */

/* ---- Beside the order of the calls (decision 0046) ----
 * A GPU does two things at once where it is told to. What is asked for between begin and end is done aside: after all that was asked for
 * before begin, in the order of the calls with what else is done aside, and beside all that is asked for after end. Allowed there are
 * pawl_add, pawl_copy, and what others put on pawl_device_stream, which is another one meanwhile. What comes after an await of a mark
 * comes after all that was done aside until the latest end with that mark, if any. Where a device does nothing aside these calls change nothing. */
enum { PAWL_MARKS = 32 };
int pawl_device_works_aside(const pawl_device *d);
PAWL_MUST pawl_status pawl_aside_begin(pawl_device *d);
PAWL_MUST pawl_status pawl_aside_end(pawl_device *d, int mark);
PAWL_MUST pawl_status pawl_aside_await(pawl_device *d, int mark);
/* Waits until all that the device was asked for is done, or given up. */
void pawl_device_settle(pawl_device *d);
/* From now on, while the host waits for the device, it calls ask(self) many times a second, and gives up with the error that that
 * returns; ask NULL: it only waits. Nothing where the host never waits. */
void pawl_device_ask(pawl_device *d, pawl_status (*ask)(void *self), void *self);

/* ---- Copies beside the order of the calls (decision 0047) ----
 * Between the device's memory and pinned memory of the host. They begin after all that was asked for before, those up also after all that go down,
 * and are made beside what is asked for next. What is asked for after an await of a ticket comes after its copies; settle: the
 * host waits for all copies. Until then neither side is changed or read otherwise. Where a device does nothing beside they are made at
 * once. */
typedef struct pawl_load {
    void *to;
    const void *from;
    size_t bytes;
} pawl_load;
typedef enum pawl_carry_way { PAWL_CARRY_UP, PAWL_CARRY_DOWN, PAWL_CARRY_WAYS } pawl_carry_way;
PAWL_MUST pawl_status pawl_carry(pawl_device *d, pawl_carry_way way, const pawl_load *loads, int count, int64_t *ticket);
PAWL_MUST pawl_status pawl_carry_await(pawl_device *d, int64_t ticket);
PAWL_MUST pawl_status pawl_carry_settle(pawl_device *d);

/* ---- A snapshot beside the order of the calls (decision 0052) ----
 * Copies into the host's memory, pinned or not, through a pool of fixed size: the first `there` loads of the device's memory, the others of
 * pinned memory that only pawl_carry changes. They are of what was there when begin was called, and are made while the host waits for the
 * device. What is asked for after an await may change what they copy; after a settle, in which the host waits, they are whole. One at a
 * time: begin and drop give up what is not copied of the one before, and so does a settle that fails; loads are the caller's and stay
 * until then. Where a device does nothing beside, begin makes them at once. Local, on the thread that calls ops; d NULL: the host alone.
 * Errors: the device's. */
PAWL_MUST pawl_status pawl_snapshot_begin(pawl_device *d, const pawl_load *loads, int64_t count, int64_t there);
PAWL_MUST pawl_status pawl_snapshot_await(pawl_device *d);
PAWL_MUST pawl_status pawl_snapshot_settle(pawl_device *d);
void pawl_snapshot_drop(pawl_device *d);

/* Runs body(self, i) for every i in [0, count), on the pool; returns when all are done. Which thread takes which i is
 * not defined, so body's results may not depend on it. The host's threads, over the host's memory, whatever the device. */
void pawl_parallel(pawl_device *d, int64_t count, void (*body)(void *self, int64_t i), void *self);

/* y = x w^T (+ bias).   lo x [N,I], w [O,I]   bias [O] or data NULL   lo? y [N,O] */
PAWL_MUST pawl_status pawl_linear(pawl_device *d, pawl_tensor x, pawl_tensor w, pawl_tensor bias, pawl_put put,
                                  pawl_tensor y);
/* y = x w^T (+ bias) of x and w rounded to 8-bit floats (E4M3, each by a scale of its own that follows from its greatest magnitude), with
 * sums of f32 (decision 0050); of O or I that are no multiple of PAWL_FP8_SIDE, as pawl_linear.   bf16 x [N,I], w [O,I]
 * bias [O] or data NULL   lo? y [N,O]   Source: Micikevicius et al. 2022, with current scaling. */
PAWL_MUST pawl_status pawl_linear_fp8(pawl_device *d, pawl_tensor x, pawl_tensor w, pawl_tensor bias, pawl_tensor y);
/* Whether the device can: EUSAGE with what lacks. */
PAWL_MUST pawl_status pawl_device_fp8(pawl_device *d);
/* dx = dy w.            lo dy [N,O], w [O,I]   lo? dx [N,I] */
PAWL_MUST pawl_status pawl_linear_dx(pawl_device *d, pawl_tensor dy, pawl_tensor w, pawl_put put, pawl_tensor dx);
/* dw = dy^T x, dbias = column sums of dy.   lo dy [N,O], x [N,I]  dw [O,I]  dbias [O] or data NULL */
PAWL_MUST pawl_status pawl_linear_dw(pawl_device *d, pawl_tensor dy, pawl_tensor x, pawl_put put, pawl_tensor dw,
                                     pawl_tensor dbias);

/* The same for a part of a fused group: y and dy [N,W] are wider, columns [first, first + O) of them are meant. */
PAWL_MUST pawl_status pawl_linear_part(pawl_device *d, pawl_tensor x, pawl_tensor w, pawl_tensor bias, pawl_put put,
                                       int64_t first, pawl_tensor y);
PAWL_MUST pawl_status pawl_linear_part_dx(pawl_device *d, pawl_tensor dy, int64_t first, pawl_tensor w, pawl_put put,
                                          pawl_tensor dx);
PAWL_MUST pawl_status pawl_linear_part_dw(pawl_device *d, pawl_tensor dy, int64_t first, pawl_tensor x, pawl_put put,
                                          pawl_tensor dw);

/* ---- What adapters need beside products (decision 0015) ---- */

/* Which numbers a dropout keeps: element i of position t of row b has word i mod 4 of
 * pawl_random_at(seed, PAWL_FOR_DROPOUT, first_row + b, stream * 2^32 + (t I + i) / 4) and is kept when that is at least
 * rate * 2^32. So a mask depends on the row's number in the run and not on who computes it, or when. */
typedef struct pawl_drop {
    double rate; /* in [0, 1) */
    uint64_t seed;
    int64_t first_row, tokens; /* T; N = rows * T */
    int64_t stream;            /* tells the masks of one row apart, below 2^16; T I / 4 is at most 2^32 */
} pawl_drop;
/* y = (put) x / (1 - rate) where kept, 0 elsewhere.   lo? x, y [N,I] */
PAWL_MUST pawl_status pawl_dropout(pawl_device *d, const pawl_drop *how, pawl_tensor x, pawl_put put, pawl_tensor y);
/* Noise on embeddings (NEFTune). Element i of position t of row b, where t is below the row's length L (its padding is left
 * alone), has word i mod 4 of pawl_random_at(seed, PAWL_FOR_NEFTUNE, first_row + b, (t D + i) / 4), made uniform in
 * [-1, 1) and multiplied by alpha / sqrt(L D) (ops/noise_rule.h). So it depends on the row's number in the run and on
 * its length, and not on who computes it or with which rows.   Source: Jain et al. 2023, algorithm 1. */
typedef struct pawl_noise {
    double alpha;
    uint64_t seed;
    int64_t first_row, tokens; /* T; N = rows * T */
    const int64_t *lengths;    /* [rows], each at most T */
} pawl_noise;
/* x += noise.   x [N,D] */
PAWL_MUST pawl_status pawl_add_noise(pawl_device *d, const pawl_noise *how, pawl_tensor x);
/* norms[o] = ||w[o] + scale (b a)[o]||.   lo? w [O,I]  a [r,I]  b [O,r]  norms [O] */
PAWL_MUST pawl_status pawl_low_rank_norms(pawl_device *d, pawl_tensor w, pawl_tensor a, pawl_tensor b, float scale,
                                          pawl_tensor norms);
/* y = gain * x[:, first : first + O].   lo x [N,W]  gain [O]  lo y [N,O] */
PAWL_MUST pawl_status pawl_scale_columns(pawl_device *d, pawl_tensor x, int64_t first, pawl_tensor gain, pawl_tensor y);
/* y[:, first : first + O] += gain * x.   lo x [N,O]  gain [O]  lo y [N,W] */
PAWL_MUST pawl_status pawl_add_columns(pawl_device *d, pawl_tensor x, pawl_tensor gain, pawl_tensor y, int64_t first);
/* y = (put) a / b + plus.   a, b, y [O] */
PAWL_MUST pawl_status pawl_divide(pawl_device *d, pawl_tensor a, pawl_tensor b, float plus, pawl_put put, pawl_tensor y);
/* A weight [rows, cols] in few bits, coded row by row (ops/quant_rule.h): int8 with a scale for each row, or 4-bit NF4 with a
 * scale for each 64 numbers of a row. */
typedef enum pawl_code { PAWL_CODE_NONE, PAWL_CODE_INT8, PAWL_CODE_NF4 } pawl_code;
typedef struct pawl_coded {
    pawl_code code;
    int64_t rows, cols;
    uint8_t *codes; /* [rows, pawl_code_row_bytes] */
    float *scales;  /* [rows, pawl_code_row_scales] */
} pawl_coded;
int64_t pawl_code_row_bytes(pawl_code code, int64_t cols);
int64_t pawl_code_row_scales(pawl_code code, int64_t cols);
/* Codes w [some rows, cols] as rows [first, ...) of q, and back (into lo? w); every number within half a step of its level. */
PAWL_MUST pawl_status pawl_quantise(pawl_device *d, pawl_tensor w, const pawl_coded *q, int64_t first);
PAWL_MUST pawl_status pawl_dequantise(pawl_device *d, const pawl_coded *q, int64_t first, pawl_tensor w);

/* sums[o] = (put) the sum over n, in its order, of x[n, first + o] y[n, o].   lo x [N,W], y [N,O]  sums [O] */
PAWL_MUST pawl_status pawl_column_dots(pawl_device *d, pawl_tensor x, int64_t first, pawl_tensor y, pawl_put put,
                                       pawl_tensor sums);

/* out[n] = table[ids[n]].   lo? table [V,D]  ids [N] i32 in [0,V)  out [N,D] */
PAWL_MUST pawl_status pawl_embedding(pawl_device *d, pawl_tensor table, pawl_tensor ids, pawl_tensor out);
/* dtable[ids[n]] += dout[n], in the order of n.  Adds: the caller clears dtable. */
PAWL_MUST pawl_status pawl_embedding_dw(pawl_device *d, pawl_tensor dout, pawl_tensor ids, pawl_tensor dtable);

/* sum = residual + x (x.data NULL: sum = residual), and sum may alias residual; y = w * sum * rstd,
 * rstd = 1/sqrt(mean(sum^2) + eps).   residual, x, sum [N,D]   lo? y [N,D]   w [D]   rstd [N]
 * Source: Zhang & Sennrich 2019. */
PAWL_MUST pawl_status pawl_rmsnorm(pawl_device *d, pawl_tensor residual, pawl_tensor x, pawl_tensor w, float eps,
                                   pawl_tensor sum, pawl_tensor y, pawl_tensor rstd);
/* dsum += the norm's gradient (dsum carries the residual stream's); dw = (put) the weight's, data NULL: not wanted.
 *   dy, sum, dsum [N,D]   w, dw [D]   rstd [N] */
PAWL_MUST pawl_status pawl_rmsnorm_backward(pawl_device *d, pawl_tensor dy, pawl_tensor sum, pawl_tensor w,
                                            pawl_tensor rstd, pawl_put put, pawl_tensor dsum, pawl_tensor dw);

/* As pawl_rmsnorm, with the mean taken off and a bias put on: y = w * (sum - mean) * rstd + bias,
 * rstd = 1/sqrt(mean((sum - mean)^2) + eps).   residual, x, sum [N,D]   lo? y [N,D]   w, bias [D]   mean, rstd [N]
 * Source: Ba, Kiros & Hinton 2016. */
PAWL_MUST pawl_status pawl_layernorm(pawl_device *d, pawl_tensor residual, pawl_tensor x, pawl_tensor w,
                                     pawl_tensor bias, float eps, pawl_tensor sum, pawl_tensor y, pawl_tensor mean,
                                     pawl_tensor rstd);
/* dsum += the norm's gradient; dw, dbias = (put) those of weight and bias, data NULL: not wanted.
 *   dy, sum, dsum [N,D]   w, dw, dbias [D]   mean, rstd [N] */
PAWL_MUST pawl_status pawl_layernorm_backward(pawl_device *d, pawl_tensor dy, pawl_tensor sum, pawl_tensor w,
                                              pawl_tensor mean, pawl_tensor rstd, pawl_put put, pawl_tensor dsum,
                                              pawl_tensor dw, pawl_tensor dbias);

/* RMSNorm of each head's K numbers, for heads [first, first + heads) of a fused [N, all, K] tensor (q/k norm).
 *   lo x, y [N, all*K]: y's other heads are untouched, y may not alias x    w [K]   rstd [N, heads]
 * K is at most 256 in bf16. */
PAWL_MUST pawl_status pawl_head_norm(pawl_device *d, pawl_tensor x, pawl_tensor w, float eps, int64_t first,
                                     int64_t heads, pawl_tensor y, pawl_tensor rstd);
/* In place on dy's heads: dy becomes dx. dw [K] (put), data NULL: not wanted.   lo x, dy [N, all*K] */
PAWL_MUST pawl_status pawl_head_norm_backward(pawl_device *d, pawl_tensor x, pawl_tensor w, pawl_tensor rstd,
                                              int64_t first, int64_t heads, pawl_put put, pawl_tensor dy,
                                              pawl_tensor dw);

/* Rotates heads [0, heads) of lo x [N, all*K] in place: halves (a, b) of each head become (a c - b s, b c + a s), as in
 * Hugging Face's Llama.   cos, sin [P, K/2]   positions [N] i32 in [0,P)   direction +1 forward, -1 backward
 * Source: Su et al. 2021. */
PAWL_MUST pawl_status pawl_rope(pawl_device *d, pawl_tensor x, int64_t heads, pawl_tensor cos, pawl_tensor sin,
                                pawl_tensor positions, int direction);

/* What attention is over: n attends to j in [max(starts[n], n - window + 1), n]. */
typedef struct pawl_attend {
    int64_t rows, tokens;              /* N = rows * tokens; nothing attends across rows */
    int64_t heads, kv_heads, head_dim; /* head_dim: at most 256 */
    int64_t window;                    /* 0: none */
    float scale;                       /* of the scores, 1/sqrt(K) as a rule */
    const int32_t *starts; /* [N]: index in [0,N) of the first position of n's document; padding: n itself */
    /* The same once more, as libraries want it; bounds NULL: not said. Padding behind a document counts as part of it: what becomes of
     * padding is finite, and nobody reads it. */
    const int32_t *bounds;      /* [documents + 1]: where each begins, and N */
    int64_t documents, longest; /* how many there are, positions of the longest */
} pawl_attend;
/* Causal grouped-query attention inside documents. The fused qkv is [N, (H+2G)*K]: queries, then keys, then values.
 *   out [N, H*K]   lse [N,H]: log of the sum of exponentials of the scaled scores, for the backward pass of the same device, which
 *   may have them in another order */
PAWL_MUST pawl_status pawl_attention(pawl_device *d, const pawl_attend *a, pawl_tensor qkv, pawl_tensor out,
                                     pawl_tensor lse);
/* dqkv is set.  Source: Dao et al. 2022, algorithm 4 (recomputation from lse). */
PAWL_MUST pawl_status pawl_attention_backward(pawl_device *d, const pawl_attend *a, pawl_tensor dout, pawl_tensor qkv,
                                              pawl_tensor out, pawl_tensor lse, pawl_tensor dqkv);
/* One new position against a cache, for generation: q [H*K]; keys, values [P, G*K], of which [first, last] are
 * attended; out [H*K]. */
PAWL_MUST pawl_status pawl_attention_cached(pawl_device *d, const pawl_attend *a, pawl_tensor q, pawl_tensor keys,
                                            pawl_tensor values, int64_t first, int64_t last, pawl_tensor out);

/* out = silu(gate) * up.   lo gate_up [N, 2F]: gates, then ups   lo out [N,F].   Source: Shazeer 2020. */
PAWL_MUST pawl_status pawl_swiglu(pawl_device *d, pawl_tensor gate_up, pawl_tensor out);
/* dgate_up is set.   lo dout, gate_up, dgate_up */
PAWL_MUST pawl_status pawl_swiglu_backward(pawl_device *d, pawl_tensor dout, pawl_tensor gate_up, pawl_tensor dgate_up);

/* Activations of a feed-forward layer without a gate (formulas: ops/activation_rule.h). */
typedef enum pawl_activation {
    PAWL_GELU,      /* x Phi(x) */
    PAWL_GELU_TANH, /* its approximation by tanh */
    PAWL_QUICK_GELU,
    PAWL_SILU,
    PAWL_RELU,
    PAWL_TANH,
    PAWL_ACTIVATION_COUNT
} pawl_activation;
/* out = act(x).   lo x, out [N,F]   Source: Hendrycks & Gimpel 2016 (the gelus). */
PAWL_MUST pawl_status pawl_activate(pawl_device *d, pawl_activation which, pawl_tensor x, pawl_tensor out);
/* dx = dout act'(x).   lo dout, x, dx */
PAWL_MUST pawl_status pawl_activate_backward(pawl_device *d, pawl_activation which, pawl_tensor dout, pawl_tensor x,
                                             pawl_tensor dx);

/* The two around a linear layer, where a backend may do both at once: z = x w^T + bias, out = act(z). A backend that does takes act of the
 * sums before z is rounded, so that in bf16 its numbers are not those of the two calls; the CPU's are.
 *   lo x [N,I], w [F,I]   bias [F] or data NULL   lo z, out [N,F] */
PAWL_MUST pawl_status pawl_linear_activate(pawl_device *d, pawl_activation which, pawl_tensor x, pawl_tensor w, pawl_tensor bias, pawl_tensor z,
                                           pawl_tensor out);
/* dz = (dy w) act'(z), dy being the gradient behind the next layer, whose weight is w.   lo dy [N,O], w [O,F], z, dz [N,F]
 * room: lo [N,F], another array: what it holds afterwards is not defined. */
PAWL_MUST pawl_status pawl_linear_activate_dx(pawl_device *d, pawl_activation which, pawl_tensor dy, pawl_tensor w, pawl_tensor z, pawl_tensor room,
                                              pawl_tensor dz);

/* Soft targets: k tokens of a teacher for each position, with their log-probabilities at a temperature T. The mass that these
 * leave is one bin more (ops/soft_rule.h): loss is T^2 KL(teacher || softmax(logits / T)) over k + 1 bins, or over k = V. */
typedef struct pawl_soft {
    int64_t k;
    const int32_t *ids;       /* [N,k] in [0,V), those of a position all different */
    const float *logp;        /* [N,k] */
    float temperature;        /* > 0 */
    const float *row_weights; /* [B] of the gradients; 0: the row has no soft targets, and its ids and logp are not read */
    float *loss;              /* [N], unweighted; 0 where there is none */
    /* [B] of single rows: the first so many of their k tokens, and their temperature; NULL: as above */
    const int64_t *row_k;
    const float *row_temperatures;
} pawl_soft;
/* The checks of its numbers (arrays in the host's memory) that pawl_head_loss makes where memory is shared: for who uploads them.
 * Errors: EDATA for an id outside the vocabulary; EBUG. */
PAWL_MUST pawl_status pawl_soft_check(const pawl_soft *s, const int32_t *targets, int64_t rows, int64_t tokens, int64_t vocab);
/* A record of the k likeliest tokens, first the likeliest (of equals the first), with log-probabilities at a temperature. */
typedef struct pawl_top {
    int64_t k;
    float temperature;
    int32_t *ids; /* [N,k] */
    float *logp;  /* [N,k] */
} pawl_top;
/* Labels drawn from the model's own distribution in place of the targets (for the true Fisher): position t of row b by
 * pawl_random_at(seed, PAWL_FOR_LABELS, first_row + b, t), so they depend on no rank and no batch. */
typedef struct pawl_labels {
    uint64_t seed;
    int64_t first_row;
    int32_t *drawn; /* [N], PAWL_NOT_TRAINED where there is no target; may be NULL */
} pawl_labels;
/* What a head computes beside the cross-entropy of all trained positions at one scale; all zero: nothing. Everything here is
 * over positions that have a target. */
typedef struct pawl_head_extra {
    int64_t tokens;           /* T: row b has positions [b T, (b+1) T) */
    const float *row_weights; /* [B] in place of scale; NULL: scale */
    const pawl_soft *soft;
    const pawl_top *top;
    const pawl_labels *labels;
    int squares; /* 1: the loss is ||logits||^2 (MAS) in place of cross-entropy; without soft */
} pawl_head_extra;

/* The positions that have a target, in their order. A device whose memory is its own cannot say how many they are before it has computed: from who
 * knows it hears, and leaves the others out of the head's products (decision 0055). Where memory is shared the op looks for itself. */
typedef struct pawl_trained {
    const int32_t *at; /* [count]; NULL: not said, any may have one */
    int64_t count;
} pawl_trained;

/* The output head with its loss, in chunks: logits [N,V] never exist whole. They are f32, so that the loss is that of
 * f32 logits; with hidden and w of bf16 their gradients are bf16. */
typedef struct pawl_head {
    pawl_tensor hidden;     /* lo [N,D] */
    pawl_tensor w;          /* lo [V,D] */
    const int32_t *targets; /* [N] ids, -100: not trained */
    pawl_trained trained;
    float scale;            /* of the gradients: 1 / trained tokens of the whole global batch (decision 4) */
    pawl_tensor loss;       /* [N] f32, unscaled nats per token, 0 where not trained */
    pawl_tensor dhidden;    /* [N,D], set; data NULL: loss only */
    pawl_tensor dw;         /* [V,D], (put); data NULL: not wanted */
    pawl_put put;
    pawl_head_extra extra;
} pawl_head;
PAWL_MUST pawl_status pawl_head_loss(pawl_device *d, const pawl_head *h);

/* ---- Update rules ----
 *
 * Types of what a step changes, f32 (0) or bf16 each: weights (w), and moments (m, v; momentum). Arithmetic is f32; bf16 is rounded by
 * chance (ops/stochastic_rule.h), number i of a call being number first + i of what seed and step count. Gradients are f32. */
typedef struct pawl_kept_as {
    pawl_dtype weights, moments;
    uint64_t seed, step;
    int64_t first;
} pawl_kept_as;

/* Constants of one AdamW step, in double because 1 - beta is formed from them. */
typedef struct pawl_adamw_step {
    double lr, beta1, beta2, eps, decay;
    double fix1, fix2; /* 1 - beta^t */
    double grad_scale; /* of clipping */
    pawl_kept_as kept;
} pawl_adamw_step;
/* w <- AdamW(w, g), updating the moments in place; count numbers.
 * Source: Loshchilov & Hutter 2019, algorithm 2, with PyTorch's order of operations. */
PAWL_MUST pawl_status pawl_adamw(pawl_device *d, void *w, const float *g, void *m, void *v, int64_t count,
                                 const pawl_adamw_step *k);

/* Update rules beside it. Elementwise ones give a number the same bits wherever its array begins. */

/* m [count], the momentum; NULL where momentum is 0. first: the step that fills it. Formula: ops/sgd_rule.h. */
typedef struct pawl_sgd_step {
    double lr, momentum, dampening, decay, grad_scale;
    int nesterov, first;
    pawl_kept_as kept;
} pawl_sgd_step;
PAWL_MUST pawl_status pawl_sgd(pawl_device *d, void *w, const float *g, void *m, int64_t count, const pawl_sgd_step *k);
/* m [count].   Formula: ops/lion_rule.h. */
typedef struct pawl_lion_step {
    double lr, beta1, beta2, decay, grad_scale;
    pawl_kept_as kept;
} pawl_lion_step;
PAWL_MUST pawl_status pawl_lion(pawl_device *d, void *w, const float *g, void *m, int64_t count, const pawl_lion_step *k);
/* AdamW over moments of 8 bits, with a scale for each block of 256 numbers: codes [count], scales [ceil(count / 256)]; all zero
 * stands for zeros; k->kept.moments is not read.   Formula: ops/dynamic_rule.h around ops/adamw_rule.h. */
typedef struct pawl_moments_8bit {
    uint8_t *m, *v;
    float *m_scale, *v_scale;
} pawl_moments_8bit;
PAWL_MUST pawl_status pawl_adamw_8bit(pawl_device *d, void *w, const float *g, const pawl_moments_8bit *moments, int64_t count,
                                      const pawl_adamw_step *k);
/* w, g [rows, cols], row [rows], col [cols]; or a vector: cols 0, w, g and row [rows], col NULL. scratch: as many bytes as said.
 * Formula: ops/adafactor_rule.h. */
typedef struct pawl_adafactor_step {
    double lr, decay, beta2, eps, clip_threshold, grad_scale;
    pawl_kept_as kept; /* factors and the moments of vectors are f32 */
} pawl_adafactor_step;
size_t pawl_adafactor_scratch_bytes(int64_t rows, int64_t cols);
PAWL_MUST pawl_status pawl_adafactor(pawl_device *d, void *w, const float *g, float *row, float *col, int64_t rows, int64_t cols,
                                     void *scratch, const pawl_adafactor_step *k);
/* w, g, m [rows, cols]; scratch: as many bytes as said.   Formula: ops/muon_rule.h. */
typedef enum pawl_muon_adjust { PAWL_MUON_ORIGINAL, PAWL_MUON_MATCH_RMS } pawl_muon_adjust;
typedef struct pawl_muon_step {
    double lr, decay, momentum, grad_scale;
    int64_t steps; /* of Newton-Schulz */
    int nesterov;
    pawl_muon_adjust adjust;
    pawl_kept_as kept;
} pawl_muon_step;
size_t pawl_muon_scratch_bytes(int64_t rows, int64_t cols);
PAWL_MUST pawl_status pawl_muon(pawl_device *d, void *w, const float *g, void *m, int64_t rows, int64_t cols, void *scratch,
                                const pawl_muon_step *k);
/* Penalties and importances of continual learning.   Formulas: ops/penalty_rule.h */

/* g += the gradient of (strength / 2) sum importance (w - anchor)^2; importance NULL: 1 everywhere, anchor NULL: 0. The value is added to
 * blocks, as pawl_sum_squares sets them. */
PAWL_MUST pawl_status pawl_anchor(pawl_device *d, float *g, const float *w, const float *anchor, const float *importance, float strength,
                                  int64_t count, double *blocks);
/* strength sum |a kept^T|, a [rows, width] and kept [kept_rows, width]. */
typedef struct pawl_overlap {
    const float *a, *kept;
    int64_t rows, kept_rows, width;
    float strength;
} pawl_overlap;
/* g [count] += its gradient by the numbers [first, first + count) of a; and sums [rows]: to that of each row of a whose first number is
 * among them, the row's part of the value is added. Bits do not depend on where a is cut. */
PAWL_MUST pawl_status pawl_overlap_add(pawl_device *d, const pawl_overlap *o, int64_t first, int64_t count, float *g, double *sums);
/* path -= g (after - before). */
PAWL_MUST pawl_status pawl_path(pawl_device *d, float *path, const float *g, const float *before, const float *after, int64_t count);
/* importance += max(0, path) / ((w - start)^2 + xi); path becomes 0. */
PAWL_MUST pawl_status pawl_synapses(pawl_device *d, float *importance, float *path, const float *w, const float *start, float xi,
                                    int64_t count);
/* g becomes g^2 (squared), or |g|. */
PAWL_MUST pawl_status pawl_magnitudes(pawl_device *d, float *g, int squared, int64_t count);
/* y <- by_y y + by_x x. */
PAWL_MUST pawl_status pawl_mix(pawl_device *d, float by_y, float *y, float by_x, const float *x, int64_t count);
/* a <- a + part (b - a). */
PAWL_MUST pawl_status pawl_lerp(pawl_device *d, float *a, const float *b, float part, int64_t count);

enum { PAWL_SUM_BLOCK = 1 << 16 };
/* blocks[i] = sum of x^2 over the i-th block of PAWL_SUM_BLOCK numbers, in double and in a fixed order; blocks has
 * ceil(count / PAWL_SUM_BLOCK) entries. Sums of norms go through these so that they have one shape. */
PAWL_MUST pawl_status pawl_sum_squares(pawl_device *d, const float *x, int64_t count, double *blocks);
/* The same of x y. */
PAWL_MUST pawl_status pawl_dot(pawl_device *d, const float *x, const float *y, int64_t count, double *blocks);
/* to = from, as many numbers, from one type (f32, bf16) to the same or the other. They do not overlap. */
PAWL_MUST pawl_status pawl_cast(pawl_device *d, pawl_tensor from, pawl_tensor to);
/* a[i] = a[i] + b[i]. */
PAWL_MUST pawl_status pawl_add(pawl_device *d, float *a, const float *b, int64_t count);
/* a[i] = by * a[i].   lo? a */
PAWL_MUST pawl_status pawl_scale(pawl_device *d, pawl_tensor a, float by);
PAWL_MUST pawl_status pawl_zero(pawl_device *d, float *a, int64_t count);
PAWL_MUST pawl_status pawl_copy(pawl_device *d, float *to, const float *from, int64_t count);

/* ---- Models merged (merge.c; formulas: merge_rule.h). On the host, local ---- */

/* What TIES has to know of a number's differences of either sign: the sums of w tau and of w. */
typedef struct pawl_merge_sides {
    float up, up_weight, down, down_weight;
} pawl_merge_sides;
/* sides[i] takes tau[i] of a model with that weight. */
void pawl_merge_add_sides(const float *tau, double weight, int64_t count, pawl_merge_sides *sides);
/* What the differences become together. */
double pawl_merge_joined(pawl_merge_sides sides);
/* DARE: each number stays with probability density, larger for it; counted by seed and place. */
void pawl_merge_drop_some(float *tau, int64_t count, double density, uint64_t seed, uint64_t place);

#ifdef __cplusplus
}
#endif
#endif
