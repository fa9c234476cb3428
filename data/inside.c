/* Whether a run would read its own files as data. */
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "data/glob.h"

/* The path as the system knows it, without links; of a folder that is not there yet, what is there of it and then the rest.
 * 0: there is no such thing. */
static int resolve(const char *path, char out[PATH_MAX])
{
    char there[PATH_MAX], real[PATH_MAX];
    size_t n = strlen(path);
    if (n + 1 > sizeof there) return 0;
    memcpy(there, path, n + 1);
    while (!realpath(n ? there : ".", real)) {
        if (n == 0) return 0;
        while (n > 0 && there[n - 1] == '/') n--;
        while (n > 0 && there[n - 1] != '/') n--;
        there[n] = 0;
    }
    const char *rest = path + n + strspn(path + n, "/");
    if (*rest) return pawl_path_join(out, PATH_MAX, real, rest) == PAWL_OK;
    memcpy(out, real, strlen(real) + 1);
    return 1;
}

/* What of path is below dir, "" when they are one; NULL: path lies elsewhere. */
static const char *below(const char *dir, const char *path)
{
    const size_t n = strcmp(dir, "/") == 0 ? 0 : strlen(dir);
    if (strncmp(dir, path, n) != 0 || (path[n] && path[n] != '/')) return NULL;
    return path + n;
}

static int matches_any(const char *pattern, const char *const *names)
{
    const char *slash = strrchr(pattern, '/'), *last = slash ? slash + 1 : pattern;
    for (; *names; names++)
        if (strcmp(last, "**") == 0 || fnmatch(last, *names, FNM_PERIOD) == 0) return 1;
    return 0;
}

int pawl_dataset_reads_in(const pawl_dataset_config *d, const char *dir, const char *const *names)
{
    char root[PATH_MAX], from[PATH_MAX], path[PATH_MAX];
    const size_t base = pawl_glob_base(d->path);
    const int pattern = d->path[base] != 0 && !pawl_path_exists(d->path);
    if (d->split[0]) return 0;
    if (pattern && (!strstr(d->path + base, "**") || !matches_any(d->path + base, names))) return 0;
    snprintf(root, sizeof root, "%.*s", pattern ? (int)base : INT_MAX, d->path);
    if (!resolve(root[0] ? root : ".", from) || !resolve(dir, path)) return 0;
    const char *rest = below(from, path);
    return rest && !strstr(rest, "/."); /* folders whose names begin with a dot are not looked into */
}
