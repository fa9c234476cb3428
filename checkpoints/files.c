#include "checkpoints/files.h"

#include <fcntl.h>
#include <string.h>

#include "core/arena.h"
#include "core/file.h"

pawl_status pawl_files_turn_to(pawl_files *f, const pawl_stored *t)
{
    if (strcmp(f->name, t->file) == 0) return PAWL_OK;
    pawl_files_close(f);
    PAWL_TRY(pawl_stored_path(f->of->path, t, f->path, sizeof f->path));
    PAWL_CHECK(pawl_path_exists(f->path), PAWL_EDATA, "%s is missing; tensor %s of %s lies in it", f->path,
               t->item.name, f->of->path);
    PAWL_TRY(pawl_file_open(f->path, O_RDONLY, &f->fd));
    memcpy(f->name, t->file, sizeof f->name);
    return PAWL_OK;
}

void pawl_files_close(pawl_files *f)
{
    if (f->name[0]) pawl_file_close(f->fd);
    f->name[0] = 0;
}

pawl_status pawl_files_read_chunk(const pawl_files *f, const pawl_stored *t, int64_t i, void *data)
{
    const size_t bytes = pawl_stored_chunk_bytes(t, i);
    const long long first = (long long)i * PAWL_CHUNK_BYTES, at = (long long)t->offset + first;
    pawl_status s = pawl_file_pread(f->fd, f->path, data, bytes, at);
    if (s == PAWL_EDATA)
        return PAWL_FAIL(PAWL_EDATA,
                         "%s: tensor %s: chunk %lld (bytes %lld to %lld of the tensor): the file ends before byte %lld",
                         f->path, t->item.name, (long long)i, first, first + (long long)bytes, at + (long long)bytes);
    PAWL_TRY(s);
    const pawl_digest found = pawl_sha256(data, bytes);
    PAWL_CHECK(pawl_digest_equal(found, t->chunks[i]), PAWL_EDATA,
               "%s: tensor %s: chunk %lld (bytes %lld to %lld of the tensor, from byte %lld of the file): expected "
               "SHA-256 %s, found %s",
               f->path, t->item.name, (long long)i, first, first + (long long)bytes, at,
               pawl_digest_hex(t->chunks[i]).text, pawl_digest_hex(found).text);
    return PAWL_OK;
}

static pawl_status check_layout(const pawl_checkpoint *k, int fd, const char *path)
{
    pawl_digest found;
    PAWL_TRY(pawl_layout_digest(fd, path, k->file_bytes, k->tensors, k->count, &found));
    PAWL_CHECK(pawl_digest_equal(found, k->layout), PAWL_EDATA,
               "%s: what lies between its tensors (HDF5's records) was changed: expected SHA-256 %s, found %s", path,
               pawl_digest_hex(k->layout).text, pawl_digest_hex(found).text);
    return PAWL_OK;
}

static pawl_status check_length(const pawl_checkpoint *k, const char *path)
{
    int64_t bytes;
    PAWL_CHECK(pawl_path_exists(path), PAWL_EDATA, "%s is missing", path);
    PAWL_TRY(pawl_file_size(path, &bytes));
    PAWL_CHECK(bytes == k->file_bytes, PAWL_EDATA, "%s: expected %lld bytes, found %lld", path,
               (long long)k->file_bytes, (long long)bytes);
    return PAWL_OK;
}

pawl_status pawl_files_check_layout(const pawl_checkpoint *k)
{
    char path[PATH_MAX];
    int fd;
    PAWL_TRY(pawl_path_join(path, sizeof path, k->path, PAWL_TENSOR_FILE));
    PAWL_TRY(check_length(k, path));
    PAWL_TRY(pawl_file_open(path, O_RDONLY, &fd));
    pawl_status s = check_layout(k, fd, path);
    pawl_file_close(fd);
    return s;
}

pawl_status pawl_files_check_sizes(const pawl_checkpoint *k)
{
    char path[PATH_MAX], name[PAWL_FILE_NAME_MAX] = "";
    int64_t bytes = 0;
    PAWL_TRY(pawl_path_join(path, sizeof path, k->path, PAWL_TENSOR_FILE));
    PAWL_TRY(check_length(k, path));
    for (int i = 0; i < k->count; i++) {
        const pawl_stored *t = &k->tensors[i];
        if (strcmp(name, t->file) != 0) {
            PAWL_TRY(pawl_stored_path(k->path, t, path, sizeof path));
            PAWL_CHECK(pawl_path_exists(path), PAWL_EDATA, "%s is missing; tensor %s of %s lies in it", path,
                       t->item.name, k->path);
            PAWL_TRY(pawl_file_size(path, &bytes));
            memcpy(name, t->file, sizeof name);
        }
        PAWL_CHECK(t->offset <= bytes && (int64_t)t->bytes <= bytes - t->offset, PAWL_EDATA,
                   "%s: tensor %s: bytes %lld to %lld lie outside of the file's %lld", path, t->item.name,
                   (long long)t->offset, (long long)t->offset + (long long)t->bytes, (long long)bytes);
    }
    return PAWL_OK;
}

static pawl_status check_tensor(pawl_files *f, const pawl_stored *t, void *chunk)
{
    PAWL_TRY(pawl_files_turn_to(f, t));
    for (int64_t c = 0; c < t->chunk_count; c++) PAWL_TRY(pawl_files_read_chunk(f, t, c, chunk));
    return PAWL_OK;
}

pawl_status pawl_files_check_all(const pawl_checkpoint *k)
{
    void *chunk;
    pawl_files f = {.of = k};
    PAWL_TRY(pawl_files_check_layout(k));
    PAWL_TRY(pawl_alloc(&chunk, PAWL_CHUNK_BYTES, "a chunk of a checkpoint"));
    pawl_status s = PAWL_OK;
    for (int i = 0; i < k->count && s == PAWL_OK; i++) s = check_tensor(&f, &k->tensors[i], chunk);
    pawl_files_close(&f);
    pawl_free(chunk);
    return s;
}
