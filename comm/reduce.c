/* The sum of a step's gradients over lanes and ranks.
 *
 * Invariant: a rank adds its lanes into the largest nodes of the fixed tree that it owns whole. The vector is cut into one
 * piece a rank; everyone sends its nodes' slices of a piece to the piece's owner, who finishes the tree for that piece and
 * sends the result to all. Every number is added in the order of the tree, whoever adds it.
 * Fast: one buffer a rank, MPI's all-reduce, in messages that shared memory likes (performance.md, section 5). */
#include <string.h>

#include "comm/comm.h"
#include "comm/lanes.h"
#include "comm/mpi.h"
#include "core/arena.h"

enum { FAST_COUNT = 1 << 18, MESSAGE_COUNT = 1 << 24, INVARIANT = 0 };

struct pawl_reduction {
    pawl_comm *comm;
    pawl_device *device;
    int kind, lanes, first, end; /* this rank's lanes are [first, end) */
    int64_t count;
    pawl_arena arena;
    float *buffer[PAWL_NODES_MAX]; /* [buffers][count] */
    float *inbox;                  /* [nodes of all other ranks][my piece] */
    MPI_Request *requests;
    int buffers, request_room, request_count;

    pawl_node node[PAWL_NODES_MAX]; /* what buffer[i] holds, in order; a stack */
    int nodes, lane;                /* lane: the one being summed, or the next */
};

static void piece_of(const pawl_reduction *r, int rank, int64_t *first, int64_t *count)
{
    const int64_t unit = PAWL_ALIGN / (int64_t)sizeof(float), units = (r->count + unit - 1) / unit;
    const int64_t begin = units * rank / r->comm->size * unit, end = units * (rank + 1) / r->comm->size * unit;
    *first = begin;
    *count = (end < r->count ? end : r->count) - begin;
}

static int nodes_of(const pawl_reduction *r, int rank, pawl_node out[PAWL_NODES_MAX])
{
    int first, end;
    pawl_lanes_of(r->lanes, rank, r->comm->size, &first, &end);
    return pawl_nodes_inside(r->lanes, first, end, out);
}

static int messages_for(int64_t count)
{
    return (int)((count + MESSAGE_COUNT - 1) / MESSAGE_COUNT);
}

static void lay_out(pawl_reduction *r)
{
    pawl_node nodes[PAWL_NODES_MAX];
    int64_t first, count, foreign = 0;
    const int size = r->comm->size;
    pawl_lanes_of(r->lanes, r->comm->rank, size, &r->first, &r->end);
    r->buffers = r->kind == INVARIANT ? pawl_nodes_alive(r->lanes, r->first, r->end) : 1;
    for (int i = 0; i < r->buffers; i++)
        r->buffer[i] = pawl_take_bytes(&r->arena, (size_t)r->count * sizeof(float));
    if (r->kind != INVARIANT) return;
    piece_of(r, r->comm->rank, &first, &count);
    for (int rank = 0; rank < size; rank++)
        if (rank != r->comm->rank) foreign += nodes_of(r, rank, nodes);
    r->inbox = pawl_take_bytes(&r->arena, (size_t)(foreign * count) * sizeof(float));
    r->request_room = (int)(foreign + (int64_t)(PAWL_NODES_MAX + 2) * size) * messages_for(r->count / size + 16);
    r->requests = pawl_take_bytes(&r->arena, (size_t)r->request_room * sizeof(MPI_Request));
}

size_t pawl_reduction_bytes(const pawl_comm *c, int kind, int lanes, int64_t count)
{
    pawl_comm like = *c;
    pawl_reduction r = {.comm = &like, .kind = kind, .lanes = lanes, .count = count};
    lay_out(&r);
    return r.arena.used;
}

