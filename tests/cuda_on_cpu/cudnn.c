/* cuDNN's graphs without a GPU: descriptors are what they were set to be, and a graph is computed operation by operation, by the
 * definition, on the stand-in's streams. What the real one refuses is refused; of packed tensors, what is behind a sequence's end reads as NaN
 * and is never written. Of the three ways that are proposed the first adds in any order, the second cannot be made into a plan. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/bf16_rule.h"
#include "ops/cuda/cudnn_abi.h"
#include "tests/cuda_on_cpu/cudnn_program.h"
#include "tests/cuda_on_cpu/standin.h"

enum { BAD = 2000, WORKSPACE = 4096, WAYS = 3, ATTRIBUTES = 8 };

struct standin_cudnn {
    cudaStream_t stream;
};

typedef struct attribute {
    int name, count;
    void *values;
} attribute;

typedef struct descriptor {
    int kind, is_final;
    attribute attributes[ATTRIBUTES];
    int way;                  /* of configurations and engines: which */
    const standin_program *program; /* of configurations and plans */
} descriptor;

/* Which attributes a descriptor has, their types, and whether it must be given them. */
#define D(name) PAWL_CUDNN_BACKEND_##name##_DESCRIPTOR
#define A(name) PAWL_CUDNN_ATTR_##name
#define T(name) PAWL_CUDNN_TYPE_##name
static const struct rule {
    int kind, name, type, needed;
} rules[] = {
    {D(TENSOR), A(TENSOR_UNIQUE_ID), T(INT64), 1},
    {D(TENSOR), A(TENSOR_DATA_TYPE), T(DATA_TYPE), 1},
    {D(TENSOR), A(TENSOR_DIMENSIONS), T(INT64), 1},
    {D(TENSOR), A(TENSOR_STRIDES), T(INT64), 1},
    {D(TENSOR), A(TENSOR_BYTE_ALIGNMENT), T(INT64), 1},
    {D(TENSOR), A(TENSOR_IS_VIRTUAL), T(BOOLEAN), 0},
    {D(TENSOR), A(TENSOR_IS_BY_VALUE), T(BOOLEAN), 0},
    {D(TENSOR), A(TENSOR_RAGGED_OFFSET_DESC), T(BACKEND_DESCRIPTOR), 0},
    {D(POINTWISE), A(POINTWISE_MODE), T(POINTWISE_MODE), 1},
    {D(POINTWISE), A(POINTWISE_MATH_PREC), T(DATA_TYPE), 1},
    {D(POINTWISE), A(POINTWISE_AXIS), T(INT64), 0},
    {D(OPERATION_POINTWISE), A(OPERATION_POINTWISE_PW_DESCRIPTOR), T(BACKEND_DESCRIPTOR), 1},
    {D(OPERATION_POINTWISE), A(OPERATION_POINTWISE_XDESC), T(BACKEND_DESCRIPTOR), 1},
    {D(OPERATION_POINTWISE), A(OPERATION_POINTWISE_BDESC), T(BACKEND_DESCRIPTOR), 0},
    {D(OPERATION_POINTWISE), A(OPERATION_POINTWISE_TDESC), T(BACKEND_DESCRIPTOR), 0},
    {D(OPERATION_POINTWISE), A(OPERATION_POINTWISE_YDESC), T(BACKEND_DESCRIPTOR), 1},
    {D(MATMUL), A(MATMUL_COMP_TYPE), T(DATA_TYPE), 1},
    {D(MATMUL), A(MATMUL_PADDING_VALUE), T(DOUBLE), 0},
    {D(OPERATION_MATMUL), A(OPERATION_MATMUL_DESC), T(BACKEND_DESCRIPTOR), 1},
    {D(OPERATION_MATMUL), A(OPERATION_MATMUL_ADESC), T(BACKEND_DESCRIPTOR), 1},
    {D(OPERATION_MATMUL), A(OPERATION_MATMUL_BDESC), T(BACKEND_DESCRIPTOR), 1},
    {D(OPERATION_MATMUL), A(OPERATION_MATMUL_CDESC), T(BACKEND_DESCRIPTOR), 1},
    {D(OPERATION_MATMUL), A(OPERATION_MATMUL_GEMM_M_OVERRIDE_DESC), T(BACKEND_DESCRIPTOR), 0},
    {D(OPERATION_MATMUL), A(OPERATION_MATMUL_GEMM_N_OVERRIDE_DESC), T(BACKEND_DESCRIPTOR), 0},
    {D(OPERATION_MATMUL), A(OPERATION_MATMUL_GEMM_K_OVERRIDE_DESC), T(BACKEND_DESCRIPTOR), 0},
    {D(REDUCTION), A(REDUCTION_OPERATOR), T(REDUCTION_OPERATOR_TYPE), 1},
    {D(REDUCTION), A(REDUCTION_COMP_TYPE), T(DATA_TYPE), 1},
    {D(OPERATION_REDUCTION), A(OPERATION_REDUCTION_DESC), T(BACKEND_DESCRIPTOR), 1},
    {D(OPERATION_REDUCTION), A(OPERATION_REDUCTION_XDESC), T(BACKEND_DESCRIPTOR), 1},
    {D(OPERATION_REDUCTION), A(OPERATION_REDUCTION_YDESC), T(BACKEND_DESCRIPTOR), 1},
    {D(OPERATION_RESHAPE), A(OPERATION_RESHAPE_XDESC), T(BACKEND_DESCRIPTOR), 1},
    {D(OPERATION_RESHAPE), A(OPERATION_RESHAPE_YDESC), T(BACKEND_DESCRIPTOR), 1},
    {D(OPERATIONGRAPH), A(OPERATIONGRAPH_OPS), T(BACKEND_DESCRIPTOR), 1},
    {D(OPERATIONGRAPH), A(OPERATIONGRAPH_HANDLE), T(HANDLE), 1},
    {D(ENGINEHEUR), A(ENGINEHEUR_OPERATION_GRAPH), T(BACKEND_DESCRIPTOR), 1},
    {D(ENGINEHEUR), A(ENGINEHEUR_MODE), T(HEUR_MODE), 1},
    {D(EXECUTION_PLAN), A(EXECUTION_PLAN_HANDLE), T(HANDLE), 1},
    {D(EXECUTION_PLAN), A(EXECUTION_PLAN_ENGINE_CONFIG), T(BACKEND_DESCRIPTOR), 1},
    {D(VARIANT_PACK), A(VARIANT_PACK_UNIQUE_IDS), T(INT64), 1},
    {D(VARIANT_PACK), A(VARIANT_PACK_DATA_POINTERS), T(VOID_PTR), 1},
    {D(VARIANT_PACK), A(VARIANT_PACK_WORKSPACE), T(VOID_PTR), 1},
};

