#include "tests/cuda_on_cpu/shim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cuda_on_cpu/fiber.h"

enum { THREADS_MOST = 1024, LANES = 32, ARRAYS_MOST = 64, KERNELS_MOST = 512, NAME_MOST = 64 };
/* Of compute capability 8.6, 8.9 and 12.x, which have least among those that kernels run on; 8.0 has 163 KiB for a block, and 9.0 227. A
 * kernel's own arrays and what a launch gives it unasked are together 48 KiB at most. */
enum { SHARED_MOST = 48 << 10, TOGETHER_MOST = 99 << 10 };
static const int64_t GRID_MOST = INT32_MAX;

typedef enum state { FRESH, READY, AT_BARRIER, AT_WARP, ENDED } state;

typedef struct thread {
    state state;
    fiber *fiber;
    const char *file; /* where it waits, with its folder */
    int line;
    pawl_shim_op op;
    uint32_t mask;
    int by;
    uint64_t value, result;
} thread;

typedef struct array {
    const void *key; /* of its declaration; NULL: the dynamic one */
    size_t bytes;
    void *at;
    int in_use; /* by this block */
} array;

static const pawl_shim_work *work;
static thread threads[THREADS_MOST];
static thread *running;
static fiber *idle[THREADS_MOST];
static int idle_count;
static array arrays[ARRAYS_MOST];
static int array_count;
static uint64_t drawn; /* the state of the order; 0: none is drawn */
static uint32_t held;  /* warps that wait until no other can go on */
static uint32_t waiting[THREADS_MOST / LANES], gone[THREADS_MOST / LANES]; /* lanes of each warp: at a warp's operation; ended, or not there */
static int refused, refusal_expected;
static char message[512];

pawl_shim_dim pawl_shim_thread, pawl_shim_block, pawl_shim_threads;
void (*pawl_shim_take)(pawl_stream stream, pawl_shim_work *w);

/* --- how often each has run --------------------------------------------------------------------------------- */

static struct run {
    char kernel[NAME_MOST];
    long count;
    unsigned threads; /* the most of a block */
} runs[KERNELS_MOST];

/* "(norm_kernel<T, V>)" is norm_kernel. */
static struct run *run_of(const char *kernel)
{
    const char *name = kernel + strspn(kernel, "( ");
    const size_t length = strcspn(name, "<) ");
    for (int i = 0; i < KERNELS_MOST && length < NAME_MOST; i++) {
        if (!runs[i].kernel[0]) memcpy(runs[i].kernel, name, length);
        if (strlen(runs[i].kernel) == length && memcmp(runs[i].kernel, name, length) == 0) return &runs[i];
    }
    fprintf(stderr, "shim: no room for the kernel %s\n", kernel);
    abort();
}

static const struct run *known(const char *kernel)
{
    static const struct run none;
    for (int i = 0; i < KERNELS_MOST && runs[i].kernel[0]; i++)
        if (strcmp(runs[i].kernel, kernel) == 0) return &runs[i];
    return &none;
}

long pawl_shim_runs(const char *kernel)
{
    return known(kernel)->count;
}

unsigned pawl_shim_most_threads(const char *kernel)
{
    return known(kernel)->threads;
}

const char *pawl_shim_kernel(int i)
{
    return i >= 0 && i < KERNELS_MOST && runs[i].kernel[0] ? runs[i].kernel : NULL;
}

/* --- refusals ----------------------------------------------------------------------------------------------- */

void pawl_shim_expect_refusal(int expected)
{
    refusal_expected = expected;
}

const char *pawl_shim_refusal(void)
{
    const char *said = refused ? message : NULL;
    refused = 0;
    return said;
}

__attribute__((format(printf, 1, 2))) static void refuse(const char *format, ...)
{
    char why[400];
    va_list args;
    if (refused) return;
    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    refused = 1;
    snprintf(message, sizeof message, "%s, block %u: %s", work->kernel, pawl_shim_block.x, why);
    if (refusal_expected) return;
    fprintf(stderr, "cuda_on_cpu: %s\n", message);
    abort();
}

static int index_of(const thread *t)
{
    return (int)(t - threads);
}

/* --- what kernels call -------------------------------------------------------------------------------------- */

/* A file without its folder. */
static const char *name_of(const char *file)
{
    const char *slash = strrchr(file, '/');
    return slash ? slash + 1 : file;
}

static void wait_as(state s, const char *file, int line)
{
    thread *t = running;
    t->state = s;
    t->file = file;
    t->line = line;
    fiber_leave(t->fiber, 0);
}

void pawl_shim_barrier(const char *file, int line)
{
    wait_as(AT_BARRIER, file, line);
}

