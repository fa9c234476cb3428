/* smollm2 DIR EXPECTED.json - an imported real model against what the reference implementation computes with it
 * (tests/fixtures/smollm2/README.md): every tensor's digest, ids, losses, logits, gradients' norms, a greedy answer. A
 * line for each; exit 0 when all agree. Computes on the device of tests/on_device.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "core/json.h"
#include "core/safetensors.h"
#include "data/data.h"
#include "model/model.h"
#include "tests/on_device.h"

enum { THREADS = 2, TOKENS_MOST = 64 };

typedef struct real {
    const char *dir;
    json_t *expected;
    pawl_device *device;
    pawl_model *model;
    pawl_tokenizer *tokenizer;
    pawl_arena there, here; /* in the memory of the device, and the host's */
    float *weights, *grads; /* the device's */
    float *flat;            /* the host's: of either on their way */
    int failures;
} real;

static void say(real *r, int ok, const char *what, double figure)
{
    r->failures += !ok;
    printf("%s %s (%.2e)\n", ok ? "ok    " : "FAILED", what, figure);
}

static double apart(double x, double y)
{
    return fabs(x - y) / fabs(y);
}

/* --- tensors ------------------------------------------------------------------------------------------------ */

static pawl_status check_tensors(real *r)
{
    pawl_safetensors *s;
    const char *name;
    json_t *t;
    int same = 0;
    const json_t *all = json_object_get(r->expected, "tensors");
    PAWL_TRY(pawl_safetensors_open(r->dir, &s));
    json_object_foreach((json_t *)(uintptr_t)all, name, t)
    {
        const pawl_named *n = pawl_safetensors_find(s, name);
        const char *hex = json_string_value(json_object_get(t, "sha256_f32"));
        same += n && hex &&
                strcmp(pawl_digest_hex(pawl_sha256(n->tensor.data, pawl_tensor_bytes(n->tensor))).text, hex) == 0;
    }
    say(r, same == pawl_safetensors_count(s) && same == (int)json_object_size(all) && same > 0,
        "digests of tensors, bit for bit; how many", same);
    pawl_safetensors_close(s);
    return PAWL_OK;
}

/* --- texts -------------------------------------------------------------------------------------------------- */

static int same_ids(const json_t *list, const int32_t *ids, int64_t count)
{
    if ((int64_t)json_array_size(list) != count) return 0;
    for (int64_t i = 0; i < count; i++)
        if (json_integer_value(json_array_get(list, (size_t)i)) != ids[i]) return 0;
    return 1;
}

static pawl_status check_ids(real *r, const char *text, const json_t *ids)
{
    pawl_encoding e = {0};
    PAWL_TRY(pawl_encode(r->tokenizer, text, strlen(text), PAWL_WITHOUT_SPECIALS, &e));
    say(r, same_ids(ids, e.ids, e.count), "ids; how many", (double)e.count);
    pawl_encoding_close(&e);
    return PAWL_OK;
}

/* The ten greatest of the reference, by value. */
static void check_logits(real *r, const json_t *top, const float *logits)
{
    double most = 0;
    size_t i;
    json_t *pair;
    json_array_foreach((json_t *)(uintptr_t)top, i, pair)
    {
        const double theirs = json_number_value(json_array_get(pair, 1));
        most = fmax(most, apart((double)logits[json_integer_value(json_array_get(pair, 0))], theirs));
    }
    say(r, json_array_size(top) == 10 && most <= 1e-4, "greatest logits", most);
}

static pawl_status check_grads(real *r, const json_t *norms)
{
    pawl_hf_tensors all = {.state = {.items = NULL}};
    const char *name;
    json_t *norm;
    double most = 0;
    pawl_status status;
    float *here = pawl_host_side(r->device, r->grads, r->flat);
    PAWL_TRY(pawl_download(r->device, here, r->grads, (size_t)pawl_model_count(r->model) * sizeof *here));
    PAWL_TRY_OUT(pawl_hf_tensors_open(r->model, here, &all));
    json_object_foreach((json_t *)(uintptr_t)norms, name, norm)
    {
        const pawl_named *n = pawl_state_find(&all.state, name);
        double sum = 0;
        for (int64_t i = 0; n && i < pawl_tensor_count(n->tensor); i++) {
            const double x = (double)((const float *)n->tensor.data)[i];
            sum += x * x;
        }
        most = fmax(most, apart(sqrt(sum), json_number_value(norm)));
    }
    say(r, json_object_size(norms) == 20 && most <= 1e-3, "norms of gradients", most);
out:
    pawl_hf_tensors_close(&all);
    return status;
}

