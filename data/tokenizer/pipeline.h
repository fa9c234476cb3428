/* data/tokenizer/pipeline.h - how a text gets to the model: a row of stages, each of which hands stretches of it to the
 * next. A stage cuts (added tokens, pre-tokenizers), rewrites (normalizers), or gives out tokens (added tokens, the
 * model at the end). The first to the last stage run depth first, so tokens come out in the order of the text. */
#ifndef PAWL_DATA_TOKENIZER_PIPELINE_H
#define PAWL_DATA_TOKENIZER_PIPELINE_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "data/tokenizer/bpe.h"
#include "data/tokenizer/unicode.h"

enum { PAWL_STAGES_MAX = 48 };

/* A run of text on its way, and where in the original it comes from. */
typedef struct pawl_stretch {
    const char *text;
    int64_t bytes;
    const int64_t *origin; /* of each byte; NULL: at, at + 1, ... */
    int64_t at;
} pawl_stretch;

static inline int64_t pawl_origin(const pawl_stretch *s, int64_t i)
{
    return s->origin ? s->origin[i] : s->at + i;
}

static inline pawl_stretch pawl_part_of(const pawl_stretch *s, int64_t first, int64_t end)
{
    return (pawl_stretch){s->text + first, end - first, s->origin ? s->origin + first : NULL, s->at + first};
}

/* Text in the making, with the origin of each byte. */
typedef struct pawl_rewrite {
    char *text;
    int64_t *origin;
    int64_t bytes, room;
    int64_t most; /* bytes; 0: any number */
} pawl_rewrite;

PAWL_MUST pawl_status pawl_rewrite_add(pawl_rewrite *w, const char *text, int64_t bytes, int64_t origin);
PAWL_MUST pawl_status pawl_rewrite_copy(pawl_rewrite *w, const pawl_stretch *s, int64_t first, int64_t end);
static inline pawl_stretch pawl_rewritten(const pawl_rewrite *w)
{
    return (pawl_stretch){w->text, w->bytes, w->origin, 0};
}

typedef struct pawl_encoder pawl_encoder;
typedef struct pawl_stage pawl_stage;

/* Bytes of the piece that begins at text, which is not empty; 0: none begins here. */
typedef int64_t pawl_scanner(const pawl_classes *c, const char *text, int64_t bytes);

typedef enum pawl_behaviour {
    PAWL_REMOVED,
    PAWL_ISOLATED,
    PAWL_WITH_PREVIOUS,
    PAWL_WITH_NEXT,
    PAWL_CONTIGUOUS
} pawl_behaviour;

struct pawl_stage {
    pawl_status (*run)(const pawl_stage *s, pawl_encoder *e, pawl_stretch piece);
    const pawl_tokenizer *tokenizer;
    int index; /* its scratch */
    /* What follows is read by those stages that have it. */
    pcre2_code *regex;
    pawl_scanner *scan;     /* does what regex does */
    char *needle, *content; /* texts; needle in its code points' bytes */
    size_t needle_bytes, content_bytes;
    pawl_behaviour behaviour;
    int invert, kind, left, right;
    int64_t length;
    const struct pawl_added_set *added;
};

void pawl_stage_close(pawl_stage *s);

struct pawl_encoder {
    const pawl_tokenizer *tokenizer;
    pawl_encoding *out;
    pawl_rewrite scratch[PAWL_STAGES_MAX];
    pawl_merger merger;
    struct pawl_points {
        uint32_t *point, *spare;
        int64_t *origin;
        uint8_t *order;
        int64_t count, room;
    } points; /* of the normal forms */
    pcre2_match_data *match;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
    pawl_rewrite *capture; /* where the text goes while added tokens are normalized */
};

/* t NULL: for finding only. */
PAWL_MUST pawl_status pawl_encoder_open(const pawl_tokenizer *t, pawl_encoder **out);
void pawl_encoder_close(pawl_encoder *e);

/* Hands a stretch to the next stage; an empty one goes nowhere. */
static inline pawl_status pawl_pass_on(const pawl_stage *s, pawl_encoder *e, pawl_stretch piece)
{
    return piece.bytes > 0 ? s[1].run(s + 1, e, piece) : PAWL_OK;
}

static inline pawl_rewrite *pawl_scratch_of(const pawl_stage *s, pawl_encoder *e)
{
    e->scratch[s->index].bytes = 0;
    return &e->scratch[s->index];
}

#endif
