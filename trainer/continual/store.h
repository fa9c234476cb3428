/* trainer/continual/store.h - what a rank keeps of a memory's rows: a run of bytes for each kind of number (part), in
 * memory or in a mapped file. */
#ifndef PAWL_TRAINER_CONTINUAL_STORE_H
#define PAWL_TRAINER_CONTINUAL_STORE_H

#include "core/arena.h"

enum { PAWL_STORE_PARTS_MAX = 12 };

typedef struct pawl_store {
    int parts;
    size_t bytes[PAWL_STORE_PARTS_MAX], at[PAWL_STORE_PARTS_MAX]; /* of each part, and where it begins */
    pawl_arena ram;
    char path[1200]; /* "": in memory */
    int fd;
    const void *map;
    size_t mapped;
} pawl_store;

/* path NULL: in memory. Close out also after an error. Errors: EMEM, EIO. */
PAWL_MUST pawl_status pawl_store_open(const size_t *bytes, int parts, const char *path, pawl_store *out);
/* The file is removed. */
void pawl_store_close(pawl_store *s);
/* A part's bytes, to be read. */
const char *pawl_store_part(const pawl_store *s, int part);
PAWL_MUST pawl_status pawl_store_write(pawl_store *s, int part, size_t at, const void *data, size_t bytes);
/* The mapped pages leave this process' memory until they are looked at again. */
void pawl_store_let_go(const pawl_store *s);

#endif
