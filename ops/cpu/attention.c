#include "ops/cpu/cpu.h"

typedef struct attend_call {
    const pawl_cpu *cpu;
    pawl_attend_args args;
    int64_t blocks, panels; /* of queries, and of keys, in a row */
    int64_t each, heads;    /* blocks of a task, and heads that share keys */
    char *desks;            /* one for each thread */
} attend_call;

static size_t desk_bytes(int64_t tokens, int64_t head_dim)
{
    const size_t bytes = (size_t)pawl_attend_floats(tokens, head_dim) * sizeof(float);
    return (bytes + PAWL_ALIGN - 1) / PAWL_ALIGN * PAWL_ALIGN;
}

static char *take_desks(pawl_arena *a, const pawl_cpu *cpu, int64_t tokens, int64_t head_dim)
{
    return pawl_take_bytes(a, (size_t)pawl_pool_threads(cpu->pool) * desk_bytes(tokens, head_dim));
}

size_t pawl_attention_scratch_bytes(const pawl_cpu *cpu, const pawl_shapes *most)
{
    pawl_arena a = {.name = "attention"};
    (void)take_desks(&a, cpu, most->tokens, most->head_dim);
    return a.used;
}

static float *desk_of(const attend_call *c, int thread)
{
    return (float *)(c->desks + (size_t)thread * desk_bytes(c->args.over->tokens, c->args.over->head_dim));
}

/* The last blocks of a row are the longest: they go first, so that no thread is left with one at the end. */
static void forward(void *self, int64_t i, int thread)
{
    const attend_call *c = self;
    const pawl_attend *o = c->args.over;
    const int64_t all = pawl_blocks(c->blocks, c->each), parts = o->heads / c->heads;
    const int64_t at = all - 1 - i / (parts * o->rows);
    c->cpu->kernels->attend(&c->args,
                            (pawl_attend_task){.row = i / parts % o->rows,
                                               .head = i % parts * c->heads,
                                               .heads = c->heads,
                                               .block = at * c->each,
                                               .blocks = pawl_block_size(c->blocks, c->each, at)},
                            desk_of(c, thread));
}

static void backward(void *self, int64_t i, int thread)
{
    const attend_call *c = self;
    const int64_t kv_heads = c->args.over->kv_heads;
    c->cpu->kernels->attend_backward(&c->args, i / kv_heads, i % kv_heads, desk_of(c, thread));
}

static void backward_queries(void *self, int64_t i, int thread)
{
    const attend_call *c = self;
    const int64_t heads = c->args.over->heads, rows = c->args.over->rows;
    const int64_t block = c->blocks - 1 - i / (heads * rows), row = i / heads % rows, head = i % heads;
    c->cpu->kernels->attend_backward_queries(&c->args, row, head, block, desk_of(c, thread));
}

/* Here the first panels are the longest: all later queries see them. */
static void backward_keys(void *self, int64_t i, int thread)
{
    const attend_call *c = self;
    const int64_t kv_heads = c->args.over->kv_heads, rows = c->args.over->rows;
    c->cpu->kernels->attend_backward_keys(&c->args, i / kv_heads % rows, i % kv_heads, i / (kv_heads * rows),
                                          desk_of(c, thread));
}

static pawl_status open_call(pawl_device *d, const pawl_attend *a, pawl_attend_args args, attend_call *out)
{
    pawl_cpu *cpu = pawl_cpu_of(d);
    pawl_arena scratch;
    const pawl_shapes shapes = {.tokens = a->tokens, .head_dim = a->head_dim};
    args.over = a;
    *out = (attend_call){.cpu = cpu,
                         .args = args,
                         .blocks = pawl_blocks(a->tokens, PAWL_ATTEND_QUERIES),
                         .panels = pawl_blocks(a->tokens, PAWL_ATTEND_PANEL)};
    PAWL_TRY(pawl_cpu_scratch(cpu, "attention", pawl_attention_scratch_bytes(cpu, &shapes), &scratch));
    out->desks = take_desks(&scratch, cpu, a->tokens, a->head_dim);
    return PAWL_OK;
}

/* A task lays its keys and values side by side: the more queries it has for them the better, as long as there are tasks
 * enough for many threads. How they are cut changes no bit. */
enum { TASKS_ENOUGH = 32 };

pawl_status attention_cpu(pawl_device *d, const pawl_attend *a, pawl_tensor qkv, pawl_tensor out, pawl_tensor lse)
{
    attend_call c;
    PAWL_TRY(open_call(
        d, a, (pawl_attend_args){.low = pawl_low(qkv), .qkv = qkv.data, .out = out.data, .lse = lse.data}, &c));
    c.heads = a->heads / a->kv_heads;
    if (a->rows * a->kv_heads * c.blocks < TASKS_ENOUGH) c.heads = 1;
    const int64_t parts = a->rows * (a->heads / c.heads);
    c.each = parts >= TASKS_ENOUGH ? c.blocks : 1;
    pawl_pool_run(c.cpu->pool, parts * pawl_blocks(c.blocks, c.each), forward, &c);
    return PAWL_OK;
}

/* One pass by one thread for each key/value head of each row, where there are that many; else two passes in smaller
 * pieces, which cost two products more for every five (half as much time again). The shape decides, not the number of
 * threads. */
enum { HEADS_ENOUGH = 4 };

pawl_status attention_backward_cpu(pawl_device *d, const pawl_attend *a, pawl_tensor dout, pawl_tensor qkv,
                                   pawl_tensor out, pawl_tensor lse, pawl_tensor dqkv)
{
    attend_call c;
    PAWL_TRY(open_call(d, a,
                       (pawl_attend_args){.low = pawl_low(qkv),
                                          .qkv = qkv.data,
                                          .dout = dout.data,
                                          .out_read = out.data,
                                          .lse_read = lse.data,
                                          .dqkv = dqkv.data},
                       &c));
    const int64_t heads = a->rows * a->kv_heads;
    if (heads >= HEADS_ENOUGH || c.panels == 1) {
        pawl_pool_run(c.cpu->pool, heads, backward, &c);
    } else {
        pawl_pool_run(c.cpu->pool, a->rows * a->heads * c.blocks, backward_queries, &c);
        pawl_pool_run(c.cpu->pool, heads * c.panels, backward_keys, &c);
    }
    return PAWL_OK;
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
