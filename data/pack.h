/* data/pack.h - documents are cut into segments, and segments are dealt to rows.
 *
 * A document longer than a row is cut into segments that overlap by one token, so that every token of a document but
 * its first is a target exactly once: a segment's first token only predicts. Rows are filled best-fit-decreasing: the
 * longest segment first, each into the fullest row that still holds it (Johnson 1973). */
#ifndef PAWL_DATA_PACK_H
#define PAWL_DATA_PACK_H

#include <stdint.h>

#include "core/status.h"

typedef struct pawl_segment {
    int64_t tokens_at; /* of its first token, among all tokens of the dataset */
    int64_t document;
    int32_t tokens;  /* at least 2 */
    int32_t trained; /* targets among them: trained tokens but its first; at least 1 */
    int32_t bytes;   /* of text that its trained targets stand for */
    int32_t unused;
} pawl_segment;

/* How many segments a document of so many tokens is cut into (0 for less than 2), and where the i-th one lies in it. */
int64_t pawl_segment_count(int64_t tokens, int64_t sequence_len);
void pawl_segment_place(int64_t tokens, int64_t sequence_len, int64_t i, int64_t *first, int64_t *end);

typedef struct pawl_packing {
    int64_t *order; /* [segments] indices of segments, row after row */
    int64_t *first; /* [rows + 1] where in order each row begins */
    int64_t rows;
} pawl_packing;

/* A function of the segments' lengths in their order alone. packed 0: a row a segment. Close out also after an error.
 * Errors: EMEM. */
PAWL_MUST pawl_status pawl_pack(const pawl_segment *segments, int64_t count, int64_t sequence_len, int packed,
                                pawl_packing *out);
void pawl_packing_close(pawl_packing *p);

#endif
