#include "checkpoints/share.h"

#include <string.h>

#include "core/arena.h"

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

/* Calls back for every chunk that is dealt, with the rank that it goes to: the one in whose equal part of all bytes the
 * chunk begins. */
typedef void deal_to(void *self, int rank, int64_t chunk, size_t bytes);

static void deal(const pawl_stored *list, int count, int frozen, int size, deal_to *to, void *self)
{
    uint64_t all = 0, at = 0;
    for (int i = 0; i < count; i++)
        if (!list[i].item.frozen == !frozen) all += list[i].bytes;
    for (int i = 0; i < count; i++) {
        if (!list[i].item.frozen != !frozen) continue;
        for (int64_t c = 0; c < list[i].chunk_count; c++) {
            const size_t bytes = pawl_stored_chunk_bytes(&list[i], c);
            to(self, (int)((unsigned __int128)at * (unsigned)size / all), list[i].first_chunk + c, bytes);
            at += bytes;
        }
    }
}

typedef struct dealt {
    pawl_share *share;
    int rank;
} dealt;

static void take(void *self, int rank, int64_t chunk, size_t bytes)
{
    dealt *d = self;
    pawl_share *s = d->share;
    if (s->first_of_all < 0) s->first_of_all = chunk;
    if (s->lengths) s->lengths[rank] += sizeof(pawl_digest);
    if (rank != d->rank) return;
    if (s->first == s->end) s->first = chunk;
    s->end = chunk + 1;
    s->bytes += bytes;
}

size_t pawl_share_bytes(const pawl_stored *list, int count, int frozen, int rank, int size)
{
    pawl_share s = {.first_of_all = -1};
    dealt d = {&s, rank};
    deal(list, count, frozen, size, take, &d);
    return s.bytes;
}

pawl_status pawl_share_open(const pawl_stored *list, int count, int frozen, int rank, int size, pawl_share *out)
{
    dealt d = {out, rank};
    memset(out, 0, sizeof *out);
    out->frozen = frozen;
    out->first_of_all = -1;
    PAWL_TRY(pawl_alloc((void **)&out->lengths, 2 * (size_t)size * sizeof *out->lengths,
                        "the ranks' shares of a checkpoint"));
    out->offsets = out->lengths + size;
    deal(list, count, frozen, size, take, &d);
    for (int r = 1; r < size; r++) out->offsets[r] = out->offsets[r - 1] + out->lengths[r - 1];
    if (out->first_of_all < 0) out->first_of_all = 0;
    return PAWL_OK;
}

void pawl_share_close(pawl_share *s)
{
    pawl_free(s->lengths);
    memset(s, 0, sizeof *s);
}

int pawl_share_of_tensor(const pawl_share *s, const pawl_stored *t, int64_t *first, int64_t *end)
{
    if (!t->item.frozen != !s->frozen) return 0;
    *first = s->first > t->first_chunk ? s->first - t->first_chunk : 0;
    *end = s->end - t->first_chunk < t->chunk_count ? s->end - t->first_chunk : t->chunk_count;
    return *first < *end;
}
