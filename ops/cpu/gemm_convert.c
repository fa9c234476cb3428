/* Products that the library does not do on this machine, or not well, from operands laid out anew: bf16 becomes f32,
 * and rows that lie a multiple of the caches' reach apart move together (see pawl_gemm_moves). This is done in scratch,
 * strip by strip, and f32 products of the library do the rest. The shorter side's operand, which every strip reads, is
 * laid out once for all of them; a strip's own operand by the thread that computes it. Long sums of f32 results go
 * block by block, so that scratch stays small; a bf16 result is summed whole in scratch and rounded once. All cuts
 * follow from the shape. */
#include <stdatomic.h>
#include <string.h>

#include "ops/cpu/gemm_plans.h"

enum {
    STRIP = 256,
    STRIP_LEAST = 128,
    STRIPS_ENOUGH = 8,
    SHARED_FLOATS = 1 << 21,
    BLOCK_LEAST = 256,
    CONVERT_ROWS = 64
};

/* One of the two factors: element (i of the side, p of the sum) is at [p * lead + i] when turned, else [i * lead + p].
 */
typedef struct factor {
    const void *data;
    pawl_dtype type;
    int64_t lead;
    int turned, moves;
} factor;

/* How the product is done: `side` is cut into strips, `across` is the other one. */
typedef struct scheme {
    const pawl_panel *p;
    int rows; /* 1: strips of c's rows; 0: of its columns */
    int64_t side, across, each, strips, block, blocks;
} scheme;

static int64_t at_most(int64_t x, int64_t most)
{
    return x < most ? x : most;
}

/* Rows of that many numbers of f32, laid side by side: an odd number of cache lines where they would be moved again. */
static int64_t lead_of(int64_t width, int turned)
{
    return pawl_gemm_moves(PAWL_F32, width, turned) ? width + 16 : width;
}

static int moves_a(const pawl_panel *p)
{
    return pawl_gemm_moves(p->a_type, p->lda, p->a_transposed);
}

static int moves_b(const pawl_panel *p)
{
    return pawl_gemm_moves(p->b_type, p->ldb, !p->b_transposed);
}

static scheme scheme_of(const pawl_panel *p)
{
    scheme s = {.p = p, .rows = p->m >= p->n};
    s.side = s.rows ? p->m : p->n;
    s.across = s.rows ? p->n : p->m;
    s.each = at_most(s.side, s.side < STRIPS_ENOUGH * STRIP ? STRIP_LEAST : STRIP);
    s.strips = (s.side + s.each - 1) / s.each;
    const int64_t fits = SHARED_FLOATS / s.across / BLOCK_LEAST * BLOCK_LEAST;
    s.block = p->c_type == PAWL_F32 ? at_most(p->k, fits > BLOCK_LEAST ? fits : BLOCK_LEAST) : p->k;
    s.blocks = (p->k + s.block - 1) / s.block;
    return s;
}

/* The f32 product of strip i over block j. */
static pawl_panel strip_of(const scheme *s, int64_t i, int64_t j)
{
    const pawl_panel *p = s->p;
    const int64_t mine = at_most(s->side - i * s->each, s->each), k = at_most(p->k - j * s->block, s->block);
    pawl_panel one = *p;
    one.k = k;
    *(s->rows ? &one.m : &one.n) = mine;
    if (moves_a(p)) one.lda = lead_of(p->a_transposed ? one.m : k, p->a_transposed);
    if (moves_b(p)) one.ldb = lead_of(p->b_transposed ? k : one.n, !p->b_transposed);
    if (p->c_type != PAWL_F32) one.ldc = one.n;
    one.add = p->c_type == PAWL_F32 && (p->add || j > 0);
    one.biased = 0;
    one.a_type = one.b_type = one.c_type = PAWL_F32;
    return one;
}

/* What a thread carves its scratch into. */
typedef struct strip_scratch {
    float *own, *sum; /* [each, block], [each, across] */
    void *plan;
} strip_scratch;

