#include <signal.h>
#include <string.h>

#include "checkpoints/saver.h"
#include "core/span.h"

/* Who works in a phase; who does not has done at once. */
static const struct {
    const char *name;
    pawl_status (*work)(pawl_saver *s);
    int rank_0_only;
} phases[] = {
    [PAWL_SAVE_LAYOUT] = {"save: lay out", pawl_save_lay_out, 1},
    [PAWL_SAVE_WRITE] = {"save: write", pawl_save_write, 0},
    [PAWL_SAVE_PUBLISH] = {"save: publish", pawl_save_publish, 1},
};

static pawl_status work(pawl_saver *s)
{
    pawl_span_join(PAWL_SPAN_WRITER);
    const int span = pawl_span_begin(phases[s->phase].name);
    const pawl_status status = phases[s->phase].work(s);
    pawl_span_end(span);
    pawl_span_part();
    return status;
}

static void *run(void *self)
{
    pawl_saver *s = self;
    pthread_mutex_lock(&s->mutex);
    for (;;) {
        while (!s->asked && !s->quit) pthread_cond_wait(&s->changed, &s->mutex);
        if (!s->asked) break;
        s->asked = 0;
        pthread_mutex_unlock(&s->mutex);
        const pawl_status status = work(s);
        pthread_mutex_lock(&s->mutex);
        s->done = status == PAWL_OK ? 1 : -1;
        if (status != PAWL_OK) s->error = *pawl_last_error();
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

/* Signals are for the main thread: it looks at what they set, at step boundaries. */
pawl_status pawl_save_thread_open(pawl_saver *s)
{
    sigset_t all, before;
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->changed, NULL);
    s->done = 1;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int cause = pthread_create(&s->thread, NULL, run, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    PAWL_CHECK(cause == 0, PAWL_EMEM, "cannot start the thread that writes checkpoints: %s", strerror(cause));
    s->has_thread = 1;
    return PAWL_OK;
}

void pawl_save_thread_close(pawl_saver *s)
{
    if (!s->has_thread) return;
    pthread_mutex_lock(&s->mutex);
    s->quit = 1;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mutex);
    pthread_join(s->thread, NULL);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->mutex);
    s->has_thread = 0;
}

static void set_phase(pawl_saver *s, int phase, int done, int asked)
{
    pthread_mutex_lock(&s->mutex);
    s->phase = phase;
    s->done = done;
    s->asked = asked;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mutex);
}

void pawl_save_thread_start(pawl_saver *s, int phase)
{
    const int idle = phases[phase].rank_0_only && s->comm->rank != 0;
    set_phase(s, phase, idle, !idle);
}

void pawl_save_thread_fail(pawl_saver *s, int phase)
{
    s->error = *pawl_last_error();
    set_phase(s, phase, -1, 0);
}

void pawl_save_thread_wait(pawl_saver *s)
{
    pthread_mutex_lock(&s->mutex);
    while (s->done == 0) pthread_cond_wait(&s->changed, &s->mutex);
    pthread_mutex_unlock(&s->mutex);
}
