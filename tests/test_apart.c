/* Runs: cmocka
 * The device apart (e2e/apart_memory.c, in the place of the CPU's): a touch of its memory by the host ends the program, and so does an
 * array of the host's among an op's arguments. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/ops_check.h"

static float mine[64];

static void *taken(pawl_device *d)
{
    void *block;
    assert_done(pawl_device_take(d, PAWL_ON_DEVICE, sizeof mine, "a test", &block));
    return block;
}

static void read_it(pawl_device *d)
{
    mine[0] = *(volatile float *)taken(d);
}

static void write_it(pawl_device *d)
{
    *(volatile float *)taken(d) = 1;
}

static void hand_ones_own(pawl_device *d)
{
    (void)!pawl_add(d, taken(d), mine, 64);
}

static void run_over(pawl_device *d)
{
    (void)!pawl_zero(d, taken(d), 65);
}

/* The signal that ends a process which does it; 0: none. */
static int signal_of(void (*act)(pawl_device *d))
{
    int status = 0;
    const pid_t child = fork();
    if (child == 0) {
        pawl_device *d;
        signal(SIGSEGV, SIG_DFL);
        signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO);
        if (pawl_device_open_cpu(1, "auto", &d) == PAWL_OK) act(d);
        _exit(0);
    }
    assert_true(child > 0 && waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void touches_are_faults(void **state)
{
    (void)state;
    assert_int_equal(signal_of(read_it), SIGSEGV);
    assert_int_equal(signal_of(write_it), SIGSEGV);
    assert_int_equal(signal_of(hand_ones_own), SIGABRT);
    assert_int_equal(signal_of(run_over), SIGABRT);
}

static void ops_work_between_an_upload_and_a_download(void **state)
{
    (void)state;
    pawl_device *d;
    float there[64] = {0};
    assert_done(pawl_device_open_cpu(1, "auto", &d));
    assert_false(pawl_device_shares_memory(d));
    float *block = taken(d);
    for (int i = 0; i < 64; i++) mine[i] = (float)i;
    assert_done(pawl_upload(d, block, mine, sizeof mine));
    assert_done(pawl_add(d, block, block, 64));
    assert_done(pawl_download(d, there + 1, block + 1, 62 * sizeof *there));
    for (int i = 1; i < 63; i++) assert_true(there[i] == 2 * mine[i]);
    assert_true(there[0] == 0 && there[63] == 0);
    pawl_device_give(d, PAWL_ON_DEVICE, block, sizeof mine);
    pawl_device_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(touches_are_faults),
        cmocka_unit_test(ops_work_between_an_upload_and_a_download),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
