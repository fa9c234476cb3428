/* Runs: cmocka
 * What was damaged, forged, mixed or cut is found, named and refused; what is whole is found and kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/log.h"
#include "tests/checkpoint_sample.h"

enum { SMALL = 4 }; /* the first of the rows that are shorter than a chunk */

static char dir[64]; /* a new output_dir for every test */
static pawl_comm *alone;

static int set_up(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/pawl-damage-XXXXXX");
    return mkdtemp(dir) && pawl_comm_open_alone(&alone) == PAWL_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    pawl_comm_close(alone);
    return pawl_dir_remove(dir) == PAWL_OK ? 0 : -1;
}

static void assert_ok(pawl_status s)
{
    if (s != PAWL_OK) print_error("%s [%s]\n", pawl_last_error()->what, pawl_last_error()->trail);
    assert_int_equal(s, PAWL_OK);
}

/* Saves generation = step for every step of the list (0 ends it). */
static void save_steps(int first_row, int64_t keep, const int *steps, int best)
{
    sample s;
    pawl_saver *saver;
    int published;
    assert_true(sample_open(&s, first_row, SAMPLE_ROWS, 1));
    assert_ok(pawl_saver_open(alone, dir, &s.state, keep, &saver));
    for (; *steps; steps++) {
        sample_fill(&s, *steps);
        assert_ok(sample_save(saver, *steps, *steps == best, &published));
        assert_int_equal(published, 1);
    }
    pawl_saver_close(saver);
    sample_close(&s);
}

/* OK and equal, or the error. */
static pawl_status read_sample(const char *path, int first_row, int generation)
{
    sample s, expected;
    pawl_checkpoint *k;
    PAWL_TRY(pawl_checkpoint_open(path, &k));
    assert_true(sample_open(&s, first_row, SAMPLE_ROWS, 0) &&
                sample_open(&expected, first_row, SAMPLE_ROWS, generation));
    const pawl_status status = pawl_checkpoint_read(k, &s.state);
    if (status == PAWL_OK) assert_true(sample_same(&s, &expected));
    sample_close(&s);
    sample_close(&expected);
    pawl_checkpoint_close(k);
    return status;
}

static int verify(const char *path, char *text, size_t room)
{
    pawl_text findings = {0};
    int count = -1;
    assert_ok(pawl_verify(path, &findings, &count));
    snprintf(text, room, "%s", findings.data ? findings.data : "");
    pawl_text_close(&findings);
    return count;
}

static void flip(const char *path, int64_t at)
{
    char byte;
    const int fd = open(path, O_RDWR);
    assert_true(fd >= 0 && pread(fd, &byte, 1, at) == 1);
    byte ^= 0x10;
    assert_true(pwrite(fd, &byte, 1, at) == 1);
    close(fd);
}

static int64_t size_of(const char *path)
{
    int64_t bytes = -1;
    assert_ok(pawl_file_size(path, &bytes));
    return bytes;
}

/* ---- Damage ---- */

static void every_flip_in_the_tensor_file_is_found(void **state)
{
    char text[4096];
    (void)state;
    save_steps(SMALL, 0, (const int[]){1, 0}, 0);
    const char *file = sample_path(dir, 1, "checkpoint.h5"), *checkpoint = sample_path(dir, 1, NULL);
    for (int64_t at = 0; at < size_of(file); at += at < 2048 ? 97 : 1021) { /* HDF5's own records more closely */
        flip(file, at);
        assert_int_equal(read_sample(checkpoint, SMALL, 1), PAWL_EDATA);
        assert_non_null(strstr(pawl_last_error()->what, "checkpoint.h5"));
        assert_true(verify(checkpoint, text, sizeof text) > 0);
        assert_non_null(strstr(text, "checkpoint.h5"));
        flip(file, at);
    }
    assert_ok(read_sample(checkpoint, SMALL, 1));
    assert_int_equal(verify(checkpoint, text, sizeof text), 0);
}

