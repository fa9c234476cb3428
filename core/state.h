/* core/state.h - a list of named tensors. Model, optimizer, memory and methods each export one; checkpoints, sharding
 * and digests work on the list, and know nothing of models. */
#ifndef PAWL_CORE_STATE_H
#define PAWL_CORE_STATE_H

#include "core/status.h"
#include "core/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { PAWL_NAME_MAX = 192 };

struct pawl_device; /* ops/ops.h; nothing here looks inside */

typedef struct pawl_named {
    char name[PAWL_NAME_MAX]; /* "model.layers.0.self_attn.q_proj.weight", or a path such as "optimizer/adamw/m/..." */
    pawl_tensor tensor; /* its whole shape */
    int frozen; /* 1: does not change during the run, so a checkpoint may refer to an earlier file for it */
    int64_t first, count; /* of its numbers, those that this process holds, at tensor.data; all of them as a rule */
    int sharded; /* 1: ranks hold ranges of it, which together are all of it; 0: every rank holds the same */
    struct pawl_device *device; /* whose memory tensor.data is in; NULL: the host's */
    int offloaded; /* 1: in the host's memory, and changed only by what comes back from a device (pawl_carry) */
} pawl_named;

typedef struct pawl_state {
    pawl_named *items;
    int count, room;
} pawl_state;

/* What part a tensor plays, for rules that treat some apart. */
typedef enum pawl_role {
    PAWL_ROLE_VECTOR,   /* norms and biases */
    PAWL_ROLE_MATRIX,   /* what multiplies hidden states */
    PAWL_ROLE_EMBEDDING /* token and position embeddings, and the output head */
} pawl_role;

/* Where a tensor lies in a flat run of numbers: [first, first + count); and what it is. */
typedef struct pawl_extent {
    int64_t first, count;
    int decays; /* 1: weight decay applies (two or more dimensions) */
    pawl_role role;
    int64_t rows, cols; /* of a matrix, [out, in]; a vector: count, 0 */
    int64_t above;      /* layers that stand on it: 0 for those of the topmost one and what follows it */
} pawl_extent;

/* A vector and a matrix above all layers. */
pawl_extent pawl_extent_vector(int64_t first, int64_t count);
pawl_extent pawl_extent_matrix(int64_t first, int64_t rows, int64_t cols);

/* Appends a tensor of the host's under prefix + name. Errors: EMEM; EBUG when the name is too long. */
PAWL_MUST pawl_status pawl_state_add(pawl_state *s, const char *prefix, const char *name, pawl_tensor t);
/* Appends an item of another list, as it is. Errors: EMEM. */
PAWL_MUST pawl_status pawl_state_append(pawl_state *s, const pawl_named *item);
/* The item of that name, or NULL. */
pawl_named *pawl_state_find(const pawl_state *s, const char *name);
size_t pawl_state_bytes(const pawl_state *s);
void pawl_state_close(pawl_state *s); /* frees the list, not the numbers */

#ifdef __cplusplus
}
#endif
#endif
