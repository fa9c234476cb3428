/* Regular expressions of Oniguruma (Ruby's syntax) in PCRE2's words, so that both find the same. What differs: \s \w \d
 * \h \b \v and named classes, scripts, classes in classes and their intersection, ^ and $, dotall (?m), intervals {n}?
 * {n,m}+
 * {,m}, and how far (?i) reaches. What has no equal is refused by name. */
#include <stdio.h>
#include <string.h>

#include "data/tokenizer/oniguruma.h"

/* ---- Atoms, quantifiers, groups ---- */

static pawl_status read_group(pawl_onig_reader *r, pawl_text *out, int in_group);

static pawl_status read_escape(pawl_onig_reader *r, pawl_text *out)
{
    char set[512];
    int negated, found;
    const char c = *++r->at;
    PAWL_TRY(pawl_onig_class_escape(r, set, &negated, &found));
    if (found) {
        r->before = 0;
        pawl_text_add(out, "[%s%s]", negated ? "^" : "", set);
    } else if (c == 'b' || c == 'B') {
        pawl_text_add(out, c == 'b' ? "(?:(?<=[" WORDS "])(?![" WORDS "])|(?<![" WORDS "])(?=[" WORDS "]))"
                                    : "(?:(?<=[" WORDS "])(?=[" WORDS "])|(?<![" WORDS "])(?![" WORDS "]))");
        r->at++;
    } else if (c && strchr("AzZR123456789", c)) {
        pawl_text_add(out, "\\%c", c);
        r->at++;
    } else {
        return pawl_onig_letter_escape(r, out, 0);
    }
    return PAWL_OK;
}

/* (?im-x: at the letters behind the question mark; PCRE2 calls m what is called s there. */
static pawl_status read_options(pawl_onig_reader *r, pawl_text *out)
{
    int on = 1;
    pawl_text_add(out, "(?");
    for (; *r->at == 'i' || *r->at == 'm' || *r->at == '-'; r->at++) {
        pawl_text_add(out, "%c", *r->at == 'm' ? 's' : *r->at);
        if (*r->at == '-') on = 0;
        if (*r->at == 'i') r->caseless = on;
    }
    pawl_text_add(out, ":");
    PAWL_REQUIRE(*r->at == ':' || *r->at == ')', r->place, "the regular expression has (?%c, which is not supported",
                 *r->at);
    return PAWL_OK;
}

static pawl_status read_parenthesis(pawl_onig_reader *r, pawl_text *out, int *open)
{
    static const char *const plain[] = {"?:", "?=", "?!", "?<=", "?<!", "?>"};
    r->at++;
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (strncmp(r->at, plain[i], strlen(plain[i])) == 0) {
            r->at += strlen(plain[i]);
            pawl_text_add(out, "(%s", plain[i]);
            return read_group(r, out, 1);
        }
    PAWL_REQUIRE(*r->at != '*', r->place, "the regular expression has (*, which is not supported");
    if (*r->at != '?') {
        pawl_text_add(out, "(");
        return read_group(r, out, 1);
    }
    r->at++;
    const int caseless = r->caseless;
    PAWL_TRY(read_options(r, out));
    if (*r->at++ == ':') {
        PAWL_TRY(read_group(r, out, 1));
        r->caseless = caseless;
        return PAWL_OK;
    }
    ++*open; /* it reaches to the end of the group that it stands in, over its alternatives too */
    return PAWL_OK;
}

static pawl_status read_atom(pawl_onig_reader *r, pawl_text *out, int *open)
{
    pawl_text plain = {0};
    switch (*r->at) {
    case '(': return read_parenthesis(r, out, open);
    case '\\': return read_escape(r, out);
    case '^': pawl_text_add(out, "(?m:^)"); break;
    case '$': pawl_text_add(out, "(?m:$)"); break;
    case '{': pawl_text_add(out, "\\{"); break;
    case '[': {
        r->at++;
        const pawl_status status = pawl_onig_class(r, out, &plain);
        pawl_text_close(&plain);
        return status;
    }
    default: {
        const int n = pawl_utf8_bytes((uint8_t)*r->at);
        PAWL_TRY(pawl_onig_check_case(r, pawl_utf8_point(r->at), 0));
        pawl_text_add_bytes(out, r->at, (size_t)n);
        r->at += n - 1;
    }
    }
    r->at++;
    return PAWL_OK;
}

/* {n} {n,} {,m} {n,m} at at: bytes of it, 0 if it is none. */
static int read_interval(const char *at, char out[48], int *exact)
{
    int low = -1, high = -1, n = 0;
    if (*at != '{') return 0;
    if (sscanf(at, "{%5d}%n", &low, &n) == 1 && n)
        high = low;
    else if (sscanf(at, "{%5d,%5d}%n", &low, &high, &n) == 2 && n) {
    } else if (sscanf(at, "{%5d,}%n", &low, &n) == 1 && n)
        high = -1;
    else if (sscanf(at, "{,%5d}%n", &high, &n) == 1 && n)
        low = 0;
    else
        return 0;
    if (low < 0) return 0;
    *exact = low == high;
    if (high < 0)
        snprintf(out, 48, "{%d,}", low);
    else
        snprintf(out, 48, "{%d,%d}", low, high);
    return n;
}

static void wrap(pawl_text *atom)
{
    pawl_text whole = {0};
    pawl_text_add(&whole, "(?:%s)", atom->data ? atom->data : "");
    pawl_text_close(atom);
    *atom = whole;
}

/* All quantifiers behind an atom; whether there is one. */
static int read_quantifiers(pawl_onig_reader *r, pawl_text *atom)
{
    for (int again = 0;; again = 1) {
        char interval[48];
        int exact = 0;
        const int bytes = read_interval(r->at, interval, &exact);
        if (!bytes && (!*r->at || !strchr("*+?", *r->at))) return again;
        if (again) wrap(atom);
        if (bytes) {
            pawl_text_add(atom, "%s", interval);
            r->at += bytes;
            if (*r->at == '?' && !exact) pawl_text_add(atom, "?"), r->at++;
        } else {
            pawl_text_add(atom, "%c", *r->at++);
            if (*r->at == '?' || *r->at == '+') pawl_text_add(atom, "%c", *r->at++);
        }
    }
}

static pawl_status read_group(pawl_onig_reader *r, pawl_text *out, int in_group)
{
    int open = 0; /* (?i) without an end of their own */
    const int caseless = r->caseless;
    if (++r->depth > PAWL_ONIG_DEPTH_MOST) return PAWL_REFUSE(r->place, "the regular expression is nested too deep");
    while (*r->at && *r->at != ')') {
        pawl_text atom = {0};
        const int was_open = open;
        if (*r->at == '|') {
            pawl_text_add(out, "|");
            r->before = 0;
            r->at++;
            continue;
        }
        const pawl_status status = read_atom(r, &atom, &open);
        if (status == PAWL_OK && open == was_open && read_quantifiers(r, &atom)) r->before = 0;
        pawl_text_add(out, "%s", atom.data ? atom.data : "");
        pawl_text_close(&atom);
        PAWL_TRY(status);
    }
    while (open--) pawl_text_add(out, ")");
    r->caseless = caseless;
    PAWL_REQUIRE(in_group == (*r->at == ')'), r->place, "the regular expression's parentheses do not match");
    if (in_group) pawl_text_add(out, ")"), r->at++;
    r->depth--;
    return PAWL_OK;
}

pawl_status pawl_from_oniguruma(const char *pattern, const pawl_place *p, pawl_text *out)
{
    pawl_onig_reader r = {.at = pattern, .place = p};
    return read_group(&r, out, 0);
}
