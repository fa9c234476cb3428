#include "data/chat/words.h"

#include <limits.h>
#include <string.h>

#include "core/arena.h"
#include "core/file.h"

/* ---- Lists of words ---- */

pawl_status pawl_copy_words(char **out, const char *text)
{
    const size_t bytes = strlen(text) + 1;
    PAWL_TRY(pawl_alloc((void **)out, bytes, "words of a tokenizer"));
    memcpy(*out, text, bytes);
    return PAWL_OK;
}

int pawl_words_have(const pawl_words *w, const char *word)
{
    for (int i = 0; i < w->count; i++)
        if (strcmp(w->items[i], word) == 0) return 1;
    return 0;
}

pawl_status pawl_words_add(pawl_words *w, const char *word)
{
    if (!word || !word[0] || pawl_words_have(w, word)) return PAWL_OK;
    if (w->count == w->room) {
        const int room = 2 * w->room + 32;
        PAWL_TRY(pawl_realloc((void **)&w->items, (size_t)room * sizeof *w->items, "words of a tokenizer"));
        w->room = room;
    }
    PAWL_TRY(pawl_copy_words(&w->items[w->count], word));
    w->count++;
    return PAWL_OK;
}

const char *pawl_words_first(const pawl_words *w, const char *text, size_t from, size_t to, size_t *at)
{
    const char *best = NULL;
    size_t best_at = to;
    for (int i = 0; i < w->count; i++) {
        const size_t n = strlen(w->items[i]);
        const char *found = from < to ? memmem(text + from, to - from, w->items[i], n) : NULL;
        const size_t place = found ? (size_t)(found - text) : to;
        if (!found || place > best_at || (place == best_at && best && n <= strlen(best))) continue;
        best = w->items[i];
        best_at = place;
    }
    if (at) *at = best_at;
    return best;
}

void pawl_words_close(pawl_words *w)
{
    for (int i = 0; i < w->count; i++) pawl_free(w->items[i]);
    pawl_free(w->items);
    memset(w, 0, sizeof *w);
}

/* ---- The files of a folder ---- */

static pawl_status read_if_there(const char *folder, const char *name, json_t **out)
{
    char path[PATH_MAX];
    *out = NULL;
    PAWL_TRY(pawl_path_join(path, sizeof path, folder, name));
    return pawl_path_exists(path) ? pawl_json_read_real(path, (size_t)256 << 20, out) : PAWL_OK;
}

/* A token is written as a text, or as an object with its content. */
static const char *content_of(const json_t *token)
{
    return json_string_value(json_is_object(token) ? json_object_get(token, "content") : token);
}

static pawl_status take_named_tokens(const json_t *config, json_t *variables, pawl_words *specials)
{
    static const char *const names[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *content = content_of(json_object_get(config, names[i]));
        if (!content) continue;
        PAWL_CHECK(json_object_set_new(variables, names[i], json_string(content)) == 0, PAWL_EMEM,
                   "no memory for the tokens of a tokenizer");
        PAWL_TRY(pawl_words_add(specials, content));
    }
    return PAWL_OK;
}

static pawl_status take_if_special(const json_t *token, pawl_words *specials)
{
    return json_is_true(json_object_get(token, "special")) ? pawl_words_add(specials, content_of(token)) : PAWL_OK;
}

static pawl_status take_config(const char *folder, const char *name, json_t *variables, pawl_words *specials)
{
    json_t *config, *token;
    const char *id;
    pawl_status status = PAWL_OK;
    PAWL_TRY(read_if_there(folder, name, &config));
    PAWL_TRY_OUT(take_named_tokens(config, variables, specials));
    json_object_foreach(json_object_get(config, "added_tokens_decoder"), id, token)
        PAWL_TRY_OUT(take_if_special(token, specials));
out:
    json_decref(config);
    return status;
}

static const json_t *token_of_id(const json_t *added, json_int_t id)
{
    for (size_t i = 0; i < json_array_size(added); i++)
        if (json_integer_value(json_object_get(json_array_get(added, i), "id")) == id) return json_array_get(added, i);
    return NULL;
}

