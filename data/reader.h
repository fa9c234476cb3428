/* data/reader.h - one source file, or a range of it, as a stream of pieces in bounded memory: the text of a row or of a
 * whole document.
 *
 * Text is kept byte for byte, CRLF too; only a byte order mark at the very beginning of a file is left out, for it is
 * no text. A line belongs to the range that the byte before it lies in, so that ranges which cut a file share out its
 * lines. */
#ifndef PAWL_DATA_READER_H
#define PAWL_DATA_READER_H

#include "data/files.h"

enum {
    PAWL_LINE_MAX = 64 << 20, /* bytes of a row */
    PAWL_FILE_MAX = 256 << 20 /* bytes of a file that is one document */
};

typedef struct pawl_reader pawl_reader;

typedef struct pawl_piece {
    const char *text; /* UTF-8 without NUL; valid until the next call */
    size_t bytes;
    int64_t line;   /* where it begins, from 1; for a range that does not begin its file: 1 + the newlines before it in
                       the range */
    int64_t column; /* characters, from 1 */
} pawl_piece;

/* The bytes [first, end) of a file that is read by lines; other files are read whole. first: a multiple of
 * PAWL_CHUNK_BYTES. */
PAWL_MUST pawl_status pawl_reader_open(const pawl_source *source, int64_t first, int64_t end, pawl_reader **out);
/* The next piece (blank lines are passed over); *more is 0 at the end. Errors: EDATA, EIO, EMEM. After an EDATA for
 * which pawl_reader_spoilt says 1 out says where, the sentence does not, and the next call goes on behind the piece. */
PAWL_MUST pawl_status pawl_reader_next(pawl_reader *r, pawl_piece *out, int *more);
int pawl_reader_spoilt(const pawl_reader *r);
/* Newlines in the range that was read. */
int64_t pawl_reader_newlines(const pawl_reader *r);
void pawl_reader_close(pawl_reader *r);

#endif
