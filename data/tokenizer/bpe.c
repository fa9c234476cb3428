#include "data/tokenizer/bpe.h"

#include <stdio.h>

#include "core/arena.h"
#include "data/tokenizer/unicode.h"

enum { MERGES_MOST = 1 << 25 };

/* ---- Vocabulary ---- */

static pawl_status read_vocabulary(pawl_bpe *b, const json_t *vocab, const pawl_place *p)
{
    const char *text;
    json_t *value;
    PAWL_REQUIRE(json_is_object(vocab), p, "expected an object of texts and ids");
    json_object_foreach((json_t *)vocab, text, value)
    {
        const json_int_t id = json_integer_value(value);
        PAWL_REQUIRE(json_is_integer(value) && id >= 0 && id < PAWL_ID_MOST, p, "'%.60s': expected an id in [0, %d)",
                     text, PAWL_ID_MOST);
        const char *other = pawl_strings_text(&b->vocabulary, (int32_t)id, NULL);
        PAWL_REQUIRE(!other, p, "'%.60s' and '%.60s' have the same id %lld", other, text, (long long)id);
        PAWL_TRY(pawl_strings_add(&b->vocabulary, (int32_t)id, text, strlen(text)));
    }
    return PAWL_OK;
}

static int32_t id_of(const pawl_bpe *b, const char *text, size_t bytes)
{
    return pawl_strings_find(&b->vocabulary, text, bytes);
}

/* ---- Merges ---- */

typedef struct pair {
    const char *left, *right;
    size_t left_bytes, right_bytes;
} pair;

/* "a b" or ["a", "b"]. */
static pawl_status read_pair(const json_t *v, const pawl_place *p, pair *out)
{
    if (json_is_string(v)) {
        const char *text = json_string_value(v), *gap = strchr(text, ' ');
        PAWL_REQUIRE(gap && !strchr(gap + 1, ' '), p, "expected two tokens with one space between them, found '%.60s'",
                     text);
        *out = (pair){text, gap + 1, (size_t)(gap - text), strlen(gap + 1)};
        return PAWL_OK;
    }
    const json_t *a = json_array_get(v, 0), *b = json_array_get(v, 1);
    PAWL_REQUIRE(json_array_size(v) == 2 && json_is_string(a) && json_is_string(b), p, "expected a pair of tokens");
    *out = (pair){json_string_value(a), json_string_value(b), json_string_length(a), json_string_length(b)};
    return PAWL_OK;
}

static void put_merge(pawl_bpe *b, pawl_merge m)
{
    pawl_merge *old = (pawl_merge *)(uintptr_t)pawl_merge_of(b, m.left, m.right);
    if (old) { /* the later of two counts, as in a map */
        *old = m;
        return;
    }
    uint64_t at = (m.left * 0x9e3779b97f4a7c15u) ^ (m.right * 0xc2b2ae3d27d4eb4fu);
    at = (at ^ at >> 31) & b->merge_mask;
    while (b->merges[at].id != UINT32_MAX) at = (at + 1) & b->merge_mask;
    b->merges[at] = m;
}

static pawl_status read_merge(pawl_bpe *b, const json_t *v, uint32_t rank, const pawl_place *p)
{
    char joined[4096];
    pair m;
    PAWL_TRY(read_pair(v, p, &m));
    const size_t cut = b->prefix ? strlen(b->prefix) : 0;
    const int32_t left = id_of(b, m.left, m.left_bytes), right = id_of(b, m.right, m.right_bytes);
    PAWL_REQUIRE(left >= 0, p, "'%.60s' is not in the vocabulary", m.left);
    PAWL_REQUIRE(right >= 0, p, "'%.60s' is not in the vocabulary", m.right);
    PAWL_REQUIRE(m.right_bytes >= cut, p, "'%.60s' is shorter than continuing_subword_prefix", m.right);
    PAWL_REQUIRE(m.left_bytes + m.right_bytes <= sizeof joined, p, "tokens of more than %zu bytes are not supported",
                 sizeof joined);
    memcpy(joined, m.left, m.left_bytes);
    memcpy(joined + m.left_bytes, m.right + cut, m.right_bytes - cut);
    const size_t bytes = m.left_bytes + m.right_bytes - cut;
    const int32_t id = id_of(b, joined, bytes);
    PAWL_REQUIRE(id >= 0, p, "'%.*s', which it makes, is not in the vocabulary", bytes < 60 ? (int)bytes : 60, joined);
    put_merge(b, (pawl_merge){(uint32_t)left, (uint32_t)right, rank, (uint32_t)id});
    return PAWL_OK;
}

