#include "data/jinja/pool.h"

#include <stdint.h>
#include <string.h>

#include "core/arena.h"

enum { ALIGN = 16, FIRST_BLOCK = 16 << 10, LARGEST_BLOCK = 1 << 20 };

typedef struct jinja_pool_block {
    struct jinja_pool_block *older;
    size_t used, room;
    _Alignas(ALIGN) unsigned char data[];
} block;

static size_t rounded(size_t bytes)
{
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

static pawl_status add_block(jinja_pool *p, size_t bytes)
{
    size_t room = p->newest ? 2 * p->newest->room : FIRST_BLOCK;
    block *b;
    if (room > LARGEST_BLOCK) room = LARGEST_BLOCK;
    if (room < bytes) room = bytes;
    PAWL_TRY(pawl_alloc((void **)&b, sizeof *b + room, "a pool"));
    *b = (block){.older = p->newest, .room = room};
    p->newest = b;
    return PAWL_OK;
}

pawl_status jinja_pool_take(jinja_pool *p, size_t bytes, void **out)
{
    p->full |= bytes > p->max || p->taken + rounded(bytes) > p->max;
    PAWL_CHECK(!p->full, PAWL_EMEM, "more than %zu MiB of memory would be taken", p->max >> 20);
    const size_t n = rounded(bytes);
    if (!p->newest || p->newest->room - p->newest->used < n) PAWL_TRY(add_block(p, n));
    *out = p->newest->data + p->newest->used;
    p->newest->used += n;
    p->taken += n;
    return PAWL_OK;
}

pawl_status jinja_pool_grow(jinja_pool *p, void **at, size_t used, size_t bytes)
{
    block *b = p->newest;
    void *moved;
    const size_t old = rounded(used), more = rounded(bytes) - old;
    if (*at && b && (unsigned char *)*at + old == b->data + b->used && b->room - b->used >= more &&
        p->taken + more <= p->max) {
        b->used += more;
        p->taken += more;
        return PAWL_OK;
    }
    PAWL_TRY(jinja_pool_take(p, bytes, &moved));
    if (used) memcpy(moved, *at, used);
    *at = moved;
    return PAWL_OK;
}

void jinja_pool_close(jinja_pool *p)
{
    while (p->newest) {
        block *b = p->newest;
        p->newest = b->older;
        pawl_free(b);
    }
    p->taken = 0;
}
