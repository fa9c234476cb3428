/* The tokenizer `bytes`: id b is the byte b, and four specials follow. It is a tokenizer.json like others, made here.
 */
#include <limits.h>

#include "core/file.h"
#include "data/tokenizer/tokenizer.h"

enum { BYTES = 256, END_OF_TEXT = BYTES, PAD, IM_START, IM_END, SIZE };

static const char *const specials[SIZE - BYTES] = {"<|endoftext|>", "<|pad|>", "<|im_start|>", "<|im_end|>"};
const char *const pawl_bytes_end = "<|endoftext|>";

static json_t *vocabulary(void)
{
    json_t *vocab = json_object();
    for (int b = 0; b < BYTES; b++) {
        char name[3] = {0};
        pawl_byte_letter(b, name);
        if (json_object_set_new(vocab, name, json_integer(b)) < 0) {
            json_decref(vocab);
            return NULL;
        }
    }
    return vocab;
}

static json_t *added_tokens(void)
{
    json_t *list = json_array();
    for (int id = BYTES; id < SIZE; id++) {
        json_t *token = json_pack("{s:i,s:s,s:b,s:b,s:b,s:b,s:b}", "id", id, "content", specials[id - BYTES],
                                  "single_word", 0, "lstrip", 0, "rstrip", 0, "normalized", 0, "special", 1);
        if (json_array_append_new(list, token) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* tokenizer.json, as Hugging Face's tokenizers writes it: byte-level BPE without merges. */
pawl_status pawl_bytes_json(json_t **out)
{
    json_t *model = json_pack("{s:s,s:n,s:n,s:n,s:n,s:b,s:b,s:b,s:o,s:[]}", "type", "BPE", "dropout", "unk_token",
                              "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0,
                              "ignore_merges", 0, "vocab", vocabulary(), "merges");
    json_t *whole =
        json_pack("{s:s,s:n,s:n,s:o,s:n,s:{s:s,s:b,s:b,s:b},s:n,s:{s:s,s:b,s:b,s:b},s:o}", "version", "1.0",
                  "truncation", "padding", "added_tokens", added_tokens(), "normalizer", "pre_tokenizer", "type",
                  "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1, "use_regex", 0, "post_processor", "decoder",
                  "type", "ByteLevel", "add_prefix_space", 1, "trim_offsets", 1, "use_regex", 1, "model", model);
    PAWL_CHECK(whole, PAWL_EMEM, "no memory for tokenizer.json");
    *out = whole;
    return PAWL_OK;
}

static pawl_status save_json(const char *dir, const char *name, const json_t *value)
{
    char path[PATH_MAX];
    pawl_text text = {0};
    pawl_status status = PAWL_OK;
    PAWL_TRY_OUT(pawl_path_join(path, sizeof path, dir, name));
    PAWL_TRY_OUT(pawl_json_pretty(value, &text));
    PAWL_TRY_OUT(pawl_text_status(&text));
    PAWL_TRY_OUT(pawl_file_replace(path, text.data, text.bytes));
out:
    pawl_text_close(&text);
    return status;
}

pawl_status pawl_bytes_save(const char *dir)
{
    json_t *whole = NULL, *config = NULL;
    pawl_status status = PAWL_OK;
    PAWL_TRY_OUT(pawl_bytes_json(&whole));
    config = json_pack("{s:s,s:s,s:s,s:s,s:b}", "tokenizer_class", "PreTrainedTokenizerFast", "bos_token",
                       specials[END_OF_TEXT - BYTES], "eos_token", specials[END_OF_TEXT - BYTES], "pad_token",
                       specials[PAD - BYTES], "clean_up_tokenization_spaces", 0);
    if (!config) PAWL_TRY_OUT(PAWL_FAIL(PAWL_EMEM, "no memory for tokenizer_config.json"));
    PAWL_TRY_OUT(save_json(dir, "tokenizer.json", whole));
    PAWL_TRY_OUT(save_json(dir, "tokenizer_config.json", config));
out:
    json_decref(config);
    json_decref(whole);
    return status;
}
