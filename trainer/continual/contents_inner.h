/* trainer/continual/contents_inner.h - a checkpoint with its memory read. */
#ifndef PAWL_TRAINER_CONTINUAL_CONTENTS_INNER_H
#define PAWL_TRAINER_CONTINUAL_CONTENTS_INNER_H

#include "trainer/continual/contents.h"
#include "trainer/continual/memory_inner.h"

typedef struct pawl_contents {
    pawl_comm *comm; /* of one rank */
    pawl_checkpoint *checkpoint;
    pawl_replay_config replay;
    pawl_memory_column columns[PAWL_MEMORY_COLUMNS_MAX];
    char names[PAWL_MEMORY_COLUMNS_MAX][PAWL_NAME_MAX];
    pawl_memory *memory;
} pawl_contents;

PAWL_MUST pawl_status pawl_contents_open(const char *path, pawl_contents *out);
void pawl_contents_close(pawl_contents *c); /* also after an error */
/* The segments of row i. */
const pawl_kept_segment *pawl_contents_segments(const pawl_contents *c, int64_t i);
const json_t *pawl_contents_source(const pawl_contents *c, const pawl_kept_segment *s);
typedef struct pawl_document_text {
    char hex[33];
} pawl_document_text;
pawl_document_text pawl_document_hex(const uint64_t document[2]);

#endif
