/* Which letter a byte-level vocabulary writes for a byte. */
#include "data/tokenizer/bpe.h"

static int printable(int b)
{
    return (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
}

int pawl_byte_letter(int byte, char out[2])
{
    int point = byte;
    if (!printable(byte)) {
        point = 0x100;
        for (int b = 0; b < byte; b++) point += !printable(b);
    }
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    out[0] = (char)(0xc0 | point >> 6);
    out[1] = (char)(0x80 | (point & 0x3f));
    return 2;
}

int pawl_letter_byte(uint32_t point)
{
    if (point < 0x100) return printable((int)point) ? (int)point : -1;
    if (point <= 0x120) return (int)point - 0x100;        /* 00-20 */
    if (point <= 0x142) return (int)point - 0x121 + 0x7f; /* 7f-a0 */
    return point == 0x143 ? 0xad : -1;
}
