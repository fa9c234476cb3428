#include <string.h>

#include "ops/cpu/cpu.h"
#include "ops/quant_rule.h"

/* Weights in few bits, row by row; see ops/ops.h and ops/quant_rule.h. */

enum { ROWS_EACH = 16 };

typedef struct call {
    const pawl_coded *q;
    int64_t first, rows;
    const float *from;
    pawl_tensor to;
    const pawl_kernels *kernels;
} call;

static float largest(const float *x, int64_t count)
{
    float most = 0;
    for (int64_t i = 0; i < count; i++) most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    return most;
}

static void encode_int8(const float *x, int64_t cols, uint8_t *codes, float *scale)
{
    const float most = *scale = largest(x, cols);
    for (int64_t i = 0; i < cols; i++) codes[i] = (uint8_t)(int8_t)(most > 0 ? pawl_int8_code(x[i], most) : 0);
}

static void decode_int8(const uint8_t *codes, const float *scale, int64_t cols, float *x)
{
    const float by = pawl_int8_value(1, *scale);
    for (int64_t i = 0; i < cols; i++) x[i] = (float)(int8_t)codes[i] * by;
}

static void encode_nf4(const float *x, int64_t cols, uint8_t *codes, float *scales)
{
    memset(codes, 0, (size_t)(cols + 1) / 2);
    for (int64_t at = 0; at < cols; at += PAWL_NF4_BLOCK) {
        const int64_t some = pawl_block_size(cols, PAWL_NF4_BLOCK, at / PAWL_NF4_BLOCK);
        const float most = scales[at / PAWL_NF4_BLOCK] = largest(x + at, some);
        for (int64_t i = at; i < at + some; i++) {
            const int q = pawl_nf4_code(most > 0 ? x[i] / most : 0);
            codes[i / 2] |= (uint8_t)(i % 2 ? q : q << 4);
        }
    }
}

static void decode_nf4(const uint8_t *codes, const float *scales, int64_t cols, float *x)
{
    for (int64_t at = 0; at < cols; at += PAWL_NF4_BLOCK) {
        const int64_t some = pawl_block_size(cols, PAWL_NF4_BLOCK, at / PAWL_NF4_BLOCK);
        const float scale = scales[at / PAWL_NF4_BLOCK];
        float level[PAWL_NF4_LEVELS];
        for (int q = 0; q < PAWL_NF4_LEVELS; q++) level[q] = pawl_nf4_level[q] * scale;
        for (int64_t i = at; i + 1 < at + some; i += 2) {
            x[i] = level[codes[i / 2] >> 4];
            x[i + 1] = level[codes[i / 2] & 15];
        }
        if (some % 2) x[at + some - 1] = level[codes[(at + some - 1) / 2] >> 4];
    }
}

/* Nothing for PAWL_CODE_NONE: such weights are not coded. */
static const struct coding {
    void (*encode)(const float *x, int64_t cols, uint8_t *codes, float *scales);
    void (*decode)(const uint8_t *codes, const float *scales, int64_t cols, float *x);
} codings[] = {
    [PAWL_CODE_INT8] = {encode_int8, decode_int8},
    [PAWL_CODE_NF4] = {encode_nf4, decode_nf4},
};

static void encode_rows(void *self, int64_t i, int thread)
{
    (void)thread;
    const call *c = self;
    const int64_t bytes = pawl_code_row_bytes(c->q->code, c->q->cols),
                  scales = pawl_code_row_scales(c->q->code, c->q->cols);
    for (int64_t r = i * ROWS_EACH; r < i * ROWS_EACH + pawl_block_size(c->rows, ROWS_EACH, i); r++)
        codings[c->q->code].encode(c->from + r * c->q->cols, c->q->cols, c->q->codes + (c->first + r) * bytes,
                                   c->q->scales + (c->first + r) * scales);
}

/* For bf16 a piece of a row at a time, in whole blocks of NF4. */
enum { PIECE = 16 * PAWL_NF4_BLOCK };

static void decode_row(const call *c, int64_t r)
{
    const pawl_coded *q = c->q;
    const uint8_t *codes = q->codes + (c->first + r) * pawl_code_row_bytes(q->code, q->cols);
    const float *scales = q->scales + (c->first + r) * pawl_code_row_scales(q->code, q->cols);
    if (!pawl_low(c->to)) {
        codings[q->code].decode(codes, scales, q->cols, pawl_at(c->to, r * q->cols));
        return;
    }
    for (int64_t at = 0; at < q->cols; at += PIECE) {
        const int64_t some = pawl_block_size(q->cols, PIECE, at / PIECE);
        const int nf4 = q->code == PAWL_CODE_NF4;
        float piece[PIECE];
        codings[q->code].decode(codes + (nf4 ? at / 2 : at), scales + (nf4 ? at / PAWL_NF4_BLOCK : 0), some, piece);
        c->kernels->narrow(piece, pawl_at(c->to, r * q->cols + at), some);
    }
}

static void decode_rows(void *self, int64_t i, int thread)
{
    (void)thread;
    const call *c = self;
    for (int64_t r = i * ROWS_EACH; r < i * ROWS_EACH + pawl_block_size(c->rows, ROWS_EACH, i); r++) decode_row(c, r);
}

pawl_status quantise_cpu(pawl_device *d, pawl_tensor w, const pawl_coded *q, int64_t first)
{
    call c = {.q = q, .first = first, .rows = w.dim[0], .from = w.data};
    pawl_pool_run(pawl_cpu_of(d)->pool, pawl_blocks(c.rows, ROWS_EACH), encode_rows, &c);
    return PAWL_OK;
}

pawl_status dequantise_cpu(pawl_device *d, const pawl_coded *q, int64_t first, pawl_tensor w)
{
    call c = {.q = q, .first = first, .rows = w.dim[0], .to = w, .kernels = pawl_cpu_of(d)->kernels};
    pawl_pool_run(pawl_cpu_of(d)->pool, pawl_blocks(c.rows, ROWS_EACH), decode_rows, &c);
    return PAWL_OK;
}