static strip_scratch carve(const scheme *s, size_t plan_bytes, pawl_arena *a)
{
    const int moves = s->rows ? moves_a(s->p) : moves_b(s->p),
              turned = s->rows ? s->p->a_transposed : !s->p->b_transposed;
    const int64_t numbers = turned ? s->block * lead_of(s->each, 1) : s->each * s->block;
    strip_scratch t;
    t.own = pawl_take_bytes(a, moves ? (size_t)numbers * sizeof(float) : 0);
    t.sum = pawl_take_bytes(a, s->p->c_type == PAWL_F32 ? 0 : (size_t)(s->each * s->across) * sizeof(float));
    t.plan = pawl_take_bytes(a, plan_bytes);
    return t;
}

pawl_status pawl_gemm_convert_prepare(pawl_gemm *g, const pawl_panel *p, pawl_gemm_need *need)
{
    const scheme s = scheme_of(p);
    const int shared = s.rows ? moves_b(p) : moves_a(p), turned = s.rows ? !p->b_transposed : p->a_transposed;
    const int64_t strips[] = {0, s.strips - 1}, blocks[] = {0, s.blocks > 1, s.blocks - 1};
    size_t plan_bytes = 0;
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 3; j++) {
            const pawl_panel one = strip_of(&s, strips[i], blocks[j]);
            const pawl_gemm_entry *e = NULL;
            PAWL_TRY(pawl_gemm_plan(g, &one, &e));
            PAWL_CHECK(e->plan, PAWL_EBUG, "%s does not multiply numbers of f32", g->name);
            plan_bytes = e->scratch_bytes > plan_bytes ? e->scratch_bytes : plan_bytes;
        }
    pawl_arena each = {.name = "a strip"};
    carve(&s, plan_bytes, &each);
    const int64_t numbers = turned ? s.block * lead_of(s.across, 1) : s.across * s.block;
    const size_t all = shared ? (size_t)numbers * sizeof(float) : 0;
    if (each.used > need->each) need->each = each.used;
    if (all > need->shared) need->shared = all;
    return PAWL_OK;
}

typedef struct convert_call {
    pawl_gemm *g;
    const scheme *s;
    factor own, shared;
    const float *bias;
    void *c;
    int64_t block; /* at hand */
    size_t plan_bytes;
    atomic_int *failed; /* the status of a strip that failed */
} convert_call;

static int64_t block_length(const convert_call *c)
{
    return at_most(c->s->p->k - c->block * c->s->block, c->s->block);
}

/* Rows [first, first + rows) of a factor's part as it is stored, which has width numbers in a row. */
static void lay_rows(const convert_call *c, const factor *f, int64_t side, int64_t first, int64_t rows, int64_t width,
                     float *to)
{
    const int64_t start = c->block * c->s->block, at = f->turned ? start * f->lead + side : side * f->lead + start;
    const int64_t lead = lead_of(width, f->turned);
    for (int64_t r = first; r < first + rows; r++) {
        const void *from = pawl_gemm_number(f->data, f->type, at + r * f->lead);
        if (f->type == PAWL_F32)
            memcpy(to + r * lead, from, (size_t)width * sizeof *to);
        else
            c->g->kernels->widen(from, to + r * lead, width);
    }
}

static void lay_shared(void *self, int64_t i, int thread)
{
    (void)thread;
    const convert_call *c = self;
    const int64_t k = block_length(c), rows = c->shared.turned ? k : c->s->across,
                  width = c->shared.turned ? c->s->across : k, first = i * CONVERT_ROWS;
    lay_rows(c, &c->shared, 0, first, at_most(rows - first, CONVERT_ROWS), width, (float *)pawl_gemm_shared(c->g));
}

/* Where a factor's part for a strip at `side` begins, as f32: laid out anew, or as it lies. */
static const float *part_of(const convert_call *c, const factor *f, int64_t side, const float *anew)
{
    const int64_t start = c->block * c->s->block;
    if (f->moves) return anew;
    return (const float *)f->data + (f->turned ? start * f->lead + side : side * f->lead + start);
}

