/* The watchdog: one thread that sleeps until a deadline is missed. It never speaks MPI, and it ends this rank only:
 * mpirun then ends the job (decision 9). */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "comm/comm.h"

static struct {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    void (*ended)(const char *sentence);
    const char *what;
    double deadline, limit; /* of pawl_seconds(); 0: nothing is watched */
    int open, closing;
} dog = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void *watch(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&dog.lock);
    while (!dog.closing) {
        const double left = dog.deadline - pawl_seconds();
        if (dog.deadline > 0 && left <= 0) {
            char sentence[384];
            snprintf(sentence, sizeof sentence, "waited %.0f s for %s, longer than allowed; this rank ends: start the job again, with a higher watchdog_seconds or phase_seconds if it was at work all the time",
                     dog.limit, dog.what);
            dog.ended(sentence);
        }
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        const double nap = dog.deadline > 0 && left < 3600 ? left : 3600;
        until.tv_sec += (time_t)nap;
        until.tv_nsec += (long)((nap - (double)(time_t)nap) * 1e9);
        if (until.tv_nsec >= 1000000000) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000;
        }
        pthread_cond_timedwait(&dog.changed, &dog.lock, &until);
    }
    pthread_mutex_unlock(&dog.lock);
    return NULL;
}

pawl_status pawl_watch_open(void (*ended)(const char *sentence))
{
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&dog.changed, &clock);
    pthread_condattr_destroy(&clock);
    dog.ended = ended;
    dog.closing = 0;
    dog.deadline = 0;

    sigset_t all, before; /* signals are the main thread's */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&dog.thread, NULL, watch, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    PAWL_CHECK(!failed, PAWL_EMEM, "cannot start the watchdog thread");
    dog.open = 1;
    return PAWL_OK;
}

void pawl_watch_close(void)
{
    if (!dog.open) return;
    pthread_mutex_lock(&dog.lock);
    dog.closing = 1;
    pthread_cond_signal(&dog.changed);
    pthread_mutex_unlock(&dog.lock);
    pthread_join(dog.thread, NULL);
    pthread_cond_destroy(&dog.changed);
    dog.open = 0;
}

void pawl_watch_renew(void)
{
    if (!dog.open) return;
    pthread_mutex_lock(&dog.lock);
    if (dog.deadline > 0) dog.deadline = pawl_seconds() + dog.limit;
    pthread_mutex_unlock(&dog.lock);
}

double pawl_watch_left(double *limit, const char **what)
{
    double left = 1e9;
    *limit = left;
    *what = "the other ranks";
    if (!dog.open) return left;
    pthread_mutex_lock(&dog.lock);
    if (dog.deadline > 0) {
        left = dog.deadline - pawl_seconds();
        *limit = dog.limit;
        *what = dog.what;
    }
    pthread_mutex_unlock(&dog.lock);
    return left;
}

void pawl_watch_end(const char *sentence)
{
    if (dog.open) dog.ended(sentence);
}

void pawl_watch(const char *what, double seconds)
{
    if (!dog.open) return;
    const double now = pawl_seconds();
    pthread_mutex_lock(&dog.lock);
    const int sooner = dog.deadline == 0 || now + seconds < dog.deadline;
    dog.what = what;
    dog.limit = seconds;
    dog.deadline = now + seconds;
    if (sooner) pthread_cond_signal(&dog.changed); /* a later deadline is found out on waking */
    pthread_mutex_unlock(&dog.lock);
}
