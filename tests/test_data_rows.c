/* Runs: cmocka
 *
 * From documents to the arrays of a slot: no target crosses a document, every token is trained exactly once, rows are
 * full. The oracle is the text of the documents, from which every array is worked out again. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/batch.h"
#include "core/rng.h"
#include "data/mixture.h"
#include "tests/data_case.h"

/* ---- Documents that the test knows: letters drawn from (seed, document, place) ---- */

static int letter(int document, int64_t at)
{
    return 'a' + (int)(pawl_random_at(5, PAWL_FOR_TEST, (uint64_t)document, (uint64_t)at).word[0] % 26);
}

/* documents[i] letters in the i-th row of a file. */
static void write_documents(const data_case *k, const char *name, const int64_t *letters, int count)
{
    pawl_text file = {.max = (size_t)1 << 30};
    for (int i = 0; i < count; i++) {
        pawl_text_add(&file, "{\"text\": \"");
        for (int64_t at = 0; at < letters[i]; at++) {
            const char c = (char)letter(i, at);
            pawl_text_add_bytes(&file, &c, 1);
        }
        pawl_text_add(&file, "\"}\n");
    }
    put_bytes(k, name, file.data, file.bytes);
    pawl_text_close(&file);
}

/* What token `at` of a document is; -1 behind its end. */
static int32_t oracle_token(const int64_t *letters, int document, int64_t at)
{
    if (at < letters[document]) return letter(document, at);
    return at == letters[document] ? 256 : -1;
}

/* ---- Every array of every row against the oracle ---- */

typedef struct ledger {
    const int64_t *letters;
    const int64_t *tokens_at; /* [count + 1] */
    int count;
    int32_t *trained; /* [tokens] how often each was a target */
    int64_t bytes;    /* of text among the targets */
} ledger;

static int document_of(const ledger *l, int64_t tokens_at)
{
    int i = 0;
    while (l->tokens_at[i + 1] <= tokens_at) i++;
    return i;
}

static void check_segment(ledger *l, const pawl_segment *s, const pawl_batch *b, int64_t begin)
{
    const int doc = document_of(l, s->tokens_at);
    const int64_t first = s->tokens_at - l->tokens_at[doc];
    int64_t bytes = 0;
    assert_int_equal(s->document, doc);
    for (int64_t i = 0; i < s->tokens; i++) {
        const int last = i == s->tokens - 1;
        assert_int_equal(b->ids[begin + i], oracle_token(l->letters, doc, first + i));
        assert_int_equal(b->targets[begin + i], last ? PAWL_NOT_TRAINED : oracle_token(l->letters, doc, first + i + 1));
        assert_int_equal(b->positions[begin + i], i);
        assert_int_equal(b->starts[begin + i], begin);
        if (last) continue;
        l->trained[s->tokens_at + i + 1]++;
        bytes += b->targets[begin + i] < 256;
    }
    assert_int_equal(s->bytes, bytes);
    l->bytes += bytes;
}

static void check_padding(const pawl_batch *b, int64_t at, int64_t end)
{
    for (; at < end; at++) {
        assert_int_equal(b->ids[at], 0);
        assert_int_equal(b->targets[at], PAWL_NOT_TRAINED);
        assert_int_equal(b->positions[at], 0);
        assert_int_equal(b->starts[at], at);
    }
}

static int64_t check_row(ledger *l, const pawl_data *d, pawl_row r, const pawl_batch *b, int64_t i)
{
    const pawl_row_view v = pawl_row_find(d, PAWL_TRAIN, r);
    const int64_t bytes_before = l->bytes;
    int64_t at = i * b->tokens;
    assert_in_range(v.count, 1, d->packed ? d->sequence_len : 1);
    for (int64_t s = 0; s < v.count; at += v.segments[s++].tokens) check_segment(l, &v.segments[s], b, at);
    assert_int_equal(at - i * b->tokens, pawl_row_length(d, PAWL_TRAIN, r));
    assert_int_equal(at - i * b->tokens - v.count, pawl_row_trained(d, PAWL_TRAIN, r));
    assert_int_equal(l->bytes - bytes_before, pawl_row_bytes(d, PAWL_TRAIN, r));
    check_padding(b, at, (i + 1) * b->tokens);
    return at - i * b->tokens;
}

