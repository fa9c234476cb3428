/* Runs: cmocka
 *
 * Which tokens are trained, and what becomes of rows that are too long, bad, or there twice. The oracle works
 * everything out again from the rows' texts; with the tokenizer `bytes` a token is a byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data/marked.h"
#include "data/mixture.h"
#include "data/sample.h"
#include "tests/data_case.h"

static const json_t *lineage_of(const pawl_data *d, int i)
{
    static json_t *list;
    json_decref(list);
    must(pawl_data_lineage(d, &list));
    return json_array_get(list, (size_t)i);
}

static int64_t count_of(const json_t *record, const char *group, const char *key)
{
    const json_t *o = group ? json_object_get(record, group) : record;
    const json_t *value = json_object_get(o, key);
    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

/* ---- masks ---- */

static const struct {
    const char *instruction, *input, *output;
} asked[] = {
    {"Name a prime.", "", "7"},
    {"Add.", "2 and 3", "It is 5."},
    {"Say nothing.", "", ""},
    {"Quote é.", "x", "### Response:\né"},
};
enum { ASKED = sizeof asked / sizeof *asked };

static void write_asked(const data_case *k)
{
    pawl_text file = {0};
    for (int i = 0; i < ASKED; i++)
        pawl_text_add(&file, "{\"instruction\": \"%s\", \"input\": \"%s\", \"output\": \"%s\"}\n", asked[i].instruction,
                      asked[i].input, asked[i].output[0] == '#' ? "### Response:\\né" : asked[i].output);
    put_bytes(k, "a.jsonl", file.data, file.bytes);
    pawl_text_close(&file);
}

/* The answer and the end of each row are trained, in whatever segments and rows they lie; each once. */
static void check_answers(int64_t sequence_len, int packed)
{
    data_case k;
    pawl_data *d;
    int64_t trained = 0, bytes = 0, seen = 0, seen_bytes = 0;
    data_case_open(&k, sequence_len);
    k.cfg.sample_packing = packed;
    k.cfg.excess_length_strategy = PAWL_EXCESS_SPLIT;
    write_asked(&k);
    learn(&k, "a.jsonl")->type = PAWL_ALPACA;
    if (open_alone(&k, &d) != PAWL_OK) fail_msg("%s", pawl_last_error()->what);
    for (int i = 0; i < ASKED; i++) {
        trained += (int64_t)strlen(asked[i].output) + 1;
        bytes += (int64_t)strlen(asked[i].output);
    }
    for (int64_t r = 0; r < pawl_data_rows_of(d, PAWL_TRAIN, 0); r++) {
        pawl_row row = {0, r};
        pawl_arena a;
        pawl_batch b;
        batch_open(&a, &b, 1, pawl_slot_tokens(d, PAWL_TRAIN, &row, 1));
        pawl_slot_fill(d, PAWL_TRAIN, &row, 1, &b);
        int64_t here = 0;
        for (int64_t n = 0; n < b.tokens; n++) {
            if (b.targets[n] == PAWL_NOT_TRAINED) continue;
            assert_int_equal(b.targets[n], b.ids[n + 1]);
            here++;
        }
        assert_int_equal(here, pawl_row_trained(d, PAWL_TRAIN, row));
        seen += here;
        seen_bytes += pawl_row_bytes(d, PAWL_TRAIN, row);
        pawl_arena_close(&a);
    }
    assert_int_equal(seen, trained);
    assert_int_equal(seen_bytes, bytes);
    assert_int_equal(count_of(lineage_of(d, 0), NULL, "trained"), trained);
    pawl_data_close(d);
    data_case_close(&k);
}

static void answers_are_trained_once_in_rows_of_any_length(void **state)
{
    (void)state;
    for (int64_t sequence_len = 2; sequence_len < 600; sequence_len += 1 + sequence_len / 3)
        for (int packed = 0; packed < 2; packed++) check_answers(sequence_len, packed);
}

