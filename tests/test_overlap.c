/* Runs: ranks 1 2 3 */
/* Exchange behind what passes compute, on the stand-ins: sums and weights are those of exchange in the order of the calls, whatever the buckets, and
 * a wait of one stream for the other that is left out is seen. */
#include <dlfcn.h>
#include <stdlib.h>

#include "comm/nccl.h"
#include "core/rng.h"
#include "tests/check.h"

static const pawl_cuda_place standin = {.library = PAWL_STANDIN};

enum { COUNT = 1100, PARTS = 5, LONGEST = 290, SLOTS = 2, STEPS = 2, INVARIANT = 0, FAST = 1 };

/* Small whole numbers have one sum in any order; the others do not. */
static float gradient(int kind, int step, int lane, int slot, int64_t i)
{
    const pawl_random r = pawl_random_at(1, PAWL_FOR_TEST, (uint64_t)(step * 1000 + lane * SLOTS + slot), (uint64_t)i);
    return kind == FAST ? (float)(r.word[0] % 64) : (pawl_uniform(r.word[0]) - 0.5f) * (float)(1 << (r.word[1] % 20));
}

typedef struct bench {
    pawl_comm *c;
    pawl_device *d;
    pawl_owners *owners; /* NULL: all have all of the sum */
    pawl_reduction *r;
    pawl_rounds *rounds;
    int kind, lanes, ahead; /* ahead: so many parts' weights come beside the one that is used */
    float *made, *here; /* [COUNT] a slot's gradients, the device's; the host's */
    float *run, *places; /* [COUNT] weights, of which this rank's own hold; [2][LONGEST] */
} bench;

static int64_t cut(int part)
{
    static const int64_t cuts[PARTS + 1] = {0, 290, 350, 640, 900, COUNT};
    return cuts[part];
}

static void open_bench(bench *b, pawl_comm *c, int kind, int lanes, int shared_out)
{
    void *block;
    *b = (bench){.c = c, .kind = kind, .lanes = lanes, .here = malloc(COUNT * sizeof(float))};
    CHECK_OK(pawl_device_open_cuda(&standin, 0, &b->d));
    pawl_nccl_library = PAWL_STANDIN;
    CHECK_OK(pawl_comm_connect(c, b->d, &(pawl_comm_config){.transport = PAWL_TRANSPORT_NCCL}));
    if (shared_out) {
        int64_t cuts[8];
        for (int rank = 0; rank <= c->size; rank++) cuts[rank] = COUNT * rank / c->size / 16 * 16;
        cuts[c->size] = COUNT;
        CHECK_OK(pawl_owners_open(c, cuts, &b->owners));
        CHECK_OK(pawl_owners_stage(b->owners, b->d));
    }
    CHECK_OK(pawl_device_take(b->d, PAWL_ON_DEVICE, (2 * COUNT + 2 * LONGEST) * sizeof(float), "a test", &block));
    b->made = block;
    b->run = b->made + COUNT;
    b->places = b->run + COUNT;
}

static void close_bench(bench *b)
{
    pawl_owners_close(b->owners);
    pawl_device_give(b->d, PAWL_ON_DEVICE, b->made, (2 * COUNT + 2 * LONGEST) * sizeof(float));
    pawl_comm_disconnect(b->c);
    pawl_device_close(b->d);
    free(b->here);
}

/* A slot's gradients come part by part from the end, as in a backward pass. */
static void one_slot(bench *b, int step, int lane, int slot, float *grads, pawl_put put, int last)
{
    for (int64_t i = 0; i < COUNT; i++) b->here[i] = gradient(b->kind, step, lane, slot, i);
    CHECK_OK(pawl_upload(b->d, b->made, b->here, COUNT * sizeof(float)));
    for (int part = PARTS - 1; part >= 0; part--) {
        const int64_t first = cut(part), count = cut(part + 1) - first;
        CHECK_OK(put == PAWL_SET ? pawl_copy(b->d, grads + first, b->made + first, count) : pawl_add(b->d, grads + first, b->made + first, count));
        if (last) CHECK_OK(pawl_reduction_ready(b->r, first, count));
    }
}

