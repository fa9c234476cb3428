/* Runs: cmocka
 *
 * The prepared cache: found again, keyed by what matters, safe among several jobs, made again when damaged. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "core/batch.h"
#include "core/rng.h"
#include "tests/data_case.h"

/* Whether bytes survive a power cut is no matter here, and waiting for disks takes long. */
static pawl_fs quick_fs;

static int no_fsync(int fd)
{
    (void)fd;
    return 0;
}

static void write_text(const data_case *k, const char *name, int rows)
{
    pawl_text file = {0};
    for (int i = 0; i < rows; i++)
        pawl_text_add(&file, "{\"text\": \"%0*d\"}\n",
                      1 + (int)(pawl_random_at(2, PAWL_FOR_TEST, (uint64_t)i, 0).word[0] % 300), i);
    put_bytes(k, name, file.data, file.bytes);
    pawl_text_close(&file);
}

static void open_case(data_case *k)
{
    data_case_open(k, 128);
    k->cfg.val_set_size = 0.2;
    write_text(k, "a.jsonl", 500);
    learn(k, "a.jsonl");
}

/* SHA-256 over every array of every row. */
static pawl_digest digest_of(const pawl_data *d)
{
    pawl_hash *hash;
    pawl_arena a;
    pawl_batch b;
    must(pawl_hash_open(&hash));
    batch_open(&a, &b, 1, 128);
    for (int part = 0; part < 2; part++)
        for (int64_t i = 0; i < pawl_data_rows_of(d, (pawl_part)part, 0); i++) {
            const pawl_row r = {0, i};
            pawl_slot_fill(d, (pawl_part)part, &r, 1, &b);
            const size_t bytes = (size_t)b.tokens * sizeof(int32_t);
            pawl_hash_add(hash, b.ids, bytes);
            pawl_hash_add(hash, b.targets, bytes);
            pawl_hash_add(hash, b.positions, bytes);
            pawl_hash_add(hash, b.starts, bytes);
        }
    pawl_arena_close(&a);
    return pawl_hash_close(hash);
}

static pawl_digest open_and_digest(const data_case *k)
{
    pawl_data *d;
    if (open_alone(k, &d) != PAWL_OK) fail_msg("%s", pawl_last_error()->what);
    const pawl_digest digest = digest_of(d);
    pawl_data_close(d);
    return digest;
}

static int ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

/* Names in the cache that end so; "" counts entries. The last one's path goes to path when that is not NULL. */
static int cached(const data_case *k, const char *ending, char *path)
{
    char **names;
    int count, found = 0;
    if (!pawl_path_exists(k->cfg.dataset_prepared_path)) return 0;
    must(pawl_dir_list(k->cfg.dataset_prepared_path, &names, &count));
    for (int i = 0; i < count; i++) {
        if (ending[0] ? !ends_with(names[i], ending) : strlen(names[i]) != 64) continue;
        if (path) must(pawl_path_join(path, PATH_MAX, k->cfg.dataset_prepared_path, names[i]));
        found++;
    }
    pawl_free(names);
    return found;
}

static ino_t inode(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_ino;
}

static void what_is_prepared_is_found_again(void **state)
{
    (void)state;
    data_case k;
    char path[PATH_MAX];
    open_case(&k);
    const pawl_digest first = open_and_digest(&k);
    assert_int_equal(cached(&k, "", path), 1);
    const ino_t before = inode(path);
    assert_true(pawl_digest_equal(first, open_and_digest(&k)));
    assert_int_equal(cached(&k, "", path), 1);
    assert_int_equal(cached(&k, ".part", NULL), 0);
    assert_true(inode(path) == before);
    data_case_close(&k);
}