static void every_flip_in_the_manifest_is_found(void **state)
{
    char text[4096];
    pawl_checkpoint *k;
    (void)state;
    save_steps(SMALL, 0, (const int[]){1, 0}, 0);
    const char *file = sample_path(dir, 1, "manifest.json"), *checkpoint = sample_path(dir, 1, NULL);
    for (int64_t at = 0; at < size_of(file); at++) {
        flip(file, at);
        assert_int_equal(pawl_checkpoint_open(checkpoint, &k), PAWL_EDATA);
        assert_non_null(strstr(pawl_last_error()->what, "manifest.json"));
        if (at % 251 == 0) assert_int_equal(verify(checkpoint, text, sizeof text), 1);
        flip(file, at);
    }
}

static void a_flip_names_tensor_and_chunk(void **state)
{
    char text[4096];
    pawl_checkpoint *k;
    json_t *tensor;
    size_t i;
    int64_t at = 0;
    (void)state;
    save_steps(0, 0, (const int[]){1, 0}, 0);
    assert_ok(pawl_checkpoint_open(dir, &k));
    json_array_foreach(
        json_object_get(pawl_checkpoint_manifest(k), "tensors"), i,
        tensor) if (strcmp(json_string_value(json_object_get(tensor, "name")), "model/model.layers.0.weight") == 0) at =
        json_integer_value(json_object_get(tensor, "offset"));
    pawl_checkpoint_close(k);
    flip(sample_path(dir, 1, "checkpoint.h5"), at + PAWL_CHUNK_BYTES + 12345);
    assert_int_equal(verify(dir, text, sizeof text), 1);
    assert_non_null(
        strstr(text, "tensor model/model.layers.0.weight: chunk 1 (bytes 1048576 to 2097152 of the tensor"));
    assert_int_equal(read_sample(dir, 0, 1), PAWL_EDATA);
    assert_non_null(strstr(pawl_last_error()->what, "tensor model/model.layers.0.weight: chunk 1 "));
}

static void every_truncation_is_found(void **state)
{
    char text[65536];
    (void)state;
    save_steps(SMALL, 0, (const int[]){1, 0}, 0);
    const char *checkpoint = sample_path(dir, 1, NULL),
               *files[] = {sample_path(dir, 1, "checkpoint.h5"), sample_path(dir, 1, "manifest.json")};
    for (int f = 0; f < 2; f++) {
        char *whole;
        size_t bytes;
        assert_ok(pawl_file_read(files[f], 1 << 24, &whole, &bytes));
        for (int cut = 0; cut < 24; cut++) {
            assert_int_equal(truncate(files[f], (off_t)(bytes - 1 - bytes * (size_t)cut / 24)), 0);
            assert_int_equal(read_sample(checkpoint, SMALL, 1), PAWL_EDATA);
            assert_true(verify(checkpoint, text, sizeof text) > 0);
            assert_ok(pawl_file_replace(files[f], whole, bytes));
        }
        assert_ok(pawl_file_replace(files[f], whole, bytes + 1)); /* longer, too */
        assert_int_equal(read_sample(checkpoint, SMALL, 1), PAWL_EDATA);
        assert_ok(pawl_file_replace(files[f], whole, bytes));
        assert_int_equal(verify(checkpoint, text, sizeof text), 0);
        pawl_free(whole);
    }
}

static void swap_files(const char *a, const char *b)
{
    char aside[600];
    snprintf(aside, sizeof aside, "%s.aside", a);
    assert_ok(pawl_file_rename(a, aside));
    assert_ok(pawl_file_rename(b, a));
    assert_ok(pawl_file_rename(aside, b));
}

static void files_of_two_steps_mixed_are_refused(void **state)
{
    static const char *const what[] = {"checkpoint.h5", "manifest.json", NULL}; /* NULL: the folders themselves */
    char text[65536];
    (void)state;
    save_steps(SMALL, 0, (const int[]){1, 2, 0}, 0);
    for (int i = 0; i < 3; i++) {
        char a[512], b[512];
        snprintf(a, sizeof a, "%s", sample_path(dir, 1, what[i]));
        snprintf(b, sizeof b, "%s", sample_path(dir, 2, what[i]));
        swap_files(a, b);
        assert_int_equal(read_sample(sample_path(dir, 1, NULL), SMALL, 1), PAWL_EDATA);
        assert_int_equal(read_sample(sample_path(dir, 2, NULL), SMALL, 2), PAWL_EDATA);
        assert_true(verify(dir, text, sizeof text) >= 2);
        assert_non_null(strstr(text, "step-000000001"));
        assert_non_null(strstr(text, "step-000000002"));
        swap_files(a, b);
    }
    assert_int_equal(verify(dir, text, sizeof text), 0);
}

