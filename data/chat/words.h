/* data/chat/words.h - the special tokens of a tokenizer's folder as text, without computing the tokenizer. */
#ifndef PAWL_DATA_CHAT_WORDS_H
#define PAWL_DATA_CHAT_WORDS_H

#include "data/chat/template.h"

/* Fills variables with bos_token, eos_token and the other named ones, specials with every special token and ends with
 * those that may end a turn. From folder's files (tokenizer_config.json, special_tokens_map.json, tokenizer.json,
 * generation_config.json), else from t, else as named is published. */
PAWL_MUST pawl_status pawl_template_words(const char *folder, const pawl_tokenizer *t, const pawl_named_template *named,
                                          json_t *variables, pawl_words *specials, pawl_words *ends);

/* Adds a copy of word, unless it is there or empty. */
PAWL_MUST pawl_status pawl_words_add(pawl_words *w, const char *word);
int pawl_words_have(const pawl_words *w, const char *word);
/* The word that stands first in text[from, to), the longest of those that begin there; NULL: none. *at: where. */
const char *pawl_words_first(const pawl_words *w, const char *text, size_t from, size_t to, size_t *at);
void pawl_words_close(pawl_words *w);
PAWL_MUST pawl_status pawl_copy_words(char **out, const char *text);

#endif
