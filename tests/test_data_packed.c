/* Runs: cmocka
 *
 * The leak test, from files to gradients: rows in which documents lie packed, with masks and cut documents among them,
 * give each document the loss, and the model the gradients, that the same documents give alone in rows of their own. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/rng.h"
#include "data/mixture.h"
#include "model/model.h"
#include "tests/data_case.h"

enum { S = 96, ROWS = 24, SLOT = 2, SEGMENTS_MAX = 400 };

static const char *const fixtures[] = {"llama3-scaled", "mistral-window", "qwen2-mixed", "qwen3-mixed", "gpt2"};
enum { FIXTURES = sizeof fixtures / sizeof *fixtures };

typedef struct setting {
    pawl_model *model;
    pawl_device *device;
    pawl_activations *acts;
    float *weights;
} setting;

static void setting_open(const char *name, const pawl_tokenizer *t, setting *s)
{
    char dir[512];
    pawl_model_config c;
    snprintf(dir, sizeof dir, "%s/tests/fixtures/hf/%s/model", getenv("PAWL_SOURCE") ? getenv("PAWL_SOURCE") : ".",
             name);
    must(pawl_hf_config(dir, &c));
    must(pawl_model_open(&c, &s->model));
    must(pawl_device_open_cpu(1, "auto", &s->device));
    const pawl_shapes shapes = pawl_model_shapes(s->model, SLOT, S);
    must(pawl_device_reserve(s->device, &shapes));
    must(pawl_activations_open(s->model, &(pawl_capacity){.rows = SLOT, .tokens = S, .train = 1}, &s->acts));
    must(pawl_alloc((void **)&s->weights, (size_t)pawl_model_count(s->model) * sizeof(float), "test"));
    must(pawl_hf_load(s->model, dir, s->weights));
    assert_true(c.vocab_size >= pawl_tokenizer_size(t));
}

static void setting_close(setting *s)
{
    pawl_free(s->weights);
    pawl_activations_close(s->acts);
    pawl_device_close(s->device);
    pawl_model_close(s->model);
}

/* Questions with trained answers, and texts that are longer than a row. */
static void write_data(const data_case *k)
{
    pawl_text rows = {0}, texts = {0};
    for (int i = 0; i < ROWS; i++) {
        const pawl_random r = pawl_random_at(8, PAWL_FOR_TEST, (uint64_t)i, 0);
        pawl_text_add(&rows, "{\"prompt\": \"%0*d\", \"completion\": \"%0*x\"}\n", 1 + (int)(r.word[0] % 40), i,
                      1 + (int)(r.word[1] % 30), r.word[2]);
        if (i % 6 == 0)
            pawl_text_add(&texts, "{\"text\": \"%0*x and %d\"}\n", 10 + (int)(r.word[3] % 220), r.word[2], i);
    }
    put_bytes(k, "rows.jsonl", rows.data, rows.bytes);
    put_bytes(k, "texts.jsonl", texts.data, texts.bytes);
    pawl_text_close(&rows);
    pawl_text_close(&texts);
}

typedef struct outcome {
    double loss[2][SEGMENTS_MAX]; /* of each segment of a dataset, by the place of its first token */
    int64_t place[2][SEGMENTS_MAX];
    int count[2];
    float *grads;
} outcome;

/* The losses of a slot's rows, added to those of their segments. */
static void take_losses(const pawl_data *d, const pawl_row *rows, int64_t count, int64_t tokens, const float *losses,
                        outcome *out)
{
    for (int64_t i = 0; i < count; i++) {
        const pawl_row_view v = pawl_row_find(d, PAWL_TRAIN, rows[i]);
        int64_t at = i * tokens;
        for (int64_t k = 0; k < v.count; at += v.segments[k++].tokens) {
            const int domain = rows[i].domain, n = out->count[domain]++;
            assert_true(n < SEGMENTS_MAX);
            out->place[domain][n] = v.segments[k].tokens_at;
            for (int64_t j = 0; j < v.segments[k].tokens; j++) out->loss[domain][n] += losses[at + j];
        }
    }
}

