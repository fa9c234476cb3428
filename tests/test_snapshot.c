/* Runs: ranks 1 2 */
/* Snapshots beside the work, on the stand-ins: what is saved is what was there when the save began, whatever the order
 * of streams; a wait that is left out is seen; a copy that fails is a save that fails. */
#include <dlfcn.h>
#include <stdlib.h>

#include "core/file.h"
#include "ops/backend.h"
#include "tests/check.h"
#include "tests/checkpoint_sample.h"

static const pawl_cuda_place standin = {.library = PAWL_STANDIN};

static void *function(const char *name)
{
    void *part = dlopen(PAWL_STANDIN, RTLD_NOW);
    void *found = part ? dlsym(part, name) : NULL;
    CHECK(found);
    return found;
}

/* ---- copies alone ---- */

/* Two arrays of the device's and one of the host's that a device carries back to: more than the ring of pieces holds,
 * and cut where no piece is. */
enum { SHORT = 5, LONG = 2500003, OFFLOADED = 300001, ARRAYS = 3 };
static const int64_t counts[ARRAYS] = {SHORT, LONG, OFFLOADED};
enum { ALL = SHORT + LONG + OFFLOADED };

typedef struct bench {
    pawl_device *d;
    float *array[ARRAYS];   /* where they are kept */
    float *window, *side;   /* the device's: from which the last is carried, and the first copied aside */
    float *work, *snapshot; /* the device's; the host's */
    pawl_load loads[ARRAYS];
} bench;

static float *take(bench *b, pawl_side_of side, int64_t count)
{
    void *block;
    CHECK_OK(pawl_device_take(b->d, side, (size_t)count * sizeof(float), "a test", &block));
    return block;
}

static void open_bench(bench *b)
{
    *b = (bench){.snapshot = malloc(ALL * sizeof(float))};
    CHECK_OK(pawl_device_open_cuda(&standin, 0, &b->d));
    int64_t at = 0;
    for (int i = 0; i < ARRAYS; i++) {
        b->array[i] = take(b, i == ARRAYS - 1 ? PAWL_ON_HOST : PAWL_ON_DEVICE, counts[i]);
        b->loads[i] = (pawl_load){b->snapshot + at, b->array[i], (size_t)counts[i] * sizeof(float)};
        at += counts[i];
    }
    b->window = take(b, PAWL_ON_DEVICE, OFFLOADED);
    b->side = take(b, PAWL_ON_DEVICE, SHORT);
    b->work = take(b, PAWL_ON_DEVICE, LONG);
}

static void close_bench(bench *b)
{
    for (int i = 0; i < ARRAYS; i++)
        pawl_device_give(b->d, i == ARRAYS - 1 ? PAWL_ON_HOST : PAWL_ON_DEVICE, b->array[i],
                         (size_t)counts[i] * sizeof(float));
    pawl_device_give(b->d, PAWL_ON_DEVICE, b->window, OFFLOADED * sizeof(float));
    pawl_device_give(b->d, PAWL_ON_DEVICE, b->side, SHORT * sizeof(float));
    pawl_device_give(b->d, PAWL_ON_DEVICE, b->work, LONG * sizeof(float));
    pawl_device_close(b->d);
    free(b->snapshot);
}

static float number(int generation, int64_t i)
{
    return (float)((generation * 7919 + i * 31) % 65521);
}

static void put(bench *b, float *array, int generation, int64_t first, int64_t count)
{
    static float here[LONG];
    for (int64_t i = 0; i < count; i++) here[i] = number(generation, first + i);
    CHECK_OK(pawl_upload(b->d, array, here, (size_t)count * sizeof *here));
}

/* An update: all arrays become those of a generation, that of the host's by way of the device; and some of it aside, as
 * what ranks exchange. */
static void update(bench *b, int generation, int aside, int *wrong)
{
    int64_t ticket;
    put(b, b->window, generation, LONG + SHORT, OFFLOADED);
    CHECK_OK(pawl_carry(b->d, PAWL_CARRY_DOWN, &(pawl_load){b->array[ARRAYS - 1], b->window, OFFLOADED * sizeof(float)},
                        1, &ticket));
    CHECK_OK(pawl_carry_settle(b->d));
    for (int64_t i = 0; i < OFFLOADED; i++) *wrong += b->array[ARRAYS - 1][i] != number(generation, LONG + SHORT + i);
    put(b, aside ? b->side : b->array[0], generation, 0, SHORT);
    if (aside) {
        CHECK_OK(pawl_aside_begin(b->d));
        CHECK_OK(pawl_copy(b->d, b->array[0], b->side, SHORT));
        CHECK_OK(pawl_aside_end(b->d, 0));
    }
    put(b, b->array[1], generation, SHORT, LONG);
}

