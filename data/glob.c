#include "data/glob.h"

#include <fnmatch.h>
#include <limits.h>
#include <string.h>

#include "core/arena.h"
#include "core/file.h"

size_t pawl_glob_base(const char *path)
{
    const size_t wild = strcspn(path, "*?[");
    size_t base = wild;
    if (!path[wild]) return wild;
    while (base > 0 && path[base - 1] != '/') base--;
    return base;
}

typedef struct search {
    size_t base; /* where names begin in the paths that are found */
    pawl_sources *out;
} search;

static pawl_status look_in(const search *s, const char *dir, const char *pattern, int depth);

/* One name of a folder against the first part of the pattern, [pattern, pattern + part). */
static pawl_status try_name(const search *s, const char *path, const char *name, const char *pattern, size_t part,
                            int depth)
{
    char first[PATH_MAX];
    const char *rest = pattern + part;
    if (strncmp(pattern, "**/", 3) == 0) /* stays in force below this folder; no folder at all is look_in's case */
        return name[0] != '.' && pawl_path_is_dir(path) ? look_in(s, path, pattern, depth + 1) : PAWL_OK;
    PAWL_CHECK(part < sizeof first, PAWL_EUSAGE, "path too long: %s", pattern);
    memcpy(first, pattern, part);
    first[part] = 0;
    if (fnmatch(first, name, FNM_PERIOD) != 0) return PAWL_OK;
    while (*rest == '/') rest++;
    if (*rest) return pawl_path_is_dir(path) ? look_in(s, path, rest, depth + 1) : PAWL_OK;
    return pawl_path_is_dir(path) ? PAWL_OK : pawl_sources_add(s->out, path, s->base, PAWL_BY_PATTERN);
}

static pawl_status look_in(const search *s, const char *dir, const char *pattern, int depth)
{
    char **names, path[PATH_MAX];
    int count;
    pawl_status status = PAWL_OK;
    while (strncmp(pattern, "**/**", 5) == 0) pattern += 3; /* says the same, and would find files twice */
    if (depth == PAWL_DEEPEST_FOLDER)
        return PAWL_FAIL_AT(PAWL_EDATA, dir, 0, 0, "this lies %d folders deep: is there a loop of links?", depth);
    if (strncmp(pattern, "**/", 3) == 0) PAWL_TRY(look_in(s, dir, pattern + 3, depth));
    PAWL_TRY(pawl_dir_list(dir[0] ? dir : ".", &names, &count));
    for (int i = 0; i < count; i++) {
        PAWL_TRY_OUT(pawl_path_join(path, sizeof path, dir[0] ? dir : ".", names[i]));
        PAWL_TRY_OUT(try_name(s, dir[0] ? path : path + 2, names[i], pattern, strcspn(pattern, "/"), depth));
    }
out:
    pawl_free(names);
    return status;
}

/* `**` at the end means the files at any depth. */
pawl_status pawl_glob(const char *pattern, pawl_sources *out)
{
    char dir[PATH_MAX], rest[PATH_MAX];
    const size_t base = pawl_glob_base(pattern), n = strlen(pattern);
    search s = {.out = out};
    PAWL_CHECK(n + 3 < sizeof rest, PAWL_EUSAGE, "path too long: %s", pattern);
    memcpy(dir, pattern, base);
    dir[base > 1 ? base - 1 : base] = 0; /* without its slash, but for the root's own */
    if (dir[0]) s.base = strlen(dir) + (dir[strlen(dir) - 1] != '/');
    const int whole = n >= 2 && strcmp(pattern + n - 2, "**") == 0 && (n - 2 == base || pattern[n - 3] == '/');
    snprintf(rest, sizeof rest, "%s%s", pattern + base, whole ? "/*" : "");
    if (dir[0] && !pawl_path_is_dir(dir)) return PAWL_OK;
    return look_in(&s, dir, rest, 0);
}
