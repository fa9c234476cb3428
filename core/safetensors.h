/* core/safetensors.h - the safetensors container: one file, or shards behind model.safetensors.index.json. */
#ifndef PAWL_CORE_SAFETENSORS_H
#define PAWL_CORE_SAFETENSORS_H

#include "core/hash.h"
#include "core/state.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PAWL_SAFETENSORS_SINGLE "model.safetensors"
#define PAWL_SAFETENSORS_INDEX  "model.safetensors.index.json"

typedef struct pawl_safetensors pawl_safetensors; /* a checked header over mapped files */

/* Opens FILE, or DIR/model.safetensors, or DIR with DIR/model.safetensors.index.json. The header is checked in full
 * before any tensor is handed out: length, JSON, dtypes, shapes against offsets, no gap, no overlap, nothing outside
 * the file, no name twice. Errors: EDATA naming file and tensor; EIO. */
PAWL_MUST pawl_status pawl_safetensors_open(const char *path, pawl_safetensors **out);
void pawl_safetensors_close(pawl_safetensors *s);

int pawl_safetensors_count(const pawl_safetensors *s);
/* The i-th tensor, in byte order of names; its data is in the mapped file, read-only, and aligned only as its writer
 * chose. More than PAWL_MAX_NDIM dimensions are refused on open. */
const pawl_named *pawl_safetensors_at(const pawl_safetensors *s, int i);
const pawl_named *pawl_safetensors_find(const pawl_safetensors *s, const char *name);
/* The files it lies in, for lineage. */
int pawl_safetensors_files(const pawl_safetensors *s);
const char *pawl_safetensors_file(const pawl_safetensors *s, int i);

/* Writes the tensors, converted to dtype (float ones; PAWL_DTYPE_COUNT: as they are), into one file; atomically.
 * Metadata is {"format": "pt"}, as transformers expects. */
PAWL_MUST pawl_status pawl_safetensors_write(const char *path, const pawl_state *tensors, pawl_dtype dtype);
/* Writes DIR/model.safetensors, or shards of at most shard_bytes with their index when it is more than one. */
PAWL_MUST pawl_status pawl_safetensors_write_dir(const char *dir, const pawl_state *tensors, pawl_dtype dtype,
                                                 int64_t shard_bytes);

/* Numbers that are made while they are written: [first, first + count) of n, an f32 item of the list being written. */
typedef struct pawl_tensor_source {
    void *self;
    pawl_status (*floats)(void *self, const pawl_named *n, int64_t first, int64_t count, float *out);
} pawl_tensor_source;
/* The same of numbers that come from `from` instead of the tensors' data, so that no more than a piece is in memory. */
PAWL_MUST pawl_status pawl_safetensors_write_from(const char *dir, const pawl_state *tensors,
                                                  const pawl_tensor_source *from, pawl_dtype dtype,
                                                  int64_t shard_bytes);

#ifdef __cplusplus
}
#endif
#endif