static pawl_status read_merges(pawl_bpe *b, const json_t *list, const pawl_place *p)
{
    const size_t count = json_array_size(list);
    uint64_t slots = 1024;
    PAWL_REQUIRE(json_is_array(list) && count < MERGES_MOST, p, "expected a list of less than %d pairs", MERGES_MOST);
    while (slots < 2 * count) slots *= 2;
    PAWL_TRY(pawl_alloc((void **)&b->merges, slots * sizeof *b->merges, "the table of merges"));
    memset(b->merges, 0xff, slots * sizeof *b->merges);
    b->merge_mask = slots - 1;
    b->merge_count = (int64_t)count;
    for (size_t i = 0; i < count; i++) {
        const pawl_place at = pawl_place_at(p, i);
        PAWL_TRY(read_merge(b, json_array_get(list, i), (uint32_t)i, &at));
    }
    return PAWL_OK;
}

/* ---- Where words may be cut ---- */

static int32_t first_letter(const pawl_bpe *b, uint32_t id)
{
    size_t bytes;
    const char *text = pawl_strings_text(&b->vocabulary, (int32_t)id, &bytes);
    return bytes ? id_of(b, text, (size_t)pawl_utf8_bytes((uint8_t)text[0])) : -1;
}

static int32_t last_letter(const pawl_bpe *b, uint32_t id)
{
    size_t bytes;
    const char *text = pawl_strings_text(&b->vocabulary, (int32_t)id, &bytes);
    const size_t last = bytes ? (size_t)pawl_utf8_last(text, (int64_t)bytes) : 0;
    return bytes ? id_of(b, text + bytes - last, last) : -1;
}

static uint64_t *joint_slot(const pawl_bpe *b, uint64_t key)
{
    uint64_t at = key * 0x9e3779b97f4a7c15u;
    at = (at ^ at >> 32) & b->joint_mask;
    while (b->joints[at] != UINT64_MAX && b->joints[at] != key) at = (at + 1) & b->joint_mask;
    return &b->joints[at];
}

/* A merge joins two letters that are neighbours: the last of its left side and the first of its right side. Where no
 * merge does so with the letters at hand, what stands on either side never becomes one token, and is merged alone. */
static pawl_status find_joints(pawl_bpe *b)
{
    b->joint_mask = b->merge_mask;
    PAWL_TRY(pawl_alloc((void **)&b->joints, (b->joint_mask + 1) * sizeof *b->joints, "the joints of letters"));
    memset(b->joints, 0xff, (b->joint_mask + 1) * sizeof *b->joints);
    for (uint64_t i = 0; i <= b->merge_mask; i++) {
        const pawl_merge *m = &b->merges[i];
        if (m->id == UINT32_MAX) continue;
        const int32_t left = last_letter(b, m->left), right = first_letter(b, m->right);
        const uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
        if (left >= 0 && right >= 0) *joint_slot(b, key) = key;
    }
    return PAWL_OK;
}

int pawl_bpe_joins(const pawl_bpe *b, int32_t left, int32_t right)
{
    return *joint_slot(b, (uint64_t)(uint32_t)left << 32 | (uint32_t)right) != UINT64_MAX;
}

/* ---- Letters and bytes ---- */

static pawl_status find_letters(pawl_bpe *b)
{
    const int most = 0x10000;
    char text[8];
    PAWL_TRY(pawl_alloc((void **)&b->letter_id, (size_t)most * sizeof *b->letter_id, "the ids of letters"));
    for (int point = 0; point < most; point++) {
        const int surrogate = point >= 0xd800 && point < 0xe000;
        const int bytes = surrogate ? 0 : pawl_utf8_write((uint32_t)point, text);
        b->letter_id[point] = bytes ? id_of(b, text, (size_t)bytes) : -1;
    }
    for (int byte = 0; byte < 256; byte++) {
        snprintf(text, sizeof text, "<0x%02X>", byte);
        b->fallback_id[byte] = id_of(b, text, 6);
        b->byte_id[byte] = id_of(b, text, (size_t)pawl_byte_letter(byte, text));
    }
    return PAWL_OK;
}

