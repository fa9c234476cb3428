/* A plan is what cuBLASLt has to be told of a product, and the algorithm that it answers with: made once for each shape, types and
 * alignment, found again by a hash. cuBLASLt's matrices are column-major, so what it computes is c^T = b^T a^T.
 *
 * Of its algorithms only those are asked for that add in an order of their own choosing once and for all: sums over parts go
 * through the workspace, in f32, not through additions in place that come as they come. f32 products are of f32: no TF32. */
#include <stdio.h>
#include <string.h>

#include "ops/cuda/cuda.h"
#include "ops/cuda/gemm.h"

enum { SLOTS = 1 << 12, MOST = SLOTS * 3 / 4 };

typedef struct plan_key {
    pawl_product of;
    int64_t alignment[3]; /* of a, b, c: in bytes, at most 16 */
} plan_key;

typedef struct plan {
    plan_key key;
    cublasLtMatmulDesc_t how; /* NULL: the slot is free */
    cublasLtMatrixLayout_t left, right, out;
    cublasLtMatmulAlgo_t algorithm;
} plan;

struct pawl_plans {
    cublasLtHandle_t library;
    cudaStream_t stream;
    void *workspace;
    size_t workspace_bytes;
    int count;
    plan slot[SLOTS];
};

static pawl_status said(cublasStatus_t code, const char *call, const pawl_product *p)
{
    if (code == CUBLAS_STATUS_SUCCESS) return PAWL_OK;
    if (code == CUBLAS_STATUS_ALLOC_FAILED) return PAWL_FAIL(PAWL_EMEM, "no memory for %s", call);
    if (!p) return PAWL_FAIL(PAWL_EBUG, "%s failed with status %d", call, (int)code);
    return PAWL_FAIL(PAWL_EBUG, "%s failed with status %d for a product [%lld,%lld] x [%lld,%lld] of %s into %s", call, (int)code, (long long)p->m,
                     (long long)p->k, (long long)p->k, (long long)p->n, pawl_dtype_name(p->type), pawl_dtype_name(p->out));
}

pawl_status pawl_plans_open(cudaStream_t stream, void *workspace, size_t bytes, pawl_plans **out)
{
    pawl_plans *p;
    PAWL_TRY(pawl_alloc((void **)&p, sizeof *p, "plans of matrix products"));
    p->stream = stream;
    p->workspace = workspace;
    p->workspace_bytes = bytes;
    const pawl_status s = said(cublasLtCreate(&p->library), "cublasLtCreate", NULL);
    if (s != PAWL_OK) {
        pawl_free(p);
        return s;
    }
    *out = p;
    return PAWL_OK;
}

static void forget(plan *x)
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
    for (int i = 0; i < SLOTS; i++) forget(&p->slot[i]);
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
static plan_key key_of(const pawl_product *what, const void *a, const void *b, const void *c)
{
    plan_key k;
    memset(&k, 0, sizeof k);
    k.of.m = what->m, k.of.n = what->n, k.of.k = what->k;
    k.of.lda = what->lda, k.of.ldb = what->ldb, k.of.ldc = what->ldc;
    k.of.a_transposed = what->a_transposed, k.of.b_transposed = what->b_transposed;
    k.of.add = what->add, k.of.biased = what->biased;
    k.of.type = what->type, k.of.out = what->out;
    k.alignment[0] = alignment_of(a), k.alignment[1] = alignment_of(b), k.alignment[2] = alignment_of(c);
    return k;
}

static uint32_t hash_of(const plan_key *k) /* FNV-1a */
{
    const unsigned char *bytes = (const unsigned char *)k;
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < sizeof *k; i++) h = (h ^ bytes[i]) * 16777619u;
    return h;
}

static plan *slot_of(pawl_plans *p, const plan_key *k)
{
    uint32_t i = hash_of(k) % SLOTS;
    while (p->slot[i].how && memcmp(&p->slot[i].key, k, sizeof *k) != 0) i = (i + 1) % SLOTS;
    return &p->slot[i];
}

/* ---- making one ---- */

static cudaDataType type_of(pawl_dtype t)
{
    return t == PAWL_BF16 ? CUDA_R_16BF : CUDA_R_32F;
}

static pawl_status set_how(plan *x, cublasLtMatmulDescAttributes_t which, const void *value, size_t bytes)
{
    return said(cublasLtMatmulDescSetAttribute(x->how, which, value, bytes), "cublasLtMatmulDescSetAttribute", &x->key.of);
}