pawl_status pawl_reduction_open(pawl_comm *c, pawl_device *d, int kind, int lanes, int64_t count, pawl_reduction **out)
{
    pawl_reduction *r;
    PAWL_CHECK(c->size <= lanes, PAWL_EUSAGE,
               "%d ranks but %d lanes: a rank owns whole lanes; use at most %d ranks, or raise reduction_lanes (its slots: "
               "global_batch_size / micro_batch_size)", c->size, lanes, lanes);
    PAWL_TRY(pawl_alloc((void **)&r, sizeof *r, "the reduction"));
    *r = (pawl_reduction){.comm = c, .device = d, .kind = kind, .lanes = lanes, .count = count};
    r->arena.name = "gradients";
    lay_out(r);
    pawl_status s = pawl_arena_open(&r->arena);
    if (s != PAWL_OK) {
        pawl_free(r);
        return s;
    }
    lay_out(r);
    pawl_reduction_begin(r);
    *out = r;
    return PAWL_OK;
}

void pawl_reduction_close(pawl_reduction *r)
{
    if (!r) return;
    pawl_arena_close(&r->arena);
    pawl_free(r);
}

void pawl_reduction_begin(pawl_reduction *r)
{
    r->nodes = 0;
    r->lane = r->first;
}

float *pawl_reduction_lane(pawl_reduction *r, pawl_put *put)
{
    *put = r->kind == INVARIANT || r->lane == r->first ? PAWL_SET : PAWL_ADD;
    return r->buffer[r->kind == INVARIANT ? r->nodes : 0];
}

/* Pushes the finished lane and joins the two newest nodes for as long as they are siblings. */
pawl_status pawl_reduction_lane_done(pawl_reduction *r)
{
    const int lane = r->lane++;
    if (r->kind != INVARIANT) return PAWL_OK;
    r->node[r->nodes++] = (pawl_node){lane, lane + 1};
    while (r->nodes >= 2) {
        const pawl_node left = r->node[r->nodes - 2], right = r->node[r->nodes - 1], both = {left.first, right.end};
        if (!pawl_is_node(r->lanes, both) || pawl_node_split(both) != left.end) break;
        PAWL_TRY(pawl_add(r->device, r->buffer[r->nodes - 2], r->buffer[r->nodes - 1], r->count));
        r->node[r->nodes - 2] = both;
        r->nodes--;
    }
    return PAWL_OK;
}

/* Posts the transfer of count numbers in messages whose counts fit an int. tag tells the nodes of one rank apart. */
static pawl_status post(pawl_reduction *r, int receive, float *data, int64_t count, int peer, int tag)
{
    for (int64_t at = 0; at < count; at += MESSAGE_COUNT) {
        const int n = (int)(count - at < MESSAGE_COUNT ? count - at : MESSAGE_COUNT);
        PAWL_ASSERT(r->request_count < r->request_room);
        MPI_Request *q = &r->requests[r->request_count++];
        const int code = receive ? MPI_Irecv(data + at, n, MPI_FLOAT, peer, tag, pawl_mpi(r->comm), q)
                                 : MPI_Isend(data + at, n, MPI_FLOAT, peer, tag, pawl_mpi(r->comm), q);
        PAWL_TRY(pawl_mpi_status(code, receive ? "MPI_Irecv" : "MPI_Isend"));
        if (!receive) r->comm->bytes_sent += (uint64_t)n * sizeof(float);
    }
    return PAWL_OK;
}

static pawl_status wait_all(pawl_reduction *r)
{
    const int n = r->request_count;
    r->request_count = 0;
    return pawl_mpi_status(MPI_Waitall(n, r->requests, MPI_STATUSES_IGNORE), "MPI_Waitall");
}

/* A node of the tree that some rank has summed, and where this rank has its slice of my piece. */
typedef struct part { pawl_node node; float *slice; } part;

