/* The runtime's stand-in: the device's memory, pinned memory of the host, and copies (standin.h). */
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <stdlib.h>

#include "tests/cuda_on_cpu/runtime.h"

enum { BLOCKS = 8192, PAGE = STANDIN_PAGE };
static const size_t PINNED_BYTES = (size_t)1 << 28;

typedef struct block {
    size_t at, bytes, asked; /* bytes: in pages, with the one behind it */
} block;
typedef struct pool {
    char *base;
    size_t room;
    block blocks[BLOCKS];
    int count;
    size_t taken, most; /* bytes that were asked for: now, and at most */
} pool;

static pool device, pinned;
static int open_depth; /* > 0: work runs */
static int reached;    /* and the device's memory can be */

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)context;
    const char *at = info->si_addr;
    if (at >= device.base && at < device.base + device.room)
        standin_say("stand-in: the host touched the device's memory, or work touched what is not there\n");
    signal(number, SIG_DFL);
}

static void pool_open(pool *p, size_t room, int reach)
{
    if (p->base) return;
    p->base = mmap(NULL, room, reach, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    p->room = room;
    if (p->base == MAP_FAILED) abort();
    if (p != &device) return;
    madvise(p->base, room, MADV_HUGEPAGE); /* opening and shutting is then quick */
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, NULL);
}

/* First fit, in pages, with a page between blocks that is never reached: what runs over its end is caught. */
static char *pool_take(pool *p, size_t bytes)
{
    const size_t need = (bytes + PAGE - 1) / PAGE * PAGE + PAGE;
    size_t at = 0;
    int i = 0;
    for (; i < p->count && p->blocks[i].at - at < need; i++) at = p->blocks[i].at + p->blocks[i].bytes;
    if (at + need > p->room || p->count == BLOCKS) return NULL;
    memmove(&p->blocks[i + 1], &p->blocks[i], (size_t)(p->count - i) * sizeof *p->blocks);
    p->blocks[i] = (block){at, need, bytes};
    p->count++;
    p->taken += bytes;
    if (p->taken > p->most) p->most = p->taken;
    return p->base + at;
}

static int pool_give(pool *p, const void *at)
{
    for (int i = 0; i < p->count; i++)
        if (p->base + p->blocks[i].at == at) {
            madvise(p->base + p->blocks[i].at, p->blocks[i].bytes, MADV_DONTNEED);
            mprotect(p->base + p->blocks[i].at, p->blocks[i].bytes, p == &device ? PROT_NONE : PROT_READ | PROT_WRITE);
            p->taken -= p->blocks[i].asked;
            memmove(&p->blocks[i], &p->blocks[i + 1], (size_t)(p->count - i - 1) * sizeof *p->blocks);
            p->count--;
            return 1;
        }
    return 0;
}

static int pool_holds(const pool *p, const void *at, size_t bytes)
{
    const char *a = at;
    for (int i = 0; p->base && i < p->count; i++) {
        const char *first = p->base + p->blocks[i].at;
        if (a >= first && a + bytes <= first + p->blocks[i].bytes - PAGE) return 1;
    }
    return 0;
}

int standin_on_device(const void *at, size_t bytes)
{
    return pool_holds(&device, at, bytes);
}

int standin_is_pinned(const void *at, size_t bytes)
{
    return pool_holds(&pinned, at, bytes);
}

/* Blocks that lie side by side differ in nothing but the pages between them: each is opened for itself. */
static void reach_device(int reach)
{
    for (int i = 0; i < device.count; i++)
        mprotect(device.base + device.blocks[i].at, device.blocks[i].bytes - PAGE, reach);
}

void standin_open(void)
{
    open_depth++;
}

void standin_reach(void)
{
    if (open_depth && !reached) reach_device(PROT_READ | PROT_WRITE);
    reached = open_depth > 0;
}

void standin_shut(void)
{
    if (--open_depth > 0 || !reached) return;
    reach_device(PROT_NONE);
    reached = 0;
}

int standin_is_open(void)
{
    return open_depth;
}

size_t standin_device_bytes(void)
{
    const char *said = getenv("PAWL_STANDIN_GPU_MIB");
    return said ? (size_t)strtoull(said, NULL, 10) << 20 : (size_t)16 << 30;
}

