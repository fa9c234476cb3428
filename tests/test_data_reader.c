/* Runs: cmocka
 *
 * From files to documents: what is read, in which order, and what broken input is answered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data/utf8.h"
#include "tests/data_case.h"

enum { LONG_ROW = 1 << 14 };

/* ---- What is read ---- */

/* The documents of a dataset, unpacked and in their order, each followed by '|'. */
static void documents_of(data_case *k, pawl_text *out)
{
    pawl_data *d;
    k->cfg.sample_packing = 0;
    if (open_alone(k, &d) != PAWL_OK) fail_msg("%s", pawl_last_error()->what);
    for (int64_t i = 0; i < pawl_data_rows_of(d, PAWL_TRAIN, 0); i++) {
        row_text(d, k->tokenizer, PAWL_TRAIN, (pawl_row){0, i}, out);
        pawl_text_add(out, "|");
    }
    pawl_data_close(d);
}

static void expect_documents(data_case *k, const char *expected)
{
    pawl_text found = {0};
    documents_of(k, &found);
    assert_string_equal(found.data, expected);
    pawl_text_close(&found);
}

static const struct {
    const char *what, *name, *text, *field, *expected;
    int type;
} readable[] = {
    {"rows", "a.jsonl", "{\"text\": \"one\"}\n{\"text\": \"two\"}\n", "text", "one|two|", 0},
    {"no newline at the end", "a.jsonl", "{\"text\": \"one\"}\n{\"text\": \"two\"}", "text", "one|two|", 0},
    {"blank lines", "a.jsonl", "\n{\"text\": \"one\"}\n \t\r\n\n{\"text\": \"two\"}\n\n", "text", "one|two|", 0},
    {"CRLF rows", "a.jsonl", "{\"text\": \"one\"}\r\n{\"text\": \"two\"}\r\n", "text", "one|two|", 0},
    {"another field", "a.jsonl", "{\"text\": 1, \"body\": \"b\"}\n", "body", "b|", 0},
    {"escapes", "a.jsonl", "{\"text\": \"\\u00e9\\n\\ud83d\\ude00\\\"\"}\n", "text", "é\n😀\"|", 0},
    {"huge numbers elsewhere", "a.jsonl", "{\"id\": 99999999999999999999, \"text\": \"x\"}\n", "text", "x|", 0},
    {"empty texts", "a.jsonl", "{\"text\": \"\"}\n{\"text\": \"x\"}\n{\"text\": \"\"}\n", "text", "x|", 0},
    {"byte order mark before rows", "a.jsonl", "\xEF\xBB\xBF{\"text\": \"x\"}\n", "text", "x|", 0},
    {"ending in capitals", "a.JSONL", "{\"text\": \"x\"}\n", "text", "x|", 0},
    {"a text file", "a.txt", "one\ntwo\n", "text", "one\ntwo\n|", 0},
    {"byte order mark before text", "a.md", "\xEF\xBB\xBFone", "text", "one|", 0},
    {"a second mark is text", "a.md", "\xEF\xBB\xBF\xEF\xBB\xBFone", "text", "\xEF\xBB\xBFone|", 0},
    {"CRLF text", "a.py", "a\r\nb\rc\n", "text", "a\r\nb\rc\n|", 0},
    {"no ending", "README", "x", "text", "x|", 0},
    {"text type takes rows as they stand", "a.jsonl", "{\"text\": \"x\"}\n", "text", "{\"text\": \"x\"}\n|", 1},
    {"an array of rows", "a.json", "[{\"text\": \"one\"},{\"text\":\n\n\"two, ]}\\\"[\"}\n]\n", "text", "one|two, ]}\"[|", 0},
    {"an array behind a byte order mark", "a.json", "\xEF\xBB\xBF [ {\"text\": \"one\"} ] ", "text", "one|", 0},
    {"rows one after the other", "a.json", "{\"text\": \"one\"}\n{\"text\":\n \"two\"}{\"text\": \"three\"}", "text", "one|two|three|", 0},
    {"rows in rows", "a.json", "[{\"x\": [{\"text\": \"no\"}], \"text\": \"one\"}]", "text", "one|", 0},
    {"text type takes tables as they stand", "a.csv", "a,b\n", "text", "a,b\n|", 1},
};

