#define ISA avx2
#include "ops/cpu/kernels.inc"
