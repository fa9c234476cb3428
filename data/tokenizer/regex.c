#include <string.h>

#include "core/arena.h"
#include "data/tokenizer/stages.h"

enum { PATTERN_MOST = 1 << 16 };

static pawl_status compile(const char *pattern, const pawl_text *translated, const pawl_place *p, pcre2_code **out)
{
    PCRE2_UCHAR why[120];
    int error;
    PCRE2_SIZE at;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    PAWL_CHECK(context, PAWL_EMEM, "no memory for a regular expression");
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    *out = pcre2_compile((PCRE2_SPTR)(translated->data ? translated->data : ""), translated->bytes,
                         PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &at, context);
    pcre2_compile_context_free(context);
    if (*out) return PAWL_OK;
    pcre2_get_error_message(error, why, sizeof why);
    return PAWL_REFUSE(p, "the regular expression '%.200s' does not compile: %s", pattern, (const char *)why);
}

pawl_status pawl_regex_open(const char *pattern, const pawl_place *p, pcre2_code **out)
{
    pawl_text translated = {0};
    PAWL_REQUIRE(strlen(pattern) <= PATTERN_MOST, p, "regular expressions of more than %d bytes are not supported",
                 PATTERN_MOST);
    pawl_status status = pawl_from_oniguruma(pattern, p, &translated);
    if (status == PAWL_OK) status = pawl_text_status(&translated);
    if (status == PAWL_OK) status = compile(pattern, &translated, p, out);
    if (status == PAWL_OK) pcre2_jit_compile(*out, PCRE2_JIT_COMPLETE); /* without it: slower, and the same */
    pawl_text_close(&translated);
    return status;
}