static void readable_files_give_their_documents(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof readable / sizeof *readable; i++) {
        data_case k;
        data_case_open(&k, LONG_ROW);
        put(&k, readable[i].name, readable[i].text);
        pawl_dataset_config *d = learn(&k, readable[i].name);
        d->type = readable[i].type;
        snprintf(d->field, sizeof d->field, "%s", readable[i].field);
        print_message("           %s\n", readable[i].what);
        expect_documents(&k, readable[i].expected);
        data_case_close(&k);
    }
}

static void folders_are_read_by_names_without_hidden_files(void **state)
{
    (void)state;
    data_case k;
    data_case_open(&k, LONG_ROW);
    put(&k, "d/b.txt", "b");
    put(&k, "d/a/z.txt", "a/z");
    put(&k, "d/a.txt", "a");
    put(&k, "d/a/deep/er/y.jsonl", "{\"text\": \"y1\"}\n{\"text\": \"y2\"}\n");
    put(&k, "d/empty/__init__.py", "");
    put(&k, "d/.hidden.txt", "hidden");
    put(&k, "d/.git/x.txt", "hidden");
    learn(&k, "d");
    expect_documents(&k, "a|y1|y2|a/z|b|"); /* by bytes: "a.txt" < "a/deep/er/y.jsonl" < "a/z.txt" < "b.txt" */
    snprintf(k.cfg.datasets.items[0].path, sizeof k.cfg.datasets.items[0].path, "%s/d/", k.dir);
    expect_documents(&k, "a|y1|y2|a/z|b|");
    data_case_close(&k);
}

static void split_takes_a_file_or_a_folder_of_that_name(void **state)
{
    (void)state;
    data_case k;
    data_case_open(&k, LONG_ROW);
    put(&k, "d/train.txt", "train file");
    put(&k, "d/train2.txt", "no");
    put(&k, "d/test.txt", "no");
    put(&k, "d/more/train.txt", "no");
    put(&k, "d/test2/x.txt", "folder");
    snprintf(learn(&k, "d")->split, 64, "train");
    expect_documents(&k, "train file|");
    snprintf(k.cfg.datasets.items[0].split, 64, "test2");
    expect_documents(&k, "folder|");
    data_case_close(&k);
}

/* Lines that lie across the blocks in which files are read, of 1 to 3 MiB. */
static void long_lines_are_whole(void **state)
{
    (void)state;
    data_case k;
    pawl_data *d;
    pawl_text file = {0};
    data_case_open(&k, 1000);
    int64_t tokens = 0;
    for (int i = 0; i < 5; i++) {
        const int n = (1 << 20) - 9 + i * 400000;
        pawl_text_add(&file, "{\"text\": \"%0*d\"}\n", n, i);
        tokens += n + 1;
    }
    put_bytes(&k, "long.jsonl", file.data, file.bytes);
    learn(&k, "long.jsonl");
    assert_int_equal(open_alone(&k, &d), PAWL_OK);
    json_t *lineage;
    assert_int_equal(pawl_data_lineage(d, &lineage), PAWL_OK);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(lineage, 0), "tokens")), tokens);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(lineage, 0), "documents")), 5);
    json_decref(lineage);
    pawl_data_close(d);
    pawl_text_close(&file);
    data_case_close(&k);
}

static void domains_are_named_after_paths(void **state)
{
    (void)state;
    static const struct {
        const char *path, *domain, *name;
    } cases[] = {{"books.v2.txt", "", "books.v2"},
                 {"python3.11", "", "python3.11"},
                 {"python3.11/", "", "python3.11"},
                 {"books.v2.txt", "fiction", "fiction"}};
    data_case k;
    data_case_open(&k, 64);
    put(&k, "books.v2.txt", "x");
    put(&k, "python3.11/a.py", "x");
    for (size_t i = 0; i < 4; i++) {
        pawl_data *d;
        k.cfg.datasets.count = 0;
        snprintf(learn(&k, cases[i].path)->domain, 64, "%s", cases[i].domain);
        assert_int_equal(open_alone(&k, &d), PAWL_OK);
        assert_string_equal(pawl_data_domain(d, PAWL_TRAIN, 0), cases[i].name);
        pawl_data_close(d);
    }
    data_case_close(&k);
}

