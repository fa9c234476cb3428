/* Oniguruma's classes, escapes and single letters in PCRE2's words (oniguruma.c). */
#include <stdio.h>
#include <string.h>

#include "data/tokenizer/oniguruma.h"

#define SPACES "\\t-\\r \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"

/* Classes by name: of \p{...} and [:...:], in lower case without separators, and what stands in brackets for them. */
static const struct named {
    const char *name, *set;
} named[] = {
    {"alnum", "\\p{Alphabetic}\\p{Nd}"},
    {"alpha", "\\p{Alphabetic}"},
    {"ascii", "\\x{0}-\\x{7f}"},
    {"blank", "\\p{Zs}\\t"},
    {"cntrl", "\\p{Cc}"},
    {"digit", "\\p{Nd}"},
    {"lower", "\\p{Lowercase}"},
    {"upper", "\\p{Uppercase}"},
    {"space", SPACES},
    {"whitespace", SPACES},
    {"xdigit", "0-9A-Fa-f"},
    {"word", WORDS},
    {"punct", "\\p{P}"},
    {"any", "\\x{0}-\\x{10ffff}"},
    {"letter", "\\p{L}"},
    {"mark", "\\p{M}"},
    {"combiningmark", "\\p{M}"},
    {"number", "\\p{N}"},
    {"punctuation", "\\p{P}"},
    {"symbol", "\\p{S}"},
    {"separator", "\\p{Z}"},
    {"other", "\\p{C}"},
    {"uppercaseletter", "\\p{Lu}"},
    {"lowercaseletter", "\\p{Ll}"},
    {"titlecaseletter", "\\p{Lt}"},
    {"modifierletter", "\\p{Lm}"},
    {"otherletter", "\\p{Lo}"},
    {"casedletter", "\\p{Lu}\\p{Ll}\\p{Lt}"},
    {"lc", "\\p{Lu}\\p{Ll}\\p{Lt}"},
    {"nonspacingmark", "\\p{Mn}"},
    {"spacingmark", "\\p{Mc}"},
    {"enclosingmark", "\\p{Me}"},
    {"decimalnumber", "\\p{Nd}"},
    {"letternumber", "\\p{Nl}"},
    {"othernumber", "\\p{No}"},
    {"connectorpunctuation", "\\p{Pc}"},
    {"dashpunctuation", "\\p{Pd}"},
    {"openpunctuation", "\\p{Ps}"},
    {"closepunctuation", "\\p{Pe}"},
    {"initialpunctuation", "\\p{Pi}"},
    {"finalpunctuation", "\\p{Pf}"},
    {"otherpunctuation", "\\p{Po}"},
    {"mathsymbol", "\\p{Sm}"},
    {"currencysymbol", "\\p{Sc}"},
    {"modifiersymbol", "\\p{Sk}"},
    {"othersymbol", "\\p{So}"},
    {"spaceseparator", "\\p{Zs}"},
    {"lineseparator", "\\p{Zl}"},
    {"paragraphseparator", "\\p{Zp}"},
    {"control", "\\p{Cc}"},
    {"format", "\\p{Cf}"},
    {"privateuse", "\\p{Co}"},
    {"unassigned", "\\p{Cn}"},
    {"alphabetic", "\\p{Alphabetic}"},
    {"uppercase", "\\p{Uppercase}"},
    {"lowercase", "\\p{Lowercase}"},
    {"ideographic", "\\p{Ideographic}"},
    {"emoji", "\\p{Emoji}"},
    {"emojipresentation", "\\p{Emoji_Presentation}"},
    {"emojimodifier", "\\p{Emoji_Modifier}"},
    {"extendedpictographic", "\\p{Extended_Pictographic}"},
    {"math", "\\p{Math}"},
    {"dash", "\\p{Dash}"},
    {"hexdigit", "\\p{Hex_Digit}"},
};

static int is_category(const char *name)
{
    static const char *const all[] = {"l",  "lu", "ll", "lt", "lm", "lo", "m",  "mn", "mc", "me", "n",  "nd",
                                      "nl", "no", "p",  "pc", "pd", "ps", "pe", "pi", "pf", "po", "s",  "sm",
                                      "sc", "sk", "so", "z",  "zs", "zl", "zp", "c",  "cc", "cf", "cn", "co"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(name, all[i]) == 0) return 1;
    return 0;
}

/* What stands in brackets for a class of that name; one that is nothing else is taken for a script. */
static void set_named(const char *name, char out[256])
{
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (strcmp(name, named[i].name) == 0) {
            snprintf(out, 256, "%s", named[i].set);
            return;
        }
    if (is_category(name))
        snprintf(out, 256, "\\p{%c%s}", name[0] - 'a' + 'A', name + 1);
    else
        snprintf(out, 256, "\\p{sc:%.40s}", name);
}