/* What lanes of a warp that have come with one operation get of it. */
static void exchange(thread *warp, pawl_shim_op op, uint32_t mask)
{
    uint64_t ballot = 0;
    for (int l = 0; l < LANES; l++)
        if (mask >> l & 1 && warp[l].value) ballot |= (uint64_t)1 << l;
    for (int l = 0; l < LANES; l++) {
        thread *t = &warp[l];
        if (!(mask >> l & 1)) continue;
        const int down = l + t->by < LANES ? l + t->by : l, from = op == PAWL_SHIM_XOR ? l ^ t->by : down;
        t->result = mask >> from & 1 ? warp[from].value : UINT64_MAX; /* undefined: a lane outside the mask */
        if (op == PAWL_SHIM_BALLOT) t->result = ballot;
        if (op == PAWL_SHIM_SYNC) t->result = 0;
        t->state = READY;
    }
}

/* The lanes of t's mask, one by one: 1 all have come to the same, 0 some are still on their way, or it is refused. */
static int lanes_have_come(const thread *t, thread *warp)
{
    int come = 1;
    for (int l = 0; l < LANES; l++) {
        const thread *o = &warp[l];
        if (!(t->mask >> l & 1)) continue;
        if (index_of(o) >= (int)work->threads || o->state == ENDED)
            refuse("thread %d waits at %s:%d for lane %d, which %s", index_of(t), name_of(t->file), t->line, l,
                   index_of(o) >= (int)work->threads ? "does not exist" : "has ended");
        else if (o->state != AT_WARP)
            come = 0;
        else if (o->op != t->op || o->mask != t->mask || o->line != t->line)
            refuse("thread %d meets its warp at %s:%d with mask %08x, thread %d at %s:%d with mask %08x", index_of(t), name_of(t->file),
                   t->line, t->mask, index_of(o), name_of(o->file), o->line, o->mask);
        if (refused) return 0;
    }
    return come;
}

/* Looks at each lane when none is missing, or one that cannot come. */
uint64_t pawl_shim_warp(pawl_shim_op op, uint32_t mask, uint64_t value, int by, const char *file, int line)
{
    thread *t = running;
    const int w = index_of(t) / LANES;
    const uint32_t me = (uint32_t)1 << index_of(t) % LANES;
    t->op = op;
    t->mask = mask;
    t->value = value;
    t->by = by;
    t->state = AT_WARP;
    t->file = file;
    t->line = line;
    waiting[w] |= me;
    if (!(mask & me)) refuse("thread %d is not in its own mask %08x at %s:%d", index_of(t), mask, name_of(file), line);
    if (!refused && (mask & gone[w] || !(mask & ~waiting[w])) && lanes_have_come(t, threads + w * LANES)) {
        waiting[w] &= ~mask;
        exchange(threads + w * LANES, op, mask);
        return t->result;
    }
    fiber_leave(t->fiber, 0);
    return t->result;
}

void pawl_shim_misaligned(const void *at, unsigned bytes, const char *file, int line)
{
    refuse("thread %d moves %u bytes at the address %p, which is not on %u, at %s:%d", index_of(running), bytes, at, bytes, name_of(file), line);
    fiber_leave(running->fiber, 0);
}

static void *poisoned(array *a)
{
    if (!a->in_use) memset(a->at, 0xff, a->bytes);
    a->in_use = 1;
    return a->at;
}

/* Exactly so many bytes, so that a sanitizer sees a step too far. They are used again by later blocks. */
void *pawl_shim_shared(const void *key, size_t bytes)
{
    size_t taken = bytes;
    for (int i = 0; i < array_count; i++) {
        if (arrays[i].key == key) return poisoned(&arrays[i]);
        taken += arrays[i].key ? arrays[i].bytes : 0;
    }
    if (taken > SHARED_MOST) refuse("%zu bytes of shared memory, more than %d", taken, SHARED_MOST);
    if (work->shared <= PAWL_SHARED_UNASKED && taken + work->shared > SHARED_MOST)
        refuse("%zu bytes of shared memory, which the launch has not asked for: a kernel has %d unasked", taken + work->shared, SHARED_MOST);
    if (taken + work->shared > TOGETHER_MOST) refuse("%zu bytes of shared memory, and a block has %d", taken + work->shared, TOGETHER_MOST);
    if (array_count == ARRAYS_MOST - 1) refuse("more than %d shared arrays", ARRAYS_MOST - 1);
    if (refused) fiber_leave(running->fiber, 0);
    arrays[array_count] = (array){key, bytes, malloc(bytes), 0};
    return poisoned(&arrays[array_count++]);
}

void *pawl_shim_dynamic(void)
{
    for (int i = 0; i < array_count; i++)
        if (!arrays[i].key) return poisoned(&arrays[i]);
    arrays[array_count] = (array){NULL, work->shared, malloc(work->shared), 0};
    return poisoned(&arrays[array_count++]);
}

/* --- blocks ------------------------------------------------------------------------------------------------- */

void pawl_shim_seed(uint64_t seed)
{
    drawn = seed;
}

static uint64_t draw(void)
{
    drawn ^= drawn << 13;
    drawn ^= drawn >> 7;
    drawn ^= drawn << 17;
    return drawn;
}

/* A drawn order of [0, count): from `at` on in steps of `step`, round and round. */
typedef struct order {
    uint64_t at, step, count;
} order;

static uint64_t common(uint64_t a, uint64_t b)
{
    return b == 0 ? a : common(b, a % b);
}