/* Leaves twice the sum in out, which are this rank's numbers [first, end). */
static void one_step(bench *b, int step, float *out, int64_t *first, int64_t *end)
{
    int first_lane, end_lane;
    float *sum;
    pawl_reduction_begin(b->r);
    pawl_lanes_of(b->lanes, b->c->rank, b->c->size, &first_lane, &end_lane);
    for (int lane = first_lane; lane < end_lane; lane++) {
        pawl_put put;
        float *grads = pawl_reduction_lane(b->r, &put);
        for (int slot = 0; slot < SLOTS; slot++, put = PAWL_ADD)
            one_slot(b, step, lane, slot, grads, put, lane == end_lane - 1 && slot == SLOTS - 1);
        CHECK_OK(pawl_reduction_lane_done(b->r));
    }
    CHECK_OK(pawl_reduction_end(b->r, &sum));
    *first = 0;
    *end = COUNT;
    if (b->owners) pawl_owner_range(b->owners, b->c->rank, first, end);
    CHECK_OK(pawl_scale(b->d, (pawl_tensor){.data = sum + *first, .ndim = 1, .dim = {*end - *first}}, 2));
    CHECK_OK(pawl_download(b->d, out, sum + *first, (size_t)(*end - *first) * sizeof(float)));
}

static float sum_of(const bench *b, int step, int first, int end, int64_t i)
{
    if (end - first > 1) {
        int left = 1;
        while (2 * left < end - first) left *= 2;
        return sum_of(b, step, first, first + left, i) + sum_of(b, step, first + left, end, i);
    }
    float sum = gradient(b->kind, step, first, 0, i);
    for (int slot = 1; slot < SLOTS; slot++) sum += gradient(b->kind, step, first, slot, i);
    return sum;
}

static int everywhere(int mine)
{
    int all = 0;
    MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    return all;
}

/* Steps with buckets of so many numbers (0: all after the pass); how many numbers of all ranks are not the tree's. */
static int run(bench *b, int64_t bucket)
{
    float got[COUNT];
    int64_t first, end;
    int wrong = 0;
    b->c->bucket = bucket;
    CHECK_OK(pawl_reduction_open(b->c, b->d, b->kind, b->lanes, COUNT, b->owners, &b->r));
    CHECK_OK(pawl_shared_register(b->c));
    CHECK(pawl_reduction_overlaps(b->r) == (bucket > 0 && b->c->size > 1));
    for (int step = 0; step < STEPS; step++) {
        one_step(b, step, got, &first, &end);
        for (int64_t i = first; i < end; i++) wrong += got[i - first] != 2 * sum_of(b, step, 0, b->lanes, i);
    }
    pawl_reduction_close(b->r);
    return everywhere(wrong);
}

static void buckets_change_no_bit(pawl_comm *c)
{
    static const int64_t buckets[] = {0, 1, 500, COUNT, 1 << 20};
    bench b;
    for (int shared_out = 0; shared_out < 2; shared_out++)
        for (int lanes = c->size; lanes < c->size + 4; lanes++) {
            open_bench(&b, c, INVARIANT, lanes, shared_out);
            for (int i = 0; i < 5; i++) CHECK(run(&b, buckets[i]) == 0);
            close_bench(&b);
        }
    open_bench(&b, c, FAST, c->size + 1, 0);
    for (int i = 0; i < 5; i++) CHECK(run(&b, buckets[i]) == 0);
    close_bench(&b);
}

static int in_buckets(bench *b)
{
    return run(b, 300);
}

/* ---- gradients part by part, of two places ---- */

