#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "checkpoints/folder.h"
#include "checkpoints/manifest.h"
#include "core/arena.h"
#include "core/file.h"

static void keep_named(const pawl_entry *list, int count, char *kept, const char *name, size_t bytes)
{
    for (int i = 0; i < count; i++)
        if (strlen(list[i].name) == bytes && memcmp(list[i].name, name, bytes) == 0) kept[i] = 1;
}

static pawl_status keep_pointed_at(const char *folder, const char *file, const pawl_entry *list, int count, char *kept,
                                   int64_t *step)
{
    pawl_pointer p;
    int found;
    PAWL_TRY(pawl_pointer_read(folder, file, &p, &found));
    if (!found) return PAWL_OK;
    keep_named(list, count, kept, p.name, strlen(p.name));
    (void)pawl_step_parse(p.name, step);
    return PAWL_OK;
}

/* Two walks down the list, which has the highest step first: up to `latest`, then those beyond it. */
static void keep_newest(const pawl_entry *list, int count, char *kept, int64_t keep, int64_t latest)
{
    for (int beyond = 0; beyond < 2; beyond++)
        for (int i = 0; i < count; i++) {
            if (list[i].replaced || (list[i].step > latest) != beyond) continue;
            if (keep-- > 0) kept[i] = 1;
        }
}

/* A reference names the file that holds the bytes, never another reference: one round is enough. */
static pawl_status keep_referred_to(const char *folder, const pawl_entry *list, int count, char *kept)
{
    char path[PATH_MAX];
    for (int i = 0; i < count; i++) {
        if (!kept[i]) continue;
        pawl_checkpoint *k;
        PAWL_TRY(pawl_path_join(path, sizeof path, folder, list[i].name));
        PAWL_TRY(pawl_manifest_load(path, &k));
        for (int t = 0; t < k->count; t++)
            if (!pawl_stored_is_own(&k->tensors[t]))
                keep_named(list, count, kept, k->tensors[t].file, strcspn(k->tensors[t].file, "/"));
        pawl_checkpoint_close(k);
    }
    return PAWL_OK;
}

/* The rename is the moment at which it is gone; a removal that dies leaves a .part. */
static pawl_status drop(const char *folder, const char *name)
{
    char path[PATH_MAX], part[PATH_MAX];
    PAWL_TRY(pawl_path_join(path, sizeof path, folder, name));
    const int n = snprintf(part, sizeof part, "%s.pruned.part", path);
    PAWL_CHECK(n > 0 && (size_t)n < sizeof part, PAWL_EUSAGE, "path too long: %s", path);
    PAWL_TRY(pawl_file_rename(path, part));
    return pawl_dir_remove(part);
}

static pawl_status prune(const char *folder, int64_t keep, const pawl_entry *list, int count, char *kept)
{
    int64_t latest = INT64_MAX, best = 0;
    PAWL_TRY(keep_pointed_at(folder, PAWL_LATEST_FILE, list, count, kept, &latest));
    PAWL_TRY(keep_pointed_at(folder, PAWL_BEST_FILE, list, count, kept, &best));
    keep_newest(list, count, kept, keep > 0 ? keep : INT64_MAX, latest);
    if (keep > 0) PAWL_TRY(keep_referred_to(folder, list, count, kept));
    for (int i = 0; i < count; i++)
        if (!kept[i]) PAWL_TRY(drop(folder, list[i].name));
    return PAWL_OK;
}

pawl_status pawl_folder_prune(const char *folder, int64_t keep)
{
    pawl_entry *list;
    char *kept = NULL;
    int count;
    PAWL_TRY(pawl_folder_list(folder, &list, &count));
    pawl_status s = pawl_alloc((void **)&kept, (size_t)count, "which checkpoints to keep");
    if (s == PAWL_OK) s = prune(folder, keep, list, count, kept);
    pawl_free(kept);
    pawl_free(list);
    return s;
}
