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
    const size_t bytes = (size_t)(part.end - part.first);
    const int apart = from == rank && !pawl_device_shares_memory(t->item.device);
    char *out = s->outgoing ? s->outgoing + s->outgoing_bytes : NULL;
    s->transfer_count++;
    if (apart) s->outgoing_bytes += bytes;
    if (!s->transfers) return;
    char *here = (char *)t->item.tensor.data + (part.first - pawl_held_of(&t->item).first);
    if (apart) {
        s->sent[n] = (struct pawl_sent){.device = t->item.device, .from = here};
        here = out;
    }
    s->transfers[n] = (pawl_transfer){.data = to == rank ? there + (part.first - chunk * PAWL_CHUNK_BYTES) : here,
                                      .bytes = bytes,
                                      .from = from,
                                      .to = to};
}

/* Whether this rank holds all of chunk c: then it lies in the caller's memory as it is to be written. */
static int holds_chunk(const pawl_stored *t, int64_t c)
{
    const pawl_held h = pawl_held_of(&t->item);
    return h.first <= c * PAWL_CHUNK_BYTES && c * PAWL_CHUNK_BYTES + (int64_t)pawl_stored_chunk_bytes(t, c) <= h.end;
}

/* Of the tensors that change, or of frozen ones; returns the bytes of the places that chunks are put together at. */
static size_t list_transfers(pawl_saver *s, const pawl_held *held, const pawl_share *share, char *base)
{
    size_t used = 0;
    for (int i = 0; i < s->count; i++) {
        const pawl_stored *t = &s->tensors[i];
        for (int64_t c = 0; c < t->chunk_count && !t->item.frozen == !share->frozen; c++) {
            const int64_t bytes = (int64_t)pawl_stored_chunk_bytes(t, c), at = c * PAWL_CHUNK_BYTES;
            const int to = share->writer[t->first_chunk + c - share->first];
            for (int r = 0; r < s->comm->size && t->item.sharded; r++) {
                const pawl_held h = held[(int64_t)r * s->count + i];
                add_transfer(s, t, c, (pawl_held){larger(h.first, at), smaller(h.end, at + bytes)}, r, to, base ? base + used : NULL);
            }
            if (to == s->comm->rank && !(share->frozen && holds_chunk(t, c))) used += (size_t)bytes;
        }
    }
    return used;
}

static void list_all(pawl_saver *s, const pawl_held *held)
{
    s->transfer_count = 0;
    s->outgoing_bytes = 0;
    (void)list_transfers(s, held, &s->changing, s->snapshot.base);
    s->changing_transfers = s->transfer_count;
    s->edge_bytes = list_transfers(s, held, &s->frozen, s->edges);
}

pawl_status pawl_transfers_plan(pawl_saver *s, const pawl_held *held)
{
    list_all(s, held);
    PAWL_TRY(pawl_alloc((void **)&s->edges, s->edge_bytes, "chunks that several ranks hold"));
    PAWL_TRY(pawl_alloc((void **)&s->outgoing, s->outgoing_bytes, "chunks that several ranks hold"));
    PAWL_TRY(pawl_alloc((void **)&s->sent, (size_t)s->transfer_count * sizeof *s->sent, "the list of what ranks exchange"));
    PAWL_TRY(pawl_alloc((void **)&s->transfers, (size_t)s->transfer_count * sizeof *s->transfers,
                        "the list of what ranks exchange"));
    list_all(s, held);
    return PAWL_OK;
}

pawl_held pawl_held_of_chunk(const pawl_stored *t, int64_t c)
{
    const pawl_held h = pawl_held_of(&t->item);
    const int64_t at = c * PAWL_CHUNK_BYTES;
    return (pawl_held){larger(h.first, at), smaller(h.end, at + (int64_t)pawl_stored_chunk_bytes(t, c))};
}

/* What this rank holds of chunk c, to its place in the chunk at `to`. */
static pawl_status copy_part(const pawl_stored *t, int64_t c, char *to)
{
    const pawl_held part = pawl_held_of_chunk(t, c);
    if (part.first >= part.end) return PAWL_OK;
    return pawl_download(t->item.device, to + (part.first - c * PAWL_CHUNK_BYTES),
                         (const char *)t->item.tensor.data + (part.first - pawl_held_of(&t->item).first), (size_t)(part.end - part.first));
}

pawl_status pawl_outgoing_copy(pawl_saver *s)
{
    for (int i = 0; i < s->changing_transfers; i++)
        if (s->sent[i].device) PAWL_TRY(pawl_download(s->sent[i].device, s->transfers[i].data, s->sent[i].from, s->transfers[i].bytes));
    return PAWL_OK;
}

pawl_status pawl_edges_copy(pawl_saver *s)
{
    char *to = s->edges;
    for (int i = 0; i < s->count; i++) {
        const pawl_stored *t = &s->tensors[i];
        for (int64_t c = 0; c < t->chunk_count && t->item.frozen; c++) {
            if (!pawl_share_has(&s->frozen, t, c) || holds_chunk(t, c)) continue;
            PAWL_TRY(copy_part(t, c, to));
            to += pawl_stored_chunk_bytes(t, c);
        }
    }
    return PAWL_OK;
}

const char *pawl_frozen_chunk(const pawl_stored *t, int64_t c, const char **edge)
{
    if (holds_chunk(t, c)) return (const char *)t->item.tensor.data + (c * PAWL_CHUNK_BYTES - pawl_held_of(&t->item).first);
    const char *at = *edge;
    *edge += pawl_stored_chunk_bytes(t, c);
    return at;
}
