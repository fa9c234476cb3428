/* Tensors that ranks hold in ranges: who holds what, and the chunks that several hold. A chunk is written by the rank
 * that holds its first byte; the others send it theirs, never more than a chunk of a tensor from anyone. */
#include <string.h>

#include "checkpoints/saver.h"

static pawl_status check_whole(const pawl_saver *s, const pawl_held *held)
{
    for (int i = 0; i < s->count; i++) {
        int64_t bytes = 0;
        for (int r = 0; r < s->comm->size; r++)
            bytes += held[(int64_t)r * s->count + i].end - held[(int64_t)r * s->count + i].first;
        PAWL_CHECK(!s->tensors[i].item.sharded || bytes == (int64_t)s->tensors[i].bytes, PAWL_EBUG,
                   "tensor %s: the ranks hold %lld bytes of its %zu", s->tensors[i].item.name, (long long)bytes,
                   s->tensors[i].bytes);
    }
    return PAWL_OK;
}

pawl_status pawl_held_gather(pawl_saver *s, pawl_held **out)
{
    const size_t count = (size_t)s->count;
    pawl_held *all = NULL;
    PAWL_TRY(pawl_agree(
        s->comm, pawl_alloc((void **)&all, (size_t)s->comm->size * count * sizeof *all, "the ranges of all ranks")));
    pawl_held *mine = all + (size_t)s->comm->rank * count;
    for (int i = 0; i < s->count; i++) mine[i] = pawl_held_of(&s->tensors[i].item);
    pawl_status status = pawl_allgather(s->comm, mine, count * sizeof *mine, all);
    if (status == PAWL_OK) status = pawl_agree(s->comm, check_whole(s, all));
    if (status == PAWL_OK)
        *out = all;
    else
        pawl_free(all);
    return status;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* What `from` holds of a chunk that `to` writes; `there` is the chunk's place in this rank's snapshot. Without a list
 * it counts. */
static void add_transfer(pawl_saver *s, const pawl_stored *t, int64_t chunk, pawl_held part, int from, int to,
                         char *there)
{
    const int rank = s->comm->rank, n = s->transfer_count;
    if (part.first >= part.end || from == to || (from != rank && to != rank)) return;
    s->transfer_count++;
    if (!s->transfers) return;
    char *here = (char *)t->item.tensor.data + (part.first - pawl_held_of(&t->item).first);
    s->transfers[n] = (pawl_transfer){.data = to == rank ? there + (part.first - chunk * PAWL_CHUNK_BYTES) : here,
                                      .bytes = (size_t)(part.end - part.first),
                                      .from = from,
                                      .to = to};
}

static void list_transfers(pawl_saver *s, const pawl_held *held)
{
    char *there = s->snapshot.base;
    s->transfer_count = 0;
    for (int i = 0; i < s->count; i++) {
        const pawl_stored *t = &s->tensors[i];
        for (int64_t c = 0; c < t->chunk_count && !t->item.frozen; c++) {
            const int64_t bytes = (int64_t)pawl_stored_chunk_bytes(t, c), at = c * PAWL_CHUNK_BYTES;
            const int to = s->changing.writer[t->first_chunk + c - s->changing.first];
            for (int r = 0; r < s->comm->size && t->item.sharded; r++) {
                const pawl_held h = held[(int64_t)r * s->count + i];
                add_transfer(s, t, c, (pawl_held){larger(h.first, at), smaller(h.end, at + bytes)}, r, to, there);
            }
            if (to == s->comm->rank) there += bytes;
        }
    }
}

pawl_status pawl_transfers_plan(pawl_saver *s, const pawl_held *held)
{
    list_transfers(s, held);
    PAWL_TRY(pawl_alloc((void **)&s->transfers, (size_t)s->transfer_count * sizeof *s->transfers,
                        "the list of what ranks exchange"));
    list_transfers(s, held);
    return PAWL_OK;
}

void pawl_snapshot_copy(pawl_saver *s)
{
    char *to = s->snapshot.base;
    for (int i = 0; i < s->count; i++) {
        const pawl_stored *t = &s->tensors[i];
        const pawl_held h = pawl_held_of(&t->item);
        for (int64_t c = 0; c < t->chunk_count && !t->item.frozen; c++) {
            if (!pawl_share_has(&s->changing, t, c)) continue;
            const int64_t bytes = (int64_t)pawl_stored_chunk_bytes(t, c), at = c * PAWL_CHUNK_BYTES;
            const int64_t first = larger(h.first, at), end = smaller(h.end, at + bytes);
            if (first < end)
                memcpy(to + (first - at), (const char *)t->item.tensor.data + (first - h.first), (size_t)(end - first));
            to += bytes;
        }
    }
}
