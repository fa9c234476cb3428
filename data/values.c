#include "data/values.h"

#include <string.h>

enum { NOTHING = -1 }; /* the file is over */

/* The byte `ahead` of the window's hand. */
static pawl_status look(pawl_window *w, size_t ahead, int *byte)
{
    while (pawl_window_bytes(w) <= ahead && !w->over) PAWL_TRY(pawl_window_more(w));
    *byte = ahead < pawl_window_bytes(w) ? (unsigned char)pawl_window_text(w)[ahead] : NOTHING;
    return PAWL_OK;
}

static void pass(pawl_window *w, pawl_values *v, size_t bytes)
{
    const char *text = pawl_window_text(w);
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] == '\n') {
            v->line++;
            v->column = 1;
        } else {
            v->column += ((unsigned char)text[i] & 0xC0) != 0x80;
        }
    }
    pawl_window_pass(w, bytes);
}

static int is_space(int byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static pawl_status skip_space(pawl_window *w, pawl_values *v, int *byte)
{
    for (;;) {
        PAWL_TRY(look(w, 0, byte));
        if (!is_space(*byte)) return PAWL_OK;
        pass(w, v, 1);
    }
}

/* What has been seen of a value up to a byte. */
typedef struct scan {
    int depth, in_string, escaped, scalar;
} scan;

/* 1 when the value ends with this byte, 2 when it ended before it. */
static int step(scan *s, int byte)
{
    if (s->in_string) {
        if (s->escaped)
            s->escaped = 0;
        else if (byte == '\\')
            s->escaped = 1;
        else if (byte == '"')
            s->in_string = 0;
        return !s->in_string && s->depth == 0;
    }
    if (byte == '"') s->in_string = 1;
    if (byte == '{' || byte == '[') s->depth++;
    if (byte == '}' || byte == ']') return s->depth == 0 ? 2 : --s->depth == 0;
    if (s->depth == 0 && !s->in_string && (is_space(byte) || byte == ',')) return 2;
    return 0;
}

static pawl_status find_end(pawl_window *w, const pawl_values *v, const char *path, size_t *bytes)
{
    scan s = {0};
    for (size_t n = 0;; n++) {
        int byte;
        PAWL_TRY(look(w, n, &byte));
        if (byte == NOTHING && (s.depth > 0 || s.in_string))
            return PAWL_FAIL_AT(
                PAWL_EDATA, path, (long)v->line, (long)v->column,
                "the file ends inside the row that begins here: it was cut short, or a bracket or quote is missing");
        const int ended = byte == NOTHING ? 2 : step(&s, byte);
        *bytes = ended == 1 || n == 0 ? n + 1 : n; /* at least a byte, which the parser will name */
        if (ended) return PAWL_OK;
        if (n >= PAWL_LINE_MAX)
            return PAWL_FAIL_AT(PAWL_EDATA, path, (long)v->line, (long)v->column,
                                "a row of more than %d MiB, or a bracket or quote is missing; split the document",
                                PAWL_LINE_MAX >> 20);
    }
}

static pawl_status unexpected(const pawl_values *v, const char *path, const char *expected, int byte)
{
    if (byte == NOTHING)
        return PAWL_FAIL_AT(PAWL_EDATA, path, (long)v->line, (long)v->column,
                            "expected %s, but the file ends: it was cut short", expected);
    return PAWL_FAIL_AT(PAWL_EDATA, path, (long)v->line, (long)v->column, "expected %s, found '%c'", expected,
                        byte < 0x20 || byte > 0x7e ? '?' : byte);
}

/* Goes to where a row begins; *found 0: there is none any more. */
static pawl_status find_begin(pawl_window *w, pawl_values *v, const char *path, int *found)
{
    int byte;
    PAWL_TRY(skip_space(w, v, &byte));
    if (v->state == PAWL_AT_BEGIN) {
        v->state = byte == '[' ? PAWL_AT_FIRST : PAWL_IN_SEQUENCE;
        if (byte == '[') pass(w, v, 1);
        PAWL_TRY(skip_space(w, v, &byte));
    }
    if (v->state == PAWL_AFTER_ITEM && byte == ',') {
        pass(w, v, 1);
        PAWL_TRY(skip_space(w, v, &byte));
        if (byte == ']' || byte == ',' || byte == NOTHING) return unexpected(v, path, "another row", byte);
    } else if (v->state == PAWL_AFTER_ITEM && byte != ']') {
        return unexpected(v, path, "',' or ']' behind a row of the array", byte);
    }
    if (v->state == PAWL_AT_FIRST && byte == NOTHING) return unexpected(v, path, "a row or ']'", byte);
    if ((v->state == PAWL_AT_FIRST || v->state == PAWL_AFTER_ITEM) && byte == ']') {
        v->state = PAWL_AT_END;
        pass(w, v, 1);
        PAWL_TRY(skip_space(w, v, &byte));
    }
    if (v->state == PAWL_AT_END && byte != NOTHING) return unexpected(v, path, "nothing behind the array", byte);
    *found = byte != NOTHING;
    return PAWL_OK;
}

pawl_status pawl_values_next(pawl_window *w, pawl_values *v, const char *path, pawl_piece *out, int *more)
{
    size_t bytes;
    pass(w, v, v->in_use);
    v->in_use = 0;
    PAWL_TRY(find_begin(w, v, path, more));
    if (!*more) return PAWL_OK;
    PAWL_TRY(find_end(w, v, path, &bytes));
    *out = (pawl_piece){.text = pawl_window_text(w), .bytes = bytes, .line = v->line, .column = v->column};
    v->in_use = bytes;
    if (v->state == PAWL_AT_FIRST) v->state = PAWL_AFTER_ITEM;
    return PAWL_OK;
}
