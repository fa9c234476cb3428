/* data/blob.h - a file that is written front to back, and its digest. */
#ifndef PAWL_DATA_BLOB_H
#define PAWL_DATA_BLOB_H

#include <limits.h>

#include "core/hash.h"
#include "core/status.h"

typedef struct pawl_blob {
    char path[PATH_MAX];
    int fd;          /* -1: not open */
    pawl_hash *hash; /* NULL: scratch */
    char *buffer;
    size_t used;
    int64_t bytes; /* added so far */
} pawl_blob;

/* What is kept is hashed and synced; scratch is read once, by this job, and is neither. */
typedef enum pawl_blob_use { PAWL_BLOB_KEPT, PAWL_BLOB_SCRATCH } pawl_blob_use;

/* Closing is right after a failed open, too. */
PAWL_MUST pawl_status pawl_blob_open(pawl_blob *b, const char *dir, const char *name, pawl_blob_use use);
PAWL_MUST pawl_status pawl_blob_add(pawl_blob *b, const void *data, size_t bytes);
/* Writes what is buffered and closes. out: the digest; NULL for scratch. */
PAWL_MUST pawl_status pawl_blob_finish(pawl_blob *b, pawl_digest *out);
void pawl_blob_close(pawl_blob *b);

#endif
