#include "data/tokenizer/added.h"

#include <stdlib.h>

#include "core/arena.h"
#include "data/tokenizer/tokenizer.h"
#include "data/tokenizer/tokens.h"

enum { CONTENT_MOST = 4096, TOKENS_MOST = 1 << 20 };

/* ---- Sets of texts ---- */

static int by_text(const void *a, const void *b)
{
    const struct pawl_needle *x = a, *y = b;
    const int64_t least = x->bytes < y->bytes ? x->bytes : y->bytes;
    const int order = memcmp(x->text, y->text, (size_t)least);
    if (order) return order;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1;
    return x->order - y->order;
}

static pawl_status set_add(pawl_added_set *set, const char *text, size_t bytes, const pawl_added_token *token)
{
    struct pawl_needle *n = &set->items[set->count];
    PAWL_TRY(pawl_alloc((void **)&n->text, bytes + 1, "an added token"));
    memcpy(n->text, text, bytes);
    n->bytes = (int64_t)bytes;
    n->token = token;
    n->order = set->count++;
    return PAWL_OK;
}

static void set_sort(pawl_added_set *set)
{
    if (set->count) qsort(set->items, (size_t)set->count, sizeof *set->items, by_text);
    for (int i = 0, b = 0; b <= 256; b++) {
        while (i < set->count && (uint8_t)set->items[i].text[0] < b) i++;
        set->first[b] = i;
    }
}

static void set_close(pawl_added_set *set)
{
    for (int i = 0; i < set->count; i++) pawl_free(set->items[i].text);
    pawl_free(set->items);
}

/* The longest text of the set that begins here; of equal ones the first. Items are sorted, so those that agree so far
 * are neighbours, and one that is a beginning of others stands before them. */
static const struct pawl_needle *longest(const pawl_added_set *set, const char *text, int64_t bytes)
{
    const struct pawl_needle *best = NULL;
    int low = set->first[(uint8_t)text[0]], high = set->first[(uint8_t)text[0] + 1];
    for (int64_t depth = 1; low < high; depth++) {
        const int whole = set->items[low].bytes == depth;
        if (whole) best = &set->items[low];
        while (low < high && set->items[low].bytes == depth) low++;
        if (depth == bytes) break;
        const uint8_t byte = (uint8_t)text[depth];
        while (low < high && (uint8_t)set->items[low].text[depth] < byte) low++;
        int end = low;
        while (end < high && (uint8_t)set->items[end].text[depth] == byte) end++;
        high = end;
    }
    return best;
}

/* ---- The stage ---- */

static int class_before(const pawl_stretch *p, int64_t at, const pawl_classes *c)
{
    return at > 0 ? pawl_class_of(c, pawl_utf8_point(p->text + at - pawl_utf8_last(p->text, at))) : 0;
}

static int class_behind(const pawl_stretch *p, int64_t at, const pawl_classes *c)
{
    return at < p->bytes ? pawl_class_of(c, pawl_utf8_point(p->text + at)) : 0;
}

static int stands_alone(const pawl_stretch *p, int64_t first, int64_t end, const pawl_classes *c)
{
    return !(class_before(p, first, c) & PAWL_WORD) && !(class_behind(p, end, c) & PAWL_WORD);
}

/* Where the token ends and begins once it has taken the white space around it. */
static void widen(const pawl_added_token *k, const pawl_stretch *p, const pawl_classes *c, int64_t from, int64_t *first,
                  int64_t *end)
{
    while (k->lstrip && *first > from && class_before(p, *first, c) & PAWL_SPACE)
        *first -= pawl_utf8_last(p->text, *first);
    if (k->lstrip && *first < from) *first = from;
    while (k->rstrip && class_behind(p, *end, c) & PAWL_SPACE) *end += pawl_utf8_bytes((uint8_t)p->text[*end]);
}

