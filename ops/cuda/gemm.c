/* A plan is what cuBLASLt has to be told of a product, and the algorithm that it answers with: made once for each shape, types and
 * alignment, found again by a hash. cuBLASLt's matrices are column-major, so what it computes is c^T = b^T a^T.
 *
 * Of its algorithms only those are asked for that add in an order of their own choosing once and for all: sums over parts go
 * through the workspace, in f32, not through additions in place that come as they come. f32 products are of f32: no TF32. */
#include <stdio.h>
#include <string.h>

#include "ops/cuda/gemm_plans.h"

pawl_status pawl_plans_said(cublasStatus_t code, const char *call, const pawl_product *p)
{
    if (code == CUBLAS_STATUS_SUCCESS) return PAWL_OK;
    if (code == CUBLAS_STATUS_ALLOC_FAILED) return PAWL_FAIL(PAWL_EMEM, "no memory for %s", call);
    if (!p) return PAWL_FAIL(PAWL_EBUG, "%s failed with %s", call, cublasLtGetStatusName(code));
    return PAWL_FAIL(PAWL_EBUG, "%s failed with %s for a product [%lld,%lld] x [%lld,%lld] of %s into %s", call, cublasLtGetStatusName(code), (long long)p->m,
                     (long long)p->k, (long long)p->k, (long long)p->n, pawl_dtype_name(p->type), pawl_dtype_name(p->out));
}

pawl_status pawl_plans_open(cudaStream_t stream, void *workspace, size_t bytes, pawl_plans **out)
{
    pawl_plans *p;
    PAWL_TRY(pawl_alloc((void **)&p, sizeof *p, "plans of matrix products"));
    p->stream = stream;
    p->workspace = workspace;
    p->workspace_bytes = bytes;
    const pawl_status s = pawl_plans_said(cublasLtCreate(&p->library), "cublasLtCreate", NULL);
    if (s != PAWL_OK) {
        pawl_free(p);
        return s;
    }
    *out = p;
    return PAWL_OK;
}

void pawl_product_forget(pawl_product_plan *x)
{
    if (x->how) cublasLtMatmulDescDestroy(x->how);
    if (x->left) cublasLtMatrixLayoutDestroy(x->left);
    if (x->right) cublasLtMatrixLayoutDestroy(x->right);
    if (x->out) cublasLtMatrixLayoutDestroy(x->out);
    memset(x, 0, sizeof *x);
}

void pawl_plans_close(pawl_plans *p)
{
    if (!p) return;
    for (int i = 0; i < PAWL_PLAN_SLOTS; i++) pawl_product_forget(&p->slot[i]);
    cublasLtDestroy(p->library);
    pawl_free(p);
}

void pawl_plans_describe(const pawl_plans *p, char *out, size_t room)
{
    (void)p;
    const size_t v = cublasLtGetVersion();
    snprintf(out, room, "cublaslt %zu.%zu.%zu", v / 10000, v / 100 % 100, v % 100);
}

/* ---- finding a plan ---- */

static int64_t alignment_of(const void *at)
{
    const uintptr_t a = (uintptr_t)at | 16;
    return (int64_t)(a & (~a + 1));
}

/* Every byte of a key is set: keys are compared and hashed as bytes. */
static pawl_product_key key_of(const pawl_product *what, const pawl_operands *o)
{
    const void *const at[] = {o->a, o->b, o->c, o->bias, o->aux};
    pawl_product_key k;
    memset(&k, 0, sizeof k);
    k.of.m = what->m, k.of.n = what->n, k.of.k = what->k;
    k.of.lda = what->lda, k.of.ldb = what->ldb, k.of.ldc = what->ldc, k.of.ldx = what->ldx;
    k.of.a_transposed = what->a_transposed, k.of.b_transposed = what->b_transposed;
    k.of.add = what->add, k.of.biased = what->biased;
    k.of.type = what->type, k.of.out = what->out, k.of.then = what->then;
    for (int i = 0; i < 5; i++) k.alignment[i] = alignment_of(at[i]);
    return k;
}

static uint32_t hash_of(const pawl_product_key *k) /* FNV-1a */
{
    const unsigned char *bytes = (const unsigned char *)k;
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < sizeof *k; i++) h = (h ^ bytes[i]) * 16777619u;
    return h;
}

pawl_product_plan *pawl_product_slot(pawl_plans *p, const pawl_product_key *k)
{
    uint32_t i = hash_of(k) % PAWL_PLAN_SLOTS;
    while (p->slot[i].how && memcmp(&p->slot[i].key, k, sizeof *k) != 0) i = (i + 1) % PAWL_PLAN_SLOTS;
    return &p->slot[i];
}

/* ---- making one ---- */

cudaDataType pawl_products_type(pawl_dtype t)
{
    return t == PAWL_BF16 ? CUDA_R_16BF : t == PAWL_U8 ? CUDA_R_8F_E4M3 : CUDA_R_32F;
}

