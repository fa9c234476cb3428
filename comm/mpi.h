/* comm/mpi.h - private to comm/: MPI's errors as ours. */
#ifndef PAWL_COMM_MPI_H
#define PAWL_COMM_MPI_H

#include <mpi.h>

#include "comm/comm.h"

static inline MPI_Comm pawl_mpi(const pawl_comm *c)
{
    return *(MPI_Comm *)c->handle;
}

/* ECOMM with MPI's own words when code is not MPI_SUCCESS. */
PAWL_MUST pawl_status pawl_mpi_status(int code, const char *call);

#endif
