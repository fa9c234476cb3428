/* NCCL without GPUs: MPI between the stand-ins' devices, on their streams. A group is one piece of work: it is put on the stream
 * when the group ends, begins when it is its turn there and all groups before it are through, and is through when all its messages are. What is
 * sent is read when it begins, what is received is written when it is through: between these, it is under way in buffers of its own.
 * Meanwhile this rank's host and other streams go on.
 *
 * PAWL_STANDIN_NCCL_FAIL=N: after the N-th group of rank 1 its communicator has failed, as by a broken link.
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
    int aborted;
};

typedef struct group {
    pawl_nccl_comm comm;
    long number; /* of the communicator's groups, from 1 */
    int count, begun;
    message *list;
    MPI_Request *requests; /* [count] */
} group;

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
    for (int i = 0; i < g->count; i++) {
        message *m = &g->list[i];
        const int n = (int)m->count;
        m->under_way = take(m->count * sizeof(float));
        if (m->kind != RECEIVE) memcpy(m->under_way, m->from, m->count * sizeof(float));
        if (m->kind == RECEIVE) MPI_Irecv(m->under_way, n, MPI_FLOAT, m->peer, 0, g->comm->mpi, &g->requests[i]);
        if (m->kind == SEND) MPI_Isend(m->under_way, n, MPI_FLOAT, m->peer, 0, g->comm->mpi, &g->requests[i]);
        if (m->kind == SUM) MPI_Iallreduce(MPI_IN_PLACE, m->under_way, n, MPI_FLOAT, MPI_SUM, g->comm->mpi, &g->requests[i]);
    }
    g->begun = 1;
}

static void end_group(group *g)
{
    for (int i = 0; i < g->count; i++) {
        message *m = &g->list[i];
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
EXPORT int ncclGroupStart(void);
EXPORT int ncclGroupEnd(void);
EXPORT int ncclSend(const void *data, size_t count, int type, int peer, pawl_nccl_comm c, void *stream);
EXPORT int ncclRecv(void *data, size_t count, int type, int peer, pawl_nccl_comm c, void *stream);
EXPORT int ncclAllReduce(const void *from, void *to, size_t count, int type, int op, pawl_nccl_comm c, void *stream);

int ncclGetVersion(int *version)
{
    *version = 22809;
    return PAWL_NCCL_SUCCESS;
}

int ncclGetUniqueId(pawl_nccl_id *out)
{
    memset(out, 0, sizeof *out);
    memcpy(out->bytes, "stand-in", sizeof "stand-in");
    return PAWL_NCCL_SUCCESS;
}

static long setting(const char *name)
{
    const char *text = getenv(name);
    return text ? strtol(text, NULL, 10) : -1;
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
                           .stalls_after = setting("PAWL_STANDIN_NCCL_STALL")};
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
