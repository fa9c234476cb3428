#include "data/hands.h"

#include <limits.h>
#include <string.h>

#include "core/arena.h"
#include "core/file.h"

static pawl_status map_hand(const pawl_handed_over *over, int i, pawl_hand *hand)
{
    char name[64], path[PATH_MAX];
    for (int f = 0; f < PAWL_HANDED_OVER; f++) {
        pawl_hand_over_name(over->takers[i], (pawl_hand_over)f, name);
        PAWL_TRY(pawl_path_join(path, sizeof path, over->dir, name));
        PAWL_TRY(pawl_file_map(path, &hand->map[f], &hand->bytes[f]));
    }
    return PAWL_OK;
}

pawl_status pawl_hands_open(const pawl_handed_over *over, pawl_hands *out)
{
    *out = (pawl_hands){.over = over};
    PAWL_TRY(pawl_alloc((void **)&out->items, (size_t)over->count * sizeof *out->items, "joining prepared data"));
    for (int i = 0; i < over->count; i++) PAWL_TRY(map_hand(over, i, &out->items[i]));
    return PAWL_OK;
}

void pawl_hands_close(pawl_hands *h)
{
    for (int i = 0; h->items && i < h->over->count; i++)
        for (int f = 0; f < PAWL_HANDED_OVER; f++) pawl_file_unmap(h->items[i].map[f], h->items[i].bytes[f]);
    pawl_free(h->items);
    memset(h, 0, sizeof *h);
}

/* The next `bytes` of a file. */
static pawl_status take(pawl_hand *hand, pawl_hand_over file, int64_t count, size_t each, const void **out)
{
    const size_t bytes = (size_t)count * each;
    PAWL_CHECK(hand->bytes[file] - hand->at[file] >= bytes, PAWL_EIO,
               "what a rank prepared is shorter than it says; all machines must see the folder of prepared data alike");
    *out = bytes ? (const char *)hand->map[file] + hand->at[file] : NULL;
    hand->at[file] += bytes;
    return PAWL_OK;
}

static pawl_status take_unit(pawl_hand *hand, size_t token_bytes, pawl_handful *out)
{
    const pawl_unit_record *r = out->record;
    PAWL_TRY(take(hand, PAWL_HAND_TOKENS, r->tokens, token_bytes, &out->tokens));
    PAWL_TRY(take(hand, PAWL_HAND_TRAINED, r->tokens, 1, (const void **)&out->trained));
    PAWL_TRY(take(hand, PAWL_HAND_DOCUMENTS, r->documents, sizeof *out->documents, (const void **)&out->documents));
    for (int part = 0; part < PAWL_PARTS; part++)
        PAWL_TRY(take(hand, (pawl_hand_over)(PAWL_HAND_SEGMENTS + part), r->segments[part], sizeof(pawl_segment),
                      (const void **)&out->segments[part]));
    return take(hand, PAWL_HAND_BAD, r->bad_listed, sizeof *out->bad, (const void **)&out->bad);
}

pawl_status pawl_hands_next(pawl_hands *h, size_t token_bytes, pawl_handful *out, int *more)
{
    const pawl_handed_over *over = h->over;
    const void *record = NULL;
    *more = 0;
    if (h->unit == over->units->count) return PAWL_OK;
    pawl_hand *hand = &h->items[h->unit % over->count];
    if (hand->at[PAWL_HAND_UNITS] == hand->bytes[PAWL_HAND_UNITS]) return PAWL_OK;
    *out = (pawl_handful){.unit = &over->units->items[h->unit]};
    PAWL_TRY(take(hand, PAWL_HAND_UNITS, 1, sizeof *out->record, &record));
    out->record = record;
    PAWL_CHECK(out->record->unit == h->unit, PAWL_EBUG, "unit %lld was expected of a rank, and %lld found",
               (long long)h->unit, (long long)out->record->unit);
    PAWL_TRY(take_unit(hand, token_bytes, out));
    if (out->unit->first == 0) h->newlines = 0;
    out->lines_before = h->newlines;
    h->newlines += out->record->newlines;
    h->unit++;
    *more = 1;
    return PAWL_OK;
}
