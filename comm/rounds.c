/* The sum of a step's gradients in rounds, in the owners' ranges only.
 *
 * What is complete of a round's tree after a turn are the largest nodes over the lanes up to there: a stack, which this
 * rank keeps for its own range. A turn's lanes are leaves that come in from their ranks, a piece at a time; they are
 * joined with the stack, and the root is added to the sum of the rounds before. Between GPUs all of this is done aside, behind what a
 * pass computes next (decision 0053), in the same order. */
#include "comm/pieces.h"

enum { INBOXES = 2 };

struct pawl_rounds {
    pawl_comm *comm;
    pawl_device *device;
    const pawl_owners *owners;
    int64_t fewest;                   /* slots of a step */
    int64_t slots, first, end, piece; /* [first, end): this rank's range */
    int lanes, depth;                 /* depth: nodes on the stack at most */
    pawl_arena arena, here;       /* the device's, and the host's */
    float *sum;                   /* [range] */
    float *stack[PAWL_NODES_MAX]; /* [depth][range]; with one round the first is the sum */
    float *inbox[INBOXES];        /* [other ranks][piece] */
    pawl_summed *have;            /* [depth + ranks] */
    pawl_posted posted;

    int64_t round;
    pawl_node before[PAWL_NODES_MAX], after[PAWL_NODES_MAX]; /* the stack of nodes around the present turn */
    int before_count, after_count;
    int *turn;              /* [ranks] their lanes in this turn, -1 for none */
    float *grads;           /* of the part under way */
    int64_t part, part_end; /* its numbers */
    int aside, mark;        /* some of the sum is on its way, until that mark */
};

/* The first lane that is not through after so many turns. */
static int lanes_through(const pawl_rounds *r, int64_t round, int64_t turns)
{
    const int next = pawl_turn_lane(r->slots, r->lanes, r->comm->size, round, turns, 0);
    return next < 0 ? r->lanes : next;
}

/* The nodes that are complete after so many turns, but for those without a slot in this round. */
static int complete_nodes(const pawl_rounds *r, int64_t round, int64_t turns, pawl_node out[PAWL_NODES_MAX])
{
    int kept = 0;
    const int n = turns ? pawl_nodes_inside(r->lanes, 0, lanes_through(r, round, turns), out) : 0;
    for (int i = 0; i < n; i++)
        if (pawl_node_computes(r->slots, r->lanes, round, out[i])) out[kept++] = out[i];
    return kept;
}

static int is_root(const pawl_rounds *r, pawl_node n)
{
    return n.first == 0 && n.end == r->lanes;
}

static int deepest_of(const pawl_rounds *r)
{
    pawl_node nodes[PAWL_NODES_MAX];
    int most = 0;
    for (int64_t round = 0; round < pawl_rounds_of(r->slots, r->lanes); round++)
        for (int64_t turn = 1; turn <= pawl_turns_of(r->slots, r->lanes, r->comm->size, round); turn++) {
            const int n = complete_nodes(r, round, turn, nodes);
            if (n > most && !is_root(r, nodes[0])) most = n;
        }
    return most;
}

/* Of steps of any number of slots that may come. */
static int deepest(const pawl_rounds *r)
{
    pawl_rounds like = *r;
    int most = 0;
    for (like.slots = r->fewest; like.slots <= r->slots; like.slots++) {
        const int depth = deepest_of(&like);
        if (depth > most) most = depth;
    }
    return most;
}

