/* Runs: cmocka */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/arena.h"
#include "core/file.h"
#include "core/json.h"
#include "core/safetensors.h"

static char root[] = "test_safetensors.XXXXXX";

static const char *in_root(const char *name)
{
    static char path[4][256];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", root, name);
    return path[turn];
}

static void put_file(const char *name, const void *data, size_t bytes)
{
    assert_int_equal(pawl_file_replace(in_root(name), data, bytes), PAWL_OK);
}

/* A file of that header (its length computed) and that many bytes of data. */
static size_t compose(char *out, const char *header, size_t data_bytes)
{
    const uint64_t n = strlen(header);
    for (int i = 0; i < 8; i++) out[i] = (char)(n >> 8 * i);
    memcpy(out + 8, header, n);
    memset(out + 8 + n, 7, data_bytes);
    return 8 + n + data_bytes;
}

static void put_safetensors(const char *name, const char *header, size_t data_bytes)
{
    char bytes[4096];
    put_file(name, bytes, compose(bytes, header, data_bytes));
}

static pawl_status open_and_close(const char *path)
{
    pawl_safetensors *s;
    const pawl_status status = pawl_safetensors_open(path, &s);
    if (status == PAWL_OK) pawl_safetensors_close(s);
    return status;
}

static void refused(const char *path, const char *because)
{
    assert_int_equal(open_and_close(path), PAWL_EDATA);
    if (!strstr(pawl_last_error()->what, because))
        fail_msg("expected an error about \"%s\", found: %s", because, pawl_last_error()->what);
}

/* --- reading ----------------------------------------------------------------------------------------------- */

/* Byte for byte what the format's description says: 8 bytes of length, JSON, data. */
static void a_file_written_by_hand_is_read(void **unused)
{
    (void)unused;
    static const char header[] = "{\"b\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[8,16]},"
                                 "\"__metadata__\":{\"format\":\"pt\"},"
                                 "\"a\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]},"
                                 "\"none\":{\"dtype\":\"BF16\",\"shape\":[0,3],\"data_offsets\":[16,16]}}";
    char bytes[512];
    const size_t n = compose(bytes, header, 16);
    const float a[2] = {1.5f, -2.0f};
    const int64_t b = -7;
    memcpy(bytes + n - 16, a, 8);
    memcpy(bytes + n - 8, &b, 8);
    put_file("hand.safetensors", bytes, n);

    pawl_safetensors *s;
    assert_int_equal(pawl_safetensors_open(in_root("hand.safetensors"), &s), PAWL_OK);
    assert_int_equal(pawl_safetensors_count(s), 3);
    assert_string_equal(pawl_safetensors_at(s, 0)->name, "a"); /* byte order of names, not file order */
    assert_string_equal(pawl_safetensors_at(s, 2)->name, "none");
    const pawl_tensor ta = pawl_safetensors_find(s, "a")->tensor, tb = pawl_safetensors_find(s, "b")->tensor;
    assert_int_equal(ta.ndim, 2);
    assert_int_equal(ta.dim[0], 2);
    assert_int_equal(ta.dim[1], 1);
    assert_memory_equal(ta.data, a, 8);
    assert_int_equal(tb.ndim, 0);
    assert_memory_equal(tb.data, &b, 8);
    assert_int_equal(pawl_tensor_count(pawl_safetensors_find(s, "none")->tensor), 0);
    assert_null(pawl_safetensors_find(s, "c"));
    assert_int_equal(pawl_safetensors_files(s), 1);
    assert_string_equal(pawl_safetensors_file(s, 0), in_root("hand.safetensors"));
    pawl_safetensors_close(s);
}

#define ONE(body) "{\"a\":{" body "}}"

