/* Runs: ranks 1 2 3 */
#include <stdlib.h>
#include <unistd.h>

#include "comm/lanes.h"
#include "core/rng.h"
#include "tests/check.h"

static void all_well_is_ok(pawl_comm *c)
{
    CHECK_OK(pawl_agree(c, PAWL_OK));
    CHECK_OK(pawl_barrier(c));
}

static void one_bad_rank_fails_everyone_alike(pawl_comm *c)
{
    const int bad = c->size - 1;
    pawl_status mine = c->rank == bad ? PAWL_FAIL(PAWL_EDATA, "shard %d: expected 4096", 7) : PAWL_OK;
    CHECK(pawl_agree(c, mine) == PAWL_EDATA);
    CHECK(pawl_last_error()->rank == bad);
    CHECK(strstr(pawl_last_error()->what, "shard 7: expected 4096") != NULL);
}

static void the_worst_status_wins(pawl_comm *c)
{
    pawl_status mine = c->rank == 0 ? PAWL_FAIL(PAWL_EIO, "disk") : PAWL_FAIL(PAWL_EDATA, "row");
    CHECK(pawl_agree(c, mine) == PAWL_EIO);
    CHECK(strcmp(pawl_last_error()->what, "disk") == 0);
}

static void different_lines_are_noticed(pawl_comm *c)
{
    if (c->size < 2) return;
    pawl_status s;
    if (c->rank == 0) s = pawl_agree(c, PAWL_OK);
    else s = pawl_agree(c, PAWL_OK);
    CHECK(s == PAWL_EBUG);
    CHECK(strstr(pawl_last_error()->what, "different collective calls") != NULL);
}

static void differing_values_are_noticed(pawl_comm *c)
{
    int value = 5;
    CHECK_OK(pawl_same(c, &value, sizeof value, "value"));
    value = c->rank;
    CHECK(pawl_same(c, &value, sizeof value, "value") == (c->size > 1 ? PAWL_EBUG : PAWL_OK));
}

static void blocks_arrive_in_rank_order(pawl_comm *c)
{
    char all[16] = "", mine[3];
    size_t lengths[8], offsets[8], at = 0;
    for (int r = 0; r < c->size; r++) {
        lengths[r] = (size_t)(r % 3);
        offsets[r] = at;
        at += lengths[r];
    }
    memset(mine, 'a' + c->rank, sizeof mine);
    CHECK_OK(pawl_allgather_blocks(c, mine, lengths, offsets, all));
    CHECK(strcmp(all, c->size == 1 ? "" : c->size == 2 ? "b" : "bcc") == 0);
}

static pawl_status until_stopped(void *self)
{
    int *turns = self;
    while (pawl_keep_going()) {
        ++*turns;
        usleep(1000);
    }
    return PAWL_FAIL(PAWL_EDATA, "stopped after %d turns", *turns);
}

/* The last rank is asked to stop; rank 0 hears of it in its loop, and its status is everyone's. */
static void a_stop_reaches_rank_0_at_work(pawl_comm *c)
{
    int turns = 0;
    pawl_stop_asked = c->rank == c->size - 1;
    CHECK(pawl_alone(c, until_stopped, &turns) == PAWL_EDATA);
    CHECK(strstr(pawl_last_error()->what, "stopped after") != NULL);
    pawl_stop_asked = 0;
    CHECK_OK(pawl_barrier(c)); /* no message is left over */
}

static pawl_status for_five_seconds(void *self)
{
    for (const double began = pawl_seconds(); pawl_seconds() - began < 5; usleep(1000))
        if (!pawl_keep_going()) return PAWL_FAIL(PAWL_EBUG, "nobody asked to stop %s", (const char *)self);
    return PAWL_OK;
}

static void give_up(const char *sentence)
{
    fprintf(stderr, "%s\n", sentence);
    _exit(75);
}

/* Five seconds of work on rank 0 under a deadline of two: no rank is ended, because rank 0 shows that it gets on. */
static void work_that_gets_on_has_time(pawl_comm *c)
{
    CHECK_OK(pawl_watch_open(give_up));
    pawl_watch("the work of rank 0", 2);
    CHECK_OK(pawl_alone(c, for_five_seconds, "this"));
    pawl_watch_close();
}

static void lanes_are_dealt_whole_and_in_order(pawl_comm *c)
{
    (void)c;
    for (int lanes = 1; lanes <= 20; lanes++)
        for (int size = 1; size <= lanes; size++) {
            int next = 0, first, end;
            for (int rank = 0; rank < size; rank++) {
                pawl_lanes_of(lanes, rank, size, &first, &end);
                CHECK(first == next && end > first);
                next = end;
            }
            CHECK(next == lanes);
        }
}

static void a_full_rank_needs_log2_buffers(pawl_comm *c)
{
    (void)c;
    CHECK(pawl_nodes_alive(8, 0, 8) == 4); /* log2(k) + 1 */
    CHECK(pawl_nodes_alive(8, 0, 4) == 3);
    CHECK(pawl_nodes_alive(8, 7, 8) == 1);
    CHECK(pawl_nodes_alive(1024, 0, 1024) == 11);
}

