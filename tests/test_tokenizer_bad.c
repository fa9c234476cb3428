/* Runs: cmocka
 *
 * Tokenizers that are malformed, hostile or not supported: one clear error each, with the file and the JSON path. And
 * the scanners written by hand against the regular expressions that they stand for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data/tokenizer/stages.h"
#include "tests/data_case.h"

#define VOCAB              "{\"a\": 0, \"b\": 1, \"ab\": 2, \"<unk>\": 3}"
#define MODEL(rest)        "\"model\": {\"type\": \"BPE\", \"vocab\": " VOCAB ", \"merges\": [\"a b\"]" rest "}"
#define TOKEN(id, content) "{\"id\": " id ", \"content\": \"" content "\", \"special\": true}"
#define TEMPLATE(single)                                                                                               \
    "\"post_processor\": {\"type\": \"TemplateProcessing\", \"special_tokens\": {}, \"single\": [" single "]}, "
#define SPLIT(regex)                                                                                                   \
    "\"pre_tokenizer\": {\"type\": \"Split\", \"behavior\": \"Isolated\", \"invert\": false, \"pattern\": "            \
    "{\"Regex\": \"" regex "\"}}, "

static const struct bad {
    const char *json, *what; /* what the error says */
} bads[] = {
    {"", "not valid JSON"},
    {"[]", "expected a JSON object"},
    {"{\"model\": ", "not valid JSON"},
    {"{}", "model: expected an object"},
    {"{\"model\": {\"type\": \"Unigram\"}}", "model: the type 'Unigram' is not supported"},
    {"{\"model\": {\"type\": \"BPE\", \"vocab\": [], \"merges\": []}}", "model.vocab: expected an object"},
    {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": -1}, \"merges\": []}}",
     "model.vocab: 'a': expected an id in [0,"},
    {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 4294967296}, \"merges\": []}}",
     "model.vocab: 'a': expected an id"},
    {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 99999999999999999999}, \"merges\": []}}", "too big integer"},
    {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 1.5}, \"merges\": []}}", "model.vocab: 'a'"},
    {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 7, \"b\": 7}, \"merges\": []}}", "have the same id 7"},
    {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 1, \"a\": 2}, \"merges\": []}}", "duplicate"},
    {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\\u0000b\": 1}, \"merges\": []}}", "not valid JSON"},
    {"{\"model\": {\"type\": \"BPE\", \"vocab\": " VOCAB ", \"merges\": [\"a c\"]}}",
     "model.merges[0]: 'c' is not in the vocabulary"},
    {"{\"model\": {\"type\": \"BPE\", \"vocab\": " VOCAB ", \"merges\": [\"b a\"]}}",
     "'ba', which it makes, is not in the vocabulary"},
    {"{\"model\": {\"type\": \"BPE\", \"vocab\": " VOCAB ", \"merges\": [\"ab\"]}}", "merges[0]: expected two tokens"},
    {"{\"model\": {\"type\": \"BPE\", \"vocab\": " VOCAB ", \"merges\": [\"a b c\"]}}",
     "merges[0]: expected two tokens"},
    {"{\"model\": {\"type\": \"BPE\", \"vocab\": " VOCAB ", \"merges\": [[\"a\"]]}}", "merges[0]: expected a pair"},
    {"{\"model\": {\"type\": \"BPE\", \"vocab\": " VOCAB ", \"merges\": {}}}", "model.merges: expected a list"},
    {"{" MODEL(", \"dropout\": 0.1") "}", "dropout is not supported"},
    {"{" MODEL(", \"unk_token\": \"[UNK]\"") "}", "unk_token '[UNK]' is not in the vocabulary"},
    {"{" MODEL(", \"byte_fallback\": 3") "}", "model.byte_fallback: expected true or false"},
    {"{\"added_tokens\": [" TOKEN("9", "<s>") "], " MODEL("") "}", "added_tokens[0]: '<s>' has the id 9, but"},
    {"{\"added_tokens\": [" TOKEN("-4", "<s>") "], " MODEL("") "}", "added_tokens[0].id: expected a whole number"},
    {"{\"added_tokens\": [" TOKEN("4", "<s>") ", " TOKEN("4", "<s>") "], " MODEL("") "}",
     "added_tokens[1]: '<s>' is there twice"},
    {"{\"added_tokens\": [" TOKEN("4", "<s>") ", " TOKEN("4", "</s>") "], " MODEL("") "}",
     "added_tokens[1]: '</s>' has the id 4"},
    {"{\"added_tokens\": {}, " MODEL("") "}", "added_tokens: expected a list"},
    {"{\"normalizer\": {\"type\": \"Precompiled\"}, " MODEL("") "}",
     "normalizer: the normalizer 'Precompiled' is not supported"},
    {"{\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFC\"}, {\"type\": \"Bert\"}]}, " MODEL(
         "") "}",
     "normalizer.normalizers[1]: the normalizer 'Bert' is not supported"},
    {"{\"pre_tokenizer\": {\"type\": \"UnicodeScripts\"}, " MODEL("") "}",
     "the pre-tokenizer 'UnicodeScripts' is not supported"},
    {"{\"pre_tokenizer\": {\"type\": \"ByteLevel\"}, " MODEL("") "}",
     "pre_tokenizer.add_prefix_space: expected true or false, found nothing"},
    {"{\"decoder\": {\"type\": \"CTC\"}, " MODEL("") "}", "decoder: the decoder 'CTC' is not supported"},
    {"{\"post_processor\": {\"type\": \"Other\"}, " MODEL("") "}", "the post-processor 'Other' is not supported"},
    {"{" TEMPLATE("{\"SpecialToken\": {\"id\": \"<s>\", \"type_id\": 0}}") MODEL("") "}",
     "single[0]: '<s>' is not among special_tokens"},
    {"{" TEMPLATE("") MODEL("") "}", "post_processor.single: expected the text, A, once"},
    {"{" SPLIT("(") MODEL("") "}", "pre_tokenizer.pattern: the regular expression's parentheses do not match"},
    {"{" SPLIT("[a") MODEL("") "}", "a class without its end"},
    {"{" SPLIT("\\\\p{Klingon}") MODEL("") "}", "does not compile"},
    {"{" SPLIT("(?<=a+)b") MODEL("") "}", "does not compile"},
    {"{" SPLIT("\\\\k<x>") MODEL("") "}", "\\k, which is not supported"},
    {"{" SPLIT("a\\\\") MODEL("") "}", "ends in a backslash"},
    {"{" SPLIT("(?x:a)") MODEL("") "}", "(?x, which is not supported"},
};

