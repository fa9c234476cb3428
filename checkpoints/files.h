/* checkpoints/files.h - a checkpoint's bytes, read chunk by chunk against their digests. */
#ifndef PAWL_CHECKPOINTS_FILES_H
#define PAWL_CHECKPOINTS_FILES_H

#include "checkpoints/manifest.h"

typedef struct pawl_files { /* the checkpoint's own file and those it refers to, one open at a time; {.of = k} to start
                             */
    const pawl_checkpoint *of;
    char name[PAWL_FILE_NAME_MAX]; /* of the file that is open, as tensors name it; "" when none is */
    char path[PATH_MAX];
    int fd;
} pawl_files;

/* Opens the file that t lies in, if another one is open. */
PAWL_MUST pawl_status pawl_files_turn_to(pawl_files *f, const pawl_stored *t);
/* Reads chunk i of t, whose file is open, to data. Errors: EDATA naming file, tensor, chunk, expected and found; EIO.
 */
PAWL_MUST pawl_status pawl_files_read_chunk(const pawl_files *f, const pawl_stored *t, int64_t i, void *data);
void pawl_files_close(pawl_files *f);

/* Compares what lies between the tensors of the checkpoint's own file, and its length. Errors: EDATA. */
PAWL_MUST pawl_status pawl_files_check_layout(const pawl_checkpoint *k);
/* Checks that the files a manifest names are there and long enough. Errors: EDATA naming file and tensor. */
PAWL_MUST pawl_status pawl_files_check_sizes(const pawl_checkpoint *k);
/* Reads all of the checkpoint and compares every digest; stops at the first that differs. */
PAWL_MUST pawl_status pawl_files_check_all(const pawl_checkpoint *k);

#endif
