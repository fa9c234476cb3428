/* Writing the safetensors container: numbers from memory, or made while they are written. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/arena.h"
#include "core/file.h"
#include "core/json.h"
#include "core/safetensors.h"

static int is_float(pawl_dtype t)
{
    return t == PAWL_F32 || t == PAWL_BF16 || t == PAWL_F16 || t == PAWL_F64;
}

static pawl_dtype written_dtype(const pawl_named *n, pawl_dtype dtype)
{
    return dtype != PAWL_DTYPE_COUNT && is_float(n->tensor.dtype) ? dtype : n->tensor.dtype;
}

static size_t written_bytes(const pawl_named *n, pawl_dtype dtype)
{
    return (size_t)pawl_tensor_count(n->tensor) * pawl_dtype_bytes(written_dtype(n, dtype));
}

static void describe(pawl_text *header, const pawl_named *n, pawl_dtype dtype, size_t at)
{
    pawl_text_add(header, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", n->name,
                  pawl_dtype_safetensors(written_dtype(n, dtype)));
    for (int i = 0; i < n->tensor.ndim; i++) pawl_text_add(header, "%s%lld", i ? "," : "", (long long)n->tensor.dim[i]);
    pawl_text_add(header, "],\"data_offsets\":[%zu,%zu]}", at, at + written_bytes(n, dtype));
}

/* Calls visit for every tensor in file order: wide types first, so that each tensor is aligned to its own type. */
typedef struct writer {
    const pawl_tensor_source *from; /* NULL: the tensors' own data */
    float *made;                    /* what it gives, of PAWL_CHUNK_BYTES */
    int fd;
    const char *path;
    pawl_dtype dtype;
    size_t at;
    pawl_text header;
    char *buffer; /* of PAWL_CHUNK_BYTES */
} writer;

static pawl_status in_file_order(const pawl_named *items, int count, writer *w,
                                 pawl_status (*visit)(writer *, const pawl_named *))
{
    for (size_t width = 8; width > 0; width /= 2)
        for (int i = 0; i < count; i++)
            if (pawl_dtype_bytes(written_dtype(&items[i], w->dtype)) == width) PAWL_TRY(visit(w, &items[i]));
    return PAWL_OK;
}

static pawl_status add_to_header(writer *w, const pawl_named *n)
{
    PAWL_CHECK(!strpbrk(n->name, "\"\\"), PAWL_EBUG, "tensor name %s cannot be written", n->name);
    describe(&w->header, n, w->dtype, w->at);
    w->at += written_bytes(n, w->dtype);
    return PAWL_OK;
}

static pawl_status write_tensor(writer *w, const pawl_named *n)
{
    const pawl_dtype from = n->tensor.dtype, to = written_dtype(n, w->dtype);
    const int64_t count = pawl_tensor_count(n->tensor), chunk = PAWL_CHUNK_BYTES / 8;
    const char *data = n->tensor.data;
    for (int64_t i = 0; i < count; i += chunk) {
        const int64_t some = count - i < chunk ? count - i : chunk;
        const size_t bytes = (size_t)some * pawl_dtype_bytes(to);
        const void *numbers = w->from ? (const void *)w->made : data + (size_t)i * pawl_dtype_bytes(from);
        if (w->from) PAWL_TRY(w->from->floats(w->from->self, n, i, some, w->made));
        pawl_convert(numbers, from, w->buffer, to, some);
        PAWL_TRY(pawl_file_pwrite(w->fd, w->path, w->buffer, bytes, (int64_t)w->at));
        w->at += bytes;
    }
    return PAWL_OK;
}

static pawl_status write_open_file(writer *w, const pawl_named *items, int count)
{
    uint8_t length[8];
    pawl_text *h = &w->header;
    pawl_text_add(h, "{\"__metadata__\":{\"format\":\"pt\"}");
    PAWL_TRY(in_file_order(items, count, w, add_to_header));
    pawl_text_add(h, "}");
    while (h->bytes % 8 && !h->failed) pawl_text_add(h, " ");
    PAWL_TRY(pawl_text_status(h));
    for (int i = 0; i < 8; i++) length[i] = (uint8_t)((uint64_t)h->bytes >> 8 * i);
    PAWL_TRY(pawl_file_pwrite(w->fd, w->path, length, sizeof length, 0));
    PAWL_TRY(pawl_file_pwrite(w->fd, w->path, h->data, h->bytes, sizeof length));
    w->at = sizeof length + h->bytes;
    PAWL_TRY(in_file_order(items, count, w, write_tensor));
    return pawl_file_sync(w->fd, w->path);
}

static pawl_status write_new(const char *path, const pawl_named *items, int count, const pawl_tensor_source *from,
                             pawl_dtype dtype)
{
    writer w = {.from = from, .path = path, .dtype = dtype};
    PAWL_TRY(pawl_alloc((void **)&w.buffer, 2 * PAWL_CHUNK_BYTES, "a safetensors writer"));
    w.made = (float *)(void *)(w.buffer + PAWL_CHUNK_BYTES);
    pawl_status status = pawl_file_open(path, O_WRONLY | O_CREAT | O_TRUNC, &w.fd);
    if (status == PAWL_OK) {
        status = write_open_file(&w, items, count);
        const pawl_status closed = pawl_file_close_written(w.fd, path);
        if (status == PAWL_OK) status = closed;
    }
    pawl_text_close(&w.header);
    pawl_free(w.buffer);
    return status;
}