static void one_turn(bench *b, int64_t turn)
{
    const int lane = pawl_turn_lane(b->lanes, b->lanes, b->c->size, 0, turn, b->c->rank);
    pawl_rounds_turn(b->rounds, 0, turn);
    for (int64_t i = 0; i < COUNT && lane >= 0; i++) b->here[i] = gradient(b->kind, 0, lane, 0, i);
    if (lane >= 0) CHECK_OK(pawl_upload(b->d, b->made, b->here, COUNT * sizeof(float)));
    for (int part = PARTS - 1; part >= 0; part--) {
        const int64_t first = cut(part), count = cut(part + 1) - first;
        float *place = b->places + part % 2 * LONGEST;
        CHECK_OK(pawl_aside_await(b->d, PAWL_MARK_GRADS + part % 2));
        if (lane >= 0) CHECK_OK(pawl_copy(b->d, place, b->made + first, count));
        CHECK_OK(pawl_rounds_add(b->rounds, first, count, lane >= 0 ? place : NULL, PAWL_MARK_GRADS + part % 2));
    }
}

static float sum_of_lanes(const bench *b, int first, int end, int64_t i)
{
    int left = 1;
    if (end - first == 1) return gradient(b->kind, 0, first, 0, i);
    while (2 * left < end - first) left *= 2;
    return sum_of_lanes(b, first, first + left, i) + sum_of_lanes(b, first + left, end, i);
}

static int in_places(bench *b)
{
    float got[COUNT], *sum;
    int64_t first, end;
    int wrong = 0;
    b->c->bucket = 1;
    CHECK_OK(pawl_rounds_open(b->c, b->d, b->lanes, b->lanes, b->lanes, b->owners, &b->rounds));
    for (int64_t turn = 0; turn < pawl_turns_of(b->lanes, b->lanes, b->c->size, 0); turn++) one_turn(b, turn);
    CHECK_OK(pawl_rounds_sum(b->rounds, &sum));
    pawl_owner_range(b->owners, b->c->rank, &first, &end);
    CHECK_OK(pawl_download(b->d, got, sum, (size_t)(end - first) * sizeof(float)));
    for (int64_t i = first; i < end; i++) wrong += got[i - first] != sum_of_lanes(b, 0, b->lanes, i);
    pawl_rounds_close(b->rounds);
    return everywhere(wrong);
}

/* ---- weights part by part: the next beside the one that is used, or all behind an update ---- */

static float *place_of(const bench *b, int part)
{
    return b->ahead == 1 ? b->places + part % 2 * LONGEST : b->run + cut(part);
}

/* What was there before is cleared in the order of what uses it, but for this rank's own numbers where they stay. */
static void fetch(bench *b, int part)
{
    const int64_t first = cut(part), end = cut(part + 1);
    int64_t begin, limit;
    float *to = place_of(b, part);
    pawl_owner_range(b->owners, b->c->rank, &begin, &limit);
    if (b->ahead == 1) begin = limit = end;
    if (begin > first) CHECK_OK(pawl_zero(b->d, to, (begin < end ? begin : end) - first));
    if (limit < end) CHECK_OK(pawl_zero(b->d, to + (limit > first ? limit - first : 0), end - (limit > first ? limit : first)));
    pawl_owner_range(b->owners, b->c->rank, &begin, &limit);
    CHECK_OK(pawl_owners_gather_aside(b->owners, first, end - first, b->run + begin, to, PAWL_MARK_WEIGHTS + part));
}

/* Twice what they were is used. */
static int of_weights(bench *b)
{
    float got[COUNT];
    int64_t first, end;
    int wrong = 0, fetched = 0;
    b->c->bucket = 1;
    for (int64_t i = 0; i < COUNT; i++) b->here[i] = gradient(b->kind, 0, 0, 0, i);
    pawl_owner_range(b->owners, b->c->rank, &first, &end);
    CHECK_OK(pawl_upload(b->d, b->run + first, b->here + first, (size_t)(end - first) * sizeof(float)));
    CHECK_OK(pawl_scale(b->d, (pawl_tensor){.data = b->run + first, .ndim = 1, .dim = {end - first}}, 2));
    for (int part = 0; part < PARTS; part++) {
        for (; fetched == part || (b->ahead > 1 && fetched < PARTS); fetched++) fetch(b, fetched);
        CHECK_OK(pawl_aside_await(b->d, PAWL_MARK_WEIGHTS + part));
        if (fetched < PARTS) fetch(b, fetched++);
        CHECK_OK(pawl_copy(b->d, b->made + cut(part), place_of(b, part), cut(part + 1) - cut(part)));
    }
    CHECK_OK(pawl_download(b->d, got, b->made, sizeof got));
    for (int64_t i = 0; i < COUNT; i++) wrong += got[i] != 2 * gradient(b->kind, 0, 0, 0, i);
    return everywhere(wrong);
}

