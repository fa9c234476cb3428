#include "core/text.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"

static int make_room(pawl_text *t, size_t more)
{
    const size_t max = t->max ? t->max : PAWL_TEXT_MAX;
    if (t->failed || more > max || t->bytes > max - more) {
        t->failed = 1;
        return 0;
    }
    if (t->bytes + more + 1 <= t->room) return 1;
    const size_t room = 2 * (t->bytes + more) + 64;
    if (pawl_realloc((void **)&t->data, room, "text") != PAWL_OK) {
        t->failed = 1;
        return 0;
    }
    t->room = room;
    return 1;
}

void pawl_text_add_bytes(pawl_text *t, const void *data, size_t bytes)
{
    if (!make_room(t, bytes)) return;
    if (bytes) memcpy(t->data + t->bytes, data, bytes);
    t->bytes += bytes;
    t->data[t->bytes] = 0;
}

/* Bytes of the valid sequence at s, or minus those of the maximal invalid part. Unicode 15, table 3-7. */
static int utf8_at(const unsigned char *s, size_t bytes)
{
    const int lead = s[0], length = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
    const int low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80, high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (length == 0) return -1;
    for (int i = 1; i < length; i++)
        if ((size_t)i >= bytes || s[i] < (i == 1 ? low : 0x80) || s[i] > (i == 1 ? high : 0xbf)) return -i;
    return length;
}

void pawl_text_add_utf8(pawl_text *t, const void *data, size_t bytes)
{
    const unsigned char *s = data;
    for (size_t at = 0; at < bytes;) {
        const int n = utf8_at(s + at, bytes - at);
        if (n > 0) pawl_text_add_bytes(t, s + at, (size_t)n);
        else pawl_text_add_bytes(t, "\xef\xbf\xbd", 3);
        at += (size_t)(n > 0 ? n : -n);
    }
}

void pawl_text_add(pawl_text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0 || !make_room(t, (size_t)n)) return;
    va_start(args, format);
    vsnprintf(t->data + t->bytes, (size_t)n + 1, format, args);
    va_end(args);
    t->bytes += (size_t)n;
}

pawl_status pawl_text_status(const pawl_text *t)
{
    PAWL_CHECK(!t->failed, PAWL_EMEM, "no memory for text, or it is longer than %zu bytes", t->max ? t->max : (size_t)PAWL_TEXT_MAX);
    return PAWL_OK;
}

void pawl_text_close(pawl_text *t)
{
    pawl_free(t->data);
    memset(t, 0, sizeof *t);
}

/* s without its underscores, when every one of them stands between two digits. */
static int without_underscores(const char *s, char out[64])
{
    size_t n = 0;
    for (size_t i = 0; s[i]; i++) {
        if (s[i] == '_') {
            if (i == 0 || !isdigit((unsigned char)s[i - 1]) || !isdigit((unsigned char)s[i + 1])) return 0;
            continue;
        }
        if (n >= 63) return 0;
        out[n++] = s[i];
    }
    out[n] = 0;
    return n > 0;
}

int pawl_parse_f64(const char *s, double *out)
{
    char clean[64], *end;
    if (!without_underscores(s, clean)) return 0;
    for (const char *p = clean; *p; p++) /* decimal only: strtod would take 0x1p3, inf and nan */
        if (!isdigit((unsigned char)*p) && !strchr("+-.eE", *p)) return 0;
    errno = 0;
    const double x = strtod(clean, &end);
    if (end == clean || *end || !isfinite(x)) return 0;
    *out = x;
    return 1;
}

int pawl_parse_i64(const char *s, int64_t *out)
{
    char clean[64], *end;
    double x;
    if (!without_underscores(s, clean) || isspace((unsigned char)clean[0])) return 0;
    errno = 0;
    const long long whole = strtoll(clean, &end, 10);
    if (end != clean && !*end && errno == 0) {
        *out = whole;
        return 1;
    }
    if (!pawl_parse_f64(s, &x) || x != floor(x) || fabs(x) > 0x1p53) return 0;
    *out = (int64_t)x;
    return 1;
}

void pawl_format_f64(double x, char out[32])
{
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(out, 32, "%.*g", digits, x);
        if (strtod(out, NULL) == x) return;
    }
}

void pawl_format_bytes(double bytes, char out[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    int u = 0;
    while (bytes >= 1024 && u < 5) {
        bytes /= 1024;
        u++;
    }
    snprintf(out, 32, u == 0 || bytes >= 100 ? "%.0f %s" : "%.1f %s", bytes, units[u]);
}

void pawl_format_seconds(double seconds, char out[32])
{
    const long long all = seconds > 0 ? (long long)seconds : 0;
    if (all >= 3600) snprintf(out, 32, "%lld:%02lld:%02lld", all / 3600, all / 60 % 60, all % 60);
    else snprintf(out, 32, "%lld:%02lld", all / 60, all % 60);
}

static int least(int a, int b, int c)
{
    const int ab = a < b ? a : b;
    return ab < c ? ab : c;
}

int pawl_edit_distance(const char *a, const char *b)
{
    enum { MAX = 63 };
    const size_t n = strlen(a), m = strlen(b);
    int d[3][MAX + 1];
    if (n > MAX || m > MAX) return MAX;
    for (size_t j = 0; j <= m; j++) d[0][j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        int *row = d[i % 3], *above = d[(i + 2) % 3], *above2 = d[(i + 1) % 3];
        row[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            row[j] = least(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && above2[j - 2] + 1 < row[j])
                row[j] = above2[j - 2] + 1;
        }
    }
    return d[n % 3][m];
}

const char *pawl_nearest(const char *typed, const char *const *words)
{
    const char *best = NULL;
    int best_distance = 1 + (int)strlen(typed) / 3; /* a third of the letters wrong is still a slip; more is another word */
    for (; *words; words++) {
        const int d = pawl_edit_distance(typed, *words);
        if (d < best_distance || (d == best_distance && !best)) {
            best = *words;
            best_distance = d;
        }
    }
    return best;
}