/* labels as pawl_row_json tells them: -100 up to the answer, then the answer and the end. */
static void labels_stand_in_the_place_of_their_tokens(void **state)
{
    (void)state;
    data_case k;
    pawl_data *d;
    json_t *row;
    data_case_open(&k, 512);
    k.cfg.sample_packing = 0;
    write_asked(&k);
    learn(&k, "a.jsonl")->type = PAWL_ALPACA;
    assert_int_equal(open_alone(&k, &d), PAWL_OK);
    for (int i = 0; i < ASKED; i++) {
        assert_int_equal(pawl_row_json(d, PAWL_TRAIN, (pawl_row){0, i}, &row), PAWL_OK);
        const json_t *ids = json_object_get(row, "ids"), *labels = json_object_get(row, "labels");
        const int64_t n = (int64_t)json_array_size(ids), answer = n - 1 - (int64_t)strlen(asked[i].output);
        assert_int_equal(json_array_size(labels), n);
        for (int64_t at = 0; at < n; at++) {
            const json_int_t id = json_integer_value(json_array_get(ids, (size_t)at));
            assert_int_equal(json_integer_value(json_array_get(labels, (size_t)at)), at < answer ? -100 : id);
            assert_int_equal(json_integer_value(json_array_get(json_object_get(row, "positions"), (size_t)at)), at);
        }
        const json_t *document = json_array_get(json_object_get(row, "documents"), 0);
        char source[32];
        snprintf(source, sizeof source, "a.jsonl:%d", i + 1);
        assert_string_equal(json_string_value(json_object_get(document, "source")), source);
        assert_int_equal(count_of(document, NULL, "first"), 0);
        assert_int_equal(count_of(document, NULL, "end"), n);
        assert_int_equal(count_of(document, NULL, "trained"), n - answer);
        json_decref(row);
    }
    pawl_data_close(d);
    data_case_close(&k);
}

/* Spans in any places against the definition, with an end and without. */
static void a_token_belongs_to_the_span_of_its_first_byte(void **state)
{
    (void)state;
    static const char text[] = "abcdefghij";
    pawl_tokenizer *t;
    pawl_sample s = {0};
    pawl_marked m = {0};
    must(pawl_tokenizer_open("bytes", &t));
    for (unsigned mask = 0; mask < 1u << 10; mask++)
        for (int with_end = 0; with_end < 2; with_end++) {
            pawl_sample_reset(&s, PAWL_RAW_TEXT, with_end);
            for (int i = 0; i < 10; i++) must(pawl_sample_add(&s, text + i, 1, mask >> i & 1));
            must(pawl_marked_encode(t, &s, &m));
            assert_int_equal(m.encoding.count, 10 + with_end);
            for (int i = 0; i < 10; i++) {
                assert_int_equal(m.trained[i], mask >> i & 1);
                assert_int_equal(pawl_marked_bytes(&m, i), 1);
            }
            if (!with_end) continue;
            assert_int_equal(m.trained[10], mask >> 9 & 1);
            assert_int_equal(pawl_marked_bytes(&m, 10), 0);
        }
    pawl_sample_close(&s);
    pawl_marked_close(&m);
    pawl_tokenizer_close(t);
}

/* Many published tokenizers say model_max_length: 1000000000000000019884624838656. */
static void settings_of_tokenizers_may_hold_huge_numbers(void **state)
{
    (void)state;
    data_case k;
    char path[PATH_MAX];
    pawl_renderer *r;
    data_case_open(&k, 64);
    must(pawl_path_join(path, sizeof path, k.dir, "tokenizer"));
    must(pawl_dir_make(path));
    must(pawl_tokenizer_save(k.tokenizer, path));
    put(&k, "tokenizer/tokenizer_config.json",
        "{\"eos_token\": \"<|endoftext|>\", \"model_max_length\": 1000000000000000019884624838656}");
    snprintf(k.cfg.chat_template, sizeof k.cfg.chat_template, "chatml");
    learn(&k, "a.jsonl")->type = PAWL_CHAT;
    if (pawl_renderer_open(&k.cfg, &k.cfg.datasets.items[0], path, k.tokenizer, &r) != PAWL_OK)
        fail_msg("%s", pawl_last_error()->what);
    pawl_renderer_close(r);
    data_case_close(&k);
}

/* ---- long rows ---- */

/* Rows of these many tokens, the last 3 of which are trained: "<n - 3 letters>" asked, "ok" answered, and the end. */
static void write_lengths(const data_case *k, const int64_t *tokens, int count)
{
    pawl_text file = {0};
    for (int i = 0; i < count; i++)
        pawl_text_add(&file, "{\"prompt\": \"%0*d\", \"completion\": \"ok\"}\n", (int)tokens[i] - 3, i);
    put_bytes(k, "a.jsonl", file.data, file.bytes);
    pawl_text_close(&file);
}

static const int64_t lengths[] = {10, 32, 33, 34, 35, 36, 100, 20};
enum { LENGTHS = 8, S = 32 };