static order order_of(uint64_t count)
{
    order o = {0, 1, count};
    if (drawn == 0) return o;
    o.at = draw() % count;
    do o.step = 1 + draw() % count;
    while (common(o.step, count) != 1);
    return o;
}

static uint64_t next_of(order *o)
{
    const uint64_t now = o->at;
    o->at = now + o->step < o->count ? now + o->step : now + o->step - o->count;
    return now;
}

static void thread_body(void)
{
    thread *t = running;
    work->call(work);
    t->state = ENDED;
    gone[index_of(t) / LANES] |= (uint32_t)1 << index_of(t) % LANES;
    fiber_leave(t->fiber, 1);
}

static void resume(thread *t)
{
    running = t;
    pawl_shim_thread.x = (unsigned)index_of(t);
    if (t->state == FRESH) {
        t->fiber = idle_count > 0 ? idle[--idle_count] : fiber_new();
        fiber_begin(t->fiber, thread_body);
    }
    t->state = READY;
    fiber_enter(t->fiber);
    if (t->state == ENDED) idle[idle_count++] = t->fiber;
}

/* Nobody can go on: they are all at one barrier, which opens, or this is refused. */
static void open_barrier(void)
{
    const thread *first = NULL;
    for (unsigned i = 0; i < work->threads; i++)
        if (threads[i].state != ENDED && (!first || threads[i].state == AT_WARP)) first = &threads[i];
    for (unsigned i = 0; i < work->threads && !refused; i++) {
        const thread *t = &threads[i];
        if (first->state == AT_WARP)
            refuse("thread %d waits at %s:%d for lanes %08x of its warp, which do not come", index_of(first), name_of(first->file),
                   first->line, first->mask);
        else if (t->state == ENDED)
            refuse("thread %d waits at the barrier %s:%d, thread %u has ended", index_of(first), name_of(first->file), first->line, i);
        else if (t->line != first->line || (t->file != first->file && strcmp(t->file, first->file) != 0))
            refuse("thread %d waits at the barrier %s:%d, thread %u at %s:%d", index_of(first), name_of(first->file), first->line, i,
                   name_of(t->file), t->line);
    }
    for (unsigned i = 0; i < work->threads && !refused; i++) threads[i].state = READY;
}

/* In a drawn order some warps do not begin before the others can go no further, after each barrier anew: so that who runs
 * ahead meets who has not begun. Returns whether there were any. */
static int let_go(void)
{
    const uint32_t were = held;
    held = 0;
    return were != 0;
}

static void hold_some(void)
{
    held = drawn ? (uint32_t)draw() : 0;
    if ((work->threads + LANES - 1) / LANES < 2) held = 0;
}

static void run_block(void)
{
    unsigned ended = 0;
    hold_some();
    for (unsigned i = 0; i < work->threads; i++) threads[i].state = FRESH;
    for (unsigned w = 0; w * LANES < work->threads; w++) {
        const unsigned lanes = work->threads - w * LANES;
        waiting[w] = 0;
        gone[w] = lanes < LANES ? UINT32_MAX << lanes : 0;
    }
    for (int i = 0; i < array_count; i++) arrays[i].in_use = 0;
    while (ended < work->threads && !refused) {
        order o = order_of(work->threads);
        unsigned ran = 0;
        for (uint64_t i = 0; i < work->threads && !refused; i++) {
            thread *t = &threads[next_of(&o)];
            if ((t->state != FRESH && t->state != READY) || held >> index_of(t) / LANES & 1) continue;
            resume(t);
            ran++;
            ended += t->state == ENDED;
        }
        if (ran > 0 || let_go()) continue;
        open_barrier();
        hold_some();
    }
    for (unsigned i = 0; i < work->threads && refused; i++)
        if (threads[i].state != FRESH && threads[i].state != ENDED) idle[idle_count++] = threads[i].fiber;
}

void pawl_shim_run(const pawl_shim_work *w)
{
    work = w;
    refused = 0;
    struct run *this_one = run_of(w->kernel);
    this_one->count++;
    if (w->threads > this_one->threads && w->threads <= THREADS_MOST) this_one->threads = w->threads;
    pawl_shim_threads.x = w->threads;
    if (w->blocks < 1 || w->blocks > GRID_MOST || w->threads < 1 || w->threads > THREADS_MOST || w->shared > TOGETHER_MOST)
        refuse("%lld blocks, %u threads, %zu bytes of shared memory: no GPU does that", (long long)w->blocks, w->threads, w->shared);
    order o = order_of(refused ? 1 : (uint64_t)w->blocks);
    for (uint64_t i = 0; i < o.count && !refused; i++) {
        pawl_shim_block.x = (unsigned)next_of(&o);
        run_block();
    }
    while (array_count > 0) free(arrays[--array_count].at);
}

void pawl_shim_submit(pawl_stream stream, pawl_shim_work *w)
{
    if (pawl_shim_take) {
        pawl_shim_take(stream, w);
        return;
    }
    pawl_shim_run(w);
    w->drop(w);
}