static pawl_status set_how(pawl_product_plan *x, cublasLtMatmulDescAttributes_t which, const void *value, size_t bytes)
{
    return pawl_plans_said(cublasLtMatmulDescSetAttribute(x->how, which, value, bytes), "cublasLtMatmulDescSetAttribute", &x->key.of);
}

/* By pawl_epilogue, without a bias and with one. */
static const cublasLtEpilogue_t epilogues[][2] = {
    [PAWL_AS_SUMMED] = {CUBLASLT_EPILOGUE_DEFAULT, CUBLASLT_EPILOGUE_BIAS},
    [PAWL_THEN_GELU] = {CUBLASLT_EPILOGUE_GELU_AUX, CUBLASLT_EPILOGUE_GELU_AUX_BIAS},
    [PAWL_THEN_DGELU] = {CUBLASLT_EPILOGUE_DGELU, CUBLASLT_EPILOGUE_DGELU},
};

/* The library looks at where bias and aux are already when it is asked for an algorithm: how they lie is what it counts on. */
static pawl_status point_at(pawl_product_plan *x, const void *bias, const void *aux)
{
    if (x->key.of.biased) PAWL_TRY(set_how(x, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias));
    return x->key.of.then == PAWL_AS_SUMMED ? PAWL_OK : set_how(x, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, &aux, sizeof aux);
}

/* c^T = b^T a^T: the library's A is our b. */
static pawl_status scale_by(pawl_product_plan *x, const pawl_operands *o)
{
    if (x->key.of.type != PAWL_U8) return PAWL_OK;
    PAWL_TRY(set_how(x, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, &o->b_scale, sizeof o->b_scale));
    return set_how(x, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, &o->a_scale, sizeof o->a_scale);
}

static pawl_status describe_how(pawl_product_plan *x)
{
    const pawl_product *p = &x->key.of;
    const cublasOperation_t left = p->b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N, right = p->a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasLtEpilogue_t epilogue = epilogues[p->then][p->biased != 0];
    const int32_t low = CUDA_R_16BF;
    PAWL_TRY(pawl_plans_said(cublasLtMatmulDescCreate(&x->how, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescCreate", p));
    PAWL_TRY(set_how(x, CUBLASLT_MATMUL_DESC_TRANSA, &left, sizeof left));
    PAWL_TRY(set_how(x, CUBLASLT_MATMUL_DESC_TRANSB, &right, sizeof right));
    PAWL_TRY(set_how(x, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue));
    if (p->type == PAWL_U8) PAWL_TRY(set_how(x, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &low, sizeof low));
    return p->then == PAWL_AS_SUMMED ? PAWL_OK : set_how(x, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, &p->ldx, sizeof p->ldx);
}

/* A row-major matrix [rows, cols] in memory is a column-major one [cols, rows]. */
static pawl_status describe_matrix(cublasLtMatrixLayout_t *out, const pawl_product *p, pawl_dtype type, int64_t rows, int64_t cols, int64_t lead)
{
    return pawl_plans_said(cublasLtMatrixLayoutCreate(out, pawl_products_type(type), (uint64_t)cols, (uint64_t)rows, lead), "cublasLtMatrixLayoutCreate", p);
}

static pawl_status describe_matrices(pawl_product_plan *x)
{
    const pawl_product *p = &x->key.of;
    PAWL_TRY(describe_matrix(&x->left, p, p->type, p->b_transposed ? p->n : p->k, p->b_transposed ? p->k : p->n, p->ldb));
    PAWL_TRY(describe_matrix(&x->right, p, p->type, p->a_transposed ? p->k : p->m, p->a_transposed ? p->m : p->k, p->lda));
    return describe_matrix(&x->out, p, p->out, p->m, p->n, p->ldc);
}

static pawl_status prefer(cublasLtMatmulPreference_t to, const pawl_plans *p, const pawl_product_plan *x)
{
    const uint64_t workspace = p->workspace_bytes;
    const uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, left = (uint32_t)x->key.alignment[1],
                   right = (uint32_t)x->key.alignment[0], out = (uint32_t)x->key.alignment[2];
    const struct { cublasLtMatmulPreferenceAttributes_t which; const void *value; size_t bytes; } all[] = {
        {CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace},
        {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reduction, sizeof reduction},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &left, sizeof left},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &right, sizeof right},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &out, sizeof out},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &out, sizeof out},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        PAWL_TRY(pawl_plans_said(cublasLtMatmulPreferenceSetAttribute(to, all[i].which, all[i].value, all[i].bytes), "cublasLtMatmulPreferenceSetAttribute",
                      &x->key.of));
    return PAWL_OK;
}

pawl_status pawl_product_describe(pawl_product_plan *x, const void *bias, const void *aux)
{
    PAWL_TRY(describe_how(x));
    PAWL_TRY(point_at(x, bias, aux));
    return describe_matrices(x);
}

