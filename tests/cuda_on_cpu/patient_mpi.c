/* MPI's calls that wait, for programs on the stand-ins: what is on the device's streams gets on meanwhile, as far as it can. A GPU does
 * so by itself; a stand-in gets on when the host lets it, and another rank's may wait for what this one has not run yet. */
#include <mpi.h>
#include <time.h>

/* Set by the stand-in's runtime, once it is loaded: runs some of what can run; 0 when there was nothing. */
int (*standin_get_on_meanwhile)(void);

static void get_on(void)
{
    const struct timespec nap = {.tv_nsec = 50 * 1000};
    if (!standin_get_on_meanwhile || !standin_get_on_meanwhile()) nanosleep(&nap, NULL);
}

static int finish(int begun, MPI_Request *request, MPI_Status *status)
{
    int done = 0;
    if (begun != MPI_SUCCESS) return begun;
    for (;;) {
        const int code = PMPI_Test(request, &done, status);
        if (code != MPI_SUCCESS || done) return code;
        get_on();
    }
}

#define WAITS(name, parameters, begin)                                         \
    int MPI_##name parameters                                                  \
    {                                                                          \
        MPI_Request request;                                                   \
        const int begun = begin;                                               \
        return finish(begun, &request, MPI_STATUS_IGNORE);                     \
    }

WAITS(Allreduce, (const void *from, void *to, int count, MPI_Datatype type, MPI_Op op, MPI_Comm c),
      PMPI_Iallreduce(from, to, count, type, op, c, &request))
WAITS(Bcast, (void *data, int count, MPI_Datatype type, int root, MPI_Comm c), PMPI_Ibcast(data, count, type, root, c, &request))
WAITS(Allgather, (const void *from, int count, MPI_Datatype type, void *to, int to_count, MPI_Datatype to_type, MPI_Comm c),
      PMPI_Iallgather(from, count, type, to, to_count, to_type, c, &request))
WAITS(Allgatherv, (const void *from, int count, MPI_Datatype type, void *to, const int counts[], const int at[], MPI_Datatype to_type, MPI_Comm c),
      PMPI_Iallgatherv(from, count, type, to, counts, at, to_type, c, &request))
WAITS(Barrier, (MPI_Comm c), PMPI_Ibarrier(c, &request))

int MPI_Wait(MPI_Request *request, MPI_Status *status)
{
    return finish(MPI_SUCCESS, request, status);
}

int MPI_Recv(void *data, int count, MPI_Datatype type, int from, int tag, MPI_Comm c, MPI_Status *status)
{
    MPI_Request request;
    const int begun = PMPI_Irecv(data, count, type, from, tag, c, &request);
    return finish(begun, &request, status);
}

int MPI_Waitall(int count, MPI_Request requests[], MPI_Status statuses[])
{
    int done = 0;
    for (;;) {
        const int code = PMPI_Testall(count, requests, &done, statuses);
        if (code != MPI_SUCCESS || done) return code;
        get_on();
    }
}
