/* data/unit.h - the work of preparing a dataset in units that any rank can do, and what a rank hands over of them.
 *
 * A unit is a range of one large .jsonl file, one file, or a few small files in a row. How files are cut depends on
 * them alone, and what is made of a unit on nothing else; so the joined result is the same for any number of ranks. A
 * rank writes what its units give, one after the other, into files of its own (`rank-R.NAME`) in the folder of the
 * entry in the making:
 *
 *     tokens                  u16 or u32, as in the prepared form
 *     trained                 [tokens] u8: 1 when the token is trained
 *     documents               pawl_document; places and lines count from the unit's beginning
 *     train, held_out         pawl_segment; likewise
 *     bad                     pawl_bad_row, the first few of each unit
 *     units                   pawl_unit_record, one a unit */
#ifndef PAWL_DATA_UNIT_H
#define PAWL_DATA_UNIT_H

#include "data/prepare.h"

typedef struct pawl_unit {
    int source, count;  /* files [source, source + count) */
    int64_t first, end; /* the range of bytes, when count is 1 */
} pawl_unit;

typedef struct pawl_units {
    pawl_unit *items;
    int64_t count, room;
} pawl_units;

/* unit_bytes: a multiple of PAWL_CHUNK_BYTES. Close out also after an error. */
PAWL_MUST pawl_status pawl_units_cut(const pawl_sources *s, int64_t unit_bytes, pawl_units *out);
void pawl_units_close(pawl_units *u);

typedef struct pawl_unit_record {
    int64_t unit, tokens, documents, segments[PAWL_PARTS], bad_listed;
    int64_t newlines; /* in its range: what later lines of the same file are counted from */
    pawl_tally tally;
    pawl_part_tally part[PAWL_PARTS];
} pawl_unit_record;

typedef struct pawl_bad_row {
    int64_t source, line, column;
    char what[512];
} pawl_bad_row;

enum { PAWL_BAD_ROWS_SHOWN = 20 };

/* The files that a rank hands over. */
typedef enum pawl_hand_over {
    PAWL_HAND_TOKENS,
    PAWL_HAND_TRAINED,
    PAWL_HAND_DOCUMENTS,
    PAWL_HAND_SEGMENTS,
    PAWL_HAND_HELD_OUT_SEGMENTS,
    PAWL_HAND_BAD,
    PAWL_HAND_UNITS,
    PAWL_HANDED_OVER
} pawl_hand_over;
/* "rank-3.tokens" */
void pawl_hand_over_name(int rank, pawl_hand_over file, char out[64]);

#endif