static void check_slots(ledger *l, const pawl_data *d, int64_t rows_per_slot)
{
    pawl_arena a;
    pawl_batch b;
    pawl_row rows[4];
    const int64_t count = pawl_data_rows_of(d, PAWL_TRAIN, 0);
    batch_open(&a, &b, rows_per_slot, d->sequence_len);
    for (int64_t at = 0; at < count; at += rows_per_slot) {
        const int64_t n = at + rows_per_slot < count ? rows_per_slot : count - at;
        int64_t longest = 0;
        for (int64_t i = 0; i < n; i++) rows[i] = (pawl_row){0, at + i};
        int32_t *const arrays[] = {b.ids, b.targets, b.positions, b.starts};
        for (int k = 0; k < 4; k++) /* nothing is left from before */
            memset(arrays[k], 0x55, (size_t)(rows_per_slot * d->sequence_len) * sizeof(int32_t));
        pawl_slot_fill(d, PAWL_TRAIN, rows, n, &b);
        assert_int_equal(b.rows, n);
        assert_int_equal(b.tokens, pawl_slot_tokens(d, PAWL_TRAIN, rows, n));
        for (int64_t i = 0; i < n; i++) {
            const int64_t used = check_row(l, d, rows[i], &b, i);
            longest = used > longest ? used : longest;
        }
        if (d->packed)
            assert_int_equal(b.tokens, d->sequence_len);
        else
            assert_true(b.tokens == d->sequence_len || (b.tokens % 32 == 0 && b.tokens - longest < 32));
        assert_true(longest <= b.tokens);
    }
    pawl_arena_close(&a);
}

static void check_dataset(const int64_t *letters, int count, int64_t sequence_len, int packed)
{
    data_case k;
    pawl_data *d;
    int64_t *tokens_at;
    ledger l = {.letters = letters, .count = count};
    data_case_open(&k, sequence_len);
    k.cfg.sample_packing = packed;
    write_documents(&k, "a.jsonl", letters, count);
    learn(&k, "a.jsonl");
    assert_int_equal(open_alone(&k, &d), PAWL_OK);
    must(pawl_alloc((void **)&tokens_at, (size_t)(count + 1) * sizeof *tokens_at, "test"));
    for (int i = 0; i < count; i++) tokens_at[i + 1] = tokens_at[i] + letters[i] + 1;
    l.tokens_at = tokens_at;
    must(pawl_alloc((void **)&l.trained, (size_t)tokens_at[count] * sizeof *l.trained, "test"));
    check_slots(&l, d, 3);
    for (int i = 0; i < count; i++)
        for (int64_t at = tokens_at[i]; at < tokens_at[i + 1]; at++) assert_int_equal(l.trained[at], at > tokens_at[i]);
    pawl_free(l.trained);
    pawl_free(tokens_at);
    pawl_data_close(d);
    data_case_close(&k);
}

static void every_token_is_trained_once_and_targets_stay_inside(void **state)
{
    (void)state;
    int64_t letters[120];
    for (int64_t sequence_len = 2; sequence_len <= 130; sequence_len = 2 * sequence_len - 1)
        for (int packed = 0; packed < 2; packed++) {
            for (int i = 0; i < 120; i++)
                letters[i] = 1 + pawl_random_at(11, PAWL_FOR_TEST, (uint64_t)sequence_len, (uint64_t)i).word[0] % 200;
            check_dataset(letters, 120, sequence_len, packed);
        }
}

