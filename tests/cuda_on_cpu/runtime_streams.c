/* The runtime's stand-in: streams, events, and kernels that wait on streams (standin.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cuda_on_cpu/runtime.h"

enum { STREAMS = 16 };

typedef struct operation {
    standin_work *work;
    cudaEvent_t records, awaits; /* one of the three */
    long ticket;                 /* of the event that is awaited */
    struct operation *next;
} operation;

struct CUstream_st {
    int used;
    operation *first, *last;
};
struct CUevent_st {
    int alive, timed;
    struct CUevent_st *before; /* in the list of all that were ever made: what was destroyed is remembered as such */
    long recorded, done; /* how many times it was put on a stream, and came to pass */
};

static struct CUstream_st streams[STREAMS]; /* the first is the default stream */
static cudaEvent_t events;
static long until_it_breaks = -1; /* kernels; -1: it does not */

static cudaStream_t of(cudaStream_t s)
{
    return s ? s : &streams[0];
}

static int is_stream(const struct CUstream_st *s)
{
    return !s || (s >= streams && s < streams + STREAMS && s->used);
}

static int is_event(const struct CUevent_st *e)
{
    return e && e->alive;
}

static void put(cudaStream_t s, operation *o)
{
    s = of(s);
    if (s->last)
        s->last->next = o;
    else
        s->first = o;
    s->last = o;
}

static operation *new_operation(void)
{
    operation *o = calloc(1, sizeof *o);
    if (!o) abort();
    return o;
}

void standin_let_go(standin_work *w)
{
    if (--w->holders > 0) return;
    if (w->drop) w->drop(w->arg);
    free(w);
}

void standin_put_work(cudaStream_t s, standin_work *w)
{
    operation *o = new_operation();
    o->work = w;
    w->holders++;
    put(s, o);
}

static int ready(const struct CUstream_st *s)
{
    return s->first && (!s->first->awaits || s->first->awaits->done >= s->first->ticket);
}

/* Whether it got on. */
static int run_first(struct CUstream_st *s)
{
    operation *o = s->first;
    standin_work *w = o->work;
    if (w && w->poll && !standin_is_broken() && !w->poll(w->arg)) return 0;
    if (w && w->run) standin_reach();
    if (w && w->run && !standin_is_broken()) w->run(w->arg);
    if (w) standin_let_go(w);
    if (o->records) o->records->done++;
    s->first = o->next;
    if (!s->first) s->last = NULL;
    free(o);
    return 1;
}

static void nap(long microseconds)
{
    const struct timespec t = {.tv_nsec = microseconds * 1000};
    nanosleep(&t, NULL);
}

/* PAWL_STANDIN_LAZY=1: of the streams that can go on it is the eldest that does, but for once in many: what is done aside is late, and a
 * wait for it that is not there is missed. */
static int is_lazy(void)
{
    static int lazy = -1;
    if (lazy < 0) {
        const char *said = getenv("PAWL_STANDIN_LAZY");
        lazy = said && said[0] == '1';
    }
    return lazy;
}

static int run_eldest(void)
{
    enum { ONCE_IN = 64 };
    for (int i = 0; i < STREAMS && standin_roll(ONCE_IN); i++)
        if (ready(&streams[i])) return run_first(&streams[i]);
    return 0;
}

/* For a while one stream, which is drawn, goes on before all others, and they wait for it even where it waits for its peers: so a stream of
 * messages may be far ahead of one that computes. */
static struct { int stream; uint32_t turns, patience; } ahead;

static int run_ahead(int *some)
{
    if (ahead.turns == 0) {
        int used = 1;
        for (int i = 1; i < STREAMS; i++) used += streams[i].used;
        ahead.stream = (int)standin_roll((uint32_t)used);
        ahead.turns = 1 + standin_roll(40);
        ahead.patience = standin_roll(20);
    }
    ahead.turns--;
    if (!ready(&streams[ahead.stream])) return 0;
    *some = run_first(&streams[ahead.stream]);
    if (*some || !ahead.patience) return *some;
    ahead.patience--;
    nap(200); /* its peers get on meanwhile */
    return 1;
}

/* Runs one operation of a stream that is drawn among those that can go on; 0 when there is none. */
static int run_one(void)
{
    int can[STREAMS], count = 0, some = 0;
    if (is_lazy() ? run_eldest() : run_ahead(&some)) return is_lazy() || some;
    for (int i = 0; i < STREAMS; i++)
        if (ready(&streams[i])) can[count++] = i;
    while (count) {
        const uint32_t drawn = standin_roll((uint32_t)count);
        if (run_first(&streams[can[drawn]])) return 1;
        can[drawn] = can[--count];
    }
    return 0;
}

