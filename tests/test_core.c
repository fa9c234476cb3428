/* Runs: cmocka */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <unistd.h>

#include "core/arena.h"
#include "core/fields.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/memory.h"
#include "core/rng.h"
#include "core/state.h"
#include "core/text.h"

/* ---- status ---- */

static pawl_status innermost(void)
{
    return PAWL_FAIL(PAWL_EDATA, "shard %d: expected %d tokens, found %d", 17, 4096, 12);
}

static pawl_status outer(void)
{
    PAWL_TRY(innermost());
    return PAWL_OK;
}

static void the_first_speaker_is_heard(void **unused)
{
    (void)unused;
    assert_int_equal(outer(), PAWL_EDATA);
    assert_string_equal(pawl_last_error()->what, "shard 17: expected 4096 tokens, found 12");
    assert_non_null(strstr(pawl_last_error()->trail, "tests/test_core.c:"));
    assert_non_null(strstr(pawl_last_error()->trail, " < "));
    assert_int_equal(PAWL_FAIL_AT(PAWL_EUSAGE, "run.yaml", 3, 5, "expected a number"), PAWL_EUSAGE);
    assert_string_equal(pawl_last_error()->what, "run.yaml:3:5: error: expected a number");
    assert_int_equal(pawl_last_error()->located, 1);
    (void)PAWL_FAIL(PAWL_EDATA, "found '%s'\nand '%s'", "\x1b[31m", "na\xc3\xafve\xe2\x80\xae");
    assert_string_equal(pawl_last_error()->what, "found '?[31m'\nand 'na\xc3\xafve?" "?" "?'"); /* nothing of data steers a terminal */
}

/* ---- rows of configuration ---- */

typedef struct sample {
    struct { int32_t count; char items[2][8]; } names, none;
} sample;
#define PAWL_SECTION sample
static const pawl_field sample_rows[] = {PAWL_ROW_W(names, "first", 2, 8, FIXED, "names") PAWL_ROW_W(none, "", 2, 8, FREE, "none") PAWL_ROW_END};
#undef PAWL_SECTION

typedef struct choosy { pawl_i64 rows; } choosy;
#define PAWL_SECTION choosy
static const pawl_field choosy_rows[] = {PAWL_ROW_A(rows, "auto", 1, 9, "rows", FIXED, "rows at a time") PAWL_ROW_END};
#undef PAWL_SECTION

static void a_number_may_be_left_to_the_program(void **unused)
{
    (void)unused;
    choosy s, again;
    char why[256], text[32];
    json_t *json, *dflt = pawl_field_default_json(choosy_rows);
    pawl_fields_default(choosy_rows, &s);
    assert_int_equal(s.rows, PAWL_AUTO);
    assert_string_equal(json_string_value(dflt), "auto");
    assert_true(pawl_field_set(choosy_rows, &s, "7", why, sizeof why) && s.rows == 7);
    assert_false(pawl_field_set(choosy_rows, &s, "0", why, sizeof why));
    assert_string_equal(why, "expected a whole number in [1, 9] rows, or auto, found '0'");
    assert_true(pawl_field_set(choosy_rows, &s, "auto", why, sizeof why));
    pawl_field_get(choosy_rows, &s, text, sizeof text);
    assert_string_equal(text, "auto");
    assert_int_equal(pawl_fields_json(choosy_rows, &s, &json), PAWL_OK);
    assert_int_equal(pawl_fields_from_json(choosy_rows, json, "here", &again), PAWL_OK);
    assert_int_equal(again.rows, PAWL_AUTO);
    json_decref(json);
    json_decref(dflt);
}

