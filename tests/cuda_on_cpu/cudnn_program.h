/* tests/cuda_on_cpu/cudnn_program.h - what the stand-in for cuDNN (cudnn.c) makes of a graph's descriptors, and computes
 * (cudnn_compute.c). */
#ifndef PAWL_STANDIN_CUDNN_PROGRAM_H
#define PAWL_STANDIN_CUDNN_PROGRAM_H

#include <stdint.h>

enum { STANDIN_OPS = 64, STANDIN_TENSORS = 96 };
enum { STANDIN_POINTWISE, STANDIN_PRODUCT, STANDIN_REDUCTION, STANDIN_TURN };

typedef struct standin_tensor {
    int64_t id, dim[4], stride[4];
    int type, is_virtual, is_scalar;
    int ragged; /* the tensor of its offsets; -1: none */
} standin_tensor;

/* Tensors by their index; -1: none. */
typedef struct standin_op {
    int kind, mode, axis, x, b, select, m, n, k, to;
} standin_op;

typedef struct standin_program {
    int tensor_count, op_count;
    standin_tensor tensors[STANDIN_TENSORS];
    standin_op ops[STANDIN_OPS];
} standin_program;

typedef struct standin_call {
    const standin_program *program;
    void *at[STANDIN_TENSORS];
    float scalar[STANDIN_TENSORS];
} standin_call;

/* Whether each virtual tensor is written, once, before it is read. */
int standin_is_in_order(const standin_program *p);
/* Work of a stream. call: a standin_call. */
void standin_compute(void *call);

#endif
