/* The second stream, and how the host waits for the GPU. */
#include <time.h>

#include "ops/cuda/cuda.h"

static pawl_status new_event(cudaEvent_t *out)
{
    return pawl_cuda_status(cudaEventCreateWithFlags(out, cudaEventDisableTiming), "cudaEventCreateWithFlags");
}

/* What is done aside others wait for: its kernels begin first where both streams have some. */
pawl_status pawl_cuda_aside_open(pawl_cuda *c)
{
    int least, greatest;
    PAWL_TRY(pawl_cuda_status(cudaDeviceGetStreamPriorityRange(&least, &greatest), "cudaDeviceGetStreamPriorityRange"));
    PAWL_TRY(pawl_cuda_status(cudaStreamCreateWithPriority(&c->main_stream, cudaStreamNonBlocking, least), "cudaStreamCreateWithPriority"));
    PAWL_TRY(pawl_cuda_status(cudaStreamCreateWithPriority(&c->aside_stream, cudaStreamNonBlocking, greatest), "cudaStreamCreateWithPriority"));
    c->stream = c->main_stream;
    for (int i = 0; i < PAWL_MARKS; i++) PAWL_TRY(new_event(&c->mark[i]));
    PAWL_TRY(new_event(&c->fork));
    return new_event(&c->rest);
}

void pawl_cuda_aside_close(pawl_cuda *c)
{
    for (int i = 0; i < PAWL_MARKS; i++)
        if (c->mark[i]) (void)cudaEventDestroy(c->mark[i]);
    if (c->fork) (void)cudaEventDestroy(c->fork);
    if (c->rest) (void)cudaEventDestroy(c->rest);
    if (c->aside_stream) (void)cudaStreamDestroy(c->aside_stream);
    if (c->main_stream) (void)cudaStreamDestroy(c->main_stream);
}

/* ---- two streams ---- */

/* What is put on `then` comes after what is on `first`. */
static pawl_status follow(cudaStream_t first, cudaEvent_t e, cudaStream_t then)
{
    PAWL_TRY(pawl_cuda_status(cudaEventRecord(e, first), "cudaEventRecord"));
    return pawl_cuda_status(cudaStreamWaitEvent(then, e, 0), "cudaStreamWaitEvent");
}

static pawl_status begin_aside(pawl_device *d)
{
    pawl_cuda *c = pawl_cuda_of(d);
    PAWL_ASSERT(c->stream == c->main_stream);
    PAWL_TRY(follow(c->main_stream, c->fork, c->aside_stream));
    c->stream = c->aside_stream;
    return PAWL_OK;
}

static pawl_status end_aside(pawl_device *d, int mark)
{
    pawl_cuda *c = pawl_cuda_of(d);
    c->stream = c->main_stream;
    c->marked[mark] = ++c->ends;
    return pawl_cuda_status(cudaEventRecord(c->mark[mark], c->aside_stream), "cudaEventRecord");
}

/* One wait is enough for all that was put aside before. */
static pawl_status await_mark(pawl_device *d, int mark)
{
    pawl_cuda *c = pawl_cuda_of(d);
    PAWL_ASSERT(c->stream == c->main_stream);
    if (c->marked[mark] <= c->awaited) return PAWL_OK;
    PAWL_TRY(pawl_cuda_status(cudaStreamWaitEvent(c->main_stream, c->mark[mark], 0), "cudaStreamWaitEvent"));
    c->awaited = c->marked[mark];
    return PAWL_OK;
}

/* ---- the host waits ---- */

static void set_ask(pawl_device *d, pawl_status (*ask)(void *self), void *self)
{
    pawl_cuda_of(d)->ask = ask;
    pawl_cuda_of(d)->asked = self;
}

pawl_status pawl_cuda_doze(pawl_cuda *c, int busy)
{
    const struct timespec nap = {.tv_nsec = 20 * 1000};
    if (c->ask) PAWL_TRY(c->ask(c->asked));
    if (!busy) nanosleep(&nap, NULL);
    return PAWL_OK;
}

/* Who waits by cudaEventSynchronize hears of nothing else. Most events come soon: the host looks a few times before it sleeps. What it can do
 * meanwhile is to move a snapshot on. */
pawl_status pawl_cuda_await(pawl_cuda *c, cudaEvent_t e)
{
    enum { SOON = 200 };
    if (!c->ask && !pawl_cuda_snapshot_is_due(c)) return pawl_cuda_status(cudaEventSynchronize(e), "cudaEventSynchronize");
    for (int looks = 0;; looks++) {
        int moved;
        const cudaError_t code = cudaEventQuery(e);
        if (code != cudaErrorNotReady) return pawl_cuda_status(code, "cudaEventQuery");
        (void)cudaGetLastError(); /* where "not ready" would be found as the next launch's error */
        PAWL_TRY(pawl_cuda_snapshot_move(c, &moved));
        if (looks >= SOON) PAWL_TRY(pawl_cuda_doze(c, moved));
    }
}

static pawl_status settle_stream(pawl_cuda *c, cudaStream_t s)
{
    PAWL_TRY(pawl_cuda_status(cudaEventRecord(c->rest, s), "cudaEventRecord"));
    return pawl_cuda_await(c, c->rest);
}

/* Who said that waiting has no sense has seen to it that nothing is under way any more. An error on whose way out memory is given back
 * stays the last one. */
void pawl_cuda_settle(pawl_cuda *c)
{
    const pawl_error why = *pawl_last_error();
    if (settle_stream(c, c->main_stream) == PAWL_OK && settle_stream(c, c->aside_stream) == PAWL_OK && pawl_cuda_carry_settle(c) == PAWL_OK &&
        settle_stream(c, c->snapshot.stream) == PAWL_OK)
        return;
    pawl_adopt_error(&why);
    (void)cudaDeviceSynchronize();
}

pawl_status wait_cuda(pawl_device *d)
{
    return settle_stream(pawl_cuda_of(d), pawl_stream_of(d));
}

static void settle_device(pawl_device *d)
{
    pawl_cuda_settle(pawl_cuda_of(d));
}

const pawl_aside pawl_cuda_aside = {.settle = settle_device, .begin = begin_aside, .end = end_aside, .await = await_mark, .ask = set_ask};
