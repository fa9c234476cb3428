/* comm/nccl.h - private to comm/: numbers from GPU to GPU by NCCL.
 *
 * What is asked for is in the order of the device's work, or of what it does aside (ops.h), as ops are: so the host does not wait, and
 * nothing else has to say that a message has come. */
#ifndef PAWL_COMM_NCCL_H
#define PAWL_COMM_NCCL_H

#include "comm/comm.h"

typedef struct pawl_nccl pawl_nccl; /* pawl_comm's gpus */

extern const char *pawl_nccl_library; /* what is loaded; tests put another in */

/* Collective. Errors, the same on all ranks: EUSAGE where NCCL cannot be loaded, or with its words where it refuses (two ranks on one
 * GPU, say). Waits as long as pawl_watch allows. */
PAWL_MUST pawl_status pawl_nccl_open(pawl_comm *c, pawl_device *d, pawl_nccl **out);
/* Collective. One number between each pair of c's ranks, by c->gpus, and one sum where how->reduction is NCCL's: then connections are made, for
 * which there are how->phase_seconds. Errors: ECOMM where that fails; EUSAGE, agreed on, where other numbers come than were sent; EMEM. */
PAWL_MUST pawl_status pawl_nccl_greet(pawl_comm *c, pawl_device *d, const pawl_comm_config *how);
/* Not collective: what is under way is given up. Waits for no one. */
void pawl_nccl_close(pawl_nccl *n);

/* Errors of what follows: ECOMM. */
/* Whether all that was asked for before has gone well as far as is known: of another rank's end, of a broken link. */
PAWL_MUST pawl_status pawl_nccl_healthy(pawl_nccl *n);
/* Messages between begin and end are on their way together; between two ranks they arrive in the order in which they were posted. */
PAWL_MUST pawl_status pawl_nccl_begin(pawl_nccl *n);
PAWL_MUST pawl_status pawl_nccl_receive(pawl_nccl *n, float *data, int64_t count, int peer);
PAWL_MUST pawl_status pawl_nccl_send(pawl_nccl *n, const float *data, int64_t count, int peer);
PAWL_MUST pawl_status pawl_nccl_end(pawl_nccl *n);
/* data becomes the sum over all ranks, in NCCL's order. */
PAWL_MUST pawl_status pawl_nccl_sum(pawl_nccl *n, float *data, int64_t count);

/* Memory of NCCL's own; *out NULL where it has none to give. give: what takes it back, when nothing uses it any more, also after n is
 * closed. Local. Errors: EMEM. */
PAWL_MUST pawl_status pawl_nccl_take(pawl_nccl *n, size_t bytes, void **out, int (**give)(void *block));
/* Registers such memory: by itself, or as a window, of the same size on all ranks, which then is collective. */
int pawl_nccl_has_windows(const pawl_nccl *n);
PAWL_MUST pawl_status pawl_nccl_register(pawl_nccl *n, void *block, size_t bytes, int window, void **registered);
void pawl_nccl_unregister(pawl_nccl *n, int window, void *registered);

#endif
