#include "data/chat/conversation.h"

#include <string.h>

#include "core/arena.h"
#include "data/sample.h"

/* ---- Roles ---- */

static const struct {
    const char *found, *meant;
} usual_roles[] = {
    {"human", "user"}, {"gpt", "assistant"}, {"model", "assistant"}, {"chatgpt", "assistant"}, {"bot", "assistant"}};

static int is_named(const char names[][32], int32_t count, const char *role)
{
    for (int32_t i = 0; i < count; i++)
        if (strcmp(names[i], role) == 0) return 1;
    return 0;
}

/* The role as templates know it; one that is not mapped stays as it is. */
static const char *role_meant(const pawl_dataset_config *d, const char *role)
{
    const pawl_role_names *n = &d->roles.value;
    if (d->roles.present) {
        if (is_named(n->user.items, n->user.count, role)) return "user";
        if (is_named(n->assistant.items, n->assistant.count, role)) return "assistant";
        if (is_named(n->system.items, n->system.count, role)) return "system";
        return is_named(n->tool.items, n->tool.count, role) ? "tool" : role;
    }
    for (size_t i = 0; i < sizeof usual_roles / sizeof *usual_roles; i++)
        if (strcmp(usual_roles[i].found, role) == 0) return usual_roles[i].meant;
    return role;
}

/* ---- One message ---- */

typedef struct message {
    const json_t *in;
    const char *key;
    size_t at;
    const char *role_key, *content_key;
} message;

#define BAD(m, format, ...) PAWL_FAIL(PAWL_EDATA, "%s[%zu]: " format, (m)->key, (m)->at, __VA_ARGS__)

static void find_keys(const pawl_dataset_config *d, message *m)
{
    const pawl_message_fields *f = &d->message_property_mappings.value;
    const int sharegpt = !json_object_get(m->in, "role") && json_object_get(m->in, "from");
    m->role_key = d->message_property_mappings.present ? f->role : sharegpt ? "from" : "role";
    m->content_key = d->message_property_mappings.present ? f->content : sharegpt ? "value" : "content";
}

static pawl_status read_role(const pawl_dataset_config *d, const message *m, const char **out)
{
    char keys[320];
    const json_t *role = json_object_get(m->in, m->role_key);
    pawl_row_keys(m->in, keys, sizeof keys);
    if (!role)
        return BAD(m,
                   "expected a key '%s' that says who speaks, found %s; set message_property_mappings to the keys of a "
                   "message",
                   m->role_key, keys);
    if (!json_is_string(role) || !json_string_length(role))
        return BAD(m, "expected a role under '%s', found %s", m->role_key,
                   json_is_string(role) ? "an empty string" : pawl_json_kind(role));
    *out = role_meant(d, json_string_value(role));
    return PAWL_OK;
}

/* The texts of a content that is a list of parts; parts that are no text cannot be learnt here. */
static pawl_status join_parts(const message *m, const json_t *parts, int plain, json_t **out)
{
    pawl_text text = {0};
    pawl_status status = PAWL_OK;
    for (size_t i = 0; i < json_array_size(parts); i++) {
        const json_t *part = json_array_get(parts, i),
                     *words = json_is_string(part) ? part : json_object_get(part, "text");
        const char *type = json_string_value(json_object_get(part, "type"));
        if (!json_is_string(words) || (type && strcmp(type, "text") != 0))
            PAWL_TRY_OUT(BAD(m,
                             "%s[%zu]: expected {\"type\": \"text\", \"text\": ...}, found a part of type '%.40s'; "
                             "only text is learnt",
                             m->content_key, i, type ? type : pawl_json_kind(part)));
        pawl_text_add_bytes(&text, json_string_value(words), json_string_length(words));
    }
    PAWL_TRY_OUT(pawl_text_status(&text));
    *out = plain ? json_stringn(text.data ? text.data : "", text.bytes) : json_incref((json_t *)(uintptr_t)parts);
    if (!*out) PAWL_TRY_OUT(PAWL_FAIL(PAWL_EMEM, "no memory for a message"));
out:
    pawl_text_close(&text);
    return status;
}

