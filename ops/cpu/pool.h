/* ops/cpu/pool.h - a few threads that share numbered tasks and sleep in between (decision 0004). */
#ifndef PAWL_OPS_CPU_POOL_H
#define PAWL_OPS_CPU_POOL_H

#include <stdint.h>

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pawl_pool pawl_pool;

/* thread: which of the pool's threads runs this, 0 being the caller. For scratch, never for results. */
typedef void (*pawl_task)(void *self, int64_t i, int thread);

/* threads - 1 workers; none for 1. Errors: EMEM. */
PAWL_MUST pawl_status pawl_pool_open(int threads, pawl_pool **out);
void pawl_pool_close(pawl_pool *p);
int pawl_pool_threads(const pawl_pool *p);
/* Runs task(self, i, thread) for i in [0, count); returns when all are done. Not from inside a task. */
void pawl_pool_run(pawl_pool *p, int64_t count, pawl_task task, void *self);

#ifdef __cplusplus
}
#endif
#endif
