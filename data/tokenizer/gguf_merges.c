/* The merges of a GGUF file's vocabulary: written in it, or implied by the scores of its pieces. */
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "data/tokenizer/gguf_vocab.h"
#include "data/utf8.h"

static pawl_status add_pair(json_t *list, const char *left, size_t left_bytes, const char *right, size_t right_bytes)
{
    json_t *pair = json_array();
    int bad = pair == NULL;
    bad |= json_array_append_new(pair, json_stringn(left, left_bytes)) < 0;
    bad |= json_array_append_new(pair, json_stringn(right, right_bytes)) < 0;
    bad |= json_array_append_new(list, pair) < 0; /* takes pair whatever happens */
    PAWL_CHECK(!bad, PAWL_EMEM, "no memory for a list of merges");
    return PAWL_OK;
}

/* --- written merges: "left right" --------------------------------------------------------------------------- */

static int is_token(const pawl_gguf_vocab *v, const char *text, size_t bytes)
{
    return pawl_gguf_id_of(v, text, bytes, pawl_gguf_hash(text, bytes)) >= 0;
}

static pawl_status add_written(const pawl_gguf_vocab *v, const pawl_gguf_text *m, int64_t at, json_t *list)
{
    enum { LONGEST = 1 << 17 };
    const char *space = m->bytes > 0 ? memchr(m->data + 1, ' ', m->bytes - 1) : NULL;
    char *whole;
    PAWL_CHECK(space && m->bytes <= LONGEST && !memchr(space + 1, ' ', m->bytes - (size_t)(space - m->data) - 1),
               PAWL_EDATA, "%s: key tokenizer.ggml.merges: element %lld is not two tokens with a space between them",
               pawl_gguf_path(v->g), (long long)at);
    const size_t left = (size_t)(space - m->data), right = m->bytes - left - 1;
    PAWL_TRY(pawl_alloc((void **)&whole, m->bytes, "a merge"));
    memcpy(whole, m->data, left);
    memcpy(whole + left, space + 1, right);
    const int known = is_token(v, whole, left + right) && is_token(v, m->data, left) && is_token(v, space + 1, right);
    pawl_free(whole);
    PAWL_CHECK(known, PAWL_EDATA,
               "%s: key tokenizer.ggml.merges: element %lld, '%.*s': its parts and what they make must be tokens",
               pawl_gguf_path(v->g), (long long)at, (int)(m->bytes < 80 ? m->bytes : 80), m->data);
    return add_pair(list, m->data, left, space + 1, right);
}

static pawl_status add_all_written(const pawl_gguf_vocab *v, json_t *list)
{
    pawl_gguf_text *merges;
    int64_t count;
    PAWL_TRY(pawl_gguf_strings(v->g, "tokenizer.ggml.merges", &merges, &count));
    pawl_status s = PAWL_OK;
    for (int64_t i = 0; i < count && s == PAWL_OK; i++) s = add_written(v, &merges[i], i, list);
    pawl_free(merges);
    return s;
}

/* --- merges out of scores ----------------------------------------------------------------------------------- */

/* A piece that is two pieces side by side. */
typedef struct split {
    double score; /* of the whole */
    int32_t whole, left_id, right_id;
    uint32_t left_bytes;
    uint32_t left, right; /* lengths in characters */
} split;

typedef struct splits {
    split *items;
    size_t count, room;
} splits;

static pawl_status add_split(splits *s, split x)
{
    if (s->count == s->room) {
        const size_t room = s->room ? 2 * s->room : 4096;
        PAWL_TRY(pawl_realloc((void **)&s->items, room * sizeof *s->items, "merges out of scores"));
        s->room = room;
    }
    s->items[s->count++] = x;
    return PAWL_OK;
}

static int begins_character(char c)
{
    return ((uint8_t)c & 0xc0) != 0x80;
}

/* Every way to cut the piece in two pieces. Hashes of its beginnings and ends are extended byte by byte, so that a long
 * piece costs no more than its length. */