static void fill(pawl_batch *b, const json_t *ids)
{
    for (int64_t n = 0; n < b->tokens; n++) {
        const json_t *next = json_array_get(ids, (size_t)n + 1);
        b->ids[n] = (int32_t)json_integer_value(json_array_get(ids, (size_t)n));
        b->targets[n] = next ? (int32_t)json_integer_value(next) : PAWL_NOT_TRAINED;
        b->positions[n] = (int32_t)n;
        b->starts[n] = 0;
    }
}

typedef struct space {
    pawl_arena there, here;
    pawl_batch batch;
    float *logits;        /* the device's */
    float *losses, *last; /* the host's; last: the logits behind the last token */
} space;

static void lay_out(space *s, int64_t tokens, int64_t vocabulary)
{
    s->logits = pawl_take_bytes(&s->there, (size_t)(tokens * vocabulary) * sizeof(float));
    s->losses = pawl_take_bytes(&s->here, (size_t)tokens * sizeof(float));
    s->last = pawl_take_bytes(&s->here, (size_t)vocabulary * sizeof(float));
    pawl_batch_lay_out(&s->here, &s->batch, 1, tokens);
}

static pawl_status compute(real *r, const json_t *c, space *s, pawl_activations *a)
{
    const int64_t tokens = s->batch.tokens, V = pawl_model_settings(r->model)->vocab_size;
    double loss = 0;
    fill(&s->batch, json_object_get(c, "ids"));
    PAWL_TRY(pawl_model_logits(r->model, r->device, a, &s->batch, NULL, r->weights, NULL, s->logits));
    PAWL_TRY(pawl_download(r->device, s->last, s->logits + (tokens - 1) * V, (size_t)V * sizeof *s->last));
    check_logits(r, json_object_get(c, "last_logits_top10"), s->last);
    const pawl_pass pass = {.weights = r->weights,
                            .grads = r->grads,
                            .put = PAWL_SET,
                            .scale = (float)(1.0 / (double)(tokens - 1)),
                            .losses = s->losses};
    PAWL_TRY(pawl_model_pass(r->model, r->device, a, &s->batch, &pass));
    for (int64_t n = 0; n < tokens; n++) loss += (double)s->losses[n];
    loss = apart(loss / (double)(tokens - 1), json_number_value(json_object_get(c, "loss")));
    say(r, loss <= 1e-4, "loss", loss);
    return check_grads(r, json_object_get(c, "grad_norm"));
}

static pawl_status check_case(real *r, const json_t *c)
{
    const int64_t tokens = (int64_t)json_array_size(json_object_get(c, "ids"));
    const int64_t V = pawl_model_settings(r->model)->vocab_size;
    space s = {.there = {.name = "a text"}, .here = {.name = "a text"}};
    const pawl_capacity room = {.rows = 1, .tokens = tokens, .train = 1, .device = r->device};
    pawl_activations *a = NULL;
    pawl_status status;
    PAWL_TRY_OUT(check_ids(r, json_string_value(json_object_get(c, "text")), json_object_get(c, "ids")));
    lay_out(&s, tokens, V);
    PAWL_TRY_OUT(pawl_arena_open_on(r->device, PAWL_ON_DEVICE, &s.there));
    PAWL_TRY_OUT(pawl_arena_open_on(r->device, PAWL_ON_HOST, &s.here));
    lay_out(&s, tokens, V);
    const pawl_shapes shapes = pawl_model_shapes(r->model, 1, tokens);
    PAWL_TRY_OUT(pawl_device_reserve(r->device, &shapes));
    PAWL_TRY_OUT(pawl_activations_open(r->model, &room, &a));
    PAWL_TRY_OUT(compute(r, c, &s, a));
out:
    pawl_activations_close(a);
    pawl_arena_close_on(r->device, PAWL_ON_DEVICE, &s.there);
    pawl_arena_close_on(r->device, PAWL_ON_HOST, &s.here);
    return status;
}

/* --- an answer ---------------------------------------------------------------------------------------------- */

static int32_t best(const float *logits, int64_t count)
{
    int32_t at = 0;
    for (int64_t i = 1; i < count; i++)
        if (logits[i] > logits[at]) at = (int32_t)i;
    return at;
}

