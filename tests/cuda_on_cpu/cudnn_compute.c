/* A graph of cuDNN's, computed operation by operation: every tensor is an array of f32, rounded where its type is bf16. */
#include "tests/cuda_on_cpu/cudnn_program.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/bf16_rule.h"
#include "ops/cuda/cudnn_abi.h"

typedef struct running {
    const standin_call *call;
    float *values[STANDIN_TENSORS]; /* by four indices, NULL until written or read */
} running;

int standin_is_in_order(const standin_program *p)
{
    int written[STANDIN_TENSORS] = {0};
    for (int i = 0; i < p->op_count; i++) {
        const standin_op *o = &p->ops[i];
        const int reads[] = {o->x, o->b, o->select};
        for (int r = 0; r < 3; r++)
            if (reads[r] >= 0 && p->tensors[reads[r]].is_virtual && !written[reads[r]]) return 0;
        if (written[o->to]++) return 0;
    }
    return 1;
}

/* ---- tensors ---- */

static const standin_tensor *tensor(const running *r, int t)
{
    return &r->call->program->tensors[t];
}

static int64_t count_of(const standin_tensor *t)
{
    return t->dim[0] * t->dim[1] * t->dim[2] * t->dim[3];
}

static int64_t index_of(const standin_tensor *t, const int64_t i[4])
{
    return ((i[0] * t->dim[1] + i[1]) * t->dim[2] + i[2]) * t->dim[3] + i[3];
}

static int next(const int64_t dim[4], int64_t i[4])
{
    for (int d = 3; d >= 0; d--) {
        if (++i[d] < dim[d]) return 1;
        i[d] = 0;
    }
    return 0;
}

/* Where number i is in memory, from the tensor's address; -1: behind the end of a sequence. Its rows are apart, its columns side by
 * side. */
static int64_t place_of(const running *r, const standin_tensor *t, const int64_t i[4])
{
    int64_t at = i[0] * t->stride[0] + i[1] * t->stride[1] + i[2] * t->stride[2] + i[3] * t->stride[3];
    if (t->ragged < 0) return at;
    const int32_t *offsets = r->call->at[t->ragged];
    const int rows = t->dim[3] > 1 && t->stride[3] != 1 ? 3 : 2;
    if (i[rows] >= (offsets[i[0] + 1] - offsets[i[0]]) / t->stride[rows]) return -1;
    return at - i[0] * t->stride[0] + offsets[i[0]];
}

static float *new_values(const standin_tensor *t)
{
    float *v = malloc((size_t)count_of(t) * sizeof *v);
    if (!v) abort();
    return v;
}

static float load(const void *from, int type, int64_t at)
{
    if (type == PAWL_CUDNN_DATA_BFLOAT16) return pawl_bf16_widen_rule(((const uint16_t *)from)[at]);
    return type == PAWL_CUDNN_DATA_INT32 ? (float)((const int32_t *)from)[at] : ((const float *)from)[at];
}

static const float *read(running *r, int which)
{
    const standin_tensor *t = tensor(r, which);
    int64_t i[4] = {0};
    if (r->values[which]) return r->values[which];
    float *v = r->values[which] = new_values(t);
    do {
        const int64_t at = t->is_scalar ? 0 : place_of(r, t, i);
        v[index_of(t, i)] = t->is_scalar ? r->call->scalar[which] : at < 0 ? NAN : load(r->call->at[which], t->type, at);
    } while (next(t->dim, i));
    return v;
}

/* v is kept. */
static void write(running *r, int which, float *v)
{
    const standin_tensor *t = tensor(r, which);
    int64_t i[4] = {0};
    for (int64_t n = 0; n < count_of(t) && t->type == PAWL_CUDNN_DATA_BFLOAT16; n++) v[n] = pawl_bf16_widen_rule(pawl_bf16_narrow_rule(v[n]));
    r->values[which] = v;
    if (t->is_virtual) return;
    do {
        const int64_t at = place_of(r, t, i);
        if (at >= 0 && t->type == PAWL_CUDNN_DATA_BFLOAT16) ((uint16_t *)r->call->at[which])[at] = pawl_bf16_narrow_rule(v[index_of(t, i)]);
        else if (at >= 0) ((float *)r->call->at[which])[at] = v[index_of(t, i)];
    } while (next(t->dim, i));
}

/* Number i, or that which stands for it where the tensor is shorter: of heads the one that is shared, else the only one. */
static float at(const standin_tensor *t, const float *v, const int64_t i[4], const int64_t of[4])
{
    int64_t here[4];
    for (int d = 0; d < 4; d++) here[d] = i[d] * t->dim[d] / of[d];
    return v[index_of(t, here)];
}

/* ---- operations ---- */

