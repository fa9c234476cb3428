/* NCCL without GPUs: MPI between the stand-ins' devices, on their streams. A group is one piece of work: it is put on the stream
 * when the group ends, begins when it is its turn there and all groups before it are through, and is through when all its messages are. What is
 * sent is read when it begins, what is received is written when it is through: between these, it is under way in buffers of its own.
 * Meanwhile this rank's host and other streams go on.
 *
 * PAWL_STANDIN_NCCL_FAIL=N: after the N-th group of rank 1 its communicator has failed, as by a broken link.
 * Memory that it has given and that is registered: messages from and to such a block have to be of that block alone, and it has to be
 * there and registered still when they are through.
 *
 * PAWL_STANDIN_NCCL_VERSION=N: it says that it is of this version, 22809 by default; before 22700 it has no windows.
 * PAWL_STANDIN_NCCL_STRICT=1: messages of more than 64 numbers are of registered memory, or refused.
 * PAWL_STANDIN_NCCL_WRONG=N: what rank N sends arrives as zeros.
 * PAWL_STANDIN_NCCL_STALL=N: no group after the N-th of any rank is ever through, until its communicator is aborted. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/nccl_abi.h"
#include "tests/cuda_on_cpu/standin.h"

enum { MOST = 1 << 12, INVALID_USAGE = 5, INVALID_ARGUMENT = 4, REMOTE = 6 };

typedef enum kind { SEND, RECEIVE, SUM } kind;
typedef struct message {
    kind kind;
    void *data;
    const void *from;
    size_t count;
    int peer;
    float *under_way;
} message;

struct ncclComm {
    MPI_Comm mpi;
    int rank, size;
    long fails_after, stalls_after; /* groups; -1: never */
    long begun, through;            /* groups that were put on a stream, and that came to pass */
    int aborted, strict, wrong, registered; /* registered: how many blocks are */
};

typedef struct group {
    pawl_nccl_comm comm;
    long number; /* of the communicator's groups, from 1 */
    int count, begun;
    message *list;
    MPI_Request *requests; /* [count] */
} group;

/* Blocks of memory that were given. */
enum { BLOCKS = 64, TO_SPEAK_OF = 64 };
static struct block {
    char *at;
    size_t bytes;
    pawl_nccl_comm of; /* NULL: not registered */
} blocks[BLOCKS];

static int depth, posted;
static message list[MOST];
static pawl_nccl_comm of;
static cudaStream_t on;

static void *take(size_t bytes)
{
    void *block = malloc(bytes);
    if (!block) abort();
    return block;
}

static void begin_group(group *g)
{
    standin_reach();
    for (int i = 0; i < g->count; i++) {
        message *m = &g->list[i];
        const int n = (int)m->count;
        m->under_way = take(m->count * sizeof(float));
        if (m->kind != RECEIVE) memcpy(m->under_way, m->from, m->count * sizeof(float));
        if (g->comm->wrong) memset(m->under_way, 0, m->count * sizeof(float));
        if (m->kind == RECEIVE) MPI_Irecv(m->under_way, n, MPI_FLOAT, m->peer, 0, g->comm->mpi, &g->requests[i]);
        if (m->kind == SEND) MPI_Isend(m->under_way, n, MPI_FLOAT, m->peer, 0, g->comm->mpi, &g->requests[i]);
        if (m->kind == SUM) MPI_Iallreduce(MPI_IN_PLACE, m->under_way, n, MPI_FLOAT, MPI_SUM, g->comm->mpi, &g->requests[i]);
    }
    g->begun = 1;
}

static struct block *block_at(const void *at)
{
    for (int i = 0; i < BLOCKS; i++)
        if (blocks[i].at && (const char *)at >= blocks[i].at && (const char *)at < blocks[i].at + blocks[i].bytes) return &blocks[i];
    return NULL;
}

/* Whether a message may be of that memory. */
static int is_whole(pawl_nccl_comm c, const void *at, size_t bytes)
{
    const struct block *b = block_at(at);
    if (!b || !b->of) return !c->strict || bytes <= TO_SPEAK_OF * sizeof(float);
    return b->of == c && (const char *)at + bytes <= b->at + b->bytes;
}

static void require_whole(const group *g, const message *m)
{
    const void *at = m->kind == SEND ? m->from : m->data;
    if (is_whole(g->comm, at, m->count * sizeof(float)) && standin_on_device(at, m->count * sizeof(float))) return;
    fprintf(stderr, "stand-in: memory is not there or not registered any more while a message is under way\n");
    abort();
}

static void end_group(group *g)
{
    standin_reach();
    for (int i = 0; i < g->count; i++) {
        message *m = &g->list[i];
        require_whole(g, m);
        if (m->kind != SEND) memcpy(m->data, m->under_way, m->count * sizeof(float));
        free(m->under_way);
    }
    free(g->list);
    free(g->requests);
    free(g);
}