/* Each of these changes what is prepared, and so the key; none of the others does. */
static void the_key_holds_what_matters(void **state)
{
    (void)state;
    data_case k;
    open_case(&k);
    pawl_dataset_config *d = &k.cfg.datasets.items[0];
    (void)open_and_digest(&k);
    snprintf(d->domain, sizeof d->domain, "other");
    snprintf(d->license, sizeof d->license, "MIT");
    d->weight = 3;
    (void)open_and_digest(&k);
    assert_int_equal(cached(&k, "", NULL), 1);
    k.cfg.sequence_len = 127;
    (void)open_and_digest(&k);
    assert_int_equal(cached(&k, "", NULL), 2);
    k.cfg.sample_packing = 0;
    (void)open_and_digest(&k);
    assert_int_equal(cached(&k, "", NULL), 3);
    k.cfg.val_set_size = 0.21;
    (void)open_and_digest(&k);
    assert_int_equal(cached(&k, "", NULL), 4);
    d->type = 1;
    k.cfg.val_set_size = 0;
    (void)open_and_digest(&k);
    assert_int_equal(cached(&k, "", NULL), 5);
    write_text(&k, "a.jsonl", 501);
    (void)open_and_digest(&k);
    assert_int_equal(cached(&k, "", NULL), 6);
    write_text(&k, "b.jsonl", 501); /* the same bytes under another name: lineage names files */
    k.cfg.datasets.count = 0;
    learn(&k, "b.jsonl")->type = 1;
    (void)open_and_digest(&k);
    assert_int_equal(cached(&k, "", NULL), 7);
    data_case_close(&k);
}

/* ---- Several jobs ---- */

/* The digests that `jobs` processes of their own get, all starting at once. */
static void prepare_at_once(const data_case *k, int jobs, pawl_digest *out)
{
    int start[2], answer[2];
    char go;
    assert_int_equal(pipe(start), 0);
    assert_int_equal(pipe(answer), 0);
    for (int i = 0; i < jobs; i++) {
        if (fork() != 0) continue;
        pawl_data *d;
        close(start[1]);
        (void)!read(start[0], &go, 1); /* ends when the parent closes its side */
        if (open_alone(k, &d) != PAWL_OK) {
            fprintf(stderr, "%s\n", pawl_last_error()->what);
            _exit(1);
        }
        const pawl_digest digest = digest_of(d);
        _exit(write(answer[1], &digest, sizeof digest) != sizeof digest);
    }
    close(start[0]);
    close(start[1]);
    close(answer[1]);
    int failed = 0;
    for (int i = 0; i < jobs; i++) {
        int status;
        wait(&status);
        failed += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    }
    assert_int_equal(failed, 0);
    for (int i = 0; i < jobs; i++) assert_int_equal(read(answer[0], &out[i], sizeof out[i]), sizeof out[i]);
    close(answer[0]);
}

static void jobs_that_prepare_at_once_agree(void **state)
{
    (void)state;
    enum { JOBS = 6 };
    for (int round = 0; round < 8; round++) {
        data_case k;
        pawl_digest got[JOBS];
        open_case(&k);
        prepare_at_once(&k, JOBS, got);
        const pawl_digest alone = open_and_digest(&k);
        for (int i = 0; i < JOBS; i++) assert_true(pawl_digest_equal(got[i], alone));
        assert_int_equal(cached(&k, "", NULL), 1);
        assert_int_equal(cached(&k, ".part", NULL), 0);
        data_case_close(&k);
    }
}

static void flip(const char *entry, const char *name, int64_t at)
{
    char path[PATH_MAX];
    uint8_t byte;
    int fd;
    must(pawl_path_join(path, sizeof path, entry, name));
    must(pawl_file_open(path, O_RDWR, &fd));
    must(pawl_file_pread(fd, path, &byte, 1, at));
    byte ^= 0x10;
    must(pawl_file_pwrite(fd, path, &byte, 1, at));
    pawl_file_close(fd);
}

static void jobs_that_repair_at_once_agree(void **state)
{
    (void)state;
    enum { JOBS = 4 };
    for (int round = 0; round < 8; round++) {
        data_case k;
        pawl_digest got[JOBS];
        char path[PATH_MAX];
        open_case(&k);
        const pawl_digest whole = open_and_digest(&k);
        assert_int_equal(cached(&k, "", path), 1);
        flip(path, "tokens", 100);
        prepare_at_once(&k, JOBS, got);
        for (int i = 0; i < JOBS; i++) assert_true(pawl_digest_equal(got[i], whole));
        assert_int_equal(cached(&k, "", NULL), 1);
        assert_int_equal(cached(&k, ".part", NULL), 0);
        data_case_close(&k);
    }
}

