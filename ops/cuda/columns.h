/* ops/cuda/columns.h - private to ops/cuda: sums over the rows of a matrix. */
#ifndef PAWL_OPS_CUDA_COLUMNS_H
#define PAWL_OPS_CUDA_COLUMNS_H

#include "ops/cuda/kernels.h"

/* sums [width] = (put) the sums of x's columns, of f32.   x [rows, ldx]. Scratch: pawl_cuda_column_scratch_bytes. */
void pawl_column_sums(pawl_stream s, const float *x, int64_t ldx, int64_t rows, int64_t width, pawl_put put, float *sums,
                      void *scratch);

#endif
