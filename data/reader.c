#include "data/reader.h"

#include <fcntl.h>
#include <string.h>
#include <strings.h>

#include "core/arena.h"
#include "core/file.h"
#include "data/utf8.h"

struct pawl_reader {
    const pawl_source *source;
    const char *field; /* key of a row's text; NULL when the file is one document */
    int fd;
    pawl_hash *hash;
    int64_t at;  /* bytes of the file read so far */
    char *block; /* what was read and not yet handed out: [first, end) */
    size_t room, first, end, searched;
    int64_t line; /* of the piece in hand, from 1 */
    json_t *row;  /* holds the text of the document in hand */
    int64_t empty;
};

pawl_status pawl_reader_open(const pawl_dataset_config *cfg, const pawl_source *source, pawl_reader **out)
{
    const int rows = strcmp(pawl_dataset_types[cfg->type], "completion") == 0 &&
                     strcasecmp(pawl_name_ending(source->name), ".jsonl") == 0;
    pawl_reader *r;
    pawl_status status = PAWL_OK;
    PAWL_CHECK(cfg->type <= PAWL_PLAIN_TEXT, PAWL_EUSAGE, "datasets of type %s cannot be prepared yet",
               pawl_dataset_types[cfg->type]);
    if (source->bytes == 0 && source->named)
        return PAWL_FAIL_AT(PAWL_EDATA, source->path, 1, 1, "the file is empty; expected %s",
                            rows ? "a JSON object a line" : "text");
    PAWL_TRY(pawl_alloc((void **)&r, sizeof *r, "reading data files"));
    *r = (pawl_reader){.source = source, .field = rows ? cfg->field : NULL, .fd = -1};
    PAWL_TRY_OUT(pawl_hash_open(&r->hash));
    PAWL_TRY_OUT(pawl_file_open(source->path, O_RDONLY, &r->fd));
    *out = r;
    r = NULL;
out:
    pawl_reader_close(r);
    return status;
}

void pawl_reader_close(pawl_reader *r)
{
    if (!r) return;
    json_decref(r->row);
    if (r->hash) (void)pawl_hash_close(r->hash);
    pawl_file_close(r->fd);
    pawl_free(r->block);
    pawl_free(r);
}

static pawl_status read_more(pawl_reader *r)
{
    const int64_t left = r->source->bytes - r->at;
    const size_t n = left < PAWL_CHUNK_BYTES ? (size_t)left : PAWL_CHUNK_BYTES;
    if (r->first > 0) {
        memmove(r->block, r->block + r->first, r->end - r->first);
        r->end -= r->first;
        r->searched -= r->first;
        r->first = 0;
    }
    if (r->end + n > r->room) {
        PAWL_TRY(pawl_realloc((void **)&r->block, 2 * (r->end + n), "reading data files"));
        r->room = 2 * (r->end + n);
    }
    PAWL_TRY(pawl_file_pread(r->fd, r->source->path, r->block + r->end, n, r->at));
    pawl_hash_add(r->hash, r->block + r->end, n);
    r->end += n;
    r->at += (int64_t)n;
    return PAWL_OK;
}

static pawl_status too_long(const pawl_reader *r)
{
    if (r->field)
        return PAWL_FAIL_AT(PAWL_EDATA, r->source->path, r->line + 1, 1,
                            "a line of more than %d MiB; expected one JSON object a "
                            "line: split the document",
                            PAWL_LINE_MAX >> 20);
    return PAWL_FAIL_AT(PAWL_EDATA, r->source->path, 0, 0,
                        "the file is larger than %d MiB, the most that one document may have; "
                        "split it into several files, or into the rows of a .jsonl file",
                        PAWL_FILE_MAX >> 20);
}

/* The next line without its newline, or the whole file. */
static pawl_status next_piece(pawl_reader *r, const char **piece, size_t *bytes, int *more)
{
    const size_t most = r->field ? PAWL_LINE_MAX : PAWL_FILE_MAX;
    char *newline = NULL;
    for (;;) {
        if (r->field && r->searched < r->end) newline = memchr(r->block + r->searched, '\n', r->end - r->searched);
        r->searched = newline ? (size_t)(newline - r->block) : r->end;
        if (r->searched - r->first > most) return too_long(r);
        if (newline || r->at == r->source->bytes) break;
        PAWL_TRY(read_more(r));
    }
    *more = newline || r->first < r->end;
    *piece = *more ? r->block + r->first : "";
    *bytes = r->searched - r->first;
    r->searched += newline != NULL;
    r->first = r->searched;
    r->line++;
    return PAWL_OK;
}