/* The name from at to the end mark, in lower case without separators, and past the mark. */
static pawl_status read_name(pawl_onig_reader *r, const char *end_mark, char name[40], int *negated)
{
    const char *end = strstr(r->at, end_mark);
    size_t n = 0;
    PAWL_REQUIRE(end && end - r->at < 40, r->place, "the regular expression has a class without an end near '%.20s'",
                 r->at);
    *negated = *r->at == '^';
    for (const char *c = r->at + *negated; c < end; c++)
        if (*c != '_' && *c != '-' && *c != ' ') name[n++] = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
    name[n] = 0;
    r->at = end + strlen(end_mark);
    return PAWL_OK;
}

/* ---- Escapes ---- */

/* \s \W \p{...} and the like, at the letter behind the backslash: the set and whether it is negated; found 0: no class.
 */
pawl_status pawl_onig_class_escape(pawl_onig_reader *r, char set[512], int *negated, int *found)
{
    static const struct {
        char letter;
        const char *set;
    } letters[] = {{'s', SPACES}, {'w', WORDS}, {'d', "\\p{Nd}"}, {'h', "0-9A-Fa-f"}};
    const char c = *r->at;
    *found = 1;
    for (size_t i = 0; i < sizeof letters / sizeof *letters; i++)
        if ((c | 0x20) == letters[i].letter && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))) {
            snprintf(set, 512, "%s", letters[i].set);
            *negated = c < 'a';
            r->at++;
            return PAWL_OK;
        }
    *found = c == 'p' || c == 'P';
    if (!*found) return PAWL_OK;
    char name[40];
    int caret;
    PAWL_REQUIRE(r->at[1] == '{', r->place, "the regular expression has \\%c without braces", c);
    r->at += 2;
    PAWL_TRY(read_name(r, "}", name, &caret));
    set_named(name, set);
    *negated = (c == 'P') ^ caret;
    return PAWL_OK;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') return (c | 0x20) - 'a' + 10;
    return -1;
}

static uint32_t read_hex(pawl_onig_reader *r, int most)
{
    uint32_t value = 0;
    for (int i = 0; i < most && hex_value(*r->at) >= 0; i++) value = value * 16 + (uint32_t)hex_value(*r->at++);
    return value;
}

/* Where case is ignored Oniguruma takes several letters for one and one for several, which PCRE2 does not. */
pawl_status pawl_onig_check_case(pawl_onig_reader *r, uint32_t point, int in_class)
{
    if (!r->caseless) return PAWL_OK;
    const int several =
        pawl_folds_to_several(point) || (!in_class && r->before && pawl_begins_a_fold(r->before, point));
    PAWL_REQUIRE(!several, r->place,
                 "the regular expression ignores case where one letter stands for several (as in ss), which is not "
                 "supported, near '%.20s'",
                 r->at);
    r->before = in_class ? 0 : point;
    return PAWL_OK;
}

/* A single character behind a backslash. */
pawl_status pawl_onig_letter_escape(pawl_onig_reader *r, pawl_text *out, int in_class)
{
    static const char from[] = "tnrfvae", to[] = "\t\n\r\f\v\a\x1b";
    const char c = *r->at, *known = c ? strchr(from, c) : NULL;
    PAWL_REQUIRE(c, r->place, "the regular expression ends in a backslash");
    if (known) {
        pawl_text_add(out, "\\x{%x}", to[known - from]);
        r->at++;
    } else if (c == 'x' || c == 'u') {
        const int brace = r->at[1] == '{';
        r->at += 1 + brace;
        const uint32_t point = read_hex(r, c == 'u' ? 4 : brace ? 8 : 2);
        PAWL_REQUIRE(!brace || *r->at == '}', r->place, "the regular expression has \\x{ without its end");
        r->at += brace;
        PAWL_TRY(pawl_onig_check_case(r, point, in_class));
        pawl_text_add(out, "\\x{%x}", point);
    } else if (c >= '0' && c <= '7' && c == '0') {
        pawl_text_add(out, "\\x{0}");
        r->at++;
    } else {
        const int word = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        const int n = pawl_utf8_bytes((uint8_t)c);
        PAWL_REQUIRE(!word, r->place, "the regular expression has \\%c, which is not supported", c);
        PAWL_TRY(pawl_onig_check_case(r, pawl_utf8_point(r->at), in_class));
        if (n == 1) pawl_text_add_bytes(out, "\\", 1);
        pawl_text_add_bytes(out, r->at, (size_t)n);
        r->at += n;
    }
    return PAWL_OK;
}

/* ---- Classes ---- */

/* What stands between && in brackets: a set, and alternatives that no set can say. */
typedef struct segment {
    pawl_text set, others;
} segment;

