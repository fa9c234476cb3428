/* Runs: cmocka
 *
 * Published tokenizers and small ones of every combination of parts, against what Hugging Face's tokenizers computes;
 * where tokens begin; long texts; saving. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/tokenizer_case.h"

static void put_fixture(const data_case *k, const char *name, const char *file, int packed)
{
    char relative[128], path[PATH_MAX];
    size_t bytes;
    snprintf(relative, sizeof relative, "%s/%s%s", name, file, packed ? ".gz" : "");
    char *text = unpacked(fixture(relative, path), &bytes); /* zlib reads plain files, too */
    put_bytes(k, file, text, bytes);
    free(text);
}

static pawl_tokenizer *open_published(const data_case *k, const char *name)
{
    pawl_tokenizer *t;
    put_fixture(k, name, "tokenizer.json", 1);
    put_fixture(k, name, "tokenizer_config.json", 0);
    must(pawl_tokenizer_open(k->dir, &t));
    return t;
}

/* Places are inside the text, never run backwards, and begin the token's own text where that is in the text. */
static void check_places(const pawl_encoding *e, size_t bytes)
{
    int64_t last = 0;
    for (int64_t i = 0; i < e->count; i++) {
        if (e->at[i] < 0) continue;
        assert_true(e->at[i] >= last && e->at[i] < (int64_t)bytes);
        last = e->at[i];
    }
}

static void agrees(const char *name, const char *end, const char *begin)
{
    data_case k;
    pawl_encoding e = {0};
    char path[64];
    int bad = 0;
    data_case_open(&k, 16);
    pawl_tokenizer *t = open_published(&k, name);
    snprintf(path, sizeof path, "%s/expected.json.gz", name);
    json_t *rows = fixture_json(path);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i), *text = json_object_get(row, "text"),
                     *ids = json_object_get(row, "ids");
        bad += !encodes_as(t, text, PAWL_WITH_SPECIALS, json_object_get(row, "ids_special"), &e);
        bad += !encodes_as(t, text, PAWL_WITHOUT_SPECIALS, ids, &e);
        check_places(&e, json_string_length(text));
        bad += !decodes_as(t, ids, 0, json_object_get(row, "decoded"));
    }
    assert_int_equal(bad, 0);
    assert_true(json_array_size(rows) > 300);
    assert_string_equal(pawl_tokenizer_content(t, pawl_tokenizer_end(t)), end);
    assert_string_equal(pawl_tokenizer_content(t, pawl_tokenizer_begin(t)), begin);
    json_decref(rows);
    pawl_encoding_close(&e);
    pawl_tokenizer_close(t);
    data_case_close(&k);
}

static void gpt2(void **state)
{
    (void)state;
    agrees("gpt2", "<|endoftext|>", "<|endoftext|>");
}

static void gptoss(void **state)
{
    (void)state;
    agrees("gptoss", "<|return|>", "<|startoftext|>");
}

static void mistral(void **state)
{
    (void)state;
    agrees("mistral_v3", "</s>", "<s>");
}

static void smollm2(void **state)
{
    (void)state;
    agrees("smollm2", "<|im_end|>", "<|im_start|>");
}

static void qwen3(void **state)
{
    data_case k;
    (void)state;
    data_case_open(&k, 16);
    pawl_tokenizer *t = open_published(&k, "qwen3");
    pawl_encoding e = {0};
    json_t *rows = fixture_json("qwen3/expected.json.gz");
    int bad = 0;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        bad += !encodes_as(t, json_object_get(row, "text"), PAWL_WITHOUT_SPECIALS, json_object_get(row, "ids"), &e);
        bad += !decodes_as(t, json_object_get(row, "ids"), 0, json_object_get(row, "decoded"));
    }
    assert_int_equal(bad, 0);
    assert_string_equal(pawl_tokenizer_content(t, pawl_tokenizer_end(t)), "<|im_end|>");
    assert_int_equal(pawl_tokenizer_begin(t), -1);
    json_decref(rows);
    pawl_encoding_close(&e);
    pawl_tokenizer_close(t);
    data_case_close(&k);
}

