/* Runs: cmocka
 * A document or a file leaves a checkpoint's memory: its tokens are gone, everything else is as it was, byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/rng.h"
#include "tests/data_case.h"
#include "trainer/continual/memory.h"
#include "trainer/trainer.h"

enum { LENGTH = 64, CAPACITY = 30, WIDTH = 2, WEIGHTS = 600000 };

static const pawl_memory_column column = {"der/ids", PAWL_U16, WIDTH};

typedef struct forget_case {
    data_case k;
    pawl_comm *comm;
    pawl_data *data;
    pawl_replay_config replay;
    float *weights; /* longer than a chunk */
    char old[128], new[128];
} forget_case;

static int all_seen(void *self, int dataset, int64_t row, double *loss)
{
    (void)self, (void)dataset, (void)row;
    *loss = 1;
    return 1;
}

static pawl_memory *open_memory(const forget_case *f)
{
    pawl_memory *m;
    const pawl_memory_inputs in = {.comm = f->comm,
                                   .replay = &f->replay,
                                   .seed = 3,
                                   .output_dir = f->k.dir,
                                   .longest = LENGTH,
                                   .columns = &column,
                                   .column_count = 1};
    must(pawl_memory_open(&in, &m));
    return m;
}

/* Numbers of a column say which token they belong to. */
static void put_columns(pawl_memory *m)
{
    for (int64_t i = 0; i < pawl_memory_count(m); i++) {
        uint16_t numbers[LENGTH * WIDTH];
        const pawl_row_tokens t = pawl_memory_own_row(m, i);
        for (int64_t n = 0; n < pawl_memory_kept(m, i)->tokens * WIDTH; n++)
            numbers[n] = (uint16_t)(((const uint16_t *)t.tokens)[n / WIDTH] * 2 + n % WIDTH);
        must(pawl_memory_put(m, i, 0, numbers));
    }
}

static void save(const forget_case *f, const pawl_memory *m)
{
    pawl_state state = {0};
    pawl_saver *saver;
    json_t *run = json_pack("{s:s}", "stage", "main"), *lineage = json_pack("{s:{}}", "tokens");
    int published;
    must(pawl_memory_state(m, &state));
    must(pawl_state_add(&state, "model/", "w", (pawl_tensor){.data = f->weights, .dtype = PAWL_F32, .ndim = 1, .dim = {WEIGHTS}}));
    must(pawl_saver_open(f->comm, f->k.dir, &state, 0, &saver));
    must(pawl_save_begin(saver, &(pawl_save){.step = 7, .run = run, .lineage = lineage}));
    must(pawl_save_share(saver));
    must(pawl_save_finish(saver, 60, &published));
    pawl_saver_close(saver);
    pawl_state_close(&state);
    json_decref(run);
    json_decref(lineage);
}

static int open_case(void **state)
{
    static const char *const names[] = {"prose.jsonl", "code.jsonl"};
    static forget_case f;
    int stopped;
    f = (forget_case){0};
    data_case_open(&f.k, LENGTH);
    must(pawl_comm_open_alone(&f.comm));
    for (int d = 0; d < 2; d++) {
        pawl_text file = {0};
        for (uint64_t i = 0; i < 80; i++) /* short ones, of which rows hold several, and long ones in chunks */
            pawl_text_add(&file, "{\"text\": \"%c%0*d\"}\n", 'a' + d, 4 + (int)(pawl_random_at(9, PAWL_FOR_TEST, i, (uint64_t)d).word[0] % (i % 4 ? 30 : 150)), (int)i);
        put_bytes(&f.k, names[d], file.data, file.bytes);
        pawl_text_close(&file);
        learn(&f.k, names[d]);
    }
    must(open_on(f.comm, &f.k, &f.data, &stopped));
    pawl_fields_default(pawl_replay_rows, &f.replay);
    f.replay.capacity = CAPACITY;
    must(pawl_alloc((void **)&f.weights, WEIGHTS * sizeof *f.weights, "weights"));
    for (int i = 0; i < WEIGHTS; i++) f.weights[i] = (float)i;
    pawl_memory *m = open_memory(&f);
    must(pawl_memory_absorb(m, &(pawl_seen){.data = f.data, .was_seen = all_seen, .end = 2}));
    put_columns(m);
    save(&f, m);
    pawl_memory_close(m);
    snprintf(f.old, sizeof f.old, "%s/checkpoints/step-000000007", f.k.dir);
    snprintf(f.new, sizeof f.new, "%s/clean", f.k.dir);
    *state = &f;
    return 0;
}