static void a_missing_file_is_named(void **state)
{
    static const char *const files[] = {"checkpoint.h5", "manifest.json"};
    char text[65536];
    (void)state;
    save_steps(SMALL, 0, (const int[]){1, 2, 0}, 0); /* step 2 refers to step 1 for what is frozen */
    for (int i = 0; i < 2; i++) {
        char aside[600];
        const char *file = sample_path(dir, 1, files[i]);
        snprintf(aside, sizeof aside, "%s.aside", file);
        assert_ok(pawl_file_rename(file, aside));
        assert_int_equal(read_sample(sample_path(dir, 1, NULL), SMALL, 1), PAWL_EDATA);
        assert_non_null(strstr(pawl_last_error()->what, files[i]));
        assert_int_equal(read_sample(sample_path(dir, 2, NULL), SMALL, 2), i == 0 ? PAWL_EDATA : PAWL_OK);
        assert_true(verify(dir, text, sizeof text) > 0);
        assert_ok(pawl_file_rename(aside, file));
    }
}

/* ---- Manifests that agree with themselves and lie ---- */

static json_t *descend(json_t *at, const char *path, char *last)
{
    for (;;) {
        const size_t n = strcspn(path, ".");
        memcpy(last, path, n);
        last[n] = 0;
        if (!path[n]) return at;
        at = json_is_array(at) ? json_array_get(at, (size_t)strtol(last, NULL, 10)) : json_object_get(at, last);
        path += n + 1;
    }
}

static void rewrite(const char *file, const char *text, const char *path, const char *value)
{
    char last[64];
    pawl_text canonical = {0};
    json_t *m = json_loads(text, 0, NULL), *to;
    assert_non_null(m);
    to = descend(m, path, last);
    json_t *put = value ? json_loads(value, JSON_DECODE_ANY, NULL) : NULL;
    if (!put)
        json_object_del(to, last);
    else if (json_is_array(to))
        json_array_set_new(to, (size_t)strtol(last, NULL, 10), put);
    else
        json_object_set_new(to, last, put);
    json_object_del(m, "root_sha256");
    assert_ok(pawl_json_canonical(m, &canonical));
    json_object_set_new(m, "root_sha256",
                        json_string(pawl_digest_hex(pawl_sha256(canonical.data, canonical.bytes)).text));
    pawl_text_close(&canonical);
    assert_ok(pawl_json_canonical(m, &canonical));
    assert_ok(pawl_file_replace(file, canonical.data, canonical.bytes));
    pawl_text_close(&canonical);
    json_decref(m);
}

#define ZEROS "\"0000000000000000000000000000000000000000000000000000000000000000\""

