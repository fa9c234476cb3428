/* Kernels that are wrong, and one that is right: what tests/cuda_on_cpu has to find, or to let pass. */
#include "ops/cuda/numbers.h"
#include "tests/cuda_on_cpu/models.h"

/* Each thread puts its number down, and takes up that of the thread opposite. */
template <bool BARRIER> static __global__ void reverse_kernel(const float *x, float *y)
{
    PAWL_SHARED(float, all, MODEL_THREADS);
    all[threadIdx.x] = x[threadIdx.x];
    if (BARRIER) __syncthreads();
    y[threadIdx.x] = all[blockDim.x - 1 - threadIdx.x];
}

void model_reverse(const float *x, float *y)
{
    PAWL_LAUNCH(reverse_kernel<true>, 1, MODEL_THREADS, 0, nullptr, x, y);
}

void model_reverse_without_barrier(const float *x, float *y)
{
    PAWL_LAUNCH(reverse_kernel<false>, 1, MODEL_THREADS, 0, nullptr, x, y);
}

/* The same array for two things: without the barrier between them a warp that is ahead writes over what others still read. */
template <bool BARRIER> static __global__ void twice_kernel(const float *x, float *y)
{
    PAWL_SHARED(float, all, MODEL_THREADS);
    all[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    const float first = pawl_warp_reduce<pawl_plus>(all[blockDim.x - 1 - threadIdx.x]);
    if (BARRIER) __syncthreads();
    all[threadIdx.x] = -1;
    y[threadIdx.x] = first;
}

void model_twice(const float *x, float *y)
{
    PAWL_LAUNCH(twice_kernel<true>, 1, MODEL_THREADS, 0, nullptr, x, y);
}

void model_twice_without_barrier(const float *x, float *y)
{
    PAWL_LAUNCH(twice_kernel<false>, 1, MODEL_THREADS, 0, nullptr, x, y);
}

static __global__ void one_side_kernel(unsigned half)
{
    if (threadIdx.x < half)
        __syncthreads();
    else
        __syncthreads();
}

void model_two_barriers(void)
{
    PAWL_LAUNCH(one_side_kernel, 1, MODEL_THREADS, 0, nullptr, MODEL_THREADS / 2);
}

static __global__ void leaves_kernel(unsigned who)
{
    if (threadIdx.x == who) return;
    __syncthreads();
}

void model_barrier_after_return(void)
{
    PAWL_LAUNCH(leaves_kernel, 1, MODEL_THREADS, 0, nullptr, 7);
}

static __global__ void lanes_kernel(int *y)
{
    if (threadIdx.x % PAWL_WARP < 16) *y = pawl_shfl_xor((int)threadIdx.x, 1);
}

void model_lanes_that_do_not_come(int *y)
{
    PAWL_LAUNCH(lanes_kernel, 1, MODEL_THREADS, 0, nullptr, y);
}

static __global__ void waits_kernel(int *y)
{
    if (pawl_warp() == 0 && pawl_lane() == 3)
        __syncthreads();
    else
        *y = (int)pawl_ballot(1);
}

void model_barrier_against_lanes(int *y)
{
    PAWL_LAUNCH(waits_kernel, 1, MODEL_THREADS, 0, nullptr, y);
}

static __global__ void reads_kernel(float *y)
{
    PAWL_SHARED(float, all, MODEL_THREADS);
    y[threadIdx.x] = all[threadIdx.x] + ((float *)pawl_dynamic_shared())[threadIdx.x];
}

void model_reads_what_nobody_wrote(float *y)
{
    PAWL_LAUNCH(reads_kernel, 1, MODEL_THREADS, MODEL_THREADS * sizeof(float), nullptr, y);
}

static __global__ void last_kernel(float *y)
{
    *y = (float)blockIdx.x;
}

void model_last_block_wins(float *y)
{
    PAWL_LAUNCH(last_kernel, 8, MODEL_THREADS, 0, nullptr, y);
}

template <int KIB> static __global__ void has_array_kernel(int at)
{
    PAWL_SHARED(float, all, 256 * KIB);
    all[(int)threadIdx.x % 256 + at] = 0;
}

void model_launch_of(int64_t blocks, int threads, size_t shared)
{
    PAWL_LAUNCH(has_array_kernel<1>, blocks, threads, shared, nullptr, 0);
}

void model_large_launch_of(size_t shared)
{
    PAWL_LAUNCH(has_array_kernel<17>, 1, 32, shared, nullptr, 0);
}

static __global__ void sixteen_kernel(const float *x, float *y)
{
    give(y, 0, 4, take<4>(x, 0, 4));
}

void model_moves_sixteen(const float *x, float *y)
{
    PAWL_LAUNCH(sixteen_kernel, 1, 1, 0, nullptr, x, y);
}

/* What lanes have to tell each other, against sums by hand: of 64 threads' numbers 0, 1, 2, ... */
static __global__ void lanes_agree_kernel(int *y)
{
    const int i = (int)threadIdx.x, sum = pawl_warp_reduce<pawl_plus>(i), all = pawl_block_reduce<2, pawl_plus>(i),
              most = pawl_block_reduce<2, pawl_greater>(i), below = pawl_shfl_down(i, 1);
    const uint32_t odd = pawl_ballot(i % 2);
    pawl_warp_barrier();
    y[i] = sum == 496 + 1024 * (i / 32) && all == 2016 && most == 63 && odd == 0xaaaaaaaau && below == i + (i % 32 < 31);
}

void model_lanes(int *y)
{
    PAWL_LAUNCH(lanes_agree_kernel, 1, 64, 0, nullptr, y);
}
