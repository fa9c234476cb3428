/* The runtime's stand-in: how long things took, drawn from a seed (PAWL_STANDIN_TIMES), so that who chooses by time
 * chooses the same in every run with that seed, and perhaps another in one with another. */
#include <stdlib.h>

#include "tests/cuda_on_cpu/runtime.h"

float standin_duration(void)
{
    static uint64_t asked;
    const char *seed = getenv("PAWL_STANDIN_TIMES");
    uint64_t x = (seed ? strtoull(seed, NULL, 10) : 0) * 0x9e3779b97f4a7c15u + ++asked; /* splitmix64 */
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return 0.5f + (float)((x ^ (x >> 31)) >> 40) * 0x1p-24f;
}
