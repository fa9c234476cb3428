/* data/jinja/pool.h - memory for many small things that all end together, up to a stated maximum. */
#ifndef PAWL_DATA_JINJA_POOL_H
#define PAWL_DATA_JINJA_POOL_H

#include <stddef.h>

#include "core/status.h"

typedef struct jinja_pool {
    struct jinja_pool_block *newest;
    size_t taken, max; /* bytes, over all blocks */
    int full;          /* 1: more than max was asked for */
} jinja_pool;

/* Zeroed memory, aligned to 16 bytes; it lives until jinja_pool_close. Errors: EMEM. */
PAWL_MUST pawl_status jinja_pool_take(jinja_pool *p, size_t bytes, void **out);
/* The same for what holds `used` bytes at *block and is to hold `bytes`: grown in place when it was the last thing
 * taken. */
PAWL_MUST pawl_status jinja_pool_grow(jinja_pool *p, void **block, size_t used, size_t bytes);
void jinja_pool_close(jinja_pool *p);

#endif
