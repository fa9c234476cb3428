/* From a piece of text to its tokens. A piece is cut where no merge can join (bpe.h), and the words between the cuts
 * are merged alone: short ones come out of a cache, of the others few letters are merged by looking for the best pair,
 * many with a heap. Whatever the text, time is linear but for the logarithm of the longest word. */
#include <string.h>

#include "core/arena.h"
#include "data/tokenizer/pipeline.h"
#include "data/tokenizer/tokens.h"

enum { FEW = 24 }; /* symbols for which looking is quicker than a heap */

/* ---- Symbols of a word ---- */

static pawl_status add_symbol(pawl_merger *m, int32_t id, int64_t at)
{
    if (m->count == m->room) {
        const int64_t room = 2 * m->room + 256;
        PAWL_TRY(pawl_realloc((void **)&m->symbols, (size_t)room * sizeof *m->symbols, "the letters of a word"));
        m->room = room;
    }
    m->symbols[m->count++] = (struct pawl_symbol){.id = (uint32_t)id, .at = (uint32_t)at};
    return PAWL_OK;
}

static int32_t letter_id(const pawl_bpe *b, const char *letter, int bytes)
{
    const uint32_t point = pawl_utf8_point(letter);
    return point < 0x10000 ? b->letter_id[point] : pawl_strings_find(&b->vocabulary, letter, (size_t)bytes);
}

/* A letter as it stands in the vocabulary: with the prefix unless it is the first, with the suffix if it is the last.
 */
static size_t dress(const pawl_bpe *b, const char *letter, int bytes, int first, int last, char *out, size_t room)
{
    size_t n = 0;
    const size_t before = !first && b->prefix ? strlen(b->prefix) : 0,
                 behind = last && b->suffix ? strlen(b->suffix) : 0;
    if (before + behind + (size_t)bytes > room) return 0;
    if (before) memcpy(out, b->prefix, before);
    memcpy(out + before, letter, (size_t)bytes);
    n = before + (size_t)bytes;
    if (behind) memcpy(out + n, b->suffix, behind);
    return n + behind;
}

static int has_fallback(const pawl_bpe *b, const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (b->fallback_id[(uint8_t)text[i]] < 0) return 0;
    return b->byte_fallback;
}

/* The unknown letters that wait to become one token (fuse_unk), or the last one. */
typedef struct unknown {
    int waits;
    int64_t at;
} unknown;

static pawl_status flush(const pawl_bpe *b, pawl_merger *m, unknown *u)
{
    const int waits = u->waits;
    u->waits = 0;
    return waits ? add_symbol(m, b->unknown, u->at) : PAWL_OK;
}

/* Hugging Face's order: an unknown letter is given out before the next known one, but behind bytes that fall back. */
static pawl_status fill_letter(const pawl_bpe *b, pawl_merger *m, const char *dressed, size_t bytes, int32_t id,
                               int64_t at, unknown *u)
{
    if (id >= 0) {
        PAWL_TRY(flush(b, m, u));
        return add_symbol(m, id, at);
    }
    if (has_fallback(b, dressed, bytes)) {
        for (size_t i = 0; i < bytes; i++)
            PAWL_TRY(add_symbol(m, b->fallback_id[(uint8_t)dressed[i]], at + (int64_t)i));
        return PAWL_OK;
    }
    if (b->unknown < 0) return PAWL_OK; /* the letter is lost */
    if (u->waits && b->fuse_unknown) return PAWL_OK;
    PAWL_TRY(flush(b, m, u));
    *u = (unknown){1, at};
    return PAWL_OK;
}

static pawl_status fill_letters(const pawl_bpe *b, pawl_merger *m, const char *text, int64_t bytes)
{
    char dressed[256];
    unknown u = {0};
    for (int64_t at = 0; at < bytes;) {
        const int n = pawl_utf8_bytes((uint8_t)text[at]);
        if (b->cuttable) {
            PAWL_TRY(fill_letter(b, m, text + at, (size_t)n, letter_id(b, text + at, n), at, &u));
        } else {
            const size_t all = dress(b, text + at, n, at == 0, at + n == bytes, dressed, sizeof dressed);
            PAWL_TRY(fill_letter(b, m, dressed, all, pawl_strings_find(&b->vocabulary, dressed, all), at, &u));
        }
        at += n;
    }
    return flush(b, m, &u);
}

