/* A-GEM: where the gradient g goes against that of `rows` rows from the memory, r, it is projected: g <- g - (g.r /
 * r.r) r when g.r < 0. r is reduced by itself (side.h); both products have one shape at any ranks. Source: Chaudhry et
 * al. 2019. */
#include "trainer/continual/side.h"
#include "trainer/continual/slices.h"

typedef struct agem {
    pawl_slices slices; /* run 0: r */
    pawl_side side;
    pawl_wanted *wanted; /* [rows] */
    int64_t rows, micro, trained;
} agem;

static int64_t rows_of(const pawl_parts *p)
{
    return p->continual->agem.value.rows;
}

static int64_t slots_of(const pawl_parts *p)
{
    return (rows_of(p) + p->train->micro_batch_size - 1) / p->train->micro_batch_size;
}

static pawl_room bytes(const pawl_parts *p, int64_t first, int64_t end)
{
    const pawl_room list = {.host = (size_t)rows_of(p) * sizeof(pawl_wanted)};
    return pawl_room_add(list, pawl_room_add(pawl_slices_bytes(p, first, end, 1), pawl_side_bytes(p, slots_of(p))));
}

/* Kernels for the last slot's rows are made now. */
static pawl_status take(agem *a, const pawl_moment *m)
{
    const int64_t rest = a->rows % a->micro;
    PAWL_TRY(pawl_slices_open(m, 1, &a->slices));
    PAWL_TRY(pawl_side_open(m, slots_of(m->p), &a->side));
    PAWL_TRY(pawl_alloc((void **)&a->wanted, (size_t)a->rows * sizeof *a->wanted, "reference rows"));
    const pawl_shapes shapes = pawl_run_shapes(m->p, rest ? rest : a->micro, m->stepper->tokens);
    return pawl_device_reserve(m->p->device, &shapes);
}

static pawl_status take_up(const pawl_moment *m, void **self)
{
    PAWL_TRY(pawl_alloc(self, sizeof(agem), "agem"));
    agem *a = *self;
    a->rows = rows_of(m->p);
    a->micro = m->p->train->micro_batch_size;
    return take(a, m);
}

static void put_down(void *self)
{
    agem *a = self;
    pawl_slices_close(&a->slices);
    pawl_side_close(&a->side);
    pawl_free(a->wanted);
}

typedef struct slot_call {
    agem *a;
    const pawl_moment *m;
} slot_call;

static pawl_status fill(void *self, int64_t slot, pawl_batch *b, pawl_pass *pass)
{
    const slot_call *c = self;
    const int64_t first = slot * c->a->micro, left = c->a->rows - first,
                  count = left < c->a->micro ? left : c->a->micro;
    int64_t longest = 0;
    for (int64_t i = 0; i < count; i++) {
        const int64_t n = pawl_memory_kept(c->m->memory, c->a->wanted[first + i].item)->tokens;
        longest = n > longest ? n : longest;
    }
    b->rows = count;
    b->tokens = pawl_slot_tokens_for(c->m->p->data, longest);
    for (int64_t i = 0; i < count; i++) {
        const pawl_row_tokens r = pawl_memory_row(c->m->memory, first + i);
        pawl_row_put(&r, b, i);
    }
    pass->scale = c->a->trained ? (float)(1 / (double)c->a->trained) : 0;
    return PAWL_OK;
}

static void draw(agem *a, const pawl_moment *m)
{
    a->trained = 0;
    for (int64_t g = 0; g < a->rows; g++) {
        const int64_t item = pawl_memory_draw(m->memory, m->step, g, PAWL_DRAW_REFERENCE);
        a->wanted[g] = (pawl_wanted){.item = item, .to = pawl_side_rank(&a->side, slots_of(m->p), g / a->micro)};
        a->trained += pawl_memory_kept(m->memory, item)->trained;
    }
}

static pawl_status project(agem *a, const pawl_moment *m, float *grads, double along, double square)
{
    const float part = (float)(along / square);
    for (pawl_slice x = {.part = -1}; pawl_slice_next(&a->slices, &x);)
        PAWL_TRY(pawl_mix(m->p->device, 1, grads + x.at, -part, a->slices.run[0] + x.at, x.count));
    return PAWL_OK;
}

static pawl_status gradient_together(void *self, const pawl_moment *m, const float *weights, float *grads)
{
    agem *a = self;
    slot_call call = {a, m};
    float *r = a->slices.run[0];
    double along, square;
    (void)weights;
    if (!m->memory || pawl_memory_count(m->memory) == 0) return PAWL_OK;
    draw(a, m);
    PAWL_TRY(pawl_memory_fetch(m->memory, a->wanted, a->rows));
    PAWL_TRY(pawl_side_sum(&a->side, slots_of(m->p), PAWL_SIDE_PLAIN, fill, &call, r));
    PAWL_TRY(pawl_slices_still(&a->slices, r));
    PAWL_TRY(pawl_slices_dot(&a->slices, grads, r, &along));
    PAWL_TRY(pawl_slices_dot(&a->slices, r, r, &square));
    return along < 0 && square > 0 ? project(a, m, grads, along, square) : PAWL_OK;
}

const pawl_method pawl_agem = {.name = "agem",
                               .present = PAWL_METHOD_ON(agem),
                               .bytes = bytes,
                               .open = take_up,
                               .close = put_down,
                               .gradient_together = gradient_together};
