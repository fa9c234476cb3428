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
void pawl_marked_close(pawl_marked *m);

/* Bytes of the text from where the i-th token begins to where the next one does; 0 for what was added. */
static inline int64_t pawl_marked_bytes(const pawl_marked *m, int64_t i)
{
    return m->encoding.at[i];
}

#endif
