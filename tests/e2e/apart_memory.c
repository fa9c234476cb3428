/* The CPU behind a device whose memory is apart (decision 0043). Its memory has two addresses: one that the program is given and that
 * nobody may read or write, and one that only the CPU's ops are given. So a touch by the host is a fault where it happens,
 * and an array of the host's among an op's arguments ends the program with the op's name. Linked into a program with
 * --wrap=pawl_device_open_cpu, it stands in for every CPU device there. */
#include <execinfo.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/arena.h"
#include "tests/e2e/in_front.h"

typedef struct block {
    char *given, *real; /* the same bytes: PROT_NONE, and readable */
    size_t bytes;
} block;

enum { BLOCKS = 4096 };
static struct {
    pthread_mutex_t mutex;
    block block[BLOCKS];
    int count;
} taken = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* ---- memory ---- */

static pawl_status take_block(size_t bytes, const char *what, block *out)
{
    void *real, *given;
    const int fd = memfd_create("apart", MFD_CLOEXEC);
    PAWL_CHECK(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0, PAWL_EMEM, "no memory for %s (%zu bytes)", what, bytes);
    real = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    given = mmap(NULL, bytes, PROT_NONE, MAP_SHARED, fd, 0);
    close(fd);
    PAWL_CHECK(real != MAP_FAILED && given != MAP_FAILED, PAWL_EMEM, "no memory for %s (%zu bytes)", what, bytes);
    *out = (block){given, real, bytes};
    return PAWL_OK;
}

static pawl_status take_apart(pawl_device *d, pawl_side_of side, size_t bytes, const char *what, void **out)
{
    block b;
    (void)d;
    if (side == PAWL_ON_HOST) return pawl_pages_take(bytes, what, out);
    PAWL_TRY(take_block(bytes ? bytes : 1, what, &b));
    pthread_mutex_lock(&taken.mutex);
    const int room = taken.count < BLOCKS;
    if (room) taken.block[taken.count++] = b;
    pthread_mutex_unlock(&taken.mutex);
    PAWL_CHECK(room, PAWL_EMEM, "more than %d blocks of the device's memory", BLOCKS);
    *out = b.given;
    return PAWL_OK;
}

static void give_apart(pawl_device *d, pawl_side_of side, void *given, size_t bytes)
{
    block b = {0};
    (void)d;
    if (side == PAWL_ON_HOST) {
        pawl_pages_give(given, bytes);
        return;
    }
    pthread_mutex_lock(&taken.mutex);
    for (int i = 0; i < taken.count && !b.given; i++)
        if (taken.block[i].given == given) {
            b = taken.block[i];
            taken.block[i] = taken.block[--taken.count];
        }
    pthread_mutex_unlock(&taken.mutex);
    PAWL_ASSERT(b.given && b.bytes == (bytes ? bytes : 1));
    munmap(b.real, b.bytes);
    munmap(b.given, b.bytes);
}

static void refuse(const char *op, const char *name, const char *why)
{
    void *frames[24];
    fprintf(stderr, "apart: %s: %s %s\n", op, name, why);
    backtrace_symbols_fd(frames, backtrace(frames, 24), STDERR_FILENO);
    abort();
}

/* Where the bytes at a given address are. */
static void *real_of(const char *op, const char *name, const void *given, size_t bytes)
{
    const char *at = given;
    void *real = NULL;
    if (!given || bytes == 0) return (void *)(uintptr_t)given;
    pthread_mutex_lock(&taken.mutex);
    for (int i = 0; i < taken.count && !real; i++) {
        const block *b = &taken.block[i];
        if (at < b->given || at >= b->given + b->bytes) continue;
        if (bytes > (size_t)(b->given + b->bytes - at)) refuse(op, name, "reaches beyond its block");
        real = b->real + (at - b->given);
    }
    pthread_mutex_unlock(&taken.mutex);
    if (!real) refuse(op, name, "is not in the device's memory");
    return real;
}

static pawl_status upload_apart(pawl_device *d, void *to_device, const void *from_host, size_t bytes)
{
    (void)d;
    memcpy(real_of("upload", "to_device", to_device, bytes), from_host, bytes);
    return PAWL_OK;
}

static pawl_status download_apart(pawl_device *d, void *to_host, const void *from_device, size_t bytes)
{
    (void)d;
    memcpy(to_host, real_of("download", "from_device", from_device, bytes), bytes);
    return PAWL_OK;
}

static pawl_status after_apart(pawl_device *behind, pawl_status s)
{
    (void)behind;
    return s;
}

static const in_front_kind kind = {.take = take_apart, .give = give_apart, .upload = upload_apart, .download = download_apart,
                                   .real_of = real_of, .after = after_apart};

pawl_status __real_pawl_device_open_cpu(int threads, const char *isa, pawl_device **out);
pawl_status __wrap_pawl_device_open_cpu(int threads, const char *isa, pawl_device **out);
pawl_status __wrap_pawl_device_open_cpu(int threads, const char *isa, pawl_device **out)
{
    pawl_device *cpu;
    void *warm[2];
    backtrace(warm, 2); /* it loads a library the first time */
    PAWL_TRY(__real_pawl_device_open_cpu(threads, isa, &cpu));
    return in_front_open(&kind, cpu, out);
}
