/* Embeddings and their gradient, dropout and noise: all to the bit, for sums run in the order of the positions. */
#include "tests/cuda_on_cpu/cases.h"

static void embedding(void **state)
{
    /* positions, V, D, tokens that occur: a list of several rows; more positions of one token than are listed at a time */
    static const int64_t of[][4] = {{1, 1, 1, 1}, {7, 5, 33, 5}, {300, 50, 40, 50}, {70, 3000, 8, 12}, {300, 2, 1031, 2}, {5000, 3, 4, 2}};
    (void)state;
    for (int i = 0; i < 6; i++)
        BOTH_TYPES(low)
        {
            const int64_t N = of[i][0], V = of[i][1], D = of[i][2];
            const pawl_tensor table = values(low, V, D, 1), ids = ids_below(N, (int32_t)of[i][3]), out = output("out", 0, N, D),
                              dtable = changed("dtable", floats(V, D, 1)), dout = floats(N, D, 1);
            AGREE(0, pawl_embedding(at_hand.cpu, table, ids, out) || pawl_embedding_dw(at_hand.cpu, dout, ids, dtable),
                  (pawl_cuda_embedding(NULL, table, ids, out), pawl_cuda_embedding_dw(NULL, dout, ids, dtable)));
        }
}

/* By its arguments, or by rows that were told before. */
static void drop(const pawl_drop *how, int told, pawl_tensor x, pawl_put put, pawl_tensor y)
{
    pawl_drop without = *how;
    uint64_t *at = scratch_of(2 * sizeof *at);
    if (!told) {
        pawl_cuda_dropout(NULL, how, NULL, x, put, y);
        return;
    }
    without.seed = 0;
    without.first_row = 0;
    pawl_cuda_drop_rows(NULL, how, at);
    pawl_cuda_dropout(NULL, &without, at, x, put, y);
}

static void dropout(void **state)
{
    static const int64_t of[][3] = {{1, 1, 1}, {2, 3, 5}, {3, 7, 8}, {2, 4, 66}, {1, 5, 520}}; /* rows, tokens, width */
    (void)state;
    for (int i = 0; i < 5; i++)
        BOTH_TYPES(from)
        for (int kind = 0; kind < 4; kind++) {
            const int64_t N = of[i][0] * of[i][1], I = of[i][2];
            const pawl_drop how = {0.3, 0x123456789abcdefu, ((int64_t)1 << 40) + 5, of[i][1], 3};
            const pawl_put put = kind & 2 ? PAWL_ADD : PAWL_SET;
            const pawl_tensor x = values(from, N, I, 1), y = changed("y", values(kind & 1, N, I, 1));
            AGREE(0, pawl_dropout(at_hand.cpu, &how, x, put, y), drop(&how, kind % 3 == 0, x, put, y));
        }
}

static void noise(void **state)
{
    static const int64_t lengths[] = {0, 4, 2}, widths[] = {1, 5, 8, 66};
    (void)state;
    for (int i = 0; i < 4; i++)
        BOTH_PLACES
        {
            const pawl_noise how = {5, 99, 17, 4, lengths};
            const pawl_tensor x = changed("x", floats(12, widths[i], 1));
            AGREE(0, pawl_add_noise(at_hand.cpu, &how, x), pawl_cuda_add_noise(NULL, &how, x));
        }
}

const struct CMUnitTest embedding_tests[] = {cmocka_unit_test(embedding), cmocka_unit_test(dropout), cmocka_unit_test(noise),
                                             {NULL, NULL, NULL, NULL, NULL}};
