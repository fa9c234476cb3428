/* The step of an optimizer whose state is kept in the host's memory: it comes to the device in chunks, one while the one before it is
 * updated and the one before that goes back. A chunk is what a tensor may be cut into for ranks (rules.h), so the bits are those of state that
 * stays. */
#include <string.h>

#include "optim/rules.h"

enum { CHUNK = 1 << 22, WINDOWS = PAWL_OPTIM_WINDOWS, LOADS = PAWL_RULE_RUNS + 1 };
_Static_assert(CHUNK % PAWL_OPTIM_CUT == 0, "chunks are cut where ranks are");

typedef struct chunk {
    pawl_piece piece; /* of the tensor; its state is in a window */
    pawl_load up[LOADS], down[LOADS];
    int loads;
    int64_t ticket;
} chunk;

/* ---- chunks ---- */

static int64_t chunk_count(const pawl_piece *p)
{
    return p->rule->cut && p->count > CHUNK ? CHUNK : p->count;
}

static void add_load(chunk *c, void *window, void *host, size_t bytes)
{
    c->up[c->loads] = (pawl_load){.to = window, .from = host, .bytes = bytes};
    c->down[c->loads++] = (pawl_load){.to = host, .from = window, .bytes = bytes};
}

/* Numbers [at, at + count) of a piece, in a window that begins at a->base; NULL: measures it. */
static void lay_out(const pawl_optim *o, const pawl_piece *p, int64_t at, int64_t count, pawl_arena *a, chunk *c)
{
    *c = (chunk){.piece = *p};
    c->piece.first += at;
    c->piece.count = count;
    for (int j = 0; j < PAWL_RULE_RUNS && p->rule->runs[j].name; j++) {
        int64_t first, numbers, begin, all;
        const pawl_tensor whole = p->rule->runs[j].shape(&o->config, p->of);
        const size_t each = pawl_dtype_bytes(whole.dtype);
        pawl_run_part(&p->rule->runs[j], whole, p, &begin, &all);
        pawl_run_part(&p->rule->runs[j], whole, &c->piece, &first, &numbers);
        c->piece.state[j] = NULL;
        if (numbers == 0) continue;
        c->piece.state[j] = pawl_take_bytes(a, (size_t)numbers * each);
        add_load(c, c->piece.state[j], (char *)p->state[j] + (size_t)(first - begin) * each, (size_t)numbers * each);
    }
    if (o->config.ema_decay == 0) return;
    c->piece.ema = pawl_take_bytes(a, (size_t)count * sizeof *p->ema);
    add_load(c, c->piece.ema, p->ema + at, (size_t)count * sizeof *p->ema);
}

size_t pawl_optim_window_bytes(const pawl_optim *o, const pawl_piece *p)
{
    pawl_arena a = {.name = "optimizer"};
    chunk c;
    lay_out(o, p, 0, chunk_count(p), &a, &c);
    return a.used;
}

typedef struct cursor {
    int part;
    int64_t done; /* of its numbers */
    int number;   /* of the chunk */
} cursor;

/* The next chunk of what is updated; 0: there is none. */
static int next_chunk(const pawl_optim *o, cursor *at, chunk *c)
{
    for (; at->part < o->part_count; at->part++, at->done = 0) {
        const pawl_piece *p = &o->pieces[at->part];
        const int64_t left = p->count - at->done, most = chunk_count(p), count = left < most ? left : most;
        if (count <= 0 || p->frozen) continue;
        pawl_arena window = {.name = "optimizer", .on_device = 1, .base = o->window[at->number++ % WINDOWS], .size = o->window_bytes};
        lay_out(o, p, at->done, count, &window, c);
        at->done += count;
        return 1;
    }
    return 0;
}

/* ---- the step ---- */

static pawl_status bring(pawl_optim *o, chunk *c)
{
    return pawl_carry(o->device, PAWL_CARRY_UP, c->up, c->loads, &c->ticket);
}

static pawl_status take_back(pawl_optim *o, chunk *c)
{
    int64_t ticket;
    return pawl_carry(o->device, PAWL_CARRY_DOWN, c->down, c->loads, &ticket);
}

pawl_status pawl_optim_stream(pawl_optim *o, pawl_status (*update)(pawl_optim *o, const pawl_piece *p, void *self), void *self)
{
    cursor at = {0};
    chunk now, next;
    int more = next_chunk(o, &at, &now);
    if (more) PAWL_TRY(bring(o, &now));
    while (more) {
        more = next_chunk(o, &at, &next);
        if (more) PAWL_TRY(bring(o, &next));
        PAWL_TRY(pawl_carry_await(o->device, now.ticket));
        PAWL_TRY(update(o, &now.piece, self));
        PAWL_TRY(take_back(o, &now));
        now = next;
    }
    return pawl_carry_settle(o->device); /* who saves the state reads it in the host's memory */
}
