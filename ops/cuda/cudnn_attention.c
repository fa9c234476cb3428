/* Attention of bf16 by cuDNN: which calls it takes, its plans, and how a call is cut into them. What it does not take is our own kernel's
 * (attention.cu). Which of the two computes depends on shapes alone, and is the same forward and backward: what the forward pass keeps of its
 * softmax (lse) lies in another order where cuDNN has it in rows.
 *
 * On Hopper alone: what others have of a fixed order of sums in packed sequences is another matter (decision 0044).
 *
 * A plan takes cuDNN a second, so shapes are few: rows as long as cuDNN likes them are taken as they are; all else as
 * sequences, of which there are a power of two and as long as one, the surplus being empty. Backward, cuDNN keeps what may be many
 * bytes of each sequence and head: it is given as many at a time as pawl_cuda_attention_most holds (cudnn_cut.c). */
#include <math.h>
#include <string.h>

#include "core/log.h"
#include "ops/cuda/cuda.h"
#include "ops/cuda/cudnn.h"

#ifndef PAWL_CUDNN_LIBRARY
#define PAWL_CUDNN_LIBRARY "libcudnn.so.9"
#endif
enum { HOPPER = 9, SLOTS = 512, ALIGNED = 16 };

typedef struct sdpa_plan {
    pawl_sdpa of;
    pawl_graph_plan plan; /* none: cuDNN does not know it */
} sdpa_plan;

struct pawl_sdpa_plans {
    pawl_cudnn lib;
    int count;
    sdpa_plan slot[SLOTS];
};

pawl_status attend_by_library_cuda(pawl_device *d)
{
    pawl_cuda *c = pawl_cuda_of(d);
    pawl_sdpa_plans *p;
    if (c->sdpa_plans) return PAWL_OK;
    PAWL_CHECK(c->properties.major == HOPPER, PAWL_EUSAGE, "cuDNN's attention is used on GPUs of compute capability 9.x, and this one has %d.%d",
               c->properties.major, c->properties.minor);
    PAWL_TRY(pawl_alloc((void **)&p, sizeof *p, "plans of attention"));
    const pawl_status s = pawl_cudnn_open(PAWL_CUDNN_LIBRARY, c->stream, &p->lib);
    if (s != PAWL_OK) {
        pawl_free(p);
        return s;
    }
    pawl_graphs_forget(c);
    c->sdpa_plans = p;
    pawl_cuda_describe(c);
    return PAWL_OK;
}

void pawl_sdpa_plans_close(pawl_sdpa_plans *p)
{
    if (!p) return;
    for (int i = 0; i < p->count; i++) pawl_plan_close(&p->lib, &p->slot[i].plan);
    pawl_cudnn_close(&p->lib);
    pawl_free(p);
}

void pawl_sdpa_plans_describe(const pawl_sdpa_plans *p, char *out, size_t room)
{
    pawl_cudnn_describe(&p->lib, out, room);
}

/* ---- where packed sequences are ---- */

static void fill_places(pawl_cuda *c, const pawl_sdpa *s, const pawl_attend *a, int64_t parts, const pawl_sdpa_room *room)
{
    if (!s->packed) return;
    const pawl_ragged r = {.bounds = a->bounds,
                           .documents = a->documents,
                           .of_part = s->sequences,
                           .numbers = pawl_sdpa_numbers(s),
                           .parts = parts,
                           .qkv_width = (a->heads + 2 * a->kv_heads) * a->head_dim,
                           .out_width = a->heads * a->head_dim,
                           .stats_width = a->heads};
    pawl_cuda_ragged(c->stream, &r, room->lengths, room->qkv_at, room->out_at, room->stats_at);
}

/* ---- plans ---- */

static void tell_of_none(const pawl_sdpa_plans *p, const pawl_sdpa *s)
{
    char why[256] = "";
    p->lib.GetLastErrorString(why, sizeof why);
    why[sizeof why - 1] = '\0';
    pawl_log(PAWL_LOG_INFO, "attention: cuDNN has no plan for %lld heads of %lld over %lld, %s%s: our own kernel computes it. %s", (long long)s->heads,
             (long long)s->head_dim, (long long)s->kv_heads, s->packed ? "packed" : "dense", s->backward ? ", backward" : "", why);
}

static pawl_status make(pawl_sdpa_plans *p, sdpa_plan *to)
{
    pawl_graph g;
    pawl_sdpa_build(&p->lib, &to->of, &g);
    const pawl_status s = pawl_graph_make(&g, &to->plan);
    if (s == PAWL_OK && !to->plan.plan) tell_of_none(p, &to->of);
    pawl_graph_close(&g);
    return s;
}

/* The number of a shape's plan; p->count: it is not there. */
static int place_of(const pawl_sdpa_plans *p, const pawl_sdpa *s)
{
    int i = 0;
    while (i < p->count && memcmp(&p->slot[i].of, s, sizeof *s) != 0) i++;
    return i;
}

