/* Runs: cmocka
 *
 * The bytes tokenizer and the files that it is exported as. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/data_case.h"

static void every_byte_is_its_own_id(void **state)
{
    (void)state;
    pawl_tokenizer *t;
    char text[256];
    pawl_encoding e = {0};
    pawl_text back = {0};
    assert_int_equal(pawl_tokenizer_open("bytes", &t), PAWL_OK);
    for (int i = 0; i < 256; i++) text[i] = (char)i;
    assert_int_equal(pawl_encode(t, text, sizeof text, PAWL_WITH_SPECIALS, &e), PAWL_OK);
    assert_int_equal(e.count, 256);
    for (int i = 0; i < 256; i++) {
        assert_int_equal(e.ids[i], i);
        assert_int_equal(e.at[i], i);
    }
    assert_int_equal(pawl_decode(t, e.ids, 256, 0, &back), PAWL_OK);
    assert_int_equal(back.bytes, 256);
    assert_memory_equal(back.data, text, 256);
    pawl_text_close(&back);
    pawl_encoding_close(&e);
    pawl_tokenizer_close(t);
}

static void specials_come_after_the_bytes(void **state)
{
    (void)state;
    pawl_tokenizer *t;
    const int32_t ids[] = {'a', 256, 257, 258, 259, -1, 260, 'b'};
    pawl_text text = {0};
    assert_int_equal(pawl_tokenizer_open("bytes", &t), PAWL_OK);
    assert_int_equal(pawl_tokenizer_size(t), 260);
    assert_int_equal(pawl_tokenizer_end(t), 256);
    assert_int_equal(pawl_tokenizer_begin(t), 256);
    assert_int_equal(pawl_tokenizer_id(t, "<|im_end|>"), 259);
    assert_int_equal(pawl_tokenizer_id(t, "Ġ"), 32);
    assert_int_equal(pawl_tokenizer_id(t, "<|none|>"), -1);
    assert_string_equal(pawl_tokenizer_content(t, 257), "<|pad|>");
    assert_null(pawl_tokenizer_content(t, 260));
    assert_int_equal(pawl_decode(t, ids, 8, 1, &text), PAWL_OK);
    assert_string_equal(text.data, "ab");
    assert_int_equal(pawl_decode(t, ids, 2, 0, &text), PAWL_OK);
    assert_string_equal(text.data, "aba<|endoftext|>");
    pawl_text_close(&text);
    pawl_tokenizer_close(t);
}

static void raw_text_that_spells_a_special_stays_text(void **state)
{
    (void)state;
    pawl_tokenizer *t;
    pawl_encoding e = {0};
    assert_int_equal(pawl_tokenizer_open("bytes", &t), PAWL_OK);
    assert_int_equal(pawl_encode(t, "<|endoftext|>", 13, PAWL_RAW_TEXT, &e), PAWL_OK);
    assert_int_equal(e.count, 13);
    assert_int_equal(e.ids[0], '<');
    assert_int_equal(pawl_encode(t, "a<|endoftext|>b", 15, PAWL_WITHOUT_SPECIALS, &e), PAWL_OK);
    assert_int_equal(e.count, 3); /* as in Hugging Face, with what is exported */
    assert_int_equal(e.ids[1], 256);
    assert_int_equal(e.at[1], 1);
    assert_int_equal(e.at[2], 14);
    pawl_encoding_close(&e);
    pawl_tokenizer_close(t);
}

static int id_in(const json_t *vocab, const char *name)
{
    const json_t *id = json_object_get(vocab, name);
    return json_is_integer(id) ? (int)json_integer_value(id) : -1;
}

