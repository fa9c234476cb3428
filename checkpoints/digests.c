#include <stdlib.h>

#include "checkpoints/checkpoints.h"
#include "checkpoints/stored.h"
#include "core/arena.h"

static pawl_status digest_all(const pawl_state *tensors, pawl_stored *list, pawl_sums *sums)
{
    for (int i = 0; i < tensors->count; i++) {
        const pawl_tensor t = tensors->items[i].tensor;
        list[i].item = tensors->items[i];
        list[i].digest = pawl_tensor_digest(t.data, pawl_tensor_bytes(t));
    }
    qsort(list, (size_t)tensors->count, sizeof *list, pawl_stored_compare);
    return pawl_stored_sums(list, tensors->count, sums);
}

void pawl_state_digests(const pawl_state *tensors, pawl_digest *weights, pawl_digest *state)
{
    pawl_stored *list;
    pawl_sums sums;
    PAWL_ASSERT(pawl_alloc((void **)&list, (size_t)tensors->count * sizeof *list, "a list of digests") == PAWL_OK);
    PAWL_ASSERT(digest_all(tensors, list, &sums) == PAWL_OK);
    pawl_free(list);
    *weights = sums.weights;
    *state = sums.state;
}
