/* data/hands.h - reading what the ranks have handed over, unit by unit in their order. */
#ifndef PAWL_DATA_HANDS_H
#define PAWL_DATA_HANDS_H

#include "data/join.h"

typedef struct pawl_hand {
    const void *map[PAWL_HANDED_OVER];
    size_t bytes[PAWL_HANDED_OVER], at[PAWL_HANDED_OVER]; /* read so far */
} pawl_hand;

typedef struct pawl_hands {
    const pawl_handed_over *over;
    pawl_hand *items; /* [over->count] */
    int64_t unit;     /* the next one */
    int64_t newlines; /* in the same file, before the unit in hand */
} pawl_hands;

/* The unit in hand: what its taker wrote of it. */
typedef struct pawl_handful {
    const pawl_unit *unit;
    const pawl_unit_record *record;
    const void *tokens;
    const uint8_t *trained;
    const pawl_document *documents;
    const pawl_segment *segments[PAWL_PARTS];
    const pawl_bad_row *bad;
    int64_t lines_before; /* to add to lines of this unit */
} pawl_handful;

/* Close out also after an error. */
PAWL_MUST pawl_status pawl_hands_open(const pawl_handed_over *over, pawl_hands *out);
/* *more 0: the next unit was not done (to its end), or there is none. */
PAWL_MUST pawl_status pawl_hands_next(pawl_hands *h, size_t token_bytes, pawl_handful *out, int *more);
void pawl_hands_close(pawl_hands *h);

#endif
