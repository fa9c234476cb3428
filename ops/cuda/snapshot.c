/* A snapshot goes down beside the work: on a stream of its own, into a ring of pinned pieces, and from there to where
 * it belongs. Pieces are moved on by the host whenever it waits for the GPU, which is most of the time of a pass: no
 * other thread calls CUDA, and no stream has to hold more than the ring does (a full one would hold the host up). */
#include <string.h>

#include "ops/cuda/cuda.h"

enum { PIECES = PAWL_SNAPSHOT_PIECES, PIECE_BYTES = PAWL_CUDA_SNAPSHOT_BYTES / PIECES };

static pawl_status new_event(cudaEvent_t *out)
{
    return pawl_cuda_status(cudaEventCreateWithFlags(out, cudaEventDisableTiming), "cudaEventCreateWithFlags");
}

pawl_status pawl_cuda_snapshot_open(pawl_cuda *c)
{
    pawl_snapshot_way *w = &c->snapshot;
    void *base;
    PAWL_TRY(
        pawl_cuda_status(cudaStreamCreateWithFlags(&w->stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags"));
    for (int i = 0; i < 2; i++) PAWL_TRY(new_event(&w->begun[i]));
    for (int i = 0; i < PIECES; i++) PAWL_TRY(new_event(&w->piece[i].here));
    PAWL_TRY(pawl_cuda_status(cudaHostAlloc(&base, PAWL_CUDA_SNAPSHOT_BYTES, cudaHostAllocDefault), "cudaHostAlloc"));
    w->base = base;
    return PAWL_OK;
}

void pawl_cuda_snapshot_close(pawl_cuda *c)
{
    pawl_snapshot_way *w = &c->snapshot;
    if (w->base) (void)cudaFreeHost(w->base);
    for (int i = 0; i < PIECES; i++)
        if (w->piece[i].here) (void)cudaEventDestroy(w->piece[i].here);
    for (int i = 0; i < 2; i++)
        if (w->begun[i]) (void)cudaEventDestroy(w->begun[i]);
    if (w->stream) (void)cudaStreamDestroy(w->stream);
}

/* ---- pieces ---- */

static pawl_load next_piece(const pawl_snapshot_way *w)
{
    const pawl_load *l = &w->loads[w->load];
    const size_t left = l->bytes - w->at;
    return (pawl_load){(char *)l->to + w->at, (const char *)l->from + w->at, left < PIECE_BYTES ? left : PIECE_BYTES};
}

static void pass_on(pawl_snapshot_way *w, size_t bytes)
{
    w->at += bytes;
    if (w->at < w->loads[w->load].bytes) return;
    w->load++;
    w->at = 0;
}

/* What could not be sent is still to be sent: nobody takes a snapshot for whole because an error was not looked at. */
static pawl_status send(pawl_snapshot_way *w)
{
    const unsigned i = w->newest % PIECES;
    const pawl_load next = next_piece(w);
    PAWL_TRY(pawl_cuda_status(
        cudaMemcpyAsync(w->base + i * PIECE_BYTES, next.from, next.bytes, cudaMemcpyDeviceToHost, w->stream),
        "cudaMemcpyAsync"));
    PAWL_TRY(pawl_cuda_status(cudaEventRecord(w->piece[i].here, w->stream), "cudaEventRecord"));
    w->piece[i].to = next.to;
    w->piece[i].bytes = next.bytes;
    w->newest++;
    pass_on(w, next.bytes);
    return PAWL_OK;
}

/* The oldest piece goes to its place, when it is here. */
static pawl_status land(pawl_snapshot_way *w, int *landed)
{
    const unsigned i = w->oldest % PIECES;
    const cudaError_t code = cudaEventQuery(w->piece[i].here);
    if (code == cudaErrorNotReady) {
        (void)cudaGetLastError();
        return PAWL_OK;
    }
    PAWL_TRY(pawl_cuda_status(code, "cudaEventQuery"));
    memcpy(w->piece[i].to, w->base + i * PIECE_BYTES, w->piece[i].bytes);
    w->oldest++;
    *landed = 1;
    return PAWL_OK;
}

int pawl_cuda_snapshot_is_due(const pawl_cuda *c)
{
    return c->snapshot.load < c->snapshot.count || c->snapshot.oldest != c->snapshot.newest;
}

/* What lies in pinned memory is copied while nothing has come from the device. */
pawl_status pawl_cuda_snapshot_move(pawl_cuda *c, int *moved)
{
    pawl_snapshot_way *w = &c->snapshot;
    *moved = 0;
    while (w->load < w->there && w->newest - w->oldest < PIECES) PAWL_TRY(send(w));
    if (w->oldest != w->newest) PAWL_TRY(land(w, moved));
    if (*moved || w->load < w->there || w->load == w->count) return PAWL_OK;
    const pawl_load next = next_piece(w);
    memcpy(next.to, next.from, next.bytes);
    pass_on(w, next.bytes);
    *moved = 1;
    return PAWL_OK;
}

/* ---- snapshots ---- */

/* What is on the stream still comes into the ring, and what is sent later after it. */
static void drop(pawl_device *d)
{
    pawl_snapshot_way *w = &pawl_cuda_of(d)->snapshot;
    w->count = w->there = w->load = 0;
    w->oldest = w->newest;
}

/* What is copied comes after all that is on s. */
static pawl_status follow(pawl_snapshot_way *w, cudaStream_t s, cudaEvent_t so_far)
{
    PAWL_TRY(pawl_cuda_status(cudaEventRecord(so_far, s), "cudaEventRecord"));
    return pawl_cuda_status(cudaStreamWaitEvent(w->stream, so_far, 0), "cudaStreamWaitEvent");
}

static pawl_status begin(pawl_device *d, const pawl_load *loads, int64_t count, int64_t there)
{
    pawl_cuda *c = pawl_cuda_of(d);
    pawl_snapshot_way *w = &c->snapshot;
    drop(d);
    PAWL_TRY(follow(w, c->main_stream, w->begun[0]));
    PAWL_TRY(follow(w, c->aside_stream, w->begun[1]));
    w->loads = loads;
    w->count = count;
    w->there = there;
    w->at = 0;
    while (w->load < w->there && w->newest - w->oldest < PIECES) PAWL_TRY(send(w));
    return PAWL_OK;
}

static pawl_status move_or_doze(pawl_cuda *c)
{
    int moved;
    PAWL_TRY(pawl_cuda_snapshot_move(c, &moved));
    return pawl_cuda_doze(c, moved);
}

/* The host waits until the last piece has been sent, the work until it has come. */
static pawl_status await(pawl_device *d)
{
    pawl_cuda *c = pawl_cuda_of(d);
    pawl_snapshot_way *w = &c->snapshot;
    PAWL_ASSERT(c->stream == c->main_stream);
    while (w->load < w->count) PAWL_TRY(move_or_doze(c));
    if (w->oldest == w->newest) return PAWL_OK;
    return pawl_cuda_status(cudaStreamWaitEvent(c->stream, w->piece[(w->newest - 1) % PIECES].here, 0),
                            "cudaStreamWaitEvent");
}

static pawl_status settle(pawl_device *d)
{
    pawl_cuda *c = pawl_cuda_of(d);
    pawl_status s = PAWL_OK;
    while (s == PAWL_OK && pawl_cuda_snapshot_is_due(c)) s = move_or_doze(c);
    if (s != PAWL_OK) drop(d);
    return s;
}

const pawl_snapper pawl_cuda_snapper = {.begin = begin, .await = await, .settle = settle, .drop = drop};
