/* Runs: cmocka
 *
 * Kinds of rows: the text that a model reads and the bytes that it learns, against transformers' own rendering. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data/chat/template.h"
#include "tests/data_case.h"

/* ---- Rendering ---- */

typedef struct chat_case {
    pawl_data_config cfg;
    pawl_dataset_config dataset;
    pawl_renderer *renderer;
    pawl_sample sample;
} chat_case;

static void chat_case_open(chat_case *k, pawl_dataset_type type, const char *template)
{
    memset(k, 0, sizeof *k);
    pawl_fields_default(pawl_data_rows, &k->cfg);
    pawl_fields_default(pawl_dataset_rows, &k->dataset);
    k->dataset.type = (int32_t)type;
    snprintf(k->cfg.chat_template, sizeof k->cfg.chat_template, "%s", template);
}

static void chat_case_close(chat_case *k)
{
    pawl_sample_close(&k->sample);
    pawl_renderer_close(k->renderer);
    k->renderer = NULL;
}

static pawl_status render_with(chat_case *k, const char *tokenizer, const json_t *row)
{
    if (!k->renderer) PAWL_TRY(pawl_renderer_open(&k->cfg, &k->dataset, tokenizer, NULL, &k->renderer));
    return pawl_render(k->renderer, row, &k->sample);
}

static pawl_status render_text(chat_case *k, const char *text)
{
    json_t *row = json_loads(text, 0, NULL);
    assert_non_null(row);
    const pawl_status s = render_with(k, NULL, row);
    json_decref(row);
    return s;
}

static void expect_spans(const pawl_sample *s, const json_t *trained)
{
    assert_int_equal(s->count, json_array_size(trained));
    for (int64_t i = 0; i < s->count; i++) {
        const json_t *span = json_array_get(trained, (size_t)i);
        assert_int_equal(s->trained[i].first, json_integer_value(json_array_get(span, 0)));
        assert_int_equal(s->trained[i].end, json_integer_value(json_array_get(span, 1)));
    }
}

static json_t *read_fixture(const char *name, char path[PATH_MAX])
{
    json_t *value;
    snprintf(path, PATH_MAX, "%s/tests/fixtures/chat/%s", getenv("PAWL_SOURCE") ? getenv("PAWL_SOURCE") : ".", name);
    must(pawl_json_read(path, 1 << 24, &value));
    return value;
}

static json_t *read_named(const char *template)
{
    char name[64], path[PATH_MAX];
    snprintf(name, sizeof name, "named/%s.json", template);
    return read_fixture(name, path);
}

/* ---- Named templates ---- */

static const char *const names[] = {"chatml", "smollm2", "llama3", "mistral", "gemma", "zephyr"};

static void expect_cases(chat_case *k, const json_t *fixture)
{
    const json_t *cases = json_object_get(fixture, "cases");
    assert_int_equal(json_array_size(cases), 8);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        if (render_with(k, NULL, c) != PAWL_OK) fail_msg("%s", pawl_last_error()->what);
        assert_string_equal(k->sample.text.data, json_string_value(json_object_get(c, "text")));
        expect_spans(&k->sample, json_object_get(c, "trained"));
        assert_int_equal(k->sample.with_end, 0);
        assert_int_equal(k->sample.specials, PAWL_WITHOUT_SPECIALS);
    }
}

static void named_templates_equal_transformers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        chat_case k;
        json_t *fixture = read_named(names[i]);
        chat_case_open(&k, PAWL_CHAT, names[i]);
        expect_cases(&k, fixture);
        chat_case_close(&k);
        json_decref(fixture);
    }
}

/* Removes every occurrence of word. */
static void without(char *text, const char *word)
{
    for (char *at; (at = strstr(text, word));) memmove(at, at + strlen(word), strlen(at + strlen(word)) + 1);
}

