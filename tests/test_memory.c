/* Runs: cmocka
 * What a memory keeps: a uniform sample, the same for any order and cut, of exactly the size that was asked for; and a buffer that
 * overwrites places at random, as a model of what must fail the same test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/rng.h"
#include "core/text.h"
#include "trainer/continual/sketch.h"

enum { ROWS = 200, KEEP = 40, TRIALS = 1000, CELLS = 20, DOMAINS = 5 };
/* The upper 0.1 % of chi-square with 19 and 4 degrees of freedom (tables). */
static const double LIMIT_19 = 43.82, LIMIT_4 = 18.47;

static pawl_candidate row_of(uint64_t seed, int64_t row)
{
    const uint64_t document[2] = {(uint64_t)row * 77, 5};
    pawl_candidate c = {.kept = {.document = {document[0], document[1]}, .trained = 10}, .item = -1, .row = row};
    c.kept.key = pawl_memory_key(seed, "a domain", document, 0);
    return c;
}

static void keep_all(pawl_sketch *s, uint64_t seed, const int64_t *order)
{
    uint64_t bound = UINT64_MAX;
    for (int64_t i = 0; i < ROWS; i++) {
        const pawl_candidate c = row_of(seed, order ? order[i] : i);
        assert_int_equal(pawl_sketch_add(s, &c), PAWL_OK);
    }
    pawl_sketch_cut(s, &bound);
}

/* Of counts that are each sum / cells in the mean. Draws without replacement vary less, by (1 - share): scaled to chi-square. */
static double chi_square(const int64_t *count, int cells, double share)
{
    double sum = 0, x = 0;
    for (int i = 0; i < cells; i++) sum += (double)count[i];
    const double mean = sum / cells;
    for (int i = 0; i < cells; i++) x += ((double)count[i] - mean) * ((double)count[i] - mean) / mean;
    return x / (1 - share);
}

static void positions_are_kept_alike(void **state)
{
    int64_t by_place[CELLS] = {0};
    (void)state;
    for (uint64_t seed = 0; seed < TRIALS; seed++) {
        pawl_sketch s = {.limit = KEEP};
        keep_all(&s, seed, NULL);
        assert_int_equal(s.count, KEEP);
        for (int64_t i = 0; i < s.count; i++) by_place[s.items[i].row * CELLS / ROWS]++;
        pawl_sketch_close(&s);
    }
    const double x = chi_square(by_place, CELLS, (double)KEEP / ROWS);
    assert_true(x < LIMIT_19);
}

/* Each new row takes the place of a random one: what most codes do that have no reservoir. */
static void a_buffer_that_overwrites_fails_the_same_test(void **state)
{
    int64_t by_place[CELLS] = {0};
    (void)state;
    for (uint64_t seed = 0; seed < TRIALS; seed++) {
        int64_t held[KEEP];
        for (int64_t i = 0; i < ROWS; i++)
            held[i < KEEP ? i : (int64_t)(pawl_random_at(seed, PAWL_FOR_TEST, 1, (uint64_t)i).word[0] % KEEP)] = i;
        for (int64_t i = 0; i < KEEP; i++) by_place[held[i] * CELLS / ROWS]++;
    }
    const double x = chi_square(by_place, CELLS, (double)KEEP / ROWS);
    assert_true(x > 10 * LIMIT_19);
}

/* Five domains seen one after the other and one sample over all of them: each keeps its share. */
static void domains_are_kept_alike(void **state)
{
    int64_t by_domain[DOMAINS] = {0};
    (void)state;
    for (uint64_t seed = 0; seed < TRIALS; seed++) {
        pawl_sketch s = {.limit = KEEP};
        uint64_t bound = UINT64_MAX;
        for (int d = 0; d < DOMAINS; d++) {
            char name[8] = {(char)('a' + d)};
            for (int64_t i = 0; i < ROWS / DOMAINS; i++) {
                pawl_candidate c = row_of(seed, i);
                c.kept.domain = d;
                c.kept.key = pawl_memory_key(seed, name, c.kept.document, 0);
                assert_int_equal(pawl_sketch_add(&s, &c), PAWL_OK);
            }
            pawl_sketch_cut(&s, &bound); /* a stage's end */
        }
        assert_int_equal(s.count, KEEP);
        for (int64_t i = 0; i < s.count; i++) by_domain[s.items[i].kept.domain]++;
        pawl_sketch_close(&s);
    }
    assert_true(chi_square(by_domain, DOMAINS, (double)KEEP / ROWS) < LIMIT_4);
}

static void assert_same(const pawl_sketch *a, const pawl_sketch *b)
{
    assert_int_equal(a->count, b->count);
    for (int64_t i = 0; i < a->count; i++) assert_memory_equal(&a->items[i].kept, &b->items[i].kept, sizeof a->items[i].kept);
}

