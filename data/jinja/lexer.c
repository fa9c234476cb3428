/* Text to tokens, as Jinja 3 cuts it with trim_blocks and lstrip_blocks on. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "data/jinja/tree.h"

enum { NESTED_MAX = 256 };

typedef struct lexer {
    jinja_parser *p;
    const char *text;
    size_t bytes, at;
    int line;
    char open[NESTED_MAX]; /* brackets that are open inside the tag */
    int open_count;
} lexer;

static pawl_status add_token(lexer *x, jinja_token t)
{
    jinja_parser *p = x->p;
    if (p->count == p->room) {
        const size_t room = 2 * p->room + 256;
        PAWL_TRY(pawl_realloc((void **)&p->tokens, room * sizeof *p->tokens, "the tokens of a template"));
        p->room = room;
    }
    p->tokens[p->count++] = t;
    return PAWL_OK;
}

static pawl_status add_text(lexer *x, jinja_token_kind kind, const char *data, size_t bytes, int line)
{
    jinja_value v;
    PAWL_TRY(jinja_string_new(&x->p->run, data, bytes, &v));
    return add_token(x, (jinja_token){.kind = kind, .line = line, .text = v.string});
}

static void advance(lexer *x, size_t to)
{
    for (; x->at < to; x->at++) x->line += x->text[x->at] == '\n';
}

static int next_is(const lexer *x, size_t at, const char *words)
{
    const size_t n = strlen(words);
    return x->bytes - at >= n && memcmp(x->text + at, words, n) == 0;
}

static size_t spaces_from(const lexer *x, size_t at)
{
    size_t taken;
    while (at < x->bytes && jinja_space_at(x->text + at, x->bytes - at, &taken)) at += taken;
    return at;
}

/* Where a sign and white space allow the tag's word to stand: "{%- raw". */
static int tag_word(const lexer *x, size_t at, const char *word, size_t *end)
{
    if (!next_is(x, at, "{%")) return 0;
    at += 2;
    if (at < x->bytes && (x->text[at] == '-' || x->text[at] == '+')) at++;
    at = spaces_from(x, at);
    if (!next_is(x, at, word)) return 0;
    at = spaces_from(x, at + strlen(word));
    *end = at;
    return next_is(x, at, "%}") || next_is(x, at, "-%}") || next_is(x, at, "+%}");
}

/* Behind a closing mark at `at`: "-%}" takes white space too, "%}" one newline when trimmed, "+%}" nothing more. */
static size_t behind_close(const lexer *x, size_t at, const char *mark, int trimmed)
{
    if (x->text[at] == '-') return spaces_from(x, at + 1 + strlen(mark));
    if (x->text[at] == '+') return at + 1 + strlen(mark);
    at += strlen(mark);
    return trimmed && at < x->bytes && x->text[at] == '\n' ? at + 1 : at;
}

/* Text before a tag at `end`: what the tag's sign, or lstrip_blocks, leaves of it. */
static pawl_status add_data(lexer *x, size_t end, char sign, int is_variable)
{
    const size_t first = x->at;
    const int line = x->line, fresh = first == 0 || x->text[first - 1] == '\n';
    size_t kept = end, begin = end;
    jinja_value all;
    while (begin > first && x->text[begin - 1] != '\n') begin--;
    PAWL_TRY(jinja_string_new(&x->p->run, x->text + first, end - first, &all));
    if (sign == '-')
        kept = first + jinja_strip_end(all.string, NULL, 0);
    else if (sign != '+' && !is_variable && (begin > first || fresh) && spaces_from(x, begin) >= end)
        kept = begin;
    if (kept > first) PAWL_TRY(add_text(x, JINJA_T_DATA, x->text + first, kept - first, line));
    advance(x, end);
    return PAWL_OK;
}

static pawl_status lex_comment(lexer *x, size_t begin)
{
    const char *end = memmem(x->text + begin, x->bytes - begin, "#}", 2);
    if (!end) return JINJA_BAD(x->p, x->line, "the comment that begins here has no end: expected '#}'");
    size_t close = (size_t)(end - x->text);
    if (close > begin && (x->text[close - 1] == '-' || x->text[close - 1] == '+')) close--;
    advance(x, behind_close(x, close, "#}", 1));
    return PAWL_OK;
}

