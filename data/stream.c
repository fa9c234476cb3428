#include "data/stream.h"

#include <fcntl.h>
#include <string.h>
#include <zlib.h>

#include "core/arena.h"
#include "core/file.h"

struct pawl_stream {
    const pawl_source *source;
    int fd;
    int64_t at;   /* bytes of the file read so far */
    char *packed; /* a block of a .gz; what is left of it is in z */
    z_stream z;
    int inflating; /* z is open */
    int in_member; /* a gzip member has begun and is not through */
};

static voidpf take(voidpf unused, uInt items, uInt size)
{
    void *block;
    (void)unused;
    return pawl_alloc(&block, (size_t)items * size, "inflating a .gz file") == PAWL_OK ? block : NULL;
}

static void give(voidpf unused, voidpf block)
{
    (void)unused;
    pawl_free(block);
}

static pawl_status open_inflater(pawl_stream *s)
{
    enum { GZIP_ONLY = 16 };
    PAWL_TRY(pawl_alloc((void **)&s->packed, PAWL_CHUNK_BYTES, "inflating a .gz file"));
    s->z.zalloc = take;
    s->z.zfree = give;
    PAWL_CHECK(inflateInit2(&s->z, MAX_WBITS + GZIP_ONLY) == Z_OK, PAWL_EMEM, "no memory for inflating a .gz file");
    s->inflating = 1;
    return PAWL_OK;
}

pawl_status pawl_stream_open(const pawl_source *source, int64_t first, pawl_stream **out)
{
    pawl_stream *s;
    pawl_status status = PAWL_OK;
    PAWL_ASSERT(first % PAWL_CHUNK_BYTES == 0 && (first == 0 || !source->gzip));
    PAWL_TRY(pawl_alloc((void **)&s, sizeof *s, "reading data files"));
    s->source = source;
    s->fd = -1;
    s->at = first;
    if (source->gzip) PAWL_TRY_OUT(open_inflater(s));
    PAWL_TRY_OUT(pawl_file_open(source->path, O_RDONLY, &s->fd));
    *out = s;
    s = NULL;
out:
    pawl_stream_close(s);
    return status;
}

void pawl_stream_close(pawl_stream *s)
{
    if (!s) return;
    if (s->inflating) inflateEnd(&s->z);
    pawl_file_close(s->fd);
    pawl_free(s->packed);
    pawl_free(s);
}

/* The next block of the file; *got 0 at its end. */
static pawl_status read_block(pawl_stream *s, char *out, size_t *got)
{
    const int64_t left = s->source->bytes - s->at;
    const size_t n = left < PAWL_CHUNK_BYTES ? (size_t)left : PAWL_CHUNK_BYTES;
    *got = n;
    if (n == 0) return PAWL_OK;
    PAWL_TRY(pawl_file_pread(s->fd, s->source->path, out, n, s->at));
    if (crc32(0, (const unsigned char *)out, (unsigned)n) != s->source->checks[s->at / PAWL_CHUNK_BYTES])
        return PAWL_FAIL_AT(PAWL_EDATA, s->source->path, 0, 0,
                            "the file changed while it was read; start again when nothing writes to it");
    s->at += (int64_t)n;
    pawl_progress_add((int64_t)n);
    (void)pawl_keep_going(); /* a piece may take many blocks */
    return PAWL_OK;
}

/* Byte of the file at which the inflater stands. */
static long long packed_at(const pawl_stream *s)
{
    return (long long)s->at - s->z.avail_in;
}

static pawl_status cut_short(const pawl_stream *s)
{
    return PAWL_FAIL_AT(
        PAWL_EDATA, s->source->path, 0, 0,
        "the gzip file ends in the middle, after %lld bytes: it was cut short; copy or download it again",
        packed_at(s));
}

/* Between members: zeros may fill the file up, as tar's and dd's blocks do; anything else must be another member. */
static pawl_status next_member(pawl_stream *s, int *more)
{
    for (;;) {
        while (s->z.avail_in > 0 && *s->z.next_in == 0) {
            s->z.next_in++;
            s->z.avail_in--;
        }
        size_t got = s->z.avail_in;
        if (got > 0) break;
        PAWL_TRY(read_block(s, s->packed, &got));
        s->z.next_in = (unsigned char *)s->packed;
        s->z.avail_in = (unsigned)got;
        if (got == 0) break;
    }
    *more = s->z.avail_in > 0;
    if (!*more) return PAWL_OK;
    if (*s->z.next_in != 0x1f)
        return PAWL_FAIL_AT(PAWL_EDATA, s->source->path, 0, 0,
                            "expected a gzip file, found something else at byte %lld%s", packed_at(s),
                            packed_at(s) > 0 ? ", behind the compressed data"
                                             : "; take .gz from its name if it is not compressed");
    PAWL_CHECK(inflateReset(&s->z) == Z_OK, PAWL_EBUG, "inflateReset failed");
    s->in_member = 1;
    return PAWL_OK;
}

static pawl_status inflate_some(pawl_stream *s)
{
    if (s->z.avail_in == 0) {
        size_t got;
        PAWL_TRY(read_block(s, s->packed, &got));
        s->z.next_in = (unsigned char *)s->packed;
        s->z.avail_in = (unsigned)got;
        if (got == 0) return cut_short(s);
    }
    const int code = inflate(&s->z, Z_NO_FLUSH);
    if (code == Z_STREAM_END) s->in_member = 0;
    if (code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR) return PAWL_OK;
    PAWL_CHECK(code != Z_MEM_ERROR, PAWL_EMEM, "no memory for inflating %s", s->source->path);
    return PAWL_FAIL_AT(PAWL_EDATA, s->source->path, 0, 0,
                        "the gzip data are damaged near byte %lld (%s); copy or download the file again", packed_at(s),
                        s->z.msg ? s->z.msg : "zlib gives no reason");
}

static pawl_status read_inflated(pawl_stream *s, char *out, size_t room, size_t *got)
{
    int more = 1;
    s->z.next_out = (unsigned char *)out;
    s->z.avail_out = (unsigned)room;
    while (more && s->z.avail_out == room) {
        if (s->in_member)
            PAWL_TRY(inflate_some(s));
        else
            PAWL_TRY(next_member(s, &more));
    }
    *got = room - s->z.avail_out;
    return PAWL_OK;
}

pawl_status pawl_stream_read(pawl_stream *s, char *out, size_t room, size_t *got)
{
    PAWL_ASSERT(room >= PAWL_CHUNK_BYTES);
    return s->source->gzip ? read_inflated(s, out, room < INT32_MAX ? room : INT32_MAX, got) : read_block(s, out, got);
}