static float pointwise(int mode, float x, float b, float select)
{
    switch (mode) {
    case PAWL_CUDNN_POINTWISE_ADD: return x + b;
    case PAWL_CUDNN_POINTWISE_SUB: return x - b;
    case PAWL_CUDNN_POINTWISE_MUL: return x * b;
    case PAWL_CUDNN_POINTWISE_DIV: return x / b;
    case PAWL_CUDNN_POINTWISE_EXP: return expf(x);
    case PAWL_CUDNN_POINTWISE_LOG: return logf(x);
    case PAWL_CUDNN_POINTWISE_CMP_GT: return x > b;
    case PAWL_CUDNN_POINTWISE_CMP_GE: return x >= b;
    case PAWL_CUDNN_POINTWISE_CMP_LT: return x < b;
    case PAWL_CUDNN_POINTWISE_LOGICAL_AND: return x != 0 && b != 0;
    case PAWL_CUDNN_POINTWISE_BINARY_SELECT: return select != 0 ? x : b;
    default: abort();
    }
}

static void run_pointwise(running *r, const standin_op *o)
{
    const standin_tensor *to = tensor(r, o->to);
    const float *x = read(r, o->x), *b = o->b >= 0 ? read(r, o->b) : NULL, *select = o->select >= 0 ? read(r, o->select) : NULL;
    float *v = new_values(to);
    int64_t i[4] = {0};
    do {
        const float xi = at(tensor(r, o->x), x, i, to->dim), bi = b ? at(tensor(r, o->b), b, i, to->dim) : 0;
        v[index_of(to, i)] = o->mode == PAWL_CUDNN_POINTWISE_GEN_INDEX ? (float)i[o->axis]
                                                                       : pointwise(o->mode, xi, bi, select ? at(tensor(r, o->select), select, i, to->dim) : 0);
    } while (next(to->dim, i));
    write(r, o->to, v);
}

static int64_t limit(running *r, int override, int64_t batch, int64_t all)
{
    return override < 0 ? all : (int64_t)read(r, override)[batch];
}

/* Behind rows and columns that count: zeros, as the product was told. */
static void run_product(running *r, const standin_op *o)
{
    const standin_tensor *to = tensor(r, o->to), *a = tensor(r, o->x), *b = tensor(r, o->b);
    const float *x = read(r, o->x), *y = read(r, o->b);
    float *v = new_values(to);
    int64_t i[4] = {0};
    do {
        const int64_t rows = limit(r, o->m, i[0], to->dim[2]), columns = limit(r, o->n, i[0], to->dim[3]), products = limit(r, o->k, i[0], a->dim[3]);
        const int64_t head = i[1] * b->dim[1] / a->dim[1];
        float sum = 0;
        for (int64_t k = 0; k < products && i[2] < rows && i[3] < columns; k++)
            sum += x[index_of(a, (int64_t[]){i[0], i[1], i[2], k})] * y[index_of(b, (int64_t[]){i[0], head, k, i[3]})];
        v[index_of(to, i)] = sum;
    } while (next(to->dim, i));
    write(r, o->to, v);
}

static void run_reduction(running *r, const standin_op *o)
{
    const standin_tensor *to = tensor(r, o->to), *from = tensor(r, o->x);
    const int most = o->mode == PAWL_CUDNN_REDUCE_TENSOR_MAX;
    const float *x = read(r, o->x);
    float *v = new_values(to);
    int64_t i[4] = {0}, here[4];
    for (int64_t n = 0; n < count_of(to); n++) v[n] = most ? -INFINITY : 0;
    do {
        for (int d = 0; d < 4; d++) here[d] = i[d] * to->dim[d] / from->dim[d];
        float *sum = &v[index_of(to, here)];
        const float next_one = x[index_of(from, i)];
        if (!most) *sum += next_one;
        else if (next_one > *sum) *sum = next_one;
    } while (next(from->dim, i));
    write(r, o->to, v);
}

static void run_turn(running *r, const standin_op *o)
{
    const standin_tensor *to = tensor(r, o->to), *from = tensor(r, o->x);
    const float *x = read(r, o->x);
    float *v = new_values(to);
    int64_t i[4] = {0};
    do v[index_of(to, i)] = x[index_of(from, (int64_t[]){i[0], i[1], i[3], i[2]})];
    while (next(to->dim, i));
    write(r, o->to, v);
}

void standin_compute(void *arg)
{
    static void (*const run[])(running *, const standin_op *) = {
        [STANDIN_POINTWISE] = run_pointwise, [STANDIN_PRODUCT] = run_product, [STANDIN_REDUCTION] = run_reduction, [STANDIN_TURN] = run_turn};
    running r = {.call = arg};
    const standin_program *p = r.call->program;
    for (int i = 0; i < p->op_count; i++) run[p->ops[i].kind](&r, &p->ops[i]);
    for (int i = 0; i < p->tensor_count; i++) free(r.values[i]);
}
