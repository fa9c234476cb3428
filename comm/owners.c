#include <string.h>

#include "comm/pieces.h"

struct pawl_owners {
    pawl_comm *comm;
    pawl_arena arena;
    int64_t *cuts; /* [size + 1] */
    pawl_posted posted;
};

static void lay_out(pawl_owners *o)
{
    const int size = o->comm->size;
    o->cuts = pawl_take_bytes(&o->arena, (size_t)(size + 1) * sizeof *o->cuts);
    pawl_posted_lay_out(&o->posted, &o->arena, 2 * (int64_t)size);
}

pawl_status pawl_owners_open(pawl_comm *c, const int64_t *cuts, pawl_owners **out)
{
    pawl_owners *o;
    PAWL_TRY(pawl_alloc((void **)&o, sizeof *o, "the ranges of ranks"));
    *o = (pawl_owners){.comm = c, .arena = {.name = "ranges"}, .posted = {.comm = c}};
    lay_out(o);
    const pawl_status s = pawl_arena_open(&o->arena);
    if (s != PAWL_OK) {
        pawl_free(o);
        return s;
    }
    lay_out(o);
    memcpy(o->cuts, cuts, (size_t)(c->size + 1) * sizeof *cuts);
    *out = o;
    return PAWL_OK;
}

void pawl_owners_close(pawl_owners *o)
{
    if (!o) return;
    pawl_arena_close(&o->arena);
    pawl_free(o);
}

void pawl_owner_range(const pawl_owners *o, int rank, int64_t *first, int64_t *end)
{
    *first = o->cuts[rank];
    *end = o->cuts[rank + 1];
}

/* The piece with that number of a rank's share of [first, end); empty behind its last one. */
static void piece_of(const pawl_owners *o, int rank, int64_t first, int64_t end, int64_t number, int64_t *at, int64_t *count)
{
    const int64_t from = first > o->cuts[rank] ? first : o->cuts[rank], to = end < o->cuts[rank + 1] ? end : o->cuts[rank + 1];
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
    const int64_t from = first > begin ? first : begin, limit = o->cuts[o->comm->rank + 1], till = end < limit ? end : limit;
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
