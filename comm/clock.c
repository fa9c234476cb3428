/* Rank 0's clock, as another rank sees it: question and answer, over and over; the fastest exchange bounds the error by
 * half of its time. Source: Cristian 1989. */
#include "comm/comm.h"
#include "comm/mpi.h"
#include "core/span.h"

enum { TAG = 1 << 13, EXCHANGES = 64 };

/* On rank 0, for one other rank. */
static pawl_status ask(pawl_comm *c, int rank, pawl_clock *best)
{
    *best = (pawl_clock){0, INT64_MAX};
    for (int i = 0; i < EXCHANGES; i++) {
        int64_t theirs = 0;
        const int64_t asked = pawl_span_now();
        PAWL_TRY(pawl_mpi_status(MPI_Send(&theirs, 1, MPI_INT64_T, rank, TAG, pawl_mpi(c)), "MPI_Send"));
        PAWL_TRY(pawl_mpi_status(MPI_Recv(&theirs, 1, MPI_INT64_T, rank, TAG, pawl_mpi(c), MPI_STATUS_IGNORE), "MPI_Recv"));
        const int64_t trip = pawl_span_now() - asked, error = trip / 2 + 1;
        if (error < best->error_ns) *best = (pawl_clock){asked + trip / 2 - theirs, error};
    }
    return PAWL_OK;
}

static pawl_status answer(pawl_comm *c)
{
    for (int i = 0; i < EXCHANGES; i++) {
        int64_t now;
        PAWL_TRY(pawl_mpi_status(MPI_Recv(&now, 1, MPI_INT64_T, 0, TAG, pawl_mpi(c), MPI_STATUS_IGNORE), "MPI_Recv"));
        now = pawl_span_now();
        PAWL_TRY(pawl_mpi_status(MPI_Send(&now, 1, MPI_INT64_T, 0, TAG, pawl_mpi(c)), "MPI_Send"));
    }
    return PAWL_OK;
}

pawl_status pawl_clock_measure(pawl_comm *c, pawl_clock *out)
{
    *out = (pawl_clock){0, 0};
    for (int rank = 1; rank < c->size; rank++) {
        pawl_clock clock = {0, 0};
        PAWL_TRY(pawl_barrier(c));
        if (c->rank == 0) PAWL_TRY(ask(c, rank, &clock));
        if (c->rank == rank) PAWL_TRY(answer(c));
        PAWL_TRY(pawl_bcast(c, &clock, sizeof clock, 0));
        if (c->rank == rank) *out = clock;
    }
    /* On rank 0's own machine it is the same clock, unless the measurement contradicts. */
    if (c->machine == 0 && out->offset_ns <= out->error_ns && -out->offset_ns <= out->error_ns) *out = (pawl_clock){0, 0};
    return PAWL_OK;
}
