#include "launch/report/html.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- escaping ---- */

typedef struct span_of_codes {
    uint32_t first, last;
} span_of_codes;

/* Code points that would not be seen, would reorder what stands beside them, or are none of XML's. Joiners (U+200C,
 * U+200D) stay: words of some scripts need them. */
static const span_of_codes hidden[] = {
    {0x00, 0x08},     {0x0b, 0x1f},     {0x7f, 0x9f},       {0xad, 0xad},     {0x61c, 0x61c},
    {0x200b, 0x200b}, {0x200e, 0x200f}, {0x2028, 0x202e},   {0x2060, 0x206f}, {0xfeff, 0xfeff},
    {0xfff9, 0xfffb}, {0xfffe, 0xffff}, {0xe0000, 0xe007f},
};

static int is_hidden(uint32_t code)
{
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
        if (code >= hidden[i].first && code <= hidden[i].last) return 1;
    return (code & 0xfffe) == 0xfffe;
}

/* The code point at s, valid UTF-8, and its bytes. */
static uint32_t code_at(const unsigned char *s, int *bytes)
{
    static const unsigned char lead[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    *bytes = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    uint32_t code = s[0] & lead[*bytes];
    for (int i = 1; i < *bytes; i++) code = code << 6 | (s[i] & 0x3f);
    return code;
}

static const char *entity_of(uint32_t code)
{
    static const struct {
        char letter;
        const char *entity;
    } entities[] = {
        {'<', "&lt;"}, {'>', "&gt;"}, {'&', "&amp;"}, {'"', "&quot;"}, {'\'', "&#39;"},
    };
    for (size_t i = 0; i < sizeof entities / sizeof *entities; i++)
        if (code == (uint32_t)entities[i].letter) return entities[i].entity;
    return NULL;
}

static void add_escaped(pawl_text *out, const char *text)
{
    pawl_text clean = {0};
    pawl_text_add_utf8(&clean, text, strlen(text));
    if (clean.failed) out->failed = 1;
    for (const unsigned char *at = (const unsigned char *)clean.data; at && *at;) {
        int bytes;
        const uint32_t code = code_at(at, &bytes);
        const char *entity = entity_of(code);
        if (entity)
            pawl_text_add(out, "%s", entity);
        else if (is_hidden(code))
            pawl_text_add(out, "&lt;U+%04X&gt;", (unsigned)code);
        else
            pawl_text_add_bytes(out, at, (size_t)bytes);
        at += bytes;
    }
    pawl_text_close(&clean);
}

void pawl_html(pawl_text *out, const char *markup, ...)
{
    va_list args;
    va_start(args, markup);
    for (const char *at = markup, *hole; *at; at = hole + 1) {
        hole = strchr(at, '$');
        pawl_text_add_bytes(out, at, hole ? (size_t)(hole - at) : strlen(at));
        if (!hole) break;
        const char *text = va_arg(args, const char *);
        PAWL_ASSERT(text); /* as many arguments as holes ... */
        add_escaped(out, text);
    }
    PAWL_ASSERT(!va_arg(args, const char *)); /* ... and no more */
    va_end(args);
}

/* ---- figures ---- */

static const pawl_figure none = {"–"};

pawl_figure pawl_count_of(double n)
{
    char digits[40];
    pawl_figure f = {""};
    if (!isfinite(n) || fabs(n) >= 1e15) return isfinite(n) ? pawl_digits_of(n, 4) : none;
    snprintf(digits, sizeof digits, "%.0f", n);
    size_t at = 0;
    for (size_t i = 0, length = strlen(digits); i < length; i++) {
        if (i > 0 && digits[i - 1] != '-' && (length - i) % 3 == 0) {
            memcpy(f.text + at, "\xe2\x80\xaf", 3);
            at += 3;
        }
        f.text[at++] = digits[i];
    }
    return f;
}

pawl_figure pawl_digits_of(double x, int most)
{
    pawl_figure f;
    if (!isfinite(x)) return none;
    snprintf(f.text, sizeof f.text, "%.*g", most, x);
    return f;
}

pawl_figure pawl_fixed_of(double x, int places)
{
    pawl_figure f;
    if (!isfinite(x)) return none;
    if (fabs(x) >= 1e9) return pawl_digits_of(x, 4);
    snprintf(f.text, sizeof f.text, "%.*f", places, x);
    return f;
}

pawl_figure pawl_signed_of(double x, int places)
{
    pawl_figure f;
    if (!isfinite(x)) return none;
    const pawl_figure size = pawl_fixed_of(fabs(x), places);
    const int zero = strspn(size.text, "0.") == strlen(size.text);
    snprintf(f.text, sizeof f.text, "%s%.40s", zero ? "" : x < 0 ? "−" : "+", size.text);
    return f;
}

pawl_figure pawl_bytes_of(double bytes)
{
    pawl_figure f;
    char text[32];
    if (!isfinite(bytes)) return none;
    pawl_format_bytes(bytes, text);
    snprintf(f.text, sizeof f.text, "%s", text);
    return f;
}

pawl_figure pawl_seconds_of(double seconds)
{
    pawl_figure f;
    char text[32];
    if (!isfinite(seconds) || seconds < 0) return none;
    if (seconds >= 60)
        pawl_format_seconds(seconds, text);
    else
        snprintf(text, sizeof text, "%.3g s", seconds);
    snprintf(f.text, sizeof f.text, "%s", text);
    return f;
}

pawl_figure pawl_short_of(const char *digest)
{
    pawl_figure f;
    snprintf(f.text, sizeof f.text, "%.12s", digest ? digest : "–");
    return f;
}
