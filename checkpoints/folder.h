/* checkpoints/folder.h - what lies in output_dir/checkpoints, and the two small files that point at one of them. */
#ifndef PAWL_CHECKPOINTS_FOLDER_H
#define PAWL_CHECKPOINTS_FOLDER_H

#include "checkpoints/stored.h"

/* A published checkpoint's folder: "step-N"; or "step-N.replaced-K", which a new step-N has pushed aside and which
 * stands in for it between two renames. ("step-N.damaged-K" and "*.part" are not checkpoints.) */
typedef struct pawl_entry {
    char name[PAWL_FILE_NAME_MAX];
    int64_t step;
    int replaced;
} pawl_entry;

/* Highest step first, replaced ones behind the one that replaced them; pawl_free it. No folder: none. */
PAWL_MUST pawl_status pawl_folder_list(const char *folder, pawl_entry **out, int *count);

/* LATEST and BEST: a name and the root digest of the checkpoint of that name. */
typedef struct pawl_pointer {
    char name[PAWL_STEP_NAME_MAX];
    pawl_digest root;
} pawl_pointer;

/* *found is 0 when there is no such file. Errors: EDATA when it is not a name and a digest; EIO. */
PAWL_MUST pawl_status pawl_pointer_read(const char *folder, const char *file, pawl_pointer *out, int *found);
PAWL_MUST pawl_status pawl_pointer_write(const char *folder, const char *file, const pawl_pointer *p);

/* Renames folder/name to folder/name.WHY-K, K the first number that is free. */
PAWL_MUST pawl_status pawl_folder_set_aside(const char *folder, const char *name, const char *why);
/* Removes what saves and prunings that died have left: everything that ends in .part. */
PAWL_MUST pawl_status pawl_folder_clear_leftovers(const char *folder);
/* Keeps the newest `keep` (0: all), what LATEST and BEST point at, and every checkpoint that a kept one refers to;
 * newest is LATEST, then lower steps, then higher ones (a course that a resumed run has left). Replaced ones go. */
PAWL_MUST pawl_status pawl_folder_prune(const char *folder, int64_t keep);

#endif
