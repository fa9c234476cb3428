/* Runs: cmocka */
/* The host side of the CUDA backend, on stand-ins for NVIDIA's libraries: memory, what goes up and down, what breaks. */
#include <dlfcn.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/span.h"
#include "optim/optim.h"
#include "tests/standin_case.h"

static void it_is_found_and_says_what_it_is(void **state)
{
    int gpus = 0;
    pawl_device *d;
    (void)state;
    done(pawl_cuda_count(&standin, &gpus));
    assert_int_equal(gpus, 1);
    assert_int_equal(pawl_device_open_cuda(&standin, 1, &d), PAWL_EUSAGE);
    d = open_device();
    assert_string_equal(pawl_device_describe(d), "cuda stand-in sm_90 cublaslt 13.0.0");
    assert_false(pawl_device_shares_memory(d));
    assert_true(pawl_device_gemm_rate(d, PAWL_BF16) > 0 && pawl_device_gemm_rate(d, PAWL_F32) > 0 && pawl_device_memory_rate(d) > 0);
    pawl_device_close(d);
}

/* Where each entry of the table is; the name and shares_memory are not functions. */
static void every_entry_of_the_table_is_there(void **state)
{
    const size_t word = sizeof(void (*)(void)), data = offsetof(pawl_ops, shares_memory);
    pawl_device *d = open_device();
    (void)state;
    for (size_t at = offsetof(pawl_ops, close); at < sizeof(pawl_ops); at += word) {
        void (*entry)(void);
        memcpy(&entry, (const char *)d->ops + at, word);
        if (at != data && !entry) fail_msg("entry number %zu of ops/backend.h is missing in the CUDA backend's table", at / word);
    }
    pawl_device_close(d);
}

/* Pieces of all sizes, up and down, more than the staging holds; what is taken is zeros. */
static void what_goes_up_comes_down(void **state)
{
    enum { NUMBERS = 9 << 20 };
    uint32_t dice = 1;
    float *here = malloc(NUMBERS * sizeof *here), *there = malloc(NUMBERS * sizeof *there);
    void *block;
    pawl_device *d = open_device();
    (void)state;
    done(pawl_device_take(d, PAWL_ON_DEVICE, NUMBERS * sizeof *here, "a test", &block));
    done(pawl_download(d, there, block, NUMBERS * sizeof *there));
    for (int i = 0; i < NUMBERS; i++) assert_true(there[i] == 0);
    for (int i = 0; i < NUMBERS; i++) here[i] = number(&dice);
    for (int64_t at = 0, n; at < NUMBERS; at += n) { /* what is uploaded may be changed at once */
        float some[5000];
        n = 1 + roll(&dice) % 5000;
        if (at > 1 << 18 || at + n > NUMBERS) n = NUMBERS - at;
        if (n <= 5000) memcpy(some, here + at, (size_t)n * sizeof *some);
        done(pawl_upload(d, (float *)block + at, n <= 5000 ? some : here + at, (size_t)n * sizeof *here));
        if (n <= 5000) memset(some, 0xff, sizeof some);
    }
    done(pawl_scale(d, (pawl_tensor){.data = block, .ndim = 1, .dim = {NUMBERS}}, 2));
    done(pawl_download(d, there, block, NUMBERS * sizeof *there));
    for (int i = 0; i < NUMBERS; i++) assert_true(there[i] == 2 * here[i]);
    pawl_device_give(d, PAWL_ON_DEVICE, block, NUMBERS * sizeof *here);
    assert_int_equal(pawl_device_take(d, PAWL_ON_DEVICE, (size_t)1 << 40, "far too much", &block), PAWL_EMEM);
    assert_non_null(strstr(pawl_last_error()->what, "far too much"));
    done(pawl_device_take(d, PAWL_ON_DEVICE, sizeof *here, "a test", &block));
    done(pawl_scale(d, (pawl_tensor){.data = block, .ndim = 1, .dim = {1}}, 2)); /* that was no error of the next op */
    pawl_device_give(d, PAWL_ON_DEVICE, block, sizeof *here);
    pawl_device_close(d);
    free(here);
    free(there);
}

/* What the stand-in is there for: a host that reads the device's memory does not live. */
static void a_host_that_touches_the_devices_memory_dies(void **state)
{
    void *block;
    pawl_device *d = open_device();
    (void)state;
    done(pawl_device_take(d, PAWL_ON_DEVICE, 64, "a test", &block));
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        _exit(*(volatile char *)block);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGSEGV);
    pawl_device_give(d, PAWL_ON_DEVICE, block, 64);
    pawl_device_close(d);
}

/* A kernel that goes astray is found by a later call, whose sentence says so; in a process of its own. */
static int says_what_broke(void)
{
    const char *what;
    float x[4];
    void *block;
    pawl_device *d = open_device();
    done(pawl_device_take(d, PAWL_ON_DEVICE, sizeof x, "a test", &block));
    setenv("PAWL_STANDIN_FAULT", "0", 1);
    done(pawl_scale(d, (pawl_tensor){.data = block, .ndim = 1, .dim = {4}}, 2));
    if (pawl_download(d, x, block, sizeof x) != PAWL_EBUG) return 1;
    what = pawl_last_error()->what;
    if (!strstr(what, "an illegal memory access was encountered (of a kernel before this call; with CUDA_LAUNCH_BLOCKING=1")) return 2;
    if (pawl_scale(d, (pawl_tensor){.data = block, .ndim = 1, .dim = {4}}, 2) != PAWL_EBUG) return 3;
    const pawl_error why = *pawl_last_error();
    pawl_device_give(d, PAWL_ON_DEVICE, block, sizeof x);
    pawl_device_close(d);
    return memcmp(&why, pawl_last_error(), sizeof why) == 0 ? 0 : 4; /* what is given back on the way out says nothing of its own */
}

