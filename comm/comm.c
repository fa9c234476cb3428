#include "comm/comm.h"

#include <string.h>
#include <time.h>

#include "comm/mpi.h"
#include "core/arena.h"
#include "core/hash.h"
#include "core/span.h"

volatile sig_atomic_t pawl_stop_asked;

enum { MESSAGE_BYTES = 1 << 30 }; /* MPI counts are ints */

double pawl_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

pawl_status pawl_mpi_status(int code, const char *call)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    if (code == MPI_SUCCESS) return PAWL_OK;
    MPI_Error_string(code, text, &length);
    return PAWL_FAIL(PAWL_ECOMM, "%s failed: %s", call, text);
}

pawl_status pawl_comm_open_alone(pawl_comm **out)
{
    PAWL_TRY(pawl_alloc((void **)out, sizeof **out, "a communicator"));
    (*out)->size = (*out)->local_size = 1;
    return PAWL_OK;
}

static pawl_status join(pawl_comm *c)
{
    MPI_Comm machine;
    PAWL_TRY(pawl_alloc(&c->handle, sizeof(MPI_Comm), "a communicator"));
    PAWL_TRY(pawl_mpi_status(MPI_Comm_dup(MPI_COMM_WORLD, c->handle), "MPI_Comm_dup"));
    PAWL_TRY(pawl_mpi_status(MPI_Comm_set_errhandler(pawl_mpi(c), MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler"));
    MPI_Comm_rank(pawl_mpi(c), &c->rank);
    MPI_Comm_size(pawl_mpi(c), &c->size);
    PAWL_TRY(pawl_mpi_status(MPI_Comm_split_type(pawl_mpi(c), MPI_COMM_TYPE_SHARED, c->rank, MPI_INFO_NULL, &machine),
                             "MPI_Comm_split_type"));
    MPI_Comm_rank(machine, &c->local_rank);
    MPI_Comm_size(machine, &c->local_size);
    c->machine = c->rank;
    PAWL_TRY(pawl_mpi_status(MPI_Bcast(&c->machine, 1, MPI_INT, 0, machine), "MPI_Bcast"));
    return pawl_mpi_status(MPI_Comm_free(&machine), "MPI_Comm_free");
}

pawl_status pawl_comm_open(pawl_comm **out)
{
    pawl_comm *c;
    PAWL_TRY(pawl_comm_open_alone(&c));
    pawl_status s = join(c);
    if (s != PAWL_OK) {
        pawl_free(c->handle);
        pawl_free(c);
        return s;
    }
    *out = c;
    return PAWL_OK;
}

/* Not collective on purpose (style.md 6.4, rule 4): the duplicate is left to MPI_Finalize, so a rank that ends alone
 * does not wait for the others here. */
void pawl_comm_close(pawl_comm *c)
{
    if (!c) return;
    pawl_free(c->handle);
    pawl_free(c);
}

pawl_status pawl_barrier(pawl_comm *c)
{
    if (c->size == 1) return PAWL_OK;
    const int span = pawl_span_begin_wait("barrier"), code = MPI_Barrier(pawl_mpi(c));
    pawl_span_end(span);
    return pawl_mpi_status(code, "MPI_Barrier");
}

pawl_status pawl_bcast(pawl_comm *c, void *data, size_t bytes, int root)
{
    if (c->size == 1) return PAWL_OK;
    if (c->rank == root) c->bytes_sent += bytes * (uint64_t)(c->size - 1);
    for (size_t at = 0; at < bytes; at += MESSAGE_BYTES) {
        const size_t n = bytes - at < MESSAGE_BYTES ? bytes - at : MESSAGE_BYTES;
        PAWL_TRY(pawl_mpi_status(MPI_Bcast((char *)data + at, (int)n, MPI_BYTE, root, pawl_mpi(c)), "MPI_Bcast"));
    }
    return PAWL_OK;
}

pawl_status pawl_allgather(pawl_comm *c, const void *mine, size_t bytes, void *all)
{
    PAWL_ASSERT(bytes <= MESSAGE_BYTES);
    memmove((char *)all + (size_t)c->rank * bytes, mine, bytes);
    if (c->size == 1) return PAWL_OK;
    c->bytes_sent += bytes * (uint64_t)(c->size - 1);
    const int span = pawl_span_begin_wait("small gather");
    const int code = MPI_Allgather(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, all, (int)bytes, MPI_BYTE, pawl_mpi(c));
    pawl_span_end(span);
    return pawl_mpi_status(code, "MPI_Allgather");
}

enum { SMALL_RANKS = 1024 };

static int fits_ints(const pawl_comm *c, const size_t *lengths, const size_t *offsets)
{
    int fits = c->size <= SMALL_RANKS;
    for (int r = 0; r < c->size; r++) fits &= lengths[r] <= MESSAGE_BYTES && offsets[r] <= MESSAGE_BYTES;
    return fits;
}

static pawl_status gather_small(pawl_comm *c, const size_t *lengths, const size_t *offsets, void *all)
{
    int counts[SMALL_RANKS], places[SMALL_RANKS];
    for (int r = 0; r < c->size; r++) {
        counts[r] = (int)lengths[r];
        places[r] = (int)offsets[r];
    }
    const int span = pawl_span_begin_wait("small gather");
    const int code = MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, all, counts, places, MPI_BYTE, pawl_mpi(c));
    pawl_span_end(span);
    return pawl_mpi_status(code, "MPI_Allgatherv");
}

pawl_status pawl_allgather_blocks(pawl_comm *c, const void *mine, const size_t *lengths, const size_t *offsets, void *all)
{
    if (lengths[c->rank]) memmove((char *)all + offsets[c->rank], mine, lengths[c->rank]);
    if (c->size == 1) return PAWL_OK;
    c->bytes_sent += lengths[c->rank] * (uint64_t)(c->size - 1);
    if (fits_ints(c, lengths, offsets)) return gather_small(c, lengths, offsets, all);
    for (int root = 0; root < c->size; root++) { /* blocks may be longer than an int counts: pieces, from each in turn */
        for (size_t at = 0; at < lengths[root]; at += MESSAGE_BYTES) {
            const size_t n = lengths[root] - at < MESSAGE_BYTES ? lengths[root] - at : MESSAGE_BYTES;
            PAWL_TRY(pawl_mpi_status(MPI_Bcast((char *)all + offsets[root] + at, (int)n, MPI_BYTE, root, pawl_mpi(c)),
                                     "MPI_Bcast"));
        }
    }
    return PAWL_OK;
}

/* A few at a time. The first of all that is not through is among the present ones of both its ranks, so all get through. */
pawl_status pawl_transfers(pawl_comm *c, const pawl_transfer *list, int count)
{
    enum { AT_A_TIME = 32 };
    MPI_Request requests[AT_A_TIME];
    for (int at = 0, n = 0; at < count; at += n) {
        for (n = 0; n < AT_A_TIME && at + n < count; n++) {
            const pawl_transfer *t = &list[at + n];
            PAWL_ASSERT(t->bytes <= MESSAGE_BYTES);
            if (t->to == c->rank) {
                PAWL_TRY(pawl_mpi_status(MPI_Irecv(t->data, (int)t->bytes, MPI_BYTE, t->from, 1, pawl_mpi(c), &requests[n]), "MPI_Irecv"));
            } else {
                c->bytes_sent += t->bytes;
                PAWL_TRY(pawl_mpi_status(MPI_Isend(t->data, (int)t->bytes, MPI_BYTE, t->to, 1, pawl_mpi(c), &requests[n]), "MPI_Isend"));
            }
        }
        PAWL_TRY(pawl_mpi_status(MPI_Waitall(n, requests, MPI_STATUSES_IGNORE), "MPI_Waitall"));
    }
    return PAWL_OK;
}

int64_t pawl_comm_bucket(const pawl_comm_config *how)
{
    return (int64_t)(how->ddp_bucket_cap_mb * (1 << 20) / sizeof(float));
}

int pawl_comm_overlaps(const pawl_comm *c, const pawl_device *d)
{
    return c->size > 1 && c->gpus && c->bucket > 0 && pawl_device_works_aside(d);
}

pawl_status pawl_same(pawl_comm *c, const void *data, size_t bytes, const char *what)
{
    const pawl_digest mine = pawl_sha256(data, bytes);
    pawl_digest first = mine;
    PAWL_TRY(pawl_bcast(c, &first, sizeof first, 0));
    pawl_status s = PAWL_OK;
    if (!pawl_digest_equal(mine, first)) s = PAWL_FAIL(PAWL_EBUG, "%s differs from rank 0's", what);
    return pawl_agree(c, s);
}