static pawl_status plan_of(pawl_sdpa_plans *p, const pawl_sdpa *s, const pawl_graph_plan **out)
{
    const int i = place_of(p, s);
    if (i == p->count) {
        p->slot[i] = (sdpa_plan){.of = *s};
        PAWL_TRY(make(p, &p->slot[i]));
        p->count++;
    }
    *out = &p->slot[i].plan;
    return PAWL_OK;
}

/* Rows that are not packed have as many shapes as lengths: where two more would not fit, all are forgotten, and are made again as they were. */
static void make_room(pawl_cuda *c, const pawl_sdpa *whole, const pawl_sdpa *part)
{
    pawl_sdpa_plans *p = c->sdpa_plans;
    if (p->count + 2 <= SLOTS || (place_of(p, whole) < p->count && place_of(p, part) < p->count)) return;
    pawl_graphs_forget(c);
    pawl_cuda_settle(c);
    for (int i = 0; i < p->count; i++) pawl_plan_close(&p->lib, &p->slot[i].plan);
    p->count = 0;
}

/* What computes a call by cuDNN. */
typedef struct chosen {
    pawl_sdpa whole, part;                    /* forward; backward, at a time */
    const pawl_graph_plan *forward, *backward; /* NULL: our own kernel computes it */
} chosen;

/* Offsets are numbers of 4 bytes. */
int pawl_sdpa_takes(const pawl_cuda *c, const pawl_attend *a, pawl_tensor qkv)
{
    const int64_t numbers = a->rows * a->tokens * (a->heads + 2 * a->kv_heads) * a->head_dim;
    return c->sdpa_plans && qkv.dtype == PAWL_BF16 && a->bounds && (uintptr_t)qkv.data % ALIGNED == 0 && a->head_dim % 8 == 0 && numbers <= INT32_MAX;
}

/* Both directions or none. */
static pawl_status choose(pawl_cuda *c, const pawl_attend *a, pawl_tensor qkv, chosen *out)
{
    *out = (chosen){0};
    if (!pawl_sdpa_takes(c, a, qkv)) return PAWL_OK;
    out->whole = pawl_sdpa_of(a);
    out->part = pawl_sdpa_backward_part(&out->whole);
    make_room(c, &out->whole, &out->part);
    PAWL_TRY(plan_of(c->sdpa_plans, &out->whole, &out->forward));
    if (out->forward->plan) PAWL_TRY(plan_of(c->sdpa_plans, &out->part, &out->backward));
    if (!out->backward || !out->backward->plan) out->forward = out->backward = NULL;
    return PAWL_OK;
}

/* ---- a part ---- */

typedef struct arguments {
    int count;
    int64_t ids[PAWL_SDPA_IDS];
    void *at[PAWL_SDPA_IDS];
} arguments;

static void give(arguments *g, int64_t id, const void *at)
{
    g->ids[g->count] = id;
    g->at[g->count++] = (void *)(uintptr_t)at;
}

static const float lowest = -INFINITY, one = 1;

/* Sequences from `first` on, key/value heads from kv on. */
typedef struct part {
    const pawl_sdpa *s;
    const pawl_attend *a;
    const pawl_sdpa_room *room;
    int64_t first, kv;
} part;

static int64_t first_head(const part *p)
{
    return p->kv * (p->a->heads / p->a->kv_heads);
}

/* From which number on: a row's, and of it a head's. Packed sequences are where offsets say. */
static int64_t in_rows(const part *p, int64_t width, int64_t head)
{
    return (p->s->packed ? 0 : p->first * p->a->tokens * width) + head * p->a->head_dim;
}

static void *in_qkv(const part *p, pawl_tensor t, int64_t head)
{
    return pawl_cuda_at(t, in_rows(p, (p->a->heads + 2 * p->a->kv_heads) * p->a->head_dim, head));
}

static void give_qkv(arguments *g, const part *p, pawl_tensor t, int64_t q, int64_t k, int64_t v)
{
    give(g, q, in_qkv(p, t, first_head(p)));
    give(g, k, in_qkv(p, t, p->a->heads + p->kv));
    give(g, v, in_qkv(p, t, p->a->heads + p->a->kv_heads + p->kv));
}

static void give_out(arguments *g, const part *p, pawl_tensor t, int64_t id)
{
    give(g, id, pawl_cuda_at(t, in_rows(p, p->a->heads * p->a->head_dim, first_head(p))));
}

static void give_stats(arguments *g, const part *p, pawl_tensor lse)
{
    give(g, PAWL_SDPA_STATS, pawl_cuda_at(lse, p->s->packed ? first_head(p) : (p->first * p->a->heads + first_head(p)) * p->a->tokens));
}

static void give_places(arguments *g, const part *p)
{
    const int64_t at = p->s->packed ? p->first / p->s->sequences * pawl_sdpa_numbers(p->s) : 0;
    if (!p->s->packed) return;
    give(g, PAWL_SDPA_LENGTHS, p->room->lengths + at);
    give(g, PAWL_SDPA_QKV_AT, p->room->qkv_at + at);
    give(g, PAWL_SDPA_OUT_AT, p->room->out_at + at);
    give(g, PAWL_SDPA_STATS_AT, p->room->stats_at + at);
}

