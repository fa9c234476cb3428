#include <string.h>

#include "checkpoints/find.h"
#include "checkpoints/manifest.h"
#include "core/arena.h"
#include "core/file.h"

typedef struct history {
    char folder[PATH_MAX];
    pawl_pointer latest, best;
    int has_latest, has_best;
} history;

static int64_t bytes_of(const pawl_checkpoint *k)
{
    int64_t bytes = 0;
    for (int i = 0; i < k->count; i++) bytes += (int64_t)k->tensors[i].bytes;
    return bytes;
}

static void copy_keys(json_t *to, const json_t *from, const char *const *keys)
{
    for (; *keys; keys++) {
        json_t *value = json_object_get(from, *keys);
        json_object_set_new(to, *keys, value ? json_incref(value) : json_null());
    }
}

static int is_pointed_at(const pawl_pointer *p, int has, const char *name)
{
    return has && strcmp(p->name, name) == 0;
}

static json_t *describe(const history *h, const pawl_entry *e, const char *path)
{
    static const char *const facts[] = {"created",     "ranks",          "pawl_version", "parent",
                                        "root_sha256", "weights_sha256", "state_sha256", NULL};
    static const char *const run[] = {"stage", NULL}, *const lineage[] = {"tokens", "evaluations", NULL};
    pawl_checkpoint *k;
    json_t *line = json_pack("{s:s, s:I, s:b, s:b}", "checkpoint", e->name, "step", (json_int_t)e->step, "latest",
                             is_pointed_at(&h->latest, h->has_latest, e->name), "best",
                             is_pointed_at(&h->best, h->has_best, e->name));
    if (!line) return NULL;
    if (pawl_checkpoint_open(path, &k) != PAWL_OK) {
        json_object_set_new(line, "error", json_string(pawl_last_error()->what));
        return line;
    }
    copy_keys(line, k->manifest, facts);
    copy_keys(line, json_object_get(k->manifest, "run"), run);
    copy_keys(line, json_object_get(k->manifest, "lineage"), lineage);
    json_object_set_new(line, "bytes", json_integer(bytes_of(k)));
    json_object_set_new(line, "tensors", json_integer(k->count));
    pawl_checkpoint_close(k);
    return line;
}

/* A pointer that cannot be read marks nothing; pawl_verify is who complains of it. */
static void read_pointers(history *h)
{
    if (pawl_pointer_read(h->folder, PAWL_LATEST_FILE, &h->latest, &h->has_latest) != PAWL_OK) h->has_latest = 0;
    if (pawl_pointer_read(h->folder, PAWL_BEST_FILE, &h->best, &h->has_best) != PAWL_OK) h->has_best = 0;
}

pawl_status pawl_log_of(const char *output_dir, json_t **out)
{
    history h = {.has_latest = 0};
    pawl_entry *list;
    char path[PATH_MAX];
    int count;
    PAWL_CHECK(pawl_find_is_run(output_dir), PAWL_EUSAGE,
               "%s: expected a run's output directory (with a folder checkpoints)", output_dir);
    PAWL_TRY(pawl_find_folder(output_dir, h.folder, sizeof h.folder));
    read_pointers(&h);
    PAWL_TRY(pawl_folder_list(h.folder, &list, &count));
    json_t *all = json_array();
    pawl_status s = PAWL_OK;
    for (int i = 0; i < count && s == PAWL_OK; i++) {
        s = pawl_path_join(path, sizeof path, h.folder, list[i].name);
        if (s == PAWL_OK && json_array_append_new(all, describe(&h, &list[i], path)) < 0)
            s = PAWL_FAIL(PAWL_EMEM, "no memory for the history of %s", output_dir);
    }
    pawl_free(list);
    if (s == PAWL_OK)
        *out = all;
    else
        json_decref(all);
    return s;
}