/* What a manifest is made to say (NULL: nothing), and what is said of that. */
static const struct {
    const char *path, *value, *said;
} forgeries[] = {
    {"format", "\"pawl-checkpoint-2\"", "format"},
    {"step", "7", "as the folder is named"},
    {"step", "-1", "step"},
    {"step", "\"1\"", "step"},
    {"step", "1.5", "step"},
    {"ranks", "0", "ranks"},
    {"run", "[]", "run"},
    {"lineage", "3", "lineage"},
    {"parent", "\"x\"", "parent"},
    {"parent", NULL, "parent"},
    {"created", NULL, "created"},
    {"layout", "{}", "bytes"},
    {"layout.bytes", "1", "expected 1 bytes, found"},
    {"layout.sha256", ZEROS, "between its tensors"},
    {"weights_sha256", ZEROS, "weights_sha256"},
    {"state_sha256", ZEROS, "state_sha256"},
    {"memory_sha256", ZEROS, "memory_sha256"},
    {"tensors", "{}", "tensors"},
    {"tensors", NULL, "tensors"},
    {"tensors.0", "5", "tensor 0"},
    {"tensors.0.name", "\"../../x\"", "path of names"},
    {"tensors.0.name", "\"\"", "path of names"},
    {"tensors.0.name", "\"/x\"", "path of names"},
    {"tensors.1.name", "\"memory/prose/bytes\"", "byte order"},
    {"tensors.0.dtype", "\"f31\"", "dtype"},
    {"tensors.0.dtype", "\"U8\"", "dtype"},
    {"tensors.0.shape", "[9007199254740991,9007199254740991]", "too many"},
    {"tensors.0.shape", "[4503599627370496]", "too many"},
    {"tensors.0.shape", "[-1000]", "dimension 0"},
    {"tensors.0.shape", "[1000.5]", "dimension 0"},
    {"tensors.0.shape", "[1,1,1,1,1000]", "at most 4"},
    {"tensors.0.shape", "[1000000000000]", "1000000000000 bytes"},
    {"tensors.0.bytes", "999", "expected 1000 bytes"},
    {"tensors.0.bytes", "-1", "bytes"},
    {"tensors.0.offset", "-4096", "offset"},
    {"tensors.0.offset", "9007199254740991", "lie outside"},
    {"tensors.0.offset", "1000000", "lie outside"},
    {"tensors.0.offset", "0", "between its tensors"},
    {"tensors.0.file", "\"/etc/passwd\"", "file"},
    {"tensors.0.file", "\"../step-000000001/checkpoint.h5\"", "file"},
    {"tensors.0.file", "\"step-000000001/../../checkpoint.h5\"", "file"},
    {"tensors.0.file", "\"step-1/checkpoint.h5\"", "file"},
    {"tensors.0.file", "\"step-000000001/manifest.json\"", "file"},
    {"tensors.0.file", "\"step-000000009/checkpoint.h5\"", "is missing"},
    {"tensors.0.sha256", ZEROS, "not that of the chunks"},
    {"tensors.0.sha256", "\"zz\"", "sha256"},
    {"tensors.0.chunks", "[]", "chunks"},
    {"tensors.0.chunks", "[1]", "chunks[0]"},
    {"tensors.0.chunks", "[" ZEROS "]", "not that of the chunks"},
    {"tensors.0.chunks", "[" ZEROS "," ZEROS "]", "expected 1"},
};

static void forged_manifests_are_refused(void **state)
{
    char *text, room[65536];
    size_t bytes;
    (void)state;
    save_steps(SMALL, 0, (const int[]){1, 0}, 0);
    const char *file = sample_path(dir, 1, "manifest.json"), *checkpoint = sample_path(dir, 1, NULL);
    assert_ok(pawl_file_read(file, 1 << 20, &text, &bytes));
    for (size_t i = 0; i < sizeof forgeries / sizeof *forgeries; i++) {
        rewrite(file, text, forgeries[i].path, forgeries[i].value);
        assert_int_equal(read_sample(checkpoint, SMALL, 1), PAWL_EDATA);
        if (!strstr(pawl_last_error()->what, forgeries[i].said))
            fail_msg("%s = %s: expected '%s', found '%s'", forgeries[i].path,
                     forgeries[i].value ? forgeries[i].value : "nothing", forgeries[i].said, pawl_last_error()->what);
        assert_true(verify(checkpoint, room, sizeof room) > 0);
    }
    rewrite(file, text, "created", "\"2000-01-01T00:00:00Z\""); /* the forger's tool itself makes whole ones */
    assert_ok(read_sample(checkpoint, SMALL, 1));
    pawl_free(text);
}

/* Chunks that agree with a forged place, but HDF5 says otherwise. */
static void a_manifest_that_differs_from_hdf5_is_found(void **state)
{
    static const struct {
        const char *path, *value, *said;
    } forged[] = {
        {"run.step", "99", "/run: step"},          {"run.loss", "2.5", "/run: loss"},
        {"run.phase", "\"other\"", "/run: phase"}, {"run.nested", "{}", "/run: nested"},
        {"run.more", "1", "/run: more"},           {"lineage.base", "1", "/lineage"},
        {"tensors.0.dtype", "\"u8\"", NULL},
    };
    char *text, found[65536];
    size_t bytes;
    (void)state;
    save_steps(SMALL, 0, (const int[]){1, 0}, 0);
    const char *file = sample_path(dir, 1, "manifest.json"), *checkpoint = sample_path(dir, 1, NULL);
    assert_ok(pawl_file_read(file, 1 << 20, &text, &bytes));
    for (size_t i = 0; i < sizeof forged / sizeof *forged; i++) {
        rewrite(file, text, forged[i].path, forged[i].value);
        assert_int_equal(verify(checkpoint, found, sizeof found), forged[i].said ? 1 : 0);
        if (forged[i].said && !strstr(found, forged[i].said)) fail_msg("%s: found '%s'", forged[i].path, found);
    }
    pawl_free(text);
}

