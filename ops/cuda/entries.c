/* Entries of the table that are the launches of one function of kernels.h: as they are, or with a scratch behind the arguments. */
#include "ops/cuda/cuda.h"

#define ENTRY(name, parameters, ...)                            \
    static pawl_status name##_cuda parameters                   \
    {                                                           \
        pawl_cuda_##name(pawl_stream_of(d), __VA_ARGS__);       \
        return pawl_cuda_launched(#name);                       \
    }

/* scratch.base: as many bytes as said. */
#define ENTRY_WITH_SCRATCH(name, bytes, parameters, ...)                          \
    static pawl_status name##_cuda parameters                                     \
    {                                                                             \
        pawl_arena scratch;                                                       \
        PAWL_TRY(pawl_cuda_scratch(pawl_cuda_of(d), #name, (bytes), &scratch));   \
        pawl_cuda_##name(pawl_stream_of(d), __VA_ARGS__);                         \
        return pawl_cuda_launched(#name);                                         \
    }

static int64_t last_dim(pawl_tensor t)
{
    return t.dim[t.ndim - 1];
}

static int64_t rows_of(pawl_tensor t)
{
    return pawl_tensor_count(t) / last_dim(t);
}

ENTRY(dropout, (pawl_device *d, const pawl_drop *how, pawl_tensor x, pawl_put put, pawl_tensor y), how, NULL, x, put, y)
ENTRY(add_noise, (pawl_device *d, const pawl_noise *how, pawl_tensor x), how, x)
ENTRY(low_rank_norms, (pawl_device *d, pawl_tensor w, pawl_tensor a, pawl_tensor b, float scale, pawl_tensor norms), w, a, b, scale, norms)
ENTRY(divide, (pawl_device *d, pawl_tensor a, pawl_tensor b, float plus, pawl_put put, pawl_tensor y), a, b, plus, put, y)
ENTRY(scale_columns, (pawl_device *d, pawl_tensor x, int64_t first, pawl_tensor gain, pawl_tensor y), x, first, gain, y)
ENTRY(add_columns, (pawl_device *d, pawl_tensor x, pawl_tensor gain, pawl_tensor y, int64_t first), x, gain, y, first)
ENTRY_WITH_SCRATCH(column_dots, pawl_cuda_column_scratch_bytes(rows_of(y), last_dim(y)),
                   (pawl_device *d, pawl_tensor x, int64_t first, pawl_tensor y, pawl_put put, pawl_tensor sums), x, first, y, put, sums,
                   scratch.base)
ENTRY(embedding, (pawl_device *d, pawl_tensor table, pawl_tensor ids, pawl_tensor out), table, ids, out)
ENTRY(embedding_dw, (pawl_device *d, pawl_tensor dout, pawl_tensor ids, pawl_tensor dtable), dout, ids, dtable)
ENTRY(rmsnorm, (pawl_device *d, pawl_tensor residual, pawl_tensor x, pawl_tensor w, float eps, pawl_tensor sum, pawl_tensor y, pawl_tensor rstd),
      residual, x, w, eps, sum, y, rstd)
ENTRY_WITH_SCRATCH(rmsnorm_backward, pawl_cuda_norm_scratch_bytes(rows_of(dy), last_dim(dy)),
                   (pawl_device *d, pawl_tensor dy, pawl_tensor sum, pawl_tensor w, pawl_tensor rstd, pawl_put put, pawl_tensor dsum,
                    pawl_tensor dw),
                   dy, sum, w, rstd, put, dsum, dw, scratch.base)
ENTRY(layernorm, (pawl_device *d, pawl_tensor residual, pawl_tensor x, pawl_tensor w, pawl_tensor bias, float eps, pawl_tensor sum,
                  pawl_tensor y, pawl_tensor mean, pawl_tensor rstd),
      residual, x, w, bias, eps, sum, y, mean, rstd)
ENTRY_WITH_SCRATCH(layernorm_backward, pawl_cuda_norm_scratch_bytes(rows_of(dy), last_dim(dy)),
                   (pawl_device *d, pawl_tensor dy, pawl_tensor sum, pawl_tensor w, pawl_tensor mean, pawl_tensor rstd, pawl_put put,
                    pawl_tensor dsum, pawl_tensor dw, pawl_tensor dbias),
                   dy, sum, w, mean, rstd, put, dsum, dw, dbias, scratch.base)
ENTRY(head_norm, (pawl_device *d, pawl_tensor x, pawl_tensor w, float eps, int64_t first, int64_t heads, pawl_tensor y, pawl_tensor rstd), x, w,
      eps, first, heads, y, rstd)
ENTRY_WITH_SCRATCH(head_norm_backward, pawl_cuda_norm_scratch_bytes(rows_of(x) * heads, pawl_tensor_count(w)),
                   (pawl_device *d, pawl_tensor x, pawl_tensor w, pawl_tensor rstd, int64_t first, int64_t heads, pawl_put put, pawl_tensor dy,
                    pawl_tensor dw),
                   x, w, rstd, first, heads, put, dy, dw, scratch.base)
ENTRY(rope, (pawl_device *d, pawl_tensor x, int64_t heads, pawl_tensor cos, pawl_tensor sin, pawl_tensor positions, int direction), x, heads,
      cos, sin, positions, direction)
ENTRY(attention_cached, (pawl_device *d, const pawl_attend *a, pawl_tensor q, pawl_tensor keys, pawl_tensor values, int64_t first, int64_t last,
                         pawl_tensor out),
      a, q, keys, values, first, last, out)
ENTRY(swiglu, (pawl_device *d, pawl_tensor gate_up, pawl_tensor out), gate_up, out)
ENTRY(swiglu_backward, (pawl_device *d, pawl_tensor dout, pawl_tensor gate_up, pawl_tensor dgate_up), dout, gate_up, dgate_up)
ENTRY(activate, (pawl_device *d, pawl_activation which, pawl_tensor x, pawl_tensor out), which, x, out)
ENTRY(activate_backward, (pawl_device *d, pawl_activation which, pawl_tensor dout, pawl_tensor x, pawl_tensor dx), which, dout, x, dx)
ENTRY(adamw, (pawl_device *d, void *w, const float *g, void *m, void *v, int64_t count, const pawl_adamw_step *k), w, g, m, v, count, k)
ENTRY(sgd, (pawl_device *d, void *w, const float *g, void *m, int64_t count, const pawl_sgd_step *k), w, g, m, count, k)
ENTRY(lion, (pawl_device *d, void *w, const float *g, void *m, int64_t count, const pawl_lion_step *k), w, g, m, count, k)
ENTRY(muon_momentum, (pawl_device *d, const float *g, void *m, float *out, int64_t count, const pawl_muon_step *k), g, m, out, count, k)
ENTRY(mix, (pawl_device *d, float by_y, void *y, float by_x, const float *x, int64_t count, const pawl_kept_as *kept), by_y, y, by_x, x, count, kept)
ENTRY(lerp, (pawl_device *d, float *a, const float *b, float part, int64_t count), a, b, part, count)
ENTRY(cast, (pawl_device *d, pawl_tensor from, pawl_tensor to), from, to)
ENTRY(add, (pawl_device *d, float *a, const float *b, int64_t count), a, b, count)
ENTRY(scale, (pawl_device *d, pawl_tensor a, float by), a, by)
ENTRY(zero, (pawl_device *d, float *a, int64_t count), a, count)
ENTRY(copy, (pawl_device *d, float *to, const float *from, int64_t count), to, from, count)

ENTRY(adamw_8bit, (pawl_device *d, void *w, const float *g, const pawl_moments_8bit *moments, int64_t count, const pawl_adamw_step *k), w, g,
      moments, count, k, &pawl_cuda_of(d)->constants->signed_levels, &pawl_cuda_of(d)->constants->levels)
ENTRY(adafactor, (pawl_device *d, void *w, const float *g, float *row, float *col, int64_t rows, int64_t cols, void *room,
                  const pawl_adafactor_step *k),
      w, g, row, col, rows, cols, room, k, pawl_cuda_of(d)->constants->two)
ENTRY(anchor, (pawl_device *d, float *g, const float *w, const float *anchor, const float *importance, float strength, int64_t count,
               double *blocks),
      g, w, anchor, importance, strength, count, blocks)
ENTRY(overlap_add, (pawl_device *d, const pawl_overlap *o, int64_t first, int64_t count, float *g, double *sums), o, first, count, g, sums)
ENTRY(path, (pawl_device *d, float *path, const float *g, const float *before, const float *after, int64_t count), path, g, before, after, count)
ENTRY(synapses, (pawl_device *d, float *importance, float *path, const float *w, const float *start, float xi, int64_t count), importance, path,
      w, start, xi, count)
ENTRY(magnitudes, (pawl_device *d, float *g, int squared, int64_t count), g, squared, count)
ENTRY(dot, (pawl_device *d, const float *x, const float *y, int64_t count, double *blocks), x, y, count, blocks)
ENTRY(sum_squares, (pawl_device *d, const float *x, int64_t count, double *blocks), x, count, blocks)
ENTRY(quantise, (pawl_device *d, pawl_tensor w, const pawl_coded *q, int64_t first), w, q, first)
ENTRY(dequantise, (pawl_device *d, const pawl_coded *q, int64_t first, pawl_tensor w), q, first, w)

const pawl_ops pawl_cuda_ops = {
    .name = "cuda",
    .close = close_cuda,
    .scratch_bytes = scratch_bytes_cuda,
    .reserve = reserve_cuda,
    .threads = threads_cuda,
    .describe = describe_cuda,
    .gemm_rate = gemm_rate_cuda,
    .memory_rate = memory_rate_cuda,
    .tune = tune_cuda,
    .algorithms = algorithms_cuda,
    .choose = choose_cuda,
    .attend_by_library = attend_by_library_cuda,
    .shares_memory = 0,
    .carrier = &pawl_cuda_carrier,
    .snapper = &pawl_cuda_snapper,
    .own = own_cuda,
    .memory = memory_cuda,
    .take = take_cuda,
    .give = give_cuda,
    .upload = upload_cuda,
    .download = download_cuda,
    .stream = stream_cuda,
    .wait = wait_cuda,
    .aside = &pawl_cuda_aside,
    .block_begin = block_begin_cuda,
    .block_end = block_end_cuda,
    .graphs = graphs_cuda,
    .parallel = parallel_cuda,
    .linear = linear_cuda,
    .linear_fp8 = linear_fp8_cuda,
    .fp8 = fp8_cuda,
    .linear_dx = linear_dx_cuda,
    .linear_dw = linear_dw_cuda,
    .dropout = dropout_cuda,
    .add_noise = add_noise_cuda,
    .low_rank_norms = low_rank_norms_cuda,
    .divide = divide_cuda,
    .scale_columns = scale_columns_cuda,
    .add_columns = add_columns_cuda,
    .column_dots = column_dots_cuda,
    .embedding = embedding_cuda,
    .embedding_dw = embedding_dw_cuda,
    .rmsnorm = rmsnorm_cuda,
    .rmsnorm_backward = rmsnorm_backward_cuda,
    .layernorm = layernorm_cuda,
    .layernorm_backward = layernorm_backward_cuda,
    .head_norm = head_norm_cuda,
    .head_norm_backward = head_norm_backward_cuda,
    .rope = rope_cuda,
    .attention = attention_cuda,
    .attention_backward = attention_backward_cuda,
    .attention_cached = attention_cached_cuda,
    .swiglu = swiglu_cuda,
    .swiglu_backward = swiglu_backward_cuda,
    .activate = activate_cuda,
    .activate_backward = activate_backward_cuda,
    .linear_activate = linear_activate_cuda,
    .linear_activate_dx = linear_activate_dx_cuda,
    .head_loss = head_loss_cuda,
    .adamw = adamw_cuda,
    .sgd = sgd_cuda,
    .lion = lion_cuda,
    .adamw_8bit = adamw_8bit_cuda,
    .adafactor = adafactor_cuda,
    .muon_momentum = muon_momentum_cuda,
    .mix = mix_cuda,
    .lerp = lerp_cuda,
    .anchor = anchor_cuda,
    .overlap_add = overlap_add_cuda,
    .path = path_cuda,
    .synapses = synapses_cuda,
    .magnitudes = magnitudes_cuda,
    .dot = dot_cuda,
    .sum_squares = sum_squares_cuda,
    .cast = cast_cuda,
    .add = add_cuda,
    .quantise = quantise_cuda,
    .dequantise = dequantise_cuda,
    .scale = scale_cuda,
    .zero = zero_cuda,
    .copy = copy_cuda,
};
