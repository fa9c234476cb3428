#include <string.h>

#include "core/rng.h"
#include "model/decoder.h"

/* Four numbers to a counter value, so that element i is a function of (seed, tensor, i) alone. */
static void fill_normal(float *to, int64_t count, float deviation, uint64_t seed, uint64_t tensor)
{
    for (int64_t i = 0; i < count; i += 4) {
        const pawl_random r = pawl_random_at(seed, PAWL_FOR_INIT, tensor, (uint64_t)(i / 4));
        float x[4];
        pawl_normal(r.word[0], r.word[1], x);
        pawl_normal(r.word[2], r.word[3], x + 2);
        for (int64_t k = 0; k < 4 && i + k < count; k++) to[i + k] = deviation * x[k];
    }
}

pawl_status pawl_initial_read(void *initial, int tensor, float *to)
{
    const pawl_model *m = ((const pawl_initial *)initial)->m;
    const int64_t count = m->extents[tensor].count;
    const pawl_start start = m->weights[tensor].start;
    if (start == PAWL_NORMAL)
        fill_normal(to, count, (float)m->config.initializer_range, ((const pawl_initial *)initial)->seed, (uint64_t)tensor);
    else
        for (int64_t i = 0; i < count; i++) to[i] = start == PAWL_ONES ? 1.0f : 0.0f;
    return PAWL_OK;
}

void pawl_model_init(const pawl_model *m, uint64_t seed, float *flat)
{
    pawl_initial initial = {m, seed};
    memset(flat, 0, (size_t)m->flat * sizeof *flat);
    for (int t = 0; t < m->count; t++) PAWL_ASSERT(pawl_initial_read(&initial, t, flat + m->extents[t].first) == PAWL_OK);
}