static int stalls(group *g)
{
    if (g->comm->stalls_after < 0 || g->number <= g->comm->stalls_after) return 0;
    if (!g->begun++) fprintf(stderr, "stand-in: rank %d: a group will not be through\n", g->comm->rank);
    return 1;
}

/* What was under way when a communicator was aborted is let lie: MPI may still write to it. */
static int poll_group(void *arg)
{
    group *g = *(group **)arg;
    pawl_nccl_comm c = g->comm;
    int done = 0;
    if (c->aborted) return 1;
    if (g->number != c->through + 1 || stalls(g)) return 0;
    if (!g->begun) begin_group(g);
    PMPI_Testall(g->count, g->requests, &done, MPI_STATUSES_IGNORE);
    if (!done) return 0;
    end_group(g);
    c->through++;
    return 1;
}

#define EXPORT __attribute__((visibility("default")))
EXPORT int ncclGetVersion(int *version);
EXPORT int ncclGetUniqueId(pawl_nccl_id *out);
EXPORT int ncclCommInitRankConfig(pawl_nccl_comm *out, int ranks, pawl_nccl_id id, int rank, pawl_nccl_config *config);
EXPORT int ncclCommGetAsyncError(pawl_nccl_comm c, int *error);
EXPORT int ncclCommAbort(pawl_nccl_comm c);
EXPORT const char *ncclGetErrorString(int result);
EXPORT const char *ncclGetLastError(pawl_nccl_comm c);
EXPORT int ncclMemAlloc(void **out, size_t bytes);
EXPORT int ncclMemFree(void *block);
EXPORT int ncclCommRegister(pawl_nccl_comm c, void *block, size_t bytes, void **out);
EXPORT int ncclCommDeregister(pawl_nccl_comm c, void *registered);
EXPORT int ncclCommWindowRegister(pawl_nccl_comm c, void *block, size_t bytes, pawl_nccl_window *out, int how);
EXPORT int ncclCommWindowDeregister(pawl_nccl_comm c, pawl_nccl_window window);
EXPORT int ncclGroupStart(void);
EXPORT int ncclGroupEnd(void);
EXPORT int ncclSend(const void *data, size_t count, int type, int peer, pawl_nccl_comm c, void *stream);
EXPORT int ncclRecv(void *data, size_t count, int type, int peer, pawl_nccl_comm c, void *stream);
EXPORT int ncclAllReduce(const void *from, void *to, size_t count, int type, int op, pawl_nccl_comm c, void *stream);

static long setting(const char *name)
{
    const char *text = getenv(name);
    return text ? strtol(text, NULL, 10) : -1;
}

int ncclGetVersion(int *version)
{
    const long other = setting("PAWL_STANDIN_NCCL_VERSION");
    *version = other > 0 ? (int)other : 22809;
    return PAWL_NCCL_SUCCESS;
}

int ncclGetUniqueId(pawl_nccl_id *out)
{
    memset(out, 0, sizeof *out);
    memcpy(out->bytes, "stand-in", sizeof "stand-in");
    return PAWL_NCCL_SUCCESS;
}

int ncclCommInitRankConfig(pawl_nccl_comm *out, int ranks, pawl_nccl_id id, int rank, pawl_nccl_config *config)
{
    int size;
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (strcmp(id.bytes, "stand-in") != 0 || ranks != size || config->magic != PAWL_NCCL_MAGIC || config->size < sizeof *config) return INVALID_USAGE;
    pawl_nccl_comm c = calloc(1, sizeof *c);
    if (!c) abort();
    *c = (struct ncclComm){.rank = rank,
                           .size = ranks,
                           .fails_after = rank == 1 ? setting("PAWL_STANDIN_NCCL_FAIL") : -1,
                           .stalls_after = setting("PAWL_STANDIN_NCCL_STALL"),
                           .wrong = setting("PAWL_STANDIN_NCCL_WRONG") == rank,
                           .strict = setting("PAWL_STANDIN_NCCL_STRICT") > 0};
    PMPI_Comm_dup(MPI_COMM_WORLD, &c->mpi);
    *out = c;
    return PAWL_NCCL_IN_PROGRESS; /* as one that is not blocking may be */
}

int ncclCommGetAsyncError(pawl_nccl_comm c, int *error)
{
    *error = c->fails_after >= 0 && c->begun > c->fails_after ? REMOTE : PAWL_NCCL_SUCCESS;
    return PAWL_NCCL_SUCCESS;
}

/* Groups that are still on a stream look at it. */
int ncclCommAbort(pawl_nccl_comm c)
{
    c->aborted = 1;
    for (int i = 0; i < BLOCKS; i++)
        if (blocks[i].of == c) blocks[i].of = NULL;
    if (c->through == c->begun) free(c);
    return PAWL_NCCL_SUCCESS;
}