static void texts_that_are_no_manifest_are_refused(void **state)
{
    static const char *const texts[] = {"",
                                        "{",
                                        "[]",
                                        "3",
                                        "null",
                                        "{}",
                                        "{\"format\":\"pawl-checkpoint-1\"}",
                                        "\xff\xfe",
                                        "{\"a\":1,\"a\":2}",
                                        "{\"a\":9223372036854775807}",
                                        "{\"a\":1e999}"};
    pawl_checkpoint *k;
    char *deep;
    (void)state;
    save_steps(SMALL, 0, (const int[]){1, 0}, 0);
    const char *file = sample_path(dir, 1, "manifest.json"), *checkpoint = sample_path(dir, 1, NULL);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_ok(pawl_file_replace(file, texts[i], strlen(texts[i])));
        assert_int_equal(pawl_checkpoint_open(checkpoint, &k), PAWL_EDATA);
        assert_non_null(strstr(pawl_last_error()->what, "manifest.json"));
    }
    deep = malloc(1000000);
    assert_non_null(deep);
    memset(deep, '[', 1000000);
    assert_ok(pawl_file_replace(file, deep, 1000000));
    assert_int_equal(pawl_checkpoint_open(checkpoint, &k), PAWL_EDATA);
    free(deep);
}

/* ---- Reading ---- */

static void what_is_asked_for_must_be_there_alike(void **state)
{
    sample s;
    pawl_checkpoint *k;
    (void)state;
    save_steps(SMALL, 0, (const int[]){1, 0}, 0);
    assert_ok(pawl_checkpoint_open(dir, &k));
    assert_true(sample_open(&s, SMALL, SAMPLE_ROWS, 0));
    s.state.items[0].tensor.dim[0] = 4;
    assert_int_equal(pawl_checkpoint_read(k, &s.state), PAWL_EDATA);
    assert_non_null(strstr(pawl_last_error()->what, "tensor model/base.bias: expected f32 [4], found f32 [5]"));
    s.state.items[0].tensor.dim[0] = 5;
    s.state.items[0].tensor.dtype = PAWL_I32;
    assert_int_equal(pawl_checkpoint_read(k, &s.state), PAWL_EDATA);
    s.state.items[0].tensor.dtype = PAWL_F32;
    snprintf(s.state.items[0].name, PAWL_NAME_MAX, "model/other");
    assert_int_equal(pawl_checkpoint_read(k, &s.state), PAWL_EDATA);
    assert_non_null(strstr(pawl_last_error()->what, "has no tensor model/other"));
    s.state.items += 1, s.state.count = 2; /* a part of it is enough */
    assert_ok(pawl_checkpoint_read(k, &s.state));
    s.state.items -= 1;
    pawl_checkpoint_close(k);
    sample_close(&s);
}

/* ---- Finding ---- */

static void assert_found(int fallback, int64_t step, int64_t lost)
{
    char path[512] = "?";
    int64_t lost_steps = -1;
    assert_ok(pawl_checkpoint_find(dir, fallback, path, sizeof path, &lost_steps));
    assert_string_equal(path, step ? sample_path(dir, step, NULL) : "");
    assert_int_equal(lost_steps, lost);
}

static void the_newest_is_found_by_latest_and_by_name(void **state)
{
    char latest[512], path[512];
    int64_t lost;
    (void)state;
    assert_found(0, 0, 0); /* a run that has none */
    save_steps(SMALL, 0, (const int[]){10, 20, 30, 0}, 0);
    assert_found(0, 30, 0);
    snprintf(latest, sizeof latest, "%s/checkpoints/LATEST", dir);
    for (int i = 0; i < 3; i++) { /* none, damaged, of one that is gone */
        static const char *const texts[] = {
            NULL, "step-00000003", "step-000000099 0000000000000000000000000000000000000000000000000000000000000000\n"};
        if (texts[i])
            assert_ok(pawl_file_replace(latest, texts[i], strlen(texts[i])));
        else
            assert_ok(pawl_file_remove(latest));
        if (i == 2) assert_int_equal(pawl_checkpoint_find(dir, 0, path, sizeof path, &lost), PAWL_EDATA);
        assert_found(i == 2, 30, i == 2 ? 69 : 0);
    }
    assert_ok(pawl_file_remove(sample_path(dir, 30, "manifest.json"))); /* not a whole one */
    assert_ok(pawl_file_remove(latest));
    assert_found(0, 20, 10);
    assert_ok(pawl_dir_remove(sample_path(dir, 20, NULL)));
    assert_ok(pawl_dir_remove(sample_path(dir, 10, NULL)));
    assert_int_equal(pawl_checkpoint_find(dir, 0, path, sizeof path, &lost), PAWL_EDATA);
    assert_int_equal(pawl_checkpoint_find(dir, 1, path, sizeof path, &lost), PAWL_EDATA);
}

