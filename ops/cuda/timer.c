#include "ops/cuda/timer.h"

pawl_status pawl_timer_open(pawl_timer *t)
{
    PAWL_TRY(pawl_cuda_status(cudaEventCreateWithFlags(&t->from, cudaEventDefault), "cudaEventCreateWithFlags"));
    return pawl_cuda_status(cudaEventCreateWithFlags(&t->to, cudaEventDefault), "cudaEventCreateWithFlags");
}

void pawl_timer_close(pawl_timer *t)
{
    if (t->from) (void)cudaEventDestroy(t->from);
    if (t->to) (void)cudaEventDestroy(t->to);
}

pawl_status pawl_timer_start(const pawl_timer *t, cudaStream_t stream)
{
    return pawl_cuda_status(cudaEventRecord(t->from, stream), "cudaEventRecord");
}

pawl_status pawl_timer_stop(const pawl_timer *t, cudaStream_t stream, float *ms)
{
    PAWL_TRY(pawl_cuda_status(cudaEventRecord(t->to, stream), "cudaEventRecord"));
    PAWL_TRY(pawl_cuda_status(cudaEventSynchronize(t->to), "cudaEventSynchronize"));
    return pawl_cuda_status(cudaEventElapsedTime(ms, t->from, t->to), "cudaEventElapsedTime");
}
