/* oneDNN's matmul primitives, one thread each. Version 2 has descriptors that are passed by value, version 3 opaque
 * ones: describe(), undescribe() and create() know the difference, nothing else does. */
#include <dnnl.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "ops/cpu/gemm.h"

typedef struct plan plan;

typedef struct dnnl {
    int threads;
    plan *free;  /* the first of those that are not in use */
    char *plans; /* PAWL_PLANS_MOST of them */
    dnnl_engine_t engine;
    dnnl_stream_t streams[]; /* one a thread */
} dnnl;

enum { A, B, C, BIAS, SCRATCH, ARGUMENTS };

struct plan {
    dnnl *library;
    plan *next; /* of those that are not in use */
    dnnl_primitive_t primitive;
    dnnl_memory_t memory[]; /* [threads][ARGUMENTS] */
};

#define TRY_DNNL(call)                                                                                                 \
    do {                                                                                                               \
        const dnnl_status_t s_ = (call);                                                                               \
        if (s_ != dnnl_success)                                                                                        \
            return PAWL_FAIL(s_ == dnnl_out_of_memory ? PAWL_EMEM : PAWL_EBUG, "oneDNN: %s failed with status %d",     \
                             #call, (int)s_);                                                                          \
    } while (0)

/* A matrix of rows x columns with that leading dimension, stored turned when transposed. */
typedef struct matrix {
    int64_t rows, columns, lead;
    int transposed;
    pawl_dtype type;
} matrix;

static dnnl_data_type_t type_of(matrix m)
{
    return m.type == PAWL_BF16 ? dnnl_bf16 : dnnl_f32;
}

#if DNNL_VERSION_MAJOR >= 3

typedef dnnl_memory_desc_t description;

static dnnl_status_t describe(description *d, matrix m)
{
    const dnnl_dims_t dims = {m.rows, m.columns}, strides = {m.transposed ? 1 : m.lead, m.transposed ? m.lead : 1};
    return dnnl_memory_desc_create_with_strides(d, 2, dims, type_of(m), strides);
}

static void undescribe(description *d)
{
    if (*d) dnnl_memory_desc_destroy(*d);
}

static dnnl_status_t create(const description d[SCRATCH], int biased, dnnl_primitive_attr_t attributes,
                            dnnl_engine_t engine, dnnl_primitive_desc_t *out)
{
    return dnnl_matmul_primitive_desc_create(out, engine, d[A], d[B], biased ? d[BIAS] : NULL, d[C], attributes);
}

static const_dnnl_memory_desc_t pointer_to(const description *d)
{
    return *d;
}

static dnnl_status_t point(dnnl_memory_t memory, const void *at, dnnl_stream_t stream)
{
    (void)stream;
    return dnnl_memory_set_data_handle(memory, (void *)(uintptr_t)at);
}

#else

typedef dnnl_memory_desc_t description;

static dnnl_status_t describe(description *d, matrix m)
{
    const dnnl_dims_t dims = {m.rows, m.columns}, strides = {m.transposed ? 1 : m.lead, m.transposed ? m.lead : 1};
    return dnnl_memory_desc_init_by_strides(d, 2, dims, type_of(m), strides);
}

static void undescribe(description *d)
{
    (void)d;
}

static dnnl_status_t create(const description d[SCRATCH], int biased, dnnl_primitive_attr_t attributes,
                            dnnl_engine_t engine, dnnl_primitive_desc_t *out)
{
    dnnl_matmul_desc_t matmul;
    const dnnl_status_t s = dnnl_matmul_desc_init(&matmul, &d[A], &d[B], biased ? &d[BIAS] : NULL, &d[C]);
    return s == dnnl_success ? dnnl_primitive_desc_create(out, &matmul, attributes, engine, NULL) : s;
}

static const dnnl_memory_desc_t *pointer_to(const description *d)
{
    return d;
}

static dnnl_status_t point(dnnl_memory_t memory, const void *at, dnnl_stream_t stream)
{
    return dnnl_memory_set_data_handle_v2(memory, (void *)(uintptr_t)at, stream);
}

#endif

static void close_dnnl(void *self)
{
    dnnl *d = self;
    for (int t = 0; t < d->threads; t++)
        if (d->streams[t]) dnnl_stream_destroy(d->streams[t]);
    if (d->engine) dnnl_engine_destroy(d->engine);
    pawl_free(d->plans);
    pawl_free(d);
}

static size_t plan_bytes(const dnnl *d)
{
    return sizeof(plan) + (size_t)d->threads * ARGUMENTS * sizeof(dnnl_memory_t);
}

static pawl_status make_room(dnnl *d)
{
    PAWL_TRY(pawl_alloc((void **)&d->plans, PAWL_PLANS_MOST * plan_bytes(d), "plans of matrix products"));
    for (size_t i = PAWL_PLANS_MOST; i-- > 0;) {
        plan *p = (plan *)(d->plans + i * plan_bytes(d));
        p->next = d->free;
        d->free = p;
    }
    return PAWL_OK;
}

static pawl_status fill(dnnl *d)
{
    PAWL_TRY(make_room(d));
    TRY_DNNL(dnnl_engine_create(&d->engine, dnnl_cpu, 0));
    for (int t = 0; t < d->threads; t++)
        TRY_DNNL(dnnl_stream_create(&d->streams[t], d->engine, dnnl_stream_default_flags));
    return PAWL_OK;
}

static pawl_status open_dnnl(int threads, const pawl_kernels *k, void **self)
{
    (void)k;
    pawl_status status = PAWL_OK;
    dnnl *d;
    PAWL_TRY(pawl_alloc((void **)&d, sizeof *d + (size_t)threads * sizeof *d->streams, "oneDNN"));
    d->threads = threads;
    PAWL_TRY_OUT(fill(d));
    *self = d;
    return PAWL_OK;
out:
    close_dnnl(d);
    return status;
}

static void forget_dnnl(void *self)
{
    plan *p = self;
    for (int i = 0; i < p->library->threads * ARGUMENTS; i++)
        if (p->memory[i]) dnnl_memory_destroy(p->memory[i]);
    if (p->primitive) dnnl_primitive_destroy(p->primitive);
    p->next = p->library->free;
    p->library->free = p;
}

/* Scratch comes from the caller, and c is added to by a post-operation. */
static pawl_status set_attributes(dnnl_primitive_attr_t attributes, int add)
{
    TRY_DNNL(dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user));
    if (!add) return PAWL_OK;
    dnnl_post_ops_t after;
    TRY_DNNL(dnnl_post_ops_create(&after));
#if DNNL_VERSION_MAJOR >= 3
    const dnnl_status_t appended = dnnl_post_ops_append_sum(after, 1.0f, 0, dnnl_data_type_undef);
#else
    const dnnl_status_t appended = dnnl_post_ops_append_sum(after, 1.0f);
#endif
    const dnnl_status_t set = dnnl_primitive_attr_set_post_ops(attributes, after);
    dnnl_post_ops_destroy(after);
    TRY_DNNL(appended);
    TRY_DNNL(set);
    return PAWL_OK;
}