static void check_excess(pawl_excess strategy, int64_t documents, int64_t dropped, int64_t truncated, int64_t masked,
                         int64_t trained)
{
    data_case k;
    pawl_data *d;
    data_case_open(&k, S);
    k.cfg.excess_length_strategy = (int32_t)strategy;
    write_lengths(&k, lengths, LENGTHS);
    learn(&k, "a.jsonl")->type = PAWL_PROMPT_COMPLETION;
    if (open_alone(&k, &d) != PAWL_OK) fail_msg("%s", pawl_last_error()->what);
    const json_t *r = lineage_of(d, 0);
    assert_int_equal(count_of(r, "read", "read"), LENGTHS);
    assert_int_equal(count_of(r, NULL, "documents"), documents);
    assert_int_equal(count_of(r, "read", "dropped"), dropped);
    assert_int_equal(count_of(r, "read", "truncated"), truncated);
    assert_int_equal(count_of(r, "read", "masked"), masked);
    assert_int_equal(count_of(r, NULL, "trained"), trained);
    pawl_data_close(d);
    data_case_close(&k);
}

/* By hand: five of eight are longer than 32. Cut to 32, those of 33 and 34 keep 2 and 1 trained tokens, the others
 * none. Split, a segment that trains nothing goes, and of 100 tokens the three trained ones lie in the last. */
static void long_rows_are_dropped_truncated_or_split(void **state)
{
    (void)state;
    check_excess(PAWL_EXCESS_DROP, 3, 5, 0, 0, 9);
    check_excess(PAWL_EXCESS_TRUNCATE, 5, 0, 5, 3, 9 + 2 + 1);
    check_excess(PAWL_EXCESS_SPLIT, 8, 0, 0, 0, 24);
}

static void long_rows_may_be_errors(void **state)
{
    (void)state;
    data_case k;
    pawl_data *d;
    data_case_open(&k, S);
    k.cfg.excess_length_strategy = PAWL_EXCESS_RAISE;
    write_lengths(&k, lengths, LENGTHS);
    learn(&k, "a.jsonl")->type = PAWL_PROMPT_COMPLETION;
    assert_int_equal(open_alone(&k, &d), PAWL_EDATA);
    assert_non_null(
        strstr(pawl_last_error()->what, "/a.jsonl:3:1: error: the row has 33 tokens and sequence_len is 32"));
    data_case_close(&k);
}

/* Documents of type completion are split whatever is said of rows. */
static void long_documents_are_always_split(void **state)
{
    (void)state;
    for (int strategy = PAWL_EXCESS_DROP; strategy <= PAWL_EXCESS_SPLIT; strategy++) {
        data_case k;
        pawl_data *d;
        data_case_open(&k, S);
        k.cfg.excess_length_strategy = strategy;
        put(&k, "a.txt", "a text that is longer than the rows of thirty-two tokens are");
        learn(&k, "a.txt");
        assert_int_equal(open_alone(&k, &d), PAWL_OK);
        assert_int_equal(count_of(lineage_of(d, 0), NULL, "trained"), 60);
        pawl_data_close(d);
        data_case_close(&k);
    }
}

static void nothing_left_says_why(void **state)
{
    (void)state;
    data_case k;
    pawl_data *d;
    data_case_open(&k, 8);
    write_lengths(&k, lengths, LENGTHS);
    learn(&k, "a.jsonl")->type = PAWL_PROMPT_COMPLETION;
    assert_int_equal(open_alone(&k, &d), PAWL_EDATA);
    assert_non_null(strstr(pawl_last_error()->what, "of 8 rows read none is left: 0 without text, 0 bad, 8 longer"));
    assert_non_null(strstr(pawl_last_error()->what, "raise sequence_len"));
    data_case_close(&k);
}

/* ---- bad rows ---- */

