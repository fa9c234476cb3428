/* Runs: cmocka */
/* Blocks of ops as CUDA graphs, on the stand-ins: what is launched again is what was asked for, and nothing else. */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ops/backend.h"

enum { N = 8, D = 16, NUMBERS = N * D };

static const pawl_cuda_place standin = {.library = PAWL_STANDIN};

static void done(pawl_status s)
{
    if (s != PAWL_OK) fail_msg("%s [%s]", pawl_last_error()->what, pawl_last_error()->trail);
}

static pawl_device *open_device(int graphs)
{
    pawl_device *d;
    done(pawl_device_open_cuda(&standin, 0, &d));
    done(pawl_device_graphs(d, graphs));
    return d;
}

/* How many graphs have been launched so far. */
static long launches(void)
{
    void *library = dlopen(PAWL_STANDIN, RTLD_NOW | RTLD_NOLOAD);
    long (*count)(void);
    assert_non_null(library);
    *(void **)&count = dlsym(library, "standin_graph_launches");
    assert_non_null(count);
    const long so_far = count();
    dlclose(library);
    return so_far;
}

static float ones[NUMBERS];

static float *take(pawl_device *d, const float *from)
{
    void *to;
    done(pawl_device_take(d, PAWL_ON_DEVICE, NUMBERS * sizeof(float), "a test", &to));
    done(pawl_upload(d, to, from, NUMBERS * sizeof(float)));
    return to;
}

static pawl_tensor matrix(float *data)
{
    return (pawl_tensor){.data = data, .dtype = PAWL_F32, .ndim = 2, .dim = {N, D}};
}

static pawl_tensor vector(float *data, int64_t count)
{
    return (pawl_tensor){.data = data, .dtype = PAWL_F32, .ndim = 1, .dim = {count}};
}

static void expect(pawl_device *d, const float *there, float number)
{
    float here[NUMBERS];
    done(pawl_download(d, here, there, sizeof here));
    for (int i = 0; i < NUMBERS; i++) assert_true(here[i] == number);
}

/* Every entry of the table goes to the recorder while a block is open, or does nothing on the device: one that went
 * around it would be issued before what it comes behind. */
static void no_entry_goes_around_the_recorder(void **state)
{
#define AT(entry) offsetof(pawl_ops, entry)
    static const size_t around[] = {AT(close),         AT(scratch_bytes), AT(threads), AT(describe), AT(algorithms),
                                    AT(shares_memory), AT(own),           AT(memory),  AT(parallel), AT(fp8)};
    const size_t word = sizeof(void (*)(void));
    pawl_device *d = open_device(1);
    const pawl_ops *plain = d->ops;
    (void)state;
    done(pawl_device_block_begin(d));
    const pawl_ops *recording = d->ops;
    done(pawl_device_block_end(d));
    assert_ptr_equal(d->ops, plain);
    for (size_t at = AT(close); at < sizeof(pawl_ops); at += word) {
        int listed = 0;
        for (size_t i = 0; i < sizeof around / sizeof *around; i++) listed |= around[i] == at;
        void (*entry)(void);
        memcpy(&entry, (const char *)recording + at, word);
        if (!entry && at != AT(shares_memory))
            fail_msg("entry number %zu of ops/backend.h has no row in ops/cuda/recorder.c", at / word);
        const int same = memcmp((const char *)plain + at, (const char *)recording + at, word) == 0;
        if (same != listed)
            fail_msg("entry number %zu of ops/backend.h %s a row in ops/cuda/recorder.c", at / word,
                     listed ? "needs no" : "needs");
    }
    pawl_device_close(d);
}

