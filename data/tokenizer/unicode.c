#include "data/tokenizer/unicode.h"

#include <string.h>
#include <utf8proc.h>

#include "core/arena.h"

/* By general category, in utf8proc's order. Letter-like numbers (Nl) are Alphabetic, and so words. */
static const uint8_t of_category[] = {
    [UTF8PROC_CATEGORY_CN] = 0,
    [UTF8PROC_CATEGORY_LU] = PAWL_UPPER | PAWL_WORD,
    [UTF8PROC_CATEGORY_LL] = PAWL_LOWER | PAWL_WORD,
    [UTF8PROC_CATEGORY_LT] = PAWL_UPPER | PAWL_WORD,
    [UTF8PROC_CATEGORY_LM] = PAWL_CASELESS | PAWL_WORD,
    [UTF8PROC_CATEGORY_LO] = PAWL_CASELESS | PAWL_WORD,
    [UTF8PROC_CATEGORY_MN] = PAWL_MARK | PAWL_WORD,
    [UTF8PROC_CATEGORY_MC] = PAWL_MARK | PAWL_WORD,
    [UTF8PROC_CATEGORY_ME] = PAWL_MARK | PAWL_WORD,
    [UTF8PROC_CATEGORY_ND] = PAWL_NUMBER | PAWL_WORD,
    [UTF8PROC_CATEGORY_NL] = PAWL_NUMBER | PAWL_WORD,
    [UTF8PROC_CATEGORY_NO] = PAWL_NUMBER,
    [UTF8PROC_CATEGORY_PC] = PAWL_PUNCT | PAWL_WORD,
    [UTF8PROC_CATEGORY_PD] = PAWL_PUNCT,
    [UTF8PROC_CATEGORY_PS] = PAWL_PUNCT,
    [UTF8PROC_CATEGORY_PE] = PAWL_PUNCT,
    [UTF8PROC_CATEGORY_PI] = PAWL_PUNCT,
    [UTF8PROC_CATEGORY_PF] = PAWL_PUNCT,
    [UTF8PROC_CATEGORY_PO] = PAWL_PUNCT,
    [UTF8PROC_CATEGORY_CO] = 0,
};

/* What the general category does not say. */
static const struct extra {
    uint32_t first, last;
    uint8_t bits;
} extras[] = {
    {0x09, 0x0d, PAWL_SPACE},      {0x20, 0x20, PAWL_SPACE},      {0x85, 0x85, PAWL_SPACE},
    {0xa0, 0xa0, PAWL_SPACE},      {0x1680, 0x1680, PAWL_SPACE},  {0x2000, 0x200a, PAWL_SPACE},
    {0x2028, 0x2029, PAWL_SPACE},  {0x202f, 0x202f, PAWL_SPACE},  {0x205f, 0x205f, PAWL_SPACE},
    {0x3000, 0x3000, PAWL_SPACE},  {0x200c, 0x200d, PAWL_WORD},   {0x24b6, 0x24e9, PAWL_WORD},
    {0x1f130, 0x1f149, PAWL_WORD}, {0x1f150, 0x1f169, PAWL_WORD}, {0x1f170, 0x1f189, PAWL_WORD},
};

static uint8_t class_of(uint32_t point)
{
    const unsigned category = (unsigned)utf8proc_category((utf8proc_int32_t)point);
    return category < sizeof of_category ? of_category[category] : 0;
}

static void mark_extras(uint32_t first, uint8_t out[256])
{
    for (size_t i = 0; i < sizeof extras / sizeof *extras; i++)
        for (uint32_t p = extras[i].first; p <= extras[i].last; p++)
            if (p >> 8 == first >> 8) out[p & 255] |= extras[i].bits;
}

/* The blocks of 256 that differ, and which stands where. */
pawl_status pawl_classes_open(pawl_classes *c)
{
    const size_t blocks = sizeof c->block / sizeof *c->block;
    size_t count = 0, room = 0;
    uint8_t block[256];
    memset(c, 0, sizeof *c);
    for (size_t b = 0; b < blocks; b++) {
        for (uint32_t i = 0; i < 256; i++) block[i] = class_of((uint32_t)b << 8 | i);
        mark_extras((uint32_t)b << 8, block);
        size_t k = count;
        while (k > 0 && memcmp(c->of[k - 1], block, sizeof block) != 0) k--;
        if (k == 0) {
            if (count == room) {
                room = 2 * room + 64;
                PAWL_TRY(pawl_realloc((void **)&c->of, room * sizeof *c->of, "the classes of code points"));
            }
            memcpy(c->of[count++], block, sizeof block);
            k = count;
        }
        c->block[b] = (uint16_t)(k - 1);
    }
    for (uint32_t p = 0; p < 128; p++) c->ascii[p] = pawl_class_of(c, p);
    return PAWL_OK;
}

void pawl_classes_close(pawl_classes *c)
{
    pawl_free(c->of);
    memset(c, 0, sizeof *c);
}

int pawl_utf8_write(uint32_t point, char out[4])
{
    return (int)utf8proc_encode_char((utf8proc_int32_t)point, (utf8proc_uint8_t *)out);
}

int pawl_utf8_last(const char *text, int64_t bytes)
{
    int n = 1;
    while (n < 4 && n < bytes && ((uint8_t)text[bytes - n] & 0xc0) == 0x80) n++;
    return n;
}