static void order_cuts_and_repetition_change_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        int64_t order[ROWS];
        pawl_sketch whole = {.limit = KEEP}, shuffled = {.limit = KEEP}, joined = {.limit = KEEP};
        uint64_t bound[3] = {UINT64_MAX, UINT64_MAX, UINT64_MAX};
        keep_all(&whole, seed, NULL);
        for (uint64_t i = 0; i < ROWS; i++) order[i] = (int64_t)pawl_permute(i, ROWS, seed, PAWL_FOR_TEST, 3, 0);
        keep_all(&shuffled, seed, order);
        assert_same(&whole, &shuffled);
        for (int part = 0; part < 3; part++) { /* shares of three ranks, each cut, then joined twice */
            pawl_sketch share = {.limit = KEEP};
            for (int64_t i = part; i < ROWS; i += 3) {
                const pawl_candidate c = row_of(seed, i);
                assert_int_equal(pawl_sketch_add(&share, &c), PAWL_OK);
                if (i % 7 == 0) pawl_sketch_cut(&share, &bound[part]);
            }
            pawl_sketch_cut(&share, &bound[part]);
            for (int twice = 0; twice < 2; twice++)
                for (int64_t i = 0; i < share.count; i++) assert_int_equal(pawl_sketch_add(&joined, &share.items[i]), PAWL_OK);
            pawl_sketch_close(&share);
        }
        pawl_sketch_cut(&joined, &bound[0]);
        assert_same(&whole, &joined);
        pawl_sketch_close(&whole);
        pawl_sketch_close(&shuffled);
        pawl_sketch_close(&joined);
    }
}

/* A smaller quota is the beginning of a larger one, and the bound is the first key that is out. */
static void a_smaller_quota_drops_the_largest_keys(void **state)
{
    pawl_sketch s = {.limit = KEEP}, less = {.limit = KEEP / 4};
    uint64_t bound = UINT64_MAX;
    (void)state;
    keep_all(&s, 3, NULL);
    keep_all(&less, 3, NULL);
    const uint64_t first_out = s.items[KEEP / 4].kept.key;
    s.limit = KEEP / 4;
    pawl_sketch_cut(&s, &bound);
    assert_same(&s, &less);
    assert_true(bound == first_out);
    pawl_sketch_close(&s);
    pawl_sketch_close(&less);
}

/* Two weights that are 1 to 3: at small shares rows are kept nearly 1 to 3. The exact ratio is found by a draw one after another. */
static void weights_say_how_often_a_row_is_kept(void **state)
{
    int64_t kept[2] = {0}, drawn[2] = {0};
    (void)state;
    for (uint64_t seed = 0; seed < TRIALS; seed++) {
        pawl_sketch s = {.limit = KEEP};
        uint64_t bound = UINT64_MAX;
        int64_t left[2] = {ROWS / 2, ROWS / 2};
        for (int64_t i = 0; i < ROWS; i++) {
            pawl_candidate c = row_of(seed, i);
            c.kept.key = pawl_memory_weighted_key(c.kept.key, i % 2 ? 3 : 1);
            assert_int_equal(pawl_sketch_add(&s, &c), PAWL_OK);
        }
        pawl_sketch_cut(&s, &bound);
        for (int64_t i = 0; i < KEEP; i++) kept[s.items[i].row % 2]++;
        for (uint64_t i = 0; i < KEEP; i++) {
            const double u = pawl_uniform(pawl_random_at(seed, PAWL_FOR_TEST, 9, i).word[0]);
            const int heavy = u * (double)(left[0] + 3 * left[1]) >= (double)left[0];
            left[heavy]--;
            drawn[heavy]++;
        }
        pawl_sketch_close(&s);
    }
    /* Each is a mean of 40,000 draws: five standard deviations of the difference are 0.015. */
    assert_true(fabs((double)(kept[1] - drawn[1]) / (TRIALS * KEEP)) < 0.015);
    assert_true(kept[1] > 2 * kept[0]);
}

/* A document's rows leave; then the domain is learnt again with new rows, which enter below the bound only. Of what is not forgotten
 * every row, of before and after, is kept as often. (That exactly those rows leave, is in test_memory_forget.) */
