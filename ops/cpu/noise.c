/* Noise on embeddings; see ops/ops.h. Positions are shared out in blocks. */
#include "ops/noise_rule.h"

#include "core/rng.h"
#include "ops/cpu/cpu.h"

typedef struct call {
    const pawl_noise *how;
    float *x;
    int64_t N, D;
} call;

static void add_to_position(const call *c, int64_t n)
{
    const pawl_noise *how = c->how;
    const int64_t row = n / how->tokens, t = n % how->tokens;
    float *x = c->x + n * c->D;
    if (t >= how->lengths[row]) return;
    const float size = pawl_noise_size(how->alpha, (double)how->lengths[row], (double)c->D);
    pawl_random words = {{0}};
    uint64_t at = UINT64_MAX;
    for (int64_t i = 0; i < c->D; i++) {
        const uint64_t element = (uint64_t)(t * c->D + i);
        if (element / 4 != at) {
            at = element / 4;
            words = pawl_random_at(how->seed, PAWL_FOR_NEFTUNE, (uint64_t)(how->first_row + row), at);
        }
        x[i] += pawl_noise_rule(pawl_uniform(words.word[element % 4]), size);
    }
}

static void add_to_block(void *self, int64_t i, int thread)
{
    (void)thread;
    const call *c = self;
    for (int64_t n = i * PAWL_ROW_BLOCK; n < i * PAWL_ROW_BLOCK + pawl_block_size(c->N, PAWL_ROW_BLOCK, i); n++)
        add_to_position(c, n);
}

pawl_status add_noise_cpu(pawl_device *d, const pawl_noise *how, pawl_tensor x)
{
    const int64_t D = x.dim[x.ndim - 1];
    call c = {.how = how, .x = x.data, .N = pawl_tensor_count(x) / D, .D = D};
    pawl_pool_run(pawl_cpu_of(d)->pool, pawl_blocks(c.N, PAWL_ROW_BLOCK), add_to_block, &c);
    return PAWL_OK;
}