/* Around each border: 2 tokens, exactly a row, one more, exactly two segments (they share a token), one more. */
static void borders_of_documents_and_rows(void **state)
{
    (void)state;
    const int64_t S = 16, letters[] = {1, S - 2, S - 1, S, 2 * S - 2, 2 * S - 1, 3 * S - 3, 3 * S - 2, 1, 1};
    for (int packed = 0; packed < 2; packed++) {
        check_dataset(letters, 10, S, packed);
        for (int i = 0; i < 10; i++) check_dataset(letters + i, 1, S, packed);
    }
    /* By hand: tokens 2, S, S + 1, 2 S - 1, 2 S give 1, 1, 2, 2, 3 segments. */
    assert_int_equal(pawl_segment_count(2, S), 1);
    assert_int_equal(pawl_segment_count(S, S), 1);
    assert_int_equal(pawl_segment_count(S + 1, S), 2);
    assert_int_equal(pawl_segment_count(2 * S - 1, S), 2);
    assert_int_equal(pawl_segment_count(2 * S, S), 3);
}

/* ---- Packing ---- */

/* Best-fit-decreasing as it is told: look at every row for each segment. */
static int64_t rows_by_looking(const int64_t *tokens, int count, int64_t sequence_len)
{
    int64_t room[512], rows = 0;
    char done[512] = {0};
    for (int n = 0; n < count; n++) {
        int next = -1;
        int64_t best = -1;
        for (int i = 0; i < count; i++)
            if (!done[i] && (next < 0 || tokens[i] > tokens[next])) next = i;
        done[next] = 1;
        for (int64_t r = 0; r < rows; r++)
            if (room[r] >= tokens[next] && (best < 0 || room[r] < room[best])) best = r;
        if (best < 0) room[best = rows++] = sequence_len;
        room[best] -= tokens[next];
    }
    return rows;
}

static void packing_is_best_fit_decreasing(void **state)
{
    (void)state;
    for (uint64_t trial = 0; trial < 200; trial++) {
        const pawl_random shape = pawl_random_at(3, PAWL_FOR_TEST, trial, 0);
        const int64_t sequence_len = 2 + shape.word[0] % (trial % 2 ? 70 : 5000);
        const int count = 1 + (int)(shape.word[1] % 512);
        pawl_segment segments[512];
        int64_t tokens[512], used = 0;
        char seen[512] = {0};
        pawl_packing p;
        for (int i = 0; i < count; i++) {
            tokens[i] = 2 + (int64_t)(pawl_random_at(4, PAWL_FOR_TEST, trial, (uint64_t)i).word[0] %
                                      (uint64_t)(sequence_len - 1));
            segments[i] = (pawl_segment){.tokens = (int32_t)tokens[i]};
        }
        assert_int_equal(pawl_pack(segments, count, sequence_len, 1, &p), PAWL_OK);
        assert_int_equal(p.rows, rows_by_looking(tokens, count, sequence_len));
        assert_int_equal(p.first[0], 0);
        assert_int_equal(p.first[p.rows], count);
        for (int64_t r = 0; r < p.rows; r++, used = 0)
            for (int64_t i = p.first[r]; i < p.first[r + 1]; i++) {
                assert_false(seen[p.order[i]]++);
                used += tokens[p.order[i]];
                assert_true(used <= sequence_len);
            }
        pawl_packing_close(&p);
    }
}

/* Pieces of real text, in lengths as documents have them: log-normal, median 600 bytes, some far longer than a row. */
static void real_text_fills_98_percent(void **state)
{
    (void)state;
    data_case k;
    pawl_data *d;
    pawl_text file = {.max = (size_t)1 << 30};
    char path[PATH_MAX], *text;
    size_t bytes;
    data_case_open(&k, 2048);
    snprintf(path, sizeof path, "%s/LICENSE", getenv("PAWL_SOURCE") ? getenv("PAWL_SOURCE") : ".");
    must(pawl_file_read(path, 1 << 20, &text, &bytes));
    for (uint64_t i = 0; i < 3000; i++) {
        const pawl_random u = pawl_random_at(9, PAWL_FOR_TEST, i, 1);
        float z[2];
        pawl_normal(u.word[0], u.word[1], z);
        const size_t n = (size_t)(600 * exp(z[0])) % bytes + 1, at = u.word[2] % (bytes - n + 1);
        json_t *row = json_pack("{s:s%}", "text", text + at, n);
        char *line = json_dumps(row, JSON_COMPACT);
        pawl_text_add(&file, "%s\n", line);
        free(line);
        json_decref(row);
    }
    put_bytes(&k, "a.jsonl", file.data, file.bytes);
    pawl_text_close(&file);
    pawl_free(text);
    learn(&k, "a.jsonl");
    if (open_alone(&k, &d) != PAWL_OK) fail_msg("%s", pawl_last_error()->what);
    int64_t used = 0;
    const int64_t rows = pawl_data_rows_of(d, PAWL_TRAIN, 0);
    for (int64_t i = 0; i < rows; i++) used += pawl_row_length(d, PAWL_TRAIN, (pawl_row){0, i});
    print_message("           %.3f %% of %lld rows\n", 100.0 * (double)used / (double)(rows * 2048), (long long)rows);
    assert_true(used * 100 >= rows * 2048 * 98);
    pawl_data_close(d);
    data_case_close(&k);
}

