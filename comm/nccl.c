/* NCCL is loaded, not linked. Its communicators are asynchronous: a call may be in progress when it returns, and is settled here
 * before the next, so that an error of any rank is found where it is asked for, not by waiting for ever.
 *
 * Whatever the host waits for, a call that is in progress or the device (which asks here, pawl_device_ask), it hears of errors of the
 * communicator, looks whether the other ranks' processes are still there, and ends somewhat before the watchdog would. First all that is
 * under way is aborted: then no stream is without an end. */
#include "comm/nccl.h"

#include <dlfcn.h>
#include <stdio.h>
#include <time.h>

#include "comm/alive.h"
#include "comm/nccl_abi.h"
#include "core/arena.h"
#include "core/log.h"
#include "core/span.h"

const char *pawl_nccl_library = "libnccl.so.2";

typedef struct calls {
#define MEMBER(name, type, parameters) type(*name) parameters;
    PAWL_NCCL_CALLS(MEMBER)
    PAWL_NCCL_MORE_CALLS(MEMBER) /* NULL where there is none */
#undef MEMBER
} calls;

struct pawl_nccl {
    calls call;
    pawl_comm *comm;
    pawl_nccl_comm handle;
    pawl_device *device;
    pawl_alive *alive;
    double looked; /* at the other ranks' processes */
    int version;
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
#define FIND(name, type, parameters) *(void **)&out->name = dlsym(library, "nccl" #name);
    PAWL_NCCL_MORE_CALLS(FIND)
#undef FIND
    return PAWL_OK;
}

/* ---- results ---- */

/* Nothing is under way afterwards, and nothing more goes. NCCL may wait here, too. */
static void give_up(pawl_nccl *n)
{
    enum { SECONDS = 10 };
    const char *what;
    double limit;
    pawl_device_ask(n->device, NULL, NULL);
    if (!n->handle) return;
    (void)pawl_watch_left(&limit, &what);
    pawl_watch("NCCL to give up what is under way", SECONDS);
    (void)n->call.CommAbort(n->handle);
    n->handle = NULL;
    pawl_watch(what, limit);
}

static pawl_status failed(pawl_nccl *n, int result, const char *call)
{
    const char *more = n->handle ? n->call.GetLastError(n->handle) : NULL;
    const pawl_status s = PAWL_FAIL(PAWL_ECOMM, "%s failed: %s%s%s", call, n->call.GetErrorString(result), more && more[0] ? ": " : "", more ? more : "");
    give_up(n);
    return s;
}

/* Others will not come: this rank ends as the watchdog ends it, or, where there is none, with an error. */
static pawl_status lose(pawl_nccl *n, const char *sentence)
{
    const pawl_status s = PAWL_FAIL(PAWL_ECOMM, "%s", sentence);
    give_up(n);
    pawl_watch_end(sentence);
    return s;
}

/* Whether waiting has sense, as far as is known without NCCL. */
static pawl_status others_may_come(pawl_nccl *n)
{
    static const double every = 0.2, before_watchdog = 1, of_limit = 0.1;
    const double now = pawl_seconds();
    const char *what;
    char sentence[320];
    double limit;
    long process;
    if (now - n->looked < every) return PAWL_OK;
    n->looked = now;
    const int lost = n->alive ? pawl_alive_lost(n->alive, &process) : -1;
    if (lost >= 0) {
        snprintf(sentence, sizeof sentence, "rank %d (process %ld) has ended, and its part of what goes between GPUs will not come; this rank ends, too: start the job again", lost, process);
        return lose(n, sentence);
    }
    const double left = pawl_watch_left(&limit, &what), margin = of_limit * limit < before_watchdog ? of_limit * limit : before_watchdog;
    if (left > margin) return PAWL_OK;
    snprintf(sentence, sizeof sentence, "waited for the GPU or other ranks' in %s for as long as is allowed, %.0f s; this rank ends: start the job again, with a higher watchdog_seconds or phase_seconds if all were at work",
             what, limit);
    return lose(n, sentence);
}

