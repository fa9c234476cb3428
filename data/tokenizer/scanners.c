/* Scanners: by hand, what the regular expressions of widely used tokenizers find at a place, many times faster. Each is
 * measured against its expression by test_tokenizer_bad. */
#include <string.h>

#include "data/tokenizer/stages.h"

enum {
    WORD = PAWL_LETTER,
    UPPER = PAWL_UPPER | PAWL_CASELESS | PAWL_MARK,
    LOWER = PAWL_LOWER | PAWL_CASELESS | PAWL_MARK
};

static inline uint8_t class_at(const pawl_classes *c, const char *text, int *bytes)
{
    const uint8_t first = (uint8_t)*text;
    if (first < 0x80) {
        *bytes = 1;
        return c->ascii[first];
    }
    *bytes = pawl_utf8_bytes(first);
    return pawl_class_of(c, pawl_utf8_point(text));
}

/* The end of the run, from i on, of code points of the classes; or of none of them. */
static inline int64_t run_of(const pawl_classes *c, const char *text, int64_t i, int64_t bytes, int classes)
{
    int n;
    while (i < bytes && class_at(c, text + i, &n) & classes) i += n;
    return i;
}

static inline int64_t run_without(const pawl_classes *c, const char *text, int64_t i, int64_t bytes, int classes)
{
    int n;
    while (i < bytes && !(class_at(c, text + i, &n) & classes)) i += n;
    return i;
}

/* 's 't 're 've 'm 'll 'd at the apostrophe: bytes, or 0. The letter s has a long form, which is one when case is not
 * told. */