/* ---- Held out ---- */

static void write_numbered(const data_case *k, const char *name, int first, int end)
{
    pawl_text file = {0};
    for (int i = first; i < end; i++) pawl_text_add(&file, "{\"text\": \"document %d\"}\n", i);
    put_bytes(k, name, file.data, file.bytes);
    pawl_text_close(&file);
}

/* side[i] <- 1 when document i is held out, -1 when it is learnt; both (or twice) is a failure. */
static void sides(data_case *k, int *side, int count)
{
    pawl_data *d;
    memset(side, 0, (size_t)count * sizeof *side);
    k->cfg.sample_packing = 0;
    assert_int_equal(open_alone(k, &d), PAWL_OK);
    for (int part = 0; part < 2; part++)
        for (int64_t i = 0; i < pawl_data_rows_of(d, (pawl_part)part, 0); i++) {
            pawl_text text = {0};
            row_text(d, k->tokenizer, (pawl_part)part, (pawl_row){0, i}, &text);
            const int n = atoi(text.data + strlen("document "));
            assert_in_range(n, 0, count - 1);
            assert_int_equal(side[n], 0);
            side[n] = part == PAWL_HELD_OUT ? 1 : -1;
            pawl_text_close(&text);
        }
    pawl_data_close(d);
}

static void held_out_documents_stay_held_out(void **state)
{
    (void)state;
    enum { N = 2000 };
    data_case k;
    int before[N], after[N], held = 0;
    data_case_open(&k, 64);
    k.cfg.val_set_size = 0.1;
    write_numbered(&k, "d/b.jsonl", 0, N / 2);
    learn(&k, "d");
    sides(&k, before, N);
    write_numbered(&k, "d/a.jsonl", N / 2, N); /* comes before the old file, which moves every row */
    sides(&k, after, N);
    for (int i = 0; i < N; i++) {
        assert_true(after[i] != 0);
        if (i < N / 2) assert_int_equal(before[i], after[i]);
        held += after[i] > 0;
    }
    assert_in_range(held, 150, 250); /* 200 expected, standard deviation 13 */
    k.cfg.val_set_size = 0.3;        /* a greater share holds out more, and lets go of none */
    sides(&k, before, N);
    for (int i = 0; i < N; i++) assert_true(after[i] < 0 || before[i] > 0);
    data_case_close(&k);
}

static void equal_documents_are_on_one_side(void **state)
{
    (void)state;
    data_case k;
    pawl_data *d;
    pawl_text file = {0};
    data_case_open(&k, 64);
    for (int i = 0; i < 400; i++) pawl_text_add(&file, "{\"text\": \"document %d\", \"id\": %d}\n", i % 4, i);
    put_bytes(&k, "a.jsonl", file.data, file.bytes);
    pawl_text_close(&file);
    learn(&k, "a.jsonl");
    k.cfg.val_set_size = 0.5;
    k.cfg.sample_packing = 0;
    assert_int_equal(open_alone(&k, &d), PAWL_OK);
    assert_int_equal(pawl_data_rows_of(d, PAWL_TRAIN, 0) % 100, 0);
    pawl_data_close(d);
    data_case_close(&k);
}

