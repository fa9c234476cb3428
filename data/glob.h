/* data/glob.h - the files that a pattern matches: `*`, `?` and `[...]` inside a name, `**` for any number of folders.
 *
 * Names and folders that begin with a dot are matched only by a pattern that writes the dot. */
#ifndef PAWL_DATA_GLOB_H
#define PAWL_DATA_GLOB_H

#include "data/files.h"

enum {
    PAWL_DEEPEST_FOLDER = 32
}; /* folders in folders: more than this is a loop of links, which systems follow 40 times */

/* Where the first part of path that holds a wildcard begins; path's length when there is none. */
size_t pawl_glob_base(const char *path);
/* Adds the files that the pattern matches, in any order. Errors: EDATA, EIO. */
PAWL_MUST pawl_status pawl_glob(const char *pattern, pawl_sources *out);

#endif
