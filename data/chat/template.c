/* A template and its variables, from a name or from a tokenizer's folder. */
#include "data/chat/template.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "core/file.h"
#include "data/chat/words.h"

static const char fallback_prefix[] = "tokenizer_default_fallback_";

/* ---- Finding the text ---- */

/* Where a template stands; texts are borrowed from json or file. */
typedef struct found {
    const char *text, *tools_text, *where;
    json_t *json;
    char *file;
} found;

static void close_found(found *f)
{
    json_decref(f->json);
    pawl_free(f->file);
}

/* "chat_template" of a JSON file: a text, or a list of texts with names. */
static pawl_status take_member(found *f, const char *path)
{
    const json_t *member = json_object_get(f->json, "chat_template");
    if (!member || json_is_null(member)) return PAWL_OK;
    if (json_is_string(member)) {
        f->text = json_string_value(member);
        return PAWL_OK;
    }
    PAWL_CHECK(json_is_array(member), PAWL_EUSAGE, "%s: chat_template: expected a text or a list of them", path);
    for (size_t i = 0; i < json_array_size(member); i++) {
        const json_t *item = json_array_get(member, i);
        const char *name = json_string_value(json_object_get(item, "name"));
        const char *text = json_string_value(json_object_get(item, "template"));
        PAWL_CHECK(name && text, PAWL_EUSAGE, "%s: chat_template[%zu]: expected a name and a template", path, i);
        if (strcmp(name, "default") == 0) f->text = text;
        if (strcmp(name, "tool_use") == 0) f->tools_text = text;
    }
    PAWL_CHECK(f->text, PAWL_EUSAGE, "%s: chat_template has no template named 'default'", path);
    return PAWL_OK;
}

/* The tokenizer's own, where transformers looks: chat_template.jinja, then tokenizer_config.json, then
 * chat_template.json. f->text stays NULL when there is none. */
static pawl_status find_in_folder(const char *folder, found *f, char path[PATH_MAX])
{
    static const char *const files[] = {"tokenizer_config.json", "chat_template.json"};
    size_t bytes;
    PAWL_TRY(pawl_path_join(path, PATH_MAX, folder, "chat_template.jinja"));
    if (pawl_path_exists(path)) {
        PAWL_TRY(pawl_file_read(path, PAWL_JINJA_TEXT_MAX, &f->file, &bytes));
        f->text = f->file;
        return PAWL_OK;
    }
    for (size_t i = 0; i < sizeof files / sizeof *files && !f->text; i++) {
        PAWL_TRY(pawl_path_join(path, PATH_MAX, folder, files[i]));
        if (!pawl_path_exists(path)) continue;
        json_decref(f->json);
        f->json = NULL;
        PAWL_TRY(pawl_json_read_real(path, (size_t)256 << 20, &f->json));
        PAWL_TRY(take_member(f, path));
    }
    return PAWL_OK;
}

static void use_named(const pawl_named_template *n, pawl_chat_template *c, found *f)
{
    c->named = n;
    f->text = n->text;
    f->where = n->name;
}

