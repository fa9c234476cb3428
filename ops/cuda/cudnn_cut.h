/* ops/cuda/cudnn_cut.h - private to ops/cuda: calls of attention as cuDNN is given them, and the scratch they take (cudnn_cut.c). */
#ifndef PAWL_OPS_CUDA_CUDNN_CUT_H
#define PAWL_OPS_CUDA_CUDNN_CUT_H

#include "ops/ops.h"

/* A call: some sequences, of some heads, of a fused qkv [N, (all_heads + 2 all_kv_heads) head_dim] in bf16. Every member is a number of
 * 8 bytes: two are the same when their bytes are. */
typedef struct pawl_sdpa {
    int64_t backward;
    int64_t packed; /* 0: the sequences are rows of `tokens`. 1: they begin where offsets say, and are of any length up to that */
    int64_t sequences, tokens, heads, kv_heads, head_dim;
    int64_t all_heads, all_kv_heads;
    int64_t window; /* keys that a query sees, itself among them; 0: all before it */
} pawl_sdpa;

/* Bytes of workspace that a backward call may ask for; parts of a call stay below, where that can be. Tests lower it. */
extern int64_t pawl_cuda_attention_most; /* cuda_part.c: the program's */

/* All sequences of a call, and all of its heads; and what the backward pass is given at a time: fewer sequences, and of one fewer heads. */
pawl_sdpa pawl_sdpa_of(const pawl_attend *a);
pawl_sdpa pawl_sdpa_backward_part(const pawl_sdpa *whole);

/* As many bytes of workspace as a plan needs at most, as far as is known before there is one: cuDNN 9.19 on Hopper keeps all gradients of
 * scores in memory, in bf16, to add them in a fixed order (tests/cudnn_support.c compares). */
int64_t pawl_sdpa_workspace_bytes(const pawl_sdpa *s);
int64_t pawl_sdpa_sums_bytes(const pawl_sdpa *s); /* of PAWL_SDPA_SUMS */

/* The scratch of a call: where sequences are, of packed ones: four arrays of i32, of each part pawl_sdpa_numbers; sums; workspace. */
typedef struct pawl_sdpa_room {
    int32_t *lengths, *qkv_at, *out_at, *stats_at;
    void *sums, *workspace;
    size_t bytes; /* of all */
} pawl_sdpa_room;
int64_t pawl_sdpa_numbers(const pawl_sdpa *s);
pawl_sdpa_room pawl_sdpa_lay_out(void *base, const pawl_sdpa *s, int64_t parts, int64_t workspace);
size_t pawl_sdpa_room_bytes(const pawl_sdpa *s, int64_t parts, int64_t workspace);
/* Of every call of such shapes. */
size_t pawl_sdpa_scratch_bytes(const pawl_shapes *most);

#endif
