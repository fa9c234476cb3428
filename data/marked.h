/* data/marked.h - a sample as tokens, each with whether it is trained and how much text it stands for. */
#ifndef PAWL_DATA_MARKED_H
#define PAWL_DATA_MARKED_H

#include "data/data.h"

/* Start it as {0} and use it for many samples. */
typedef struct pawl_marked {
    pawl_encoding encoding; /* ids and count; at: see text_bytes */
    uint8_t *trained;       /* [count] 0 or 1 */
    int64_t room;
} pawl_marked;

/* A token belongs to the span that its first byte is in; what the tokenizer adds is not trained, but the end as the
 * sample says. Errors: as pawl_encode. */
PAWL_MUST pawl_status pawl_marked_encode(const pawl_tokenizer *t, const pawl_sample *s, pawl_marked *out);
/* The same of a sample with one span, to the text's end, without an end token: a choice behind its prompt. Which tokens
 * are the choice's is lm-evaluation-harness' rule: the text is encoded whole, and as many tokens from its beginning as
 * the prompt has when it is encoded alone (with white space at its end left to the choice) are given, all others are
 * the choice's. given: scratch; *count: tokens that are given, with those that the tokenizer adds before the text; what
 * it adds behind is left out. */
PAWL_MUST pawl_status pawl_marked_encode_behind(const pawl_tokenizer *t, const pawl_sample *s, pawl_encoding *given,
                                                pawl_marked *out, int64_t *count);
/* Takes so many tokens away from the beginning. */
void pawl_marked_cut(pawl_marked *m, int64_t tokens);
void pawl_marked_close(pawl_marked *m);

/* Bytes of the text from where the i-th token begins to where the next one does; 0 for what was added. */
static inline int64_t pawl_marked_bytes(const pawl_marked *m, int64_t i)
{
    return m->encoding.at[i];
}

#endif