/* The same templates without their generation blocks: spans are found by where the messages' bytes went. */
static void spans_are_found_without_generation_blocks(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        chat_case k;
        data_case files;
        json_t *fixture = read_named(names[i]);
        char *text = strdup(pawl_template_named(names[i])->text);
        without(text, "{% generation %}");
        without(text, "{% endgeneration %}");
        data_case_open(&files, 64);
        put(&files, "t.jinja", text);
        chat_case_open(&k, PAWL_CHAT, "jinja");
        must(pawl_path_join(k.cfg.chat_template_jinja, sizeof k.cfg.chat_template_jinja, files.dir, "t.jinja"));
        snprintf(k.cfg.chat_template_kwargs, sizeof k.cfg.chat_template_kwargs, "{\"bos_token\": \"%s\", \"eos_token\": \"%s\"}",
                 json_string_value(json_object_get(fixture, "bos")), json_string_value(json_object_get(fixture, "eos")));
        expect_cases(&k, fixture);
        chat_case_close(&k);
        data_case_close(&files);
        json_decref(fixture);
        free(text);
    }
}

static void alpaca_rows_have_the_stanford_prompt(void **state)
{
    chat_case k;
    json_t *fixture = read_named("alpaca"), *cases = json_object_get(fixture, "cases");
    (void)state;
    chat_case_open(&k, PAWL_ALPACA, "");
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        pawl_sample *s = &k.sample;
        assert_int_equal(render_with(&k, NULL, json_object_get(c, "row")), PAWL_OK);
        assert_int_equal(s->with_end, 1);
        assert_int_equal(s->trained[s->count - 1].end, s->text.bytes); /* so the end is learnt */
        pawl_text_add(&s->text, "%s", pawl_renderer_eos(k.renderer));
        s->trained[s->count - 1].end = (int64_t)s->text.bytes;
        assert_string_equal(s->text.data, json_string_value(json_object_get(c, "text")));
        expect_spans(s, json_object_get(c, "trained"));
    }
    chat_case_close(&k);
    json_decref(fixture);
}

/* ---- Published templates ---- */

static void expect_published(const json_t *c, const char *folder)
{
    chat_case k;
    char path[PATH_MAX];
    const char *expected = json_string_value(json_object_get(c, "text"));
    const json_t *trained = json_object_get(c, "trained");
    chat_case_open(&k, PAWL_CHAT, "jinja");
    snprintf(path, sizeof path, "%s/%s", folder, json_string_value(json_object_get(c, "template")));
    assert_true(strlen(path) < sizeof k.cfg.chat_template_jinja);
    memcpy(k.cfg.chat_template_jinja, path, strlen(path) + 1);
    snprintf(k.cfg.chat_template_kwargs, sizeof k.cfg.chat_template_kwargs, "{\"bos_token\": \"<s>\", \"eos_token\": \"</s>\"}");
    /* A row is rendered although nothing of it is learnt: some templates leave whole messages out. */
    k.dataset.roles_to_train.count = trained ? 1 : 0;
    const pawl_status s = render_with(&k, NULL, json_object_get(c, "row"));
    if (!expected) assert_int_equal(s, PAWL_EDATA);
    else if (s != PAWL_OK) fail_msg("%s: %s", path, pawl_last_error()->what);
    else assert_string_equal(k.sample.text.data, expected);
    if (expected && trained) expect_spans(&k.sample, trained);
    chat_case_close(&k);
}

static void published_templates_equal_transformers(void **state)
{
    char path[PATH_MAX];
    json_t *fixture = read_fixture("published/cases.json", path), *cases = json_object_get(fixture, "cases");
    (void)state;
    *strrchr(path, '/') = 0;
    assert_true(json_array_size(cases) > 100);
    for (size_t i = 0; i < json_array_size(cases); i++) expect_published(json_array_get(cases, i), path);
    json_decref(fixture);
}

/* ---- What is learnt ---- */

#define TALK "{\"messages\": [{\"role\": \"system\", \"content\": \"S\"}, {\"role\": \"user\", \"content\": \"U\"}, {\"role\": \"assistant\", \"content\": \"A\"}, {\"role\": \"user\", \"content\": \"V\"}, {\"role\": \"assistant\", \"content\": \"B\"}]}"

/* The trained pieces of the text, each in brackets. */
static void expect_learnt(chat_case *k, const char *row, const char *expected)
{
    pawl_text found = {0};
    if (render_text(k, row) != PAWL_OK) fail_msg("%s", pawl_last_error()->what);
    for (int64_t i = 0; i < k->sample.count; i++) {
        const pawl_span s = k->sample.trained[i];
        pawl_text_add(&found, "[%.*s]", (int)(s.end - s.first), k->sample.text.data + s.first);
    }
    assert_string_equal(found.data ? found.data : "", expected);
    pawl_text_close(&found);
}

