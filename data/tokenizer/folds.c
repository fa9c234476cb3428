/* Letters that are equal to several when case is ignored: ß is ss, and ﬁ is fi. */
#include <utf8proc.h>

#include "data/tokenizer/unicode.h"

/* What c is in folded case; returns how many code points. */
static int folded(uint32_t c, int32_t out[8])
{
    int bound = 0;
    return (int)utf8proc_decompose_char((utf8proc_int32_t)c, out, 8, UTF8PROC_CASEFOLD, &bound);
}

int pawl_folds_to_several(uint32_t c)
{
    int32_t letters[8];
    return folded(c, letters) > 1;
}

int pawl_begins_a_fold(uint32_t a, uint32_t b)
{
    static const struct {
        uint32_t first, last;
    } blocks[] = {{0xdf, 0x587}, {0x1e96, 0x1ffc}, {0xfb00, 0xfb17}}; /* where all of these letters are */
    int32_t x[8], y[8], z[8];
    if (folded(a, x) != 1 || folded(b, y) != 1) return 0;
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        for (uint32_t c = blocks[i].first; c <= blocks[i].last; c++)
            if (folded(c, z) > 1 && z[0] == x[0] && z[1] == y[0]) return 1;
    return 0;
}
