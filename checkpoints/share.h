/* checkpoints/share.h - the chunks of a list of tensors, dealt to ranks: of what every rank holds in runs of about
 * equal bytes, of what ranks hold in ranges to the one that holds a chunk's first byte. */
#ifndef PAWL_CHECKPOINTS_SHARE_H
#define PAWL_CHECKPOINTS_SHARE_H

#include "checkpoints/stored.h"

typedef struct pawl_held {
    int64_t first, end;
} pawl_held; /* bytes of a tensor that a rank holds */
/* What this process holds of t. */
pawl_held pawl_held_of(const pawl_named *t);

typedef struct pawl_share {
    int frozen, rank, size;    /* deals the tensors whose item.frozen is this */
    int64_t first, count;      /* the chunks that are dealt, as pawl_stored.first_chunk counts them */
    int32_t *writer;           /* [count] */
    pawl_digest *packed;       /* [count] rank by rank, for pawl_allgather_blocks */
    size_t bytes;              /* in this rank's chunks */
    size_t *lengths, *offsets; /* [size] of every rank's digests in packed, in bytes */
} pawl_share;

/* Numbers the chunks of list: tensors that change, then frozen ones. Returns how many. */
int64_t pawl_share_number(pawl_stored *list, int count);
/* held: [size][count]. Errors: EMEM. */
PAWL_MUST pawl_status pawl_share_open(const pawl_stored *list, int count, int frozen, int rank, int size,
                                      const pawl_held *held, pawl_share *out);
void pawl_share_close(pawl_share *s);
/* Bytes of rank's share alone (the plan), when it holds what the list says. */
size_t pawl_share_bytes(const pawl_stored *list, int count, int frozen, int rank, int size);

/* Whether chunk i of t is dealt to this rank. */
int pawl_share_has(const pawl_share *s, const pawl_stored *t, int64_t i);
/* Moves the digests of all chunks between their places and those in packed; mine: of this rank's share only. */
void pawl_share_pack(const pawl_share *s, const pawl_digest *chunks);
void pawl_share_unpack(const pawl_share *s, pawl_digest *chunks);

#endif
