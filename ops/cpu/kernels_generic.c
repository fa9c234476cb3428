#define ISA generic
#include "ops/cpu/kernels.inc"