static pawl_status lex_raw(lexer *x, size_t word_end)
{
    const int line = x->line;
    size_t end, close;
    advance(x, behind_close(x, word_end, "%}", 0));
    for (end = x->at; end < x->bytes; end++)
        if (tag_word(x, end, "endraw", &close)) break;
    if (end >= x->bytes)
        return JINJA_BAD(x->p, line, "the raw block that begins here has no end: expected '{%% endraw %%}'");
    PAWL_TRY(add_data(x, end, x->text[end + 2], 0));
    advance(x, behind_close(x, close, "%}", 1));
    return PAWL_OK;
}

/* ---- Inside a tag ---- */

static int is_digit(const lexer *x, size_t at)
{
    return at < x->bytes && x->text[at] >= '0' && x->text[at] <= '9';
}

/* Behind digits with single underscores between them. */
static size_t digits_from(const lexer *x, size_t at)
{
    while (is_digit(x, at) || (at < x->bytes && x->text[at] == '_' && is_digit(x, at + 1))) at++;
    return at;
}

static pawl_status lex_number(lexer *x)
{
    char clean[64];
    size_t end = digits_from(x, x->at), n = 0;
    int real = 0;
    const int whole = x->at > 0 && x->text[x->at - 1] == '.'; /* list.0.1 is two places, not one number */
    if (!whole && end < x->bytes && x->text[end] == '.' && is_digit(x, end + 1)) {
        end = digits_from(x, end + 1);
        real = 1;
    }
    if (!whole && end < x->bytes && (x->text[end] == 'e' || x->text[end] == 'E')) {
        const size_t sign = end + 1 < x->bytes && (x->text[end + 1] == '+' || x->text[end + 1] == '-');
        if (is_digit(x, end + 1 + sign)) {
            end = digits_from(x, end + 1 + sign);
            real = 1;
        }
    }
    for (size_t i = x->at; i < end && n < sizeof clean - 1; i++)
        if (x->text[i] != '_') clean[n++] = x->text[i];
    clean[n] = 0;
    jinja_token t = {.kind = real ? JINJA_T_FLOAT : JINJA_T_INTEGER, .line = x->line};
    errno = 0;
    if (real)
        t.real = strtod(clean, NULL);
    else
        t.integer = strtoll(clean, NULL, 10);
    const int based = x->text[x->at] == '0' && end < x->bytes && strchr("xXoObB", x->text[end]);
    if (errno || n >= sizeof clean - 1 || based || (!real && clean[0] == '0' && strspn(clean, "0") != n))
        return JINJA_BAD(x->p, x->line, "expected a decimal number of at most 64 bits, found '%.20s'", clean);
    x->at = end;
    return add_token(x, t);
}

