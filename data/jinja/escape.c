/* The escapes of a quoted string: those of Python. */
#include <string.h>

#include "data/jinja/tree.h"

static void put_utf8(char **to, uint32_t c)
{
    char *p = *to;
    if (c < 0x80) {
        *p++ = (char)c;
    } else if (c < 0x800) {
        *p++ = (char)(0xC0 | c >> 6);
        *p++ = (char)(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        *p++ = (char)(0xE0 | c >> 12);
        *p++ = (char)(0x80 | (c >> 6 & 0x3F));
        *p++ = (char)(0x80 | (c & 0x3F));
    } else {
        *p++ = (char)(0xF0 | c >> 18);
        *p++ = (char)(0x80 | (c >> 12 & 0x3F));
        *p++ = (char)(0x80 | (c >> 6 & 0x3F));
        *p++ = (char)(0x80 | (c & 0x3F));
    }
    *to = p;
}

static int digit_of(char c, int base)
{
    const int d = c >= '0' && c <= '9'   ? c - '0'
                  : c >= 'a' && c <= 'f' ? c - 'a' + 10
                  : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                         : 99;
    return d < base ? d : -1;
}

/* Up to `most` digits at data; how many there were. */
static size_t read_digits(const char *data, size_t bytes, int base, size_t most, uint32_t *code)
{
    size_t n = 0;
    for (*code = 0; n < most && n < bytes && digit_of(data[n], base) >= 0; n++)
        *code = *code * (uint32_t)base + (uint32_t)digit_of(data[n], base);
    return n;
}

/* \xHH, \uHHHH, \UHHHHHHHH and \ooo; data begins behind the backslash. Returns the bytes taken, 0 when malformed. */
static size_t numbered(const char *data, size_t bytes, uint32_t *code)
{
    const size_t digits = data[0] == 'x' ? 2 : data[0] == 'u' ? 4 : 8;
    if (digit_of(data[0], 8) >= 0) return read_digits(data, bytes, 8, 3, code);
    return read_digits(data + 1, bytes - 1, 16, digits, code) == digits ? digits + 1 : 0;
}

pawl_status jinja_unescape(jinja_parser *p, const char *data, size_t bytes, int line, const jinja_string **out)
{
    static const char letters[] = "abfnrtv\\'\"", meant[] = "\a\b\f\n\r\t\v\\'\"";
    char *text, *to;
    jinja_value v;
    PAWL_TRY(jinja_pool_take(&p->run.pool, bytes + 1, (void **)&text));
    to = text;
    for (size_t i = 0; i < bytes;) {
        uint32_t code = 0;
        if (data[i] != '\\') {
            *to++ = data[i++];
            continue;
        }
        const char c = i + 1 < bytes ? data[i + 1] : 0;
        const char *letter = c ? strchr(letters, c) : NULL;
        if (c == '\n') {
            i += 2;
        } else if (letter) {
            *to++ = meant[letter - letters];
            i += 2;
        } else if (c && (strchr("xuU", c) || digit_of(c, 8) >= 0)) {
            const size_t taken = numbered(data + i + 1, bytes - i - 1, &code);
            if (!taken || code == 0 || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
                return JINJA_BAD(p, line, "the escape \\%.9s stands for no character", data + i + 1);
            put_utf8(&to, code);
            i += 1 + taken;
        } else if (c == 'N' || (unsigned char)c >= 0x80) {
            return JINJA_BAD(p, line, "the escape \\%.9s is not computed; write the character itself", data + i + 1);
        } else { /* an unknown escape stays as it is */
            *to++ = data[i++];
        }
    }
    PAWL_TRY(jinja_string_new(&p->run, text, (size_t)(to - text), &v));
    *out = v.string;
    return PAWL_OK;
}