/* FILE:LINE:COL of the byte at `at` of a piece that began on line `line`. Columns count characters. */
static pawl_status bad_byte(const pawl_reader *r, const char *piece, size_t at)
{
    long line = (long)r->line;
    size_t begin = 0;
    for (size_t i = 0; i < at; i++)
        if (piece[i] == '\n') {
            line++;
            begin = i + 1;
        }
    const long column = (long)pawl_utf8_length(piece + begin, at - begin) + 1;
    if (piece[at] == 0)
        return PAWL_FAIL_AT(PAWL_EDATA, r->source->path, line, column,
                            "expected text, found a NUL byte; remove it, or move the "
                            "file out of the data if it is not text");
    return PAWL_FAIL_AT(PAWL_EDATA, r->source->path, line, column,
                        "expected UTF-8, found the byte 0x%02x; convert the file to "
                        "UTF-8, or move it out of the data if it is not text",
                        (unsigned)(unsigned char)piece[at]);
}

static pawl_status check_text(const pawl_reader *r, const char *piece, size_t bytes)
{
    const size_t good = pawl_utf8_valid_prefix(piece, bytes);
    return good == bytes ? PAWL_OK : bad_byte(r, piece, good);
}

static void skip_byte_order_mark(const pawl_reader *r, const char **piece, size_t *bytes)
{
    if (r->line != 1 || *bytes < 3 || memcmp(*piece, "\xEF\xBB\xBF", 3) != 0) return;
    *piece += 3;
    *bytes -= 3;
}

static size_t leading_blanks(const char *piece, size_t bytes)
{
    size_t n = 0;
    while (n < bytes && (piece[n] == ' ' || piece[n] == '\t' || piece[n] == '\r')) n++;
    return n;
}

static const char *kind_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: return "a string";
    case JSON_INTEGER:
    case JSON_REAL: return "a number";
    case JSON_TRUE:
    case JSON_FALSE: return "true or false";
    case JSON_NULL: return "null";
    }
    return "nothing";
}

static pawl_status missing_field(const pawl_reader *r, const json_t *row, long column)
{
    enum { SHOWN = 8 };
    char keys[256] = "";
    size_t used = 0;
    int n = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)row, key, value)
    {
        if (n++ < SHOWN && used < sizeof keys)
            used += (size_t)snprintf(keys + used, sizeof keys - used, "%s'%.30s'", n == 1 ? "" : ", ", key);
    }
    return PAWL_FAIL_AT(PAWL_EDATA, r->source->path, (long)r->line, column,
                        "expected a key '%s' that holds the text, found %s%s; "
                        "set the dataset's `field` to the key that holds it",
                        r->field, n ? keys : "no keys at all", n > SHOWN ? ", ..." : "");
}

/* The text of the row in a line. */
static pawl_status read_row(pawl_reader *r, const char *piece, size_t bytes, pawl_passage *out)
{
    json_error_t e;
    const long column = (long)leading_blanks(piece, bytes) + 1;
    json_decref(r->row);
    /* Integers beyond 64 bits occur in real data, in members that are not read here. */
    r->row = json_loadb(piece, bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, &e);
    if (!r->row) {
        const int nul = json_error_code(&e) == json_error_null_character;
        return PAWL_FAIL_AT(PAWL_EDATA, r->source->path, (long)r->line, e.column > 0 ? e.column : 1,
                            "expected one JSON object a line: %s", nul ? "\\u0000, which no text may hold" : e.text);
    }
    if (!json_is_object(r->row))
        return PAWL_FAIL_AT(PAWL_EDATA, r->source->path, (long)r->line, column,
                            "expected a JSON object, found %s; a row is "
                            "written {\"%s\": \"...\"}",
                            kind_name(r->row), r->field);
    const json_t *text = json_object_get(r->row, r->field);
    if (!text) return missing_field(r, r->row, column);
    if (!json_is_string(text))
        return PAWL_FAIL_AT(PAWL_EDATA, r->source->path, (long)r->line, column,
                            "expected a string under '%s', found %s", r->field, kind_name(text));
    *out = (pawl_passage){.text = json_string_value(text), .bytes = json_string_length(text), .line = r->line};
    return PAWL_OK;
}

pawl_status pawl_reader_next(pawl_reader *r, pawl_passage *out, int *more)
{
    const char *piece = "";
    size_t bytes = 0;
    for (;;) {
        PAWL_TRY(next_piece(r, &piece, &bytes, more));
        if (!*more) return PAWL_OK;
        skip_byte_order_mark(r, &piece, &bytes);
        if (r->field && leading_blanks(piece, bytes) == bytes) continue;
        PAWL_TRY(check_text(r, piece, bytes));
        *out = (pawl_passage){.text = piece, .bytes = bytes};
        if (r->field) PAWL_TRY(read_row(r, piece, bytes, out));
        if (out->bytes > 0) return PAWL_OK;
        r->empty++;
    }
}

pawl_status pawl_reader_check(pawl_reader *r, int64_t *empty)
{
    const pawl_digest found = pawl_hash_close(r->hash);
    r->hash = NULL;
    if (!pawl_digest_equal(found, r->source->digest))
        return PAWL_FAIL_AT(PAWL_EDATA, r->source->path, 0, 0,
                            "the file changed while it was read; start again when nothing writes "
                            "to it");
    *empty = r->empty + (r->source->bytes == 0);
    return PAWL_OK;
}