static int is_word(unsigned char c)
{
    return c == '_' || c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static pawl_status lex_word(lexer *x)
{
    size_t end = x->at;
    while (end < x->bytes && is_word((unsigned char)x->text[end])) end++;
    PAWL_TRY(add_text(x, JINJA_T_NAME, x->text + x->at, end - x->at, x->line));
    x->at = end;
    return PAWL_OK;
}

static pawl_status lex_quoted(lexer *x)
{
    const char quote = x->text[x->at];
    const int line = x->line;
    const jinja_string *value;
    size_t end = x->at + 1;
    while (end < x->bytes && x->text[end] != quote) end += x->text[end] == '\\' ? 2 : 1;
    if (end >= x->bytes) return JINJA_BAD(x->p, line, "the string that begins here has no end: expected %c", quote);
    PAWL_TRY(jinja_unescape(x->p, x->text + x->at + 1, end - x->at - 1, line, &value));
    advance(x, end + 1);
    return add_token(x, (jinja_token){.kind = JINJA_T_STRING, .line = line, .text = value});
}

static pawl_status balance(lexer *x, char c)
{
    static const char openers[] = "([{", closers[] = ")]}";
    const char *closer = strchr(closers, c);
    if (strchr(openers, c)) {
        if (x->open_count == NESTED_MAX)
            return JINJA_BAD(x->p, x->line, "brackets are nested more than %d deep", NESTED_MAX);
        x->open[x->open_count++] = c;
    } else if (closer) {
        if (x->open_count == 0 || x->open[x->open_count - 1] != openers[closer - closers])
            return JINJA_BAD(x->p, x->line, "a '%c' that closes nothing", c);
        x->open_count--;
    }
    return PAWL_OK;
}

static pawl_status lex_operator(lexer *x)
{
    static const char *const two[] = {"//", "**", "==", "!=", ">=", "<=", NULL};
    size_t n = 1;
    for (int i = 0; two[i]; i++)
        if (next_is(x, x->at, two[i])) n = 2;
    if (n == 1 && !strchr("+-/*%~[](){}><=.:|,;", x->text[x->at]))
        return JINJA_BAD(x->p, x->line, "unexpected '%c'", x->text[x->at]);
    if (n == 1) PAWL_TRY(balance(x, x->text[x->at]));
    PAWL_TRY(add_text(x, JINJA_T_OPERATOR, x->text + x->at, n, x->line));
    x->at += n;
    return PAWL_OK;
}

/* The place of the mark that ends the tag, with its sign, when it is next. */
static int tag_ends(const lexer *x, int is_variable)
{
    if (x->open_count > 0) return 0;
    if (is_variable) return next_is(x, x->at, "}}") || next_is(x, x->at, "-}}");
    return next_is(x, x->at, "%}") || next_is(x, x->at, "-%}") || next_is(x, x->at, "+%}");
}

static pawl_status lex_one(lexer *x)
{
    const char c = x->text[x->at];
    if (c >= '0' && c <= '9') return lex_number(x);
    if (is_word((unsigned char)c)) return lex_word(x);
    return c == '"' || c == '\'' ? lex_quoted(x) : lex_operator(x);
}

static pawl_status lex_tag(lexer *x, int is_variable)
{
    const char *mark = is_variable ? "}}" : "%}";
    const int line = x->line;
    x->open_count = 0;
    PAWL_TRY(
        add_token(x, (jinja_token){.kind = is_variable ? JINJA_T_VARIABLE_BEGIN : JINJA_T_BLOCK_BEGIN, .line = line}));
    advance(x, x->at + 2);
    if (x->at < x->bytes && (x->text[x->at] == '-' || x->text[x->at] == '+')) x->at++;
    for (;;) {
        advance(x, spaces_from(x, x->at));
        if (x->at >= x->bytes) return JINJA_BAD(x->p, line, "the tag that begins here has no end: expected '%s'", mark);
        if (tag_ends(x, is_variable)) break;
        PAWL_TRY(lex_one(x));
    }
    PAWL_TRY(
        add_token(x, (jinja_token){.kind = is_variable ? JINJA_T_VARIABLE_END : JINJA_T_BLOCK_END, .line = x->line}));
    advance(x, behind_close(x, x->at, mark, !is_variable));
    return PAWL_OK;
}

/* ---- The template ---- */

static size_t next_tag(const lexer *x)
{
    for (size_t at = x->at; at + 1 < x->bytes; at++) {
        const char *brace = memchr(x->text + at, '{', x->bytes - 1 - at);
        if (!brace) return x->bytes;
        at = (size_t)(brace - x->text);
        if (strchr("%{#", x->text[at + 1]) && x->text[at + 1]) return at;
    }
    return x->bytes;
}

static pawl_status lex_all(lexer *x)
{
    while (x->at < x->bytes) {
        const size_t tag = next_tag(x);
        if (tag == x->bytes) {
            PAWL_TRY(add_text(x, JINJA_T_DATA, x->text + x->at, x->bytes - x->at, x->line));
            break;
        }
        const char kind = x->text[tag + 1];
        const char sign = tag + 2 < x->bytes ? x->text[tag + 2] : 0;
        size_t word_end;
        PAWL_TRY(add_data(x, tag, sign, kind == '{'));
        if (kind == '#')
            PAWL_TRY(lex_comment(x, tag + 2 + (sign == '-' || sign == '+')));
        else if (kind == '%' && tag_word(x, tag, "raw", &word_end))
            PAWL_TRY(lex_raw(x, word_end));
        else
            PAWL_TRY(lex_tag(x, kind == '{'));
    }
    return add_token(x, (jinja_token){.kind = JINJA_T_END, .line = x->line});
}

pawl_status jinja_lex(jinja_parser *p, const char *text, size_t bytes)
{
    char *copy;
    lexer x = {.p = p, .line = 1};
    PAWL_TRY(jinja_pool_take(&p->run.pool, bytes + 1, (void **)&copy));
    for (size_t i = 0; i < bytes; i++) { /* every kind of newline is one; the last one of the text does not count */
        if (text[i] == '\r' && i + 1 < bytes && text[i + 1] == '\n') continue;
        copy[x.bytes++] = text[i] == '\r' ? '\n' : text[i];
    }
    if (x.bytes && copy[x.bytes - 1] == '\n') x.bytes--;
    x.text = copy;
    return lex_all(&x);
}