static void a_list_of_texts_is_checked_and_reads_back(void **unused)
{
    (void)unused;
    sample s, again;
    char why[256];
    json_t *json;
    pawl_fields_default(sample_rows, &s);
    assert_int_equal(s.names.count, 1);
    assert_string_equal(s.names.items[0], "first");
    assert_int_equal(s.none.count, 0);
    assert_int_equal(pawl_field_append(sample_rows, &s, "too long", why, sizeof why), 0);
    assert_string_equal(why, "expected a list of at most 2 texts of 1 to 7 bytes, found 'too long' (8 bytes)");
    assert_int_equal(pawl_field_append(sample_rows, &s, "", why, sizeof why), 0);
    assert_int_equal(pawl_field_append(sample_rows, &s, "second", why, sizeof why), 1);
    assert_int_equal(pawl_field_append(sample_rows, &s, "third", why, sizeof why), 0);
    assert_string_equal(why, "expected at most 2 items");
    assert_int_equal(pawl_fields_json(sample_rows, &s, &json), PAWL_OK);
    assert_int_equal(pawl_fields_from_json(sample_rows, json, "here", &again), PAWL_OK);
    assert_memory_equal(&s, &again, sizeof s);
    assert_int_equal(pawl_fields_diff(sample_rows, "", json, json, 0, NULL), 0);
    json_array_set_new(json_object_get(json, "names"), 1, json_integer(3));
    assert_int_equal(pawl_fields_from_json(sample_rows, json, "here", &again), PAWL_EDATA);
    assert_string_equal(pawl_last_error()->what, "here: 'names': item 1 is not a text");
    json_decref(json);
}

/* ---- arenas ---- */

static void lay_out(pawl_arena *a, float **x, pawl_tensor *t)
{
    *x = pawl_take_bytes(a, 10 * sizeof(float));
    *t = pawl_take(a, PAWL_BF16, 3, (int64_t[]){2, 3, 5});
}

static void what_is_measured_is_what_is_carved(void **unused)
{
    (void)unused;
    pawl_arena a = {.name = "test"};
    float *x;
    pawl_tensor t;
    lay_out(&a, &x, &t);
    assert_null(x);
    const size_t measured = a.used;
    assert_true(measured >= 64 + 60); /* more under AddressSanitizer, which has redzones between takes */
    assert_int_equal(pawl_arena_open(&a), PAWL_OK);
    lay_out(&a, &x, &t);
    assert_int_equal(a.used, measured);
    assert_int_equal((uintptr_t)x % PAWL_ALIGN, 0);
    assert_true((char *)t.data >= (char *)x + 64 && (uintptr_t)t.data % PAWL_ALIGN == 0);
    assert_int_equal(pawl_tensor_count(t), 30);
    for (int i = 0; i < 10; i++) assert_true(x[i] == 0);
    pawl_arena_close(&a);
}

static void arenas_of_a_name_are_accounted_for_together(void **unused)
{
    (void)unused;
    pawl_arena a = {.name = "accounts", .used = 1000}, b = {.name = "accounts", .used = 500}, c = {.name = "others", .used = 64};
    const pawl_arena_use before = pawl_arena_use_of(NULL, 0);
    assert_int_equal(pawl_arena_use_of("accounts", 0).peak, 0);
    assert_int_equal(pawl_arena_open(&a), PAWL_OK);
    pawl_arena_close(&a);
    a.used = 700;
    assert_int_equal(pawl_arena_open(&b), PAWL_OK);
    assert_int_equal(pawl_arena_open(&a), PAWL_OK);
    assert_int_equal(pawl_arena_open(&c), PAWL_OK);
    assert_int_equal(pawl_arena_use_of("accounts", 0).bytes, 1200);
    assert_int_equal(pawl_arena_use_of(NULL, 0).bytes, before.bytes + 1264);
    pawl_arena_close(&b);
    pawl_arena_close(&a);
    pawl_arena_close(&c);
    assert_int_equal(pawl_arena_use_of("accounts", 0).bytes, 0);
    assert_int_equal(pawl_arena_use_of("accounts", 0).peak, 1200);
    assert_int_equal(pawl_arena_use_of(NULL, 0).bytes, before.bytes);
    assert_true(pawl_arena_use_of(NULL, 0).peak >= before.bytes + 1264);
}