const char *ncclGetErrorString(int result)
{
    return result == REMOTE ? "remote process exited or there was a network error" : result == PAWL_NCCL_SUCCESS ? "no error" : "invalid usage";
}

const char *ncclGetLastError(pawl_nccl_comm c)
{
    (void)c;
    return "";
}

int ncclGroupStart(void)
{
    depth++;
    return PAWL_NCCL_SUCCESS;
}

int ncclGroupEnd(void)
{
    if (--depth > 0 || posted == 0) return PAWL_NCCL_SUCCESS;
    group *g = take(sizeof *g);
    *g = (group){.comm = of, .number = ++of->begun, .count = posted, .list = take((size_t)posted * sizeof *list)};
    g->requests = take((size_t)posted * sizeof *g->requests);
    memcpy(g->list, list, (size_t)posted * sizeof *list);
    posted = 0;
    standin_put_polled(on, poll_group, &g, sizeof g);
    return PAWL_NCCL_SUCCESS;
}

/* Memory must be the device's: the real one would fault. */
static int post(message m, int type, const void *data, pawl_nccl_comm c, void *stream)
{
    if (!is_whole(c, data, m.count * sizeof(float))) return INVALID_USAGE;
    if (type != PAWL_NCCL_F32 || !standin_on_device(data, m.count * sizeof(float)) || m.peer < 0 || m.peer >= c->size || posted == MOST)
        return INVALID_ARGUMENT;
    of = c;
    on = stream;
    ncclGroupStart();
    list[posted++] = m;
    return ncclGroupEnd();
}

int ncclSend(const void *data, size_t count, int type, int peer, pawl_nccl_comm c, void *stream)
{
    return post((message){SEND, NULL, data, count, peer, NULL}, type, data, c, stream);
}

int ncclRecv(void *data, size_t count, int type, int peer, pawl_nccl_comm c, void *stream)
{
    return post((message){RECEIVE, data, NULL, count, peer, NULL}, type, data, c, stream);
}

int ncclAllReduce(const void *from, void *to, size_t count, int type, int op, pawl_nccl_comm c, void *stream)
{
    if (op != PAWL_NCCL_SUM || from != to) return INVALID_ARGUMENT;
    return post((message){SUM, to, from, count, 0, NULL}, type, to, c, stream);
}

/* ---- memory ---- */

/* In pieces of 2 MiB, as the driver gives it. */
int ncclMemAlloc(void **out, size_t bytes)
{
    const size_t piece = (size_t)2 << 20, pieces = (bytes + piece - 1) / piece;
    int free_place = 0;
    while (free_place < BLOCKS && blocks[free_place].at) free_place++;
    if (free_place == BLOCKS || cudaMalloc(out, pieces * piece) != cudaSuccess) return 1;
    blocks[free_place] = (struct block){*out, bytes, NULL};
    return PAWL_NCCL_SUCCESS;
}

/* What is still registered may not go. */
int ncclMemFree(void *at)
{
    struct block *b = block_at(at);
    if (!b || b->at != at || b->of) {
        fprintf(stderr, "stand-in: ncclMemFree of memory that is %s\n", b && b->of ? "registered" : "not NCCL's");
        abort();
    }
    *b = (struct block){0};
    return cudaFree(at) == cudaSuccess ? PAWL_NCCL_SUCCESS : INVALID_USAGE;
}

int ncclCommRegister(pawl_nccl_comm c, void *at, size_t bytes, void **out)
{
    struct block *b = block_at(at);
    if (!b || b->at != at || bytes > b->bytes || b->of) return INVALID_USAGE;
    b->of = c;
    c->registered++;
    *out = b;
    return PAWL_NCCL_SUCCESS;
}

int ncclCommDeregister(pawl_nccl_comm c, void *registered)
{
    struct block *b = registered;
    if (!b || b->of != c) return INVALID_USAGE;
    b->of = NULL;
    c->registered--;
    return PAWL_NCCL_SUCCESS;
}

/* All ranks come, with as many bytes each. */
int ncclCommWindowRegister(pawl_nccl_comm c, void *at, size_t bytes, pawl_nccl_window *out, int how)
{
    long version = setting("PAWL_STANDIN_NCCL_VERSION"), least = (long)bytes, most = (long)bytes;
    if (how != PAWL_NCCL_SYMMETRIC || (version > 0 && version < PAWL_NCCL_WINDOWS_SINCE)) return INVALID_USAGE;
    MPI_Allreduce(MPI_IN_PLACE, &least, 1, MPI_LONG, MPI_MIN, c->mpi);
    MPI_Allreduce(MPI_IN_PLACE, &most, 1, MPI_LONG, MPI_MAX, c->mpi);
    return least == most ? ncclCommRegister(c, at, bytes, (void **)out) : INVALID_USAGE;
}

int ncclCommWindowDeregister(pawl_nccl_comm c, pawl_nccl_window window)
{
    return ncclCommDeregister(c, window);
}
