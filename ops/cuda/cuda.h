/* ops/cuda/cuda.h - private to ops/cuda: the device of the CUDA backend, and what its files offer each other.
 *
 * One GPU, one stream: ops, uploads and downloads happen in the order of the calls. What is done aside, what is carried to and fro,
 * and snapshots have streams of their own. The host is ahead of the GPU by as much as the streams hold, and waits only for a download,
 * or when memory is given back: always by pawl_cuda_await or pawl_cuda_settle (aside.c), since a peer that is gone may leave a stream without an end. */
#ifndef PAWL_OPS_CUDA_CUDA_H
#define PAWL_OPS_CUDA_CUDA_H

#include <cuda_runtime.h>

#include "ops/backend.h"
#include "ops/cuda/gemm.h"
#include "ops/cuda/kernels.h"
#include "ops/cuda/scratch.h"
#include "ops/dynamic_rule.h"

/* Pinned memory through which everything goes up and down: a ring of pieces, each free again when its event has come. */
enum { PAWL_STAGED_PIECES = 64 };
typedef struct pawl_staging {
    char *base;
    size_t bytes, head;
    struct { size_t first, end; cudaEvent_t done; } piece[PAWL_STAGED_PIECES];
    unsigned oldest, newest; /* pieces [oldest, newest), counted without end, may be in use */
} pawl_staging;

/* What kernels are handed beside their arguments, in the GPU's memory. */
typedef struct pawl_cuda_constants {
    pawl_dynamic signed_levels, levels; /* of 8-bit moments */
    double two[2];                      /* adafactor's own */
    uint64_t drop_rows[2];              /* seed and first row of the dropouts of graphs (recorder.c) */
} pawl_cuda_constants;

typedef struct pawl_graphs pawl_graphs; /* graphs.h */

/* A direction of copies beside the order of the calls (carry.c). */
enum { PAWL_CARRIES = 8 };
typedef struct pawl_carry_lane {
    cudaStream_t stream;
    cudaEvent_t begun, done[PAWL_CARRIES]; /* done: of the latest carries, round and round */
    int64_t count;                         /* of carries so far */
} pawl_carry_lane;

/* A snapshot on its way (snapshot.c): a ring of pinned pieces, and what comes next. */
enum { PAWL_SNAPSHOT_PIECES = 8 };
typedef struct pawl_snapshot_way {
    cudaStream_t stream;
    cudaEvent_t begun[2]; /* what it comes after on either stream */
    char *base;
    struct { void *to; size_t bytes; cudaEvent_t here; } piece[PAWL_SNAPSHOT_PIECES];
    unsigned oldest, newest; /* pieces [oldest, newest), counted without end, are on their way */
    const pawl_load *loads;
    int64_t count, there; /* of loads; of those, on the device */
    int64_t load;         /* what comes next: bytes `at` of it and on */
    size_t at;
} pawl_snapshot_way;

typedef struct pawl_sdpa_plans pawl_sdpa_plans;
typedef struct pawl_cuda {
    pawl_device device; /* first */
    int gpu;
    struct cudaDeviceProp properties;
    cudaStream_t stream; /* where things are put: one of the next two */
    cudaStream_t main_stream, aside_stream;
    cudaEvent_t fork, rest, mark[PAWL_MARKS]; /* rest: when the host waits for all */
    int64_t ends, marked[PAWL_MARKS], awaited; /* of what is done aside: how many so far, at which a mark is, until which it was awaited */
    pawl_status (*ask)(void *self);           /* NULL: nobody is asked while the host waits */
    void *asked;
    pawl_plans *plans;
    pawl_sdpa_plans *sdpa_plans; /* of attention by cuDNN; NULL: by our own kernel alone */
    void *workspace; /* of products */
    pawl_cuda_constants *constants;
    pawl_arena scratch; /* carved anew by each op that needs any */
    pawl_staging staging;
    pawl_carry_lane carry[PAWL_CARRY_WAYS];
    pawl_snapshot_way snapshot;
    pawl_graphs *graphs; /* NULL: off */
    char description[128];
} pawl_cuda;

static inline pawl_cuda *pawl_cuda_of(pawl_device *d)
{
    return (pawl_cuda *)d;
}

static inline cudaStream_t pawl_stream_of(pawl_device *d)
{
    return ((pawl_cuda *)d)->stream;
}

/* EMEM for memory, EBUG for what else CUDA's runtime says. */
PAWL_MUST pawl_status pawl_cuda_status(cudaError_t code, const char *call);
/* What became of the kernels that op has launched, as far as is known. */
PAWL_MUST pawl_status pawl_cuda_launched(const char *op);
/* A scratch to be carved from the start; EBUG when more is needed than was reserved. */
PAWL_MUST pawl_status pawl_cuda_scratch(pawl_cuda *c, const char *op, size_t bytes, pawl_arena *out);

/* More scratch, where there is less. What it held is lost. Errors: EMEM. */
PAWL_MUST pawl_status pawl_cuda_grow(pawl_cuda *c, size_t bytes);
/* Says anew what computes. */
void pawl_cuda_describe(pawl_cuda *c);

/* Where number i of a tensor is. */
static inline void *pawl_cuda_at(pawl_tensor t, int64_t i)
{
    return (char *)t.data + i * (int64_t)pawl_dtype_bytes(t.dtype);
}

/* aside.c */
extern const pawl_aside pawl_cuda_aside;
PAWL_MUST pawl_status pawl_cuda_aside_open(pawl_cuda *c);
void pawl_cuda_aside_close(pawl_cuda *c);
/* The host waits for an event, or for all that is on the device's streams. Errors: EBUG; what who is asked says. settle is for memory
 * that is given back: whatever comes of it nothing is using it afterwards. */