static void lay_out(pawl_rounds *r)
{
    const int size = r->comm->size, one_round = pawl_rounds_of(r->slots, r->lanes) == 1;
    int64_t longest = 0;
    r->depth = deepest(r);
    pawl_owner_range(r->owners, r->comm->rank, &r->first, &r->end);
    const size_t bytes = (size_t)(r->end - r->first) * sizeof(float);
    r->sum = pawl_take_bytes(&r->arena, bytes);
    for (int i = 0; i < r->depth; i++) r->stack[i] = i == 0 && one_round ? r->sum : pawl_take_bytes(&r->arena, bytes);
    for (int rank = 0; rank < size; rank++) {
        int64_t first, end;
        pawl_owner_range(r->owners, rank, &first, &end);
        if (end - first > longest) longest = end - first;
    }
    r->piece = pawl_piece_count(size - 1, longest);
    for (int i = 0; i < INBOXES; i++)
        r->inbox[i] = pawl_take_bytes(&r->arena, (size_t)((size - 1) * r->piece) * sizeof(float));
    r->have = pawl_take_bytes(&r->here, (size_t)(r->depth + size) * sizeof *r->have);
    r->turn = pawl_take_bytes(&r->here, (size_t)size * sizeof *r->turn);
    pawl_posted_lay_out(&r->posted, &r->here, (int64_t)INBOXES * 2 * size, 2 * (size - 1) * r->piece);
}

pawl_room pawl_rounds_bytes(const pawl_comm *c, pawl_device *d, int64_t fewest, int64_t slots, int lanes, const pawl_owners *owners)
{
    pawl_comm like = *c;
    pawl_rounds r = {.comm = &like, .device = d, .fewest = fewest, .slots = slots, .lanes = lanes, .owners = owners, .posted = {.comm = &like, .device = d}};
    lay_out(&r);
    return pawl_room_of(&r.arena, &r.here);
}

pawl_status pawl_rounds_open(pawl_comm *c, pawl_device *d, int64_t fewest, int64_t slots, int lanes, const pawl_owners *owners,
                             pawl_rounds **out)
{
    pawl_rounds *r;
    PAWL_CHECK(c->size <= lanes, PAWL_EUSAGE, "%d ranks but %d lanes: use at most %d ranks, or raise reduction_lanes",
               c->size, lanes, lanes);
    PAWL_TRY(pawl_alloc((void **)&r, sizeof *r, "the reduction"));
    *r = (pawl_rounds){.comm = c,
                       .device = d,
                       .fewest = fewest,
                       .slots = slots,
                       .lanes = lanes,
                       .owners = owners,
                       .arena = {.name = "gradients"},
                       .here = {.name = "gradients"},
                       .posted = {.comm = c, .device = d}};
    lay_out(r); /* measures */
    pawl_status s = pawl_shared_open(c, d, &r->arena);
    if (s == PAWL_OK) s = pawl_arena_open_on(d, PAWL_ON_HOST, &r->here);
    if (s != PAWL_OK) {
        pawl_rounds_close(r);
        return s;
    }
    lay_out(r);
    *out = r;
    return PAWL_OK;
}

void pawl_rounds_slots(pawl_rounds *r, int64_t slots)
{
    r->slots = slots;
}

void pawl_rounds_close(pawl_rounds *r)
{
    if (!r) return;
    if (r->aside) pawl_comm_disconnect(r->comm); /* before memory is given back that messages come to */
    pawl_shared_close(r->comm, r->device, &r->arena);
    pawl_arena_close_on(r->device, PAWL_ON_HOST, &r->here);
    pawl_free(r);
}

void pawl_rounds_turn(pawl_rounds *r, int64_t round, int64_t turn)
{
    r->round = round;
    r->before_count = complete_nodes(r, round, turn, r->before);
    r->after_count = complete_nodes(r, round, turn + 1, r->after);
    for (int rank = 0; rank < r->comm->size; rank++)
        r->turn[rank] = pawl_turn_lane(r->slots, r->lanes, r->comm->size, round, turn, rank);
}

/* The piece with that number of a rank's share of the part under way. */
static void piece_of(const pawl_rounds *r, int rank, int64_t number, int64_t *at, int64_t *count)
{
    int64_t first, end;
    pawl_owner_range(r->owners, rank, &first, &end);
    if (first < r->part) first = r->part;
    if (end > r->part_end) end = r->part_end;
    *at = first + number * r->piece;
    *count = end - *at < r->piece ? end - *at : r->piece;
    if (*count < 0) *count = 0;
}

