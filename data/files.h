/* data/files.h - the files of a dataset, in a fixed order, with their digests, and how each of them is read. */
#ifndef PAWL_DATA_FILES_H
#define PAWL_DATA_FILES_H

#include "data/data.h"

typedef enum pawl_reads {
    PAWL_READS_LINES,  /* a JSON object a line: .jsonl, .ndjson */
    PAWL_READS_VALUES, /* JSON objects in an array or one after the other, over lines as they like: .json */
    PAWL_READS_WHOLE   /* the file is one document */
} pawl_reads;

typedef enum pawl_named { PAWL_IN_FOLDER, PAWL_BY_PATTERN, PAWL_BY_NAME } pawl_named;

typedef struct pawl_source {
    char *path;       /* as it is opened and as errors name it */
    const char *name; /* below the dataset's path: what cache keys and lineage hold; points into path */
    int64_t bytes;
    pawl_digest digest;
    uint32_t *checks; /* of every block of PAWL_CHUNK_BYTES, CRC-32: what is read later is what was hashed */
    pawl_named named; /* how it was found */
    int gzip;         /* it is inflated on the way */
    pawl_reads reads;
} pawl_source;

typedef struct pawl_sources {
    pawl_source *items;
    int count, room;
    int left_out; /* files of the folder that hold no rows, for a type that takes rows only */
} pawl_sources;

/* The regular files that cfg names: the path itself; or all files below it whose names and folders do not begin with a
 * dot; or those that its pattern matches (data/glob.h). Sorted by the bytes of their names. Close out also after an
 * error. Errors: EDATA, EIO. */
PAWL_MUST pawl_status pawl_sources_find(const pawl_dataset_config *cfg, pawl_sources *out);
/* Sizes, digests and checks as the files are now. Ends early when pawl_stop_asked. */
PAWL_MUST pawl_status pawl_sources_hash(pawl_sources *s);
/* Collective. Rank 0's list to all; there the list is empty before. Close out also after an error. */
PAWL_MUST pawl_status pawl_sources_share(pawl_comm *c, pawl_sources *s);
void pawl_sources_close(pawl_sources *s);

/* Adds a file, whose name begins at path + base. */
PAWL_MUST pawl_status pawl_sources_add(pawl_sources *s, const char *path, size_t base, pawl_named named);

/* The ending of a file's name with its dot, .gz and what is before it together ("a.jsonl.gz": ".jsonl.gz"); "" when it
 * has none. */
const char *pawl_name_ending(const char *name);

#endif
