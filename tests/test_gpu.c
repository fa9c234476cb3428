/* Runs: cmocka */
/* Which device a rank computes on, on a machine without a GPU: what auto and cuda say, and whose GPU is whose. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "launch/launch.h"

static const pawl_cuda_place without_driver = {.library = "libpawl_cuda.so", .driver = "libno-such-driver.so.1"},
                             without_part = {.library = "libno-such-part.so", .driver = NULL},
                             no_part = {.library = "libm.so.6", .driver = NULL},
                             other_part = {.library = PAWL_OTHER_PART, .driver = NULL};

static pawl_status open_on(const pawl_cuda_place *where, pawl_device_choice choice, pawl_device **out)
{
    const pawl_comm alone = {.size = 1, .local_size = 1};
    pawl_cuda_in_use = where;
    return pawl_open_device(&alone, choice, 1, 0, out);
}

static void cuda_is_refused_where_it_cannot_be(void **state)
{
    static const struct { const pawl_cuda_place *where; const char *why; } cases[] = {
        {&without_driver, "there is no NVIDIA driver (libno-such-driver.so.1)"},
        {&without_part, "libno-such-part.so: cannot open shared object file"},
        {&no_part, "libm.so.6 was not built with this program"},
        {&other_part, "was not built with this program: install both from one build"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pawl_device *d = NULL;
        assert_int_equal(open_on(cases[i].where, PAWL_DEVICE_CUDA, &d), PAWL_EUSAGE);
        assert_non_null(strstr(pawl_last_error()->what, "device: cuda, but "));
        if (!strstr(pawl_last_error()->what, cases[i].why)) fail_msg("'%s' does not say '%s'", pawl_last_error()->what, cases[i].why);
        assert_null(d);
    }
}

static void auto_takes_the_cpu_there(void **state)
{
    const pawl_cuda_place *const places[] = {&without_driver, &without_part, &no_part, &other_part};
    (void)state;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        pawl_device *d;
        assert_int_equal(open_on(places[i], PAWL_DEVICE_AUTO, &d), PAWL_OK);
        assert_memory_equal(pawl_device_describe(d), "cpu ", 4);
        pawl_device_close(d);
    }
}

/* What auto says on stderr. */
static void said_by(const pawl_cuda_place *where, int trains, char *out, size_t room)
{
    const pawl_comm alone = {.size = 1, .local_size = 1};
    FILE *to = tmpfile();
    const int err = dup(STDERR_FILENO);
    pawl_device *d;
    assert_true(to && err >= 0 && dup2(fileno(to), STDERR_FILENO) >= 0);
    pawl_cuda_in_use = where;
    const pawl_status s = pawl_open_device(&alone, PAWL_DEVICE_AUTO, 1, trains, &d);
    assert_true(dup2(err, STDERR_FILENO) >= 0);
    close(err);
    assert_int_equal(s, PAWL_OK);
    pawl_device_close(d);
    rewind(to);
    out[fread(out, 1, room - 1, to)] = 0;
    fclose(to);
}

/* That a machine has no GPU is a line where a run trains, and nothing in eval or generate; a driver without its part always is. */
static void auto_says_why_where_it_matters(void **state)
{
    char line[512];
    (void)state;
    said_by(&without_driver, 1, line, sizeof line);
    assert_non_null(strstr(line, "device: auto: there is no NVIDIA driver (libno-such-driver.so.1); computing on the CPU"));
    said_by(&without_driver, 0, line, sizeof line);
    assert_string_equal(line, "");
    said_by(&without_part, 0, line, sizeof line);
    assert_non_null(strstr(line, "device: auto: the CUDA backend cannot be loaded: libno-such-part.so"));
}

/* launch/test names the part that nvcc has made; without a GPU it says so, and with one it opens. */
static void the_part_that_was_built_is_loaded(void **state)
{
    const pawl_cuda_place built = {.library = getenv("PAWL_CUDA_PART")};
    pawl_device *d;
    (void)state;
    if (!built.library) skip();
    if (open_on(&built, PAWL_DEVICE_CUDA, &d) == PAWL_OK) {
        assert_memory_equal(pawl_device_describe(d), "cuda ", 5);
        pawl_device_close(d);
    } else if (!strstr(pawl_last_error()->what, "the NVIDIA driver shows no GPU")) {
        fail_msg("%s", pawl_last_error()->what);
    }
}

static const char *const launchers[] = {"OMPI_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "PMI_LOCAL_RANK",
                                        "PALS_LOCAL_RANKID", "FLUX_TASK_LOCAL_ID", "JSM_NAMESPACE_LOCAL_RANK", "SLURM_LOCALID"};

static void each_rank_of_a_machine_has_its_gpu(void **state)
{
    const pawl_comm fifth = {.rank = 21, .size = 32, .local_rank = 5, .local_size = 8};
    (void)state;
    for (size_t i = 0; i < sizeof launchers / sizeof *launchers; i++) unsetenv(launchers[i]);
    assert_int_equal(pawl_gpu_here(&fifth, 8), 5); /* as MPI says */
    assert_int_equal(pawl_gpu_here(&fifth, 1), 0); /* CUDA_VISIBLE_DEVICES shows each rank its own */
    assert_int_equal(pawl_gpu_here(&fifth, 4), 1); /* two ranks on each */
    setenv("SLURM_LOCALID", "0", 1); /* of the script that mpiexec was started from */
    assert_int_equal(pawl_gpu_here(&fifth, 8), 5);
    setenv("SLURM_LOCALID", "3", 1); /* a container for each rank: MPI sees it alone */
    const pawl_comm alone = {.rank = 3, .size = 4, .local_rank = 0, .local_size = 1};
    assert_int_equal(pawl_gpu_here(&alone, 8), 3);
    setenv("SLURM_LOCALID", "three", 1);
    assert_int_equal(pawl_gpu_here(&alone, 8), 0);
    setenv("SLURM_LOCALID", "0", 1);
    for (size_t i = 0; i + 1 < sizeof launchers / sizeof *launchers; i++) {
        setenv(launchers[i], "6", 1);
        assert_int_equal(pawl_gpu_here(&alone, 8), 6); /* before Slurm's */
        assert_int_equal(pawl_gpu_here(&alone, 4), 2);
        unsetenv(launchers[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuda_is_refused_where_it_cannot_be),
        cmocka_unit_test(auto_takes_the_cpu_there),
        cmocka_unit_test(auto_says_why_where_it_matters),
        cmocka_unit_test(the_part_that_was_built_is_loaded),
        cmocka_unit_test(each_rank_of_a_machine_has_its_gpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
