/* Runs: cmocka */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/arena.h"
#include "core/gguf.h"
#include "core/safetensors.h"
#include "tests/gguf_case.h"

static char root[] = "test_gguf.XXXXXX";

static const char *put_file(const pawl_text *f, size_t bytes)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/case.gguf", root);
    assert_int_equal(pawl_text_status(f), PAWL_OK);
    assert_int_equal(pawl_file_replace(path, f->data, bytes), PAWL_OK);
    return path;
}

static void refused(pawl_text *f, const char *because)
{
    pawl_gguf *g;
    assert_int_equal(pawl_gguf_open(put_file(f, f->bytes), &g), PAWL_EDATA);
    const char *what = pawl_last_error()->what;
    if (!strstr(what, because) || !strstr(what, "case.gguf"))
        fail_msg("expected an error about \"%s\", found: %s", because, what);
    pawl_text_close(f);
}

static pawl_gguf *opened(pawl_text *f)
{
    pawl_gguf *g;
    if (pawl_gguf_open(put_file(f, f->bytes), &g) != PAWL_OK) fail_msg("%s", pawl_last_error()->what);
    pawl_text_close(f);
    return g;
}

/* --- blocks ------------------------------------------------------------------------------------------------- */

/* Bit by bit what the gguf package of the ggml project makes of random blocks. */
static void blocks_are_the_reference_s(void **state)
{
    char path[1024];
    pawl_safetensors *s;
    int seen = 0;
    (void)state;
    snprintf(path, sizeof path, "%s/tests/fixtures/gguf/blocks.safetensors", getenv("PAWL_SOURCE"));
    assert_int_equal(pawl_safetensors_open(path, &s), PAWL_OK);
    for (int i = 0; i < pawl_safetensors_count(s); i++) {
        const pawl_named *raw = pawl_safetensors_at(s, i);
        char name[PAWL_NAME_MAX];
        const size_t n = strlen(raw->name);
        if (strcmp(raw->name + n - 4, ".raw") != 0) continue;
        snprintf(name, sizeof name, "%.*s", (int)n - 4, raw->name);
        pawl_gguf_tensor t = {.type = pawl_gguf_type_named(name), .data = raw->tensor.data};
        assert_non_null(t.type);
        assert_int_equal(raw->tensor.dim[1], t.type->bytes);
        snprintf(name + n - 4, sizeof name - n + 4, ".f32");
        const pawl_named *numbers = pawl_safetensors_find(s, name);
        t.count = raw->tensor.dim[0] * t.type->block;
        assert_int_equal(pawl_tensor_count(numbers->tensor), t.count);
        float *out = malloc((size_t)t.count * sizeof *out);
        assert_non_null(out);
        pawl_gguf_floats(&t, 0, t.count / 2 / t.type->block * t.type->block, out);
        const int64_t half = t.count / 2 / t.type->block * t.type->block;
        pawl_gguf_floats(&t, half, t.count - half, out + half);
        if (memcmp(out, numbers->tensor.data, (size_t)t.count * sizeof *out) != 0) fail_msg("%s differs", name);
        free(out);
        seen++;
    }
    assert_int_equal(seen, 12);
    pawl_safetensors_close(s);
}

/* What the fixture leaves out: F32 as it stands, and Q8_K, a float and 256 bytes. */
static void plain_blocks_by_hand(void **state)
{
    uint8_t q8[292] = {0};
    const float d = 0.37f, numbers[2] = {-1.5f, 3e-40f};
    float out[256];
    (void)state;
    memcpy(q8, &d, sizeof d);
    for (int i = 0; i < 256; i++) q8[4 + i] = (uint8_t)i;
    pawl_gguf_tensor t = {.type = pawl_gguf_type_named("Q8_K"), .data = q8, .count = 256};
    pawl_gguf_floats(&t, 0, 256, out);
    for (int i = 0; i < 256; i++) assert_true(out[i] == d * (float)(i < 128 ? i : i - 256));
    t = (pawl_gguf_tensor){.type = pawl_gguf_type_named("F32"), .data = (const uint8_t *)numbers, .count = 2};
    pawl_gguf_floats(&t, 0, 2, out);
    assert_memory_equal(out, numbers, sizeof numbers);
    assert_null(pawl_gguf_type_named("IQ4_NL"));
    assert_null(pawl_gguf_type_numbered(4));
}