/* The same of the tables that hang on it. */
static void no_part_of_the_table_is_missing(void **state)
{
#define PART(part) {#part, sizeof *((pawl_ops *)0)->part, (const char *)plain->part, (const char *)recording->part}
    pawl_device *d = open_device(1);
    const pawl_ops *plain = d->ops;
    (void)state;
    done(pawl_device_block_begin(d));
    const pawl_ops *recording = d->ops;
    done(pawl_device_block_end(d));
    const struct { const char *name; size_t bytes; const char *plain, *recording; } parts[] = {PART(aside), PART(carrier), PART(snapper)};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        for (size_t at = 0; at < parts[i].bytes; at += sizeof(void (*)(void))) {
            void (*entry)(void);
            memcpy(&entry, parts[i].recording + at, sizeof entry);
            if (!entry) fail_msg("%s, entry number %zu, has no row in ops/cuda/recorder.c", parts[i].name, at / sizeof entry);
            assert_memory_not_equal(parts[i].plain + at, parts[i].recording + at, sizeof entry);
        }
    pawl_device_close(d);
}

/* An error may leave a block open: who gives memory back waits for the device all the same. */
static void an_open_block_is_waited_for(void **state)
{
    pawl_device *d = open_device(1);
    (void)state;
    float *x = take(d, ones), *y = take(d, ones);
    done(pawl_device_block_begin(d));
    done(pawl_add(d, x, y, NUMBERS));
    pawl_device_settle(d);
    expect(d, x, 2);
    pawl_device_close(d);
}

/* a = by (a + b), and more of it: four ops. */
static void block(pawl_device *d, float *a, const float *b, float by)
{
    done(pawl_device_block_begin(d));
    done(pawl_add(d, a, b, NUMBERS));
    done(pawl_scale(d, matrix(a), by));
    done(pawl_add(d, a, b, NUMBERS));
    done(pawl_scale(d, matrix(a), 1));
    done(pawl_device_block_end(d));
}

static void what_comes_again_is_launched_as_it_was(void **state)
{
    float a = 1;
    pawl_device *d = open_device(1);
    (void)state;
    float *x = take(d, ones), *y = take(d, ones);
    const long before = launches();
    for (int i = 0; i < 6; i++) { /* seen, captured, then launched; with other numbers meanwhile */
        block(d, x, y, 2);
        a = (a + 1) * 2 + 1;
        expect(d, x, a);
    }
    assert_int_equal(launches() - before, 5);
    block(d, x, y, 3); /* one argument is another */
    a = (a + 1) * 3 + 1;
    expect(d, x, a);
    float *z = take(d, ones);
    block(d, z, y, 2); /* an address */
    expect(d, z, 5);
    expect(d, x, a);
    assert_int_equal(launches() - before, 5);
    for (int i = 0; i < 2; i++) { /* each of the two has a graph of its own */
        block(d, x, y, 3);
        block(d, x, y, 2);
        a = ((a + 1) * 3 + 1 + 1) * 2 + 1;
    }
    expect(d, x, a);
    assert_int_equal(launches() - before, 5 + 4);
    pawl_device_close(d);
}

/* What is not written down comes behind what is, and before what follows. */
static void everything_keeps_its_place(void **state)
{
    float here[NUMBERS];
    pawl_device *d = open_device(1);
    (void)state;
    float *x = take(d, ones);
    for (int i = 0; i < 4; i++) {
        done(pawl_device_block_begin(d));
        for (int k = 0; k < 3; k++) done(pawl_add(d, x, x, NUMBERS));
        done(pawl_download(d, here, x, sizeof here));
        assert_true(here[7] == 8);
        done(pawl_upload(d, x, ones, sizeof ones));
        for (int k = 0; k < 4; k++) done(pawl_add(d, x, x, NUMBERS));
        done(pawl_lerp(d, x, x, 0.5f, NUMBERS));
        done(pawl_add(d, x, x, NUMBERS)); /* one op alone */
        done(pawl_device_block_end(d));
        expect(d, x, 32);
        done(pawl_upload(d, x, ones, sizeof ones));
    }
    assert_true(launches() > 0);
    pawl_device_close(d);
}

/* More ops than are written down at a time, and more kinds of blocks than there are graphs of a shape. */
static void a_long_block_is_issued_in_parts(void **state)
{
    enum { OPS = 3000 };
    float zeros[NUMBERS] = {0};
    pawl_device *d = open_device(1);
    (void)state;
    float *x = take(d, zeros), *y = take(d, ones);
    for (int turn = 1; turn <= 3; turn++) {
        done(pawl_device_block_begin(d));
        for (int i = 0; i < OPS; i++) done(pawl_add(d, x, y, NUMBERS));
        done(pawl_device_block_end(d));
        expect(d, x, (float)(turn * OPS));
    }
    pawl_device_close(d);
}

