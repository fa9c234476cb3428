/* data/cache.h - the content-addressed cache of prepared data: a folder for every recipe, named by its key.
 *
 * An entry is made in `<key>.<unique>.part`, on which its maker holds a lock, and renamed when it is whole; who comes
 * second takes the first one's. Entries are proven by their digests whenever they are opened; a damaged one is moved
 * aside, to `<key>.damaged`, and made again. */
#ifndef PAWL_DATA_CACHE_H
#define PAWL_DATA_CACHE_H

#include <limits.h>

#include "data/prepare.h"

typedef struct pawl_entry {
    char path[PATH_MAX];  /* of its folder */
    pawl_digest identity; /* of what is in it */
} pawl_entry;

/* Collective. Finds the entry for what recipe->sources (found on rank 0, empty elsewhere) hold now, or makes it.
 * *stopped = 1, and out untouched, when pawl_stop_asked of any rank. Errors: EDATA from the data; EIO when the cache
 * cannot be written. */
PAWL_MUST pawl_status pawl_cache_get(pawl_comm *c, const char *folder, const pawl_recipe *r, pawl_sources *sources,
                                     pawl_entry *out, int *stopped);

#endif