/* --- a whole file ------------------------------------------------------------------------------------------- */

static void a_small_file(pawl_text *f)
{
    g_head(f, 2, 10);
    g_text(f, "general.architecture", "llama");
    g_u32(f, "a.count", 7);
    g_f32(f, "a.real", 0.5f);
    g_flag(f, "a.flag", 1);
    g_key(f, "a.negative", G_I32);
    g_word(f, (uint32_t)-3, 4);
    g_texts(f, "a.texts", (const char *const[]){"one", "", "three"}, 3);
    g_list(f, "a.equal", G_U32, 2);
    g_word(f, 5, 4);
    g_word(f, 5, 4);
    g_list(f, "a.differ", G_U32, 2);
    g_word(f, 5, 4);
    g_word(f, 6, 4);
    g_list(f, "a.none", G_STRING, 0);
    g_u32(f, "general.alignment", 64);
    g_tensor(f, "w", 2, (const uint64_t[]){3, 2}, 0, 64);
    g_tensor(f, "v", 1, (const uint64_t[]){4}, 0, 0);
    g_pad(f, 64);
    for (int i = 0; i < 4; i++) g_word(f, 0x3f800000u, 4);
    g_pad(f, 64);
    for (int i = 0; i < 6; i++) g_word(f, 0x40000000u + ((uint64_t)i << 16), 4);
}

static void keys_and_tensors_are_found(void **state)
{
    pawl_text f = {0};
    int64_t n;
    double x;
    int flag;
    pawl_gguf_text t, *texts;
    float out[6];
    (void)state;
    a_small_file(&f);
    pawl_gguf *g = opened(&f);
    assert_int_equal(pawl_gguf_i64(g, "a.count", 0, 7, &n), PAWL_OK);
    assert_int_equal(n, 7);
    assert_int_equal(pawl_gguf_i64(g, "a.negative", -5, 0, &n), PAWL_OK);
    assert_int_equal(n, -3);
    assert_int_equal(pawl_gguf_i64(g, "a.equal", 0, 9, &n), PAWL_OK);
    assert_int_equal(n, 5);
    assert_int_equal(pawl_gguf_i64_or(g, "a.absent", 0, 9, 4, &n), PAWL_OK);
    assert_int_equal(n, 4);
    assert_int_equal(pawl_gguf_f64(g, "a.real", &x), PAWL_OK);
    assert_true(x == 0.5);
    assert_int_equal(pawl_gguf_flag_or(g, "a.flag", 0, &flag), PAWL_OK);
    assert_int_equal(flag, 1);
    assert_int_equal(pawl_gguf_string(g, "general.architecture", &t), PAWL_OK);
    assert_int_equal(t.bytes, 5);
    assert_true(pawl_gguf_is(g, "general.architecture", "llama"));
    assert_false(pawl_gguf_is(g, "general.architecture", "llam"));
    assert_int_equal(pawl_gguf_strings(g, "a.texts", &texts, &n), PAWL_OK);
    assert_int_equal(n, 3);
    assert_int_equal(texts[1].bytes, 0);
    assert_memory_equal(texts[2].data, "three", 5);
    pawl_free(texts);
    assert_int_equal(pawl_gguf_strings(g, "a.none", &texts, &n), PAWL_OK);
    assert_true(n == 0 && texts == NULL);
    const pawl_gguf_tensor *w = pawl_gguf_find(g, "w");
    assert_non_null(w);
    assert_true(w->ndim == 2 && w->dim[0] == 2 && w->dim[1] == 3 && w->count == 6);
    pawl_gguf_floats(w, 0, 6, out);
    assert_true(out[0] == 2.0f && out[1] > out[0]);
    assert_null(pawl_gguf_find(g, "x"));
    pawl_gguf_close(g);
}

