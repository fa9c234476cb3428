/* From bf16 to E4M3: the greatest magnitude of a tensor, the scale that it asks for, and the codes. The scale stays in device memory, where
 * the product reads it. */
#include "ops/fp8_rule.h"

#include "ops/cuda/numbers.h"

/* A thread takes V numbers at a time, and again `stride` numbers further on. V is 8, or 1 where x does not begin on 16 bytes. */
template <int V> static __global__ void fp8_greatest_kernel(const bf16 *x, int64_t count, int64_t stride, uint32_t *of_blocks)
{
    int most = 0;
    for (int64_t i = first_of<V>(); i < count; i += stride) {
        const some<V> s = take<V>(x, i, count);
        for (int j = 0; j < V; j++) {
            const int a = (int)(pawl_float_bits(s.x[j]) & 0x7fffffffu);
            most = a > most ? a : most;
        }
    }
    most = pawl_block_reduce<PAWL_THREADS / PAWL_WARP, pawl_greater>(most);
    if (threadIdx.x == 0) of_blocks[blockIdx.x] = (uint32_t)most;
}

/* One block. */
static __global__ void fp8_scale_kernel(const uint32_t *of_blocks, int blocks, pawl_fp8_scale *scale)
{
    int most = 0;
    for (int i = (int)threadIdx.x; i < blocks; i += PAWL_THREADS) most = pawl_greater::of(most, (int)of_blocks[i]);
    most = pawl_block_reduce<PAWL_THREADS / PAWL_WARP, pawl_greater>(most);
    if (threadIdx.x == 0) *scale = pawl_fp8_scale_rule((uint32_t)most);
}

struct __attribute__((aligned(8), may_alias)) eight {
    uint32_t word[2];
};

template <int V> static __global__ void fp8_codes_kernel(const bf16 *x, int64_t count, const pawl_fp8_scale *scale, uint8_t *codes)
{
    const int64_t i = first_of<V>();
    if (i >= count) return;
    const float to = scale->to;
    const some<V> s = take<V>(x, i, count);
    if (V == 8 && i + V <= count) {
        eight q = {{0, 0}};
        for (int j = 0; j < V; j++) q.word[j / 4 % 2] |= (uint32_t)pawl_e4m3_rule(s.x[j] * to) << 8 * (j % 4);
        *(eight *)PAWL_ALIGNED(codes + i, 8) = q;
    } else {
        for (int j = 0; j < V && i + j < count; j++) codes[i + j] = pawl_e4m3_rule(s.x[j] * to);
    }
}

template <int V>
static void to_codes(pawl_stream s, const bf16 *x, int64_t count, uint32_t *of_blocks, pawl_fp8_scale *scale, uint8_t *codes)
{
    const int64_t most = PAWL_CUDA_FP8_BLOCKS, enough = blocks_of(count, V * PAWL_THREADS), blocks = enough < most ? enough : most;
    PAWL_LAUNCH(fp8_greatest_kernel<V>, blocks, PAWL_THREADS, 0, s, x, count, blocks * PAWL_THREADS * V, of_blocks);
    PAWL_LAUNCH(fp8_scale_kernel, 1, PAWL_THREADS, 0, s, of_blocks, (int)blocks, scale);
    PAWL_LAUNCH(fp8_codes_kernel<V>, enough, PAWL_THREADS, 0, s, x, count, scale, codes);
}

void pawl_cuda_fp8(pawl_stream s, const void *x, int64_t count, uint32_t *of_blocks, pawl_fp8_scale *scale, uint8_t *codes)
{
    if (on_sixteen(x) && (uintptr_t)codes % 8 == 0)
        to_codes<8>(s, (const bf16 *)x, count, of_blocks, scale, codes);
    else
        to_codes<1>(s, (const bf16 *)x, count, of_blocks, scale, codes);
}