pawl_status pawl_added_run(const pawl_stage *s, pawl_encoder *e, pawl_stretch piece)
{
    const pawl_added_set *set = s->added;
    const pawl_classes *classes = &s->tokenizer->classes;
    int64_t from = 0; /* what stands before it is given out */
    for (int64_t i = 0; i < piece.bytes && set->count;) {
        const uint8_t byte = (uint8_t)piece.text[i];
        const struct pawl_needle *n =
            set->first[byte] == set->first[byte + 1] ? NULL : longest(set, piece.text + i, piece.bytes - i);
        if (!n) {
            i++;
            continue;
        }
        int64_t first = i, end = i + n->bytes;
        i = end; /* one that may not stand here hides what it covers all the same */
        if (n->token->single_word && !stands_alone(&piece, first, end, classes)) continue;
        widen(n->token, &piece, classes, from, &first, &end);
        if (from < first) PAWL_TRY(pawl_pass_on(s, e, pawl_part_of(&piece, from, first)));
        if (first < end) PAWL_TRY(pawl_encoding_add(e->out, n->token->id, pawl_origin(&piece, first)));
        from = end;
    }
    return from < piece.bytes ? pawl_pass_on(s, e, pawl_part_of(&piece, from, piece.bytes)) : PAWL_OK;
}

/* ---- Reading added_tokens ---- */

/* The id that Hugging Face's tokenizers gives the next token: its own in the vocabulary, or the first free one. */
static int32_t expected_id(const pawl_added *a, const pawl_bpe *bpe, const char *content, size_t bytes)
{
    const int32_t known = pawl_added_find(a, content, bytes);
    const int32_t own = known >= 0 ? known : pawl_strings_find(&bpe->vocabulary, content, bytes);
    const int32_t count = bpe->vocabulary.count, most = a->ids - 1;
    if (own >= 0) return own;
    return a->count && (most >= count || count == 0) ? most + 1 : count;
}

static pawl_status note_id(pawl_added *a, int32_t id, int32_t place)
{
    if (id >= a->ids) {
        PAWL_TRY(pawl_realloc((void **)&a->by_id, (size_t)(id + 1) * sizeof *a->by_id, "the added tokens"));
        while (a->ids <= id) a->by_id[a->ids++] = -1;
    }
    a->by_id[id] = place;
    return PAWL_OK;
}

static pawl_status read_token(pawl_added *a, const json_t *v, const pawl_bpe *bpe, const pawl_place *p)
{
    const char *content;
    pawl_added_token t = {0};
    int64_t id;
    PAWL_REQUIRE(json_is_object(v), p, "expected an object");
    PAWL_TRY(pawl_member_text(v, "content", p, 1, &content));
    PAWL_TRY(pawl_member_count(v, "id", p, PAWL_ID_MOST - 1, &id));
    PAWL_TRY(pawl_member_flag(v, "single_word", p, 0, &t.single_word));
    PAWL_TRY(pawl_member_flag(v, "lstrip", p, 0, &t.lstrip));
    PAWL_TRY(pawl_member_flag(v, "rstrip", p, 0, &t.rstrip));
    PAWL_TRY(pawl_member_flag(v, "special", p, 0, &t.special));
    PAWL_TRY(pawl_member_flag(v, "normalized", p, !t.special, &t.normalized));
    const size_t bytes = strlen(content);
    PAWL_REQUIRE(bytes <= CONTENT_MOST, p, "a token of more than %d bytes is not supported", CONTENT_MOST);
    if (!bytes) return PAWL_OK; /* as there: an empty one is passed over */
    PAWL_REQUIRE(pawl_added_find(a, content, bytes) < 0, p, "'%.60s' is there twice", content);
    t.id = expected_id(a, bpe, content, bytes);
    PAWL_REQUIRE(
        t.id == id, p,
        "'%.60s' has the id %lld, but Hugging Face's tokenizers would give it %d (its id in the vocabulary, or the "
        "next free one)",
        content, (long long)id, t.id);
    PAWL_TRY(pawl_strings_add(&a->contents, a->count, content, bytes));
    PAWL_TRY(note_id(a, t.id, a->count));
    a->tokens[a->count++] = t;
    return PAWL_OK;
}

