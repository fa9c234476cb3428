#include "data/reader.h"

#include <string.h>

#include "core/arena.h"
#include "data/utf8.h"
#include "data/values.h"
#include "data/window.h"

struct pawl_reader {
    const pawl_source *source;
    int64_t first, end; /* the range */
    pawl_window window;
    size_t in_use;    /* bytes of the window that were handed out */
    int64_t newlines; /* in the range, so far */
    pawl_values values;
    int begun, spoilt;
};

pawl_status pawl_reader_open(const pawl_source *source, int64_t first, int64_t end, pawl_reader **out)
{
    pawl_reader *r;
    PAWL_TRY(pawl_alloc((void **)&r, sizeof *r, "reading data files"));
    *r = (pawl_reader){
        .source = source, .first = first, .end = source->gzip ? INT64_MAX : end, .values = {.line = 1, .column = 1}};
    const pawl_status s = pawl_window_open(&r->window, source, first);
    if (s != PAWL_OK) {
        pawl_reader_close(r);
        return s;
    }
    *out = r;
    return PAWL_OK;
}

void pawl_reader_close(pawl_reader *r)
{
    if (!r) return;
    pawl_window_close(&r->window);
    pawl_free(r);
}

int pawl_reader_spoilt(const pawl_reader *r)
{
    return r->spoilt;
}

int64_t pawl_reader_newlines(const pawl_reader *r)
{
    return r->newlines;
}

/* ---- lines ---- */

/* Goes on behind the next newline; nothing of what lies before it is kept. */
static pawl_status pass_line(pawl_reader *r)
{
    pawl_window *w = &r->window;
    for (;;) {
        const char *text = pawl_window_text(w), *newline = memchr(text, '\n', pawl_window_bytes(w));
        pawl_window_pass(w, newline ? (size_t)(newline + 1 - text) : pawl_window_bytes(w));
        r->newlines += newline && w->at <= r->end;
        if (newline || w->over) return PAWL_OK;
        PAWL_TRY(pawl_window_more(w));
    }
}

/* Bytes of the line in hand up to its newline; more than PAWL_LINE_MAX when it is longer than that. */
static pawl_status measure_line(pawl_window *w, size_t *bytes, int *newline)
{
    size_t searched = 0;
    for (;;) {
        const char *text = pawl_window_text(w), *found = memchr(text + searched, '\n', pawl_window_bytes(w) - searched);
        searched = found ? (size_t)(found - text) : pawl_window_bytes(w);
        *bytes = searched;
        *newline = found != NULL;
        if (found || searched > PAWL_LINE_MAX || w->over) return PAWL_OK;
        PAWL_TRY(pawl_window_more(w));
    }
}

static size_t leading_blanks(const char *text, size_t bytes)
{
    size_t n = 0;
    while (n < bytes && (text[n] == ' ' || text[n] == '\t' || text[n] == '\r')) n++;
    return n;
}

static pawl_status too_long(pawl_reader *r, pawl_piece *out)
{
    PAWL_TRY(pass_line(r));
    *out = (pawl_piece){.line = out->line, .column = 1};
    r->spoilt = 1;
    return PAWL_FAIL(PAWL_EDATA, "a line of more than %d MiB; expected one JSON object a line: split the document",
                     PAWL_LINE_MAX >> 20);
}

/* The next line without its newline. */
static pawl_status next_line(pawl_reader *r, pawl_piece *out, int *more)
{
    pawl_window *w = &r->window;
    int newline;
    if (!r->begun && r->first > 0) PAWL_TRY(pass_line(r));
    r->begun = 1;
    pawl_window_pass(w, r->in_use);
    r->in_use = 0;
    if (w->at > r->end) {
        *more = 0;
        return PAWL_OK;
    }
    PAWL_TRY(measure_line(w, &out->bytes, &newline));
    *more = newline || out->bytes > 0;
    out->line = r->newlines + 1;
    out->column = 1;
    if (out->bytes > PAWL_LINE_MAX) return too_long(r, out);
    out->text = pawl_window_text(w);
    r->in_use = out->bytes + (size_t)newline;
    r->newlines += newline && w->at + (int64_t)out->bytes < r->end;
    return PAWL_OK;
}

