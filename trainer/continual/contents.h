/* trainer/continual/contents.h - a checkpoint's memory as people look at it, and what they take out of it. */
#ifndef PAWL_TRAINER_CONTINUAL_CONTENTS_H
#define PAWL_TRAINER_CONTINUAL_CONTENTS_H

#include "core/json.h"
#include "core/status.h"

/* All: path is a checkpoint, or a run's folder (its newest); local. Errors: EUSAGE when there is no memory in it, or no such row;
 * EDATA, EIO. */

/* [{row, domain, key, document, chunk, tokens, trained, bytes, segments, source, line, license}] in the memory's order: of each row
 * what its first segment says. domain NULL: of all. */
PAWL_MUST pawl_status pawl_contents_list(const char *path, const char *domain, json_t **out);
/* {rows, tokens, trained, bytes, documents, memory_sha256, columns: [name], domains: [{domain, rows, seen, tokens, trained, bytes,
 * documents, licenses: [..]}], sources: [{domain, name, sha256, license, segments, tokens}]}. */
PAWL_MUST pawl_status pawl_contents_stats(const char *path, json_t **out);
/* {row, domain, key, ids, labels, positions, documents: [{domain, document, chunk, source, line, license, first, end, trained}]}. */
PAWL_MUST pawl_status pawl_contents_row(const char *path, int64_t row, json_t **out);

/* What is to be forgotten: one of the two. document: its content digest, 32 hex digits as they are listed, or the 64 of the text's
 * SHA-256. source: the SHA-256 of a file. */
typedef struct pawl_forget {
    const char *document, *source;
} pawl_forget;
/* Writes a new checkpoint at `to` (nothing may be there) that is the old one, but that the document's segments have left the rows of
 * its memory; rows without a segment vanish. Which rows stay does not depend on their keys, so they are a uniform sample of the rest.
 * The lineage has an entry `erasures` more, and the old checkpoint is the new one's parent. report: that entry. Errors: EUSAGE when
 * the memory holds nothing of it. */
PAWL_MUST pawl_status pawl_contents_forget(const char *path, const pawl_forget *what, const char *to, json_t **report);

#endif
