/* data/stream.h - the bytes of a source file from a place on, inflated when it is a .gz, and proven to be those that
 * were hashed. */
#ifndef PAWL_DATA_STREAM_H
#define PAWL_DATA_STREAM_H

#include "data/files.h"

typedef struct pawl_stream pawl_stream;

/* first: a multiple of PAWL_CHUNK_BYTES; 0 for a .gz. The source outlives the stream. */
PAWL_MUST pawl_status pawl_stream_open(const pawl_source *source, int64_t first, pawl_stream **out);
/* Some bytes into out, which has room for at least PAWL_CHUNK_BYTES; *got 0: the end.
 * Errors: EDATA when the file changed or is no whole gzip file; EIO, EMEM. */
PAWL_MUST pawl_status pawl_stream_read(pawl_stream *s, char *out, size_t room, size_t *got);
void pawl_stream_close(pawl_stream *s);

#endif
