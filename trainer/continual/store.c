#include "trainer/continual/store.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/log.h"

/* Parts begin where tensors may, and where a file may be mapped. */
enum { PAGE = 4096 };

static pawl_status open_file(pawl_store *s, const char *path, size_t bytes)
{
    snprintf(s->path, sizeof s->path, "%s", path);
    PAWL_TRY(pawl_file_open(path, O_RDWR | O_CREAT | O_TRUNC, &s->fd));
    if (bytes == 0) return PAWL_OK;
    PAWL_TRY(pawl_file_reserve(s->fd, path, (int64_t)bytes));
    return pawl_file_map(path, &s->map, &s->mapped);
}

pawl_status pawl_store_open(const size_t *bytes, int parts, const char *path, pawl_store *out)
{
    size_t all = 0;
    *out = (pawl_store){.parts = parts, .fd = -1, .ram = {.name = "replay memory"}};
    for (int i = 0; i < parts; i++) {
        out->bytes[i] = bytes[i];
        out->at[i] = all;
        all += (bytes[i] + PAGE - 1) / PAGE * PAGE;
    }
    if (path) return open_file(out, path, all);
    out->ram.used = all;
    return pawl_arena_open(&out->ram);
}

void pawl_store_close(pawl_store *s)
{
    pawl_file_unmap(s->map, s->mapped);
    if (s->path[0]) {
        if (s->fd >= 0) pawl_file_close(s->fd);
        if (pawl_file_remove(s->path) != PAWL_OK) pawl_log(PAWL_LOG_WARN, "memory: %s", pawl_last_error()->what);
    }
    pawl_arena_close(&s->ram);
    *s = (pawl_store){.fd = -1, .ram = {.name = "replay memory"}};
}

const char *pawl_store_part(const pawl_store *s, int part)
{
    const char *base = s->path[0] ? s->map : s->ram.base;
    return base ? base + s->at[part] : NULL;
}

pawl_status pawl_store_write(pawl_store *s, int part, size_t at, const void *data, size_t bytes)
{
    PAWL_ASSERT(at + bytes <= s->bytes[part]);
    if (bytes == 0) return PAWL_OK;
    if (s->path[0]) return pawl_file_pwrite(s->fd, s->path, data, bytes, (int64_t)(s->at[part] + at));
    memcpy(s->ram.base + s->at[part] + at, data, bytes);
    return PAWL_OK;
}

void pawl_store_let_go(const pawl_store *s)
{
    if (s->map) pawl_file_let_go(s->map, s->mapped);
}