static const struct hostile {
    const char *header;
    size_t data;
    const char *because;
} hostile[] = {
    {"[]", 0, "does not begin with '{'"},
    {"  {}", 0, "does not begin with '{'"},
    {"{]", 0, "not valid JSON"},
    {"{\"a\":", 0, "not valid JSON"},
    {"{\"a\":1}", 0, "not a JSON object"},
    {"{\"a\":{},\"a\":{}}", 0, "not valid JSON: duplicate"},
    {"{\"\":{}}", 0, "expected 1 to 191"},
    {"{\"x\\n\":{}}", 0, "control character"},
    {"{\"x\\u0000y\":{}}", 0, "not valid JSON"},
    {ONE("\"shape\":[1],\"data_offsets\":[0,4]"), 4, "dtype"},
    {ONE("\"dtype\":4,\"shape\":[1],\"data_offsets\":[0,4]"), 4, "dtype"},
    {ONE("\"dtype\":\"F8_E4M3\",\"shape\":[1],\"data_offsets\":[0,1]"), 1, "dtype F8_E4M3, which is not read here"},
    {ONE("\"dtype\":\"F32\",\"data_offsets\":[0,4]"), 4, "shape"},
    {ONE("\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]"), 4, "whole number"},
    {ONE("\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]"), 4, "whole number"},
    {ONE("\"dtype\":\"F32\",\"shape\":[\"1\"],\"data_offsets\":[0,4]"), 4, "whole number"},
    {ONE("\"dtype\":\"F32\",\"shape\":[1,1,1,1,1],\"data_offsets\":[0,4]"), 4, "5 dimensions"},
    {ONE("\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]"), 0, "overflows"},
    {ONE("\"dtype\":\"F32\",\"shape\":[2147483648,2147483648],\"data_offsets\":[0,0]"), 0, "overflows"},
    {ONE("\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,0]"), 0, "not valid JSON: too big"},
    {ONE("\"dtype\":\"F32\",\"shape\":[1]"), 4, "data_offsets"},
    {ONE("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]"), 4, "[first, end]"},
    {ONE("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]"), 4, "[first, end]"},
    {ONE("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4.0]"), 4, "[first, end]"},
    {ONE("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]"), 4, "outside the file"},
    {ONE("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]"), 4, "outside the file"},
    {ONE("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,9223372036854775807]"), 4, "outside the file"},
    {ONE("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]"), 4, "need 8 bytes, its data_offsets span 4"},
    {ONE("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]"), 8, "there is a gap"},
    {ONE("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]"), 8, "end at byte 4 of the data, the file has 8"},
    {"{}", 8, "belong to no tensor"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_"
     "offsets\":[4,12]}}",
     12, "overlap"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_"
     "offsets\":[0,4]}}",
     4, "overlap"},
};

static void hostile_headers_are_refused_with_their_cause(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        put_safetensors("bad.safetensors", hostile[i].header, hostile[i].data);
        refused(in_root("bad.safetensors"), hostile[i].because);
    }
}

static void stated_header_lengths_are_not_believed(void **unused)
{
    (void)unused;
    static const struct {
        uint64_t length;
        const char *because;
    } cases[] = {
        {(uint64_t)1 << 63, "the format allows"},
        {UINT64_MAX, "the format allows"},
        {100000001, "the format allows"},
        {100000000, "the file ends after"},
        {9, "the file ends after"},
        {0, "does not begin"},
        {1, "does not begin"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char bytes[16];
        compose(bytes, "{}      ", 0);
        for (int k = 0; k < 8; k++) bytes[k] = (char)(cases[i].length >> 8 * k);
        put_file("length.safetensors", bytes, sizeof bytes);
        refused(in_root("length.safetensors"), cases[i].because);
    }
}

static const char small[] = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]},"
                            "\"b\":{\"dtype\":\"BF16\",\"shape\":[3],\"data_offsets\":[16,22]}}";

static void a_file_cut_at_any_byte_is_refused(void **unused)
{
    (void)unused;
    char bytes[512];
    const size_t whole = compose(bytes, small, 22);
    for (size_t n = 0; n < whole; n++) {
        put_file("cut.safetensors", bytes, n);
        assert_int_equal(open_and_close(in_root("cut.safetensors")), PAWL_EDATA);
    }
    put_file("cut.safetensors", bytes, whole);
    assert_int_equal(open_and_close(in_root("cut.safetensors")), PAWL_OK);
}