static void a_gpu_that_breaks_is_told_of(void **state)
{
    int how;
    (void)state;
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) _exit(says_what_broke());
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
}

/* While spans are recorded an op is through when it returns: that is how long it took. Else the host goes ahead. */
static void a_timed_op_is_waited_for(void **state)
{
    static const pawl_rates rates = {.f32_flops = 1, .bf16_flops = 1, .bytes = 1};
    float x[4] = {1, 2, 3, 4};
    void *block;
    pawl_spans *spans;
    int idle = 0;
    pawl_device *d = open_device();
    int (*is_idle)(void) = (int (*)(void))dlsym(dlopen(PAWL_STANDIN, RTLD_NOW), "standin_is_idle");
    (void)state;
    assert_non_null(is_idle);
    done(pawl_device_take(d, PAWL_ON_DEVICE, sizeof x, "a test", &block));
    done(pawl_upload(d, block, x, sizeof x));
    const pawl_tensor t = {.data = block, .ndim = 1, .dim = {4}};
    for (int i = 0; i < 20; i++) {
        done(pawl_scale(d, t, 1));
        idle += is_idle();
    }
    assert_true(idle < 20);
    done(pawl_spans_open(1, &spans));
    pawl_device_time(d, &rates);
    pawl_spans_record(spans);
    for (int i = 0; i < 20; i++) {
        done(pawl_scale(d, t, 1));
        assert_true(is_idle());
    }
    pawl_spans_close(spans);
    pawl_device_time(d, NULL);
    pawl_device_give(d, PAWL_ON_DEVICE, block, sizeof x);
    pawl_device_close(d);
}

/* The weights after some steps of sgd with momentum, whose state is the host's or the device's: of one tensor of `count` numbers, and many small ones. */
enum { TENSORS = 12, SMALL = 700 };
static void train(int offload, int64_t count, float *out)
{
    enum { STEPS = 3 };
    const int64_t all = count + (TENSORS - 1) * SMALL;
    pawl_extent parts[TENSORS] = {pawl_extent_vector(0, count)};
    for (int i = 1; i < TENSORS; i++) parts[i] = pawl_extent_vector(count + (i - 1) * SMALL, SMALL);
    const size_t bytes = (size_t)all * sizeof(float);
    pawl_device *d = open_device();
    pawl_optim_config c;
    pawl_optim *o;
    float *numbers = malloc(bytes), *w, *g;
    uint32_t dice = 5;
    pawl_fields_default(pawl_optim_rows, &c);
    c.optimizer = 2; /* sgd */
    c.sgd_momentum = 0.9;
    c.max_grad_norm = 0;
    c.offload_optimizer = offload;
    done(pawl_device_take(d, PAWL_ON_DEVICE, bytes, "weights", (void **)&w));
    done(pawl_device_take(d, PAWL_ON_DEVICE, bytes, "gradients", (void **)&g));
    done(pawl_optim_open(&c, d, parts, TENSORS, 0, all, &o));
    const pawl_room room = pawl_optim_bytes(&c, d, parts, TENSORS, 0, all);
    assert_true(offload ? room.host > bytes && room.device < 2 * bytes + (1 << 20) : room.device > bytes && room.host < bytes);
    for (int64_t step = 0; step < STEPS; step++) {
        for (int64_t i = 0; i < all; i++) numbers[i] = number(&dice);
        done(pawl_upload(d, g, numbers, bytes));
        done(pawl_optim_step(o, w, g, 1, 0.1, step));
    }
    done(pawl_download(d, out, w, bytes));
    pawl_optim_close(o);
    pawl_device_give(d, PAWL_ON_DEVICE, w, bytes);
    pawl_device_give(d, PAWL_ON_DEVICE, g, bytes);
    pawl_device_close(d);
    free(numbers);
}

/* Two chunks of one tensor, the second cut short, and one of each other. */
static void state_in_the_hosts_memory_changes_no_bit(void **state)
{
    const int64_t count = ((int64_t)1 << 22) + 5000;
    const size_t bytes = (size_t)(count + (TENSORS - 1) * SMALL) * sizeof(float);
    float *with = malloc(bytes), *without = malloc(bytes);
    (void)state;
    train(1, count, with);
    train(0, count, without);
    assert_memory_equal(with, without, bytes);
    free(with);
    free(without);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_found_and_says_what_it_is),
        cmocka_unit_test(every_entry_of_the_table_is_there),
        cmocka_unit_test(what_goes_up_comes_down),
        cmocka_unit_test(a_timed_op_is_waited_for),
        cmocka_unit_test(a_gpu_that_breaks_is_told_of),
        cmocka_unit_test(a_host_that_touches_the_devices_memory_dies),
        cmocka_unit_test(state_in_the_hosts_memory_changes_no_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