size_t standin_most_on_device(void)
{
    return device.most;
}

size_t standin_most_pinned(void)
{
    return pinned.most;
}

size_t standin_left_on_device(void)
{
    return device.taken;
}

size_t standin_left_pinned(void)
{
    return pinned.taken;
}

/* ---- the runtime's names ---- */

cudaError_t cudaMemGetInfo(size_t *available, size_t *total)
{
    STANDIN_TRY(standin_at_hand());
    *total = *available = standin_device_bytes();
    pthread_mutex_lock(&standin_lock);
    *available -= device.taken;
    pthread_mutex_unlock(&standin_lock);
    return cudaSuccess;
}

/* What is taken holds NaNs and absurd numbers, as memory that others have used may. */
cudaError_t cudaMalloc(void **out, size_t bytes)
{
    STANDIN_TRY(standin_may(1, NULL));
    pthread_mutex_lock(&standin_lock);
    pool_open(&device, standin_device_bytes(), PROT_NONE);
    char *at = pool_take(&device, bytes);
    if (at) {
        standin_open();
        standin_reach();
        mprotect(at, (bytes + PAGE - 1) / PAGE * PAGE, PROT_READ | PROT_WRITE);
        memset(at, 0xff, bytes);
        standin_shut();
    }
    *out = at;
    pthread_mutex_unlock(&standin_lock);
    return standin_said(at ? cudaSuccess : cudaErrorMemoryAllocation);
}

cudaError_t cudaFree(void *at)
{
    STANDIN_TRY(standin_at_hand());
    if (!at) return cudaSuccess;
    STANDIN_TRY(standin_may(1, NULL));
    pthread_mutex_lock(&standin_lock);
    standin_drain_all();
    const int found = pool_give(&device, at);
    pthread_mutex_unlock(&standin_lock);
    return standin_said(found ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned flags)
{
    STANDIN_TRY(standin_may(1, NULL));
    (void)flags;
    pthread_mutex_lock(&standin_lock);
    pool_open(&pinned, PINNED_BYTES, PROT_READ | PROT_WRITE);
    *out = pool_take(&pinned, bytes);
    pthread_mutex_unlock(&standin_lock);
    return standin_said(*out ? cudaSuccess : cudaErrorMemoryAllocation);
}

cudaError_t cudaFreeHost(void *at)
{
    STANDIN_TRY(standin_at_hand());
    if (!at) return cudaSuccess;
    STANDIN_TRY(standin_may(1, NULL));
    pthread_mutex_lock(&standin_lock);
    standin_drain_all();
    const int found = pool_give(&pinned, at);
    pthread_mutex_unlock(&standin_lock);
    return standin_said(found ? cudaSuccess : cudaErrorInvalidValue);
}

typedef struct copy {
    void *to;
    const void *from;
    size_t bytes;
} copy;

static void run_copy(void *arg)
{
    const copy *c = arg;
    memcpy(c->to, c->from, c->bytes);
}

static int host_side(const void *at, size_t bytes, int is_device)
{
    return is_device ? standin_on_device(at, bytes) : standin_is_pinned(at, bytes);
}

/* Stricter than NVIDIA's: memory of the host must be pinned, so that what is late here is late there. */
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t s)
{
    STANDIN_TRY(standin_at_hand());
    const int to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice,
              from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    pthread_mutex_lock(&standin_lock);
    const int fits = host_side(to, bytes, to_device) && host_side(from, bytes, from_device);
    pthread_mutex_unlock(&standin_lock);
    if (!fits) return standin_said(cudaErrorInvalidValue);
    standin_put(s, run_copy, &(copy){to, from, bytes}, sizeof(copy));
    return cudaSuccess;
}

typedef struct filling {
    void *to;
    int value;
    size_t bytes;
} filling;

static void run_filling(void *arg)
{
    const filling *f = arg;
    memset(f->to, f->value, f->bytes);
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t s)
{
    STANDIN_TRY(standin_at_hand());
    pthread_mutex_lock(&standin_lock);
    const int fits = standin_on_device(to, bytes);
    pthread_mutex_unlock(&standin_lock);
    if (!fits) return standin_said(cudaErrorInvalidValue);
    standin_put(s, run_filling, &(filling){to, value, bytes}, sizeof(filling));
    return cudaSuccess;
}
