/* A CUDA runtime without a GPU: memory, streams and events as standin.h describes them. One device a process. */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "tests/cuda_on_cpu/shim.h"
#include "tests/cuda_on_cpu/standin.h"

enum { STREAMS = 16, BLOCKS = 8192, PAGE = 4096 };
static const size_t DEVICE_BYTES = (size_t)1 << 31, PINNED_BYTES = (size_t)1 << 28;

typedef struct operation {
    void (*run)(void *arg);
    cudaEvent_t records, awaits; /* one of the three */
    long ticket;                 /* of the event that is awaited */
    struct operation *next;
    char arg[];
} operation;

struct CUstream_st {
    int used;
    operation *first, *last;
};
struct CUevent_st {
    long recorded, done; /* how many times it was put on a stream, and came to pass */
    struct timespec when;
};

typedef struct block {
    size_t at, bytes;
} block;
typedef struct pool {
    char *base;
    size_t room, used; /* bytes up to the end of the last block */
    block blocks[BLOCKS];
    int count;
} pool;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct CUstream_st streams[STREAMS]; /* the first is the default stream */
static pool device, pinned;
static uint64_t dice;
static int open_depth; /* > 0: work runs, and the device's memory can be reached */

/* ---- dice ---- */

static uint32_t roll(uint32_t sides)
{
    if (!dice) {
        const char *seed = getenv("PAWL_STANDIN_SEED");
        dice = seed ? strtoull(seed, NULL, 10) * 2 + 1 : 1;
    }
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (uint32_t)((dice >> 32) % sides);
}

/* ---- memory ---- */

static void say(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0) _exit(99);
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)context;
    const char *at = info->si_addr;
    if (at >= device.base && at < device.base + device.room)
        say("stand-in: the host touched the device's memory, or work touched what is not there\n");
    signal(number, SIG_DFL);
}

