/* ops/cpu/kept.h - weights and moments of f32 or bf16, as the f32 that a step's loops work on. */
#ifndef PAWL_OPS_CPU_KEPT_H
#define PAWL_OPS_CPU_KEPT_H

#include "ops/cpu/cpu.h"
#include "ops/stochastic_rule.h"

enum { PAWL_KEPT_PIECE = 1024 }; /* numbers that are widened at a time, in a cache: whole blocks of chances and of 8-bit moments */

/* Numbers [at, at + count) of x, which may be NULL: themselves, or those of bf16 widened into room [PAWL_KEPT_PIECE]. */
float *pawl_kept_open(const pawl_kernels *k, void *x, pawl_dtype type, int64_t at, int64_t count, float *room);
/* And back, where they are bf16: number at + i is number as->first + at + i of the flat run. */
void pawl_kept_close(const pawl_kernels *k, const float *from, void *x, pawl_dtype type, int64_t at, int64_t count,
                     const pawl_kept_as *as, pawl_chance_of what);

#endif