static pawl_status add_memory(plan *p, const description d[SCRATCH], const_dnnl_primitive_desc_t primitive,
                              size_t *scratch_bytes)
{
    const dnnl_engine_t engine = p->library->engine;
    const void *scratch = dnnl_primitive_desc_query_md(primitive, dnnl_query_scratchpad_md, 0);
    for (int t = 0; t < p->library->threads; t++) {
        dnnl_memory_t *m = p->memory + t * ARGUMENTS;
        for (int i = A; i < SCRATCH; i++)
            TRY_DNNL(dnnl_memory_create(&m[i], pointer_to(&d[i]), engine, DNNL_MEMORY_NONE));
        TRY_DNNL(dnnl_memory_create(&m[SCRATCH], scratch, engine, DNNL_MEMORY_NONE));
    }
    *scratch_bytes = dnnl_memory_desc_get_size(scratch);
    return PAWL_OK;
}

/* Its older kernels do f32 and bf16 well where the processor has the instructions: for AVX2 they pack a few columns of
 * a turned operand at a time, and bf16 that is emulated is multiplied at a third of the rate of f32. */
static int does_badly(const pawl_panel *p, const_dnnl_primitive_desc_t primitive)
{
    const char *kernel = "";
    const int low = p->a_type == PAWL_BF16 || p->b_type == PAWL_BF16;
    const unsigned needs = low ? dnnl_cpu_isa_avx512_core_bf16 : dnnl_cpu_isa_avx512_core;
    if (!pawl_gemm_moves(p->a_type, p->lda, p->a_transposed) && !pawl_gemm_moves(p->b_type, p->ldb, !p->b_transposed))
        return 0;
    if (((unsigned)dnnl_get_effective_cpu_isa() & needs) == needs) return 0;
    dnnl_primitive_desc_query(primitive, dnnl_query_impl_info_str, 0, (void *)&kernel);
    return strncmp(kernel, "gemm", 4) == 0;
}

