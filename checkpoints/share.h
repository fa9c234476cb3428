/* checkpoints/share.h - the chunks of a list of tensors, dealt to ranks in contiguous runs of about equal bytes. */
#ifndef PAWL_CHECKPOINTS_SHARE_H
#define PAWL_CHECKPOINTS_SHARE_H

#include "checkpoints/stored.h"

typedef struct pawl_share {
    int frozen;                /* deals the tensors whose item.frozen is this */
    int64_t first, end;        /* this rank's chunks, as pawl_stored.first_chunk counts them */
    size_t bytes;              /* in this rank's chunks */
    size_t *lengths, *offsets; /* of every rank's digests, in bytes, for pawl_allgather_blocks */
    int64_t first_of_all;      /* chunk at which offsets begin */
} pawl_share;

/* Numbers the chunks of list: tensors that change, then frozen ones. Returns how many. */
int64_t pawl_share_number(pawl_stored *list, int count);
PAWL_MUST pawl_status pawl_share_open(const pawl_stored *list, int count, int frozen, int rank, int size,
                                      pawl_share *out);
void pawl_share_close(pawl_share *s);
/* Bytes of rank's share alone (the plan). */
size_t pawl_share_bytes(const pawl_stored *list, int count, int frozen, int rank, int size);

/* The part of a share that is tensor t's: chunks [first, end) of t. 1 when there is any. */
int pawl_share_of_tensor(const pawl_share *s, const pawl_stored *t, int64_t *first, int64_t *end);

#endif
