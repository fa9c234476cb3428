#include "configs/problems.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/arena.h"
#include "core/fields.h"

pawl_status pawl_problems_open(pawl_problems *p)
{
    p->count = 0;
    return pawl_alloc((void **)&p->items, PAWL_PROBLEMS_SHOWN * sizeof *p->items, "the errors of a configuration");
}

void pawl_problems_close(pawl_problems *p)
{
    pawl_free(p->items);
    p->items = NULL;
}

/* How many bytes the character at s has; 0: it is not shown as itself, or no whole one. */
static int character_bytes(const unsigned char *s)
{
    const int bytes = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (pawl_unprintable((const char *)s) || (s[0] >= 0x80 && s[0] < 0xc2)) return 0;
    for (int i = 1; i < bytes; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    return bytes;
}

/* A sentence quotes what it found, perhaps cut short: one line and whole characters leave here, whatever came in. */
static void make_printable(char *sentence)
{
    for (unsigned char *s = (unsigned char *)sentence; *s;) {
        const int bytes = character_bytes(s);
        if (bytes == 0) *s = '?';
        s += bytes ? bytes : 1;
    }
}

void pawl_problem_add(pawl_problems *p, pawl_place at, const char *format, ...)
{
    const int order = p->count++;
    if (order >= PAWL_PROBLEMS_SHOWN) return;
    pawl_problem *new = &p->items[order];
    new->at = at;
    new->order = order;
    va_list args;
    va_start(args, format);
    vsnprintf(new->sentence, sizeof new->sentence, format, args);
    va_end(args);
    make_printable(new->sentence);
}

static int by_place(const void *a, const void *b)
{
    const pawl_problem *p = a, *q = b;
    if ((p->at.line == 0) != (q->at.line == 0)) return p->at.line == 0 ? 1 : -1;
    if (p->at.line != q->at.line) return p->at.line < q->at.line ? -1 : 1;
    if (p->at.col != q->at.col) return p->at.col < q->at.col ? -1 : 1;
    return p->order - q->order;
}

void pawl_problems_write(pawl_problems *p, pawl_text *out)
{
    const int kept = p->count < PAWL_PROBLEMS_SHOWN ? p->count : PAWL_PROBLEMS_SHOWN;
    qsort(p->items, (size_t)kept, sizeof *p->items, by_place);
    for (int i = 0; i < kept; i++) {
        const pawl_problem *q = &p->items[i];
        pawl_text_add(out, "%s:", q->at.file);
        if (q->at.line > 0) pawl_text_add(out, "%ld:%ld:", q->at.line, q->at.col);
        pawl_text_add(out, " error: %s\n", q->sentence);
    }
    if (p->count > kept) pawl_text_add(out, "%s: error: %d more errors are not shown\n", p->items[0].at.file, p->count - kept);
}