/* ---- What is refused ---- */

static const struct {
    const char *name, *text;
    size_t bytes;     /* 0: up to the NUL */
    const char *said; /* follows the folder's name */
    const char *also;
} broken[] = {
    {"a.jsonl", "{\"text\": \"x\"}\n{\"text\": \"y\"\n", 0, "/a.jsonl:2:", "expected one JSON object a line"},
    {"a.jsonl", "{\"text\": \"x\"}\n\n  [1]\n", 0, "/a.jsonl:3:3: error: ", "expected a JSON object, found an array"},
    {"a.jsonl", "\"x\"\n", 0, "/a.jsonl:1:1: error: ", "found a string"},
    {"a.jsonl", "null\n", 0, "/a.jsonl:1:1: error: ", "found null"},
    {"a.jsonl", "7\n", 0, "/a.jsonl:1:1: error: ", "found a number"},
    {"a.jsonl", "{\"txt\": \"x\", \"id\": 1}\n", 0, "/a.jsonl:1:1: error: expected a key 'text'", "found 'txt', 'id'"},
    {"a.jsonl", "{}\n", 0, "/a.jsonl:1:1: error: expected a key 'text'", "no keys at all"},
    {"a.jsonl", "{\"text\": 3}\n", 0, "/a.jsonl:1:1: error: expected a string under 'text'", "found a number"},
    {"a.jsonl", "{\"text\": null}\n", 0, "/a.jsonl:1:1: error: expected a string under 'text'", "found null"},
    {"a.jsonl", "{\"text\": [\"x\"]}\n", 0, "/a.jsonl:1:1: error: expected a string under 'text'", "found an array"},
    {"a.jsonl", "{\"text\": true}\n", 0, "/a.jsonl:1:1: error: expected a string under 'text'", "found true"},
    {"a.jsonl", "{\"text\": \"x\"}\n\xEF\xBB\xBF{\"text\": \"y\"}\n", 0,
     "/a.jsonl:2:", "expected one JSON object a line"},
    {"a.jsonl", "{\"text\": \"x\"} {\"text\": \"y\"}\n", 0, "/a.jsonl:1:", "end of file expected"},
    {"a.jsonl", "{\"text\": \"x\", \"text\": \"y\"}\n", 0, "/a.jsonl:1:", "duplicate"},
    {"a.jsonl", "{'text': 'x'}\n", 0, "/a.jsonl:1:", "string or '}' expected"},
    {"a.jsonl", "{\"text\": \"\\ud800\"}\n", 0, "/a.jsonl:1:", "invalid Unicode"},
    {"a.jsonl", "{\"text\": \"a\\u0000b\"}\n", 0, "/a.jsonl:1:", ": \\u0000, which no text may hold"},
    {"a.jsonl", "{\"text\": \"a\tb\"}\n", 0, "/a.jsonl:1:", "control character"},
    {"a.jsonl", "{\"text\": \"\xC3\xA9\xFF\"}\n", 0, "/a.jsonl:1:12: error: expected UTF-8, found the byte 0xff",
     "convert"},
    {"a.jsonl", "{\"text\": \"x\"}\n{\"text\": \"y\0\"}\n", 29, "/a.jsonl:2:12: error: expected text, found a NUL byte",
     "remove it"},
    {"a.jsonl", "", 0, "/a.jsonl:1:1: error: the file is empty", "expected a JSON object a line"},
    {"a.jsonl", "\n\n", 0, "", "holds no text that is not empty"},
    {"a.jsonl", "{\"text\": \"\"}\n", 0, "", "holds no text that is not empty"},
    {"a.txt", "", 0, "/a.txt:1:1: error: the file is empty", "expected text"},
    {"a.txt", "\xEF\xBB\xBF", 0, "", "holds no text that is not empty"},
    {"a.txt", "one\ntw\xC3\xB6 \xC3\nthree\n", 0, "/a.txt:2:5: error: expected UTF-8, found the byte 0xc3", "convert"},
    {"a.txt", "one\ncut \xF0\x9F\x98", 0, "/a.txt:2:5: error: expected UTF-8, found the byte 0xf0", "convert"},
    {"a.txt", "lone \xED\xA0\x80 surrogate", 0, "/a.txt:1:6: error: expected UTF-8, found the byte 0xed", "convert"},
    {"a.txt", "overlong \xC0\xAF", 0, "/a.txt:1:10: error: expected UTF-8, found the byte 0xc0", "convert"},
    {"a.txt", "far \xF4\x90\x80\x80", 0, "/a.txt:1:5: error: expected UTF-8, found the byte 0xf4", "convert"},
    {"a.txt", "nul\n\0\n", 6, "/a.txt:2:1: error: expected text, found a NUL byte", "move the file out"},
    {"a.csv", "text\nx\n", 0, "/a.csv: error: pawl reads .jsonl", "set type: text"},
    {"a.parquet", "PAR1", 0, "/a.parquet: error: pawl reads .jsonl", "read_parquet('FILE').to_json("},
    {"a.jsonl.zst", "x", 0, "/a.jsonl.zst: error: pawl reads .jsonl", "compress the file inside with gzip"},
    {"a.tar.gz", "x", 0, "/a.tar.gz: error: pawl reads .jsonl", "unpack it"},
    {"a.json", "[{\"text\": \"x\"},\n {\"text\": 7}]", 0, "/a.json:2:2: error: expected a string under 'text'", "found a number"},
    {"a.json", "[{\"text\": \"x\"},\n {\"text\": \"y\"", 0, "/a.json:2:2: error: the file ends inside the row", "cut short"},
    {"a.json", "[{\"text\": \"x\"},", 0, "/a.json:1:16: error: expected another row", "cut short"},
    {"a.json", "[{\"text\": \"x\"},]", 0, "/a.json:1:16: error: expected another row, found ']'", ""},
    {"a.json", "[{\"text\": \"x\"}", 0, "/a.json:1:15: error: expected ',' or ']' behind a row", "cut short"},
    {"a.json", "[{\"text\": \"x\"} {\"text\": \"y\"}]", 0, "/a.json:1:16: error: expected ',' or ']'", "found '{'"},
    {"a.json", "[{\"text\": \"x\"}]\nx", 0, "/a.json:2:1: error: expected nothing behind the array", "found 'x'"},
    {"a.json", "[\n", 0, "/a.json:2:1: error: expected a row or ']'", "the file ends"},
    {"a.json", "[]", 0, "", "holds no text that is not empty"},
    {"a.json", "{\"data\": [{\"text\": \"x\"}]}", 0, "/a.json:1:1: error: expected a key 'text'", "found 'data'"},
    {"a.json", "[{\"text\": \"\xC3\xA9\",\n\"n\": }]", 0, "/a.json:2:6: error: expected JSON objects", "unexpected token"},
    {"a.json", "[{\"a\":1}, {\"text\": \"\xC3\xA9\xFF\"}]", 0, "/a.json:1:2: error: expected a key", ""},
    {"a.json", "[{\"text\": \"\xC3\xA9\xFF\"}]", 0, "/a.json:1:13: error: expected UTF-8, found the byte 0xff", "convert"},
    {"a.json", "", 0, "/a.json:1:1: error: the file is empty", "expected an array of JSON objects"},
};

