/* The files of a dataset: what is in them now, and the same list on every rank. */
#include <fcntl.h>
#include <string.h>
#include <zlib.h>

#include "core/arena.h"
#include "core/file.h"
#include "data/files.h"

static int64_t blocks_of(const pawl_source *s)
{
    return (s->bytes + PAWL_CHUNK_BYTES - 1) / PAWL_CHUNK_BYTES;
}

/* Exactly the bytes that are there now: a file that grows meanwhile is taken as it was. */
static pawl_status hash_file(pawl_source *source, pawl_hash *hash, char *block)
{
    int fd;
    pawl_status s = PAWL_OK;
    PAWL_TRY(pawl_file_size(source->path, &source->bytes));
    pawl_free(source->checks);
    source->checks = NULL;
    PAWL_TRY(pawl_alloc((void **)&source->checks, (size_t)(blocks_of(source) + 1) * sizeof *source->checks,
                        "reading data files"));
    PAWL_TRY(pawl_file_open(source->path, O_RDONLY, &fd));
    for (int64_t at = 0; at < source->bytes && s == PAWL_OK && pawl_keep_going(); at += PAWL_CHUNK_BYTES) {
        const int64_t left = source->bytes - at, n = left < PAWL_CHUNK_BYTES ? left : PAWL_CHUNK_BYTES;
        s = pawl_file_pread(fd, source->path, block, (size_t)n, at);
        if (s != PAWL_OK) break;
        pawl_hash_add(hash, block, (size_t)n);
        source->checks[at / PAWL_CHUNK_BYTES] = (uint32_t)crc32(0, (const unsigned char *)block, (unsigned)n);
        pawl_progress_add(n);
    }
    pawl_file_close(fd);
    return s;
}

static pawl_status refuse_empty(const pawl_source *s)
{
    static const char *const expected[] = {[PAWL_READS_LINES] = "a JSON object a line",
                                           [PAWL_READS_VALUES] = "an array of JSON objects",
                                           [PAWL_READS_WHOLE] = "text"};
    if (s->bytes > 0 || s->named != PAWL_BY_NAME || pawl_stop_asked) return PAWL_OK;
    return PAWL_FAIL_AT(PAWL_EDATA, s->path, 1, 1, "the file is empty; expected %s", expected[s->reads]);
}

pawl_status pawl_sources_hash(pawl_sources *s)
{
    char *block;
    pawl_status status = PAWL_OK;
    PAWL_TRY(pawl_alloc((void **)&block, PAWL_CHUNK_BYTES, "reading data files"));
    for (int i = 0; i < s->count && status == PAWL_OK && pawl_keep_going(); i++) {
        pawl_hash *hash;
        PAWL_TRY_OUT(pawl_hash_open(&hash));
        status = hash_file(&s->items[i], hash, block);
        s->items[i].digest = pawl_hash_close(hash);
        if (status == PAWL_OK) status = refuse_empty(&s->items[i]);
    }
out:
    pawl_free(block);
    return status;
}

/* ---- The same list on every rank ---- */

/* A source as it is sent: this, its path with a NUL, its checks. */
typedef struct parcel {
    int64_t bytes, path_bytes, name_at;
    pawl_digest digest;
    int32_t named, gzip, reads, unused;
} parcel;

static size_t parcel_bytes(const pawl_source *s)
{
    return sizeof(parcel) + strlen(s->path) + 1 + (size_t)blocks_of(s) * sizeof *s->checks;
}

static char *append(char *to, const void *data, size_t bytes)
{
    memcpy(to, data, bytes);
    return to + bytes;
}

static void pack_all(const pawl_sources *s, char *to)
{
    for (int i = 0; i < s->count; i++) {
        const pawl_source *f = &s->items[i];
        const parcel p = {.bytes = f->bytes,
                          .path_bytes = (int64_t)strlen(f->path) + 1,
                          .name_at = f->name - f->path,
                          .digest = f->digest,
                          .named = (int32_t)f->named,
                          .gzip = f->gzip,
                          .reads = (int32_t)f->reads};
        to = append(to, &p, sizeof p);
        to = append(to, f->path, (size_t)p.path_bytes);
        to = append(to, f->checks, (size_t)blocks_of(f) * sizeof *f->checks);
    }
}

static pawl_status unpack_one(const char **from, pawl_source *out)
{
    parcel p;
    memcpy(&p, *from, sizeof p);
    *from += sizeof p;
    *out = (pawl_source){.bytes = p.bytes,
                         .digest = p.digest,
                         .named = (pawl_named)p.named,
                         .gzip = p.gzip,
                         .reads = (pawl_reads)p.reads};
    const size_t checks = (size_t)blocks_of(out) * sizeof *out->checks;
    PAWL_TRY(pawl_alloc((void **)&out->path, (size_t)p.path_bytes, "a list of data files"));
    PAWL_TRY(pawl_alloc((void **)&out->checks, checks + 1, "a list of data files"));
    memcpy(out->path, *from, (size_t)p.path_bytes);
    memcpy(out->checks, *from + p.path_bytes, checks);
    out->name = out->path + p.name_at;
    *from += (size_t)p.path_bytes + checks;
    return PAWL_OK;
}

static pawl_status unpack_all(const char *from, int count, pawl_sources *s)
{
    PAWL_TRY(pawl_alloc((void **)&s->items, ((size_t)count + 1) * sizeof *s->items, "a list of data files"));
    s->room = count;
    for (; s->count < count; s->count++) {
        const pawl_status status = unpack_one(&from, &s->items[s->count]);
        if (status == PAWL_OK) continue;
        s->count++; /* what there is of it is released with the list */
        return status;
    }
    return PAWL_OK;
}

pawl_status pawl_sources_share(pawl_comm *c, pawl_sources *s)
{
    struct {
        int64_t count, bytes;
    } head = {.count = s->count};
    char *block = NULL;
    pawl_status status = PAWL_OK;
    if (c->size == 1) return PAWL_OK;
    for (int i = 0; i < s->count; i++) head.bytes += (int64_t)parcel_bytes(&s->items[i]);
    PAWL_TRY(pawl_bcast(c, &head, sizeof head, 0));
    PAWL_TRY_OUT(pawl_agree(c, pawl_alloc((void **)&block, (size_t)head.bytes + 1, "a list of data files")));
    if (c->rank == 0) pack_all(s, block);
    PAWL_TRY_OUT(pawl_bcast(c, block, (size_t)head.bytes, 0));
    PAWL_TRY_OUT(pawl_agree(c, c->rank == 0 ? PAWL_OK : unpack_all(block, (int)head.count, s)));
out:
    pawl_free(block);
    return status;
}
