/* ops/cuda/graphs.h - private to ops/cuda: ops of a transformer block as CUDA graphs (decision 0049).
 *
 * While a block is open, ops are not issued but written down with all of their arguments (recorder.c). At its end, or
 * before anything that cannot be written down, what stands there is looked up: when the same was issued before, to the
 * last argument, it is launched as the graph that was captured then. So a graph cannot be a stale one, whatever a
 * model, a method or a shape changes from slot to slot. */
#ifndef PAWL_OPS_CUDA_GRAPHS_H
#define PAWL_OPS_CUDA_GRAPHS_H

#include "ops/cuda/cuda.h"

/* An op that is written down: what issues it, and its arguments behind this head. Every byte counts for what it equals.
 */
typedef struct pawl_recorded {
    pawl_status (*issue)(pawl_device *d, const struct pawl_recorded *r);
    size_t bytes; /* of all of it */
} pawl_recorded;

/* The table of ops while a block is open. */
extern const pawl_ops pawl_recording_ops;

/* Room for an op of so many bytes, zeroed, its head filled in. Where the record is full it is issued first. */
PAWL_MUST pawl_status pawl_graphs_record(pawl_cuda *c, size_t bytes,
                                         pawl_status (*issue)(pawl_device *d, const pawl_recorded *r), void **out);
/* Whether the GPU was told how's seed and first row last; from now on it was. */
int pawl_graphs_drops_rows(pawl_cuda *c, const pawl_drop *how);
/* Issues what is written down. */
PAWL_MUST pawl_status pawl_graphs_issue(pawl_cuda *c);
/* The same where no status can be returned: it is that of the next pawl_graphs_issue. */
void pawl_graphs_issue_quietly(pawl_cuda *c);

#endif
