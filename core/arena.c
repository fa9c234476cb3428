#include "core/arena.h"

#include <pthread.h>
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
static __thread long allocations_here;

static int allowed(void)
{
    allocations_here++;
    long n = atomic_fetch_add(&allocations, 1) + 1, limit = atomic_load(&fail_at);
    return limit == 0 || n != limit;
}

long pawl_alloc_count(void)
{
    return atomic_load(&allocations);
}

long pawl_alloc_count_here(void)
{
    return allocations_here;
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
    if (a->on_device) return a->base + at; /* work on it is late: what was asked for before still writes over all of the block */
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

/* ---- accounts ---- */

static pthread_mutex_t accounts = PTHREAD_MUTEX_INITIALIZER;
static pawl_arena_use all[2], uses[PAWL_ARENA_NAMES];
static int use_count;

static int is_of(const pawl_arena_use *u, const char *name, int on_device)
{
    return u->on_device == on_device && strcmp(u->name, name) == 0;
}

/* The account of that name and side; a new one where there is none, and the last one once the table is full. */
static pawl_arena_use *account(const char *name, int on_device)
{
    int i = 0;
    while (i < use_count && !is_of(&uses[i], name, on_device)) i++;
    if (i == PAWL_ARENA_NAMES) return &uses[i - 1];
    if (i == use_count) uses[use_count++] = (pawl_arena_use){.name = name, .on_device = on_device};
    return &uses[i];
}

static void book(pawl_arena_use *u, size_t come, size_t gone)
{
    u->bytes = u->bytes + come - gone;
    if (u->bytes > u->peak) u->peak = u->bytes;
}

static void book_arena(const pawl_arena *a, size_t come, size_t gone)
{
    pthread_mutex_lock(&accounts);
    book(account(a->name ? a->name : "?", a->on_device), come, gone);
    book(&all[a->on_device], come, gone);
    pthread_mutex_unlock(&accounts);
}

pawl_arena_use pawl_arena_use_of(const char *name, int on_device)
{
    pawl_arena_use out = {.name = name, .on_device = on_device};
    pthread_mutex_lock(&accounts);
    if (!name) out = all[on_device];
    for (int i = 0; name && i < use_count; i++)
        if (is_of(&uses[i], name, on_device)) out = uses[i];
    pthread_mutex_unlock(&accounts);
    return out;
}

int pawl_arena_uses(pawl_arena_use out[PAWL_ARENA_NAMES])
{
    pthread_mutex_lock(&accounts);
    const int count = use_count;
    if (out) memcpy(out, uses, (size_t)count * sizeof *uses);
    pthread_mutex_unlock(&accounts);
    return count;
}

/* Pages come from mmap: zeroed, and huge where the system allows them. */
pawl_status pawl_pages_take(size_t bytes, const char *what, void **out)
{
    const size_t size = bytes ? bytes : 1;
    void *p = allowed() ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : MAP_FAILED;
    PAWL_CHECK(p != MAP_FAILED, PAWL_EMEM, "no memory for %s (%zu bytes)", what, bytes);
    if (size >= (4u << 20)) madvise(p, size, MADV_HUGEPAGE); /* a wish; its refusal changes nothing */
    *out = p;
    return PAWL_OK;
}

void pawl_pages_give(void *block, size_t bytes)
{
    munmap(block, bytes ? bytes : 1);
}

void pawl_arena_adopt(pawl_arena *a, void *block)
{
    a->base = block;
    a->size = a->used;
    a->used = 0;
    book_arena(a, a->size, 0);
}

void *pawl_arena_release(pawl_arena *a)
{
    void *block = a->base;
    if (block) {
        ASAN_UNPOISON_MEMORY_REGION(a->base, a->size);
        book_arena(a, 0, a->size);
    }
    a->base = NULL;
    a->size = a->used = 0;
    return block;
}

pawl_status pawl_arena_open(pawl_arena *a)
{
    void *block;
    if (!a->used) a->used = 1;
    PAWL_TRY(pawl_pages_take(a->used, a->name, &block));
    pawl_arena_adopt(a, block);
    return PAWL_OK;
}

void pawl_arena_close(pawl_arena *a)
{
    const size_t bytes = a->size;
    void *block = pawl_arena_release(a);
    if (block) pawl_pages_give(block, bytes);
}
