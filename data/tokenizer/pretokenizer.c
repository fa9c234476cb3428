/* pre_tokenizer: stages that cut text into the pieces that the model sees. */
#include <string.h>

#include "core/arena.h"
#include "data/tokenizer/stages.h"

static const char *const behaviours[] = {"Removed",        "Isolated",   "MergedWithPrevious",
                                         "MergedWithNext", "Contiguous", NULL};

/* ---- Stages of which pre-tokenizers are made ---- */

static pawl_status add_prefix(pawl_tokenizer *t, const pawl_place *p, const char *content, int when)
{
    pawl_stage *s;
    PAWL_TRY(pawl_stage_add(t, p, &s));
    s->run = pawl_prefix_run;
    s->kind = when;
    return pawl_copy_text(content, &s->content, &s->content_bytes);
}

static pawl_status add_classes(pawl_tokenizer *t, const pawl_place *p, int classes, pawl_behaviour behaviour)
{
    pawl_stage *s;
    PAWL_TRY(pawl_stage_add(t, p, &s));
    s->run = pawl_split_class_run;
    s->kind = classes;
    s->behaviour = behaviour;
    return PAWL_OK;
}

static pawl_status add_scanner(pawl_tokenizer *t, const pawl_place *p, pawl_scanner *scan, pawl_behaviour behaviour)
{
    pawl_stage *s;
    PAWL_TRY(pawl_stage_add(t, p, &s));
    s->run = pawl_scan_run;
    s->scan = scan;
    s->behaviour = behaviour;
    return PAWL_OK;
}

static pawl_status add_needle(pawl_tokenizer *t, const pawl_place *p, const char *needle, pawl_behaviour behaviour,
                              pawl_stage **out)
{
    PAWL_TRY(pawl_stage_add(t, p, out));
    (*out)->run = pawl_split_run;
    (*out)->behaviour = behaviour;
    return pawl_copy_text(needle, &(*out)->needle, &(*out)->needle_bytes);
}

/* ---- Pre-tokenizers ---- */

static pawl_status open_byte_level(pawl_tokenizer *t, const json_t *part, const pawl_place *p)
{
    int prefix, regex;
    pawl_stage *s;
    PAWL_TRY(pawl_member_flag(part, "add_prefix_space", p, -1, &prefix));
    PAWL_TRY(pawl_member_flag(part, "use_regex", p, 1, &regex));
    if (prefix) PAWL_TRY(add_prefix(t, p, " ", PAWL_UNLESS_THERE));
    if (regex) PAWL_TRY(add_scanner(t, p, pawl_scanner_for(pawl_gpt2_pattern), PAWL_ISOLATED));
    PAWL_TRY(pawl_stage_add(t, p, &s));
    s->run = pawl_letters_run;
    return PAWL_OK;
}

static pawl_status open_split(pawl_tokenizer *t, const json_t *part, const pawl_place *p)
{
    pawl_stage *s;
    int behaviour;
    PAWL_TRY(pawl_stage_add(t, p, &s));
    s->run = pawl_split_run;
    PAWL_TRY(pawl_pattern_open(s, part, p));
    PAWL_TRY(pawl_member_choice(part, "behavior", p, behaviours, -1, &behaviour));
    PAWL_TRY(pawl_member_flag(part, "invert", p, 0, &s->invert));
    s->behaviour = (pawl_behaviour)behaviour;
    const int pieces_are_matches = s->invert ? behaviour == PAWL_REMOVED : behaviour == PAWL_ISOLATED;
    if (s->scan && pieces_are_matches) s->run = pawl_scan_run;
    return PAWL_OK;
}

static pawl_status open_digits(pawl_tokenizer *t, const json_t *part, const pawl_place *p)
{
    int single;
    PAWL_TRY(pawl_member_flag(part, "individual_digits", p, 0, &single));
    return add_classes(t, p, PAWL_NUMBER, single ? PAWL_ISOLATED : PAWL_CONTIGUOUS);
}

static pawl_status read_letter(const json_t *part, const char *key, const pawl_place *p, const char **out)
{
    const pawl_place at = pawl_place_in(p, key);
    PAWL_TRY(pawl_member_text(part, key, p, 1, out));
    PAWL_REQUIRE(**out && (size_t)pawl_utf8_bytes((uint8_t) * *out) == strlen(*out), &at,
                 "expected one letter, found '%.40s'", *out);
    return PAWL_OK;
}

