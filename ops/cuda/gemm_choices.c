/* Chosen algorithms as text, and back: a line a product, NAME=NUMBER after NAME=NUMBER, first what the product is and
 * then the algorithm's number with its settings, as cuBLASLt tells and takes them. */
#include <stdlib.h>
#include <string.h>

#include "ops/cuda/gemm_plans.h"

enum { KEY_NUMBERS = 19 };
static const char *const key_names[KEY_NUMBERS] = {
    "m",    "n",    "k",  "lda",  "ldb",     "ldc",     "ldx",     "at",         "bt",       "add",
    "bias", "from", "to", "then", "align_a", "align_b", "align_c", "align_bias", "align_aux"};

static int bits_of(pawl_dtype type)
{
    return (int)pawl_dtype_bytes(type) * 8;
}

static pawl_dtype type_of_bits(int64_t bits)
{
    return bits == 8 ? PAWL_U8 : bits == 16 ? PAWL_BF16 : PAWL_F32;
}

static void numbers_of(const pawl_product_key *k, int64_t out[KEY_NUMBERS])
{
    const pawl_product *p = &k->of;
    const int64_t all[KEY_NUMBERS] = {p->m,
                                      p->n,
                                      p->k,
                                      p->lda,
                                      p->ldb,
                                      p->ldc,
                                      p->ldx,
                                      p->a_transposed,
                                      p->b_transposed,
                                      p->add,
                                      p->biased,
                                      bits_of(p->type),
                                      bits_of(p->out),
                                      (int64_t)p->then,
                                      k->alignment[0],
                                      k->alignment[1],
                                      k->alignment[2],
                                      k->alignment[3],
                                      k->alignment[4]};
    memcpy(out, all, sizeof all);
}

static pawl_product_key key_of_numbers(const int64_t v[KEY_NUMBERS])
{
    pawl_product_key k;
    memset(&k, 0, sizeof k); /* every byte, as in gemm.c */
    k.of.m = v[0], k.of.n = v[1], k.of.k = v[2], k.of.lda = v[3], k.of.ldb = v[4], k.of.ldc = v[5], k.of.ldx = v[6];
    k.of.a_transposed = v[7] != 0, k.of.b_transposed = v[8] != 0, k.of.add = v[9] != 0, k.of.biased = v[10] != 0;
    k.of.type = type_of_bits(v[11]), k.of.out = type_of_bits(v[12]), k.of.then = (pawl_epilogue)v[13];
    memcpy(k.alignment, v + 14, sizeof k.alignment);
    return k;
}

/* ---- writing ---- */

static pawl_status write_settings(const pawl_product_plan *x, pawl_text *out)
{
    int64_t v[PAWL_SETTINGS];
    PAWL_TRY(pawl_plans_said(pawl_settings_of(&x->algorithm, v), "cublasLtMatmulAlgoConfigGetAttribute", &x->key.of));
    for (int i = 0; i < PAWL_SETTINGS; i++) pawl_text_add(out, " %s=%lld", pawl_setting_names[i], (long long)v[i]);
    return PAWL_OK;
}

pawl_status pawl_plans_write(const pawl_plans *p, pawl_text *out)
{
    for (int s = 0; s < PAWL_PLAN_SLOTS; s++) {
        const pawl_product_plan *x = &p->slot[s];
        int64_t v[KEY_NUMBERS];
        if (!x->how || !x->chosen) continue;
        numbers_of(&x->key, v);
        for (int i = 0; i < KEY_NUMBERS; i++)
            pawl_text_add(out, "%s%s=%lld", i ? " " : "", key_names[i], (long long)v[i]);
        PAWL_TRY(write_settings(x, out));
        pawl_text_add(out, "\n");
    }
    return pawl_text_status(out);
}

/* ---- reading ---- */

/* NAME=NUMBER, and blanks behind it. */
static int take(const char **at, const char *name, int64_t *out)
{
    const size_t n = strlen(name);
    char *end;
    if (strncmp(*at, name, n) != 0 || (*at)[n] != '=') return 0;
    const char *digits = *at + n + 1;
    *out = strtoll(digits, &end, 10);
    if (end == digits || *out < 0 || *out > ((int64_t)1 << 48)) return 0;
    while (*end == ' ') end++;
    *at = end;
    return 1;
}

