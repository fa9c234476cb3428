/* tests/cuda_on_cpu/shim.h - CUDA kernels on a CPU: what tests and a stand-in for the runtime see of it.
 *
 * A kernel is compiled by g++ (shim_cuda.h in front of it). Its blocks run one after another, each thread of a block a
 * fiber that runs until it waits: for the block, or for lanes of its warp. Blocks and threads go in an order drawn from a
 * seed, some warps far ahead of others; shared memory is poisoned (all bits set: floats are NaN, indices far away) before each block. What a GPU would hang
 * on or leave undefined is refused with a message: threads of a block at different barriers, or some of them ended; lanes
 * that are waited for and never come; lanes that meet at different operations. So is what no GPU does: more blocks, threads or shared
 * memory than there can be, shared memory that was not asked for, 16 bytes moved at an address off 16. For one OS thread at a time. */
#ifndef PAWL_TESTS_CUDA_ON_CPU_SHIM_H
#define PAWL_TESTS_CUDA_ON_CPU_SHIM_H

#include <stddef.h>
#include <stdint.h>

#include "ops/cuda/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A launch, with its arguments. */
typedef struct pawl_shim_work {
    const char *kernel; /* as the launch names it: "adamw_kernel<4>" */
    int64_t blocks;
    unsigned threads;
    size_t shared; /* bytes */
    void (*call)(const struct pawl_shim_work *w);
    void (*drop)(struct pawl_shim_work *w);
} pawl_shim_work;

/* Whoever sets this gets each launch instead of its being run at once, and has to run and drop it, once each. */
extern void (*pawl_shim_take)(pawl_stream stream, pawl_shim_work *w);
void pawl_shim_run(const pawl_shim_work *w);

/* The order of blocks and threads from now on; 0: as they are numbered. */
void pawl_shim_seed(uint64_t seed);

/* A refusal ends the program with its message on stderr; or, while expected, the kernel, and the message is kept. */
void pawl_shim_expect_refusal(int expected);
/* That message, once; NULL: nothing was refused. */
const char *pawl_shim_refusal(void);

/* The most threads that a block of a kernel has had. */
unsigned pawl_shim_most_threads(const char *kernel);
/* How often a kernel has run, by its name without template arguments; and all of the names, i from 0 on, NULL at the end. */
long pawl_shim_runs(const char *kernel);
const char *pawl_shim_kernel(int i);

/* --- for shim_cuda.h ---------------------------------------------------------------------------------------- */

void pawl_shim_submit(pawl_stream stream, pawl_shim_work *w);
/* The block's array of that declaration. */
void *pawl_shim_shared(const void *key, size_t bytes);
void *pawl_shim_dynamic(void);
void pawl_shim_misaligned(const void *at, unsigned bytes, const char *file, int line);
void pawl_shim_barrier(const char *file, int line);
typedef enum pawl_shim_op { PAWL_SHIM_SYNC, PAWL_SHIM_BALLOT, PAWL_SHIM_XOR, PAWL_SHIM_DOWN } pawl_shim_op;
/* Waits for the lanes of mask, and returns what op makes of their values for this one. */
uint64_t pawl_shim_warp(pawl_shim_op op, uint32_t mask, uint64_t value, int by, const char *file, int line);

typedef struct pawl_shim_dim {
    unsigned x;
} pawl_shim_dim;
extern pawl_shim_dim pawl_shim_thread, pawl_shim_block, pawl_shim_threads;

#ifdef __cplusplus
}
#endif
#endif