static int synthetic_agrees(const json_t *tokenizer, const json_t *texts, size_t number)
{
    data_case k;
    pawl_tokenizer *t;
    pawl_encoding e = {0};
    int bad = 0;
    data_case_open(&k, 16);
    char *text = json_dumps(json_object_get(tokenizer, "json"), JSON_COMPACT);
    put(&k, "tokenizer.json", text);
    free(text);
    must(pawl_tokenizer_open(k.dir, &t));
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const json_t *x = json_array_get(texts, i), *ids = json_array_get(json_object_get(tokenizer, "ids"), i);
        bad += !encodes_as(t, x, PAWL_WITH_SPECIALS, json_array_get(json_object_get(tokenizer, "special"), i), &e);
        bad += !encodes_as(t, x, PAWL_WITHOUT_SPECIALS, ids, &e);
        check_places(&e, json_string_length(x));
        bad += !decodes_as(t, ids, 0, json_array_get(json_object_get(tokenizer, "decoded"), i));
        bad += !decodes_as(t, ids, 1, json_array_get(json_object_get(tokenizer, "skipped"), i));
    }
    if (bad) fprintf(stderr, "synthetic tokenizer %zu: %d differ\n", number, bad);
    pawl_encoding_close(&e);
    pawl_tokenizer_close(t);
    data_case_close(&k);
    return !bad;
}

static void every_combination_of_parts(void **state)
{
    (void)state;
    json_t *all = fixture_json("synthetic.json.gz"), *list = json_object_get(all, "tokenizers");
    int bad = 0;
    for (size_t i = 0; i < json_array_size(list); i++)
        bad += !synthetic_agrees(json_array_get(list, i), json_object_get(all, "texts"), i);
    assert_int_equal(bad, 0);
    assert_int_equal(json_array_size(list), 60);
    json_decref(all);
}

/* What Oniguruma and PCRE2 understand differently and no translation is known for. */
static void regular_expressions_that_would_differ_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *says;
    } cases[] = {
        {"(?i)ss", "one letter stands for several"},
        {"x(?i:a|off)", "one letter stands for several"},
        {"(?i)[a\xc3\x9f]", "one letter stands for several"},
        {"(?i)\xc3\x9f", "one letter stands for several"},
        {"(?i:'d|'ll)|a(?i)b|ss", "one letter stands for several"}, /* (?i) reaches over alternatives */
        {"(?i)a(?-i)\xc3\x9f|ss", NULL},
        {"(?i:s*s|[s]s|s|t)| ss?", NULL},
        {"(?i:'s|'t|'re|'ve|'m|'ll|'d|[sdmt]|ll|ve|re)", NULL},
        {"(*ACCEPT)", "has (*"},
        {"a(*LIMIT_MATCH=1)", "has (*"},
        {"\\X", "has \\X"},
    };
    int wrong = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        data_case k;
        pawl_tokenizer *t = NULL;
        data_case_open(&k, 16);
        json_t *all = json_pack("{s:{s:s,s:{s:i},s:[]},s:{s:s,s:{s:s},s:s,s:b}}", "model", "type", "BPE", "vocab", "a", 0, "merges",
                                "pre_tokenizer", "type", "Split", "pattern", "Regex", cases[i].pattern, "behavior", "Isolated",
                                "invert", 0);
        assert_non_null(all);
        char *text = json_dumps(all, JSON_COMPACT);
        put(&k, "tokenizer.json", text);
        free(text);
        json_decref(all);
        const pawl_status s = pawl_tokenizer_open(k.dir, &t);
        const int right = cases[i].says ? s == PAWL_EDATA && strstr(pawl_last_error()->what, cases[i].says) : s == PAWL_OK;
        if (!right) print_message("%s: %s\n", cases[i].pattern, s == PAWL_OK ? "taken" : pawl_last_error()->what);
        wrong += !right;
        pawl_tokenizer_close(t);
        data_case_close(&k);
    }
    assert_int_equal(wrong, 0);
}