static pawl_status write_file(const char *path, const pawl_named *items, int count, const pawl_tensor_source *from,
                              pawl_dtype dtype)
{
    char part[PATH_MAX], dir[PATH_MAX];
    const int n = snprintf(part, sizeof part, "%s.%ld.part", path, (long)getpid());
    PAWL_CHECK(n > 0 && n < (int)sizeof part, PAWL_EUSAGE, "path too long: %s", path);
    pawl_status status = write_new(part, items, count, from, dtype);
    if (status == PAWL_OK) status = pawl_file_rename(part, path);
    if (status != PAWL_OK) {
        (void)pawl_fs_in_use->unlink(part); /* best effort: the error that counts is status */
        return status;
    }
    snprintf(dir, sizeof dir, "%s", path);
    char *slash = strrchr(dir, '/');
    if (slash) *(slash == dir ? slash + 1 : slash) = 0;
    return pawl_dir_sync(slash ? dir : ".");
}

pawl_status pawl_safetensors_write(const char *path, const pawl_state *tensors, pawl_dtype dtype)
{
    return write_file(path, tensors->items, tensors->count, NULL, dtype);
}

/* The end of the shard that begins at item i: at least one tensor, then as many as fit. */
static int shard_end(const pawl_state *t, pawl_dtype dtype, int i, int64_t shard_bytes)
{
    int64_t bytes = (int64_t)written_bytes(&t->items[i], dtype);
    for (i++; i < t->count; i++) {
        bytes += (int64_t)written_bytes(&t->items[i], dtype);
        if (bytes > shard_bytes) break;
    }
    return i;
}

static pawl_status write_index(const char *path, json_t *map, int64_t total)
{
    pawl_text text = {.data = NULL};
    json_t *root = json_pack("{s:{s:I},s:O}", "metadata", "total_size", (json_int_t)total, "weight_map", map);
    PAWL_CHECK(root, PAWL_EMEM, "no memory for %s", path);
    pawl_status status = pawl_json_pretty(root, &text);
    if (status == PAWL_OK) status = pawl_file_replace(path, text.data, text.bytes);
    pawl_text_close(&text);
    json_decref(root);
    return status;
}

static pawl_status write_shards(const char *dir, const pawl_state *t, const pawl_tensor_source *from, pawl_dtype dtype,
                                int64_t shard_bytes, int shards, json_t *map)
{
    int first = 0;
    for (int k = 1; k <= shards; k++) {
        char name[64], path[PATH_MAX];
        const int end = shard_end(t, dtype, first, shard_bytes);
        snprintf(name, sizeof name, "model-%05d-of-%05d.safetensors", k, shards);
        PAWL_TRY(pawl_path_join(path, sizeof path, dir, name));
        PAWL_TRY(write_file(path, t->items + first, end - first, from, dtype));
        for (; first < end; first++)
            PAWL_CHECK(json_object_set_new(map, t->items[first].name, json_string(name)) == 0, PAWL_EMEM,
                       "no memory for an index of tensors");
    }
    return PAWL_OK;
}

pawl_status pawl_safetensors_write_from(const char *dir, const pawl_state *tensors, const pawl_tensor_source *from,
                                        pawl_dtype dtype, int64_t shard_bytes)
{
    char single[PATH_MAX], index[PATH_MAX];
    int shards = 0;
    int64_t total = 0;
    PAWL_TRY(pawl_path_join(single, sizeof single, dir, PAWL_SAFETENSORS_SINGLE));
    PAWL_TRY(pawl_path_join(index, sizeof index, dir, PAWL_SAFETENSORS_INDEX));
    for (int i = 0; i < tensors->count; shards++) i = shard_end(tensors, dtype, i, shard_bytes);
    for (int i = 0; i < tensors->count; i++) total += (int64_t)written_bytes(&tensors->items[i], dtype);
    if (shards <= 1) { /* readers prefer the single file, but one form is enough */
        PAWL_TRY(write_file(single, tensors->items, tensors->count, from, dtype));
        return pawl_file_remove(index);
    }
    json_t *map = json_object();
    PAWL_CHECK(map, PAWL_EMEM, "no memory for an index of tensors");
    pawl_status status = write_shards(dir, tensors, from, dtype, shard_bytes, shards, map);
    if (status == PAWL_OK) status = write_index(index, map, total);
    json_decref(map);
    PAWL_TRY(status);
    return pawl_file_remove(single); /* last: until here the folder still reads as what it was */
}

pawl_status pawl_safetensors_write_dir(const char *dir, const pawl_state *tensors, pawl_dtype dtype,
                                       int64_t shard_bytes)
{
    return pawl_safetensors_write_from(dir, tensors, NULL, dtype, shard_bytes);
}