static pawl_status set_open(pawl_added_set *set, int32_t room)
{
    return pawl_alloc((void **)&set->items, (size_t)(room + 1) * sizeof *set->items, "the added tokens");
}

/* Special ones first, as there: of equal texts the first counts. */
static pawl_status fill_raw(pawl_added *a)
{
    for (int special = 1; special >= 0; special--)
        for (int32_t i = 0; i < a->count; i++) {
            const pawl_added_token *t = &a->tokens[i];
            size_t bytes;
            const char *text = pawl_strings_text(&a->contents, i, &bytes);
            if (t->special == special && !t->normalized) PAWL_TRY(set_add(&a->raw, text, bytes, t));
        }
    set_sort(&a->raw);
    return PAWL_OK;
}

pawl_status pawl_added_open(pawl_added *a, const json_t *list, const pawl_bpe *bpe, const pawl_place *p)
{
    const size_t count = json_array_size(list);
    PAWL_REQUIRE(!list || json_is_null(list) || json_is_array(list), p, "expected a list");
    PAWL_REQUIRE(count < TOKENS_MOST, p, "more than %d tokens are not supported", TOKENS_MOST);
    PAWL_TRY(pawl_alloc((void **)&a->tokens, (count + 1) * sizeof *a->tokens, "the added tokens"));
    PAWL_TRY(set_open(&a->raw, (int32_t)count));
    PAWL_TRY(set_open(&a->normalized, (int32_t)count));
    for (size_t i = 0; i < count; i++) {
        const pawl_place at = pawl_place_at(p, i);
        PAWL_TRY(read_token(a, json_array_get(list, i), bpe, &at));
    }
    return fill_raw(a);
}

pawl_status pawl_added_normalize(pawl_added *a, const pawl_place *p,
                                 pawl_status (*write)(void *data, const char *text, size_t bytes, pawl_stretch *out),
                                 void *data)
{
    for (int special = 1; special >= 0; special--)
        for (int32_t i = 0; i < a->count; i++) {
            const pawl_added_token *t = &a->tokens[i];
            const pawl_place at = pawl_place_at(p, (size_t)i);
            size_t bytes;
            pawl_stretch normal;
            const char *text = pawl_strings_text(&a->contents, i, &bytes);
            if (t->special != special || !t->normalized) continue;
            PAWL_TRY(write(data, text, bytes, &normal));
            PAWL_REQUIRE(normal.bytes > 0, &at, "'%.60s' is nothing once it is normalized: set normalized to false",
                         text);
            PAWL_TRY(set_add(&a->normalized, normal.text, (size_t)normal.bytes, t));
            PAWL_TRY(pawl_strings_add(&a->normals, i, normal.text, (size_t)normal.bytes));
        }
    set_sort(&a->normalized);
    return PAWL_OK;
}

void pawl_added_close(pawl_added *a)
{
    pawl_strings_close(&a->contents);
    pawl_strings_close(&a->normals);
    pawl_free(a->tokens);
    pawl_free(a->by_id);
    set_close(&a->raw);
    set_close(&a->normalized);
}

int32_t pawl_added_find(const pawl_added *a, const char *text, size_t bytes)
{
    const int32_t place = pawl_strings_find(&a->contents, text, bytes);
    return place < 0 ? -1 : a->tokens[place].id;
}

const pawl_added_token *pawl_added_of(const pawl_added *a, int32_t id)
{
    const int32_t place = id >= 0 && id < a->ids ? a->by_id[id] : -1;
    return place < 0 ? NULL : &a->tokens[place];
}

const char *pawl_added_text(const pawl_added *a, const pawl_added_token *t, size_t *bytes)
{
    const int32_t place = (int32_t)(t - a->tokens);
    return pawl_strings_text(t->normalized ? &a->normals : &a->contents, place, bytes);
}

int pawl_added_is_special(const pawl_added *a, const char *text, size_t bytes)
{
    const int32_t place = pawl_strings_find(&a->contents, text, bytes);
    return place >= 0 && a->tokens[place].special;
}
