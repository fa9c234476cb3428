/* Sums over blocks are in double, in another order than the CPU's: 1e-13. What happens to the numbers is to the bit. */
#include "tests/cuda_on_cpu/cases.h"

static const int64_t lengths[] = {1, 7, 515, PAWL_SUM_BLOCK, PAWL_SUM_BLOCK + 3, 2 * PAWL_SUM_BLOCK + 4001};

static int64_t blocks_of(int64_t n)
{
    return (n + PAWL_SUM_BLOCK - 1) / PAWL_SUM_BLOCK;
}

static void sums(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++)
        BOTH_PLACES
        {
            const int64_t n = lengths[i];
            float *x = array_of(n), *y = array_of(n);
            double *dots = doubles("dots", blocks_of(n), 1), *squares = doubles("squares", blocks_of(n), 1);
            AGREE(1e-13, pawl_dot(at_hand.cpu, x, y, n, dots) || pawl_sum_squares(at_hand.cpu, x, n, squares),
                  (pawl_cuda_dot(NULL, x, y, n, dots), pawl_cuda_sum_squares(NULL, x, n, squares)));
        }
}

static void anchors(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++)
        BOTH_PLACES for (int kind = 0; kind < 3; kind++)
        {
            const int64_t n = lengths[i];
            float *g = array_changed("g", n), *w = array_of(n), *anchor = kind < 2 ? array_of(n) : NULL,
                  *importance = kind ? array_of(n) : NULL;
            double *blocks = doubles("blocks", blocks_of(n), 0);
            AGREE(1e-13, pawl_anchor(at_hand.cpu, g, w, anchor, importance, 0.3f, n, blocks),
                  pawl_cuda_anchor(NULL, g, w, anchor, importance, 0.3f, n, blocks));
        }
}

/* Whole matrices, and cuts that begin or end inside a row. */
static void overlaps(void **state)
{
    static const int64_t of[][5] = {{1, 1, 1, 0, 1}, {3, 2, 33, 0, 99}, {4, 8, 300, 150, 700}, {5, 3, 64, 64, 64}, {2, 2, 40, 41, 3}, {2, 1, 7, 3, 0}};
    (void)state;
    for (int i = 0; i < 6; i++) {
        const int64_t rows = of[i][0], kept_rows = of[i][1], width = of[i][2], first = of[i][3], count = of[i][4];
        const pawl_overlap o = {array_of(rows * width), array_of(kept_rows * width), rows, kept_rows, width, 0.3f};
        float *g = array_changed("g", count);
        double *sums_ = doubles("sums", rows, 0);
        AGREE(1e-13, pawl_overlap_add(at_hand.cpu, &o, first, count, g, sums_),
              pawl_cuda_overlap_add(NULL, &o, first, count, g, sums_));
    }
}

static void penalties(void **state)
{
    (void)state;
    EVERY_COUNT(n)
    {
        float *path = array_changed("path", n), *importance = array_changed("importance", n), *flowed = array_changed("flowed", n),
              *squared = array_changed("squared", n), *bare = array_changed("bare", n), *g = array_of(n), *before = array_of(n),
              *after = array_of(n);
        AGREE(0,
              pawl_path(at_hand.cpu, path, g, before, after, n) ||
                  pawl_synapses(at_hand.cpu, importance, flowed, after, before, 0.1f, n) ||
                  pawl_magnitudes(at_hand.cpu, squared, 1, n) || pawl_magnitudes(at_hand.cpu, bare, 0, n),
              (pawl_cuda_path(NULL, path, g, before, after, n),
               pawl_cuda_synapses(NULL, importance, flowed, after, before, 0.1f, n), pawl_cuda_magnitudes(NULL, squared, 1, n),
               pawl_cuda_magnitudes(NULL, bare, 0, n)));
    }
}

const struct CMUnitTest sum_tests[] = {cmocka_unit_test(sums), cmocka_unit_test(anchors), cmocka_unit_test(penalties),
                                       cmocka_unit_test(overlaps),
                                       {NULL, NULL, NULL, NULL, NULL}};