static const struct {
    const char *what, *roles[3], *expected;
    pawl_train_on ends;
    int inputs;
} learnt[] = {
    {"answers and their ends", {"assistant"}, "[A<|im_end|>][B<|im_end|>]", PAWL_TRAIN_ON_TURN, 0},
    {"answers and every end", {"assistant"}, "[<|im_end|>][<|im_end|>][A<|im_end|>][<|im_end|>][B<|im_end|>]", PAWL_TRAIN_ON_ALL, 0},
    {"answers and the last end", {"assistant"}, "[A][B<|im_end|>]", PAWL_TRAIN_ON_LAST, 0},
    {"answers without ends", {"assistant"}, "[A][B]", PAWL_TRAIN_ON_NONE, 0},
    {"questions", {"user"}, "[U<|im_end|>][V<|im_end|>]", PAWL_TRAIN_ON_TURN, 0},
    {"questions and answers", {"user", "assistant"}, "[U<|im_end|>][A<|im_end|>][V<|im_end|>][B<|im_end|>]", PAWL_TRAIN_ON_TURN, 0},
    {"nothing", {NULL}, "", PAWL_TRAIN_ON_TURN, 0},
    {"all", {"assistant"},
     "[<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\nV<|im_end|>\n"
     "<|im_start|>assistant\nB<|im_end|>\n]", PAWL_TRAIN_ON_TURN, 1},
};

static void roles_and_ends_say_what_is_learnt(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof learnt / sizeof *learnt; i++) {
        chat_case k;
        chat_case_open(&k, PAWL_CHAT, "chatml");
        print_message("           %s\n", learnt[i].what);
        k.dataset.train_on_eos = (int32_t)learnt[i].ends;
        k.cfg.train_on_inputs = learnt[i].inputs;
        k.dataset.roles_to_train.count = 0;
        for (int n = 0; learnt[i].roles[n]; n++)
            snprintf(k.dataset.roles_to_train.items[k.dataset.roles_to_train.count++], 32, "%s", learnt[i].roles[n]);
        expect_learnt(&k, TALK, learnt[i].expected);
        chat_case_close(&k);
    }
}

static const struct {
    const char *what, *template, *row, *learnt;
} blocks[] = {
    {"a block that an empty message follows",
     "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}{% else %}"
     "{{ m.content }}{% endif %}{% endfor %}",
     "{\"messages\": [{\"role\": \"user\", \"content\": \"U\"}, {\"role\": \"assistant\", \"content\": \"A\"}, "
     "{\"role\": \"user\", \"content\": \"\"}, {\"role\": \"assistant\", \"content\": \"B\"}]}",
     "[AB]"},
    {"a block in a block",
     "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}<{% generation %}{{ m.content }}"
     "{% endgeneration %}>{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}",
     "{\"messages\": [{\"role\": \"user\", \"content\": \"U\"}, {\"role\": \"assistant\", \"content\": \"A\"}]}", "[<A>]"},
};

static void generation_blocks_are_learnt_once_and_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        chat_case k;
        chat_case_open(&k, PAWL_CHAT, "jinja");
        snprintf(k.cfg.chat_template_jinja, sizeof k.cfg.chat_template_jinja, "%s", blocks[i].template);
        print_message("           %s\n", blocks[i].what);
        expect_learnt(&k, blocks[i].row, blocks[i].learnt);
        chat_case_close(&k);
    }
}