static void put_segment(const segment *g, pawl_text *out)
{
    const char *set = g->set.bytes ? g->set.data : NULL, *others = g->others.bytes ? g->others.data : NULL;
    if (set && others)
        pawl_text_add(out, "(?:[%s]|%s)", set, others);
    else if (set)
        pawl_text_add(out, "[%s]", set);
    else if (others)
        pawl_text_add(out, "(?:%s)", others);
    else
        pawl_text_add(out, "(?!)"); /* nothing */
}

static void add_set(segment *g, const char *set, int negated)
{
    if (!negated)
        pawl_text_add(&g->set, "%s", set);
    else
        pawl_text_add(&g->others, "%s[^%s]", g->others.bytes ? "|" : "", set);
}

static pawl_status read_nested(pawl_onig_reader *r, segment *g)
{
    pawl_text whole = {0}, plain = {0};
    pawl_status status = PAWL_OK;
    if (r->at[1] == ':') {
        char name[40], set[256];
        int negated;
        r->at += 2;
        PAWL_TRY(read_name(r, ":]", name, &negated));
        if (strcmp(name, "punct") == 0)
            snprintf(set, sizeof set, "\\p{P}\\p{S}"); /* in brackets it is more */
        else if (strcmp(name, "word") == 0)
            snprintf(set, sizeof set, ONLY_WORDS);
        else
            set_named(name, set);
        add_set(g, set, negated);
        return PAWL_OK;
    }
    r->at++;
    PAWL_TRY_OUT(pawl_onig_class(r, &whole, &plain));
    if (plain.bytes)
        pawl_text_add(&g->set, "%s", plain.data);
    else
        pawl_text_add(&g->others, "%s%s", g->others.bytes ? "|" : "", whole.data ? whole.data : "");
out:
    pawl_text_close(&whole);
    pawl_text_close(&plain);
    return status;
}

static pawl_status read_member(pawl_onig_reader *r, segment *g)
{
    char set[512];
    int negated, found;
    if (*r->at == '[') return read_nested(r, g);
    if (*r->at != '\\') {
        const int n = pawl_utf8_bytes((uint8_t)*r->at);
        PAWL_TRY(pawl_onig_check_case(r, pawl_utf8_point(r->at), 1));
        if (*r->at == '^' || *r->at == ']') pawl_text_add(&g->set, "\\");
        pawl_text_add_bytes(&g->set, r->at, (size_t)n);
        r->at += n;
        return PAWL_OK;
    }
    r->at++;
    PAWL_TRY(pawl_onig_class_escape(r, set, &negated, &found));
    if (found)
        add_set(g, strcmp(set, WORDS) == 0 ? ONLY_WORDS : set, negated);
    else if (*r->at == 'b')
        pawl_text_add(&g->set, "\\x{8}"), r->at++;
    else
        PAWL_TRY(pawl_onig_letter_escape(r, &g->set, 1));
    return PAWL_OK;
}

/* Behind the opening bracket. out: what stands for the class; plain: what stands in brackets for it, if a set can say
 * it. */
pawl_status pawl_onig_class(pawl_onig_reader *r, pawl_text *out, pawl_text *plain)
{
    segment g = {0};
    pawl_text meet = {0}; /* lookaheads of the segments before */
    pawl_status status = PAWL_OK;
    const int negated = *r->at == '^';
    int first = 1;
    if (++r->depth > PAWL_ONIG_DEPTH_MOST) return PAWL_REFUSE(r->place, "the regular expression is nested too deep");
    r->before = 0;
    r->at += negated;
    for (; *r->at && (*r->at != ']' || first); first = 0) {
        if (r->at[0] == '&' && r->at[1] == '&') {
            pawl_text_add(&meet, "(?=");
            put_segment(&g, &meet);
            pawl_text_add(&meet, ")");
            pawl_text_close(&g.set);
            pawl_text_close(&g.others);
            r->at += 2;
        } else {
            PAWL_TRY_OUT(read_member(r, &g));
        }
    }
    if (*r->at != ']') PAWL_TRY_OUT(PAWL_REFUSE(r->place, "the regular expression has a class without its end"));
    r->at++;
    r->depth--;
    if (!meet.bytes && !g.others.bytes && g.set.bytes) {
        pawl_text_add(out, "[%s%s]", negated ? "^" : "", g.set.data);
        if (!negated) pawl_text_add(plain, "%s", g.set.data);
    } else {
        pawl_text_add(out, "(?:%s%s", negated ? "(?!" : "", meet.bytes ? meet.data : "");
        put_segment(&g, out);
        pawl_text_add(out, "%s)", negated ? ")(?s:.)" : "");
    }
out:
    pawl_text_close(&g.set);
    pawl_text_close(&g.others);
    pawl_text_close(&meet);
    return status;
}