static void memory_of_the_process_is_known(void **unused)
{
    (void)unused;
    enum { BYTES = 32 << 20, ABOUT = 1 << 20 }; /* the system counts in batches of pages */
    pawl_arena a = {.name = "touched", .used = BYTES};
    const pawl_memory before = pawl_memory_of_process();
    assert_int_equal(pawl_arena_open(&a), PAWL_OK);
    memset(a.base, 1, BYTES);
    const pawl_memory after = pawl_memory_of_process();
    pawl_arena_close(&a);
    assert_true(before.now > 0 && before.peak + ABOUT >= before.now);
    assert_true(after.now >= before.now + BYTES / 2 && after.peak + ABOUT >= after.now);
    assert_true(pawl_memory_of_process().peak + ABOUT >= after.peak);
    assert_true(pawl_memory_available() > 0);
}

static void the_nth_allocation_fails_on_demand(void **unused)
{
    (void)unused;
    void *p, *q;
    pawl_alloc_fail_after(2);
    assert_int_equal(pawl_alloc(&p, 8, "one"), PAWL_OK);
    assert_int_equal(pawl_alloc(&q, 8, "two"), PAWL_EMEM);
    assert_string_equal(pawl_last_error()->what, "no memory for two (8 bytes)");
    pawl_alloc_fail_after(0);
    assert_int_equal(pawl_alloc(&q, 8, "three"), PAWL_OK);
    pawl_free(p);
    pawl_free(q);
}

/* ---- random numbers ---- */

/* The known answers of the authors' Random123 distribution for philox4x32-10. */
static void philox_gives_the_published_answers(void **unused)
{
    (void)unused;
    static const struct { uint32_t counter[4], key[2], expected[4]; } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const pawl_random r = pawl_philox(cases[i].counter, cases[i].key);
        assert_memory_equal(r.word, cases[i].expected, sizeof r.word);
    }
}

static void permutations_are_bijections(void **unused)
{
    (void)unused;
    static const uint64_t sizes[] = {1, 2, 3, 5, 16, 17, 100, 1000, 4096, 5000};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const uint64_t n = sizes[s];
        char *seen = calloc(n, 1);
        uint64_t moved = 0;
        for (uint64_t i = 0; i < n; i++) {
            const uint64_t j = pawl_permute(i, n, 7, PAWL_FOR_TEST, 3, 4);
            assert_true(j < n && !seen[j]);
            seen[j] = 1;
            moved += j != i;
        }
        if (n >= 100) assert_true(moved > n * 9 / 10);
        free(seen);
    }
    int same = 0; /* another name, another permutation */
    for (uint64_t i = 0; i < 1000; i++)
        same += pawl_permute(i, 1000, 7, PAWL_FOR_TEST, 3, 4) == pawl_permute(i, 1000, 7, PAWL_FOR_TEST, 3, 5);
    assert_true(same < 20);
}

/* Where element i of a permutation of 5 lands, over many names: chi-square with 4 degrees of freedom. */
static void permutations_are_uniform(void **unused)
{
    (void)unused;
    enum { N = 5, TRIALS = 20000 };
    for (uint64_t i = 0; i < N; i++) {
        double count[N] = {0}, chi = 0;
        for (uint64_t name = 0; name < TRIALS; name++) count[pawl_permute(i, N, 1, PAWL_FOR_TEST, name, 0)]++;
        for (int j = 0; j < N; j++) chi += (count[j] - TRIALS / N) * (count[j] - TRIALS / N) / (TRIALS / N);
        assert_true(chi < 23.5); /* p = 1e-4 */
    }
}

static void normal_numbers_are_normal(void **unused)
{
    (void)unused;
    enum { PAIRS = 50000 };
    double sum = 0, squares = 0, fourth = 0;
    for (uint64_t i = 0; i < PAIRS; i++) {
        const pawl_random r = pawl_random_at(5, PAWL_FOR_TEST, 0, i);
        float x[2];
        pawl_normal(r.word[0], r.word[1], x);
        for (int j = 0; j < 2; j++) {
            assert_true(isfinite(x[j]));
            sum += x[j];
            squares += (double)x[j] * x[j];
            fourth += pow(x[j], 4);
        }
    }
    const double n = 2 * PAIRS;
    assert_true(fabs(sum / n) < 4 / sqrt(n)); /* 4 standard errors each */
    assert_true(fabs(squares / n - 1) < 4 * sqrt(2 / n));
    assert_true(fabs(fourth / n - 3) < 4 * sqrt(96 / n));
    assert_true(pawl_uniform(0) == 0 && pawl_uniform(0xffffffff) < 1);
}