static int close_case(void **state)
{
    forget_case *f = *state;
    pawl_free(f->weights);
    pawl_data_close(f->data);
    pawl_comm_close(f->comm);
    data_case_close(&f->k);
    return 0;
}

static json_t *row_at(const char *path, int64_t i)
{
    json_t *row;
    assert_int_equal(pawl_contents_row(path, i, &row), PAWL_OK);
    return row;
}

/* A row's ids without those of a document (or of a file). */
static json_t *ids_without(const json_t *row, const char *key, const char *what)
{
    json_t *ids = json_array(), *document;
    size_t i;
    json_array_foreach(json_object_get(row, "documents"), i, document) {
        if (strcmp(json_string_value(json_object_get(document, key)), what) == 0) continue;
        for (json_int_t n = json_integer_value(json_object_get(document, "first")); n < json_integer_value(json_object_get(document, "end")); n++)
            json_array_append(ids, json_array_get(json_object_get(row, "ids"), (size_t)n));
    }
    return ids;
}

/* Every row of the old memory is there without the document, under the same key, and no other; returns how many rows vanished. */
static int64_t compare_rows(const forget_case *f, const char *key, const char *what, int64_t rows)
{
    int64_t next = 0;
    for (int64_t i = 0; i < rows; i++) {
        json_t *old = row_at(f->old, i), *ids = ids_without(old, key, what);
        if (json_array_size(ids) > 0) {
            json_t *now = row_at(f->new, next++), *again = ids_without(now, key, what);
            assert_true(json_equal(ids, json_object_get(now, "ids")) && json_equal(ids, again));
            assert_string_equal(json_string_value(json_object_get(now, "key")), json_string_value(json_object_get(old, "key")));
            json_decref(now);
            json_decref(again);
        }
        json_decref(ids);
        json_decref(old);
    }
    return rows - next;
}

static int64_t rows_of(const char *path)
{
    json_t *stats;
    assert_int_equal(pawl_contents_stats(path, &stats), PAWL_OK);
    const int64_t rows = json_integer_value(json_object_get(stats, "rows"));
    json_decref(stats);
    return rows;
}

static void columns_still_belong_to_their_tokens(const forget_case *f)
{
    pawl_checkpoint *k;
    pawl_memory *m = open_memory(f);
    assert_int_equal(pawl_checkpoint_open(f->new, &k), PAWL_OK);
    assert_int_equal(pawl_memory_read(m, k), PAWL_OK);
    must(pawl_memory_reserve(m, 1, 1));
    for (int64_t i = 0; i < pawl_memory_count(m); i++) {
        must(pawl_memory_fetch(m, &(pawl_wanted){i, 0}, 1));
        const uint16_t *tokens = pawl_memory_row(m, 0).tokens, *numbers = pawl_memory_payload(m, 0, 0);
        for (int64_t n = 0; n < pawl_memory_kept(m, i)->tokens * WIDTH; n++)
            assert_int_equal(numbers[n], (uint16_t)(tokens[n / WIDTH] * 2 + n % WIDTH));
    }
    /* And it goes on as any other: another stage may come. */
    assert_int_equal(pawl_memory_absorb(m, &(pawl_seen){.data = f->data, .was_seen = all_seen, .end = 2}), PAWL_OK);
    pawl_memory_close(m);
    pawl_checkpoint_close(k);
}

static void check_checkpoint(const forget_case *f, const char *key, const char *what)
{
    pawl_text findings = {0};
    pawl_state weights = {0};
    pawl_checkpoint *k, *old;
    float *read;
    int count;
    assert_int_equal(pawl_verify(f->new, &findings, &count), PAWL_OK);
    assert_int_equal(count, 0);
    pawl_text_close(&findings);
    assert_int_equal(pawl_checkpoint_open(f->new, &k), PAWL_OK);
    assert_int_equal(pawl_checkpoint_open(f->old, &old), PAWL_OK);
    const json_t *now = pawl_checkpoint_manifest(k), *before = pawl_checkpoint_manifest(old);
    const json_t *entry = json_array_get(json_object_get(json_object_get(now, "lineage"), "erasures"), 0);
    assert_string_equal(json_string_value(json_object_get(entry, key)), what);
    assert_true(json_equal(json_object_get(now, "parent"), json_object_get(before, "root_sha256")));
    assert_true(json_equal(json_object_get(now, "weights_sha256"), json_object_get(before, "weights_sha256")));
    assert_false(json_equal(json_object_get(now, "memory_sha256"), json_object_get(before, "memory_sha256")));
    assert_true(json_equal(json_object_get(now, "run"), json_object_get(before, "run")));
    must(pawl_alloc((void **)&read, WEIGHTS * sizeof *read, "weights"));
    must(pawl_state_add(&weights, "model/", "w", (pawl_tensor){.data = read, .dtype = PAWL_F32, .ndim = 1, .dim = {WEIGHTS}}));
    assert_int_equal(pawl_checkpoint_read(k, &weights), PAWL_OK);
    assert_memory_equal(read, f->weights, WEIGHTS * sizeof *read);
    pawl_state_close(&weights);
    pawl_free(read);
    pawl_checkpoint_close(k);
    pawl_checkpoint_close(old);
}

