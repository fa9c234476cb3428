/* ops/cuda/launch.h - private to ops/cuda: how a kernel is started, its shared memory, and what the lanes of a warp tell
 * each other. Kernels use these and CUDA's own names for indices and barriers, nothing else of CUDA: so the same source is
 * compiled by nvcc, and by g++ with tests/cuda_on_cpu/shim_cuda.h in front (decision 0041). */
#ifndef PAWL_OPS_CUDA_LAUNCH_H
#define PAWL_OPS_CUDA_LAUNCH_H

#include <stddef.h>
#include <stdint.h>

#include "ops/cuda/kernels.h"

#if defined(__CUDACC__)
#include <cuda_runtime.h>

/* Blocks and threads are counted in one dimension. No blocks: nothing is done. A launch that fails is known by cudaGetLastError, as is
 * one of more blocks or shared memory than there can be: it is not begun. */
template <class... Parameters, class... Arguments>
static inline void pawl_launch(void (*kernel)(Parameters...), int64_t blocks, int threads, size_t shared, pawl_stream stream,
                               Arguments... arguments)
{
    if (blocks == 0) return;
    if (shared > PAWL_SHARED_UNASKED &&
        cudaFuncSetAttribute((const void *)kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared) != cudaSuccess)
        return;
    kernel<<<blocks < UINT32_MAX ? (unsigned)blocks : UINT32_MAX, (unsigned)threads, shared, stream>>>(arguments...);
}

/* Kernels of more than one template argument stand in parentheses. */
#define PAWL_LAUNCH(kernel, blocks, threads, shared, stream, ...) \
    pawl_launch(kernel, blocks, threads, shared, stream, __VA_ARGS__)

/* An array that the threads of a block share. */
#define PAWL_SHARED(type, name, count) __shared__ type name[count]

/* A place that is read or written so many bytes at a time. */
#define PAWL_ALIGNED(at, bytes) (at)

/* Before a loop: so many turns of it at a time, where that is left to the compiler too many registers are asked for. */
#define PAWL_UNROLL_(text) _Pragma(#text)
#define PAWL_UNROLL(turns) PAWL_UNROLL_(unroll turns)

/* As many bytes as the launch said, on 16. */
static __device__ __forceinline__ void *pawl_dynamic_shared(void)
{
    extern __shared__ __align__(16) unsigned char pawl_dynamic_bytes[];
    return pawl_dynamic_bytes;
}
#elif !defined(PAWL_CUDA_SHIM)
#error "kernels are compiled by nvcc, or by g++ with tests/cuda_on_cpu/shim_cuda.h in front of them"
#endif

enum { PAWL_WARP = 32, PAWL_THREADS = 256 }; /* lanes of a warp; threads of a block where nothing speaks against it */

/* All 32 lanes take part in each of these. */
template <class T> static __device__ __forceinline__ T pawl_shfl_xor(T x, int lane)
{
    return __shfl_xor_sync(0xffffffffu, x, lane);
}

template <class T> static __device__ __forceinline__ T pawl_shfl_down(T x, int lanes)
{
    return __shfl_down_sync(0xffffffffu, x, lanes);
}

/* Bit l is set where lane l's condition holds. */
static __device__ __forceinline__ uint32_t pawl_ballot(int condition)
{
    return __ballot_sync(0xffffffffu, condition);
}

static __device__ __forceinline__ void pawl_warp_barrier(void)
{
    __syncwarp(0xffffffffu);
}

static __device__ __forceinline__ int pawl_lane(void)
{
    return (int)(threadIdx.x % PAWL_WARP);
}

static __device__ __forceinline__ int pawl_warp(void)
{
    return (int)(threadIdx.x / PAWL_WARP);
}

/* What is combined must not care which of two comes first; so all lanes get the same bits. */
struct pawl_plus {
    template <class T> static __device__ __forceinline__ T of(T a, T b) { return a + b; }
};
struct pawl_greater {
    template <class T> static __device__ __forceinline__ T of(T a, T b) { return a > b ? a : b; }
};

template <class Op, class T> static __device__ __forceinline__ T pawl_warp_reduce(T x)
{
    for (int lane = PAWL_WARP / 2; lane > 0; lane /= 2) x = Op::of(x, pawl_shfl_xor(x, lane));
    return x;
}

/* Over a block of WARPS whole warps, in a fixed tree; every thread gets the result. Its barriers also separate what lies
 * before from what lies behind. */
template <int WARPS, class Op, class T> static __device__ __forceinline__ T pawl_block_reduce(T x)
{
    x = pawl_warp_reduce<Op>(x);
    if (WARPS == 1) return x;
    PAWL_SHARED(T, of_warps, WARPS);
    __syncthreads();
    if (pawl_lane() == 0) of_warps[pawl_warp()] = x;
    __syncthreads();
    T all[WARPS];
    for (int w = 0; w < WARPS; w++) all[w] = of_warps[w];
    for (int half = WARPS / 2; half > 0; half /= 2)
        for (int w = 0; w < half; w++) all[w] = Op::of(all[w], all[w + half]);
    return all[0];
}

#endif
