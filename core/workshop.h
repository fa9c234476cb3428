/* core/workshop.h - a folder that is made aside and appears whole: jobs may make the same one at once, or die at it. */
#ifndef PAWL_CORE_WORKSHOP_H
#define PAWL_CORE_WORKSHOP_H

#include <limits.h>

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where one attempt happens: ENTRY.UNIQUE.part, locked as long as somebody works in it. */
typedef struct pawl_workshop {
    char path[PATH_MAX];
    int fd;
} pawl_workshop;

/* A fresh folder beside entry, whose parent must be there. Errors: EIO, EUSAGE. */
PAWL_MUST pawl_status pawl_workshop_open(const char *entry, pawl_workshop *w);
/* Renames it to entry, once what is in it is synced by whoever wrote it. It replaces no folder that has something in it:
 * of two jobs the first one's stays, and the other gets EIO. */
PAWL_MUST pawl_status pawl_workshop_publish(const pawl_workshop *w, const char *entry);
/* What is left of the folder goes; after it was published nothing is. */
void pawl_workshop_close(pawl_workshop *w);
/* Removes from folder what jobs that died have left of entries whose name begins with key. Whatever fails here, fails
 * where it matters. */
void pawl_workshop_sweep(const char *folder, const char *key);

#ifdef __cplusplus
}
#endif
#endif
