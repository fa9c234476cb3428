#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "checkpoints/folder.h"
#include "checkpoints/layout.h"
#include "checkpoints/manifest.h"
#include "checkpoints/saver.h"
#include "core/file.h"
#include "core/log.h"

/* ---- LAYOUT ---- */

/* A step-N that is there and cannot be read is kept for whoever wants to look at it, under another name. */
static pawl_status set_damaged_aside(const pawl_saver *s)
{
    char path[PATH_MAX];
    pawl_checkpoint *k;
    PAWL_TRY(pawl_path_join(path, sizeof path, s->folder, s->step_name));
    if (!pawl_path_exists(path)) return PAWL_OK;
    if (pawl_checkpoint_open(path, &k) == PAWL_OK) {
        pawl_checkpoint_close(k);
        return PAWL_OK;
    }
    pawl_log(PAWL_LOG_WARN, "checkpoints: setting a damaged %s aside: %s", s->step_name, pawl_last_error()->what);
    return pawl_folder_set_aside(s->folder, s->step_name, "damaged");
}

/* The files that frozen tensors lie in may have been removed by hand since. */
static pawl_status check_references(const pawl_saver *s)
{
    char path[PATH_MAX];
    int64_t bytes;
    for (int i = 0; i < s->count; i++) {
        const pawl_stored *t = &s->tensors[i];
        if (pawl_stored_is_own(t)) continue;
        PAWL_TRY(pawl_path_join(path, sizeof path, s->folder, t->file));
        PAWL_CHECK(pawl_path_exists(path), PAWL_EDATA,
                   "%s, in which tensor %s lies, is gone; the next checkpoint writes it again", path, t->item.name);
        PAWL_TRY(pawl_file_size(path, &bytes));
        PAWL_CHECK(t->offset + (int64_t)t->bytes <= bytes, PAWL_EDATA,
                   "%s, in which tensor %s lies, was cut short; the next checkpoint writes it again", path,
                   t->item.name);
    }
    return PAWL_OK;
}

pawl_status pawl_save_lay_out(pawl_saver *s)
{
    char path[PATH_MAX];
    PAWL_TRY(pawl_folder_clear_leftovers(s->folder));
    PAWL_TRY(set_damaged_aside(s));
    PAWL_TRY(check_references(s));
    PAWL_TRY(pawl_dir_make(s->part));
    PAWL_TRY(pawl_path_join(path, sizeof path, s->part, PAWL_TENSOR_FILE));
    PAWL_TRY(pawl_layout_create(path, s->tensors, s->count, s->run, s->lineage, &s->placing->file_bytes,
                                &s->placing->layout));
    for (int i = 0; i < s->count; i++) s->placing->offset[i] = s->tensors[i].offset;
    return PAWL_OK;
}

/* ---- WRITE ---- */

typedef struct output {
    pawl_saver *s;
    char path[PATH_MAX];
    int fd;
} output;

static pawl_status write_chunk(const output *o, pawl_stored *t, int64_t c, const char *data)
{
    const size_t bytes = pawl_stored_chunk_bytes(t, c);
    PAWL_CHECK(!o->s->quit, PAWL_EIO, "the save of %s was broken off", o->s->step_name);
    t->chunks[c] = pawl_sha256(data, bytes);
    return pawl_file_pwrite(o->fd, o->path, data, bytes, t->offset + c * PAWL_CHUNK_BYTES);
}

/* What changes comes from the snapshot, in the order in which it was copied; what is frozen from the caller's memory.
 */
static pawl_status write_share(const output *o)
{
    pawl_saver *s = o->s;
    const char *copied = s->snapshot.base, *edge = s->edges;
    for (int i = 0; i < s->count; i++) {
        pawl_stored *t = &s->tensors[i];
        for (int64_t c = 0; c < t->chunk_count; c++) {
            if (pawl_share_has(&s->changing, t, c)) {
                PAWL_TRY(write_chunk(o, t, c, copied));
                copied += pawl_stored_chunk_bytes(t, c);
            } else if (pawl_share_has(&s->frozen, t, c)) {
                const char *data = pawl_frozen_chunk(t, c, &edge);
                if (pawl_stored_is_own(t)) PAWL_TRY(write_chunk(o, t, c, data));
            }
        }
    }
    return PAWL_OK;
}

