/* Time of work on a stream, between two events. */
#ifndef PAWL_OPS_CUDA_TIMER_H
#define PAWL_OPS_CUDA_TIMER_H

#include "ops/cuda/cuda.h"

typedef struct pawl_timer {
    cudaEvent_t from, to;
} pawl_timer;

/* Zeroed before. Errors: the device's; close after one, too. */
pawl_status pawl_timer_open(pawl_timer *t);
void pawl_timer_close(pawl_timer *t);
/* What is put on the stream between the two is timed; stop waits for it. */
pawl_status pawl_timer_start(const pawl_timer *t, cudaStream_t stream);
pawl_status pawl_timer_stop(const pawl_timer *t, cudaStream_t stream, float *ms);

#endif
