#include "checkpoints/folder.h"

#include <ctype.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "core/file.h"

static int only_digits(const char *s)
{
    return *s && s[strspn(s, "0123456789")] == 0;
}

/* 1 when name is that of a checkpoint, whose parts are then in *e. */
static int parse_entry(const char *name, pawl_entry *e)
{
    char base[PAWL_FILE_NAME_MAX];
    if (strlen(name) >= sizeof base) return 0;
    memcpy(base, name, strlen(name) + 1);
    memcpy(e->name, base, sizeof base);
    char *aside = strstr(base, ".replaced-");
    e->replaced = aside && only_digits(aside + strlen(".replaced-"));
    if (e->replaced) *aside = 0;
    return pawl_step_parse(base, &e->step);
}

static int compare_entries(const void *a, const void *b)
{
    const pawl_entry *x = a, *y = b;
    if (x->step != y->step) return x->step < y->step ? 1 : -1;
    if (x->replaced != y->replaced) return x->replaced - y->replaced;
    return strcmp(y->name, x->name);
}

pawl_status pawl_folder_list(const char *folder, pawl_entry **out, int *count)
{
    char **names;
    int all = 0, n = 0;
    pawl_entry *list;
    if (!pawl_path_is_dir(folder))
        names = NULL;
    else
        PAWL_TRY(pawl_dir_list(folder, &names, &all));
    pawl_status s = pawl_alloc((void **)&list, (size_t)all * sizeof *list, "a list of checkpoints");
    for (int i = 0; i < all && s == PAWL_OK; i++) n += parse_entry(names[i], &list[n]);
    pawl_free(names);
    PAWL_TRY(s);
    qsort(list, (size_t)n, sizeof *list, compare_entries);
    *out = list;
    *count = n;
    return PAWL_OK;
}

static pawl_status parse_pointer(char *text, const char *path, pawl_pointer *out)
{
    int64_t step;
    char *space = strchr(text, ' '), *end = strchr(text, '\n');
    PAWL_CHECK(space && end && end > space && end[1] == 0 && (size_t)(space - text) < sizeof out->name, PAWL_EDATA,
               "%s: expected the name of a checkpoint and its root digest, found '%.80s'", path, text);
    *space = *end = 0;
    PAWL_CHECK(pawl_step_parse(text, &step), PAWL_EDATA, "%s: expected the name of a checkpoint, found '%s'", path,
               text);
    pawl_digest root;
    PAWL_CHECK(pawl_digest_parse(space + 1, &root) == PAWL_OK, PAWL_EDATA, "%s: expected a root digest, found '%s'",
               path, space + 1);
    memcpy(out->name, text, strlen(text) + 1);
    out->root = root;
    return PAWL_OK;
}

pawl_status pawl_pointer_read(const char *folder, const char *file, pawl_pointer *out, int *found)
{
    char path[PATH_MAX], *text;
    size_t bytes;
    PAWL_TRY(pawl_path_join(path, sizeof path, folder, file));
    *found = pawl_path_exists(path);
    if (!*found) return PAWL_OK;
    PAWL_TRY(pawl_file_read(path, 4096, &text, &bytes));
    pawl_status s = parse_pointer(text, path, out);
    pawl_free(text);
    return s;
}

pawl_status pawl_pointer_write(const char *folder, const char *file, const pawl_pointer *p)
{
    char path[PATH_MAX], line[PAWL_STEP_NAME_MAX + 80];
    PAWL_TRY(pawl_path_join(path, sizeof path, folder, file));
    const int n = snprintf(line, sizeof line, "%s %s\n", p->name, pawl_digest_hex(p->root).text);
    return pawl_file_replace(path, line, (size_t)n);
}

pawl_status pawl_folder_set_aside(const char *folder, const char *name, const char *why)
{
    char from[PATH_MAX], to[PATH_MAX];
    PAWL_TRY(pawl_path_join(from, sizeof from, folder, name));
    for (int k = 1; k < 1000000; k++) {
        const int n = snprintf(to, sizeof to, "%s.%s-%d", from, why, k);
        PAWL_CHECK(n > 0 && (size_t)n < sizeof to, PAWL_EUSAGE, "path too long: %s", from);
        if (!pawl_path_exists(to)) return pawl_file_rename(from, to);
    }
    return PAWL_FAIL(PAWL_EIO, "%s: a million checkpoints of this step have been set aside; remove some", from);
}

pawl_status pawl_folder_clear_leftovers(const char *folder)
{
    char **names, path[PATH_MAX];
    int count;
    PAWL_TRY(pawl_dir_list(folder, &names, &count));
    pawl_status s = PAWL_OK;
    for (int i = 0; i < count && s == PAWL_OK; i++) {
        const size_t n = strlen(names[i]);
        if (n < 5 || strcmp(names[i] + n - 5, ".part") != 0) continue;
        s = pawl_path_join(path, sizeof path, folder, names[i]);
        if (s == PAWL_OK) s = pawl_dir_remove(path);
    }
    pawl_free(names);
    return s;
}