static int64_t contraction(const char *text, int64_t bytes, int any_case)
{
    const char fold = any_case ? 0x20 : 0;
    if (bytes < 2 || text[0] != '\'') return 0;
    const char a = text[1] | fold;
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if (bytes < 3) return 0;
    if (any_case && text[1] == '\xc5' && text[2] == '\xbf') return 3;
    const char b = text[2] | fold;
    return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

/* \s+(?!\S)|\s+ at white space: what stands before more text leaves its last character to that text. */
static int64_t spaces(const pawl_classes *c, const char *text, int64_t bytes)
{
    const int64_t end = run_of(c, text, 0, bytes, PAWL_SPACE);
    if (end == bytes) return end;
    const int last = pawl_utf8_last(text, end);
    return end > last ? end - last : end;
}

/* \s*[\r\n]+ first: up to the last line's end in the white space. */
static int64_t lines_or_spaces(const pawl_classes *c, const char *text, int64_t bytes)
{
    int64_t line = run_of(c, text, 0, bytes, PAWL_SPACE);
    while (line > 0 && text[line - 1] != '\n' && text[line - 1] != '\r') line--;
    return line ? line : spaces(c, text, bytes);
}

static int64_t scan_gpt2(const pawl_classes *c, const char *text, int64_t bytes)
{
    const int64_t short_form = contraction(text, bytes, 0), from = text[0] == ' ';
    int n;
    if (short_form) return short_form;
    if (from == bytes) return 1;
    const uint8_t class = class_at(c, text + from, &n);
    if (class & PAWL_SPACE) return spaces(c, text, bytes);
    if (class & WORD) return run_of(c, text, from + n, bytes, WORD);
    if (class & PAWL_NUMBER) return run_of(c, text, from + n, bytes, PAWL_NUMBER);
    return run_without(c, text, from + n, bytes, PAWL_SPACE | WORD | PAWL_NUMBER);
}

static inline int64_t digits(const pawl_classes *c, const char *text, int64_t bytes, int most)
{
    int64_t i = 0;
    int n;
    while (most-- && i < bytes && class_at(c, text + i, &n) & PAWL_NUMBER) i += n;
    return i;
}

/* ` ?[^\s\p{L}\p{N}]+[\r\n]*`, with / among the line ends or not; 0: it does not begin here. */
static inline int64_t signs(const pawl_classes *c, const char *text, int64_t bytes, int slash)
{
    const int64_t from = text[0] == ' ';
    int64_t end = run_without(c, text, from, bytes, PAWL_SPACE | WORD | PAWL_NUMBER);
    if (end == from) return 0;
    while (end < bytes && (text[end] == '\r' || text[end] == '\n' || (slash && text[end] == '/'))) end++;
    return end;
}

/* The rules of cl100k_base: Llama 3, Qwen. */
static inline int64_t scan_cl100k(const pawl_classes *c, const char *text, int64_t bytes, int number)
{
    int n, m;
    const int64_t short_form = contraction(text, bytes, 1);
    if (short_form) return short_form;
    const uint8_t class = class_at(c, text, &n);
    if (class & WORD) return run_of(c, text, n, bytes, WORD);
    if (class & PAWL_NUMBER) return digits(c, text, bytes, number);
    if (text[0] != '\r' && text[0] != '\n' && n < bytes && class_at(c, text + n, &m) & WORD)
        return run_of(c, text, n + m, bytes, WORD);
    const int64_t end = signs(c, text, bytes, 0);
    return end ? end : lines_or_spaces(c, text, bytes);
}

static int64_t scan_llama3(const pawl_classes *c, const char *text, int64_t bytes)
{
    return scan_cl100k(c, text, bytes, 3);
}

static int64_t scan_qwen2(const pawl_classes *c, const char *text, int64_t bytes)
{
    return scan_cl100k(c, text, bytes, 1);
}

/* UPPER*LOWER+ from i, or 0: the upper run gives back as little as it must. */
static int64_t upper_lower(const pawl_classes *c, const char *text, int64_t i, int64_t bytes)
{
    const int64_t upper = run_of(c, text, i, bytes, UPPER), lower = run_of(c, text, upper, bytes, LOWER);
    int n;
    if (lower > upper) return lower;
    for (int64_t at = upper; at > i;) {
        at -= pawl_utf8_last(text + i, at - i);
        if (class_at(c, text + at, &n) & LOWER) return at + n;
    }
    return 0;
}

static int64_t upper_then_lower(const pawl_classes *c, const char *text, int64_t i, int64_t bytes)
{
    const int64_t upper = run_of(c, text, i, bytes, UPPER);
    return upper > i ? run_of(c, text, upper, bytes, LOWER) : 0;
}

/* A word of o200k_base, one sign before it allowed; 0: none begins here. */
static int64_t cased_word(const pawl_classes *c, const char *text, int64_t bytes)
{
    int n;
    const uint8_t class = class_at(c, text, &n);
    const int sign = !(class & (WORD | PAWL_NUMBER)) && text[0] != '\r' && text[0] != '\n';
    int64_t end = sign ? upper_lower(c, text, n, bytes) : 0;
    if (!end) end = upper_lower(c, text, 0, bytes);
    if (!end && sign) end = upper_then_lower(c, text, n, bytes);
    return end ? end : upper_then_lower(c, text, 0, bytes);
}

static inline int64_t scan_cased(const pawl_classes *c, const char *text, int64_t bytes, int number, int short_forms)
{
    int64_t end = cased_word(c, text, bytes);
    if (end) return end + (short_forms ? contraction(text + end, bytes - end, 1) : 0);
    end = digits(c, text, bytes, number);
    if (!end) end = signs(c, text, bytes, 1);
    return end ? end : lines_or_spaces(c, text, bytes);
}

static int64_t scan_o200k(const pawl_classes *c, const char *text, int64_t bytes)
{
    return scan_cased(c, text, bytes, 3, 1);
}

static int64_t scan_tekken(const pawl_classes *c, const char *text, int64_t bytes)
{
    return scan_cased(c, text, bytes, 1, 0);
}

int64_t pawl_scan_words(const pawl_classes *c, const char *text, int64_t bytes)
{
    int n;
    const uint8_t class = class_at(c, text, &n);
    if (class & PAWL_SPACE) return 0;
    return class & PAWL_WORD ? run_of(c, text, n, bytes, PAWL_WORD)
                             : run_without(c, text, n, bytes, PAWL_WORD | PAWL_SPACE);
}

#define SHORT_FORMS "'s|'t|'re|'ve|'m|'ll|'d"
#define SPACE_RULES "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define UPPER_SET   "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER_SET   "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define SIGN        "[^\\r\\n\\p{L}\\p{N}]?"
#define CASED(short_form, number)                                                                                      \
    SIGN UPPER_SET "*" LOWER_SET "+" short_form "|" SIGN UPPER_SET "+" LOWER_SET "*" short_form "|" number             \
                   "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" SPACE_RULES
#define CL100K(number) "(?i:" SHORT_FORMS ")|" SIGN "\\p{L}+|" number "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACE_RULES

const char pawl_gpt2_pattern[] = SHORT_FORMS "| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

static const struct {
    const char *pattern;
    pawl_scanner *scan;
} scanners[] = {
    {pawl_gpt2_pattern, scan_gpt2},     {CL100K("\\p{N}{1,3}"), scan_llama3},
    {CL100K("\\p{N}"), scan_qwen2},     {CASED("(?i:" SHORT_FORMS ")?", "\\p{N}{1,3}"), scan_o200k},
    {CASED("", "\\p{N}"), scan_tekken},
};

pawl_scanner *pawl_scanner_for(const char *pattern)
{
    for (size_t i = 0; i < sizeof scanners / sizeof *scanners; i++)
        if (strcmp(pattern, scanners[i].pattern) == 0) return scanners[i].scan;
    return NULL;
}
