/* Strings with marks. */
#include <string.h>
#include <utf8proc.h>

#include "data/jinja/value.h"

size_t jinja_char_bytes(char lead)
{
    const unsigned char c = (unsigned char)lead;
    return c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
}

static size_t count_chars(const char *data, size_t bytes)
{
    size_t n = 0;
    for (size_t i = 0; i < bytes; i++) n += ((unsigned char)data[i] & 0xC0) != 0x80;
    return n;
}

static pawl_status string_with(jinja_run *r, const char *data, size_t bytes, size_t marks, jinja_string **out,
                               jinja_mark **room)
{
    PAWL_TRY(jinja_spend(r, bytes / 32 + marks));
    PAWL_TRY(jinja_pool_take(&r->pool, sizeof **out + marks * sizeof **room, (void **)out));
    *room = (jinja_mark *)(void *)(*out + 1);
    **out = (jinja_string){.data = data, .bytes = bytes, .chars = count_chars(data, bytes), .marks = *room};
    return PAWL_OK;
}

pawl_status jinja_string_new(jinja_run *r, const char *data, size_t bytes, jinja_value *out)
{
    jinja_string *s;
    jinja_mark *none;
    PAWL_TRY(string_with(r, data, bytes, 0, &s, &none));
    *out = jinja_of_string(s);
    return PAWL_OK;
}

/* What Markup makes of text that is added to it. */
static pawl_status escaped(jinja_run *r, const jinja_string *s, const jinja_string **out)
{
    static const char letters[] = "&<>\"'";
    static const char *const written[] = {"&amp;", "&lt;", "&gt;", "&#34;", "&#39;"};
    jinja_buffer b = {0};
    jinja_value v;
    for (size_t i = 0; i < s->bytes; i++) {
        const char *letter = s->data[i] ? strchr(letters, s->data[i]) : NULL;
        if (letter)
            PAWL_TRY(jinja_put_words(r, &b, written[letter - letters]));
        else
            PAWL_TRY(jinja_put(r, &b, s->data + i, 1));
    }
    if (jinja_string_source(s) >= 0) PAWL_TRY(jinja_put_mark(r, &b, 0, b.bytes, jinja_string_source(s)));
    PAWL_TRY(jinja_buffer_string(r, &b, &v));
    *out = v.string;
    return PAWL_OK;
}

pawl_status jinja_string_add(jinja_run *r, const jinja_string *a, const jinja_string *b, jinja_value *out)
{
    jinja_string *s;
    jinja_mark *marks;
    char *data;
    const int safe = a->safe || b->safe;
    if (safe && !a->safe) PAWL_TRY(escaped(r, a, &a));
    if (safe && !b->safe) PAWL_TRY(escaped(r, b, &b));
    PAWL_TRY(jinja_pool_take(&r->pool, a->bytes + b->bytes, (void **)&data));
    if (a->bytes) memcpy(data, a->data, a->bytes);
    if (b->bytes) memcpy(data + a->bytes, b->data, b->bytes);
    PAWL_TRY(string_with(r, data, a->bytes + b->bytes, a->mark_count + b->mark_count, &s, &marks));
    for (size_t i = 0; i < a->mark_count; i++) marks[i] = a->marks[i];
    for (size_t i = 0; i < b->mark_count; i++) {
        const jinja_mark m = b->marks[i];
        marks[a->mark_count + i] = (jinja_mark){m.first + a->bytes, m.end + a->bytes, m.source};
    }
    s->mark_count = a->mark_count + b->mark_count;
    s->safe = safe;
    *out = jinja_of_string(s);
    return PAWL_OK;
}

