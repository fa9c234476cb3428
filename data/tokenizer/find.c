/* Finding a pattern in a stretch: a text, or a regular expression. */
#include <string.h>

#include "core/arena.h"
#include "data/tokenizer/stages.h"

pawl_status pawl_copy_text(const char *text, char **out, size_t *bytes)
{
    *bytes = strlen(text);
    PAWL_TRY(pawl_alloc((void **)out, *bytes + 1, "a text of the tokenizer"));
    memcpy(*out, text, *bytes);
    return PAWL_OK;
}

pawl_status pawl_pattern_open(pawl_stage *s, const json_t *part, const pawl_place *p)
{
    const json_t *pattern = json_object_get(part, "pattern");
    const json_t *text = json_object_get(pattern, "String"), *regex = json_object_get(pattern, "Regex");
    const pawl_place at = pawl_place_in(p, "pattern");
    PAWL_REQUIRE(json_is_string(text) != json_is_string(regex), &at, "expected {\"String\": ...} or {\"Regex\": ...}");
    if (text && json_string_length(text)) return pawl_copy_text(json_string_value(text), &s->needle, &s->needle_bytes);
    if (text) return pawl_regex_open("", &at, &s->regex); /* found everywhere */
    s->scan = pawl_scanner_for(json_string_value(regex));
    return pawl_regex_open(json_string_value(regex), &at, &s->regex);
}

static pawl_status search(pawl_finder *f, int64_t *first, int64_t *end)
{
    const int rc = pcre2_match(f->stage->regex, (PCRE2_SPTR)f->text, (PCRE2_SIZE)f->bytes, (PCRE2_SIZE)f->next,
                               PCRE2_NO_UTF_CHECK, f->encoder->match, f->encoder->context);
    *first = -1;
    if (rc == PCRE2_ERROR_NOMATCH) return PAWL_OK;
    if (rc < 0) {
        PCRE2_UCHAR why[120];
        pcre2_get_error_message(rc, why, sizeof why);
        return PAWL_FAIL(
            PAWL_EDATA, "the tokenizer's regular expression gives up on this text, at byte %lld of a piece of %lld: %s",
            (long long)f->next, (long long)f->bytes, (const char *)why);
    }
    const PCRE2_SIZE *places = pcre2_get_ovector_pointer(f->encoder->match);
    *first = (int64_t)places[0];
    *end = (int64_t)places[1];
    PAWL_CHECK(*first <= *end, PAWL_EDATA,
               "the tokenizer's regular expression ends a match before it begins (\\K in a lookahead)");
    return PAWL_OK;
}

pawl_status pawl_find(pawl_finder *f, int64_t *first, int64_t *end)
{
    *first = -1;
    while (f->next <= f->bytes) {
        if (f->stage->needle) {
            const char *at = f->next == f->bytes ? NULL
                                                 : memmem(f->text + f->next, (size_t)(f->bytes - f->next),
                                                          f->stage->needle, f->stage->needle_bytes);
            *first = at ? at - f->text : -1;
            *end = *first + (int64_t)f->stage->needle_bytes;
        } else {
            PAWL_TRY(search(f, first, end));
        }
        if (*first < 0) return PAWL_OK;
        if (*first != *end || *first != f->last_end) {
            f->next = f->last_end = *end;
            return PAWL_OK;
        }
        f->next += f->next < f->bytes ? pawl_utf8_bytes((uint8_t)f->text[f->next]) : 1;
        *first = -1;
    }
    return PAWL_OK;
}
