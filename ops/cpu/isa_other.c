#include <string.h>

#include "ops/cpu/kernels.h"

/* Off x86-64 the compiler's baseline is all there is; the names of the others exist so that a run says why it stops. */
const pawl_kernels *pawl_kernels_find(const char *isa, int *runs)
{
    const int known = strcmp(isa, "auto") == 0 || strcmp(isa, "generic") == 0;
    *runs = known;
    return known || strcmp(isa, "avx2") == 0 || strcmp(isa, "avx512") == 0 ? &pawl_kernels_generic : NULL;
}
