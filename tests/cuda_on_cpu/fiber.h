/* tests/cuda_on_cpu/fiber.h - a stack of its own, and changing to it and back. AddressSanitizer is told. */
#ifndef PAWL_TESTS_CUDA_ON_CPU_FIBER_H
#define PAWL_TESTS_CUDA_ON_CPU_FIBER_H

typedef struct fiber fiber;

/* Never freed: they are used again. */
fiber *fiber_new(void);
/* From now on it begins with body(), which must end in fiber_leave(f, 1). Whatever it was doing is forgotten. */
void fiber_begin(fiber *f, void (*body)(void));
/* Runs it until it leaves. */
void fiber_enter(fiber *f);
/* Called on it: back to whoever entered. last: it will not be entered again before it begins anew. */
void fiber_leave(fiber *f, int last);

#endif
