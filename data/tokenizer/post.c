/* post_processor: what stands before and behind the ids of a text. */
#include <string.h>

#include "core/arena.h"
#include "data/tokenizer/tokenizer.h"

enum { FRAME_MOST = 64 };

static pawl_status add_ids(int32_t **ids, int32_t *count, const json_t *list, const pawl_place *p)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        PAWL_REQUIRE(json_is_integer(v) && json_integer_value(v) >= 0 && json_integer_value(v) < PAWL_ID_MOST, p,
                     "expected ids in [0, %d)", PAWL_ID_MOST);
        PAWL_REQUIRE(*count < FRAME_MOST, p, "more than %d special tokens on a side are not supported", FRAME_MOST);
        PAWL_TRY(pawl_realloc((void **)ids, (size_t)(*count + 1) * sizeof **ids, "the post-processor"));
        (*ids)[(*count)++] = (int32_t)json_integer_value(v);
    }
    return PAWL_OK;
}

static pawl_status add_special(pawl_frame *f, int behind, const json_t *ids, const pawl_place *p)
{
    return behind ? add_ids(&f->behind, &f->behind_count, ids, p) : add_ids(&f->before, &f->before_count, ids, p);
}

/* ---- The processors ---- */

static pawl_status open_template(pawl_frame *f, const json_t *part, const pawl_place *p)
{
    const json_t *single, *tokens = json_object_get(part, "special_tokens");
    int texts = 0;
    PAWL_TRY(pawl_member_array(part, "single", p, &single));
    const pawl_place in = pawl_place_in(p, "single");
    for (size_t i = 0; i < json_array_size(single); i++) {
        const pawl_place at = pawl_place_at(&in, i);
        const json_t *item = json_array_get(single, i), *special = json_object_get(item, "SpecialToken");
        const json_t *sequence = json_object_get(item, "Sequence");
        const char *id;
        PAWL_REQUIRE(json_is_object(special) != json_is_object(sequence), &at, "expected a SpecialToken or a Sequence");
        PAWL_TRY(pawl_member_text(special ? special : sequence, "id", &at, 1, &id));
        if (sequence) {
            PAWL_REQUIRE(strcmp(id, "A") == 0 && !texts++, &at, "expected the text, A, once");
            continue;
        }
        const json_t *ids = json_object_get(json_object_get(tokens, id), "ids");
        PAWL_REQUIRE(json_is_array(ids), &at, "'%.40s' is not among special_tokens", id);
        PAWL_TRY(add_special(f, texts, ids, &at));
    }
    PAWL_REQUIRE(texts, &in, "expected the text, A, once");
    return PAWL_OK;
}

/* ["[SEP]", 102] of a key, as a side of the frame. */
static pawl_status add_pair(pawl_frame *f, int behind, const json_t *part, const char *key, const pawl_place *p)
{
    const pawl_place at = pawl_place_in(p, key);
    const json_t *pair = json_object_get(part, key);
    json_t *id = json_array_get(pair, 1), *list;
    PAWL_REQUIRE(json_array_size(pair) == 2 && json_is_integer(id), &at, "expected [text, id]");
    list = json_pack("[O]", id);
    PAWL_CHECK(list, PAWL_EMEM, "no memory for the post-processor");
    const pawl_status s = add_special(f, behind, list, &at);
    json_decref(list);
    return s;
}

static pawl_status open_bert(pawl_frame *f, const json_t *part, const pawl_place *p)
{
    PAWL_TRY(add_pair(f, 0, part, "cls", p));
    return add_pair(f, 1, part, "sep", p);
}

/* It says only how offsets are trimmed, for people. */
static pawl_status open_byte_level(pawl_frame *f, const json_t *part, const pawl_place *p)
{
    (void)f, (void)part, (void)p;
    return PAWL_OK;
}

static const struct kind {
    const char *name;
    pawl_status (*open)(pawl_frame *f, const json_t *part, const pawl_place *p);
    int adds;
} kinds[] = {
    {"TemplateProcessing", open_template, 1},
    {"ByteLevel", open_byte_level, 0},
    {"BertProcessing", open_bert, 1},
    {"RobertaProcessing", open_bert, 1},
};

pawl_status pawl_post_open(pawl_frame *f, const json_t *part, const pawl_place *p)
{
    const char *type;
    const json_t *list;
    if (!part || json_is_null(part)) return PAWL_OK;
    PAWL_TRY(pawl_member_text(part, "type", p, 1, &type));
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(type, kinds[i].name) != 0) continue;
        PAWL_REQUIRE(!kinds[i].adds || !f->taken, p, "a second post-processor that adds tokens is not supported");
        f->taken |= kinds[i].adds;
        return kinds[i].open(f, part, p);
    }
    PAWL_REQUIRE(strcmp(type, "Sequence") == 0, p, "the post-processor '%.40s' is not supported", type);
    PAWL_TRY(pawl_member_array(part, "processors", p, &list));
    const pawl_place in = pawl_place_in(p, "processors");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const pawl_place at = pawl_place_at(&in, i);
        PAWL_TRY(pawl_post_open(f, json_array_get(list, i), &at));
    }
    return PAWL_OK;
}
