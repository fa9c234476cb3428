/* How fast this GPU is at products and at moving memory, on the whole of it. */
#include "ops/cuda/timer.h"

enum { TIMES = 5, SIDE_PER_PROCESSOR = 64, SHARE = 64 /* of memory that is moved */ };

/* Seconds of work(self), the best of a few after one that is not counted; 0 when it cannot be done. */
static double best_of(pawl_cuda *c, pawl_status (*work)(pawl_cuda *c, void *self), void *self)
{
    pawl_timer t = {0};
    double best = 0;
    pawl_status s = pawl_timer_open(&t);
    for (int i = 0; s == PAWL_OK && i <= TIMES; i++) {
        float ms = 0;
        s = pawl_timer_start(&t, c->stream);
        if (s == PAWL_OK) s = work(c, self);
        if (s == PAWL_OK) s = pawl_timer_stop(&t, c->stream, &ms);
        if (i > 0 && ms > 0 && (best == 0 || ms * 1e-3 < best)) best = ms * 1e-3;
    }
    pawl_timer_close(&t);
    return s == PAWL_OK ? best : 0;
}

typedef struct square {
    pawl_product product;
    void *a, *b, *c;
} square;

static pawl_status multiply(pawl_cuda *c, void *self)
{
    const square *s = self;
    return pawl_plans_multiply(c->plans, &s->product, s->a, s->b, NULL, s->c);
}

/* Numbers as a random model has them: products of zeros take less power, and are faster. */
static pawl_status fill(pawl_cuda *c, void *to, int64_t count, pawl_dtype type)
{
    enum { PIECE = 1 << 12 };
    float some[PIECE];
    uint16_t low[PIECE];
    uint32_t x = 2463534242u;
    for (int i = 0; i < PIECE; i++) {
        x ^= x << 13, x ^= x >> 17, x ^= x << 5;
        some[i] = (float)(int32_t)x * 0x1p-31f;
    }
    if (type == PAWL_BF16) pawl_convert(some, PAWL_F32, low, PAWL_BF16, PIECE);
    for (int64_t at = 0; at < count; at += PIECE) {
        const int64_t n = count - at < PIECE ? count - at : PIECE;
        const size_t each = pawl_dtype_bytes(type);
        PAWL_TRY(upload_cuda(&c->device, (char *)to + (size_t)at * each, type == PAWL_BF16 ? (void *)low : some, (size_t)n * each));
    }
    return PAWL_OK;
}

double gemm_rate_cuda(pawl_device *d, pawl_dtype type)
{
    pawl_cuda *c = pawl_cuda_of(d);
    const int64_t n = (int64_t)c->properties.multiProcessorCount * SIDE_PER_PROCESSOR;
    const size_t bytes = (size_t)(n * n) * pawl_dtype_bytes(type);
    void *room;
    if (take_cuda(d, PAWL_ON_DEVICE, 3 * bytes, "measuring products", &room) != PAWL_OK) return 0;
    square s = {.product = {.m = n, .n = n, .k = n, .lda = n, .ldb = n, .ldc = n, .b_transposed = 1, .type = type, .out = type},
                .a = room, .b = (char *)room + bytes, .c = (char *)room + 2 * bytes};
    double seconds = 0;
    if (fill(c, room, 2 * n * n, type) == PAWL_OK) seconds = best_of(c, multiply, &s);
    give_cuda(d, PAWL_ON_DEVICE, room, 3 * bytes);
    return seconds > 0 ? 2 * (double)n * (double)n * (double)n / seconds : 0;
}

static pawl_status move(pawl_cuda *c, void *self)
{
    const square *s = self;
    return pawl_cuda_status(cudaMemcpyAsync(s->b, s->a, (size_t)s->product.m, cudaMemcpyDeviceToDevice, c->stream), "cudaMemcpyAsync");
}

double memory_rate_cuda(pawl_device *d)
{
    pawl_cuda *c = pawl_cuda_of(d);
    const size_t bytes = c->properties.totalGlobalMem / SHARE / 2 / 4096 * 4096;
    void *room;
    if (take_cuda(d, PAWL_ON_DEVICE, 2 * bytes, "measuring memory", &room) != PAWL_OK) return 0;
    square s = {.product = {.m = (int64_t)bytes}, .a = room, .b = (char *)room + bytes};
    const double seconds = best_of(c, move, &s);
    give_cuda(d, PAWL_ON_DEVICE, room, 2 * bytes);
    return seconds > 0 ? 2 * (double)bytes / seconds : 0;
}