static size_t bytes_of(int type)
{
    switch (type) {
    case T(BOOLEAN): return sizeof(_Bool);
    case T(DATA_TYPE):
    case T(POINTWISE_MODE):
    case T(HEUR_MODE):
    case T(REDUCTION_OPERATOR_TYPE): return sizeof(int);
    default: return 8;
    }
}

static const attribute *find(const descriptor *d, int name)
{
    for (int i = 0; i < ATTRIBUTES; i++)
        if (d->attributes[i].values && d->attributes[i].name == name) return &d->attributes[i];
    return NULL;
}

static int64_t int_of(const descriptor *d, int name)
{
    const attribute *a = find(d, name);
    return a ? *(const int64_t *)a->values : 0;
}

static int enum_of(const descriptor *d, int name)
{
    return *(const int *)find(d, name)->values;
}

static const descriptor *other(const descriptor *d, int name)
{
    const attribute *a = find(d, name);
    return a ? *(const descriptor *const *)a->values : NULL;
}

/* ---- from descriptors to a program ---- */

static int add_tensor(standin_program *p, const descriptor *d)
{
    if (!d) return -1;
    const int64_t id = int_of(d, A(TENSOR_UNIQUE_ID));
    for (int i = 0; i < p->tensor_count; i++)
        if (p->tensors[i].id == id) return i;
    const int ragged = add_tensor(p, other(d, A(TENSOR_RAGGED_OFFSET_DESC)));
    standin_tensor *t = &p->tensors[p->tensor_count];
    *t = (standin_tensor){.id = id, .type = enum_of(d, A(TENSOR_DATA_TYPE)), .ragged = ragged};
    memcpy(t->dim, find(d, A(TENSOR_DIMENSIONS))->values, sizeof t->dim);
    memcpy(t->stride, find(d, A(TENSOR_STRIDES))->values, sizeof t->stride);
    t->is_virtual = find(d, A(TENSOR_IS_VIRTUAL)) != NULL;
    t->is_scalar = find(d, A(TENSOR_IS_BY_VALUE)) != NULL;
    return p->tensor_count++;
}