/* ---- digests ---- */

static void digests_are_sha256(void **unused)
{
    (void)unused;
    assert_string_equal(pawl_digest_hex(pawl_sha256("abc", 3)).text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    pawl_hash *h;
    assert_int_equal(pawl_hash_open(&h), PAWL_OK);
    pawl_hash_add(h, "a", 1);
    pawl_hash_add(h, "bc", 2);
    const pawl_digest d = pawl_hash_close(h);
    assert_true(pawl_digest_equal(d, pawl_sha256("abc", 3)));
    pawl_digest back;
    assert_int_equal(pawl_digest_parse(pawl_digest_hex(d).text, &back), PAWL_OK);
    assert_true(pawl_digest_equal(d, back));
    assert_int_equal(pawl_digest_parse("BA78", &back), PAWL_EDATA);
}

static void a_tensor_is_hashed_in_chunks(void **unused)
{
    (void)unused;
    const size_t bytes = 2 * PAWL_CHUNK_BYTES + 5;
    char *data = malloc(bytes);
    for (size_t i = 0; i < bytes; i++) data[i] = (char)(i * 31);
    pawl_digest chunks[3] = {pawl_sha256(data, PAWL_CHUNK_BYTES), pawl_sha256(data + PAWL_CHUNK_BYTES, PAWL_CHUNK_BYTES),
                             pawl_sha256(data + 2 * (size_t)PAWL_CHUNK_BYTES, 5)};
    assert_int_equal(pawl_chunk_count(bytes), 3);
    assert_int_equal(pawl_chunk_count(PAWL_CHUNK_BYTES), 1);
    assert_int_equal(pawl_chunk_count(0), 0);
    assert_true(pawl_digest_equal(pawl_tensor_digest(data, bytes), pawl_sha256(chunks, sizeof chunks)));
    assert_true(pawl_digest_equal(pawl_chunks_digest(chunks, 3), pawl_sha256(chunks, sizeof chunks)));
    free(data);
}

/* ---- numbers of other types ---- */

static uint16_t as_16(float x, pawl_dtype t)
{
    uint16_t h;
    pawl_convert(&x, PAWL_F32, &h, t, 1);
    return h;
}

static float from_16(uint16_t h, pawl_dtype t)
{
    float x;
    pawl_convert(&h, t, &x, PAWL_F32, 1);
    return x;
}

static void sixteen_bit_floats_round_trip(void **unused)
{
    (void)unused;
    static const pawl_dtype types[] = {PAWL_BF16, PAWL_F16};
    for (int k = 0; k < 2; k++)
        for (uint32_t h = 0; h < 0x10000; h++) { /* every one of them: subnormals, infinities, NaNs */
            const float x = from_16((uint16_t)h, types[k]);
            if (isnan(x)) assert_true(isnan(from_16(as_16(x, types[k]), types[k])));
            else assert_int_equal(as_16(x, types[k]), h);
        }
}

static void rounding_is_to_nearest_even(void **unused)
{
    (void)unused;
    assert_int_equal(as_16(1.0f + 0x1p-8f, PAWL_BF16), 0x3f80);           /* halfway, down to even */
    assert_int_equal(as_16(1.0f + 3 * 0x1p-8f, PAWL_BF16), 0x3f82);       /* halfway, up to even */
    assert_int_equal(as_16(1.0f + 0x1p-8f + 0x1p-20f, PAWL_BF16), 0x3f81);
    assert_int_equal(as_16(1.0f + 0x1p-11f, PAWL_F16), 0x3c00);
    assert_int_equal(as_16(1.0f + 3 * 0x1p-11f, PAWL_F16), 0x3c02);
    assert_int_equal(as_16(65519.0f, PAWL_F16), 0x7bff);
    assert_int_equal(as_16(65520.0f, PAWL_F16), 0x7c00);
    assert_int_equal(as_16(0x1p-25f, PAWL_F16), 0);                       /* half the least subnormal: to even, zero */
    assert_int_equal(as_16(0x1.8p-25f, PAWL_F16), 1);
    assert_int_equal(as_16(-0x1p-24f, PAWL_F16), 0x8001);
    assert_int_equal(as_16(3.4e38f, PAWL_BF16), 0x7f80);
}

/* ---- text ---- */

static void numbers_are_read_whole_or_not_at_all(void **unused)
{
    (void)unused;
    int64_t i;
    double x;
    assert_true(pawl_parse_i64("1_000_000", &i) && i == 1000000);
    assert_true(pawl_parse_i64("1e6", &i) && i == 1000000);
    assert_true(pawl_parse_i64("-9223372036854775808", &i) && i == INT64_MIN);
    static const char *const not_whole[] = {"", "1.5", "1e-3", "12x", "0x10", "9223372036854775808", "_1", "1__0", "1_", " 1", "nan"};
    for (size_t k = 0; k < sizeof not_whole / sizeof *not_whole; k++)
        if (pawl_parse_i64(not_whole[k], &i)) fail_msg("'%s' was read as %lld", not_whole[k], (long long)i);
    assert_true(pawl_parse_f64("3e-4", &x) && x == 3e-4);
    static const char *const no_numbers[] = {"inf", "nan", "1e999", "0x1p3", "1.2.3", "e5", "-"};
    for (size_t k = 0; k < sizeof no_numbers / sizeof *no_numbers; k++)
        if (pawl_parse_f64(no_numbers[k], &x)) fail_msg("'%s' was read as %g", no_numbers[k], x);
    char text[32];
    pawl_format_f64(0.1, text);
    assert_string_equal(text, "0.1");
    pawl_format_f64(1.0 / 3, text);
    assert_true(strtod(text, NULL) == 1.0 / 3);
}

static void slips_find_the_word_that_was_meant(void **unused)
{
    (void)unused;
    static const char *const words[] = {"learning_rate", "lr_scheduler", "max_steps", "seed", NULL};
    assert_string_equal(pawl_nearest("learning_rat", words), "learning_rate");
    assert_string_equal(pawl_nearest("laerning_rate", words), "learning_rate"); /* neighbours swapped: one slip */
    assert_string_equal(pawl_nearest("sead", words), "seed");
    assert_null(pawl_nearest("banana", words));
    assert_int_equal(pawl_edit_distance("abcd", "acbd"), 1);
    assert_int_equal(pawl_edit_distance("", "abc"), 3);
}

/* The examples of Unicode 15, section 3.9, tables 3-8 to 3-11. */
static void what_is_not_utf8_is_replaced(void **unused)
{
    (void)unused;
#define R "\xef\xbf\xbd"
    static const char *const cases[][2] = {
        {"a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z", "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z"},
        {"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41", R R R R R R R R "A"},
        {"\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41", R R R R R R R R "A"},
        {"\xf4\x91\x92\x93\xff\x41\x80\xbf\x42", R R R R R "A" R R "B"},
        {"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", R R R R "A"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pawl_text t = {0};
        pawl_text_add_utf8(&t, cases[i][0], strlen(cases[i][0]));
        assert_string_equal(t.data, cases[i][1]);
        pawl_text_close(&t);
    }
#undef R
}

static void text_has_a_maximum(void **unused)
{
    (void)unused;
    pawl_text t = {.max = 10};
    pawl_text_add(&t, "%s", "12345678");
    assert_int_equal(pawl_text_status(&t), PAWL_OK);
    pawl_text_add(&t, "abc");
    assert_int_equal(pawl_text_status(&t), PAWL_EMEM);
    assert_string_equal(t.data, "12345678");
    pawl_text_close(&t);
}

/* ---- files ---- */

static void files_are_replaced_whole(void **unused)
{
    (void)unused;
    char dir[] = "/tmp/pawl-core-XXXXXX", path[256], *text, **names;
    size_t bytes;
    int count;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/a/b/c.txt", dir);
    assert_int_equal(pawl_file_replace(path, "x", 1), PAWL_EIO);
    assert_non_null(strstr(pawl_last_error()->what, "c.txt"));
    snprintf(path, sizeof path, "%s/a/b", dir);
    assert_int_equal(pawl_dir_make(path), PAWL_OK);
    assert_int_equal(pawl_dir_make(path), PAWL_OK);
    snprintf(path, sizeof path, "%s/a/b/c.txt", dir);
    assert_int_equal(pawl_file_replace(path, "first", 5), PAWL_OK);
    assert_int_equal(pawl_file_replace(path, "second!", 7), PAWL_OK);
    assert_int_equal(pawl_file_read(path, 100, &text, &bytes), PAWL_OK);
    assert_int_equal(bytes, 7);
    assert_string_equal(text, "second!");
    pawl_free(text);
    assert_int_equal(pawl_file_read(path, 6, &text, &bytes), PAWL_EDATA);
    snprintf(path, sizeof path, "%s/a/b", dir);
    assert_int_equal(pawl_dir_list(path, &names, &count), PAWL_OK);
    assert_int_equal(count, 1); /* no .part is left */
    assert_string_equal(names[0], "c.txt");
    pawl_free(names);
    assert_int_equal(pawl_dir_remove(dir), PAWL_OK);
    assert_false(pawl_path_exists(dir));
    assert_int_equal(pawl_dir_remove(dir), PAWL_OK);
}

static int interruptions;

static ssize_t pwrite_in_pieces(int fd, const void *data, size_t bytes, off_t at)
{
    if (interruptions++ % 2 == 0) {
        errno = EINTR;
        return -1;
    }
    return pwrite(fd, data, bytes < 3 ? bytes : 3, at);
}

static void short_writes_and_signals_lose_nothing(void **unused)
{
    (void)unused;
    pawl_fs rough = pawl_fs_posix;
    char path[] = "/tmp/pawl-core-XXXXXX", back[26] = "";
    int fd = mkstemp(path);
    rough.pwrite = pwrite_in_pieces;
    pawl_fs_in_use = &rough;
    assert_int_equal(pawl_file_pwrite(fd, path, "abcdefghijklmnopqrstuvwxy", 25, 0), PAWL_OK);
    pawl_fs_in_use = &pawl_fs_posix;
    assert_int_equal(pawl_file_pread(fd, path, back, 25, 0), PAWL_OK);
    assert_string_equal(back, "abcdefghijklmnopqrstuvwxy");
    assert_int_equal(pawl_file_pread(fd, path, back, 25, 1), PAWL_EDATA);
    close(fd);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_speaker_is_heard),
        cmocka_unit_test(a_list_of_texts_is_checked_and_reads_back),
        cmocka_unit_test(a_number_may_be_left_to_the_program),
        cmocka_unit_test(what_is_measured_is_what_is_carved),
        cmocka_unit_test(arenas_of_a_name_are_accounted_for_together),
        cmocka_unit_test(memory_of_the_process_is_known),
        cmocka_unit_test(the_nth_allocation_fails_on_demand),
        cmocka_unit_test(philox_gives_the_published_answers),
        cmocka_unit_test(permutations_are_bijections),
        cmocka_unit_test(permutations_are_uniform),
        cmocka_unit_test(normal_numbers_are_normal),
        cmocka_unit_test(digests_are_sha256),
        cmocka_unit_test(a_tensor_is_hashed_in_chunks),
        cmocka_unit_test(sixteen_bit_floats_round_trip),
        cmocka_unit_test(rounding_is_to_nearest_even),
        cmocka_unit_test(numbers_are_read_whole_or_not_at_all),
        cmocka_unit_test(slips_find_the_word_that_was_meant),
        cmocka_unit_test(what_is_not_utf8_is_replaced),
        cmocka_unit_test(text_has_a_maximum),
        cmocka_unit_test(files_are_replaced_whole),
        cmocka_unit_test(short_writes_and_signals_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
