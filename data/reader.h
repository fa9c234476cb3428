/* data/reader.h - one source file as a stream of documents, in bounded memory.
 *
 * A .jsonl file (type completion) holds a JSON object a line, whose member `field` is a document; blank lines are
 * passed over. Every other file is one document, whole. Text is kept byte for byte, CRLF too; only a byte order mark at
 * the very beginning of a file is left out, for it is no text. */
#ifndef PAWL_DATA_READER_H
#define PAWL_DATA_READER_H

#include "data/files.h"

enum {
    PAWL_LINE_MAX = 64 << 20, /* bytes of a JSONL line */
    PAWL_FILE_MAX = 256 << 20 /* bytes of a file that is one document */
};

typedef struct pawl_reader pawl_reader;

typedef struct pawl_passage {
    const char *text; /* UTF-8 without NUL; valid until the next call */
    size_t bytes;     /* more than 0 */
    int64_t line;     /* of a JSONL row, from 1; 0 for a whole file */
} pawl_passage;

PAWL_MUST pawl_status pawl_reader_open(const pawl_dataset_config *cfg, const pawl_source *source, pawl_reader **out);
/* The next document that is not empty; *more is 0 at the file's end. Errors: EDATA as FILE:LINE:COL; EIO. */
PAWL_MUST pawl_status pawl_reader_next(pawl_reader *r, pawl_passage *out, int *more);
/* After the last document: how many empty texts there were. Errors: EDATA when the file is not what its digest says. */
PAWL_MUST pawl_status pawl_reader_check(pawl_reader *r, int64_t *empty);
void pawl_reader_close(pawl_reader *r);

#endif
