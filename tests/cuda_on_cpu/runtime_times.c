/* The runtime's stand-in: how long things took, drawn from a seed (PAWL_STANDIN_TIMES), so that who chooses by time
 * chooses the same in every run with that seed, and perhaps another in one with another; or as a list says
 * (PAWL_STANDIN_TIMES=1,0.9,...), over and over. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cuda_on_cpu/runtime.h"

static float next_of(const char *list)
{
    static char all[1024];
    static const char *at;
    char *end;
    if (strcmp(all, list) != 0) {
        snprintf(all, sizeof all, "%s", list);
        at = all;
    }
    const float x = strtof(at, &end);
    at = *end == ',' ? end + 1 : all;
    return x;
}

float standin_duration(void)
{
    static uint64_t asked;
    const char *seed = getenv("PAWL_STANDIN_TIMES");
    if (seed && strchr(seed, ',')) return next_of(seed);
    uint64_t x = (seed ? strtoull(seed, NULL, 10) : 0) * 0x9e3779b97f4a7c15u + ++asked; /* splitmix64 */
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return 0.5f + (float)((x ^ (x >> 31)) >> 40) * 0x1p-24f;
}
