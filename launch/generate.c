/* pawl generate: text from a model, greedily or sampled from its nucleus. */
#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "launch/launch.h"

enum { PROMPT, CHAT, MAX_TOKENS, TEMPERATURE, TOP_P, SEED, BASE, EMA, DEVICE, JSON };

/* The prompt as the model reads it; *turn_end: what ends an answer beside the model's own end, or -1. */
static pawl_status encode_prompt(const pawl_args *a, const pawl_loaded *l, pawl_encoding *out, int32_t *turn_end)
{
    const char *prompt = a->option[PROMPT];
    *turn_end = -1;
    if (a->option[CHAT]) return pawl_chat_question(a->words[0], l, prompt, out, turn_end);
    return pawl_encode(l->tokenizer, prompt, strlen(prompt), PAWL_WITH_SPECIALS, out);
}

static pawl_status print_result(const pawl_loaded *l, const int32_t *ids, int64_t from, int64_t prompt, int64_t count, const char *stop,
                                int as_json)
{
    pawl_text text = {0};
    pawl_status s = pawl_decode(l->tokenizer, ids + from, count - from, 1, &text);
    if (s == PAWL_OK && !as_json) puts(text.data ? text.data : "");
    if (s == PAWL_OK && as_json) {
        json_t *tokens = json_array();
        pawl_text valid = {0}; /* a model may well say bytes that are no UTF-8; the tokens tell which */
        pawl_text_add_utf8(&valid, text.data, text.bytes);
        for (int64_t i = prompt; i < count; i++) json_array_append_new(tokens, json_integer(ids[i]));
        s = pawl_print_json(json_pack("{s:s,s:o,s:s}", "text", valid.data ? valid.data : "", "tokens", tokens, "stop", stop));
        pawl_text_close(&valid);
    }
    pawl_text_close(&text);
    return s;
}

static pawl_status answer(const pawl_command *c, const pawl_args *a, pawl_loaded *l, pawl_device *d)
{
    const int as_json = a->option[JSON] != NULL;
    int64_t max_tokens, seed;
    pawl_sampling how = {.size = pawl_tokenizer_size(l->tokenizer), .end = pawl_tokenizer_end(l->tokenizer)};
    pawl_sampler *s = NULL;
    pawl_to_write w = {.end = -1};
    pawl_written made;
    pawl_encoding encoding = {0};
    pawl_decoder *g = NULL;
    pawl_status status;
    PAWL_TRY(pawl_option_i64(c, a, MAX_TOKENS, 1, 1000000, 256, &max_tokens));
    PAWL_TRY(pawl_option_i64(c, a, SEED, 0, INT64_MAX, 42, &seed));
    PAWL_TRY(pawl_option_f64(c, a, TEMPERATURE, 0, 100, 0, &how.temperature));
    PAWL_TRY(pawl_option_f64(c, a, TOP_P, 0, 1, 1, &how.top_p));
    how.seed = (uint64_t)seed;
    PAWL_TRY_OUT(encode_prompt(a, l, &encoding, &w.end));
    PAWL_TRY_OUT(pawl_sampler_open(&how, &s));
    int64_t n = encoding.count;
    PAWL_TRY_OUT(pawl_alloc((void **)&w.ids, (size_t)(n + 1 + max_tokens) * sizeof *w.ids, "tokens"));
    if (n) memcpy(w.ids, encoding.ids, (size_t)n * sizeof *w.ids);
    else w.ids[n++] = pawl_tokenizer_end(l->tokenizer); /* an empty prompt begins a document */
    if (w.ids[0] < 0) PAWL_TRY_OUT(PAWL_FAIL(PAWL_EUSAGE, "the prompt is empty and the tokenizer names no end token to begin with"));
    const int64_t context = pawl_model_settings(l->model)->max_position_embeddings;
    if (n >= context)
        PAWL_TRY_OUT(PAWL_FAIL(PAWL_EUSAGE, "the prompt has %lld tokens and the model's context %lld: shorten it", (long long)n, (long long)context));
    if (max_tokens > context - n) max_tokens = context - n;
    PAWL_TRY_OUT(pawl_decoder_open(l->model, d, l->weights, n + max_tokens, &g));
    w.prompt = n;
    w.most = max_tokens;
    PAWL_TRY_OUT(pawl_write(g, s, &w, &made));
    const int64_t from = as_json || a->option[CHAT] ? n : 0; /* people read what they began with the rest; programs have it */
    PAWL_TRY_OUT(print_result(l, w.ids, from, n, made.count, made.end >= 0 ? "end" : "length", as_json));
out:
    pawl_decoder_close(g);
    pawl_encoding_close(&encoding);
    pawl_free(w.ids);
    pawl_sampler_close(s);
    return status;
}

static pawl_status choose_device(const char *name, pawl_device_choice *out)
{
    for (int i = 0; pawl_device_names[i]; i++)
        if (!name || strcmp(name, pawl_device_names[i]) == 0) {
            *out = (pawl_device_choice)i;
            return PAWL_OK;
        }
    return PAWL_FAIL(PAWL_EUSAGE, "pawl generate: --device: there is no '%s': it is one of auto, cpu, cuda", name);
}

static pawl_status run(pawl_comm *c, const pawl_args *a, int *exit_status)
{
    pawl_loaded l;
    pawl_device *d;
    int threads;
    pawl_device_choice choice;
    (void)exit_status;
    PAWL_CHECK(a->option[PROMPT], PAWL_EUSAGE, "pawl generate: --prompt is missing");
    PAWL_TRY(choose_device(a->option[DEVICE], &choice));
    PAWL_TRY(pawl_threads_here(c, 0, &threads));
    PAWL_TRY(pawl_open_device(c, choice, threads, 0, &d));
    pawl_status s = pawl_load_model(a->words[0], (pawl_which){a->option[BASE], a->option[EMA] != NULL}, d, &l);
    if (s == PAWL_OK) {
        s = answer(&pawl_command_generate, a, &l, d);
        pawl_unload_model(&l);
    }
    pawl_device_close(d);
    return s;
}

const pawl_command pawl_command_generate = {
    .name = "generate",
    .usage = "CKPT|RUN_DIR|MODEL_DIR|FILE.gguf --prompt TEXT [options]",
    .summary = "text from a model",
    .least = 1,
    .most = 1,
    .options = {{"--prompt", "TEXT", "what the text begins with"},
                {"--chat", NULL, "TEXT is a question: as a conversation, in the run's or the tokenizer's template"},
                {"--max-tokens", "N", "tokens at most (256)"},
                {"--temperature", "X", "0 is greedy (0)"},
                {"--top-p", "X", "share of probability that is drawn from (1)"},
                {"--seed", "N", "of the drawing (42)"},
                {"--base", "DIR", "where the base model of an adapter is now (where it was)"},
                {"--ema", NULL, "the average of the weights that the run kept (ema_decay), not the weights themselves"},
                {"--device", "NAME", "auto, cpu or cuda: what computes (auto)"},
                {"--json", NULL, "one JSON document: text, tokens, stop"}},
    .run = run,
};
