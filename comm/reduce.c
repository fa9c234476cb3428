/* The sum of a step's gradients over lanes and ranks.
 *
 * Invariant: a rank adds its lanes into the largest nodes of the fixed tree that it owns whole. Every rank owns a range of
 * the flat run; range by range in pieces, everyone sends its nodes' slices to the owner, who finishes the tree. Where all
 * want the sum, the owner sends the piece on. The pieces of one round are on their way while those of the round before are
 * added. Every number is added in the order of the tree, whoever adds it.
 * Where GPUs exchange by NCCL this begins behind the backward pass of a rank's last slot (decision 0046): parts of the model are ready one
 * after another, from the end of the run, and when a bucket of them is together its exchange is put aside. What is not ready by then
 * follows at the end. Borders of buckets are nowhere to be seen in a sum of elements.
 * Fast: one buffer a rank, NCCL's all-reduce, or MPI's, in messages that shared memory likes (performance.md, section 5). */
#include <string.h>

#include "comm/nccl.h"
#include "comm/pieces.h"

enum { FAST_COUNT = 1 << 18, INVARIANT = 0, INBOXES = 2 };

struct pawl_reduction {
    pawl_comm *comm;
    pawl_device *device;
    const pawl_owners *owners;   /* who keeps which range of the sum; NULL: equal ranges, and all get all of it */
    int kind, lanes, first, end; /* this rank's lanes are [first, end) */
    int64_t count, piece;
    int64_t bucket;      /* numbers that are exchanged together behind the backward pass; 0: all of them after it */
    int64_t ready, left; /* [ready, left) is ready, what is above is exchanged, or on its way */
    int64_t from, till;  /* what is being exchanged */
    int aside;           /* some of it is on its way */
    pawl_arena arena, here;        /* the device's, and the host's */
    float *buffer[PAWL_NODES_MAX]; /* [buffers][count] */
    float *inbox[INBOXES];         /* [nodes of all other ranks][piece] */
    pawl_summed *have;             /* [nodes of all ranks] */
    float *staged;                 /* fast, where memory is not shared: [FAST_COUNT] */
    pawl_posted posted;
    int buffers;

    pawl_node node[PAWL_NODES_MAX]; /* what buffer[i] holds, in order; a stack */
    int nodes, lane;                /* lane: the one being summed, or the next */
};

/* Which numbers of those that are exchanged a rank adds. A bucket is in one or two owners' ranges: all ranks work for them. */
static void range_of(const pawl_reduction *r, int rank, int64_t *first, int64_t *end)
{
    const int64_t unit = PAWL_ALIGN / (int64_t)sizeof(float), units = (r->till - r->from + unit - 1) / unit;
    if (r->owners && r->from == 0 && r->till == r->count) {
        pawl_owner_range(r->owners, rank, first, end);
        return;
    }
    *first = r->from + units * rank / r->comm->size * unit;
    *end = r->from + units * (rank + 1) / r->comm->size * unit;
    if (*end > r->till) *end = r->till;
}

/* What a rank is to have of the numbers [*at, *at + *count) of the sum. */
static void wanted_by(const pawl_reduction *r, int rank, int64_t *at, int64_t *count)
{
    int64_t first, end, till = *at + *count;
    if (!r->owners) return;
    pawl_owner_range(r->owners, rank, &first, &end);
    if (first > *at) *at = first;
    if (end < till) till = end;
    *count = till > *at ? till - *at : 0;
}

/* The piece of a rank's range that is its turn in a round. */
static void piece_of(const pawl_reduction *r, int rank, int64_t round, int64_t *at, int64_t *count)
{
    int64_t first, end;
    range_of(r, rank, &first, &end);
    *at = first + round * r->piece;
    *count = end - *at < r->piece ? end - *at : r->piece;
    if (*count < 0) *count = 0;
}

static int nodes_of(const pawl_reduction *r, int rank, pawl_node out[PAWL_NODES_MAX])
{
    int first, end;
    pawl_lanes_of(r->lanes, rank, r->comm->size, &first, &end);
    return pawl_nodes_inside(r->lanes, first, end, out);
}

