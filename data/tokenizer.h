/* data/tokenizer.h - what the rest of data/ needs to know of a tokenizer beyond data.h. */
#ifndef PAWL_DATA_TOKENIZER_H
#define PAWL_DATA_TOKENIZER_H

#include "data/data.h"

/* Appends one token. */
PAWL_MUST pawl_status pawl_encoding_add(pawl_encoding *e, int32_t id, int64_t at);

#endif