static const struct {
    const char *what, *row, *text, *learnt;
    pawl_dataset_type type;
} rows[] = {
    {"ShareGPT", "{\"conversations\": [{\"from\": \"human\", \"value\": \"U\"}, {\"from\": \"gpt\", \"value\": \"A\"}]}",
     "<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n", "[A<|im_end|>]", PAWL_CHAT},
    {"a system text beside", "{\"system\": \"S\", \"messages\": [{\"role\": \"user\", \"content\": \"U\"}]}",
     "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n", "", PAWL_CHAT},
    {"parts of text", "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"a\"}, {\"type\": \"text\", \"text\": \"b\"}]}]}",
     "<|im_start|>user\nab<|im_end|>\n", "", PAWL_CHAT},
    {"the prompt of an answer", "{\"messages\": [{\"role\": \"user\", \"content\": \"U\"}], \"add_generation_prompt\": true}",
     "<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n", "", PAWL_CHAT},
    {"a prompt and its completion", "{\"prompt\": \"P\", \"completion\": \"C\"}", "PC", "[C]", PAWL_PROMPT_COMPLETION},
    {"messages as prompt and completion",
     "{\"prompt\": [{\"role\": \"user\", \"content\": \"U\"}, {\"role\": \"assistant\", \"content\": \"given\"}, {\"role\": \"user\", \"content\": \"V\"}],"
     " \"completion\": [{\"role\": \"assistant\", \"content\": \"A\"}]}",
     "<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\ngiven<|im_end|>\n<|im_start|>user\nV<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n",
     "[A<|im_end|>]", PAWL_PROMPT_COMPLETION},
    {"segments", "{\"segments\": [{\"label\": false, \"text\": \"a\"}, {\"label\": true, \"text\": \"b\"}, {\"label\": true, \"text\": \"c\"}]}", "abc",
     "[bc]", PAWL_INPUT_OUTPUT},
    {"an instruction with a system text", "{\"system\": \"S\", \"instruction\": \"I\", \"output\": \"O\"}",
     "### System:\nS\n\n### Instruction:\nI\n\n### Response:\nO", "[O]", PAWL_ALPACA},
    {"a text", "{\"text\": \"T\"}", "T", "[T]", PAWL_COMPLETION},
};

/* In time that grows with the row and not with its square, which would be minutes here; every other answer is empty. */
static void a_row_may_have_very_many_messages(void **state)
{
    (void)state;
    enum { PAIRS = 100000 };
    static const char *const templates[] = {"chatml", NULL};
    static const char in_blocks[] = "{% for m in messages %}[{{ m.role }}]{% if m.role == 'assistant' %}{% generation %}{{ "
                                 "m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}";
    json_t *row = json_pack("{s:[]}", "messages"), *messages = json_object_get(row, "messages");
    for (int i = 0; i < PAIRS; i++) {
        json_array_append_new(messages, json_pack("{s:s,s:s}", "role", "user", "content", "q"));
        json_array_append_new(messages, json_pack("{s:s,s:s}", "role", "assistant", "content", i % 2 ? "a" : ""));
    }
    for (size_t i = 0; i < 2; i++) {
        chat_case k;
        chat_case_open(&k, PAWL_CHAT, templates[i] ? templates[i] : "jinja");
        if (!templates[i]) snprintf(k.cfg.chat_template_jinja, sizeof k.cfg.chat_template_jinja, "%s", in_blocks);
        must(render_with(&k, NULL, row));
        assert_int_equal(k.sample.count, templates[i] ? PAIRS : PAIRS / 2); /* chatml's ends of turns are learnt, too */
        chat_case_close(&k);
    }
    json_decref(row);
}

static void rows_of_every_kind_are_rendered(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        chat_case k;
        chat_case_open(&k, rows[i].type, "chatml");
        print_message("           %s\n", rows[i].what);
        expect_learnt(&k, rows[i].row, rows[i].learnt);
        assert_string_equal(k.sample.text.data, rows[i].text);
        chat_case_close(&k);
    }
}

static void keys_and_roles_are_mapped(void **state)
{
    chat_case k;
    (void)state;
    chat_case_open(&k, PAWL_CHAT, "chatml");
    snprintf(k.dataset.field_messages, sizeof k.dataset.field_messages, "dialog");
    k.dataset.message_property_mappings.present = 1;
    snprintf(k.dataset.message_property_mappings.value.role, 64, "who");
    snprintf(k.dataset.message_property_mappings.value.content, 64, "said");
    k.dataset.roles.present = 1;
    k.dataset.roles.value.user.count = k.dataset.roles.value.assistant.count = 1;
    snprintf(k.dataset.roles.value.user.items[0], 32, "me");
    snprintf(k.dataset.roles.value.assistant.items[0], 32, "you");
    snprintf(k.dataset.message_field_training, sizeof k.dataset.message_field_training, "train");
    expect_learnt(&k, "{\"dialog\": [{\"who\": \"me\", \"said\": \"U\", \"train\": true}, {\"who\": \"you\", \"said\": \"A\", \"train\": false}, {\"who\": \"you\", \"said\": \"B\"}]}",
                  "[U<|im_end|>][B<|im_end|>]");
    chat_case_close(&k);
}

/* ---- Tools ---- */

