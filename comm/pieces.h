/* comm/pieces.h - private to comm/: pieces of the flat run on their way between ranks, and the tree finished over them.
 */
#ifndef PAWL_COMM_PIECES_H
#define PAWL_COMM_PIECES_H

#include "comm/comm.h"
#include "comm/lanes.h"
#include "comm/mpi.h"
#include "core/arena.h"

enum {
    PAWL_PIECE_COUNT = 1 << 18, /* numbers of a piece, ... */
    PAWL_INBOX_COUNT = 1 << 22, /* and at most of all that a rank receives at a time, ... */
    PAWL_PIECE_LEAST = 1 << 12  /* unless very many send */
};

/* Numbers of a piece when `senders` send theirs at once and no rank has more than `longest`. */
int64_t pawl_piece_count(int64_t senders, int64_t longest);

/* Messages under way, of numbers in the memory of a device. By NCCL, where ranks have that (comm->gpus), they are on their way once they are
 * waited for, which the host then does not: they are in order with ops. Else, where the host does not share it they go by way of `staged`: what is
 * sent is brought down when it is posted, what has come goes up when it was waited for. */
typedef struct pawl_posted {
    pawl_comm *comm;
    pawl_device *device; /* NULL: the numbers are the host's */
    MPI_Request *requests;
    struct pawl_message {
        float *to; /* NULL: it is sent, from here */
        const float *from;
        int64_t count;
        int peer;
    } *messages; /* [room], by NCCL in place of requests */
    int room, count;
    float *staged;
    int64_t staged_room, staged_count;
    struct pawl_landing {
        float *there;
        const float *here;
        int64_t count;
    } *landings; /* [room] */
    int landing_count;
    const float *sent, *sent_here; /* the last that was brought down: a piece for many is, once */
    int64_t sent_count;
} pawl_posted;
/* Room for so many messages, and `numbers` in all that they carry between two waits. In the host's memory. */
void pawl_posted_lay_out(pawl_posted *p, pawl_arena *a, int64_t room, int64_t numbers);
/* A piece of at most PAWL_PIECE_COUNT numbers; messages between two ranks arrive in the order in which they were
 * posted. */
PAWL_MUST pawl_status pawl_post_receive(pawl_posted *p, float *data, int64_t count, int peer);
PAWL_MUST pawl_status pawl_post_send(pawl_posted *p, const float *data, int64_t count, int peer);
PAWL_MUST pawl_status pawl_posted_wait(pawl_posted *p);

/* to = from, which do not overlap, both in the device's memory. */
PAWL_MUST pawl_status pawl_piece_copy(pawl_device *d, float *to, const float *from, int64_t count);

/* A node of the tree that has been summed, and where its numbers are. */
typedef struct pawl_summed {
    pawl_node node;
    float *at;
} pawl_summed;
/* Sums node `of` over `count` numbers, out of nodes and leaves inside it, into the place of the leftmost; lanes that
 * are in none of them add nothing. *sum: NULL when there are none at all. */
PAWL_MUST pawl_status pawl_tree_sum(pawl_device *d, pawl_node of, const pawl_summed *have, int have_count,
                                    int64_t count, float **sum);

#endif
