/* ops/cuda/kernels_list.h - every kernel of ops/cuda, by name: what has to have run in the tests. */
#ifndef PAWL_OPS_CUDA_KERNELS_LIST_H
#define PAWL_OPS_CUDA_KERNELS_LIST_H

/* clang-format off */
#define PAWL_CUDA_KERNELS(X) \
    /* elementwise.cu */ X(swiglu_kernel) X(swiglu_backward_kernel) X(activate_kernel) X(activate_backward_kernel) \
        X(rope_kernel) X(cast_kernel) X(scale_kernel) X(add_kernel) X(zero_kernel) X(copy_kernel) \
    /* optimizers.cu */ X(adamw_kernel) X(sgd_kernel) X(sgd_plain_kernel) X(lion_kernel) X(muon_momentum_kernel) \
        X(adamw_8bit_kernel) X(mix_kernel) X(lerp_kernel) \
    /* adafactor.cu */ X(adafactor_rows_kernel) X(adafactor_panels_kernel) X(adafactor_columns_kernel) \
        X(adafactor_mean_kernel) X(adafactor_updates_kernel) X(adafactor_rate_kernel) X(adafactor_step_kernel) \
        X(adafactor_vector_updates_kernel) X(adafactor_vector_step_kernel) \
    /* fp8.cu */ X(fp8_greatest_kernel) X(fp8_scale_kernel) X(fp8_codes_kernel) \
    /* sums.cu */ X(dot_kernel) X(anchor_kernel) X(overlap_kernel) X(path_kernel) X(synapses_kernel) \
        X(magnitudes_kernel) \
    /* embedding.cu */ X(embedding_kernel) X(embedding_dw_kernel) \
    /* noise.cu */ X(dropout_kernel) X(drop_rows_kernel) X(noise_kernel) \
    /* quant.cu */ X(quantise_int8_kernel) X(quantise_nf4_kernel) X(dequantise_int8_kernel) X(dequantise_nf4_kernel) \
    /* norm.cu */ X(norm_kernel) X(layernorm_kernel) X(norm_backward_kernel) X(layernorm_backward_kernel) \
    /* columns.cu */ X(column_sums_kernel) X(add_bias_kernel) X(divide_kernel) X(gain_columns_kernel) X(low_rank_norms_kernel) \
    /* attention.cu */ X(attend_kernel) X(attend_mean_kernel) X(attend_queries_kernel) X(attend_keys_kernel) \
        X(attend_cached_kernel) \
    /* ragged.cu */ X(ragged_kernel) \
    /* head.cu */ X(head_rows_kernel) X(head_gather_kernel) X(head_scatter_kernel) X(head_clear_kernel)
/* clang-format on */

#endif
