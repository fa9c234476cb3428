/* trainer/continual/memory_inner.h - a memory as the files that make it up see it. */
#ifndef PAWL_TRAINER_CONTINUAL_MEMORY_INNER_H
#define PAWL_TRAINER_CONTINUAL_MEMORY_INNER_H

#include "trainer/continual/memory.h"
#include "trainer/continual/store.h"

/* A segment of a row: the columns of the tensor memory/segments, in this order. */
typedef struct pawl_kept_segment {
    uint64_t document[2];
    int64_t chunk, source, line, tokens, trained, bytes; /* source: in the memory's list of sources */
} pawl_kept_segment;
enum { PAWL_SEGMENT_COLUMNS = 8, PAWL_SEGMENT_TOKENS = 5 /* the column of a segment's length */ };

/* The parts of a store; columns of methods follow. */
enum { PAWL_PART_SEGMENTS, PAWL_PART_TOKENS, PAWL_PART_TRAINED, PAWL_PART_COLUMNS };

typedef struct pawl_memory_domain_record {
    char name[64];
    uint64_t bound; /* all rows seen with a key below it are held, but for those that were forgotten */
    int64_t seen;
} pawl_memory_domain_record;

/* What of a memory all ranks have alike. */
typedef struct pawl_index {
    pawl_kept *rows;
    int64_t count;
    int64_t *at[PAWL_STORE_PARTS_MAX]; /* [parts][count + 1] where each row's bytes begin in the whole of a part */
    uint8_t *fresh;                    /* [count] */
    pawl_memory_domain_record *domains;
    int64_t *rows_of; /* [domains] */
    double *weights;  /* [domains] for draws */
    int domain_count;
    json_t *sources; /* [{domain, name, bytes, sha256, license}] */
    pawl_text names; /* domains and sources, as canonical JSON: the tensor memory/names */
    int64_t row_bytes; /* of the largest row, all parts */
} pawl_index;

typedef struct pawl_on_way { /* a row of the fetched list */
    int64_t item;
    const char *data[PAWL_STORE_PARTS_MAX]; /* NULL: it went elsewhere */
} pawl_on_way;

struct pawl_memory {
    pawl_memory_inputs in;
    pawl_memory_column columns[PAWL_MEMORY_COLUMNS_MAX];
    int parts;
    pawl_index index;
    pawl_store store;
    int generation; /* of the store: its file's name */
    int64_t most_here, most_all;
    char *hand; /* [most_here] rows of index.row_bytes, each part at a multiple of 8 */
    pawl_on_way *fetched; /* [most_all] */
    pawl_transfer *transfers; /* [most_all * parts] */
};

/* Bytes of a row in a part. */
size_t pawl_memory_part_bytes(const pawl_memory *m, int part, const pawl_kept *k);
/* The first row of a rank's range. */
int64_t pawl_memory_first(int64_t count, int rank, int size);

/* Numbers the bytes, counts domains' rows, writes the names. rows and domains are set. Local. Errors: EMEM. */
PAWL_MUST pawl_status pawl_index_finish(const pawl_memory *m, pawl_index *x);
void pawl_index_close(pawl_index *x);
PAWL_MUST pawl_status pawl_names_write(pawl_index *x);
PAWL_MUST pawl_status pawl_names_read(const char *text, size_t bytes, const char *where, pawl_index *x);

/* A store for this rank's range of x. Local. */
PAWL_MUST pawl_status pawl_memory_store_open(pawl_memory *m, const pawl_index *x, pawl_store *out);
/* Bytes [*first, *end) of a part in the whole, that this rank holds. */
void pawl_memory_range(const pawl_memory *m, const pawl_index *x, int part, int64_t *first, int64_t *end);
/* Takes index and store over, and what is in hand anew. Local. */
PAWL_MUST pawl_status pawl_memory_become(pawl_memory *m, pawl_index *x, pawl_store *s);

#endif
