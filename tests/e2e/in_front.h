/* tests/e2e/in_front.h - a device that stands before another one. */
#ifndef PAWL_TESTS_E2E_IN_FRONT_H
#define PAWL_TESTS_E2E_IN_FRONT_H

#include "ops/backend.h"

typedef struct in_front_kind {
    /* As in a backend's table. */
    int shares_memory;
    pawl_status (*take)(pawl_device *d, pawl_side_of side, size_t bytes, const char *what, void **out);
    void (*give)(pawl_device *d, pawl_side_of side, void *block, size_t bytes);
    pawl_status (*upload)(pawl_device *d, void *to_device, const void *from_host, size_t bytes);
    pawl_status (*download)(pawl_device *d, void *to_host, const void *from_device, size_t bytes);
    /* Where the device behind has so many bytes of an op's argument; and what is to be done once the op has said s. */
    void *(*real_of)(const char *op, const char *name, const void *given, size_t bytes);
    pawl_status (*after)(pawl_device *behind, pawl_status s);
} in_front_kind;

/* Takes the one behind, and closes it with the other, or when this fails. One kind a program. */
PAWL_MUST pawl_status in_front_open(const in_front_kind *of, pawl_device *behind, pawl_device **out);

/* mirrored.c: a GPU behind (tests/on_device.h), and arrays in the host's memory: each op's are brought up for it, and down after it. So
 * whatever calls ops on a CPU's arrays runs on a GPU. */
PAWL_MUST pawl_status mirrored_open(pawl_device **out);

#endif