static pawl_status unknown_name(const char *choice)
{
    const char *names[16] = {"tokenizer_default", "jinja"};
    size_t n = 2;
    for (const pawl_named_template *t = pawl_named_templates; t->name && n < 15; t++) names[n++] = t->name;
    const char *near = pawl_nearest(choice, names);
    return PAWL_FAIL(PAWL_EUSAGE,
                     "chat_template: there is none named '%s'%s%s%s; expected chatml, llama3, mistral, gemma, zephyr, "
                     "alpaca, smollm2, "
                     "tokenizer_default, tokenizer_default_fallback_NAME or jinja",
                     choice, near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
}

static pawl_status find_default(const char *choice, const char *folder, pawl_chat_template *c, found *f,
                                char path[PATH_MAX])
{
    const char *other =
        strncmp(choice, fallback_prefix, sizeof fallback_prefix - 1) == 0 ? choice + sizeof fallback_prefix - 1 : NULL;
    const pawl_named_template *fallback = other ? pawl_template_named(other) : NULL;
    if (other && !fallback) return unknown_name(other);
    if (folder) PAWL_TRY(find_in_folder(folder, f, path));
    if (f->text)
        f->where = path;
    else if (fallback)
        use_named(fallback, c, f);
    PAWL_CHECK(
        f->text, PAWL_EUSAGE,
        "chat_template: the tokenizer %s has no chat template of its own; a run sets chat_template to chatml or another "
        "name, a tokenizer's folder may hold a chat_template.jinja",
        folder ? folder : "bytes");
    return PAWL_OK;
}

static pawl_status find_jinja(const char *inline_text, found *f)
{
    size_t bytes;
    PAWL_CHECK(inline_text[0], PAWL_EUSAGE,
               "chat_template: jinja needs chat_template_jinja: a template, or the path of one");
    f->text = inline_text;
    f->where = "chat_template_jinja";
    if (strstr(inline_text, "{%") || strstr(inline_text, "{{") || strstr(inline_text, "{#")) return PAWL_OK;
    f->where = inline_text;
    PAWL_TRY(pawl_file_read(inline_text, PAWL_JINJA_TEXT_MAX, &f->file, &bytes));
    f->text = f->file;
    return PAWL_OK;
}

static pawl_status find_text(const char *choice, const char *inline_text, const char *folder, pawl_chat_template *c,
                             found *f, char path[PATH_MAX])
{
    const pawl_named_template *named = pawl_template_named(choice);
    if (named) {
        use_named(named, c, f);
        return PAWL_OK;
    }
    if (strcmp(choice, "jinja") == 0) return find_jinja(inline_text, f);
    if (strcmp(choice, "tokenizer_default") == 0 || strncmp(choice, fallback_prefix, sizeof fallback_prefix - 1) == 0)
        return find_default(choice, folder, c, f, path);
    return unknown_name(choice);
}

/* A default is in the folder already, or there is none. */
static pawl_status find_to_save(const char *choice, const char *inline_text, const char *dir, found *f, char path[PATH_MAX])
{
    pawl_chat_template c = {.named = NULL};
    if (!choice[0]) choice = inline_text[0] ? "jinja" : "tokenizer_default";
    if (strncmp(choice, "tokenizer_default", strlen("tokenizer_default")) != 0) return find_text(choice, inline_text, NULL, &c, f, path);
    PAWL_TRY(find_in_folder(dir, f, path));
    const int own = f->text != NULL;
    if (!own && strcmp(choice, "tokenizer_default") != 0) return find_default(choice, NULL, &c, f, path);
    f->text = NULL;
    return PAWL_OK;
}

pawl_status pawl_chat_template_save(const char *choice, const char *inline_text, const char *dir)
{
    found f = {.text = NULL};
    char path[PATH_MAX];
    pawl_status s = find_to_save(choice, inline_text, dir, &f, path);
    if (s == PAWL_OK && f.text) s = pawl_path_join(path, sizeof path, dir, "chat_template.jinja");
    if (s == PAWL_OK && f.text) s = pawl_file_replace(path, f.text, strlen(f.text));
    close_found(&f);
    return s;
}

/* ---- Variables ---- */

static pawl_status add_kwargs(const char *kwargs, json_t *variables)
{
    json_t *more;
    if (!kwargs[0]) return PAWL_OK;
    PAWL_TRY(pawl_json_parse(kwargs, strlen(kwargs), "chat_template_kwargs", &more));
    const int failed = !json_is_object(more) || json_object_update(variables, more) < 0;
    json_decref(more);
    PAWL_CHECK(!failed, PAWL_EUSAGE, "chat_template_kwargs: expected a JSON object");
    return PAWL_OK;
}

/* ---- Rendering ---- */

static pawl_status add_variable(pawl_jinja_variable *list, int *count, const char *name, const json_t *value)
{
    for (int i = 0; i < *count; i++)
        if (strcmp(list[i].name, name) == 0) { /* what a row says goes before what the run says */
            list[i].value = value;
            return PAWL_OK;
        }
    PAWL_CHECK(*count < PAWL_JINJA_VARIABLES_MAX, PAWL_EDATA, "more than %d variables for the chat template",
               PAWL_JINJA_VARIABLES_MAX);
    list[(*count)++] = (pawl_jinja_variable){.name = name, .value = value};
    return PAWL_OK;
}

static pawl_status add_members(pawl_jinja_variable *list, int *count, const json_t *object)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, name, value) PAWL_TRY(add_variable(list, count, name, value));
    return PAWL_OK;
}

pawl_status pawl_chat_template_apply(const pawl_chat_template *c, const pawl_conversation *conversation,
                                     pawl_jinja_output *out)
{
    pawl_jinja_variable list[PAWL_JINJA_VARIABLES_MAX];
    const pawl_jinja *t = conversation->tools && c->with_tools ? c->with_tools : c->jinja;
    int count = 0;
    PAWL_TRY(add_members(list, &count, c->variables));
    if (conversation->kwargs) PAWL_TRY(add_members(list, &count, conversation->kwargs));
    PAWL_TRY(add_variable(list, &count, "tools", conversation->tools ? conversation->tools : json_null()));
    PAWL_TRY(add_variable(list, &count, "documents", json_null()));
    PAWL_TRY(add_variable(list, &count, "add_generation_prompt", json_boolean(conversation->generation_prompt)));
    PAWL_TRY(add_variable(list, &count, "messages", conversation->messages));
    list[count - 1].is_messages = 1;
    return pawl_jinja_render(t, list, count, c->date, out);
}

void pawl_conversation_close(pawl_conversation *c)
{
    json_decref(c->messages);
    pawl_free(c->trained);
    memset(c, 0, sizeof *c);
}

/* ---- What the template does around messages, found by probing it ---- */

