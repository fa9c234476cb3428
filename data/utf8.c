#include "data/utf8.h"

#include <stdint.h>
#include <string.h>

/* What may follow a lead byte: how many bytes, and the range of the first of them; the others are 80..BF. */
typedef struct lead {
    uint8_t from, to, more, second_from, second_to;
} lead;

static const lead leads[] = {
    {0x01, 0x7F, 0, 0x00, 0x00}, {0xC2, 0xDF, 1, 0x80, 0xBF}, {0xE0, 0xE0, 2, 0xA0, 0xBF},
    {0xE1, 0xEC, 2, 0x80, 0xBF}, {0xED, 0xED, 2, 0x80, 0x9F}, {0xEE, 0xEF, 2, 0x80, 0xBF},
    {0xF0, 0xF0, 3, 0x90, 0xBF}, {0xF1, 0xF3, 3, 0x80, 0xBF}, {0xF4, 0xF4, 3, 0x80, 0x8F},
};

static int continues(uint8_t b)
{
    return (b & 0xC0) == 0x80;
}

/* Bytes of the sequence at p; 0 when it is ill-formed. */
static size_t sequence_bytes(const uint8_t *p, size_t left)
{
    const lead *l = leads, *end = leads + sizeof leads / sizeof *leads;
    while (l < end && (*p < l->from || *p > l->to)) l++;
    if (l == end || left < (size_t)l->more + 1) return 0;
    if (l->more && (p[1] < l->second_from || p[1] > l->second_to)) return 0;
    for (int i = 2; i <= l->more; i++)
        if (!continues(p[i])) return 0;
    return (size_t)l->more + 1;
}

/* Eight bytes, all of them ASCII and none of them NUL. */
static int plain(const uint8_t *p)
{
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    uint64_t w;
    memcpy(&w, p, sizeof w);
    return ((w | (w - ones)) & tops) == 0;
}

size_t pawl_utf8_valid_prefix(const char *text, size_t bytes)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t at = 0, n;
    while (at < bytes) {
        if (bytes - at >= 8 && plain(p + at)) {
            at += 8;
            continue;
        }
        n = sequence_bytes(p + at, bytes - at);
        if (n == 0) return at;
        at += n;
    }
    return bytes;
}

size_t pawl_utf8_length(const char *text, size_t bytes)
{
    size_t n = 0;
    for (size_t i = 0; i < bytes; i++) n += !continues((uint8_t)text[i]);
    return n;
}
