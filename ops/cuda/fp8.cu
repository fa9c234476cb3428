/* From bf16 to E4M3: the greatest magnitude of a tensor, the scale that it asks for, and the codes. The scale stays in device memory, where
 * the product reads it. */
#include "ops/fp8_rule.h"

#include "ops/cuda/numbers.h"

/* A thread takes eight numbers at a time, and again `stride` numbers further on. */
static __global__ void fp8_greatest_kernel(const bf16 *x, int64_t count, int64_t stride, uint32_t *of_blocks)
{
    int most = 0;
    for (int64_t i = first_of<8>(); i < count; i += stride) {
        const some<8> s = take<8>(x, i, count);
        for (int j = 0; j < 8; j++) {
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

static __global__ void fp8_codes_kernel(const bf16 *x, int64_t count, const pawl_fp8_scale *scale, uint8_t *codes)
{
    const int64_t i = first_of<8>();
    if (i >= count) return;
    const float to = scale->to;
    const some<8> s = take<8>(x, i, count);
    if (i + 8 <= count) {
        eight q = {{0, 0}};
        for (int j = 0; j < 8; j++) q.word[j / 4] |= (uint32_t)pawl_e4m3_rule(s.x[j] * to) << 8 * (j % 4);
        *(eight *)(codes + i) = q;
    } else {
        for (int j = 0; i + j < count; j++) codes[i + j] = pawl_e4m3_rule(s.x[j] * to);
    }
}

void pawl_cuda_fp8(pawl_stream s, const void *x, int64_t count, uint32_t *of_blocks, pawl_fp8_scale *scale, uint8_t *codes)
{
    const int64_t most = PAWL_CUDA_FP8_BLOCKS, enough = blocks_of(count, 8 * PAWL_THREADS), blocks = enough < most ? enough : most;
    PAWL_LAUNCH(fp8_greatest_kernel, blocks, PAWL_THREADS, 0, s, (const bf16 *)x, count, blocks * PAWL_THREADS * 8, of_blocks);
    PAWL_LAUNCH(fp8_scale_kernel, 1, PAWL_THREADS, 0, s, of_blocks, (int)blocks, scale);
    PAWL_LAUNCH(fp8_codes_kernel, enough, PAWL_THREADS, 0, s, (const bf16 *)x, count, scale, codes);
}
