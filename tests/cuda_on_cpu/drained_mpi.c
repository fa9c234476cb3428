/* MPI's calls that wait, for programs on the stand-ins: what is on the device's streams is run first. A GPU gets on by itself while
 * the host waits; a stand-in gets on when the host lets it, and another rank's may wait for what this one has not run yet. */
#include <mpi.h>

/* Set by the stand-in's runtime, once it is loaded. */
void (*standin_before_waiting)(void);

#define WAITS(name, parameters, arguments)                     \
    int MPI_##name parameters                                  \
    {                                                          \
        if (standin_before_waiting) standin_before_waiting();  \
        return PMPI_##name arguments;                          \
    }

WAITS(Allreduce, (const void *from, void *to, int count, MPI_Datatype type, MPI_Op op, MPI_Comm c), (from, to, count, type, op, c))
WAITS(Bcast, (void *data, int count, MPI_Datatype type, int root, MPI_Comm c), (data, count, type, root, c))
WAITS(Allgather, (const void *from, int count, MPI_Datatype type, void *to, int to_count, MPI_Datatype to_type, MPI_Comm c),
      (from, count, type, to, to_count, to_type, c))
WAITS(Allgatherv, (const void *from, int count, MPI_Datatype type, void *to, const int counts[], const int at[], MPI_Datatype to_type, MPI_Comm c),
      (from, count, type, to, counts, at, to_type, c))
WAITS(Barrier, (MPI_Comm c), (c))
WAITS(Waitall, (int count, MPI_Request requests[], MPI_Status statuses[]), (count, requests, statuses))
WAITS(Wait, (MPI_Request *request, MPI_Status *status), (request, status))
WAITS(Recv, (void *data, int count, MPI_Datatype type, int from, int tag, MPI_Comm c, MPI_Status *status), (data, count, type, from, tag, c, status))
WAITS(Finalize, (void), ())