static void each_has_its_error(void **state)
{
    (void)state;
    data_case k;
    data_case_open(&k, 16);
    for (size_t i = 0; i < sizeof bads / sizeof *bads; i++) {
        pawl_tokenizer *t = NULL;
        put(&k, "tokenizer.json", bads[i].json);
        assert_int_equal(pawl_tokenizer_open(k.dir, &t), PAWL_EDATA);
        const char *said = pawl_last_error()->what;
        if (!strstr(said, bads[i].what)) fail_msg("%s\nsaid:     %s\nexpected: %s", bads[i].json, said, bads[i].what);
        if (!strstr(said, "tokenizer.json")) fail_msg("%s names no file", said);
    }
    data_case_close(&k);
}

static void nesting_without_end(void **state)
{
    (void)state;
    data_case k;
    pawl_tokenizer *t;
    pawl_text json = {0};
    data_case_open(&k, 16);
    for (int deep = 100; deep <= 100000; deep *= 1000) {
        json.bytes = 0;
        pawl_text_add(&json, "{\"normalizer\": ");
        for (int i = 0; i < deep; i++) pawl_text_add(&json, "{\"type\": \"Sequence\", \"normalizers\": [");
        pawl_text_add(&json, "{\"type\": \"Other\"}");
        for (int i = 0; i < deep; i++) pawl_text_add(&json, "]}");
        pawl_text_add(&json, ", " MODEL("") "}");
        put(&k, "tokenizer.json", json.data);
        assert_int_equal(pawl_tokenizer_open(k.dir, &t), PAWL_EDATA);
    }
    json.bytes = 0;
    pawl_text_add(&json,
                  "{\"pre_tokenizer\": {\"type\": \"Split\", \"behavior\": \"Isolated\", \"pattern\": {\"Regex\": \"");
    for (int i = 0; i < 30000; i++) pawl_text_add(&json, "(");
    pawl_text_add(&json, "\"}}, " MODEL("") "}");
    put(&k, "tokenizer.json", json.data);
    assert_int_equal(pawl_tokenizer_open(k.dir, &t), PAWL_EDATA);
    assert_non_null(strstr(pawl_last_error()->what, "nested too deep"));
    pawl_text_close(&json);
    data_case_close(&k);
}

