/* data/tokenizer/tokens.h - appending to an encoding. */
#ifndef PAWL_DATA_TOKENIZER_TOKENS_H
#define PAWL_DATA_TOKENIZER_TOKENS_H

#include "data/data.h"

/* Room for so many more. */
PAWL_MUST pawl_status pawl_tokens_grow(pawl_encoding *e, int64_t more);

static inline pawl_status pawl_tokens_room(pawl_encoding *e, int64_t more)
{
    return e->count + more <= e->room ? PAWL_OK : pawl_tokens_grow(e, more);
}

/* Into room that is there. */
static inline void pawl_tokens_put(pawl_encoding *e, int32_t id, int64_t at)
{
    e->ids[e->count] = id;
    e->at[e->count++] = at;
}

static inline pawl_status pawl_encoding_add(pawl_encoding *e, int32_t id, int64_t at)
{
    PAWL_TRY(pawl_tokens_room(e, 1));
    pawl_tokens_put(e, id, at);
    return PAWL_OK;
}

#endif
