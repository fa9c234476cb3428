#include "data/sample.h"

#include <stdio.h>
#include <string.h>

#include "core/arena.h"

void pawl_sample_reset(pawl_sample *s, pawl_specials specials, int with_end)
{
    s->text.bytes = 0;
    s->text.failed = 0;
    s->count = 0;
    s->specials = specials;
    s->with_end = with_end;
    s->toolless = 0;
}

void pawl_sample_close(pawl_sample *s)
{
    pawl_text_close(&s->text);
    pawl_free(s->trained);
    memset(s, 0, sizeof *s);
}

pawl_status pawl_sample_train(pawl_sample *s, int64_t first, int64_t end)
{
    if (s->count > 0 && s->trained[s->count - 1].end == first) {
        s->trained[s->count - 1].end = end;
        return PAWL_OK;
    }
    if (s->count == s->room) {
        const int64_t room = 2 * s->room + 8;
        PAWL_TRY(pawl_realloc((void **)&s->trained, (size_t)room * sizeof *s->trained, "the trained spans of a row"));
        s->room = room;
    }
    s->trained[s->count++] = (pawl_span){first, end};
    return PAWL_OK;
}

pawl_status pawl_sample_add(pawl_sample *s, const char *text, size_t bytes, int learnt)
{
    const int64_t first = (int64_t)s->text.bytes;
    pawl_text_add_bytes(&s->text, text, bytes);
    PAWL_TRY(pawl_text_status(&s->text));
    return learnt ? pawl_sample_train(s, first, (int64_t)s->text.bytes) : PAWL_OK;
}

/* Integers beyond 64 bits occur in real data, in members that are not read here. */
pawl_status pawl_row_parse(const char *text, size_t bytes, const char *expected, json_error_t *e, json_t **out)
{
    *out = json_loadb(text, bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, e);
    const int nul = !*out && json_error_code(e) == json_error_null_character;
    PAWL_CHECK(*out, PAWL_EDATA, "expected %s: %s", expected, nul ? "\\u0000, which no text may hold" : e->text);
    return PAWL_OK;
}

const char *pawl_json_kind(const json_t *value)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array", [JSON_STRING] = "a string", [JSON_INTEGER] = "a number",
        [JSON_REAL] = "a number",    [JSON_TRUE] = "true",      [JSON_FALSE] = "false",     [JSON_NULL] = "null",
    };
    return value ? names[json_typeof(value)] : "nothing";
}

void pawl_row_keys(const json_t *row, char *out, size_t room)
{
    enum { SHOWN = 8 };
    size_t used = 0;
    int n = 0;
    const char *key;
    json_t *value;
    snprintf(out, room, "no keys at all");
    json_object_foreach((json_t *)(uintptr_t)row, key, value)
    {
        if (n < SHOWN && used < room)
            used += (size_t)snprintf(out + used, room - used, "%s'%.30s'", n ? ", " : "", key);
        n++;
    }
    if (n > SHOWN && used < room) snprintf(out + used, room - used, ", ...");
}

/* The type whose rows have keys like these, for one who left `type` out; NULL: none does. */
static const char *type_that_fits(const json_t *row)
{
    static const struct {
        const char *key, *type;
    } marks[] = {{"messages", "chat"},        {"conversations", "chat"}, {"instruction", "alpaca"},
                 {"segments", "input_output"}, {"choices", "choices"},    {"completion", "prompt_completion"}};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (json_object_get(row, marks[i].key)) return marks[i].type;
    return NULL;
}

pawl_status pawl_row_text(const json_t *row, const char *key, const char *knob, int optional, const char **text,
                          size_t *bytes)
{
    char keys[320];
    const json_t *value = json_object_get(row, key);
    if (optional && (!value || json_is_null(value))) {
        *text = "";
        *bytes = 0;
        return PAWL_OK;
    }
    if (!value) {
        pawl_row_keys(row, keys, sizeof keys);
        const char *type = strcmp(knob, "field") == 0 ? type_that_fits(row) : NULL;
        if (type)
            return PAWL_FAIL(PAWL_EDATA, "expected a key '%s' that holds a text, found %s: rows like this are of type: %s",
                             key, keys, type);
        return PAWL_FAIL(
            PAWL_EDATA,
            "expected a key '%s' that holds a text, found %s; set the dataset's `%s` to the key that holds it", key,
            keys, knob);
    }
    PAWL_CHECK(json_is_string(value), PAWL_EDATA, "expected a string under '%s', found %s", key, pawl_json_kind(value));
    *text = json_string_value(value);
    *bytes = json_string_length(value);
    return PAWL_OK;
}
