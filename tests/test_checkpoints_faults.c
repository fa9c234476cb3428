/* Runs: cmocka
 * Every call to the file system that a save makes fails once in every way: nothing hangs, what was there before stays
 * whole, the run can go on saving, and what is resumed is exact. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/file.h"
#include "core/log.h"
#include "tests/checkpoint_sample.h"
#include "tests/faulty_fs.h"

enum { SMALL = 4 }; /* the first of the rows that are shorter than a chunk */

typedef struct bench { /* a run that saves again and again */
    char dir[64];
    pawl_comm *alone;
    sample s;
    pawl_saver *saver;
    int step; /* the last one that was published, which is also the generation of its numbers */
} bench;

static void assert_ok(pawl_status s)
{
    if (s != PAWL_OK) print_error("%s [%s]\n", pawl_last_error()->what, pawl_last_error()->trail);
    assert_int_equal(s, PAWL_OK);
}

static const faulty_plan no_fault = {.no_sync = 1};

static int set_up(void **state)
{
    bench *b = calloc(1, sizeof *b);
    *state = b;
    snprintf(b->dir, sizeof b->dir, "/tmp/pawl-faults-XXXXXX");
    if (!b || !mkdtemp(b->dir) || pawl_comm_open_alone(&b->alone) != PAWL_OK) return -1;
    if (!sample_open(&b->s, SMALL, SAMPLE_ROWS, 1)) return -1;
    return pawl_saver_open(b->alone, b->dir, &b->s.state, 2, &b->saver) == PAWL_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    bench *b = *state;
    faulty_fs_remove();
    pawl_saver_close(b->saver);
    sample_close(&b->s);
    pawl_comm_close(b->alone);
    const pawl_status s = pawl_dir_remove(b->dir);
    free(b);
    return s == PAWL_OK ? 0 : -1;
}

/* Saves the next step under that plan. */
static pawl_status save_next(bench *b, const faulty_plan *plan, long *hits)
{
    int published;
    const int step = b->step + 1;
    sample_fill(&b->s, step);
    faulty_fs_install(plan);
    const pawl_status s = sample_save(b->saver, step, step % 7 == 0, &published);
    *hits = faulty_fs_remove();
    assert_int_equal(published, s == PAWL_OK);
    assert_int_equal(pawl_save_busy(b->saver), 0);
    if (s == PAWL_OK) b->step = step;
    return s;
}

/* The newest checkpoint is the last one published, or one whose save failed only after it was there; it is exact. */
static void assert_resumes(const bench *b)
{
    sample found, expected;
    pawl_checkpoint *k;
    char path[512];
    int64_t lost;
    assert_ok(pawl_checkpoint_find(b->dir, 1, path, sizeof path, &lost));
    assert_int_equal(lost, 0);
    assert_ok(pawl_checkpoint_open(path, &k));
    const int step = (int)pawl_checkpoint_step(k);
    assert_true(step == b->step || step == b->step + 1);
    assert_true(sample_open(&found, SMALL, SAMPLE_ROWS, 0) && sample_open(&expected, SMALL, SAMPLE_ROWS, step));
    assert_ok(pawl_checkpoint_read(k, &found.state));
    assert_true(sample_same(&found, &expected));
    sample_close(&found);
    sample_close(&expected);
    pawl_checkpoint_close(k);
}

/* Hits call 1, 2, 3, ... of a save until there is no such call. Returns how many there were. */
static long fail_every_call(bench *b, faulty_plan plan, int must_succeed)
{
    long hits = 1, n = 1;
    assert_ok(save_next(b, &no_fault, &(long){0}));
    for (; hits > 0; n++) {
        plan.nth = n;
        const pawl_status s = save_next(b, &plan, &hits);
        if (s != PAWL_OK) {
            assert_false(must_succeed);
            assert_true(hits > 0);
            assert_true(s == PAWL_EIO || s == PAWL_EDATA);
            assert_true(strlen(pawl_last_error()->what) > 10);
        }
        assert_resumes(b);
        if (s != PAWL_OK) assert_ok(save_next(b, &no_fault, &(long){0})); /* the step that failed, again */
        assert_resumes(b);
    }
    return n - 2;
}