/* A pattern whose way back is exponential: it is given up, with a sentence, instead of running for ever. */
static void a_regular_expression_that_explodes(void **state)
{
    (void)state;
    data_case k;
    pawl_tokenizer *t;
    pawl_encoding e = {0};
    char text[64];
    data_case_open(&k, 16);
    put(&k, "tokenizer.json", "{" SPLIT("(a|aa)+(b|c)") MODEL("") "}");
    must(pawl_tokenizer_open(k.dir, &t));
    memset(text, 'a', sizeof text);
    assert_int_equal(pawl_encode(t, text, sizeof text, PAWL_WITHOUT_SPECIALS, &e), PAWL_EDATA);
    assert_non_null(strstr(pawl_last_error()->what, "gives up on this text"));
    must(pawl_encode(t, "ab", 2, PAWL_WITHOUT_SPECIALS, &e)); /* and goes on */
    assert_int_equal(e.count, 1);
    pawl_encoding_close(&e);
    pawl_tokenizer_close(t);
    data_case_close(&k);
}

static void text_that_is_no_utf8(void **state)
{
    (void)state;
    data_case k;
    pawl_tokenizer *t;
    pawl_encoding e = {0};
    static const char *const texts[] = {"a\xff", "\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc0\x80", "a\xe4\xb8"};
    data_case_open(&k, 16);
    put(&k, "tokenizer.json", "{" MODEL("") "}");
    must(pawl_tokenizer_open(k.dir, &t));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_equal(pawl_encode(t, texts[i], strlen(texts[i]), PAWL_WITHOUT_SPECIALS, &e), PAWL_EDATA);
        assert_non_null(strstr(pawl_last_error()->what, "not UTF-8"));
    }
    must(pawl_encode(t, "a\0a", 3, PAWL_WITHOUT_SPECIALS, &e)); /* NUL is a letter, here one without an id */
    assert_int_equal(e.count, 2);
    pawl_encoding_close(&e);
    pawl_tokenizer_close(t);
    data_case_close(&k);
}

static void folders_of_other_kinds_say_what_to_do(void **state)
{
    (void)state;
    data_case k;
    pawl_tokenizer *t;
    data_case_open(&k, 16);
    put(&k, "tokenizer.model", "x");
    assert_int_equal(pawl_tokenizer_open(k.dir, &t), PAWL_EDATA);
    assert_non_null(strstr(pawl_last_error()->what, "has tokenizer.model but no tokenizer.json"));
    assert_non_null(strstr(pawl_last_error()->what, "save_pretrained"));
    put(&k, "tokenizer.json", "{" MODEL("") "}");
    put(&k, "tokenizer_config.json",
        "{\"eos_token\": \"</s>\", \"model_max_length\": 1000000000000000019884624838656}");
    assert_int_equal(pawl_tokenizer_open(k.dir, &t), PAWL_EDATA);
    assert_non_null(strstr(pawl_last_error()->what, "eos_token '</s>' is not in tokenizer.json"));
    put(&k, "tokenizer_config.json", "{\"eos_token\": {\"content\": \"ab\"}}");
    must(pawl_tokenizer_open(k.dir, &t));
    assert_int_equal(pawl_tokenizer_end(t), 2);
    pawl_tokenizer_close(t);
    put(&k, "tokenizer_config.json", "{}");
    put(&k, "generation_config.json", "{\"eos_token_id\": [1, 2], \"bos_token_id\": 0}");
    must(pawl_tokenizer_open(k.dir, &t));
    assert_int_equal(pawl_tokenizer_end(t), 1);
    assert_int_equal(pawl_tokenizer_begin(t), 0);
    pawl_tokenizer_close(t);
    data_case_close(&k);
}

