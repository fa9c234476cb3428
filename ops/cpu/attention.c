#include "ops/cpu/cpu.h"

typedef struct attend_call {
    const pawl_cpu *cpu;
    pawl_attend_args args;
    int64_t blocks, panels; /* of queries, and of keys, in a row */
} attend_call;

static float *tiles_of(const pawl_cpu *cpu, int thread)
{
    return (float *)cpu->tiles.base + (int64_t)thread * PAWL_ATTEND_FLOATS;
}

/* The last blocks of a row are the longest: they go first, so that no thread is left with one at the end. */
static void forward(void *self, int64_t i, int thread)
{
    const attend_call *c = self;
    const int64_t heads = c->args.over->heads, rows = c->args.over->rows;
    const int64_t block = c->blocks - 1 - i / (heads * rows), row = i / heads % rows, head = i % heads;
    c->cpu->kernels->attend(&c->args, row, head, block, tiles_of(c->cpu, thread));
}

static void backward(void *self, int64_t i, int thread)
{
    const attend_call *c = self;
    const int64_t kv_heads = c->args.over->kv_heads;
    c->cpu->kernels->attend_backward(&c->args, i / kv_heads, i % kv_heads, tiles_of(c->cpu, thread));
}

static void backward_queries(void *self, int64_t i, int thread)
{
    const attend_call *c = self;
    const int64_t heads = c->args.over->heads, rows = c->args.over->rows;
    const int64_t block = c->blocks - 1 - i / (heads * rows), row = i / heads % rows, head = i % heads;
    c->cpu->kernels->attend_backward_queries(&c->args, row, head, block, tiles_of(c->cpu, thread));
}

/* Here the first panels are the longest: all later queries see them. */
static void backward_keys(void *self, int64_t i, int thread)
{
    const attend_call *c = self;
    const int64_t kv_heads = c->args.over->kv_heads, rows = c->args.over->rows;
    c->cpu->kernels->attend_backward_keys(&c->args, i / kv_heads % rows, i % kv_heads, i / (kv_heads * rows),
                                          tiles_of(c->cpu, thread));
}

static pawl_status attend_f32(pawl_device *d, const pawl_attend *a, pawl_tensor qkv, pawl_tensor out, pawl_tensor lse)
{
    pawl_cpu *cpu = pawl_cpu_of(d);
    attend_call c = {.cpu = cpu,
                     .args = {.over = a, .qkv = qkv.data, .out = out.data, .lse = lse.data},
                     .blocks = pawl_blocks(a->tokens, PAWL_ATTEND_QUERIES)};
    pawl_pool_run(cpu->pool, a->rows * a->heads * c.blocks, forward, &c);
    return PAWL_OK;
}

/* One pass by one thread for each key/value head of each row, where there are that many; else two passes in smaller
 * pieces, which cost two products more for every five (half as much time again). The shape decides, not the number of
 * threads. */
enum { HEADS_ENOUGH = 4 };

static pawl_status attend_backward_f32(pawl_device *d, const pawl_attend *a, pawl_tensor dout, pawl_tensor qkv,
                                   pawl_tensor out, pawl_tensor lse, pawl_tensor dqkv)
{
    pawl_cpu *cpu = pawl_cpu_of(d);
    attend_call c = {.cpu = cpu,
                     .args = {.over = a,
                              .qkv = qkv.data,
                              .dout = dout.data,
                              .out_read = out.data,
                              .lse_read = lse.data,
                              .dqkv = dqkv.data},
                     .blocks = pawl_blocks(a->tokens, PAWL_ATTEND_QUERIES),
                     .panels = pawl_blocks(a->tokens, PAWL_ATTEND_PANEL)};
    const int64_t heads = a->rows * a->kv_heads;
    if (heads >= HEADS_ENOUGH || c.panels == 1) {
        pawl_pool_run(cpu->pool, heads, backward, &c);
    } else {
        pawl_pool_run(cpu->pool, a->rows * a->heads * c.blocks, backward_queries, &c);
        pawl_pool_run(cpu->pool, heads * c.panels, backward_keys, &c);
    }
    return PAWL_OK;
}