static void wrong_values_are_named(void **state)
{
    static const struct {
        const char *key, *because;
    } cases[] = {{"a.count", "expected a whole number from 0 to 6, found 7"},
                 {"a.real", "found 0.5"},
                 {"a.differ", "whose elements differ"},
                 {"a.texts", "found a list of 3 string"},
                 {"a.none", "found a list of 0 string"},
                 {"a.absent", "key a.absent is missing"},
                 {"general.architecture", "found \"llama\""}};
    pawl_text f = {0};
    int64_t n;
    pawl_gguf_text t, *texts;
    (void)state;
    a_small_file(&f);
    pawl_gguf *g = opened(&f);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(pawl_gguf_i64(g, cases[i].key, 0, 6, &n), PAWL_EDATA);
        if (!strstr(pawl_last_error()->what, cases[i].because)) fail_msg("%s", pawl_last_error()->what);
    }
    assert_int_equal(pawl_gguf_string(g, "a.count", &t), PAWL_EDATA);
    assert_int_equal(pawl_gguf_strings(g, "a.equal", &texts, &n), PAWL_EDATA);
    assert_int_equal(pawl_gguf_strings(g, "a.count", &texts, &n), PAWL_EDATA);
    pawl_gguf_close(g);
}

/* --- hostile files ------------------------------------------------------------------------------------------ */

/* Cut anywhere before its last byte, the file is refused. */
static void every_truncation_is_found(void **state)
{
    pawl_text f = {0};
    pawl_gguf *g;
    (void)state;
    a_small_file(&f);
    for (size_t bytes = 0; bytes < f.bytes; bytes++) {
        assert_int_equal(pawl_gguf_open(put_file(&f, bytes), &g), PAWL_EDATA);
        assert_non_null(strstr(pawl_last_error()->what, "case.gguf"));
    }
    pawl_text_close(&f);
}

/* Any one byte changed: refused or read, never a crash (the sanitizers watch). */
static void no_changed_byte_breaks_the_reader(void **state)
{
    pawl_text f = {0};
    (void)state;
    a_small_file(&f);
    for (size_t i = 0; i < f.bytes; i++) {
        for (int k = 0; k < 3; k++) {
            static const uint8_t change[] = {0xff, 0x80, 0x01};
            pawl_gguf *g;
            f.data[i] = (char)(f.data[i] ^ change[k]);
            if (pawl_gguf_open(put_file(&f, f.bytes), &g) == PAWL_OK) {
                for (int t = 0; t < pawl_gguf_count(g); t++) {
                    float *out = malloc((size_t)pawl_gguf_at(g, t)->count * sizeof *out + 1);
                    pawl_gguf_floats(pawl_gguf_at(g, t), 0, pawl_gguf_at(g, t)->count, out);
                    free(out);
                }
                for (int p = 0; p < pawl_gguf_keys(g); p++) {
                    pawl_text shown = {0};
                    pawl_gguf_show(g, pawl_gguf_key(g, p), &shown);
                    pawl_text_close(&shown);
                }
                pawl_gguf_close(g);
            }
            f.data[i] = (char)(f.data[i] ^ change[k]);
        }
    }
    pawl_text_close(&f);
}