static pawl_status probe(const pawl_chat_template *c, int with_answer, int generation_prompt, pawl_jinja_output *out)
{
    pawl_conversation k = {.generation_prompt = generation_prompt};
    k.messages = with_answer ? json_pack("[{s:s,s:s},{s:s,s:s}]", "role", "user", "content", "Q", "role", "assistant",
                                         "content", "A")
                             : json_pack("[{s:s,s:s}]", "role", "user", "content", "Q");
    PAWL_CHECK(k.messages, PAWL_EMEM, "no memory for a conversation");
    const pawl_status s = pawl_chat_template_apply(c, &k, out);
    pawl_conversation_close(&k);
    return s;
}

static pawl_status find_generation_prompt(pawl_chat_template *c)
{
    pawl_jinja_output with = {0}, without = {0};
    const char *more = "";
    if (probe(c, 0, 1, &with) == PAWL_OK && probe(c, 0, 0, &without) == PAWL_OK &&
        without.text.bytes < with.text.bytes && memcmp(with.text.data, without.text.data, without.text.bytes) == 0)
        more = with.text.data + without.text.bytes;
    const pawl_status s = pawl_copy_words(&c->generation_prompt, more);
    pawl_jinja_output_close(&with);
    pawl_jinja_output_close(&without);
    return s;
}

/* A conversation ends with what ends the assistant's turn: nothing else stands behind its last words. */
static pawl_status find_end(pawl_chat_template *c)
{
    pawl_jinja_output o = {0};
    pawl_status status = PAWL_OK;
    int64_t end = -1;
    if (probe(c, 1, 0, &o) == PAWL_OK) {
        for (int64_t i = 0; i < o.count; i++)
            if (o.pieces[i].source == 1) end = o.pieces[i].end;
        const char *word =
            end >= 0 ? pawl_words_first(&c->specials, o.text.data, (size_t)end, o.text.bytes, NULL) : NULL;
        if (word) status = pawl_words_add(&c->ends, word);
    }
    pawl_jinja_output_close(&o);
    return status;
}

/* ---- Opening ---- */

static pawl_status take_digest(pawl_chat_template *c, const found *f)
{
    pawl_hash *h;
    pawl_text variables = {0};
    PAWL_TRY(pawl_hash_open(&h));
    pawl_hash_add(h, f->text, strlen(f->text) + 1);
    if (f->tools_text) pawl_hash_add(h, f->tools_text, strlen(f->tools_text) + 1);
    pawl_status s = pawl_json_canonical(c->variables, &variables);
    pawl_hash_add(h, variables.data ? variables.data : "", variables.bytes);
    pawl_hash_add(h, c->date, strlen(c->date) + 1);
    for (int i = 0; i < c->specials.count; i++)
        pawl_hash_add(h, c->specials.items[i], strlen(c->specials.items[i]) + 1);
    c->digest = pawl_hash_close(h);
    pawl_text_close(&variables);
    return s;
}

static pawl_status open_inside(const char *choice, const char *inline_text, const char *kwargs, const char *folder,
                               const pawl_tokenizer *t, pawl_chat_template *c, found *f)
{
    char path[PATH_MAX];
    PAWL_TRY(find_text(choice, inline_text, folder, c, f, path));
    PAWL_TRY(pawl_copy_words(&c->where, f->where));
    PAWL_TRY(pawl_jinja_open(f->text, strlen(f->text), c->where, &c->jinja));
    if (f->tools_text) PAWL_TRY(pawl_jinja_open(f->tools_text, strlen(f->tools_text), c->where, &c->with_tools));
    c->variables = json_object();
    PAWL_CHECK(c->variables, PAWL_EMEM, "no memory for the variables of a chat template");
    PAWL_TRY(pawl_template_words(folder, t, c->named, c->variables, &c->specials, &c->ends));
    PAWL_TRY(add_kwargs(kwargs, c->variables));
    PAWL_TRY(take_digest(c, f));
    PAWL_TRY(find_generation_prompt(c));
    return find_end(c);
}

pawl_status pawl_chat_template_open(const char *choice, const char *inline_text, const char *kwargs, const char *date,
                                    const char *tokenizer, const pawl_tokenizer *t, pawl_chat_template *out)
{
    found f = {0};
    const char *folder = tokenizer && strcmp(tokenizer, "bytes") != 0 ? tokenizer : NULL;
    memset(out, 0, sizeof *out);
    snprintf(out->date, sizeof out->date, "%s", date);
    const pawl_status s = open_inside(choice, inline_text, kwargs, folder, t, out, &f);
    close_found(&f);
    if (s != PAWL_OK) pawl_chat_template_close(out);
    return s;
}

void pawl_chat_template_close(pawl_chat_template *c)
{
    pawl_jinja_close(c->jinja);
    pawl_jinja_close(c->with_tools);
    json_decref(c->variables);
    pawl_words_close(&c->specials);
    pawl_words_close(&c->ends);
    pawl_free(c->where);
    pawl_free(c->generation_prompt);
    memset(c, 0, sizeof *c);
}
