#include "data/unit.h"

#include <stdio.h>
#include <string.h>

#include "core/arena.h"

static pawl_status add(pawl_units *u, pawl_unit unit)
{
    if (u->count == u->room) {
        const int64_t room = 2 * u->room + 64;
        PAWL_TRY(pawl_realloc((void **)&u->items, (size_t)room * sizeof *u->items, "the list of units"));
        u->room = room;
    }
    u->items[u->count++] = unit;
    return PAWL_OK;
}

/* Only lines can be found again from anywhere in a file. */
static int can_be_cut(const pawl_source *s)
{
    return s->reads == PAWL_READS_LINES && !s->gzip;
}

/* How many files from i on make one unit: as many as stay within its size. */
static int small_files(const pawl_sources *s, int i, int64_t unit_bytes)
{
    int64_t bytes = 0;
    int n = 0;
    while (i + n < s->count && (n == 0 || bytes + s->items[i + n].bytes <= unit_bytes))
        bytes += s->items[i + n++].bytes;
    return n;
}

pawl_status pawl_units_cut(const pawl_sources *s, int64_t unit_bytes, pawl_units *out)
{
    memset(out, 0, sizeof *out);
    PAWL_ASSERT(unit_bytes > 0 && unit_bytes % PAWL_CHUNK_BYTES == 0);
    for (int i = 0; i < s->count;) {
        const int64_t bytes = s->items[i].bytes;
        if (bytes <= unit_bytes || !can_be_cut(&s->items[i])) {
            const int n = small_files(s, i, unit_bytes);
            PAWL_TRY(add(out, (pawl_unit){.source = i, .count = n, .end = bytes}));
            i += n;
            continue;
        }
        for (int64_t first = 0; first < bytes; first += unit_bytes)
            PAWL_TRY(add(out, (pawl_unit){.source = i,
                                          .count = 1,
                                          .first = first,
                                          .end = first + unit_bytes < bytes ? first + unit_bytes : bytes}));
        i++;
    }
    return PAWL_OK;
}

void pawl_units_close(pawl_units *u)
{
    pawl_free(u->items);
    memset(u, 0, sizeof *u);
}

void pawl_hand_over_name(int rank, pawl_hand_over file, char out[64])
{
    static const char *const names[PAWL_HANDED_OVER] = {[PAWL_HAND_TOKENS] = "tokens",
                                                        [PAWL_HAND_TRAINED] = "trained",
                                                        [PAWL_HAND_DOCUMENTS] = "documents",
                                                        [PAWL_HAND_SEGMENTS] = "train",
                                                        [PAWL_HAND_HELD_OUT_SEGMENTS] = "held_out",
                                                        [PAWL_HAND_BAD] = "bad",
                                                        [PAWL_HAND_UNITS] = "units"};
    snprintf(out, 64, "rank-%d.%s", rank, names[file]);
}
