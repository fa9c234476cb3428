#include "ops/cpu/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include "core/arena.h"
#include "core/span.h"

/* A job is open from its publishing until the caller finds no task left; workers that come in between join it, those
 * that come later are not waited for. One word says all that joining and leaving need: the number of the job, whether it
 * is open, and how many workers are inside. The lock is only for going to sleep and for waking. */
enum { OPEN = 1 << 16, INSIDE = OPEN - 1, JOB_SHIFT = 32 };

/* Ops follow each other within microseconds, and to sleep and be woken takes some tens of them: who waits looks for that
 * long before it sleeps, as long as that has been of use. Ranks share cores with each other and with strangers, so a
 * wait that turns out to be long counts against the next ones (`trust`): beside a busy neighbour, which makes all waits
 * long, threads go to sleep at once, and where there are more threads than cores nobody ever looks twice. */
enum { PATIENCE_NS = 50000, LOOKS = 16, TRUST_MOST = 8, TRUST_LEAST = -8 };

typedef struct waiter {
    int64_t since; /* when this wait began */
    int trust;
} waiter;

struct pawl_pool {
    int threads, started, patient;
    pthread_mutex_t lock;
    pthread_cond_t start, finish;
    atomic_int asleep, caller_asleep; /* changed under the lock */
    int stop;
    waiter caller;

    atomic_uint_fast64_t state __attribute__((aligned(64)));
    int64_t count, published; /* when, in ns */
    pawl_task task;
    void *self;
    atomic_int_fast64_t next __attribute__((aligned(64)));
    atomic_flag busy;

    struct worker {
        pthread_t thread;
        pawl_pool *pool;
        int index;
        waiter wait;
    } workers[];
};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Looks until it is there or patience ends: the answer. */
static int look(pawl_pool *p, waiter *w, int (*there)(pawl_pool *p, uint64_t seen), uint64_t seen)
{
    w->since = INT64_MAX; /* no wait at all is a short one */
    if (there(p, seen)) return 1;
    w->since = now_ns();
    if (!p->patient || w->trust < 0) return 0;
    do {
        for (int i = 0; i < LOOKS; i++) {
            if (there(p, seen)) return 1;
            relax();
        }
    } while (now_ns() - w->since < PATIENCE_NS);
    return 0;
}

/* What a wait that ended at that time says about the next. */
static void learn(waiter *w, int64_t ended)
{
    if (ended - w->since < PATIENCE_NS)
        w->trust += w->trust < TRUST_MOST;
    else
        w->trust -= w->trust > TRUST_LEAST;
}

static void share(pawl_pool *p, int thread)
{
    for (;;) {
        const int64_t i = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed);
        if (i >= p->count) return;
        p->task(p->self, i, thread);
    }
}

static int has_opened(pawl_pool *p, uint64_t seen)
{
    const uint64_t state = atomic_load(&p->state);
    return (state & OPEN) && state >> JOB_SHIFT != seen;
}

static int is_empty(pawl_pool *p, uint64_t unused)
{
    (void)unused;
    return !(atomic_load(&p->state) & INSIDE);
}

/* Joins the open job, unless it was the last one joined or has closed. */
static int join(pawl_pool *p, uint64_t *seen)
{
    uint64_t state = atomic_load(&p->state);
    do {
        if (!(state & OPEN) || state >> JOB_SHIFT == *seen) return 0;
    } while (!atomic_compare_exchange_weak(&p->state, &state, state + 1));
    *seen = state >> JOB_SHIFT;
    return 1;
}

/* The last to leave a job that is closed wakes the caller. */
static void leave(pawl_pool *p)
{
    const uint64_t state = atomic_fetch_sub(&p->state, 1) - 1;
    if ((state & (OPEN | INSIDE)) || !atomic_load(&p->caller_asleep)) return;
    pthread_mutex_lock(&p->lock);
    pthread_cond_signal(&p->finish);
    pthread_mutex_unlock(&p->lock);
}

