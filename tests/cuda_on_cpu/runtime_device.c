/* The runtime's stand-in: the one device of a process, its dice, and what it says at the end. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/cuda_on_cpu/runtime.h"

pthread_mutex_t standin_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t dice;

uint32_t standin_roll(uint32_t sides)
{
    if (!dice) {
        const char *seed = getenv("PAWL_STANDIN_SEED");
        dice = seed ? strtoull(seed, NULL, 10) * 2 + 1 : 1;
    }
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (uint32_t)((dice >> 32) % sides);
}

void standin_say(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0) _exit(99);
}

/* A line for each kernel that has run, in the file PAWL_STANDIN_COUNTS.PROCESS: NAME TIMES; and what memory was taken at most, and not given back. */
static void tell(void)
{
    const char *to = getenv("PAWL_STANDIN_COUNTS");
    char path[4096];
    FILE *f;
    if (!to || snprintf(path, sizeof path, "%s.%ld", to, (long)getpid()) >= (int)sizeof path || !(f = fopen(path, "w")))
        return;
    for (int i = 0; pawl_shim_kernel(i); i++)
        fprintf(f, "%s %ld\n", pawl_shim_kernel(i), pawl_shim_runs(pawl_shim_kernel(i)));
    fprintf(f, "cudaGraphLaunch %ld\n", standin_graph_launches());
    fprintf(f, "bytes_on_device %zu\nbytes_pinned %zu\n", standin_most_on_device(), standin_most_pinned());
    fprintf(f, "bytes_left_on_device %zu\nbytes_left_pinned %zu\n", standin_left_on_device(), standin_left_pinned());
    fclose(f);
}

static int get_on(void)
{
    pthread_mutex_lock(&standin_lock);
    const int some = standin_get_on(64);
    pthread_mutex_unlock(&standin_lock);
    return some;
}

__attribute__((constructor)) static void begin_standing_in(void)
{
    int (**hook)(void) = (int (**)(void))dlsym(RTLD_DEFAULT, "standin_get_on_meanwhile"); /* patient_mpi.c */
    if (hook) *hook = get_on;
    pawl_shim_take = standin_take_kernel;
    pawl_shim_seed(1 + standin_roll(1u << 30));
    atexit(tell);
}

/* ---- the runtime's names ---- */

const char *cudaGetErrorString(cudaError_t e)
{
    switch (e) {
    case cudaSuccess: return "success";
    case cudaErrorInvalidValue: return "invalid value";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorNotReady: return "not ready";
    case cudaErrorNoDevice: return "no device";
    case cudaErrorInvalidResourceHandle: return "invalid resource handle";
    case cudaErrorInvalidConfiguration: return "invalid configuration";
    case cudaErrorIllegalAddress: return "an illegal memory access was encountered";
    case cudaErrorStreamCaptureUnsupported: return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated: return "operation failed due to a previous error during capture";
    case cudaErrorStreamCaptureUnmatched: return "capture was not initiated in this stream";
    case cudaErrorStreamCaptureIsolation: return "dependency created on uncaptured work in another stream";
    default: return "unknown";
    }
}

static cudaError_t last_error;
static int broken;
static _Thread_local int has_chosen;

cudaError_t standin_said(cudaError_t e)
{
    if (e != cudaSuccess) last_error = e;
    return e;
}

void standin_break(void)
{
    broken = 1;
}

int standin_is_broken(void)
{
    return broken;
}

cudaError_t standin_at_hand(void)
{
    if (broken) return standin_said(cudaErrorIllegalAddress);
    if (has_chosen) return cudaSuccess;
    standin_say("stand-in: a thread that has not called cudaSetDevice works on GPU 0, whoever's that is\n");
    return standin_said(cudaErrorNoDevice);
}

cudaError_t standin_may(int there, cudaStream_t s)
{
    STANDIN_TRY(standin_at_hand());
    if (!there) return standin_said(cudaErrorInvalidResourceHandle);
    return standin_spoils_capture(s) ? standin_said(cudaErrorStreamCaptureUnsupported) : cudaSuccess;
}

cudaError_t cudaGetLastError(void)
{
    const cudaError_t last = broken ? cudaErrorIllegalAddress : last_error;
    last_error = cudaSuccess;
    return last;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = 1;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int number)
{
    if (number != 0) return standin_said(cudaErrorNoDevice);
    has_chosen = 1;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *out, int number)
{
    const char *sm = getenv("PAWL_STANDIN_SM"); /* "86": compute capability 8.6 */
    *out = (struct cudaDeviceProp){
        .name = "stand-in", .totalGlobalMem = standin_device_bytes(), .major = 9, .multiProcessorCount = 4};
    if (sm && sm[0]) out->major = atoi(sm) / 10, out->minor = atoi(sm) % 10;
    return number == 0 ? cudaSuccess : standin_said(cudaErrorNoDevice);
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = 13000;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    return cudaDriverGetVersion(version);
}
