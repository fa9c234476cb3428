/* data/prepared.h - the prepared form of one dataset: a folder of a few binary files (this machine's byte order) and
 * meta.json, which holds their digests and what happened to the rows.
 *
 *     tokens             [tokens] u16, or u32 when the tokenizer has more than 65536 ids
 *     trained            [tokens] bits, the lowest of a byte first: 1 when the token is trained
 *     documents          [documents] pawl_document
 *     PART.segments      [segments] pawl_segment, row after row
 *     PART.rows          [rows + 1] i64, where each row's segments begin */
#ifndef PAWL_DATA_PREPARED_H
#define PAWL_DATA_PREPARED_H

#include "data/data.h"
#include "data/pack.h"

enum { PAWL_PARTS = 2, PAWL_PREPARED_FORMAT = 4 }; /* the format's number enters every key: raise it with any change */

/* The files, in the order in which meta.json lists them; those of a part follow one another. */
typedef enum pawl_prepared_file {
    PAWL_FILE_TOKENS,
    PAWL_FILE_TRAINED,
    PAWL_FILE_DOCUMENTS,
    PAWL_FILE_SEGMENTS,
    PAWL_FILE_ROWS,
    PAWL_FILE_HELD_OUT_SEGMENTS,
    PAWL_FILE_HELD_OUT_ROWS,
    PAWL_PREPARED_FILES
} pawl_prepared_file;
extern const char *const pawl_prepared_names[PAWL_PREPARED_FILES];

/* Stands for a document's text: half of its SHA-256. */
typedef struct pawl_content {
    uint8_t byte[16];
} pawl_content;

typedef struct pawl_document {
    int64_t tokens_at, tokens; /* its ids, the end id among them */
    int64_t line;              /* at which its row begins, from 1; 0 for a whole file */
    int32_t source, part;      /* index of its file; pawl_part */
    pawl_content content;
    pawl_choice choice;
} pawl_document;

/* What became of the rows that were read. */
#define PAWL_TALLY(X)                                                                                                  \
    X(read, "rows or files read")                                                                                      \
    X(empty, "without text")                                                                                           \
    X(bad, "that could not be read, skipped")                                                                          \
    X(dropped, "longer than sequence_len, dropped")                                                                    \
    X(truncated, "longer than sequence_len, truncated")                                                                \
    X(masked, "without a trained token, left out")                                                                     \
    X(toolless, "with tools of which the chat template writes nothing")
#define PAWL_TALLY_MEMBER(name, text) int64_t name;
typedef struct pawl_tally {
    PAWL_TALLY(PAWL_TALLY_MEMBER)
} pawl_tally;

typedef struct pawl_part_tally {
    int64_t documents, tokens;
    int64_t trained;    /* targets: a token that begins a document is none */
    int64_t duplicates; /* documents whose text another one of the part, before them, has too */
} pawl_part_tally;

typedef struct pawl_prepared_part {
    const pawl_segment *segments;
    const int64_t *first; /* [rows + 1] */
    int64_t rows;
    pawl_part_tally tally;
} pawl_prepared_part;

typedef struct pawl_prepared {
    const void *map[PAWL_PREPARED_FILES];
    size_t bytes[PAWL_PREPARED_FILES];
    int wide; /* tokens are u32 */
    const pawl_document *documents;
    int64_t document_count;
    pawl_prepared_part part[PAWL_PARTS];
    pawl_tally tally;
    json_t *sources;      /* [{name, bytes, sha256}] */
    json_t *bad_rows;     /* the first of those skipped: ["NAME:LINE:COL: SENTENCE"] */
    pawl_digest identity; /* of meta.json's content, and so of everything */
} pawl_prepared;

/* Whether opening also reads every byte and compares digests. */
typedef enum pawl_proof { PAWL_BY_SIZE, PAWL_BY_DIGEST } pawl_proof;

/* Maps the folder. Local. A proof by digest ends early, unproven, when pawl_stop_asked. Errors: EDATA or EIO when it is
 * not whole. Close out also after an error. */
PAWL_MUST pawl_status pawl_prepared_open(const char *dir, pawl_proof proof, pawl_prepared *out);
void pawl_prepared_close(pawl_prepared *p);
void pawl_prepared_let_go(const pawl_prepared *p);

/* Writes meta.json. content is what to keep; its digest goes beside it. */
PAWL_MUST pawl_status pawl_prepared_seal(const char *dir, const json_t *content);

json_t *pawl_tally_json(const pawl_tally *t);
json_t *pawl_part_tally_json(const pawl_part_tally *t);

static inline int32_t pawl_prepared_token(const pawl_prepared *p, int64_t at)
{
    return p->wide ? (int32_t)((const uint32_t *)p->map[PAWL_FILE_TOKENS])[at]
                   : (int32_t)((const uint16_t *)p->map[PAWL_FILE_TOKENS])[at];
}

static inline int pawl_prepared_trained(const pawl_prepared *p, int64_t at)
{
    return ((const uint8_t *)p->map[PAWL_FILE_TRAINED])[at / 8] >> at % 8 & 1;
}

#endif
