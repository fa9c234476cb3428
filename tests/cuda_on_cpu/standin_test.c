/* The stand-in for CUDA's runtime: that it refuses what the real one refuses, or answers with nonsense. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <cuda_runtime.h>

#include "ops/cuda/kernels.h"

enum { NUMBERS = 100 };

static int on_gpu(void **state)
{
    (void)state;
    return cudaSetDevice(0) == cudaSuccess ? 0 : -1;
}

static cudaStream_t new_stream(void)
{
    cudaStream_t s;
    assert_int_equal(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking), cudaSuccess);
    return s;
}

static cudaEvent_t new_event(unsigned flags)
{
    cudaEvent_t e;
    assert_int_equal(cudaEventCreateWithFlags(&e, flags), cudaSuccess);
    return e;
}

static void an_event_that_was_destroyed_is_refused(void **state)
{
    cudaStream_t s = new_stream();
    cudaEvent_t e = new_event(cudaEventDisableTiming);
    (void)state;
    assert_int_equal(cudaEventRecord(e, s), cudaSuccess);
    assert_int_equal(cudaEventDestroy(e), cudaSuccess); /* recorded still */
    assert_int_equal(cudaStreamSynchronize(s), cudaSuccess);
    assert_int_equal(cudaEventRecord(e, s), cudaErrorInvalidResourceHandle);
    assert_int_equal(cudaEventSynchronize(e), cudaErrorInvalidResourceHandle);
    assert_int_equal(cudaEventQuery(e), cudaErrorInvalidResourceHandle);
    assert_int_equal(cudaStreamWaitEvent(s, e, 0), cudaErrorInvalidResourceHandle);
    assert_int_equal(cudaEventDestroy(e), cudaErrorInvalidResourceHandle);
    assert_int_equal(cudaStreamDestroy(s), cudaSuccess);
}

static void a_stream_that_was_destroyed_is_refused(void **state)
{
    cudaStream_t s = new_stream();
    cudaEvent_t e = new_event(cudaEventDisableTiming);
    void *block;
    (void)state;
    assert_int_equal(cudaMalloc(&block, NUMBERS * sizeof(float)), cudaSuccess);
    assert_int_equal(cudaStreamDestroy(s), cudaSuccess);
    assert_int_equal(cudaEventRecord(e, s), cudaErrorInvalidResourceHandle);
    assert_int_equal(cudaStreamSynchronize(s), cudaErrorInvalidResourceHandle);
    assert_int_equal(cudaStreamDestroy(s), cudaErrorInvalidResourceHandle);
    (void)cudaGetLastError();
    pawl_cuda_zero(s, block, NUMBERS); /* a launch says nothing */
    assert_int_equal(cudaGetLastError(), cudaErrorInvalidResourceHandle);
    assert_int_equal(cudaGetLastError(), cudaSuccess);
    assert_int_equal(cudaEventDestroy(e), cudaSuccess);
    assert_int_equal(cudaFree(block), cudaSuccess);
}

static void only_events_with_times_have_them(void **state)
{
    float ms;
    cudaEvent_t from = new_event(cudaEventDefault), to = new_event(cudaEventDefault), without = new_event(cudaEventDisableTiming);
    (void)state;
    assert_int_equal(cudaEventElapsedTime(&ms, from, to), cudaErrorInvalidResourceHandle); /* never recorded */
    assert_int_equal(cudaEventRecord(from, NULL), cudaSuccess);
    assert_int_equal(cudaEventRecord(to, NULL), cudaSuccess);
    assert_int_equal(cudaEventRecord(without, NULL), cudaSuccess);
    assert_int_equal(cudaDeviceSynchronize(), cudaSuccess);
    assert_int_equal(cudaEventElapsedTime(&ms, from, to), cudaSuccess);
    assert_true(ms >= 0);
    assert_int_equal(cudaEventElapsedTime(&ms, from, without), cudaErrorInvalidResourceHandle);
    cudaEventDestroy(from), cudaEventDestroy(to), cudaEventDestroy(without);
}

/* An error is found by the next who asks for the last one, though it was answered with. */
static void an_error_is_the_last_one_until_somebody_asks(void **state)
{
    void *block;
    (void)state;
    (void)cudaGetLastError();
    assert_int_equal(cudaMalloc(&block, (size_t)1 << 40), cudaErrorMemoryAllocation);
    assert_int_equal(cudaGetLastError(), cudaErrorMemoryAllocation);
    assert_int_equal(cudaGetLastError(), cudaSuccess);
}

static void *take_some(void *answer)
{
    void *block;
    *(cudaError_t *)answer = cudaMalloc(&block, 1);
    return NULL;
}

static void a_thread_has_to_say_which_gpu_it_means(void **state)
{
    pthread_t thread;
    cudaError_t answer = cudaSuccess;
    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, take_some, &answer), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(answer, cudaErrorNoDevice);
}

/* ---- captures ---- */

static float *zeroed(cudaStream_t s)
{
    void *block;
    assert_int_equal(cudaMalloc(&block, NUMBERS * sizeof(float)), cudaSuccess);
    pawl_cuda_zero(s, block, NUMBERS);
    return block;
}

static float first_of(cudaStream_t s, const float *block)
{
    void *here;
    assert_int_equal(cudaHostAlloc(&here, sizeof(float), cudaHostAllocDefault), cudaSuccess);
    assert_int_equal(cudaMemcpyAsync(here, block, sizeof(float), cudaMemcpyDeviceToHost, s), cudaSuccess);
    assert_int_equal(cudaStreamSynchronize(s), cudaSuccess);
    const float x = *(float *)here;
    assert_int_equal(cudaFreeHost(here), cudaSuccess);
    return x;
}