/* Our own attention finds documents where they lie: how many the host counts is no argument of it. */
static void documents_make_no_graph_of_their_own(void **state)
{
    float numbers[NUMBERS * 3];
    int32_t starts[N] = {0};
    void *s, *bounds, *x;
    pawl_device *d = open_device(1);
    (void)state;
    for (int i = 0; i < NUMBERS * 3; i++) numbers[i] = 1;
    done(pawl_device_take(d, PAWL_ON_DEVICE, sizeof numbers, "a test", &x));
    done(pawl_device_take(d, PAWL_ON_DEVICE, sizeof starts, "a test", &s));
    done(pawl_device_take(d, PAWL_ON_DEVICE, (N + 1) * sizeof(int32_t), "a test", &bounds));
    done(pawl_upload(d, x, numbers, sizeof numbers));
    float *out = take(d, numbers), *lse = take(d, numbers);
    const pawl_tensor qkv = {.data = x, .dtype = PAWL_F32, .ndim = 2, .dim = {N, 3 * D}};
    const long before = launches();
    for (int i = 1; i <= 4; i++) {
        const pawl_attend a = {.rows = 1,
                               .tokens = N,
                               .heads = 1,
                               .kv_heads = 1,
                               .head_dim = D,
                               .scale = 1,
                               .starts = s,
                               .bounds = bounds,
                               .documents = i,
                               .longest = N - i};
        starts[N - 1] = i;
        done(pawl_upload(d, s, starts, sizeof starts));
        done(pawl_device_block_begin(d));
        for (int k = 0; k < 3; k++)
            done(pawl_attention(d, &a, qkv, matrix(out),
                                (pawl_tensor){.data = lse, .dtype = PAWL_F32, .ndim = 2, .dim = {N, 1}}));
        done(pawl_device_block_end(d));
        expect(d, out, 1);
    }
    assert_int_equal(launches() - before, 3);
    pawl_device_close(d);
}

/* The rows of a dropout are no part of a graph: the same graph drops others in the next slot. */
static void a_dropouts_rows_are_told_to_its_graph(void **state)
{
    static const int64_t first_rows[] = {3, 3, 3, 17, 3, 90, 90};
    float here[NUMBERS], there[NUMBERS];
    pawl_device *plain = open_device(0), *d = open_device(1);
    (void)state;
    float *x = take(plain, ones), *y = take(plain, ones), *a = take(d, ones), *b = take(d, ones);
    const long before = launches();
    for (int slot = 0; slot < 7; slot++) {
        const pawl_drop how = {.rate = 0.5, .seed = slot == 6 ? 8 : 7, .first_row = first_rows[slot], .tokens = N / 2, .stream = 1};
        done(pawl_device_block_begin(d));
        done(pawl_dropout(d, &how, matrix(a), PAWL_SET, matrix(b)));
        done(pawl_scale(d, matrix(b), 3));
        done(pawl_dropout(d, &how, matrix(a), PAWL_ADD, matrix(b)));
        done(pawl_device_block_end(d));
        done(pawl_dropout(plain, &how, matrix(x), PAWL_SET, matrix(y)));
        done(pawl_scale(plain, matrix(y), 3));
        done(pawl_dropout(plain, &how, matrix(x), PAWL_ADD, matrix(y)));
        done(pawl_download(plain, here, y, sizeof here));
        done(pawl_download(d, there, b, sizeof there));
        assert_memory_equal(here, there, sizeof here);
    }
    assert_int_equal(launches() - before, 6);
    pawl_device_close(plain);
    pawl_device_close(d);
}

