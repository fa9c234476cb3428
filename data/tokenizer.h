/* data/tokenizer.h - what the rest of data/ needs to know of a tokenizer beyond data.h. */
#ifndef PAWL_DATA_TOKENIZER_H
#define PAWL_DATA_TOKENIZER_H

#include "data/data.h"

/* Bytes of text that the id stands for; 0 for specials. */
int32_t pawl_token_bytes(const pawl_tokenizer *t, int32_t id);

#endif
