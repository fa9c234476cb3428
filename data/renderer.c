/* From a dataset's type to the function that writes its rows. */
#include <string.h>

#include "core/arena.h"
#include "core/log.h"
#include "data/sample.h"
#include "data/chat/words.h"

typedef pawl_status render_row(const pawl_renderer *r, const json_t *row, pawl_sample *out);

static render_row *const kinds[] = {
    [PAWL_COMPLETION] = pawl_render_completion,
    [PAWL_PLAIN_TEXT] = pawl_render_completion,
    [PAWL_ALPACA] = pawl_render_alpaca,
    [PAWL_CHAT] = pawl_render_chat,
    [PAWL_CHAT_TEMPLATE] = pawl_render_chat,
    [PAWL_PROMPT_COMPLETION] = pawl_render_prompt_completion,
    [PAWL_INPUT_OUTPUT] = pawl_render_input_output,
    [PAWL_CHOICES] = pawl_render_choices,
};

/* Alpaca's published form ends with Llama's </s>. */
static pawl_status find_end(pawl_renderer *r, const pawl_tokenizer *t)
{
    const char *end = t ? pawl_tokenizer_content(t, pawl_tokenizer_end(t)) : "</s>";
    return pawl_copy_words(&r->eos, end ? end : "");
}

/* The dataset's template, or else the run's; one without a name is the text that is given, or the tokenizer's own. */
static pawl_status open_chat(pawl_renderer *r, const char *tokenizer, const pawl_tokenizer *t)
{
    const pawl_data_config *c = r->cfg;
    const pawl_dataset_config *d = r->dataset;
    const int own = d->chat_template[0] || d->chat_template_jinja[0];
    const char *inline_text = own ? d->chat_template_jinja : c->chat_template_jinja;
    const char *choice = own ? d->chat_template : c->chat_template;
    if (!choice[0]) choice = inline_text[0] ? "jinja" : "tokenizer_default";
    PAWL_TRY(pawl_chat_template_open(choice, inline_text, c->chat_template_kwargs, c->chat_template_date, tokenizer, t,
                                     &r->chat));
    const char *end = r->chat.named ? r->chat.named->end : NULL;
    if (t && end && pawl_tokenizer_id(t, end) < 0)
        pawl_log(
            PAWL_LOG_INFO,
            "chat_template %s ends turns with %s, and the tokenizer has no token of that name: it is written in pieces",
            choice, end);
    return PAWL_OK;
}

/* Prompts and completions need a template only where they are messages. */
static pawl_status open_chat_if_needed(pawl_renderer *r, const char *tokenizer, const pawl_tokenizer *t)
{
    const int type = r->dataset->type;
    const int asks = type == PAWL_CHOICES && r->dataset->apply_chat_template;
    if (type == PAWL_CHAT || type == PAWL_CHAT_TEMPLATE || asks) return open_chat(r, tokenizer, t);
    if (type != PAWL_PROMPT_COMPLETION && type != PAWL_CHOICES) return PAWL_OK;
    return open_chat(r, tokenizer, t) == PAWL_OK ? PAWL_OK : pawl_copy_words(&r->no_chat, pawl_last_error()->what);
}

static pawl_status settings_digest(pawl_renderer *r)
{
    json_t *value = NULL;
    pawl_text text = {0};
    pawl_status status = PAWL_OK;
    PAWL_TRY(pawl_fields_json(pawl_dataset_rows, r->dataset, &value));
    /* Where the data lie, and what lineage calls them, does not change a row. */
    static const char *const elsewhere[] = {"path", "split", "domain", "weight", "license"};
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++) json_object_del(value, elsewhere[i]);
    json_object_set_new(value, "train_on_inputs", json_boolean(r->cfg->train_on_inputs));
    if (r->chat.jinja) json_object_set_new(value, "template", json_string(pawl_digest_hex(r->chat.digest).text));
    json_object_set_new(value, "eos", json_string(r->eos));
    PAWL_TRY_OUT(pawl_json_canonical(value, &text));
    PAWL_TRY_OUT(pawl_text_status(&text));
    r->digest = pawl_sha256(text.data, text.bytes);
out:
    pawl_text_close(&text);
    json_decref(value);
    return status;
}

pawl_status pawl_renderer_open(const pawl_data_config *cfg, const pawl_dataset_config *dataset, const char *tokenizer,
                               const pawl_tokenizer *t, pawl_renderer **out)
{
    pawl_renderer *r;
    pawl_status status = PAWL_OK;
    PAWL_TRY(pawl_alloc((void **)&r, sizeof *r, "the renderer of rows"));
    *r = (pawl_renderer){.cfg = cfg, .dataset = dataset};
    PAWL_TRY_OUT(find_end(r, t));
    PAWL_TRY_OUT(open_chat_if_needed(r, tokenizer, t));
    PAWL_TRY_OUT(settings_digest(r));
    *out = r;
    r = NULL;
out:
    pawl_renderer_close(r);
    return status;
}

void pawl_renderer_close(pawl_renderer *r)
{
    if (!r) return;
    pawl_chat_template_close(&r->chat);
    pawl_free(r->no_chat);
    pawl_free(r->eos);
    pawl_free(r);
}

pawl_status pawl_render(const pawl_renderer *r, const json_t *row, pawl_sample *out)
{
    PAWL_CHECK(json_is_object(row), PAWL_EDATA, "expected a JSON object, found %s", pawl_json_kind(row));
    return kinds[r->dataset->type](r, row, out);
}

pawl_digest pawl_renderer_digest(const pawl_renderer *r)
{
    return r->digest;
}

const char *pawl_renderer_eos(const pawl_renderer *r)
{
    return r->eos;
}