/* A new reference; NULL when a message that calls tools says nothing besides. */
static pawl_status read_content(const message *m, int plain, json_t **out)
{
    char keys[320];
    const json_t *content = json_object_get(m->in, m->content_key);
    *out = NULL;
    if (json_is_string(content)) {
        *out = json_incref((json_t *)(uintptr_t)content);
        return PAWL_OK;
    }
    if (json_is_array(content)) return join_parts(m, content, plain, out);
    const int calls = json_array_size(json_object_get(m->in, "tool_calls")) > 0 ||
                      json_is_object(json_object_get(m->in, "function_call"));
    if (calls && !plain && (!content || json_is_null(content))) return PAWL_OK;
    pawl_row_keys(m->in, keys, sizeof keys);
    if (!content)
        return BAD(m,
                   "expected a key '%s' that holds what is said, found %s; set message_property_mappings to the keys "
                   "of a message",
                   m->content_key, keys);
    return BAD(m, "expected a string under '%s', found %s", m->content_key, pawl_json_kind(content));
}

/* Older names of the text that a model thinks before it answers: as transformers, which fills in the ones that
 * templates ask for. */
static int add_reasoning(const message *m, json_t *out)
{
    static const char *const names[] = {"reasoning_content", "thinking", "reasoning"};
    json_t *text = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names && (!text || json_is_null(text)); i++)
        text = json_object_get(m->in, names[i]);
    if (!text || json_is_null(text)) return 0;
    if (!json_object_get(out, "thinking") && json_object_set(out, "thinking", text) < 0) return -1;
    return json_object_set(out, "reasoning_content", text);
}

static int copy_members(const pawl_dataset_config *d, const message *m, const char *role, json_t *content, json_t *out)
{
    const char *key;
    json_t *value;
    int failed = 0;
    json_object_foreach((json_t *)(uintptr_t)m->in, key, value)
    {
        if (strcmp(key, m->role_key) == 0)
            failed |= json_object_set_new(out, "role", json_string(role)) < 0;
        else if (strcmp(key, m->content_key) == 0)
            failed |= content && json_object_set(out, "content", content) < 0;
        else if (!json_is_null(value) && strcmp(key, d->message_field_training) != 0)
            failed |= json_object_set(out, key, value) < 0;
    }
    return failed || add_reasoning(m, out) < 0;
}

static pawl_status says_trained(const pawl_dataset_config *d, const message *m, int8_t *out)
{
    const json_t *flag = d->message_field_training[0] ? json_object_get(m->in, d->message_field_training) : NULL;
    *out = -1;
    if (!flag || json_is_null(flag)) return PAWL_OK;
    if (!json_is_boolean(flag))
        return BAD(m, "expected true or false under '%s', found %s", d->message_field_training, pawl_json_kind(flag));
    *out = (int8_t)json_is_true(flag);
    return PAWL_OK;
}

static pawl_status add_message(const pawl_dataset_config *d, message *m, int plain, pawl_conversation *c)
{
    const char *role;
    json_t *content, *copy;
    const size_t count = json_array_size(c->messages);
    PAWL_CHECK(json_is_object(m->in), PAWL_EDATA, "%s[%zu]: expected a message, an object, found %s", m->key, m->at,
               pawl_json_kind(m->in));
    find_keys(d, m);
    PAWL_TRY(read_role(d, m, &role));
    if (d->drop_system_message && strcmp(role, "system") == 0) return PAWL_OK;
    PAWL_TRY(says_trained(d, m, &c->trained[count]));
    PAWL_TRY(read_content(m, plain, &content));
    copy = json_object();
    const int failed = !copy || copy_members(d, m, role, content, copy) || json_array_append(c->messages, copy) < 0;
    json_decref(copy);
    json_decref(content);
    PAWL_CHECK(!failed, PAWL_EMEM, "no memory for a message");
    return PAWL_OK;
}

/* ---- Conversations ---- */

