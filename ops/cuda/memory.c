/* Memory of the GPU and of the host beside it, and what goes up and down. */
#include <string.h>

#include "ops/cuda/cuda.h"

enum { PIECE_BYTES = PAWL_CUDA_STAGING_BYTES / 4 };

pawl_status take_cuda(pawl_device *d, pawl_side_of side, size_t bytes, const char *what, void **out)
{
    const size_t size = bytes ? bytes : 1;
    const cudaError_t code = side == PAWL_ON_HOST ? cudaHostAlloc(out, size, cudaHostAllocDefault) : cudaMalloc(out, size);
    if (code != cudaSuccess) (void)cudaGetLastError();
    PAWL_CHECK(code != cudaErrorMemoryAllocation, PAWL_EMEM, "no memory for %s (%zu bytes%s)", what, bytes,
               side == PAWL_ON_HOST ? " of pinned memory" : " on the GPU");
    PAWL_TRY(pawl_cuda_status(code, side == PAWL_ON_HOST ? "cudaHostAlloc" : "cudaMalloc"));
    if (side == PAWL_ON_DEVICE) return pawl_cuda_status(cudaMemsetAsync(*out, 0, size, pawl_stream_of(d)), "cudaMemsetAsync");
    memset(*out, 0, size);
    return PAWL_OK;
}

/* What still uses the block is waited for; both calls would, too, and ask nobody meanwhile. */
void give_cuda(pawl_device *d, pawl_side_of side, void *block, size_t bytes)
{
    (void)bytes;
    pawl_cuda_settle(pawl_cuda_of(d));
    if (side == PAWL_ON_HOST) (void)cudaFreeHost(block);
    else (void)cudaFree(block);
}

/* ---- staging ---- */

pawl_status pawl_staging_open(pawl_staging *s)
{
    void *base;
    PAWL_TRY(pawl_cuda_status(cudaHostAlloc(&base, PAWL_CUDA_STAGING_BYTES, cudaHostAllocDefault), "cudaHostAlloc"));
    s->base = base;
    s->bytes = PAWL_CUDA_STAGING_BYTES;
    for (int i = 0; i < PAWL_STAGED_PIECES; i++)
        PAWL_TRY(pawl_cuda_status(cudaEventCreateWithFlags(&s->piece[i].done, cudaEventDisableTiming), "cudaEventCreateWithFlags"));
    return PAWL_OK;
}

void pawl_staging_close(pawl_staging *s)
{
    for (int i = 0; i < PAWL_STAGED_PIECES; i++)
        if (s->piece[i].done) (void)cudaEventDestroy(s->piece[i].done);
    if (s->base) (void)cudaFreeHost(s->base);
}

static pawl_status await(pawl_cuda *c, unsigned number)
{
    return pawl_cuda_await(c, c->staging.piece[number % PAWL_STAGED_PIECES].done);
}

/* Whether [first, end) is still read from or written to by a piece on its way. */
static int in_use(const pawl_staging *s, size_t first, size_t end)
{
    for (unsigned i = s->oldest; i != s->newest; i++)
        if (s->piece[i % PAWL_STAGED_PIECES].first < end && s->piece[i % PAWL_STAGED_PIECES].end > first) return 1;
    return 0;
}

/* The next piece, of at most PIECE_BYTES; waits for older ones where the ring is full. */
static pawl_status claim(pawl_cuda *c, size_t bytes, char **out)
{
    pawl_staging *s = &c->staging;
    const size_t size = (bytes + 63) / 64 * 64;
    if (s->head + size > s->bytes) s->head = 0;
    while (s->newest - s->oldest == PAWL_STAGED_PIECES || in_use(s, s->head, s->head + size)) PAWL_TRY(await(c, s->oldest++));
    s->piece[s->newest % PAWL_STAGED_PIECES].first = s->head;
    s->piece[s->newest % PAWL_STAGED_PIECES].end = s->head + size;
    *out = s->base + s->head;
    s->head += size;
    return PAWL_OK;
}

/* What was put on the stream since the claim is all that uses the piece. */
static pawl_status release_behind(pawl_staging *s, cudaStream_t stream)
{
    return pawl_cuda_status(cudaEventRecord(s->piece[s->newest++ % PAWL_STAGED_PIECES].done, stream), "cudaEventRecord");
}

static size_t piece_at(size_t bytes, size_t at)
{
    return bytes - at < PIECE_BYTES ? bytes - at : PIECE_BYTES;
}

pawl_status upload_cuda(pawl_device *d, void *to_device, const void *from_host, size_t bytes)
{
    pawl_cuda *c = pawl_cuda_of(d);
    for (size_t at = 0, size; at < bytes; at += size) {
        char *staged;
        size = piece_at(bytes, at);
        PAWL_TRY(claim(c, size, &staged));
        memcpy(staged, (const char *)from_host + at, size);
        PAWL_TRY(pawl_cuda_status(cudaMemcpyAsync((char *)to_device + at, staged, size, cudaMemcpyHostToDevice, c->stream), "cudaMemcpyAsync"));
        PAWL_TRY(release_behind(&c->staging, c->stream));
    }
    return PAWL_OK;
}

typedef struct arrival {
    char *to;
    const char *staged;
    size_t bytes;
    unsigned number; /* of its piece */
} arrival;

static pawl_status land(pawl_cuda *c, const arrival *a)
{
    if (!a->bytes) return PAWL_OK;
    PAWL_TRY(await(c, a->number));
    memcpy(a->to, a->staged, a->bytes);
    return PAWL_OK;
}

/* A piece is on its way while the one before it is copied out. */
pawl_status download_cuda(pawl_device *d, void *to_host, const void *from_device, size_t bytes)
{
    pawl_cuda *c = pawl_cuda_of(d);
    arrival before = {0};
    for (size_t at = 0, size; at < bytes; at += size) {
        char *staged;
        size = piece_at(bytes, at);
        PAWL_TRY(claim(c, size, &staged));
        const arrival next = {(char *)to_host + at, staged, size, c->staging.newest};
        PAWL_TRY(pawl_cuda_status(cudaMemcpyAsync(staged, (const char *)from_device + at, size, cudaMemcpyDeviceToHost, c->stream),
                                  "cudaMemcpyAsync"));
        PAWL_TRY(release_behind(&c->staging, c->stream));
        PAWL_TRY(land(c, &before));
        before = next;
    }
    return land(c, &before);
}
