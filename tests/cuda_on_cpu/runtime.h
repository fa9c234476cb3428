/* tests/cuda_on_cpu/runtime.h - private to the stand-in for the runtime: what its files offer each other. standin.h is
 * for the other stand-ins. */
#ifndef PAWL_STANDIN_RUNTIME_H
#define PAWL_STANDIN_RUNTIME_H

#include <pthread.h>
#include <stdint.h>

#include "tests/cuda_on_cpu/shim.h"
#include "tests/cuda_on_cpu/standin.h"

enum { STANDIN_PAGE = 4096 };
/* What the GPU has: PAWL_STANDIN_GPU_MIB, or 16 GiB. What was taken of it, and of pinned memory, at most: bytes that were asked for. */
size_t standin_device_bytes(void);
size_t standin_most_on_device(void);
size_t standin_most_pinned(void);
size_t standin_left_on_device(void);
size_t standin_left_pinned(void);

/* Held by whoever touches streams or memory; the functions below want it held. */
extern pthread_mutex_t standin_lock;
/* Drawn from [0, sides). */
uint32_t standin_roll(uint32_t sides);
/* Milliseconds, in [0.5, 1.5). */
float standin_duration(void);
/* A line on stderr, from a signal handler, too. */
void standin_say(const char *text);

/* Work runs between these; they nest. The device's memory can be reached from standin_reach (standin.h) to the last of them. */
void standin_open(void);
void standin_shut(void);
int standin_is_open(void);

/* Runs all that is on all streams. */
void standin_drain_all(void);
/* Runs at most so much of what can go on; whether there was any. */
int standin_get_on(uint32_t operations);
/* What a call answers with: an error is found by cudaGetLastError, too, until somebody asks. */
cudaError_t standin_said(cudaError_t e);
/* What each call that needs the device begins with. A thread that has not said which GPU it means is refused: it would get the
 * first one, which may be another rank's. A device that has broken answers everything with the same error. */
cudaError_t standin_at_hand(void);
/* What a call begins with that a capture forbids, because it waits or takes memory: standin_at_hand; that the streams and events it was
 * handed are there (`there`: all are); that neither this thread captures nor is stream s captured (NULL: no stream in particular). */
cudaError_t standin_may(int there, cudaStream_t s);
/* Ends a call with what such a check refuses. */
#define STANDIN_TRY(check)                             \
    do {                                               \
        const cudaError_t refused_ = (check);          \
        if (refused_ != cudaSuccess) return refused_;  \
    } while (0)
/* As by a kernel that went astray. Nothing runs any more. */
void standin_break(void);
int standin_is_broken(void);

/* A piece of work, held by the stream that it is on, by a graph that it is in. */
typedef struct standin_work {
    void (*run)(void *arg);
    int (*poll)(void *arg);  /* or this: whether it is through, in standin.h */
    void (*drop)(void *arg); /* NULL: nothing to do */
    int holders;
    _Alignas(16) char arg[];
} standin_work;
void standin_let_go(standin_work *w);
/* Puts it at the end of a stream, which then holds it, too. */
void standin_put_work(cudaStream_t s, standin_work *w);

/* Takes what is put on a stream that is being captured, and holds it; 0: it is not. */
int standin_captures(cudaStream_t s, standin_work *w);
/* Whether this thread captures, or stream s is captured: a call that would wait, or take memory, is then refused, and
 * the capture has come to nothing. s NULL: of no stream in particular. */
int standin_spoils_capture(cudaStream_t s);
long standin_graph_launches(void);
/* Puts a launch on its stream: the shim's pawl_shim_take. */
void standin_take_kernel(pawl_stream stream, pawl_shim_work *w);

#endif
