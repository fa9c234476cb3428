/* tests/cuda_on_cpu/standin.h - what the stand-ins for NVIDIA's libraries offer each other and the tests.
 *
 * Work put on a stream runs late: when somebody waits for it, or when the dice say so. Which stream goes on first is drawn from a
 * seed (PAWL_STANDIN_SEED), within what streams and events allow; so an order that nobody asked for is soon missed. With PAWL_STANDIN_LAZY=1
 * other streams than the eldest are as late as may be. Memory of
 * the device is out of reach of the process but while such work runs: a host that touches it dies with a sentence. */
#ifndef PAWL_STANDIN_H
#define PAWL_STANDIN_H

#include <cuda_runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Puts run(a copy of arg) at the end of a stream. */
void standin_put(cudaStream_t s, void (*run)(void *arg), const void *arg, size_t bytes);
/* The same of work that takes until it says so: poll(the copy) is called now and then once it is the stream's turn, until it returns 1. It
 * may not wait, and says so before it touches the device's memory (standin_reach): it may be asked a thousand times for nothing. */
void standin_put_polled(cudaStream_t s, int (*poll)(void *arg), const void *arg, size_t bytes);
void standin_reach(void);
/* The same where arg owns something: drop(that copy) when it does not run again. In a graph it runs many times. */
void standin_put_owning(cudaStream_t s, void (*run)(void *arg), void (*drop)(void *arg), const void *arg, size_t bytes);
/* From now on waits of streams for events are counted from 1, and the `drop`-th does not wait (0: all do): a mistake, for tests of tests. Returns
 * how many there were since the call before. */
__attribute__((visibility("default"))) long standin_drop_wait(long drop);
/* The same of looks of the host at events that have not come: the `drop`-th is told that it has. */
__attribute__((visibility("default"))) long standin_drop_look(long drop);
/* Whether nothing is on any stream. */
__attribute__((visibility("default"))) int standin_is_idle(void);
/* Whether the whole of a block is the device's memory, or pinned memory of the host. */
int standin_on_device(const void *block, size_t bytes);
int standin_is_pinned(const void *block, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
