#include <stdlib.h>

#include "checkpoints/checkpoints.h"
#include "checkpoints/stored.h"
#include "core/arena.h"

/* Of numbers that the host cannot read: brought down chunk by chunk. */
static pawl_status digest_there(const pawl_named *item, pawl_digest *out)
{
    const size_t bytes = pawl_tensor_bytes(item->tensor);
    const int64_t count = pawl_chunk_count(bytes);
    pawl_digest *chunks = NULL;
    char *chunk = NULL;
    pawl_status status = PAWL_OK;
    PAWL_TRY_OUT(pawl_alloc((void **)&chunks, (size_t)count * sizeof *chunks, "digests of chunks"));
    PAWL_TRY_OUT(pawl_alloc((void **)&chunk, PAWL_CHUNK_BYTES, "a chunk of a tensor"));
    for (int64_t c = 0; c < count; c++) {
        const size_t at = (size_t)c * PAWL_CHUNK_BYTES, n = bytes - at < PAWL_CHUNK_BYTES ? bytes - at : PAWL_CHUNK_BYTES;
        PAWL_TRY_OUT(pawl_download(item->device, chunk, (const char *)item->tensor.data + at, n));
        chunks[c] = pawl_sha256(chunk, n);
    }
    *out = pawl_chunks_digest(chunks, count);
out:
    pawl_free(chunk);
    pawl_free(chunks);
    return status;
}

static pawl_status digest_all(const pawl_state *tensors, pawl_stored *list, pawl_sums *sums)
{
    for (int i = 0; i < tensors->count; i++) {
        const pawl_named *item = &tensors->items[i];
        list[i].item = *item;
        if (pawl_device_shares_memory(item->device)) list[i].digest = pawl_tensor_digest(item->tensor.data, pawl_tensor_bytes(item->tensor));
        else PAWL_TRY(digest_there(item, &list[i].digest));
    }
    qsort(list, (size_t)tensors->count, sizeof *list, pawl_stored_compare);
    return pawl_stored_sums(list, tensors->count, sums);
}

pawl_status pawl_state_digests(const pawl_state *tensors, pawl_digest *weights, pawl_digest *state)
{
    pawl_stored *list;
    pawl_sums sums = {0};
    PAWL_TRY(pawl_alloc((void **)&list, (size_t)tensors->count * sizeof *list, "a list of digests"));
    const pawl_status status = digest_all(tensors, list, &sums);
    pawl_free(list);
    *weights = sums.weights;
    *state = sums.state;
    return status;
}
