/* ops/cuda/scratch.h - what the CUDA backend takes beside the arrays that it is handed: by shapes alone, so that a plan knows it where
 * there is no GPU and no CUDA. The kernels' own, next to each of them, are declared in kernels.h. */
#ifndef PAWL_OPS_CUDA_SCRATCH_H
#define PAWL_OPS_CUDA_SCRATCH_H

#include <stdint.h>

#include "ops/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    PAWL_CUDA_WORKSPACE_BYTES = 32 << 20, /* of products: what cuBLASLt's best algorithms ask for on Hopper */
    PAWL_CUDA_STAGING_BYTES = 32 << 20,   /* pinned, in the host's memory: through which everything goes up and down */
    PAWL_CUDA_SNAPSHOT_BYTES = 8 << 20,   /* the same, of snapshots */
    PAWL_CUDA_CONSTANT_BYTES = 32 << 10,  /* at most: the tables of kernels */
    /* Estimates (docs/decisions/0047): what a process takes with its first call (the context, code of kernels and of cuBLASLt), on the GPU
     * and of the host's memory; and NCCL's buffers on the GPU for each rank that one exchanges messages with. */
    PAWL_CUDA_LIBRARY_BYTES = 640 << 20,
    PAWL_CUDA_LIBRARY_HOST_BYTES = 512 << 20,
    PAWL_CUDA_PEER_BYTES = 512 << 20,
    /* 10 KiB a launch: a hundred of them forward and backward, for a step's first slot, its others and evaluation. */
    PAWL_CUDA_GRAPHS_BYTES = 3 * 100 * (10 << 10)
};
pawl_device_own pawl_cuda_own(void);

/* Of a product of 8-bit floats: codes of x and w, their scales and what leads to them, and the bias rounded. */
typedef struct pawl_cuda_fp8_room {
    uint8_t *x, *w;
    uint16_t *bias;
    uint32_t *of_blocks;
    struct pawl_fp8_scale *scale; /* [2] */
} pawl_cuda_fp8_room;
pawl_cuda_fp8_room pawl_cuda_fp8_lay_out(pawl_arena *a, int64_t x, int64_t w, int64_t bias);

/* Of the output head over N positions of width D and k soft targets: a chunk of logits, the kernel's, and a chunk's hidden states
 * gathered (of any type), then their gradients. */
typedef struct pawl_cuda_head_room {
    float *logits; /* [chunk, pawl_cuda_head_row]; of bf16, gradients take the first half of each row */
    void *kernel, *rows;
} pawl_cuda_head_room;
pawl_cuda_head_room pawl_cuda_head_lay_out(pawl_arena *a, int64_t N, int64_t V, int64_t D, int64_t k);

/* Of all ops together, one at a time; by_library: attention of bf16 is cuDNN's. */
size_t pawl_cuda_scratch_bytes(const pawl_shapes *most, int by_library);

/* How kernels cut their sums (norm.cu, columns.cu), and the head its positions. */
enum { PAWL_CUDA_COLUMN_CHUNK = 4096, PAWL_CUDA_NORM_SHORT = 512, PAWL_CUDA_NORM_RUNS_SHORT = 4096, PAWL_CUDA_NORM_RUNS_LONG = 512 };
int64_t pawl_cuda_head_chunk(int64_t positions, int64_t vocab);
/* Where positions are gathered its products are of a multiple of so many rows, which has few multiples below a chunk: few shapes, few plans. How
 * many rows there are in all for so many trained positions, or all positions where gathering is not worth it. The most of a chunk that
 * are gathered. */
int64_t pawl_cuda_head_step(int64_t positions, int64_t vocab);
int64_t pawl_cuda_head_computed(int64_t positions, int64_t vocab, int64_t trained);
int64_t pawl_cuda_head_gathered(int64_t positions, int64_t vocab);
/* Rows of logits begin on 32 bytes whatever the vocabulary (50257, say): kernels and products move 16 bytes at a time then. */
int64_t pawl_cuda_head_row(int64_t vocab);
/* Rows of each run of a norm's backward pass, over so many rows in all. */
int64_t pawl_cuda_norm_run(int64_t rows, int64_t width);

#ifdef __cplusplus
}
#endif
#endif
