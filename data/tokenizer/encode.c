/* From a text to its tokens: the encoder with its scratch, and the way through the stages. */
#include <string.h>

#include "core/arena.h"
#include "data/tokenizer/stages.h"
#include "data/tokenizer/tokens.h"
#include "data/utf8.h"

enum { JIT_STACK_LEAST = 32 << 10, JIT_STACK_MOST = 8 << 20, MATCH_STEPS = 50000000 };
enum { GROWN_LEAST = 1 << 20, GROWTH_MOST = 32 }; /* bytes that normalizers may make of a text */

/* ---- Text in the making ---- */

static pawl_status make_room(pawl_rewrite *w, int64_t more)
{
    if (w->bytes + more <= w->room) return PAWL_OK;
    PAWL_CHECK(!w->most || w->bytes + more <= w->most, PAWL_EDATA,
               "the tokenizer's normalizers make more than %lld bytes of this text: is its tokenizer.json meant to?",
               (long long)w->most);
    const int64_t room = 2 * (w->bytes + more) + 256;
    PAWL_TRY(pawl_realloc((void **)&w->text, (size_t)room, "a normalized text"));
    PAWL_TRY(pawl_realloc((void **)&w->origin, (size_t)room * sizeof *w->origin, "the origin of a normalized text"));
    w->room = room;
    return PAWL_OK;
}

pawl_status pawl_rewrite_add(pawl_rewrite *w, const char *text, int64_t bytes, int64_t origin)
{
    if (bytes <= 0) return PAWL_OK;
    PAWL_TRY(make_room(w, bytes));
    memcpy(w->text + w->bytes, text, (size_t)bytes);
    for (int64_t i = 0; i < bytes; i++) w->origin[w->bytes + i] = origin;
    w->bytes += bytes;
    return PAWL_OK;
}

pawl_status pawl_rewrite_copy(pawl_rewrite *w, const pawl_stretch *s, int64_t first, int64_t end)
{
    const int64_t bytes = end - first;
    if (bytes <= 0) return PAWL_OK;
    PAWL_TRY(make_room(w, bytes));
    memcpy(w->text + w->bytes, s->text + first, (size_t)bytes);
    for (int64_t i = 0; i < bytes; i++) w->origin[w->bytes + i] = pawl_origin(s, first + i);
    w->bytes += bytes;
    return PAWL_OK;
}

/* ---- Encoders ---- */

pawl_status pawl_encoder_open(const pawl_tokenizer *t, pawl_encoder **out)
{
    pawl_encoder *e;
    PAWL_TRY(pawl_alloc((void **)&e, sizeof *e, "an encoder"));
    *out = e;
    e->tokenizer = t;
    if (t) PAWL_TRY(pawl_alloc((void **)&e->merger.words, PAWL_WORDS * sizeof *e->merger.words, "the cache of words"));
    e->match = pcre2_match_data_create(1, NULL);
    e->context = pcre2_match_context_create(NULL);
    e->stack = pcre2_jit_stack_create(JIT_STACK_LEAST, JIT_STACK_MOST, NULL);
    PAWL_CHECK(e->match && e->context, PAWL_EMEM, "no memory for the tokenizer's regular expressions");
    if (e->stack) pcre2_jit_stack_assign(e->context, NULL, e->stack);
    pcre2_set_match_limit(e->context, MATCH_STEPS);
    return PAWL_OK;
}

void pawl_encoder_close(pawl_encoder *e)
{
    if (!e) return;
    for (int i = 0; i < PAWL_STAGES_MAX; i++) {
        pawl_free(e->scratch[i].text);
        pawl_free(e->scratch[i].origin);
    }
    pawl_merger_close(&e->merger);
    pawl_free(e->points.point);
    pawl_free(e->points.spare);
    pawl_free(e->points.origin);
    pawl_free(e->points.order);
    pcre2_match_data_free(e->match);
    pcre2_match_context_free(e->context);
    pcre2_jit_stack_free(e->stack);
    pawl_free(e);
}

/* ---- Encodings ---- */

pawl_status pawl_tokens_grow(pawl_encoding *e, int64_t more)
{
    const int64_t room = 2 * (e->count + more) + 256;
    PAWL_TRY(pawl_realloc((void **)&e->ids, (size_t)room * sizeof *e->ids, "the tokens of a text"));
    PAWL_TRY(pawl_realloc((void **)&e->at, (size_t)room * sizeof *e->at, "the places of tokens"));
    e->room = room;
    return PAWL_OK;
}

static pawl_status add_frame(pawl_encoding *out, const int32_t *ids, int32_t count)
{
    for (int32_t i = 0; i < count; i++) PAWL_TRY(pawl_encoding_add(out, ids[i], -1));
    return PAWL_OK;
}

/* NUL is a letter like others here, though not for pawl_utf8_valid_prefix. */
static size_t valid_bytes(const char *text, size_t bytes)
{
    size_t at = 0;
    while ((at += pawl_utf8_valid_prefix(text + at, bytes - at)) < bytes && text[at] == 0) at++;
    return at;
}

static pawl_status take_encoder(const pawl_tokenizer *t, pawl_encoding *out)
{
    if (out->encoder && out->encoder->tokenizer == t) return PAWL_OK;
    pawl_encoder_close(out->encoder);
    out->encoder = NULL;
    return pawl_encoder_open(t, &out->encoder);
}

/* Places never run backwards, though an unknown letter may be given out behind the bytes that follow it, and an added
 * token may begin in the white space that the one before it took. */
static void straighten(pawl_encoding *e)
{
    int64_t last = 0;
    for (int64_t i = 0; i < e->count; i++) {
        if (e->at[i] < 0) continue;
        if (e->at[i] < last) e->at[i] = last;
        last = e->at[i];
    }
}

pawl_status pawl_encode(const pawl_tokenizer *t, const char *text, size_t bytes, pawl_specials s, pawl_encoding *out)
{
    const int raw = t->is_bytes && s == PAWL_RAW_TEXT;
    const pawl_stretch whole = {.text = text, .bytes = (int64_t)bytes};
    out->count = 0;
    PAWL_TRY(take_encoder(t, out));
    const size_t valid = t->is_bytes ? bytes : valid_bytes(text, bytes);
    PAWL_CHECK(valid == bytes, PAWL_EDATA, "the text is not UTF-8: byte %zu (0x%02x) of %zu begins no character", valid,
               (unsigned)(uint8_t)text[valid], bytes);
    out->encoder->out = out;
    for (int i = 0; i < PAWL_STAGES_MAX; i++) out->encoder->scratch[i].most = GROWN_LEAST + GROWTH_MOST * whole.bytes;
    if (s != PAWL_WITHOUT_SPECIALS) PAWL_TRY(add_frame(out, t->frame.before, t->frame.before_count));
    if (bytes) PAWL_TRY(t->stages[raw].run(&t->stages[raw], out->encoder, whole));
    if (s != PAWL_WITHOUT_SPECIALS) PAWL_TRY(add_frame(out, t->frame.behind, t->frame.behind_count));
    straighten(out);
    return PAWL_OK;
}

void pawl_encoding_close(pawl_encoding *e)
{
    pawl_encoder_close(e->encoder);
    pawl_free(e->ids);
    pawl_free(e->at);
    memset(e, 0, sizeof *e);
}
