#include "checkpoints/stored.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "core/file.h"

void pawl_step_name(int64_t step, char out[PAWL_STEP_NAME_MAX])
{
    snprintf(out, PAWL_STEP_NAME_MAX, "step-%09" PRId64, step);
}

int pawl_step_parse(const char *name, int64_t *step)
{
    char again[PAWL_STEP_NAME_MAX];
    if (strncmp(name, "step-", 5) != 0 || !isdigit((unsigned char)name[5])) return 0;
    const long long n = strtoll(name + 5, NULL, 10);
    pawl_step_name(n, again);
    if (strcmp(again, name) != 0) return 0; /* one spelling only */
    *step = n;
    return 1;
}

int pawl_stored_is_own(const pawl_stored *t)
{
    return strcmp(t->file, PAWL_TENSOR_FILE) == 0;
}

int pawl_stored_compare(const void *a, const void *b)
{
    return strcmp(((const pawl_stored *)a)->item.name, ((const pawl_stored *)b)->item.name);
}

pawl_status pawl_stored_path(const char *checkpoint, const pawl_stored *t, char *out, size_t room)
{
    const int n = snprintf(out, room, "%s/%s%s", checkpoint, pawl_stored_is_own(t) ? "" : "../", t->file);
    PAWL_CHECK(n >= 0 && (size_t)n < room, PAWL_EUSAGE, "path too long: %s/%s", checkpoint, t->file);
    return PAWL_OK;
}

size_t pawl_stored_chunk_bytes(const pawl_stored *t, int64_t i)
{
    const size_t left = t->bytes - (size_t)i * PAWL_CHUNK_BYTES;
    return left < PAWL_CHUNK_BYTES ? left : PAWL_CHUNK_BYTES;
}

/* SHA-256 over "name NUL dtype NUL digest" of the tensors whose names begin so, the digest as its 32 bytes. */
static pawl_status sum_of(const pawl_stored *list, int count, const char *prefix, pawl_digest *out)
{
    pawl_hash *h;
    PAWL_TRY(pawl_hash_open(&h));
    for (int i = 0; i < count; i++) {
        const char *name = list[i].item.name, *dtype = pawl_dtype_name(list[i].item.tensor.dtype);
        if (strncmp(name, prefix, strlen(prefix)) != 0) continue;
        pawl_hash_add(h, name, strlen(name) + 1);
        pawl_hash_add(h, dtype, strlen(dtype) + 1);
        pawl_hash_add(h, list[i].digest.byte, sizeof list[i].digest.byte);
    }
    *out = pawl_hash_close(h);
    return PAWL_OK;
}

pawl_status pawl_stored_sums(const pawl_stored *list, int count, pawl_sums *out)
{
    PAWL_TRY(sum_of(list, count, "model/", &out->weights));
    PAWL_TRY(sum_of(list, count, "memory/", &out->memory));
    return sum_of(list, count, "", &out->state);
}

static int compare_offsets(const void *a, const void *b)
{
    const int64_t x = (*(const pawl_stored *const *)a)->offset, y = (*(const pawl_stored *const *)b)->offset;
    return (x > y) - (x < y);
}

static pawl_status hash_range(pawl_hash *h, int fd, const char *path, int64_t first, int64_t end)
{
    char block[16384];
    for (int64_t at = first; at < end;) {
        const size_t n = end - at < (int64_t)sizeof block ? (size_t)(end - at) : sizeof block;
        PAWL_TRY(pawl_file_pread(fd, path, block, n, at));
        pawl_hash_add(h, block, n);
        at += (int64_t)n;
    }
    return PAWL_OK;
}

static pawl_status hash_between(pawl_hash *h, int fd, const char *path, int64_t file_bytes,
                                const pawl_stored *const *in_order, int count)
{
    int64_t end = 0;
    for (int i = 0; i < count; i++) {
        const pawl_stored *t = in_order[i];
        PAWL_CHECK(t->offset >= end && t->offset <= file_bytes && (int64_t)t->bytes <= file_bytes - t->offset,
                   PAWL_EDATA,
                   "%s: tensor %s: bytes %" PRId64 " to %" PRId64
                   " overlap another tensor or lie outside of the file's %" PRId64,
                   path, t->item.name, t->offset, t->offset + (int64_t)t->bytes, file_bytes);
        PAWL_TRY(hash_range(h, fd, path, end, t->offset));
        end = t->offset + (int64_t)t->bytes;
    }
    return hash_range(h, fd, path, end, file_bytes);
}

pawl_status pawl_layout_digest(int fd, const char *path, int64_t file_bytes, const pawl_stored *list, int count,
                               pawl_digest *out)
{
    const pawl_stored **in_order;
    pawl_hash *h;
    int own = 0;
    PAWL_TRY(pawl_alloc((void **)&in_order, (size_t)count * sizeof *in_order, "the order of tensors in a file"));
    for (int i = 0; i < count; i++)
        if (list[i].bytes > 0 && pawl_stored_is_own(&list[i])) in_order[own++] = &list[i];
    qsort(in_order, (size_t)own, sizeof *in_order, compare_offsets);
    pawl_status s = pawl_hash_open(&h);
    if (s == PAWL_OK) {
        s = hash_between(h, fd, path, file_bytes, in_order, own);
        const pawl_digest d = pawl_hash_close(h);
        if (s == PAWL_OK) *out = d;
    }
    pawl_free(in_order);
    return s;
}
