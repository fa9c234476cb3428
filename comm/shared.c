/* NCCL may read and write memory of its own in place, where that is registered, and without room between: "zero copy". All ranks register or
 * none does, so it is a step of its own after all have their memory. */
#include <string.h>

#include "comm/nccl.h"
#include "core/arena.h"

typedef struct pawl_shared {
    struct pawl_shared *older;
    void *block, *registered; /* NULL: not yet */
    size_t bytes;
    int window, asked; /* asked: pawl_shared_register has seen it */
    int (*give)(void *block);
} pawl_shared;

/* ---- taking and giving back: local ---- */

/* NCCL takes memory in pieces of the driver's: cuMemGetAllocationGranularity's, recommended, on GPUs of today. Versions of it that ask for
 * what multicast recommends, too, may round up further on machines with an NVSwitch. */
static const size_t piece = (size_t)2 << 20;

size_t pawl_shared_rest(const pawl_comm *c, pawl_device *d, size_t bytes)
{
    if (!bytes || !c->gpus || !c->registers || pawl_device_shares_memory(d)) return 0;
    return (piece - bytes % piece) % piece;
}

static pawl_status take(pawl_comm *c, size_t bytes, pawl_shared *s)
{
    s->bytes = (bytes + PAWL_ALIGN - 1) / PAWL_ALIGN * PAWL_ALIGN;
    return pawl_nccl_take(c->gpus, s->bytes, &s->block, &s->give);
}

pawl_status pawl_shared_open(pawl_comm *c, pawl_device *d, pawl_arena *a)
{
    pawl_shared *s;
    if (!a->used) a->used = 1;
    if (!c->gpus || !c->registers || pawl_device_shares_memory(d)) return pawl_arena_open_on(d, PAWL_ON_DEVICE, a);
    PAWL_TRY(pawl_alloc((void **)&s, sizeof *s, "a block of memory"));
    const pawl_status status = take(c, a->used, s);
    if (status != PAWL_OK || !s->block) {
        pawl_free(s);
        return status != PAWL_OK ? status : pawl_arena_open_on(d, PAWL_ON_DEVICE, a);
    }
    s->older = c->shared;
    c->shared = s;
    a->on_device = 1;
    pawl_arena_adopt(a, s->block);
    return pawl_zero(d, s->block, (int64_t)(s->bytes / sizeof(float)));
}

/* Takes the block out of the list; NULL: it is none of NCCL's. */
static pawl_shared *find(pawl_comm *c, const void *block)
{
    for (pawl_shared **at = &c->shared; *at; at = &(*at)->older)
        if ((*at)->block == block) {
            pawl_shared *s = *at;
            *at = s->older;
            return s;
        }
    return NULL;
}

void pawl_shared_close(pawl_comm *c, pawl_device *d, pawl_arena *a)
{
    pawl_shared *s = a->base ? find(c, a->base) : NULL;
    if (!s) {
        pawl_arena_close_on(d, PAWL_ON_DEVICE, a);
        return;
    }
    (void)pawl_arena_release(a);
    pawl_device_settle(d); /* neither call waits for what still uses the block */
    if (c->gpus) pawl_nccl_unregister(c->gpus, s->window, s->registered);
    (void)s->give(s->block);
    pawl_free(s);
}

/* ---- registering: collective ---- */

enum { MOST = 16 };
typedef struct offer {
    uint64_t bytes[MOST]; /* of blocks that are not registered, the newest first; behind them zeros */
} offer;

static void list(const pawl_comm *c, pawl_shared *blocks[MOST], offer *out)
{
    int n = 0;
    memset(out, 0, sizeof *out);
    for (pawl_shared *s = c->shared; s && n < MOST; s = s->older)
        if (!s->asked) {
            out->bytes[n] = s->bytes;
            blocks[n++] = s;
        }
}

static pawl_status register_all(pawl_comm *c, pawl_shared *const blocks[MOST], const offer *all)
{
    for (int i = 0; i < MOST; i++) {
        int some = 0, every = 1, alike = 1;
        for (int rank = 0; rank < c->size; rank++) {
            some |= all[rank].bytes[i] > 0;
            every &= all[rank].bytes[i] > 0;
            alike &= all[rank].bytes[i] == all[0].bytes[i];
        }
        if (!some) break;
        PAWL_CHECK(every, PAWL_EBUG, "ranks have different numbers of blocks to register");
        blocks[i]->asked = 1;
        blocks[i]->window = alike && pawl_nccl_has_windows(c->gpus);
        PAWL_TRY(pawl_nccl_register(c->gpus, blocks[i]->block, blocks[i]->bytes, blocks[i]->window, &blocks[i]->registered));
    }
    return PAWL_OK;
}

pawl_status pawl_shared_register(pawl_comm *c)
{
    pawl_shared *blocks[MOST] = {0};
    offer *all;
    if (!c->gpus || !c->registers) return PAWL_OK;
    pawl_status s = pawl_agree(c, pawl_alloc((void **)&all, (size_t)c->size * sizeof *all, "blocks to register"));
    if (s != PAWL_OK) return s;
    list(c, blocks, &all[c->rank]);
    s = pawl_allgather(c, &all[c->rank], sizeof *all, all);
    if (s == PAWL_OK) s = pawl_agree(c, register_all(c, blocks, all));
    pawl_free(all);
    return s;
}
