#include "ops/cpu/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "core/arena.h"
#include "core/span.h"

/* A job is open from its publishing until the caller finds no task left; workers that wake in between join it, those
 * that wake later are not waited for. Workers sleep on `start`, the caller on `finish`: nothing here spins, since ranks
 * share cores with each other and with strangers. */
struct pawl_pool {
    int threads, started;
    pthread_mutex_t lock;
    pthread_cond_t start, finish;
    uint64_t job; /* number of jobs so far */
    int open;     /* the current one may be joined */
    int inside;   /* workers that have joined it and not left */
    int stop;

    int64_t count;
    pawl_task task;
    void *self;
    atomic_int_fast64_t next;
    atomic_flag busy;

    struct worker {
        pthread_t thread;
        pawl_pool *pool;
        int index;
    } workers[];
};

static void share(pawl_pool *p, int thread)
{
    for (;;) {
        const int64_t i = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed);
        if (i >= p->count) return;
        p->task(p->self, i, thread);
    }
}

static void *work(void *arg)
{
    const struct worker *w = arg;
    pawl_pool *p = w->pool;
    uint64_t seen = 0;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (!(p->open && p->job != seen) && !p->stop) pthread_cond_wait(&p->start, &p->lock);
        if (p->stop) break;
        seen = p->job;
        p->inside++;
        pthread_mutex_unlock(&p->lock);
        const int64_t begun = pawl_span_pool_begin(w->index);
        share(p, w->index);
        pawl_span_pool_end(w->index, begun);
        pthread_mutex_lock(&p->lock);
        if (--p->inside == 0) pthread_cond_signal(&p->finish);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
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

pawl_status pawl_pool_open(int threads, pawl_pool **out)
{
    pawl_pool *p;
    const int workers = threads - 1;
    PAWL_TRY(pawl_alloc((void **)&p, sizeof *p + (size_t)workers * sizeof *p->workers, "thread pool"));
    p->threads = threads;
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

static void run_shared(pawl_pool *p, int64_t count, pawl_task task, void *self)
{
    pthread_mutex_lock(&p->lock);
    p->count = count;
    p->task = task;
    p->self = self;
    atomic_store_explicit(&p->next, 0, memory_order_relaxed);
    p->open = 1;
    p->job++;
    pthread_cond_broadcast(&p->start);
    pthread_mutex_unlock(&p->lock);
    share(p, 0);
    pthread_mutex_lock(&p->lock);
    p->open = 0;
    while (p->inside > 0) pthread_cond_wait(&p->finish, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

void pawl_pool_run(pawl_pool *p, int64_t count, pawl_task task, void *self)
{
    PAWL_ASSERT(!atomic_flag_test_and_set(&p->busy)); /* one job at a time, and none inside a task */
    if (p->threads == 1 || count == 1) {
        for (int64_t i = 0; i < count; i++) task(self, i, 0);
    } else {
        run_shared(p, count, task, self);
    }
    atomic_flag_clear(&p->busy);
}
