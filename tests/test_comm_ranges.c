/* Runs: ranks 1 2 3 4 */
/* Sums that end in ranges of the flat run: the tree of pawl_reduction, the rounds of zero_stage 2 and 3, and the way
 * back. */
#include <stdlib.h>

#include "comm/lanes.h"
#include "core/arena.h"
#include "core/rng.h"
#include "tests/check.h"

static float gradient(int64_t slot, int64_t i)
{
    const pawl_random r = pawl_random_at(7, PAWL_FOR_TEST, (uint64_t)slot, (uint64_t)i);
    return (pawl_uniform(r.word[0]) - 0.5f) * (float)(1 << (r.word[1] % 20));
}

/* Uneven ranges, one of them empty where there are three ranks or more. */
static pawl_owners *deal(pawl_comm *c, int64_t count)
{
    static const int64_t shares[][5] = {{0, 12}, {0, 5, 12}, {0, 7, 7, 12}, {0, 1, 6, 6, 12}};
    int64_t cuts[5] = {0};
    pawl_owners *o = NULL;
    for (int r = 0; r <= c->size; r++) cuts[r] = count * shares[c->size - 1][r] / 12;
    CHECK_OK(pawl_owners_open(c, cuts, &o));
    return o;
}

/* The tree by definition, with lanes that have nothing: level by level, an odd one out passes up. */
static float sum_by_levels(float *x, int *there, int n)
{
    while (n > 1) {
        int m = 0;
        for (int i = 0; i < n; i += 2, m++) {
            const int both = i + 1 < n && there[i] && there[i + 1], left = there[i] || i + 1 >= n;
            x[m] = both ? x[i] + x[i + 1] : left ? x[i] : x[i + 1];
            there[m] = there[i] || (i + 1 < n && there[i + 1]);
        }
        n = m;
    }
    return x[0];
}

static float expected(int64_t slots, int lanes, int64_t i)
{
    float sum = 0;
    for (int64_t round = 0; round < (slots + lanes - 1) / lanes; round++) {
        float x[64] = {0};
        int there[64] = {0};
        for (int lane = 0; lane < lanes; lane++) {
            const int64_t first = slots * lane / lanes, end = slots * (lane + 1) / lanes;
            there[lane] = first + round < end;
            x[lane] = there[lane] ? gradient(first + round, i) : 0;
        }
        const float of_round = sum_by_levels(x, there, lanes);
        sum = round ? sum + of_round : of_round;
    }
    return sum;
}

static void one_turn(pawl_comm *c, pawl_rounds *r, int64_t slots, int lanes, int64_t count, int64_t round, int64_t turn,
                     float *grads)
{
    const int lane = pawl_turn_lane(slots, lanes, c->size, round, turn, c->rank);
    int64_t first, end;
    if (lane >= 0) {
        pawl_slots_of_lane(slots, lanes, lane, &first, &end);
        for (int64_t i = 0; i < count; i++) grads[i] = gradient(first + round, i);
    }
    pawl_rounds_turn(r, round, turn);
    for (int64_t at = count, to; at > 0; at = to) { /* parts come from the end, one of them empty */
        to = at > count / 3 ? count / 3 : 0;
        CHECK_OK(pawl_rounds_add(r, to, at - to, lane >= 0 ? grads + to : NULL, PAWL_MARK_GRADS));
    }
}

