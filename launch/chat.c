/* A question as the conversation that a model was trained on. */
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "launch/launch.h"

typedef struct setting {
    pawl_data_config cfg;
    pawl_dataset_config dataset;
} setting;

/* The keys that say in which template a run writes conversations: its own, or those of its first dataset of chats. */
static const char *const run_keys[] = {"chat_template", "chat_template_jinja", "chat_template_kwargs", "chat_template_date", NULL};
static const char *const dataset_keys[] = {"chat_template", "chat_template_jinja", NULL};

static pawl_status take_keys(const json_t *from, const char *const *keys, const pawl_field *rows, void *section)
{
    char why[512];
    for (; *keys; keys++) {
        const json_t *value = json_object_get(from, *keys);
        const pawl_field *row = rows;
        while (strcmp(row->key, *keys) != 0) row++;
        if (!json_is_string(value)) continue;
        PAWL_CHECK(pawl_field_set(row, section, json_string_value(value), why, sizeof why), PAWL_EDATA, "%s: %s", *keys, why);
    }
    return PAWL_OK;
}

static pawl_status take_run(const char *path, setting *s)
{
    json_t *configuration, *item;
    size_t i;
    PAWL_TRY(pawl_run_configuration(path, &configuration));
    pawl_status status = take_keys(configuration, run_keys, pawl_data_rows, &s->cfg);
    json_array_foreach(json_object_get(configuration, "datasets"), i, item) {
        const char *type = json_string_value(json_object_get(item, "type"));
        if (status != PAWL_OK || !type || strncmp(type, "chat", 4) != 0) continue;
        status = take_keys(item, dataset_keys, pawl_dataset_rows, &s->dataset);
        break;
    }
    json_decref(configuration);
    return status;
}

static pawl_status write_question(const pawl_renderer *r, const pawl_tokenizer *t, const char *question, pawl_encoding *out, int32_t *turn_end)
{
    json_t *row = json_pack("{s:[{s:s,s:s}]}", "messages", "role", "user", "content", question);
    PAWL_CHECK(row, PAWL_EMEM, "no memory for a conversation");
    const pawl_status s = pawl_encode_question(r, t, row, out);
    json_decref(row);
    return s == PAWL_OK ? pawl_answer_end(r, t, turn_end) : s;
}

pawl_status pawl_chat_question(const char *path, const pawl_loaded *l, const char *question, pawl_encoding *out, int32_t *turn_end)
{
    setting *s;
    pawl_renderer *r = NULL;
    PAWL_TRY(pawl_alloc((void **)&s, sizeof *s, "the template's settings"));
    pawl_fields_default(pawl_data_rows, &s->cfg);
    pawl_fields_default(pawl_dataset_rows, &s->dataset);
    s->dataset.type = PAWL_CHAT;
    pawl_status status = take_run(path, s);
    if (status == PAWL_OK) status = pawl_renderer_open(&s->cfg, &s->dataset, l->tokenizer_spec, l->tokenizer, &r);
    if (status == PAWL_OK) status = write_question(r, l->tokenizer, question, out, turn_end);
    pawl_renderer_close(r);
    pawl_free(s);
    return status;
}

pawl_status pawl_chat_export(const char *path, const char *dir)
{
    setting *s;
    PAWL_TRY(pawl_alloc((void **)&s, sizeof *s, "the template's settings"));
    pawl_fields_default(pawl_data_rows, &s->cfg);
    pawl_status status = take_run(path, s);
    const int own = s->dataset.chat_template[0] || s->dataset.chat_template_jinja[0];
    if (status == PAWL_OK)
        status = pawl_chat_template_save(own ? s->dataset.chat_template : s->cfg.chat_template,
                                         own ? s->dataset.chat_template_jinja : s->cfg.chat_template_jinja, dir);
    pawl_free(s);
    return status;
}
