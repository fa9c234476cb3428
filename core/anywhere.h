/* core/anywhere.h - a function, or a table of constants, that the C, the C++ and the CUDA compiler compile alike, for the
 * host and for a device. */
#ifndef PAWL_CORE_ANYWHERE_H
#define PAWL_CORE_ANYWHERE_H

#ifdef __CUDACC__
#define PAWL_ANYWHERE static __host__ __device__ __forceinline__
#else
#define PAWL_ANYWHERE static inline __attribute__((always_inline, unused))
#endif

#ifdef __CUDA_ARCH__
#define PAWL_ANYWHERE_TABLE static __device__ const
#else
#define PAWL_ANYWHERE_TABLE static const
#endif

#endif