static void pass_slot(const setting *s, const pawl_data *d, const pawl_row *rows, int64_t count, pawl_batch *b,
                      pawl_put put, outcome *out)
{
    float losses[SLOT * S];
    int32_t bad[SLOT];
    pawl_slot_fill(d, PAWL_TRAIN, rows, count, b);
    const pawl_pass p = {
        .weights = s->weights, .grads = out->grads, .put = put, .scale = 0.01f, .losses = losses, .bad_rows = bad};
    if (pawl_model_pass(s->model, s->device, s->acts, b, &p) != PAWL_OK) fail_msg("%s", pawl_last_error()->what);
    take_losses(d, rows, count, b->tokens, losses, out);
}

static void run(const setting *s, data_case *k, int packed, outcome *out)
{
    pawl_data *d;
    pawl_arena a;
    pawl_batch b;
    int64_t rows_in_all = 0;
    memset(out, 0, sizeof *out);
    must(pawl_alloc((void **)&out->grads, (size_t)pawl_model_count(s->model) * sizeof(float), "test"));
    k->cfg.sample_packing = packed;
    if (open_alone(k, &d) != PAWL_OK) fail_msg("%s", pawl_last_error()->what);
    batch_open(&a, &b, SLOT, S);
    for (int domain = 0; domain < 2; domain++) {
        const int64_t rows = pawl_data_rows_of(d, PAWL_TRAIN, domain);
        for (int64_t at = 0; at < rows; at += SLOT) {
            const pawl_row pair[SLOT] = {{domain, at}, {domain, at + 1}};
            pass_slot(s, d, pair, at + 1 < rows ? 2 : 1, &b, rows_in_all ? PAWL_ADD : PAWL_SET, out);
            rows_in_all += SLOT;
        }
    }
    pawl_arena_close(&a);
    pawl_data_close(d);
}

static double loss_at(const outcome *o, int domain, int64_t place)
{
    for (int i = 0; i < o->count[domain]; i++)
        if (o->place[domain][i] == place) return o->loss[domain][i];
    fail_msg("no segment begins at %lld", (long long)place);
    return 0;
}

static double distance(const float *x, const float *y, int64_t count)
{
    double d = 0, n = 0;
    for (int64_t i = 0; i < count; i++) {
        d += ((double)x[i] - y[i]) * ((double)x[i] - y[i]);
        n += (double)y[i] * y[i];
    }
    return sqrt(d / n);
}

/* Sums in another order: a few parts in 1e7 of a loss, and of the gradients' norm. */
static void packed_documents_are_alone(void **state)
{
    (void)state;
    for (int f = 0; f < FIXTURES; f++) {
        setting s;
        data_case k;
        static outcome packed, alone;
        data_case_open(&k, S);
        setting_open(fixtures[f], k.tokenizer, &s);
        write_data(&k);
        learn(&k, "rows.jsonl")->type = PAWL_PROMPT_COMPLETION;
        learn(&k, "texts.jsonl");
        run(&s, &k, 1, &packed);
        run(&s, &k, 0, &alone);
        for (int domain = 0; domain < 2; domain++) {
            assert_int_equal(packed.count[domain], alone.count[domain]);
            for (int i = 0; i < packed.count[domain]; i++) {
                const double theirs = loss_at(&alone, domain, packed.place[domain][i]);
                if (fabs(packed.loss[domain][i] - theirs) > 3e-6 * fabs(theirs))
                    fail_msg("%s: %.9g packed, %.9g alone", fixtures[f], packed.loss[domain][i], theirs);
            }
        }
        const double far = distance(packed.grads, alone.grads, pawl_model_count(s.model));
        print_message("           %s: gradients differ by %.1e\n", fixtures[f], far);
        assert_true(far < 3e-6);
        pawl_free(packed.grads);
        pawl_free(alone.grads);
        data_case_close(&k);
        setting_close(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(packed_documents_are_alone)};
    pawl_log_open(0, PAWL_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