/* Whatever a changed byte makes of the header, the answer is a file or an error; sanitizers see the rest. */
static void a_changed_byte_never_reads_outside(void **unused)
{
    (void)unused;
    char bytes[512];
    const size_t whole = compose(bytes, small, 22);
    static const unsigned char flips[] = {1, 2, 0x10, 0x80, 0xff};
    for (size_t i = 0; i < whole - 22; i++)
        for (size_t k = 0; k < sizeof flips; k++) {
            bytes[i] ^= (char)flips[k];
            put_file("flip.safetensors", bytes, whole);
            pawl_safetensors *s;
            const pawl_status status = pawl_safetensors_open(in_root("flip.safetensors"), &s);
            bytes[i] ^= (char)flips[k];
            if (status != PAWL_OK) {
                assert_int_equal(status, PAWL_EDATA);
                continue;
            }
            unsigned sum = 0;
            for (int t = 0; t < pawl_safetensors_count(s); t++) {
                const pawl_tensor x = pawl_safetensors_at(s, t)->tensor;
                for (size_t j = 0; j < pawl_tensor_bytes(x); j++) sum += ((const unsigned char *)x.data)[j];
            }
            assert_int_equal(sum, 22 * 7);
            pawl_safetensors_close(s);
        }
}

/* --- shards ------------------------------------------------------------------------------------------------ */

static const char shard_a[] = "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}";
static const char shard_b[] = "{\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}";

static void put_index(const char *text)
{
    put_file("model.safetensors.index.json", text, strlen(text));
}

static void an_index_may_not_lie_or_escape(void **unused)
{
    (void)unused;
    static const struct {
        const char *index, *because;
    } cases[] = {
        {"{\"weight_map\":{\"a\":\"../one.safetensors\"}}", "plain name of a file"},
        {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "plain name of a file"},
        {"{\"weight_map\":{\"a\":\"sub/one.safetensors\"}}", "plain name of a file"},
        {"{\"weight_map\":{\"a\":\"..\"}}", "plain name of a file"},
        {"{\"weight_map\":{\"a\":\"\"}}", "plain name of a file"},
        {"{\"weight_map\":{\"a\":7}}", "not the name of a file"},
        {"{\"weight_map\":[]}", "weight_map"},
        {"{}", "weight_map"},
        {"[]", "weight_map"},
        {"{\"weight_map\":{\"a\":\"absent.safetensors\"}}", "absent.safetensors, which is not there"},
        {"{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\",\"c\":\"two.safetensors\"}}",
         "c is not in two"},
        {"{\"weight_map\":{\"a\":\"two.safetensors\",\"b\":\"one.safetensors\"}}", "weight_map says two"},
        {"{\"weight_map\":{\"a\":\"one.safetensors\",\"c\":\"two.safetensors\"}}", "c is not in two.safetensors"},
        {"{\"weight_map\":{\"b\":\"two.safetensors\",\"a\":\"again.safetensors\",\"x\":\"one.safetensors\"}}",
         "tensor a is in"},
    };
    put_safetensors("one.safetensors", shard_a, 4);
    put_safetensors("two.safetensors", shard_b, 4);
    put_safetensors("again.safetensors", shard_a, 4);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put_index(cases[i].index);
        refused(root, cases[i].because);
    }
    put_safetensors("two.safetensors", small, 22); /* holds another a */
    put_index("{\"weight_map\":{\"b\":\"two.safetensors\"}}");
    refused(root, "tensor a of two.safetensors is missing in weight_map");
    put_safetensors("two.safetensors", shard_b, 4);
    put_index("{\"weight_map\":{\"b\":\"two.safetensors\",\"a\":\"one.safetensors\"}}");
    assert_int_equal(open_and_close(root), PAWL_OK);
    assert_int_equal(pawl_file_remove(in_root("model.safetensors.index.json")), PAWL_OK);
    refused(root, "found neither");
    assert_int_equal(pawl_dir_make(in_root("model.safetensors")), PAWL_OK);
    refused(root, "expected a file, found a folder");
    assert_int_equal(pawl_dir_remove(in_root("model.safetensors")), PAWL_OK);
}

/* --- writing ----------------------------------------------------------------------------------------------- */

static float numbers[64];

static pawl_state state_of(const int64_t *sizes, int count)
{
    static const char *const names[] = {"z.first", "m.second", "a.third", "k.fourth"};
    pawl_state s = {.items = NULL};
    float *at = numbers;
    for (int i = 0; i < 64; i++) numbers[i] = (float)i / 7 - 3;
    for (int i = 0; i < count; at += sizes[i++]) {
        const pawl_tensor t = {.data = at, .dtype = PAWL_F32, .ndim = 2, .dim = {1, sizes[i]}};
        assert_int_equal(pawl_state_add(&s, "", names[i], t), PAWL_OK);
    }
    return s;
}

