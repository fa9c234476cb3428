/* The shim itself: that it finds what is wrong with a kernel, and runs one that is right. */
#include "tests/cuda_on_cpu/cases.h"
#include "tests/cuda_on_cpu/models.h"

static void threads_wait_for_each_other(void **state)
{
    float x[MODEL_THREADS], y[MODEL_THREADS];
    (void)state;
    for (int i = 0; i < MODEL_THREADS; i++) x[i] = (float)i;
    for (uint64_t seed = 0; seed < 8; seed++) {
        pawl_shim_seed(seed);
        memset(y, 0, sizeof y);
        model_reverse(x, y);
        for (int i = 0; i < MODEL_THREADS; i++) assert_true(y[i] == x[MODEL_THREADS - 1 - i]);
    }
}

/* Without its barrier the same kernel reads poison, in every order. */
static void a_missing_barrier_shows(void **state)
{
    float x[MODEL_THREADS], y[MODEL_THREADS];
    (void)state;
    for (int i = 0; i < MODEL_THREADS; i++) x[i] = (float)i;
    for (uint64_t seed = 0; seed < 8; seed++) {
        int wrong = 0;
        pawl_shim_seed(seed);
        model_reverse_without_barrier(x, y);
        for (int i = 0; i < MODEL_THREADS; i++) wrong += y[i] != x[MODEL_THREADS - 1 - i];
        assert_true(wrong > 0);
    }
}

/* What is written over too early shows in some order. */
static void a_warp_that_is_ahead_shows(void **state)
{
    float x[MODEL_THREADS], y[MODEL_THREADS];
    int wrong[2] = {0};
    (void)state;
    for (int i = 0; i < MODEL_THREADS; i++) x[i] = (float)(1 + i / 32);
    for (uint64_t seed = 1; seed < 9; seed++) {
        pawl_shim_seed(seed);
        model_twice(x, y);
        for (int i = 0; i < MODEL_THREADS; i++) wrong[1] += y[i] != 32 * x[MODEL_THREADS - 1 - i];
        model_twice_without_barrier(x, y);
        for (int i = 0; i < MODEL_THREADS; i++) wrong[0] += y[i] != 32 * x[MODEL_THREADS - 1 - i];
    }
    assert_true(wrong[0] > 0);
    assert_int_equal(wrong[1], 0);
}

#define REFUSED(call, ...)                                                                                             \
    do {                                                                                                               \
        const char *const words_[] = {__VA_ARGS__};                                                                    \
        for (uint64_t seed_ = 0; seed_ < 4; seed_++) {                                                                 \
            pawl_shim_seed(seed_);                                                                                     \
            pawl_shim_expect_refusal(1);                                                                               \
            call;                                                                                                      \
            pawl_shim_expect_refusal(0);                                                                               \
            const char *said_ = pawl_shim_refusal();                                                                   \
            assert_non_null(said_);                                                                                    \
            for (size_t i_ = 0; i_ < sizeof words_ / sizeof *words_; i_++)                                             \
                if (!strstr(said_, words_[i_])) fail_msg("'%s' does not speak of '%s'", said_, words_[i_]);            \
        }                                                                                                              \
    } while (0)

static void threads_that_part_are_refused(void **state)
{
    int y;
    (void)state;
    REFUSED(model_two_barriers(), "one_side_kernel", "waits at the barrier", "models.cu");
    REFUSED(model_barrier_after_return(), "waits at the barrier", "thread 7 has ended");
    REFUSED(model_lanes_that_do_not_come(&y), "waits at launch.h:", "for lane");
    REFUSED(model_barrier_against_lanes(&y), "for lanes ffffffff of its warp, which do not come");
    assert_null(pawl_shim_refusal());
}