static void no_call_that_fails_costs_a_checkpoint(void **state)
{
    static const int causes[] = {EIO, ENOSPC, EDQUOT, EROFS, EACCES};
    bench *b = *state;
    for (size_t i = 0; i < sizeof causes / sizeof *causes; i++) {
        const faulty_plan plan = {.error = causes[i], .no_sync = 1};
        assert_true(fail_every_call(b, plan, 0) > 30); /* a save makes more calls than that, or nothing was tried */
    }
}

static void from_one_call_on_everything_fails(void **state)
{
    const faulty_plan plan = {.error = ENOSPC, .forever = 1, .no_sync = 1};
    assert_true(fail_every_call(*state, plan, 0) > 30);
}

static void short_reads_and_writes_are_completed(void **state)
{
    const faulty_plan plan = {.error = 0, .no_sync = 1};
    assert_true(fail_every_call(*state, plan, 1) > 30);
}

static void interrupted_calls_are_made_again(void **state)
{
    static const char *const ops[] = {"open", "pread", "pwrite", "fallocate", "ftruncate", "close"};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        const faulty_plan plan = {.op = ops[i], .error = EINTR, .no_sync = 1};
        assert_true(fail_every_call(*state, plan, 1) > 0);
    }
}

static void a_failed_fsync_is_a_failed_save(void **state)
{
    bench *b = *state;
    long hits;
    assert_ok(save_next(b, &no_fault, &hits));
    for (int n = 1; n <= 3; n++) { /* tensors, manifest, folder: before anyone can see the checkpoint */
        const faulty_plan plan = {.op = "fsync", .nth = n, .error = EIO, .no_sync = 1};
        assert_int_equal(save_next(b, &plan, &hits), PAWL_EIO);
        assert_non_null(strstr(pawl_last_error()->what, "fsync"));
        assert_false(pawl_path_exists(sample_path(b->dir, b->step + 1, NULL)));
    }
}

/* On a full disk what was begun is removed at once, and the error names the file and the cause. */
static void a_full_disk_is_named_and_not_left_full(void **state)
{
    static const char *const ops[] = {"fallocate", "pwrite"};
    bench *b = *state;
    long hits;
    char part[600];
    assert_ok(save_next(b, &no_fault, &hits));
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        const faulty_plan plan = {
            .op = ops[i], .path = "checkpoint.h5", .nth = 1, .forever = 1, .error = ENOSPC, .no_sync = 1};
        assert_int_equal(save_next(b, &plan, &hits), PAWL_EIO);
        assert_non_null(strstr(pawl_last_error()->what, "checkpoint.h5"));
        assert_non_null(strstr(pawl_last_error()->what, "No space left on device"));
        snprintf(part, sizeof part, "%s.part", sample_path(b->dir, b->step + 1, NULL));
        assert_false(pawl_path_exists(part));
    }
}

static void a_read_only_folder_is_named(void **state)
{
    bench *b = *state;
    long hits;
    const faulty_plan plan = {.op = "mkdir", .path = ".part", .nth = 1, .error = EROFS, .no_sync = 1};
    assert_int_equal(save_next(b, &plan, &hits), PAWL_EIO);
    assert_non_null(strstr(pawl_last_error()->what, "step-000000001.part"));
    assert_non_null(strstr(pawl_last_error()->what, "Read-only"));
}

/* Memory that runs out anywhere in a save fails that save and nothing else. */
static void an_allocation_that_fails_is_a_failed_save(void **state)
{
    bench *b = *state;
    long hits;
    assert_ok(save_next(b, &no_fault, &hits));
    for (long n = 1;; n++) {
        const long before = pawl_alloc_count();
        pawl_alloc_fail_after(n);
        const pawl_status s = save_next(b, &no_fault, &hits);
        pawl_alloc_fail_after(0);
        const int reached = pawl_alloc_count() - before >= n;
        assert_resumes(b);
        if (s != PAWL_OK) assert_ok(save_next(b, &no_fault, &hits));
        if (!reached) break;
        assert_true(n < 100000);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    pawl_log_open(0, PAWL_LOG_ERROR); /* the warnings are expected */
    const struct CMUnitTest tests[] = {
        TEST(no_call_that_fails_costs_a_checkpoint), TEST(from_one_call_on_everything_fails),
        TEST(short_reads_and_writes_are_completed),  TEST(interrupted_calls_are_made_again),
        TEST(a_failed_fsync_is_a_failed_save),       TEST(a_full_disk_is_named_and_not_left_full),
        TEST(a_read_only_folder_is_named),           TEST(an_allocation_that_fails_is_a_failed_save),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