/* Scratch that moves would leave graphs that write to where it was. */
static void graphs_are_forgotten_when_scratch_moves(void **state)
{
    pawl_shapes shapes = {
        .positions = N, .tokens = N, .width = D, .heads = 1, .kv_heads = 1, .head_dim = D, .ff = D, .vocab = D};
    float numbers[NUMBERS], rstd[NUMBERS], got[3][NUMBERS];
    pawl_device *d = open_device(1);
    (void)state;
    for (int i = 0; i < NUMBERS; i++) {
        numbers[i] = (float)(i % 7 - 3);
        rstd[i] = 1;
    }
    float *x = take(d, numbers), *y = take(d, numbers), *w = take(d, numbers), *r = take(d, rstd),
          *dw = take(d, numbers);
    for (int i = 0; i < 6; i++) {
        if (i == 0 || i == 4) done(pawl_device_reserve(d, &shapes));
        shapes.positions *= 64;
        done(pawl_upload(d, y, numbers, sizeof numbers));
        done(pawl_device_block_begin(d));
        for (int k = 0; k < 4; k++)
            done(pawl_rmsnorm_backward(d, matrix(x), matrix(x), vector(w, D), vector(r, N), PAWL_SET, matrix(y),
                                       vector(dw, D)));
        done(pawl_device_block_end(d));
        done(pawl_download(d, got[i % 2], y, sizeof numbers));
        done(pawl_download(d, got[2], dw, sizeof numbers));
        if (i > 0) assert_memory_equal(got[0], got[1], sizeof numbers);
    }
    pawl_device_close(d);
}

/* As where a library cannot be captured: a run goes on op by op. */
static void a_capture_that_fails_is_done_without(void **state)
{
    float a = 1;
    (void)state;
    setenv("PAWL_STANDIN_CAPTURE_FAILS", "1", 1);
    pawl_device *d = open_device(1);
    float *x = take(d, ones), *y = take(d, ones);
    const long before = launches();
    for (int i = 0; i < 4; i++) {
        block(d, x, y, 2);
        a = (a + 1) * 2 + 1;
        expect(d, x, a);
    }
    assert_int_equal(launches(), before);
    pawl_device_close(d);
    unsetenv("PAWL_STANDIN_CAPTURE_FAILS");
}

/* Two ops are launched as fast by themselves. */
static void few_ops_are_no_graph(void **state)
{
    pawl_device *d = open_device(1);
    (void)state;
    float *x = take(d, ones), *y = take(d, ones);
    const long before = launches();
    for (int i = 1; i <= 4; i++) {
        done(pawl_device_block_begin(d));
        done(pawl_add(d, x, y, NUMBERS));
        done(pawl_add(d, x, y, NUMBERS));
        done(pawl_device_block_end(d));
        expect(d, x, (float)(1 + 2 * i));
    }
    assert_int_equal(launches(), before);
    pawl_device_close(d);
}

/* Beyond so many graphs what is new is launched op by op; what is kept still is one. */
static void there_is_a_bound_of_graphs(void **state)
{
    enum { BOUND = 3072, MORE = 20 };
    float one = 1, got = 0;
    pawl_device *d = open_device(1);
    (void)state;
    float *x = take(d, (float[NUMBERS]){0}), *y = take(d, (float[NUMBERS]){0});
    done(pawl_upload(d, y, &one, sizeof one));
    const long before = launches();
    for (int kind = 0; kind < BOUND + MORE; kind++)
        for (int i = 0; i < 2; i++) {
            done(pawl_device_block_begin(d));
            done(pawl_scale(d, vector(x, 1), 0));
            done(pawl_add(d, x, y, 1));
            done(pawl_scale(d, vector(x, 1), (float)(1 + kind)));
            done(pawl_device_block_end(d));
            if (kind % 64 != 0 && kind < BOUND - MORE) continue;
            done(pawl_download(d, &got, x, sizeof got));
            assert_true(got == (float)(1 + kind));
        }
    assert_int_equal(launches() - before, BOUND);
    pawl_device_close(d);
}

