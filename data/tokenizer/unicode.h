/* data/tokenizer/unicode.h - what a code point is: its general category and whether it is white space, in a table that
 * is made once (utf8proc, and what Unicode 15.1 and 16 added to it: the version of Hugging Face's tokenizers 0.23). */
#ifndef PAWL_DATA_TOKENIZER_UNICODE_H
#define PAWL_DATA_TOKENIZER_UNICODE_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

/* Sets of code points, as bits of pawl_class_of. */
enum {
    PAWL_UPPER = 1,    /* Lu Lt */
    PAWL_LOWER = 2,    /* Ll */
    PAWL_CASELESS = 4, /* Lm Lo */
    PAWL_MARK = 8,     /* Mn Mc Me */
    PAWL_NUMBER = 16,  /* Nd Nl No */
    PAWL_SPACE = 32,   /* White_Space */
    PAWL_PUNCT = 64,   /* Pc Pd Ps Pe Pi Pf Po */
    PAWL_WORD = 128,   /* \w of Rust: Alphabetic, marks, Nd, Pc, join controls */
    PAWL_LETTER = PAWL_UPPER | PAWL_LOWER | PAWL_CASELESS
};

typedef struct pawl_classes {
    uint8_t ascii[128];
    uint16_t block[0x110000 >> 8];
    uint8_t (*of)[256];
} pawl_classes;

PAWL_MUST pawl_status pawl_classes_open(pawl_classes *c);
void pawl_classes_close(pawl_classes *c);

static inline uint8_t pawl_class_of(const pawl_classes *c, uint32_t point)
{
    return c->of[c->block[point >> 8]][point & 255];
}

/* Bytes of the sequence that begins with this byte; text is valid UTF-8. */
static inline int pawl_utf8_bytes(uint8_t first)
{
    return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

static inline uint32_t pawl_utf8_point(const char *text)
{
    const uint8_t *p = (const uint8_t *)text;
    if (p[0] < 0x80) return p[0];
    if (p[0] < 0xe0) return (uint32_t)(p[0] & 31) << 6 | (p[1] & 63);
    if (p[0] < 0xf0) return (uint32_t)(p[0] & 15) << 12 | (uint32_t)(p[1] & 63) << 6 | (p[2] & 63);
    return (uint32_t)(p[0] & 7) << 18 | (uint32_t)(p[1] & 63) << 12 | (uint32_t)(p[2] & 63) << 6 | (p[3] & 63);
}

/* Writes the sequence of a code point; returns its bytes. */
int pawl_utf8_write(uint32_t point, char out[4]);
/* Bytes of the last sequence of text, which is not empty. */
int pawl_utf8_last(const char *text, int64_t bytes);

/* Whether c is equal to several letters when case is ignored, and whether a and b begin such several letters. */
int pawl_folds_to_several(uint32_t c);
int pawl_begins_a_fold(uint32_t a, uint32_t b);

#endif
