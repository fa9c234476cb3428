/* Questions with choices: rows {"prompt" or "question", "choices", "answer"}, and what of them is scored. */
#include "data/choices.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/mixture.h"

void pawl_question_close(pawl_question *q)
{
    pawl_text_close(&q->prompt);
    memset(q, 0, sizeof *q);
}

/* ---- the prompt ---- */

static pawl_status ask_in_chat(const pawl_renderer *r, const json_t *row, const json_t *prompt, const char *key,
                               pawl_question *out)
{
    json_t *said = json_is_array(prompt) ? json_incref((json_t *)(uintptr_t)prompt)
                                         : json_pack("[{s:s,s:O}]", "role", "user", "content", prompt);
    PAWL_CHECK(said, PAWL_EMEM, "no memory for a conversation");
    out->specials = PAWL_WITHOUT_SPECIALS;
    out->delimiter = "";
    const pawl_status s = pawl_render_asked(r, said, key, json_object_get(row, r->dataset->field_tools), &out->prompt);
    json_decref(said);
    return s;
}

static pawl_status read_prompt(const pawl_renderer *r, const json_t *row, pawl_question *out)
{
    const pawl_dataset_config *d = r->dataset;
    const char *key = json_object_get(row, d->field_prompt) ? d->field_prompt
                      : json_object_get(row, "question")    ? "question"
                                                            : d->field_prompt,
               *text;
    const json_t *prompt = json_object_get(row, key);
    size_t bytes;
    if (json_is_array(prompt)) return ask_in_chat(r, row, prompt, key, out);
    PAWL_TRY(pawl_row_text(row, key, "field_prompt", 0, &text, &bytes));
    if (d->apply_chat_template) return ask_in_chat(r, row, prompt, key, out);
    out->specials = PAWL_RAW_TEXT;
    out->delimiter = d->choice_delimiter;
    pawl_text_add_bytes(&out->prompt, text, bytes);
    return pawl_text_status(&out->prompt);
}

/* ---- what there is to choose from ---- */

static int is_label(const json_t *label, const char *word)
{
    const char *text = json_string_value(label);
    return text && strcmp(text, word) == 0;
}

static int64_t place_of_label(const json_t *labels, const char *word)
{
    for (size_t i = 0; i < json_array_size(labels); i++)
        if (is_label(json_array_get(labels, i), word)) return (int64_t)i;
    return -1;
}

/* NULL: there are none. */
static pawl_status check_labels(const json_t *labels, const char *key)
{
    for (size_t i = 0; i < json_array_size(labels); i++) {
        const json_t *label = json_array_get(labels, i);
        PAWL_CHECK(json_is_string(label), PAWL_EDATA, "%s.label[%zu]: expected a text, found %s", key, i, pawl_json_kind(label));
        PAWL_CHECK(place_of_label(labels, json_string_value(label)) == (int64_t)i, PAWL_EDATA,
                   "%s.label[%zu]: '%.40s' is the label of an earlier choice, too", key, i, json_string_value(label));
    }
    return PAWL_OK;
}

static pawl_status read_choices(const pawl_renderer *r, const json_t *row, const json_t **labels, pawl_question *out)
{
    const char *key = r->dataset->field_choices;
    const json_t *list = json_object_get(row, key);
    char keys[320];
    pawl_row_keys(row, keys, sizeof keys);
    PAWL_CHECK(list, PAWL_EDATA, "expected a key '%s', found %s; set field_choices to the one that holds the choices",
               key, keys);
    *labels = json_is_object(list) ? json_object_get(list, "label") : NULL;
    out->texts = json_is_object(list) ? json_object_get(list, "text") : list;
    PAWL_CHECK(json_is_array(out->texts), PAWL_EDATA,
               "expected a list of texts under '%s', or an object with lists 'text' and 'label', found %s", key,
               pawl_json_kind(list));
    out->count = (int64_t)json_array_size(out->texts);
    PAWL_CHECK(out->count >= 2 && out->count <= INT_MAX, PAWL_EDATA,
               "expected two choices at least under '%s', found %lld", key, (long long)out->count);
    PAWL_CHECK(!*labels || json_array_size(*labels) == (size_t)out->count, PAWL_EDATA,
               "expected a label for each of the %lld choices under '%s', found %zu", (long long)out->count, key,
               json_array_size(*labels));
    PAWL_TRY(check_labels(*labels, key));
    for (int64_t i = 0; i < out->count; i++) {
        const json_t *text = json_array_get(out->texts, (size_t)i);
        PAWL_CHECK(json_is_string(text) && json_string_length(text) > 0 && json_string_length(text) <= INT_MAX,
                   PAWL_EDATA, "%s[%lld]: expected a text, found %s", key, (long long)i,
                   json_is_string(text) ? "none" : pawl_json_kind(text));
    }
    return PAWL_OK;
}

/* ---- the answer ---- */