static pawl_status fill_plan(plan *p, const pawl_panel *shape, const description d[SCRATCH],
                             dnnl_primitive_attr_t attributes, size_t *scratch_bytes)
{
    dnnl_primitive_desc_t primitive;
    PAWL_TRY(set_attributes(attributes, shape->add));
    const dnnl_status_t described = create(d, shape->biased, attributes, p->library->engine, &primitive);
    if (described == dnnl_unimplemented) return PAWL_OK; /* p->primitive stays NULL */
    TRY_DNNL(described);
    if (does_badly(shape, primitive)) {
        dnnl_primitive_desc_destroy(primitive);
        return PAWL_OK;
    }
    const dnnl_status_t created = dnnl_primitive_create(&p->primitive, primitive);
    const pawl_status status = add_memory(p, d, primitive, scratch_bytes);
    dnnl_primitive_desc_destroy(primitive);
    TRY_DNNL(created);
    return status;
}

static pawl_status plan_dnnl(void *self, const pawl_panel *shape, void **out, size_t *scratch_bytes)
{
    dnnl *library = self;
    pawl_status status = PAWL_OK;
    plan *p = NULL;
    description d[SCRATCH];
    dnnl_primitive_attr_t attributes = NULL;
    memset(d, 0, sizeof d);
    omp_set_num_threads(1); /* a primitive runs on as many threads as it was made on */
    PAWL_CHECK(library->free, PAWL_EBUG, "more than %d plans of matrix products are asked for", PAWL_PLANS_MOST);
    p = library->free;
    library->free = p->next;
    memset(p, 0, plan_bytes(library));
    p->library = library;
    const dnnl_status_t described[] = {
        describe(&d[A], (matrix){shape->m, shape->k, shape->lda, shape->a_transposed, shape->a_type}),
        describe(&d[B], (matrix){shape->k, shape->n, shape->ldb, shape->b_transposed, shape->b_type}),
        describe(&d[C], (matrix){shape->m, shape->n, shape->ldc, 0, shape->c_type}),
        describe(&d[BIAS], (matrix){1, shape->n, shape->n, 0, PAWL_F32}),
        dnnl_primitive_attr_create(&attributes),
    };
    for (size_t i = 0; i < sizeof described / sizeof *described && status == PAWL_OK; i++)
        if (described[i] != dnnl_success) status = PAWL_FAIL(PAWL_EBUG, "oneDNN refused a description of a matrix");
    if (status == PAWL_OK) status = fill_plan(p, shape, d, attributes, scratch_bytes);
    for (int i = A; i < SCRATCH; i++) undescribe(&d[i]);
    if (attributes) dnnl_primitive_attr_destroy(attributes);
    *out = status == PAWL_OK && p->primitive ? p : NULL;
    if (!*out) forget_dnnl(p);
    return status;
}

static pawl_status run_dnnl(void *self, const pawl_panel *shape, int thread, const void *a, const void *b,
                            const float *bias, void *c, void *scratch)
{
    static const int names[ARGUMENTS] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_BIAS,
                                         DNNL_ARG_SCRATCHPAD};
    plan *p = self;
    const void *const at[ARGUMENTS] = {a, b, c, bias, scratch};
    const dnnl_stream_t stream = p->library->streams[thread];
    dnnl_exec_arg_t arguments[ARGUMENTS];
    omp_set_num_threads(1);
    int count = 0;
    for (int i = 0; i < ARGUMENTS; i++) {
        if (i == BIAS && !shape->biased) continue;
        arguments[count] = (dnnl_exec_arg_t){names[i], p->memory[thread * ARGUMENTS + i]};
        TRY_DNNL(point(arguments[count++].memory, at[i], stream));
    }
    TRY_DNNL(dnnl_primitive_execute(p->primitive, stream, count, arguments));
    return PAWL_OK;
}

static void name_dnnl(char out[32])
{
    const dnnl_version_t *v = dnnl_version();
    snprintf(out, 32, "onednn %d.%d.%d", v->major, v->minor, v->patch);
}

const pawl_gemm_library *pawl_gemm_found(void)
{
    static const pawl_gemm_library library = {
        .name = name_dnnl,
        .open = open_dnnl,
        .close = close_dnnl,
        .plan = plan_dnnl,
        .forget = forget_dnnl,
        .run = run_dnnl,
    };
    return &library;
}
