#include "ops/cpu/kept.h"

float *pawl_kept_open(const pawl_kernels *k, void *x, pawl_dtype type, int64_t at, int64_t count, float *room)
{
    if (!x) return NULL;
    if (type == PAWL_F32) return (float *)x + at;
    k->widen((const uint16_t *)x + at, room, count);
    return room;
}

void pawl_kept_close(const pawl_kernels *k, const float *from, void *x, pawl_dtype type, int64_t at, int64_t count,
                     const pawl_kept_as *as, pawl_chance_of what)
{
    if (!x || type == PAWL_F32) return;
    const pawl_chances chances = {as->seed, as->step, (uint64_t)(as->first + at), what};
    k->narrow_by_chance(from, (uint16_t *)x + at, count, &chances);
}