static pawl_status describe_how(plan *x)
{
    const pawl_product *p = &x->key.of;
    const cublasOperation_t left = p->b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N, right = p->a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasLtEpilogue_t epilogue = p->biased ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
    PAWL_TRY(said(cublasLtMatmulDescCreate(&x->how, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescCreate", p));
    PAWL_TRY(set_how(x, CUBLASLT_MATMUL_DESC_TRANSA, &left, sizeof left));
    PAWL_TRY(set_how(x, CUBLASLT_MATMUL_DESC_TRANSB, &right, sizeof right));
    return set_how(x, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
}

/* A row-major matrix [rows, cols] in memory is a column-major one [cols, rows]. */
static pawl_status describe_matrix(cublasLtMatrixLayout_t *out, const pawl_product *p, pawl_dtype type, int64_t rows, int64_t cols, int64_t lead)
{
    return said(cublasLtMatrixLayoutCreate(out, type_of(type), (uint64_t)cols, (uint64_t)rows, lead), "cublasLtMatrixLayoutCreate", p);
}

static pawl_status describe_matrices(plan *x)
{
    const pawl_product *p = &x->key.of;
    PAWL_TRY(describe_matrix(&x->left, p, p->type, p->b_transposed ? p->n : p->k, p->b_transposed ? p->k : p->n, p->ldb));
    PAWL_TRY(describe_matrix(&x->right, p, p->type, p->a_transposed ? p->k : p->m, p->a_transposed ? p->m : p->k, p->lda));
    return describe_matrix(&x->out, p, p->out, p->m, p->n, p->ldc);
}

static pawl_status prefer(cublasLtMatmulPreference_t to, const pawl_plans *p, const plan *x)
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
        PAWL_TRY(said(cublasLtMatmulPreferenceSetAttribute(to, all[i].which, all[i].value, all[i].bytes), "cublasLtMatmulPreferenceSetAttribute",
                      &x->key.of));
    return PAWL_OK;
}

static pawl_status choose_algorithm(const pawl_plans *p, plan *x)
{
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulHeuristicResult_t best;
    int found = 0;
    PAWL_TRY(said(cublasLtMatmulPreferenceCreate(&preference), "cublasLtMatmulPreferenceCreate", &x->key.of));
    pawl_status s = prefer(preference, p, x);
    if (s == PAWL_OK)
        s = said(cublasLtMatmulAlgoGetHeuristic(p->library, x->how, x->left, x->right, x->out, x->out, preference, 1, &best, &found),
                 "cublasLtMatmulAlgoGetHeuristic", &x->key.of);
    if (s == PAWL_OK && !found) s = said(CUBLAS_STATUS_NOT_SUPPORTED, "cublasLtMatmulAlgoGetHeuristic", &x->key.of);
    cublasLtMatmulPreferenceDestroy(preference);
    if (s == PAWL_OK) x->algorithm = best.algo;
    return s;
}

static pawl_status make(const pawl_plans *p, plan *x)
{
    PAWL_TRY(describe_how(x));
    PAWL_TRY(describe_matrices(x));
    return choose_algorithm(p, x);
}

static pawl_status plan_of(pawl_plans *p, const plan_key *k, plan **out)
{
    *out = slot_of(p, k);
    if ((*out)->how) return PAWL_OK;
    PAWL_CHECK(p->count < MOST, PAWL_EBUG, "a run of more than %d shapes of matrix products", MOST);
    (*out)->key = *k;
    const pawl_status s = make(p, *out);
    if (s == PAWL_OK) p->count++;
    else forget(*out);
    return s;
}

pawl_status pawl_plans_multiply(pawl_plans *p, const pawl_product *what, const void *a, const void *b, const void *bias, void *c)
{
    const float one = 1, add = what->add ? 1 : 0;
    const plan_key k = key_of(what, a, b, c);
    plan *x;
    PAWL_TRY(plan_of(p, &k, &x));
    if (what->biased) PAWL_TRY(set_how(x, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias));
    return said(cublasLtMatmul(p->library, x->how, &one, b, x->left, a, x->right, &add, c, x->out, c, x->out, &x->algorithm, p->workspace,
                               p->workspace_bytes, p->stream),
                "cublasLtMatmul", what);
}