/* Rank 0 syncs even when it has no chunks: HDF5's records are its own. */
pawl_status pawl_save_write(pawl_saver *s)
{
    output o = {.s = s};
    pawl_status status;
    PAWL_TRY(pawl_path_join(o.path, sizeof o.path, s->part, PAWL_TENSOR_FILE));
    PAWL_TRY(pawl_file_open(o.path, O_WRONLY, &o.fd));
    PAWL_TRY_OUT(write_share(&o));
    PAWL_TRY_OUT(pawl_file_sync(o.fd, o.path));
out:
    if (status != PAWL_OK)
        pawl_file_close(o.fd);
    else
        status = pawl_file_close_written(o.fd, o.path);
    return status;
}

/* ---- PUBLISH ---- */

static pawl_status write_synced(const char *path, const pawl_text *text)
{
    pawl_status status;
    int fd;
    PAWL_TRY(pawl_file_open(path, O_WRONLY | O_CREAT | O_EXCL, &fd));
    PAWL_TRY_OUT(pawl_file_pwrite(fd, path, text->data, text->bytes, 0));
    PAWL_TRY_OUT(pawl_file_sync(fd, path));
out:
    if (status != PAWL_OK)
        pawl_file_close(fd);
    else
        status = pawl_file_close_written(fd, path);
    return status;
}

static pawl_status write_manifest(pawl_saver *s)
{
    const pawl_manifest_facts facts = {
        .step = s->step,
        .file_bytes = s->placing->file_bytes,
        .ranks = s->comm->size,
        .layout = s->placing->layout,
        .parent = s->has_parent ? &s->parent : NULL,
        .run = s->run,
        .lineage = s->lineage,
    };
    char path[PATH_MAX];
    pawl_text text = {0};
    for (int i = 0; i < s->count; i++)
        s->tensors[i].digest = pawl_chunks_digest(s->tensors[i].chunks, s->tensors[i].chunk_count);
    PAWL_TRY(pawl_path_join(path, sizeof path, s->part, PAWL_MANIFEST_FILE));
    pawl_status status = pawl_manifest_text(&facts, s->tensors, s->count, &text, &s->sums);
    if (status == PAWL_OK) status = write_synced(path, &text);
    pawl_text_close(&text);
    return status;
}

/* The rename is the moment at which the checkpoint is there. */
static pawl_status rename_whole(const pawl_saver *s)
{
    char path[PATH_MAX];
    PAWL_TRY(pawl_path_join(path, sizeof path, s->folder, s->step_name));
    PAWL_TRY(pawl_dir_sync(s->part));
    if (pawl_path_exists(path)) PAWL_TRY(pawl_folder_set_aside(s->folder, s->step_name, "replaced"));
    PAWL_TRY(pawl_file_rename(s->part, path));
    return pawl_dir_sync(s->folder);
}

pawl_status pawl_save_publish(pawl_saver *s)
{
    pawl_pointer p = {{0}, {{0}}};
    PAWL_TRY(write_manifest(s));
    PAWL_TRY(rename_whole(s));
    memcpy(p.name, s->step_name, sizeof p.name);
    p.root = s->sums.root;
    PAWL_TRY(pawl_pointer_write(s->folder, PAWL_LATEST_FILE, &p));
    if (s->is_best) PAWL_TRY(pawl_pointer_write(s->folder, PAWL_BEST_FILE, &p));
    if (pawl_folder_prune(s->folder, s->keep) != PAWL_OK) /* the checkpoint is safe; only room is missing */
        pawl_log(PAWL_LOG_WARN, "checkpoints: older ones were not pruned: %s", pawl_last_error()->what);
    return PAWL_OK;
}
