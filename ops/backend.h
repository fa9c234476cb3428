/* ops/backend.h - what a backend is: this table. Every entry is required; arguments have been checked by ops.c. */
#ifndef PAWL_OPS_BACKEND_H
#define PAWL_OPS_BACKEND_H

#include "ops/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Adafactor's sums over columns are of this many rows at a time, in every backend. */
enum { PAWL_ADAFACTOR_ROWS = 128 };

/* What a device has that works by itself, beside the host. */
typedef struct pawl_aside {
    pawl_status (*begin)(pawl_device *d);
    pawl_status (*end)(pawl_device *d, int mark);
    pawl_status (*await)(pawl_device *d, int mark);
    void (*settle)(pawl_device *d);
    void (*ask)(pawl_device *d, pawl_status (*ask)(void *self), void *self);
} pawl_aside;

/* Copies beside, as in ops.h. */
typedef struct pawl_carrier {
    pawl_status (*carry)(pawl_device *d, pawl_carry_way way, const pawl_load *loads, int count, int64_t *ticket);
    pawl_status (*await)(pawl_device *d, int64_t ticket);
    pawl_status (*settle)(pawl_device *d);
} pawl_carrier;

/* Snapshots beside, as in ops.h. */
typedef struct pawl_snapper {
    pawl_status (*begin)(pawl_device *d, const pawl_load *loads, int64_t count, int64_t there);
    pawl_status (*await)(pawl_device *d);
    pawl_status (*settle)(pawl_device *d);
    void (*drop)(pawl_device *d);
} pawl_snapper;