static void sum_in_rounds(pawl_comm *c, int64_t slots, int lanes, int64_t count)
{
    pawl_owners *o = deal(c, count);
    pawl_device *d;
    pawl_rounds *r;
    float *grads, *sum;
    int64_t first, end, wrong = 0;
    CHECK_OK(pawl_device_open_cpu(1, "auto", &d));
    CHECK_OK(pawl_alloc((void **)&grads, (size_t)count * sizeof *grads, "a gradient"));
    CHECK_OK(pawl_rounds_open(c, d, slots, slots, lanes, o, &r));
    for (int step = 0; step < 2; step++) /* twice: the second forgets the first */
        for (int64_t round = 0; round < pawl_rounds_of(slots, lanes); round++)
            for (int64_t turn = 0; turn < pawl_turns_of(slots, lanes, c->size, round); turn++)
                one_turn(c, r, slots, lanes, count, round, turn, grads);
    pawl_owner_range(o, c->rank, &first, &end);
    CHECK_OK(pawl_rounds_sum(r, &sum));
    for (int64_t i = first; i < end; i++) wrong += sum[i - first] != expected(slots, lanes, i);
    CHECK(wrong == 0);
    pawl_rounds_close(r);
    pawl_owners_close(o);
    pawl_free(grads);
    pawl_device_close(d);
}

static void rounds_have_one_shape(pawl_comm *c)
{
    for (int lanes = c->size; lanes <= 9; lanes++)
        for (int64_t slots = lanes; slots <= 3 * lanes; slots += lanes / 2 + 1) sum_in_rounds(c, slots, lanes, 300);
}

static void pieces_of_a_large_part_come_together(pawl_comm *c)
{
    sum_in_rounds(c, 6, 5, 700000);
}

/* Every slot is computed once, in the round of its place in its lane. */
static void turns_cover_the_slots(pawl_comm *c)
{
    (void)c;
    for (int lanes = 1; lanes <= 12; lanes++)
        for (int64_t slots = lanes; slots < 40; slots += 3)
            for (int size = 1; size <= lanes; size++) {
                int64_t seen = 0;
                for (int64_t round = 0; round < pawl_rounds_of(slots, lanes); round++)
                    for (int64_t turn = 0; turn < pawl_turns_of(slots, lanes, size, round); turn++) {
                        int before = -1;
                        for (int rank = 0; rank < size; rank++) {
                            const int lane = pawl_turn_lane(slots, lanes, size, round, turn, rank);
                            CHECK(lane > before || lane < 0);
                            seen += lane >= 0;
                            before = lane;
                        }
                    }
                CHECK(seen == slots);
            }
}

static void sum_into_ranges(pawl_comm *c, int lanes, int64_t count)
{
    pawl_owners *o = deal(c, count);
    pawl_device *d;
    pawl_reduction *r;
    float *sum;
    int64_t first, end, wrong = 0;
    int first_lane, end_lane;
    CHECK_OK(pawl_device_open_cpu(1, "auto", &d));
    CHECK_OK(pawl_reduction_open(c, d, 0, lanes, count, o, &r));
    pawl_lanes_of(lanes, c->rank, c->size, &first_lane, &end_lane);
    for (int lane = first_lane; lane < end_lane; lane++) {
        pawl_put put;
        float *g = pawl_reduction_lane(r, &put);
        for (int64_t i = 0; i < count; i++) g[i] = gradient(lane, i);
        CHECK_OK(pawl_reduction_lane_done(r));
    }
    CHECK_OK(pawl_reduction_end(r, &sum));
    pawl_owner_range(o, c->rank, &first, &end);
    for (int64_t i = first; i < end; i++) wrong += sum[i] != expected(lanes, lanes, i);
    CHECK(wrong == 0);
    pawl_reduction_close(r);
    pawl_owners_close(o);
    pawl_device_close(d);
}

static void a_sum_may_end_in_ranges(pawl_comm *c)
{
    for (int lanes = c->size; lanes <= 9; lanes++) sum_into_ranges(c, lanes, 300);
    sum_into_ranges(c, 5, 700000);
}

