/* data/chat/template.h - which template a chat is written in, and what it is given beside the messages. */
#ifndef PAWL_DATA_CHAT_TEMPLATE_H
#define PAWL_DATA_CHAT_TEMPLATE_H

#include "data/data.h"
#include "data/jinja/jinja.h"

typedef struct pawl_named_template {
    const char *name, *text;
    const char *bos, *eos; /* what bos_token and eos_token are where there is no tokenizer */
    const char *end;       /* of a turn; NULL: eos */
} pawl_named_template;
extern const pawl_named_template pawl_named_templates[]; /* ended by name NULL */
/* NULL: there is none of that name. */
const pawl_named_template *pawl_template_named(const char *name);

/* Words of a tokenizer that end or begin things in a text. */
typedef struct pawl_words {
    char **items;
    int count, room;
} pawl_words;

typedef struct pawl_chat_template {
    pawl_jinja *jinja, *with_tools;   /* with_tools: the one named tool_use, for rows that have tools; or NULL */
    const pawl_named_template *named; /* NULL: not one of ours */
    char *where;                      /* names it in errors */
    json_t *variables;                /* bos_token, eos_token, ..., and chat_template_kwargs */
    pawl_words specials;              /* the tokenizer's special tokens */
    pawl_words ends;                  /* those of them that may end a turn */
    char *generation_prompt;          /* what add_generation_prompt adds; "" when nothing or not always the same */
    char date[16];
    pawl_digest digest;
} pawl_chat_template;

/* choice and inline_text as chat_template and chat_template_jinja of the configuration. tokenizer, t: as
 * pawl_renderer_open's. Errors: EUSAGE. */
PAWL_MUST pawl_status pawl_chat_template_open(const char *choice, const char *inline_text, const char *kwargs,
                                              const char *date, const char *tokenizer, const pawl_tokenizer *t,
                                              pawl_chat_template *out);
void pawl_chat_template_close(pawl_chat_template *c);

/* What a row gives to its template. */
typedef struct pawl_conversation {
    json_t *messages;             /* [{"role", "content", ...}] */
    const json_t *tools, *kwargs; /* or NULL */
    int8_t *trained;              /* a message: 1, 0, or -1 when its role decides */
    int64_t learnt_from;          /* messages before this one are given, not learnt */
    int generation_prompt;
} pawl_conversation;
void pawl_conversation_close(pawl_conversation *c);

PAWL_MUST pawl_status pawl_chat_template_apply(const pawl_chat_template *c, const pawl_conversation *conversation,
                                               pawl_jinja_output *out);

#endif
