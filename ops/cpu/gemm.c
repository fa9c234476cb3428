#include <string.h>

#include "ops/cpu/gemm_plans.h"

enum { TABLE_SLOTS = 2 * PAWL_PLANS_MOST, PANELS_USUAL = 8, PANELS_MOST = 32 };

pawl_status pawl_gemm_open(const pawl_gemm_library *library, pawl_pool *pool, const pawl_kernels *k, pawl_gemm **out)
{
    pawl_status status = PAWL_OK;
    pawl_gemm *g;
    PAWL_TRY(pawl_alloc((void **)&g, sizeof *g, "matrix products"));
    *g = (pawl_gemm){.library = library, .pool = pool, .kernels = k, .scratch = {.name = "scratch"}};
    library->name(g->name);
    PAWL_TRY_OUT(pawl_alloc((void **)&g->table, TABLE_SLOTS * sizeof *g->table, "plans of matrix products"));
    PAWL_TRY_OUT(library->open(pawl_pool_threads(pool), k, &g->self));
    *out = g;
    return PAWL_OK;
out:
    pawl_gemm_close(g);
    return status;
}

static void forget_all(pawl_gemm *g)
{
    for (int i = 0; i < TABLE_SLOTS; i++)
        if (g->table[i].plan) g->library->forget(g->table[i].plan);
    memset(g->table, 0, TABLE_SLOTS * sizeof *g->table);
    g->plans = 0;
}

void pawl_gemm_close(pawl_gemm *g)
{
    if (!g) return;
    if (g->table) forget_all(g);
    if (g->self) g->library->close(g->self);
    pawl_arena_close(&g->scratch);
    pawl_free(g->table);
    pawl_free(g);
}

const char *pawl_gemm_name(const pawl_gemm *g)
{
    return g->name;
}

static size_t lay_out(const pawl_gemm *g, pawl_gemm_need need, pawl_arena *a)
{
    for (int t = 0; t < pawl_pool_threads(g->pool); t++) pawl_take_bytes(a, need.each);
    pawl_take_bytes(a, need.shared);
    return a->used;
}

size_t pawl_gemm_need_bytes(const pawl_gemm *g, pawl_gemm_need need)
{
    pawl_arena a = {.name = g->scratch.name};
    return lay_out(g, need, &a);
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

pawl_status pawl_gemm_reserve(pawl_gemm *g, pawl_gemm_need need)
{
    if (need.each <= g->reserved.each && need.shared <= g->reserved.shared) return PAWL_OK;
    const pawl_gemm_need all = {larger(need.each, g->reserved.each), larger(need.shared, g->reserved.shared)};
    pawl_arena grown = {.name = g->scratch.name, .used = pawl_gemm_need_bytes(g, all)};
    PAWL_TRY(pawl_arena_open(&grown));
    pawl_arena_close(&g->scratch);
    g->scratch = grown;
    g->reserved = all;
    return PAWL_OK;
}

char *pawl_gemm_scratch(const pawl_gemm *g, int thread)
{
    return g->scratch.base + (size_t)thread * ((g->reserved.each + PAWL_ALIGN - 1) / PAWL_ALIGN * PAWL_ALIGN);
}

char *pawl_gemm_shared(const pawl_gemm *g)
{
    return pawl_gemm_scratch(g, pawl_pool_threads(g->pool));
}

static int same_shape(const pawl_panel *a, const pawl_panel *b)
{
    return a->m == b->m && a->n == b->n && a->k == b->k && a->lda == b->lda && a->ldb == b->ldb && a->ldc == b->ldc &&
           a->a_transposed == b->a_transposed && a->b_transposed == b->b_transposed && a->add == b->add &&
           a->biased == b->biased && a->a_type == b->a_type && a->b_type == b->b_type && a->c_type == b->c_type;
}

static uint64_t hash_shape(const pawl_panel *p)
{
    const uint64_t words[] = {(uint64_t)p->m,
                              (uint64_t)p->n,
                              (uint64_t)p->k,
                              (uint64_t)p->lda,
                              (uint64_t)p->ldb,
                              (uint64_t)p->ldc,
                              (uint64_t)(p->biased * 8 + p->a_transposed * 4 + p->b_transposed * 2 + p->add),
                              (uint64_t)p->a_type << 16 | (uint64_t)p->b_type << 8 | (uint64_t)p->c_type};
    uint64_t h = 0;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        h = (h ^ words[i]) * 0x9e3779b97f4a7c15u;
        h ^= h >> 29;
    }
    return h;
}

static pawl_gemm_entry *slot_of(const pawl_gemm *g, const pawl_panel *p)
{
    uint64_t i = hash_shape(p) % TABLE_SLOTS;
    while (g->table[i].planned && !same_shape(&g->table[i].shape, p)) i = (i + 1) % TABLE_SLOTS;
    return &g->table[i];
}

pawl_status pawl_gemm_plan(pawl_gemm *g, const pawl_panel *p, const pawl_gemm_entry **out)
{
    pawl_gemm_entry *e = slot_of(g, p);
    if (!e->planned) {
        PAWL_TRY(g->library->plan(g->self, p, &e->plan, &e->scratch_bytes));
        e->shape = *p;
        e->planned = 1;
        g->plans++;
    }
    *out = e;
    return PAWL_OK;
}

const pawl_gemm_entry *pawl_gemm_planned(const pawl_gemm *g, const pawl_panel *p)
{
    return slot_of(g, p);
}

