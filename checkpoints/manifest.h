/* checkpoints/manifest.h - manifest.json: written from a list of tensors, read back with every claim checked. */
#ifndef PAWL_CHECKPOINTS_MANIFEST_H
#define PAWL_CHECKPOINTS_MANIFEST_H

#include <limits.h>

#include "checkpoints/checkpoints.h"
#include "checkpoints/stored.h"

struct pawl_checkpoint { /* a manifest that agrees with itself */
    char path[PATH_MAX]; /* of the checkpoint's folder */
    json_t *manifest;
    int64_t step;
    int64_t file_bytes; /* of checkpoint.h5 */
    pawl_digest layout; /* pawl_layout_digest of it */
    pawl_sums sums;
    pawl_stored *tensors; /* sorted by name */
    int count;
    pawl_digest *chunks;
};

typedef struct pawl_manifest_facts {
    int64_t step, file_bytes;
    int ranks;
    pawl_digest layout;
    const pawl_digest *parent; /* NULL: none */
    const json_t *run, *lineage;
} pawl_manifest_facts;

/* The canonical text, and the digests it states. list is sorted by name, with digests and chunks filled in. */
PAWL_MUST pawl_status pawl_manifest_text(const pawl_manifest_facts *f, const pawl_stored *list, int count,
                                         pawl_text *out, pawl_sums *sums);

/* HDF5 takes '/' for a level and "." for the level itself: each level must be a name. */
int pawl_is_tensor_name(const char *name);

/* Reads and checks checkpoint/manifest.json alone; pawl_checkpoint_close it. Errors: EDATA naming file and field; EIO.
 */
PAWL_MUST pawl_status pawl_manifest_load(const char *checkpoint, pawl_checkpoint **out);

#endif
