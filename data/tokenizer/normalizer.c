/* normalizer: stages that rewrite text. */
#include <string.h>
#include <utf8proc.h>

#include "core/arena.h"
#include "data/tokenizer/stages.h"

/* ---- Stages ---- */

static pawl_status lower_run(const pawl_stage *s, pawl_encoder *e, pawl_stretch piece)
{
    pawl_rewrite *w = pawl_scratch_of(s, e);
    char text[4];
    for (int64_t i = 0; i < piece.bytes;) {
        const uint32_t point = pawl_utf8_point(piece.text + i);
        if (point == 0x130) { /* I with a dot: the one letter that becomes two */
            PAWL_TRY(pawl_rewrite_add(w, "i\xcc\x87", 3, pawl_origin(&piece, i)));
        } else {
            const int n = pawl_utf8_write((uint32_t)utf8proc_tolower((utf8proc_int32_t)point), text);
            PAWL_TRY(pawl_rewrite_add(w, text, n, pawl_origin(&piece, i)));
        }
        i += pawl_utf8_bytes((uint8_t)piece.text[i]);
    }
    return pawl_pass_on(s, e, pawl_rewritten(w));
}

static pawl_status strip_accents_run(const pawl_stage *s, pawl_encoder *e, pawl_stretch piece)
{
    const pawl_classes *c = &s->tokenizer->classes;
    pawl_rewrite *w = pawl_scratch_of(s, e);
    for (int64_t i = 0; i < piece.bytes;) {
        const int n = pawl_utf8_bytes((uint8_t)piece.text[i]);
        if (!(pawl_class_of(c, pawl_utf8_point(piece.text + i)) & PAWL_MARK))
            PAWL_TRY(pawl_rewrite_copy(w, &piece, i, i + n));
        i += n;
    }
    return pawl_pass_on(s, e, pawl_rewritten(w));
}

static pawl_status strip_run(const pawl_stage *s, pawl_encoder *e, pawl_stretch piece)
{
    const pawl_classes *c = &s->tokenizer->classes;
    int64_t first = 0, end = piece.bytes;
    while (s->left && first < end && pawl_class_of(c, pawl_utf8_point(piece.text + first)) & PAWL_SPACE)
        first += pawl_utf8_bytes((uint8_t)piece.text[first]);
    while (s->right && first < end) {
        const int n = pawl_utf8_last(piece.text + first, end - first);
        if (!(pawl_class_of(c, pawl_utf8_point(piece.text + end - n)) & PAWL_SPACE)) break;
        end -= n;
    }
    return pawl_pass_on(s, e, pawl_part_of(&piece, first, end));
}

pawl_status pawl_letters_run(const pawl_stage *s, pawl_encoder *e, pawl_stretch piece)
{
    pawl_rewrite *w = pawl_scratch_of(s, e);
    char text[2];
    for (int64_t i = 0; i < piece.bytes; i++)
        PAWL_TRY(pawl_rewrite_add(w, text, pawl_byte_letter((uint8_t)piece.text[i], text), pawl_origin(&piece, i)));
    return pawl_pass_on(s, e, pawl_rewritten(w));
}

pawl_status pawl_prefix_run(const pawl_stage *s, pawl_encoder *e, pawl_stretch piece)
{
    const int64_t n = (int64_t)s->content_bytes;
    const int there = piece.bytes >= n && memcmp(piece.text, s->content, (size_t)n) == 0;
    if (s->kind != PAWL_ALWAYS && there) return pawl_pass_on(s, e, piece);
    if (s->kind == PAWL_AT_START && pawl_origin(&piece, 0) != 0) return pawl_pass_on(s, e, piece);
    pawl_rewrite *w = pawl_scratch_of(s, e);
    PAWL_TRY(pawl_rewrite_add(w, s->content, n, pawl_origin(&piece, 0)));
    PAWL_TRY(pawl_rewrite_copy(w, &piece, 0, piece.bytes));
    return pawl_pass_on(s, e, pawl_rewritten(w));
}

/* Where the last letter that is replaced stands, as there (Metaspace asks whether a text begins at 0). */
static int64_t replaced_origin(const pawl_stretch *p, int64_t first, int64_t end)
{
    if (end > first) return pawl_origin(p, end - pawl_utf8_last(p->text + first, end - first));
    return pawl_origin(p, first < p->bytes ? first : p->bytes - 1);
}