static void broken_files_are_refused_with_place_and_advice(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        data_case k;
        pawl_data *d = NULL;
        char said[512];
        data_case_open(&k, 64);
        put_bytes(&k, broken[i].name, broken[i].text, broken[i].bytes ? broken[i].bytes : strlen(broken[i].text));
        learn(&k, broken[i].name);
        assert_int_equal(open_alone(&k, &d), PAWL_EDATA);
        const char *what = pawl_last_error()->what;
        print_message("           %s\n", what);
        snprintf(said, sizeof said, "%s%s", k.dir, broken[i].said);
        if (broken[i].said[0] && strncmp(what, said, strlen(said)) != 0) fail_msg("expected '%s...'", said);
        if (!strstr(what, broken[i].also)) fail_msg("expected it to say '%s'", broken[i].also);
        data_case_close(&k);
    }
}

static void expect_refused(data_case *k, const char *said)
{
    pawl_data *d;
    assert_int_equal(open_alone(k, &d), PAWL_EDATA);
    if (!strstr(pawl_last_error()->what, said)) fail_msg("expected '%s', found '%s'", said, pawl_last_error()->what);
}

static void broken_paths_are_refused(void **state)
{
    (void)state;
    data_case k;
    char path[PATH_MAX];
    data_case_open(&k, 64);
    learn(&k, "nowhere.jsonl");
    expect_refused(&k, "nowhere.jsonl: error: there is no such file or folder");
    k.cfg.datasets.count = 0;
    snprintf(path, sizeof path, "%s/void", k.dir);
    must(pawl_dir_make(path));
    put(&k, "void/.hidden", "x");
    learn(&k, "void");
    expect_refused(&k, "holds no files");
    put(&k, "void/a.txt", "x");
    snprintf(k.cfg.datasets.items[0].split, 64, "train");
    expect_refused(&k, "void: error: there is no file or folder named 'train'");
    k.cfg.datasets.count = 0;
    snprintf(learn(&k, "void/a.txt")->split, 64, "train");
    expect_refused(&k, "leave split out");
    k.cfg.datasets.count = 0;
    snprintf(path, sizeof path, "%s/loop/again", k.dir);
    put(&k, "loop/a.txt", "x");
    assert_int_equal(symlink(".", path), 0);
    learn(&k, "loop");
    expect_refused(&k, "loop of links");
    k.cfg.datasets.count = 0;
    snprintf(path, sizeof path, "%s/gone/link.txt", k.dir);
    put(&k, "gone/a.txt", "x");
    assert_int_equal(symlink("nowhere", path), 0);
    learn(&k, "gone");
    expect_refused(&k, "link.txt: error: this is not a regular file");
    data_case_close(&k);
}

