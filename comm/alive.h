/* comm/alive.h - private to comm/: whether the other ranks' processes are still there, as far as this machine shows.
 *
 * Between GPUs of one machine messages go from memory to memory, and nobody says that a peer has died: a stream waits for ever. The
 * kernel knows. (Of other machines' ranks NCCL hears when their connections break.) */
#ifndef PAWL_COMM_ALIVE_H
#define PAWL_COMM_ALIVE_H

#include "comm/comm.h"

typedef struct pawl_alive pawl_alive;
/* Collective. */
PAWL_MUST pawl_status pawl_alive_open(pawl_comm *c, pawl_alive **out);
void pawl_alive_close(pawl_alive *a);
/* The lowest rank whose process is known to have ended, and what it was; -1: none. Local. */
int pawl_alive_lost(const pawl_alive *a, long *process);

#endif
