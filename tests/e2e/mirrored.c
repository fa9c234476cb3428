/* A device whose arrays are the host's, before a GPU: see in_front.h. For tests, and slow. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "tests/e2e/in_front.h"
#include "tests/on_device.h"

/* The arrays of the op that is being called. Each lies as far from a page's beginning on the device as it does here: ops choose by that. */
enum { ARRAYS = 32, PAGE = 4096 };
static struct {
    char *here, *block, *there; /* there: in the block */
    size_t bytes, taken;
} array[ARRAYS];
static int arrays;
static pawl_device *gpu;

static void must(pawl_status s)
{
    if (s == PAWL_OK) return;
    fprintf(stderr, "mirrored: %s\n", pawl_last_error()->what);
    abort();
}

static void *bring_up(const char *here, size_t bytes)
{
    const size_t shift = (uintptr_t)here % PAGE, taken = bytes + shift;
    void *block;
    must(pawl_device_take(gpu, PAWL_ON_DEVICE, taken, "an array", &block));
    must(pawl_upload(gpu, (char *)block + shift, here, bytes));
    array[arrays].here = (char *)(uintptr_t)here;
    array[arrays].block = block;
    array[arrays].there = (char *)block + shift;
    array[arrays].bytes = bytes;
    array[arrays++].taken = taken;
    return (char *)block + shift;
}

static void *real_of(const char *op, const char *name, const void *given, size_t bytes)
{
    const char *at = given;
    if (!given || bytes == 0) return (void *)(uintptr_t)given;
    for (int i = 0; i < arrays; i++) {
        if (at >= array[i].here + array[i].bytes || at + bytes <= array[i].here) continue;
        if (at >= array[i].here && at + bytes <= array[i].here + array[i].bytes) return array[i].there + (at - array[i].here);
        fprintf(stderr, "mirrored: %s: %s lies partly in another argument\n", op, name);
        abort();
    }
    if (arrays == ARRAYS) abort();
    return bring_up(at, bytes);
}

static pawl_status after(pawl_device *behind, pawl_status s)
{
    for (; arrays > 0; arrays--) {
        const int i = arrays - 1;
        if (s == PAWL_OK) must(pawl_download(behind, array[i].here, array[i].there, array[i].bytes));
        pawl_device_give(behind, PAWL_ON_DEVICE, array[i].block, array[i].taken);
    }
    return s;
}

static pawl_status take(pawl_device *d, pawl_side_of side, size_t bytes, const char *what, void **out)
{
    (void)d, (void)side;
    return pawl_pages_take(bytes, what, out);
}

static void give(pawl_device *d, pawl_side_of side, void *block, size_t bytes)
{
    (void)d, (void)side;
    pawl_pages_give(block, bytes);
}

static pawl_status copy_up(pawl_device *d, void *to, const void *from, size_t bytes)
{
    (void)d;
    memmove(to, from, bytes);
    return PAWL_OK;
}

static pawl_status copy_down(pawl_device *d, void *to, const void *from, size_t bytes)
{
    return copy_up(d, to, from, bytes);
}

static const in_front_kind kind = {.shares_memory = 1, .take = take, .give = give, .upload = copy_up, .download = copy_down, .real_of = real_of, .after = after};

pawl_status mirrored_open(pawl_device **out)
{
    PAWL_TRY(open_tested_device(1, &gpu));
    return in_front_open(&kind, gpu, out);
}
