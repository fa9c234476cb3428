#include "ops/cpu/gemm.h"

#include <string.h>

#include "core/arena.h"

enum { TABLE_SLOTS = 4096, TABLE_MOST = TABLE_SLOTS / 2, PANELS_MOST = 8 };

typedef struct entry {
    pawl_panel shape;
    void *plan; /* NULL: the slot is free */
    size_t scratch_bytes;
} entry;

struct pawl_gemm {
    const pawl_gemm_library *library;
    void *self;
    char name[32];
    pawl_pool *pool;
    const pawl_kernels *kernels;
    entry *table; /* [TABLE_SLOTS], open addressing */
    int plans;
    pawl_arena scratch; /* threads x scratch_bytes */
    size_t scratch_bytes;
};

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

pawl_status pawl_gemm_reserve(pawl_gemm *g, size_t scratch_bytes)
{
    if (scratch_bytes <= g->scratch_bytes) return PAWL_OK;
    pawl_arena grown = {.name = g->scratch.name};
    for (int t = 0; t < pawl_pool_threads(g->pool); t++) pawl_take_bytes(&grown, scratch_bytes);
    PAWL_TRY(pawl_arena_open(&grown));
    pawl_arena_close(&g->scratch);
    g->scratch = grown;
    g->scratch_bytes = scratch_bytes;
    return PAWL_OK;
}

static char *scratch_of(const pawl_gemm *g, int thread)
{
    return g->scratch.base + (size_t)thread * ((g->scratch_bytes + PAWL_ALIGN - 1) / PAWL_ALIGN * PAWL_ALIGN);
}

static int same_shape(const pawl_panel *a, const pawl_panel *b)
{
    return a->m == b->m && a->n == b->n && a->k == b->k && a->lda == b->lda && a->ldb == b->ldb && a->ldc == b->ldc &&
           a->a_transposed == b->a_transposed && a->b_transposed == b->b_transposed && a->add == b->add;
}

static uint64_t hash_shape(const pawl_panel *p)
{
    const uint64_t words[] = {(uint64_t)p->m,
                              (uint64_t)p->n,
                              (uint64_t)p->k,
                              (uint64_t)p->lda,
                              (uint64_t)p->ldb,
                              (uint64_t)p->ldc,
                              (uint64_t)(p->a_transposed * 4 + p->b_transposed * 2 + p->add)};
    uint64_t h = 0;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        h = (h ^ words[i]) * 0x9e3779b97f4a7c15u;
        h ^= h >> 29;
    }
    return h;
}

static entry *slot_of(pawl_gemm *g, const pawl_panel *p)
{
    uint64_t i = hash_shape(p) % TABLE_SLOTS;
    while (g->table[i].plan && !same_shape(&g->table[i].shape, p)) i = (i + 1) % TABLE_SLOTS;
    return &g->table[i];
}

static pawl_status plan_of(pawl_gemm *g, const pawl_panel *p, const entry **out)
{
    entry *e = slot_of(g, p);
    if (!e->plan) {
        PAWL_TRY(g->library->plan(g->self, p, &e->plan, &e->scratch_bytes));
        e->shape = *p;
        g->plans++;
    }
    *out = e;
    return PAWL_OK;
}

/* The longer side of c is cut, since every panel reads all of the other operand; into a power of two of panels, so that
 * the usual numbers of threads share them evenly, none of them too thin to be worth its packing. */
typedef struct cut {
    int rows;      /* 1: rows of c are cut; 0: its columns */
    int64_t each;  /* of them in a panel; the last may have fewer */
    int64_t count; /* panels */
} cut;

static cut cut_of(pawl_gemm_use use, const pawl_panel *p)
{
    const int64_t thin = use == PAWL_OVER_POSITIONS ? 64 : 128;
    const int rows = p->m >= p->n;
    const int64_t side = rows ? p->m : p->n;
    int64_t panels = 1;
    while (panels < PANELS_MOST && side >= 2 * panels * thin) panels *= 2;
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

pawl_status pawl_gemm_prepare(pawl_gemm *g, pawl_gemm_use use, const pawl_panel *p, size_t *scratch_bytes)
{
    const cut c = cut_of(use, p);
    const pawl_panel ends[] = {panel_of(p, c, 0), panel_of(p, c, c.count - 1)};
    *scratch_bytes = 0;
    if (g->plans + 2 > TABLE_MOST) forget_all(g); /* ever new shapes: start afresh rather than grow without end */
    for (int i = 0; i < 2; i++) {
        const entry *e = NULL;
        PAWL_TRY(plan_of(g, &ends[i], &e));
        if (e->scratch_bytes > *scratch_bytes) *scratch_bytes = e->scratch_bytes;
    }
    return PAWL_OK;
}

typedef struct call {
    pawl_gemm *g;
    const pawl_panel *shape;
    cut cut;
    void *first, *last; /* plans of all panels but the last, and of that */
    const float *a, *b, *bias;
    float *c;
    pawl_status *status; /* of each panel */
} call;

static void run_panel(void *self, int64_t i, int thread)
{
    const call *k = self;
    const pawl_panel *p = k->shape;
    pawl_panel one = panel_of(p, k->cut, i);
    const int64_t at = i * k->cut.each, row = k->cut.rows ? at : 0, column = k->cut.rows ? 0 : at;
    const float *a = k->a + row * (p->a_transposed ? 1 : p->lda), *b = k->b + column * (p->b_transposed ? p->ldb : 1);
    float *c = k->c + row * p->ldc + column;
    if (k->bias) /* the product is then added to it */
        k->g->kernels->add_bias(c, p->ldc, k->bias + column, one.m, one.n, k->shape->add ? PAWL_ADD : PAWL_SET);
    one.add = p->add || k->bias;
    k->status[i] =
        k->g->library->run(i + 1 < k->cut.count ? k->first : k->last, &one, thread, a, b, c, scratch_of(k->g, thread));
}

pawl_status pawl_gemm_run(pawl_gemm *g, pawl_gemm_use use, const pawl_panel *p, const float *a, const float *b,
                          const float *bias, float *c)
{
    pawl_status status[PANELS_MOST] = {PAWL_OK};
    pawl_panel planned = *p;
    planned.add = p->add || bias;
    size_t scratch_bytes;
    const cut panels = cut_of(use, &planned);
    PAWL_TRY(pawl_gemm_prepare(g, use, &planned, &scratch_bytes));
    PAWL_TRY(pawl_gemm_reserve(g, scratch_bytes));
    const pawl_panel first = panel_of(&planned, panels, 0), last = panel_of(&planned, panels, panels.count - 1);
    call k = {g, p, panels, slot_of(g, &first)->plan, slot_of(g, &last)->plan, a, b, bias, c, status};
    pawl_pool_run(g->pool, panels.count, run_panel, &k);
    for (int64_t i = 0; i < panels.count; i++)
        PAWL_CHECK(status[i] == PAWL_OK, status[i], "%s failed in a product of %ld x %ld x %ld numbers", g->name,
                   (long)p->m, (long)p->n, (long)p->k);
    return PAWL_OK;
}
