/* Rows that need no chat template: their text is written as it stands, or into the Stanford Alpaca prompt. */
#include <string.h>

#include "data/sample.h"

pawl_status pawl_render_text(const char *text, size_t bytes, pawl_sample *out)
{
    pawl_sample_reset(out, PAWL_RAW_TEXT, 1);
    return pawl_sample_add(out, text, bytes, 1);
}

pawl_status pawl_render_completion(const pawl_renderer *r, const json_t *row, pawl_sample *out)
{
    const char *text;
    size_t bytes;
    PAWL_TRY(pawl_row_text(row, r->dataset->field, "field", 0, &text, &bytes));
    return pawl_render_text(text, bytes, out);
}

static pawl_status add_words(pawl_sample *out, const char *words, int learnt)
{
    return pawl_sample_add(out, words, strlen(words), learnt);
}

typedef struct piece {
    const char *text;
    size_t bytes;
} piece;

/* A heading, its text and an empty line; nothing when there is no text and it may be missing. */
static pawl_status add_part(pawl_sample *out, const char *heading, piece p, int learnt)
{
    PAWL_TRY(add_words(out, heading, learnt));
    PAWL_TRY(pawl_sample_add(out, p.text, p.bytes, learnt));
    return add_words(out, "\n\n", learnt);
}

/* The prompt of Stanford Alpaca (github.com/tatsu-lab/stanford_alpaca); a system text takes the place of the sentence
 * that begins it, as in Axolotl's alpaca_w_system. */
pawl_status pawl_render_alpaca(const pawl_renderer *r, const json_t *row, pawl_sample *out)
{
    const pawl_dataset_config *d = r->dataset;
    const int inputs = r->cfg->train_on_inputs;
    piece instruction, input, output, system;
    PAWL_TRY(pawl_row_text(row, d->field_instruction, "field_instruction", 0, &instruction.text, &instruction.bytes));
    PAWL_TRY(pawl_row_text(row, d->field_input, "field_input", 1, &input.text, &input.bytes));
    PAWL_TRY(pawl_row_text(row, d->field_output, "field_output", 0, &output.text, &output.bytes));
    PAWL_TRY(pawl_row_text(row, d->field_system, "field_system", 1, &system.text, &system.bytes));
    pawl_sample_reset(out, PAWL_RAW_TEXT, 1);
    if (system.bytes) {
        PAWL_TRY(add_part(out, "### System:\n", system, inputs));
    } else {
        PAWL_TRY(add_words(out, "Below is an instruction that describes a task", inputs));
        if (input.bytes) PAWL_TRY(add_words(out, ", paired with an input that provides further context", inputs));
        PAWL_TRY(add_words(out, ". Write a response that appropriately completes the request.\n\n", inputs));
    }
    PAWL_TRY(add_part(out, "### Instruction:\n", instruction, inputs));
    if (input.bytes) PAWL_TRY(add_part(out, "### Input:\n", input, inputs));
    PAWL_TRY(add_words(out, "### Response:\n", inputs));
    return pawl_sample_add(out, output.text, output.bytes, 1);
}

pawl_status pawl_render_prompt_completion(const pawl_renderer *r, const json_t *row, pawl_sample *out)
{
    piece prompt, completion;
    if (json_is_array(json_object_get(row, r->dataset->field_prompt))) return pawl_render_prompt_messages(r, row, out);
    PAWL_TRY(pawl_row_text(row, r->dataset->field_prompt, "field_prompt", 0, &prompt.text, &prompt.bytes));
    PAWL_TRY(
        pawl_row_text(row, r->dataset->field_completion, "field_completion", 0, &completion.text, &completion.bytes));
    pawl_sample_reset(out, PAWL_RAW_TEXT, 1);
    PAWL_TRY(pawl_sample_add(out, prompt.text, prompt.bytes, r->cfg->train_on_inputs));
    return pawl_sample_add(out, completion.text, completion.bytes, 1);
}

static pawl_status add_segment(const pawl_renderer *r, size_t at, const json_t *segment, pawl_sample *out)
{
    const json_t *label = json_object_get(segment, "label");
    const char *text;
    size_t bytes;
    PAWL_CHECK(json_is_object(segment), PAWL_EDATA,
               "segments[%zu]: expected {\"label\": true or false, \"text\": \"...\"}, found %s", at,
               pawl_json_kind(segment));
    PAWL_CHECK(json_is_boolean(label), PAWL_EDATA, "segments[%zu]: expected true or false under 'label', found %s", at,
               pawl_json_kind(label));
    PAWL_TRY(pawl_row_text(segment, "text", "type", 0, &text, &bytes));
    return pawl_sample_add(out, text, bytes, json_is_true(label) || r->cfg->train_on_inputs);
}

/* Axolotl's input_output: {"segments": [{"label": true, "text": "..."}, ...]}; specials and ends are written in the
 * texts. */
pawl_status pawl_render_input_output(const pawl_renderer *r, const json_t *row, pawl_sample *out)
{
    const json_t *list = json_object_get(row, "segments");
    char keys[320];
    pawl_row_keys(row, keys, sizeof keys);
    PAWL_CHECK(list, PAWL_EDATA, "expected a key 'segments', found %s", keys);
    PAWL_CHECK(json_is_array(list), PAWL_EDATA, "expected a list of segments under 'segments', found %s",
               pawl_json_kind(list));
    PAWL_CHECK(json_array_size(list) > 0, PAWL_EDATA, "the list under 'segments' is empty");
    pawl_sample_reset(out, PAWL_WITHOUT_SPECIALS, 0);
    for (size_t i = 0; i < json_array_size(list); i++) PAWL_TRY(add_segment(r, i, json_array_get(list, i), out));
    return PAWL_OK;
}
