#include "data/blob.h"

#include <fcntl.h>
#include <string.h>

#include "core/arena.h"
#include "core/file.h"

enum { BUFFER = 1 << 20 };

pawl_status pawl_blob_open(pawl_blob *b, const char *dir, const char *name, pawl_blob_use use)
{
    b->fd = -1;
    b->hash = NULL;
    b->buffer = NULL;
    b->used = 0;
    b->bytes = 0;
    PAWL_TRY(pawl_path_join(b->path, sizeof b->path, dir, name));
    PAWL_TRY(pawl_alloc((void **)&b->buffer, BUFFER, "writing prepared data"));
    if (use == PAWL_BLOB_KEPT) PAWL_TRY(pawl_hash_open(&b->hash));
    return pawl_file_open(b->path, O_WRONLY | O_CREAT | O_TRUNC, &b->fd);
}

static pawl_status flush(pawl_blob *b)
{
    PAWL_TRY(pawl_file_pwrite(b->fd, b->path, b->buffer, b->used, b->bytes - (int64_t)b->used));
    if (b->hash) pawl_hash_add(b->hash, b->buffer, b->used);
    b->used = 0;
    return PAWL_OK;
}

pawl_status pawl_blob_add(pawl_blob *b, const void *data, size_t bytes)
{
    const char *from = data;
    while (bytes > 0) {
        const size_t room = BUFFER - b->used, n = bytes < room ? bytes : room;
        memcpy(b->buffer + b->used, from, n);
        b->used += n;
        b->bytes += (int64_t)n;
        from += n;
        bytes -= n;
        if (b->used == BUFFER) PAWL_TRY(flush(b));
    }
    return PAWL_OK;
}

pawl_status pawl_blob_finish(pawl_blob *b, pawl_digest *out)
{
    PAWL_TRY(flush(b));
    if (b->hash) PAWL_TRY(pawl_file_sync(b->fd, b->path));
    const int fd = b->fd;
    b->fd = -1;
    PAWL_TRY(pawl_file_close_written(fd, b->path));
    if (b->hash) *out = pawl_hash_close(b->hash);
    b->hash = NULL;
    return PAWL_OK;
}

void pawl_blob_close(pawl_blob *b)
{
    if (b->hash) (void)pawl_hash_close(b->hash);
    pawl_file_close(b->fd);
    pawl_free(b->buffer);
    b->hash = NULL;
    b->buffer = NULL;
    b->fd = -1;
}