/* When nothing can go on: others are waited for, or it is a mistake. */
static void wait_for_others(void)
{
    int waits = 0;
    for (int i = 0; i < STREAMS; i++) waits |= streams[i].first && streams[i].first->work && streams[i].first->work->poll;
    if (!waits) {
        standin_say("stand-in: a stream waits for an event that nobody has recorded\n");
        abort();
    }
    nap(50);
}

/* Until a stream is empty; streams that are not waited for go on as it happens. */
static void drain(struct CUstream_st *s)
{
    if (!s->first) return;
    standin_open();
    while (s->first)
        if (!run_one()) wait_for_others();
    standin_shut();
}

void standin_drain_all(void)
{
    for (int i = 0; i < STREAMS; i++) drain(&streams[i]);
}

int standin_get_on(uint32_t operations)
{
    int some = 0, busy = 0;
    for (int i = 0; i < STREAMS; i++) busy |= streams[i].first != NULL;
    if (!busy || standin_is_open() || (is_lazy() && !ready(&streams[0]) && !ready(&streams[1]) && standin_roll(64))) return 0;
    standin_open();
    for (; operations > 0 && run_one(); operations--) some = 1;
    standin_shut();
    return some;
}

/* Now and then, work runs before anybody waits for it. */
static void perhaps_run(void)
{
    if (!standin_is_open() && !standin_roll(256)) (void)standin_get_on(standin_roll(64));
}

__attribute__((visibility("default"))) int standin_is_idle(void)
{
    int busy = 0;
    pthread_mutex_lock(&standin_lock);
    for (int i = 0; i < STREAMS; i++) busy |= streams[i].first != NULL;
    pthread_mutex_unlock(&standin_lock);
    return !busy;
}

static void put_work(cudaStream_t s, const standin_work *like, const void *arg, size_t bytes)
{
    standin_work *w = malloc(sizeof *w + bytes);
    if (!w) abort();
    *w = *like;
    if (bytes) memcpy(w->arg, arg, bytes);
    pthread_mutex_lock(&standin_lock);
    if (!standin_captures(s, w)) standin_put_work(s, w);
    perhaps_run();
    pthread_mutex_unlock(&standin_lock);
}

void standin_put(cudaStream_t s, void (*run)(void *arg), const void *arg, size_t bytes)
{
    put_work(s, &(standin_work){.run = run}, arg, bytes);
}

void standin_put_owning(cudaStream_t s, void (*run)(void *arg), void (*drop)(void *arg), const void *arg, size_t bytes)
{
    put_work(s, &(standin_work){.run = run, .drop = drop}, arg, bytes);
}

void standin_put_polled(cudaStream_t s, int (*poll)(void *arg), const void *arg, size_t bytes)
{
    put_work(s, &(standin_work){.poll = poll}, arg, bytes);
}

static void run_kernel(void *arg)
{
    if (until_it_breaks >= 0 && until_it_breaks-- == 0) standin_break();
    if (!standin_is_broken()) pawl_shim_run(*(pawl_shim_work **)arg);
}

static void drop_kernel(void *arg)
{
    pawl_shim_work *w = *(pawl_shim_work **)arg;
    w->drop(w);
}

/* PAWL_STANDIN_FAULT=N: the device breaks with the kernel after the N-th from here on. */
static void read_fault(void)
{
    const char *after = getenv("PAWL_STANDIN_FAULT");
    if (after && until_it_breaks < 0) until_it_breaks = strtol(after, NULL, 10);
}

void standin_take_kernel(pawl_stream stream, pawl_shim_work *w)
{
    read_fault();
    if (standin_at_hand() != cudaSuccess || !is_stream(stream)) { /* a launch says nothing: the last error does */
        if (!standin_is_broken()) (void)standin_said(cudaErrorInvalidResourceHandle);
        w->drop(w);
        return;
    }
    standin_put_owning(stream, run_kernel, drop_kernel, &w, sizeof w);
}

/* Work may have broken the device meanwhile. */
static cudaError_t outcome(void)
{
    return standin_is_broken() ? standin_said(cudaErrorIllegalAddress) : cudaSuccess;
}

/* ---- the runtime's names ---- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags)
{
    STANDIN_TRY(standin_at_hand());
    (void)flags;
    pthread_mutex_lock(&standin_lock);
    int i = 1;
    while (i < STREAMS && streams[i].used) i++;
    if (i < STREAMS) streams[i].used = 1;
    *out = i < STREAMS ? &streams[i] : NULL;
    pthread_mutex_unlock(&standin_lock);
    return *out ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *out, unsigned flags, int priority)
{
    return priority <= 0 && priority >= -5 ? cudaStreamCreateWithFlags(out, flags) : cudaErrorInvalidValue;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest)
{
    *least = 0;
    *greatest = -5;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
    STANDIN_TRY(standin_may(is_stream(s), s));
    pthread_mutex_lock(&standin_lock);
    drain(of(s));
    pthread_mutex_unlock(&standin_lock);
    return outcome();
}

/* As with the real one, who asks for the last error finds this. */
static cudaError_t not_ready(void)
{
    return standin_said(cudaErrorNotReady);
}