static void test_datasets_are_only_measured_and_domains_merge(void **state)
{
    (void)state;
    data_case k;
    pawl_data *d;
    char said[256];
    data_case_open(&k, 64);
    k.cfg.val_set_size = 0.5;
    k.cfg.sample_packing = 0;
    write_numbered(&k, "a.jsonl", 0, 40);
    write_numbered(&k, "b.jsonl", 100, 107);
    write_numbered(&k, "c.jsonl", 200, 203);
    snprintf(learn(&k, "a.jsonl")->domain, 64, "x");
    snprintf(measure(&k, "b.jsonl")->domain, 64, "y");
    snprintf(measure(&k, "c.jsonl")->domain, 64, "x");
    assert_int_equal(open_alone(&k, &d), PAWL_OK);
    assert_int_equal(pawl_data_domains(d, PAWL_TRAIN), 1);
    assert_int_equal(pawl_data_domains(d, PAWL_HELD_OUT), 2);
    assert_string_equal(pawl_data_domain(d, PAWL_HELD_OUT, 0), "x");
    assert_string_equal(pawl_data_domain(d, PAWL_HELD_OUT, 1), "y");
    const int64_t learnt = pawl_data_rows_of(d, PAWL_TRAIN, 0), held = pawl_data_rows_of(d, PAWL_HELD_OUT, 0);
    assert_int_equal(learnt + held, 43);
    assert_int_equal(pawl_data_epoch_rows(d, 0), learnt);
    assert_int_equal(pawl_data_rows_of(d, PAWL_HELD_OUT, 1), 7);
    pawl_text text = {0};
    row_text(d, k.tokenizer, PAWL_HELD_OUT, (pawl_row){0, held - 1}, &text); /* the merged domain ends with c.jsonl */
    assert_string_equal(text.data, "document 202");
    pawl_text_close(&text);
    pawl_row_describe(d, PAWL_HELD_OUT, (pawl_row){0, held - 1}, said, sizeof said);
    char expected[64];
    snprintf(expected, sizeof expected, "x row %lld (c.jsonl:3)", (long long)held - 1);
    assert_string_equal(said, expected);
    pawl_data_close(d);
    data_case_close(&k);
}

/* ---- What is told ---- */

static void rows_name_their_lines(void **state)
{
    (void)state;
    data_case k;
    pawl_data *d;
    char said[256];
    data_case_open(&k, 64);
    put(&k, "d/a.jsonl", "{\"text\": \"aaa\"}\n\n{\"text\": \"bbbbb\"}\n");
    put(&k, "d/b.txt", "c");
    learn(&k, "d");
    assert_int_equal(open_alone(&k, &d), PAWL_OK);
    pawl_row_describe(d, PAWL_TRAIN, (pawl_row){0, 0}, said, sizeof said);
    assert_string_equal(said, "d row 0 (a.jsonl:1, a.jsonl:3, b.txt)");
    for (size_t room = 1; room < 45; room++) { /* never beyond the room, always ended */
        memset(said, '#', sizeof said);
        pawl_row_describe(d, PAWL_TRAIN, (pawl_row){0, 0}, said, room);
        assert_true(strlen(said) < room);
        assert_int_equal(said[room], '#');
    }
    pawl_row_describe(d, PAWL_TRAIN, (pawl_row){0, 0}, said, 30);
    assert_string_equal(said, "d row 0 (a.jsonl:1, ...)");
    pawl_data_close(d);
    data_case_close(&k);
}