static pawl_status cut(const pawl_gguf_vocab *v, int32_t id, uint64_t *end_hash, splits *out)
{
    const pawl_gguf_text *t = &v->tokens[id];
    uint64_t power = 1, begin_hash = 0;
    end_hash[t->bytes] = 0;
    for (size_t i = t->bytes; i > 0; i--) {
        end_hash[i - 1] = end_hash[i] + ((uint8_t)t->data[i - 1] + UINT64_C(1)) * power;
        power *= PAWL_GGUF_HASH_BASE;
    }
    const uint32_t characters = (uint32_t)pawl_utf8_length(t->data, t->bytes);
    uint32_t before = 0;
    for (size_t i = 1; i < t->bytes; i++) {
        begin_hash = begin_hash * PAWL_GGUF_HASH_BASE + (uint8_t)t->data[i - 1] + 1;
        before += (uint32_t)begins_character(t->data[i - 1]);
        if (!begins_character(t->data[i])) continue;
        const int32_t left = pawl_gguf_id_of(v, t->data, i, begin_hash);
        if (left < 0) continue;
        const int32_t right = pawl_gguf_id_of(v, t->data + i, t->bytes - i, end_hash[i]);
        if (right < 0) continue;
        PAWL_TRY(add_split(out, (split){v->scores[id], id, left, right, (uint32_t)i, before, characters - before}));
    }
    return PAWL_OK;
}

/* Best score first; then longer beginnings, then longer ends; then as the vocabulary has them. */
static int by_rank(const void *a, const void *b)
{
    const split *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    if (x->left != y->left) return x->left > y->left ? -1 : 1;
    if (x->right != y->right) return x->right > y->right ? -1 : 1;
    if (x->whole != y->whole) return x->whole < y->whole ? -1 : 1;
    if (x->left_id != y->left_id) return x->left_id < y->left_id ? -1 : 1;
    return x->right_id < y->right_id ? -1 : x->right_id > y->right_id;
}

/* Only these come of merging: text never becomes a control or byte token. */
static int is_piece(const pawl_gguf_vocab *v, int64_t id)
{
    return v->types[id] == PAWL_GGUF_NORMAL || v->types[id] == PAWL_GGUF_USER_DEFINED;
}

static pawl_status cut_all(const pawl_gguf_vocab *v, splits *s)
{
    size_t longest = 0;
    uint64_t *end_hash;
    for (int64_t id = 0; id < v->count; id++)
        if (v->tokens[id].bytes > longest && is_piece(v, id)) longest = v->tokens[id].bytes;
    PAWL_TRY(pawl_alloc((void **)&end_hash, (longest + 1) * sizeof *end_hash, "hashes of a piece"));
    pawl_status status = PAWL_OK;
    for (int64_t id = 0; id < v->count && status == PAWL_OK; id++)
        if (is_piece(v, id)) status = cut(v, (int32_t)id, end_hash, s);
    pawl_free(end_hash);
    return status;
}

static pawl_status add_implied(const pawl_gguf_vocab *v, json_t *list)
{
    splits s = {0};
    PAWL_CHECK(v->scores, PAWL_EDATA,
               "%s: key tokenizer.ggml.scores is missing, and no tokenizer.ggml.merges stand in for it",
               pawl_gguf_path(v->g));
    pawl_status status = cut_all(v, &s);
    if (status == PAWL_OK && s.count > 1) qsort(s.items, s.count, sizeof *s.items, by_rank);
    for (size_t i = 0; i < s.count && status == PAWL_OK; i++) {
        const split *x = &s.items[i];
        const pawl_gguf_text *t = &v->tokens[x->whole];
        status = add_pair(list, t->data, x->left_bytes, t->data + x->left_bytes, t->bytes - x->left_bytes);
    }
    pawl_free(s.items);
    return status;
}

pawl_status pawl_gguf_merges(const pawl_gguf_vocab *v, json_t **out)
{
    json_t *list = json_array();
    PAWL_CHECK(list, PAWL_EMEM, "no memory for a list of merges");
    const int written = v->rule || pawl_gguf_has(v->g, "tokenizer.ggml.merges");
    const pawl_status s = written ? add_all_written(v, list) : add_implied(v, list);
    if (s == PAWL_OK)
        *out = list;
    else
        json_decref(list);
    return s;
}