/* What generation stops at. */
static pawl_status take_stops(const json_t *generation, const json_t *added, pawl_words *ends)
{
    const json_t *ids = json_object_get(generation, "eos_token_id");
    if (json_is_integer(ids)) return pawl_words_add(ends, content_of(token_of_id(added, json_integer_value(ids))));
    for (size_t i = 0; i < json_array_size(ids); i++)
        PAWL_TRY(pawl_words_add(ends, content_of(token_of_id(added, json_integer_value(json_array_get(ids, i))))));
    return PAWL_OK;
}

static pawl_status take_tokenizer(const char *folder, pawl_words *specials, pawl_words *ends)
{
    json_t *tokenizer = NULL, *generation = NULL;
    pawl_status status = PAWL_OK;
    PAWL_TRY_OUT(read_if_there(folder, "tokenizer.json", &tokenizer));
    PAWL_TRY_OUT(read_if_there(folder, "generation_config.json", &generation));
    const json_t *added = json_object_get(tokenizer, "added_tokens");
    for (size_t i = 0; i < json_array_size(added); i++)
        PAWL_TRY_OUT(take_if_special(json_array_get(added, i), specials));
    PAWL_TRY_OUT(take_stops(generation, added, ends));
out:
    json_decref(tokenizer);
    json_decref(generation);
    return status;
}

static pawl_status take_folder(const char *folder, json_t *variables, pawl_words *specials, pawl_words *ends)
{
    PAWL_TRY(take_config(folder, "special_tokens_map.json", variables, specials));
    PAWL_TRY(take_config(folder, "tokenizer_config.json", variables, specials));
    return take_tokenizer(folder, specials, ends);
}

/* ---- Without files ---- */

static pawl_status set_token(json_t *variables, const char *name, const char *content)
{
    if (!content) return PAWL_OK;
    PAWL_CHECK(json_object_set_new(variables, name, json_string(content)) == 0, PAWL_EMEM,
               "no memory for the tokens of a tokenizer");
    return PAWL_OK;
}

static pawl_status take_ids(const pawl_tokenizer *t, json_t *variables, pawl_words *specials)
{
    const char *begin = pawl_tokenizer_content(t, pawl_tokenizer_begin(t)),
               *end = pawl_tokenizer_content(t, pawl_tokenizer_end(t));
    PAWL_TRY(set_token(variables, "bos_token", begin));
    PAWL_TRY(set_token(variables, "eos_token", end));
    PAWL_TRY(pawl_words_add(specials, begin));
    return pawl_words_add(specials, end);
}

pawl_status pawl_template_words(const char *folder, const pawl_tokenizer *t, const pawl_named_template *named,
                                json_t *variables, pawl_words *specials, pawl_words *ends)
{
    /* Ends of turns by which published templates go. A template that writes another is found out by a probe. */
    static const char *const known[] = {
        "<|im_end|>",
        "<|eot_id|>",
        "<|eom_id|>",
        "<|eot|>",
        "<|eom|>",
        "<end_of_turn>",
        "<turn|>",
        "<|end|>",
        "<|return|>",
        "<|call|>",
        "<|endoftext|>",
        "<|end_of_text|>",
        "</s>",
        "<\xEF\xBD\x9C"
        "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>",
        "<|END_OF_TURN_TOKEN|>",
        "[|endofturn|]",
        "<|endofturn|>",
    };
    if (folder)
        PAWL_TRY(take_folder(folder, variables, specials, ends));
    else if (t)
        PAWL_TRY(take_ids(t, variables, specials));
    else if (named) {
        PAWL_TRY(set_token(variables, "bos_token", named->bos));
        PAWL_TRY(set_token(variables, "eos_token", named->eos));
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        PAWL_TRY(pawl_words_add(specials, known[i]));
        PAWL_TRY(pawl_words_add(ends, known[i]));
    }
    if (named) PAWL_TRY(pawl_words_add(ends, named->end));
    return pawl_words_add(ends, json_string_value(json_object_get(variables, "eos_token")));
}