static void what_owners_keep_comes_to_all(pawl_comm *c)
{
    enum { COUNT = 700000, FROM = 50000, LENGTH = 600001 };
    pawl_owners *o = deal(c, COUNT);
    float *mine, *all;
    int64_t first, end, wrong = 0;
    pawl_owner_range(o, c->rank, &first, &end);
    CHECK_OK(pawl_alloc((void **)&mine, (size_t)(end - first) * sizeof *mine, "mine"));
    CHECK_OK(pawl_alloc((void **)&all, (size_t)LENGTH * sizeof *all, "all"));
    for (int64_t i = first; i < end; i++) mine[i - first] = (float)i;
    CHECK_OK(pawl_owners_gather(o, FROM, LENGTH, mine, all));
    for (int64_t i = 0; i < LENGTH; i++) wrong += all[i] != (float)(FROM + i);
    CHECK_OK(pawl_owners_gather(o, 0, 0, mine, all)); /* nothing */
    CHECK(wrong == 0);
    pawl_free(mine);
    pawl_free(all);
    pawl_owners_close(o);
}

/* What exchange takes does not grow with the model, and one lane a rank needs no nodes of the tree to wait. */
static void exchange_is_bounded(pawl_comm *c)
{
    if (c->size != 2) return;
    const int64_t count = 64 << 20, half = count / 2;
    pawl_owners *o;
    CHECK_OK(pawl_owners_open(c, (int64_t[]){0, half, count}, &o));
    const size_t range = (size_t)half * sizeof(float), pieces = 2 * (1 << 20), small = 4096;
    CHECK(pawl_room_sum(pawl_rounds_bytes(c, NULL, 2, 2, 2, o)) <= range + pieces + small);
    CHECK(pawl_room_sum(pawl_rounds_bytes(c, NULL, 8, 8, 8, o)) <= 3 * range + pieces + small);
    CHECK(pawl_room_sum(pawl_rounds_bytes(c, NULL, 32, 32, 8, o)) <= 4 * range + pieces + small);
    CHECK(pawl_room_sum(pawl_reduction_bytes(c, NULL, 0, 2, count, o)) <= 2 * range + pieces + small);
    CHECK(pawl_room_sum(pawl_reduction_bytes(c, NULL, 0, 8, count, NULL)) <= 6 * range + pieces + small);
    pawl_owners_close(o);
}

/* As in a pass: ranks meet again and again; one fails between two meetings, and says so at the end, where the others
 * never come. */
static pawl_status work_with_meetings(pawl_comm *c, int failing, int after, int *met)
{
    for (int i = 0; i < 5; i++) {
        PAWL_CHECK(c->rank != failing || i != after, PAWL_EDATA, "the work of rank %d", failing);
        PAWL_TRY(pawl_meet(c, PAWL_OK));
        ++*met;
    }
    return PAWL_OK;
}

static void a_rank_that_fails_meets_the_others_where_they_are(pawl_comm *c)
{
    for (int after = 0; after <= 5; after++) {
        int met = 0;
        const pawl_status s = pawl_meet(c, work_with_meetings(c, c->size - 1, after, &met));
        CHECK(s == (after < 5 ? PAWL_EDATA : PAWL_OK) && met == after);
        if (s != PAWL_OK)
            CHECK(pawl_last_error()->rank == c->size - 1 &&
                  strstr(pawl_last_error()->what, "the work of rank") != NULL);
        CHECK_OK(pawl_agree(c, PAWL_OK)); /* nobody is left behind */
    }
}

int main(int argc, char **argv)
{
    return check_main(argc, argv,
                      (const check[]){{"rounds_have_one_shape", rounds_have_one_shape},
                                      {"pieces_of_a_large_part_come_together", pieces_of_a_large_part_come_together},
                                      {"turns_cover_the_slots", turns_cover_the_slots},
                                      {"a_sum_may_end_in_ranges", a_sum_may_end_in_ranges},
                                      {"what_owners_keep_comes_to_all", what_owners_keep_comes_to_all},
                                      {"exchange_is_bounded", exchange_is_bounded},
                                      {"a_rank_that_fails_meets_the_others_where_they_are",
                                       a_rank_that_fails_meets_the_others_where_they_are},
                                      {0}});
}
