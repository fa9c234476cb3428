#include "core/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "core/arena.h"
#include "core/file.h"

/* A small file of the system's; NULL where there is none. */
static char *text_of(const char *path)
{
    char *text;
    size_t bytes;
    return pawl_file_read(path, 1 << 20, &text, &bytes) == PAWL_OK ? text : NULL;
}

/* The number behind a word; 0 where there is none. */
static double number_in(const char *text, const char *word)
{
    double out;
    const char *at = text ? strstr(text, word) : NULL;
    return at && sscanf(at + strlen(word), "%lf", &out) == 1 ? out : 0;
}

static double number_of(const char *path, const char *word)
{
    char *text = text_of(path);
    const double out = number_in(text, word);
    pawl_free(text);
    return out;
}

pawl_memory pawl_memory_of_process(void)
{
    char *text = text_of("/proc/self/status");
    const pawl_memory out = {(size_t)number_in(text, "VmRSS:") * 1024, (size_t)number_in(text, "VmHWM:") * 1024};
    pawl_free(text);
    return out;
}

void pawl_memory_trim(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

double pawl_memory_available(void)
{
    const double free_here = number_of("/proc/meminfo", "MemAvailable:") * 1024;
    const double limit = number_of("/sys/fs/cgroup/memory.max", ""); /* the word "max": none */
    const double left = limit - number_of("/sys/fs/cgroup/memory.current", "");
    return limit > 0 && left < free_here ? left : free_here;
}
