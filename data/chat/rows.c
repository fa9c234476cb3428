/* Rows that a chat template writes. */
#include <string.h>

#include "core/arena.h"
#include "data/chat/conversation.h"
#include "data/sample.h"
#include "data/chat/tools.h"
#include "data/chat/turns.h"

static int role_learns(const pawl_dataset_config *d, const char *role)
{
    for (int32_t i = 0; i < d->roles_to_train.count; i++)
        if (strcmp(d->roles_to_train.items[i], role) == 0) return 1;
    return 0;
}

static void decide(const pawl_dataset_config *d, pawl_conversation *c)
{
    for (size_t i = 0; i < json_array_size(c->messages); i++) {
        const char *role = json_string_value(json_object_get(json_array_get(c->messages, i), "role"));
        if (c->trained[i] < 0) c->trained[i] = (int8_t)role_learns(d, role);
        if ((int64_t)i < c->learnt_from) c->trained[i] = 0;
    }
}

static pawl_status write_turns(const pawl_renderer *r, pawl_conversation *c, pawl_sample *out)
{
    pawl_jinja_output o = {0};
    pawl_status status = PAWL_OK;
    decide(r->dataset, c);
    PAWL_TRY_OUT(pawl_chat_template_apply(&r->chat, c, &o));
    const int toolless = !pawl_tools_written(c, &o.text);
    PAWL_TRY_OUT(pawl_turns_train(&r->chat, &o, c->messages, c->trained, (pawl_train_on)r->dataset->train_on_eos, out));
    out->toolless = toolless;
    if (!r->cfg->train_on_inputs) goto out;
    out->count = 0;
    PAWL_TRY_OUT(pawl_sample_train(out, 0, (int64_t)out->text.bytes));
out:
    pawl_jinja_output_close(&o);
    return status;
}

pawl_status pawl_render_chat(const pawl_renderer *r, const json_t *row, pawl_sample *out)
{
    pawl_conversation c = {0};
    pawl_status status = pawl_conversation_read(r->dataset, row, r->chat.named != NULL, &c);
    if (status == PAWL_OK) status = write_turns(r, &c, out);
    pawl_conversation_close(&c);
    return status;
}

/* A prompt and its completion as messages: the prompt's are given, the completion's learnt. */
static pawl_status read_both(const pawl_renderer *r, const json_t *row, pawl_conversation *c)
{
    const pawl_dataset_config *d = r->dataset;
    const int plain = r->chat.named != NULL;
    const json_t *tools = json_object_get(row, d->field_tools);
    PAWL_TRY(pawl_conversation_add(d, json_object_get(row, d->field_prompt), d->field_prompt, plain, c));
    c->learnt_from = (int64_t)json_array_size(c->messages);
    c->tools = json_array_size(tools) ? tools : NULL;
    return pawl_conversation_add(d, json_object_get(row, d->field_completion), d->field_completion, plain, c);
}

pawl_status pawl_render_asked(const pawl_renderer *r, const json_t *messages, const char *key, const json_t *tools,
                              pawl_text *out)
{
    pawl_conversation c = {.generation_prompt = 1};
    pawl_jinja_output o = {0};
    PAWL_CHECK(r->chat.jinja, PAWL_EDATA, "'%s' holds messages, and there is no chat template to write them with: %s",
               key, r->no_chat);
    pawl_status s = pawl_conversation_add(r->dataset, messages, key, r->chat.named != NULL, &c);
    c.tools = json_array_size(tools) ? tools : NULL;
    if (s == PAWL_OK) s = pawl_chat_template_apply(&r->chat, &c, &o);
    out->bytes = 0;
    out->failed = 0;
    if (s == PAWL_OK) pawl_text_add_bytes(out, o.text.data, o.text.bytes);
    if (s == PAWL_OK) s = pawl_text_status(out);
    pawl_jinja_output_close(&o);
    pawl_conversation_close(&c);
    return s;
}

pawl_status pawl_render_prompt_messages(const pawl_renderer *r, const json_t *row, pawl_sample *out)
{
    pawl_conversation c = {0};
    PAWL_CHECK(r->chat.jinja, PAWL_EDATA, "'%s' holds messages, and there is no chat template to write them with: %s",
               r->dataset->field_prompt, r->no_chat);
    pawl_status status = read_both(r, row, &c);
    if (status == PAWL_OK) status = write_turns(r, &c, out);
    pawl_conversation_close(&c);
    return status;
}