static void pool_open(pool *p, size_t room, int reach)
{
    if (p->base) return;
    p->base = mmap(NULL, room, reach, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    p->room = room;
    if (p->base == MAP_FAILED) abort();
    if (p != &device) return;
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
    p->blocks[i] = (block){at, need};
    p->count++;
    return p->base + at;
}

static int pool_give(pool *p, const void *at)
{
    for (int i = 0; i < p->count; i++)
        if (p->base + p->blocks[i].at == at) {
            madvise(p->base + p->blocks[i].at, p->blocks[i].bytes, MADV_DONTNEED);
            mprotect(p->base + p->blocks[i].at, p->blocks[i].bytes, p == &device ? PROT_NONE : PROT_READ | PROT_WRITE);
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
    for (int i = 0; i < device.count; i++) mprotect(device.base + device.blocks[i].at, device.blocks[i].bytes - PAGE, reach);
}

/* ---- streams ---- */

static cudaStream_t of(cudaStream_t s)
{
    return s ? s : &streams[0];
}

static void put(cudaStream_t s, operation *o)
{
    s = of(s);
    if (s->last) s->last->next = o;
    else s->first = o;
    s->last = o;
}

static operation *new_operation(size_t bytes)
{
    operation *o = calloc(1, sizeof *o + bytes);
    if (!o) abort();
    return o;
}

static int ready(const struct CUstream_st *s)
{
    return s->first && (!s->first->awaits || s->first->awaits->done >= s->first->ticket);
}

static void run_first(struct CUstream_st *s)
{
    operation *o = s->first;
    if (o->run) o->run(o->arg);
    if (o->records) {
        o->records->done++;
        clock_gettime(CLOCK_MONOTONIC, &o->records->when);
    }
    s->first = o->next;
    if (!s->first) s->last = NULL;
    free(o);
}

/* Runs one operation of a stream that is drawn among those that can go on; 0 when there is none. */
static int run_one(void)
{
    int can[STREAMS], count = 0;
    for (int i = 0; i < STREAMS; i++)
        if (ready(&streams[i])) can[count++] = i;
    if (!count) return 0;
    run_first(&streams[can[roll((uint32_t)count)]]);
    return 1;
}

static void begin(void)
{
    if (open_depth++ == 0) reach_device(PROT_READ | PROT_WRITE);
}

static void end(void)
{
    if (--open_depth == 0) reach_device(PROT_NONE);
}

/* Until a stream is empty; streams that are not waited for go on as it happens. */
static void drain(struct CUstream_st *s)
{
    if (!s->first) return;
    begin();
    while (s->first)
        if (!run_one()) {
            say("stand-in: a stream waits for an event that nobody has recorded\n");
            abort();
        }
    end();
}

static void drain_all(void)
{
    for (int i = 0; i < STREAMS; i++) drain(&streams[i]);
}

/* Now and then, work runs before anybody waits for it. */
static void perhaps_run(void)
{
    if (open_depth || roll(256)) return;
    begin();
    for (uint32_t n = roll(64); n > 0 && run_one(); n--) continue;
    end();
}

void standin_put(cudaStream_t s, void (*run)(void *arg), const void *arg, size_t bytes)
{
    pthread_mutex_lock(&lock);
    operation *o = new_operation(bytes);
    o->run = run;
    if (bytes) memcpy(o->arg, arg, bytes);
    put(s, o);
    perhaps_run();
    pthread_mutex_unlock(&lock);
}

/* ---- kernels ---- */

static void run_kernel(void *arg)
{
    pawl_shim_work *w = *(pawl_shim_work **)arg;
    pawl_shim_run(w);
    w->drop(w);
}

static void take_kernel(pawl_stream stream, pawl_shim_work *w)
{
    standin_put(stream, run_kernel, &w, sizeof w);
}

/* A line for each kernel that has run, in the file PAWL_STANDIN_COUNTS.PROCESS: NAME TIMES. */
static void tell(void)
{
    const char *to = getenv("PAWL_STANDIN_COUNTS");
    char path[4096];
    FILE *f;
    if (!to || snprintf(path, sizeof path, "%s.%ld", to, (long)getpid()) >= (int)sizeof path || !(f = fopen(path, "w"))) return;
    for (int i = 0; pawl_shim_kernel(i); i++) fprintf(f, "%s %ld\n", pawl_shim_kernel(i), pawl_shim_runs(pawl_shim_kernel(i)));
    fclose(f);
}

static void before_waiting(void)
{
    pthread_mutex_lock(&lock);
    drain_all();
    pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void begin_standing_in(void)
{
    void (**hook)(void) = (void (**)(void))dlsym(RTLD_DEFAULT, "standin_before_waiting"); /* drained_mpi.c */
    if (hook) *hook = before_waiting;
    pawl_shim_take = take_kernel;
    pawl_shim_seed(1 + roll(1u << 30));
    atexit(tell);
}

/* ---- the runtime's names ---- */

const char *cudaGetErrorString(cudaError_t e)
{
    static const char *const names[] = {"success", "invalid value", "out of memory", "not ready", "no device", "unknown"};
    return names[e];
}

cudaError_t cudaGetLastError(void)
{
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = 1;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int number)
{
    return number == 0 ? cudaSuccess : cudaErrorNoDevice;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *out, int number)
{
    *out = (struct cudaDeviceProp){.name = "stand-in", .totalGlobalMem = DEVICE_BYTES, .major = 9, .multiProcessorCount = 4};
    return cudaSetDevice(number);
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = 13000;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    return cudaDriverGetVersion(version);
}

cudaError_t cudaMemGetInfo(size_t *available, size_t *total)
{
    *total = *available = DEVICE_BYTES;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < device.count; i++) *available -= device.blocks[i].bytes;
    pthread_mutex_unlock(&lock);
    return cudaSuccess;
}

/* What is taken holds NaNs and absurd numbers, as memory that others have used may. */
cudaError_t cudaMalloc(void **out, size_t bytes)
{
    pthread_mutex_lock(&lock);
    pool_open(&device, DEVICE_BYTES, PROT_NONE);
    char *at = pool_take(&device, bytes);
    if (at) {
        begin();
        mprotect(at, (bytes + PAGE - 1) / PAGE * PAGE, PROT_READ | PROT_WRITE);
        memset(at, 0xff, bytes);
        end();
    }
    *out = at;
    pthread_mutex_unlock(&lock);
    return at ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaFree(void *at)
{
    if (!at) return cudaSuccess;
    pthread_mutex_lock(&lock);
    drain_all();
    const int found = pool_give(&device, at);
    pthread_mutex_unlock(&lock);
    return found ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned flags)
{
    (void)flags;
    pthread_mutex_lock(&lock);
    pool_open(&pinned, PINNED_BYTES, PROT_READ | PROT_WRITE);
    *out = pool_take(&pinned, bytes);
    pthread_mutex_unlock(&lock);
    return *out ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaFreeHost(void *at)
{
    if (!at) return cudaSuccess;
    pthread_mutex_lock(&lock);
    drain_all();
    const int found = pool_give(&pinned, at);
    pthread_mutex_unlock(&lock);
    return found ? cudaSuccess : cudaErrorInvalidValue;
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
    const int to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice,
              from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    pthread_mutex_lock(&lock);
    const int fits = host_side(to, bytes, to_device) && host_side(from, bytes, from_device);
    pthread_mutex_unlock(&lock);
    if (!fits) return cudaErrorInvalidValue;
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
    pthread_mutex_lock(&lock);
    const int fits = standin_on_device(to, bytes);
    pthread_mutex_unlock(&lock);
    if (!fits) return cudaErrorInvalidValue;
    standin_put(s, run_filling, &(filling){to, value, bytes}, sizeof(filling));
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags)
{
    (void)flags;
    pthread_mutex_lock(&lock);
    int i = 1;
    while (i < STREAMS && streams[i].used) i++;
    if (i < STREAMS) streams[i].used = 1;
    *out = i < STREAMS ? &streams[i] : NULL;
    pthread_mutex_unlock(&lock);
    return *out ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
    pthread_mutex_lock(&lock);
    drain(of(s));
    pthread_mutex_unlock(&lock);
    return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t s)
{
    pthread_mutex_lock(&lock);
    begin();
    for (uint32_t n = 1 + roll(8); n > 0 && run_one(); n--) continue; /* who asks again and again comes to an end */
    end();
    const int empty = of(s)->first == NULL;
    pthread_mutex_unlock(&lock);
    return empty ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaStreamDestroy(cudaStream_t s)
{
    if (!s) return cudaErrorInvalidValue;
    cudaStreamSynchronize(s);
    s->used = 0;
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize(void)
{
    pthread_mutex_lock(&lock);
    drain_all();
    pthread_mutex_unlock(&lock);
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags)
{
    (void)flags;
    *out = calloc(1, sizeof **out);
    return *out ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaEventDestroy(cudaEvent_t e)
{
    cudaDeviceSynchronize();
    free(e);
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s)
{
    pthread_mutex_lock(&lock);
    operation *o = new_operation(0);
    o->records = e;
    e->recorded++;
    put(s, o);
    pthread_mutex_unlock(&lock);
    return cudaSuccess;
}

/* An event that was never recorded holds nobody up. */
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned flags)
{
    (void)flags;
    pthread_mutex_lock(&lock);
    operation *o = new_operation(0);
    o->awaits = e;
    o->ticket = e->recorded;
    put(s, o);
    pthread_mutex_unlock(&lock);
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t e)
{
    pthread_mutex_lock(&lock);
    if (e->done < e->recorded) {
        begin();
        while (e->done < e->recorded && run_one()) continue;
        end();
    }
    pthread_mutex_unlock(&lock);
    return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t from, cudaEvent_t to)
{
    *milliseconds = (float)((double)(to->when.tv_sec - from->when.tv_sec) * 1e3 + (double)(to->when.tv_nsec - from->when.tv_nsec) * 1e-6);
    return cudaSuccess;
}