/* ---- Scanners ---- */

#define FORMS  "'s|'t|'re|'ve|'m|'ll|'d"
#define SPACES "\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define UPPER  "[\\\\p{Lu}\\\\p{Lt}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]"
#define LOWER  "[\\\\p{Ll}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]"
#define SIGN   "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?"
#define SIGNS  " ?[^\\\\s\\\\p{L}\\\\p{N}]+"
#define CASED(forms, number)                                                                                           \
    SIGN UPPER "*" LOWER "+" forms "|" SIGN UPPER "+" LOWER "*" forms "|" number "|" SIGNS "[\\\\r\\\\n/]*|" SPACES

static const char *const patterns[] = {
    FORMS "| ?\\\\p{L}+| ?\\\\p{N}+|" SIGNS "|\\\\s+(?!\\\\S)|\\\\s+",
    "(?i:" FORMS ")|" SIGN "\\\\p{L}+|\\\\p{N}{1,3}|" SIGNS "[\\\\r\\\\n]*|" SPACES,
    "(?i:" FORMS ")|" SIGN "\\\\p{L}+|\\\\p{N}|" SIGNS "[\\\\r\\\\n]*|" SPACES,
    CASED("(?i:" FORMS ")?", "\\\\p{N}{1,3}"),
    CASED("", "\\\\p{N}"),
};

/* Each piece gets a mark before it, so that ids, which are bytes, show where pieces begin. */
static pawl_tokenizer *open_marking(data_case *k, const json_t *bytes, const char *pattern, const char *around)
{
    pawl_text json = {0};
    pawl_tokenizer *t;
    char *model = json_dumps(json_object_get(bytes, "model"), 0);
    pawl_text_add(
        &json,
        "{\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"behavior\": "
        "\"Isolated\", "
        "\"invert\": false, \"pattern\": {\"Regex\": \"%s%s%s\"}}, {\"type\": \"Metaspace\", \"replacement\": \"_\", "
        "\"prepend_scheme\": \"always\", \"split\": false}, {\"type\": \"ByteLevel\", \"add_prefix_space\": false, "
        "\"use_regex\": false}]}, \"model\": %s}",
        around, pattern, *around ? ")" : "", model);
    free(model);
    put(k, "tokenizer.json", json.data);
    must(pawl_tokenizer_open(k->dir, &t));
    pawl_text_close(&json);
    return t;
}

static int has_scanner(const char *pattern)
{
    char quoted[2048];
    snprintf(quoted, sizeof quoted, "\"%s\"", pattern);
    json_t *text = json_loads(quoted, JSON_DECODE_ANY, NULL);
    const int has = pawl_scanner_for(json_string_value(text)) != NULL;
    json_decref(text);
    return has;
}

static void add_point(pawl_text *t, unsigned point)
{
    char s[5] = {0};
    if (point < 0x80)
        s[0] = (char)point;
    else if (point < 0x800)
        s[0] = (char)(0xc0 | point >> 6), s[1] = (char)(0x80 | (point & 63));
    else if (point < 0x10000)
        s[0] = (char)(0xe0 | point >> 12), s[1] = (char)(0x80 | (point >> 6 & 63)), s[2] = (char)(0x80 | (point & 63));
    else
        s[0] = (char)(0xf0 | point >> 18), s[1] = (char)(0x80 | (point >> 12 & 63)),
        s[2] = (char)(0x80 | (point >> 6 & 63)), s[3] = (char)(0x80 | (point & 63));
    pawl_text_add_bytes(t, s, strlen(s));
}