static void check_equal(const char *path, const pawl_state *expected, pawl_dtype dtype)
{
    pawl_safetensors *s;
    assert_int_equal(pawl_safetensors_open(path, &s), PAWL_OK);
    assert_int_equal(pawl_safetensors_count(s), expected->count);
    for (int i = 0; i < expected->count; i++) {
        const pawl_tensor want = expected->items[i].tensor,
                          got = pawl_safetensors_find(s, expected->items[i].name)->tensor;
        char converted[64 * sizeof(float)];
        assert_int_equal(got.dtype, dtype);
        assert_int_equal(got.dim[1], want.dim[1]);
        pawl_convert(want.data, PAWL_F32, converted, dtype, want.dim[1]);
        assert_memory_equal(got.data, converted, pawl_tensor_bytes(got));
    }
    pawl_safetensors_close(s);
}

static void what_is_written_is_read_again(void **unused)
{
    (void)unused;
    static const pawl_dtype dtypes[] = {PAWL_F32, PAWL_BF16, PAWL_F16, PAWL_DTYPE_COUNT};
    pawl_state s = state_of((const int64_t[]){5, 3, 20, 1}, 4);
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++) {
        assert_int_equal(pawl_safetensors_write(in_root("w.safetensors"), &s, dtypes[i]), PAWL_OK);
        check_equal(in_root("w.safetensors"), &s, dtypes[i] == PAWL_DTYPE_COUNT ? PAWL_F32 : dtypes[i]);
    }
    pawl_state_close(&s);
}

/* Readers of the other side map the file and cast: data begins at a multiple of 8, and wide types come first. */
static void tensors_are_aligned_to_their_type(void **unused)
{
    (void)unused;
    uint8_t bytes[3] = {1, 2, 3};
    int64_t words[2] = {4, 5};
    float floats[3] = {6, 7, 8};
    pawl_state s = {.items = NULL};
    assert_int_equal(pawl_state_add(&s, "", "bytes", (pawl_tensor){bytes, PAWL_U8, 1, {3}}), PAWL_OK);
    assert_int_equal(pawl_state_add(&s, "", "floats", (pawl_tensor){floats, PAWL_F32, 1, {3}}), PAWL_OK);
    assert_int_equal(pawl_state_add(&s, "", "words", (pawl_tensor){words, PAWL_I64, 1, {2}}), PAWL_OK);
    assert_int_equal(pawl_safetensors_write(in_root("mixed.safetensors"), &s, PAWL_BF16), PAWL_OK);
    pawl_safetensors *f;
    assert_int_equal(pawl_safetensors_open(in_root("mixed.safetensors"), &f), PAWL_OK);
    for (int i = 0; i < 3; i++) {
        const pawl_tensor t = pawl_safetensors_at(f, i)->tensor;
        assert_int_equal((uintptr_t)t.data % pawl_dtype_bytes(t.dtype), 0);
    }
    assert_int_equal(pawl_safetensors_find(f, "floats")->tensor.dtype, PAWL_BF16);
    assert_int_equal(pawl_safetensors_find(f, "words")->tensor.dtype, PAWL_I64); /* only float tensors are converted */
    assert_memory_equal(pawl_safetensors_find(f, "words")->tensor.data, words, sizeof words);
    assert_memory_equal(pawl_safetensors_find(f, "bytes")->tensor.data, bytes, sizeof bytes);
    pawl_safetensors_close(f);
    pawl_state_close(&s);
}

