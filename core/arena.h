/* core/arena.h - memory that is measured, taken once, then carved.
 *
 * A layout function runs twice over the same pawl_arena: with base NULL it measures, with a block it carves. So the
 * plan, the allocation and the pointers cannot disagree. Nothing else in pawl allocates inside a step. */
#ifndef PAWL_CORE_ARENA_H
#define PAWL_CORE_ARENA_H

#include "core/status.h"
#include "core/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { PAWL_ALIGN = 64 }; /* a cache line, and a whole AVX-512 register */

typedef struct pawl_arena {
    const char *name; /* the category in the memory report */
    char *base;       /* NULL: measure only */
    size_t size, used;
    int on_device;    /* in the memory of a device that has its own */
} pawl_arena;

/* What something takes on either side: bytes in the memory of the device, and in the host's. Where these are one, as on CPUs, their sum
 * is what is taken. */
typedef struct pawl_room {
    size_t device, host;
} pawl_room;
static inline pawl_room pawl_room_of(const pawl_arena *device, const pawl_arena *host)
{
    return (pawl_room){device->used, host->used};
}
static inline pawl_room pawl_room_add(pawl_room a, pawl_room b)
{
    return (pawl_room){a.device + b.device, a.host + b.host};
}
/* Of two that are not there together. */
static inline pawl_room pawl_room_most(pawl_room a, pawl_room b)
{
    return (pawl_room){a.device > b.device ? a.device : b.device, a.host > b.host ? a.host : b.host};
}
static inline size_t pawl_room_sum(pawl_room r)
{
    return r.device + r.host;
}

/* The next bytes of a, aligned to PAWL_ALIGN; NULL while measuring. Asserts that a carved block is large enough. */
void *pawl_take_bytes(pawl_arena *a, size_t bytes);
/* The same as a tensor of that type and shape (unused dims 0). */
pawl_tensor pawl_take(pawl_arena *a, pawl_dtype dtype, int ndim, const int64_t *dim);

/* Allocates a->used bytes (as measured) for a, zeroed, and sets used back to 0. Errors: EMEM, naming a and the bytes. */
PAWL_MUST pawl_status pawl_arena_open(pawl_arena *a);
void pawl_arena_close(pawl_arena *a);
/* The same with a block of the caller's, of a->used bytes, zeroed and aligned to PAWL_ALIGN; it is never read here. And back: the block. */
void pawl_arena_adopt(pawl_arena *a, void *block);
void *pawl_arena_release(pawl_arena *a);
/* What arenas are made of: zeroed pages, huge ones where the system allows; counted. Errors: EMEM, naming what. */
PAWL_MUST pawl_status pawl_pages_take(size_t bytes, const char *what, void **out);
void pawl_pages_give(void *block, size_t bytes);

/* What the arenas of one name and side hold together, and the most that they held at once; of all names together under NULL. Bytes as
 * measured by the layouts, which is what a plan adds up. */
typedef struct pawl_arena_use {
    const char *name;
    int on_device;
    size_t bytes, peak;
} pawl_arena_use;
pawl_arena_use pawl_arena_use_of(const char *name, int on_device);
/* Every name so far, in the order in which they were first opened; returns how many (out may be NULL). */
enum { PAWL_ARENA_NAMES = 64 };
int pawl_arena_uses(pawl_arena_use out[PAWL_ARENA_NAMES]);

/* The one gate through which heap memory comes. Counted; zeroed. Errors: EMEM, naming what it was for. */
PAWL_MUST pawl_status pawl_alloc(void **out, size_t bytes, const char *what);
/* Grows *block to bytes; what is new is not zeroed; *block is untouched after an error. */
PAWL_MUST pawl_status pawl_realloc(void **block, size_t bytes, const char *what);
void pawl_free(void *block);
/* How many times pawl_alloc, pawl_realloc and pawl_pages_take were called so far. */
long pawl_alloc_count(void);
/* The same of the calling thread alone. */
long pawl_alloc_count_here(void);
/* Makes the n-th allocation from now fail (tests); 0 turns that off. */
void pawl_alloc_fail_after(long n);

#ifdef __cplusplus
}
#endif
#endif