/* A pass: it reads weights, and ends with a download, at which the host waits. */
static void pass(bench *b, int generation, int *wrong)
{
    float sum[64];
    CHECK_OK(pawl_copy(b->d, b->work, b->array[1], 64));
    CHECK_OK(pawl_scale(b->d, (pawl_tensor){.data = b->work, .ndim = 1, .dim = {64}}, 2));
    CHECK_OK(pawl_download(b->d, sum, b->work, sizeof sum));
    for (int i = 0; i < 64; i++) *wrong += sum[i] != 2 * number(generation, SHORT + i);
}

/* Numbers of a snapshot of so many arrays, of what is computed meanwhile and of what is there afterwards that are
 * wrong. */
static int run(bench *b, int generation, int arrays, int passes)
{
    int wrong = 0;
    static float after[LONG];
    memset(b->snapshot, 0xff, ALL * sizeof(float));
    update(b, generation, 1, &wrong);
    CHECK_OK(pawl_snapshot_begin(b->d, b->loads, arrays, ARRAYS - 1));
    for (int i = 0; i < passes; i++) pass(b, generation, &wrong);
    CHECK_OK(pawl_snapshot_await(b->d));
    update(b, generation + 1, 0, &wrong);
    CHECK_OK(pawl_snapshot_settle(b->d));
    for (int64_t i = 0; i < (arrays == ARRAYS ? ALL : LONG + SHORT); i++)
        wrong += b->snapshot[i] != number(generation, i);
    CHECK_OK(pawl_download(b->d, after, b->array[1], LONG * sizeof(float)));
    for (int64_t i = 0; i < LONG; i++) wrong += after[i] != number(generation + 1, SHORT + i);
    return wrong;
}

static void a_snapshot_is_of_when_it_was_begun(pawl_comm *c)
{
    bench b;
    if (c->size > 1) return;
    open_bench(&b);
    for (int i = 0; i < 24; i++) CHECK(run(&b, 2 * i, ARRAYS - i % 2, i % 5) == 0);
    close_bench(&b);
}

/* What is dropped writes nothing any more, and the next snapshot is whole. */
static void what_is_given_up_is_not_written(pawl_comm *c)
{
    bench b;
    int wrong = 0;
    if (c->size > 1) return;
    open_bench(&b);
    for (int i = 0; i < 8; i++) {
        update(&b, i, 1, &wrong);
        CHECK_OK(pawl_snapshot_begin(b.d, b.loads, ARRAYS, ARRAYS - 1));
        if (i % 2) pass(&b, i, &wrong);
        pawl_snapshot_drop(b.d);
        memset(b.snapshot, 0x55, ALL * sizeof(float));
        pass(&b, i, &wrong);
        CHECK_OK(pawl_snapshot_await(b.d));
        CHECK_OK(pawl_snapshot_settle(b.d));
        for (size_t n = 0; n < ALL * sizeof(float); n++) wrong += ((char *)b.snapshot)[n] != 0x55;
        CHECK_OK(pawl_snapshot_begin(b.d, b.loads, ARRAYS, ARRAYS - 1)); /* given up by the next */
        wrong += run(&b, i, ARRAYS, 1);
    }
    CHECK(wrong == 0);
    close_bench(&b);
}

/* Streams that do not wait for each other, and a host that takes an event for one that has come: each in turn, until an
 * order comes that shows it. */
static int is_missed(bench *b, long (*drop)(long), long number_of)
{
    enum { TRIES = 600 };
    for (int tries = 0; tries < TRIES; tries++) {
        drop(number_of);
        if (run(b, 2 * tries, ARRAYS - 1, 0) > 0) return 1;
    }
    return 0;
}

static void a_wait_that_is_left_out_is_seen(pawl_comm *c)
{
    static const char *const kinds[] = {"standin_drop_wait", "standin_drop_look"};
    bench b;
    if (c->size > 1) return;
    open_bench(&b);
    for (int kind = 0; kind < 2; kind++) {
        long (*drop)(long) = (long (*)(long))function(kinds[kind]);
        drop(0);
        CHECK(run(&b, 1, ARRAYS - 1, 0) == 0);
        const long waits = drop(0);
        CHECK(kind ? waits > 0 : waits == 6);
        for (long n = 1; n <= waits; n++)
            if (!is_missed(&b, drop, n)) {
                fprintf(stderr, "%s: %ld of %ld is not missed\n", kinds[kind], n, waits);
                CHECK(0);
            }
        drop(0);
    }
    close_bench(&b);
}

