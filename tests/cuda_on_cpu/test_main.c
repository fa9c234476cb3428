/* Every kernel of ops/cuda, compiled for the CPU, against the CPU backend; at the end each of them has to have run, and those
 * of the sources are those of the list. */
#include <glob.h>

#include "ops/cuda/kernels_list.h"
#include "tests/cuda_on_cpu/cases.h"

static const struct CMUnitTest *const parts[] = {shim_tests,   elementwise_tests, optimizer_tests, norm_tests,
                                                column_tests, embedding_tests,   quant_tests,     sum_tests,
                                                attention_tests, head_tests};

#define NAME(kernel) #kernel,
static const char *const kernels[] = {PAWL_CUDA_KERNELS(NAME)};

static void every_kernel_has_run(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
        if (pawl_shim_runs(kernels[i]) == 0) fail_msg("%s of ops/cuda/kernels_list.h has not run", kernels[i]);
}

static int is_listed(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
        if (strlen(kernels[i]) == length && strncmp(kernels[i], name, length) == 0) return 1;
    return 0;
}

/* nvcc keeps a kernel's registers few enough for as many threads as __launch_bounds__ says, and else for none in particular: a block
 * of more than 256, which may have 255 each, is then refused by the GPU. */
static void is_bounded(const char *path, const char *name, size_t length, int bounded)
{
    char kernel[64] = "";
    assert_true(length < sizeof kernel);
    memcpy(kernel, name, length);
    if (!bounded && pawl_shim_most_threads(kernel) > 256)
        fail_msg("%s: %s runs in blocks of %u threads, and has no __launch_bounds__", path, kernel, pawl_shim_most_threads(kernel));
}

/* Behind each "__global__ void", and the bounds of a launch, there is a name. Returns how many there are. */
static int names_in(const char *path)
{
    static char text[1 << 16];
    FILE *file = fopen(path, "r");
    int count = 0;
    assert_non_null(file);
    const size_t bytes = fread(text, 1, sizeof text - 1, file);
    assert_int_equal(fclose(file), 0);
    assert_true(bytes < sizeof text - 1);
    text[bytes] = 0;
    for (const char *at = text; (at = strstr(at, "__global__ void ")); count++) {
        at += strlen("__global__ void ");
        const int bounded = strncmp(at, "__launch_bounds__", 17) == 0;
        if (bounded) at = strchr(at, ')') + 2;
        const size_t length = strcspn(at, "(");
        is_bounded(path, at, length, bounded);
        if (!is_listed(at, length)) fail_msg("%s: %.*s is not in ops/cuda/kernels_list.h", path, (int)length, at);
    }
    return count;
}

static void every_kernel_is_listed(void **state)
{
    char pattern[512];
    glob_t found;
    int count = 0;
    (void)state;
    snprintf(pattern, sizeof pattern, "%s/ops/cuda/*.cu", getenv("PAWL_SOURCE") ? getenv("PAWL_SOURCE") : ".");
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) count += names_in(found.gl_pathv[i]);
    globfree(&found);
    assert_int_equal(count, sizeof kernels / sizeof *kernels);
}

static int open_cpu(void **state)
{
    (void)state;
    assert_done(pawl_device_open_cpu(1, "auto", &at_hand.cpu));
    assert_done(pawl_device_reserve(at_hand.cpu, &largest));
    at_hand.fused = strstr(pawl_device_describe(at_hand.cpu), "generic") == NULL;
    return 0;
}

/* After a case that failed, too. The next one draws its numbers from the start: they do not depend on the cases before it. */
static int forget_case(void **state)
{
    (void)state;
    end_case();
    at_hand.which = 0;
    return 0;
}

static int close_cpu(void **state)
{
    (void)state;
    pawl_device_close(at_hand.cpu);
    return 0;
}

/* test_cuda_kernels [PATTERN]: cases whose names match (* and ?); then what has run is not counted. */
int main(int argc, char **argv)
{
    enum { TESTS_MOST = 200 };
    struct CMUnitTest tests[TESTS_MOST] = {{NULL, NULL, NULL, NULL, NULL}};
    int count = 0;
    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++)
        for (const struct CMUnitTest *t = parts[p]; t->name && count < TESTS_MOST - 1; t++) {
            tests[count] = *t;
            tests[count++].teardown_func = forget_case;
        }
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    } else {
        tests[count++] = (struct CMUnitTest)cmocka_unit_test(every_kernel_is_listed);
        tests[count++] = (struct CMUnitTest)cmocka_unit_test(every_kernel_has_run);
    }
    return _cmocka_run_group_tests("cuda_on_cpu", tests, (size_t)count, open_cpu, close_cpu);
}
