/* data/files.h - the files of a dataset, in a fixed order, with their digests. */
#ifndef PAWL_DATA_FILES_H
#define PAWL_DATA_FILES_H

#include "data/data.h"

typedef struct pawl_source {
    char *path;       /* as it is opened and as errors name it */
    const char *name; /* below the dataset's path: what cache keys and lineage hold; points into path */
    int64_t bytes;
    pawl_digest digest;
    int named; /* 1: the dataset's path itself; 0: found in a folder */
} pawl_source;

typedef struct pawl_sources {
    pawl_source *items;
    int count, room;
} pawl_sources;

/* The regular files that cfg names: the path itself, or all files below it whose names and folders do not begin with a
 * dot, sorted by the bytes of their names. Close out also after an error. Errors: EDATA, EIO. */
PAWL_MUST pawl_status pawl_sources_find(const pawl_dataset_config *cfg, pawl_sources *out);
/* Sizes and digests as the files are now. Ends early when pawl_stop_asked. */
PAWL_MUST pawl_status pawl_sources_hash(pawl_sources *s);
void pawl_sources_close(pawl_sources *s);

/* The ending of a file's name with its dot; "" when it has none. */
const char *pawl_name_ending(const char *name);

#endif