static void parts_change_no_bit(pawl_comm *c)
{
    bench b;
    for (int lanes = c->size; lanes < c->size + 4; lanes++) {
        open_bench(&b, c, INVARIANT, lanes, 1);
        CHECK(in_places(&b) == 0);
        for (b.ahead = 1; b.ahead < 3; b.ahead++) CHECK(of_weights(&b) == 0);
        close_bench(&b);
    }
}

/* ---- waits ---- */

/* Each wait in turn is left out, until an order of the streams comes that shows it. */
static void every_wait_is_needed(pawl_comm *c, int kind, int shared_out, int ahead, int (*go)(bench *b))
{
    enum { TRIES = 300 };
    long (*drop_wait)(long drop) = (long (*)(long))dlsym(dlopen(PAWL_STANDIN, RTLD_NOW), "standin_drop_wait");
    bench b;
    open_bench(&b, c, kind, c->size + 1, shared_out);
    b.ahead = ahead;
    drop_wait(0);
    CHECK(go(&b) == 0);
    const long waits = drop_wait(0);
    CHECK(waits >= 4);
    for (long dropped = 1; dropped <= waits; dropped++) {
        int tries = 0;
        do drop_wait(dropped);
        while (go(&b) == 0 && ++tries < TRIES);
        if (tries == TRIES) fprintf(stderr, "rank %d: wait %ld of %ld is not missed\n", c->rank, dropped, waits);
        CHECK(tries < TRIES);
    }
    drop_wait(0);
    close_bench(&b);
}

static void a_wait_that_is_left_out_is_seen(pawl_comm *c)
{
    if (c->size != 2) return;
    every_wait_is_needed(c, INVARIANT, 0, 0, in_buckets);
    every_wait_is_needed(c, INVARIANT, 1, 0, in_buckets);
    every_wait_is_needed(c, FAST, 0, 0, in_buckets);
    every_wait_is_needed(c, INVARIANT, 1, 0, in_places);
    every_wait_is_needed(c, INVARIANT, 1, 1, of_weights);
    every_wait_is_needed(c, INVARIANT, 1, 2, of_weights);
}

/* As windows where NCCL has them and all have as much, each by itself otherwise; messages from anywhere else are refused. */
static void what_goes_is_of_registered_memory(pawl_comm *c)
{
    static const char *const versions[] = {"22809", "22304"};
    bench b;
    if (c->size < 2) return;
    setenv("PAWL_STANDIN_NCCL_STRICT", "1", 1);
    for (int i = 0; i < 2; i++)
        for (int lanes = c->size; lanes < c->size + 2; lanes++) { /* with one more a rank has one buffer more */
            setenv("PAWL_STANDIN_NCCL_VERSION", versions[i], 1);
            open_bench(&b, c, INVARIANT, lanes, 0);
            CHECK(!c->registers);
            pawl_comm_disconnect(c);
            CHECK_OK(pawl_comm_connect(c, b.d, &(pawl_comm_config){.transport = PAWL_TRANSPORT_NCCL, .register_buffers = 1}));
            CHECK(run(&b, 300) == 0);
            CHECK(c->shared == NULL); /* all given back */
            close_bench(&b);
        }
    unsetenv("PAWL_STANDIN_NCCL_VERSION");
    unsetenv("PAWL_STANDIN_NCCL_STRICT");
}

int main(int argc, char **argv)
{
    return check_main(argc, argv, (const check[]){
        {"overlap/buckets_change_no_bit", buckets_change_no_bit},
        {"overlap/parts_change_no_bit", parts_change_no_bit},
        {"overlap/a_wait_that_is_left_out_is_seen", a_wait_that_is_left_out_is_seen},
        {"overlap/what_goes_is_of_registered_memory", what_goes_is_of_registered_memory},
        {0}});
}
