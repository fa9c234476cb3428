/* Stages that cut a stretch: at what a pattern finds, at code points of a class, into lengths. */
#include "data/tokenizer/stages.h"

/* What was found and what lies between comes in, in order; out go the pieces that the behaviour makes of them. */
typedef struct cutter {
    const pawl_stage *stage;
    pawl_encoder *encoder;
    const pawl_stretch *piece;
    int64_t first, end; /* the piece that may still grow; first -1: none */
    int was_match;      /* of the last one that came in */
} cutter;

static pawl_status give(cutter *c)
{
    const int64_t first = c->first;
    c->first = -1;
    return first < 0 ? PAWL_OK : pawl_pass_on(c->stage, c->encoder, pawl_part_of(c->piece, first, c->end));
}

/* Whether the next one is joined to the piece in hand, by behaviour. */
static int joins(const cutter *c, int is_match)
{
    switch (c->stage->behaviour) {
    case PAWL_CONTIGUOUS: return is_match == c->was_match;
    case PAWL_WITH_PREVIOUS: return is_match && !c->was_match;
    case PAWL_WITH_NEXT: return c->was_match && !is_match;
    default: return 0;
    }
}

static pawl_status take(cutter *c, int64_t first, int64_t end, int is_match)
{
    is_match ^= c->stage->invert;
    if (c->stage->behaviour == PAWL_REMOVED && is_match) return give(c);
    if (c->first >= 0 && joins(c, is_match)) {
        c->end = end;
    } else {
        PAWL_TRY(give(c));
        c->first = first;
        c->end = end;
    }
    c->was_match = is_match;
    return PAWL_OK;
}

pawl_status pawl_split_run(const pawl_stage *s, pawl_encoder *e, pawl_stretch piece)
{
    cutter c = {.stage = s, .encoder = e, .piece = &piece, .first = -1};
    pawl_finder f = {.stage = s, .encoder = e, .text = piece.text, .bytes = piece.bytes, .last_end = -1};
    int64_t before = 0, first, end;
    for (;;) {
        PAWL_TRY(pawl_find(&f, &first, &end));
        if (first < 0) break;
        if (before != first) PAWL_TRY(take(&c, before, first, 0));
        PAWL_TRY(take(&c, first, end, 1));
        before = end;
    }
    if (before != piece.bytes) PAWL_TRY(take(&c, before, piece.bytes, 0));
    return give(&c);
}

static int ascii_punct(uint32_t point)
{
    return point > 0x20 && point < 0x7f && !(point >= '0' && point <= '9') && !(point >= 'A' && point <= 'Z') &&
           !(point >= 'a' && point <= 'z');
}

pawl_status pawl_split_class_run(const pawl_stage *s, pawl_encoder *e, pawl_stretch piece)
{
    cutter c = {.stage = s, .encoder = e, .piece = &piece, .first = -1};
    int64_t before = 0;
    for (int64_t i = 0; i < piece.bytes;) {
        const int n = pawl_utf8_bytes((uint8_t)piece.text[i]);
        const uint32_t point = pawl_utf8_point(piece.text + i);
        if (pawl_class_of(&s->tokenizer->classes, point) & s->kind ||
            (s->kind & PAWL_ASCII_PUNCT && ascii_punct(point))) {
            if (before != i) PAWL_TRY(take(&c, before, i, 0));
            PAWL_TRY(take(&c, i, i + n, 1));
            before = i + n;
        }
        i += n;
    }
    if (before != piece.bytes) PAWL_TRY(take(&c, before, piece.bytes, 0));
    return give(&c);
}

/* The same as pawl_split_run for a pattern that has a scanner, where matches are pieces: what no match covers is one
 * too, unless it is removed. */
pawl_status pawl_scan_run(const pawl_stage *s, pawl_encoder *e, pawl_stretch piece)
{
    const pawl_classes *classes = &s->tokenizer->classes;
    const int keep = s->behaviour == PAWL_ISOLATED;
    int64_t before = 0;
    for (int64_t i = 0; i < piece.bytes;) {
        const int64_t n = s->scan(classes, piece.text + i, piece.bytes - i);
        if (n == 0) {
            i += pawl_utf8_bytes((uint8_t)piece.text[i]);
            continue;
        }
        if (keep && before < i) PAWL_TRY(pawl_pass_on(s, e, pawl_part_of(&piece, before, i)));
        PAWL_TRY(pawl_pass_on(s, e, pawl_part_of(&piece, i, i + n)));
        before = i += n;
    }
    return keep ? pawl_pass_on(s, e, pawl_part_of(&piece, before, piece.bytes)) : PAWL_OK;
}

pawl_status pawl_lengths_run(const pawl_stage *s, pawl_encoder *e, pawl_stretch piece)
{
    int64_t first = 0, points = 0;
    for (int64_t i = 0; i < piece.bytes;) {
        i += pawl_utf8_bytes((uint8_t)piece.text[i]);
        if (++points < s->length && i < piece.bytes) continue;
        PAWL_TRY(pawl_pass_on(s, e, pawl_part_of(&piece, first, i)));
        first = i;
        points = 0;
    }
    return PAWL_OK;
}