static void a_resumed_run_s_latest_counts_more_than_a_higher_step(void **state)
{
    (void)state;
    save_steps(SMALL, 0, (const int[]){10, 40, 20, 0}, 0);
    assert_found(0, 20, 0);
    save_steps(SMALL, 2, (const int[]){30, 0},
               0); /* 40 is of a course that was left; frozen tensors are in 30 itself */
    assert_found(0, 30, 0);
    assert_false(pawl_path_exists(sample_path(dir, 40, NULL)));
    assert_true(pawl_path_exists(sample_path(dir, 20, NULL)));
}

static void fallback_goes_to_the_newest_whole_one(void **state)
{
    char path[512];
    int64_t lost;
    (void)state;
    save_steps(SMALL, 0, (const int[]){10, 20, 30, 0}, 0);
    flip(sample_path(dir, 30, "checkpoint.h5"), size_of(sample_path(dir, 30, "checkpoint.h5")) - 1);
    flip(sample_path(dir, 20, "manifest.json"), 100);
    assert_found(1, 10, 20);
    assert_found(0, 30, 0); /* its manifest is whole: reading is what finds the chunk */
    assert_int_equal(read_sample(dir, SMALL, 30), PAWL_EDATA);
    flip(sample_path(dir, 30, "manifest.json"), 100);
    assert_int_equal(pawl_checkpoint_find(dir, 0, path, sizeof path, &lost), PAWL_EDATA);
    assert_non_null(strstr(pawl_last_error()->what, "step-000000030/manifest.json"));
    assert_found(1, 10, 20);
}

/* The moment between the two renames of a replacement. */
static void a_replaced_one_stands_in(void **state)
{
    char aside[600], path[512];
    int64_t lost;
    (void)state;
    save_steps(SMALL, 0, (const int[]){10, 20, 0}, 0);
    snprintf(aside, sizeof aside, "%s.replaced-1", sample_path(dir, 20, NULL));
    assert_ok(pawl_file_rename(sample_path(dir, 20, NULL), aside));
    assert_ok(pawl_checkpoint_find(dir, 0, path, sizeof path, &lost));
    assert_string_equal(path, aside);
    assert_ok(read_sample(path, SMALL, 20));
    save_steps(SMALL, 0, (const int[]){20, 0}, 0);
    assert_found(0, 20, 0);
    assert_false(pawl_path_exists(aside));
}

static void a_damaged_step_is_set_aside(void **state)
{
    char aside[600];
    (void)state;
    save_steps(SMALL, 0, (const int[]){10, 20, 0}, 0);
    flip(sample_path(dir, 20, "manifest.json"), 50);
    save_steps(SMALL, 0, (const int[]){20, 0}, 0);
    assert_ok(read_sample(dir, SMALL, 20));
    snprintf(aside, sizeof aside, "%s.damaged-1", sample_path(dir, 20, NULL));
    assert_true(pawl_path_exists(aside));
}

static void pruning_keeps_what_counts(void **state)
{
    static const int kept[] = {10, 30, 50, 60}; /* 10: frozen tensors lie there; 30: the best; 50, 60: the newest */
    (void)state;
    save_steps(SMALL, 2, (const int[]){10, 20, 30, 40, 50, 60, 0}, 30);
    for (int step = 10, k = 0; step <= 60; step += 10) {
        const int keep = kept[k] == step;
        assert_int_equal(pawl_path_exists(sample_path(dir, step, NULL)), keep);
        if (keep) assert_ok(read_sample(sample_path(dir, step, NULL), SMALL, step));
        k += keep;
    }
}

