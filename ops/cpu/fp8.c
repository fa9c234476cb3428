/* Products of 8-bit floats where there are no units for them: both operands are rounded to E4M3 and brought back into bf16, which holds
 * them exactly, and multiplied in bf16. So a run learns what it would on a GPU; it takes more time than bf16 alone, not less. */
#include "ops/cpu/cpu.h"
#include "ops/fp8_rule.h"

enum { BLOCK = 1 << 14 };

typedef struct rounding {
    const pawl_kernels *kernels;
    const uint16_t *x;
    uint16_t *y;
    int64_t count;
    uint32_t *greatest; /* of each block */
    pawl_fp8_scale scale;
} rounding;

typedef struct room {
    uint16_t *x, *w;
    uint32_t *greatest;
} room;

static room lay_out(pawl_arena *a, int64_t x, int64_t w)
{
    room r;
    r.x = pawl_take_bytes(a, (size_t)x * sizeof *r.x);
    r.w = pawl_take_bytes(a, (size_t)w * sizeof *r.w);
    r.greatest = pawl_take_bytes(a, (size_t)pawl_blocks(x > w ? x : w, BLOCK) * sizeof *r.greatest);
    return r;
}

size_t pawl_cpu_fp8_scratch_bytes(const pawl_shapes *most)
{
    pawl_arena a = {0};
    if (most->fp8) (void)lay_out(&a, pawl_fp8_inputs(most), pawl_fp8_weights(most));
    return a.used;
}

static void find_greatest(void *self, int64_t i, int thread)
{
    (void)thread;
    const rounding *r = self;
    r->greatest[i] = r->kernels->greatest_bf16(r->x + i * BLOCK, pawl_block_size(r->count, BLOCK, i));
}

static void round_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const rounding *r = self;
    r->kernels->round_e4m3(r->x + i * BLOCK, r->y + i * BLOCK, pawl_block_size(r->count, BLOCK, i), r->scale);
}

static pawl_tensor rounded(pawl_cpu *cpu, pawl_tensor x, uint16_t *to, uint32_t *greatest)
{
    rounding r = {.kernels = cpu->kernels, .x = x.data, .y = to, .count = pawl_tensor_count(x), .greatest = greatest};
    const int64_t blocks = pawl_blocks(r.count, BLOCK);
    uint32_t most = 0;
    pawl_pool_run(cpu->pool, blocks, find_greatest, &r);
    for (int64_t i = 0; i < blocks; i++) most = greatest[i] > most ? greatest[i] : most;
    r.scale = pawl_fp8_scale_rule(most);
    pawl_pool_run(cpu->pool, blocks, round_block, &r);
    x.data = to;
    return x;
}

pawl_status linear_fp8_cpu(pawl_device *d, pawl_tensor x, pawl_tensor w, pawl_tensor bias, pawl_tensor y)
{
    pawl_cpu *cpu = pawl_cpu_of(d);
    pawl_arena need = {0}, scratch;
    (void)lay_out(&need, pawl_tensor_count(x), pawl_tensor_count(w));
    PAWL_TRY(pawl_cpu_scratch(cpu, "linear_fp8", need.used, &scratch));
    const room r = lay_out(&scratch, pawl_tensor_count(x), pawl_tensor_count(w));
    const pawl_tensor low_x = rounded(cpu, x, r.x, r.greatest), low_w = rounded(cpu, w, r.w, r.greatest);
    return linear_cpu(d, low_x, low_w, bias, PAWL_SET, 0, y);
}
