/* data/chat/conversation.h - a row of a chat dataset as messages with roles that templates know. */
#ifndef PAWL_DATA_CHAT_CONVERSATION_H
#define PAWL_DATA_CHAT_CONVERSATION_H

#include "data/chat/template.h"

/* list: the value of the row's messages, under key. Appends to c->messages (made when NULL). plain: 1 when content that
 * is a list of texts is to become one text; a template of a tokenizer gets the list. Errors: EDATA. */
PAWL_MUST pawl_status pawl_conversation_add(const pawl_dataset_config *d, const json_t *list, const char *key,
                                            int plain, pawl_conversation *c);
/* Messages, tools and variables out of a row. Errors: EDATA. */
PAWL_MUST pawl_status pawl_conversation_read(const pawl_dataset_config *d, const json_t *row, int plain,
                                             pawl_conversation *c);

#endif