static pawl_status answer(real *r, pawl_decoder *d, const json_t *ids, const json_t *continuation)
{
    const float *logits = NULL;
    int32_t said[TOKENS_MOST];
    const int64_t count = (int64_t)json_array_size(continuation), V = pawl_model_settings(r->model)->vocab_size;
    for (size_t i = 0; i < json_array_size(ids); i++)
        PAWL_TRY(pawl_decoder_step(d, (int32_t)json_integer_value(json_array_get(ids, i)), &logits));
    for (int64_t i = 0; i < count; i++) {
        said[i] = best(logits, V);
        if (i + 1 < count) PAWL_TRY(pawl_decoder_step(d, said[i], &logits));
    }
    say(r, same_ids(continuation, said, count) && said[count - 1] == pawl_tokenizer_end(r->tokenizer),
        "greedy answer, up to the end token; tokens", (double)count);
    return PAWL_OK;
}

static pawl_status check_answer(real *r)
{
    const json_t *g = json_object_get(r->expected, "greedy"), *ids = json_object_get(g, "ids");
    const json_t *continuation = json_object_get(g, "continuation");
    pawl_decoder *d;
    const size_t n = json_array_size(continuation);
    PAWL_CHECK(n > 0 && n <= TOKENS_MOST, PAWL_EDATA, "expected an answer of 1 to %d tokens", TOKENS_MOST);
    PAWL_TRY(check_ids(r, json_string_value(json_object_get(g, "prompt")), ids));
    PAWL_TRY(pawl_decoder_open(r->model, r->device, r->weights, (int64_t)(json_array_size(ids) + n), &d));
    const pawl_status s = answer(r, d, ids, continuation);
    pawl_decoder_close(d);
    return s;
}

/* --- the whole ---------------------------------------------------------------------------------------------- */

static void lay_out_weights(real *r)
{
    const size_t bytes = (size_t)pawl_model_count(r->model) * sizeof(float);
    r->weights = pawl_take_bytes(&r->there, bytes);
    r->grads = pawl_take_bytes(&r->there, bytes);
    if (!pawl_device_shares_memory(r->device)) r->flat = pawl_take_bytes(&r->here, bytes);
}

static pawl_status open_all(real *r)
{
    pawl_model_config c;
    PAWL_TRY(open_tested_device(THREADS, &r->device));
    PAWL_TRY(pawl_hf_config(r->dir, &c));
    PAWL_TRY(pawl_model_open(&c, &r->model));
    PAWL_TRY(pawl_tokenizer_open(r->dir, &r->tokenizer));
    lay_out_weights(r);
    PAWL_TRY(pawl_arena_open_on(r->device, PAWL_ON_DEVICE, &r->there));
    PAWL_TRY(pawl_arena_open(&r->here)); /* not pinned: too large for that */
    lay_out_weights(r);
    float *here = pawl_host_side(r->device, r->weights, r->flat);
    PAWL_TRY(pawl_hf_load(r->model, r->dir, here));
    return pawl_upload(r->device, r->weights, here, (size_t)pawl_model_count(r->model) * sizeof *here);
}

static pawl_status run(real *r, const char *expected)
{
    size_t i;
    json_t *c;
    PAWL_TRY(pawl_json_read(expected, 1 << 24, &r->expected));
    PAWL_TRY(check_tensors(r));
    PAWL_TRY(open_all(r));
    json_array_foreach(json_object_get(r->expected, "cases"), i, c) PAWL_TRY(check_case(r, c));
    say(r, i == 3, "texts", (double)i);
    return check_answer(r);
}

int main(int argc, char **argv)
{
    real r = {.dir = argc > 1 ? argv[1] : "", .there = {.name = "weights"}, .here = {.name = "weights"}};
    if (argc != 3) {
        fprintf(stderr, "usage: smollm2 DIR EXPECTED.json\n");
        return 10;
    }
    const pawl_status s = run(&r, argv[2]);
    if (s != PAWL_OK) printf("FAILED %s\n", pawl_last_error()->what);
    pawl_arena_close_on(r.device, PAWL_ON_DEVICE, &r.there);
    pawl_arena_close(&r.here);
    pawl_tokenizer_close(r.tokenizer);
    pawl_model_close(r.model);
    pawl_device_close(r.device);
    json_decref(r.expected);
    return s != PAWL_OK || r.failures;
}