/* A graph holds the algorithm of its products that was captured. */
static void graphs_are_forgotten_when_algorithms_are_chosen(void **state)
{
    static const char table[] =
        "m=8 n=8 k=16 lda=16 ldb=16 ldc=8 ldx=0 at=0 bt=1 add=0 bias=0 from=32 to=32 then=0 align_a=16 align_b=16 align_c=16 align_bias=16 "
        "align_aux=16 id=20 tile=1 splits=2 reduction=2 swizzle=0 option=0 stages=0 inner=0 cluster=0\n";
    float numbers[NUMBERS], got[3][N * N];
    (void)state;
    for (int i = 0; i < NUMBERS; i++) numbers[i] = (float)(i * 37 % 101) / 7 - 5;
    for (int graphs = 0; graphs < 2; graphs++) {
        pawl_device *d = open_device(graphs);
        float *x = take(d, numbers), *w = take(d, numbers), *y = take(d, numbers);
        const pawl_tensor out = {.data = y, .dtype = PAWL_F32, .ndim = 2, .dim = {N, N}};
        for (int i = 0; i < 4; i++) { /* as captured; then chosen */
            if (i == 3) done(pawl_device_choose(d, table));
            done(pawl_device_block_begin(d));
            for (int k = 0; k < 3; k++) done(pawl_linear(d, matrix(x), matrix(w), (pawl_tensor){.dtype = PAWL_F32}, PAWL_SET, out));
            done(pawl_device_block_end(d));
            if (i == 2) done(pawl_download(d, got[2], y, sizeof got[2]));
        }
        done(pawl_download(d, got[graphs], y, sizeof got[graphs]));
        pawl_device_close(d);
    }
    assert_memory_equal(got[0], got[1], sizeof got[0]);
    assert_memory_not_equal(got[1], got[2], sizeof got[1]);
}

/* A profile times ops one by one. */
static void what_is_timed_is_no_graph(void **state)
{
    static const pawl_rates rates = {.f32_flops = 1, .bf16_flops = 1, .bytes = 1};
    pawl_device *d = open_device(1);
    (void)state;
    float *x = take(d, ones), *y = take(d, ones);
    for (int i = 0; i < 3; i++) block(d, x, y, 1);
    const long before = launches();
    pawl_device_time(d, &rates);
    for (int i = 0; i < 3; i++) block(d, x, y, 1);
    assert_int_equal(launches(), before);
    pawl_device_time(d, NULL);
    block(d, x, y, 1);
    assert_int_equal(launches(), before + 1);
    expect(d, x, 15);
    pawl_device_close(d);
}

static void off_is_off(void **state)
{
    pawl_device *d = open_device(0);
    (void)state;
    float *x = take(d, ones), *y = take(d, ones);
    const long before = launches();
    for (int i = 0; i < 4; i++) block(d, x, y, 1);
    expect(d, x, 9);
    done(pawl_device_graphs(d, 1));
    for (int i = 0; i < 4; i++) block(d, x, y, 1);
    assert_int_equal(launches(), before + 3);
    done(pawl_device_graphs(d, 0));
    block(d, x, y, 1);
    assert_int_equal(launches(), before + 3);
    expect(d, x, 19);
    pawl_device_close(d);
}

int main(void)
{
    for (int i = 0; i < NUMBERS; i++) ones[i] = 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_entry_goes_around_the_recorder),
        cmocka_unit_test(no_part_of_the_table_is_missing),
        cmocka_unit_test(an_open_block_is_waited_for),
        cmocka_unit_test(what_comes_again_is_launched_as_it_was),
        cmocka_unit_test(everything_keeps_its_place),
        cmocka_unit_test(a_long_block_is_issued_in_parts),
        cmocka_unit_test(a_dropouts_rows_are_told_to_its_graph),
        cmocka_unit_test(graphs_are_forgotten_when_scratch_moves),
        cmocka_unit_test(a_capture_that_fails_is_done_without),
        cmocka_unit_test(few_ops_are_no_graph),
        cmocka_unit_test(there_is_a_bound_of_graphs),
        cmocka_unit_test(graphs_are_forgotten_when_algorithms_are_chosen),
        cmocka_unit_test(what_is_timed_is_no_graph),
        cmocka_unit_test(off_is_off),
        cmocka_unit_test(documents_make_no_graph_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
