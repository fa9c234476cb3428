/* data/chat/turns.h - which bytes of a rendered conversation are learnt. */
#ifndef PAWL_DATA_CHAT_TURNS_H
#define PAWL_DATA_CHAT_TURNS_H

#include "data/chat/template.h"

/* Fills s with o's text and its spans. What a message says reaches from its first byte in the text (for the assistant:
 * from behind the generation prompt, when that stands right before) to its last; the token that ends its turn is the
 * first special token behind, when that is one that ends turns. learns[i]: message i is learnt. Where the template has
 * generation blocks, they say what the assistant writes. Errors: EDATA. */
PAWL_MUST pawl_status pawl_turns_train(const pawl_chat_template *c, const pawl_jinja_output *o, const json_t *messages,
                                       const int8_t *learns, pawl_train_on ends, pawl_sample *s);

#endif
