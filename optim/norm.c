/* The norm of a gradient that may lie in ranges on many ranks: sums of fixed blocks of each tensor, joined in the order
 * of tensors. Where a range may be cut inside a tensor it is at the edge of a block, so the blocks are the same for any
 * ranges. */
#include <math.h>

#include "optim/rules.h"

static int64_t blocks_of(int64_t count)
{
    return (count + PAWL_SUM_BLOCK - 1) / PAWL_SUM_BLOCK;
}

int64_t pawl_norm_blocks(const pawl_extent *parts, int part_count, int64_t first, int64_t end)
{
    int64_t blocks = 0;
    for (int i = 0; i < part_count; i++) {
        const int64_t from = first > parts[i].first ? first - parts[i].first : 0;
        const int64_t to = end - parts[i].first < parts[i].count ? end - parts[i].first : parts[i].count;
        if (from < to) blocks += blocks_of(to - from);
    }
    return blocks;
}

pawl_status pawl_norm_squares(pawl_optim *o, const float *grads, double *blocks)
{
    double *const there = pawl_device_shares_memory(o->device) ? blocks : o->blocks, *at = there;
    for (int i = 0; i < o->part_count; i++) {
        const pawl_piece *p = &o->pieces[i];
        if (p->count == 0) continue;
        PAWL_TRY(pawl_sum_squares(o->device, grads + (p->of->first + p->first - o->first), p->count, at));
        at += blocks_of(p->count);
    }
    return pawl_download(o->device, blocks, there, (size_t)(at - there) * sizeof *at);
}

double pawl_blocks_join(const pawl_extent *parts, int part_count, const double *blocks)
{
    double sum = 0;
    for (int i = 0; i < part_count; i++) {
        double tensor = 0;
        for (int64_t b = blocks_of(parts[i].count); b > 0; b--) tensor += *blocks++;
        sum += tensor;
    }
    return sum;
}

double pawl_norm_join(const pawl_extent *parts, int part_count, const double *blocks)
{
    return sqrt(pawl_blocks_join(parts, part_count, blocks));
}

pawl_status pawl_grad_norm(pawl_optim *o, const float *grads, double *norm)
{
    PAWL_CHECK(pawl_norm_blocks(o->parts, o->part_count, o->first, o->end) ==
                   pawl_norm_blocks(o->parts, o->part_count, 0, INT64_MAX),
               PAWL_EBUG, "the norm of a whole gradient, from a part of it");
    PAWL_TRY(pawl_norm_squares(o, grads, o->blocks_here));
    *norm = pawl_norm_join(o->parts, o->part_count, o->blocks_here);
    return PAWL_OK;
}