static void wrong_heads_are_refused(void **state)
{
    pawl_text f = {0};
    (void)state;
    pawl_text_add_bytes(&f, "PK\3\4 something else", 20);
    refused(&f, "letters GGUF");
    pawl_text_add_bytes(&f, "GGUF\0\0\0\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24);
    refused(&f, "big-endian");
    pawl_text_add_bytes(&f, "GGUF\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24);
    refused(&f, "version 1");
    pawl_text_add_bytes(&f, "GGUF\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24);
    refused(&f, "version 4");
    g_head(&f, (uint64_t)1 << 63, 0);
    refused(&f, "9223372036854775808 tensors");
    g_head(&f, 0, (uint64_t)1 << 63);
    refused(&f, "9223372036854775808 keys");
    g_head(&f, 1 << 19, 0);
    refused(&f, "is it truncated?");
}

static void wrong_keys_are_refused(void **state)
{
    pawl_text f = {0};
    (void)state;
    g_head(&f, 0, 1);
    g_word(&f, (uint64_t)1 << 63, 8);
    pawl_text_add(&f, "a.long.name");
    refused(&f, "name of 9223372036854775808 bytes");
    g_head(&f, 0, 1);
    g_key(&f, "a.text", G_STRING);
    g_word(&f, UINT64_MAX, 8);
    refused(&f, "key a.text needs 18446744073709551615 bytes");
    g_head(&f, 0, 1);
    g_key(&f, "a.kind", 13);
    g_word(&f, 0, 8);
    refused(&f, "key a.kind has a value of type 13");
    g_head(&f, 0, 1);
    g_list(&f, "a.list", G_LIST, 2);
    g_word(&f, 0, 8);
    refused(&f, "key a.list is a list of lists");
    g_head(&f, 0, 1);
    g_list(&f, "a.list", G_U32, (uint64_t)1 << 63);
    refused(&f, "key a.list states a list of 9223372036854775808 elements");
    g_head(&f, 0, 1);
    g_list(&f, "a.list", G_STRING, 1000000);
    refused(&f, "key a.list needs 8 bytes");
    g_head(&f, 0, 2);
    g_u32(&f, "a.twice", 1);
    g_u32(&f, "a.twice", 1);
    refused(&f, "a.twice is there twice");
    g_head(&f, 0, 1);
    g_u32(&f, "a\nb", 1);
    refused(&f, "control character 0x0a");
}

static void tensors_of(pawl_text *f, uint32_t alignment, const uint64_t *a, uint32_t type, uint64_t a_at, uint64_t b_at)
{
    g_head(f, 2, 1);
    g_u32(f, "general.alignment", alignment);
    g_tensor(f, "first", 2, a, type, a_at);
    g_tensor(f, "second", 1, (const uint64_t[]){8}, 0, b_at);
    g_pad(f, 32);
    for (int i = 0; i < 32; i++) g_word(f, 0, 8);
}

static void wrong_tensors_are_refused(void **state)
{
    static const uint64_t square[] = {4, 4}, huge[] = {(uint64_t)1 << 62, 4}, empty[] = {4, 0}, odd[] = {33, 2};
    pawl_text f = {0};
    (void)state;
    tensors_of(&f, 32, square, 0, 0, 32);
    refused(&f, "tensors first and second overlap");
    tensors_of(&f, 32, square, 0, 0, 256);
    refused(&f, "tensor second lies at bytes 256 to 288");
    tensors_of(&f, 32, square, 0, UINT64_MAX - 31, 0);
    refused(&f, "tensor first lies at bytes");
    tensors_of(&f, 32, square, 0, 8, 128);
    refused(&f, "no multiple of the alignment 32");
    tensors_of(&f, 24, square, 0, 0, 96);
    refused(&f, "no power of two");
    tensors_of(&f, 0, square, 0, 0, 96);
    refused(&f, "general.alignment");
    tensors_of(&f, 32, huge, 0, 0, 128);
    refused(&f, "tensor first: its dimension 4611686018427387904 is 0, or its shape overflows");
    tensors_of(&f, 32, empty, 0, 0, 128);
    refused(&f, "tensor first: its dimension 0 is 0");
    tensors_of(&f, 32, odd, 2, 0, 128);
    refused(&f, "rows of 33 numbers, type Q4_0 needs a multiple of 32");
    tensors_of(&f, 32, square, 20, 0, 128);
    refused(&f, "tensor first has type IQ4_NL (number 20), which is not read here; read are F32 F16 Q4_0");
    tensors_of(&f, 32, square, 4000000000u, 0, 128);
    refused(&f, "type unknown (number 4000000000)");
    g_head(&f, 1, 0);
    g_string(&f, "many");
    g_word(&f, UINT32_MAX, 4);
    g_word(&f, 0, 8);
    g_word(&f, 0, 8);
    refused(&f, "tensor many has 4294967295 dimensions");
    g_head(&f, 2, 0);
    g_tensor(&f, "same", 1, square, 0, 0);
    g_tensor(&f, "same", 1, square, 0, 32);
    g_pad(&f, 32);
    for (int i = 0; i < 8; i++) g_word(&f, 0, 8);
    refused(&f, "tensor same is there twice");
}

static int make_root(void **state)
{
    (void)state;
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    return pawl_dir_remove(root) == PAWL_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_the_reference_s), cmocka_unit_test(plain_blocks_by_hand),
        cmocka_unit_test(keys_and_tensors_are_found), cmocka_unit_test(wrong_values_are_named),
        cmocka_unit_test(every_truncation_is_found),  cmocka_unit_test(no_changed_byte_breaks_the_reader),
        cmocka_unit_test(wrong_heads_are_refused),    cmocka_unit_test(wrong_keys_are_refused),
        cmocka_unit_test(wrong_tensors_are_refused),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