/* The longer side of c is cut, since every panel reads all of the other operand; into a power of two of panels, so that
 * the usual numbers of threads share them evenly, none of them too thin to be worth its packing; more than the usual
 * number only of long sides, for ranks with many threads. */
typedef struct cut {
    int rows;      /* 1: rows of c are cut; 0: its columns */
    int64_t each;  /* of them in a panel; the last may have fewer */
    int64_t count; /* panels */
} cut;

static cut cut_of(pawl_gemm_use use, const pawl_panel *p)
{
    const int64_t thin = use == PAWL_OVER_POSITIONS ? 64 : 128, wide = 192;
    const int rows = p->m >= p->n;
    const int64_t side = rows ? p->m : p->n;
    int64_t panels = 1;
    while (panels < PANELS_USUAL && side >= 2 * panels * thin) panels *= 2;
    while (panels >= PANELS_USUAL && panels < PANELS_MOST && side >= 2 * panels * wide) panels *= 2;
    const int64_t each = ((side + panels - 1) / panels + 15) / 16 * 16;
    return (cut){rows, each, (side + each - 1) / each};
}

static pawl_panel panel_of(const pawl_panel *p, cut c, int64_t i)
{
    pawl_panel one = *p;
    const int64_t side = c.rows ? p->m : p->n, left = side - i * c.each, mine = left < c.each ? left : c.each;
    *(c.rows ? &one.m : &one.n) = mine;
    return one;
}

enum { PLANS_OF_A_PRODUCT = 10 }; /* two of panels; or eight of those that are converted, see gemm_convert.c */

pawl_status pawl_gemm_prepare(pawl_gemm *g, pawl_gemm_use use, const pawl_panel *p, pawl_gemm_need *need)
{
    const cut c = cut_of(use, p);
    const pawl_panel ends[] = {panel_of(p, c, 0), panel_of(p, c, c.count - 1)};
    if (g->plans + PLANS_OF_A_PRODUCT > PAWL_PLANS_MOST)
        forget_all(g); /* ever new shapes: start afresh, not without end */
    for (int i = 0; i < 2; i++) {
        const pawl_gemm_entry *e = NULL;
        PAWL_TRY(pawl_gemm_plan(g, &ends[i], &e));
        if (!e->plan) return pawl_gemm_convert_prepare(g, p, need);
        need->each = larger(need->each, e->scratch_bytes);
    }
    return PAWL_OK;
}

typedef struct call {
    pawl_gemm *g;
    const pawl_panel *shape;
    cut cut;
    void *first, *last; /* plans of all panels but the last, and of that */
    const void *a, *b;
    const float *bias;
    int add; /* whether c counts, where a bias is added to it first */
    void *c;
    pawl_status *status; /* of each panel */
} call;

static void run_panel(void *self, int64_t i, int thread)
{
    const call *k = self;
    const pawl_panel *p = k->shape;
    pawl_panel one = panel_of(p, k->cut, i);
    const int64_t at = i * k->cut.each, row = k->cut.rows ? at : 0, column = k->cut.rows ? 0 : at;
    const void *a = pawl_gemm_number(k->a, p->a_type, row * (p->a_transposed ? 1 : p->lda)),
               *b = pawl_gemm_number(k->b, p->b_type, column * (p->b_transposed ? p->ldb : 1));
    void *c = (void *)(uintptr_t)pawl_gemm_number(k->c, p->c_type, row * p->ldc + column);
    if (k->bias && !p->biased) /* f32: the product is then added to it */
        k->g->kernels->add_bias(c, p->ldc, k->bias + column, one.m, one.n, k->add ? PAWL_ADD : PAWL_SET);
    k->status[i] = k->g->library->run(i + 1 < k->cut.count ? k->first : k->last, &one, thread, a, b,
                                      p->biased ? k->bias + column : NULL, c, pawl_gemm_scratch(k->g, thread));
}

static pawl_status run_panels(pawl_gemm *g, const call *k)
{
    pawl_pool_run(g->pool, k->cut.count, run_panel, (void *)(uintptr_t)k);
    for (int64_t i = 0; i < k->cut.count; i++)
        PAWL_CHECK(k->status[i] == PAWL_OK, k->status[i], "%s failed in a product of %ld x %ld x %ld numbers", g->name,
                   (long)k->shape->m, (long)k->shape->n, (long)k->shape->k);
    return PAWL_OK;
}

pawl_status pawl_gemm_run(pawl_gemm *g, pawl_gemm_use use, const pawl_panel *p, const void *a, const void *b,
                          const float *bias, void *c)
{
    pawl_status status[PANELS_MOST] = {PAWL_OK};
    pawl_panel planned = *p;
    planned.biased = bias && p->c_type == PAWL_BF16;
    planned.add = p->add || (bias && !planned.biased);
    pawl_gemm_need need = {0};
    const cut panels = cut_of(use, &planned);
    PAWL_TRY(pawl_gemm_prepare(g, use, &planned, &need));
    PAWL_TRY(pawl_gemm_reserve(g, need));
    const pawl_panel first = panel_of(&planned, panels, 0), last = panel_of(&planned, panels, panels.count - 1);
    void *const first_plan = slot_of(g, &first)->plan;
    if (!first_plan) return pawl_gemm_convert_run(g, p, a, b, bias, c);
    const call k = {g, &planned, panels, first_plan, slot_of(g, &last)->plan, a, b, bias, p->add, c, status};
    return run_panels(g, &k);
}