pawl_status jinja_string_cut(jinja_run *r, const jinja_string *s, size_t first, size_t end, jinja_value *out)
{
    jinja_string *part;
    jinja_mark *marks;
    size_t n = 0;
    PAWL_TRY(string_with(r, s->data + first, end - first, s->mark_count, &part, &marks));
    for (size_t i = 0; i < s->mark_count; i++) {
        const jinja_mark m = s->marks[i];
        const size_t from = m.first > first ? m.first : first, to = m.end < end ? m.end : end;
        /* A message that is trimmed to nothing still stands somewhere: its mark stays, empty. */
        if (from < to || (first == end && m.first <= first && m.end >= end) || (m.first == m.end && from == to))
            marks[n++] = (jinja_mark){from - first, to - first, m.source};
    }
    part->mark_count = n;
    part->safe = s->safe;
    *out = jinja_of_string(part);
    return PAWL_OK;
}

int32_t jinja_string_source(const jinja_string *s)
{
    for (size_t i = 0; i < s->mark_count; i++)
        if (s->marks[i].source >= 0) return s->marks[i].source;
    return JINJA_NO_SOURCE;
}

size_t jinja_char_at(const jinja_string *s, size_t index)
{
    size_t at = 0;
    if (s->chars == s->bytes) return index < s->bytes ? index : s->bytes;
    for (; index > 0 && at < s->bytes; index--) at += jinja_char_bytes(s->data[at]);
    return at;
}

int jinja_string_is(const jinja_string *s, const char *words)
{
    return strlen(words) == s->bytes && memcmp(s->data, words, s->bytes) == 0;
}

int jinja_string_order(const jinja_string *a, const jinja_string *b)
{
    const size_t n = a->bytes < b->bytes ? a->bytes : b->bytes;
    const int c = n ? memcmp(a->data, b->data, n) : 0;
    return c ? (c > 0) - (c < 0) : (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

size_t jinja_string_find(const jinja_string *s, const jinja_string *what, size_t from)
{
    if (from > s->bytes) return SIZE_MAX;
    if (what->bytes == 0) return from;
    if (from == s->bytes) return SIZE_MAX;
    const char *at = what->bytes == 1 ? memchr(s->data + from, *what->data, s->bytes - from)
                                      : memmem(s->data + from, s->bytes - from, what->data, what->bytes);
    return at ? (size_t)(at - s->data) : SIZE_MAX;
}

/* Python's str.isspace, for one character. */
static int is_space(utf8proc_int32_t c)
{
    if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F);
    return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
           c == 0x202F || c == 0x205F || c == 0x3000;
}

int jinja_space_at(const char *data, size_t bytes, size_t *taken)
{
    utf8proc_int32_t c = (unsigned char)*data;
    *taken = 1;
    if (c >= 0x80) {
        const utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)data, (utf8proc_ssize_t)bytes, &c);
        if (n <= 0) return 0;
        *taken = (size_t)n;
    }
    return is_space(c);
}

/* Whether strip takes the character at data, of that many bytes. */
static int is_stripped(const char *data, size_t bytes, const jinja_string *chars)
{
    size_t taken;
    if (!chars) return jinja_space_at(data, bytes, &taken);
    for (size_t i = 0; i < chars->bytes; i += jinja_char_bytes(chars->data[i]))
        if (jinja_char_bytes(chars->data[i]) == bytes && memcmp(chars->data + i, data, bytes) == 0) return 1;
    return 0;
}

size_t jinja_strip_first(const jinja_string *s, const jinja_string *chars)
{
    size_t at = 0;
    while (at < s->bytes && is_stripped(s->data + at, jinja_char_bytes(s->data[at]), chars))
        at += jinja_char_bytes(s->data[at]);
    return at < s->bytes ? at : s->bytes;
}

size_t jinja_strip_end(const jinja_string *s, const jinja_string *chars, size_t first)
{
    size_t end = s->bytes;
    while (end > first) {
        size_t begin = end - 1;
        while (begin > first && ((unsigned char)s->data[begin] & 0xC0) == 0x80) begin--;
        if (!is_stripped(s->data + begin, end - begin, chars)) break;
        end = begin;
    }
    return end;
}

static pawl_status put_cut(jinja_run *r, jinja_buffer *b, const jinja_string *s, size_t first, size_t end)
{
    jinja_value v;
    PAWL_TRY(jinja_string_cut(r, s, first, end, &v));
    return jinja_put_string(r, b, v.string);
}