/* Until what was asked for is no longer in progress. */
static pawl_status settle(pawl_nccl *n, int result, const char *call)
{
    const struct timespec pause = {.tv_nsec = 50 * 1000};
    int state = result;
    while (state == PAWL_NCCL_IN_PROGRESS) {
        const int asked = n->call.CommGetAsyncError(n->handle, &state);
        if (asked != PAWL_NCCL_SUCCESS) return failed(n, asked, "ncclCommGetAsyncError");
        if (state != PAWL_NCCL_IN_PROGRESS) break;
        PAWL_TRY(others_may_come(n));
        nanosleep(&pause, NULL);
    }
    return state == PAWL_NCCL_SUCCESS ? PAWL_OK : failed(n, state, call);
}

pawl_status pawl_nccl_healthy(pawl_nccl *n)
{
    int state = PAWL_NCCL_SUCCESS;
    PAWL_CHECK(n->handle, PAWL_ECOMM, "NCCL's communication was given up before");
    const int asked = n->call.CommGetAsyncError(n->handle, &state);
    if (asked != PAWL_NCCL_SUCCESS) return failed(n, asked, "ncclCommGetAsyncError");
    return settle(n, state, "NCCL's communication");
}

/* While the host waits for the device. */
static pawl_status ask(void *self)
{
    PAWL_TRY(pawl_nccl_healthy(self));
    return others_may_come(self);
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
    PAWL_TRY(load(&n->call));
    PAWL_TRY(refused(settle(n, n->call.GetVersion(&n->version), "ncclGetVersion")));
    snprintf(n->description, sizeof n->description, "nccl %d.%d.%d", n->version / 10000, n->version / 100 % 100, n->version % 100);
    return n->comm->rank == 0 ? refused(settle(n, n->call.GetUniqueId(id), "ncclGetUniqueId")) : PAWL_OK;
}

static pawl_status open_all(pawl_nccl *n)
{
    pawl_nccl_id id = {{0}};
    PAWL_TRY(pawl_agree(n->comm, begin_opening(n, &id)));
    PAWL_TRY(pawl_bcast(n->comm, &id, sizeof id, 0));
    PAWL_TRY(pawl_alive_open(n->comm, &n->alive));
    return pawl_agree(n->comm, join(n, id));
}

pawl_status pawl_nccl_open(pawl_comm *c, pawl_device *d, pawl_nccl **out)
{
    pawl_nccl *n;
    PAWL_TRY(pawl_agree(c, pawl_alloc((void **)&n, sizeof *n, "NCCL")));
    n->comm = c;
    n->device = d;
    const pawl_status s = open_all(n);
    if (s == PAWL_OK) pawl_device_ask(d, ask, *out = n);
    else pawl_nccl_close(n);
    return s;
}

/* A communicator is finalised with all ranks, which a rank that ends alone cannot wait for: it is aborted. */
void pawl_nccl_close(pawl_nccl *n)
{
    if (!n) return;
    give_up(n);
    pawl_alive_close(n->alive);
    pawl_free(n);
}

void pawl_comm_disconnect(pawl_comm *c)
{
    pawl_nccl_close(c->gpus);
    c->gpus = NULL;
}

pawl_status pawl_comm_connect(pawl_comm *c, pawl_device *d, const pawl_comm_config *how)
{
    if (c->size > 1 && !pawl_device_stream(d) && how->transport == PAWL_TRANSPORT_NCCL && c->rank == 0)
        pawl_log(PAWL_LOG_WARN, "transport: nccl does nothing here: ranks compute on CPUs, and gradients go by MPI");
    if (c->size == 1 || !pawl_device_stream(d) || how->transport == PAWL_TRANSPORT_HOST) return PAWL_OK;
    pawl_status s = pawl_nccl_open(c, d, &c->gpus);
    if (s == PAWL_OK) s = pawl_nccl_greet(c, d, how);
    if (s != PAWL_OK) pawl_comm_disconnect(c);
    c->registers = s == PAWL_OK && how->register_buffers;
    c->bucket = pawl_comm_bucket(how);
    if (s != PAWL_EUSAGE || how->transport == PAWL_TRANSPORT_NCCL) return s;
    pawl_log(PAWL_LOG_INFO, "transport: auto: %s; gradients go through the host", pawl_last_error()->what);
    return PAWL_OK;
}