/* Below the case's folder: a dataset's path, a folder that files are written to, and whether they would be read. */
static const struct {
    const char *path, *dir, *split;
    int reads;
} insides[] = {
    {"texts", "texts", "", 1},          {"texts", "texts/run", "", 1},         {"texts/", "texts/./run", "", 1},
    {"texts", "link/run", "", 1},       {"texts", "run", "", 0},               {"texts", "texts2", "", 0},
    {"texts", "texts/.runs/a", "", 0},  {"texts/one.txt", "texts/run", "", 0}, {"texts", "texts/run", "train", 0},
    {"**/*.jsonl", "run", "", 1},       {"texts/**/*.jsonl", "texts/run", "", 1}, {"texts/**/*.md", "texts/run", "", 0},
    {"texts/**", "texts/run", "", 1},   {"texts/**/*.jsonl", "run", "", 0},    {"texts/*.jsonl", "texts/run", "", 0},
};

static void folders_inside_a_dataset_are_known(void **state)
{
    (void)state;
    static const char *const names[] = {"metrics.jsonl", "run.yaml", NULL};
    data_case k;
    char link[PATH_MAX], dir[PATH_MAX];
    data_case_open(&k, 64);
    put(&k, "texts/one.txt", "x");
    snprintf(link, sizeof link, "%s/link", k.dir);
    assert_int_equal(symlink("texts", link), 0);
    for (size_t i = 0; i < sizeof insides / sizeof *insides; i++) {
        k.cfg.datasets.count = 0;
        pawl_dataset_config *d = learn(&k, insides[i].path);
        snprintf(d->split, sizeof d->split, "%s", insides[i].split);
        snprintf(dir, sizeof dir, "%s/%s", k.dir, insides[i].dir);
        if (pawl_dataset_reads_in(d, dir, names) != insides[i].reads) fail_msg("%s, %s", insides[i].path, insides[i].dir);
    }
    data_case_close(&k);
}

