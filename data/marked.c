#include "data/marked.h"

#include <string.h>

#include "core/arena.h"
#include "data/tokenizer/tokens.h"

/* Marks the tokens whose places lie in a span. Places mostly grow, and so the span in hand moves mostly forwards. */
static void mark(const pawl_sample *s, pawl_marked *m)
{
    const pawl_encoding *e = &m->encoding;
    int64_t k = 0;
    for (int64_t i = 0; i < e->count; i++) {
        const int64_t at = e->at[i];
        m->trained[i] = 0;
        if (at < 0) continue;
        while (k < s->count && s->trained[k].end <= at) k++;
        while (k > 0 && s->trained[k - 1].end > at) k--;
        m->trained[i] = k < s->count && s->trained[k].first <= at;
    }
}

/* at[i] <- how far it is from there to the next token's place. */
static void places_to_lengths(pawl_encoding *e, int64_t text_bytes)
{
    int64_t next = text_bytes;
    for (int64_t i = e->count - 1; i >= 0; i--) {
        const int64_t at = e->at[i];
        e->at[i] = at < 0 || at > next ? 0 : next - at;
        if (at >= 0) next = at;
    }
}

/* The end follows the text, unless the tokenizer has put it there already. */
static pawl_status add_end(const pawl_tokenizer *t, pawl_encoding *e)
{
    const int32_t end = pawl_tokenizer_end(t);
    if (end < 0 || (e->count > 0 && e->ids[e->count - 1] == end && e->at[e->count - 1] < 0)) return PAWL_OK;
    return pawl_encoding_add(e, end, -1);
}

pawl_status pawl_marked_encode(const pawl_tokenizer *t, const pawl_sample *s, pawl_marked *out)
{
    pawl_encoding *e = &out->encoding;
    const int64_t bytes = (int64_t)s->text.bytes;
    PAWL_TRY(pawl_encode(t, s->text.data, s->text.bytes, s->specials, e));
    if (s->with_end) PAWL_TRY(add_end(t, e));
    if (e->count > out->room) {
        PAWL_TRY(pawl_realloc((void **)&out->trained, (size_t)e->room, "the tokens of a document"));
        out->room = e->room;
    }
    mark(s, out);
    places_to_lengths(e, bytes);
    if (s->with_end && e->count > 0 && e->ids[e->count - 1] == pawl_tokenizer_end(t) && e->at[e->count - 1] == 0)
        out->trained[e->count - 1] = s->count > 0 && s->trained[s->count - 1].end == bytes;
    return PAWL_OK;
}

/* Tokens of the text itself, and in front of them those that the tokenizer adds. */
static int64_t text_tokens(const pawl_encoding *e, int64_t *before)
{
    int64_t n = 0;
    *before = 0;
    while (*before < e->count && e->at[*before] < 0) ++*before;
    for (int64_t i = *before; i < e->count; i++) n += e->at[i] >= 0;
    return n;
}

static int is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

pawl_status pawl_marked_encode_behind(const pawl_tokenizer *t, const pawl_sample *s, pawl_encoding *given,
                                      pawl_marked *out, int64_t *count)
{
    pawl_encoding *e = &out->encoding;
    int64_t before, unused, end = s->trained[0].first;
    PAWL_ASSERT(s->count == 1 && !s->with_end);
    while (end > 0 && is_blank(s->text.data[end - 1])) end--;
    PAWL_TRY(pawl_encode(t, s->text.data, (size_t)end, s->specials, given));
    PAWL_TRY(pawl_encode(t, s->text.data, s->text.bytes, s->specials, e));
    if (e->count > out->room) {
        PAWL_TRY(pawl_realloc((void **)&out->trained, (size_t)e->room, "the tokens of a choice"));
        out->room = e->room;
    }
    e->count = text_tokens(e, &before) + before;
    *count = before + text_tokens(given, &unused);
    for (int64_t i = 0; i < e->count; i++) out->trained[i] = i >= *count;
    places_to_lengths(e, (int64_t)s->text.bytes);
    return PAWL_OK;
}

void pawl_marked_cut(pawl_marked *m, int64_t tokens)
{
    pawl_encoding *e = &m->encoding;
    const size_t left = (size_t)(e->count - tokens);
    memmove(e->ids, e->ids + tokens, left * sizeof *e->ids);
    memmove(e->at, e->at + tokens, left * sizeof *e->at);
    memmove(m->trained, m->trained + tokens, left);
    e->count = (int64_t)left;
}

void pawl_marked_close(pawl_marked *m)
{
    pawl_encoding_close(&m->encoding);
    pawl_free(m->trained);
    m->trained = NULL;
    m->room = 0;
}