/* The tokenizer of bytes, behind a normalizer: what it gives out says what the normalizer made. */
static pawl_tokenizer *open_bytes_behind(const data_case *k, json_t *normalizer)
{
    pawl_tokenizer *t;
    char path[PATH_MAX];
    json_t *all;
    must(pawl_tokenizer_save(k->tokenizer, k->dir));
    must(pawl_path_join(path, sizeof path, k->dir, "tokenizer.json"));
    must(pawl_json_read(path, 1 << 24, &all));
    assert_int_equal(json_object_set_new(all, "normalizer", normalizer), 0);
    char *text = json_dumps(all, JSON_COMPACT);
    put(k, "tokenizer.json", text);
    free(text);
    json_decref(all);
    must(pawl_tokenizer_open(k->dir, &t));
    return t;
}

/* By Hugging Face's tokenizers 0.23, whose tables are those of Unicode 9. */
static void newer_letters_are_normalized_as_there(void **state)
{
    (void)state;
    static const char *const forms[] = {"NFC", "NFD", "NFKC", "NFKD"};
    /* Reiwa; a mark of Unicode 10 that would go behind one of class 1; and what is older is normalized */
    static const char text[] = "\xe3\x8b\xbf x\xe0\xb4\xbc\xcc\xb4 \xf0\x91\xa4\xb5\xf0\x91\xa4\xb0";
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        data_case k;
        pawl_encoding e = {0};
        data_case_open(&k, 16);
        pawl_tokenizer *t = open_bytes_behind(&k, json_pack("{s:s}", "type", forms[i]));
        must(pawl_encode(t, text, sizeof text - 1, PAWL_WITHOUT_SPECIALS, &e));
        assert_int_equal(e.count, sizeof text - 1);
        for (size_t at = 0; at < sizeof text - 1; at++) assert_int_equal(e.ids[at], (uint8_t)text[at]);
        pawl_encoding_close(&e);
        pawl_tokenizer_close(t);
        data_case_close(&k);
    }
}

static void normalizers_that_never_end_growing_are_stopped(void **state)
{
    (void)state;
    data_case k;
    pawl_encoding e = {0};
    data_case_open(&k, 16);
    json_t *twice = json_pack("{s:s,s:{s:s},s:s}", "type", "Replace", "pattern", "String", "a", "content", "aa");
    json_t *list = json_array();
    for (int i = 0; i < 40; i++) assert_int_equal(json_array_append(list, twice), 0);
    json_decref(twice);
    pawl_tokenizer *t = open_bytes_behind(&k, json_pack("{s:s,s:o}", "type", "Sequence", "normalizers", list));
    assert_int_equal(pawl_encode(t, "a", 1, PAWL_WITHOUT_SPECIALS, &e), PAWL_EDATA);
    assert_non_null(strstr(pawl_last_error()->what, "normalizers make more than"));
    must(pawl_encode(t, "b", 1, PAWL_WITHOUT_SPECIALS, &e));
    pawl_encoding_close(&e);
    pawl_tokenizer_close(t);
    data_case_close(&k);
}

static int64_t count_of(const pawl_tokenizer *t, const char *unit, size_t bytes, pawl_encoding *e)
{
    const size_t n = strlen(unit);
    char *text = malloc(bytes + n);
    for (size_t i = 0; i < bytes; i += n) memcpy(text + i, unit, n);
    must(pawl_encode(t, text, bytes / n * n, PAWL_WITHOUT_SPECIALS, e));
    free(text);
    return e->count;
}

/* A megabyte of one letter and the like: a way that is quadratic anywhere would take hours here. */
static void long_texts_take_linear_time(void **state)
{
    (void)state;
    static const char *const units[] = {"a",  " ",           "\n", "ab", "A", " \n", "'", "\xcc\x81\xcc\xa3",
                                        "<|", "\xe4\xb8\xad"};
    static const char *const names[] = {"mistral_v3", "smollm2", "qwen3"};
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        data_case k;
        pawl_encoding e = {0};
        data_case_open(&k, 16);
        pawl_tokenizer *t = open_published(&k, names[n]);
        for (size_t i = 0; i < sizeof units / sizeof *units; i++)
            assert_true(count_of(t, units[i], 1 << 20, &e) > 1000);
        pawl_encoding_close(&e);
        pawl_tokenizer_close(t);
        data_case_close(&k);
    }
}