static void what_dead_jobs_left_is_removed_and_living_ones_are_left_alone(void **state)
{
    (void)state;
    data_case k;
    char path[PATH_MAX], dead[PATH_MAX + 16], living[PATH_MAX + 16];
    int fd;
    open_case(&k);
    (void)open_and_digest(&k);
    assert_int_equal(cached(&k, "", path), 1);
    must(pawl_dir_remove(path));
    snprintf(dead, sizeof dead, "%s.0123.part", path);
    snprintf(living, sizeof living, "%s.4567.part", path);
    must(pawl_dir_make(dead));
    must(pawl_dir_make(living));
    must(pawl_file_open(living, O_RDONLY | O_DIRECTORY, &fd));
    assert_int_equal(flock(fd, LOCK_EX), 0);
    (void)open_and_digest(&k);
    assert_false(pawl_path_exists(dead));
    assert_true(pawl_path_exists(living));
    pawl_file_close(fd);
    data_case_close(&k);
}

/* ---- Damage ---- */

static const char *const files[] = {"tokens",        "documents", "train.segments", "train.rows", "held_out.segments",
                                    "held_out.rows", "meta.json"};
enum { FILES = sizeof files / sizeof *files };

typedef void damage(const char *entry, const char *name);

static void flip_first(const char *entry, const char *name)
{
    flip(entry, name, 0);
}

static void flip_late(const char *entry, const char *name)
{
    char path[PATH_MAX];
    int64_t bytes;
    must(pawl_path_join(path, sizeof path, entry, name));
    must(pawl_file_size(path, &bytes));
    flip(entry, name, bytes - 5);
}

static void cut_to(const char *entry, const char *name, int64_t keep)
{
    char path[PATH_MAX];
    must(pawl_path_join(path, sizeof path, entry, name));
    assert_int_equal(truncate(path, keep), 0);
}

static void cut_one_byte(const char *entry, const char *name)
{
    char path[PATH_MAX];
    int64_t bytes;
    must(pawl_path_join(path, sizeof path, entry, name));
    must(pawl_file_size(path, &bytes));
    cut_to(entry, name, bytes - 3); /* meta.json: into its closing braces */
}

static void cut_all(const char *entry, const char *name)
{
    cut_to(entry, name, 0);
}

static void lose(const char *entry, const char *name)
{
    char path[PATH_MAX];
    must(pawl_path_join(path, sizeof path, entry, name));
    must(pawl_file_remove(path));
}

static void damaged_entries_are_made_again(void **state)
{
    (void)state;
    static damage *const kinds[] = {flip_first, flip_late, cut_one_byte, cut_all, lose};
    data_case k;
    char path[PATH_MAX];
    open_case(&k);
    const pawl_digest whole = open_and_digest(&k);
    assert_int_equal(cached(&k, "", path), 1);
    for (int i = 0; i < FILES; i++)
        for (size_t j = 0; j < sizeof kinds / sizeof *kinds; j++) {
            const ino_t before = inode(path);
            kinds[j](path, files[i]);
            if (!pawl_digest_equal(whole, open_and_digest(&k))) fail_msg("%s, damage %zu", files[i], j);
            if (inode(path) == before) fail_msg("%s, damage %zu was not noticed", files[i], j);
            assert_int_equal(cached(&k, ".damaged", NULL), 1);
        }
    data_case_close(&k);
}

/* meta.json whose content says something else, with the digest that goes with it, is still not what is there. */
static void sizes_are_compared_too(void **state)
{
    (void)state;
    data_case k;
    char path[PATH_MAX], meta[PATH_MAX];
    open_case(&k);
    const pawl_digest whole = open_and_digest(&k);
    assert_int_equal(cached(&k, "", path), 1);
    must(pawl_path_join(meta, sizeof meta, path, "meta.json"));
    put(&k, "x", "[]");
    char from[PATH_MAX];
    must(pawl_path_join(from, sizeof from, k.dir, "x"));
    must(pawl_file_rename(from, meta));
    assert_true(pawl_digest_equal(whole, open_and_digest(&k)));
    data_case_close(&k);
}

/* ---- A disk that fails ---- */

static int failing_errno, failing_after;

static ssize_t failing_pwrite(int fd, const void *data, size_t bytes, off_t at)
{
    if (failing_after-- > 0) return pwrite(fd, data, bytes, at);
    errno = failing_errno;
    return -1;
}

static int failing_mkdir(const char *path, mode_t mode)
{
    (void)path;
    (void)mode;
    errno = failing_errno;
    return -1;
}

