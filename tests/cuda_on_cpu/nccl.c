/* NCCL without GPUs: MPI between the stand-ins' devices, on their streams. A group is one piece of work: it is put on the stream
 * when the group ends, runs late as all work there does, and is through when all its messages are. A rank that waits in MPI while
 * others wait for its stream would wait for ever: programs drain their streams before they wait (drained_mpi.c).
 *
 * PAWL_STANDIN_NCCL_FAIL=N: after the N-th group of rank 1 its communicator has failed, as by a broken link. */
#include <mpi.h>
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
} message;

struct ncclComm {
    MPI_Comm mpi;
    int rank, size, groups, fails_after;
};

/* What a group is made of; it runs by value. */
typedef struct group {
    pawl_nccl_comm comm;
    int count;
    message *list;
} group;

static int depth, posted;
static message list[MOST];
static pawl_nccl_comm of;
static cudaStream_t on;

static void run_group(void *arg)
{
    const group *g = arg;
    MPI_Request *requests = malloc((size_t)(g->count + 1) * sizeof *requests);
    int under_way = 0;
    if (!requests) abort();
    for (int i = 0; i < g->count; i++) {
        const message *m = &g->list[i];
        if (m->kind == RECEIVE) MPI_Irecv(m->data, (int)m->count, MPI_FLOAT, m->peer, 0, g->comm->mpi, &requests[under_way++]);
        if (m->kind == SEND) MPI_Isend(m->from, (int)m->count, MPI_FLOAT, m->peer, 0, g->comm->mpi, &requests[under_way++]);
    }
    PMPI_Waitall(under_way, requests, MPI_STATUSES_IGNORE);
    for (int i = 0; i < g->count; i++)
        if (g->list[i].kind == SUM)
            PMPI_Allreduce(MPI_IN_PLACE, g->list[i].data, (int)g->list[i].count, MPI_FLOAT, MPI_SUM, g->comm->mpi);
    free(requests);
    free(g->list);
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

int ncclCommInitRankConfig(pawl_nccl_comm *out, int ranks, pawl_nccl_id id, int rank, pawl_nccl_config *config)
{
    const char *fails = getenv("PAWL_STANDIN_NCCL_FAIL");
    int size;
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (strcmp(id.bytes, "stand-in") != 0 || ranks != size || config->magic != PAWL_NCCL_MAGIC || config->size < sizeof *config) return INVALID_USAGE;
    pawl_nccl_comm c = calloc(1, sizeof *c);
    if (!c) abort();
    *c = (struct ncclComm){.rank = rank, .size = ranks, .fails_after = fails && rank == 1 ? (int)strtol(fails, NULL, 10) : -1};
    PMPI_Comm_dup(MPI_COMM_WORLD, &c->mpi);
    *out = c;
    return PAWL_NCCL_IN_PROGRESS; /* as one that is not blocking may be */
}

int ncclCommGetAsyncError(pawl_nccl_comm c, int *error)
{
    *error = c->fails_after >= 0 && c->groups > c->fails_after ? REMOTE : PAWL_NCCL_SUCCESS;
    return PAWL_NCCL_SUCCESS;
}

int ncclCommAbort(pawl_nccl_comm c)
{
    free(c);
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
    group g = {of, posted, malloc((size_t)posted * sizeof *list)};
    if (!g.list) abort();
    memcpy(g.list, list, (size_t)posted * sizeof *list);
    standin_put(on, run_group, &g, sizeof g);
    of->groups++;
    posted = 0;
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
    return post((message){SEND, NULL, data, count, peer}, type, data, c, stream);
}

int ncclRecv(void *data, size_t count, int type, int peer, pawl_nccl_comm c, void *stream)
{
    return post((message){RECEIVE, data, NULL, count, peer}, type, data, c, stream);
}

int ncclAllReduce(const void *from, void *to, size_t count, int type, int op, pawl_nccl_comm c, void *stream)
{
    if (op != PAWL_NCCL_SUM || from != to) return INVALID_ARGUMENT;
    return post((message){SUM, to, NULL, count, 0}, type, to, c, stream);
}
