/* Commands that answer a line of standard input with a line of standard output. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "launch/launch.h"

enum { LINE_MOST = 256 << 20 };

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

/* JSON texts may say \u0000 only where a command asks for it: most of pawl holds texts without NUL. */
static pawl_status answer_line(const char *line, size_t bytes, size_t flags, pawl_answer_line answer, void *context,
                               pawl_text *out)
{
    json_error_t e;
    json_t *value = json_loadb(line, bytes, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | flags, &e);
    PAWL_CHECK(value, PAWL_EDATA, "not valid JSON: %s", e.text);
    const pawl_status s = answer(context, value, out);
    json_decref(value);
    return s;
}

pawl_status pawl_answer_lines(size_t flags, pawl_answer_line answer, void *context)
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
        PAWL_TRY_OUT(at_line(answer_line(line, bytes, flags, answer, context, &out), number));
        if (puts(out.data) == EOF || fflush(stdout) != 0)
            PAWL_TRY_OUT(PAWL_FAIL(PAWL_EIO, "cannot write to standard output"));
    }
out:
    pawl_free(line);
    pawl_text_close(&out);
    return status;
}