static pawl_status fill_bytes(const pawl_bpe *b, pawl_merger *m, const char *text, int64_t bytes)
{
    for (int64_t i = 0; i < bytes; i++) PAWL_TRY(add_symbol(m, b->byte_id[(uint8_t)text[i]], i));
    return PAWL_OK;
}

/* ---- Merging ---- */

static void merge_few(const pawl_bpe *b, pawl_merger *m)
{
    struct pawl_symbol *s = m->symbols;
    const pawl_merge *next[FEW]; /* of symbol i with the one behind it */
    int n = (int)m->count;
    for (int i = 0; i + 1 < n; i++) next[i] = pawl_merge_of(b, s[i].id, s[i + 1].id);
    for (;;) {
        int best = -1;
        for (int i = 0; i + 1 < n; i++)
            if (next[i] && (best < 0 || next[i]->rank < next[best]->rank)) best = i;
        if (best < 0) break;
        s[best].id = next[best]->id;
        n--;
        memmove(s + best + 1, s + best + 2, (size_t)(n - best - 1) * sizeof *s);
        memmove(next + best, next + best + 1, (size_t)(n - best - 1) * sizeof(const pawl_merge *));
        if (best + 1 < n) next[best] = pawl_merge_of(b, s[best].id, s[best + 1].id);
        if (best > 0) next[best - 1] = pawl_merge_of(b, s[best - 1].id, s[best].id);
    }
    m->count = n;
}

static pawl_status push(const pawl_bpe *b, pawl_merger *m, int64_t place)
{
    const struct pawl_symbol *s = &m->symbols[place];
    const pawl_merge *merge = s->after < 0 ? NULL : pawl_merge_of(b, s->id, m->symbols[s->after].id);
    if (!merge) return PAWL_OK;
    if (m->heap_count == m->heap_room) {
        const int64_t room = 2 * m->heap_room + 256;
        PAWL_TRY(pawl_realloc((void **)&m->heap, (size_t)room * sizeof *m->heap, "the merges of a word"));
        m->heap_room = room;
    }
    const struct pawl_candidate c = {(uint64_t)merge->rank << 32 | (uint32_t)place, merge->id};
    int64_t at = m->heap_count++;
    for (int64_t up; at > 0 && m->heap[up = (at - 1) / 2].rank_place > c.rank_place; at = up) m->heap[at] = m->heap[up];
    m->heap[at] = c;
    return PAWL_OK;
}

static struct pawl_candidate pop(pawl_merger *m)
{
    const struct pawl_candidate top = m->heap[0], last = m->heap[--m->heap_count];
    int64_t at = 0, down;
    while ((down = 2 * at + 1) < m->heap_count) {
        if (down + 1 < m->heap_count && m->heap[down + 1].rank_place < m->heap[down].rank_place) down++;
        if (m->heap[down].rank_place >= last.rank_place) break;
        m->heap[at] = m->heap[down];
        at = down;
    }
    m->heap[at] = last;
    return top;
}

/* Candidates that are no more what they were when they were pushed are passed over. */
static pawl_status merge_many(const pawl_bpe *b, pawl_merger *m)
{
    struct pawl_symbol *s = m->symbols;
    int64_t kept = 0;
    m->heap_count = 0;
    for (int64_t i = 0; i < m->count; i++) {
        s[i].before = (int32_t)i - 1;
        s[i].after = i + 1 < m->count ? (int32_t)i + 1 : -1;
    }
    for (int64_t i = 0; i + 1 < m->count; i++) PAWL_TRY(push(b, m, i));
    while (m->heap_count) {
        const struct pawl_candidate c = pop(m);
        struct pawl_symbol *left = &s[(uint32_t)c.rank_place];
        if (left->id == PAWL_GONE || left->after < 0) continue;
        struct pawl_symbol *right = &s[left->after];
        const pawl_merge *now = pawl_merge_of(b, left->id, right->id);
        if (!now || now->id != c.id) continue;
        left->id = c.id;
        right->id = PAWL_GONE;
        left->after = right->after;
        if (left->after >= 0) s[left->after].before = (int32_t)(left - s);
        if (left->before >= 0) PAWL_TRY(push(b, m, left->before));
        PAWL_TRY(push(b, m, left - s));
    }
    for (int64_t i = 0; i < m->count; i++)
        if (s[i].id != PAWL_GONE) s[kept++] = s[i];
    m->count = kept;
    return PAWL_OK;
}

