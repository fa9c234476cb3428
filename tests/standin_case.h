/* tests/standin_case.h - for cases on the CUDA backend with stand-ins for NVIDIA's libraries behind it: its device, and numbers. */
#ifndef PAWL_TESTS_STANDIN_CASE_H
#define PAWL_TESTS_STANDIN_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ops/backend.h"

static const pawl_cuda_place standin = {.library = PAWL_STANDIN};

static void done(pawl_status s)
{
    if (s != PAWL_OK) fail_msg("%s [%s]", pawl_last_error()->what, pawl_last_error()->trail);
}

static pawl_device *open_device(void)
{
    pawl_device *d;
    done(pawl_device_open_cuda(&standin, 0, &d));
    return d;
}

/* xorshift32 */
static uint32_t roll(uint32_t *state)
{
    *state ^= *state << 13, *state ^= *state >> 17, *state ^= *state << 5;
    return *state;
}

/* In [-1, 1). */
static float number(uint32_t *state)
{
    return (float)(int32_t)roll(state) * 0x1p-31f;
}

#endif