static pawl_status find_raw(pawl_bpe *b)
{
    char raw[4096];
    for (int32_t id = 0; id < b->vocabulary.size; id++) {
        size_t bytes, n = 0;
        const char *text = pawl_strings_text(&b->vocabulary, id, &bytes);
        int byte = text && bytes ? 0 : -1;
        for (size_t at = 0; byte >= 0 && at < bytes && n < sizeof raw;
             at += (size_t)pawl_utf8_bytes((uint8_t)text[at])) {
            byte = pawl_letter_byte(pawl_utf8_point(text + at));
            raw[n++] = (char)byte;
        }
        if (byte >= 0) PAWL_TRY(pawl_strings_add(&b->raw, id, raw, n));
    }
    return PAWL_OK;
}

static int in_utf8(int byte)
{
    return byte < 0xc0 || (byte >= 0xc2 && byte <= 0xf4);
}

pawl_status pawl_bpe_take_bytes(pawl_bpe *b)
{
    if (b->prefix || b->suffix) return PAWL_OK;
    for (int byte = 0; byte < 256; byte++)
        if (in_utf8(byte) && b->byte_id[byte] < 0) return PAWL_OK;
    PAWL_TRY(pawl_alloc((void **)&b->byte_joints, 256 * 256 / 8, "the joints of bytes"));
    for (int left = 0; left < 256; left++)
        for (int right = 0; right < 256; right++) {
            const int joins = b->byte_id[left] >= 0 && b->byte_id[right] >= 0 &&
                              pawl_bpe_joins(b, b->byte_id[left], b->byte_id[right]);
            if (joins) b->byte_joints[left << 5 | right >> 3] |= (uint8_t)(1 << (right & 7));
        }
    b->of_bytes = 1;
    return b->ignore_merges ? find_raw(b) : PAWL_OK;
}

/* ---- The model's section ---- */

/* A text that only counts when it is not empty. */
static pawl_status read_affix(const json_t *model, const char *key, const pawl_place *p, char **out)
{
    const char *text;
    PAWL_TRY(pawl_member_text(model, key, p, 0, &text));
    if (!text || !*text) return PAWL_OK;
    PAWL_TRY(pawl_alloc((void **)out, strlen(text) + 1, "a part of tokens"));
    memcpy(*out, text, strlen(text));
    return PAWL_OK;
}

static pawl_status read_options(pawl_bpe *b, const json_t *model, const pawl_place *p)
{
    const char *unknown;
    const json_t *dropout = json_object_get(model, "dropout");
    PAWL_REQUIRE(!dropout || json_is_null(dropout) || (json_is_number(dropout) && json_number_value(dropout) == 0), p,
                 "dropout is not supported: set it to null");
    PAWL_TRY(read_affix(model, "continuing_subword_prefix", p, &b->prefix));
    PAWL_TRY(read_affix(model, "end_of_word_suffix", p, &b->suffix));
    PAWL_TRY(pawl_member_flag(model, "fuse_unk", p, 0, &b->fuse_unknown));
    PAWL_TRY(pawl_member_flag(model, "byte_fallback", p, 0, &b->byte_fallback));
    PAWL_TRY(pawl_member_flag(model, "ignore_merges", p, 0, &b->ignore_merges));
    PAWL_TRY(pawl_member_text(model, "unk_token", p, 0, &unknown));
    b->unknown = unknown ? id_of(b, unknown, strlen(unknown)) : -1;
    PAWL_REQUIRE(!unknown || b->unknown >= 0, p, "unk_token '%.60s' is not in the vocabulary", unknown);
    b->cuttable = !b->prefix && !b->suffix;
    return PAWL_OK;
}

pawl_status pawl_bpe_open(pawl_bpe *b, const json_t *model, const pawl_place *p)
{
    const char *type;
    const pawl_place vocab = pawl_place_in(p, "vocab"), merges = pawl_place_in(p, "merges");
    PAWL_REQUIRE(json_is_object(model), p, "expected an object");
    PAWL_TRY(pawl_member_text(model, "type", p, 0, &type));
    PAWL_REQUIRE(!type || strcmp(type, "BPE") == 0, p, "the type '%.40s' is not supported, only BPE is", type);
    PAWL_TRY(read_vocabulary(b, json_object_get(model, "vocab"), &vocab));
    PAWL_TRY(read_options(b, model, p));
    PAWL_TRY(read_merges(b, json_object_get(model, "merges"), &merges));
    PAWL_TRY(find_letters(b));
    return find_joints(b);
}

void pawl_bpe_close(pawl_bpe *b)
{
    pawl_strings_close(&b->vocabulary);
    pawl_strings_close(&b->raw);
    pawl_free(b->merges);
    pawl_free(b->joints);
    pawl_free(b->byte_joints);
    pawl_free(b->letter_id);
    pawl_free(b->prefix);
    pawl_free(b->suffix);
}
