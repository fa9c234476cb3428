/* pawl, counting what is allocated inside steps: from the first row of a step to the end of its update, on every thread but the
 * checkpoint writer's. The linker sends pawl's own calls here (--wrap: only what this program is made of), so they are told
 * from those of libraries, which come through the symbols of the allocator itself. At the end a line for each step with
 * any goes to the file PAWL_COUNTS.RANK:
 *
 *     STEP own N library M                 calls by pawl, by libraries
 *     NAME M                               at the end: calls by each library
 */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "launch/launch.h"
#include "trainer/internal.h"
#include "checkpoints/saver.h"

enum { STEPS = 4096, FRAMES = 12, CALLERS = 4096 };

static atomic_int inside; /* a step, from 1 */
static __thread int writer;
static struct counts {
    atomic_long own, library;
} counts[STEPS];
static struct caller {
    _Atomic(void *) at;
    atomic_long calls;
} callers[CALLERS]; /* of libraries, by address */
static void *frames[FRAMES]; /* of pawl's own first allocation */
static atomic_int frame_count;

static struct counts *here(void)
{
    const int step = atomic_load(&inside);
    return step && !writer && step < STEPS ? &counts[step] : NULL;
}

static void own(void)
{
    static __thread int looking;
    struct counts *c = here();
    if (!c || looking) return;
    atomic_fetch_add(&c->own, 1);
    int none = 0;
    if (atomic_compare_exchange_strong(&frame_count, &none, -1)) {
        looking = 1;
        atomic_store(&frame_count, backtrace(frames, FRAMES));
        looking = 0;
    }
}

/* ---- pawl's own calls ---- */
#define WRAP(type, name, params, args)         \
    type __real_##name params;                 \
    type __wrap_##name params;                 \
    type __wrap_##name params                  \
    {                                          \
        own();                                 \
        return __real_##name args;             \
    }
WRAP(void *, malloc, (size_t n), (n))
WRAP(void *, calloc, (size_t n, size_t m), (n, m))
WRAP(void *, realloc, (void *p, size_t n), (p, n))
WRAP(void *, aligned_alloc, (size_t a, size_t n), (a, n))
WRAP(int, posix_memalign, (void **p, size_t a, size_t n), (p, a, n))
WRAP(char *, strdup, (const char *s), (s))
WRAP(void *, mmap, (void *at, size_t n, int prot, int flags, int fd, off_t from), (at, n, prot, flags, fd, from))
WRAP(int, munmap, (void *at, size_t n), (at, n))

void __real_free(void *p);
void __wrap_free(void *p);
void __wrap_free(void *p)
{
    if (p) own();
    __real_free(p);
}

/* ---- Libraries' calls: this program's allocator stands before the C library's ---- */
#ifndef __SANITIZE_ADDRESS__
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t m);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t a, size_t n);
void __libc_free(void *p);

static void library(void *caller)
{
    struct counts *c = here();
    if (!c) return;
    atomic_fetch_add(&c->library, 1);
    for (size_t i = (size_t)caller % CALLERS;; i = (i + 1) % CALLERS) {
        void *none = NULL;
        if (atomic_compare_exchange_strong(&callers[i].at, &none, caller) || none == caller) {
            atomic_fetch_add(&callers[i].calls, 1);
            return;
        }
    }
}

#define TAKE(name, params, call)                    \
    void *name params                               \
    {                                               \
        library(__builtin_return_address(0));       \
        return call;                                \
    }
TAKE(malloc, (size_t n), __libc_malloc(n))
TAKE(calloc, (size_t n, size_t m), __libc_calloc(n, m))
TAKE(realloc, (void *p, size_t n), __libc_realloc(p, n))
TAKE(memalign, (size_t a, size_t n), __libc_memalign(a, n))
TAKE(aligned_alloc, (size_t a, size_t n), __libc_memalign(a, n))
int posix_memalign(void **p, size_t a, size_t n)
{
    library(__builtin_return_address(0));
    void *block = __libc_memalign(a, n);
    if (!block) return ENOMEM;
    *p = block;
    return 0;
}
void free(void *p)
{
    __libc_free(p);
}
#endif

/* ---- Where a step is ---- */
static int step_number;
pawl_status __real_pawl_step_compute(pawl_stepper *s);
pawl_status __wrap_pawl_step_compute(pawl_stepper *s);
pawl_status __wrap_pawl_step_compute(pawl_stepper *s)
{
    atomic_store(&inside, ++step_number);
    return __real_pawl_step_compute(s);
}
pawl_status __real_pawl_step_update(pawl_stepper *s, pawl_status mine, pawl_step_report *out);
pawl_status __wrap_pawl_step_update(pawl_stepper *s, pawl_status mine, pawl_step_report *out);
pawl_status __wrap_pawl_step_update(pawl_stepper *s, pawl_status mine, pawl_step_report *out)
{
    const pawl_status status = __real_pawl_step_update(s, mine, out);
    atomic_store(&inside, 0);
    return status;
}

#define WRITER(name)                                  \
    pawl_status __real_##name(pawl_saver *s);         \
    pawl_status __wrap_##name(pawl_saver *s);         \
    pawl_status __wrap_##name(pawl_saver *s)          \
    {                                                 \
        writer = 1;                                   \
        return __real_##name(s);                      \
    }
WRITER(pawl_save_lay_out)
WRITER(pawl_save_write)
WRITER(pawl_save_publish)

static void tell(void)
{
    const char *to = getenv("PAWL_COUNTS"), *rank = getenv("OMPI_COMM_WORLD_RANK");
    char path[4096];
    FILE *f;
    if (!to || snprintf(path, sizeof path, "%s.%s", to, rank ? rank : "0") >= (int)sizeof path || !(f = fopen(path, "w"))) return;
    fprintf(f, "steps %d\n", step_number);
    for (int i = 1; i <= step_number && i < STEPS; i++) {
        if (!counts[i].own && !counts[i].library) continue;
        fprintf(f, "%d own %ld library %ld\n", i, counts[i].own, counts[i].library);
    }
    for (int i = 0; i < CALLERS; i++) {
        Dl_info info = {0};
        if (callers[i].at && dladdr(callers[i].at, &info)) fprintf(f, "%s %ld\n", strrchr(info.dli_fname, '/') + 1, callers[i].calls);
    }
    fflush(f);
    if (frame_count > 0) backtrace_symbols_fd(frames, frame_count, fileno(f)); /* addr2line -e counted_pawl reads these */
    fclose(f);
}

int main(int argc, char **argv)
{
    void *warm[2];
    backtrace(warm, 2); /* it loads a library the first time */
    const int status = pawl_main(argc, argv);
    tell();
    return status;
}