static int take_line(const char **at, int64_t key[KEY_NUMBERS], int64_t set[PAWL_SETTINGS])
{
    int good = 1;
    for (int i = 0; good && i < KEY_NUMBERS; i++) good = take(at, key_names[i], &key[i]);
    for (int i = 0; good && i < PAWL_SETTINGS; i++) good = take(at, pawl_setting_names[i], &set[i]);
    good = good && **at == '\n' && key[13] <= PAWL_THEN_DGELU;
    if (good) ++*at;
    return good;
}

/* Of an algorithm that adds in a fixed order. */
static int is_ordered(const int64_t set[PAWL_SETTINGS])
{
    return set[PAWL_SETTING_REDUCTION] == CUBLASLT_REDUCTION_SCHEME_NONE || set[PAWL_SETTING_REDUCTION] == CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
}

cublasStatus_t pawl_product_restore(const pawl_plans *p, const pawl_product_plan *x, const int64_t set[PAWL_SETTINGS],
                                    cublasLtMatmulAlgo_t *to)
{
    const cudaDataType type = pawl_products_type(x->key.of.type), out = pawl_products_type(x->key.of.out);
    cublasLtMatmulHeuristicResult_t found;
    cublasStatus_t code = cublasLtMatmulAlgoInit(p->library, CUBLAS_COMPUTE_32F, CUDA_R_32F, type, type, out, out,
                                                 (int)set[0], to);
    if (code == CUBLAS_STATUS_SUCCESS) code = pawl_settings_to(to, set);
    if (code == CUBLAS_STATUS_SUCCESS)
        code = cublasLtMatmulAlgoCheck(p->library, x->how, x->left, x->right, x->out, x->out, to, &found);
    return code == CUBLAS_STATUS_SUCCESS && found.workspaceSize > p->workspace_bytes ? CUBLAS_STATUS_NOT_SUPPORTED
                                                                                     : code;
}

/* An address that lies as the key says; nobody reads there. */
static const void *lies_as(int64_t alignment)
{
    return (const void *)(uintptr_t)(4096 + (alignment < 16 ? alignment : 0));
}

static pawl_status take_choice(pawl_plans *p, const int64_t key[KEY_NUMBERS], const int64_t set[PAWL_SETTINGS])
{
    const pawl_product_key k = key_of_numbers(key);
    pawl_product_plan *x = pawl_product_slot(p, &k);
    if (x->how) return PAWL_OK;
    PAWL_CHECK(p->count < PAWL_PLANS_MOST, PAWL_EDATA, "more than %d algorithms", PAWL_PLANS_MOST);
    x->key = k;
    pawl_status s = pawl_product_describe(x, lies_as(k.alignment[3]), lies_as(k.alignment[4]));
    if (s == PAWL_OK && !is_ordered(set))
        s = PAWL_FAIL(PAWL_EDATA, "algorithm %lld adds as it comes", (long long)set[0]);
    if (s == PAWL_OK && pawl_product_restore(p, x, set, &x->algorithm) != CUBLAS_STATUS_SUCCESS)
        s = PAWL_FAIL(PAWL_EDATA, "cuBLASLt does not take algorithm %lld for a product [%lld,%lld] x [%lld,%lld]",
                      (long long)set[0], (long long)k.of.m, (long long)k.of.k, (long long)k.of.k, (long long)k.of.n);
    if (s != PAWL_OK) {
        pawl_product_forget(x);
        return s;
    }
    x->chosen = 1;
    p->count++;
    return PAWL_OK;
}

static void forget_all(pawl_plans *p)
{
    for (int i = 0; i < PAWL_PLAN_SLOTS; i++) pawl_product_forget(&p->slot[i]);
    p->count = 0;
}

pawl_status pawl_plans_choose(pawl_plans *p, const char *table)
{
    int64_t key[KEY_NUMBERS], set[PAWL_SETTINGS];
    pawl_status s = PAWL_OK;
    forget_all(p);
    for (int line = 1; s == PAWL_OK && *table; line++) {
        if (take_line(&table, key, set))
            s = take_choice(p, key, set);
        else
            s = PAWL_FAIL(PAWL_EDATA, "line %d is none that was written by this program", line);
    }
    if (s != PAWL_OK) forget_all(p);
    return s;
}
