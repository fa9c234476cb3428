/* Texts of others' on a terminal: documents, licences and names of files may hold anything, and are not to steer it. */
#include <stdio.h>

#include "core/fields.h"
#include "launch/launch.h"

/* A character's number, of the `bytes` that it has in UTF-8. */
static unsigned number_of(const char *text, int bytes)
{
    const unsigned char *p = (const unsigned char *)text;
    unsigned x = bytes == 1 ? p[0] : p[0] & (0x7fu >> bytes);
    for (int i = 1; i < bytes; i++) x = x << 6 | (p[i] & 0x3f);
    return x;
}

void pawl_print_text(const char *text, size_t bytes)
{
    for (size_t i = 0, n; i < bytes; i += n) {
        const int unprintable = text[i] ? pawl_unprintable(text + i) : 1;
        n = unprintable ? (size_t)unprintable : 1;
        if (unprintable && text[i] != '\n' && text[i] != '\t')
            printf("\\u%04x", number_of(text + i, unprintable));
        else
            putchar(text[i]);
    }
}

void pawl_print_line(const char *text)
{
    for (int n; *text; text += n ? n : 1) putchar((n = pawl_unprintable(text)) ? '?' : *text);
}

const char *pawl_shown(const char *text, char *room, size_t bytes)
{
    size_t at = 0;
    for (int n; *text && at + 1 < bytes; text += n ? n : 1) room[at++] = (n = pawl_unprintable(text)) ? '?' : *text;
    room[at] = 0;
    return room;
}
