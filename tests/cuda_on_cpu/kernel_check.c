#include "tests/cuda_on_cpu/kernel_check.h"

kernel_case at_hand;

static void *held(void *block)
{
    assert_true(at_hand.block_count < BLOCKS_MOST);
    return at_hand.blocks[at_hand.block_count++] = block;
}

void *bytes_of(size_t bytes, size_t shift)
{
    char *block = held(malloc(bytes + shift));
    return memset(block + shift, 0xff, bytes);
}

static pawl_tensor tensor_of(pawl_dtype type, int64_t rows, int64_t columns)
{
    pawl_tensor t = {.dtype = type, .ndim = rows > 0 ? 2 : 1, .dim = {rows > 0 ? rows : columns, columns}};
    t.data = bytes_of(pawl_tensor_bytes(t), (size_t)at_hand.shift * pawl_dtype_bytes(type));
    return t;
}

pawl_tensor values(int low, int64_t rows, int64_t columns, float spread)
{
    pawl_tensor t = tensor_of(low ? PAWL_BF16 : PAWL_F32, rows, columns);
    const int64_t count = pawl_tensor_count(t);
    float *x = numbers(count, at_hand.which++, spread);
    pawl_convert(x, PAWL_F32, t.data, t.dtype, count);
    free(x);
    return t;
}

pawl_tensor floats(int64_t rows, int64_t columns, float spread)
{
    return values(0, rows, columns, spread);
}

pawl_tensor ids_below(int64_t count, int32_t below)
{
    const pawl_tensor t = tensor_of(PAWL_I32, 0, count);
    int32_t *x = integers(count, at_hand.which++, below);
    memcpy(t.data, x, (size_t)count * sizeof *x);
    free(x);
    return t;
}

pawl_tensor changed(const char *name, pawl_tensor t)
{
    const size_t bytes = pawl_tensor_bytes(t);
    assert_true(at_hand.result_count < RESULTS_MOST);
    result *r = &at_hand.results[at_hand.result_count++];
    *r = (result){name, t, held(malloc(bytes)), held(malloc(bytes)), held(malloc(bytes))};
    memcpy(r->before, t.data, bytes);
    return t;
}

pawl_tensor output(const char *name, int low, int64_t rows, int64_t columns)
{
    return changed(name, tensor_of(low ? PAWL_BF16 : PAWL_F32, rows, columns));
}

void *output_bytes(const char *name, size_t bytes)
{
    return changed(name, tensor_of(PAWL_U8, 0, (int64_t)bytes)).data;
}

int32_t *output_ids(const char *name, int64_t count)
{
    return changed(name, tensor_of(PAWL_I32, 0, count)).data;
}

void *scratch_of(size_t bytes)
{
    return bytes_of(bytes, 0);
}

static void restore(void)
{
    for (int i = 0; i < at_hand.result_count; i++) {
        const result *r = &at_hand.results[i];
        memcpy(r->t.data, r->before, pawl_tensor_bytes(r->t));
    }
}

void keep_cpu(void)
{
    for (int i = 0; i < at_hand.result_count; i++) {
        const result *r = &at_hand.results[i];
        memcpy(r->cpu, r->t.data, pawl_tensor_bytes(r->t));
    }
}

void begin_order(int order)
{
    restore();
    pawl_shim_seed(order == 0 ? 0 : 0x9e3779b97f4a7c15u * (uint64_t)order + at_hand.which);
}

void keep_order(int order)
{
    for (int i = 0; i < at_hand.result_count; i++) {
        const result *r = &at_hand.results[i];
        if (order == 0)
            memcpy(r->first, r->t.data, pawl_tensor_bytes(r->t));
        else if (memcmp(r->first, r->t.data, pawl_tensor_bytes(r->t)) != 0)
            fail_msg("%s depends on the order in which threads run", r->name);
    }
}

double *doubles(const char *name, int64_t count, int poisoned)
{
    const pawl_tensor t = {.dtype = PAWL_F64, .ndim = 1, .dim = {count}, .data = bytes_of((size_t)count * sizeof(double), 0)};
    if (!poisoned) memset(t.data, 0, (size_t)count * sizeof(double));
    return changed(name, t).data;
}

static double number_of(const result *r, const void *at, int64_t i)
{
    if (r->t.dtype == PAWL_F64) return ((const double *)at)[i];
    return r->t.dtype == PAWL_BF16 ? pawl_bf16_widen_rule(((const uint16_t *)at)[i]) : ((const float *)at)[i];
}

/* What stayed as it was (poison, and NaN for it) in both is no matter of comparison. */
static double apart_of(const result *r)
{
    const size_t each = pawl_dtype_bytes(r->t.dtype);
    double apart = 0, size = 0;
    for (int64_t i = 0; i < pawl_tensor_count(r->t); i++) {
        const char *x = (const char *)r->first + (size_t)i * each, *y = (const char *)r->cpu + (size_t)i * each;
        if (memcmp(x, y, each) == 0 && number_of(r, r->cpu, i) != number_of(r, r->cpu, i)) continue;
        const double a = number_of(r, r->first, i), b = number_of(r, r->cpu, i);
        apart += (a - b) * (a - b);
        size += b * b;
    }
    return sqrt(size > 0 ? apart / size : apart);
}

void compare(const char *file, int line, double tolerance)
{
    for (int i = 0; i < at_hand.result_count; i++) {
        const result *r = &at_hand.results[i];
        if (memcmp(r->first, r->cpu, pawl_tensor_bytes(r->t)) == 0) continue;
        if (tolerance == 0 && at_hand.fused) fail_msg("%s:%d: %s is not the CPU's to the bit (%g)", file, line, r->name, apart_of(r));
        if (r->t.dtype == PAWL_U8 || r->t.dtype == PAWL_I32) fail_msg("%s:%d: the bytes of %s differ", file, line, r->name);
        /* of numbers that differ in the last bits of f32 some are rounded to the other bf16: 2^-8 for one in thousands */
        const double most = tolerance == 0 ? 1e-5 : tolerance, limit = r->t.dtype == PAWL_BF16 ? most + 1e-3 : most;
        const double apart = apart_of(r);
        if (!(apart <= limit)) fail_msg("%s:%d: %s is %.3g (relative L2) from the CPU's, more than %.3g", file, line, r->name, apart, limit);
    }
}

void end_case(void)
{
    while (at_hand.block_count > 0) free(at_hand.blocks[--at_hand.block_count]);
    at_hand.result_count = 0;
}