static int64_t number(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

static void lineage_and_report_say_what_was_read(void **state)
{
    (void)state;
    data_case k;
    pawl_data *d;
    json_t *list;
    pawl_text report = {0};
    data_case_open(&k, 64);
    put(&k, "d/a.txt", "abc");
    put(&k, "d/e.txt", "");
    put(&k, "t.jsonl", "{\"text\": \"four\"}\n");
    snprintf(learn(&k, "d")->license, 64, "CC0-1.0");
    k.cfg.datasets.items[0].weight = 2;
    measure(&k, "t.jsonl");
    assert_int_equal(open_alone(&k, &d), PAWL_OK);
    assert_int_equal(pawl_data_lineage(d, &list), PAWL_OK);
    assert_int_equal(json_array_size(list), 2);
    const json_t *first = json_array_get(list, 0), *second = json_array_get(list, 1);
    assert_string_equal(json_string_value(json_object_get(first, "domain")), "d");
    assert_string_equal(json_string_value(json_object_get(first, "license")), "CC0-1.0");
    assert_string_equal(json_string_value(json_object_get(first, "use")), "learnt");
    assert_true(json_real_value(json_object_get(first, "weight")) == 2);
    assert_int_equal(number(first, "documents"), 1);
    assert_int_equal(number(first, "tokens"), 4);
    assert_int_equal(number(first, "rows"), 1);
    assert_int_equal(number(json_object_get(first, "held_out"), "rows"), 0);
    const json_t *files = json_object_get(first, "files"), *file = json_array_get(files, 0);
    assert_int_equal(json_array_size(files), 2);
    assert_string_equal(json_string_value(json_object_get(file, "name")), "a.txt");
    assert_int_equal(number(file, "bytes"), 3);
    assert_string_equal(json_string_value(json_object_get(file, "sha256")),
                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"); /* FIPS 180-2, "abc" */
    assert_string_equal(json_string_value(json_object_get(second, "use")), "measured");
    assert_int_equal(number(json_object_get(second, "held_out"), "tokens"), 5);
    json_decref(list);
    pawl_data_report(d, &report);
    assert_non_null(
        strstr(report.data, "(2 files), learnt 1 document, 4 tokens in 1 row (6.2% full), weight 2, licence CC0-1.0; of 2 "
                            "rows read: 1 without text\n"));
    assert_non_null(strstr(report.data, "licence not stated\n"));
    pawl_text_close(&report);
    pawl_data_close(d);
    data_case_close(&k);
}

/* Of three rows one calls a tool, which chatml does not write. */
static void rows_whose_tools_are_left_out_are_counted(void **state)
{
    (void)state;
    data_case k;
    pawl_data *d;
    json_t *list;
    pawl_text report = {0};
    data_case_open(&k, 256);
    snprintf(k.cfg.chat_template, sizeof k.cfg.chat_template, "chatml");
    put(&k, "c.jsonl",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}]}\n"
        "{\"messages\": [{\"role\": \"user\", \"content\": \"c\"}, {\"role\": \"assistant\", \"content\": \"\", \"tool_calls\": [{\"function\": {\"name\": \"stock\"}}]}]}\n"
        "{\"messages\": [{\"role\": \"user\", \"content\": \"d\"}, {\"role\": \"assistant\", \"content\": \"e\"}], \"tools\": null}\n");
    learn(&k, "c.jsonl")->type = PAWL_CHAT;
    for (int again = 0; again < 2; again++) { /* and again, from what is prepared */
        if (open_alone(&k, &d) != PAWL_OK) fail_msg("%s", pawl_last_error()->what);
        assert_int_equal(pawl_data_lineage(d, &list), PAWL_OK);
        assert_int_equal(number(json_object_get(json_array_get(list, 0), "read"), "toolless"), 1);
        json_decref(list);
        pawl_data_report(d, &report);
        assert_non_null(strstr(report.data, "of 3 rows read: 1 with tools that the chat template leaves out\n"));
        pawl_data_close(d);
    }
    pawl_text_close(&report);
    data_case_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_token_is_trained_once_and_targets_stay_inside),
        cmocka_unit_test(borders_of_documents_and_rows),
        cmocka_unit_test(packing_is_best_fit_decreasing),
        cmocka_unit_test(real_text_fills_98_percent),
        cmocka_unit_test(held_out_documents_stay_held_out),
        cmocka_unit_test(equal_documents_are_on_one_side),
        cmocka_unit_test(test_datasets_are_only_measured_and_domains_merge),
        cmocka_unit_test(rows_name_their_lines),
        cmocka_unit_test(lineage_and_report_say_what_was_read),
        cmocka_unit_test(rows_whose_tools_are_left_out_are_counted),
    };
    pawl_log_open(0, PAWL_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