static int add_other(standin_program *p, const descriptor *op, int name)
{
    return add_tensor(p, other(op, name));
}

static standin_op op_of(standin_program *p, const descriptor *op)
{
    standin_op o = {.x = -1, .b = -1, .select = -1, .m = -1, .n = -1, .k = -1};
    if (op->kind == D(OPERATION_POINTWISE)) {
        const descriptor *how = other(op, A(OPERATION_POINTWISE_PW_DESCRIPTOR));
        o.mode = enum_of(how, A(POINTWISE_MODE));
        o.axis = (int)int_of(how, A(POINTWISE_AXIS));
        o.x = add_other(p, op, A(OPERATION_POINTWISE_XDESC));
        o.b = add_other(p, op, A(OPERATION_POINTWISE_BDESC));
        o.select = add_other(p, op, A(OPERATION_POINTWISE_TDESC));
        o.to = add_other(p, op, A(OPERATION_POINTWISE_YDESC));
    } else if (op->kind == D(OPERATION_MATMUL)) {
        o.kind = STANDIN_PRODUCT;
        o.x = add_other(p, op, A(OPERATION_MATMUL_ADESC));
        o.b = add_other(p, op, A(OPERATION_MATMUL_BDESC));
        o.m = add_other(p, op, A(OPERATION_MATMUL_GEMM_M_OVERRIDE_DESC));
        o.n = add_other(p, op, A(OPERATION_MATMUL_GEMM_N_OVERRIDE_DESC));
        o.k = add_other(p, op, A(OPERATION_MATMUL_GEMM_K_OVERRIDE_DESC));
        o.to = add_other(p, op, A(OPERATION_MATMUL_CDESC));
    } else if (op->kind == D(OPERATION_REDUCTION)) {
        o.kind = STANDIN_REDUCTION;
        o.mode = enum_of(other(op, A(OPERATION_REDUCTION_DESC)), A(REDUCTION_OPERATOR));
        o.x = add_other(p, op, A(OPERATION_REDUCTION_XDESC));
        o.to = add_other(p, op, A(OPERATION_REDUCTION_YDESC));
    } else {
        o.kind = STANDIN_TURN;
        o.x = add_other(p, op, A(OPERATION_RESHAPE_XDESC));
        o.to = add_other(p, op, A(OPERATION_RESHAPE_YDESC));
    }
    return o;
}

/* Programs stay: work that is late reads them. */
static const standin_program *program_of(const descriptor *graph)
{
    const attribute *ops = find(graph, A(OPERATIONGRAPH_OPS));
    standin_program *p = calloc(1, sizeof *p);
    if (!p || ops->count > STANDIN_OPS) abort();
    for (int i = 0; i < ops->count; i++) p->ops[p->op_count++] = op_of(p, ((const descriptor *const *)ops->values)[i]);
    return p;
}

