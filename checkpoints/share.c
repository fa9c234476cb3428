#include "checkpoints/share.h"

#include <string.h>

#include "core/arena.h"

pawl_held pawl_held_of(const pawl_named *t)
{
    const int64_t each = (int64_t)pawl_dtype_bytes(t->tensor.dtype);
    return (pawl_held){t->first * each, (t->first + t->count) * each};
}

int64_t pawl_share_number(pawl_stored *list, int count)
{
    int64_t n = 0;
    for (int frozen = 0; frozen < 2; frozen++)
        for (int i = 0; i < count; i++) {
            if (!list[i].item.frozen != !frozen) continue;
            list[i].first_chunk = n;
            n += list[i].chunk_count;
        }
    return n;
}

/* What is dealt, and by what: every rank's ranges, or only this one's (the plan). */
typedef struct deal {
    const pawl_stored *list;
    int count, frozen, rank, size;
    const pawl_held *held; /* NULL: the ranges of the others are not known */
} deal;

enum { SOMEONE_ELSE = -1 };

/* The rank that holds byte `at` of tensor i. */
static int holder(const deal *d, int i, int64_t at)
{
    const pawl_held mine = pawl_held_of(&d->list[i].item);
    if (mine.first <= at && at < mine.end) return d->rank;
    for (int r = 0; r < d->size && d->held; r++) {
        const pawl_held h = d->held[(int64_t)r * d->count + i];
        if (h.first <= at && at < h.end) return r;
    }
    return SOMEONE_ELSE;
}

/* Calls back for every chunk that is dealt, with the rank that it goes to: of what all hold, the one in whose equal
 * part of all bytes the chunk begins. */
typedef void deal_to(void *self, int rank, int64_t chunk, size_t bytes);

static void deal_all(const deal *d, deal_to *to, void *self)
{
    uint64_t all = 0, at = 0;
    for (int i = 0; i < d->count; i++)
        if (!d->list[i].item.frozen == !d->frozen && !d->list[i].item.sharded) all += d->list[i].bytes;
    for (int i = 0; i < d->count; i++) {
        const pawl_stored *t = &d->list[i];
        if (!t->item.frozen != !d->frozen) continue;
        for (int64_t c = 0; c < t->chunk_count; c++) {
            const size_t bytes = pawl_stored_chunk_bytes(t, c);
            const int rank = t->item.sharded ? holder(d, i, c * PAWL_CHUNK_BYTES)
                                             : (int)((unsigned __int128)at * (unsigned)d->size / all);
            to(self, rank, t->first_chunk + c, bytes);
            if (!t->item.sharded) at += bytes;
        }
    }
}

/* Without a table of writers it only measures. */
static void take(void *self, int rank, int64_t chunk, size_t bytes)
{
    pawl_share *s = self;
    if (s->count++ == 0) s->first = chunk;
    if (rank == s->rank) s->bytes += bytes;
    if (!s->writer) return;
    s->writer[chunk - s->first] = rank;
    s->lengths[rank] += sizeof(pawl_digest);
}

size_t pawl_share_bytes(const pawl_stored *list, int count, int frozen, int rank, int size)
{
    pawl_share s = {.rank = rank};
    deal_all(&(deal){list, count, frozen, rank, size, NULL}, take, &s);
    return s.bytes;
}

pawl_status pawl_share_open(const pawl_stored *list, int count, int frozen, int rank, int size, const pawl_held *held,
                            pawl_share *out)
{
    const deal d = {list, count, frozen, rank, size, held};
    pawl_share s = {.frozen = frozen, .rank = rank, .size = size};
    deal_all(&d, take, &s);
    const size_t chunks = (size_t)s.count;
    *out = (pawl_share){.frozen = frozen, .rank = rank, .size = size};
    PAWL_TRY(pawl_alloc((void **)&out->lengths, 2 * (size_t)size * sizeof *out->lengths,
                        "the ranks' shares of a checkpoint"));
    PAWL_TRY(pawl_alloc((void **)&out->writer, chunks * sizeof *out->writer, "the ranks' shares of a checkpoint"));
    PAWL_TRY(pawl_alloc((void **)&out->packed, chunks * sizeof *out->packed, "the digests of a checkpoint"));
    out->offsets = out->lengths + size;
    deal_all(&d, take, out);
    for (int r = 1; r < size; r++) out->offsets[r] = out->offsets[r - 1] + out->lengths[r - 1];
    return PAWL_OK;
}

void pawl_share_close(pawl_share *s)
{
    pawl_free(s->lengths);
    pawl_free(s->writer);
    pawl_free(s->packed);
    memset(s, 0, sizeof *s);
}

int pawl_share_has(const pawl_share *s, const pawl_stored *t, int64_t i)
{
    return !t->item.frozen == !s->frozen && s->writer[t->first_chunk + i - s->first] == s->rank;
}

void pawl_share_pack(const pawl_share *s, const pawl_digest *chunks)
{
    pawl_digest *to = s->packed + s->offsets[s->rank] / sizeof *to;
    for (int64_t i = 0; i < s->count; i++)
        if (s->writer[i] == s->rank) *to++ = chunks[s->first + i];
}

void pawl_share_unpack(const pawl_share *s, pawl_digest *chunks)
{
    for (int r = 0; r < s->size; r++) {
        const pawl_digest *from = s->packed + s->offsets[r] / sizeof *from;
        for (int64_t i = 0; i < s->count; i++)
            if (s->writer[i] == r) chunks[s->first + i] = *from++;
    }
}
