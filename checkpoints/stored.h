/* checkpoints/stored.h - tensors as they lie in a checkpoint's files, cut into chunks, and what is hashed of them. */
#ifndef PAWL_CHECKPOINTS_STORED_H
#define PAWL_CHECKPOINTS_STORED_H

#include "core/hash.h"
#include "core/state.h"

#define PAWL_TENSOR_FILE   "checkpoint.h5"
#define PAWL_MANIFEST_FILE "manifest.json"
#define PAWL_LATEST_FILE   "LATEST"
#define PAWL_BEST_FILE     "BEST"

enum { PAWL_STEP_NAME_MAX = 32, PAWL_FILE_NAME_MAX = 64 };

typedef struct pawl_stored {
    pawl_named item; /* item.tensor.data: the caller's numbers when writing, NULL when reading */
    char
        file[PAWL_FILE_NAME_MAX]; /* "checkpoint.h5": in this checkpoint; "step-.../checkpoint.h5": in an earlier one */
    int64_t offset;               /* in that file; 0 when there are no bytes */
    size_t bytes;
    int64_t first_chunk, chunk_count; /* its chunks among those of all tensors */
    pawl_digest *chunks;              /* [chunk_count], filled in when known */
    pawl_digest digest;
} pawl_stored;

typedef struct pawl_sums {
    pawl_digest weights, state, memory, root;
} pawl_sums;

/* "step-000000500", and back: 1 when name has exactly that form. */
void pawl_step_name(int64_t step, char out[PAWL_STEP_NAME_MAX]);
int pawl_step_parse(const char *name, int64_t *step);

int pawl_stored_is_own(const pawl_stored *t);          /* it lies in this checkpoint's own file */
int pawl_stored_compare(const void *a, const void *b); /* by name, in byte order, for qsort and bsearch */

/* The file that t lies in. checkpoint: the folder of the checkpoint that names it. */
PAWL_MUST pawl_status pawl_stored_path(const char *checkpoint, const pawl_stored *t, char *out, size_t room);

/* Bytes of its chunk i. */
size_t pawl_stored_chunk_bytes(const pawl_stored *t, int64_t i);

/* weights, state and memory of checkpoints.md from the tensors' digests; list is sorted by name. */
PAWL_MUST pawl_status pawl_stored_sums(const pawl_stored *list, int count, pawl_sums *out);

/* The digest of all bytes of a checkpoint's own file that belong to no tensor: HDF5's records and the gaps. With it
 * every byte of the file is covered. Errors: EDATA when tensors overlap or lie outside of [0, file_bytes). */
PAWL_MUST pawl_status pawl_layout_digest(int fd, const char *path, int64_t file_bytes, const pawl_stored *list,
                                         int count, pawl_digest *out);

#endif
