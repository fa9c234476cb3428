/* checkpoints/layout.h - lays checkpoint.h5 out with HDF5: groups, datasets, attributes, links; no tensor's bytes. */
#ifndef PAWL_CHECKPOINTS_LAYOUT_H
#define PAWL_CHECKPOINTS_LAYOUT_H

#include "checkpoints/stored.h"
#include "core/json.h"

/* Creates the file at path with a place for every tensor of list that is its own, a link for every other one, the
 * members of run as attributes of /run, and the text of lineage as /lineage; reserves its space. Sets the offsets of
 * own tensors, and rest to the file's pawl_layout_digest. Local. Errors: EIO naming path and cause. */
PAWL_MUST pawl_status pawl_layout_create(const char *path, pawl_stored *list, int count, const json_t *run,
                                         const json_t *lineage, int64_t *file_bytes, pawl_digest *rest);

/* How a value of /run is stored: an attribute, or, when it is text too long for one or a structure, a dataset of text.
 */
enum { PAWL_ATTRIBUTE_TEXT_MAX = 32768 };
int pawl_layout_is_attribute(const json_t *value);

#endif
