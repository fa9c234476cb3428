/* NCCL is loaded, not linked. Its communicators are asynchronous: a call may be in progress when it returns, and is settled here
 * before the next, so that an error of any rank is found where it is asked for, not by waiting for ever. What a rank waits for on
 * the device is the watchdog's (watch.c): it ends a rank whose peers do not come. */
#include "comm/nccl.h"

#include <dlfcn.h>
#include <stdio.h>
#include <time.h>

#include "comm/nccl_abi.h"
#include "core/arena.h"
#include "core/log.h"
#include "core/span.h"

const char *pawl_nccl_library = "libnccl.so.2";

typedef struct calls {
#define MEMBER(name, type, parameters) type(*name) parameters;
    PAWL_NCCL_CALLS(MEMBER)
#undef MEMBER
} calls;

struct pawl_nccl {
    calls call;
    pawl_comm *comm;
    pawl_nccl_comm handle;
    void *stream;
    char description[24];
};

/* ---- loading ---- */

static pawl_status load(calls *out)
{
    void *library = dlopen(pawl_nccl_library, RTLD_NOW | RTLD_LOCAL);
    PAWL_CHECK(library, PAWL_EUSAGE, "NCCL cannot be loaded: %s", dlerror());
#define FIND(name, type, parameters)                                                                             \
    *(void **)&out->name = dlsym(library, "nccl" #name);                                                         \
    PAWL_CHECK(out->name, PAWL_EUSAGE, "%s has no function nccl" #name ": version 2.17 or later is needed", pawl_nccl_library);
    PAWL_NCCL_CALLS(FIND)
#undef FIND
    return PAWL_OK;
}

/* ---- results ---- */

static pawl_status failed(const pawl_nccl *n, int result, const char *call)
{
    const char *more = n->call.GetLastError(n->handle);
    return PAWL_FAIL(PAWL_ECOMM, "%s failed: %s%s%s", call, n->call.GetErrorString(result), more && more[0] ? ": " : "", more ? more : "");
}

/* Until what was asked for is no longer in progress. The watchdog ends a rank for which that takes too long. */
static pawl_status settle(const pawl_nccl *n, int result, const char *call)
{
    const struct timespec pause = {.tv_nsec = 50 * 1000};
    int state = result;
    while (state == PAWL_NCCL_IN_PROGRESS) {
        const int asked = n->call.CommGetAsyncError(n->handle, &state);
        if (asked != PAWL_NCCL_SUCCESS) return failed(n, asked, "ncclCommGetAsyncError");
        if (state == PAWL_NCCL_IN_PROGRESS) nanosleep(&pause, NULL);
    }
    return state == PAWL_NCCL_SUCCESS ? PAWL_OK : failed(n, state, call);
}

/* Whether all that was asked for before has gone well as far as is known: of another rank's end, of a broken link. */
static pawl_status healthy(const pawl_nccl *n)
{
    int state = PAWL_NCCL_SUCCESS;
    const int asked = n->call.CommGetAsyncError(n->handle, &state);
    if (asked != PAWL_NCCL_SUCCESS) return failed(n, asked, "ncclCommGetAsyncError");
    return settle(n, state, "NCCL's communication");
}

/* ---- opening ---- */

/* Until NCCL is there MPI is, and all can agree: a refusal is no ECOMM, which would end the job. */
static pawl_status refused(pawl_status s)
{
    return s == PAWL_ECOMM ? PAWL_FAIL(PAWL_EUSAGE, "%s", pawl_last_error()->what) : s;
}

static pawl_status join(pawl_nccl *n, pawl_nccl_id id)
{
    pawl_nccl_config config = {.size = sizeof config, .magic = PAWL_NCCL_MAGIC, .version = PAWL_NCCL_CONFIG_VERSION, .blocking = 0,
                               .cga_cluster_size = PAWL_NCCL_UNDEFINED};
    const int result = n->call.CommInitRankConfig(&n->handle, n->comm->size, id, n->comm->rank, &config);
    if (!n->handle && result == PAWL_NCCL_SUCCESS) return PAWL_FAIL(PAWL_EUSAGE, "ncclCommInitRankConfig made nothing");
    return refused(settle(n, result, "ncclCommInitRankConfig"));
}

static pawl_status begin_opening(pawl_nccl *n, pawl_nccl_id *id)
{
    int version = 0;
    PAWL_TRY(load(&n->call));
    PAWL_TRY(refused(settle(n, n->call.GetVersion(&version), "ncclGetVersion")));
    snprintf(n->description, sizeof n->description, "nccl %d.%d.%d", version / 10000, version / 100 % 100, version % 100);
    return n->comm->rank == 0 ? refused(settle(n, n->call.GetUniqueId(id), "ncclGetUniqueId")) : PAWL_OK;
}

static pawl_status open_all(pawl_nccl *n)
{
    pawl_nccl_id id = {{0}};
    PAWL_TRY(pawl_agree(n->comm, begin_opening(n, &id)));
    PAWL_TRY(pawl_bcast(n->comm, &id, sizeof id, 0));
    return pawl_agree(n->comm, join(n, id));
}

pawl_status pawl_nccl_open(pawl_comm *c, pawl_device *d, pawl_nccl **out)
{
    pawl_nccl *n;
    PAWL_TRY(pawl_agree(c, pawl_alloc((void **)&n, sizeof *n, "NCCL")));
    n->comm = c;
    n->stream = pawl_device_stream(d);
    const pawl_status s = open_all(n);
    if (s == PAWL_OK) *out = n;
    else pawl_nccl_close(n);
    return s;
}

/* A communicator is finalised with all ranks, which a rank that ends alone cannot wait for: it is aborted. */
void pawl_nccl_close(pawl_nccl *n)
{
    if (!n) return;
    if (n->handle) (void)n->call.CommAbort(n->handle);
    pawl_free(n);
}

pawl_status pawl_comm_connect(pawl_comm *c, pawl_device *d, int transport)
{
    if (c->size == 1 || !pawl_device_stream(d) || transport == PAWL_TRANSPORT_HOST) return PAWL_OK;
    const pawl_status s = pawl_nccl_open(c, d, &c->gpus);
    if (s != PAWL_EUSAGE || transport == PAWL_TRANSPORT_NCCL) return s;
    pawl_log(PAWL_LOG_INFO, "transport: auto: %s; gradients go through the host", pawl_last_error()->what);
    return PAWL_OK;
}

void pawl_comm_disconnect(pawl_comm *c)
{
    pawl_nccl_close(c->gpus);
    c->gpus = NULL;
}

const char *pawl_comm_transport(const pawl_comm *c)
{
    return c->gpus ? c->gpus->description : "mpi";
}

/* ---- messages ---- */

/* Inside of a group nothing begins: in progress is all that a call can say. */
static pawl_status posted(const pawl_nccl *n, int result, const char *call)
{
    return result == PAWL_NCCL_SUCCESS || result == PAWL_NCCL_IN_PROGRESS ? PAWL_OK : failed(n, result, call);
}

pawl_status pawl_nccl_begin(pawl_nccl *n)
{
    PAWL_TRY(healthy(n));
    return settle(n, n->call.GroupStart(), "ncclGroupStart");
}

pawl_status pawl_nccl_receive(pawl_nccl *n, float *data, int64_t count, int peer)
{
    return posted(n, n->call.Recv(data, (size_t)count, PAWL_NCCL_F32, peer, n->handle, n->stream), "ncclRecv");
}

pawl_status pawl_nccl_send(pawl_nccl *n, const float *data, int64_t count, int peer)
{
    n->comm->bytes_sent += (uint64_t)count * sizeof *data;
    return posted(n, n->call.Send(data, (size_t)count, PAWL_NCCL_F32, peer, n->handle, n->stream), "ncclSend");
}

pawl_status pawl_nccl_end(pawl_nccl *n)
{
    const int span = pawl_span_begin("exchange"), result = n->call.GroupEnd();
    const pawl_status s = settle(n, result, "ncclGroupEnd");
    pawl_span_end(span);
    return s;
}

pawl_status pawl_nccl_sum(pawl_nccl *n, float *data, int64_t count)
{
    PAWL_TRY(healthy(n));
    n->comm->bytes_sent += (uint64_t)count * sizeof *data;
    return settle(n, n->call.AllReduce(data, data, (size_t)count, PAWL_NCCL_F32, PAWL_NCCL_SUM, n->handle, n->stream), "ncclAllReduce");
}
