/* Ranks work each by itself for as long as it takes, and still hear of each other: that they are alive, that one is
 * asked to stop, how far all are, and where one has failed.
 *
 * Rank 0 is the middle: every other rank now and then sends it its news, and gets the news of all. A rank that is
 * through says DONE and listens on. When all are through rank 0 says DONE to them, and each answers BYE, so that no
 * message is left over. */
#include <string.h>
#include <unistd.h>

#include "comm/comm.h"
#include "comm/mpi.h"

enum { TAG = 1 << 14, ALIVE = 1, DONE, BYE, NAP_US = 20000 };

static const double every = 0.5; /* seconds between signs of life */

typedef struct news {
    int what, stop;
    int64_t progress, failure;
} news;

static struct {
    pawl_comm *c; /* NULL: nothing is shared at the moment */
    double last;
    news mine, all;
    int working;   /* rank 0: so many others are not through yet */
    int told_stop; /* other ranks: rank 0 knows that this one is asked to stop */
    int alone;     /* only rank 0 works */
} shared;

static void (*show_progress)(void *self);
static void *show_self;

/* What the others have said last; on rank 0 only. The progress of ranks beyond these is not counted. */
enum { SHOWN = 1024 };
static int64_t progress_of[SHOWN];

static pawl_status tell(int rank, int what)
{
    pawl_comm *c = shared.c;
    news n = c->rank == 0 ? shared.all : shared.mine;
    n.what = what;
    n.stop = pawl_stop_asked != 0;
    if (c->rank > 0) shared.told_stop |= n.stop;
    c->bytes_sent += sizeof n;
    return pawl_mpi_status(MPI_Send(&n, (int)sizeof n, MPI_BYTE, rank, TAG, pawl_mpi(c)), "MPI_Send");
}

static void add_up(void)
{
    shared.all.progress = shared.mine.progress;
    for (int i = 1; i < shared.c->size && i < SHOWN; i++) shared.all.progress += progress_of[i];
    if (shared.mine.failure < shared.all.failure) shared.all.failure = shared.mine.failure;
}

static void take_in(const news *n, int from)
{
    if (n->stop) pawl_stop_asked = 1;
    if (n->failure < shared.all.failure) shared.all.failure = n->failure;
    if (shared.c->rank > 0)
        shared.all.progress = n->progress;
    else if (from < SHOWN)
        progress_of[from] = n->progress;
}

/* *what = 0: nothing has come. */
static pawl_status hear(int rank, int wait, int *what)
{
    pawl_comm *c = shared.c;
    news n;
    int there = wait;
    *what = 0;
    if (!wait) PAWL_TRY(pawl_mpi_status(MPI_Iprobe(rank, TAG, pawl_mpi(c), &there, MPI_STATUS_IGNORE), "MPI_Iprobe"));
    if (!there) return PAWL_OK;
    PAWL_TRY(
        pawl_mpi_status(MPI_Recv(&n, (int)sizeof n, MPI_BYTE, rank, TAG, pawl_mpi(c), MPI_STATUS_IGNORE), "MPI_Recv"));
    take_in(&n, rank);
    *what = n.what;
    return PAWL_OK;
}

/* Rank 0: all that has come from the others. *any = 1: there was something. */
static pawl_status hear_all(int *any)
{
    *any = 0;
    for (int rank = 1; rank < shared.c->size; rank++)
        for (int what = ALIVE; what != 0;) {
            PAWL_TRY(hear(rank, 0, &what));
            shared.working -= what == DONE;
            *any |= what != 0;
        }
    add_up();
    return PAWL_OK;
}

static pawl_status tell_all(int what)
{
    for (int rank = 1; rank < shared.c->size; rank++) PAWL_TRY(tell(rank, what));
    return PAWL_OK;
}

static pawl_status exchange(void)
{
    int heard, what = ALIVE;
    if (shared.c->rank == 0) {
        PAWL_TRY(hear_all(&heard));
        return tell_all(ALIVE);
    }
    while (what != 0) PAWL_TRY(hear(0, 0, &what));
    return tell(0, ALIVE);
}

int pawl_keep_going(void)
{
    const double now = pawl_seconds();
    if (now - shared.last >= every) {
        shared.last = now;
        pawl_watch_renew();
        if (shared.c && exchange() != PAWL_OK) pawl_stop_asked = 1; /* MPI is broken: the agreement will say so */
        if (shared.c && show_progress) show_progress(show_self);
    }
    return !pawl_stop_asked;
}

/* Rank 0 is through: it passes the others' news on until all are. */
static pawl_status wait_for_others(void)
{
    while (shared.working > 0) {
        int heard;
        PAWL_TRY(hear_all(&heard));
        const double now = pawl_seconds();
        if (now - shared.last >= every) {
            shared.last = now;
            PAWL_TRY(tell_all(ALIVE));
            if (show_progress) show_progress(show_self);
        }
        if (heard)
            pawl_watch_renew();
        else
            usleep(NAP_US);
    }
    PAWL_TRY(tell_all(DONE));
    for (int rank = 1; rank < shared.c->size; rank++)
        for (int what = 0; what != BYE;) PAWL_TRY(hear(rank, 1, &what));
    return PAWL_OK;
}

/* Another rank is through: it sleeps until rank 0 says that all are. */
static pawl_status wait_for_rank_0(void)
{
    int what = 0;
    PAWL_TRY(tell(0, DONE));
    while (what != DONE) {
        if (pawl_stop_asked && !shared.told_stop) PAWL_TRY(tell(0, ALIVE));
        PAWL_TRY(hear(0, 0, &what));
        if (what == ALIVE) pawl_watch_renew();
        if (what == 0) usleep(NAP_US);
    }
    return tell(0, BYE);
}

static pawl_status work_together(pawl_comm *c, int alone, pawl_status (*work)(void *self), void *self)
{
    memset(&shared, 0, sizeof shared);
    memset(progress_of, 0, sizeof progress_of);
    shared.c = c;
    shared.alone = alone;
    shared.working = c->size - 1;
    shared.mine.failure = shared.all.failure = INT64_MAX;
    const pawl_status s = work(self);
    const pawl_error e = *pawl_last_error();
    const pawl_status talk = c->rank == 0 ? wait_for_others() : wait_for_rank_0();
    shared.c = NULL;
    if (talk != PAWL_OK) return talk;
    pawl_adopt_error(&e);
    return pawl_agree(c, s);
}

pawl_status pawl_together(pawl_comm *c, pawl_status (*work)(void *self), void *self)
{
    return work_together(c, 0, work, self);
}

static pawl_status nothing(void *self)
{
    (void)self;
    return PAWL_OK;
}

pawl_status pawl_alone(pawl_comm *c, pawl_status (*work)(void *self), void *self)
{
    return work_together(c, 1, c->rank == 0 ? work : nothing, self);
}

void pawl_progress_add(int64_t done)
{
    shared.mine.progress += done;
}

int64_t pawl_progress(void)
{
    if (!shared.c) return shared.mine.progress;
    if (shared.c->rank == 0) add_up();
    return shared.all.progress;
}

void pawl_progress_show(void (*show)(void *self), void *self)
{
    show_progress = show;
    show_self = self;
}

int pawl_works_alone(void)
{
    return shared.alone;
}

void pawl_failed_at(int64_t place)
{
    if (place < shared.mine.failure) shared.mine.failure = place;
    if (place < shared.all.failure) shared.all.failure = place;
}

int64_t pawl_first_failure(void)
{
    return shared.all.failure;
}