static void a_line_of_more_than_64_mib_is_refused(void **state)
{
    (void)state;
    data_case k;
    const size_t bytes = ((size_t)64 << 20) + 100;
    char *line;
    data_case_open(&k, 64);
    must(pawl_alloc((void **)&line, bytes, "a long line"));
    memset(line, ' ', bytes);
    memcpy(line, "{}", 2);
    line[1] = '\n'; /* the long line is the second */
    line[0] = ' ';
    put_bytes(&k, "a.jsonl", line, bytes);
    pawl_free(line);
    learn(&k, "a.jsonl");
    expect_refused(&k, "/a.jsonl:2:1: error: a line of more than 64 MiB");
    data_case_close(&k);
}

/* ---- UTF-8 against an oracle that decodes ---- */

/* By the definition: shortest form, no surrogates, not beyond U+10FFFF; and no NUL. */
static int decodes(const uint8_t *p, size_t n)
{
    static const uint32_t least[] = {1, 0x80, 0x800, 0x10000};
    const int more = *p < 0x80 ? 0 : *p < 0xC0 ? -1 : *p < 0xE0 ? 1 : *p < 0xF0 ? 2 : *p < 0xF8 ? 3 : -1;
    if (more < 0 || (size_t)more + 1 != n) return 0;
    uint32_t code = more == 0 ? *p : *p & (0x3Fu >> more);
    for (size_t i = 1; i < n; i++) {
        if (p[i] < 0x80 || p[i] > 0xBF) return 0;
        code = code << 6 | (p[i] & 0x3Fu);
    }
    return code >= least[more] && code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
}

static size_t oracle_prefix(const uint8_t *p, size_t bytes)
{
    size_t at = 0, n = 1;
    while (at < bytes && n > 0) {
        for (n = 4; n > 0 && (at + n > bytes || !decodes(p + at, n)); n--) {
        }
        at += n;
    }
    return at;
}

/* All four-byte strings over the bytes at which the rules change, alone and inside ASCII that takes the fast path. */
static void utf8_is_what_decodes(void **state)
{
    (void)state;
    static const uint8_t edge[] = {0x00, 0x01, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF,
                                   0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF};
    enum { N = sizeof edge };
    uint8_t p[24];
    memset(p, 'a', sizeof p);
    for (int i = 0; i < N * N * N * N; i++) {
        const uint8_t seq[4] = {edge[i % N], edge[i / N % N], edge[i / N / N % N], edge[i / N / N / N]};
        assert_int_equal(pawl_utf8_valid_prefix((const char *)seq, 4), oracle_prefix(seq, 4));
        memcpy(p + 5 + i % 8, seq, 4);
        assert_int_equal(pawl_utf8_valid_prefix((const char *)p, sizeof p), oracle_prefix(p, sizeof p));
        memset(p + 5 + i % 8, 'a', 4);
    }
    assert_int_equal(pawl_utf8_length("a\xC3\xA9\xF0\x9F\x98\x80", 7), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readable_files_give_their_documents),
        cmocka_unit_test(folders_are_read_by_names_without_hidden_files),
        cmocka_unit_test(split_takes_a_file_or_a_folder_of_that_name),
        cmocka_unit_test(long_lines_are_whole),
        cmocka_unit_test(domains_are_named_after_paths),
        cmocka_unit_test(broken_files_are_refused_with_place_and_advice),
        cmocka_unit_test(broken_paths_are_refused),
        cmocka_unit_test(folders_inside_a_dataset_are_known),
        cmocka_unit_test(a_line_of_more_than_64_mib_is_refused),
        cmocka_unit_test(utf8_is_what_decodes),
    };
    pawl_log_open(0, PAWL_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