/* Sums my piece of node `at` into the slice of its leftmost part. */
static pawl_status finish_tree(pawl_reduction *r, pawl_node at, const part *parts, int count, int64_t piece, float **sum)
{
    float *right;
    for (int i = 0; i < count; i++)
        if (parts[i].node.first == at.first && parts[i].node.end == at.end) {
            *sum = parts[i].slice;
            return PAWL_OK;
        }
    const int split = pawl_node_split(at);
    PAWL_TRY(finish_tree(r, (pawl_node){at.first, split}, parts, count, piece, sum));
    PAWL_TRY(finish_tree(r, (pawl_node){split, at.end}, parts, count, piece, &right));
    return pawl_add(r->device, *sum, right, piece);
}

/* Every rank's slices of my piece come in, mine of the others' go out; then my piece is summed. */
static pawl_status sum_my_piece(pawl_reduction *r, float **sum)
{
    part parts[1024]; /* at most `lanes` nodes over all ranks, and lanes are at most 1024 */
    int64_t first, count, peer_first, peer_count;
    int part_count = 0;
    float *inbox = r->inbox;
    piece_of(r, r->comm->rank, &first, &count);
    for (int peer = 0; peer < r->comm->size; peer++) {
        pawl_node nodes[PAWL_NODES_MAX];
        const int n = nodes_of(r, peer, nodes);
        for (int i = 0; i < n; i++) {
            part *p = &parts[part_count++];
            p->node = nodes[i];
            p->slice = peer == r->comm->rank ? r->buffer[i] + first : inbox;
            if (peer == r->comm->rank) continue;
            inbox += count;
            PAWL_TRY(post(r, 1, p->slice, count, peer, i));
        }
    }
    for (int step = 1; step < r->comm->size; step++) { /* not all to rank 0 at first */
        const int peer = (r->comm->rank + step) % r->comm->size;
        piece_of(r, peer, &peer_first, &peer_count);
        for (int i = 0; i < r->nodes; i++) PAWL_TRY(post(r, 0, r->buffer[i] + peer_first, peer_count, peer, i));
    }
    PAWL_TRY(wait_all(r));
    return finish_tree(r, (pawl_node){0, r->lanes}, parts, part_count, count, sum);
}

static pawl_status gather_pieces(pawl_reduction *r, float *mine)
{
    enum { TAG = PAWL_NODES_MAX };
    int64_t first, count;
    float *whole = r->buffer[0];
    piece_of(r, r->comm->rank, &first, &count);
    if (mine != whole + first && count > 0) memmove(whole + first, mine, (size_t)count * sizeof(float));
    for (int peer = 0; peer < r->comm->size; peer++) {
        int64_t peer_first, peer_count;
        if (peer == r->comm->rank) continue;
        piece_of(r, peer, &peer_first, &peer_count);
        PAWL_TRY(post(r, 1, whole + peer_first, peer_count, peer, TAG));
    }
    for (int step = 1; step < r->comm->size; step++)
        PAWL_TRY(post(r, 0, whole + first, count, (r->comm->rank + step) % r->comm->size, TAG));
    return wait_all(r);
}

static pawl_status all_reduce(pawl_reduction *r)
{
    float *g = r->buffer[0];
    for (int64_t at = 0; at < r->count; at += FAST_COUNT) {
        const int n = (int)(r->count - at < FAST_COUNT ? r->count - at : FAST_COUNT);
        PAWL_TRY(pawl_mpi_status(MPI_Allreduce(MPI_IN_PLACE, g + at, n, MPI_FLOAT, MPI_SUM, pawl_mpi(r->comm)), "MPI_Allreduce"));
    }
    r->comm->bytes_sent += (uint64_t)r->count * sizeof(float);
    return PAWL_OK;
}

pawl_status pawl_reduction_end(pawl_reduction *r, float **sum)
{
    float *mine;
    PAWL_ASSERT(r->lane == r->end);
    *sum = r->buffer[0];
    if (r->comm->size == 1) return PAWL_OK; /* one rank owns the whole tree */
    if (r->kind != INVARIANT) return all_reduce(r);
    PAWL_TRY(sum_my_piece(r, &mine));
    return gather_pieces(r, mine);
}