pawl_status pawl_replace_run(const pawl_stage *s, pawl_encoder *e, pawl_stretch piece)
{
    pawl_rewrite *w = pawl_scratch_of(s, e);
    pawl_finder f = {.stage = s, .encoder = e, .text = piece.text, .bytes = piece.bytes, .last_end = -1};
    int64_t kept = 0, first, end, found = 0;
    for (;; found++) {
        PAWL_TRY(pawl_find(&f, &first, &end));
        if (first < 0) break;
        PAWL_TRY(pawl_rewrite_copy(w, &piece, kept, first));
        PAWL_TRY(pawl_rewrite_add(w, s->content, (int64_t)s->content_bytes, replaced_origin(&piece, first, end)));
        kept = end;
    }
    if (!found) return pawl_pass_on(s, e, piece);
    PAWL_TRY(pawl_rewrite_copy(w, &piece, kept, piece.bytes));
    return pawl_pass_on(s, e, pawl_rewritten(w));
}

/* ---- Reading them ---- */

typedef struct kind {
    const char *name;
    pawl_status (*open)(pawl_stage *s, const json_t *part, const pawl_place *p);
    pawl_status (*run)(const pawl_stage *s, pawl_encoder *e, pawl_stretch piece);
    int kind;
} kind;

static pawl_status open_prepend(pawl_stage *s, const json_t *part, const pawl_place *p)
{
    const char *text;
    PAWL_TRY(pawl_member_text(part, "prepend", p, 1, &text));
    return pawl_copy_text(text, &s->content, &s->content_bytes);
}

static pawl_status open_replace(pawl_stage *s, const json_t *part, const pawl_place *p)
{
    const char *text;
    PAWL_TRY(pawl_pattern_open(s, part, p));
    PAWL_TRY(pawl_member_text(part, "content", p, 1, &text));
    return pawl_copy_text(text, &s->content, &s->content_bytes);
}

static pawl_status open_strip(pawl_stage *s, const json_t *part, const pawl_place *p)
{
    PAWL_TRY(pawl_member_flag(part, "strip_left", p, -1, &s->left));
    return pawl_member_flag(part, "strip_right", p, -1, &s->right);
}

static const kind kinds[] = {
    {"NFC", NULL, pawl_form_run, PAWL_COMPOSED},
    {"NFD", NULL, pawl_form_run, 0},
    {"NFKC", NULL, pawl_form_run, PAWL_COMPOSED | PAWL_COMPAT},
    {"NFKD", NULL, pawl_form_run, PAWL_COMPAT},
    {"Lowercase", NULL, lower_run, 0},
    {"Prepend", open_prepend, pawl_prefix_run, PAWL_ALWAYS},
    {"Replace", open_replace, pawl_replace_run, 0},
    {"Strip", open_strip, strip_run, 0},
    {"StripAccents", NULL, strip_accents_run, 0},
    {"ByteLevel", NULL, pawl_letters_run, 0},
};

static pawl_status open_one(pawl_tokenizer *t, const json_t *part, const char *type, const pawl_place *p)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        pawl_stage *s;
        if (strcmp(type, kinds[i].name) != 0) continue;
        PAWL_TRY(pawl_stage_add(t, p, &s));
        s->run = kinds[i].run;
        s->kind = kinds[i].kind;
        return kinds[i].open ? kinds[i].open(s, part, p) : PAWL_OK;
    }
    return PAWL_REFUSE(p, "the normalizer '%.40s' is not supported", type);
}

pawl_status pawl_normalizer_open(pawl_tokenizer *t, const json_t *part, const pawl_place *p)
{
    const char *type;
    const json_t *list;
    if (!part || json_is_null(part)) return PAWL_OK;
    PAWL_TRY(pawl_member_text(part, "type", p, 1, &type));
    if (strcmp(type, "Sequence") != 0) return open_one(t, part, type, p);
    PAWL_TRY(pawl_member_array(part, "normalizers", p, &list));
    const pawl_place in = pawl_place_in(p, "normalizers");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const pawl_place at = pawl_place_at(&in, i);
        PAWL_TRY(pawl_normalizer_open(t, json_array_get(list, i), &at));
    }
    return PAWL_OK;
}
