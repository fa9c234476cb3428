#include "core/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

static struct {
    int rank;
    pawl_log_level level;
} speaker = {0, PAWL_LOG_INFO};

void pawl_log_open(int rank, pawl_log_level level)
{
    speaker.rank = rank;
    speaker.level = level;
}

void pawl_log(pawl_log_level level, const char *format, ...)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    if (level > speaker.level || (level >= PAWL_LOG_INFO && speaker.rank != 0)) return;
    char line[2048], stamp[16];
    time_t now = time(NULL);
    struct tm day;
    localtime_r(&now, &day);
    strftime(stamp, sizeof stamp, "%H:%M:%S", &day);
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    fprintf(stderr, "%s r%d %s %s\n", stamp, speaker.rank, names[level], line); /* one write: lines of ranks do not mix */
}

void pawl_show_error(const pawl_error *e)
{
    if (e->shown) return;
    if (e->located)
        fprintf(stderr, "%s\n", e->what);
    else
        fprintf(stderr, "rank %d: %s [%s]\n", e->rank < 0 ? speaker.rank : e->rank, e->what, e->trail);
}