static pawl_status open_metaspace(pawl_tokenizer *t, const json_t *part, const pawl_place *p)
{
    static const char *const schemes[] = {"always", "first", "never", NULL};
    const char *letter;
    int scheme, old, split;
    pawl_stage *s;
    PAWL_TRY(read_letter(part, "replacement", p, &letter));
    PAWL_TRY(pawl_member_choice(part, "prepend_scheme", p, schemes, 0, &scheme));
    PAWL_TRY(pawl_member_flag(part, "add_prefix_space", p, scheme != 2, &old));
    PAWL_TRY(pawl_member_flag(part, "split", p, 1, &split));
    PAWL_REQUIRE(old || scheme == 2 || !json_object_get(part, "prepend_scheme"), p,
                 "add_prefix_space false does not agree with prepend_scheme");
    if (!old) scheme = 2;
    PAWL_TRY(add_needle(t, p, " ", PAWL_ISOLATED, &s));
    s->run = pawl_replace_run;
    PAWL_TRY(pawl_copy_text(letter, &s->content, &s->content_bytes));
    if (scheme != 2) PAWL_TRY(add_prefix(t, p, letter, scheme == 0 ? PAWL_UNLESS_THERE : PAWL_AT_START));
    return split ? add_needle(t, p, letter, PAWL_WITH_NEXT, &s) : PAWL_OK;
}

static pawl_status open_whitespace(pawl_tokenizer *t, const json_t *part, const pawl_place *p)
{
    (void)part;
    return add_scanner(t, p, pawl_scan_words, PAWL_REMOVED);
}

static pawl_status open_whitespace_split(pawl_tokenizer *t, const json_t *part, const pawl_place *p)
{
    (void)part;
    return add_classes(t, p, PAWL_SPACE, PAWL_REMOVED);
}

static pawl_status open_punctuation(pawl_tokenizer *t, const json_t *part, const pawl_place *p)
{
    int behaviour;
    PAWL_TRY(pawl_member_choice(part, "behavior", p, behaviours, PAWL_ISOLATED, &behaviour));
    return add_classes(t, p, PAWL_PUNCT | PAWL_ASCII_PUNCT, (pawl_behaviour)behaviour);
}

static pawl_status open_bert(pawl_tokenizer *t, const json_t *part, const pawl_place *p)
{
    (void)part;
    PAWL_TRY(add_classes(t, p, PAWL_SPACE, PAWL_REMOVED));
    return add_classes(t, p, PAWL_PUNCT | PAWL_ASCII_PUNCT, PAWL_ISOLATED);
}

static pawl_status open_delimiter(pawl_tokenizer *t, const json_t *part, const pawl_place *p)
{
    const char *letter;
    pawl_stage *s;
    PAWL_TRY(read_letter(part, "delimiter", p, &letter));
    return add_needle(t, p, letter, PAWL_REMOVED, &s);
}

static pawl_status open_lengths(pawl_tokenizer *t, const json_t *part, const pawl_place *p)
{
    pawl_stage *s;
    PAWL_TRY(pawl_stage_add(t, p, &s));
    s->run = pawl_lengths_run;
    PAWL_TRY(pawl_member_count(part, "length", p, 1 << 20, &s->length));
    PAWL_REQUIRE(s->length > 0, p, "expected a length of at least 1");
    return PAWL_OK;
}

static const struct kind {
    const char *name;
    pawl_status (*open)(pawl_tokenizer *t, const json_t *part, const pawl_place *p);
} kinds[] = {
    {"ByteLevel", open_byte_level},    {"Split", open_split},           {"Digits", open_digits},
    {"Metaspace", open_metaspace},     {"Whitespace", open_whitespace}, {"WhitespaceSplit", open_whitespace_split},
    {"Punctuation", open_punctuation}, {"BertPreTokenizer", open_bert}, {"CharDelimiterSplit", open_delimiter},
    {"FixedLength", open_lengths},
};

pawl_status pawl_pretokenizer_open(pawl_tokenizer *t, const json_t *part, const pawl_place *p)
{
    const char *type;
    const json_t *list;
    if (!part || json_is_null(part)) return PAWL_OK;
    PAWL_TRY(pawl_member_text(part, "type", p, 1, &type));
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(type, kinds[i].name) == 0) return kinds[i].open(t, part, p);
    PAWL_REQUIRE(strcmp(type, "Sequence") == 0, p, "the pre-tokenizer '%.40s' is not supported", type);
    PAWL_TRY(pawl_member_array(part, "pretokenizers", p, &list));
    const pawl_place in = pawl_place_in(p, "pretokenizers");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const pawl_place at = pawl_place_at(&in, i);
        PAWL_TRY(pawl_pretokenizer_open(t, json_array_get(list, i), &at));
    }
    return PAWL_OK;
}