/* ---- whole files ---- */

static pawl_status whole(pawl_reader *r, pawl_piece *out, int *more)
{
    pawl_window *w = &r->window;
    *more = !r->begun;
    if (r->begun) return PAWL_OK;
    r->begun = 1;
    while (!w->over && pawl_window_bytes(w) <= PAWL_FILE_MAX) PAWL_TRY(pawl_window_more(w));
    *out = (pawl_piece){.text = pawl_window_text(w), .bytes = pawl_window_bytes(w), .line = 1, .column = 1};
    if (out->bytes <= PAWL_FILE_MAX) return PAWL_OK;
    r->spoilt = 1;
    return PAWL_FAIL(PAWL_EDATA,
                     "the file is larger than %d MiB, the most that one document may have; "
                     "split it into several files, or into the rows of a .jsonl file",
                     PAWL_FILE_MAX >> 20);
}

/* ---- both ---- */

/* The piece holds something else at `at`. Columns count characters. */
static pawl_status bad_byte(pawl_reader *r, pawl_piece *out, size_t at)
{
    size_t begin = 0;
    for (size_t i = 0; i < at; i++)
        if (out->text[i] == '\n') {
            out->line++;
            out->column = 1;
            begin = i + 1;
        }
    out->column += (int64_t)pawl_utf8_length(out->text + begin, at - begin);
    r->spoilt = 1;
    if (out->text[at] == 0)
        return PAWL_FAIL(PAWL_EDATA,
                         "expected text, found a NUL byte; remove it, or move the file out of the data if it is "
                         "not text");
    return PAWL_FAIL(
        PAWL_EDATA,
        "expected UTF-8, found the byte 0x%02x; convert the file to UTF-8, or move it out of the data if it is "
        "not text",
        (unsigned)(unsigned char)out->text[at]);
}

static void skip_byte_order_mark(const pawl_reader *r, pawl_piece *out)
{
    if (r->first > 0 || out->line != 1 || out->bytes < 3 || memcmp(out->text, "\xEF\xBB\xBF", 3) != 0) return;
    out->text += 3;
    out->bytes -= 3;
}

/* Before the first value of a .json file. */
static pawl_status pass_byte_order_mark(pawl_window *w)
{
    while (pawl_window_bytes(w) < 3 && !w->over) PAWL_TRY(pawl_window_more(w));
    if (pawl_window_bytes(w) >= 3 && memcmp(pawl_window_text(w), "\xEF\xBB\xBF", 3) == 0) pawl_window_pass(w, 3);
    return PAWL_OK;
}

static pawl_status next_value(pawl_reader *r, pawl_piece *out, int *more)
{
    if (!r->begun) PAWL_TRY(pass_byte_order_mark(&r->window));
    r->begun = 1;
    return pawl_values_next(&r->window, &r->values, r->source->path, out, more);
}

static pawl_status next_piece(pawl_reader *r, pawl_piece *out, int *more)
{
    if (r->source->reads == PAWL_READS_VALUES) return next_value(r, out, more);
    PAWL_TRY(r->source->reads == PAWL_READS_LINES ? next_line(r, out, more) : whole(r, out, more));
    if (*more) skip_byte_order_mark(r, out);
    return PAWL_OK;
}

pawl_status pawl_reader_next(pawl_reader *r, pawl_piece *out, int *more)
{
    r->spoilt = 0;
    for (;;) {
        PAWL_TRY(next_piece(r, out, more));
        if (!*more) return PAWL_OK;
        if (r->source->reads != PAWL_READS_LINES || leading_blanks(out->text, out->bytes) < out->bytes) break;
    }
    const size_t good = pawl_utf8_valid_prefix(out->text, out->bytes);
    return good == out->bytes ? PAWL_OK : bad_byte(r, out, good);
}