/* As the real one: columns of real bf16 tensors in eights. */
static int is_known(const standin_program *p)
{
    for (int i = 0; i < p->tensor_count; i++) {
        const standin_tensor *t = &p->tensors[i];
        const int columns = t->stride[3] == 1 ? 3 : 2;
        if (!t->is_virtual && t->type == PAWL_CUDNN_DATA_BFLOAT16 && (t->stride[columns] != 1 || t->dim[columns] % 8 != 0)) return 0;
    }
    return standin_is_in_order(p);
}

/* ---- the library's names ---- */

#define EXPORT __attribute__((visibility("default")))
#define DECLARE(name, type, parameters) EXPORT type cudnn##name parameters;
PAWL_CUDNN_CALLS(DECLARE)

size_t cudnnGetVersion(void)
{
    return 91900;
}

const char *cudnnGetErrorString(int status)
{
    return status == PAWL_CUDNN_SUCCESS ? "success" : status == BAD ? "bad parameter" : "not supported";
}

void cudnnGetLastErrorString(char *message, size_t most)
{
    if (most) message[0] = '\0';
}

int cudnnCreate(void **handle)
{
    *handle = calloc(1, sizeof(struct standin_cudnn));
    return *handle ? PAWL_CUDNN_SUCCESS : PAWL_CUDNN_INTERNAL;
}

int cudnnDestroy(void *handle)
{
    free(handle);
    return PAWL_CUDNN_SUCCESS;
}

int cudnnSetStream(void *handle, void *stream)
{
    ((struct standin_cudnn *)handle)->stream = stream;
    return PAWL_CUDNN_SUCCESS;
}

int cudnnBackendCreateDescriptor(int kind, pawl_cudnn_descriptor *out)
{
    descriptor *d = calloc(1, sizeof *d);
    if (!d) return PAWL_CUDNN_INTERNAL;
    d->kind = kind;
    *out = d;
    return PAWL_CUDNN_SUCCESS;
}

int cudnnBackendDestroyDescriptor(pawl_cudnn_descriptor which)
{
    descriptor *d = which;
    for (int i = 0; i < ATTRIBUTES; i++) free(d->attributes[i].values);
    free(d);
    return PAWL_CUDNN_SUCCESS;
}

static int all_final(const attribute *a)
{
    for (int i = 0; i < a->count; i++)
        if (!((const descriptor *const *)a->values)[i]->is_final) return 0;
    return 1;
}

int cudnnBackendSetAttribute(pawl_cudnn_descriptor which, int name, int type, int64_t count, const void *values)
{
    descriptor *d = which;
    const struct rule *r = rules, *end = rules + sizeof rules / sizeof *rules;
    while (r < end && (r->kind != d->kind || r->name != name)) r++;
    if (r == end || r->type != type || d->is_final || count < 1 || find(d, name)) return BAD;
    if ((name == A(TENSOR_DIMENSIONS) || name == A(TENSOR_STRIDES)) && count != 4) return BAD;
    attribute *a = d->attributes;
    while (a->values) a++;
    *a = (attribute){name, (int)count, malloc((size_t)count * bytes_of(type))};
    if (!a->values) abort();
    memcpy(a->values, values, (size_t)count * bytes_of(type));
    return type != T(BACKEND_DESCRIPTOR) || all_final(a) ? PAWL_CUDNN_SUCCESS : BAD;
}

int cudnnBackendFinalize(pawl_cudnn_descriptor which)
{
    descriptor *d = which;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].kind == d->kind && rules[i].needed && !find(d, rules[i].name)) return BAD;
    if (d->kind == D(EXECUTION_PLAN)) {
        const descriptor *way = other(d, A(EXECUTION_PLAN_ENGINE_CONFIG));
        if (way->way != WAYS - 1) return way->way == 0 ? BAD : PAWL_CUDNN_NOT_SUPPORTED;
        d->program = way->program;
    }
    if (d->kind == D(VARIANT_PACK) && find(d, A(VARIANT_PACK_UNIQUE_IDS))->count != find(d, A(VARIANT_PACK_DATA_POINTERS))->count) return BAD;
    d->is_final = 1;
    return PAWL_CUDNN_SUCCESS;
}