/* ---- saves ---- */

/* Of a tensor of each kind a rank holds its range [first, first + count), or all. */
enum { SHARED_OUT = 600007, SAME = 300, AWAY = 280001, HERE = 9, KINDS = 4 };
static const struct {
    const char *name;
    int64_t count;
    int sharded;
} kinds[KINDS] = {{"model/weights", SHARED_OUT, 1},
                  {"model/bias", SAME, 0},
                  {"optimizer/adamw/m/weights", AWAY, 1},
                  {"method/replay/losses", HERE, 0}};

typedef struct course {
    pawl_device *d;
    pawl_state state;
    pawl_saver *saver;
    float *window;
    char dir[64];
} course;

static void open_course(course *k, pawl_comm *c)
{
    *k = (course){.dir = "/tmp/pawl-snapshot-XXXXXX"};
    if (c->rank == 0 && !mkdtemp(k->dir)) k->dir[0] = 0;
    CHECK_OK(pawl_bcast(c, k->dir, sizeof k->dir, 0));
    CHECK_OK(pawl_device_open_cuda(&standin, 0, &k->d));
    for (int i = 0; i < KINDS; i++) {
        const int64_t all = kinds[i].count, first = kinds[i].sharded ? all * c->rank / c->size : 0,
                      end = kinds[i].sharded ? all * (c->rank + 1) / c->size : all;
        void *block;
        CHECK_OK(pawl_device_take(i == 3 ? NULL : k->d, i == 2 ? PAWL_ON_HOST : PAWL_ON_DEVICE,
                                  (size_t)(end - first) * sizeof(float), "a test", &block));
        CHECK_OK(pawl_state_add(&k->state, "", kinds[i].name, (pawl_tensor){block, PAWL_F32, 1, {all}}));
        pawl_named *item = &k->state.items[i];
        item->device = i < 2 ? k->d : NULL;
        item->offloaded = i == 2;
        item->sharded = kinds[i].sharded;
        item->first = first;
        item->count = end - first;
    }
    void *block;
    CHECK_OK(pawl_device_take(k->d, PAWL_ON_DEVICE, AWAY * sizeof(float), "a test", &block));
    k->window = block;
    CHECK_OK(pawl_saver_open(c, k->dir, &k->state, 0, &k->saver));
}

static void close_course(course *k, pawl_comm *c)
{
    pawl_saver_close(k->saver);
    for (int i = 0; i < KINDS; i++)
        pawl_device_give(i == 3 ? NULL : k->d, i == 2 ? PAWL_ON_HOST : PAWL_ON_DEVICE, k->state.items[i].tensor.data,
                         (size_t)k->state.items[i].count * sizeof(float));
    pawl_device_give(k->d, PAWL_ON_DEVICE, k->window, AWAY * sizeof(float));
    pawl_device_close(k->d);
    pawl_state_close(&k->state);
    CHECK_OK(pawl_barrier(c));
    if (c->rank == 0) CHECK_OK(pawl_dir_remove(k->dir));
}

static float value(int kind, int generation, int64_t i)
{
    return number(generation + 100 * kind, i);
}

/* A step's end: what is on the device changes in its order, what is the host's at once. */
static void step(course *k, int generation)
{
    static float here[SHARED_OUT];
    int64_t ticket;
    for (int i = 0; i < KINDS; i++) {
        const pawl_named *item = &k->state.items[i];
        const size_t bytes = (size_t)item->count * sizeof *here;
        for (int64_t n = 0; n < item->count; n++) here[n] = value(i, generation, item->first + n);
        if (i == 3)
            memcpy(item->tensor.data, here, bytes);
        else
            CHECK_OK(pawl_upload(k->d, i == 2 ? k->window : item->tensor.data, here, bytes));
        if (i == 2)
            CHECK_OK(pawl_carry(k->d, PAWL_CARRY_DOWN, &(pawl_load){item->tensor.data, k->window, bytes}, 1, &ticket));
    }
    CHECK_OK(pawl_carry_settle(k->d));
}

