/* data/tokenizer/oniguruma.h - private to data/tokenizer/: what the two halves of the translation of Oniguruma's
 * regular expressions share. */
#ifndef PAWL_DATA_TOKENIZER_ONIGURUMA_H
#define PAWL_DATA_TOKENIZER_ONIGURUMA_H

#include "data/tokenizer/stages.h"

#ifdef __cplusplus
extern "C" {
#endif

/* \w and \p{Word}; outside of brackets the numbers below U+0100 that are no digits count as well. */
#define ONLY_WORDS "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"
#define WORDS      ONLY_WORDS "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"

enum { PAWL_ONIG_DEPTH_MOST = 100 };

typedef struct pawl_onig_reader {
    const char *at;
    const pawl_place *place;
    int depth, caseless;
    uint32_t before; /* the letter that stands just before, where case is ignored; or 0 */
} pawl_onig_reader;

/* At the letter behind a backslash: \s \W \p{...} and the like; found 0: no class. */
PAWL_MUST pawl_status pawl_onig_class_escape(pawl_onig_reader *r, char set[512], int *negated, int *found);
/* A single character behind a backslash. */
PAWL_MUST pawl_status pawl_onig_letter_escape(pawl_onig_reader *r, pawl_text *out, int in_class);
/* Behind the opening bracket. out: what stands for the class; plain: what stands in brackets for it, if a set can say
 * it. */
PAWL_MUST pawl_status pawl_onig_class(pawl_onig_reader *r, pawl_text *out, pawl_text *plain);
/* Refuses a letter that stands for several, or is one of several, where case is ignored. */
PAWL_MUST pawl_status pawl_onig_check_case(pawl_onig_reader *r, uint32_t point, int in_class);

#ifdef __cplusplus
}
#endif
#endif
