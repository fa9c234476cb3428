/* data/tokenizer/stages.h - what a stage can do, and the tools that stages share. */
#ifndef PAWL_DATA_TOKENIZER_STAGES_H
#define PAWL_DATA_TOKENIZER_STAGES_H

#include "data/tokenizer/tokenizer.h"

/* kind of pawl_form_run */
enum { PAWL_COMPOSED = 1, PAWL_COMPAT = 2 };
pawl_status pawl_form_run(const pawl_stage *s, pawl_encoder *e, pawl_stretch piece);

/* Writes letters for bytes. */
pawl_status pawl_letters_run(const pawl_stage *s, pawl_encoder *e, pawl_stretch piece);
/* Replaces what is found by content. */
pawl_status pawl_replace_run(const pawl_stage *s, pawl_encoder *e, pawl_stretch piece);
/* Puts content before a stretch. kind: when. */
enum { PAWL_ALWAYS, PAWL_UNLESS_THERE, PAWL_AT_START };
pawl_status pawl_prefix_run(const pawl_stage *s, pawl_encoder *e, pawl_stretch piece);
/* Cuts at what regex or needle finds; at code points of the classes `kind`; into what scan finds; every `length`
 * points. */
pawl_status pawl_split_run(const pawl_stage *s, pawl_encoder *e, pawl_stretch piece);
pawl_status pawl_split_class_run(const pawl_stage *s, pawl_encoder *e, pawl_stretch piece);
pawl_status pawl_scan_run(const pawl_stage *s, pawl_encoder *e, pawl_stretch piece);
pawl_status pawl_lengths_run(const pawl_stage *s, pawl_encoder *e, pawl_stretch piece);
enum { PAWL_ASCII_PUNCT = 256 }; /* beside the classes */

/* A copy of text, for a stage. */
PAWL_MUST pawl_status pawl_copy_text(const char *text, char **out, size_t *bytes);

/* ---- Finding (find.c) ---- */
/* "pattern": {"String": ...} or {"Regex": ...} of a stage. */
PAWL_MUST pawl_status pawl_pattern_open(pawl_stage *s, const json_t *part, const pawl_place *p);

typedef struct pawl_finder {
    const pawl_stage *stage;
    pawl_encoder *encoder;
    const char *text;
    int64_t bytes, next, last_end;
} pawl_finder;

/* The next place [*first, *end); *first is -1 when there is none. Empty ones count, but not right behind another. */
PAWL_MUST pawl_status pawl_find(pawl_finder *f, int64_t *first, int64_t *end);

/* ---- Regular expressions (regex.c, oniguruma.c) ---- */
/* Compiles what Oniguruma (Ruby's syntax, as Hugging Face's tokenizers uses it) understands by pattern. */
PAWL_MUST pawl_status pawl_regex_open(const char *pattern, const pawl_place *p, pcre2_code **out);
/* The same pattern in PCRE2's words. */
PAWL_MUST pawl_status pawl_from_oniguruma(const char *pattern, const pawl_place *p, pawl_text *out);

/* ---- Scanners (scanners.c) ---- */
pawl_scanner *pawl_scanner_for(const char *pattern); /* NULL: the pattern is not among the known ones */
extern const char pawl_gpt2_pattern[];
pawl_scanner pawl_scan_words; /* \w+|[^\w\s]+ as Rust understands it */

#endif