/* Nothing is done while it is captured; then all of it, as often as it is launched, after the graph it was made from is gone. */
static void what_is_captured_runs_when_it_is_launched(void **state)
{
    cudaStream_t s = new_stream();
    float *a = zeroed(s), *b = zeroed(s);
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    (void)state;
    assert_int_equal(cudaMemsetAsync(b, 0x3f, NUMBERS * sizeof *b, s), cudaSuccess);
    const float each = first_of(s, b);
    assert_int_equal(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    pawl_cuda_add(s, a, b, NUMBERS);
    pawl_cuda_add(s, a, b, NUMBERS);
    assert_int_equal(cudaStreamEndCapture(s, &graph), cudaSuccess);
    assert_int_equal(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
    assert_int_equal(cudaGraphDestroy(graph), cudaSuccess);
    assert_true(first_of(s, a) == 0);
    for (int i = 0; i < 3; i++) assert_int_equal(cudaGraphLaunch(exec, s), cudaSuccess);
    assert_int_equal(cudaGraphExecDestroy(exec), cudaSuccess); /* what was launched goes on */
    assert_true(first_of(s, a) == 6 * each);
    cudaFree(a), cudaFree(b), cudaStreamDestroy(s);
}

typedef cudaError_t (*spoiler)(cudaStream_t s, cudaEvent_t e);

static cudaError_t waits(cudaStream_t s, cudaEvent_t e)
{
    (void)e;
    return cudaStreamSynchronize(s);
}

static cudaError_t takes_memory(cudaStream_t s, cudaEvent_t e)
{
    void *block;
    (void)s, (void)e;
    return cudaMalloc(&block, 1);
}

static cudaError_t asks_an_event(cudaStream_t s, cudaEvent_t e)
{
    (void)s;
    return cudaEventQuery(e);
}

static cudaError_t waits_for_what_is_outside(cudaStream_t s, cudaEvent_t e)
{
    return cudaStreamWaitEvent(s, e, 0);
}

static void what_a_capture_forbids_spoils_it(void **state)
{
    const spoiler all[] = {waits, takes_memory, asks_an_event, waits_for_what_is_outside};
    cudaStream_t s = new_stream();
    cudaEvent_t e = new_event(cudaEventDisableTiming);
    float *a = zeroed(s);
    (void)state;
    assert_int_equal(cudaEventRecord(e, s), cudaSuccess);
    assert_int_equal(cudaStreamSynchronize(s), cudaSuccess);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        cudaGraph_t graph;
        assert_int_equal(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal), cudaSuccess);
        pawl_cuda_zero(s, a, NUMBERS);
        assert_int_not_equal(all[i](s, e), cudaSuccess);
        assert_int_equal(cudaStreamEndCapture(s, &graph), cudaErrorStreamCaptureInvalidated);
        assert_null(graph);
        assert_int_equal(cudaStreamEndCapture(s, &graph), cudaErrorStreamCaptureUnmatched);
        (void)cudaGetLastError();
    }
    assert_int_equal(cudaStreamSynchronize(s), cudaSuccess);
    cudaFree(a), cudaEventDestroy(e), cudaStreamDestroy(s);
}

/* In a process of its own, for it stays so. */
static int all_fails_when_the_gpu_is_broken(void)
{
    float *block;
    cudaStream_t s = new_stream();
    cudaEvent_t e = new_event(cudaEventDisableTiming);
    if (cudaMalloc((void **)&block, NUMBERS * sizeof *block) != cudaSuccess) return 1;
    setenv("PAWL_STANDIN_FAULT", "2", 1);
    for (int i = 0; i < 2; i++) pawl_cuda_zero(s, block, NUMBERS);
    if (cudaStreamSynchronize(s) != cudaSuccess) return 2;
    pawl_cuda_zero(s, block, NUMBERS);
    if (cudaEventRecord(e, s) != cudaSuccess && !getenv("PAWL_STANDIN_SEED")) return 3; /* not known yet, unless it has run already */
    if (cudaStreamSynchronize(s) != cudaErrorIllegalAddress) return 4;
    if (cudaGetLastError() != cudaErrorIllegalAddress || cudaGetLastError() != cudaErrorIllegalAddress) return 5;
    if (cudaFree(block) != cudaErrorIllegalAddress || cudaEventSynchronize(e) != cudaErrorIllegalAddress) return 6;
    return 0;
}

static void a_gpu_that_breaks_stays_so(void **state)
{
    int how;
    (void)state;
    const pid_t child = fork();
    if (child == 0) _exit(all_fails_when_the_gpu_is_broken());
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_that_was_destroyed_is_refused),
        cmocka_unit_test(a_stream_that_was_destroyed_is_refused),
        cmocka_unit_test(only_events_with_times_have_them),
        cmocka_unit_test(an_error_is_the_last_one_until_somebody_asks),
        cmocka_unit_test(a_thread_has_to_say_which_gpu_it_means),
        cmocka_unit_test(what_is_captured_runs_when_it_is_launched),
        cmocka_unit_test(what_a_capture_forbids_spoils_it),
        cmocka_unit_test(a_gpu_that_breaks_stays_so),
    };
    return cmocka_run_group_tests(tests, on_gpu, NULL);
}
