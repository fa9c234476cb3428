/* ops/cuda/kernels_list.h - every kernel of ops/cuda, by name: what has to have run in the tests. */
#ifndef PAWL_OPS_CUDA_KERNELS_LIST_H
#define PAWL_OPS_CUDA_KERNELS_LIST_H

/* clang-format off */
#define PAWL_CUDA_KERNELS(X)                                                                                            \
    /* elementwise.cu */ X(swiglu_kernel) X(swiglu_backward_kernel) X(activate_kernel) X(activate_backward_kernel)     \
        X(rope_kernel) X(cast_kernel) X(scale_kernel) X(add_kernel) X(zero_kernel) X(copy_kernel)                      \
    /* optimizers.cu */ X(adamw_kernel) X(sgd_kernel) X(sgd_plain_kernel) X(lion_kernel) X(muon_momentum_kernel)       \
        X(mix_kernel) X(lerp_kernel)
/* clang-format on */

#endif