static int propose(const descriptor *heuristics, int64_t asked, int64_t *count, void *const *out)
{
    const standin_program *p = program_of(other(heuristics, A(ENGINEHEUR_OPERATION_GRAPH)));
    *count = 0;
    for (int i = 0; is_known(p) && i < WAYS && i < asked; i++) {
        descriptor *way = out[i];
        if (way->kind != D(ENGINECFG)) return BAD;
        way->way = i;
        way->program = p;
        way->is_final = 1;
        ++*count;
    }
    return PAWL_CUDNN_SUCCESS;
}

int cudnnBackendGetAttribute(pawl_cudnn_descriptor which, int name, int type, int64_t asked, int64_t *count, void *values)
{
    const descriptor *d = which;
    const int64_t needs = WORKSPACE;
    const int note = PAWL_CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
    if (!d->is_final) return BAD;
    *count = 1;
    if (name == A(ENGINEHEUR_RESULTS) && type == T(BACKEND_DESCRIPTOR)) return propose(d, asked, count, values);
    if (name == A(ENGINECFG_ENGINE) && type == T(BACKEND_DESCRIPTOR)) {
        descriptor *engine = *(void **)values;
        engine->way = d->way;
        engine->is_final = 1;
    } else if (name == A(ENGINE_NUMERICAL_NOTE) && type == T(NUMERICAL_NOTE)) {
        *count = d->way == 0;
        if (*count) memcpy(values, &note, sizeof note);
    } else if ((name == A(EXECUTION_PLAN_WORKSPACE_SIZE) || name == A(ENGINECFG_WORKSPACE_SIZE)) && type == T(INT64)) {
        memcpy(values, &needs, sizeof needs);
    } else {
        return BAD;
    }
    return PAWL_CUDNN_SUCCESS;
}

static int index_of(const standin_program *p, int64_t id)
{
    for (int i = 0; i < p->tensor_count; i++)
        if (p->tensors[i].id == id && !p->tensors[i].is_virtual) return i;
    return -1;
}

/* Every real tensor is given once, on 16 bytes of the device's memory; scalars are read now. */
static int take_arguments(standin_call *call, const descriptor *pack)
{
    const attribute *ids = find(pack, A(VARIANT_PACK_UNIQUE_IDS));
    void *const *at = find(pack, A(VARIANT_PACK_DATA_POINTERS))->values;
    int given = 0, wanted = 0;
    for (int i = 0; i < call->program->tensor_count; i++) wanted += !call->program->tensors[i].is_virtual;
    for (int i = 0; i < ids->count; i++) {
        const int which = index_of(call->program, ((const int64_t *)ids->values)[i]);
        if (which < 0 || call->at[which]) return 0;
        call->at[which] = at[i];
        given++;
        if (call->program->tensors[which].is_scalar) call->scalar[which] = *(const float *)at[i];
        else if ((uintptr_t)at[i] % 16 != 0 || !standin_on_device(at[i], 4)) return 0;
    }
    return given == wanted;
}

int cudnnBackendExecute(void *handle, pawl_cudnn_descriptor plan, pawl_cudnn_descriptor pack)
{
    const descriptor *d = plan, *p = pack;
    standin_call call = {.program = d->program};
    void *workspace;
    if (d->kind != D(EXECUTION_PLAN) || p->kind != D(VARIANT_PACK) || !d->is_final || !p->is_final) return BAD;
    memcpy(&workspace, find(p, A(VARIANT_PACK_WORKSPACE))->values, sizeof workspace);
    if (!standin_on_device(workspace, WORKSPACE) || !take_arguments(&call, p)) return BAD;
    standin_put(((struct standin_cudnn *)handle)->stream, standin_compute, &call, sizeof call);
    return PAWL_CUDNN_SUCCESS;
}