PAWL_MUST pawl_status pawl_cuda_await(pawl_cuda *c, cudaEvent_t e);
PAWL_MUST pawl_status pawl_cuda_doze(pawl_cuda *c, int busy); /* asks, and waits a moment where there is nothing else to do */
void pawl_cuda_settle(pawl_cuda *c);
pawl_status wait_cuda(pawl_device *d);

/* memory.c */
PAWL_MUST pawl_status pawl_staging_open(pawl_staging *s);
void pawl_staging_close(pawl_staging *s);
pawl_status take_cuda(pawl_device *d, pawl_side_of side, size_t bytes, const char *what, void **out);
void give_cuda(pawl_device *d, pawl_side_of side, void *block, size_t bytes);
pawl_status upload_cuda(pawl_device *d, void *to_device, const void *from_host, size_t bytes);
pawl_status download_cuda(pawl_device *d, void *to_host, const void *from_device, size_t bytes);

/* carry.c */
PAWL_MUST pawl_status pawl_cuda_carry_open(pawl_cuda *c);
void pawl_cuda_carry_close(pawl_cuda *c);
PAWL_MUST pawl_status pawl_cuda_carry_settle(pawl_cuda *c); /* the host waits for all of them */
extern const pawl_carrier pawl_cuda_carrier;

/* snapshot.c */
PAWL_MUST pawl_status pawl_cuda_snapshot_open(pawl_cuda *c);
void pawl_cuda_snapshot_close(pawl_cuda *c);
int pawl_cuda_snapshot_is_due(const pawl_cuda *c); /* it is on its way */
/* Does of it what can be done without waiting, a piece or so at a time; *moved: whether that was anything. */
PAWL_MUST pawl_status pawl_cuda_snapshot_move(pawl_cuda *c, int *moved);
extern const pawl_snapper pawl_cuda_snapper;

/* rate.c */
double gemm_rate_cuda(pawl_device *d, pawl_dtype type);
double memory_rate_cuda(pawl_device *d);

/* linear.c */
pawl_status linear_cuda(pawl_device *d, pawl_tensor x, pawl_tensor w, pawl_tensor bias, pawl_put put, int64_t first, pawl_tensor y);
pawl_status linear_dx_cuda(pawl_device *d, pawl_tensor dy, int64_t first, pawl_tensor w, pawl_put put, pawl_tensor dx);
pawl_status linear_dw_cuda(pawl_device *d, pawl_tensor dy, int64_t first, pawl_tensor x, pawl_put put, pawl_tensor dw, pawl_tensor dbias);

pawl_status linear_activate_cuda(pawl_device *d, pawl_activation which, pawl_tensor x, pawl_tensor w, pawl_tensor bias, pawl_tensor z, pawl_tensor out);
pawl_status linear_activate_dx_cuda(pawl_device *d, pawl_activation which, pawl_tensor dy, pawl_tensor w, pawl_tensor z, pawl_tensor room,
                                    pawl_tensor dz);

/* fp8.c */
pawl_status fp8_cuda(pawl_device *d);
pawl_status linear_fp8_cuda(pawl_device *d, pawl_tensor x, pawl_tensor w, pawl_tensor bias, pawl_tensor y);

/* head.c */
pawl_status head_loss_cuda(pawl_device *d, const pawl_head *h);

/* cudnn_attention.c */
pawl_status attend_by_library_cuda(pawl_device *d);
/* Whether cuDNN is asked for a call of attention. */
int pawl_sdpa_takes(const pawl_cuda *c, const pawl_attend *a, pawl_tensor qkv);
void pawl_sdpa_plans_close(pawl_sdpa_plans *p);
void pawl_sdpa_plans_describe(const pawl_sdpa_plans *p, char *out, size_t room);
pawl_status attention_cuda(pawl_device *d, const pawl_attend *a, pawl_tensor qkv, pawl_tensor out, pawl_tensor lse);
pawl_status attention_backward_cuda(pawl_device *d, const pawl_attend *a, pawl_tensor dout, pawl_tensor qkv, pawl_tensor out, pawl_tensor lse,
                                    pawl_tensor dqkv);

/* entries.c: the ops that are a launch each */
extern const pawl_ops pawl_cuda_ops;

/* graphs.c */
pawl_status graphs_cuda(pawl_device *d, int on);
pawl_status block_begin_cuda(pawl_device *d);
pawl_status block_end_cuda(pawl_device *d);
/* To be called when what an op does with the same arguments changes: its scratch has moved, its plan is another. */
void pawl_graphs_forget(pawl_cuda *c);
void pawl_graphs_close(pawl_cuda *c);

/* device.c */
int tune_cuda(pawl_device *d, int on);
pawl_status algorithms_cuda(const pawl_device *d, pawl_text *out);
pawl_status choose_cuda(pawl_device *d, const char *table);
void close_cuda(pawl_device *d);
size_t scratch_bytes_cuda(const pawl_device *d, const pawl_shapes *most);
pawl_status reserve_cuda(pawl_device *d, const pawl_shapes *most);
pawl_device_own own_cuda(const pawl_device *d);
pawl_device_memory memory_cuda(pawl_device *d);
int threads_cuda(const pawl_device *d);
const char *describe_cuda(const pawl_device *d);
void *stream_cuda(pawl_device *d);
void parallel_cuda(pawl_device *d, int64_t count, void (*body)(void *self, int64_t i), void *self);

#endif