#define ASKED "{\"role\": \"user\", \"content\": \"U\"}, {\"role\": \"assistant\", \"content\": \"A\", "
#define CALLS "{% for m in messages %}{{ m.content }}{% for t in m.tool_calls %}<{{ t.function.name }}>{% endfor %}{% endfor %}"

/* By hand: a row's tools are written where all of their names stand in its text. */
static const struct {
    const char *template, *inline_text, *row;
    int toolless;
} tooled[] = {
    {"chatml", "", "{\"messages\": [" ASKED "\"tool_calls\": []}], \"tools\": []}", 0},
    {"chatml", "", "{\"messages\": [" ASKED "\"tool_calls\": [{\"function\": {\"name\": \"stock\", \"arguments\": {}}}]}]}", 1},
    {"chatml", "", "{\"messages\": [" ASKED "\"function_call\": {\"name\": \"stock\"}}]}", 1},
    {"chatml", "", "{\"messages\": [" ASKED "\"x\": 1}], \"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"stock\"}}]}", 1},
    {"jinja", CALLS, "{\"messages\": [" ASKED "\"tool_calls\": [{\"function\": {\"name\": \"stock\"}}]}]}", 0},
    {"jinja", CALLS "{{ tools | tojson }}", "{\"messages\": [" ASKED "\"x\": 1}], \"tools\": [{\"name\": \"stock\"}]}", 0},
    {"jinja", CALLS, "{\"messages\": [" ASKED "\"x\": 1}], \"tools\": [{\"name\": \"stock\"}]}", 1},
    {"jinja", CALLS, "{\"messages\": [" ASKED "\"tool_calls\": [{\"function\": {\"name\": \"stock\"}}]}], \"tools\": [{\"name\": \"stockroom\"}]}", 1},
};

static void rows_say_whether_their_tools_are_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof tooled / sizeof *tooled; i++) {
        chat_case k;
        chat_case_open(&k, PAWL_CHAT, tooled[i].template);
        snprintf(k.cfg.chat_template_jinja, sizeof k.cfg.chat_template_jinja, "%s", tooled[i].inline_text);
        if (render_text(&k, tooled[i].row) != PAWL_OK) fail_msg("%s", pawl_last_error()->what);
        if (k.sample.toolless != tooled[i].toolless) fail_msg("%s: %s -> %d", tooled[i].inline_text, tooled[i].row, k.sample.toolless);
        chat_case_close(&k);
    }
}

/* ---- What is refused ---- */

#define SAYS(content) "{\"messages\": [{\"role\": \"user\", \"content\": " content "}]}"
static const struct {
    const char *template, *row, *says;
    pawl_dataset_type type;
} bad[] = {
    {"chatml", "{\"text\": \"x\"}", "expected a key 'messages' that holds a list of messages, found 'text'", PAWL_CHAT},
    {"chatml", "{\"messages\": []}", "the list of messages under 'messages' is empty", PAWL_CHAT},
    {"chatml", "{\"messages\": {}}", "expected a list of messages under 'messages', found an object", PAWL_CHAT},
    {"chatml", "{\"messages\": [3]}", "messages[0]: expected a message, an object, found a number", PAWL_CHAT},
    {"chatml", "{\"messages\": [{\"content\": \"x\"}]}", "messages[0]: expected a key 'role' that says who speaks, found 'content'", PAWL_CHAT},
    {"chatml", "{\"messages\": [{\"role\": 1, \"content\": \"x\"}]}", "messages[0]: expected a role under 'role', found a number", PAWL_CHAT},
    {"chatml", "{\"messages\": [{\"role\": \"user\"}]}", "messages[0]: expected a key 'content' that holds what is said, found 'role'", PAWL_CHAT},
    {"chatml", SAYS("null"), "messages[0]: expected a string under 'content', found null", PAWL_CHAT},
    {"chatml", SAYS("7"), "messages[0]: expected a string under 'content', found a number", PAWL_CHAT},
    {"chatml", SAYS("[{\"type\": \"image\"}]"), "found a part of type 'image'; only text is learnt", PAWL_CHAT},
    {"chatml", "[1]", "expected a JSON object, found an array", PAWL_CHAT},
    {"", "{\"body\": \"x\"}", "found 'body'; set the dataset's `field` to the key that holds it", PAWL_COMPLETION},
    {"", SAYS("\"x\""), "found 'messages': rows like this are of type: chat", PAWL_COMPLETION},
    {"", "{\"prompt\": \"x\", \"completion\": \"y\"}", "rows like this are of type: prompt_completion", PAWL_COMPLETION},
    {"mistral", "{\"messages\": [{\"role\": \"tool\", \"content\": \"x\"}]}", "found tool", PAWL_CHAT},
    {"mistral", "{\"messages\": [{\"role\": \"system\", \"content\": \"x\"}]}", "a system message has its place", PAWL_CHAT},
    {"", "{\"instruction\": \"x\"}", "expected a key 'output'", PAWL_ALPACA},
    {"", "{\"instruction\": 1, \"output\": \"x\"}", "expected a string under 'instruction', found a number", PAWL_ALPACA},
    {"", "{\"prompt\": [{\"role\": \"user\", \"content\": \"x\"}], \"completion\": \"y\"}", "there is no chat template", PAWL_PROMPT_COMPLETION},
    {"chatml", "{\"prompt\": [{\"role\": \"user\", \"content\": \"x\"}], \"completion\": \"y\"}", "expected a list of messages under 'completion', found a string",
     PAWL_PROMPT_COMPLETION},
    {"", "{\"segments\": [{\"text\": \"x\"}]}", "segments[0]: expected true or false under 'label', found nothing", PAWL_INPUT_OUTPUT},
    {"", "{\"segments\": []}", "the list under 'segments' is empty", PAWL_INPUT_OUTPUT},
};