/* The document of the row's first (0) or last (-1) segment, of the first row with more than one. */
static void some_document(const forget_case *f, int last, char out[33])
{
    for (int64_t i = 0;; i++) {
        json_t *row = row_at(f->old, i), *documents = json_object_get(row, "documents");
        const size_t n = json_array_size(documents);
        if (n > 1) snprintf(out, 33, "%s", json_string_value(json_object_get(json_array_get(documents, last ? n - 1 : 0), "document")));
        json_decref(row);
        if (n > 1) return;
    }
}

static void a_document_leaves_and_nothing_else(void **state)
{
    forget_case *f = *state;
    const int64_t rows = rows_of(f->old);
    for (int last = 0; last < 2; last++) {
        char document[33];
        json_t *report;
        some_document(f, last, document);
        assert_int_equal(pawl_contents_forget(f->old, &(pawl_forget){.document = document}, f->new, &report), PAWL_OK);
        assert_true(json_integer_value(json_object_get(report, "segments")) > 0);
        json_decref(report);
        assert_int_equal(compare_rows(f, "document", document, rows), rows - rows_of(f->new));
        check_checkpoint(f, "document", document);
        columns_still_belong_to_their_tokens(f);
        must(pawl_dir_remove(f->new));
    }
}

static void a_source_leaves_with_its_name(void **state)
{
    forget_case *f = *state;
    json_t *report, *stats, *source;
    char digest[65];
    assert_int_equal(pawl_contents_stats(f->old, &stats), PAWL_OK);
    assert_int_equal(json_array_size(json_object_get(stats, "sources")), 2);
    source = json_array_get(json_object_get(stats, "sources"), 0);
    snprintf(digest, sizeof digest, "%s", json_string_value(json_object_get(source, "sha256")));
    json_decref(stats);
    assert_int_equal(pawl_contents_forget(f->old, &(pawl_forget){.source = digest}, f->new, &report), PAWL_OK);
    json_decref(report);
    check_checkpoint(f, "source", digest);
    assert_int_equal(rows_of(f->new), CAPACITY / 2);
    assert_int_equal(pawl_contents_stats(f->new, &stats), PAWL_OK);
    assert_int_equal(json_array_size(json_object_get(stats, "sources")), 1);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(json_object_get(stats, "domains"), 0), "rows")), 0);
    json_decref(stats);
    must(pawl_dir_remove(f->new));
}

static void what_is_not_there_is_said(void **state)
{
    forget_case *f = *state;
    json_t *report;
    const pawl_forget nothing = {.document = "00000000000000000000000000000000"}, bad = {.document = "xyz"}, none = {0};
    assert_int_equal(pawl_contents_forget(f->old, &nothing, f->new, &report), PAWL_EUSAGE);
    assert_non_null(strstr(pawl_last_error()->what, "holds nothing of document"));
    assert_int_equal(pawl_contents_forget(f->old, &bad, f->new, &report), PAWL_EUSAGE);
    assert_int_equal(pawl_contents_forget(f->old, &none, f->new, &report), PAWL_EUSAGE);
    assert_int_equal(pawl_contents_forget(f->old, &nothing, f->old, &report), PAWL_EUSAGE);
    assert_false(pawl_path_exists(f->new));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_document_leaves_and_nothing_else),
        cmocka_unit_test(a_source_leaves_with_its_name),
        cmocka_unit_test(what_is_not_there_is_said),
    };
    return cmocka_run_group_tests(tests, open_case, close_case);
}