pawl_status pawl_conversation_add(const pawl_dataset_config *d, const json_t *list, const char *key, int plain,
                                  pawl_conversation *c)
{
    PAWL_CHECK(json_is_array(list), PAWL_EDATA, "expected a list of messages under '%s', found %s", key,
               pawl_json_kind(list));
    PAWL_CHECK(json_array_size(list) > 0, PAWL_EDATA, "the list of messages under '%s' is empty", key);
    if (!c->messages) c->messages = json_array();
    PAWL_CHECK(c->messages, PAWL_EMEM, "no memory for a conversation");
    PAWL_TRY(
        pawl_realloc((void **)&c->trained, json_array_size(c->messages) + json_array_size(list) + 1, "a conversation"));
    for (size_t i = 0; i < json_array_size(list); i++) {
        message m = {.in = json_array_get(list, i), .key = key, .at = i};
        PAWL_TRY(add_message(d, &m, plain, c));
    }
    PAWL_CHECK(json_array_size(c->messages) > 0, PAWL_EDATA,
               "the list of messages under '%s' holds system messages only", key);
    return PAWL_OK;
}

static pawl_status find_messages(const pawl_dataset_config *d, const json_t *row, const char **key, const json_t **out)
{
    char keys[320];
    *key = d->field_messages[0] ? d->field_messages : json_object_get(row, "messages") ? "messages" : "conversations";
    *out = json_object_get(row, *key);
    if (*out) return PAWL_OK;
    pawl_row_keys(row, keys, sizeof keys);
    return PAWL_FAIL(PAWL_EDATA,
                     "expected a key '%s' that holds a list of messages, found %s; set the dataset's `field_messages` "
                     "to the key that holds it",
                     d->field_messages[0] ? d->field_messages : "messages", keys);
}

/* A system text beside the messages stands before them. */
static pawl_status add_system(const pawl_dataset_config *d, const json_t *row, pawl_conversation *c)
{
    const char *text;
    size_t bytes;
    const char *first = json_string_value(json_object_get(json_array_get(c->messages, 0), "role"));
    if (d->drop_system_message || (first && strcmp(first, "system") == 0)) return PAWL_OK;
    PAWL_TRY(pawl_row_text(row, d->field_system, "field_system", 1, &text, &bytes));
    if (!bytes) return PAWL_OK;
    json_t *m = json_pack("{s:s,s:s%}", "role", "system", "content", text, bytes);
    const int failed = !m || json_array_insert(c->messages, 0, m) < 0;
    json_decref(m);
    PAWL_CHECK(!failed, PAWL_EMEM, "no memory for a message");
    memmove(c->trained + 1, c->trained, json_array_size(c->messages) - 1);
    c->trained[0] = -1;
    return PAWL_OK;
}

static pawl_status read_extras(const pawl_dataset_config *d, const json_t *row, pawl_conversation *c)
{
    c->tools = json_object_get(row, d->field_tools);
    c->kwargs = json_object_get(row, "chat_template_kwargs");
    if (json_is_null(c->tools) || (json_is_array(c->tools) && json_array_size(c->tools) == 0)) c->tools = NULL;
    if (json_is_null(c->kwargs)) c->kwargs = NULL;
    PAWL_CHECK(!c->tools || json_is_array(c->tools), PAWL_EDATA, "expected a list of tools under '%s', found %s",
               d->field_tools, pawl_json_kind(c->tools));
    PAWL_CHECK(!c->kwargs || json_is_object(c->kwargs), PAWL_EDATA,
               "expected an object under 'chat_template_kwargs', found %s", pawl_json_kind(c->kwargs));
    return PAWL_OK;
}

pawl_status pawl_conversation_read(const pawl_dataset_config *d, const json_t *row, int plain, pawl_conversation *c)
{
    const char *key;
    const json_t *list, *prompt = json_object_get(row, "add_generation_prompt");
    PAWL_TRY(find_messages(d, row, &key, &list));
    PAWL_TRY(pawl_conversation_add(d, list, key, plain, c));
    PAWL_TRY(add_system(d, row, c));
    PAWL_TRY(read_extras(d, row, c));
    c->generation_prompt = json_is_true(prompt) || json_is_true(json_object_get(row, "generation_prompt"));
    return PAWL_OK;
}