static int sleep_until_opened(pawl_pool *p, uint64_t seen)
{
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->asleep, 1);
    while (!has_opened(p, seen) && !p->stop) pthread_cond_wait(&p->start, &p->lock);
    atomic_fetch_sub(&p->asleep, 1);
    const int stop = p->stop;
    pthread_mutex_unlock(&p->lock);
    return !stop;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    pawl_pool *p = w->pool;
    uint64_t seen = 0;
    for (;;) {
        if (!look(p, &w->wait, has_opened, seen) && !sleep_until_opened(p, seen)) return NULL;
        if (!join(p, &seen)) continue;
        learn(&w->wait, p->published);
        const int64_t begun = pawl_span_pool_begin(w->index);
        share(p, w->index);
        pawl_span_pool_end(w->index, begun);
        leave(p);
    }
}

/* Signals are the main thread's business. */
static int start_worker(pawl_pool *p, int i)
{
    sigset_t all, before;
    sigfillset(&all);
    p->workers[i] = (struct worker){.pool = p, .index = i + 1};
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&p->workers[i].thread, NULL, work, &p->workers[i]);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

/* A core for every thread, as far as the binding of this process tells. */
static int has_cores_for(int threads)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) >= threads;
}

pawl_status pawl_pool_open(int threads, pawl_pool **out)
{
    pawl_pool *p;
    const int workers = threads - 1;
    PAWL_TRY(pawl_alloc((void **)&p, sizeof *p + (size_t)workers * sizeof *p->workers, "thread pool"));
    p->threads = threads;
    p->patient = has_cores_for(threads);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->start, NULL);
    pthread_cond_init(&p->finish, NULL);
    atomic_flag_clear(&p->busy);
    for (; p->started < workers; p->started++) {
        if (start_worker(p, p->started)) {
            const int started = p->started;
            pawl_pool_close(p);
            return PAWL_FAIL(PAWL_EMEM, "only %d of %d threads could be started", started + 1, threads);
        }
    }
    *out = p;
    return PAWL_OK;
}

void pawl_pool_close(pawl_pool *p)
{
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    p->stop = 1;
    pthread_cond_broadcast(&p->start);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->started; i++) pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->finish);
    pthread_cond_destroy(&p->start);
    pthread_mutex_destroy(&p->lock);
    pawl_free(p);
}

int pawl_pool_threads(const pawl_pool *p)
{
    return p->threads;
}

static void publish(pawl_pool *p, int64_t count, pawl_task task, void *self)
{
    const uint64_t job = (atomic_load(&p->state) >> JOB_SHIFT) + 1;
    p->count = count;
    p->task = task;
    p->self = self;
    p->published = now_ns();
    atomic_store_explicit(&p->next, 0, memory_order_relaxed);
    atomic_store(&p->state, job << JOB_SHIFT | OPEN);
    if (atomic_load(&p->asleep) == 0) return;
    pthread_mutex_lock(&p->lock);
    pthread_cond_broadcast(&p->start);
    pthread_mutex_unlock(&p->lock);
}

static void wait_for_workers(pawl_pool *p)
{
    atomic_fetch_and(&p->state, ~(uint64_t)OPEN);
    if (is_empty(p, 0)) return;
    if (!look(p, &p->caller, is_empty, 0)) {
        pthread_mutex_lock(&p->lock);
        atomic_store(&p->caller_asleep, 1);
        while (!is_empty(p, 0)) pthread_cond_wait(&p->finish, &p->lock);
        atomic_store(&p->caller_asleep, 0);
        pthread_mutex_unlock(&p->lock);
    }
    learn(&p->caller, now_ns());
}

void pawl_pool_run(pawl_pool *p, int64_t count, pawl_task task, void *self)
{
    PAWL_ASSERT(!atomic_flag_test_and_set(&p->busy)); /* one job at a time, and none inside a task */
    if (p->threads == 1 || count == 1) {
        for (int64_t i = 0; i < count; i++) task(self, i, 0);
    } else {
        publish(p, count, task, self);
        share(p, 0);
        wait_for_workers(p);
    }
    atomic_flag_clear(&p->busy);
}
