/* pawl tokenize: texts to ids or back, a line at a time, so that anyone can check them. */
#include "core/arena.h"
#include "launch/launch.h"

enum { TOKENIZER, SPECIAL, DECODE };

typedef struct lines {
    const pawl_tokenizer *tokenizer;
    pawl_specials specials;
    pawl_encoding encoding;
    int32_t *ids;
    int64_t ids_room;
} lines;

static pawl_status encode_line(void *context, const json_t *value, pawl_text *out)
{
    lines *l = context;
    PAWL_CHECK(json_is_string(value), PAWL_EDATA, "expected a JSON string");
    PAWL_TRY(pawl_encode(l->tokenizer, json_string_value(value), json_string_length(value), l->specials, &l->encoding));
    pawl_text_add(out, "[");
    for (int64_t i = 0; i < l->encoding.count; i++) pawl_text_add(out, i ? ",%d" : "%d", l->encoding.ids[i]);
    pawl_text_add(out, "]");
    return pawl_text_status(out);
}

static pawl_status read_ids(lines *l, const json_t *value)
{
    const int32_t size = pawl_tokenizer_size(l->tokenizer);
    const int64_t count = (int64_t)json_array_size(value);
    PAWL_CHECK(json_is_array(value), PAWL_EDATA, "expected a JSON array of ids");
    if (count > l->ids_room) {
        PAWL_TRY(pawl_realloc((void **)&l->ids, (size_t)count * sizeof *l->ids, "the ids of a line"));
        l->ids_room = count;
    }
    for (int64_t i = 0; i < count; i++) {
        const json_t *v = json_array_get(value, (size_t)i);
        PAWL_CHECK(json_is_integer(v) && json_integer_value(v) >= 0 && json_integer_value(v) < size, PAWL_EDATA,
                   "item %lld: expected an id in [0, %d)", (long long)i, size);
        l->ids[i] = (int32_t)json_integer_value(v);
    }
    return PAWL_OK;
}

static pawl_status decode_line(void *context, const json_t *value, pawl_text *out)
{
    lines *l = context;
    pawl_text text = {0}, valid = {0};
    pawl_status status = PAWL_OK;
    PAWL_TRY_OUT(read_ids(l, value));
    PAWL_TRY_OUT(pawl_decode(l->tokenizer, l->ids, (int64_t)json_array_size(value), 0, &text));
    pawl_text_add_utf8(&valid, text.data, text.bytes);
    PAWL_TRY_OUT(pawl_text_status(&valid));
    json_t *string = json_stringn(valid.data ? valid.data : "", valid.bytes);
    PAWL_TRY_OUT(string ? pawl_json_canonical(string, out) : PAWL_FAIL(PAWL_EMEM, "no memory for a text"));
    json_decref(string);
out:
    pawl_text_close(&text);
    pawl_text_close(&valid);
    return status;
}

static pawl_status run(pawl_comm *c, const pawl_args *a, int *exit_status)
{
    pawl_tokenizer *t;
    char folder[1024];
    (void)c;
    (void)exit_status;
    PAWL_CHECK(a->option[TOKENIZER], PAWL_EUSAGE, "pawl tokenize: --tokenizer is missing");
    PAWL_TRY(pawl_model_folder(a->option[TOKENIZER], folder));
    PAWL_TRY(pawl_tokenizer_open(folder, &t));
    lines l = {.tokenizer = t, .specials = a->option[SPECIAL] ? PAWL_WITH_SPECIALS : PAWL_WITHOUT_SPECIALS};
    const pawl_status s = pawl_answer_lines(JSON_ALLOW_NUL, a->option[DECODE] ? decode_line : encode_line, &l);
    pawl_encoding_close(&l.encoding);
    pawl_free(l.ids);
    pawl_tokenizer_close(t);
    return s;
}

const pawl_command pawl_command_tokenize = {
    .name = "tokenize",
    .usage = "--tokenizer bytes|DIR|FILE.gguf [--special] [--decode] < LINES",
    .summary = "texts to token ids, or back: a JSON value a line",
    .options = {{"--tokenizer", "DIR", "a folder with tokenizer.json, a GGUF file, or bytes"},
                {"--special", NULL, "with the tokens that the post-processor adds"},
                {"--decode", NULL, "lines are arrays of ids; out come texts"}},
    .run = run,
};