/* bf16: computed in f32 between two conversions. */
typedef struct wide {
    pawl_tensor qkv, out, dout, dqkv;
} wide;

static pawl_tensor as_f32(pawl_arena *a, int64_t rows, int64_t columns)
{
    return (pawl_tensor){pawl_take_bytes(a, (size_t)(rows * columns) * sizeof(float)), PAWL_F32, 2, {rows, columns}};
}

static wide lay_out(pawl_arena *a, int64_t N, int64_t W, int64_t Q)
{
    wide w;
    w.qkv = as_f32(a, N, W);
    w.out = as_f32(a, N, Q);
    w.dout = as_f32(a, N, Q);
    w.dqkv = as_f32(a, N, W);
    return w;
}

size_t pawl_attention_scratch_bytes(const pawl_shapes *most)
{
    pawl_arena a = {.name = "attention"};
    if (most->type == PAWL_BF16)
        lay_out(&a, most->positions, (most->heads + 2 * most->kv_heads) * most->head_dim, most->heads * most->head_dim);
    return a.used;
}

static pawl_status carve(pawl_device *d, const pawl_attend *a, wide *out)
{
    const int64_t N = a->rows * a->tokens, W = (a->heads + 2 * a->kv_heads) * a->head_dim, Q = a->heads * a->head_dim;
    pawl_arena need = {.name = "attention"}, scratch;
    lay_out(&need, N, W, Q);
    PAWL_TRY(pawl_cpu_scratch(pawl_cpu_of(d), "attention in bf16", need.used, &scratch));
    *out = lay_out(&scratch, N, W, Q);
    return PAWL_OK;
}

pawl_status attention_cpu(pawl_device *d, const pawl_attend *a, pawl_tensor qkv, pawl_tensor out, pawl_tensor lse)
{
    wide w;
    if (!pawl_low(qkv)) return attend_f32(d, a, qkv, out, lse);
    PAWL_TRY(carve(d, a, &w));
    PAWL_TRY(cast_cpu(d, qkv, w.qkv));
    PAWL_TRY(attend_f32(d, a, w.qkv, w.out, lse));
    return cast_cpu(d, w.out, out);
}

pawl_status attention_backward_cpu(pawl_device *d, const pawl_attend *a, pawl_tensor dout, pawl_tensor qkv,
                                   pawl_tensor out, pawl_tensor lse, pawl_tensor dqkv)
{
    wide w;
    if (!pawl_low(qkv)) return attend_backward_f32(d, a, dout, qkv, out, lse, dqkv);
    PAWL_TRY(carve(d, a, &w));
    PAWL_TRY(cast_cpu(d, qkv, w.qkv));
    PAWL_TRY(cast_cpu(d, out, w.out));
    PAWL_TRY(cast_cpu(d, dout, w.dout));
    PAWL_TRY(attend_backward_f32(d, a, w.dout, w.qkv, w.out, lse, w.dqkv));
    return cast_cpu(d, w.dqkv, dqkv);
}

typedef struct cached_call {
    const pawl_kernels *kernels;
    const pawl_attend *over;
    const float *q, *keys, *values;
    int64_t first, last;
    float *out;
} cached_call;

static void cached(void *self, int64_t head, int thread)
{
    (void)thread;
    const cached_call *c = self;
    c->kernels->attend_cached(c->over, c->q, c->keys, c->values, c->first, c->last, head, c->out);
}

pawl_status attention_cached_cpu(pawl_device *d, const pawl_attend *a, pawl_tensor q, pawl_tensor keys,
                                 pawl_tensor values, int64_t first, int64_t last, pawl_tensor out)
{
    pawl_cpu *cpu = pawl_cpu_of(d);
    cached_call c = {cpu->kernels, a, q.data, keys.data, values.data, first, last, out.data};
    pawl_pool_run(cpu->pool, a->heads, cached, &c);
    return PAWL_OK;
}