static int64_t pieces_in_part(const pawl_rounds *r)
{
    int64_t pieces = 0, at, count;
    for (int rank = 0; rank < r->comm->size; rank++)
        for (piece_of(r, rank, pieces, &at, &count); count > 0; piece_of(r, rank, pieces, &at, &count)) pieces++;
    return pieces;
}

static pawl_status post_piece(pawl_rounds *r, int64_t number)
{
    const int me = r->comm->rank, size = r->comm->size;
    int64_t at, count;
    float *to = r->inbox[number % INBOXES];
    piece_of(r, me, number, &at, &count);
    for (int peer = 0; peer < size; peer++) {
        if (peer == me || r->turn[peer] < 0) continue;
        PAWL_TRY(pawl_post_receive(&r->posted, to, count, peer));
        to += r->piece;
    }
    for (int step = 1; step < size && r->turn[me] >= 0; step++) {
        piece_of(r, (me + step) % size, number, &at, &count);
        PAWL_TRY(pawl_post_send(&r->posted, r->grads + (at - r->part), count, (me + step) % size));
    }
    return PAWL_OK;
}

/* Where the sum of a node belongs: on the stack, or, at the root, in the sum of all rounds. */
static pawl_status put_away(pawl_rounds *r, int place, float *from, int64_t offset, int64_t count)
{
    const int root = is_root(r, r->after[place]);
    float *to = (root ? r->sum : r->stack[place]) + offset;
    if (root && r->round > 0) return pawl_add(r->device, to, from, count);
    return to != from ? pawl_piece_copy(r->device, to, from, count) : PAWL_OK;
}

static pawl_status sum_piece(pawl_rounds *r, int64_t number)
{
    int64_t at, count;
    int have = 0;
    float *from = r->inbox[number % INBOXES];
    piece_of(r, r->comm->rank, number, &at, &count);
    if (count == 0) return PAWL_OK;
    for (int i = 0; i < r->before_count; i++)
        r->have[have++] = (pawl_summed){r->before[i], r->stack[i] + (at - r->first)};
    for (int rank = 0; rank < r->comm->size; rank++) {
        const int lane = r->turn[rank], here = rank == r->comm->rank;
        if (lane < 0) continue;
        r->have[have++] = (pawl_summed){{lane, lane + 1}, here ? r->grads + (at - r->part) : from};
        if (!here) from += r->piece;
    }
    for (int i = 0; i < r->after_count; i++) {
        float *sum;
        PAWL_TRY(pawl_tree_sum(r->device, r->after[i], r->have, have, count, &sum));
        PAWL_TRY(put_away(r, i, sum, at - r->first, count));
    }
    return PAWL_OK;
}

static pawl_status exchange(pawl_rounds *r)
{
    const int64_t pieces = pieces_in_part(r);
    if (pieces) PAWL_TRY(post_piece(r, 0));
    for (int64_t number = 0; number < pieces; number++) {
        PAWL_TRY(pawl_posted_wait(&r->posted));
        if (number + 1 < pieces) PAWL_TRY(post_piece(r, number + 1));
        PAWL_TRY(sum_piece(r, number));
    }
    return PAWL_OK;
}

pawl_status pawl_rounds_add(pawl_rounds *r, int64_t first, int64_t count, float *grads, int mark)
{
    PAWL_ASSERT(grads || r->turn[r->comm->rank] < 0);
    r->part = first;
    r->part_end = first + count;
    r->grads = grads;
    if (!pawl_comm_overlaps(r->comm, r->device)) return exchange(r);
    PAWL_TRY(pawl_aside_begin(r->device));
    r->aside = 1;
    r->mark = mark;
    const pawl_status s = exchange(r), ended = pawl_aside_end(r->device, mark);
    return s != PAWL_OK ? s : ended;
}

pawl_status pawl_rounds_sum(pawl_rounds *r, float **sum)
{
    *sum = r->sum;
    if (r->aside) PAWL_TRY(pawl_aside_await(r->device, r->mark));
    r->aside = 0;
    return PAWL_OK;
}