static int failing_fsync(int fd)
{
    (void)fd;
    errno = EIO;
    return -1;
}

static void expect_io_error(const data_case *k, const pawl_fs *fs, const char *said)
{
    pawl_data *d;
    pawl_fs_in_use = fs;
    const pawl_status s = open_alone(k, &d);
    pawl_fs_in_use = &quick_fs;
    assert_int_equal(s, PAWL_EIO);
    if (!strstr(pawl_last_error()->what, said) || !strstr(pawl_last_error()->what, "dataset_prepared_path"))
        fail_msg("expected '%s', found '%s'", said, pawl_last_error()->what);
    assert_int_equal(cached(k, "", NULL), 0);
    assert_int_equal(cached(k, ".part", NULL), 0);
}

static int refusing_open(const char *path, int flags, mode_t mode)
{
    const size_t n = strlen(path);
    if (n < 8 || strcmp(path + n - 8, "/a.jsonl") != 0 || failing_after-- > 0) return open(path, flags, mode);
    errno = EACCES;
    return -1;
}

/* When the user's file is hashed, and when it is read: to make room would be no advice. */
static void data_that_cannot_be_read_are_a_clear_error(void **state)
{
    (void)state;
    data_case k;
    pawl_data *d;
    pawl_fs fs = quick_fs;
    open_case(&k);
    fs.open = refusing_open;
    for (int n = 0; n < 2; n++) {
        failing_after = n;
        pawl_fs_in_use = &fs;
        assert_int_equal(open_alone(&k, &d), PAWL_EIO);
        pawl_fs_in_use = &quick_fs;
        assert_non_null(strstr(pawl_last_error()->what, "/a.jsonl: Permission denied"));
        assert_null(strstr(pawl_last_error()->what, "make room"));
        assert_int_equal(cached(&k, ".part", NULL), 0);
    }
    (void)open_and_digest(&k);
    data_case_close(&k);
}

static void a_cache_that_cannot_be_written_is_a_clear_error(void **state)
{
    (void)state;
    data_case k;
    pawl_fs fs = quick_fs;
    open_case(&k);
    fs.mkdir = failing_mkdir;
    failing_errno = EROFS;
    expect_io_error(&k, &fs, "Read-only file system");
    fs = quick_fs;
    fs.pwrite = failing_pwrite;
    failing_errno = ENOSPC;
    for (int n = 0; n < 7; n++) { /* tokens, documents, four tables, meta.json: any of them may be the one */
        failing_after = n;
        expect_io_error(&k, &fs, "No space left on device");
    }
    fs = quick_fs;
    fs.fsync = failing_fsync;
    expect_io_error(&k, &fs, "cannot fsync");
    (void)open_and_digest(&k);
    snprintf(k.cfg.dataset_prepared_path, sizeof k.cfg.dataset_prepared_path, "%s/a.jsonl", k.dir);
    pawl_data *d;
    assert_int_equal(open_alone(&k, &d), PAWL_EIO); /* a file stands there */
    data_case_close(&k);
}

/* Each allocation of a whole preparation fails in turn: no memory is said, or it did not matter; nothing is left lying.
 */
static void every_allocation_may_fail(void **state)
{
    (void)state;
    data_case k;
    pawl_data *d;
    pawl_comm *c;
    int stopped, refused = 0;
    open_case(&k);
    must(pawl_comm_open_alone(&c));
    const long before = pawl_alloc_count();
    const pawl_digest whole = open_and_digest(&k);
    const long most = pawl_alloc_count() - before;
    for (long n = 1; n <= most; n++) {
        must(pawl_dir_remove(k.cfg.dataset_prepared_path));
        pawl_alloc_fail_after(n);
        const pawl_status s = open_on(c, &k, &d, &stopped);
        pawl_alloc_fail_after(0);
        assert_int_equal(cached(&k, ".part", NULL), 0);
        refused += s != PAWL_OK;
        if (s != PAWL_OK) {
            assert_int_equal(s, PAWL_EMEM);
            continue;
        }
        assert_true(pawl_digest_equal(digest_of(d), whole));
        pawl_data_close(d);
    }
    assert_true(refused > 20);
    pawl_comm_close(c);
    data_case_close(&k);
}

/* ---- Stopping ---- */