static void bad_rows_may_be_skipped_up_to_a_number(void **state)
{
    (void)state;
    data_case k;
    pawl_data *d;
    data_case_open(&k, 64);
    put(&k, "a.jsonl", "{\"text\": \"one\"}\n{\"text\": 2}\nnonsense\n{\"text\": \"\xFF\"}\n{\"text\": \"two\"}\n");
    learn(&k, "a.jsonl");
    k.cfg.skip_bad_rows = 2;
    assert_int_equal(open_alone(&k, &d), PAWL_EDATA);
    assert_non_null(strstr(pawl_last_error()->what, "more than skip_bad_rows: 2 bad rows"));
    k.cfg.skip_bad_rows = 3;
    assert_int_equal(open_alone(&k, &d), PAWL_OK);
    assert_int_equal(count_of(lineage_of(d, 0), "read", "bad"), 3);
    assert_int_equal(count_of(lineage_of(d, 0), "read", "read"), 5);
    assert_int_equal(count_of(lineage_of(d, 0), NULL, "documents"), 2);
    assert_int_equal(d->datasets[0].prepared.documents[1].line, 5);
    assert_int_equal(json_array_size(d->datasets[0].prepared.bad_rows), 3);
    assert_non_null(strstr(json_string_value(json_array_get(d->datasets[0].prepared.bad_rows, 2)),
                           "a.jsonl:4:11: expected UTF-8, found the byte 0xff"));
    pawl_data_close(d);
    k.cfg.skip_bad_rows = 1; /* what was prepared does not let them through */
    assert_int_equal(open_alone(&k, &d), PAWL_EDATA);
    assert_non_null(
        strstr(pawl_last_error()->what, "has 3 bad rows and skip_bad_rows is 1; the first is a.jsonl:2:1:"));
    data_case_close(&k);
}

/* ---- the same text twice ---- */

static void duplicates_and_leaks_are_counted(void **state)
{
    (void)state;
    data_case k;
    pawl_data *d;
    data_case_open(&k, 64);
    put(&k, "a.jsonl",
        "{\"text\": \"one\"}\n{\"text\": \"two\"}\n{\"text\": \"one\"}\n{\"text\": \"one\", \"n\": 1}\n");
    put(&k, "b.jsonl", "{\"text\": \"three\"}\n{\"text\": \"two\"}\n{\"text\": \"two\"}\n");
    learn(&k, "a.jsonl");
    measure(&k, "b.jsonl");
    assert_int_equal(open_alone(&k, &d), PAWL_OK);
    assert_int_equal(count_of(lineage_of(d, 0), NULL, "duplicates"), 2);
    assert_int_equal(count_of(lineage_of(d, 1), "held_out", "duplicates"), 1);
    assert_int_equal(count_of(lineage_of(d, 1), "held_out", "leaked"), 2);
    assert_int_equal(count_of(lineage_of(d, 0), "held_out", "leaked"), 0);
    pawl_data_close(d);
    k.cfg.datasets.items[0].weight = 0; /* then nothing of it is learnt */
    put(&k, "c.jsonl", "{\"text\": \"four\"}\n");
    learn(&k, "c.jsonl");
    assert_int_equal(open_alone(&k, &d), PAWL_OK);
    assert_int_equal(count_of(lineage_of(d, 2), "held_out", "leaked"), 0);
    pawl_data_close(d);
    data_case_close(&k);
}

/* Which side a document is on goes by its content, so none that is there twice is on both. */
static void a_share_held_out_leaks_nowhere(void **state)
{
    (void)state;
    data_case k;
    pawl_data *d;
    pawl_text file = {0};
    data_case_open(&k, 64);
    for (int i = 0; i < 200; i++) pawl_text_add(&file, "{\"text\": \"document %d\"}\n", i % 120);
    put_bytes(&k, "a.jsonl", file.data, file.bytes);
    pawl_text_close(&file);
    learn(&k, "a.jsonl");
    k.cfg.val_set_size = 0.3;
    assert_int_equal(open_alone(&k, &d), PAWL_OK);
    assert_int_equal(count_of(lineage_of(d, 0), "held_out", "leaked"), 0);
    assert_true(count_of(lineage_of(d, 0), "held_out", "documents") > 20);
    const int64_t twice = count_of(lineage_of(d, 0), "held_out", "duplicates");
    assert_int_equal(count_of(lineage_of(d, 0), NULL, "duplicates") + twice, 80);
    pawl_data_close(d);
    data_case_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_trained_once_in_rows_of_any_length),
        cmocka_unit_test(labels_stand_in_the_place_of_their_tokens),
        cmocka_unit_test(a_token_belongs_to_the_span_of_its_first_byte),
        cmocka_unit_test(settings_of_tokenizers_may_hold_huge_numbers),
        cmocka_unit_test(long_rows_are_dropped_truncated_or_split),
        cmocka_unit_test(long_rows_may_be_errors),
        cmocka_unit_test(long_documents_are_always_split),
        cmocka_unit_test(nothing_left_says_why),
        cmocka_unit_test(bad_rows_may_be_skipped_up_to_a_number),
        cmocka_unit_test(duplicates_and_leaks_are_counted),
        cmocka_unit_test(a_share_held_out_leaks_nowhere),
    };
    pawl_log_open(0, PAWL_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