/* The tree by definition: level by level, an odd one out passes up. */
static float sum_by_levels(float *x, int n)
{
    while (n > 1) {
        int m = 0;
        for (int i = 0; i < n; i += 2) x[m++] = i + 1 < n ? x[i] + x[i + 1] : x[i];
        n = m;
    }
    return x[0];
}

static float gradient(int lane, int64_t i)
{
    const pawl_random r = pawl_random_at(1, PAWL_FOR_TEST, (uint64_t)lane, (uint64_t)i);
    return (pawl_uniform(r.word[0]) - 0.5f) * (float)(1 << (r.word[1] % 20));
}

static void sum_lanes(pawl_comm *c, int kind, int lanes, int64_t count)
{
    pawl_device *d;
    pawl_reduction *r;
    int first, end;
    CHECK_OK(pawl_device_open_cpu(1, "auto", &d));
    CHECK_OK(pawl_reduction_open(c, d, kind, lanes, count, NULL, &r));
    pawl_lanes_of(lanes, c->rank, c->size, &first, &end);
    for (int round = 0; round < 2; round++) { /* twice: begin forgets the first */
        float *sum;
        pawl_reduction_begin(r);
        for (int lane = first; lane < end; lane++) {
            pawl_put put;
            float *g = pawl_reduction_lane(r, &put);
            for (int64_t i = 0; i < count; i++) g[i] = put == PAWL_SET ? gradient(lane, i) : g[i] + gradient(lane, i);
            CHECK_OK(pawl_reduction_lane_done(r));
        }
        CHECK_OK(pawl_reduction_end(r, &sum));
        int wrong = 0;
        for (int64_t i = 0; i < count; i++) {
            float x[1024];
            double exact = 0;
            for (int lane = 0; lane < lanes; lane++) exact += x[lane] = gradient(lane, i);
            if (kind == 0) wrong += sum[i] != sum_by_levels(x, lanes);
            else wrong += !(sum[i] - exact < 1 && exact - sum[i] < 1);
        }
        CHECK(wrong == 0);
    }
    pawl_reduction_close(r);
    pawl_device_close(d);
}

static void sums_have_the_shape_of_the_tree(pawl_comm *c)
{
    for (int lanes = c->size; lanes <= 13; lanes++) {
        sum_lanes(c, 0, lanes, 1000);
        sum_lanes(c, 0, lanes, 5); /* fewer numbers than ranks x alignment: empty pieces */
    }
}

static void fast_sums_are_near(pawl_comm *c)
{
    sum_lanes(c, 1, 8, 1000);
}

static void more_ranks_than_lanes_are_refused(pawl_comm *c)
{
    if (c->size < 2) return;
    pawl_reduction *r;
    CHECK(pawl_reduction_open(c, NULL, 0, c->size - 1, 10, NULL, &r) == PAWL_EUSAGE);
    CHECK(strstr(pawl_last_error()->what, "reduction_lanes") != NULL);
}

/* The ranks here have one clock: as neighbours they know it; as strangers they find it within the error that they state. */
static void clocks_agree_within_their_error(pawl_comm *c)
{
    pawl_clock clock;
    const int machine = c->machine;
    CHECK_OK(pawl_clock_measure(c, &clock));
    CHECK(clock.offset_ns == 0 && clock.error_ns == 0);
    c->machine = c->rank;
    CHECK_OK(pawl_clock_measure(c, &clock));
    CHECK(clock.offset_ns <= clock.error_ns && -clock.offset_ns <= clock.error_ns);
    CHECK(c->rank == 0 ? clock.error_ns == 0 : clock.error_ns > 0);
    c->machine = machine;
}

int main(int argc, char **argv)
{
    return check_main(argc, argv, (const check[]){
        {"all_well_is_ok", all_well_is_ok},
        {"one_bad_rank_fails_everyone_alike", one_bad_rank_fails_everyone_alike},
        {"the_worst_status_wins", the_worst_status_wins},
        {"different_lines_are_noticed", different_lines_are_noticed},
        {"differing_values_are_noticed", differing_values_are_noticed},
        {"blocks_arrive_in_rank_order", blocks_arrive_in_rank_order},
        {"a_stop_reaches_rank_0_at_work", a_stop_reaches_rank_0_at_work},
        {"work_that_gets_on_has_time", work_that_gets_on_has_time},
        {"lanes_are_dealt_whole_and_in_order", lanes_are_dealt_whole_and_in_order},
        {"a_full_rank_needs_log2_buffers", a_full_rank_needs_log2_buffers},
        {"sums_have_the_shape_of_the_tree", sums_have_the_shape_of_the_tree},
        {"fast_sums_are_near", fast_sums_are_near},
        {"more_ranks_than_lanes_are_refused", more_ranks_than_lanes_are_refused},
        {"clocks_agree_within_their_error", clocks_agree_within_their_error},
        {0}});
}