cudaError_t cudaStreamQuery(cudaStream_t s)
{
    STANDIN_TRY(standin_may(is_stream(s), s));
    pthread_mutex_lock(&standin_lock);
    standin_open();
    for (uint32_t n = 1 + standin_roll(8); n > 0 && run_one(); n--)
        continue; /* who asks again and again comes to an end */
    standin_shut();
    const int empty = of(s)->first == NULL;
    pthread_mutex_unlock(&standin_lock);
    return empty ? outcome() : not_ready();
}

cudaError_t cudaStreamDestroy(cudaStream_t s)
{
    if (!s || !is_stream(s)) return standin_said(cudaErrorInvalidResourceHandle);
    const cudaError_t synchronised = cudaStreamSynchronize(s);
    s->used = 0;
    return synchronised;
}

cudaError_t cudaDeviceSynchronize(void)
{
    STANDIN_TRY(standin_may(1, NULL));
    pthread_mutex_lock(&standin_lock);
    standin_drain_all();
    pthread_mutex_unlock(&standin_lock);
    return outcome();
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags)
{
    STANDIN_TRY(standin_at_hand());
    if (flags & ~(unsigned)cudaEventDisableTiming) return standin_said(cudaErrorInvalidValue);
    *out = calloc(1, sizeof **out);
    if (!*out) return standin_said(cudaErrorMemoryAllocation);
    **out = (struct CUevent_st){.alive = 1, .timed = !(flags & cudaEventDisableTiming)};
    pthread_mutex_lock(&standin_lock);
    (*out)->before = events;
    events = *out;
    pthread_mutex_unlock(&standin_lock);
    return cudaSuccess;
}

/* What has been put on streams goes on to record it, or to wait for it. */
cudaError_t cudaEventDestroy(cudaEvent_t e)
{
    if (!is_event(e)) return standin_said(cudaErrorInvalidResourceHandle);
    e->alive = 0;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s)
{
    STANDIN_TRY(standin_may(is_event(e) && is_stream(s), s));
    pthread_mutex_lock(&standin_lock);
    operation *o = new_operation();
    o->records = e;
    e->recorded++;
    put(s, o);
    pthread_mutex_unlock(&standin_lock);
    return cudaSuccess;
}

static long waits, dropped;

long standin_drop_wait(long drop)
{
    const long before = waits;
    waits = 0;
    dropped = drop;
    return before;
}

/* An event that was never recorded holds nobody up. */
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned flags)
{
    STANDIN_TRY(standin_at_hand());
    if (!is_event(e) || !is_stream(s)) return standin_said(cudaErrorInvalidResourceHandle);
    (void)flags;
    if (standin_spoils_capture(s)) return standin_said(cudaErrorStreamCaptureIsolation);
    if (++waits == dropped) return cudaSuccess;
    pthread_mutex_lock(&standin_lock);
    operation *o = new_operation();
    o->awaits = e;
    o->ticket = e->recorded;
    put(s, o);
    pthread_mutex_unlock(&standin_lock);
    return cudaSuccess;
}

static long looks, dropped_look;

long standin_drop_look(long drop)
{
    const long before = looks;
    looks = 0;
    dropped_look = drop;
    return before;
}

cudaError_t cudaEventQuery(cudaEvent_t e)
{
    STANDIN_TRY(standin_may(is_event(e), NULL));
    pthread_mutex_lock(&standin_lock);
    const int lies = e->done < e->recorded && ++looks == dropped_look;
    if (e->done < e->recorded && !lies) {
        standin_open();
        for (uint32_t n = 1 + standin_roll(256); n > 0 && e->done < e->recorded && run_one(); n--) continue;
        standin_shut();
    }
    const int came = lies || e->done >= e->recorded;
    pthread_mutex_unlock(&standin_lock);
    return came ? outcome() : not_ready();
}

cudaError_t cudaEventSynchronize(cudaEvent_t e)
{
    STANDIN_TRY(standin_may(is_event(e), NULL));
    pthread_mutex_lock(&standin_lock);
    if (e->done < e->recorded) {
        standin_open();
        while (e->done < e->recorded)
            if (!run_one()) wait_for_others();
        standin_shut();
    }
    pthread_mutex_unlock(&standin_lock);
    return outcome();
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t from, cudaEvent_t to)
{
    STANDIN_TRY(standin_at_hand());
    if (!is_event(from) || !is_event(to) || !from->timed || !to->timed || !from->recorded || !to->recorded)
        return standin_said(cudaErrorInvalidResourceHandle);
    if (from->done < from->recorded || to->done < to->recorded) return standin_said(cudaErrorNotReady);
    *milliseconds = standin_duration();
    return cudaSuccess;
}
