/* tests/cuda_on_cpu/kernel_check.h - a kernel against the CPU backend: both compute into the same tensors, one after the
 * other. Outputs are poisoned before each (or hold what they are to be added to), blocks hold exactly their numbers, and a
 * kernel runs in several orders of its threads, which have to give the same bits. */
#ifndef PAWL_TESTS_CUDA_ON_CPU_KERNEL_CHECK_H
#define PAWL_TESTS_CUDA_ON_CPU_KERNEL_CHECK_H

#include "ops/bf16_rule.h"
#include "ops/cuda/kernels.h"
#include "tests/cuda_on_cpu/shim.h"
#include "tests/ops_check.h"

enum { RESULTS_MOST = 12, BLOCKS_MOST = 64, ORDERS = 3 };

typedef struct result {
    const char *name;
    pawl_tensor t;
    void *before, *cpu, *first; /* its contents before, after the CPU backend, and after the kernel's first order */
} result;

/* A case at hand. */
typedef struct kernel_case {
    pawl_device *cpu;
    int fused;         /* the CPU backend fuses, as kernels do: bits can be the same */
    int64_t shift;     /* numbers that every array is away from 16 bytes */
    uint64_t which;    /* of random arrays */
    result results[RESULTS_MOST];
    int result_count;
    void *blocks[BLOCKS_MOST];
    int block_count;
} kernel_case;

extern kernel_case at_hand;

void *bytes_of(size_t bytes, size_t shift); /* uninitialised to 0xff */
pawl_tensor floats(int64_t rows, int64_t columns, float spread);
pawl_tensor values(int low, int64_t rows, int64_t columns, float spread); /* f32, or bf16 */
pawl_tensor ids_below(int64_t count, int32_t below);
/* A result, poisoned; and one with contents, that is changed. */
pawl_tensor output(const char *name, int low, int64_t rows, int64_t columns);
pawl_tensor changed(const char *name, pawl_tensor t);
/* The same of arrays that are no tensors of floats: bytes are compared. */
void *output_bytes(const char *name, size_t bytes);
int32_t *output_ids(const char *name, int64_t count);
double *doubles(const char *name, int64_t count, int poisoned); /* or 0 */
void *scratch_of(size_t bytes);

void keep_cpu(void);
void keep_order(int order);
void compare(const char *file, int line, double tolerance);
void end_case(void);
void begin_order(int order);

/* tolerance: relative L2 of each result; 0: the same bits (where the CPU fuses). With a tolerance a few numbers of bf16 may be
 * rounded the other way. */
#define AGREE(tolerance, on_cpu, on_cuda)                                                                              \
    do {                                                                                                               \
        assert_done(on_cpu);                                                                                           \
        keep_cpu();                                                                                                    \
        for (int order_ = 0; order_ < ORDERS; order_++) {                                                              \
            begin_order(order_);                                                                                       \
            on_cuda;                                                                                                   \
            keep_order(order_);                                                                                        \
        }                                                                                                              \
        compare(__FILE__, __LINE__, (tolerance));                                                                      \
        end_case();                                                                                                    \
    } while (0)

/* All of a kind of numbers: both types, on 16 bytes and off it. */
#define BOTH_TYPES(low)                                                                                                \
    for (int low = 0; low < 2; low++)                                                                                  \
        for (at_hand.shift = 0; at_hand.shift < 2; at_hand.shift++)
#define BOTH_PLACES for (at_hand.shift = 0; at_hand.shift < 2; at_hand.shift++)

#endif