static void lay_out(pawl_reduction *r)
{
    pawl_node nodes[PAWL_NODES_MAX];
    r->till = r->count;
    int64_t foreign = 0, longest = 0;
    const int size = r->comm->size;
    pawl_lanes_of(r->lanes, r->comm->rank, size, &r->first, &r->end);
    r->buffers = r->kind == INVARIANT ? pawl_nodes_alive(r->lanes, r->first, r->end) : 1;
    for (int i = 0; i < r->buffers; i++)
        r->buffer[i] = pawl_take_bytes(&r->arena, (size_t)r->count * sizeof(float));
    if (size == 1) return;
    if (r->kind != INVARIANT) {
        if (!pawl_device_shares_memory(r->device)) r->staged = pawl_take_bytes(&r->here, FAST_COUNT * sizeof *r->staged);
        return;
    }
    const int mine = nodes_of(r, r->comm->rank, nodes);
    for (int rank = 0; rank < size; rank++) {
        int64_t first, end;
        range_of(r, rank, &first, &end);
        if (end - first > longest) longest = end - first;
        if (rank != r->comm->rank) foreign += nodes_of(r, rank, nodes);
    }
    r->piece = pawl_piece_count(foreign, longest);
    for (int i = 0; i < INBOXES; i++) r->inbox[i] = pawl_take_bytes(&r->arena, (size_t)(foreign * r->piece) * sizeof(float));
    r->have = pawl_take_bytes(&r->here, (size_t)(foreign + mine) * sizeof *r->have);
    pawl_posted_lay_out(&r->posted, &r->here, foreign + (int64_t)(mine + 2) * size,
                        (foreign + (int64_t)(mine + 1) * size) * r->piece);
}

pawl_room pawl_reduction_bytes(const pawl_comm *c, pawl_device *d, int kind, int lanes, int64_t count, const pawl_owners *owners)
{
    pawl_comm like = *c;
    pawl_reduction r = {.comm = &like, .device = d, .kind = kind, .lanes = lanes, .count = count, .owners = owners, .posted = {.comm = &like, .device = d}};
    lay_out(&r);
    return pawl_room_of(&r.arena, &r.here);
}

pawl_status pawl_reduction_open(pawl_comm *c, pawl_device *d, int kind, int lanes, int64_t count, const pawl_owners *owners,
                                pawl_reduction **out)
{
    pawl_reduction *r;
    PAWL_CHECK(c->size <= lanes, PAWL_EUSAGE,
               "%d ranks but %d lanes: a rank owns whole lanes; use at most %d ranks, or raise reduction_lanes (its slots: "
               "global_batch_size / micro_batch_size)", c->size, lanes, lanes);
    PAWL_CHECK(kind == INVARIANT || !owners, PAWL_EUSAGE, "reduction: fast gives all of the sum to every rank: use it with zero_stage 0");
    PAWL_TRY(pawl_alloc((void **)&r, sizeof *r, "the reduction"));
    *r = (pawl_reduction){
        .comm = c, .device = d, .kind = kind, .lanes = lanes, .count = count, .owners = owners, .posted = {.comm = c, .device = d}};
    r->arena.name = r->here.name = "gradients";
    if (pawl_comm_overlaps(c, d)) r->bucket = c->bucket;
    lay_out(r); /* measures */
    pawl_status s = pawl_shared_open(c, d, &r->arena);
    if (s == PAWL_OK && r->here.used) s = pawl_arena_open_on(d, PAWL_ON_HOST, &r->here);
    if (s != PAWL_OK) {
        pawl_reduction_close(r);
        return s;
    }
    lay_out(r);
    pawl_reduction_begin(r);
    *out = r;
    return PAWL_OK;
}

/* Memory that messages come to is not given back before they have come, or been given up. */
void pawl_reduction_close(pawl_reduction *r)
{
    if (!r) return;
    if (r->aside) pawl_comm_disconnect(r->comm);
    pawl_shared_close(r->comm, r->device, &r->arena);
    pawl_arena_close_on(r->device, PAWL_ON_HOST, &r->here);
    pawl_free(r);
}

void pawl_reduction_begin(pawl_reduction *r)
{
    r->nodes = 0;
    r->lane = r->first;
    r->ready = r->left = r->count;
}

