/* core/memory.h - what memory this process has, and what the machine can still give. All local. */
#ifndef PAWL_CORE_MEMORY_H
#define PAWL_CORE_MEMORY_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of this process in memory: now, and the most so far (VmRSS and VmHWM of /proc/self/status); 0: not known. */
typedef struct pawl_memory {
    size_t now, peak;
} pawl_memory;
pawl_memory pawl_memory_of_process(void);

/* Gives back to the system what was freed and is still held for later. */
void pawl_memory_trim(void);

/* Bytes that this machine can still give: what is free, lowered to what a memory control group leaves; 0: not known. */
double pawl_memory_available(void);

#ifdef __cplusplus
}
#endif
#endif