/* What an encoding learns about words must not change what comes out, nor must the text around a word. */
static void encodings_keep_nothing_but_speed(void **state)
{
    (void)state;
    data_case k;
    pawl_encoding one = {0}, other = {0};
    data_case_open(&k, 16);
    pawl_tokenizer *t = open_published(&k, "gpt2"), *bytes;
    must(pawl_tokenizer_open("bytes", &bytes));
    for (int i = 0; i < 3; i++) {
        must(pawl_encode(t, "to be or not to be", 18, PAWL_WITHOUT_SPECIALS, &one));
        assert_int_equal(one.count, 6);
        assert_int_equal(one.ids[0], 1462);
        must(pawl_encode(bytes, "to", 2, PAWL_WITHOUT_SPECIALS, &one)); /* another tokenizer in between */
        assert_int_equal(one.count, 2);
        must(pawl_encode(t, "to", 2, PAWL_WITHOUT_SPECIALS, &other));
        assert_int_equal(other.ids[0], 1462);
    }
    pawl_encoding_close(&one);
    pawl_encoding_close(&other);
    pawl_tokenizer_close(bytes);
    pawl_tokenizer_close(t);
    data_case_close(&k);
}

static void a_saved_tokenizer_is_the_same_bytes(void **state)
{
    (void)state;
    data_case k, to;
    char path[PATH_MAX], *a, *b;
    size_t n, m;
    pawl_tokenizer *again;
    data_case_open(&k, 16);
    data_case_open(&to, 16);
    pawl_tokenizer *t = open_published(&k, "smollm2");
    put(&k, "chat_template.jinja", "{{ messages }}");
    must(pawl_tokenizer_save(t, to.dir));
    static const char *const names[] = {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", k.dir, names[i]);
        must(pawl_file_read(path, 1 << 26, &a, &n));
        snprintf(path, sizeof path, "%s/%s", to.dir, names[i]);
        must(pawl_file_read(path, 1 << 26, &b, &m));
        assert_int_equal(n, m);
        assert_memory_equal(a, b, n);
        pawl_free(a);
        pawl_free(b);
    }
    must(pawl_tokenizer_open(to.dir, &again));
    assert_true(pawl_digest_equal(pawl_tokenizer_digest(t), pawl_tokenizer_digest(again)));
    put(&k, "tokenizer.json", "{}"); /* changed behind our back: not what was opened */
    assert_int_equal(pawl_tokenizer_save(t, to.dir), PAWL_EDATA);
    pawl_tokenizer_close(again);
    pawl_tokenizer_close(t);
    data_case_close(&k);
    data_case_close(&to);
}

/* A byte-level vocabulary through normalizers: tokens point into the text as it was given. */
static void places_are_of_the_original_text(void **state)
{
    (void)state;
    data_case k;
    pawl_encoding e = {0};
    data_case_open(&k, 16);
    pawl_tokenizer *t = open_published(&k, "mistral_v3");
    const char text[] = "<s>one  tw\xc3\xb6";
    must(pawl_encode(t, text, sizeof text - 1, PAWL_WITH_SPECIALS, &e));
    assert_int_equal(e.at[0], -1); /* the post-processor's */
    assert_int_equal(e.at[1], 0);  /* <s> in the text */
    assert_int_equal(e.at[2], 3);  /* one, behind a letter that the normalizer put there */
    assert_string_equal(pawl_tokenizer_content(t, e.ids[2]), "\xe2\x96\x81one");
    assert_int_equal(e.at[3], 6);
    for (int64_t i = 3; i < e.count; i++) assert_true(e.at[i] >= 6);
    pawl_encoding_close(&e);
    pawl_tokenizer_close(t);
    data_case_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt2),
        cmocka_unit_test(gptoss),
        cmocka_unit_test(mistral),
        cmocka_unit_test(smollm2),
        cmocka_unit_test(qwen3),
        cmocka_unit_test(every_combination_of_parts),
        cmocka_unit_test(newer_letters_are_normalized_as_there),
        cmocka_unit_test(normalizers_that_never_end_growing_are_stopped),
        cmocka_unit_test(regular_expressions_that_would_differ_are_refused),
        cmocka_unit_test(long_texts_take_linear_time),
        cmocka_unit_test(encodings_keep_nothing_but_speed),
        cmocka_unit_test(a_saved_tokenizer_is_the_same_bytes),
        cmocka_unit_test(places_are_of_the_original_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
