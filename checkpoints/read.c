#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoints/files.h"
#include "checkpoints/find.h"
#include "checkpoints/share.h"
#include "core/file.h"

pawl_status pawl_checkpoint_open(const char *path, pawl_checkpoint **out)
{
    char newest[PATH_MAX];
    int64_t lost;
    pawl_checkpoint *k;
    PAWL_CHECK(pawl_path_is_dir(path), PAWL_EUSAGE, "%s: expected the folder of a checkpoint or of a run, found none",
               path);
    if (pawl_find_is_run(path)) {
        PAWL_TRY(pawl_checkpoint_find(path, 0, newest, sizeof newest, &lost));
        PAWL_CHECK(newest[0], PAWL_EUSAGE, "%s: the run has no checkpoint yet", path);
        path = newest;
    }
    PAWL_TRY(pawl_manifest_load(path, &k));
    pawl_status s = pawl_files_check_sizes(k);
    if (s == PAWL_OK)
        *out = k;
    else
        pawl_checkpoint_close(k);
    return s;
}

const char *pawl_checkpoint_path(const pawl_checkpoint *k)
{
    return k->path;
}

const json_t *pawl_checkpoint_manifest(const pawl_checkpoint *k)
{
    return k->manifest;
}

int64_t pawl_checkpoint_step(const pawl_checkpoint *k)
{
    return k->step;
}

int pawl_checkpoint_tensor(const pawl_checkpoint *k, const char *name, pawl_tensor *out)
{
    for (int i = 0; i < k->count; i++) {
        if (strcmp(k->tensors[i].item.name, name) != 0) continue;
        *out = k->tensors[i].item.tensor;
        return 1;
    }
    return 0;
}

const char *pawl_checkpoint_item(const pawl_checkpoint *k, int i, pawl_tensor *out)
{
    if (i >= k->count) return NULL;
    *out = k->tensors[i].item.tensor;
    return k->tensors[i].item.name;
}

static void shape_text(const pawl_tensor *t, char out[128])
{
    size_t used = (size_t)snprintf(out, 128, "%s [", pawl_dtype_name(t->dtype));
    for (int i = 0; i < t->ndim; i++)
        used += (size_t)snprintf(out + used, 128 - used, "%s%lld", i ? "," : "", (long long)t->dim[i]);
    snprintf(out + used, 128 - used, "]");
}

static pawl_status find_tensor(const pawl_checkpoint *k, const pawl_named *wanted, const pawl_stored **out)
{
    pawl_stored key = {.item = *wanted};
    char expected[128], found[128];
    const pawl_stored *t = bsearch(&key, k->tensors, (size_t)k->count, sizeof *k->tensors, pawl_stored_compare);
    PAWL_CHECK(t, PAWL_EDATA, "%s has no tensor %s", k->path, wanted->name);
    shape_text(&wanted->tensor, expected);
    shape_text(&t->item.tensor, found);
    PAWL_CHECK(strcmp(expected, found) == 0, PAWL_EDATA, "%s: tensor %s: expected %s, found %s", k->path, wanted->name,
               expected, found);
    *out = t;
    return PAWL_OK;
}

/* The bytes [first, end) of t that lie in chunk c, to `to`, in d's memory. A chunk that is not wanted whole is read aside, for its
 * digest; and so is one that goes where the host cannot write. */
static pawl_status read_part(pawl_files *f, const pawl_stored *t, int64_t c, pawl_held want, pawl_device *d, char *to, char **aside)
{
    const int64_t at = c * PAWL_CHUNK_BYTES, end = at + (int64_t)pawl_stored_chunk_bytes(t, c);
    if (want.first <= at && end <= want.end && pawl_device_shares_memory(d)) return pawl_files_read_chunk(f, t, c, to + (at - want.first));
    if (!*aside) PAWL_TRY(pawl_alloc((void **)aside, PAWL_CHUNK_BYTES, "a chunk of a checkpoint"));
    PAWL_TRY(pawl_files_read_chunk(f, t, c, *aside));
    const int64_t from = want.first > at ? want.first : at, till = want.end < end ? want.end : end;
    return pawl_upload(d, to + (from - want.first), *aside + (from - at), (size_t)(till - from));
}

static pawl_status read_tensor(pawl_files *f, const pawl_named *into, char **aside)
{
    const pawl_stored *t = NULL;
    const pawl_held want = pawl_held_of(into);
    PAWL_TRY(find_tensor(f->of, into, &t));
    if (want.first >= want.end) return PAWL_OK;
    PAWL_TRY(pawl_files_turn_to(f, t));
    for (int64_t c = want.first / PAWL_CHUNK_BYTES; c * PAWL_CHUNK_BYTES < want.end; c++)
        PAWL_TRY(read_part(f, t, c, want, into->device, into->tensor.data, aside));
    return PAWL_OK;
}

pawl_status pawl_checkpoint_read(const pawl_checkpoint *k, const pawl_state *into)
{
    pawl_files f = {.of = k};
    char *aside = NULL;
    PAWL_TRY(pawl_files_check_layout(k));
    pawl_status s = PAWL_OK;
    for (int i = 0; i < into->count && s == PAWL_OK; i++) s = read_tensor(&f, &into->items[i], &aside);
    pawl_files_close(&f);
    pawl_free(aside);
    return s;
}