static void a_stop_leaves_nothing_half_made(void **state)
{
    (void)state;
    data_case k;
    pawl_data *d = NULL;
    pawl_comm *c;
    int stopped = 0;
    open_case(&k);
    must(pawl_comm_open_alone(&c));
    pawl_stop_asked = 1;
    assert_int_equal(open_on(c, &k, &d, &stopped), PAWL_OK);
    pawl_stop_asked = 0;
    assert_int_equal(stopped, 1);
    assert_null(d);
    assert_int_equal(cached(&k, "", NULL), 0);
    assert_int_equal(open_on(c, &k, &d, &stopped), PAWL_OK);
    assert_int_equal(stopped, 0);
    pawl_data_close(d);
    pawl_comm_close(c);
    data_case_close(&k);
}

static int stop_at;

static ssize_t stopping_pread(int fd, void *data, size_t bytes, off_t at)
{
    if (stop_at-- == 0) pawl_stop_asked = 1;
    return pread(fd, data, bytes, at);
}

/* The stop comes at any read: of the first pass that hashes, of the second that prepares, of none at all. */
static void a_stop_may_come_at_any_time(void **state)
{
    (void)state;
    data_case k;
    pawl_fs fs = quick_fs;
    pawl_comm *c;
    int finished = 0, interrupted = 0;
    data_case_open(&k, 128);
    for (int i = 0; i < 4; i++) {
        char name[] = "d/0.jsonl";
        name[2] = (char)('0' + i);
        write_text(&k, name, 50);
    }
    learn(&k, "d");
    must(pawl_comm_open_alone(&c));
    fs.pread = stopping_pread;
    for (int n = 0; !finished; n++) {
        pawl_data *d = NULL;
        int stopped = 0;
        stop_at = n;
        pawl_fs_in_use = &fs;
        assert_int_equal(open_on(c, &k, &d, &stopped), PAWL_OK);
        pawl_fs_in_use = &quick_fs;
        pawl_stop_asked = 0;
        assert_int_equal(cached(&k, ".part", NULL), 0);
        if (stopped) {
            assert_null(d);
            interrupted++;
        } else {
            finished = 1;
        }
        pawl_data_close(d);
    }
    assert_true(interrupted >= 8);
    pawl_comm_close(c);
    data_case_close(&k);
}

static off_t changing_at;

static ssize_t changing_pread(int fd, void *data, size_t bytes, off_t at)
{
    const ssize_t n = pread(fd, data, bytes, at);
    if (n > 20 && changing_at-- == 0) ((char *)data)[20] ^= 1; /* the second reading finds another digit */
    return n;
}

static void a_file_that_changes_while_it_is_read_is_refused(void **state)
{
    (void)state;
    data_case k;
    pawl_data *d;
    pawl_fs fs = quick_fs;
    open_case(&k);
    fs.pread = changing_pread;
    changing_at = 1;
    pawl_fs_in_use = &fs;
    const pawl_status s = open_alone(&k, &d);
    pawl_fs_in_use = &quick_fs;
    assert_int_equal(s, PAWL_EDATA);
    assert_non_null(strstr(pawl_last_error()->what, "a.jsonl: error: the file changed while it was read"));
    assert_int_equal(cached(&k, "", NULL), 0);
    data_case_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_prepared_is_found_again),
        cmocka_unit_test(the_key_holds_what_matters),
        cmocka_unit_test(jobs_that_prepare_at_once_agree),
        cmocka_unit_test(jobs_that_repair_at_once_agree),
        cmocka_unit_test(what_dead_jobs_left_is_removed_and_living_ones_are_left_alone),
        cmocka_unit_test(damaged_entries_are_made_again),
        cmocka_unit_test(sizes_are_compared_too),
        cmocka_unit_test(data_that_cannot_be_read_are_a_clear_error),
        cmocka_unit_test(a_cache_that_cannot_be_written_is_a_clear_error),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(a_stop_leaves_nothing_half_made),
        cmocka_unit_test(a_stop_may_come_at_any_time),
        cmocka_unit_test(a_file_that_changes_while_it_is_read_is_refused),
    };
    quick_fs = pawl_fs_posix;
    quick_fs.fsync = no_fsync;
    pawl_fs_in_use = &quick_fs;
    pawl_log_open(0, PAWL_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
