/* Copies beside the order of the calls: a stream for each direction, as a GPU copies both ways at once. */
#include "ops/cuda/cuda.h"

pawl_status pawl_cuda_carry_open(pawl_cuda *c)
{
    for (int way = 0; way < PAWL_CARRY_WAYS; way++) {
        pawl_carry_lane *w = &c->carry[way];
        PAWL_TRY(pawl_cuda_status(cudaStreamCreateWithFlags(&w->stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags"));
        PAWL_TRY(pawl_cuda_status(cudaEventCreateWithFlags(&w->begun, cudaEventDisableTiming), "cudaEventCreateWithFlags"));
        for (int i = 0; i < PAWL_CARRIES; i++)
            PAWL_TRY(pawl_cuda_status(cudaEventCreateWithFlags(&w->done[i], cudaEventDisableTiming), "cudaEventCreateWithFlags"));
    }
    return PAWL_OK;
}

void pawl_cuda_carry_close(pawl_cuda *c)
{
    for (int way = 0; way < PAWL_CARRY_WAYS; way++) {
        pawl_carry_lane *w = &c->carry[way];
        for (int i = 0; i < PAWL_CARRIES; i++)
            if (w->done[i]) (void)cudaEventDestroy(w->done[i]);
        if (w->begun) (void)cudaEventDestroy(w->begun);
        if (w->stream) (void)cudaStreamDestroy(w->stream);
    }
}

/* The event of the n-th carry of a way. Who asks for an old one gets a later one of the same stream, which comes after it. */
static cudaEvent_t event_of(const pawl_carry_lane *w, int64_t n)
{
    return w->done[n % PAWL_CARRIES];
}

static pawl_status wait_for(cudaStream_t s, cudaEvent_t e)
{
    return pawl_cuda_status(cudaStreamWaitEvent(s, e, 0), "cudaStreamWaitEvent");
}

/* After all that ops have been asked for; on the way up also after all that was carried down. */
static pawl_status begin(pawl_cuda *c, pawl_carry_way way)
{
    pawl_carry_lane *w = &c->carry[way], *down = &c->carry[PAWL_CARRY_DOWN];
    PAWL_TRY(pawl_cuda_status(cudaEventRecord(w->begun, c->stream), "cudaEventRecord"));
    PAWL_TRY(wait_for(w->stream, w->begun));
    return way == PAWL_CARRY_UP && down->count > 0 ? wait_for(w->stream, event_of(down, down->count - 1)) : PAWL_OK;
}

static pawl_status carry(pawl_device *d, pawl_carry_way way, const pawl_load *loads, int count, int64_t *ticket)
{
    pawl_cuda *c = pawl_cuda_of(d);
    pawl_carry_lane *w = &c->carry[way];
    const enum cudaMemcpyKind kind = way == PAWL_CARRY_UP ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost;
    PAWL_ASSERT(c->stream == c->main_stream);
    PAWL_TRY(begin(c, way));
    for (int i = 0; i < count; i++)
        PAWL_TRY(pawl_cuda_status(cudaMemcpyAsync(loads[i].to, loads[i].from, loads[i].bytes, kind, w->stream), "cudaMemcpyAsync"));
    *ticket = w->count * PAWL_CARRY_WAYS + (int64_t)way;
    return pawl_cuda_status(cudaEventRecord(event_of(w, w->count++), w->stream), "cudaEventRecord");
}

static pawl_status await_carry(pawl_device *d, int64_t ticket)
{
    pawl_cuda *c = pawl_cuda_of(d);
    return wait_for(c->stream, event_of(&c->carry[ticket % PAWL_CARRY_WAYS], ticket / PAWL_CARRY_WAYS));
}

pawl_status pawl_cuda_carry_settle(pawl_cuda *c)
{
    for (int way = 0; way < PAWL_CARRY_WAYS; way++)
        if (c->carry[way].count > 0) PAWL_TRY(pawl_cuda_await(c, event_of(&c->carry[way], c->carry[way].count - 1)));
    return PAWL_OK;
}

static pawl_status settle(pawl_device *d)
{
    return pawl_cuda_carry_settle(pawl_cuda_of(d));
}

const pawl_carrier pawl_cuda_carrier = {.carry = carry, .await = await_carry, .settle = settle};
