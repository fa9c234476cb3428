/* ops/cuda/kernels.h - private to ops/cuda: our own kernels, each behind one C function that launches it.
 *
 * A function is named as the entry of ops/backend.h that it computes and takes the same arguments, with a stream in place of
 * the device: what they mean stands in ops/ops.h. Arrays, in tensors and in structures, are in device memory; structures
 * themselves are read before the function returns. Arguments have been checked. Launches are asynchronous; one that failed
 * is known by cudaGetLastError. Nothing is allocated: what a kernel needs beside its arguments is `scratch`, of as many
 * bytes as the function next to it says, on 16 bytes, which may be used again by the next launch on that stream.
 *
 * What is computed does not depend on the order in which blocks or threads run: there are no atomic additions of floats, and
 * every sum has a shape that its length alone decides. Where a number is not a sum its bits are the CPU backend's on a
 * machine that fuses multiply and add; sums run in another order (tests/cuda_on_cpu says how near they are). */
#ifndef PAWL_OPS_CUDA_KERNELS_H
#define PAWL_OPS_CUDA_KERNELS_H

#include "ops/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct CUstream_st *pawl_stream; /* a cudaStream_t */

/* ---- elementwise.cu ---- */
void pawl_cuda_swiglu(pawl_stream s, pawl_tensor gate_up, pawl_tensor out);
void pawl_cuda_swiglu_backward(pawl_stream s, pawl_tensor dout, pawl_tensor gate_up, pawl_tensor dgate_up);
void pawl_cuda_activate(pawl_stream s, pawl_activation which, pawl_tensor x, pawl_tensor out);
void pawl_cuda_activate_backward(pawl_stream s, pawl_activation which, pawl_tensor dout, pawl_tensor x, pawl_tensor dx);
void pawl_cuda_rope(pawl_stream s, pawl_tensor x, int64_t heads, pawl_tensor cos, pawl_tensor sin, pawl_tensor positions,
                    int direction);
void pawl_cuda_cast(pawl_stream s, pawl_tensor from, pawl_tensor to);
void pawl_cuda_scale(pawl_stream s, pawl_tensor a, float by);
void pawl_cuda_add(pawl_stream s, float *a, const float *b, int64_t count);
void pawl_cuda_zero(pawl_stream s, float *a, int64_t count);
void pawl_cuda_copy(pawl_stream s, float *to, const float *from, int64_t count);

/* ---- optimizers.cu ---- */
void pawl_cuda_adamw(pawl_stream s, float *w, const float *g, float *m, float *v, int64_t count, const pawl_adamw_step *k);
/* m NULL: no momentum. */
void pawl_cuda_sgd(pawl_stream s, float *w, const float *g, float *m, int64_t count, const pawl_sgd_step *k);
void pawl_cuda_lion(pawl_stream s, float *w, const float *g, float *m, int64_t count, const pawl_lion_step *k);
void pawl_cuda_muon_momentum(pawl_stream s, const float *g, float *m, float *out, int64_t count, const pawl_muon_step *k);
void pawl_cuda_mix(pawl_stream s, float by_y, float *y, float by_x, const float *x, int64_t count);
void pawl_cuda_lerp(pawl_stream s, float *a, const float *b, float part, int64_t count);

#ifdef __cplusplus
}
#endif
#endif
