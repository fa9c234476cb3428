/* tokenizer.json as a whole: its parts in the order in which text passes through them. */
#include <string.h>

#include "core/arena.h"
#include "data/tokenizer/stages.h"

pawl_status pawl_stage_add(pawl_tokenizer *t, const pawl_place *p, pawl_stage **out)
{
    PAWL_REQUIRE(t->stage_count < PAWL_STAGES_MAX - 2, p,
                 "more than %d normalizers and pre-tokenizers are not supported", PAWL_STAGES_MAX - 4);
    pawl_stage *s = &t->stages[t->stage_count];
    *s = (pawl_stage){.tokenizer = t, .index = t->stage_count++};
    *out = s;
    return PAWL_OK;
}

void pawl_stage_close(pawl_stage *s)
{
    pcre2_code_free(s->regex);
    pawl_free(s->needle);
    pawl_free(s->content);
}

static pawl_status add_own(pawl_tokenizer *t, pawl_status (*run)(const pawl_stage *, pawl_encoder *, pawl_stretch),
                           const pawl_added_set *added)
{
    pawl_stage *s = &t->stages[t->stage_count];
    *s = (pawl_stage){.tokenizer = t, .index = t->stage_count++, .run = run, .added = added};
    return PAWL_OK;
}

static pawl_status model_run(const pawl_stage *s, pawl_encoder *e, pawl_stretch piece)
{
    return pawl_bpe_encode(&s->tokenizer->bpe, &e->merger, &piece, e->out);
}

/* ---- Added tokens as the normalizer writes them ---- */

static pawl_status capture_run(const pawl_stage *s, pawl_encoder *e, pawl_stretch piece)
{
    (void)s;
    return pawl_rewrite_copy(e->capture, &piece, 0, piece.bytes);
}

/* Through the normalizers, which are the stages behind the first one, to a last one that keeps what comes. */
static pawl_status normalize(void *data, const char *text, size_t bytes, pawl_stretch *out)
{
    pawl_encoder *e = data;
    const pawl_tokenizer *t = e->tokenizer;
    e->capture->bytes = 0;
    PAWL_TRY(t->stages[1].run(&t->stages[1], e, (pawl_stretch){.text = text, .bytes = (int64_t)bytes}));
    *out = pawl_rewritten(e->capture);
    return PAWL_OK;
}

static pawl_status normalize_added(pawl_tokenizer *t, const pawl_place *p)
{
    pawl_encoder *e = NULL;
    pawl_rewrite text = {0};
    pawl_status status = PAWL_OK;
    PAWL_TRY(add_own(t, capture_run, NULL));
    PAWL_TRY_OUT(pawl_encoder_open(t, &e));
    e->capture = &text;
    PAWL_TRY_OUT(pawl_added_normalize(&t->added, p, normalize, e));
out:
    t->stage_count--;
    pawl_encoder_close(e);
    pawl_free(text.text);
    pawl_free(text.origin);
    return status;
}

/* ---- The parts ---- */

/* A vocabulary of bytes needs no letters written for them. */
static pawl_status leave_out_letters(pawl_tokenizer *t)
{
    pawl_stage *last = &t->stages[t->stage_count - 1];
    if (last->run != pawl_letters_run) return PAWL_OK;
    PAWL_TRY(pawl_bpe_take_bytes(&t->bpe));
    if (t->bpe.of_bytes) t->stage_count--;
    return PAWL_OK;
}

pawl_status pawl_tokenizer_load(pawl_tokenizer *t, const json_t *whole, const char *file)
{
    const pawl_place top = {.file = file};
    const pawl_place model = pawl_place_in(&top, "model"), added = pawl_place_in(&top, "added_tokens"),
                     normalizer = pawl_place_in(&top, "normalizer"),
                     pretokenizer = pawl_place_in(&top, "pre_tokenizer"), post = pawl_place_in(&top, "post_processor"),
                     decoder = pawl_place_in(&top, "decoder");
    PAWL_CHECK(json_is_object(whole), PAWL_EDATA, "%s: expected a JSON object", file);
    PAWL_TRY(pawl_classes_open(&t->classes));
    PAWL_TRY(pawl_bpe_open(&t->bpe, json_object_get(whole, "model"), &model));
    PAWL_TRY(pawl_added_open(&t->added, json_object_get(whole, "added_tokens"), &t->bpe, &added));
    PAWL_TRY(add_own(t, pawl_added_run, &t->added.raw));
    PAWL_TRY(pawl_normalizer_open(t, json_object_get(whole, "normalizer"), &normalizer));
    PAWL_TRY(normalize_added(t, &added));
    PAWL_TRY(add_own(t, pawl_added_run, &t->added.normalized));
    PAWL_TRY(pawl_pretokenizer_open(t, json_object_get(whole, "pre_tokenizer"), &pretokenizer));
    PAWL_TRY(leave_out_letters(t));
    PAWL_TRY(add_own(t, model_run, NULL));
    PAWL_TRY(pawl_post_open(&t->frame, json_object_get(whole, "post_processor"), &post));
    return pawl_decoder_steps_open(&t->decoder, json_object_get(whole, "decoder"), &decoder);
}