float *pawl_reduction_lane(pawl_reduction *r, pawl_put *put)
{
    *put = r->kind == INVARIANT || r->lane == r->first ? PAWL_SET : PAWL_ADD;
    return r->buffer[r->kind == INVARIANT ? r->nodes : 0];
}

/* Pushes the lane that is finished, and joins the two newest nodes for as long as they are siblings: numbers [first, end) of them. */
static pawl_status push_lane(pawl_reduction *r, pawl_node *node, int *nodes, int64_t first, int64_t end)
{
    node[(*nodes)++] = (pawl_node){r->lane, r->lane + 1};
    while (*nodes >= 2) {
        const pawl_node left = node[*nodes - 2], right = node[*nodes - 1], both = {left.first, right.end};
        if (!pawl_is_node(r->lanes, both) || pawl_node_split(both) != left.end) break;
        if (first < end) PAWL_TRY(pawl_add(r->device, r->buffer[*nodes - 2] + first, r->buffer[*nodes - 1] + first, end - first));
        node[*nodes - 2] = both;
        (*nodes)--;
    }
    return PAWL_OK;
}

pawl_status pawl_reduction_lane_done(pawl_reduction *r)
{
    const pawl_status s = r->kind == INVARIANT ? push_lane(r, r->node, &r->nodes, 0, r->left) : PAWL_OK;
    r->lane++;
    return s;
}

/* Slices of my piece come in from everyone, and mine of the others' pieces go out. */
static pawl_status post_slices(pawl_reduction *r, int64_t round)
{
    pawl_node nodes[PAWL_NODES_MAX];
    int64_t at, count;
    float *to = r->inbox[round % INBOXES];
    piece_of(r, r->comm->rank, round, &at, &count);
    for (int peer = 0; peer < r->comm->size; peer++) {
        if (peer == r->comm->rank) continue;
        for (int i = nodes_of(r, peer, nodes); i > 0; i--, to += r->piece)
            PAWL_TRY(pawl_post_receive(&r->posted, to, count, peer));
    }
    for (int step = 1; step < r->comm->size; step++) { /* not all to rank 0 at first */
        const int peer = (r->comm->rank + step) % r->comm->size;
        piece_of(r, peer, round, &at, &count);
        const int mine = nodes_of(r, r->comm->rank, nodes);
        for (int i = 0; i < mine; i++) PAWL_TRY(pawl_post_send(&r->posted, r->buffer[i] + at, count, peer));
    }
    return PAWL_OK;
}

/* Finishes the tree for my piece, whose slices are here, and leaves it in its place in the first buffer. */
static pawl_status sum_piece(pawl_reduction *r, int64_t round)
{
    pawl_node nodes[PAWL_NODES_MAX];
    int64_t at, count;
    int have = 0;
    float *from = r->inbox[round % INBOXES], *sum;
    piece_of(r, r->comm->rank, round, &at, &count);
    if (count == 0) return PAWL_OK;
    for (int peer = 0; peer < r->comm->size; peer++) {
        const int n = nodes_of(r, peer, nodes);
        for (int i = 0; i < n; i++) {
            const int here = peer == r->comm->rank;
            r->have[have++] = (pawl_summed){nodes[i], here ? r->buffer[i] + at : from};
            if (!here) from += r->piece;
        }
    }
    PAWL_TRY(pawl_tree_sum(r->device, (pawl_node){0, r->lanes}, r->have, have, count, &sum));
    return sum != r->buffer[0] + at ? pawl_piece_copy(r->device, r->buffer[0] + at, sum, count) : PAWL_OK;
}

/* Every rank's piece of a round to those that want it. */
static pawl_status post_sums(pawl_reduction *r, int64_t round)
{
    const int me = r->comm->rank, size = r->comm->size;
    int64_t at, count;
    for (int peer = 0; peer < size; peer++) {
        if (peer == me) continue;
        piece_of(r, peer, round, &at, &count);
        wanted_by(r, me, &at, &count);
        PAWL_TRY(pawl_post_receive(&r->posted, r->buffer[0] + at, count, peer));
    }
    for (int step = 1; step < size; step++) {
        const int peer = (me + step) % size;
        piece_of(r, me, round, &at, &count);
        wanted_by(r, peer, &at, &count);
        PAWL_TRY(pawl_post_send(&r->posted, r->buffer[0] + at, count, peer));
    }
    return PAWL_OK;
}