static void erasure_leaves_a_uniform_sample(void **state)
{
    int64_t by_place[CELLS] = {0}, all = 0;
    (void)state;
    for (uint64_t seed = 0; seed < TRIALS; seed++) {
        pawl_sketch s = {.limit = KEEP};
        uint64_t bound = UINT64_MAX;
        int64_t left = 0;
        for (int64_t i = 0; i < ROWS; i++) {
            const pawl_candidate c = row_of(seed, i);
            assert_int_equal(pawl_sketch_add(&s, &c), PAWL_OK);
        }
        pawl_sketch_cut(&s, &bound);
        for (int64_t i = 0; i < s.count; i++)
            if (s.items[i].row % 10 != 3) s.items[left++] = s.items[i]; /* forgotten: every tenth */
        s.count = left;
        for (int64_t i = ROWS; i < 2 * ROWS; i++) {
            const pawl_candidate c = row_of(seed, i);
            if (c.kept.key < bound) assert_int_equal(pawl_sketch_add(&s, &c), PAWL_OK);
        }
        pawl_sketch_cut(&s, &bound);
        for (int64_t i = 0; i < s.count; i++, all++) {
            assert_true(s.items[i].row % 10 != 3 || s.items[i].row >= ROWS);
            by_place[s.items[i].row * CELLS / (2 * ROWS)]++;
        }
        pawl_sketch_close(&s);
    }
    /* Cells of the first half lack a tenth of their rows. */
    double x = 0;
    const double whole = (double)all / (CELLS / 2 * 0.9 + CELLS / 2);
    for (int i = 0; i < CELLS; i++) {
        const double mean = i < CELLS / 2 ? 0.9 * whole : whole;
        x += ((double)by_place[i] - mean) * ((double)by_place[i] - mean) / mean;
    }
    assert_true(x < LIMIT_19);
    assert_true(x > 4); /* and not more even than chance: 0.01 % below 4.2 for draws with replacement */
}

static void quotas_are_the_capacity(void **state)
{
    static const struct {
        int64_t available[4], fixed[4], capacity, quota[4];
        int count;
    } cases[] = {
        {{900, 900, 900, 0}, {-1, -1, -1}, 10, {4, 3, 3}, 3},
        {{2, 900, 900, 0}, {-1, -1, -1}, 10, {2, 4, 4}, 3},
        {{1, 1, 1, 0}, {-1, -1, -1}, 10, {1, 1, 1}, 3},
        {{900, 900, 900, 900}, {-1, 5, -1, -1}, 11, {2, 5, 2, 2}, 4},
        {{900, 2, 900, 900}, {-1, 5, -1, -1}, 12, {3, 2, 2, 2}, 4},
        {{900, 900, 0, 0}, {10, 0}, 10, {10, 0}, 2},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t quota[4];
        pawl_memory_quotas(cases[i].available, cases[i].fixed, cases[i].count, cases[i].capacity, quota);
        for (int d = 0; d < cases[i].count; d++) assert_int_equal(quota[d], cases[i].quota[d]);
    }
    for (uint64_t t = 0; t < 300; t++) { /* exactly the capacity; more rows or domains never raise a quota */
        int64_t available[6], quota[6], before[6];
        const int64_t fixed[6] = {-1, -1, -1, -1, -1, -1};
        int64_t sum = 0, all = 0;
        for (uint64_t i = 0; i < 6; i++) all += available[i] = pawl_random_at(t, PAWL_FOR_TEST, 4, i).word[0] % 50;
        pawl_memory_quotas(available, fixed, 5, 60, before);
        pawl_memory_quotas(available, fixed, 6, 60, quota);
        for (int i = 0; i < 6; i++) sum += quota[i];
        assert_int_equal(sum, all < 60 ? all : 60);
        for (int i = 0; i < 5; i++) assert_true(quota[i] <= before[i] + 1); /* the remainder may move on by one */
    }
}

static void draws_are_uniform_and_counted(void **state)
{
    enum { ALL = 40 };
    const int64_t rows[3] = {10, 0, 30};
    const double weights[3] = {1, 1, 3};
    int64_t any[ALL] = {0}, first = 0;
    (void)state;
    for (int64_t step = 0; step < TRIALS; step++)
        for (int64_t g = 0; g < ALL; g++) {
            any[pawl_memory_pick(7, step, g, 0, rows, NULL, 3)]++;
            first += pawl_memory_pick(7, step, g, 1, rows, weights, 3) < 10;
        }
    /* 39 degrees of freedom: 0.1 % above 72.05. */
    assert_true(chi_square(any, ALL, 0) < 72.05);
    assert_true(fabs((double)first / (TRIALS * ALL) - 0.25) < 5 * sqrt(0.25 * 0.75 / (TRIALS * ALL)));
    assert_int_equal(pawl_memory_pick(7, 3, 5, 0, rows, weights, 3), pawl_memory_pick(7, 3, 5, 0, rows, weights, 3));
    assert_int_equal(pawl_memory_pick(7, 3, 5, 0, rows, weights, 0), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(positions_are_kept_alike),
        cmocka_unit_test(a_buffer_that_overwrites_fails_the_same_test),
        cmocka_unit_test(domains_are_kept_alike),
        cmocka_unit_test(order_cuts_and_repetition_change_nothing),
        cmocka_unit_test(a_smaller_quota_drops_the_largest_keys),
        cmocka_unit_test(weights_say_how_often_a_row_is_kept),
        cmocka_unit_test(erasure_leaves_a_uniform_sample),
        cmocka_unit_test(quotas_are_the_capacity),
        cmocka_unit_test(draws_are_uniform_and_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
