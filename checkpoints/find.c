#include "checkpoints/find.h"

#include <stdio.h>
#include <string.h>

#include "checkpoints/files.h"
#include "core/arena.h"
#include "core/file.h"
#include "core/log.h"

typedef struct search { /* through the checkpoints of one run */
    const char *folder;
    pawl_entry *list;
    int count;
    pawl_pointer latest;
    int has_latest; /* LATEST is there and can be read */
} search;

pawl_status pawl_find_folder(const char *output_dir, char *out, size_t room)
{
    return pawl_path_join(out, room, output_dir, "checkpoints");
}

int pawl_find_is_run(const char *path)
{
    char folder[PATH_MAX];
    return pawl_find_folder(path, folder, sizeof folder) == PAWL_OK && pawl_path_is_dir(folder);
}

static pawl_status begin(search *s)
{
    pawl_status read = pawl_pointer_read(s->folder, PAWL_LATEST_FILE, &s->latest, &s->has_latest);
    if (read == PAWL_EDATA) {
        pawl_log(PAWL_LOG_WARN, "checkpoints: %s; looking through the checkpoints instead", pawl_last_error()->what);
        s->has_latest = 0;
    } else {
        PAWL_TRY(read);
    }
    return pawl_folder_list(s->folder, &s->list, &s->count);
}

static pawl_status load(const search *s, int i, pawl_checkpoint **out)
{
    char path[PATH_MAX];
    PAWL_TRY(pawl_path_join(path, sizeof path, s->folder, s->list[i].name));
    return pawl_checkpoint_open(path, out);
}

/* 1 when entry i has the root digest that LATEST states. */
static int has_latest_root(const search *s, int i)
{
    pawl_checkpoint *k;
    if (load(s, i, &k) != PAWL_OK) return 0;
    const int same = pawl_digest_equal(k->sums.root, s->latest.root);
    pawl_checkpoint_close(k);
    return same;
}

/* The entry that LATEST stands for, or -1. The name decides, except that between the two renames of a replacement the
 * checkpoint that LATEST means bears the name of the replaced one. */
static int named_by_latest(const search *s)
{
    int64_t step;
    int at = -1;
    if (!s->has_latest || !pawl_step_parse(s->latest.name, &step)) return -1;
    for (int i = 0; i < s->count && at < 0; i++)
        if (s->list[i].step == step && (!s->list[i].replaced || has_latest_root(s, i))) at = i;
    return at;
}

/* 1 when a crash came between the renames that replaced entry i and the writing of LATEST, which still means the old one. */
static int was_replaced(const search *s, int i)
{
    for (int j = 0; j < s->count; j++)
        if (s->list[j].replaced && s->list[j].step == s->list[i].step && has_latest_root(s, j)) return 1;
    return 0;
}

static pawl_status check_entry(const search *s, int i, int every_chunk)
{
    pawl_checkpoint *k;
    PAWL_TRY(load(s, i, &k));
    pawl_status status = every_chunk ? pawl_files_check_all(k) : PAWL_OK;
    if (status == PAWL_OK && s->has_latest && strcmp(s->list[i].name, s->latest.name) == 0 &&
        !pawl_digest_equal(k->sums.root, s->latest.root) && !was_replaced(s, i))
        status = PAWL_FAIL(PAWL_EDATA,
                           "%s has another root digest than %s/%s states: one of the two was changed; set resume_fallback: true, "
                           "or name the checkpoint in resume_from_checkpoint", k->path, s->folder, PAWL_LATEST_FILE);
    pawl_checkpoint_close(k);
    return status;
}

/* The newest that passes; those passed over are warned of. -1: none. */
static pawl_status newest_whole(const search *s, int first, int every_chunk, int *at)
{
    for (int n = -1; n < s->count; n++) {
        const int i = n < 0 ? first : n; /* the one that LATEST names, then all by step */
        if (i < 0 || (n >= 0 && first >= 0 && (i == first || s->list[i].step > s->list[first].step))) continue;
        pawl_status status = check_entry(s, i, every_chunk);
        *at = i;
        if (status == PAWL_OK) return PAWL_OK;
        if (status != PAWL_EDATA && status != PAWL_EIO) return status;
        pawl_log(PAWL_LOG_WARN, "checkpoints: passing over %s: %s", s->list[i].name, pawl_last_error()->what);
    }
    *at = -1;
    return PAWL_OK;
}

static pawl_status choose(const search *s, int fallback, char *path, size_t room, int64_t *lost_steps)
{
    const int named = named_by_latest(s);
    int at = named;
    if (s->count == 0 && !s->has_latest) {
        path[0] = 0;
        *lost_steps = 0;
        return PAWL_OK;
    }
    /* Older ones may be whole, but going back to them unasked would lose steps silently. */
    PAWL_CHECK(fallback || !s->has_latest || named >= 0, PAWL_EDATA,
               "%s/%s names %s, which is missing: put it back, or set resume_fallback: true to go on from an older one, or name "
               "one in resume_from_checkpoint", s->folder, PAWL_LATEST_FILE, s->latest.name);
    if (fallback || named < 0)
        PAWL_TRY(newest_whole(s, named, fallback, &at));
    else
        PAWL_TRY(check_entry(s, named, 0));
    PAWL_CHECK(at >= 0, PAWL_EDATA,
               "%s: no checkpoint in it is whole; set resume_from_checkpoint: none and a new output_dir to start anew",
               s->folder);
    int64_t newest = named >= 0 ? s->list[named].step : s->list[0].step, step;
    if (s->has_latest && pawl_step_parse(s->latest.name, &step) && step > newest) newest = step;
    *lost_steps = newest - s->list[at].step;
    return pawl_path_join(path, room, s->folder, s->list[at].name);
}

pawl_status pawl_checkpoint_find(const char *output_dir, int fallback, char *path, size_t room, int64_t *lost_steps)
{
    char folder[PATH_MAX];
    search s = {.folder = folder};
    PAWL_TRY(pawl_find_folder(output_dir, folder, sizeof folder));
    pawl_status status = begin(&s);
    if (status == PAWL_OK) status = choose(&s, fallback, path, room, lost_steps);
    pawl_free(s.list);
    return status;
}

pawl_status pawl_checkpoint_go_back(const char *output_dir, char *path, size_t room)
{
    char folder[PATH_MAX];
    pawl_pointer best;
    pawl_checkpoint *k;
    int found;
    path[0] = 0;
    PAWL_TRY(pawl_find_folder(output_dir, folder, sizeof folder));
    PAWL_TRY(pawl_pointer_read(folder, PAWL_BEST_FILE, &best, &found));
    if (!found) return PAWL_OK;
    PAWL_TRY(pawl_path_join(path, room, folder, best.name));
    PAWL_TRY(pawl_checkpoint_open(path, &k));
    const int same = pawl_digest_equal(k->sums.root, best.root);
    pawl_checkpoint_close(k);
    PAWL_CHECK(same, PAWL_EDATA, "%s has another root digest than %s/%s states: it cannot be gone back to", path, folder, PAWL_BEST_FILE);
    return pawl_pointer_write(folder, PAWL_LATEST_FILE, &best);
}