/* Python's: an empty old stands before every character and at the end. */
pawl_status jinja_replace(jinja_run *r, const jinja_string *s, const jinja_string *old, const jinja_string *new,
                          int64_t most, jinja_value *out)
{
    jinja_buffer b = {0};
    size_t at = 0;
    while (most != 0) {
        const size_t found = jinja_string_find(s, old, at);
        if (found == SIZE_MAX) break;
        PAWL_TRY(put_cut(r, &b, s, at, found));
        PAWL_TRY(jinja_put_string(r, &b, new));
        at = found + old->bytes;
        most--;
        if (old->bytes) continue;
        if (at == s->bytes) break;
        PAWL_TRY(put_cut(r, &b, s, at, at + jinja_char_bytes(s->data[at])));
        at += jinja_char_bytes(s->data[at]);
    }
    PAWL_TRY(put_cut(r, &b, s, at, s->bytes));
    return jinja_buffer_string(r, &b, out);
}

/* ---- Letters ---- */

static int is_cased(utf8proc_int32_t c)
{
    const utf8proc_category_t k = utf8proc_category(c);
    return k == UTF8PROC_CATEGORY_LU || k == UTF8PROC_CATEGORY_LL || k == UTF8PROC_CATEGORY_LT;
}

static utf8proc_int32_t changed(utf8proc_int32_t c, jinja_case how, int up)
{
    if (c < 0x80) return up ? (c >= 'a' && c <= 'z' ? c - 32 : c) : (c >= 'A' && c <= 'Z' ? c + 32 : c);
    return up ? (how == JINJA_UPPER ? utf8proc_toupper(c) : utf8proc_totitle(c)) : utf8proc_tolower(c);
}

/* Letters whose other case depends on their neighbours or is several letters: Unicode's SpecialCasing. */
static int is_special(utf8proc_int32_t c, int up)
{
    if (!up) return c == 0x130 || c == 0x3A3;
    return c == 0x149 || c == 0x1F0 || c == 0x390 || c == 0x3B0 || c == 0x587 || (c >= 0x1E96 && c <= 0x1E9A) ||
           (c >= 0x1F50 && c <= 0x1FFC) || (c >= 0xFB00 && c <= 0xFB17);
}

pawl_status jinja_change_case(jinja_run *r, const jinja_string *s, jinja_case how, jinja_value *out)
{
    jinja_buffer b = {0};
    int first = 1;
    for (size_t at = 0; at < s->bytes;) {
        utf8proc_uint8_t letter[4];
        utf8proc_int32_t c;
        const size_t n =
            (size_t)utf8proc_iterate((const utf8proc_uint8_t *)s->data + at, (utf8proc_ssize_t)(s->bytes - at), &c);
        const int up = how == JINJA_UPPER || (how != JINJA_LOWER && first);
        if (is_special(c, up)) return JINJA_FAIL(r, "the other case of '%.*s' is not computed", (int)n, s->data + at);
        const int sharp = up && c == 0xDF; /* the German letter that is two when it is large */
        if (sharp) PAWL_TRY(jinja_put(r, &b, how == JINJA_UPPER ? "SS" : "Ss", 2));
        const utf8proc_ssize_t m = sharp ? 0 : utf8proc_encode_char(changed(c, how, up), letter);
        PAWL_TRY(jinja_put(r, &b, (const char *)letter, (size_t)m));
        first = how == JINJA_TITLE && !is_cased(c);
        at += n;
    }
    if (s->mark_count && b.bytes == s->bytes) {
        for (size_t i = 0; i < s->mark_count; i++)
            PAWL_TRY(jinja_put_mark(r, &b, s->marks[i].first, s->marks[i].end, s->marks[i].source));
    } else if (jinja_string_source(s) >= 0) {
        PAWL_TRY(jinja_put_mark(r, &b, 0, b.bytes, jinja_string_source(s)));
    }
    return jinja_buffer_string(r, &b, out);
}
