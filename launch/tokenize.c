/* pawl tokenize: texts to ids or back, a line at a time, so that anyone can check them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "launch/launch.h"

enum { TOKENIZER, SPECIAL, DECODE };

enum { LINE_MOST = 256 << 20 };

typedef struct lines {
    const pawl_tokenizer *tokenizer;
    pawl_specials specials;
    pawl_encoding encoding;
    int32_t *ids;
    int64_t ids_room;
} lines;

static pawl_status encode_line(lines *l, const json_t *value, pawl_text *out)
{
    PAWL_CHECK(json_is_string(value), PAWL_EDATA, "expected a JSON string");
    PAWL_TRY(pawl_encode(l->tokenizer, json_string_value(value), json_string_length(value), l->specials, &l->encoding));
    pawl_text_add(out, "[");
    for (int64_t i = 0; i < l->encoding.count; i++) pawl_text_add(out, i ? ",%d" : "%d", l->encoding.ids[i]);
    pawl_text_add(out, "]");
    return pawl_text_status(out);
}

static pawl_status read_ids(lines *l, const json_t *value)
{
    const int32_t size = pawl_tokenizer_size(l->tokenizer);
    const int64_t count = (int64_t)json_array_size(value);
    PAWL_CHECK(json_is_array(value), PAWL_EDATA, "expected a JSON array of ids");
    if (count > l->ids_room) {
        PAWL_TRY(pawl_realloc((void **)&l->ids, (size_t)count * sizeof *l->ids, "the ids of a line"));
        l->ids_room = count;
    }
    for (int64_t i = 0; i < count; i++) {
        const json_t *v = json_array_get(value, (size_t)i);
        PAWL_CHECK(json_is_integer(v) && json_integer_value(v) >= 0 && json_integer_value(v) < size, PAWL_EDATA,
                   "item %lld: expected an id in [0, %d)", (long long)i, size);
        l->ids[i] = (int32_t)json_integer_value(v);
    }
    return PAWL_OK;
}

static pawl_status decode_line(lines *l, const json_t *value, pawl_text *out)
{
    pawl_text text = {0}, valid = {0};
    pawl_status status = PAWL_OK;
    PAWL_TRY_OUT(read_ids(l, value));
    PAWL_TRY_OUT(pawl_decode(l->tokenizer, l->ids, (int64_t)json_array_size(value), 0, &text));
    pawl_text_add_utf8(&valid, text.data, text.bytes);
    PAWL_TRY_OUT(pawl_text_status(&valid));
    json_t *string = json_stringn(valid.data ? valid.data : "", valid.bytes);
    PAWL_TRY_OUT(string ? pawl_json_canonical(string, out) : PAWL_FAIL(PAWL_EMEM, "no memory for a text"));
    json_decref(string);
out:
    pawl_text_close(&text);
    pawl_text_close(&valid);
    return status;
}

static pawl_status one_line(lines *l, int decode, const char *line, size_t bytes, pawl_text *out)
{
    json_error_t e;
    json_t *value = json_loadb(line, bytes, JSON_DECODE_ANY | JSON_ALLOW_NUL, &e);
    PAWL_CHECK(value, PAWL_EDATA, "not valid JSON: %s", e.text);
    const pawl_status s = decode ? decode_line(l, value, out) : encode_line(l, value, out);
    json_decref(value);
    return s;
}

/* The error of a line, told with its place. */
static pawl_status at_line(pawl_status s, long number)
{
    char what[sizeof pawl_last_error()->what];
    if (s == PAWL_OK) return s;
    snprintf(what, sizeof what, "%s", pawl_last_error()->what);
    return PAWL_FAIL_AT(s, "stdin", number, 0, "%s", what);
}

/* A line without its end into a buffer that grows; *more is 0 at the end of the input. */
static pawl_status read_line(char **line, size_t *room, size_t *bytes, int *more)
{
    int c;
    *bytes = 0;
    while ((c = getc_unlocked(stdin)) != EOF && c != '\n') {
        PAWL_CHECK(*bytes < LINE_MOST, PAWL_EDATA, "the line is longer than %d bytes", LINE_MOST);
        if (*bytes == *room) {
            PAWL_TRY(pawl_realloc((void **)line, 2 * *room + 4096, "a line"));
            *room = 2 * *room + 4096;
        }
        (*line)[(*bytes)++] = (char)c;
    }
    *more = c != EOF || *bytes;
    PAWL_CHECK(!ferror(stdin), PAWL_EIO, "cannot read: %s", strerror(errno));
    return PAWL_OK;
}

static pawl_status all_lines(lines *l, int decode)
{
    char *line = NULL;
    size_t room = 0, bytes;
    int more = 1;
    pawl_text out = {0};
    pawl_status status = PAWL_OK;
    for (long number = 1;; number++) {
        PAWL_TRY_OUT(at_line(read_line(&line, &room, &bytes, &more), number));
        if (!more) break;
        if (bytes == 0) continue;
        out.bytes = 0;
        PAWL_TRY_OUT(at_line(one_line(l, decode, line, bytes, &out), number));
        if (puts(out.data) == EOF || fflush(stdout) != 0)
            PAWL_TRY_OUT(PAWL_FAIL(PAWL_EIO, "cannot write to standard output"));
    }
out:
    pawl_free(line);
    pawl_text_close(&out);
    return status;
}

static pawl_status run(pawl_comm *c, const pawl_args *a, int *exit_status)
{
    pawl_tokenizer *t;
    char folder[1024];
    (void)c;
    (void)exit_status;
    PAWL_CHECK(a->option[TOKENIZER], PAWL_EUSAGE, "pawl tokenize: --tokenizer is missing");
    PAWL_TRY(pawl_model_folder(a->option[TOKENIZER], folder));
    PAWL_TRY(pawl_tokenizer_open(folder, &t));
    lines l = {.tokenizer = t, .specials = a->option[SPECIAL] ? PAWL_WITH_SPECIALS : PAWL_WITHOUT_SPECIALS};
    const pawl_status s = all_lines(&l, a->option[DECODE] != NULL);
    pawl_encoding_close(&l.encoding);
    pawl_free(l.ids);
    pawl_tokenizer_close(t);
    return s;
}

const pawl_command pawl_command_tokenize = {
    .name = "tokenize",
    .usage = "--tokenizer bytes|DIR|FILE.gguf [--special] [--decode] < LINES",
    .summary = "texts to token ids, or back: a JSON value a line",
    .options = {{"--tokenizer", "DIR", "a folder with tokenizer.json, a GGUF file, or bytes"},
                {"--special", NULL, "with the tokens that the post-processor adds"},
                {"--decode", NULL, "lines are arrays of ids; out come texts"}},
    .run = run,
};