pawl_status pawl_product_candidates(const pawl_plans *p, const pawl_product_plan *x, int most, cublasLtMatmulHeuristicResult_t *out, int *found)
{
    cublasLtMatmulPreference_t preference;
    *found = 0;
    PAWL_TRY(pawl_plans_said(cublasLtMatmulPreferenceCreate(&preference), "cublasLtMatmulPreferenceCreate", &x->key.of));
    pawl_status s = prefer(preference, p, x);
    if (s == PAWL_OK) {
        const cublasStatus_t code = cublasLtMatmulAlgoGetHeuristic(p->library, x->how, x->left, x->right, x->out, x->out, preference, most, out, found);
        if (code == CUBLAS_STATUS_NOT_SUPPORTED) *found = 0;
        else s = pawl_plans_said(code, "cublasLtMatmulAlgoGetHeuristic", &x->key.of);
    }
    cublasLtMatmulPreferenceDestroy(preference);
    return s;
}

/* The library's first answer. A product without an epilogue is one that it must have. */
static pawl_status first_algorithm(const pawl_plans *p, pawl_product_plan *x)
{
    cublasLtMatmulHeuristicResult_t best;
    int found;
    PAWL_TRY(pawl_product_candidates(p, x, 1, &best, &found));
    x->refused = !found;
    if (found) x->algorithm = best.algo;
    if (found || x->key.of.then != PAWL_AS_SUMMED) return PAWL_OK;
    return pawl_plans_said(CUBLAS_STATUS_NOT_SUPPORTED, "cublasLtMatmulAlgoGetHeuristic", &x->key.of);
}

static pawl_status make(const pawl_plans *p, pawl_product_plan *x, const pawl_operands *o)
{
    PAWL_TRY(pawl_product_describe(x, o->bias, o->aux));
    PAWL_TRY(scale_by(x, o));
    PAWL_TRY(first_algorithm(p, x));
    return p->timing && !x->refused ? pawl_product_time(p, x, o) : PAWL_OK;
}

/* Each plan to where it is found, when others are gone. */
static void close_ranks(pawl_plans *p)
{
    for (int moved = 1; moved;) {
        moved = 0;
        for (int i = 0; i < PAWL_PLAN_SLOTS; i++) {
            if (!p->slot[i].how) continue;
            const pawl_product_plan x = p->slot[i];
            memset(&p->slot[i], 0, sizeof p->slot[i]);
            pawl_product_plan *to = pawl_product_slot(p, &x.key);
            *to = x;
            moved |= to != &p->slot[i];
        }
    }
}

/* Rows that are not packed have as many shapes as lengths. First answers are forgotten, and come again as they were; what was chosen stays. */
static void make_room(pawl_plans *p)
{
    for (int i = 0; i < PAWL_PLAN_SLOTS; i++) {
        if (!p->slot[i].how || p->slot[i].chosen) continue;
        pawl_product_forget(&p->slot[i]);
        p->count--;
    }
    close_ranks(p);
}

static pawl_status plan_of(pawl_plans *p, const pawl_product *what, const pawl_operands *o, pawl_product_plan **out)
{
    const pawl_product_key k = key_of(what, o);
    *out = pawl_product_slot(p, &k);
    if ((*out)->how) return PAWL_OK;
    if (p->count == PAWL_PLANS_MOST) {
        make_room(p);
        *out = pawl_product_slot(p, &k);
    }
    PAWL_CHECK(p->count < PAWL_PLANS_MOST, PAWL_EBUG, "a run of more than %d timed shapes of matrix products", PAWL_PLANS_MOST);
    (*out)->key = k;
    const pawl_status s = make(p, *out, o);
    if (s == PAWL_OK) p->count++;
    else pawl_product_forget(*out);
    return s;
}

cublasStatus_t pawl_product_run(const pawl_plans *p, const pawl_product_plan *x, const cublasLtMatmulAlgo_t *algorithm, const pawl_operands *o)
{
    const float one = 1, add = x->key.of.add ? 1 : 0;
    return cublasLtMatmul(p->library, x->how, &one, o->b, x->left, o->a, x->right, &add, o->c, x->out, o->c, x->out, algorithm, p->workspace,
                          p->workspace_bytes, p->stream);
}

pawl_status pawl_plans_multiply_then(pawl_plans *p, const pawl_product *what, const void *a, const void *b, const void *bias, void *aux, void *c, int *done)
{
    const pawl_operands o = {a, b, bias, aux, c, what->a_scale, what->b_scale};
    pawl_product_plan *x;
    PAWL_TRY(plan_of(p, what, &o, &x));
    *done = !x->refused;
    if (x->refused) return PAWL_OK;
    PAWL_TRY(point_at(x, bias, aux));
    PAWL_TRY(scale_by(x, &o));
    return pawl_plans_said(pawl_product_run(p, x, &x->algorithm, &o), "cublasLtMatmul", what);
}

pawl_status pawl_plans_multiply(pawl_plans *p, const pawl_product *what, const void *a, const void *b, const void *bias, void *c)
{
    int done;
    return pawl_plans_multiply_then(p, what, a, b, bias, NULL, c, &done);
}

void pawl_plans_tune(pawl_plans *p, int on)
{
    p->timing = on;
}

int pawl_plans_are_timed(const pawl_plans *p)
{
    return p->timing;
}
