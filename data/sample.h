/* data/sample.h - building a sample: what the kinds of rows share. */
#ifndef PAWL_DATA_SAMPLE_H
#define PAWL_DATA_SAMPLE_H

#include "data/chat/template.h"

/* What a kind of row needs to know; filled by pawl_renderer_open. */
struct pawl_renderer {
    const pawl_data_config *cfg;
    const pawl_dataset_config *dataset;
    char *eos;               /* the tokenizer's end, as text; "" when it has none */
    pawl_chat_template chat; /* for kinds that may have messages */
    char *no_chat;           /* why a kind that can do without has none; or NULL */
    pawl_digest digest;
};

/* Empties s. */
void pawl_sample_reset(pawl_sample *s, pawl_specials specials, int with_end);
/* Appends text; trained when learnt, in one span with what was learnt just before it. */
PAWL_MUST pawl_status pawl_sample_add(pawl_sample *s, const char *text, size_t bytes, int learnt);
/* Adds the span [first, end), which begins where the last one ended or behind it. */
PAWL_MUST pawl_status pawl_sample_train(pawl_sample *s, int64_t first, int64_t end);

/* The member of that key as text. A row that lacks it: EDATA naming the keys that it has, or "" when optional (then
 * null is taken as "" too). knob names the configuration's key that says which member is meant. */
PAWL_MUST pawl_status pawl_row_text(const json_t *row, const char *key, const char *knob, int optional,
                                    const char **text, size_t *bytes);
/* "'text', 'id', ..." of an object, for an error. */
void pawl_row_keys(const json_t *row, char *out, size_t room);
/* A row of that text; EDATA: it is none, *e says where. expected: "a JSON object" or the like, for the error. */
PAWL_MUST pawl_status pawl_row_parse(const char *text, size_t bytes, const char *expected, json_error_t *e, json_t **out);
/* "a string", "null", ... */
const char *pawl_json_kind(const json_t *value);

/* The kinds of rows. */
PAWL_MUST pawl_status pawl_render_completion(const pawl_renderer *r, const json_t *row, pawl_sample *out);
PAWL_MUST pawl_status pawl_render_alpaca(const pawl_renderer *r, const json_t *row, pawl_sample *out);
PAWL_MUST pawl_status pawl_render_prompt_completion(const pawl_renderer *r, const json_t *row, pawl_sample *out);
PAWL_MUST pawl_status pawl_render_prompt_messages(const pawl_renderer *r, const json_t *row, pawl_sample *out);
/* Replaces out with messages (key names them in errors) as the chat template writes them when the assistant is to speak
 * next; tools may be NULL. */
PAWL_MUST pawl_status pawl_render_asked(const pawl_renderer *r, const json_t *messages, const char *key,
                                        const json_t *tools, pawl_text *out);
PAWL_MUST pawl_status pawl_render_chat(const pawl_renderer *r, const json_t *row, pawl_sample *out);
PAWL_MUST pawl_status pawl_render_choices(const pawl_renderer *r, const json_t *row, pawl_sample *out);
PAWL_MUST pawl_status pawl_render_input_output(const pawl_renderer *r, const json_t *row, pawl_sample *out);

#endif