/* ---- The lock ---- */

static void a_second_job_is_refused_and_told_who_has_it(void **state)
{
    char holder[64], below[80];
    int lock, other;
    (void)state;
    snprintf(below, sizeof below, "%s/new/run", dir);
    assert_ok(pawl_lock_open(below, &lock));
    assert_int_equal(pawl_lock_open(below, &other), PAWL_EUSAGE);
    snprintf(holder, sizeof holder, "in use by process %ld on ", (long)getpid());
    assert_non_null(strstr(pawl_last_error()->what, holder));
    assert_non_null(strstr(pawl_last_error()->what, below));
    pawl_lock_close(lock);
    assert_ok(pawl_lock_open(below, &lock));
    pawl_lock_close(lock);
}

/* ---- Showing ---- */

static void show_and_log_say_what_is_there(void **state)
{
    static const char *const keys[] = {"step",          "stage",       "weights_sha256",  "state_sha256",
                                       "memory_sha256", "root_sha256", "parent",          "created",
                                       "pawl_version",  "ranks",       "reduction_lanes", "tokens",
                                       "datasets",      "licenses",    "tensors",         "lineage"};
    json_t *shown, *history;
    (void)state;
    save_steps(SMALL, 0, (const int[]){10, 20, 0}, 10);
    assert_ok(pawl_show(dir, &shown));
    assert_int_equal(json_object_size(shown), sizeof keys / sizeof *keys);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) assert_non_null(json_object_get(shown, keys[i]));
    assert_int_equal(json_integer_value(json_object_get(shown, "step")), 20);
    assert_int_equal(json_integer_value(json_object_get(shown, "reduction_lanes")), 8);
    assert_int_equal(json_array_size(json_object_get(shown, "licenses")), 2);
    assert_int_equal(json_array_size(json_object_get(shown, "tensors")), SAMPLE_ROWS - SMALL);
    assert_int_equal(json_object_size(json_array_get(json_object_get(shown, "tensors"), 0)), 5);
    assert_ok(pawl_log_of(dir, &history));
    assert_int_equal(json_array_size(history), 2);
    json_t *newest = json_array_get(history, 0), *oldest = json_array_get(history, 1);
    assert_int_equal(json_integer_value(json_object_get(newest, "step")), 20);
    assert_true(json_is_true(json_object_get(newest, "latest")) && json_is_true(json_object_get(oldest, "best")));
    assert_true(json_equal(json_object_get(newest, "parent"), json_object_get(oldest, "root_sha256")));
    assert_true(json_equal(json_object_get(shown, "root_sha256"), json_object_get(newest, "root_sha256")));
    assert_true(json_is_null(json_object_get(oldest, "parent")));
    json_decref(shown);
    json_decref(history);
    flip(sample_path(dir, 10, "manifest.json"), 5);
    assert_ok(pawl_log_of(dir, &history));
    assert_non_null(json_object_get(json_array_get(history, 1), "error"));
    json_decref(history);
    assert_int_equal(pawl_show(sample_path(dir, 77, NULL), &shown), PAWL_EUSAGE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    pawl_log_open(0, PAWL_LOG_ERROR); /* the warnings are expected */
    const struct CMUnitTest tests[] = {
        TEST(every_flip_in_the_tensor_file_is_found),
        TEST(every_flip_in_the_manifest_is_found),
        TEST(a_flip_names_tensor_and_chunk),
        TEST(every_truncation_is_found),
        TEST(files_of_two_steps_mixed_are_refused),
        TEST(a_missing_file_is_named),
        TEST(forged_manifests_are_refused),
        TEST(a_manifest_that_differs_from_hdf5_is_found),
        TEST(texts_that_are_no_manifest_are_refused),
        TEST(what_is_asked_for_must_be_there_alike),
        TEST(the_newest_is_found_by_latest_and_by_name),
        TEST(a_resumed_run_s_latest_counts_more_than_a_higher_step),
        TEST(fallback_goes_to_the_newest_whole_one),
        TEST(a_replaced_one_stands_in),
        TEST(a_damaged_step_is_set_aside),
        TEST(pruning_keeps_what_counts),
        TEST(a_second_job_is_refused_and_told_who_has_it),
        TEST(show_and_log_say_what_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
