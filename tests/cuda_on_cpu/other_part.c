/* A CUDA backend of another commit: the same version, a table as large, other headers. */
#include <stdlib.h>

#include "ops/backend.h"

static pawl_status never_count(int *gpus)
{
    (void)gpus;
    abort();
}

static pawl_status never_open(int gpu, pawl_device **out)
{
    (void)gpu, (void)out;
    abort();
}

const pawl_cuda_exports pawl_cuda_part_0123456789abcdef = {.count = never_count, .open = never_open};
