#include "core/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/fields.h"

static _Thread_local pawl_error last = {.rank = -1};

void (*pawl_abort_hook)(void) = abort;

pawl_error *pawl_last_error(void)
{
    return &last;
}

void pawl_adopt_error(const pawl_error *e)
{
    last = *e;
}

const char *pawl_status_text(pawl_status s)
{
#define CASE(name, exit_status, text) \
    case PAWL_##name: return text;
    switch (s) {
        PAWL_STATUS_LIST(CASE)
    }
#undef CASE
    return "unknown status";
}

/* Source paths come from __FILE__, which the build may make absolute: the trail shows the last two parts. */
static const char *short_path(const char *file)
{
    const char *tail = file;
    int slashes = 0;
    for (const char *p = file + strlen(file); p > file; p--)
        if (p[-1] == '/' && ++slashes == 2) {
            tail = p;
            break;
        }
    return tail;
}

/* Texts of data and names of files stand in sentences, and may not steer the terminal that they are shown on. */
static void make_printable(char *what)
{
    for (int n; *what; what += n ? n : 1)
        if ((n = pawl_unprintable(what)) != 0 && *what != '\n') memset(what, '?', (size_t)n);
}

/* The sentence is made before the record is cleared: one of its arguments may be the record's old sentence. */
static void begin(pawl_status code, const char *file, int line, const char *where, const char *format, va_list args)
{
    char what[sizeof last.what] = "";
    size_t used = where ? strlen(where) : 0;
    if (used >= sizeof what) used = sizeof what - 1;
    if (used) memcpy(what, where, used);
    vsnprintf(what + used, sizeof what - used, format, args);
    make_printable(what);
    memset(&last, 0, sizeof last);
    last.code = code;
    last.rank = -1;
    last.located = where != NULL;
    memcpy(last.what, what, sizeof what);
    snprintf(last.trail, sizeof last.trail, "%s:%d", short_path(file), line);
}

pawl_status pawl_fail_(pawl_status code, const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    begin(code, file, line, NULL, format, args);
    va_end(args);
    return code;
}

pawl_status pawl_fail_at_(pawl_status code, const char *file, int line, const char *where, long at_line, long at_col,
                          const char *format, ...)
{
    char place[768];
    va_list args;
    if (at_line > 0 && at_col > 0) snprintf(place, sizeof place, "%s:%ld:%ld: error: ", where, at_line, at_col);
    else if (at_line > 0) snprintf(place, sizeof place, "%s:%ld: error: ", where, at_line);
    else snprintf(place, sizeof place, "%s: error: ", where);
    va_start(args, format);
    begin(code, file, line, place, format, args);
    va_end(args);
    return code;
}

pawl_status pawl_trail_(pawl_status code, const char *file, int line)
{
    size_t used = strlen(last.trail);
    snprintf(last.trail + used, sizeof last.trail - used, " < %s:%d", short_path(file), line);
    return code;
}

void pawl_assert_(const char *condition, const char *file, int line)
{
    fprintf(stderr, "pawl: internal error: %s does not hold [%s:%d]\n", condition, short_path(file), line);
    pawl_abort_hook();
    abort();
}