static void bad_rows_are_refused_in_a_sentence(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        chat_case k;
        chat_case_open(&k, bad[i].type, bad[i].template);
        const pawl_status s = render_text(&k, bad[i].row);
        if (s != PAWL_EDATA || !strstr(pawl_last_error()->what, bad[i].says)) fail_msg("%s -> %s", bad[i].row, pawl_last_error()->what);
        chat_case_close(&k);
    }
}

static void expect_template(const char *template, const char *folder, const char *says)
{
    chat_case k;
    chat_case_open(&k, PAWL_CHAT, template);
    const pawl_status s = pawl_renderer_open(&k.cfg, &k.dataset, folder, NULL, &k.renderer);
    if (!says && s != PAWL_OK) fail_msg("%s", pawl_last_error()->what);
    if (says && (s != PAWL_EUSAGE || !strstr(pawl_last_error()->what, says))) fail_msg("%s", pawl_last_error()->what);
    chat_case_close(&k);
}

static void templates_are_found_where_transformers_finds_them(void **state)
{
    data_case k;
    (void)state;
    data_case_open(&k, 64);
    expect_template("chatm", NULL, "did you mean chatml?");
    expect_template("jinja", NULL, "chat_template_jinja");
    expect_template("", NULL, "no chat template of its own");
    expect_template("", k.dir, "no chat template of its own");
    expect_template("tokenizer_default_fallback_chatml", k.dir, NULL);
    expect_template("tokenizer_default_fallback_x", k.dir, "there is none named 'x'");
    put(&k, "tokenizer_config.json", "{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"x\"}]}");
    expect_template("", k.dir, "no template named 'default'");
    put(&k, "tokenizer_config.json", "{\"chat_template\": \"{% for m in messages %}\"}");
    expect_template("", k.dir, "tokenizer_config.json:1: error: the block that begins here has no end");
    put(&k, "chat_template.jinja", "{{ messages[0].content }}"); /* goes before tokenizer_config.json */
    expect_template("", k.dir, NULL);
    data_case_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(named_templates_equal_transformers),
        cmocka_unit_test(spans_are_found_without_generation_blocks),
        cmocka_unit_test(generation_blocks_are_learnt_once_and_whole),
        cmocka_unit_test(alpaca_rows_have_the_stanford_prompt),
        cmocka_unit_test(published_templates_equal_transformers),
        cmocka_unit_test(roles_and_ends_say_what_is_learnt),
        cmocka_unit_test(a_row_may_have_very_many_messages),
        cmocka_unit_test(rows_of_every_kind_are_rendered),
        cmocka_unit_test(keys_and_roles_are_mapped),
        cmocka_unit_test(rows_say_whether_their_tools_are_written),
        cmocka_unit_test(bad_rows_are_refused_in_a_sentence),
        cmocka_unit_test(templates_are_found_where_transformers_finds_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