/* What computes has a row in timed.c, too. */
typedef struct pawl_ops {
    const char *name;

    void (*close)(pawl_device *d);
    size_t (*scratch_bytes)(const pawl_device *d, const pawl_shapes *most);
    pawl_status (*reserve)(pawl_device *d, const pawl_shapes *most);
    int (*threads)(const pawl_device *d);
    const char *(*describe)(const pawl_device *d);
    double (*gemm_rate)(pawl_device *d, pawl_dtype type);
    double (*memory_rate)(pawl_device *d);
    /* Algorithms of products, as in ops.h; where there are none to choose from, tune is 0 and the table is empty. */
    int (*tune)(pawl_device *d, int on);
    pawl_status (*algorithms)(const pawl_device *d, pawl_text *out);
    pawl_status (*choose)(pawl_device *d, const char *table);
    pawl_status (*fp8)(pawl_device *d); /* why it has no products of 8-bit floats; NULL: it has */
    pawl_status (*attend_by_library)(pawl_device *d);
    /* Memory, as in ops.h. upload and download are never asked for the same address on both sides. */
    int shares_memory;
    const pawl_carrier *carrier; /* NULL: copies are made at once, ... */
    const pawl_snapper *snapper; /* ... snapshots, too */
    pawl_device_own (*own)(const pawl_device *d);
    pawl_device_memory (*memory)(pawl_device *d);
    pawl_status (*take)(pawl_device *d, pawl_side_of side, size_t bytes, const char *what, void **out);
    void (*give)(pawl_device *d, pawl_side_of side, void *block, size_t bytes); /* block is not NULL */
    pawl_status (*upload)(pawl_device *d, void *to_device, const void *from_host, size_t bytes);
    pawl_status (*download)(pawl_device *d, void *to_host, const void *from_device, size_t bytes);
    void *(*stream)(pawl_device *d);
    pawl_status (*wait)(pawl_device *d); /* until all that was asked for is done: where ops are timed */
    const pawl_aside *aside; /* NULL: the device works while the host calls it, and in that order */
    /* Between the two, ops may wait and be issued together, in their order: at the end, or before anything else is. */
    pawl_status (*block_begin)(pawl_device *d);
    pawl_status (*block_end)(pawl_device *d);
    pawl_status (*graphs)(pawl_device *d, int on); /* whether they do */
    void (*parallel)(pawl_device *d, int64_t count, void (*body)(void *self, int64_t i), void *self);

    /* y and dy may be wider than w has rows: columns [first, first + O) are meant. */
    pawl_status (*linear)(pawl_device *d, pawl_tensor x, pawl_tensor w, pawl_tensor bias, pawl_put put, int64_t first,
                          pawl_tensor y);
    pawl_status (*linear_fp8)(pawl_device *d, pawl_tensor x, pawl_tensor w, pawl_tensor bias, pawl_tensor y);
    pawl_status (*linear_dx)(pawl_device *d, pawl_tensor dy, int64_t first, pawl_tensor w, pawl_put put,
                             pawl_tensor dx);
    pawl_status (*linear_dw)(pawl_device *d, pawl_tensor dy, int64_t first, pawl_tensor x, pawl_put put, pawl_tensor dw,
                             pawl_tensor dbias);
    pawl_status (*dropout)(pawl_device *d, const pawl_drop *how, pawl_tensor x, pawl_put put, pawl_tensor y);
    pawl_status (*add_noise)(pawl_device *d, const pawl_noise *how, pawl_tensor x);
    pawl_status (*low_rank_norms)(pawl_device *d, pawl_tensor w, pawl_tensor a, pawl_tensor b, float scale,
                                  pawl_tensor norms);
    pawl_status (*divide)(pawl_device *d, pawl_tensor a, pawl_tensor b, float plus, pawl_put put, pawl_tensor y);
    pawl_status (*scale_columns)(pawl_device *d, pawl_tensor x, int64_t first, pawl_tensor gain, pawl_tensor y);
    pawl_status (*add_columns)(pawl_device *d, pawl_tensor x, pawl_tensor gain, pawl_tensor y, int64_t first);
    pawl_status (*column_dots)(pawl_device *d, pawl_tensor x, int64_t first, pawl_tensor y, pawl_put put,
                               pawl_tensor sums);
    pawl_status (*embedding)(pawl_device *d, pawl_tensor table, pawl_tensor ids, pawl_tensor out);
    pawl_status (*embedding_dw)(pawl_device *d, pawl_tensor dout, pawl_tensor ids, pawl_tensor dtable);
    pawl_status (*rmsnorm)(pawl_device *d, pawl_tensor residual, pawl_tensor x, pawl_tensor w, float eps,
                           pawl_tensor sum, pawl_tensor y, pawl_tensor rstd);
    pawl_status (*rmsnorm_backward)(pawl_device *d, pawl_tensor dy, pawl_tensor sum, pawl_tensor w, pawl_tensor rstd,
                                    pawl_put put, pawl_tensor dsum, pawl_tensor dw);
    pawl_status (*layernorm)(pawl_device *d, pawl_tensor residual, pawl_tensor x, pawl_tensor w, pawl_tensor bias,
                             float eps, pawl_tensor sum, pawl_tensor y, pawl_tensor mean, pawl_tensor rstd);
    pawl_status (*layernorm_backward)(pawl_device *d, pawl_tensor dy, pawl_tensor sum, pawl_tensor w, pawl_tensor mean,
                                      pawl_tensor rstd, pawl_put put, pawl_tensor dsum, pawl_tensor dw,
                                      pawl_tensor dbias);
    pawl_status (*head_norm)(pawl_device *d, pawl_tensor x, pawl_tensor w, float eps, int64_t first, int64_t heads,
                             pawl_tensor y, pawl_tensor rstd);
    pawl_status (*head_norm_backward)(pawl_device *d, pawl_tensor x, pawl_tensor w, pawl_tensor rstd, int64_t first,
                                      int64_t heads, pawl_put put, pawl_tensor dy, pawl_tensor dw);
    pawl_status (*rope)(pawl_device *d, pawl_tensor x, int64_t heads, pawl_tensor cos, pawl_tensor sin,
                        pawl_tensor positions, int direction);
    pawl_status (*attention)(pawl_device *d, const pawl_attend *a, pawl_tensor qkv, pawl_tensor out, pawl_tensor lse);
    pawl_status (*attention_backward)(pawl_device *d, const pawl_attend *a, pawl_tensor dout, pawl_tensor qkv,
                                      pawl_tensor out, pawl_tensor lse, pawl_tensor dqkv);
    pawl_status (*attention_cached)(pawl_device *d, const pawl_attend *a, pawl_tensor q, pawl_tensor keys,
                                    pawl_tensor values, int64_t first, int64_t last, pawl_tensor out);
    pawl_status (*swiglu)(pawl_device *d, pawl_tensor gate_up, pawl_tensor out);
    pawl_status (*swiglu_backward)(pawl_device *d, pawl_tensor dout, pawl_tensor gate_up, pawl_tensor dgate_up);
    pawl_status (*activate)(pawl_device *d, pawl_activation which, pawl_tensor x, pawl_tensor out);
    pawl_status (*activate_backward)(pawl_device *d, pawl_activation which, pawl_tensor dout, pawl_tensor x,
                                     pawl_tensor dx);
    pawl_status (*linear_activate)(pawl_device *d, pawl_activation which, pawl_tensor x, pawl_tensor w, pawl_tensor bias, pawl_tensor z,
                                   pawl_tensor out);
    pawl_status (*linear_activate_dx)(pawl_device *d, pawl_activation which, pawl_tensor dy, pawl_tensor w, pawl_tensor z, pawl_tensor room,
                                      pawl_tensor dz);
    pawl_status (*head_loss)(pawl_device *d, const pawl_head *h);
    pawl_status (*adamw)(pawl_device *d, void *w, const float *g, void *m, void *v, int64_t count,
                         const pawl_adamw_step *k);
    pawl_status (*sgd)(pawl_device *d, void *w, const float *g, void *m, int64_t count, const pawl_sgd_step *k);
    pawl_status (*lion)(pawl_device *d, void *w, const float *g, void *m, int64_t count, const pawl_lion_step *k);
    pawl_status (*adamw_8bit)(pawl_device *d, void *w, const float *g, const pawl_moments_8bit *moments, int64_t count,
                              const pawl_adamw_step *k);
    pawl_status (*adafactor)(pawl_device *d, void *w, const float *g, float *row, float *col, int64_t rows, int64_t cols,
                             void *scratch, const pawl_adafactor_step *k);
    pawl_status (*muon_momentum)(pawl_device *d, const float *g, void *m, float *out, int64_t count,
                                 const pawl_muon_step *k);
    pawl_status (*mix)(pawl_device *d, float by_y, void *y, float by_x, const float *x, int64_t count,
                       const pawl_kept_as *kept); /* y's type is that of kept's weights */
    pawl_status (*lerp)(pawl_device *d, float *a, const float *b, float part, int64_t count);
    pawl_status (*anchor)(pawl_device *d, float *g, const float *w, const float *anchor, const float *importance, float strength, int64_t count, double *blocks);
    pawl_status (*overlap_add)(pawl_device *d, const pawl_overlap *o, int64_t first, int64_t count, float *g, double *sums);
    pawl_status (*path)(pawl_device *d, float *path, const float *g, const float *before, const float *after, int64_t count);
    pawl_status (*synapses)(pawl_device *d, float *importance, float *path, const float *w, const float *start, float xi, int64_t count);
    pawl_status (*magnitudes)(pawl_device *d, float *g, int squared, int64_t count);
    pawl_status (*dot)(pawl_device *d, const float *x, const float *y, int64_t count, double *blocks);
    pawl_status (*sum_squares)(pawl_device *d, const float *x, int64_t count, double *blocks);
    pawl_status (*cast)(pawl_device *d, pawl_tensor from, pawl_tensor to);
    pawl_status (*add)(pawl_device *d, float *a, const float *b, int64_t count);
    pawl_status (*quantise)(pawl_device *d, pawl_tensor w, const pawl_coded *q, int64_t first);
    pawl_status (*dequantise)(pawl_device *d, const pawl_coded *q, int64_t first, pawl_tensor w);
    pawl_status (*scale)(pawl_device *d, pawl_tensor a, float by);
    pawl_status (*zero)(pawl_device *d, float *a, int64_t count);
    pawl_status (*copy)(pawl_device *d, float *to, const float *from, int64_t count);
} pawl_ops;

