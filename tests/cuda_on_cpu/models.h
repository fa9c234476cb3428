/* tests/cuda_on_cpu/models.h - see models.cu. */
#ifndef PAWL_TESTS_CUDA_ON_CPU_MODELS_H
#define PAWL_TESTS_CUDA_ON_CPU_MODELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { MODEL_THREADS = 96 };

void model_reverse(const float *x, float *y);
void model_reverse_without_barrier(const float *x, float *y);
void model_twice(const float *x, float *y); /* y: sums of the opposite warp's x */
void model_twice_without_barrier(const float *x, float *y);
void model_two_barriers(void);
void model_barrier_after_return(void);
void model_lanes_that_do_not_come(int *y);
void model_barrier_against_lanes(int *y);
void model_reads_what_nobody_wrote(float *y); /* [MODEL_THREADS] */
void model_last_block_wins(float *y);
void model_launch_of(int64_t blocks, int threads, size_t shared); /* a kernel that has 1 KiB of its own, */
void model_large_launch_of(size_t shared);                        /* and one that has 17 */
void model_moves_sixteen(const float *x, float *y);               /* 16 bytes from x to y */
void model_lanes(int *y); /* [64], 1 where all is right */

#ifdef __cplusplus
}
#endif
#endif