static pawl_status merge_word(const pawl_bpe *b, pawl_merger *m, const char *text, int64_t bytes)
{
    m->count = 0;
    PAWL_TRY(b->of_bytes ? fill_bytes(b, m, text, bytes) : fill_letters(b, m, text, bytes));
    if (m->count > FEW) return merge_many(b, m);
    merge_few(b, m);
    return PAWL_OK;
}

/* ---- Words ---- */

static void keep(pawl_word *w, uint64_t hash, const pawl_merger *m, const char *text, int64_t bytes)
{
    if (m->count > PAWL_WORD_TOKENS) return;
    w->hash = hash;
    w->bytes = (uint8_t)bytes;
    w->tokens = (uint8_t)m->count;
    memcpy(w->text, text, (size_t)bytes);
    for (int64_t i = 0; i < m->count; i++) {
        w->ids[i] = (int32_t)m->symbols[i].id;
        w->at[i] = (uint8_t)m->symbols[i].at;
    }
}

static pawl_status encode_word(const pawl_bpe *b, pawl_merger *m, const pawl_stretch *p, int64_t first, int64_t end,
                               pawl_encoding *out)
{
    const char *text = p->text + first;
    const int64_t bytes = end - first;
    if (bytes <= PAWL_WORD_BYTES) {
        const uint64_t hash = pawl_hash_bytes(text, (size_t)bytes);
        pawl_word *w = &m->words[hash & (PAWL_WORDS - 1)];
        if (w->hash == hash && w->bytes == bytes && memcmp(w->text, text, (size_t)bytes) == 0) {
            PAWL_TRY(pawl_tokens_room(out, w->tokens));
            for (int i = 0; i < w->tokens; i++) pawl_tokens_put(out, w->ids[i], pawl_origin(p, first + w->at[i]));
            return PAWL_OK;
        }
        PAWL_TRY(merge_word(b, m, text, bytes));
        keep(w, hash, m, text, bytes);
    } else {
        PAWL_TRY(merge_word(b, m, text, bytes));
    }
    PAWL_TRY(pawl_tokens_room(out, m->count));
    for (int64_t i = 0; i < m->count; i++)
        pawl_tokens_put(out, (int32_t)m->symbols[i].id, pawl_origin(p, first + m->symbols[i].at));
    return PAWL_OK;
}

static pawl_status cut_bytes(const pawl_bpe *b, pawl_merger *m, const pawl_stretch *p, pawl_encoding *out)
{
    const uint8_t *text = (const uint8_t *)p->text;
    int64_t first = 0;
    for (int64_t i = 1; i < p->bytes; i++) {
        if (b->byte_joints[text[i - 1] << 5 | text[i] >> 3] >> (text[i] & 7) & 1) continue;
        PAWL_TRY(encode_word(b, m, p, first, i, out));
        first = i;
    }
    return encode_word(b, m, p, first, p->bytes, out);
}

/* Not beside an unknown letter: it may be fused with the next one. */
static pawl_status cut_letters(const pawl_bpe *b, pawl_merger *m, const pawl_stretch *p, pawl_encoding *out)
{
    int64_t first = 0;
    int32_t before = -1;
    for (int64_t i = 0; i < p->bytes;) {
        const int n = pawl_utf8_bytes((uint8_t)p->text[i]);
        const int32_t id = letter_id(b, p->text + i, n);
        if (before >= 0 && id >= 0 && !pawl_bpe_joins(b, before, id)) {
            PAWL_TRY(encode_word(b, m, p, first, i, out));
            first = i;
        }
        before = id;
        i += n;
    }
    return encode_word(b, m, p, first, p->bytes, out);
}

pawl_status pawl_bpe_encode(const pawl_bpe *b, pawl_merger *m, const pawl_stretch *p, pawl_encoding *out)
{
    if (b->ignore_merges) {
        const int32_t id = pawl_strings_find(b->of_bytes ? &b->raw : &b->vocabulary, p->text, (size_t)p->bytes);
        if (id >= 0) return pawl_encoding_add(out, id, pawl_origin(p, 0));
    }
    if (!b->cuttable || p->bytes <= PAWL_WORD_BYTES) return encode_word(b, m, p, 0, p->bytes, out);
    return b->of_bytes ? cut_bytes(b, m, p, out) : cut_letters(b, m, p, out);
}

void pawl_merger_close(pawl_merger *m)
{
    pawl_free(m->symbols);
    pawl_free(m->heap);
    pawl_free(m->words);
    memset(m, 0, sizeof *m);
}
