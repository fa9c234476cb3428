/* tests/cuda_on_cpu/shim_cuda.h - what g++ reads before a kernel's source: CUDA's words that ops/cuda uses, in terms of
 * shim.h. */
#ifndef PAWL_TESTS_CUDA_ON_CPU_SHIM_CUDA_H
#define PAWL_TESTS_CUDA_ON_CPU_SHIM_CUDA_H

#define PAWL_CUDA_SHIM 1

#include <string.h>
#include <tuple>
#include <type_traits>

#include "tests/cuda_on_cpu/shim.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)

#define threadIdx pawl_shim_thread
#define blockIdx  pawl_shim_block
#define blockDim  pawl_shim_threads

#define __syncthreads()                      pawl_shim_barrier(__FILE__, __LINE__)
#define __syncwarp(mask)                     ((void)pawl_shim_warp(PAWL_SHIM_SYNC, mask, 0, 0, __FILE__, __LINE__))
#define __ballot_sync(mask, condition)       ((uint32_t)pawl_shim_warp(PAWL_SHIM_BALLOT, mask, (condition) != 0, 0, __FILE__, __LINE__))
#define __shfl_xor_sync(mask, value, lane)   pawl_shim_shuffle(PAWL_SHIM_XOR, mask, value, lane, __FILE__, __LINE__)
#define __shfl_down_sync(mask, value, lanes) pawl_shim_shuffle(PAWL_SHIM_DOWN, mask, value, lanes, __FILE__, __LINE__)
#define __popc(word)                         __builtin_popcount(word)

template <class T> static inline T pawl_shim_shuffle(pawl_shim_op op, uint32_t mask, T value, int by, const char *file, int line)
{
    static_assert(sizeof(T) <= 8 && std::is_trivially_copyable<T>::value, "lanes exchange up to 8 bytes");
    uint64_t word = 0;
    memcpy(&word, &value, sizeof value);
    word = pawl_shim_warp(op, mask, word, by, file, line);
    memcpy(&value, &word, sizeof value);
    return value;
}

/* One thread at a time runs on one CPU: an addition is whole. */
static inline int atomicAdd(int *at, int by)
{
    const int before = *at;
    *at += by;
    return before;
}

#define PAWL_SHARED(type, name, count)                                                                                 \
    static const char name##_key = 0;                                                                                  \
    type(&name)[count] = *(type(*)[count])pawl_shim_shared(&name##_key, sizeof(type) * (count))

#define PAWL_ALIGNED(at, bytes) pawl_shim_aligned(at, bytes, __FILE__, __LINE__)

template <class T> static inline T *pawl_shim_aligned(T *at, unsigned bytes, const char *file, int line)
{
    if ((uintptr_t)at % bytes) pawl_shim_misaligned(at, bytes, file, line);
    return at;
}

#define PAWL_UNROLL(turns)

static inline void *pawl_dynamic_shared(void)
{
    return pawl_shim_dynamic();
}

template <class... Parameters> struct pawl_shim_call : pawl_shim_work {
    void (*run)(Parameters...);
    std::tuple<Parameters...> arguments;
};

template <class... Parameters, class... Arguments>
static void pawl_launch(const char *name, void (*kernel)(Parameters...), int64_t blocks, int threads, size_t shared,
                        pawl_stream stream, Arguments... arguments)
{
    typedef pawl_shim_call<Parameters...> call;
    if (blocks == 0) return;
    call *w = new call{{name, blocks, (unsigned)threads, shared, nullptr, nullptr}, kernel, {arguments...}};
    w->call = [](const pawl_shim_work *c) { std::apply(((const call *)c)->run, ((const call *)c)->arguments); };
    w->drop = [](pawl_shim_work *c) { delete (call *)c; };
    pawl_shim_submit(stream, w);
}

#define PAWL_LAUNCH(kernel, blocks, threads, shared, stream, ...) \
    pawl_launch(#kernel, kernel, blocks, threads, shared, stream, __VA_ARGS__)

#endif
