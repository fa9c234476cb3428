/* pawl render: rows to the text that a model reads, and the spans that it learns, so that anyone can check them. */
#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "core/file.h"
#include "launch/launch.h"

enum { TEMPLATE, GENERATION_PROMPT };

typedef struct writer {
    pawl_data_config cfg;
    pawl_dataset_config chat, alpaca;
    pawl_renderer *chat_rows, *alpaca_rows; /* alpaca_rows: for instruction rows in Alpaca's own form; or NULL */
    pawl_sample sample;
    int generation_prompt;
} writer;

static int add_message(json_t *messages, const char *role, const json_t *text)
{
    return text && json_string_length(text)
               ? json_array_append_new(messages, json_pack("{s:s,s:O}", "role", role, "content", text))
               : 0;
}

/* An instruction row as a conversation, for templates that know conversations only. */
static pawl_status as_conversation(const json_t *row, json_t **out)
{
    const json_t *instruction = json_object_get(row, "instruction"), *input = json_object_get(row, "input");
    json_t *messages = json_array(), *asked = NULL;
    if (json_is_string(instruction) && json_is_string(input) && json_string_length(input))
        asked = json_sprintf("%s\n\n%s", json_string_value(instruction), json_string_value(input));
    int failed = !messages || add_message(messages, "system", json_object_get(row, "system")) < 0 ||
                 add_message(messages, "user", asked ? asked : instruction) < 0 ||
                 json_array_append_new(messages, json_pack("{s:s,s:O}", "role", "assistant", "content",
                                                           json_object_get(row, "output"))) < 0;
    json_decref(asked);
    *out = failed ? NULL : json_pack("{s:O}", "messages", messages);
    json_decref(messages);
    PAWL_CHECK(*out, PAWL_EDATA, "expected strings under 'instruction' and 'output'");
    return PAWL_OK;
}

static pawl_status render_instruction(writer *w, const json_t *row)
{
    json_t *conversation;
    if (w->alpaca_rows) return pawl_render(w->alpaca_rows, row, &w->sample);
    PAWL_TRY(as_conversation(row, &conversation));
    const pawl_status s = pawl_render(w->chat_rows, conversation, &w->sample);
    json_decref(conversation);
    return s;
}

/* The end that the tokenizer adds, where there is one, is shown as text. */
static pawl_status show_end(writer *w)
{
    const char *eos = pawl_renderer_eos(w->alpaca_rows);
    pawl_sample *s = &w->sample;
    const int64_t before = (int64_t)s->text.bytes;
    pawl_text_add_bytes(&s->text, eos, strlen(eos));
    if (s->count && s->trained[s->count - 1].end == before) s->trained[s->count - 1].end = (int64_t)s->text.bytes;
    return pawl_text_status(&s->text);
}

static pawl_status print_sample(const pawl_sample *s, pawl_text *out)
{
    json_t *text = json_stringn(s->text.data, s->text.bytes);
    pawl_text_add(out, "{\"text\":");
    const pawl_status status = text ? pawl_json_canonical(text, out) : PAWL_FAIL(PAWL_EMEM, "no memory for a text");
    json_decref(text);
    PAWL_TRY(status);
    pawl_text_add(out, ",\"trained\":[");
    for (int64_t i = 0; i < s->count; i++)
        pawl_text_add(out, "%s[%lld,%lld]", i ? "," : "", (long long)s->trained[i].first, (long long)s->trained[i].end);
    pawl_text_add(out, "]}");
    return pawl_text_status(out);
}

static pawl_status render_line(void *context, const json_t *row, pawl_text *out)
{
    writer *w = context;
    const int is_chat = json_object_get(row, "messages") || json_object_get(row, "conversations");
    if (json_is_object(row) && !is_chat && json_object_get(row, "instruction")) {
        PAWL_TRY(render_instruction(w, row));
    } else {
        if (w->generation_prompt && json_is_object(row) &&
            json_object_set_new((json_t *)(uintptr_t)row, "add_generation_prompt", json_true()) < 0)
            return PAWL_FAIL(PAWL_EMEM, "no memory for a row");
        PAWL_TRY(pawl_render(w->chat_rows, row, &w->sample));
    }
    if (w->sample.with_end) PAWL_TRY(show_end(w));
    return print_sample(&w->sample, out);
}

static pawl_status set_text(char *out, size_t room, const char *text)
{
    PAWL_CHECK(strlen(text) < room, PAWL_EUSAGE, "pawl render: --template: '%.60s...' is too long", text);
    snprintf(out, room, "%s", text);
    return PAWL_OK;
}

/* A name; else a folder with a tokenizer, or a file with a template. */
static pawl_status open_template(writer *w, const char *template)
{
    pawl_status s = PAWL_OK;
    if (!strchr(template, '/')) {
        PAWL_TRY(set_text(w->cfg.chat_template, sizeof w->cfg.chat_template, template));
        s = pawl_renderer_open(&w->cfg, &w->chat, NULL, NULL, &w->chat_rows);
        if (s == PAWL_OK || !pawl_path_exists(template)) return s;
    }
    PAWL_CHECK(pawl_path_exists(template), PAWL_EUSAGE, "pawl render: --template: there is no %s", template);
    const int folder = pawl_path_is_dir(template);
    PAWL_TRY(set_text(w->cfg.chat_template, sizeof w->cfg.chat_template, folder ? "tokenizer_default" : "jinja"));
    if (!folder) PAWL_TRY(set_text(w->cfg.chat_template_jinja, sizeof w->cfg.chat_template_jinja, template));
    return pawl_renderer_open(&w->cfg, &w->chat, folder ? template : NULL, NULL, &w->chat_rows);
}

static pawl_status open_writer(writer *w, const char *template)
{
    pawl_fields_default(pawl_data_rows, &w->cfg);
    pawl_fields_default(pawl_dataset_rows, &w->chat);
    w->alpaca = w->chat;
    w->chat.type = PAWL_CHAT;
    w->alpaca.type = PAWL_ALPACA;
    PAWL_TRY(open_template(w, template));
    if (strcmp(w->cfg.chat_template, "alpaca") != 0) return PAWL_OK;
    return pawl_renderer_open(&w->cfg, &w->alpaca, NULL, NULL, &w->alpaca_rows);
}

static pawl_status run(pawl_comm *c, const pawl_args *a, int *exit_status)
{
    writer *w;
    (void)c;
    (void)exit_status;
    PAWL_CHECK(a->option[TEMPLATE], PAWL_EUSAGE, "pawl render: --template is missing");
    PAWL_TRY(pawl_alloc((void **)&w, sizeof *w, "the settings of rows"));
    w->generation_prompt = a->option[GENERATION_PROMPT] != NULL;
    pawl_status s = open_writer(w, a->option[TEMPLATE]);
    if (s == PAWL_OK) s = pawl_answer_lines(0, render_line, w);
    pawl_sample_close(&w->sample);
    pawl_renderer_close(w->chat_rows);
    pawl_renderer_close(w->alpaca_rows);
    pawl_free(w);
    return s;
}

const pawl_command pawl_command_render = {
    .name = "render",
    .usage = "--template NAME|DIR [--generation-prompt] < ROWS",
    .summary = "rows to the text that a model reads, and the bytes that it learns: a JSON object a line",
    .options = {{"--template", "NAME|DIR",
                 "chatml, llama3, mistral, gemma, zephyr, alpaca, smollm2, or a tokenizer's folder"},
                {"--generation-prompt", NULL, "with what stands before an answer, at the end"}},
    .run = run,
};