const char *pawl_comm_transport(const pawl_comm *c)
{
    return c->gpus ? c->gpus->description : "mpi";
}

/* ---- messages ---- */

/* Inside of a group nothing begins: in progress is all that a call can say. */
static pawl_status posted(pawl_nccl *n, int result, const char *call)
{
    return result == PAWL_NCCL_SUCCESS || result == PAWL_NCCL_IN_PROGRESS ? PAWL_OK : failed(n, result, call);
}

pawl_status pawl_nccl_begin(pawl_nccl *n)
{
    PAWL_TRY(pawl_nccl_healthy(n));
    return settle(n, n->call.GroupStart(), "ncclGroupStart");
}

pawl_status pawl_nccl_receive(pawl_nccl *n, float *data, int64_t count, int peer)
{
    return posted(n, n->call.Recv(data, (size_t)count, PAWL_NCCL_F32, peer, n->handle, pawl_device_stream(n->device)), "ncclRecv");
}

pawl_status pawl_nccl_send(pawl_nccl *n, const float *data, int64_t count, int peer)
{
    n->comm->bytes_sent += (uint64_t)count * sizeof *data;
    return posted(n, n->call.Send(data, (size_t)count, PAWL_NCCL_F32, peer, n->handle, pawl_device_stream(n->device)), "ncclSend");
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
    PAWL_TRY(pawl_nccl_healthy(n));
    n->comm->bytes_sent += (uint64_t)count * sizeof *data;
    return settle(n, n->call.AllReduce(data, data, (size_t)count, PAWL_NCCL_F32, PAWL_NCCL_SUM, n->handle, pawl_device_stream(n->device)), "ncclAllReduce");
}

/* ---- memory ---- */

pawl_status pawl_nccl_take(pawl_nccl *n, size_t bytes, void **out, int (**give)(void *block))
{
    *out = NULL;
    *give = n->call.MemFree;
    if (!n->call.MemAlloc || !n->call.MemFree || !n->call.CommRegister || !n->call.CommDeregister) return PAWL_OK;
    const int result = n->call.MemAlloc(out, bytes);
    PAWL_CHECK(result == PAWL_NCCL_SUCCESS, PAWL_EMEM, "ncclMemAlloc: no %zu bytes on the GPU: %s", bytes, n->call.GetErrorString(result));
    return PAWL_OK;
}

int pawl_nccl_has_windows(const pawl_nccl *n)
{
    return n->version >= PAWL_NCCL_WINDOWS_SINCE && n->call.CommWindowRegister && n->call.CommWindowDeregister;
}

pawl_status pawl_nccl_register(pawl_nccl *n, void *block, size_t bytes, int window, void **registered)
{
    PAWL_TRY(pawl_nccl_healthy(n));
    if (!window) return settle(n, n->call.CommRegister(n->handle, block, bytes, registered), "ncclCommRegister");
    return settle(n, n->call.CommWindowRegister(n->handle, block, bytes, (pawl_nccl_window *)registered, PAWL_NCCL_SYMMETRIC), "ncclCommWindowRegister");
}

/* Of what was given up nothing is registered any more. */
void pawl_nccl_unregister(pawl_nccl *n, int window, void *registered)
{
    if (!n->handle || !registered) return;
    const int result = window ? n->call.CommWindowDeregister(n->handle, registered) : n->call.CommDeregister(n->handle, registered);
    if (settle(n, result, window ? "ncclCommWindowDeregister" : "ncclCommDeregister") != PAWL_OK)
        pawl_log(PAWL_LOG_WARN, "%s", pawl_last_error()->what);
}
