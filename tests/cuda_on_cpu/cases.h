/* tests/cuda_on_cpu/cases.h - the cases of each file, and what those over flat arrays share. */
#ifndef PAWL_TESTS_CUDA_ON_CPU_CASES_H
#define PAWL_TESTS_CUDA_ON_CPU_CASES_H

#include "tests/cuda_on_cpu/kernel_check.h"

/* The last one is all NULL. */
extern const struct CMUnitTest shim_tests[], elementwise_tests[], optimizer_tests[], norm_tests[], column_tests[],
    embedding_tests[], quant_tests[], sum_tests[], attention_tests[], head_tests[];

/* Numbers of flat arrays: none, one, about a warp, about a block of threads that take four each. */
static const int64_t counts[] = {0, 1, 3, 31, 257, 1023, 1025, 5000};
enum { COUNTS = sizeof counts / sizeof *counts };

/* Each of them, on 16 bytes and off it. */
#define EVERY_COUNT(n)                                                                                                 \
    for (int i_ = 0; i_ < COUNTS; i_++)                                                                                \
        BOTH_PLACES for (int64_t n = counts[i_], once_ = 1; once_; once_ = 0)

static UNUSED float *array_of(int64_t count)
{
    return count > 0 ? floats(0, count, 1).data : scratch_of(1);
}

static UNUSED float *array_changed(const char *name, int64_t count)
{
    return count > 0 ? changed(name, floats(0, count, 1)).data : scratch_of(1);
}

#endif