static pawl_status join_ranks(pawl_reduction *r)
{
    int64_t rounds = 0;
    for (int rank = 0; rank < r->comm->size; rank++) {
        int64_t first, end;
        range_of(r, rank, &first, &end);
        if (r->piece && (end - first + r->piece - 1) / r->piece > rounds) rounds = (end - first + r->piece - 1) / r->piece;
    }
    if (rounds) PAWL_TRY(post_slices(r, 0));
    for (int64_t round = 0; round < rounds; round++) {
        PAWL_TRY(pawl_posted_wait(&r->posted));
        if (round + 1 < rounds) PAWL_TRY(post_slices(r, round + 1));
        PAWL_TRY(sum_piece(r, round));
        PAWL_TRY(post_sums(r, round));
    }
    return pawl_posted_wait(&r->posted);
}

static pawl_status all_reduce(pawl_reduction *r)
{
    float *g = r->buffer[0];
    if (r->comm->gpus && !pawl_device_shares_memory(r->device)) return pawl_nccl_sum(r->comm->gpus, g + r->from, r->till - r->from);
    for (int64_t at = r->from; at < r->till; at += FAST_COUNT) {
        const int n = (int)(r->till - at < FAST_COUNT ? r->till - at : FAST_COUNT);
        float *here = pawl_host_side(r->device, g + at, r->staged);
        PAWL_TRY(pawl_download(r->device, here, g + at, (size_t)n * sizeof *g));
        PAWL_TRY(pawl_mpi_status(MPI_Allreduce(MPI_IN_PLACE, here, n, MPI_FLOAT, MPI_SUM, pawl_mpi(r->comm)), "MPI_Allreduce"));
        PAWL_TRY(pawl_upload(r->device, g + at, here, (size_t)n * sizeof *g));
    }
    r->comm->bytes_sent += (uint64_t)(r->till - r->from) * sizeof(float);
    return PAWL_OK;
}

static pawl_status exchange(pawl_reduction *r, int64_t from, int64_t till)
{
    r->from = from;
    r->till = till;
    return r->kind == INVARIANT ? join_ranks(r) : all_reduce(r);
}

/* ---- behind the backward pass ---- */

int pawl_reduction_overlaps(const pawl_reduction *r)
{
    return r->bucket > 0;
}

/* The lane that is not finished yet is, as far as the bucket goes. */
static pawl_status finish_and_exchange(pawl_reduction *r)
{
    pawl_node node[PAWL_NODES_MAX];
    int nodes = r->nodes;
    memcpy(node, r->node, sizeof node);
    if (r->kind == INVARIANT) PAWL_TRY(push_lane(r, node, &nodes, r->ready, r->left));
    return exchange(r, r->ready, r->left);
}

pawl_status pawl_reduction_ready(pawl_reduction *r, int64_t first, int64_t count)
{
    if (!r->bucket) return PAWL_OK;
    PAWL_ASSERT(r->lane == r->end - 1 && first + count == r->ready);
    r->ready = first;
    if (r->left - r->ready < r->bucket && r->ready > 0) return PAWL_OK;
    PAWL_TRY(pawl_aside_begin(r->device));
    r->aside = 1;
    const pawl_status s = finish_and_exchange(r), ended = pawl_aside_end(r->device, PAWL_MARK_SUMS);
    r->left = r->ready;
    return s != PAWL_OK ? s : ended;
}

pawl_status pawl_reduction_end(pawl_reduction *r, float **sum)
{
    PAWL_ASSERT(r->lane == r->end);
    *sum = r->buffer[0];
    if (r->comm->size == 1) return PAWL_OK; /* one rank owns the whole tree */
    if (r->aside) PAWL_TRY(pawl_aside_await(r->device, PAWL_MARK_SUMS));
    r->aside = 0;
    return r->left > 0 ? exchange(r, 0, r->left) : PAWL_OK;
}