static void a_folder_is_written_in_shards_or_in_one_file(void **unused)
{
    (void)unused;
    const char *dir = in_root("shards");
    char kept[256];
    snprintf(kept, sizeof kept, "%s", dir);
    pawl_state s = state_of((const int64_t[]){5, 3, 20, 1}, 4); /* 20, 12, 80, 4 bytes */
    assert_int_equal(pawl_dir_make(kept), PAWL_OK);
    assert_int_equal(pawl_safetensors_write_dir(kept, &s, PAWL_F32, 40), PAWL_OK); /* {20, 12} {80} {4} */
    assert_true(pawl_path_exists(in_root("shards/model-00001-of-00003.safetensors")));
    assert_true(pawl_path_exists(in_root("shards/model-00003-of-00003.safetensors")));
    assert_false(pawl_path_exists(in_root("shards/model.safetensors")));
    check_equal(kept, &s, PAWL_F32);
    json_t *index;
    int64_t total;
    const char *file;
    assert_int_equal(pawl_json_read(in_root("shards/model.safetensors.index.json"), 1 << 20, &index), PAWL_OK);
    assert_int_equal(pawl_json_i64(json_object_get(index, "metadata"), "total_size", "index", 0, 1 << 20, &total),
                     PAWL_OK);
    assert_int_equal(total, 116);
    assert_int_equal(pawl_json_text(json_object_get(index, "weight_map"), "a.third", "index", &file), PAWL_OK);
    assert_string_equal(file, "model-00002-of-00003.safetensors");
    json_decref(index);

    assert_int_equal(pawl_safetensors_write_dir(kept, &s, PAWL_F32, 1000), PAWL_OK);
    assert_false(pawl_path_exists(in_root("shards/model.safetensors.index.json")));
    check_equal(kept, &s, PAWL_F32);
    assert_int_equal(pawl_safetensors_write_dir(kept, &s, PAWL_BF16, 40),
                     PAWL_OK); /* the single file gives way again */
    assert_false(pawl_path_exists(in_root("shards/model.safetensors")));
    check_equal(kept, &s, PAWL_BF16);
    pawl_state_close(&s);
}

static int writes_left;

static ssize_t failing_pwrite(int fd, const void *data, size_t bytes, off_t at)
{
    if (writes_left-- > 0) return pawl_fs_posix.pwrite(fd, data, bytes, at);
    errno = ENOSPC;
    return -1;
}

static void a_full_disk_leaves_the_old_file(void **unused)
{
    (void)unused;
    pawl_fs full = pawl_fs_posix;
    full.pwrite = failing_pwrite;
    pawl_state s = state_of((const int64_t[]){5, 3}, 2), other = state_of((const int64_t[]){9}, 1);
    assert_int_equal(pawl_safetensors_write(in_root("disk.safetensors"), &s, PAWL_F32), PAWL_OK);
    for (int n = 0; n < 3; n++) { /* length, header, data */
        writes_left = n;
        pawl_fs_in_use = &full;
        const pawl_status status = pawl_safetensors_write(in_root("disk.safetensors"), &other, PAWL_F32);
        pawl_fs_in_use = &pawl_fs_posix;
        assert_int_equal(status, PAWL_EIO);
        check_equal(in_root("disk.safetensors"), &s, PAWL_F32);
    }
    char **names;
    int count;
    assert_int_equal(pawl_dir_list(root, &names, &count), PAWL_OK);
    for (int i = 0; i < count; i++) assert_null(strstr(names[i], ".part"));
    pawl_free(names);
    pawl_state_close(&s);
    pawl_state_close(&other);
}

static void memory_that_runs_out_is_an_error(void **unused)
{
    (void)unused;
    put_safetensors("one.safetensors", shard_a, 4);
    put_safetensors("two.safetensors", shard_b, 4);
    put_index("{\"weight_map\":{\"b\":\"two.safetensors\",\"a\":\"one.safetensors\"}}");
    pawl_status status = PAWL_EMEM;
    int n = 0;
    while (status == PAWL_EMEM && n < 100) {
        pawl_alloc_fail_after(++n);
        status = open_and_close(root);
        pawl_alloc_fail_after(0);
    }
    assert_int_equal(status, PAWL_OK);
    assert_true(n > 4);
    assert_int_equal(pawl_file_remove(in_root("model.safetensors.index.json")), PAWL_OK);
}

static int make_root(void **unused)
{
    (void)unused;
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **unused)
{
    (void)unused;
    return pawl_dir_remove(root) == PAWL_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_written_by_hand_is_read),
        cmocka_unit_test(hostile_headers_are_refused_with_their_cause),
        cmocka_unit_test(stated_header_lengths_are_not_believed),
        cmocka_unit_test(a_file_cut_at_any_byte_is_refused),
        cmocka_unit_test(a_changed_byte_never_reads_outside),
        cmocka_unit_test(an_index_may_not_lie_or_escape),
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(tensors_are_aligned_to_their_type),
        cmocka_unit_test(a_folder_is_written_in_shards_or_in_one_file),
        cmocka_unit_test(a_full_disk_leaves_the_old_file),
        cmocka_unit_test(memory_that_runs_out_is_an_error),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