/* The names of bytes as GPT-2's published vocabulary writes them. */
static void saved_vocabulary_is_byte_level(void **state)
{
    (void)state;
    data_case k;
    char path[PATH_MAX];
    json_t *whole, *config;
    data_case_open(&k, 16);
    assert_int_equal(pawl_tokenizer_save(k.tokenizer, k.dir), PAWL_OK);
    snprintf(path, sizeof path, "%s/tokenizer.json", k.dir);
    assert_int_equal(pawl_json_read(path, 1 << 20, &whole), PAWL_OK);
    const json_t *model = json_object_get(whole, "model"), *vocab = json_object_get(model, "vocab");
    assert_int_equal(json_object_size(vocab), 256);
    assert_int_equal(json_array_size(json_object_get(model, "merges")), 0);
    const struct {
        const char *name;
        int id;
    } known[] = {{"Ā", 0},   {"ĉ", 9},   {"Ċ", 10},  {"Ġ", 32},  {"!", 33},  {"A", 65},  {"~", 126}, {"ġ", 127},
                 {"Ģ", 128}, {"ł", 160}, {"¡", 161}, {"¬", 172}, {"Ń", 173}, {"®", 174}, {"ÿ", 255}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_int_equal(id_in(vocab, known[i].name), known[i].id);
    const json_t *added = json_object_get(whole, "added_tokens");
    assert_int_equal(json_array_size(added), 4);
    for (size_t i = 0; i < 4; i++) assert_int_equal(id_in(json_array_get(added, i), "id"), 256 + (int)i);
    json_decref(whole);
    snprintf(path, sizeof path, "%s/tokenizer_config.json", k.dir);
    assert_int_equal(pawl_json_read(path, 1 << 20, &config), PAWL_OK);
    assert_string_equal(json_string_value(json_object_get(config, "eos_token")), "<|endoftext|>");
    json_decref(config);
    data_case_close(&k);
}

static void an_exported_folder_opens_as_the_same_tokenizer(void **state)
{
    (void)state;
    data_case k;
    pawl_tokenizer *again;
    data_case_open(&k, 16);
    assert_int_equal(pawl_tokenizer_save(k.tokenizer, k.dir), PAWL_OK);
    assert_int_equal(pawl_tokenizer_open(k.dir, &again), PAWL_OK);
    assert_true(pawl_digest_equal(pawl_tokenizer_digest(k.tokenizer), pawl_tokenizer_digest(again)));
    pawl_tokenizer_close(again);
    data_case_close(&k);
}

/* The digest enters caches and lineage: a change of it is a change of format. */
static void the_digest_does_not_drift(void **state)
{
    (void)state;
    pawl_tokenizer *t;
    assert_int_equal(pawl_tokenizer_open("bytes", &t), PAWL_OK);
    assert_string_equal(pawl_digest_hex(pawl_tokenizer_digest(t)).text,
                        "2168fbb722fe30596908e2177bf0dd60b9ba489e4dd185429793d619c8879146");
    pawl_tokenizer_close(t);
}

static void other_tokenizers_are_refused_by_name(void **state)
{
    (void)state;
    data_case k;
    pawl_tokenizer *t;
    char *text, path[PATH_MAX];
    size_t bytes;
    data_case_open(&k, 16);
    assert_int_equal(pawl_tokenizer_open("", &t), PAWL_EDATA);
    assert_int_equal(pawl_tokenizer_open("gpt2", &t), PAWL_EDATA);
    assert_non_null(strstr(pawl_last_error()->what, "'gpt2'"));
    assert_int_equal(pawl_tokenizer_open(k.dir, &t), PAWL_EDATA);
    assert_non_null(strstr(pawl_last_error()->what, "no tokenizer.json"));
    put(&k, "tokenizer.json", "{\"model\": ");
    assert_int_equal(pawl_tokenizer_open(k.dir, &t), PAWL_EDATA);
    assert_int_equal(pawl_tokenizer_save(k.tokenizer, k.dir), PAWL_OK);
    snprintf(path, sizeof path, "%s/tokenizer.json", k.dir);
    assert_int_equal(pawl_file_read(path, 1 << 20, &text, &bytes), PAWL_OK);
    memcpy(strstr(text, "\"BPE\""), "\"BPX\"", 5);
    put_bytes(&k, "tokenizer.json", text, bytes);
    pawl_free(text);
    assert_int_equal(pawl_tokenizer_open(k.dir, &t), PAWL_EDATA);
    assert_non_null(strstr(pawl_last_error()->what, "tokenizer.json: model: the type 'BPX' is not supported"));
    data_case_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_is_its_own_id),
        cmocka_unit_test(specials_come_after_the_bytes),
        cmocka_unit_test(raw_text_that_spells_a_special_stays_text),
        cmocka_unit_test(saved_vocabulary_is_byte_level),
        cmocka_unit_test(an_exported_folder_opens_as_the_same_tokenizer),
        cmocka_unit_test(the_digest_does_not_drift),
        cmocka_unit_test(other_tokenizers_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
