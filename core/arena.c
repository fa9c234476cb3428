#include "core/arena.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Under AddressSanitizer what lies between two takes is poisoned, so that running over the end of one is an error there
 * too, although they share a block. */
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
enum { REDZONE = 64 };
#else
enum { REDZONE = 0 };
#define ASAN_POISON_MEMORY_REGION(at, bytes) ((void)(at))
#define ASAN_UNPOISON_MEMORY_REGION(at, bytes) ((void)(at))
#endif

static atomic_long allocations, fail_at;

static int allowed(void)
{
    long n = atomic_fetch_add(&allocations, 1) + 1, limit = atomic_load(&fail_at);
    return limit == 0 || n != limit;
}

long pawl_alloc_count(void)
{
    return atomic_load(&allocations);
}

void pawl_alloc_fail_after(long n)
{
    atomic_store(&fail_at, n == 0 ? 0 : atomic_load(&allocations) + n);
}

pawl_status pawl_alloc(void **out, size_t bytes, const char *what)
{
    void *p = allowed() ? calloc(1, bytes ? bytes : 1) : NULL;
    PAWL_CHECK(p, PAWL_EMEM, "no memory for %s (%zu bytes)", what, bytes);
    *out = p;
    return PAWL_OK;
}

pawl_status pawl_realloc(void **block, size_t bytes, const char *what)
{
    void *p = allowed() ? realloc(*block, bytes ? bytes : 1) : NULL;
    PAWL_CHECK(p, PAWL_EMEM, "no memory for %s (%zu bytes)", what, bytes);
    *block = p;
    return PAWL_OK;
}

void pawl_free(void *block)
{
    free(block);
}

void *pawl_take_bytes(pawl_arena *a, size_t bytes)
{
    size_t at = (a->used + PAWL_ALIGN - 1) / PAWL_ALIGN * PAWL_ALIGN;
    PAWL_ASSERT(bytes <= SIZE_MAX / 2 && at <= SIZE_MAX / 2); /* sizes were checked where they came in */
    a->used = at + bytes + REDZONE;
    if (!a->base) return NULL;
    PAWL_ASSERT(a->used <= a->size);
    ASAN_UNPOISON_MEMORY_REGION(a->base + at, bytes);
    ASAN_POISON_MEMORY_REGION(a->base + at + bytes, REDZONE);
    return a->base + at;
}

pawl_tensor pawl_take(pawl_arena *a, pawl_dtype dtype, int ndim, const int64_t *dim)
{
    pawl_tensor t = {.dtype = dtype, .ndim = ndim};
    memcpy(t.dim, dim, (size_t)ndim * sizeof *dim);
    t.data = pawl_take_bytes(a, pawl_tensor_bytes(t));
    return t;
}

/* Arenas come from mmap: zeroed, page-aligned, and given huge pages where the system allows them. */
pawl_status pawl_arena_open(pawl_arena *a)
{
    const size_t bytes = a->used ? a->used : 1;
    void *p = allowed() ? mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : MAP_FAILED;
    PAWL_CHECK(p != MAP_FAILED, PAWL_EMEM, "no memory for %s (%zu bytes)", a->name, bytes);
    if (bytes >= (4u << 20)) madvise(p, bytes, MADV_HUGEPAGE); /* a wish; its refusal changes nothing */
    a->base = p;
    a->size = bytes;
    a->used = 0;
    return PAWL_OK;
}

void pawl_arena_close(pawl_arena *a)
{
    if (a->base) {
        ASAN_UNPOISON_MEMORY_REGION(a->base, a->size);
        munmap(a->base, a->size);
    }
    a->base = NULL;
    a->size = a->used = 0;
}