static void random_text(pawl_text *t)
{
    static const char *const bits[] = {
        "'s", "'S",    "'ll",      "'LL",      "'\xc5\xbf", "'re",          "'x",           " ",
        "  ", "\n",    "\r\n",     "\t",       "\xc2\xa0",  "\xe3\x80\x80", "\xe1\xa0\x8e", "\xe2\x80\xa8",
        "Ab", "aB",    "AB",       "ab",       "12",        "1234",         "//",           "/\n",
        "--", ".\n\n", "\xc7\x85", "\xca\xb0", "\xcc\x81",  "\xd7\xa9",     "\xe2\x85\xa7", "\xc2\xbd"};
    static const struct {
        unsigned first, last;
    } blocks[] = {{0x20, 0x7e},     {0xa0, 0x24f},      {0x250, 0x36f},     {0x370, 0x58f},    {0x900, 0x97f},
                  {0x1e00, 0x1fff}, {0x2000, 0x206f},   {0x2100, 0x218b},   {0x3041, 0x30ff},  {0x4e00, 0x4eff},
                  {0xac00, 0xad00}, {0x10400, 0x1044f}, {0x1d400, 0x1d4ff}, {0x1f600, 0x1f64f}};
    t->bytes = 0;
    for (int n = 1 + rand() % 16; n > 0; n--) {
        const int block = rand() % (int)(sizeof blocks / sizeof *blocks);
        if (rand() % 3)
            pawl_text_add(t, "%s", bits[rand() % (int)(sizeof bits / sizeof *bits)]);
        else
            add_point(t, blocks[block].first + (unsigned)rand() % (blocks[block].last - blocks[block].first + 1));
    }
}

/* In brackets of its own a pattern is not recognised, and goes the way of all regular expressions. */
static void scanners_do_what_their_expressions_do(void **state)
{
    (void)state;
    data_case k;
    json_t *bytes;
    char path[PATH_MAX];
    pawl_text text = {0};
    data_case_open(&k, 16);
    must(pawl_tokenizer_save(k.tokenizer, k.dir));
    snprintf(path, sizeof path, "%s/tokenizer.json", k.dir);
    must(pawl_json_read(path, 1 << 20, &bytes));
    must(pawl_file_remove(path));
    snprintf(path, sizeof path, "%s/tokenizer_config.json", k.dir);
    must(pawl_file_remove(path));
    srand(5);
    for (size_t p = 0; p < sizeof patterns / sizeof *patterns; p++) {
        pawl_encoding a = {0}, b = {0};
        assert_true(has_scanner(patterns[p]));
        pawl_tokenizer *scanner = open_marking(&k, bytes, patterns[p], ""),
                       *regex = open_marking(&k, bytes, patterns[p], "(?:");
        for (int i = 0; i < 20000; i++) {
            random_text(&text);
            must(pawl_encode(scanner, text.data, text.bytes, PAWL_WITHOUT_SPECIALS, &a));
            must(pawl_encode(regex, text.data, text.bytes, PAWL_WITHOUT_SPECIALS, &b));
            if (a.count != b.count || memcmp(a.ids, b.ids, (size_t)a.count * sizeof *a.ids) != 0)
                fail_msg("pattern %zu: '%s'", p, text.data);
        }
        pawl_encoding_close(&a);
        pawl_encoding_close(&b);
        pawl_tokenizer_close(scanner);
        pawl_tokenizer_close(regex);
    }
    pawl_text_close(&text);
    json_decref(bytes);
    data_case_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_has_its_error),
        cmocka_unit_test(nesting_without_end),
        cmocka_unit_test(a_regular_expression_that_explodes),
        cmocka_unit_test(text_that_is_no_utf8),
        cmocka_unit_test(folders_of_other_kinds_say_what_to_do),
        cmocka_unit_test(scanners_do_what_their_expressions_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