/* Every backend's device begins with this. */
struct pawl_device {
    const pawl_ops *ops;
    const pawl_ops *under; /* while the device is timed (timed.c): the backend's own */
};

/* The most numbers of an input, of a weight and of a bias that pawl_linear_fp8 is asked for. */
static inline int64_t pawl_of_three(int64_t a, int64_t b, int64_t c)
{
    const int64_t more = a > b ? a : b;
    return more > c ? more : c;
}
static inline int64_t pawl_fp8_inputs(const pawl_shapes *most)
{
    return most->positions * pawl_of_three(most->width, most->heads * most->head_dim, most->ff);
}
static inline int64_t pawl_fp8_weights(const pawl_shapes *most)
{
    const int64_t qkv = (most->heads + 2 * most->kv_heads) * most->head_dim;
    return most->width * pawl_of_three(qkv, most->heads * most->head_dim, 2 * most->ff);
}
static inline int64_t pawl_fp8_outputs(const pawl_shapes *most)
{
    return pawl_of_three((most->heads + 2 * most->kv_heads) * most->head_dim, most->width, 2 * most->ff);
}

/* What the shared object of the CUDA backend exports under the name PAWL_CUDA_PART, which ends with a digest of the headers that it
 * and the program are compiled with (cuda/interface.cmake). The part calls the program's own core/. */
typedef struct pawl_cuda_exports {
    pawl_status (*count)(int *gpus); /* EUSAGE: there is none, and why */
    pawl_status (*open)(int gpu, pawl_device **out);
} pawl_cuda_exports;

#ifdef __cplusplus
}
#endif
#endif