/* window: read before the plan's run returns. */
static void give_numbers(arguments *g, const part *p, const float *window)
{
    give(g, PAWL_SDPA_SCALE, &p->a->scale);
    give(g, PAWL_SDPA_LOWEST, &lowest);
    if (p->s->window) give(g, PAWL_SDPA_WINDOW, window);
}

/* ---- calls ---- */

/* Room that grows the first time that a plan asks for more than was reserved. */
static pawl_status take_room(pawl_cuda *c, const char *op, const pawl_sdpa *s, int64_t parts, int64_t workspace, pawl_sdpa_room *out)
{
    const size_t bytes = pawl_sdpa_room_bytes(s, parts, workspace);
    pawl_arena scratch;
    PAWL_TRY(pawl_cuda_grow(c, bytes));
    PAWL_TRY(pawl_cuda_scratch(c, op, bytes, &scratch));
    *out = pawl_sdpa_lay_out(scratch.base, s, parts, workspace);
    return PAWL_OK;
}

static pawl_status forward(pawl_cuda *c, const chosen *k, const pawl_attend *a, pawl_tensor qkv, pawl_tensor out, pawl_tensor lse)
{
    const float window = (float)k->whole.window;
    pawl_sdpa_room room;
    arguments g = {0};
    PAWL_TRY(take_room(c, "attention", &k->whole, 1, k->forward->workspace_bytes, &room));
    const part p = {&k->whole, a, &room, 0, 0};
    fill_places(c, &k->whole, a, 1, &room);
    give_qkv(&g, &p, qkv, PAWL_SDPA_Q, PAWL_SDPA_K, PAWL_SDPA_V);
    give_out(&g, &p, out, PAWL_SDPA_OUT);
    give_stats(&g, &p, lse);
    give_places(&g, &p);
    give_numbers(&g, &p, &window);
    return pawl_plan_run(&c->sdpa_plans->lib, k->forward, g.count, g.ids, g.at, room.workspace);
}

typedef struct gradients {
    pawl_tensor dout, qkv, out, lse, dqkv;
} gradients;

static pawl_status backward_part(pawl_cuda *c, const chosen *k, const part *p, const gradients *t)
{
    const float window = (float)p->s->window;
    arguments g = {0};
    give_qkv(&g, p, t->qkv, PAWL_SDPA_Q, PAWL_SDPA_K, PAWL_SDPA_V);
    give_qkv(&g, p, t->dqkv, PAWL_SDPA_DQ, PAWL_SDPA_DK, PAWL_SDPA_DV);
    give_out(&g, p, t->out, PAWL_SDPA_OUT);
    give_out(&g, p, t->dout, PAWL_SDPA_DOUT);
    give_stats(&g, p, t->lse);
    give_places(&g, p);
    give_numbers(&g, p, &window);
    give(&g, PAWL_SDPA_ONE, &one);
    give(&g, PAWL_SDPA_SUMS, p->room->sums);
    return pawl_plan_run(&c->sdpa_plans->lib, k->backward, g.count, g.ids, g.at, p->room->workspace);
}

static pawl_status backward(pawl_cuda *c, const chosen *k, const pawl_attend *a, const gradients *t)
{
    const pawl_sdpa *s = &k->part;
    const int64_t count = s->packed ? a->documents : a->rows, parts = (count + s->sequences - 1) / s->sequences;
    pawl_sdpa_room room;
    PAWL_TRY(take_room(c, "attention_backward", s, parts, k->backward->workspace_bytes, &room));
    fill_places(c, s, a, parts, &room);
    for (int64_t i = 0; i < parts; i++)
        for (int64_t kv = 0; kv < a->kv_heads; kv += s->kv_heads)
            PAWL_TRY(backward_part(c, k, &(part){s, a, &room, i * s->sequences, kv}, t));
    return PAWL_OK;
}

pawl_status attention_cuda(pawl_device *d, const pawl_attend *a, pawl_tensor qkv, pawl_tensor out, pawl_tensor lse)
{
    pawl_cuda *c = pawl_cuda_of(d);
    chosen k;
    PAWL_TRY(choose(c, a, qkv, &k));
    if (k.forward) PAWL_TRY(forward(c, &k, a, qkv, out, lse));
    else pawl_cuda_attention(c->stream, a, qkv, out, lse);
    return pawl_cuda_launched("attention");
}

pawl_status attention_backward_cuda(pawl_device *d, const pawl_attend *a, pawl_tensor dout, pawl_tensor qkv, pawl_tensor out,
                                    pawl_tensor lse, pawl_tensor dqkv)
{
    pawl_cuda *c = pawl_cuda_of(d);
    pawl_arena scratch;
    chosen k;
    PAWL_TRY(choose(c, a, qkv, &k));
    if (k.backward) {
        PAWL_TRY(backward(c, &k, a, &(gradients){dout, qkv, out, lse, dqkv}));
    } else {
        PAWL_TRY(pawl_cuda_scratch(c, "attention_backward", pawl_cuda_attention_scratch_bytes(a->rows * a->tokens, a->heads), &scratch));
        pawl_cuda_attention_backward(c->stream, a, dout, qkv, out, lse, dqkv, scratch.base);
    }
    return pawl_cuda_launched("attention_backward");
}