static void run_strip(void *self, int64_t i, int thread)
{
    const convert_call *c = self;
    const scheme *s = c->s;
    const pawl_panel *p = s->p, one = strip_of(s, i, c->block);
    const int64_t side = i * s->each, mine = s->rows ? one.m : one.n;
    pawl_arena a = {.name = "a strip", .base = pawl_gemm_scratch(c->g, thread), .size = c->g->reserved.each};
    const strip_scratch t = carve(s, c->plan_bytes, &a);
    if (c->own.moves) lay_rows(c, &c->own, side, 0, c->own.turned ? one.k : mine, c->own.turned ? mine : one.k, t.own);
    const float *own = part_of(c, &c->own, side, t.own),
                *shared = part_of(c, &c->shared, 0, (const float *)pawl_gemm_shared(c->g));
    const int64_t row = s->rows ? side : 0, column = s->rows ? 0 : side;
    void *to = (void *)(uintptr_t)pawl_gemm_number(c->c, p->c_type, row * p->ldc + column);
    const int rounded = p->c_type != PAWL_F32;
    if (c->bias && !rounded && c->block == 0)
        c->g->kernels->add_bias(to, p->ldc, c->bias + column, one.m, one.n, p->add ? PAWL_ADD : PAWL_SET);
    pawl_panel planned = one;
    planned.add = one.add || (c->bias && !rounded);
    const pawl_status status =
        c->g->library->run(pawl_gemm_planned(c->g, &planned)->plan, &planned, thread, s->rows ? own : shared,
                           s->rows ? shared : own, NULL, rounded ? t.sum : to, t.plan);
    if (status != PAWL_OK) atomic_store(c->failed, (int)status);
    for (int64_t r = 0; rounded && r < one.m; r++)
        c->g->kernels->narrow_sum(t.sum + r * one.n, c->bias ? c->bias + column : NULL, one.n,
                                  p->add ? PAWL_ADD : PAWL_SET, (uint16_t *)to + r * p->ldc);
}

static size_t most_plan_bytes(const pawl_gemm *g, const scheme *s, int added)
{
    size_t most = 0;
    for (int64_t i = 0; i < s->strips; i++)
        for (int64_t j = 0; j < s->blocks; j++) {
            pawl_panel one = strip_of(s, i, j);
            one.add |= added;
            const size_t bytes = pawl_gemm_planned(g, &one)->scratch_bytes;
            most = bytes > most ? bytes : most;
        }
    return most;
}

pawl_status pawl_gemm_convert_run(pawl_gemm *g, const pawl_panel *p, const void *a, const void *b, const float *bias,
                                  void *c)
{
    const scheme s = scheme_of(p);
    const factor of_a = {a, p->a_type, p->lda, p->a_transposed, moves_a(p)},
                 of_b = {b, p->b_type, p->ldb, !p->b_transposed, moves_b(p)};
    atomic_int failed = PAWL_OK;
    convert_call call = {.g = g, .s = &s, .bias = bias, .c = c, .failed = &failed};
    call.own = s.rows ? of_a : of_b;
    call.shared = s.rows ? of_b : of_a;
    call.plan_bytes = most_plan_bytes(g, &s, bias && p->c_type == PAWL_F32);
    for (call.block = 0; call.block < s.blocks; call.block++) {
        const int64_t rows = call.shared.turned ? block_length(&call) : s.across;
        if (call.shared.moves) pawl_pool_run(g->pool, (rows + CONVERT_ROWS - 1) / CONVERT_ROWS, lay_shared, &call);
        pawl_pool_run(g->pool, s.strips, run_strip, &call);
    }
    const pawl_status status = (pawl_status)atomic_load(&failed);
    PAWL_CHECK(status == PAWL_OK, status, "%s failed in a product of %ld x %ld x %ld numbers", g->name, (long)p->m,
               (long)p->n, (long)p->k);
    return PAWL_OK;
}
