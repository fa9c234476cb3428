#include <string.h>

#include "comm/pieces.h"

struct pawl_owners {
    pawl_comm *comm;
    int64_t *cuts; /* [size + 1] */
    pawl_posted posted;
};

static pawl_status take(pawl_owners *o, const int64_t *cuts)
{
    const int size = o->comm->size;
    PAWL_TRY(pawl_alloc((void **)&o->cuts, (size_t)(size + 1) * sizeof *cuts, "the ranges of ranks"));
    memcpy(o->cuts, cuts, (size_t)(size + 1) * sizeof *cuts);
    o->posted = (pawl_posted){.comm = o->comm, .room = 2 * size};
    return pawl_alloc((void **)&o->posted.requests, (size_t)o->posted.room * sizeof(MPI_Request),
                      "the ranges of ranks");
}

pawl_status pawl_owners_open(pawl_comm *c, const int64_t *cuts, pawl_owners **out)
{
    pawl_owners *o;
    PAWL_TRY(pawl_alloc((void **)&o, sizeof *o, "the ranges of ranks"));
    o->comm = c;
    const pawl_status s = take(o, cuts);
    if (s == PAWL_OK)
        *out = o;
    else
        pawl_owners_close(o);
    return s;
}

void pawl_owners_close(pawl_owners *o)
{
    if (!o) return;
    pawl_free(o->cuts);
    pawl_free(o->posted.requests);
    pawl_free(o);
}

void pawl_owner_range(const pawl_owners *o, int rank, int64_t *first, int64_t *end)
{
    *first = o->cuts[rank];
    *end = o->cuts[rank + 1];
}

/* The piece with that number of a rank's share of [first, end); empty behind its last one. */
static void piece_of(const pawl_owners *o, int rank, int64_t first, int64_t end, int64_t number, int64_t *at,
                     int64_t *count)
{
    const int64_t from = first > o->cuts[rank] ? first : o->cuts[rank],
                  to = end < o->cuts[rank + 1] ? end : o->cuts[rank + 1];
    *at = from + number * PAWL_PIECE_COUNT;
    *count = to - *at < PAWL_PIECE_COUNT ? to - *at : PAWL_PIECE_COUNT;
}

/* Piece `number` of every rank's share to all. *more = 1: there may be another. */
static pawl_status gather_pieces(pawl_owners *o, int64_t first, int64_t end, int64_t number, float *to, int *more)
{
    const int me = o->comm->rank, size = o->comm->size;
    int64_t at, count;
    for (int peer = 0; peer < size; peer++) {
        piece_of(o, peer, first, end, number, &at, &count);
        *more |= count == PAWL_PIECE_COUNT;
        if (peer != me) PAWL_TRY(pawl_post_receive(&o->posted, to + (at - first), count, peer));
    }
    piece_of(o, me, first, end, number, &at, &count);
    for (int step = 1; step < size; step++)
        PAWL_TRY(pawl_post_send(&o->posted, to + (at - first), count, (me + step) % size));
    return pawl_posted_wait(&o->posted);
}

pawl_status pawl_owners_gather(pawl_owners *o, int64_t first, int64_t count, const float *mine, float *to)
{
    const int64_t end = first + count, begin = o->cuts[o->comm->rank];
    const int64_t from = first > begin ? first : begin, limit = o->cuts[o->comm->rank + 1],
                  till = end < limit ? end : limit;
    if (from < till && to + (from - first) != mine + (from - begin))
        memcpy(to + (from - first), mine + (from - begin), (size_t)(till - from) * sizeof *to);
    if (o->comm->size == 1) return PAWL_OK;
    for (int64_t number = 0, more = 1; more; number++) {
        int another = 0;
        PAWL_TRY(gather_pieces(o, first, end, number, to, &another));
        more = another;
    }
    return PAWL_OK;
}
