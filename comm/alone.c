/* Rank 0 works alone for as long as it takes; the others sleep, hear that it is alive, and can ask it to stop.
 *
 * Rank 0 sends ALIVE now and then and DONE at the end. A waiting rank sends STOP when it is asked to, and answers DONE with
 * BYE, so that no message is left over. */
#include <string.h>
#include <unistd.h>

#include "comm/comm.h"
#include "comm/mpi.h"

enum { TAG = 1 << 14, ALIVE = 1, DONE, STOP, BYE, NAP_US = 20000 };

static const double every = 0.5; /* seconds between signs of life */

static struct {
    pawl_comm *others; /* NULL: nobody is waiting for this rank */
    double last;
} vigil;

static pawl_status tell(pawl_comm *c, int rank, int what)
{
    c->bytes_sent += sizeof what;
    return pawl_mpi_status(MPI_Send(&what, 1, MPI_INT, rank, TAG, pawl_mpi(c)), "MPI_Send");
}

static pawl_status hear(pawl_comm *c, int rank, int *what)
{
    return pawl_mpi_status(MPI_Recv(what, 1, MPI_INT, rank, TAG, pawl_mpi(c), MPI_STATUS_IGNORE), "MPI_Recv");
}

/* *what = 0: nothing has come. */
static pawl_status hear_if_any(pawl_comm *c, int rank, int *what)
{
    int there = 0;
    *what = 0;
    PAWL_TRY(pawl_mpi_status(MPI_Iprobe(rank, TAG, pawl_mpi(c), &there, MPI_STATUS_IGNORE), "MPI_Iprobe"));
    return there ? hear(c, rank, what) : PAWL_OK;
}

static pawl_status show_life(pawl_comm *c)
{
    for (int rank = 1; rank < c->size; rank++) {
        int what;
        PAWL_TRY(hear_if_any(c, rank, &what));
        if (what == STOP) pawl_stop_asked = 1;
        PAWL_TRY(tell(c, rank, ALIVE));
    }
    return PAWL_OK;
}

int pawl_keep_going(void)
{
    const double now = pawl_seconds();
    if (now - vigil.last >= every) {
        vigil.last = now;
        pawl_watch_renew();
        if (vigil.others && show_life(vigil.others) != PAWL_OK) pawl_stop_asked = 1; /* MPI is broken: the agreement will say so */
    }
    return !pawl_stop_asked;
}

static pawl_status end_vigil(pawl_comm *c)
{
    vigil.others = NULL;
    for (int rank = 1; rank < c->size; rank++) PAWL_TRY(tell(c, rank, DONE));
    for (int rank = 1; rank < c->size; rank++) {
        int what = 0;
        while (what != BYE) {
            PAWL_TRY(hear(c, rank, &what));
            if (what == STOP) pawl_stop_asked = 1;
        }
    }
    return PAWL_OK;
}

static pawl_status keep_vigil(pawl_comm *c)
{
    int told = 0, what = 0;
    while (what != DONE) {
        if (pawl_stop_asked && !told) {
            PAWL_TRY(tell(c, 0, STOP));
            told = 1;
        }
        PAWL_TRY(hear_if_any(c, 0, &what));
        if (what == ALIVE) pawl_watch_renew();
        if (what == 0) usleep(NAP_US);
    }
    return tell(c, 0, BYE);
}

pawl_status pawl_alone(pawl_comm *c, pawl_status (*work)(void *self), void *self)
{
    pawl_status s = PAWL_OK, talk;
    if (c->rank == 0) {
        vigil.others = c;
        vigil.last = 0;
        s = work(self);
        const pawl_error e = *pawl_last_error();
        talk = end_vigil(c);
        if (talk == PAWL_OK) pawl_adopt_error(&e);
    } else {
        talk = keep_vigil(c);
    }
    return talk == PAWL_OK ? pawl_agree(c, s) : talk;
}
