#include <string.h>

#include "comm/pieces.h"

struct pawl_owners {
    pawl_comm *comm;
    int64_t *cuts; /* [size + 1] */
    int64_t piece; /* numbers of a message at most */
    pawl_posted posted;
    pawl_arena staging;
};

static pawl_status take(pawl_owners *o, const int64_t *cuts)
{
    const int size = o->comm->size;
    PAWL_TRY(pawl_alloc((void **)&o->cuts, (size_t)(size + 1) * sizeof *cuts, "the ranges of ranks"));
    memcpy(o->cuts, cuts, (size_t)(size + 1) * sizeof *cuts);
    o->piece = PAWL_PIECE_COUNT;
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
    if (o->staging.base) pawl_arena_close_on(o->posted.device, PAWL_ON_HOST, &o->staging);
    else pawl_free(o->posted.requests);
    pawl_free(o);
}

void pawl_owner_range(const pawl_owners *o, int rank, int64_t *first, int64_t *end)
{
    *first = o->cuts[rank];
    *end = o->cuts[rank + 1];
}

/* ---- numbers that are in a device's memory ---- */

static void lay_out_staging(pawl_owners *o, pawl_device *d, pawl_arena *a)
{
    const int size = o->comm->size;
    int64_t longest = 0;
    for (int r = 0; r < size; r++) longest = o->cuts[r + 1] - o->cuts[r] > longest ? o->cuts[r + 1] - o->cuts[r] : longest;
    o->piece = pawl_piece_count(size, longest);
    o->posted.device = d;
    pawl_posted_lay_out(&o->posted, a, 2 * size, size * o->piece);
}

static int is_staged(const pawl_owners *o, const pawl_device *d)
{
    return o->comm->size > 1 && !pawl_device_shares_memory(d);
}

size_t pawl_owners_staging_bytes(const pawl_owners *o, pawl_device *d)
{
    pawl_owners like = *o;
    pawl_arena a = {0};
    if (is_staged(o, d)) lay_out_staging(&like, d, &a);
    return a.used;
}

pawl_status pawl_owners_stage(pawl_owners *o, pawl_device *d)
{
    pawl_arena a = {.name = "gradients"};
    MPI_Request *requests = o->posted.requests;
    o->posted.device = d;
    if (!is_staged(o, d)) return PAWL_OK;
    a.used = pawl_owners_staging_bytes(o, d);
    PAWL_TRY(pawl_arena_open_on(d, PAWL_ON_HOST, &a));
    lay_out_staging(o, d, &a);
    o->staging = a;
    pawl_free(requests);
    return PAWL_OK;
}

/* ---- gathering ---- */

/* The piece with that number of a rank's share of [first, end); empty behind its last one. */
static void piece_of(const pawl_owners *o, int rank, int64_t first, int64_t end, int64_t number, int64_t *at,
                     int64_t *count)
{
    const int64_t from = first > o->cuts[rank] ? first : o->cuts[rank],
                  to = end < o->cuts[rank + 1] ? end : o->cuts[rank + 1];
    *at = from + number * o->piece;
    *count = to - *at < o->piece ? to - *at : o->piece;
}

/* Piece `number` of every rank's share to all. *more = 1: there may be another. */
static pawl_status gather_pieces(pawl_owners *o, int64_t first, int64_t end, int64_t number, float *to, int *more)
{
    const int me = o->comm->rank, size = o->comm->size;
    int64_t at, count;
    for (int peer = 0; peer < size; peer++) {
        piece_of(o, peer, first, end, number, &at, &count);
        *more |= count == o->piece;
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
        PAWL_TRY(pawl_piece_copy(o->posted.device, to + (from - first), mine + (from - begin), till - from));
    if (o->comm->size == 1) return PAWL_OK;
    for (int64_t number = 0, more = 1; more; number++) {
        int another = 0;
        PAWL_TRY(gather_pieces(o, first, end, number, to, &another));
        more = another;
    }
    return PAWL_OK;
}

pawl_status pawl_owners_gather_aside(pawl_owners *o, int64_t first, int64_t count, const float *mine, float *to, int mark)
{
    pawl_device *d = o->posted.device;
    if (!pawl_comm_overlaps(o->comm, d)) return pawl_owners_gather(o, first, count, mine, to);
    PAWL_TRY(pawl_aside_begin(d));
    const pawl_status s = pawl_owners_gather(o, first, count, mine, to), ended = pawl_aside_end(d, mark);
    return s != PAWL_OK ? s : ended;
}