/* A letter from A, or an index from 0 in digits; -1: neither. */
static int64_t place_of_word(const char *word)
{
    enum { DIGITS = 9 };
    int64_t n = 0;
    if (word[0] >= 'A' && word[0] <= 'Z' && !word[1]) return word[0] - 'A';
    if (!word[0] || strlen(word) > DIGITS) return -1;
    for (; *word; word++) {
        if (*word < '0' || *word > '9') return -1;
        n = 10 * n + (*word - '0');
    }
    return n;
}

/* Rows are read with all numbers as reals: some have integers beyond 64 bits. */
static int64_t place_of_number(double x)
{
    return x >= 0 && x <= INT_MAX && x == floor(x) ? (int64_t)x : -1;
}

static pawl_status read_answer(const pawl_renderer *r, const json_t *row, const json_t *labels, pawl_question *out)
{
    const char *key = r->dataset->field_answer;
    const json_t *answer = json_object_get(row, key);
    const char *word = json_string_value(answer);
    char keys[320], number[40];
    pawl_row_keys(row, keys, sizeof keys);
    PAWL_CHECK(answer, PAWL_EDATA,
               "expected a key '%s', found %s; set field_answer to the one that says which choice is right", key, keys);
    out->answer = json_is_number(answer) ? place_of_number(json_number_value(answer))
                  : !word                ? -1
                  : labels               ? place_of_label(labels, word)
                                         : place_of_word(word);
    snprintf(number, sizeof number, "%.15g", json_number_value(answer));
    PAWL_CHECK(out->answer >= 0 && out->answer < out->count, PAWL_EDATA,
               "%s: expected %s of one of the %lld choices, found %s%.40s%s", key,
               labels ? "the index from 0, or the label," : "the index from 0, or the letter from A,",
               (long long)out->count, word ? "'" : "",
               word                     ? word
               : json_is_number(answer) ? number
                                        : pawl_json_kind(answer),
               word ? "'" : "");
    /* As a number among labels 1, 2, 3, 4 it may be the one or the other. */
    const int64_t labelled = place_of_label(labels, word ? word : number);
    PAWL_CHECK(labelled < 0 || labelled == out->answer, PAWL_EDATA,
               "%s: %s is the index of one choice and the label of another: write the label as a text, \"%s\"", key, number, number);
    return PAWL_OK;
}

/* ---- together ---- */

pawl_status pawl_question_read(const pawl_renderer *r, const json_t *row, pawl_question *out)
{
    const json_t *labels;
    PAWL_CHECK(json_is_object(row), PAWL_EDATA, "expected a JSON object, found %s", pawl_json_kind(row));
    out->prompt.bytes = 0;
    out->prompt.failed = 0;
    PAWL_TRY(read_prompt(r, row, out));
    PAWL_TRY(read_choices(r, row, &labels, out));
    return read_answer(r, row, labels, out);
}

pawl_status pawl_question_sample(const pawl_question *q, int64_t i, pawl_sample *out, pawl_choice *choice)
{
    const json_t *text = json_array_get(q->texts, (size_t)i);
    pawl_sample_reset(out, q->specials, 0);
    PAWL_TRY(pawl_sample_add(out, q->prompt.data, q->prompt.bytes, 0));
    PAWL_TRY(pawl_sample_add(out, q->delimiter, strlen(q->delimiter), 1));
    PAWL_TRY(pawl_sample_add(out, json_string_value(text), json_string_length(text), 1));
    *choice = (pawl_choice){.index = (int32_t)i,
                            .count = (int32_t)q->count,
                            .right = i == q->answer,
                            .bytes = (int32_t)json_string_length(text)};
    return PAWL_OK;
}

/* A row as text: the right answer behind its prompt. */
pawl_status pawl_render_choices(const pawl_renderer *r, const json_t *row, pawl_sample *out)
{
    pawl_question q = {0};
    pawl_choice choice;
    pawl_status s = pawl_question_read(r, row, &q);
    if (s == PAWL_OK) s = pawl_question_sample(&q, q.answer, out, &choice);
    pawl_question_close(&q);
    return s;
}

/* ---- prepared ---- */

pawl_choice pawl_row_choice(const pawl_data *d, pawl_row r)
{
    const pawl_row_view v = pawl_row_find(d, PAWL_CHOICE_ROWS, r);
    return v.dataset->prepared.documents[v.segments[0].document].choice;
}

int64_t pawl_dataset_questions(const pawl_dataset *s)
{
    int64_t n = 0;
    for (int64_t i = 0; i < s->prepared.document_count; i++)
        n += s->prepared.documents[i].choice.count > 0 && s->prepared.documents[i].choice.index == 0;
    return n;
}

int64_t pawl_data_questions(const pawl_data *d, int domain)
{
    int64_t n = 0;
    for (int i = 0; i < d->count; i++)
        if (d->datasets[i].held_out_domain == domain) n += pawl_dataset_questions(&d->datasets[i]);
    return n;
}