static pawl_status begin_save(course *k, int step_number)
{
    json_t *run = sample_run(step_number), *lineage = sample_lineage();
    pawl_status s = pawl_save_begin(k->saver, &(pawl_save){.step = step_number, .run = run, .lineage = lineage});
    if (s == PAWL_OK) s = pawl_save_share(k->saver);
    json_decref(run);
    json_decref(lineage);
    return s;
}

/* The newest checkpoint holds the numbers of that generation. */
static int holds(const course *k, int generation)
{
    static float here[SHARED_OUT];
    pawl_checkpoint *found;
    int wrong = 0;
    if (pawl_checkpoint_open(k->dir, &found) != PAWL_OK || pawl_checkpoint_step(found) != generation) return 0;
    for (int i = 0; i < KINDS; i++) {
        pawl_state one = {0};
        if (pawl_state_add(&one, "", kinds[i].name, (pawl_tensor){here, PAWL_F32, 1, {kinds[i].count}}) != PAWL_OK ||
            pawl_checkpoint_read(found, &one) != PAWL_OK)
            wrong++;
        for (int64_t n = 0; n < kinds[i].count; n++) wrong += here[n] != value(i, generation, n);
        pawl_state_close(&one);
    }
    pawl_checkpoint_close(found);
    return wrong == 0;
}

/* Moves a save on where steps end, as a run does. */
static int poll(course *k, pawl_comm *c)
{
    pawl_save_vote all[2];
    int published = 0;
    const pawl_save_vote mine = pawl_save_vote_now(k->saver);
    CHECK_OK(pawl_allgather(c, &mine, sizeof mine, all));
    CHECK_OK(pawl_save_poll(k->saver, all, &published));
    return published;
}

static void a_checkpoint_is_of_its_step(pawl_comm *c)
{
    course k;
    open_course(&k, c);
    for (int generation = 1, begun = 0; generation <= 30; generation++) {
        CHECK_OK(pawl_snapshot_await(k.d));
        step(&k, generation);
        if (pawl_save_busy(k.saver) && poll(&k, c)) CHECK(holds(&k, begun));
        if (pawl_save_busy(k.saver)) continue;
        CHECK_OK(begin_save(&k, begun = generation));
        if (generation % 3) continue;
        int published; /* as at a run's end: nothing else is asked of the device meanwhile */
        CHECK_OK(pawl_save_finish(k.saver, 60, &published));
        CHECK(published && holds(&k, generation));
    }
    close_course(&k, c);
}

/* The last rank's device breaks before it copies: the save ends on all ranks, with that error, and the checkpoint
 * before it is the newest. */
static void a_copy_that_fails_is_a_save_that_fails(pawl_comm *c)
{
    course k;
    int published;
    char part[128];
    open_course(&k, c);
    step(&k, 1);
    CHECK_OK(begin_save(&k, 1));
    CHECK_OK(pawl_save_finish(k.saver, 60, &published));
    if (c->rank == c->size - 1) {
        setenv("PAWL_STANDIN_FAULT", "0", 1);
        CHECK_OK(pawl_scale(k.d, (pawl_tensor){.data = k.window, .ndim = 1, .dim = {4}}, 2));
    }
    CHECK(begin_save(&k, 2) == (c->size == 1 ? PAWL_OK : PAWL_EBUG)); /* what ranks exchange is copied at once */
    const pawl_status s = pawl_save_finish(k.saver, 60, &published);
    CHECK(s == PAWL_EBUG && !published && strstr(pawl_last_error()->what, "an illegal memory access was encountered"));
    CHECK_OK(pawl_barrier(c));
    CHECK(holds(&k, 1));
    snprintf(part, sizeof part, "%s.part", sample_path(k.dir, 2, NULL));
    CHECK(!pawl_path_exists(part));
    close_course(&k, c);
}

int main(int argc, char **argv)
{
    return check_main(
        argc, argv,
        (const check[]){{"snapshot/a_snapshot_is_of_when_it_was_begun", a_snapshot_is_of_when_it_was_begun},
                        {"snapshot/what_is_given_up_is_not_written", what_is_given_up_is_not_written},
                        {"snapshot/a_wait_that_is_left_out_is_seen", a_wait_that_is_left_out_is_seen},
                        {"snapshot/a_checkpoint_is_of_its_step", a_checkpoint_is_of_its_step},
                        {"snapshot/a_copy_that_fails_is_a_save_that_fails",
                         a_copy_that_fails_is_a_save_that_fails}, /* the device is broken from here on */
                        {0}});
}
