/* cuDNN is loaded, not linked. Its graph interface is one of descriptors: created, given attributes, finalised. */
#include "ops/cuda/cudnn.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

enum { OLDEST = 91100, ALIGNMENT = 16, WAYS = 16, NOTES = 16 };

/* ---- the library ---- */

static pawl_status load(const char *library, pawl_cudnn *c)
{
    void *at = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    PAWL_CHECK(at, PAWL_EUSAGE, "cuDNN cannot be loaded: %s", dlerror());
#define FIND(name, type, parameters)                    \
    *(void **)&c->name = dlsym(at, "cudnn" #name);      \
    PAWL_CHECK(c->name, PAWL_EUSAGE, "%s has no function cudnn" #name ": cuDNN 9.11 or later is needed", library);
    PAWL_CUDNN_CALLS(FIND)
#undef FIND
    const size_t version = c->GetVersion();
    PAWL_CHECK(version >= OLDEST, PAWL_EUSAGE, "%s is cuDNN %zu.%zu: 9.11 or later is needed", library, version / 10000, version / 100 % 100);
    return PAWL_OK;
}

static pawl_status said(const pawl_cudnn *c, int status, const char *call)
{
    char more[256] = "";
    if (status == PAWL_CUDNN_SUCCESS) return PAWL_OK;
    c->GetLastErrorString(more, sizeof more);
    more[sizeof more - 1] = '\0';
    return PAWL_FAIL(PAWL_EBUG, "%s failed: %s %s", call, c->GetErrorString(status), more);
}

pawl_status pawl_cudnn_open(const char *library, void *stream, pawl_cudnn *out)
{
    *out = (pawl_cudnn){0};
    PAWL_TRY(load(library, out));
    pawl_status s = said(out, out->Create(&out->handle), "cudnnCreate");
    if (s == PAWL_OK) s = said(out, out->SetStream(out->handle, stream), "cudnnSetStream");
    if (s != PAWL_OK) pawl_cudnn_close(out);
    return s;
}

static pawl_status describe_gpu(pawl_cudnn *c, const char *json)
{
    PAWL_TRY(said(c, c->BackendCreateDescriptor(PAWL_CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &c->described), "cudnnBackendCreateDescriptor"));
    PAWL_TRY(said(c,
                  c->BackendSetAttribute(c->described, PAWL_CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, PAWL_CUDNN_TYPE_CHAR, (int64_t)strlen(json), json),
                  "cudnnBackendSetAttribute of a device's properties"));
    return said(c, c->BackendFinalize(c->described), "cudnnBackendFinalize of a device's properties");
}

pawl_status pawl_cudnn_open_described(const char *library, const char *json, pawl_cudnn *out)
{
    *out = (pawl_cudnn){0};
    PAWL_TRY(load(library, out));
    const pawl_status s = describe_gpu(out, json);
    if (s != PAWL_OK) pawl_cudnn_close(out);
    return s;
}

void pawl_cudnn_close(pawl_cudnn *c)
{
    if (c->described) (void)c->BackendDestroyDescriptor(c->described);
    if (c->handle) (void)c->Destroy(c->handle);
    *c = (pawl_cudnn){0};
}

void pawl_cudnn_describe(const pawl_cudnn *c, char *out, size_t room)
{
    const size_t v = c->GetVersion();
    snprintf(out, room, "cudnn %zu.%zu.%zu", v / 10000, v / 100 % 100, v % 100);
}

/* ---- descriptors ---- */

/* What cuDNN does not know ends the building, too, but is no error. */
static void check(pawl_graph *g, int status, const char *call)
{
    if (status >= PAWL_CUDNN_NOT_SUPPORTED && status < PAWL_CUDNN_INTERNAL) g->unsupported = 1;
    else g->status = said(g->lib, status, call);
}

static int goes_on(const pawl_graph *g)
{
    return g->status == PAWL_OK && !g->unsupported;
}

static pawl_cudnn_descriptor create(pawl_graph *g, int kind)
{
    pawl_cudnn_descriptor d = NULL;
    if (!goes_on(g)) return NULL;
    PAWL_ASSERT(g->held_count < PAWL_CUDNN_HELD);
    check(g, g->lib->BackendCreateDescriptor(kind, &d), "cudnnBackendCreateDescriptor");
    if (d) g->held[g->held_count++] = d;
    return d;
}

static void set(pawl_graph *g, pawl_cudnn_descriptor d, int name, int type, int64_t count, const void *values)
{
    if (goes_on(g)) check(g, g->lib->BackendSetAttribute(d, name, type, count, values), "cudnnBackendSetAttribute");
}

static void set_int(pawl_graph *g, pawl_cudnn_descriptor d, int name, int64_t value)
{
    set(g, d, name, PAWL_CUDNN_TYPE_INT64, 1, &value);
}

static void set_type(pawl_graph *g, pawl_cudnn_descriptor d, int name, int type)
{
    set(g, d, name, PAWL_CUDNN_TYPE_DATA_TYPE, 1, &type);
}

static void set_flag(pawl_graph *g, pawl_cudnn_descriptor d, int name)
{
    const _Bool yes = 1;
    set(g, d, name, PAWL_CUDNN_TYPE_BOOLEAN, 1, &yes);
}

/* NULL: it is left out. */
static void set_other(pawl_graph *g, pawl_cudnn_descriptor d, int name, pawl_cudnn_descriptor other)
{
    if (other) set(g, d, name, PAWL_CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &other);
}

static void finalize(pawl_graph *g, pawl_cudnn_descriptor d, const char *what)
{
    if (goes_on(g)) check(g, g->lib->BackendFinalize(d), what);
}

/* ---- tensors ---- */

static pawl_cudnn_descriptor begin_tensor(pawl_graph *g, int64_t id, int type, const pawl_extent *e)
{
    const pawl_cudnn_descriptor t = create(g, PAWL_CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    set_int(g, t, PAWL_CUDNN_ATTR_TENSOR_UNIQUE_ID, id);
    set_type(g, t, PAWL_CUDNN_ATTR_TENSOR_DATA_TYPE, type);
    set(g, t, PAWL_CUDNN_ATTR_TENSOR_DIMENSIONS, PAWL_CUDNN_TYPE_INT64, 4, e->dim);
    set(g, t, PAWL_CUDNN_ATTR_TENSOR_STRIDES, PAWL_CUDNN_TYPE_INT64, 4, e->stride);
    set_int(g, t, PAWL_CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, ALIGNMENT);
    return t;
}

pawl_cudnn_descriptor pawl_graph_real(pawl_graph *g, int64_t id, int type, const pawl_extent *e, pawl_cudnn_descriptor ragged)
{
    const pawl_cudnn_descriptor t = begin_tensor(g, id, type, e);
    set_other(g, t, PAWL_CUDNN_ATTR_TENSOR_RAGGED_OFFSET_DESC, ragged);
    finalize(g, t, "cudnnBackendFinalize of a tensor");
    return t;
}

pawl_cudnn_descriptor pawl_graph_scalar(pawl_graph *g, int64_t id, int type)
{
    static const pawl_extent one = {{1, 1, 1, 1}, {1, 1, 1, 1}};
    const pawl_cudnn_descriptor t = begin_tensor(g, id, type, &one);
    set_flag(g, t, PAWL_CUDNN_ATTR_TENSOR_IS_BY_VALUE);
    finalize(g, t, "cudnnBackendFinalize of a scalar");
    return t;
}

pawl_cudnn_descriptor pawl_graph_virtual(pawl_graph *g, int type, const pawl_extent *e, pawl_cudnn_descriptor ragged)
{
    const pawl_cudnn_descriptor t = begin_tensor(g, 1000 + g->virtuals++, type, e);
    set_flag(g, t, PAWL_CUDNN_ATTR_TENSOR_IS_VIRTUAL);
    set_other(g, t, PAWL_CUDNN_ATTR_TENSOR_RAGGED_OFFSET_DESC, ragged);
    finalize(g, t, "cudnnBackendFinalize of a virtual tensor");
    return t;
}

/* ---- operations ---- */

static void add_op(pawl_graph *g, pawl_cudnn_descriptor op, const char *what)
{
    finalize(g, op, what);
    PAWL_ASSERT(g->op_count < PAWL_CUDNN_OPS);
    g->ops[g->op_count++] = op;
}

static void pointwise(pawl_graph *g, int mode, int64_t axis, int precision, pawl_cudnn_descriptor x, pawl_cudnn_descriptor b,
                      pawl_cudnn_descriptor select, pawl_cudnn_descriptor to)
{
    const pawl_cudnn_descriptor how = create(g, PAWL_CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    set(g, how, PAWL_CUDNN_ATTR_POINTWISE_MODE, PAWL_CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    set_type(g, how, PAWL_CUDNN_ATTR_POINTWISE_MATH_PREC, precision);
    if (mode == PAWL_CUDNN_POINTWISE_GEN_INDEX) set_int(g, how, PAWL_CUDNN_ATTR_POINTWISE_AXIS, axis);
    finalize(g, how, "cudnnBackendFinalize of a pointwise mode");
    const pawl_cudnn_descriptor op = create(g, PAWL_CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    set_other(g, op, PAWL_CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how);
    set_other(g, op, PAWL_CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    set_other(g, op, PAWL_CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
    set_other(g, op, PAWL_CUDNN_ATTR_OPERATION_POINTWISE_TDESC, select);
    set_other(g, op, PAWL_CUDNN_ATTR_OPERATION_POINTWISE_YDESC, to);
    add_op(g, op, "cudnnBackendFinalize of a pointwise operation");
}

void pawl_graph_pointwise(pawl_graph *g, int mode, int precision, pawl_cudnn_descriptor x, pawl_cudnn_descriptor b,
                          pawl_cudnn_descriptor select, pawl_cudnn_descriptor to)
{
    pointwise(g, mode, 0, precision, x, b, select, to);
}

void pawl_graph_index(pawl_graph *g, int64_t axis, int precision, pawl_cudnn_descriptor x, pawl_cudnn_descriptor to)
{
    pointwise(g, PAWL_CUDNN_POINTWISE_GEN_INDEX, axis, precision, x, NULL, NULL, to);
}

void pawl_graph_product(pawl_graph *g, pawl_cudnn_descriptor a, pawl_cudnn_descriptor b, pawl_cudnn_descriptor m,
                        pawl_cudnn_descriptor n, pawl_cudnn_descriptor k, pawl_cudnn_descriptor to)
{
    const double padding = 0;
    const pawl_cudnn_descriptor how = create(g, PAWL_CUDNN_BACKEND_MATMUL_DESCRIPTOR);
    set_type(g, how, PAWL_CUDNN_ATTR_MATMUL_COMP_TYPE, PAWL_CUDNN_DATA_FLOAT);
    if (m && n) set(g, how, PAWL_CUDNN_ATTR_MATMUL_PADDING_VALUE, PAWL_CUDNN_TYPE_DOUBLE, 1, &padding);
    finalize(g, how, "cudnnBackendFinalize of a product's mode");
    const pawl_cudnn_descriptor op = create(g, PAWL_CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
    set_other(g, op, PAWL_CUDNN_ATTR_OPERATION_MATMUL_DESC, how);
    set_other(g, op, PAWL_CUDNN_ATTR_OPERATION_MATMUL_ADESC, a);
    set_other(g, op, PAWL_CUDNN_ATTR_OPERATION_MATMUL_BDESC, b);
    set_other(g, op, PAWL_CUDNN_ATTR_OPERATION_MATMUL_CDESC, to);
    set_other(g, op, PAWL_CUDNN_ATTR_OPERATION_MATMUL_GEMM_M_OVERRIDE_DESC, m);
    set_other(g, op, PAWL_CUDNN_ATTR_OPERATION_MATMUL_GEMM_N_OVERRIDE_DESC, n);
    set_other(g, op, PAWL_CUDNN_ATTR_OPERATION_MATMUL_GEMM_K_OVERRIDE_DESC, k);
    add_op(g, op, "cudnnBackendFinalize of a product");
}

void pawl_graph_reduce(pawl_graph *g, int reduction, pawl_cudnn_descriptor x, pawl_cudnn_descriptor to)
{
    const pawl_cudnn_descriptor how = create(g, PAWL_CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
    set(g, how, PAWL_CUDNN_ATTR_REDUCTION_OPERATOR, PAWL_CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &reduction);
    set_type(g, how, PAWL_CUDNN_ATTR_REDUCTION_COMP_TYPE, PAWL_CUDNN_DATA_FLOAT);
    finalize(g, how, "cudnnBackendFinalize of a reduction's mode");
    const pawl_cudnn_descriptor op = create(g, PAWL_CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
    set_other(g, op, PAWL_CUDNN_ATTR_OPERATION_REDUCTION_DESC, how);
    set_other(g, op, PAWL_CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x);
    set_other(g, op, PAWL_CUDNN_ATTR_OPERATION_REDUCTION_YDESC, to);
    add_op(g, op, "cudnnBackendFinalize of a reduction");
}

void pawl_graph_turn(pawl_graph *g, pawl_cudnn_descriptor x, pawl_cudnn_descriptor to)
{
    const pawl_cudnn_descriptor op = create(g, PAWL_CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
    set_other(g, op, PAWL_CUDNN_ATTR_OPERATION_RESHAPE_XDESC, x);
    set_other(g, op, PAWL_CUDNN_ATTR_OPERATION_RESHAPE_YDESC, to);
    add_op(g, op, "cudnnBackendFinalize of a reshape");
}

void pawl_graph_close(pawl_graph *g)
{
    while (g->held_count) (void)g->lib->BackendDestroyDescriptor(g->held[--g->held_count]);
}

/* ---- plans ---- */

static void finish(pawl_graph *g)
{
    if (g->whole) return;
    g->whole = create(g, PAWL_CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    set(g, g->whole, PAWL_CUDNN_ATTR_OPERATIONGRAPH_OPS, PAWL_CUDNN_TYPE_BACKEND_DESCRIPTOR, g->op_count, g->ops);
    if (g->lib->handle) set(g, g->whole, PAWL_CUDNN_ATTR_OPERATIONGRAPH_HANDLE, PAWL_CUDNN_TYPE_HANDLE, 1, &g->lib->handle);
    finalize(g, g->whole, "cudnnBackendFinalize of a graph");
}

/* Configurations of engines, which cuDNN wants to fill in; returns how many it did. */
static int64_t propose(pawl_graph *g, pawl_cudnn_descriptor out[WAYS])
{
    const int mode = PAWL_CUDNN_HEUR_MODE_A;
    int64_t count = 0;
    finish(g);
    const pawl_cudnn_descriptor heuristics = create(g, PAWL_CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    set_other(g, heuristics, PAWL_CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, g->whole);
    set(g, heuristics, PAWL_CUDNN_ATTR_ENGINEHEUR_MODE, PAWL_CUDNN_TYPE_HEUR_MODE, 1, &mode);
    if (!g->lib->handle) set_other(g, heuristics, PAWL_CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, g->lib->described);
    finalize(g, heuristics, "cudnnBackendFinalize of heuristics");
    for (int i = 0; i < WAYS; i++) out[i] = create(g, PAWL_CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    if (goes_on(g))
        check(g,
              g->lib->BackendGetAttribute(heuristics, PAWL_CUDNN_ATTR_ENGINEHEUR_RESULTS, PAWL_CUDNN_TYPE_BACKEND_DESCRIPTOR, WAYS, &count, out),
              "cudnnBackendGetAttribute of heuristics");
    return goes_on(g) ? count : 0;
}

/* Whether an engine says that it adds in the order in which parts come. */
static int in_any_order(pawl_graph *g, pawl_cudnn_descriptor way)
{
    int notes[NOTES];
    int64_t count = 0, one = 0;
    pawl_cudnn_descriptor engine = create(g, PAWL_CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    if (!goes_on(g)) return 1;
    check(g, g->lib->BackendGetAttribute(way, PAWL_CUDNN_ATTR_ENGINECFG_ENGINE, PAWL_CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &one, &engine),
          "cudnnBackendGetAttribute of a configuration");
    if (goes_on(g))
        check(g, g->lib->BackendGetAttribute(engine, PAWL_CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, PAWL_CUDNN_TYPE_NUMERICAL_NOTE, NOTES, &count, notes),
              "cudnnBackendGetAttribute of an engine");
    for (int64_t i = 0; i < count; i++)
        if (notes[i] == PAWL_CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC) return 1;
    return !goes_on(g);
}

/* Only those that add in a fixed order; returns how many. */
static int ways_of(pawl_graph *g, pawl_cudnn_descriptor out[WAYS])
{
    const int64_t count = propose(g, out);
    int kept = 0;
    for (int64_t i = 0; i < count; i++)
        if (!in_any_order(g, out[i])) out[kept++] = out[i];
    return goes_on(g) ? kept : 0;
}

pawl_status pawl_graph_ways(pawl_graph *g, int *count, int64_t *bytes)
{
    pawl_cudnn_descriptor ways[WAYS];
    *count = ways_of(g, ways);
    *bytes = 0;
    for (int i = 0; i < *count; i++) {
        int64_t one = 0, needs = 0;
        check(g, g->lib->BackendGetAttribute(ways[i], PAWL_CUDNN_ATTR_ENGINECFG_WORKSPACE_SIZE, PAWL_CUDNN_TYPE_INT64, 1, &one, &needs),
              "cudnnBackendGetAttribute of a configuration's workspace");
        *bytes = needs > *bytes ? needs : *bytes;
    }
    return g->status;
}

static void make(pawl_graph *g, pawl_cudnn_descriptor way, pawl_graph_plan *out)
{
    int64_t one = 0;
    const pawl_cudnn_descriptor plan = create(g, PAWL_CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    set(g, plan, PAWL_CUDNN_ATTR_EXECUTION_PLAN_HANDLE, PAWL_CUDNN_TYPE_HANDLE, 1, &g->lib->handle);
    set_other(g, plan, PAWL_CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, way);
    finalize(g, plan, "cudnnBackendFinalize of a plan");
    if (goes_on(g))
        check(g, g->lib->BackendGetAttribute(plan, PAWL_CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, PAWL_CUDNN_TYPE_INT64, 1, &one, &out->workspace_bytes),
              "cudnnBackendGetAttribute of a plan");
    if (!goes_on(g)) return;
    out->plan = plan;
    g->held_count--; /* the plan lives on */
}

pawl_status pawl_graph_make(pawl_graph *g, pawl_graph_plan *out)
{
    pawl_cudnn_descriptor ways[WAYS];
    *out = (pawl_graph_plan){0};
    const int count = ways_of(g, ways);
    for (int i = 0; i < count && !out->plan && g->status == PAWL_OK; i++) {
        g->unsupported = 0;
        make(g, ways[i], out);
    }
    return g->status;
}

void pawl_plan_close(const pawl_cudnn *c, pawl_graph_plan *p)
{
    if (p->plan) (void)c->BackendDestroyDescriptor(p->plan);
    *p = (pawl_graph_plan){0};
}

pawl_status pawl_plan_run(const pawl_cudnn *c, const pawl_graph_plan *p, int count, const int64_t *ids, void *const *at, void *workspace)
{
    pawl_graph g = {.lib = c};
    const pawl_cudnn_descriptor pack = create(&g, PAWL_CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    set(&g, pack, PAWL_CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, PAWL_CUDNN_TYPE_INT64, count, ids);
    set(&g, pack, PAWL_CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, PAWL_CUDNN_TYPE_VOID_PTR, count, at);
    set(&g, pack, PAWL_CUDNN_ATTR_VARIANT_PACK_WORKSPACE, PAWL_CUDNN_TYPE_VOID_PTR, 1, &workspace);
    finalize(&g, pack, "cudnnBackendFinalize of arguments");
    if (goes_on(&g)) g.status = said(c, c->BackendExecute(c->handle, p->plan, pack), "cudnnBackendExecute");
    if (g.unsupported) g.status = PAWL_FAIL(PAWL_EBUG, "cuDNN does not take the arguments of a plan");
    pawl_graph_close(&g);
    return g.status;
}
