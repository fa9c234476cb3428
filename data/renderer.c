/* From a dataset's type to the function that writes its rows. */
#include <string.h>

#include "core/arena.h"
#include "data/sample.h"

typedef pawl_status render_row(const pawl_renderer *r, const json_t *row, pawl_sample *out);

static render_row *const kinds[] = {
    [PAWL_COMPLETION] = pawl_render_completion,
    [PAWL_PLAIN_TEXT] = pawl_render_completion,
    [PAWL_ALPACA] = pawl_render_alpaca,
    [PAWL_CHAT] = NULL,
    [PAWL_CHAT_TEMPLATE] = NULL,
    [PAWL_PROMPT_COMPLETION] = pawl_render_prompt_completion,
    [PAWL_INPUT_OUTPUT] = pawl_render_input_output,
};

static pawl_status copy_text(char **out, const char *text)
{
    const size_t bytes = strlen(text) + 1;
    PAWL_TRY(pawl_alloc((void **)out, bytes, "the marks of a tokenizer"));
    memcpy(*out, text, bytes);
    return PAWL_OK;
}

/* Alpaca's published form ends with Llama's </s>. */
static pawl_status find_marks(pawl_renderer *r, const pawl_tokenizer *t)
{
    const char *bos = t ? pawl_tokenizer_content(t, pawl_tokenizer_begin(t)) : "";
    const char *eos = t ? pawl_tokenizer_content(t, pawl_tokenizer_end(t)) : "</s>";
    PAWL_TRY(copy_text(&r->bos, bos ? bos : ""));
    return copy_text(&r->eos, eos ? eos : "");
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
    json_object_set_new(value, "bos", json_string(r->bos));
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
    (void)tokenizer;
    PAWL_CHECK(kinds[dataset->type], PAWL_EUSAGE, "type: %s is not computed yet", pawl_dataset_types[dataset->type]);
    PAWL_TRY(pawl_alloc((void **)&r, sizeof *r, "the renderer of rows"));
    *r = (pawl_renderer){.cfg = cfg, .dataset = dataset};
    PAWL_TRY_OUT(find_marks(r, t));
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
    pawl_free(r->bos);
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