/* What a launch may ask for, and what it may not: each side of the limits. */
static void what_no_gpu_does_is_refused(void **state)
{
    enum { KIB = 1 << 10, MOST = 99 * KIB };
    (void)state;
    REFUSED(model_launch_of((int64_t)INT32_MAX + 1, 32, 0), "has_array_kernel", "2147483648 blocks", "no GPU does that");
    REFUSED(model_launch_of(((int64_t)1 << 32) + 1, 32, 0), "4294967297 blocks");
    REFUSED(model_launch_of(1, 1025, 0), "1025 threads");
    REFUSED(model_launch_of(1, 32, MOST + 1), "101377 bytes of shared memory");
    REFUSED(model_launch_of(1, 32, MOST - KIB + 1), "101377 bytes of shared memory, and a block has 101376");
    model_launch_of(1, 1024, MOST - KIB);
    assert_int_equal(pawl_shim_most_threads("has_array_kernel"), 1024);
    REFUSED(model_large_launch_of(32 * KIB), "50176 bytes of shared memory, which the launch has not asked for: a kernel has 49152 unasked");
    model_large_launch_of(31 * KIB);
    model_large_launch_of(32 * KIB + 16); /* is asked for */
}

static void sixteen_bytes_are_moved_on_sixteen(void **state)
{
    _Alignas(16) float x[8] = {1, 2, 3, 4, 5, 6, 7, 8}, y[8];
    (void)state;
    model_moves_sixteen(x + 4, y);
    assert_memory_equal(y, x + 4, 16);
    REFUSED(model_moves_sixteen(x + 1, y), "moves 16 bytes at the address", "which is not on 16, at numbers.h:");
    REFUSED(model_moves_sixteen(x, y + 2), "moves 16 bytes at the address", "which is not on 16, at numbers.h:");
}

static void what_was_not_written_is_poison(void **state)
{
    float y[MODEL_THREADS];
    (void)state;
    for (int times = 0; times < 2; times++) {
        memset(y, 0, sizeof y);
        model_reads_what_nobody_wrote(y);
        for (int i = 0; i < MODEL_THREADS; i++) assert_true(y[i] != y[i]);
    }
}

static void blocks_run_in_a_drawn_order(void **state)
{
    int last[8] = {0}, kinds = 0;
    (void)state;
    for (uint64_t seed = 0; seed < 32; seed++) {
        float y = -1;
        pawl_shim_seed(seed);
        model_last_block_wins(&y);
        assert_true(y >= 0 && y < 8 && (seed > 0 || y == 7));
        last[(int)y]++;
    }
    for (int i = 0; i < 8; i++) kinds += last[i] > 0;
    assert_true(kinds > 2);
}

static void lanes_exchange(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 4; seed++) {
        int y[64] = {0};
        pawl_shim_seed(seed);
        model_lanes(y);
        for (int i = 0; i < 64; i++) assert_int_equal(y[i], 1);
    }
}

static int taken;

static void take(pawl_stream stream, pawl_shim_work *w)
{
    assert_ptr_equal(stream, NULL);
    pawl_shim_run(w);
    w->drop(w);
    taken++;
}

/* A stand-in for the runtime gets launches with their arguments, to run when it pleases. */
static void launches_can_be_taken(void **state)
{
    float y = -1;
    const long before = pawl_shim_runs("last_kernel");
    (void)state;
    pawl_shim_take = take;
    model_last_block_wins(&y);
    pawl_shim_take = NULL;
    assert_int_equal(taken, 1);
    assert_true(y >= 0 && pawl_shim_runs("last_kernel") == before + 1);
}

const struct CMUnitTest shim_tests[] = {
    cmocka_unit_test(threads_wait_for_each_other),    cmocka_unit_test(a_missing_barrier_shows),
    cmocka_unit_test(a_warp_that_is_ahead_shows),
    cmocka_unit_test(threads_that_part_are_refused),  cmocka_unit_test(what_no_gpu_does_is_refused),
    cmocka_unit_test(sixteen_bytes_are_moved_on_sixteen), cmocka_unit_test(what_was_not_written_is_poison),
    cmocka_unit_test(blocks_run_in_a_drawn_order),    cmocka_unit_test(lanes_exchange),
    cmocka_unit_test(launches_can_be_taken),          {NULL, NULL, NULL, NULL, NULL}};
